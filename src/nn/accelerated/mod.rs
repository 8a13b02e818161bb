//! Our kernels as Burn operations on the Flex backend, with hand-written backward passes.
//!
//! Feature maps are `[N, H, W, C]` here, not Burn's `[N, C, H, W]`; weights are Burn's. A network turns its input once, stays in
//! this layout through all of these functions, and turns back (or pools globally) before its dense layers. They work on plain
//! and on autodiff tensors; [`is_available`] tells whether a device has them. On any other device they panic, and the
//! network must use Burn's own operations.
//!
//! How a kernel gets here: it is an `Operation` (forward on Flex tensors, what to save, backward); `extension` routes
//! it through Burn's dispatch and records it for autodiff; a function below gives it a [`Tensor`] face. Results and saved
//! values live in buffers that `memory` uses again.

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::{DType, Device, Tensor};

use crate::kernels;

mod activation;
mod adam;
mod conv;
mod dense;
mod extension;
mod maps;
mod memory;
mod muon;
mod norm;
mod operation;
mod pool;

pub use activation::Activation;
pub use adam::Adam;
pub use memory::release as release_buffers;
pub use muon::{Muon, Velocity};
pub use pool::Pooling;

use self::extension::Accelerated;

/// Whether tensors of `device` can be given to the functions of this module.
pub fn is_available(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// How a convolution moves over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Step between windows.
    pub stride: usize,
    /// Zeros on every side.
    pub padding: usize,
}

/// What follows a convolution or a batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Then {
    /// Is done to every value.
    pub activation: Activation,
    /// Whether the largest of each 2×2 window is taken after that.
    pub pool: bool,
}

impl Then {
    /// Nothing.
    pub const NOTHING: Self = Self { activation: Activation::None, pool: false };
    /// ReLU.
    pub const RELU: Self = Self { activation: Activation::Relu, pool: false };
    /// ReLU and 2×2 max pooling.
    pub const RELU_POOL: Self = Self { activation: Activation::Relu, pool: true };
}

/// A batch normalisation's output and the statistics of the batch.
#[derive(Clone, Debug)]
pub struct Normalised<const D: usize> {
    /// The output.
    pub output: Tensor<D>,
    /// Mean of each channel, `[C]`; not tracked.
    pub mean: Tensor<1>,
    /// Biased variance of each channel, `[C]`; not tracked.
    pub variance: Tensor<1>,
}

/// Convolution, bias, activation and pooling: `x` is `[N, H, W, inputs]`, `weight` `[outputs, inputs, k, k]`, `bias` `[outputs]`.
///
/// # Panics
/// When the shapes do not fit each other or the device has no kernels.
pub fn conv_block(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, windows: Windows, then: Then) -> Tensor<4> {
    // A constant bias gets no gradient.
    let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[0]], &weight.device()));
    // Only ReLU is monotonous and keeps zero, so that it may change places with the pooling.
    let fused = Then { pool: then.pool && then.activation == Activation::Relu, ..then };
    let y = <Dispatch as Accelerated>::conv_block(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        conv::ConvBlock { windows, then: fused },
    );
    pool_after(Tensor::from_dispatch(y), then, fused)
}

/// Convolution without bias, batch normalisation by the statistics of the batch, activation and pooling: `x` is
/// `[N, H, W, inputs]`, `weight` `[outputs, inputs, k, k]`, `gamma` and `beta` `[outputs]`.
///
/// A bias in front of a batch normalisation moves nothing but the mean: add it to the mean for running statistics.
///
/// # Panics
/// When the shapes do not fit each other or the device has no kernels.
pub fn conv_norm_block(
    x: Tensor<4>,
    weight: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f32,
    windows: Windows,
    then: Then,
) -> Normalised<4> {
    let (fused, apart) = split_gelu(then);
    let (output, mean, variance) = <Dispatch as Accelerated>::conv_norm_block(
        x.into_dispatch(),
        weight.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        conv::ConvNormBlock { windows, epsilon, then: fused },
    );
    normalised(Tensor::from_dispatch(output), mean, variance, apart, fused)
}

/// Batch normalisation by the statistics of the batch, over the last dimension, and activation: `x` is `[…, C]`.
///
/// # Panics
/// When the shapes do not fit each other or the device has no kernels.
pub fn batch_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f32,
    activation: Activation,
) -> Normalised<D> {
    let (fused, apart) = split_gelu(Then { activation, pool: false });
    let (output, mean, variance) = <Dispatch as Accelerated>::norm_block(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        norm::NormBlock { epsilon, relu: fused.activation == Activation::Relu },
    );
    let output = match apart {
        Some(then) => activate(Tensor::from_dispatch(output), then.activation),
        None => Tensor::from_dispatch(output),
    };
    Normalised { output, mean: Tensor::from_dispatch(mean), variance: Tensor::from_dispatch(variance) }
}

