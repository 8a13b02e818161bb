//! From what stages leave on disk to the plain figures that a report and a model card show.

pub(super) mod data;
pub(super) mod models;
pub(super) mod pictures;
