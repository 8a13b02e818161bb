//! The search space: which parameters are tried, and the range of each.
//!
//! Every range maps 0–1 to its values, so that samplers need one scale only: an interval linearly or by its logarithm, whole
//! numbers and choices as cells of equal width.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::units::{Count, Positive};

/// The largest whole number up to which 64-bit floats count without gaps.
const LARGEST_WHOLE: i64 = 1 << 53;

/// More parameters than anyone searches. Combinations are found by recursion, a level for each.
const MOST_PARAMETERS: usize = 1000;

/// The values that one parameter may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// Whole numbers from `min` to `max`, both included.
    Int(IntRange),
    /// Numbers from `min` to `max`, all equally likely at first.
    Float(FloatRange),
    /// Numbers from `min` to `max`, all magnitudes equally likely at first: for learning rates and the like.
    Log(LogRange),
    /// One of a list of values, which may be anything that can stand in a stage's options.
    Choice(Choices),
}

impl Range {
    /// The value at `position`, 0–1.
    pub(super) fn at(&self, position: f64) -> Value {
        match self {
            Self::Int(range) => self.nth(cell(position, range.cells())),
            Self::Float(FloatRange { min, max }) => Value::from((min + position * (max - min)).clamp(*min, *max)),
            Self::Log(range) => {
                let (low, high) = (libm::log(range.min.get()), libm::log(range.max.get()));
                let value = libm::exp(low + position * (high - low));
                Value::from(value.clamp(range.min.get(), range.max.get()))
            }
            Self::Choice(Choices(values)) => self.nth(cell(position, values.len())),
        }
    }

    /// The value in cell `index` of whole numbers or choices.
    pub(super) fn nth(&self, index: usize) -> Value {
        match self {
            Self::Int(range) => Value::from(range.min + index as i64 * range.step.get() as i64),
            Self::Choice(Choices(values)) => values[index].clone(),
            Self::Float(_) | Self::Log(_) => self.at(0.0),
        }
    }

    /// Values by which a caller can tell whether all of them can stand where they are meant to: both ends of numbers, every
    /// choice.
    pub fn extremes(&self) -> Vec<Value> {
        match self {
            Self::Choice(Choices(values)) => values.clone(),
            _ => vec![self.at(0.0), self.at(1.0)],
        }
    }

    /// The position of `value`, 0–1: the inverse of [`Range::at`], the middle of the cell for whole numbers and choices.
    /// Nothing for a value that is not of this range.
    pub(super) fn position(&self, value: &Value) -> Option<f64> {
        // A value at the end of a range may come back from the logarithm a little beyond it.
        let within = |position: f64| (-1e-9..=1.0 + 1e-9).contains(&position).then_some(position.clamp(0.0, 1.0));
        match self {
            Self::Int(range) => {
                let steps = value.as_i64()?.checked_sub(range.min)? as f64 / range.step.get() as f64;
                within((steps + 0.5) / range.cells() as f64)
            }
            Self::Float(FloatRange { min, max }) => within((value.as_f64()? - min) / (max - min)),
            Self::Log(range) => {
                let (low, high) = (libm::log(range.min.get()), libm::log(range.max.get()));
                within((libm::log(value.as_f64()?) - low) / (high - low))
            }
            Self::Choice(Choices(values)) => {
                Some((values.iter().position(|choice| choice == value)? as f64 + 0.5) / values.len() as f64)
            }
        }
    }
}

/// The cell of `count` cells of equal width in which `position`, 0–1, lies.
pub(super) fn cell(position: f64, count: usize) -> usize {
    ((position * count as f64) as usize).min(count - 1)
}

/// Whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "WrittenInt")]
#[schemars(with = "WrittenInt", rename = "IntRange")]
pub struct IntRange {
    min: i64,
    max: i64,
    step: Count,
}

