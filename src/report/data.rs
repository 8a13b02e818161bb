//! What a report is made from: plain data, every part of it optional. An empty list or a `None` leaves its section out.
//!
//! Shares and probabilities are between 0 and 1; losses are in nats per image; a label is a class's position in
//! [`ReportData::classes`]. Numbers that are not finite are shown as a dash.

mod comparison;
mod measured;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::format;
use crate::data::{ImageShape, Label};

pub use super::picture::{Picture, PictureError};
pub use super::temperature::{CalibrationReport, TemperatureReport};
pub use comparison::{ComparisonReport, PairTest, RankedModel, RecipeReport, RobustnessPoint, RobustnessReport, SpreadReport};
pub use measured::MeasuredPart;

/// Everything a report can show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportData {
    /// The heading of the page; if empty, the pipeline's name stands in.
    pub title: String,
    /// The name of the pipeline.
    pub pipeline: String,
    /// The program and its version: `atelier 0.1.0`.
    pub generator: String,
    /// The name of each class; its position is the label.
    pub classes: Vec<String>,
    /// The data set.
    pub data: Option<DataReport>,
    /// One entry for each tuning stage.
    pub tuning: Vec<TuningReport>,
    /// One entry for each model, ensembles included, in the order in which they are shown.
    pub models: Vec<ModelReport>,
    /// How the models rank.
    pub comparison: Option<ComparisonReport>,
    /// Pairs of models whose mistakes are shown side by side.
    pub mistakes: Vec<MistakesReport>,
    /// Predictions on sample images, one entry for each model shown.
    pub predictions: Vec<PredictionsReport>,
    /// Whether the exported files do what the trained models do.
    pub verification: Option<VerificationReport>,
    /// One entry for each scoring stage.
    pub scoring: Vec<ScoringReport>,
    /// From what everything was made.
    pub provenance: Option<Provenance>,
}

/// A named value that is shown as it is: a setting, a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its value as text.
    pub value: String,
}

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// The data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataReport {
    /// Its name.
    pub name: String,
    /// Whether the images were drawn by the program. Raises the banner.
    pub synthetic: bool,
    /// The shape of every image.
    pub shape: ImageShape,
    /// The parts it is split into, in the order train, validation, test.
    pub parts: Vec<PartReport>,
    /// Sample images of each class.
    pub samples: Vec<ClassPictures>,
    /// The mean image of each class.
    pub means: Vec<ClassPicture>,
    /// Duplicate images, where they were counted.
    pub duplicates: Option<DuplicatesReport>,
    /// What augmentation does to the training images.
    pub augmentation: Option<AugmentationReport>,
}

/// One part of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartReport {
    /// `train`, `validation` or `test`.
    pub name: String,
    /// Images of each class, by label.
    pub class_counts: Vec<u64>,
    /// Mean of all pixel values, 0–255.
    pub pixel_mean: f64,
    /// Standard deviation of all pixel values, 0–255.
    pub pixel_deviation: f64,
    /// Share of pixels that are 0.
    pub zero_share: f64,
}

/// Pictures of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassPictures {
    /// The class.
    pub label: Label,
    /// The pictures.
    pub pictures: Vec<Picture>,
}

/// One picture of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassPicture {
    /// The class.
    pub label: Label,
    /// The picture.
    pub picture: Picture,
}

/// Counts of images that occur more than once, pixel for pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicatesReport {
    /// Training images that repeat an earlier one.
    pub train: u64,
    /// Training images that repeat an earlier one under another label.
    pub conflicting: u64,
    /// Test images that also are training images.
    pub overlap: u64,
}

/// What augmentation does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AugmentationReport {
    /// Its settings.
    pub settings: Vec<Fact>,
    /// Originals with what became of them.
    pub examples: Vec<AugmentedPicture>,
}

/// An image and variants of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AugmentedPicture {
    /// The image as it is in the data set.
    pub original: Picture,
    /// What augmentation made of it.
    pub variants: Vec<Picture>,
}

/// A search for good parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuningReport {
    /// The stage's name.
    pub stage: String,
    /// How trials are chosen: `tpe`, `random`.
    pub sampler: String,
    /// What is measured: `validation accuracy`.
    pub objective: String,
    /// Whether more is better.
    pub maximise: bool,
    /// All trials, in the order in which they ran.
    pub trials: Vec<TrialReport>,
    /// How much each parameter matters; empty if unknown.
    pub importance: Vec<Importance>,
    /// How the importance was computed, in a few words.
    pub importance_method: String,
}

