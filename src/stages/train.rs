//! `train`: one network, trained on the training part, watched on the validation part, measured once on the test part.
//!
//! With `refit`, it is trained a second time from the start, on both parts together and for as many epochs as the first
//! training found best; the figures on the validation part are those of the first training, which had not seen it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::evaluation_files;
use super::foreign::{self, Foreign};
use super::learning::{self, Given, Learned, Learner};
use super::model::Part;
use crate::data::DataSet;
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::StageId;
use crate::nn::Weights;
use crate::train::{TrainOptions, TrainSettings, Trained};
use crate::units::Epochs;

pub(super) struct TrainStage {
    pub options: TrainOptions,
    /// Images that the model it starts from has used, which those that this one is judged by must not be.
    pub foreign: Vec<Foreign>,
}

impl Stage for TrainStage {
    fn kind(&self) -> &'static str {
        "train"
    }

    fn version(&self) -> u32 {
        if self.options.refit { 4 } else { 3 }
    }

    fn parameters(&self) -> Value {
        learning::parameters(&self.options)
    }

    fn inputs(&self) -> Vec<StageId> {
        let others = self
            .options
            .params
            .iter()
            .map(|params| params.stage())
            .chain(self.options.start_from.iter().map(|model| model.stage()));
        super::unique([self.options.data.stage()].into_iter().chain(others).chain(foreign::inputs(&self.foreign)))
    }

    fn is_seeded(&self) -> bool {
        true
    }

    fn measurements(&self) -> Vec<PathBuf> {
        evaluation_files::measurements()
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        foreign::check(&self.foreign, context)?;
        let data = DataSet::load(context.input(self.options.data.stage())?)?;
        let options = match &self.options.params {
            None => self.options.clone(),
            Some(params) => {
                let best: BTreeMap<String, Value> = fs::read_json(&context.input(params.stage())?.join("parameters.json"))?;
                let shown: Vec<String> = best.iter().map(|(path, value)| format!("{path} = {value}")).collect();
                context.progress.note(&format!("tuned: {}", shown.join(", ")));
                self.options.with_parameters(&best).context("the tuned parameters do not fit this stage")?
            }
        };
        let settings = options.settings();
        let learner = Learner::new(&options.model, options.views, &data, context)?;
        let start = learning::start(options.start_from.as_ref(), context)?;
        let given = Given { initial: start.as_ref().map(Weights::tensors), ..Given::default() };
        let first = learner.train("first", &settings, &data.train, data.validation.as_ref(), given)?;
        let validation = learner.measure(&first.weights, Part::Validation)?;
        let mut images = data.train.len();
        let again = match &data.validation {
            Some(part) if options.refit => {
                let both = data.train.concat(part)?;
                images = both.len();
                let settings =
                    TrainSettings { epochs: refit_epochs(&settings, &first), early_stopping: None, ..settings.clone() };
                context.progress.note(&format!("again on {images} images, {} epochs", settings.epochs));
                Some(learner.train("refit", &settings, &both, None, given)?)
            }
            _ => None,
        };
        // What it is judged by on the validation part, now and later, is the network that has not seen that part.
        let (trained, before_refit) = match &again {
            Some(again) => (again, Some(&first.weights)),
            None => (&first, None),
        };
        fs::write_json(&context.out.join("options.json"), &options)?;
        Ok(learner.finish(Learned { trained, before_refit, settings: &settings, images, validation, teacher: None })?)
    }

    fn publish(&self, id: &StageId, out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        Ok(learning::publish(id, out))
    }
}

/// As many epochs as were best when there was something to watch.
fn refit_epochs(settings: &TrainSettings, first: &Trained) -> Epochs {
    let best = first.best_epoch.filter(|_| settings.early_stopping.is_some());
    best.and_then(|epoch| Epochs::new(epoch as u64).ok()).unwrap_or(settings.epochs)
}