impl IntRange {
    /// Checks and makes a range from `min` to `max` in steps of `step`.
    ///
    /// # Errors
    /// When `min` is not below `max`, no whole number of steps leads from one to the other, or either is beyond ±2⁵³.
    pub fn new(min: i64, max: i64, step: Count) -> Result<Self, String> {
        if min >= max {
            return Err(format!("`min` of {min} must be below `max` of {max}"));
        }
        if min < -LARGEST_WHOLE || max > LARGEST_WHOLE {
            return Err(format!("`min` of {min} and `max` of {max} must lie between -2^53 and 2^53"));
        }
        let width = step.get() as i64;
        let rest = (max - min) % width;
        if rest != 0 {
            let (below, above) = (max - rest, max - rest + width);
            return Err(format!("steps of {step} from {min} do not meet `max` of {max}; use {below} or {above}"));
        }
        Ok(Self { min, max, step })
    }

    /// How many numbers it has.
    pub(super) fn cells(&self) -> usize {
        ((self.max - self.min) / self.step.get() as i64) as usize + 1
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(rename = "IntRange", deny_unknown_fields)]
struct WrittenInt {
    /// The smallest number.
    min: i64,
    /// The largest number.
    max: i64,
    /// The distance between two numbers.
    #[serde(default = "one")]
    step: Count,
}

fn one() -> Count {
    Count::new(1).expect("1 is a count")
}

impl TryFrom<WrittenInt> for IntRange {
    type Error = String;

    fn try_from(written: WrittenInt) -> Result<Self, String> {
        Self::new(written.min, written.max, written.step)
    }
}

/// Numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "WrittenFloat")]
#[schemars(with = "WrittenFloat", rename = "FloatRange")]
pub struct FloatRange {
    min: f64,
    max: f64,
}

impl FloatRange {
    /// Checks and makes a range from `min` to `max`.
    ///
    /// # Errors
    /// When `min` is not below `max`, or their distance is not finite.
    pub fn new(min: f64, max: f64) -> Result<Self, String> {
        if !(max - min).is_finite() {
            return Err(format!("`min` of {min} and `max` of {max} must be finite and not further apart than numbers reach"));
        }
        if min >= max {
            return Err(format!("`min` of {min} must be below `max` of {max}"));
        }
        Ok(Self { min, max })
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(rename = "FloatRange", deny_unknown_fields)]
struct WrittenFloat {
    /// The smallest number.
    min: f64,
    /// The largest number.
    max: f64,
}

impl TryFrom<WrittenFloat> for FloatRange {
    type Error = String;

    fn try_from(written: WrittenFloat) -> Result<Self, String> {
        Self::new(written.min, written.max)
    }
}

/// Positive numbers by magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "WrittenLog")]
#[schemars(with = "WrittenLog", rename = "LogRange")]
pub struct LogRange {
    min: Positive,
    max: Positive,
}

impl LogRange {
    /// Checks and makes a range from `min` to `max`.
    ///
    /// # Errors
    /// When `min` is not below `max`.
    pub fn new(min: Positive, max: Positive) -> Result<Self, String> {
        // Neighbouring numbers may have the same logarithm.
        if libm::log(min.get()) >= libm::log(max.get()) {
            return Err(format!("`min` of {min} must be below `max` of {max}"));
        }
        Ok(Self { min, max })
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(rename = "LogRange", deny_unknown_fields)]
struct WrittenLog {
    /// The smallest number.
    min: Positive,
    /// The largest number.
    max: Positive,
}

impl TryFrom<WrittenLog> for LogRange {
    type Error = String;

