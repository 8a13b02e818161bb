//! The files about a model that people and other programs read: `metrics.json`, `history.csv`, the confusion matrix, the
//! classification report, the model card.
//!
//! Those that tell how long the training took are [`measurements`]: no part of the output's digest.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use super::cards;
use super::model::{Member, Model, ModelRecord};
use crate::data::DataSet;
use crate::fs;
use crate::graph::StageId;
use crate::metrics::Calibration;
use crate::nn::Views;
use crate::nn::accelerated::instructions;
use crate::train::{Divergence, Ending, TrainSettings, Trained, history_csv};

/// The files that people look for, by name.
pub(super) const NAMES: [&str; 5] =
    ["metrics.json", "history.csv", "confusion_matrix.csv", "classification_report.txt", "MODEL_CARD.md"];

/// What a training leaves beside its weights.
pub(super) struct TrainingFiles<'a> {
    /// The result.
    pub trained: &'a Trained,
    /// The settings in force, tuned ones included.
    pub settings: &'a TrainSettings,
    /// The views over which the model averages.
    pub views: Views,
    /// The training before it, if this is a refit.
    pub first: Option<&'a First<'a>>,
    /// Where a refit left the finite numbers, so that `trained` is the training before it.
    pub lost_refit: Option<&'a Divergence>,
}

/// The training on the training part alone that came before a refit.
pub(super) struct First<'a> {
    /// The result.
    pub trained: &'a Trained,
    /// Images that it was trained on.
    pub images: usize,
}

/// Writes all files about a model into `out`, where its networks and predictions lie already. A vote has no `training`,
/// but `members`. `data` is what it was trained or fitted on.
pub(super) fn write(
    out: &Path,
    record: &ModelRecord,
    data: &DataSet,
    training: Option<&TrainingFiles<'_>>,
    members: &[Model],
) -> Result<()> {
    fs::write_json(&out.join("model.json"), record)?;
    let train = match training {
        Some(files) => {
            let trained = files.trained;
            fs::write(&out.join("history.csv"), history_csv(&trained.history, Some(&trained.timings)))?;
            fs::write_json(&out.join("history.json"), &trained.history)?;
            let mut json = went(trained, record.images);
            json["precision"] = json!(trained.precision);
            json["instructions"] = instructions(trained.precision.is_half()).into();
            json["seconds"] = rounded(trained.seconds + files.first.map_or(0.0, |first| first.trained.seconds)).into();
            json["images_per_second"] = rounded(trained.images_per_second).into();
            json["settings"] = json!(files.settings);
            if let Some(first) = files.first {
                json["first"] = went(first.trained, first.images);
            }
            if let Some(divergence) = files.lost_refit {
                json["lost_refit"] = json!(divergence);
            }
            json
        }
        None => together(&record.members, members)?,
    };
    let mut metrics = json!({
        "model": record.name,
        "preset": record.preset,
        "seed": record.seed,
        "dataset": {
            "name": record.data.name,
            "synthetic": record.data.synthetic,
            "digest": record.dataset,
            "shape": record.data.shape,
            "classes": record.data.classes,
        },
        "parameters": record.parameters,
        "flops_per_image": record.flops_per_image,
        "train": train,
        "validation": record.validation.as_ref().map(figures),
        "test": record.test.as_ref().map(figures),
    });
    if let Some(files) = training.filter(|files| !files.views.is_single()) {
        metrics["views"] = json!({ "flip": files.views.flip, "shift": files.views.shift, "count": files.views.count() });
    }
    if !record.voting.is_empty() {
        metrics["ensemble"] = json!({ "voting": "soft", "weights": record.voting, "members": record.members });
        if let Some(temperature) = &record.temperature {
            let before = |part: &Option<Calibration>| part.as_ref().map(figures);
            metrics["ensemble"]["temperature"] = json!({
                "value": temperature.value,
                "from": if temperature.fitted { "validation" } else { "given" },
                "before": { "validation": before(&temperature.validation_before), "test": before(&temperature.test_before) },
            });
        }
    }
    if let (Some(folds), Some(validation)) = (record.out_of_fold, &record.validation) {
        metrics["out_of_fold"] = json!({ "folds": folds, "images": validation.images });
    }
    if let Some(teacher) = &record.teacher {
        metrics["teacher"] = json!(teacher);
    }
    fs::write_json(&out.join("metrics.json"), &metrics)?;

    if let Some(test) = record.test.as_ref().or(record.validation.as_ref()) {
        fs::write(&out.join("confusion_matrix.csv"), test.confusion_csv()?)?;
        fs::write(&out.join("classification_report.txt"), test.classification_report()?.to_string())?;
    }
    fs::write(&out.join("MODEL_CARD.md"), cards::model_card(out, data)?)
}

/// The files that tell how long the training took.
pub(super) fn measurements() -> Vec<PathBuf> {
    ["metrics.json", "history.csv", "MODEL_CARD.md"].map(PathBuf::from).to_vec()
}

/// Where the files go below the artifacts folder.
pub(super) fn publish(id: &StageId, out: &Path) -> Vec<(PathBuf, PathBuf)> {
    NAMES
        .into_iter()
        .filter(|name| fs::stamp(&out.join(name)).is_some())
        .map(|name| (PathBuf::from(name), Path::new(id.as_str()).join(name)))
        .collect()
}

/// The figures of `metrics.json` for one part.
fn figures(evaluation: &impl Serialize) -> Value {
    let mut json = serde_json::to_value(evaluation).expect("an evaluation is plain data");
    if let Some(fields) = json.as_object_mut() {
        // Both stand in files of their own.
        fields.remove("confusion");
        fields.remove("reliability");
    }
    json
}

/// How a training on `images` images went, the figures of its epochs left out.
fn went(trained: &Trained, images: usize) -> Value {
    let mut json = json!({
        "images": images,
        "epochs": trained.history.len(),
        "best_epoch": trained.best_epoch,
        "stopped_early": trained.ending == Ending::EarlyStopping,
        "chosen": trained.chosen,
    });
    if let Some(divergence) = &trained.divergence {
        json["diverged"] = json!(divergence);
    }
    json
}

/// What the training of all members that have a vote took together.
fn together(votes: &[Member], members: &[Model]) -> Result<Value> {
    let (mut epochs, mut seconds, mut images) = (0, 0.0, 0.0);
    let has_vote =
        |model: &&Model| model.members.iter().any(|own| votes.iter().any(|vote| vote.name == own.name && vote.has_vote()));
    for member in members.iter().filter(has_vote) {
        let metrics: Value = member.measured("metrics.json")?;
        let train = &metrics["train"];
        epochs += train["epochs"].as_u64().unwrap_or(0);
        let spent = train["seconds"].as_f64().unwrap_or(0.0);
        seconds += spent;
        images += spent * train["images_per_second"].as_f64().unwrap_or(0.0);
    }
    let speed = if seconds > 0.0 { images / seconds } else { 0.0 };
    Ok(json!({ "epochs": epochs, "seconds": rounded(seconds), "images_per_second": rounded(speed) }))
}

/// Three digits after the point: more would be noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
