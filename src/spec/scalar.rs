//! What a plain scalar means: the core schema of YAML 1.2 (§ 10.3.2), where `yes` and `1_000` are text.

/// A plain scalar, understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Integer(i128),
    /// Also an integer beyond `i128`; infinite where the number is too large to hold.
    Float(f64),
    Text,
}

/// Reads an unquoted scalar.
pub(super) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return Scalar::Bool(true),
        "false" | "False" | "FALSE" => return Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        _ => {}
    }
    let (negative, digits) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Scalar::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let all = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
            return match i128::from_str_radix(digits, radix) {
                Ok(value) if all => Scalar::Integer(value),
                _ => Scalar::Text,
            };
        }
    }
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_or_else(|_| float(text), Scalar::Integer);
    }
    let starts_as_number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let only_number = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if starts_as_number && only_number { float(text) } else { Scalar::Text }
}

fn float(text: &str) -> Scalar {
    text.parse().map_or(Scalar::Text, Scalar::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_schema() {
        for (text, scalar) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("null", Scalar::Null),
            ("nULL", Scalar::Text),
            ("true", Scalar::Bool(true)),
            ("False", Scalar::Bool(false)),
            ("yes", Scalar::Text),
            ("off", Scalar::Text),
            ("12", Scalar::Integer(12)),
            ("-12", Scalar::Integer(-12)),
            ("+12", Scalar::Integer(12)),
            ("012", Scalar::Integer(12)),
            ("0o17", Scalar::Integer(15)),
            ("0xfF", Scalar::Integer(255)),
            ("0x", Scalar::Text),
            ("0x-1", Scalar::Text),
            ("-0x1", Scalar::Text),
            ("1_000", Scalar::Text),
            ("1e-4", Scalar::Float(1e-4)),
            ("1.0E+3", Scalar::Float(1000.0)),
            ("-.5", Scalar::Float(-0.5)),
            ("1.", Scalar::Float(1.0)),
            (".", Scalar::Text),
            ("-", Scalar::Text),
            ("+-1", Scalar::Text),
            ("1.2.3", Scalar::Text),
            ("e5", Scalar::Text),
            (".inf", Scalar::Float(f64::INFINITY)),
            ("-.Inf", Scalar::Float(f64::NEG_INFINITY)),
            ("inf", Scalar::Text),
            ("infinity", Scalar::Text),
            ("nan", Scalar::Text),
            ("12:30", Scalar::Text),
            ("é", Scalar::Text),
        ] {
            assert_eq!(resolve(text), scalar, "{text}");
        }
        assert!(matches!(resolve(".NaN"), Scalar::Float(value) if value.is_nan()));
        assert_eq!(resolve(&"9".repeat(40)), Scalar::Float(1e40));
    }
}
