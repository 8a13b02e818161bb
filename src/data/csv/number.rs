//! Whole numbers however they are written: `12`, `012`, `12.0`, `1.2e+01`.

/// The whole number from 0 to `u32::MAX` that a text stands for, exactly; white space around it is passed over.
///
/// Minus zero is zero; fractions, other negative numbers and words such as `inf` are no whole numbers.
pub(super) fn whole(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii();
    let (negative, text) = match text.split_first() {
        Some((b'+', rest)) => (false, rest),
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (before, after) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    let digits = || before.iter().chain(after);
    if digits().next().is_none() || !digits().all(u8::is_ascii_digit) {
        return None;
    }
    // The digits before the point once it has moved by the exponent; all after it must be zero.
    let point = i64::try_from(before.len()).ok()?.checked_add(exponent)?;
    let mut value = 0_u32;
    let mut place = 0_i64;
    for digit in digits().map(|digit| u32::from(digit - b'0')) {
        if place < point {
            value = value.checked_mul(10)?.checked_add(digit)?;
        } else if digit != 0 {
            return None;
        }
        place += 1;
    }
    while place < point && value > 0 {
        value = value.checked_mul(10)?;
        place += 1;
    }
    if negative && value > 0 {
        return None;
    }
    Some(value)
}

fn exponent(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether a text is a number, whole or not, with a decimal point or a decimal comma.
pub(super) fn is_number(text: &str) -> bool {
    text.replacen(',', ".", 1).parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for (text, expected) in [
            ("12", Some(12)),
            (" 012 ", Some(12)),
            ("12.", Some(12)),
            ("12.000", Some(12)),
            ("1.2e+01", Some(12)),
            ("1.000000000000000000e+02", Some(100)),
            ("2550E-1", Some(255)),
            ("0.0e+00", Some(0)),
            (".0", Some(0)),
            ("-0.0", Some(0)),
            ("+7", Some(7)),
            ("0e999999999", Some(0)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("99999999999999999999999", None),
            ("1e999999999", None),
            ("1e9999999999", None),
            ("0.5", None),
            ("0.99999999999999999999", None),
            ("1.2e0", None),
            ("1e-1", None),
            ("-1", None),
            ("12,0", None),
            ("1_0", None),
            ("0x1", None),
            ("inf", None),
            ("NaN", None),
            ("", None),
            (".", None),
            ("e1", None),
            ("1e", None),
            ("1e+", None),
            ("--1", None),
            ("1.2.3", None),
        ] {
            assert_eq!(whole(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_number_may_have_a_decimal_comma() {
        assert!(["7", "-1", "0.5", "77,0", "1e3"].into_iter().all(is_number));
        assert!(!["", ",", "a", "1,2,3", "1;2"].into_iter().any(is_number));
    }

    proptest! {
        #[test]
        fn whole_numbers_survive_every_spelling(value in 0_u32..70_000, zeros in 0_usize..20, shift in 0_i32..6) {
            prop_assert_eq!(whole(format!("{value}.{}", "0".repeat(zeros)).as_bytes()), Some(value));
            prop_assert_eq!(whole(format!("{:e}", f64::from(value)).as_bytes()), Some(value));
            let shifted = format!("{value}{}e-{shift}", "0".repeat(shift as usize));
            prop_assert_eq!(whole(shifted.as_bytes()), Some(value));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9+.eE-]{0,12}") {
            if let Some(value) = whole(text.as_bytes()) {
                prop_assert!((text.parse::<f64>().unwrap() - f64::from(value)).abs() < 1e-9);
            }
        }
    }
}
