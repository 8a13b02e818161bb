//! Models for the page: size, training, figures, first filters.

use anyhow::Result;
use serde_json::Value;

use crate::nn::Layer;
use crate::report::{
    CalibrationReport, EpochReport, EvaluationReport, Fact, FiltersReport, MeasuredPart, MemberWeight, ModelReport,
    TeacherReport, TemperatureReport, TrainingReport,
};
use crate::stages::model::{Member, Model, ModelRecord, VoteTemperature};
use crate::train::EpochRecord;

/// Everything the page says about one model.
pub(in crate::stages) fn describe(model: &Model) -> Result<ModelReport> {
    let record = &model.record;
    let members = match model.is_ensemble() {
        true => {
            let weight = |member: &Member| MemberWeight { model: member.name.to_string(), weight: member.weight };
            record.members.iter().filter(|member| member.has_vote()).map(weight).collect()
        }
        false => Vec::new(),
    };
    Ok(ModelReport {
        name: record.name.to_string(),
        description: description(model),
        members,
        views: if model.is_ensemble() { 1 } else { model.members[0].architecture.views.count() as u64 },
        temperature: record.temperature.as_ref().map(|vote| temperature(record, vote)),
        parameters: record.parameters as u64,
        flops_per_image: record.flops_per_image,
        teacher: record.teacher.as_ref().map(|teacher| TeacherReport {
            model: teacher.name.to_string(),
            flops_per_image: teacher.flops_per_image,
            accuracy: if record.test.is_some() { teacher.test_accuracy } else { teacher.validation_accuracy },
        }),
        training: if model.is_ensemble() { None } else { Some(training(model)?) },
        test: record.test.as_ref().or(record.validation.as_ref()).map(EvaluationReport::try_from).transpose()?,
        part: if record.test.is_some() { MeasuredPart::Test } else { MeasuredPart::Validation },
        filters: if model.is_ensemble() { None } else { filters(model) },
    })
}

fn temperature(record: &ModelRecord, vote: &VoteTemperature) -> TemperatureReport {
    let (before, after) = match &record.test {
        Some(test) => (&vote.test_before, Some(test)),
        None => (&vote.validation_before, record.validation.as_ref()),
    };
    TemperatureReport {
        value: vote.value.get(),
        fitted: vote.fitted,
        before: before.as_ref().map(CalibrationReport::from),
        after: after.map(CalibrationReport::from),
    }
}

fn description(model: &Model) -> String {
    if model.is_ensemble() {
        let weights = match model.record.voting.as_str() {
            "validation" if model.record.out_of_fold.is_some() => "weights fitted on images out of their folds",
            "validation" => "weights fitted on validation data",
            "equal" => "equal weights",
            _ => "given weights",
        };
        let (voters, others): (Vec<&Member>, Vec<&Member>) = model.record.members.iter().partition(|member| member.has_vote());
        let others: Vec<&str> = others.iter().map(|member| member.name.as_str()).collect();
        let without = match others.as_slice() {
            [] => String::new(),
            others => format!("; {} left out, with a weight of 0", others.join(", ")),
        };
        return format!("soft vote of {}, {weights}{without}", voters.len());
    }
    let layers = &model.members[0].architecture.layers;
    let count = |wanted: fn(&Layer) -> bool| count_layers(layers, wanted);
    let mut parts = Vec::new();
    for (number, name) in [
        (count(|layer| matches!(layer, Layer::Conv(_))), "convolution"),
        (count(|layer| matches!(layer, Layer::Residual(_))), "residual block"),
        (count(|layer| matches!(layer, Layer::Dense(_))), "dense layer"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {name}{}", if number == 1 { "" } else { "s" }));
        }
    }
    format!("{}: {}", model.record.preset, parts.join(", "))
}

fn count_layers(layers: &[Layer], wanted: fn(&Layer) -> bool) -> usize {
    layers
        .iter()
        .map(|layer| {
            let inside = match layer {
                Layer::Residual(block) => count_layers(&block.layers, wanted),
                _ => 0,
            };
            usize::from(wanted(layer)) + inside
        })
        .sum()
}

