//! Patterns: how a user names many files at once.
//!
//! | written | means |
//! |---|---|
//! | `Train {1..6}.csv` | six files, in this order; `{01..12}` keeps the zeros |
//! | `{train,extra}.csv` | two files, in this order |
//! | `*.csv`, `part-?.csv` | every file that fits, in natural order (2 before 10); `*` and `?` stop at `/` and at a leading dot |
//!
//! What braces spell out must be there: a missing file is an error that names it. What wildcards ask for must be there at
//! least once. A file whose name is written exactly as the pattern is itself meant, so that any name can be given.

mod braces;
mod wildcard;

use std::cmp::{Ordering, Reverse};
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use schemars::JsonSchema;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fs;
use crate::quote::{self, excerpt};

/// So many missing parts are named.
const MISSING_SHOWN: usize = 5;

/// One pattern. Written as text; its braces were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty pattern names no file".to_owned());
        }
        if text.split('/').any(|name| name.contains("**")) {
            return Err(format!(
                "`{}` has `**`, which is not known here: name each folder, or write `*` for one of any name",
                excerpt(text)
            ));
        }
        if text.contains('\0') {
            return Err(format!("`{}` holds a character that no name of a file has", excerpt(text)));
        }
        braces::expand(text).map(|_| Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// The places in `paths` of those that would be meant, relative to `base`, if they were there.
    pub fn would_mean(&self, base: &Path, paths: &[&Path]) -> Vec<usize> {
        let parts = braces::expand(&self.0).unwrap_or_default();
        let is_meant = |path: &Path| parts.iter().any(|part| wildcard::would_match(base, part, path));
        (0..paths.len()).filter(|&place| is_meant(paths[place])).collect()
    }

    /// The files (or folders) that are meant, relative to `base`, in order.
    ///
    /// # Errors
    /// Names what is missing, and what is there instead.
    pub fn resolve(&self, base: &Path) -> Result<Vec<PathBuf>> {
        let literal = base.join(&self.0);
        if literal.exists() {
            return Ok(vec![literal]);
        }
        let parts = braces::expand(&self.0).map_err(anyhow::Error::msg)?;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            let matches = wildcard::matches(base, part)?;
            if matches.is_empty() {
                missing.push((index + 1, base.join(part)));
            }
            found.extend(matches);
        }
        let Some((_, first)) = missing.first() else { return Ok(found) };
        let there = what_is_there(first);
        if parts.len() == 1 {
            let verb = if wildcard::is_wild(&parts[0]) { "nothing matches" } else { "there is no file" };
            bail!("{verb} {}; {there}", quote::path(first));
        }
        let mut all: Vec<String> = missing
            .iter()
            .take(MISSING_SHOWN)
            .map(|(number, path)| format!("part {number} of {} is missing: {}", parts.len(), quote::path(path)))
            .collect();
        if missing.len() > MISSING_SHOWN {
            all.push(format!("{} more are missing", missing.len() - MISSING_SHOWN));
        }
        bail!("{}; {there}", all.join("; "));
    }
}

/// A list of patterns in the making, with all names that they spell out.
#[derive(Default)]
struct Gathered {
    patterns: Vec<Pattern>,
    named: HashSet<String>,
    bytes: usize,
}

impl Gathered {
    fn add(&mut self, pattern: Pattern) -> Result<(), String> {
        for name in braces::expand(&pattern.0)? {
            if self.named.contains(&name) {
                return Err(format!("`{}` is named twice", excerpt(&name)));
            }
            self.bytes += name.len();
            self.named.insert(name);
        }
        if self.named.len() > braces::MOST_PARTS {
            return Err(format!("the list names more than {} files", braces::MOST_PARTS));
        }
        if self.bytes > braces::MOST_BYTES {
            return Err(format!("the list spells out more than {} MB of names", braces::MOST_BYTES >> 20));
        }
        self.patterns.push(pattern);
        Ok(())
    }

    fn finish(self) -> Result<Patterns, String> {
        if self.patterns.is_empty() { Err("the list names no file".to_owned()) } else { Ok(Patterns(self.patterns)) }
    }
}

/// One pattern, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// The patterns as they were written.
    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter()
    }

    /// The files (or folders) that are meant, relative to `base`, pattern by pattern.
    ///
    /// # Errors
    /// Names what is missing, and a file that is meant twice.
    pub fn resolve(&self, base: &Path) -> Result<Vec<PathBuf>> {
        let mut all: Vec<PathBuf> = Vec::new();
        let mut named = HashSet::new();
        for pattern in &self.0 {
            for path in pattern.resolve(base)? {
                ensure!(named.insert(path.clone()), "{} is named twice by {self}", quote::path(&path));
                all.push(path);
            }
        }
        Ok(all)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            write!(f, "{}`{}`", if index == 0 { "" } else { ", " }, quote::excerpt(&pattern.0))?;
        }
        Ok(())
    }
}

