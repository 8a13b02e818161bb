//! What is known of every stage's output before anything runs: shapes, classes, parts, models. It is what lets a plan be
//! checked whole.

use std::collections::{BTreeMap, BTreeSet};

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
    /// The stage that decided which images are to train on.
    pub origin: StageId,
    /// Whether the images to train on are varied from epoch to epoch.
    pub varied: bool,
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
    /// The origins of the data that its networks were trained on.
    pub origins: BTreeSet<StageId>,
    /// Whether one of its networks was trained on the validation part too.
    pub refit: bool,
}

impl ModelFacts {
    /// Of a single network that is trained on `data`, and with `refit` on its validation part too.
    pub(super) fn of_network(data: DataFacts, refit: bool) -> Self {
        Self { shape: data.shape, classes: data.classes, ensemble: false, origins: BTreeSet::from([data.origin]), refit }
    }
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
