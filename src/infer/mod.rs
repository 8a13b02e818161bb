//! Inference: an ONNX file, from bytes to predictions.
//!
//! A model goes through stages, each a type of its own: bytes → [`Loaded`], whose structure is checked → [`Model`], which is
//! ready to run, from several threads at once: by our own kernels, or by tract, which is the reference and runs what the kernels
//! do not cover ([`Loaded::ready`]). Computing in bytes needs ranges that a file holds; [`Loaded::measure_ranges`] finds them. [`compare`] says how far two models' probabilities are apart.
//!
//! The room knows nothing of tables, training or stages.

mod compare;
mod load;
mod model;
mod precision;
mod program;
mod ranges;
mod reference;

pub use compare::{Agreement, compare};
pub use load::{Batch, Loaded, is_damage};
pub use model::{Engine, Model, Predictions};
pub use precision::{Precision, WantedPrecision};
