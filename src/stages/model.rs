//! A model on disk: the folder that `train` and `ensemble` make and that `compare`, `ensemble`, `export` and `verify` read.
//!
//! | file | holds |
//! |---|---|
//! | `model.json` | the [`ModelRecord`]: what the model is and how well it does |
//! | `members/<name>/architecture.json`, `members/<name>/weights.safetensors` | each network; a single model has itself as its only member |
//! | `members/<name>/before_refit.safetensors` | its weights from before a `refit`, which have not seen the validation part |
//! | `validation.safetensors`, `test.safetensors` | its predictions on those parts |
//! | `metrics.json`, `history.json` | how the training went: seconds, images per second, figures by epoch |

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::predictions;
use crate::data::{DataInfo, LabelledImages};
use crate::digest::Digest;
use crate::ensemble::{VoteWeights, check_class_lists, temper, vote};
use crate::fs;
use crate::graph::StageId;
use crate::metrics::{Calibration, Evaluation, Probabilities, evaluate};
use crate::nn::{Architecture, Weights, predict};
use crate::progress::Progress;
use crate::seed::Seed;
use crate::units::Temperature;

/// What a model is and how well it does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ModelRecord {
    /// The stage that made it.
    pub name: StageId,
    /// The key of that stage's run.
    pub key: Digest,
    /// From which random numbers it was made.
    pub seed: RecordedSeed,
    /// The preset, or `layers`, or `ensemble`.
    pub preset: String,
    /// The data it was trained on.
    pub data: DataInfo,
    /// The digest of the training part.
    pub dataset: Digest,
    /// Images it was trained on.
    pub images: usize,
    /// Its networks and their weights in the vote, in the order of their subfolders; a single model has one.
    pub members: Vec<Member>,
    /// How the vote's weights came about; empty for a single model.
    pub voting: String,
    /// What was done to the vote's probabilities; `None` for a single model and for a vote that is left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<VoteTemperature>,
    /// Trainable and running parameters of all members that have a vote: the numbers in the exported file.
    pub parameters: usize,
    /// Arithmetic of one image through all members that have a vote, in all their views.
    pub flops_per_image: u64,
    /// Figures on the validation part, of a model that has not seen it.
    pub validation: Option<Evaluation>,
    /// Figures on the test part, taken once, when everything was chosen.
    pub test: Option<Evaluation>,
    /// The model that it learned from, if it did not learn from labels alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<Taught>,
    /// Of a vote over folds, how many there are: its figures for validation are of the images that were out of its members' folds, each
    /// judged by the members that were not trained on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_fold: Option<usize>,
}

/// From which random numbers a model was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordedSeed {
    /// The seed of the pipeline.
    pub pipeline: Seed,
    /// That of its stage, which derives from it; none for a vote, which draws no random numbers itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Seed>,
}

/// What is to be said of a model's teacher beside the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Taught {
    /// Its name.
    pub name: StageId,
    /// Trainable and running parameters.
    pub parameters: usize,
    /// Arithmetic of one image.
    pub flops_per_image: u64,
    /// Its accuracy on the validation part.
    pub validation_accuracy: Option<f64>,
    /// Its accuracy on the test part.
    pub test_accuracy: Option<f64>,
}

impl Taught {
    /// By the model `teacher`.
    pub(super) fn by(teacher: &ModelRecord) -> Self {
        Self {
            name: teacher.name.clone(),
            parameters: teacher.parameters,
            flops_per_image: teacher.flops_per_image,
            validation_accuracy: teacher.validation.as_ref().map(|part| part.accuracy),
            test_accuracy: teacher.test.as_ref().map(|part| part.accuracy),
        }
    }
}

/// The temperature of a vote, and how well the vote was calibrated without it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct VoteTemperature {
    /// The temperature.
    pub value: Temperature,
    /// Whether it was fitted on the validation part; else it was given.
    pub fitted: bool,
    /// The vote as it is, on the validation part.
    pub validation_before: Option<Calibration>,
    /// The vote as it is, on the test part.
    pub test_before: Option<Calibration>,
}

/// A network in a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    /// Its name: that of the stage that trained it.
    pub name: StageId,
    /// Its weight in the vote.
    pub weight: f64,
}

impl Member {
    /// Whether it has a vote: one of weight 0 is left out of the exported file, which holds weights in float32.
    pub(super) fn has_vote(&self) -> bool {
        self.weight as f32 > 0.0
    }
}

/// One network, ready to be used.
#[derive(Clone, Debug)]
pub(super) struct MemberNetwork {
    /// Its name.
    pub name: StageId,
    /// Its weight in the vote.
    pub weight: f64,
    /// Its layers.
    pub architecture: Architecture,
    /// Its parameters.
    pub weights: Weights,
    /// Those that it had before it was trained on the validation part too, if it was.
    pub before_refit: Option<Weights>,
}

/// A model read back from its folder.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// What it is.
    pub record: ModelRecord,
    /// Its networks.
    pub members: Vec<MemberNetwork>,
    dir: PathBuf,
}

/// The parts that a model has predictions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Held out for choosing.
    Validation,
    /// Held out for the last word.
    Test,
}

impl Part {
    fn file(self) -> &'static str {
        match self {
            Self::Validation => "validation.safetensors",
            Self::Test => "test.safetensors",
        }
    }
}

