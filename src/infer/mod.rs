//! Inference: an ONNX file in tract, from bytes to predictions.
//!
//! A model goes through stages, each a type of its own: bytes → [`Loaded`], whose structure is checked → [`Model`], whose
//! graph is optimised for a [`Batch`] and ready to run, from several threads at once. [`compare`] says how far two
//! models' probabilities are apart.
//!
//! The room knows nothing of tables, training or stages.

mod compare;
mod load;
mod model;
mod precision;
mod program;
mod reference;

pub use compare::{Agreement, compare};
pub use load::{Batch, Loaded};
pub use model::{Engine, Model, Predictions};
pub use precision::Precision;
