//! Atelier: one YAML file takes labelled images from raw files to verified ONNX classifiers and scored CSV files.
//!
//! The binary is `pipeline`; this library is everything behind it. `ARCHITECTURE.md` describes the rooms (modules),
//! what each may import, and how data flows between them.

pub mod cli;
pub mod data;
pub mod digest;
pub mod engine;
pub mod ensemble;
pub mod fault;
pub mod fs;
pub mod graph;
pub mod infer;
pub mod kernels;
pub mod metrics;
pub mod nn;
pub mod onnx;
mod panics;
pub mod progress;
pub mod quote;
pub mod report;
pub mod score;
pub mod seed;
pub mod spec;
pub mod stages;
pub mod train;
pub mod tune;
pub mod units;