    fn try_from(written: WrittenLog) -> Result<Self, String> {
        Self::new(written.min, written.max)
    }
}

/// Two or more different values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "Vec<Value>")]
#[schemars(extend("minItems" = 1, "uniqueItems" = true))]
pub struct Choices(pub(super) Vec<Value>);

impl Choices {
    /// Checks and makes a list of values.
    ///
    /// # Errors
    /// When it is empty, a value is null or stands there twice.
    pub fn new(values: Vec<Value>) -> Result<Self, String> {
        if values.is_empty() {
            return Err("there is nothing to choose from; list at least one value".to_owned());
        }
        let mut known = HashSet::new();
        for (index, value) in values.iter().enumerate() {
            if value.is_null() {
                return Err(format!("choice {index} is null; write a value"));
            }
            if !known.insert(value) {
                return Err(format!("choice {index}, {value}, stands there already; list each value once"));
            }
        }
        Ok(Self(values))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl TryFrom<Vec<Value>> for Choices {
    type Error = String;

    fn try_from(values: Vec<Value>) -> Result<Self, String> {
        Self::new(values)
    }
}

/// The range of every parameter that is searched, by its path, such as `model.mlp.dropout`. At least one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "BTreeMap<String, Range>")]
#[schemars(extend("minProperties" = 1))]
pub struct SearchSpace(BTreeMap<String, Range>);

impl SearchSpace {
    /// Checks and makes a search space.
    ///
    /// # Errors
    /// When there are no parameters, or a path has an empty part.
    pub fn new(ranges: BTreeMap<String, Range>) -> Result<Self, String> {
        if ranges.is_empty() {
            return Err(
                "there is nothing to search; give at least one parameter, as in `batch_size: { choice: [64, 128] }`".into()
            );
        }
        if ranges.len() > MOST_PARAMETERS {
            return Err(format!("{} parameters are more than a search can have: at most {MOST_PARAMETERS}", ranges.len()));
        }
        match ranges.keys().find(|path| path.split('.').any(str::is_empty)) {
            Some(path) => Err(format!("`{path}` is not a parameter path; write one like `model.mlp.dropout`")),
            None => Ok(Self(ranges)),
        }
    }

    /// The parameter at `path`, with its range.
    pub(super) fn get(&self, path: &str) -> Option<(&str, &Range)> {
        self.0.get_key_value(path).map(|(path, range)| (path.as_str(), range))
    }

    /// Every parameter path and its range, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Range)> {
        self.0.iter().map(|(path, range)| (path.as_str(), range))
    }
}

impl TryFrom<BTreeMap<String, Range>> for SearchSpace {
    type Error = String;

