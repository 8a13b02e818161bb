//! Batch normalisation that does not follow a convolution directly, as an operation.

use burn::backend::flex::FlexTensor;

use super::activation::numbers;
use super::memory;
use super::operation::Operation;
use crate::kernels::{Affine, Moments, NormGradient};

/// Batch normalisation over the last dimension, and perhaps ReLU. Inputs: values, γ, β.
#[derive(Clone, Copy, Debug)]
pub struct NormBlock {
    pub(super) epsilon: f32,
    pub(super) relu: bool,
}

/// What [`NormBlock`] saves.
#[derive(Clone, Debug)]
pub struct SavedNorm {
    x: FlexTensor,
    affine: Affine,
    /// Statistics of the batch.
    pub(super) moments: Moments,
}

impl Operation<3> for NormBlock {
    type Saved = SavedNorm;

    fn forward(self, inputs: [FlexTensor; 3]) -> (FlexTensor, SavedNorm) {
        let [x, gamma, beta] = inputs.map(|input| input.to_contiguous());
        let moments = Moments::of(numbers(&x), numbers(&gamma).len());
        let affine = Affine::new(&moments, numbers(&gamma), numbers(&beta), self.epsilon);
        let y = memory::tensor(x.layout().shape().clone(), |y| affine.apply(numbers(&x), self.relu, y));
        (y, SavedNorm { x, affine, moments })
    }

    fn backward(self, saved: SavedNorm, gradient: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let SavedNorm { x, affine, .. } = saved;
        let gradient = gradient.to_contiguous();
        let (input, gradient) = (numbers(&x), numbers(&gradient));
        let [gamma, beta] = affine.parameter_gradients(input, gradient, self.relu);
        let of = NormGradient { affine: &affine, input, gradient, gamma: &gamma, beta: &beta, relu: self.relu, choice: None };
        let channels = |values: &[f32]| memory::tensor([values.len()], |to| to.copy_from_slice(values));
        [
            wanted[0].then(|| memory::tensor(x.layout().shape().clone(), |to| Affine::input_gradient(&of, to))),
            wanted[1].then(|| channels(&gamma)),
            wanted[2].then(|| channels(&beta)),
        ]
    }
}
