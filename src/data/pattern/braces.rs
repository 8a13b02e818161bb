//! `{1..6}` and `{a,b}`: the texts that a pattern with braces spells out.

use crate::quote::{self, excerpt};

/// More parts than this, of a pattern or of a list of them, are taken for a slip of the pen.
pub(super) const MOST_PARTS: usize = 100_000;

/// As are texts of more bytes in all.
pub(super) const MOST_BYTES: usize = 1 << 25;

/// The most digits of a number in a range, leading zeros included.
const MOST_DIGITS: usize = 20;

/// Every text that `pattern` stands for, the first braces varying slowest. Braces are not nested.
///
/// # Errors
/// Says what is wrong with the braces.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let shown = quote::excerpt(pattern);
    let mut texts = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((inside, after)) = after.split_once('}') else {
            return Err(format!("`{shown}` opens a brace that nothing closes"));
        };
        let choices = choices(inside).map_err(|why| format!("`{shown}`: {why}"))?;
        let parts = choices.len() * texts.len();
        if parts > MOST_PARTS {
            return Err(format!("`{shown}` names more than {MOST_PARTS} files"));
        }
        if parts * pattern.len() > MOST_BYTES {
            return Err(format!("`{shown}` spells out more than {} MB of names", MOST_BYTES >> 20));
        }
        check_closed(&shown, before)?;
        texts = texts.iter().flat_map(|text| choices.iter().map(move |choice| format!("{text}{before}{choice}"))).collect();
        rest = after;
    }
    check_closed(&shown, rest)?;
    for text in &mut texts {
        text.push_str(rest);
    }
    Ok(texts)
}

fn check_closed(shown: &str, outside: &str) -> Result<(), String> {
    if outside.contains('}') { Err(format!("`{shown}` closes a brace that nothing opens")) } else { Ok(()) }
}

fn choices(inside: &str) -> Result<Vec<String>, String> {
    if inside.contains('{') {
        return Err("braces within braces are not known here".to_owned());
    }
    if let Some((first, last)) = inside.split_once("..") {
        return range(first, last);
    }
    if inside.contains(',') {
        return Ok(inside.split(',').map(str::to_owned).collect());
    }
    let inside = quote::excerpt(inside);
    Err(format!("`{{{inside}}}` is neither a range such as `{{1..6}}` nor a list such as `{{a,b}}`"))
}

fn range(first: &str, last: &str) -> Result<Vec<String>, String> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| is_number && text.len() <= MOST_DIGITS).ok_or_else(|| {
            format!("`{{{}..{}}}` is not a range of whole numbers such as `{{1..6}}`", excerpt(first), excerpt(last))
        })
    };
    let (from, to) = (number(first)?, number(last)?);
    if usize::try_from(from.abs_diff(to)).is_ok_and(|steps| steps >= MOST_PARTS) {
        return Err(format!("`{{{}..{}}}` names more than {MOST_PARTS} files", excerpt(first), excerpt(last)));
    }
    let padded = [first, last].into_iter().any(|text| text.len() > 1 && text.starts_with('0'));
    let width = if padded { first.len().max(last.len()) } else { 0 };
    let text = |number: u32| format!("{number:0width$}");
    Ok(if from <= to { (from..=to).map(text).collect() } else { (to..=from).rev().map(text).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expected: &[&str]) {
        assert_eq!(expand(pattern).unwrap(), expected, "{pattern}");
    }

    #[test]
    fn braces_spell_out_ranges_and_lists() {
        check("plain *.csv", &["plain *.csv"]);
        check("p{1..3}.csv", &["p1.csv", "p2.csv", "p3.csv"]);
        check("p{08..10}", &["p08", "p09", "p10"]);
        check("{3..2}", &["3", "2"]);
        check("{a,b,}x", &["ax", "bx", "x"]);
        check("{a,b}{1..2}", &["a1", "a2", "b1", "b2"]);
    }

    #[test]
    fn wrong_braces_are_explained() {
        let error = |pattern: &str| expand(pattern).unwrap_err();
        insta::assert_snapshot!(error("p{1..6.csv"), @"`p{1..6.csv` opens a brace that nothing closes");
        insta::assert_snapshot!(error("p1..6}.csv"), @"`p1..6}.csv` closes a brace that nothing opens");
        insta::assert_snapshot!(error("p{1}.csv"), @"`p{1}.csv`: `{1}` is neither a range such as `{1..6}` nor a list such as `{a,b}`");
        insta::assert_snapshot!(error("p{a..c}.csv"), @"`p{a..c}.csv`: `{a..c}` is not a range of whole numbers such as `{1..6}`");
        insta::assert_snapshot!(error("p{-1..2}.csv"), @"`p{-1..2}.csv`: `{-1..2}` is not a range of whole numbers such as `{1..6}`");
        insta::assert_snapshot!(error("{a,{b,c}}"), @"`{a,{b,c}}`: braces within braces are not known here");
        insta::assert_snapshot!(error("{1..4000000000}"), @"`{1..4000000000}`: `{1..4000000000}` names more than 100000 files");
        let zeros = "0".repeat(100_000);
        assert!(error(&format!("{{{zeros}1..2}}")).ends_with("0…..2}` is not a range of whole numbers such as `{1..6}`"));
        assert!(error(&format!("{zeros}{{1..9999}}")).ends_with("spells out more than 32 MB of names"));
        insta::assert_snapshot!(error("{1..1000}{1..1000}"), @"`{1..1000}{1..1000}` names more than 100000 files");
    }
}
