//! `train`: one network, trained on the training part, watched on the validation part, measured once on the test part.
//!
//! With `refit`, it is trained a second time from the start, on both parts together and for as many epochs as the first
//! training found best; the figures on the validation part are those of the first training, which had not seen it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::evaluation_files;
use super::learning::{self, Given, Learned, Learner};
use super::model::Part;
use crate::data::DataSet;
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::StageId;
use crate::nn::Weights;
use crate::train::{TrainOptions, TrainSettings, Trained};
use crate::units::Epochs;

pub(super) struct TrainStage(pub TrainOptions);

impl Stage for TrainStage {
    fn kind(&self) -> &'static str {
        "train"
    }

    fn version(&self) -> u32 {
        3
    }

    fn parameters(&self) -> Value {
        learning::parameters(&self.0)
    }

    fn inputs(&self) -> Vec<StageId> {
        let others = self.0.params.iter().map(|params| params.stage()).chain(self.0.start_from.iter().map(|model| model.stage()));
        super::unique([self.0.data.stage()].into_iter().chain(others))
    }

    fn is_seeded(&self) -> bool {
        true
    }

    fn measurements(&self) -> Vec<PathBuf> {
        evaluation_files::measurements()
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let data = DataSet::load(context.input(self.0.data.stage())?)?;
        let options = match &self.0.params {
            None => self.0.clone(),
            Some(params) => {
                let best: BTreeMap<String, Value> = fs::read_json(&context.input(params.stage())?.join("parameters.json"))?;
                let shown: Vec<String> = best.iter().map(|(path, value)| format!("{path} = {value}")).collect();
                context.progress.note(&format!("tuned: {}", shown.join(", ")));
                self.0.with_parameters(&best).context("the tuned parameters do not fit this stage")?
            }
        };
        let settings = options.settings();
        let learner = Learner::new(&options.model, options.views, &data, context)?;
        let start = learning::start(options.start_from.as_ref(), context)?;
        let given = Given { initial: start.as_ref().map(Weights::tensors), ..Given::default() };
        let first = learner.train("first", &settings, &data.train, data.validation.as_ref(), given)?;
        let validation = learner.measure(&first.weights, Part::Validation)?;
        let mut images = data.train.len();
        let trained = match &data.validation {
            Some(part) if options.refit => {
                let both = data.train.concat(part)?;
                images = both.len();
                let settings =
                    TrainSettings { epochs: refit_epochs(&settings, &first), early_stopping: None, ..settings.clone() };
                context.progress.note(&format!("again on {images} images, {} epochs", settings.epochs));
                learner.train("refit", &settings, &both, None, given)?
            }
            _ => first,
        };
        fs::write_json(&context.out.join("options.json"), &options)?;
        Ok(learner.finish(Learned { trained: &trained, settings: &settings, images, validation, teacher: None })?)
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
