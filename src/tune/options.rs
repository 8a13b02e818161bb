//! The options of a search, as written in `pipeline.yaml`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Pruner, Sampler, SearchSpace};
use crate::graph::DataRef;
use crate::nn::ModelOptions;
use crate::train::TrainSettings;
use crate::units::{Count, Fraction};

/// Options of the stage kind `tune`, which makes parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TuneOptions {
    /// The data: trials are trained on its training part and judged on its validation part.
    pub data: DataRef,
    /// The model of every trial, before the trial's parameters replace some of its options.
    pub model: ModelOptions,
    /// How every trial is trained, before the trial's parameters replace some of it.
    #[serde(default)]
    pub train: TrainSettings,
    /// The range of each parameter that is searched, by its path: `model.mlp.dropout`, `optimizer.adamw.learning_rate`,
    /// `batch_size`. Beside `optimizer: { choice: [sgd, adamw] }`, `optimizer.adamw.learning_rate` is a parameter of those trials alone that
    /// chose `adamw`. A combination that makes no training is a failed trial.
    pub search: SearchSpace,
    /// How many parameter sets are tried, none of them twice; fewer where there are no more.
    #[serde(default = "twelve")]
    pub trials: Count,
    /// How the next parameter set is chosen.
    #[serde(default)]
    pub sampler: Sampler,
    /// What makes a trial good, on the validation part.
    #[serde(default)]
    pub objective: Objective,
    /// Which trials are given up early.
    #[serde(default)]
    pub pruner: Pruner,
    /// How much of the training part the trials use: a fraction below 1, or a number of images. All of it unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

fn twelve() -> Count {
    Count::new(12).expect("12 is a count")
}

/// What makes a trial good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// A high accuracy.
    #[default]
    Accuracy,
    /// A low loss.
    Loss,
}

impl Objective {
    /// The objective's value turned so that less is better.
    pub fn cost(self, value: f64) -> f64 {
        match self {
            Self::Accuracy => -value,
            Self::Loss => value,
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
        })
    }
}

/// A part of the training images: `0.25`, or `6000`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    /// A share of them.
    Fraction(Fraction),
    /// A number of them.
    Images(Count),
}

impl Sample {
    /// How many of `images` it means: at least one, at most all.
    pub fn of(self, images: usize) -> usize {
        match self {
            Self::Fraction(fraction) => ((images as f64 * fraction.get()).round() as usize).clamp(images.min(1), images),
            Self::Images(count) => count.get().min(images),
        }
    }
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fraction(fraction) => fraction.serialize(serializer),
            Self::Images(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Sample;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a fraction of the training images, such as 0.25, or a number of them, such as 6000")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Sample, E> {
                Count::new(value).map(Sample::Images).map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Sample, E> {
                match u64::try_from(value) {
                    Ok(value) => self.visit_u64(value),
                    Err(_) => Err(E::custom(format!("{value} is out of range: a count must be at least 1"))),
                }
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Sample, E> {
                Fraction::new(value).map(Sample::Fraction).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl schemars::JsonSchema for Sample {
    fn schema_name() -> Cow<'static, str> {
        "Sample".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A part of the training images.",
            "oneOf": [
                { "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "description": "A share of them." },
                { "type": "integer", "minimum": 1, "description": "A number of them." },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<TuneOptions, String> {
        let text = format!(
            "{{\"data\": \"parts\", \"model\": {{\"mlp\": {{}}}}, \"search\": {{\"batch_size\": {{\"choice\": [64, 128]}}}}{more}}}"
        );
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// Takes out the options of model and training, which are tested where they are defined.
    fn without_what_a_trial_is(json: &mut serde_json::Value) {
        let fields = json.as_object_mut().unwrap();
        fields.retain(|name, _| !["model", "train"].contains(&name.as_str()));
    }

    #[test]
    fn options_have_defaults_and_survive_json() {
        let options = read("").unwrap();
        let mut json = serde_json::to_value(&options).unwrap();
        assert_eq!(serde_json::from_value::<TuneOptions>(json.clone()).unwrap(), options);
        without_what_a_trial_is(&mut json);
        insta::assert_snapshot!(json, @r#"{"data":"parts","search":{"batch_size":{"choice":[64,128]}},"trials":12,"sampler":{"tpe":{"startup_trials":5,"candidates":24,"good":0.15}},"objective":"accuracy","pruner":"none"}"#);
        let options = read(
            r#", "sampler": "random", "objective": "loss", "pruner": {"median": {"warmup_epochs": 2, "startup_trials": 3}}, "sample": 6000, "trials": 4"#,
        )
        .unwrap();
        let mut json = serde_json::to_value(&options).unwrap();
        without_what_a_trial_is(&mut json);
        insta::assert_snapshot!(json, @r#"{"data":"parts","search":{"batch_size":{"choice":[64,128]}},"trials":4,"sampler":"random","objective":"loss","pruner":{"median":{"warmup_epochs":2,"startup_trials":3}},"sample":6000}"#);
    }

    #[test]
    fn a_sample_is_a_fraction_or_a_count() {
        let sample = |text: &str| read(&format!(", \"sample\": {text}")).map(|options| options.sample.unwrap());
        assert_eq!(sample("0.25").unwrap().of(48_000), 12_000);
        assert_eq!(sample("6000").unwrap().of(48_000), 6000);
        assert_eq!(sample("6000").unwrap().of(100), 100);
        assert_eq!(sample("0.001").unwrap().of(10), 1);
        assert_eq!(sample("0.5").unwrap().of(0), 0);
        let check = |text: &str, expected: &str| {
            let error = sample(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("0", "0 is out of range: a count must be at least 1");
        check("-3", "-3 is out of range: a count must be at least 1");
        check("1.5", "1.5 is out of range: a fraction is above 0 and below 1");
        check("\"half\"", "a fraction of the training images, such as 0.25, or a number of them, such as 6000");
    }

    #[test]
    fn unknown_options_are_errors() {
        assert!(read(r#", "sampler": "grid""#).unwrap_err().contains("unknown variant `grid`"));
        assert!(read(r#", "trails": 3"#).unwrap_err().contains("unknown field `trails`"));
        assert!(read(r#", "trials": 0"#).unwrap_err().contains("0 is out of range"));
    }
}
