//! Overlaying parameters on options: how the result of a search, such as `model.mlp.units.0 = 96`, becomes part of the options
//! of a training.
//!
//! A parameter path addresses the JSON form of [`TrainOptions`]: names of fields and tags of choices, positions in lists.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{TrainOptions, TrainSettings};
use crate::quote::excerpt;
use crate::spec;

/// Why parameters cannot be laid over options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// The path leads nowhere.
    #[error("there is no parameter `{path}`: {reason}")]
    Unknown {
        /// The path as given.
        path: String,
        /// Where it goes astray, and what there is instead.
        reason: String,
    },
    /// The path is right, but the value cannot stand there.
    #[error("parameter `{path}` cannot be {}: {reason}", excerpt(&.value.to_string()))]
    Value {
        /// The path as given.
        path: String,
        /// The value as given.
        value: Value,
        /// What is wrong with it.
        reason: String,
    },
}

impl TrainOptions {
    /// These options with `parameters` set: each a path into the JSON form of the options and its new value. Fields that
    /// are not set (`clip`, `average`, `early_stopping`) can be set whole or from inside. A value is read as it would be in the file:
    /// where a choice stands, a bare name such as `"adam"` chooses it with its defaults. The references of the stage (`data`, `params`)
    /// and `refit` are no parameters.
    ///
    /// # Errors
    /// The first path that leads nowhere, with names that are near; the first value that cannot stand where it is put.
    pub fn with_parameters(&self, parameters: &BTreeMap<String, Value>) -> Result<Self, OverlayError> {
        let mut options = self.clone();
        for (path, value) in parameters {
            // One by one, so that an error names the parameter at fault.
            let mut json = serde_json::to_value(&options).expect("options have a JSON form");
            set(&mut json, path, value)?;
            options = spec::read_json(&json).map_err(|reason| OverlayError::Value {
                path: path.clone(),
                value: value.clone(),
                reason,
            })?;
        }
        Ok(options)
    }
}

fn set(json: &mut Value, path: &str, value: &Value) -> Result<(), OverlayError> {
    let unknown = |reason: String| OverlayError::Unknown { path: path.to_owned(), reason };
    let root = path.split('.').next().unwrap_or_default();
    let roots = || std::iter::once("model").chain(TrainSettings::NAMES.iter().copied());
    if !roots().any(|name| name == root) {
        return Err(unknown(instead("a training", root, roots())));
    }
    let mut place = json;
    let mut walked = String::new();
    for segment in path.split('.') {
        let here = if walked.is_empty() { "a training".to_owned() } else { format!("`{walked}`") };
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        place = match place {
            Value::Object(fields) => {
                if !fields.is_empty() && !fields.contains_key(segment) {
                    return Err(unknown(instead(&here, segment, fields.keys().map(String::as_str))));
                }
                fields.entry(segment).or_insert(Value::Null)
            }
            Value::Array(items) => {
                let length = items.len();
                let item = segment.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                item.ok_or_else(|| unknown(format!("{here} is a list of {length}, whose positions count from 0")))?
            }
            other => return Err(unknown(format!("{here} is {other} and has no parts"))),
        };
        if !walked.is_empty() {
            walked.push('.');
        }
        walked.push_str(segment);
    }
    place.clone_from(value);
    Ok(())
}

