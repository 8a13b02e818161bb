//! Compute on slices: convolution, batch normalisation, activation, pooling and dense layers, forward and backward.
//!
//! Images are `[N, H, W, C]`: the channels of a pixel lie side by side, so that vectors run along them. Every kernel is written
//! once and compiled for AVX-512, AVX2 and whatever the machine has (see [`Level`]); the best is chosen at run time. Where tiles are
//! switched on (see [`Tiles`]), convolutions and dense layers of `bf16` and of bytes are multiplied in them. Work is cut
//! by shape alone and summed in a fixed order, so results are the same bits for any number of threads; they differ between
//! [`Level`]s by rounding. All of the crate's `unsafe` is here.
//!
//! It knows nothing of Burn, tract, layers or training: slices in, slices out. A slice of the wrong length is a fault of the
//! caller and panics.

mod activation;
mod adam;
mod buffer;
mod columns;
mod conv;
mod dense;
mod muon;
mod norm;
mod number;
mod peak;
mod pool;
mod quantised;
pub mod serial;
mod simd;
mod tiles;
mod worth;

pub use activation::{gelu, gelu_backward, relu, relu_backward};
pub use adam::AdamStep;
pub use conv::{ConvShape, Convolution, Gradients, OutputGradient, PreparedConvolution, ShapeError, WinogradConvolution};
pub use dense::{DenseShape, PreparedDense};
pub use muon::MuonStep;
pub use norm::{Affine, Moments, NormGradient, scale_shift};
pub use number::{Number, add, narrow, widen};
pub use peak::peak;
pub use pool::{
    PoolShape, Pooled, avg_pool, avg_pool_backward, global_avg_pool, global_avg_pool_backward, global_max_pool,
    global_max_pool_backward, max_pool, max_pool_backward,
};
pub use quantised::{Quantisation, QuantisedConvolution, QuantisedError, QuantisedLayer, Target, interleave, quantise};
pub use simd::{ByteLevel, Level};
pub use tiles::{SWITCH, Tiles};
pub use worth::{Worth, instructions, machine};

#[cfg(test)]
mod reference;