/// One trial of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// Its number.
    pub number: u64,
    /// How it ended.
    pub status: TrialStatus,
    /// The objective's value; for a pruned trial the best that it had reached.
    pub value: Option<f64>,
    /// Epochs it trained for.
    pub epochs: u64,
    /// The value of each parameter by its path.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Why it could not be, where its parameters did not make a training.
    pub reason: Option<String>,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialStatus {
    /// It ran to its end.
    Complete,
    /// It was stopped early because it looked hopeless.
    Pruned,
    /// It gave no usable value: the loss was not finite, or its parameters did not make a training.
    Failed,
}

/// How much one parameter matters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The parameter's path.
    pub parameter: String,
    /// Its importance, 0 or above; comparable within one search.
    pub value: f64,
}

/// One model or ensemble.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Its name, which other parts refer to.
    pub name: String,
    /// What it is, in a few words: `advanced: 3 × (2 convolutions, batch norm), 32–64–128 filters`.
    pub description: String,
    /// The members that have a vote and their weights if it is an ensemble; empty otherwise.
    pub members: Vec<MemberWeight>,
    /// Views of an image over which it averages; 0 or 1 where it sees the image once, and for an ensemble.
    pub views: u64,
    /// The temperature of an ensemble's vote, where it has one.
    pub temperature: Option<TemperatureReport>,
    /// Trainable and running parameters; of an ensemble, those of the members that have a vote.
    pub parameters: u64,
    /// Floating-point operations for one image, likewise; a multiply-add counts as two.
    pub flops_per_image: u64,
    /// The model that it learned from, if it did not learn from labels alone.
    pub teacher: Option<TeacherReport>,
    /// How it was trained; `None` for an ensemble.
    pub training: Option<TrainingReport>,
    /// How well it does on the part `part`.
    pub test: Option<EvaluationReport>,
    /// On which part it was measured.
    pub part: MeasuredPart,
    /// The kernels of its first convolution.
    pub filters: Option<FiltersReport>,
}

/// The model that another learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherReport {
    /// Its name.
    pub model: String,
    /// Floating-point operations for one image.
    pub flops_per_image: u64,
    /// Its accuracy on the part on which the student was measured.
    pub accuracy: Option<f64>,
}

/// A member of an ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberWeight {
    /// The member's name.
    pub model: String,
    /// Its weight in the vote.
    pub weight: f64,
}

/// How a model was trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingReport {
    /// Images it was trained on.
    pub images: u64,
    /// What else is to be said of how it went: why it ended, which weights were kept.
    pub remarks: Vec<Fact>,
    /// Settings worth knowing: optimiser, schedule, batch size, regularisation.
    pub settings: Vec<Fact>,
    /// One entry for each epoch.
    pub epochs: Vec<EpochReport>,
    /// The epoch whose weights were kept, counted from 1.
    pub best_epoch: Option<u64>,
    /// Whether early stopping ended it.
    pub stopped_early: bool,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Training images per second.
    pub images_per_second: f64,
}

/// One epoch of training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Its number, counted from 1.
    pub epoch: u64,
    /// Mean training loss.
    pub loss: f64,
    /// Training accuracy.
    pub accuracy: f64,
    /// Loss on the validation part, if there is one.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation part, if there is one.
    pub validation_accuracy: Option<f64>,
    /// Learning rate at the end of the epoch.
    pub learning_rate: f64,
}

/// How well a model does on some images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// Share of correct predictions.
    pub accuracy: f64,
    /// The accuracy's 95 % interval.
    pub accuracy_interval: Option<Interval>,
    /// Mean cross entropy.
    pub loss: f64,
    /// Mean of the classes' F1 scores.
    pub macro_f1: f64,
    /// Expected calibration error.
    pub calibration_error: f64,
    /// Share of images whose true class is among the `k` most probable.
    pub top_k: Vec<TopK>,
    /// Counts of images: `confusion[true label][predicted label]`.
    pub confusion: Vec<Vec<u64>>,
    /// One entry for each class, by label.
    pub per_class: Vec<ClassScore>,
    /// The bins of the reliability diagram.
    pub reliability: Vec<ReliabilityBin>,
    /// The classification report as text; empty for none.
    pub classification_report: String,
}

/// A top-k accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopK {
    /// How many classes may be named.
    pub k: u64,
    /// Share of images whose true class is among them.
    pub accuracy: f64,
}

/// How well one class is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Of the images predicted to be of the class, the share that are.
    pub precision: f64,
    /// Of the images of the class, the share that are recognised.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Images of the class.
    pub support: u64,
}

/// One bin of a reliability diagram: the images whose confidence lies between `low` and `high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower bound of the confidence.
    pub low: f64,
    /// Upper bound of the confidence.
    pub high: f64,
    /// Images in the bin.
    pub count: u64,
    /// Mean confidence of these images; of no meaning if there are none.
    pub confidence: f64,
    /// Share of these images that are predicted correctly; of no meaning if there are none.
    pub accuracy: f64,
}