/// Says that `place` has no `name`, and what it has.
fn instead<'a>(place: &str, name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let nearest = names.iter().max_by(|a, b| strsim::jaro(name, a).total_cmp(&strsim::jaro(name, b)));
    match nearest {
        Some(near) if strsim::jaro(name, near) > 0.75 => format!("{place} has no `{name}`; did you mean `{near}`?"),
        _ => format!("{place} has no `{name}`; it has `{}`", names.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base() -> TrainOptions {
        serde_json::from_str(r#"{"data": "parts", "model": {"mlp": {"units": [128, 64]}}, "epochs": 4}"#).unwrap()
    }

    fn overlay(parameters: Value) -> Result<TrainOptions, OverlayError> {
        base().with_parameters(&serde_json::from_value(parameters).unwrap())
    }

    #[test]
    fn parameters_are_set_where_their_paths_lead() {
        let check = |parameters: Value, pointer: &str, expected: Value| {
            let options = serde_json::to_value(overlay(parameters).unwrap()).unwrap();
            assert_eq!(options.pointer(pointer), Some(&expected), "{pointer}");
        };
        check(json!({"model.mlp.units.0": 96}), "/model/mlp/units", json!([96, 64]));
        check(json!({"model.mlp.units": [32]}), "/model/mlp/units", json!([32]));
        check(json!({"optimizer.adamw.learning_rate": 0.01}), "/optimizer/adamw/learning_rate", json!(0.01));
        check(json!({"batch_size": 32, "label_smoothing": 0.05}), "/label_smoothing", json!(0.05));
        check(json!({"optimizer": "sgd", "optimizer.sgd.momentum": 0.5}), "/optimizer/sgd/momentum", json!(0.5));
        check(json!({"model": "basic"}), "/model/basic/units", json!(128));
        check(json!({"clip.norm": 2.0}), "/clip", json!({"norm": 2.0}));
        check(json!({"average.ema.decay": 0.9}), "/average/ema/decay", json!(0.9));
        check(json!({"early_stopping.patience": 2}), "/early_stopping/restore_best", json!(true));
        assert_eq!(overlay(json!({})).unwrap(), base());
    }

    #[test]
    fn a_bare_name_chooses_wherever_the_file_allows_it() {
        let check = |parameters: Value, pointer: &str, expected: Value| {
            let options = serde_json::to_value(overlay(parameters).unwrap()).unwrap();
            assert_eq!(options.pointer(pointer), Some(&expected), "{pointer}");
        };
        check(json!({"schedule": "cosine"}), "/schedule", json!({"cosine": {"final_rate": 0.0}}));
        check(json!({"schedule": "cosine", "schedule.cosine.final_rate": 1e-7}), "/schedule/cosine/final_rate", json!(1e-7));
        check(json!({"average": "ema"}), "/average/ema/decay", json!(0.999));
        check(json!({"model": {"layers": ["flatten", {"dense": {"units": 10}}]}}), "/model/layers/0", json!({"flatten": {}}));
        let cosine = base().with_parameters(&serde_json::from_value(json!({"schedule": "cosine"})).unwrap()).unwrap();
        let constant = cosine.with_parameters(&serde_json::from_value(json!({"schedule": "constant"})).unwrap()).unwrap();
        assert_eq!(constant, base());
    }

    #[test]
    fn values_that_do_not_fit_are_refused_in_the_words_of_the_file() {
        let error = |parameters: Value| overlay(parameters).unwrap_err().to_string();
        insta::assert_snapshot!(error(json!({"epochs": 1.5})), @"parameter `epochs` cannot be 1.5: `epochs` needs a whole number, not the number 1.5");
        insta::assert_snapshot!(error(json!({"schedule": "cosin"})), @r#"parameter `schedule` cannot be "cosin": `schedule` cannot be `cosin`; did you mean `cosine`?"#);
        insta::assert_snapshot!(error(json!({"average": 3})), @"parameter `average` cannot be 3: `average` cannot be `3`; it can be `ema`");
        insta::assert_snapshot!(error(json!({"clip": "norm"})), @r#"parameter `clip` cannot be "norm": `norm` needs a number; write `norm: …`"#);
        insta::assert_snapshot!(error(json!({"optimizer": {"adam": {"beta": 1}}})), @r#"parameter `optimizer` cannot be {"adam":{"beta":1}}: `beta` is not known in `adam`; did you mean `beta_1`?"#);
        insta::assert_snapshot!(error(json!({"model.mlp.units": "many"})), @r#"parameter `model.mlp.units` cannot be "many": `units` needs a list, not the text `many`"#);
    }

    #[test]
    fn errors_name_the_parameter_and_what_there_is() {
        let error = |parameters: Value| overlay(parameters).unwrap_err().to_string();
        insta::assert_snapshot!(error(json!({"batchsize": 1})), @"there is no parameter `batchsize`: a training has no `batchsize`; did you mean `batch_size`?");
        insta::assert_snapshot!(error(json!({"data": "other"})), @"there is no parameter `data`: a training has no `data`; it has `model`, `epochs`, `batch_size`, `optimizer`, `schedule`, `warm_up`, `label_smoothing`, `clip`, `average`, `prune`, `early_stopping`, `precision`, `checkpoint_every`");
        insta::assert_snapshot!(error(json!({"model.basic.units": 1})), @"there is no parameter `model.basic.units`: `model` has no `basic`; it has `mlp`");
        insta::assert_snapshot!(error(json!({"model.mlp.units.2": 1})), @"there is no parameter `model.mlp.units.2`: `model.mlp.units` is a list of 2, whose positions count from 0");
        insta::assert_snapshot!(error(json!({"epochs.first": 1})), @"there is no parameter `epochs.first`: `epochs` is 4 and has no parts");
        insta::assert_snapshot!(error(json!({"model.mlp.dropout": 1.0})), @"parameter `model.mlp.dropout` cannot be 1.0: `dropout`: 1 is out of range: a dropout rate is at least 0 and below 1");
        insta::assert_snapshot!(error(json!({"clip.size": 1.0})), @"parameter `clip.size` cannot be 1.0: `clip` cannot be `size`; it can be `norm`, `value`");
    }
}
