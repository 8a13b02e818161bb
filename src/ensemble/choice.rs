//! What the user may write about a vote: `voting: soft`, `weights: equal`, `weights: validation`, `weights: [2, 1, 1]`,
//! `temperature: none`, `temperature: validation`, `temperature: 0.8`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::VoteWeights;
use crate::units::{NonNegative, Temperature};

/// How the members' answers become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Voting {
    /// The weighted mean of their probabilities.
    #[default]
    Soft,
}

/// Where the weights of a vote come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum WeightChoice {
    /// Every member counts the same: `equal`.
    #[default]
    Equal,
    /// Fitted on the validation part, for the least log-loss: `validation`.
    Validation,
    /// Given, one for each member: `[2, 1, 1]`.
    Given(VoteWeights),
}

const WORDS: [&str; 2] = ["equal", "validation"];

impl Serialize for WeightChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Equal => serializer.serialize_str(WORDS[0]),
            Self::Validation => serializer.serialize_str(WORDS[1]),
            Self::Given(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for WeightChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = WeightChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`equal`, `validation` or a list of numbers")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "equal" => Ok(WeightChoice::Equal),
                    "validation" => Ok(WeightChoice::Validation),
                    _ => Err(E::unknown_variant(text, &WORDS)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut weights = Vec::new();
                while let Some(weight) = list.next_element::<NonNegative>()? {
                    weights.push(weight.get());
                }
                VoteWeights::new(weights).map(WeightChoice::Given).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Choice)
    }
}

impl schemars::JsonSchema for WeightChoice {
    fn schema_name() -> Cow<'static, str> {
        "WeightChoice".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let weight = generator.subschema_for::<NonNegative>();
        schemars::json_schema!({
            "description": "Where the weights of a vote come from.",
            "oneOf": [
                { "const": WORDS[0], "description": "Every member counts the same." },
                { "const": WORDS[1], "description": "Fitted on the validation part, for the least log-loss. Seeds of one stage count the same." },
                { "type": "array", "items": weight, "minItems": 1, "description": "One weight for each member, not all 0." },
            ],
        })
    }
}

/// Where the temperature of a vote comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum TemperatureChoice {
    /// The vote stays as it is: `none`.
    #[default]
    None,
    /// Fitted on the validation part for the least log-loss, together with the weights if those are fitted as well: `validation`.
    Validation,
    /// Given: `0.8`.
    Given(Temperature),
}

const TEMPERATURE_WORDS: [&str; 2] = ["none", "validation"];

impl TemperatureChoice {
    /// Whether the vote stays as it is.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl Serialize for TemperatureChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str(TEMPERATURE_WORDS[0]),
            Self::Validation => serializer.serialize_str(TEMPERATURE_WORDS[1]),
            Self::Given(temperature) => temperature.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TemperatureChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;
        impl Visitor<'_> for Choice {
            type Value = TemperatureChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`none`, `validation` or a number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "none" => Ok(TemperatureChoice::None),
                    "validation" => Ok(TemperatureChoice::Validation),
                    _ => Err(E::unknown_variant(text, &TEMPERATURE_WORDS)),
                }
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
                Temperature::new(value).map(TemperatureChoice::Given).map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                self.visit_f64(value as f64)
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                self.visit_f64(value as f64)
            }
        }
        deserializer.deserialize_any(Choice)
    }
}

impl schemars::JsonSchema for TemperatureChoice {
    fn schema_name() -> Cow<'static, str> {
        "TemperatureChoice".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut given = generator.subschema_for::<Temperature>();
        given.insert("description".into(), "The temperature; below 1 the vote becomes more certain, above 1 less.".into());
        schemars::json_schema!({
            "description": "Where the temperature T of a vote comes from, which makes P^(1/T) / Σ P^(1/T) of its probabilities P.",
            "oneOf": [
                { "const": TEMPERATURE_WORDS[0], "description": "The vote stays as it is." },
                { "const": TEMPERATURE_WORDS[1], "description": "Fitted on the validation part for the least log-loss, together with the weights if those are fitted as well." },
                given,
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Options {
        #[serde(default)]
        voting: Voting,
        #[serde(default)]
        weights: WeightChoice,
    }

    fn read(yaml: &str) -> Result<WeightChoice, String> {
        let options: Options = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        let json = serde_json::to_value(&options).unwrap();
        assert_eq!(serde_json::from_value::<Options>(json).unwrap(), options, "does not survive JSON");
        Ok(options.weights)
    }

    #[test]
    fn words_and_lists_are_read() {
        assert_eq!(read("voting: soft"), Ok(WeightChoice::Equal));
        assert_eq!(read("weights: equal"), Ok(WeightChoice::Equal));
        assert_eq!(read("weights: validation"), Ok(WeightChoice::Validation));
        assert_eq!(read("weights: [2, 0, 0.5]"), Ok(WeightChoice::Given(VoteWeights::new(vec![2.0, 0.0, 0.5]).unwrap())));
    }

    #[test]
    fn other_values_are_errors_that_say_what_is_possible() {
        let check = |yaml: &str, expected: &str| {
            let error = read(yaml).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("weights: equals", "unknown variant `equals`, expected");
        check("weights: 3", "`equal`, `validation` or a list of numbers");
        check("weights: [1, -1]", "-1 is out of range: the number must be 0 or above");
        check("weights: [1, .inf]", "inf is out of range: the number must be 0 or above");
        check("weights: [0, 0]", "all weights are 0");
        check("weights: []", "at least one member");
        check("voting: hard", "soft");
    }

    #[test]
    fn temperatures_are_words_or_numbers_in_range() {
        let read = |yaml: &str| {
            #[derive(Serialize, Deserialize)]
            struct Options {
                temperature: TemperatureChoice,
            }
            let options: Options = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
            let json = serde_json::to_string(&options).unwrap();
            assert_eq!(serde_json::from_str::<Options>(&json).unwrap().temperature, options.temperature);
            Ok::<_, String>(options.temperature)
        };
        assert_eq!(read("temperature: none"), Ok(TemperatureChoice::None));
        assert_eq!(read("temperature: validation"), Ok(TemperatureChoice::Validation));
        for (yaml, value) in [("temperature: 0.8", 0.8), ("temperature: 2", 2.0)] {
            assert_eq!(read(yaml), Ok(TemperatureChoice::Given(Temperature::new(value).unwrap())));
        }
        let fails = |yaml: &str, expected: &str| assert!(read(yaml).unwrap_err().contains(expected), "{yaml}: {:?}", read(yaml));
        fails("temperature: 0", "0 is out of range: a temperature is between 0.05 and 20");
        fails("temperature: -1", "-1 is out of range");
        fails("temperature: test", "unknown variant `test`, expected");
        fails("temperature: [1]", "`none`, `validation` or a number");
    }

    #[test]
    fn the_schema_lists_what_can_be_read() {
        let schema = serde_json::to_value(schemars::schema_for!(WeightChoice)).unwrap();
        let kinds: Vec<_> = schema["oneOf"].as_array().unwrap().iter().map(|kind| [&kind["const"], &kind["type"]]).collect();
        assert_eq!(serde_json::json!(kinds), serde_json::json!([["equal", null], ["validation", null], [null, "array"]]));
    }
}
