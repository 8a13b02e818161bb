//! Activations as an operation.

use burn::backend::flex::FlexTensor;

use super::maps::{MapNumber, by_number, numbers};
use super::memory;
use super::operation::Operation;
use crate::kernels;

/// A function of every value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x.
    None,
    /// max(x, 0).
    Relu,
    /// x·Φ(x).
    Gelu,
}

impl Operation<1> for Activation {
    /// ReLU's output, the others' input.
    type Saved = FlexTensor;

    fn forward(self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let x = x.to_contiguous();
        by_number!(x, Self::forward_of(self, x))
    }

    fn backward(self, saved: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(by_number!(saved, Self::backward_of(self, &saved, gradient.to_contiguous())))]
    }
}

impl Activation {
    fn forward_of<N: MapNumber>(self, x: FlexTensor) -> (FlexTensor, FlexTensor) {
        let shape = x.layout().shape().clone();
        match self {
            Self::None => (x.clone(), x),
            Self::Relu => {
                let y = memory::tensor::<N>(shape, |y| kernels::relu(numbers(&x), y));
                (y.clone(), y)
            }
            Self::Gelu => (memory::tensor::<N>(shape, |y| kernels::gelu(numbers(&x), y)), x),
        }
    }

    fn backward_of<N: MapNumber>(self, saved: &FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let shape = saved.layout().shape().clone();
        match self {
            Self::None => gradient,
            Self::Relu => memory::tensor::<N>(shape, |to| kernels::relu_backward(numbers(saved), numbers(&gradient), to)),
            Self::Gelu => memory::tensor::<N>(shape, |to| kernels::gelu_backward(numbers(saved), numbers(&gradient), to)),
        }
    }
}
