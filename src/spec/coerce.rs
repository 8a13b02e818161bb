//! Which scalars are taken where a number, a boolean or text is wanted, and what to advise where they are not.
//!
//! Nothing is guessed: `"12"` in quotes is text, `12` is a number, and neither stands for the other. Whole numbers are
//! taken where any number will do, not the other way round.

use super::error::Error;
use super::node::{Node, Value};
use super::scalar::{Scalar, resolve};
use crate::quote::excerpt;

/// A type of number that can be read.
pub(super) trait Number: Sized {
    /// What to ask for.
    const WANTED: &'static str;
    /// Whether there are no fractions.
    const WHOLE: bool;

    /// `None` if the scalar is no number of this sort.
    fn from_scalar(scalar: Scalar, text: &str) -> Option<Result<Self, Error>>;
}

macro_rules! whole {
    ($($type:ty),*) => {
        $(impl Number for $type {
            const WANTED: &'static str = "a whole number";
            const WHOLE: bool = true;

            fn from_scalar(scalar: Scalar, text: &str) -> Option<Result<Self, Error>> {
                let is_negative = match scalar {
                    Scalar::Integer(value) => match Self::try_from(value) {
                        Ok(value) => return Some(Ok(value)),
                        Err(_) => value < 0,
                    },
                    // Integers beyond 128 bits.
                    Scalar::Float(value) if text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-')) => {
                        value < 0.0
                    }
                    _ => return None,
                };
                // No bound is named: that of the option may be another than that of its type.
                let why = match (is_negative, Self::MIN) {
                    (true, 0) => "it must not be negative",
                    (true, _) => "it is too small",
                    (false, _) => "it is too large",
                };
                Some(Err(Error::Refused(format!("{} is out of range: {why}", excerpt(text)))))
            }
        })*
    };
}

whole!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! float {
    ($($type:ty),*) => {
        $(impl Number for $type {
            const WANTED: &'static str = "a number";
            const WHOLE: bool = false;

            fn from_scalar(scalar: Scalar, text: &str) -> Option<Result<Self, Error>> {
                let value = match scalar {
                    Scalar::Integer(value) => value as Self,
                    Scalar::Float(value) => value as Self,
                    _ => return None,
                };
                let not_finite = || Error::Refused(format!("{} is out of range: a finite number is needed", excerpt(text)));
                Some(if value.is_finite() { Ok(value) } else { Err(not_finite()) })
            }
        })*
    };
}

float!(f32, f64);

/// Advice where a number is wanted and something else given.
pub(super) fn to_number(node: &Node, whole: bool) -> Option<String> {
    match (&node.value, node.scalar()?) {
        (Value::Scalar { text, plain: false }, _) if is_number(text, whole) => Some("remove the quotes".to_owned()),
        (_, (Scalar::Float(value), _)) if whole && value.fract() == 0.0 && value.abs() < 1e15 => Some(format!("write {value}")),
        (_, (Scalar::Text, text)) => {
            let digits = text.replace(['_', ',', '\'', ' '], "");
            (digits != text && is_number(&digits, whole)).then(|| format!("write {}", excerpt(&digits)))
        }
        _ => None,
    }
}

/// Advice where a boolean is wanted and something else given.
pub(super) fn to_bool(node: &Node) -> Option<String> {
    match (&node.value, node.scalar()?.1.to_lowercase().as_str()) {
        (Value::Scalar { plain: false, .. }, "true" | "false") => Some("remove the quotes".to_owned()),
        (_, "yes" | "on" | "y" | "true" | "1") => Some("write `true`".to_owned()),
        (_, "no" | "off" | "n" | "false" | "0") => Some("write `false`".to_owned()),
        _ => None,
    }
}

/// Advice where text is wanted and something else given.
pub(super) fn to_text(node: &Node) -> Option<String> {
    match node.scalar()? {
        (Scalar::Text, _) => None,
        (_, text) => Some(format!("if you mean text, put it in quotes: \"{}\"", excerpt(text))),
    }
}

fn is_number(text: &str, whole: bool) -> bool {
    matches!(resolve(text), Scalar::Integer(_)) || !whole && matches!(resolve(text), Scalar::Float(value) if value.is_finite())
}
