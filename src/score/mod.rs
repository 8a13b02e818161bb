//! Scoring: CSV tables of images go through a model, row by row, into a table of predictions.
//!
//! One thread reads blocks of whole rows, several parse and predict them, and the caller's thread writes what comes out in the
//! order in which it was read (`circle.rs`). A block is a set of buffers that goes round in this circle; there is a fixed
//! number of them, so memory does not depend on how long the tables are. An image's probabilities do not depend on what else
//! is in its batch (see [`Batch::Of`](crate::infer::Batch)), so the output does not depend on the number of threads, on where
//! blocks end, on shards, or on how often a run was interrupted.
//!
//! | column of the output | what it holds |
//! |---|---|
//! | `row` | the number of the row in its table, counted from 1 without the header; only if asked for |
//! | `label`, `class` | the predicted class, as number and name |
//! | `confidence` | its probability |
//! | `p_0` … | the probability of each class: the shortest text that reads back as the same float32 |
//! | `top_1`, `p_top_1` … | with `top_k`, instead of these: the most probable classes, and their probabilities |
//! | `true_label` | the label of the input, where it has one |
//! | … | the columns that are to be passed through, as they are |
//!
//! The room knows nothing of training or stages.

mod block;
mod circle;
mod columns;
mod error;
mod files;
mod input;
mod journal;
mod manifest;
mod merge;
mod options;
mod parquet;
mod parse;
mod reader;
mod request;
mod run;
mod shard;
mod sheet;
mod spans;
mod tests;
mod text;
mod writer;

pub use error::ScoreError;
pub use files::{check_files, claims};
pub use input::Input;
pub use manifest::{InputRecord, Manifest, ModelRecord, OutputRecord, Part, ScoreSummary, Settings, ShardRecord, Tally};
pub use merge::merge_shards;
pub use options::{OnError, OutputColumn, OutputFormat, ScoreOptions};
pub use request::{Output, Request};
pub use run::score;
pub use shard::{ROWS_PER_PART, Shard};