    fn try_from(ranges: BTreeMap<String, Range>) -> Result<Self, String> {
        Self::new(ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Result<SearchSpace, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    fn range(json: Value) -> Range {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_space_is_read_and_survives_json() {
        let space = read(
            "{ units: { int: { min: 32, max: 256, step: 32 } }, dropout: { float: { min: 0, max: 0.5 } }, \
               rate: { log: { min: 1e-4, max: 0.1 } }, size: { choice: [64, \"big\", true, [1, 2]] } }",
        )
        .unwrap();
        let json = serde_json::to_value(&space).unwrap();
        insta::assert_snapshot!(json, @r#"{"dropout":{"float":{"min":0.0,"max":0.5}},"rate":{"log":{"min":0.0001,"max":0.1}},"size":{"choice":[64,"big",true,[1,2]]},"units":{"int":{"min":32,"max":256,"step":32}}}"#);
        assert_eq!(serde_json::from_value::<SearchSpace>(json).unwrap(), space);
        let paths: Vec<&str> = space.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["dropout", "rate", "size", "units"]);
    }

    #[test]
    fn extremes_are_both_ends_or_every_choice() {
        assert_eq!(range(json!({"int": {"min": 32, "max": 96, "step": 32}})).extremes(), [json!(32), json!(96)]);
        assert_eq!(range(json!({"float": {"min": 0, "max": 0.5}})).extremes(), [json!(0.0), json!(0.5)]);
        assert_eq!(range(json!({"choice": [64, "big"]})).extremes(), [json!(64), json!("big")]);
    }

    #[test]
    fn ranges_that_make_no_sense_are_errors() {
        let check = |text: &str, expected: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("{}", "there is nothing to search");
        check("{ a..b: { choice: [1] } }", "`a..b` is not a parameter path");
        check("{ a: { int: { min: 3, max: 3 } } }", "`min` of 3 must be below `max` of 3");
        check("{ a: { int: { min: 1, max: 100, step: 32 } } }", "steps of 32 from 1 do not meet `max` of 100; use 97 or 129");
        check("{ a: { int: { min: 1, max: 2, step: 0 } } }", "0 is out of range");
        check("{ a: { int: { min: 0, max: 9007199254740993 } } }", "between -2^53 and 2^53");
        check("{ a: { int: { min: 0, max: 1, log: true } } }", "log");
        check("{ a: { float: { min: 1, max: 0 } } }", "`min` of 1 must be below `max` of 0");
        check("{ a: { float: { min: 0, max: .inf } } }", "must be finite");
        check("{ a: { float: { min: 0, max: .nan } } }", "must be finite");
        check("{ a: { log: { min: 0, max: 1 } } }", "0 is out of range: the number must be above 0");
        check("{ a: { log: { min: 1, max: 1 } } }", "`min` of 1 must be below `max` of 1");
        check("{ a: { choice: [] } }", "nothing to choose from");
        check("{ a: { choice: [1, 2, 1] } }", "choice 2, 1, stands there already");
        check("{ a: { choice: [1, null] } }", "choice 1 is null");
    }

    #[test]
    fn positions_cover_a_range_evenly() {
        let check = |json: Value, expected: [Value; 5]| {
            let range = range(json);
            assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|position| range.at(position)), expected);
        };
        check(json!({"int": {"min": 1, "max": 4}}), [1, 2, 3, 4, 4].map(Value::from));
        check(json!({"int": {"min": -32, "max": 64, "step": 32}}), [-32, 0, 32, 64, 64].map(Value::from));
        check(json!({"float": {"min": -1.0, "max": 1.0}}), [-1.0, -0.5, 0.0, 0.5, 1.0].map(Value::from));
        check(json!({"choice": ["a", "b"]}), ["a", "a", "b", "b", "b"].map(Value::from));
        let log = range(json!({"log": {"min": 1e-4, "max": 1.0}}));
        for (position, expected) in [(0.0, 1e-4), (0.25, 1e-3), (0.5, 1e-2), (0.75, 1e-1), (1.0, 1.0)] {
            let value = log.at(position).as_f64().unwrap();
            assert!((value / expected - 1.0).abs() < 1e-12, "{value}");
        }
    }

    #[test]
    fn values_of_another_range_have_no_position() {
        let check = |json: Value, value: Value| assert_eq!(range(json).position(&value), None, "{value}");
        check(json!({"int": {"min": 1, "max": 4}}), json!(5));
        check(json!({"int": {"min": 1, "max": 4}}), json!("2"));
        check(json!({"float": {"min": 0.0, "max": 1.0}}), json!(1.5));
        check(json!({"log": {"min": 1.0, "max": 2.0}}), json!(0.0));
        check(json!({"choice": ["a", "b"]}), json!("c"));
    }

    proptest! {
        #[test]
        fn a_value_and_its_position_agree(position in 0.0f64..1.0) {
            for json in [
                json!({"int": {"min": -7, "max": 20, "step": 3}}),
                json!({"float": {"min": -3.0, "max": 11.5}}),
                json!({"log": {"min": 1e-6, "max": 0.3}}),
                json!({"choice": ["a", "b", "c"]}),
            ] {
                let range = range(json);
                let value = range.at(position);
                let back = range.position(&value).unwrap_or(f64::NAN);
                prop_assert!((back - position).abs() <= 0.5 / 3.0, "{range:?} {value} {back}");
                if matches!(range, Range::Float(_) | Range::Log(_)) {
                    prop_assert!((back - position).abs() <= 1e-9, "{range:?} {value} {back}");
                } else {
                    prop_assert_eq!(range.at(back), value);
                }
            }
        }
    }
}
