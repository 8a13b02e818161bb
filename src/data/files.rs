//! Raw files of a data set that lie outside the cache: where they are, what they hold, and how to tell that they changed.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::ImageShape;
use crate::digest::Digest;
use crate::fs;

const FILE: &str = "files.json";

/// The raw files that a `fetch` stage vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileList {
    /// The name of the data set.
    pub name: String,
    /// Whether the images were drawn by the program.
    pub synthetic: bool,
    /// The shape of every image.
    pub shape: ImageShape,
    /// The name of each class; its position is the label.
    pub classes: Vec<String>,
    /// The folder the files are in.
    pub dir: PathBuf,
    /// The files.
    pub files: Vec<RawFile>,
}

/// One raw file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawFile {
    /// Its path, relative to [`FileList::dir`].
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// The digest of its content.
    pub blake3: Digest,
}

impl FileList {
    /// Writes the list into the folder of a stage's output.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&self, out: &Path) -> Result<()> {
        fs::write_json(&out.join(FILE), self)
    }

    /// Reads what [`FileList::save`] wrote.
    ///
    /// # Errors
    /// When the file is missing or damaged; names it.
    pub fn load(out: &Path) -> Result<Self> {
        fs::read_json(&out.join(FILE))
    }

    /// The path of every file, [`FileList::dir`] included.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.files.iter().map(|file| self.dir.join(&file.path))
    }

    /// The file at `path`, which includes [`FileList::dir`].
    pub fn find(&self, path: &Path) -> Option<&RawFile> {
        let path = path.strip_prefix(&self.dir).ok()?;
        self.files.iter().find(|file| file.path == path)
    }
}

impl RawFile {
    /// Describes the file at `path`, below `dir`, as it is now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(dir: &Path, path: &Path) -> Result<Self> {
        let whole = dir.join(path);
        let blake3 = fs::digest(&whole)?;
        let bytes = fs::stamp(&whole).map_or(0, |stamp| stamp.bytes);
        Ok(Self { path: path.to_owned(), bytes, blake3 })
    }
}
