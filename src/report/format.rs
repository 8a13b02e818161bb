//! Numbers as text for people. What is not finite becomes a dash, so that no page shows `NaN`.

/// What stands for a number that is missing or not finite.
pub(super) const DASH: &str = "–";

/// A number with a fixed count of decimals and commas between thousands.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return DASH.to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if value < 0.0 && !is_zero { "−" } else { "" };
    format!("{sign}{}{rest}", with_commas(whole))
}

/// A count with commas between thousands: `60,000`.
pub(super) fn count(value: u64) -> String {
    with_commas(&value.to_string())
}

/// A count of things: `1 image`, `60,000 images`.
pub(super) fn counted(value: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(value), if value == 1 { "" } else { "s" })
}

/// A word at the beginning of a sentence: `Test`.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A share as a percentage with two decimals: `94.21 %`.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{}\u{202f}%", fixed(share * 100.0, 2)) } else { DASH.to_owned() }
}

/// A signed difference of two shares in percentage points: `+0.42`.
pub(super) fn points(difference: f64) -> String {
    let text = fixed(difference * 100.0, 2);
    if difference > 0.0 && text != "0.00" && text != DASH { format!("+{text}") } else { text }
}

/// A large count in steps of a thousand: `58.3 MFLOP` for 58,300,000 and the unit `FLOP`.
pub(super) fn magnitude(value: u64, unit: &str) -> String {
    let prefixes = ["", "k", "M", "G", "T", "P", "E"];
    let mut scaled = value as f64;
    let mut prefix = 0;
    while scaled >= 999.5 && prefix + 1 < prefixes.len() {
        scaled /= 1000.0;
        prefix += 1;
    }
    let decimals = if prefix == 0 || scaled >= 99.95 { 0 } else { 1 };
    format!("{}\u{202f}{}{unit}", fixed(scaled, decimals), prefixes[prefix])
}

/// A duration: `8.3 s`, `4 min 12 s`, `2 h 05 min`.
pub(super) fn seconds(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return DASH.to_owned();
    }
    let whole = value.round();
    if value < 59.95 {
        format!("{value:.1}\u{202f}s")
    } else if whole < 3600.0 {
        format!("{}\u{202f}min {:02}\u{202f}s", (whole / 60.0).floor(), whole % 60.0)
    } else {
        let minutes = (value / 60.0).round();
        format!("{}\u{202f}h {:02}\u{202f}min", with_commas(&(minutes / 60.0).floor().to_string()), minutes % 60.0)
    }
}

/// A p-value: `0.034`, or `< 0.001`.
pub(super) fn p_value(value: f64) -> String {
    if value.is_finite() && value < 0.001 { "<\u{202f}0.001".to_owned() } else { fixed(value, 3) }
}

/// A number of any size with up to `digits` significant digits: `0.001`, `3.2e-7`, `12,500`.
pub(super) fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return DASH.to_owned();
    }
    let digits = digits.max(1);
    let scientific = format!("{:.*e}", digits - 1, value);
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if value != 0.0 && !(-4..=8).contains(&exponent) {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return format!("{}e{exponent}", trim_zeros(mantissa)).replace('-', "−").replace("e−", "e-");
    }
    let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    trim_zeros(&fixed(value, decimals)).to_owned()
}

/// A value of JSON as a person would write it: text without quotes, numbers rounded to five digits.
pub(super) fn json(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) if number.is_f64() => significant(number.as_f64().unwrap_or(f64::NAN), 5),
        other => other.to_string(),
    }
}

/// Text of at most `length` characters; the end of a longer one becomes an ellipsis.
pub(super) fn shortened(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(length.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

fn with_commas(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cases: &[(String, &str)]) {
        for (text, expected) in cases {
            assert_eq!(text.replace('\u{202f}', " "), *expected);
        }
    }

    #[test]
    fn numbers_are_written_for_people() {
        check(&[
            (fixed(1234567.891, 2), "1,234,567.89"),
            (fixed(-0.001, 2), "0.00"),
            (fixed(-1.5, 1), "−1.5"),
            (fixed(f64::NAN, 2), DASH),
            (count(999), "999"),
            (count(60_000), "60,000"),
            (counted(1, "image"), "1 image"),
            (counted(60_000, "image"), "60,000 images"),
            (percent(0.94214), "94.21 %"),
            (percent(f64::INFINITY), DASH),
            (points(0.0042), "+0.42"),
            (points(-0.0042), "−0.42"),
            (points(0.0), "0.00"),
            (points(0.000_001), "0.00"),
            (points(f64::NAN), DASH),
            (p_value(0.0004), "< 0.001"),
            (p_value(0.0341), "0.034"),
            (p_value(f64::NAN), DASH),
        ]);
    }

    #[test]
    fn sizes_get_a_prefix() {
        check(&[
            (magnitude(0, "FLOP"), "0 FLOP"),
            (magnitude(950, "FLOP"), "950 FLOP"),
            (magnitude(999_600, "FLOP"), "1.0 MFLOP"),
            (magnitude(58_300_000, "FLOP"), "58.3 MFLOP"),
            (magnitude(583_000_000, "FLOP"), "583 MFLOP"),
            (magnitude(u64::MAX, "B"), "18.4 EB"),
        ]);
    }

    #[test]
    fn durations_carry_into_the_next_unit() {
        check(&[
            (seconds(0.04), "0.0 s"),
            (seconds(8.34), "8.3 s"),
            (seconds(59.96), "1 min 00 s"),
            (seconds(252.0), "4 min 12 s"),
            (seconds(3599.7), "1 h 00 min"),
            (seconds(7500.0), "2 h 05 min"),
            (seconds(f64::NAN), DASH),
        ]);
    }

    #[test]
    fn significant_digits_fit_any_size() {
        check(&[
            (significant(0.001, 3), "0.001"),
            (significant(0.000_000_32, 3), "3.2e-7"),
            (significant(-0.000_000_32, 3), "−3.2e-7"),
            (significant(12_500.0, 3), "12,500"),
            (significant(0.0, 3), "0"),
            (significant(100.0, 2), "100"),
            (significant(0.123_456, 3), "0.123"),
            (significant(1e300, 2), "1e300"),
            (json(&serde_json::json!("elu")), "elu"),
            (json(&serde_json::json!(128)), "128"),
            (json(&serde_json::json!(0.300_000_01)), "0.3"),
            (json(&serde_json::json!([1, 2])), "[1,2]"),
        ]);
    }

    #[test]
    fn long_text_is_shortened_by_characters() {
        check(&[(shortened("Größe", 5), "Größe"), (shortened("Größe der Tür", 8), "Größe d…"), (shortened("ab cd", 4), "ab…")]);
    }
}
