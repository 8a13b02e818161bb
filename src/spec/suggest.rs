//! What the user may have meant.

use crate::quote::excerpt;

/// The longest name that may be a slip of another, in bytes: distances take the square of it.
const LONGEST: usize = 100;

#[cfg(test)]
thread_local! {
    /// How many distances were computed on this thread.
    pub(super) static DISTANCES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The candidate nearest to `typed`, if it is near enough to be a slip: other case, `-` for `_`, a typing error in every
/// three letters (Damerau–Levenshtein), or one name the beginning of the other.
pub(super) fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    if typed.len() > LONGEST {
        return None;
    }
    let typed = plain(typed);
    let letters = typed.chars().count();
    let distance = |candidate: &str| {
        if candidate.len() > LONGEST {
            return None;
        }
        let candidate = plain(candidate);
        let others = candidate.chars().count();
        // Every letter that is missing or too many counts.
        let (least, allowed) = (letters.abs_diff(others), letters.max(3) / 3);
        if letters.min(others) >= 3 && (candidate.starts_with(&typed) || typed.starts_with(&candidate)) {
            return Some(least);
        }
        if least > allowed {
            return None;
        }
        #[cfg(test)]
        DISTANCES.with(|count| count.set(count.get() + 1));
        Some(strsim::damerau_levenshtein(&typed, &candidate)).filter(|distance| *distance <= allowed)
    };
    candidates.into_iter().filter_map(|name| Some((distance(name)?, name))).min_by_key(|near| near.0).map(|near| near.1)
}

/// ``did you mean `epochs`?``, or ``known here are `data`, `epochs` `` where nothing is near; `None` without candidates.
pub(super) fn did_you_mean(typed: &str, candidates: &[&str], introduction: &str) -> Option<String> {
    match nearest(typed, candidates.iter().copied()) {
        Some(near) => Some(format!("did you mean `{}`?", excerpt(near))),
        None if candidates.is_empty() => None,
        None => Some(format!("{introduction} {}", list(candidates))),
    }
}

/// `` `a`, `b`, `c` ``, at most twenty of them.
pub(super) fn list<S: AsRef<str>>(names: &[S]) -> String {
    let shown = names.iter().take(20).map(|name| format!("`{}`", excerpt(name.as_ref()))).collect::<Vec<_>>().join(", ");
    if names.len() > 20 { format!("{shown}, … ({} in all)", names.len()) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slips_are_near() {
        let known = ["epochs", "batch_size", "data", "learning_rate", "seed"];
        for (typed, near) in [
            ("epoch", Some("epochs")),
            ("Epochs", Some("epochs")),
            ("batch-size", Some("batch_size")),
            ("dtaa", Some("data")),
            ("learning", Some("learning_rate")),
            ("x", None),
            ("flip", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), near, "{typed}");
        }
    }

    #[test]
    fn names_too_long_or_too_unlike_are_not_measured() {
        DISTANCES.set(0);
        let long = "a".repeat(500_000);
        assert_eq!(nearest(&long, [long.as_str(), "epochs"]), None);
        assert_eq!(nearest("epochs", [long.as_str(), "learning_rate"]), None);
        assert_eq!(DISTANCES.get(), 0);
        assert_eq!(nearest("epohcs", ["epochs"]), Some("epochs"));
        assert_eq!(DISTANCES.get(), 1);
    }

    #[test]
    fn without_a_near_name_the_known_ones_are_listed() {
        assert_eq!(did_you_mean("flip", &["data", "seed"], "known here are").unwrap(), "known here are `data`, `seed`");
        assert_eq!(did_you_mean("flip", &[], "known here are"), None);
        let many: Vec<String> = (0..30).map(|number| format!("s{number}")).collect();
        assert!(list(&many).ends_with("`s19`, … (30 in all)"));
    }
}
