//! Batch normalisation that does not follow a convolution directly, as an operation.

use burn::backend::flex::FlexTensor;
use burn::tensor::bf16;

use super::maps::{MapNumber, by_number, numbers};
use super::memory;
use super::operation::Operation;
use crate::kernels::{self, Affine, Moments, NormGradient};

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
        let inputs = inputs.map(|input| input.to_contiguous());
        by_number!(inputs[0], Self::forward_of(self, inputs))
    }

    fn backward(self, saved: SavedNorm, gradient: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        by_number!(saved.x, Self::backward_of(self, saved, &gradient.to_contiguous(), wanted))
    }
}

impl NormBlock {
    fn forward_of<N: MapNumber>(self, [x, gamma, beta]: [FlexTensor; 3]) -> (FlexTensor, SavedNorm) {
        let moments = Moments::of(numbers::<N>(&x), numbers::<f32>(&gamma).len());
        let affine = Affine::new(&moments, numbers(&gamma), numbers(&beta), self.epsilon);
        let y = memory::tensor::<N>(x.layout().shape().clone(), |y| affine.apply(numbers(&x), self.relu, y));
        (y, SavedNorm { x, affine, moments })
    }

    fn backward_of<N: MapNumber>(self, saved: SavedNorm, gradient: &FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let SavedNorm { x, affine, .. } = saved;
        let (input, gradient) = (numbers::<N>(&x), numbers(gradient));
        let [gamma, beta] = affine.parameter_gradients(input, gradient, self.relu);
        let of = NormGradient { affine: &affine, input, gradient, gamma: &gamma, beta: &beta, relu: self.relu, choice: None };
        let channels = |values: &[f32]| memory::tensor::<f32>([values.len()], |to| to.copy_from_slice(values));
        [
            wanted[0].then(|| memory::tensor::<N>(x.layout().shape().clone(), |to| Affine::input_gradient(&of, to))),
            wanted[1].then(|| channels(&gamma)),
            wanted[2].then(|| channels(&beta)),
        ]
    }
}

/// scale · x + shift of the channels of images of float32, in `bf16` if that is wanted. Inputs: images, scales, shifts; only images
/// have a gradient.
#[derive(Clone, Copy, Debug)]
pub struct ScaleShift {
    pub(super) half: bool,
}

impl Operation<3> for ScaleShift {
    /// The scales.
    type Saved = FlexTensor;

    fn forward(self, inputs: [FlexTensor; 3]) -> (FlexTensor, FlexTensor) {
        let [x, scale, shift] = inputs.map(|input| input.to_contiguous());
        let shape = x.layout().shape().clone();
        let (images, by, plus) = (numbers::<f32>(&x), numbers(&scale), numbers(&shift));
        let y = if self.half {
            memory::tensor::<bf16>(shape, |y| kernels::scale_shift(images, by, plus, false, y))
        } else {
            memory::tensor::<f32>(shape, |y| kernels::scale_shift(images, by, plus, false, y))
        };
        (y, scale)
    }

    fn backward(self, scale: FlexTensor, gradient: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        fn times<N: MapNumber>(gradient: &FlexTensor, scale: &[f32]) -> FlexTensor {
            let zeros = vec![0.0; scale.len()];
            memory::tensor::<f32>(gradient.layout().shape().clone(), |to| {
                kernels::scale_shift(numbers::<N>(gradient), scale, &zeros, false, to);
            })
        }
        let gradient = gradient.to_contiguous();
        [wanted[0].then(|| by_number!(gradient, times(&gradient, numbers(&scale)))), None, None]
    }
}
