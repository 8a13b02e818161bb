//! Numbers with a meaning and a range. Reading one from `pipeline.yaml` checks the range, so code that holds one need not.

use serde::{Deserialize, Serialize};

macro_rules! float_unit {
    ($(#[$doc:meta])* $name:ident, $says:literal, |$value:ident| $holds:expr, $schema:meta) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "f64", into = "f64")]
        #[schemars(with = "f64", $schema)]
        pub struct $name(f64);

        impl $name {
            /// Checks the range and wraps the number.
            ///
            /// # Errors
            /// When the number is out of range; the text says what the range is.
            pub fn new($value: f64) -> Result<Self, String> {
                if $holds { Ok(Self($value)) } else { Err(format!("{} is out of range: {}", shown($value), $says)) }
            }

            /// The plain number.
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = String;

            fn try_from(value: f64) -> Result<Self, String> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// A number as a person would write it, not with hundreds of digits.
fn shown(value: f64) -> String {
    if value == 0.0 || (1e-5..1e15).contains(&value.abs()) { value.to_string() } else { format!("{value:e}") }
}

macro_rules! count_unit {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        count_unit!($(#[$doc])* $name, $what, 1 << 40, extend("minimum" = 1));
    };
    ($(#[$doc:meta])* $name:ident, $what:literal, $most:expr, $schema:meta) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "u64", into = "u64")]
        #[schemars(with = "u64", $schema)]
        pub struct $name(usize);

        impl $name {
            /// Checks that the number is at least 1 and wraps it.
            ///
            /// # Errors
            /// When the number is 0 or too large.
            pub fn new(value: u64) -> Result<Self, String> {
                let most: usize = $most;
                match usize::try_from(value) {
                    Ok(count) if (1..=most).contains(&count) => Ok(Self(count)),
                    Ok(0) => Err(format!("0 is out of range: {} must be at least 1", $what)),
                    _ => Err(format!("{value} is out of range: {} is at most {most}", $what)),
                }
            }

            /// The plain number.
            pub const fn get(self) -> usize {
                self.0
            }
        }

        impl TryFrom<u64> for $name {
            type Error = String;

            fn try_from(value: u64) -> Result<Self, String> {
                Self::new(value)
            }
        }

        impl From<$name> for u64 {
            fn from(value: $name) -> Self {
                value.0 as u64
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

float_unit!(
    /// A probability, 0 to 1.
    Probability, "a probability is between 0 and 1", |value| (0.0..=1.0).contains(&value), extend("minimum" = 0, "maximum" = 1)
);
float_unit!(
    /// A share that is neither nothing nor everything: above 0 and below 1.
    Fraction, "a fraction is above 0 and below 1", |value| value > 0.0 && value < 1.0, extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1)
);
float_unit!(
    /// The rate of a dropout layer: 0 up to, but not including, 1.
    DropRate, "a dropout rate is at least 0 and below 1", |value| (0.0..1.0).contains(&value), extend("minimum" = 0, "exclusiveMaximum" = 1)
);
float_unit!(
    /// A finite number above 0, such as a learning rate.
    Positive, "the number must be above 0", |value| value > 0.0 && value.is_finite(), extend("exclusiveMinimum" = 0)
);
float_unit!(
    /// A finite number, 0 or above, such as a weight decay.
    NonNegative, "the number must be 0 or above", |value| value >= 0.0 && value.is_finite(), extend("minimum" = 0)
);
float_unit!(
    /// The temperature T of a vote, 0.05 to 20: probabilities P become P^(1/T) / Σ P^(1/T). Below 1 they become more certain, above 1 less.
    Temperature, "a temperature is between 0.05 and 20", |value| (Self::LEAST..=Self::MOST).contains(&value), extend("minimum" = 0.05, "maximum" = 20)
);

impl Temperature {
    /// The temperature that changes nothing.
    pub const ONE: Self = Self(1.0);
    /// The least.
    pub const LEAST: f64 = 0.05;
    /// The most.
    pub const MOST: f64 = 20.0;
    /// What a probability counts as at least, so that 0 has a logarithm: what a float32 softmax makes so small is the same in
    /// every engine, which near the smallest float32 numbers, 1e-38, it is not.
    pub const FLOOR: f32 = 1e-30;
}

count_unit!(
    /// A number of passes over the training data.
    Epochs, "a number of epochs"
);
count_unit!(
    /// A number of images that are processed at once.
    BatchSize, "a batch size"
);
count_unit!(
    /// A count of things, at least one.
    Count, "a count"
);
count_unit!(
    /// How many trainings of one recipe there are, each with a seed of its own.
    Seeds, "a number of seeds", 100, extend("minimum" = 1, "maximum" = 100)
);

impl Seeds {
    /// One training.
    pub const ONE: Self = Self(1);
}

/// A number of things: `1 image`, `3 images`.
pub fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!([counted(0, "row"), counted(1, "row"), counted(2, "row")], ["0 rows", "1 row", "2 rows"]);
    }

    #[test]
    fn ranges_are_checked_on_reading() {
        assert!(serde_json::from_str::<Probability>("1").is_ok());
        assert!(serde_json::from_str::<Fraction>("1").is_err());
        assert!(serde_json::from_str::<DropRate>("0").is_ok());
        assert!(serde_json::from_str::<Positive>("0").is_err());
        assert!(serde_json::from_str::<Epochs>("0").is_err());
        assert!(serde_json::from_str::<Seeds>("100").is_ok());
        assert!(serde_json::from_str::<Seeds>("101").is_err());
        let error = serde_json::from_str::<Epochs>("0").unwrap_err().to_string();
        assert!(error.contains("0 is out of range: a number of epochs must be at least 1"), "{error}");
        assert_eq!(
            Epochs::new(u64::MAX).unwrap_err(),
            format!("{} is out of range: a number of epochs is at most {}", u64::MAX, 1_u64 << 40)
        );
        assert!(Epochs::new(1 << 40).is_ok() && Epochs::new((1 << 40) + 1).is_err());
        assert_eq!(Seeds::new(101).unwrap_err(), "101 is out of range: a number of seeds is at most 100");
        assert_eq!(Positive::new(-1e300).unwrap_err(), "-1e300 is out of range: the number must be above 0");
    }
}
