//! What is known of every stage's output before anything runs: shapes, classes, parts, models. It is what lets a plan be
//! checked whole.

use std::collections::BTreeMap;

use crate::data::ImageShape;
use crate::graph::StageId;

/// What is known of labelled images in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataFacts {
    /// The shape of every image.
    pub shape: ImageShape,
    /// The class names, unless only the labels will tell.
    pub classes: Option<Vec<String>>,
    /// Whether there is a validation part.
    pub validation: bool,
    /// Whether there is a test part.
    pub test: bool,
}

/// What is known of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelFacts {
    /// The shape of an image.
    pub shape: ImageShape,
    /// The class names, unless only the labels will tell.
    pub classes: Option<Vec<String>>,
    /// Whether it is a vote of several networks.
    pub ensemble: bool,
}

/// What is known of all stages checked so far. A stage with a problem of its own has no entry, and those that read it are
/// not checked further: one mistake, one message.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What `fetch` stages bring.
    pub files: BTreeMap<StageId, DataFacts>,
    /// What stages that make data make.
    pub data: BTreeMap<StageId, DataFacts>,
    /// What stages that make models make.
    pub models: BTreeMap<StageId, ModelFacts>,
    /// The models in each export.
    pub exports: BTreeMap<StageId, Vec<StageId>>,
}
