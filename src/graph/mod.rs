//! The graph of stages: ids, edges, order, cycles, drawings. It does not know what a stage does.

mod drawing;
mod id;
mod order;

pub use id::{
    AnyRef, DataRef, ExportRef, ExportedModelRef, FilesRef, ModelRef, ParametersRef, Product, Reference, StageId, reference_needs,
};
pub use order::{Graph, GraphError};
