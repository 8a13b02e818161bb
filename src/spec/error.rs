//! What goes wrong while a value is read, before it has a place.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::suggest::did_you_mean;
use crate::quote::excerpt;

#[derive(Debug)]
pub(super) enum Error {
    /// A part deeper in the value failed, is noted, and will be skipped: read again.
    Again,
    /// The value cannot be read, and why is noted already.
    Reported,
    /// A mapping lacks this field.
    Missing(&'static str),
    /// Something else was expected, namely this.
    Unfit(String),
    /// What a type says of a value that it refuses; the value's key goes before it.
    Refused(String),
    /// A whole message and what to do.
    Text(String, Option<String>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again | Self::Reported => f.write_str("already reported"),
            Self::Missing(field) => write!(f, "`{field}` is missing"),
            Self::Unfit(wanted) => write!(f, "{wanted} is needed"),
            Self::Refused(message) | Self::Text(message, _) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Refused(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Unfit(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Unfit(expected.to_string())
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::Refused(format!("{expected} is needed, and here are {length} values"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::Text(format!("`{}` is not known here", excerpt(variant)), did_you_mean(variant, expected, "it can be"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::Text(format!("`{}` is not known here", excerpt(field)), did_you_mean(field, expected, "known here are"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::Text(format!("`{field}` is given twice"), None)
    }
}
