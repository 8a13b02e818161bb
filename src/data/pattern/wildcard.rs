//! `*` and `?`: the files of a folder that fit.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::natural_order;
use crate::fs;

/// Whether a text has wildcards.
pub(super) fn is_wild(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// What exists below `base` and fits `pattern`, in natural order. A pattern without wildcards fits one path.
///
/// # Errors
/// When a folder cannot be listed.
pub(super) fn matches(base: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for part in Path::new(pattern).components() {
        let part = part.as_os_str().to_string_lossy();
        if !is_wild(&part) {
            for path in &mut found {
                path.push(&*part);
            }
            continue;
        }
        let mut next = Vec::new();
        for folder in found {
            let place = Path::new(".").join(base).join(&folder);
            if !place.is_dir() {
                continue;
            }
            let mut names = fs::entries(&place)?;
            names.retain(|name| fits(name, &part));
            names.sort_by(|a, b| natural_order(a, b));
            next.extend(names.iter().map(|name| folder.join(name)));
        }
        found = next;
    }
    Ok(found.into_iter().map(|path| base.join(path)).filter(|path| path.exists()).collect())
}

/// Whether a file at `path` would be among [`matches`] if it were there. Folders that fit must be there, unless they are written out.
pub(super) fn would_match(base: &Path, pattern: &str, path: &Path) -> bool {
    let (pattern, Some(name)) = (Path::new(pattern), path.file_name().map(|name| name.to_string_lossy())) else { return false };
    let wanted = pattern.file_name().map(|wanted| wanted.to_string_lossy()).unwrap_or_default();
    let is_named = if is_wild(&wanted) { fits(&name, &wanted) } else { name == wanted };
    if !is_named {
        return false;
    }
    let (above, own) = (pattern.parent().unwrap_or(Path::new("")), path.parent().unwrap_or(Path::new("")));
    let above = above.to_string_lossy();
    let folders = if is_wild(&above) { matches(base, &above).unwrap_or_default() } else { vec![base.join(&*above)] };
    let here = Path::new(".");
    folders.iter().any(|folder| fs::is_same(&here.join(folder), &here.join(own)))
}

/// Whether a file name fits a pattern. A leading dot must be written.
fn fits(name: &str, pattern: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (name, pattern): (Vec<char>, Vec<char>) = (name.chars().collect(), pattern.chars().collect());
    let (mut at, mut wanted) = (0, 0);
    let mut retry: Option<(usize, usize)> = None; // (place in the name, place after the last star)
    while at < name.len() {
        match pattern.get(wanted) {
            Some('*') => {
                wanted += 1;
                retry = Some((at, wanted));
            }
            Some(&c) if c == '?' || c == name[at] => {
                at += 1;
                wanted += 1;
            }
            _ => match retry {
                Some((from, after)) => {
                    at = from + 1;
                    wanted = after;
                    retry = Some((at, after));
                }
                None => return false,
            },
        }
    }
    pattern[wanted..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_there_yet_would_match_or_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(&dir.path().join("a")).unwrap();
        for (pattern, path, expected) in [
            ("*.csv", "x.csv", true),
            ("./*.csv", "a/../x.csv", true),
            ("a/x.csv", "a/x.csv", true),
            ("a/x.csv", "a/y.csv", false),
            ("*.csv", "a/x.csv", false),
            ("*/x.csv", "a/x.csv", true),
            ("new/*", "new/x.csv", true),
            ("*/x.csv", "new/x.csv", false),
        ] {
            assert_eq!(would_match(dir.path(), pattern, &dir.path().join(path)), expected, "{pattern} {path}");
        }
        assert!(would_match(Path::new(""), "*.csv", Path::new("x.csv")));
    }

    #[test]
    fn names_fit_or_do_not() {
        for (name, pattern, expected) in [
            ("a.csv", "*.csv", true),
            ("a.csv", "*", true),
            ("a.csv", "?.csv", true),
            ("ab.csv", "?.csv", false),
            ("é.csv", "?.csv", true),
            ("aXbXc", "a*X*c", true),
            ("aXbXd", "a*X*c", false),
            ("abab", "*ab", true),
            ("a.csv.gz", "*.csv", false),
            (".hidden.csv", "*.csv", false),
            (".hidden.csv", ".*.csv", true),
            ("", "*", true),
            ("a[1].csv", "a[1].*", true),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
        }
    }
}
