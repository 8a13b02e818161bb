//! Kinds of stages for the tests of this room: small, but with everything that the kinds of the program use.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Kind, Override, Spec, parse};
use crate::graph::{AnyRef, DataRef, ExportedModelRef, ModelRef, Product};
use crate::units::{Epochs, Positive, Probability, Seeds};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TestKind {
    /// Finds the data.
    Fetch(FetchOptions),
    /// Trains a model.
    Train(TrainOptions),
    /// Averages models.
    Vote(VoteOptions),
    /// Writes models.
    Export(ExportOptions),
    /// Predicts.
    Score(ScoreOptions),
    /// Shows it all.
    Report(ReportOptions),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FetchOptions {
    /// Where to look.
    #[serde(default)]
    pub pattern: OneOrMany,
    /// Not asking the network.
    #[serde(default)]
    pub offline: bool,
    /// How far to go in each direction.
    #[serde(default = "default_shift")]
    pub shift: [u8; 2],
    /// Anything.
    #[serde(default)]
    pub values: Vec<serde_json::Value>,
}

fn one_seed() -> Seeds {
    Seeds::ONE
}

fn default_shift() -> [u8; 2] {
    [1, 2]
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrainOptions {
    /// What to learn from.
    pub data: DataRef,
    /// What to train.
    pub model: Model,
    /// How often.
    pub epochs: Epochs,
    /// How fast.
    #[serde(default)]
    pub schedule: Schedule,
    /// How much to forget.
    pub dropout: Option<Probability>,
    /// How many seeds.
    #[serde(default = "one_seed", skip_serializing)]
    pub seeds: Seeds,
    /// A number without a unit.
    #[serde(default)]
    pub clip: f32,
    /// Words by name.
    #[serde(default)]
    pub search: BTreeMap<String, Range>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Model {
    /// A small one.
    Basic(Basic),
    /// One of your own.
    Layers(Vec<Layer>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Basic {
    /// Channels of each block.
    pub channels: Vec<u32>,
    /// What follows.
    pub activation: Activation,
}

impl Default for Basic {
    fn default() -> Self {
        Self { channels: vec![8, 16], activation: Activation::Relu }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Activation {
    Relu,
    Gelu,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Layer {
    Flatten,
    Dense { units: u32 },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Schedule {
    /// Always the same.
    #[default]
    Constant,
    /// Down in a curve.
    Cosine(Cosine),
    /// Down in steps.
    Step(Step),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cosine {
    /// Where it ends.
    pub final_rate: Option<Probability>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Epochs between two steps.
    pub every: Epochs,
    /// What each step multiplies with.
    pub factor: Positive,
}

/// Its ends must be in order, which only shows when both are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Ends", into = "Ends")]
#[schemars(with = "Ends")]
pub(super) struct Range(Ends);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ends {
    #[serde(default)]
    pub min: f64,
    pub max: f64,
}

impl TryFrom<Ends> for Range {
    type Error = String;

    fn try_from(ends: Ends) -> Result<Self, String> {
        if ends.min < ends.max { Ok(Self(ends)) } else { Err(format!("`min` {} is not below `max` {}", ends.min, ends.max)) }
    }
}

impl From<Range> for Ends {
    fn from(Range(ends): Range) -> Self {
        ends
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VoteOptions {
    pub models: Vec<ModelRef>,
    pub data: DataRef,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportOptions {
    pub models: Vec<ModelRef>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoreOptions {
    pub model: ExportedModelRef,
    pub after: Option<AnyRef>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportOptions {
    pub of: Vec<AnyRef>,
    #[serde(default)]
    pub title: String,
}

/// A pattern or several, read by hand as the program's own types of this sort are.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Patterns;
        impl<'de> Visitor<'de> for Patterns {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern or a list of patterns")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut patterns = Vec::new();
                while let Some(pattern) = seq.next_element()? {
                    patterns.push(pattern);
                }
                Ok(OneOrMany(patterns))
            }
        }
        deserializer.deserialize_any(Patterns)
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

impl Kind for TestKind {
    fn product(&self) -> Product {
        match self {
            Self::Fetch(_) => Product::Data,
            Self::Train(_) | Self::Vote(_) => Product::Model,
            Self::Export(_) => Product::Export,
            Self::Score(_) => Product::Scores,
            Self::Report(_) => Product::Report,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Fetch(_) => "fetch",
            Self::Train(_) => "train",
            Self::Vote(_) => "vote",
            Self::Export(_) => "export",
            Self::Score(_) => "score",
            Self::Report(_) => "report",
        }
    }
}

/// A file that uses everything.
pub(super) const GOOD: &str = r#"
version: 1
name: garments
seed: 42
artifacts: out
stages:
  raw: { fetch: { pattern: ["a*.csv", b.csv], shift: [2, 3], values: [1, -2, 0.5, yes, true, null, { a: b }] } }
  more: fetch
  first:
    train: &training
      data: raw
      model: basic
      epochs: 12
      schedule: cosine
      search: { model.mlp.dropout: { max: 1 } }
  second:
    train:
      <<: *training
      model: { layers: [flatten, dense: { units: 10 }] }
      schedule: { step: { every: 3, factor: 5e-1 } }
      dropout: 0
  both: { vote: { models: [first, second], data: raw } }
  exported: { export: { models: [first, both] } }
  scored: { score: { model: exported/both, after: exported } }
  report: { report: { of: [scored, more] } }
"#;

/// Reads `text` as `pipeline.yaml`, with `-S` options.
pub(super) fn read(text: &str, given: &[&str]) -> Result<Spec<TestKind>, super::Problems> {
    let given: Vec<Override> = given.iter().map(|text| text.parse().unwrap()).collect();
    let result = parse::<TestKind>("pipeline.yaml", text, &given);
    if let Err(problems) = &result {
        assert!(!problems.is_empty(), "refused without a reason: {text}");
    }
    result
}

/// Reads `stages`, indented lines below `stages:`, and gives the problems as shown to the user.
pub(super) fn problems(stages: &str, given: &[&str]) -> String {
    match read(&format!("version: 1\nstages:\n{stages}"), given) {
        Ok(spec) => format!("no problem: {:?}", spec.stages.iter().map(|stage| &stage.kind).collect::<Vec<_>>()),
        Err(problems) => problems.to_string(),
    }
}
