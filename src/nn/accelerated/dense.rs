//! Dense layers as an operation.

use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;

use super::maps::{numbers, sizes};
use super::memory;
use super::operation::Operation;
use crate::kernels::{self, DenseShape};

/// x · w + b, and perhaps ReLU. Inputs: rows, weights, bias.
#[derive(Clone, Copy, Debug)]
pub struct DenseBlock {
    pub(super) relu: bool,
    /// Whether products may be of `bf16`.
    pub(super) half: bool,
}

/// What [`DenseBlock`] saves: rows, weights, and the output if ReLU followed.
#[derive(Clone, Debug)]
pub struct SavedDense {
    x: FlexTensor,
    weight: FlexTensor,
    output: Option<FlexTensor>,
}

fn shape(x: &FlexTensor, weight: &FlexTensor, half: bool) -> DenseShape {
    let ([batch, inputs], [rows, outputs]) = (sizes(x), sizes(weight));
    assert_eq!(inputs, rows, "the weights are for rows of that length");
    DenseShape { batch, inputs, outputs, half }
}

impl Operation<3> for DenseBlock {
    type Saved = SavedDense;

    fn forward(self, inputs: [FlexTensor; 3]) -> (FlexTensor, SavedDense) {
        let [x, weight, bias] = inputs.map(|input| input.to_contiguous());
        let shape = shape(&x, &weight, self.half);
        let y = memory::tensor([shape.batch, shape.outputs], |y| {
            shape.forward(numbers(&x), numbers(&weight), Some(numbers(&bias)), self.relu, y);
        });
        let output = self.relu.then(|| y.clone());
        (y, SavedDense { x, weight, output })
    }

    fn backward(self, saved: SavedDense, gradient: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let SavedDense { x, weight, output } = saved;
        let shape = shape(&x, &weight, self.half);
        let mut gradient = gradient.to_contiguous();
        if let Some(output) = output {
            gradient = memory::tensor([shape.batch, shape.outputs], |to| {
                kernels::relu_backward(numbers::<f32>(&output), numbers(&gradient), to);
            });
        }
        let gradient = numbers(&gradient);
        // Parameters' gradients stay out of the pool: the optimiser changes them in place.
        let parameter = |sizes: &[usize], fill: &dyn Fn(&mut [f32])| {
            let mut values = vec![0.0; sizes.iter().product()];
            fill(&mut values);
            FlexTensor::from_data(TensorData::new(values, sizes.to_vec()))
        };
        [
            wanted[0]
                .then(|| memory::tensor([shape.batch, shape.inputs], |to| shape.input_gradient(numbers(&weight), gradient, to))),
            wanted[1].then(|| parameter(&[shape.inputs, shape.outputs], &|to| shape.weight_gradient(numbers(&x), gradient, to))),
            wanted[2].then(|| parameter(&[shape.outputs], &|to| shape.bias_gradient(gradient, to))),
        ]
    }
}
