//! Activations as an operation.

use burn::backend::flex::FlexTensor;

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
        let shape = x.layout().shape().clone();
        match self {
            Self::None => (x.clone(), x),
            Self::Relu => {
                let y = memory::tensor(shape, |y| kernels::relu(numbers(&x), y));
                (y.clone(), y)
            }
            Self::Gelu => (memory::tensor(shape, |y| kernels::gelu(numbers(&x), y)), x),
        }
    }

    fn backward(self, saved: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let gradient = gradient.to_contiguous();
        let shape = saved.layout().shape().clone();
        let (saved, gradient_numbers) = (numbers(&saved), numbers(&gradient));
        [Some(match self {
            Self::None => gradient,
            Self::Relu => memory::tensor(shape, |to| kernels::relu_backward(saved, gradient_numbers, to)),
            Self::Gelu => memory::tensor(shape, |to| kernels::gelu_backward(saved, gradient_numbers, to)),
        })]
    }
}

/// The numbers of a contiguous tensor.
///
/// # Panics
/// When the tensor is not of float32.
pub(super) fn numbers(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("kernels work on contiguous tensors of float32")
}

/// The sizes of a tensor.
///
/// # Panics
/// When it has another number of dimensions.
pub(super) fn sizes<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    let shape = tensor.layout().shape();
    assert_eq!(shape.num_dims(), D, "the tensor has {D} dimensions");
    std::array::from_fn(|dimension| shape[dimension])
}
