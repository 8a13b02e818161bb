//! What is known of every stage's output before anything runs: shapes, classes, parts, models, and which images were used where. It
//! is what lets a plan be checked whole.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::foreign::Foreign;
use super::lineage::{Images, Purpose, Use};
use super::out_of_fold::OutOfFold;
use super::score::TrainedOn;
use crate::data::{ImageShape, Part};
use crate::digest::Digest;
use crate::graph::StageId;
use crate::tune::Parameters;

/// What is known of raw files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilesFacts {
    /// The shape of every image.
    pub shape: ImageShape,
    /// The class names.
    pub classes: Vec<String>,
}

/// What is known of labelled images in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataFacts {
    /// The shape of every image.
    pub shape: ImageShape,
    /// The class names, unless only the labels will tell.
    pub classes: Option<Vec<String>>,
    /// The images to train on.
    pub train: Images,
    /// Those to choose by, if they were set apart.
    pub validation: Option<Images>,
    /// Those to measure with, if there are any.
    pub test: Option<Images>,
    /// The stage that made a data set of files.
    pub source: StageId,
    /// What the training images are a part of, if a stage divided them.
    pub part_of: Option<StageId>,
    /// Whether the images to train on are varied from epoch to epoch.
    pub varied: bool,
    /// The stage that added varied copies to the images to train on.
    pub copied: Option<StageId>,
    /// How images are varied, in a form that can be compared.
    pub variation: String,
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
    /// Its networks.
    pub networks: Vec<NetworkFacts>,
    /// The images by which the vote was chosen.
    pub chosen: BTreeSet<Rc<Use>>,
}

/// What is known of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetworkFacts {
    /// The stage that trains it.
    pub name: StageId,
    /// The data that it is trained on.
    pub data: StageId,
    /// The images of that data to choose by.
    pub held_out: Option<Images>,
    /// Every image that it or what it comes from has used; without those that a `refit` of its own adds, as its validation figures are
    /// from before that.
    pub uses: BTreeSet<Rc<Use>>,
    /// The images that its own `refit` adds.
    pub refit: Option<Rc<Use>>,
    /// The same for networks that differ in their seed or their fold alone.
    pub recipe: Digest,
}

impl NetworkFacts {
    /// What it has used when a figure is taken on such a part.
    pub(super) fn uses_before(&self, part: Part) -> impl Iterator<Item = &Rc<Use>> {
        self.uses.iter().chain(self.refit.as_ref().filter(|_| part != Part::Validation))
    }
}

impl ModelFacts {
    /// What is known of the network of a further seed, whose stage is `id`, where this is that of the first, `entry`.
    pub(super) fn of_seed(&self, entry: &StageId, id: &StageId) -> Self {
        let own = |used: &Rc<Use>| match used.by == *entry {
            true => Rc::new(Use { by: id.clone(), ..(**used).clone() }),
            false => used.clone(),
        };
        let networks = self.networks.iter().map(|network| NetworkFacts {
            name: id.clone(),
            uses: network.uses.iter().map(own).collect(),
            refit: network.refit.as_ref().map(own),
            ..network.clone()
        });
        Self { networks: networks.collect(), ..self.clone() }
    }

    /// What it has used when a figure is taken on such a part.
    pub(super) fn uses_before(&self, part: Part) -> impl Iterator<Item = &Rc<Use>> {
        self.networks.iter().flat_map(move |network| network.uses_before(part)).chain(&self.chosen)
    }

    /// What all that it is made of has used: what goes on to a model that learns from it.
    pub(super) fn all_uses(&self) -> impl Iterator<Item = &Rc<Use>> {
        self.uses_before(Part::Test)
    }
}

/// What is known of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchFacts {
    /// The images by which the parameters are chosen, those of its trials' trainings included.
    pub chosen: Vec<Rc<Use>>,
    /// The same for searches that differ in their fold alone.
    pub recipe: Digest,
}

impl DataFacts {
    /// The images of a part.
    pub(super) fn part(&self, part: Part) -> Option<&Images> {
        match part {
            Part::Train => Some(&self.train),
            Part::Validation => self.validation.as_ref(),
            Part::Test => self.test.as_ref(),
        }
    }

    /// The uses of a training by the stage `by` on this data, which is called `data`.
    pub(super) fn training(&self, by: &StageId, data: &StageId) -> Vec<Rc<Use>> {
        let parts = [(Purpose::Trained, Part::Train), (Purpose::Chosen, Part::Validation)];
        parts.into_iter().filter_map(|(purpose, part)| self.used(purpose, part, by, data)).collect()
    }

    /// A use of one of its parts, if there is such a part.
    pub(super) fn used(&self, purpose: Purpose, part: Part, by: &StageId, data: &StageId) -> Option<Rc<Use>> {
        let images = self.part(part)?.clone();
        Some(Rc::new(Use { by: by.clone(), purpose, images, data: data.clone(), part }))
    }
}

/// What is known of all stages checked so far. A stage with a problem of its own has no entry, and those that read it are
/// not checked further: one mistake, one message.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What `fetch` stages bring.
    pub files: BTreeMap<StageId, FilesFacts>,
    /// What stages that make data make.
    pub data: BTreeMap<StageId, DataFacts>,
    /// What stages that make parameters make.
    pub searches: BTreeMap<StageId, SearchFacts>,
    /// What stages that make models make.
    pub models: BTreeMap<StageId, ModelFacts>,
    /// What searches may find: combinations that can be trained, with the ends of all ranges among them.
    pub possible: BTreeMap<StageId, Vec<Parameters>>,
    /// The models in each export.
    pub exports: BTreeMap<StageId, Vec<StageId>>,
    /// What stages must look up in the content of images, because only that tells.
    pub foreign: BTreeMap<StageId, Vec<Foreign>>,
    /// The stages that judge models by images that were out of their folds.
    pub out_of_fold: BTreeMap<StageId, OutOfFold>,
    /// The files that the models of `score` stages were trained on.
    pub trained_on: BTreeMap<StageId, Vec<TrainedOn>>,
    /// Models whose answers to the test images that a report shows would be about images that they have used.
    pub not_shown: BTreeMap<StageId, BTreeSet<StageId>>,
}
