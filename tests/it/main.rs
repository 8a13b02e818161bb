//! The integration tests: one binary, a module for each topic.

mod advice;
mod burn_onnx;
mod fashion_mnist;
mod images;
mod memory;
mod outputs;
mod pipelines;
mod precision;
mod runs;
mod safekeeping;
mod scoring;
mod seen;
mod signals;
mod statements;
mod tables;
mod tidy;
mod trainings;
mod workshop;
