//! What the user may have meant.

use crate::quote::excerpt;

/// The candidate nearest to `typed`, if it is near enough to be a slip: other case, `-` for `_`, a typing error in every
/// three letters (Damerau–Levenshtein), or one name the beginning of the other.
pub(super) fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let typed = plain(typed);
    let distance = |candidate: &str| {
        let candidate = plain(candidate);
        let distance = strsim::damerau_levenshtein(&typed, &candidate);
        let allowed = typed.chars().count().max(3) / 3;
        let shorter = typed.chars().count().min(candidate.chars().count());
        let continues = shorter >= 3 && (candidate.starts_with(&typed) || typed.starts_with(&candidate));
        (distance <= allowed || continues).then_some(distance)
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
    fn without_a_near_name_the_known_ones_are_listed() {
        assert_eq!(did_you_mean("flip", &["data", "seed"], "known here are").unwrap(), "known here are `data`, `seed`");
        assert_eq!(did_you_mean("flip", &[], "known here are"), None);
        let many: Vec<String> = (0..30).map(|number| format!("s{number}")).collect();
        assert!(list(&many).ends_with("`s19`, … (30 in all)"));
    }
}
