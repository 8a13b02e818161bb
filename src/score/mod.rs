//! Scoring: CSV tables of images go through a model, row by row, into a CSV table of predictions.
//!
//! One thread reads records into batches, several parse and predict them, and the caller's thread writes what comes out
//! in the order in which it was read. A batch is a set of buffers that goes round in this circle; there is a fixed number
//! of them, so memory does not depend on how long the tables are. An image's probabilities do not depend on what else is
//! in its batch (see [`Batch::Of`](crate::infer::Batch)), so the output does not depend on the number of threads.
//!
//! | column of the output | what it holds |
//! |---|---|
//! | `label`, `class` | the predicted class, as number and name |
//! | `confidence` | its probability |
//! | `p_0` … | the probability of each class: the shortest text that reads back as the same float32 |
//! | `true_label` | the label of the input, where it has one |
//! | … | the columns that are to be passed through, as they are |
//!
//! The room knows nothing of training or stages.

mod batch;
mod error;
mod input;
mod manifest;
mod options;
mod reader;
mod request;
mod row;
mod run;
mod tests;

pub use error::ScoreError;
pub use input::Input;
pub use manifest::{InputRecord, Manifest, ModelRecord, OutputRecord, ScoreSummary};
pub use options::{OnError, ScoreOptions};
pub use request::{Output, Request};
pub use run::score;
