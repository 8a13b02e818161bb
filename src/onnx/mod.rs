//! ONNX: trained networks and their ensemble as one ONNX graph each.
//!
//! [`lower`] turns an architecture and its weights, as plain data, into a `ModelProto`; [`ensemble`] joins several such
//! networks by a weighted mean of their probabilities. Every file has the same interface, which [`check`] holds it to:
//!
//! | | name | type | shape |
//! |---|---|---|---|
//! | input | `image` | float32, pixels 0–255 | `[N, C, H, W]`, N free |
//! | output | `label` | int64, the first of the largest probabilities; of an ensemble, as they are before its temperature | `[N]` |
//! | output | `probabilities` | float32, rows summing to 1 | `[N, classes]` |
//!
//! The normalisation of pixels is the graph's first step; a network that averages over views of the image has its nodes once for each view,
//! and its weights once. Batch normalisations are folded into the convolution or dense
//! layer that they directly follow, in double precision; dropout vanishes. Names are made of the model's name and the
//! layer's place (`basic/3.weight`), and nothing else that varies is written, so equal input gives equal bytes.
//!
//! The room knows neither Burn's tensors nor how a graph is run.

mod check;
mod ensemble;
mod file;
mod fold;
mod graph;
mod input;
mod lower;
mod metadata;
mod ranges;
pub(crate) mod samples;

pub use check::{Interface, Problems, check};
pub use ensemble::ensemble;
pub use file::{MOST_BYTES, NotOnnx, decode, encode};
pub use lower::{Member, lower};
pub use metadata::Metadata;
pub use ranges::{Range, Ranges};

/// The type of an ONNX file.
pub use tract_onnx::pb::ModelProto;

/// The name of the input: pixels 0–255, float32 `[N, C, H, W]`.
pub const IMAGE: &str = "image";
/// The name of the output that holds the predicted class, int64 `[N]`.
pub const LABEL: &str = "label";
/// The name of the output that holds the class probabilities, float32 `[N, classes]`.
pub const PROBABILITIES: &str = "probabilities";
/// The name of the dimension that counts images.
pub const BATCH: &str = "N";
/// The version of ONNX's operators that the graphs are written in.
pub const OPSET: i64 = 17;
/// The version of ONNX's file format, the one that came with [`OPSET`].
pub const IR_VERSION: i64 = 8;