impl Model {
    /// Reads the folder of a model.
    pub(super) fn load(dir: &Path) -> Result<Self> {
        let record: ModelRecord = fs::read_json(&dir.join("model.json"))?;
        let members = record
            .members
            .iter()
            .map(|member| {
                let folder = member_folder(dir, &member.name);
                let architecture: Architecture = fs::read_json(&folder.join("architecture.json"))?;
                let weights = Weights::load(&folder.join("weights.safetensors"), &architecture)?;
                let before = folder.join(BEFORE_REFIT);
                let before_refit = fs::stamp(&before).map(|_| Weights::load(&before, &architecture)).transpose()?;
                Ok(MemberNetwork { name: member.name.clone(), weight: member.weight, architecture, weights, before_refit })
            })
            .collect::<Result<_>>()?;
        Ok(Self { record, members, dir: dir.to_owned() })
    }

    /// Whether it is a vote of several networks.
    pub(super) fn is_ensemble(&self) -> bool {
        !self.record.voting.is_empty()
    }

    /// Reads a file that tells how the training went.
    pub(super) fn measured<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        fs::read_json(&self.dir.join(name))
    }

    /// The class probabilities that it gave for `part` when it was made, if that part is `images`; else computes them.
    pub(super) fn predictions(&self, part: Part, images: &LabelledImages, progress: &dyn Progress) -> Result<Probabilities> {
        match self.stored(part, images)? {
            Some(stored) => Ok(stored),
            None => self.predict(part, images, progress),
        }
    }

    /// The class probabilities that it gave for `part` when it was made, if that part is `images`.
    pub(super) fn stored(&self, part: Part, images: &LabelledImages) -> Result<Option<Probabilities>> {
        predictions::load(&self.dir.join(part.file()), predictions::part_digest(images))
    }

    /// Computes class probabilities with Burn; for images of a validation part by networks that have not seen that part.
    pub(super) fn predict(&self, part: Part, images: &LabelledImages, progress: &dyn Progress) -> Result<Probabilities> {
        self.predict_by_members(part, &(0..self.members.len()).collect::<Vec<_>>(), images, progress)
    }

    /// As [`Model::predict`] for a validation part, by some of its networks alone.
    pub(super) fn predict_by(
        &self,
        members: &[usize],
        images: &LabelledImages,
        progress: &dyn Progress,
    ) -> Result<Probabilities> {
        self.predict_by_members(Part::Validation, members, images, progress)
    }

    fn predict_by_members(
        &self,
        part: Part,
        members: &[usize],
        images: &LabelledImages,
        progress: &dyn Progress,
    ) -> Result<Probabilities> {
        let members: Vec<&MemberNetwork> = members.iter().map(|&member| &self.members[member]).collect();
        let predict = |member: &&MemberNetwork| {
            let weights = member.before_refit.as_ref().filter(|_| part == Part::Validation).unwrap_or(&member.weights);
            Ok(predict(&member.architecture, weights, images, progress)?)
        };
        let each = members.iter().map(predict).collect::<Result<Vec<_>>>()?;
        if !self.is_ensemble() {
            return Ok(each.into_iter().next().expect("a model has a member"));
        }
        let views: Vec<ArrayView2<'_, f32>> = each.iter().map(|member| member.view()).collect();
        let weights = VoteWeights::new(members.iter().map(|member| member.weight).collect())?;
        Ok(temper(vote(&views, &weights)?.view(), self.temperature()))
    }

    /// The vote of its members' probabilities, at its temperature.
    pub(super) fn vote(&self, members: &[ArrayView2<'_, f32>]) -> Result<Probabilities> {
        Ok(temper(vote(members, &self.vote_weights()?)?.view(), self.temperature()))
    }

    /// The temperature of the vote.
    pub(super) fn temperature(&self) -> Temperature {
        self.record.temperature.as_ref().map_or(Temperature::ONE, |temperature| temperature.value)
    }

    /// The weights of the vote.
    pub(super) fn vote_weights(&self) -> Result<VoteWeights> {
        Ok(VoteWeights::new(self.members.iter().map(|member| member.weight).collect())?)
    }
}

/// The weights of a network from before its refit.
const BEFORE_REFIT: &str = "before_refit.safetensors";

/// Where a network of the model in `dir` lies.
pub(super) fn member_folder(dir: &Path, name: &StageId) -> PathBuf {
    dir.join("members").join(name.as_str())
}

/// Writes one network of a model, with the weights that it had before a `refit`.
pub(super) fn save_member(
    dir: &Path,
    name: &StageId,
    architecture: &Architecture,
    weights: &Weights,
    before_refit: Option<&Weights>,
) -> Result<()> {
    let folder = member_folder(dir, name);
    fs::create_dir(&folder)?;
    fs::write_json(&folder.join("architecture.json"), architecture)?;
    weights.save(&folder.join("weights.safetensors"))?;
    before_refit.map_or(Ok(()), |before| before.save(&folder.join(BEFORE_REFIT)))
}

/// Evaluates predictions for one part and keeps them.
pub(super) fn evaluate_part(
    dir: &Path,
    part: Part,
    images: &LabelledImages,
    probabilities: &Probabilities,
    classes: &[String],
) -> Result<Evaluation> {
    predictions::save(&dir.join(part.file()), probabilities, predictions::part_digest(images))?;
    evaluate(images.labels(), probabilities.view(), classes).context("the model's predictions cannot be evaluated")
}

/// Checks that a model tells the classes of some data.
pub(super) fn ensure_classes(model: &Model, classes: &[String]) -> Result<()> {
    let lists = [(model.record.name.as_str(), model.record.data.classes.as_slice()), ("the data", classes)];
    Ok(check_class_lists(&lists)?)
}

/// Checks that models say the same of the same classes.
pub(super) fn ensure_same_classes(models: &[Model]) -> Result<()> {
    let lists: Vec<(&str, &[String])> =
        models.iter().map(|model| (model.record.name.as_str(), model.record.data.classes.as_slice())).collect();
    Ok(check_class_lists(&lists)?)
}