impl Serialize for Patterns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Patterns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file pattern or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Patterns, E> {
                text.parse().map(|pattern| Patterns(vec![pattern])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Patterns, A::Error> {
                let mut gathered = Gathered::default();
                while let Some(pattern) = list.next_element()? {
                    gathered.add(pattern).map_err(A::Error::custom)?;
                }
                gathered.finish().map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Patterns {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Patterns".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A file pattern such as `Train {1..6}.csv` or `*.csv`, or a list of them.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }],
        })
    }
}

/// Compares names as people do: runs of digits by their value, all else by character.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    while let (Some(&x), Some(&y)) = (left.first(), right.first()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (first, second) = (digits(&mut left), digits(&mut right));
            match first.len().cmp(&second.len()).then(first.cmp(second)) {
                Ordering::Equal => {}
                other => return other,
            }
        } else if x != y {
            return x.cmp(&y);
        } else {
            (left, right) = (&left[1..], &right[1..]);
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Takes a run of digits off the front and gives it without leading zeros.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    let zeros = run.iter().take_while(|&&byte| byte == b'0').count();
    &run[zeros..]
}

/// What stands where `missing` was looked for: the nearest names of the deepest folder that exists.
fn what_is_there(missing: &Path) -> String {
    const SHOWN: usize = 3;
    let mut wanted = missing;
    let folder = loop {
        match wanted.parent() {
            None => break Path::new("."),
            Some(parent) if parent.as_os_str().is_empty() => break Path::new("."),
            Some(parent) if parent.is_dir() => break parent,
            Some(parent) => wanted = parent,
        }
    };
    if wanted != missing {
        return format!("there is no folder {}", quote::path(wanted));
    }
    let place = quote::path(folder);
    let Ok(mut names) = fs::entries(folder) else { return format!("the folder {place} cannot be listed") };
    if names.is_empty() {
        return format!("the folder {place} is empty");
    }
    let name = wanted.file_name().unwrap_or_default().to_string_lossy();
    let likeness = |other: &str| (strsim::normalized_damerau_levenshtein(&name, other) * 1e6) as u32;
    names.sort_by(|a, b| natural_order(a, b));
    names.sort_by_cached_key(|name| Reverse(likeness(name))); // a stable sort
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{}`", quote::excerpt(name))).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("the folder {place} holds {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(&dir.path().join(name), b"").unwrap();
        }
        dir
    }

    /// What a pattern (in JSON) means in a folder: names in order, or the error with the folder called `DIR`.
    fn resolve(names: &[&str], patterns: &str) -> Result<Vec<String>, String> {
        let dir = folder(names);
        let patterns: Patterns = serde_json::from_str(patterns).map_err(|error| error.to_string())?;
        let base = dir.path().to_str().unwrap();
        match patterns.resolve(dir.path()) {
            Ok(found) => {
                Ok(found.iter().map(|path| path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned()).collect())
            }
            Err(error) => Err(format!("{error:#}").replace(base, "DIR")),
        }
    }

    fn check(names: &[&str], patterns: &str, expected: &[&str]) {
        assert_eq!(resolve(names, patterns).unwrap(), expected, "{patterns}");
    }

    #[test]
    fn patterns_find_files_in_order() {
        let parts = ["p 1.csv", "p 10.csv", "p 2.csv", "q.csv", ".p 3.csv"];
        check(&parts, r#""p *.csv""#, &["p 1.csv", "p 2.csv", "p 10.csv"]);
        check(&parts, r#""p ?.csv""#, &["p 1.csv", "p 2.csv"]);
        check(&parts, r#""p {1..2}.csv""#, &["p 1.csv", "p 2.csv"]);
        check(&parts, r#""p {10,1}.csv""#, &["p 10.csv", "p 1.csv"]);
        check(&parts, r#"["q.csv", "p {2..1}.csv"]"#, &["q.csv", "p 2.csv", "p 1.csv"]);
        check(&["a/x1.csv", "b/x1.csv", "b/y"], r#""*/x*.csv""#, &["a/x1.csv", "b/x1.csv"]);
        check(&["{1..2}*.csv"], r#""{1..2}*.csv""#, &["{1..2}*.csv"]);
    }

    #[test]
    fn what_is_missing_is_named_beside_what_is_there() {
        let error = |names: &[&str], pattern: &str| resolve(names, pattern).unwrap_err();
        insta::assert_snapshot!(error(&["p1.csv", "p2.csv", "p3.csv", "p5.csv", "p6.csv"], r#""p{1..6}.csv""#), @"part 4 of 6 is missing: `DIR/p4.csv`; the folder `DIR` holds `p1.csv`, `p2.csv`, `p3.csv` and 2 more");
        insta::assert_snapshot!(error(&["p1.csv"], r#""p{1..3}.csv""#), @"part 2 of 3 is missing: `DIR/p2.csv`; part 3 of 3 is missing: `DIR/p3.csv`; the folder `DIR` holds `p1.csv`");
        insta::assert_snapshot!(error(&["p1.csv"], r#""p{1..1000}.csv""#), @"part 2 of 1000 is missing: `DIR/p2.csv`; part 3 of 1000 is missing: `DIR/p3.csv`; part 4 of 1000 is missing: `DIR/p4.csv`; part 5 of 1000 is missing: `DIR/p5.csv`; part 6 of 1000 is missing: `DIR/p6.csv`; 994 more are missing; the folder `DIR` holds `p1.csv`");
        insta::assert_snapshot!(error(&["a\nb\u{1b}[2J"], r#""a.csv""#), @r"there is no file `DIR/a.csv`; the folder `DIR` holds `a\nb\u{1b}[2J`");
        insta::assert_snapshot!(error(&["train.csv.gz", "test.csv"], r#""train.csv""#), @"there is no file `DIR/train.csv`; the folder `DIR` holds `train.csv.gz`, `test.csv`");
        insta::assert_snapshot!(error(&["train.txt"], r#""*.csv""#), @"nothing matches `DIR/*.csv`; the folder `DIR` holds `train.txt`");
        insta::assert_snapshot!(error(&["train.txt"], r#""raw/1/*.csv""#), @"nothing matches `DIR/raw/1/*.csv`; there is no folder `DIR/raw`");
        insta::assert_snapshot!(error(&["raw/.csv"], r#""raw/*.csv""#), @"nothing matches `DIR/raw/*.csv`; the folder `DIR/raw` holds `.csv`");
        insta::assert_snapshot!(error(&[], r#""*.csv""#), @"nothing matches `DIR/*.csv`; the folder `DIR` is empty");
        insta::assert_snapshot!(error(&["p1.csv"], r#"["p1.csv", "*.csv"]"#), @"`DIR/p1.csv` is named twice by `p1.csv`, `*.csv`");
        insta::assert_snapshot!(error(&[], "[]"), @"the list names no file at line 1 column 2");
        insta::assert_snapshot!(error(&[], "7"), @"invalid type: integer `7`, expected a file pattern or a list of them at line 1 column 1");
        insta::assert_snapshot!(error(&[], r#""a/**/b""#), @"`a/**/b` has `**`, which is not known here: name each folder, or write `*` for one of any name at line 1 column 8");
    }

    #[test]
    fn a_list_names_no_more_files_than_one_pattern_may() {
        let list = |pattern: &str| {
            let patterns: Vec<String> = (1..=1000).map(|number| format!("{number}-{pattern}")).collect();
            let read = serde_json::from_value::<Patterns>(patterns.into());
            read.map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(list("{1..100}.csv"), Ok(()));
        assert_eq!(list("{1..100000}.csv"), Err("the list names more than 100000 files".to_owned()));
        let long = format!("{{1..100}}{}", "x".repeat(4000));
        assert_eq!(list(&long), Err("the list spells out more than 32 MB of names".to_owned()));
    }

    #[test]
    fn patterns_are_written_as_they_were_read() {
        for text in [r#""p{1..6}.csv""#, r#"["a.csv","b*.csv"]"#] {
            let patterns: Patterns = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&patterns).unwrap(), text);
        }
    }

    #[test]
    fn numbers_in_names_count_by_value() {
        let mut names = vec!["a10", "a2", "a02", "b", "a2b", "a", "10", "9"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["9", "10", "a", "a02", "a2", "a2b", "a10", "b"]);
    }

    proptest! {
        #[test]
        fn natural_order_is_an_order(mut names in proptest::collection::vec("[a0-2]{0,4}", 3)) {
            names.sort_by(|a, b| natural_order(a, b));
            prop_assert!(natural_order(&names[0], &names[2]) != Ordering::Greater);
            prop_assert_eq!(natural_order(&names[0], &names[1]) == Ordering::Equal, names[0] == names[1]);
            prop_assert_eq!(natural_order(&names[1], &names[0]), natural_order(&names[0], &names[1]).reverse());
        }

        #[test]
        fn any_text_is_a_pattern_or_an_error(text in "[a{}.,*?0-9-]{0,12}") {
            let empty = tempfile::tempdir().unwrap();
            if let Ok(pattern) = text.parse::<Pattern>() {
                let found = pattern.resolve(empty.path()).unwrap_or_default();
                prop_assert!(found.iter().all(|path| path.exists()));
            }
        }
    }
}