/// Joins a batch normalisation by given statistics to the convolution before it, for [`conv_block`]: new weights
/// `[outputs, inputs, k, k]` and bias `[outputs]`.
pub fn fold_norm(
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    [gamma, beta, mean, variance]: [Tensor<1>; 4],
    epsilon: f32,
) -> (Tensor<4>, Tensor<1>) {
    let scale = gamma / (variance + epsilon).sqrt();
    let mean = match bias {
        Some(bias) => mean - bias,
        None => mean,
    };
    let outputs = weight.dims()[0];
    (weight * scale.clone().reshape([outputs, 1, 1, 1]), beta - mean * scale)
}

/// Pools windows of `[N, H, W, C]` that stay inside the map.
///
/// # Panics
/// When the device has no kernels.
pub fn pool(x: Tensor<4>, pooling: Pooling) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Accelerated>::pool(x.into_dispatch(), pooling))
}

/// Mean of each channel: `[N, H, W, C]` → `[N, C]`.
///
/// # Panics
/// When the device has no kernels.
pub fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Accelerated>::global_pool(x.into_dispatch(), pool::GlobalPool { max: false }))
}

/// Largest value of each channel: `[N, H, W, C]` → `[N, C]`.
///
/// # Panics
/// When the device has no kernels.
pub fn global_max_pool(x: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Accelerated>::global_pool(x.into_dispatch(), pool::GlobalPool { max: true }))
}

/// An activation, of any shape.
///
/// # Panics
/// When the device has no kernels.
pub fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    match activation {
        Activation::None => x,
        Activation::Relu | Activation::Gelu => {
            Tensor::from_dispatch(<Dispatch as Accelerated>::activate(x.into_dispatch(), activation))
        }
    }
}

/// scale · x + shift of each channel: `x` is `[N, H, W, C]` of float32, `scale` and `shift` `[C]`. The result is of `bf16` with `half`:
/// see [`to_half`].
///
/// # Panics
/// When the shapes do not fit each other or the device has no kernels.
pub fn scale_shift(x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, half: bool) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Accelerated>::scale_shift(
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        norm::ScaleShift { half },
    ))
}

/// The same values in `bf16`: the functions of this module then compute with half the memory, and in less time where the
/// machine has instructions for it ([`has_half`]), and give maps of `bf16`. Weights, statistics, sums and all vectors stay float32.
///
/// # Panics
/// When the device has no kernels.
pub fn to_half(x: Tensor<4>) -> Tensor<4> {
    if x.dtype() == DType::BF16 { x } else { convert(x, true) }
}

/// The same values in float32.
///
/// # Panics
/// When the device has no kernels.
pub fn to_single(x: Tensor<4>) -> Tensor<4> {
    if x.dtype() == DType::F32 { x } else { convert(x, false) }
}

fn convert(x: Tensor<4>, half: bool) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Accelerated>::convert(x.into_dispatch(), maps::Convert { half }))
}

/// a + b, maps of one shape.
///
/// # Panics
/// When the shapes differ or the device has no kernels.
pub fn add(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Accelerated>::add(a.into_dispatch(), b.into_dispatch(), maps::Add))
}

/// Whether this machine has instructions for `bf16`; without them it is slower than float32.
pub fn has_half() -> bool {
    kernels::Level::half().is_some()
}

/// Whether this machine's instructions for `bf16` are faster than those for float32.
pub fn half_pays() -> bool {
    kernels::Worth::here().half_pays()
}

/// The instructions that multiply `bf16`, or float32, for people.
pub fn instructions(half: bool) -> &'static str {
    kernels::instructions(half)
}

/// Dense layer and perhaps ReLU: `x` is `[N, inputs]`, `weight` `[inputs, outputs]`, `bias` `[outputs]`. With `half`, numbers are rounded to `bf16`
/// before they are multiplied, where the machine is much faster so; all that goes in and comes out is float32.
///
/// # Panics
/// When the shapes do not fit each other or the device has no kernels.
pub fn dense(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>, activation: Activation, half: bool) -> Tensor<2> {
    let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[1]], &weight.device()));
    let block = dense::DenseBlock { relu: activation == Activation::Relu, half };
    let y = <Dispatch as Accelerated>::dense(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), block);
    match activation {
        Activation::Gelu => activate(Tensor::from_dispatch(y), activation),
        Activation::None | Activation::Relu => Tensor::from_dispatch(y),
    }
}

/// What a normalisation does itself, and what must follow it apart: GELU, and a pool after that.
fn split_gelu(then: Then) -> (Then, Option<Then>) {
    if then.activation == Activation::Gelu { (Then::NOTHING, Some(then)) } else { (then, None) }
}

fn normalised(
    output: Tensor<4>,
    mean: burn::backend::DispatchTensor,
    variance: burn::backend::DispatchTensor,
    apart: Option<Then>,
    fused: Then,
) -> Normalised<4> {
    let output = match apart {
        Some(then) => pool_after(activate(output, then.activation), then, fused),
        None => output,
    };
    Normalised { output, mean: Tensor::from_dispatch(mean), variance: Tensor::from_dispatch(variance) }
}

/// Pools if that was asked for and not done yet.
fn pool_after(x: Tensor<4>, wanted: Then, done: Then) -> Tensor<4> {
    if wanted.pool && !done.pool { pool(x, Pooling { max: true, size: 2, stride: 2 }) } else { x }
}

#[cfg(test)]
mod tests;