/// The kernels of a convolution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FiltersReport {
    /// The layer's name.
    pub layer: String,
    /// Input channels of each kernel.
    pub channels: usize,
    /// Rows of each kernel.
    pub height: usize,
    /// Columns of each kernel.
    pub width: usize,
    /// The weights, `[filters, channels, height, width]`.
    pub weights: Vec<f32>,
}

/// The mistakes of two models side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MistakesReport {
    /// What is compared: `Initial against tuned`.
    pub title: String,
    /// The first model's name.
    pub first: String,
    /// The second model's name.
    pub second: String,
    /// Images that only the second predicts correctly.
    pub corrected: u64,
    /// Images that only the first predicts correctly.
    pub introduced: u64,
    /// Images that both predict wrongly.
    pub shared: u64,
    /// Some of these images; which group one belongs to follows from its predictions.
    pub pictures: Vec<ComparedPicture>,
}

/// An image and what two models say it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedPicture {
    /// Its row in the test part, counted from 0.
    pub row: u64,
    /// The image.
    pub picture: Picture,
    /// Its true class.
    pub truth: Label,
    /// What the first model says.
    pub first: Prediction,
    /// What the second model says.
    pub second: Prediction,
}

/// A predicted class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The class.
    pub label: Label,
    /// Its probability.
    pub confidence: f32,
}

/// Predictions of one model on sample images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PredictionsReport {
    /// The model's name.
    pub model: String,
    /// The images.
    pub pictures: Vec<PredictedPicture>,
}

/// An image and the probability of every class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictedPicture {
    /// Its row in the part it comes from, counted from 0.
    pub row: u64,
    /// The image.
    pub picture: Picture,
    /// Its true class, if known.
    pub truth: Option<Label>,
    /// The probability of each class, by label.
    pub probabilities: Vec<f32>,
}

/// Whether the exported files do what the trained models do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerificationReport {
    /// The largest difference of probabilities that passes.
    pub tolerance: f64,
    /// One entry for each exported model.
    pub models: Vec<VerifiedModel>,
    /// Conditions that metrics had to meet.
    pub gates: Vec<Gate>,
}

/// An exported model against the trained one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifiedModel {
    /// The model's name.
    pub model: String,
    /// The exported file, as published.
    pub file: String,
    /// Images that were compared.
    pub rows: u64,
    /// Largest absolute difference of a probability.
    pub largest_difference: f64,
    /// The row where it occurs, counted from 0.
    pub worst_row: u64,
    /// Share of images with the same predicted label.
    pub label_agreement: f64,
    /// The batch sizes that were tried.
    pub batch_sizes: Vec<u64>,
    /// What is wrong; empty if it passed.
    pub problems: Vec<String>,
}

/// A condition that a metric had to meet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// The model's name.
    pub model: String,
    /// The metric's name.
    pub metric: String,
    /// What was asked: `≥ 0.94`.
    pub required: String,
    /// What was measured.
    pub measured: f64,
    /// Whether it was met.
    pub passed: bool,
}

/// A file of predictions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoringReport {
    /// The stage's name.
    pub stage: String,
    /// The model's name.
    pub model: String,
    /// The scored files.
    pub inputs: Vec<String>,
    /// The file of predictions.
    pub output: String,
    /// Scored rows.
    pub rows: u64,
    /// Accuracy, if the input had labels.
    pub accuracy: Option<f64>,
    /// Predictions of each class, by label; empty if unknown.
    pub label_counts: Vec<u64>,
    /// The output's digest.
    pub digest: String,
}

/// From what everything was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The seed of the pipeline, if it is known.
    pub seed: Option<u64>,
    /// The digest of the data set; empty if unknown.
    pub dataset_digest: String,
    /// Versions and other facts of the build.
    pub facts: Vec<Fact>,
    /// The stages in the order in which they ran.
    pub stages: Vec<StageRecord>,
}

/// A stage that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The stages whose outputs it reads.
    pub inputs: Vec<String>,
    /// Its key.
    pub key: String,
    /// The digest of what it made; empty if unknown.
    pub output: String,
}

impl ReportData {
    /// The name of a class, its beginning where it is long; one that has no name is called by its number.
    pub(super) fn class_name(&self, label: usize) -> Cow<'_, str> {
        const LONGEST: usize = 60;
        match self.classes.get(label) {
            Some(name) if name.chars().count() > LONGEST => Cow::Owned(format::shortened(name, LONGEST)),
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("class {label}")),
        }
    }

    /// The place of a model, which gives it the same colour in every chart.
    pub(super) fn model_slot(&self, name: &str) -> usize {
        self.models.iter().position(|model| model.name == name).unwrap_or(self.models.len())
    }
}
