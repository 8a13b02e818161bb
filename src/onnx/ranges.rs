//! What numbers a network's activations are, as a file says: what scoring in bytes needs to know beside the graph.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tract_onnx::pb::StringStringEntryProto;

use super::ModelProto;
use super::metadata::find;

/// The key of the metadata that holds them.
const KEY: &str = "int8_ranges";

/// What numbers the values of a graph are that layers of bytes read, measured on some images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    /// How many images.
    pub images: usize,
    /// By the name of the value.
    pub values: BTreeMap<String, Range>,
}

/// What numbers a value is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The least that bytes should stand for.
    pub low: f32,
    /// The largest.
    pub high: f32,
    /// The mean of each channel.
    pub mean: Vec<f32>,
}

impl Ranges {
    /// What a file says; `None` where it says nothing.
    ///
    /// # Errors
    /// When it is not as written by [`Ranges::attach`].
    pub fn of(model: &ModelProto) -> Result<Option<Self>> {
        let Some(text) = find(model, KEY) else { return Ok(None) };
        let ranges: Self = serde_json::from_str(text).with_context(|| format!("the file's `{KEY}` are not as they should be"))?;
        for (name, range) in &ranges.values {
            let numbers = range.mean.iter().chain([&range.low, &range.high]);
            let is_range = range.low <= range.high && numbers.copied().all(f32::is_finite);
            ensure!(is_range, "the file's `{KEY}` of `{name}` are no range");
        }
        Ok(Some(ranges))
    }

    /// Puts them into a file, in the place of what it said.
    pub fn attach(&self, model: &mut ModelProto) {
        model.metadata_props.retain(|entry| entry.key != KEY);
        let value = serde_json::to_string(self).expect("names and numbers are JSON");
        model.metadata_props.push(StringStringEntryProto { key: KEY.to_owned(), value });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check, decode, encode, samples};
    use super::*;

    fn model() -> ModelProto {
        let architecture = samples::architecture(1, r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#);
        samples::model("net", &architecture, &samples::weights(&architecture, 1))
    }

    #[test]
    fn what_is_attached_is_read_and_the_same_bytes_each_time() {
        let mut model = model();
        assert_eq!(Ranges::of(&model).unwrap(), None);
        let range = Range { low: 0.0, high: 7.1, mean: vec![0.25, 1e-9] };
        let ranges = Ranges { images: 3, values: [("net/1".to_owned(), range)].into() };
        ranges.attach(&mut model);
        let bytes = encode(&model);
        ranges.attach(&mut model);
        assert_eq!(encode(&model), bytes);
        let model = decode(&bytes).unwrap();
        check(&model).unwrap();
        assert_eq!(Ranges::of(&model).unwrap(), Some(ranges));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let check = |value: &str, expected: &str| {
            let mut model = model();
            model.metadata_props.push(StringStringEntryProto { key: KEY.to_owned(), value: value.to_owned() });
            let error = format!("{:#}", Ranges::of(&model).unwrap_err());
            assert!(error.starts_with(expected), "{error}");
        };
        check("[]", "the file's `int8_ranges` are not as they should be: ");
        let turned = r#"{"images": 1, "values": {"x": {"low": 1.0, "high": 0.0, "mean": []}}}"#;
        check(turned, "the file's `int8_ranges` of `x` are no range");
    }
}
