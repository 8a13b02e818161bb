//! `train`: one network, trained on the training part, watched on the validation part, measured once on the test part.
//!
//! With `refit`, it is trained a second time from the start, on both parts together and for as many epochs as the first
//! training found best; the figures on the validation part are those of the first training, which had not seen it. The second takes
//! the course of the first: epoch for epoch the same learning rates (warm-up, schedule and plateaus), and then it ends. What was found to be
//! best is a network after so many epochs *of that schedule*; one squeezed into fewer epochs would be another recipe, which nothing
//! has measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::evaluation_files::{self, First};
use super::foreign::{self, Foreign};
use super::learning::{self, Given, Learned, Learner};
use super::model::Part;
use crate::data::{DataSet, LabelledImages};
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::StageId;
use crate::nn::Weights;
use crate::train::{Course, OnDivergence, Precision, TrainError, TrainOptions, TrainSettings, Trained};
use crate::units::Epochs;

pub(super) struct TrainStage {
    /// With the precision of this machine.
    pub options: TrainOptions,
    /// The precision that was asked for.
    pub asked: Precision,
    /// Images that the model it starts from has used, which those that this one is judged by must not be.
    pub foreign: Vec<Foreign>,
}

impl Stage for TrainStage {
    fn kind(&self) -> &'static str {
        "train"
    }

    fn version(&self) -> u32 {
        if self.options.refit { 5 } else { 4 }
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
        if options.precision == self.options.precision {
            self.asked.tell(context.progress);
        }
        let settings = options.settings();
        let learner = Learner::new(&options.model, options.views, &data, context)?;
        let start = learning::start(options.start_from.as_ref(), context)?;
        let given = Given { initial: start.as_ref().map(Weights::tensors), ..Given::default() };
        let first =
            learner.train("first", &settings, &data.train, data.validation.as_ref(), given).map_err(anyhow::Error::from)?;
        let validation = learner.measure(&first.weights, Part::Validation)?;
        fs::write_json(&context.out.join("options.json"), &options)?;
        let mut learned = Learned {
            trained: &first,
            first: None,
            lost_refit: None,
            settings: &settings,
            images: data.train.len(),
            validation,
            teacher: None,
        };
        let Some(part) = data.validation.as_ref().filter(|_| options.refit) else { return Ok(learner.finish(learned)?) };
        match refit(&learner, &settings, &first, &data.train.concat(part)?, given, context) {
            Ok(second) => {
                learned.first = Some(First { trained: &first, images: learned.images });
                (learned.trained, learned.images) = (&second, data.train.len() + part.len());
                Ok(learner.finish(learned)?)
            }
            Err(TrainError::Diverged(divergence)) if keeps_first(&settings) => {
                context.progress.warn(&format!(
                    "the second training, on both parts, diverged: {divergence}; the model of the first is kept, which has learned from \
                     the training part alone"
                ));
                learned.lost_refit = Some(&divergence);
                Ok(learner.finish(learned)?)
            }
            Err(error @ TrainError::Diverged(_)) => {
                Err(anyhow::Error::from(error).context("the second training, on both parts").into())
            }
            Err(error) => Err(anyhow::Error::from(error).into()),
        }
    }

    fn publish(&self, id: &StageId, out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        Ok(learning::publish(id, out))
    }
}

/// The training on both parts, in the course of the `first`.
fn refit(
    learner: &Learner<'_>,
    settings: &TrainSettings,
    first: &Trained,
    images: &LabelledImages,
    given: Given<'_>,
    context: &Context<'_>,
) -> Result<Trained, TrainError> {
    let epochs = refit_epochs(settings, first);
    let course = Course { epochs, history: &first.history };
    // There is nothing left to watch.
    let settings = TrainSettings { early_stopping: None, ..settings.clone() };
    let how = match epochs == settings.epochs {
        true => format!(", {epochs} epochs"),
        false => format!(": the first {epochs} of {} epochs, at the learning rates they had", settings.epochs),
    };
    context.progress.note(&format!("again on {} images{how}", images.len()));
    learner.train("refit", &settings, images, None, Given { course: Some(course), ..given })
}

/// As many epochs as were best when there was something to watch.
fn refit_epochs(settings: &TrainSettings, first: &Trained) -> Epochs {
    let best = first.best_epoch.filter(|_| settings.early_stopping.is_some());
    best.and_then(|epoch| Epochs::new(epoch as u64).ok()).unwrap_or(settings.epochs)
}

/// Whether a model that is there is rather kept than lost to a divergence.
fn keeps_first(settings: &TrainSettings) -> bool {
    let options = settings.early_stopping.as_ref();
    options.is_some_and(|options| options.restore_best && options.on_divergence == OnDivergence::Keep)
}
