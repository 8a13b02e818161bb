//! What a training is asked for, and what it gives: [`TrainRequest`], [`Trained`], [`TrainError`].

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use super::batches::Augment;
use super::history::{EpochRecord, EpochTiming};
use super::{Precision, Teaching, TrainSettings};
use crate::data::LabelledImages;
use crate::nn::{Architecture, LayerError, WeightTensor, Weights};
use crate::progress::{Interrupted, Progress, Silent};
use crate::seed::Seed;
use crate::units::Epochs;

/// Hears the figures of an epoch and says whether to go on.
pub type OnEpoch<'a> = &'a mut dyn FnMut(&EpochRecord) -> ControlFlow<()>;

/// Everything that a training depends on.
pub struct TrainRequest<'a> {
    /// What is trained.
    pub architecture: &'a Architecture,
    /// How.
    pub settings: &'a TrainSettings,
    /// The images to learn from.
    pub train: &'a LabelledImages,
    /// The images to watch.
    pub validation: Option<&'a LabelledImages>,
    /// Changes images at random, each time they are learned from.
    pub augment: Option<&'a dyn Augment>,
    /// Origin of initial weights, order, augmentation and dropout.
    pub seed: Seed,
    /// What a teacher says of the images to learn from; without one, the labels alone are learned.
    pub teaching: Option<&'a Teaching>,
    /// Weights to start from: those whose name and shape fit are taken, the rest is initialised.
    pub initial: Option<&'a [WeightTensor]>,
    /// An earlier training whose course this one takes.
    pub course: Option<Course<'a>>,
    /// A folder for checkpoints that belongs to this training alone; without one there are none.
    pub scratch: Option<&'a Path>,
    /// Where it reports.
    pub progress: &'a dyn Progress,
    /// Called after every epoch, in order, also for those restored from a checkpoint; may stop the training.
    pub on_epoch: Option<OnEpoch<'a>>,
    /// The time; it only ever becomes part of [`Trained::timings`].
    pub clock: fn() -> Instant,
}

impl<'a> TrainRequest<'a> {
    /// A training without validation, augmentation, checkpoints or reports.
    pub fn new(architecture: &'a Architecture, settings: &'a TrainSettings, train: &'a LabelledImages, seed: Seed) -> Self {
        Self {
            architecture,
            settings,
            train,
            validation: None,
            augment: None,
            seed,
            teaching: None,
            initial: None,
            course: None,
            scratch: None,
            progress: &Silent,
            on_epoch: None,
            clock: Instant::now,
        }
    }
}

/// The course of an earlier training with the same settings: each epoch has the learning rates that it had then, and after some
/// epochs it ends.
#[derive(Clone, Copy, Debug)]
pub struct Course<'a> {
    /// After how many epochs it ends; at most as many as the settings have.
    pub epochs: Epochs,
    /// The figures of the earlier training's epochs, which decided when `reduce_on_plateau` lowered the learning rate.
    pub history: &'a [EpochRecord],
}

/// What a training makes.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model's weights.
    pub weights: Weights,
    /// Which they are.
    pub chosen: Chosen,
    /// The weights after the last step.
    pub last: Weights,
    /// The figures of every epoch.
    pub history: Vec<EpochRecord>,
    /// How long every epoch took; never the same twice.
    pub timings: Vec<EpochTiming>,
    /// The epoch that was best on validation data, from 1.
    pub best_epoch: Option<usize>,
    /// Why it ended.
    pub ending: Ending,
    /// Where it left the finite numbers, if that ended it.
    pub divergence: Option<Divergence>,
    /// What maps and their gradients were computed in.
    pub precision: Precision,
    /// Steps taken.
    pub steps: usize,
    /// Seconds of the whole training, interruptions not counted; never the same twice.
    pub seconds: f64,
    /// Images learned from in each second of learning; never the same twice.
    pub images_per_second: f64,
    /// What became of the weights it was given to start from.
    pub transfer: Option<Transfer>,
}

/// Which weights became the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// Those of the best epoch on validation data (averaged ones, if there is an average).
    Best,
    /// The average over the steps.
    Average,
    /// Those after the last step.
    Last,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All epochs are done.
    Completed,
    /// Nothing had improved for as long as patience lasts.
    EarlyStopping,
    /// It left the finite numbers, after an epoch that is kept.
    Diverged,
    /// Whoever asked for the training stopped it.
    Caller,
}

/// What became of weights that a training was given to start from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Transfer {
    /// Parameters that were taken over.
    pub taken: Vec<String>,
    /// Parameters that were initialised, because none of their name and shape was given.
    pub initialised: Vec<String>,
}

/// Why a training did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// It was asked to stop; the checkpoint, if there is a folder for it, stands at the current step.
    #[error("interrupted")]
    Interrupted(#[from] Interrupted),
    /// It left the finite numbers, and there is no epoch before that is to be kept. The last checkpoint is untouched.
    #[error("the training diverged: {0}; try a lower `learning_rate`, a longer `warm_up`, or `clip: {{ norm: 1.0 }}`")]
    Diverged(Divergence),
    /// Settings and data do not make a training.
    #[error("{0}")]
    Settings(String),
    /// A layer does not fit.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A file could not be read or written.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

// No `#[from]`: it would make the error its own source, and its text would be told twice.
impl From<anyhow::Error> for TrainError {
    fn from(error: anyhow::Error) -> Self {
        match error.chain().find_map(|cause| cause.downcast_ref::<Interrupted>()) {
            Some(interrupted) => Self::Interrupted(*interrupted),
            None => Self::Failed(error),
        }
    }
}

/// Where a training left the finite numbers.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Divergence {
    /// What is not finite.
    pub what: &'static str,
    /// The epoch, from 1.
    pub epoch: usize,
    /// The step in the epoch, from 1.
    pub step: usize,
    /// The learning rate of the step before.
    pub learning_rate: f64,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, epoch, step, learning_rate } = self;
        write!(f, "{what} is not a finite number in epoch {epoch}, step {step} (learning rate {learning_rate:e})")
    }
}