fn training(model: &Model) -> Result<TrainingReport> {
    let metrics: Value = model.measured("metrics.json")?;
    let history: Vec<EpochRecord> = model.measured("history.json")?;
    let train = &metrics["train"];
    Ok(TrainingReport {
        images: model.record.images as u64,
        remarks: remarks(train),
        settings: facts(&train["settings"]),
        epochs: history
            .iter()
            .map(|epoch| EpochReport {
                epoch: epoch.epoch as u64,
                loss: epoch.loss,
                accuracy: epoch.accuracy,
                validation_loss: epoch.validation_loss,
                validation_accuracy: epoch.validation_accuracy,
                learning_rate: epoch.learning_rate,
            })
            .collect(),
        // Else the weights are those after the last step, or an average up to it.
        best_epoch: train["best_epoch"].as_u64().filter(|_| train["chosen"] == "best"),
        stopped_early: train["stopped_early"].as_bool().unwrap_or(false),
        seconds: train["seconds"].as_f64().unwrap_or(0.0),
        images_per_second: train["images_per_second"].as_f64().unwrap_or(0.0),
    })
}

/// What is to be said of a training beside its figures and settings, from the part of `metrics.json` about it.
fn remarks(train: &Value) -> Vec<Fact> {
    let mut remarks = Vec::new();
    let mut say = |name: &str, value: String| remarks.push(Fact { name: name.to_owned(), value });
    let diverged = |divergence: &Value| {
        let (what, number) =
            (divergence["what"].as_str().unwrap_or("the loss"), |name: &str| divergence[name].as_u64().unwrap_or(0));
        format!("{what} was no finite number in epoch {}, step {}", number("epoch"), number("step"))
    };
    let asked = &train["settings"]["epochs"];
    if train["epochs"] != *asked {
        say("Epochs asked for", asked.to_string());
    }
    if train["diverged"].is_object() {
        say("Ended by", format!("divergence: {}", diverged(&train["diverged"])));
    }
    match train["chosen"].as_str() {
        Some("average") => say("Weights kept", "the average over the steps".to_owned()),
        Some("last") => say("Weights kept", "those after the last step".to_owned()),
        _ => {}
    }
    let first = &train["first"];
    if first.is_object() {
        let best = match first["best_epoch"].as_u64().filter(|_| train["epochs"] != *asked) {
            Some(best) => format!(", of which {best} was best"),
            None => String::new(),
        };
        let best = best + if first["diverged"].is_object() { " (it diverged later)" } else { "" };
        say(
            "Trained twice",
            format!(
                "on {} images for {} epochs{best}, with which the figures on the validation part were taken; then from the start on all \
                 {} images of both parts, at the same learning rates",
                first["images"], first["epochs"], train["images"]
            ),
        );
    }
    if train["lost_refit"].is_object() {
        let how = diverged(&train["lost_refit"]);
        say(
            "Second training",
            format!("on both parts, lost by divergence: {how}; this is the first, on the training part alone"),
        );
    }
    if let (Some(precision), Some(instructions)) = (train["precision"].as_str(), train["instructions"].as_str()) {
        say("Computed in", format!("{precision} ({instructions})"));
    }
    remarks
}

/// The fields of an object that are set, as they would be written in a line.
pub(super) fn facts(value: &Value) -> Vec<Fact> {
    let fields = value.as_object().into_iter().flatten();
    let set = fields.filter(|(_, value)| !value.is_null());
    set.map(|(name, value)| Fact { name: name.replace('_', " "), value: plain(value) }).collect()
}

/// JSON as people would write it in a line: `adamw (learning rate 0.001)`.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let parts: Vec<String> = fields
                .iter()
                .map(|(name, value)| match value {
                    Value::Object(inner) if inner.is_empty() => name.replace('_', " "),
                    Value::Object(_) => format!("{} ({})", name.replace('_', " "), plain(value)),
                    _ => format!("{} {}", name.replace('_', " "), plain(value)),
                })
                .collect();
            parts.join(", ")
        }
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The kernels of the first convolution, if the first layer is one.
fn filters(model: &Model) -> Option<FiltersReport> {
    let network = &model.members[0];
    let Layer::Conv(_) = network.architecture.layers.first()? else { return None };
    let weight = network.weights.get("0.weight")?;
    let [_, channels, height, width] = weight.shape[..] else { return None };
    Some(FiltersReport { layer: "first convolution".to_owned(), channels, height, width, weights: weight.values.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_read_like_a_line_of_text() {
        assert_eq!(plain(&json!({"adamw": {"learning_rate": 0.001, "beta_1": 0.9}})), "adamw (learning rate 0.001, beta 1 0.9)");
        assert_eq!(plain(&json!({"constant": {}})), "constant");
        assert_eq!(plain(&json!(12)), "12");
        assert_eq!(plain(&json!([6, 12])), "6, 12");
    }
}
