//! Mending a cached output from its published copies: many files lie in two places, and seldom are both damaged.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::lockfile::Record;
use super::stamps::Stamps;
use super::store::{Content, Store};
use crate::digest::Digest;
use crate::fs;

/// A file of a cached output that is to be replaced by its published copy.
pub(super) struct Mend {
    from: PathBuf,
    to: PathBuf,
    content: Content,
}

/// How the damaged output under `key` can be mended; `None` if it cannot.
///
/// # Errors
/// Names the path and the system's reason.
pub(super) fn find(
    store: &Store,
    key: Digest,
    record: Option<&Record>,
    artifacts: &Path,
    stamps: &Stamps,
) -> Result<Option<Vec<Mend>>> {
    let Some(record) = record.filter(|record| record.key == key) else { return Ok(None) };
    let Some(damaged) = store.damaged_files(key, record.output, stamps)? else { return Ok(None) };
    let mut mends = Vec::new();
    for (name, to, content) in damaged {
        let places = record.published.iter().filter(|(_, file)| **file == name).map(|(place, _)| artifacts.join(place));
        let is_whole = |path: &PathBuf| {
            fs::stamp(path).is_some_and(|stamp| stamp.bytes == content.bytes)
                && stamps.read(path).is_ok_and(|digest| digest == content.blake3)
        };
        match places.into_iter().find(is_whole) {
            Some(from) => mends.push(Mend { from, to, content }),
            None => return Ok(None),
        }
    }
    Ok(Some(mends).filter(|mends| !mends.is_empty()))
}

/// Replaces the damaged files. Says what was done, or `None` if a copy turned out to be damaged too.
///
/// # Errors
/// Names the paths and the system's reason.
pub(super) fn mend(mends: &[Mend]) -> Result<Option<String>> {
    let mut said = Vec::new();
    for Mend { from, to, content } in mends {
        if !fs::copy_checked(from, to, content.blake3)? {
            return Ok(None);
        }
        said.push(format!("`{}` from `{}`", to.display(), from.display()));
    }
    Ok(Some(format!("what was damaged in the cache is mended: {}", said.join(", "))))
}
