//! Tensors of Flex as slices of numbers. Maps are of `f32` or `bf16`: an operation computes in whichever it is given.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, TensorData, bf16};

use super::memory;
use super::operation::Operation;
use crate::kernels::{self, ConvShape, Convolution, Number};

/// A number that maps are made of.
pub(super) trait MapNumber: Number {
    /// Burn's name for it.
    const TYPE: DType;
    /// The numbers of a contiguous tensor, if it is of such numbers.
    fn numbers(tensor: &FlexTensor) -> Option<&[Self]>;
    /// All that a tensor's memory holds.
    fn storage(tensor: &mut FlexTensor) -> &mut [Self];
    /// A tensor of new memory.
    fn zeros(length: usize) -> FlexTensor;
    /// Plans of convolutions, by their shape: a training step needs the same as the step before.
    fn plans() -> &'static Mutex<HashMap<ConvShape, Arc<Convolution<Self>>>>;
}

macro_rules! map_number {
    ($number:ty, $type:ident, $zero:expr) => {
        impl MapNumber for $number {
            const TYPE: DType = DType::$type;

            fn numbers(tensor: &FlexTensor) -> Option<&[Self]> {
                tensor.as_slice()
            }

            fn storage(tensor: &mut FlexTensor) -> &mut [Self] {
                tensor.storage_mut()
            }

            fn zeros(length: usize) -> FlexTensor {
                FlexTensor::from_data(TensorData::new(vec![$zero; length], [length]))
            }

            fn plans() -> &'static Mutex<HashMap<ConvShape, Arc<Convolution<Self>>>> {
                static PLANS: LazyLock<Mutex<HashMap<ConvShape, Arc<Convolution<$number>>>>> = LazyLock::new(Mutex::default);
                &PLANS
            }
        }
    };
}

map_number!(f32, F32, 0.0f32);
map_number!(bf16, BF16, bf16::ZERO);

/// Calls a function that is generic over the number with that of `tensor`.
macro_rules! by_number {
    ($tensor:expr, $($function:tt)::+ ( $($argument:expr),* )) => {
        match $tensor.dtype() {
            burn::tensor::DType::BF16 => $($function)::+::<burn::tensor::bf16>($($argument),*),
            _ => $($function)::+::<f32>($($argument),*),
        }
    };
}
pub(super) use by_number;

/// The numbers of a contiguous tensor.
///
/// # Panics
/// When the tensor is of other numbers.
pub(super) fn numbers<N: MapNumber>(tensor: &FlexTensor) -> &[N] {
    N::numbers(tensor).unwrap_or_else(|| panic!("kernels work on contiguous tensors of {:?}, not {:?}", N::TYPE, tensor.dtype()))
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

/// A change of numbers: to `bf16`, or back to `f32`. The gradient is changed the other way.
#[derive(Clone, Copy, Debug)]
pub struct Convert {
    /// Whether `bf16` is wanted.
    pub(super) half: bool,
}

impl Convert {
    fn run(self, x: &FlexTensor) -> FlexTensor {
        let shape = x.layout().shape().clone();
        if self.half {
            memory::tensor::<bf16>(shape, |y| kernels::narrow(numbers(x), y))
        } else {
            memory::tensor::<f32>(shape, |y| kernels::widen(numbers(x), y))
        }
    }
}

impl Operation<1> for Convert {
    type Saved = ();

    fn forward(self, [x]: [FlexTensor; 1]) -> (FlexTensor, ()) {
        (self.run(&x.to_contiguous()), ())
    }

    fn backward(self, (): (), gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(Self { half: !self.half }.run(&gradient.to_contiguous()))]
    }
}

/// The sum of two tensors of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Add;

impl Operation<2> for Add {
    type Saved = ();

    fn forward(self, inputs: [FlexTensor; 2]) -> (FlexTensor, ()) {
        fn sum<N: MapNumber>(a: &FlexTensor, b: &FlexTensor) -> FlexTensor {
            memory::tensor::<N>(a.layout().shape().clone(), |y| kernels::add(numbers(a), numbers(b), y))
        }
        let [a, b] = inputs.map(|input| input.to_contiguous());
        (by_number!(a, sum(&a, &b)), ())
    }

    fn backward(self, (): (), gradient: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        wanted.map(|wanted| wanted.then(|| gradient.clone()))
    }
}
