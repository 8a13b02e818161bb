//! Files outside the cache that a stage's output vouches for.
//!
//! A stage that puts files elsewhere (raw data into `data/`, say) lists them in [`FILE_NAME`] in its output folder. Its
//! cached output then counts only while those files are as listed; otherwise the stage runs again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::key::Reason;
use super::stamps::Stamps;
use crate::digest::Digest;
use crate::fs;

/// The name of the list in the output folder.
pub const FILE_NAME: &str = "outside.json";

/// One file outside the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideFile {
    /// Where it is; a relative path starts at the program's working folder.
    pub path: PathBuf,
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of the content.
    pub blake3: Digest,
}

impl OutsideFile {
    /// Measures the file `path` as it is now.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn of(path: &Path) -> Result<Self> {
        let bytes = fs::stamp(path).with_context(|| format!("there is no file `{}`", path.display()))?.bytes;
        Ok(Self { path: path.to_owned(), bytes, blake3: fs::digest(path)? })
    }
}

/// Lists `files` in the output folder `out`.
///
/// # Errors
/// Names the path and the system's reason.
pub fn write_outside(out: &Path, files: &[OutsideFile]) -> Result<()> {
    fs::write_json(&out.join(FILE_NAME), files)
}

/// The files listed in the output folder `out`; none if it has no list.
///
/// # Errors
/// When the list cannot be read.
pub fn read_outside(out: &Path) -> Result<Vec<OutsideFile>> {
    let list = out.join(FILE_NAME);
    if list.exists() { fs::read_json(&list) } else { Ok(Vec::new()) }
}

/// The files listed in `out` that are missing or have changed.
pub(super) fn changes(out: &Path, stamps: &Stamps) -> Result<Vec<Reason>> {
    let mut changes = Vec::new();
    for file in read_outside(out)? {
        let missing = match fs::stamp(&file.path) {
            None => true,
            Some(stamp) if stamp.bytes != file.bytes => false,
            // Before it is called changed, it is looked at itself.
            Some(_) if stamps.blake3(&file.path)? == file.blake3 || stamps.read(&file.path)? == file.blake3 => continue,
            Some(_) => false,
        };
        changes.push(Reason::OutsideChanged { path: file.path.display().to_string(), missing });
    }
    Ok(changes)
}
