//! Formats of labelled images on disk: one registry, one file per format.
//!
//! | name | a path is | known by |
//! |---|---|---|
//! | `csv` | a table, one image per row; may be gzip or Zstandard | text |
//! | `idx` | the images file of an MNIST pair; the labels file lies beside it; may be gzip or Zstandard | `00 00 08` |
//! | `png` | a folder with one folder of PNG and JPEG files per class | a folder |
//!
//! A new format is a new file here, a variant of [`Format`] and a line in [`Format::reader`].

mod csv;
mod folder;
mod idx;
mod listing;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::csv::{CsvLayout, CsvOptions};
use super::seen::Seen;
use super::{DataError, ImageShape, Label, open};
use crate::fs::{self, Kind};
use crate::progress::Progress;
use crate::quote;

pub(super) use self::csv::shape_told;
#[cfg(test)]
pub(super) use idx::tests::bytes as idx_bytes;

/// A format of labelled images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Whatever each file turns out to be.
    #[default]
    Auto,
    /// CSV tables.
    Csv,
    /// IDX files, as MNIST comes in.
    Idx,
    /// A folder with one folder of PNG and JPEG files per class. What a file is, its content tells. Folders within a class
    /// folder belong to the class. Images are turned as their EXIF data say. Images in other formats are errors; files that
    /// are no images are passed over and counted.
    Png,
}

impl Format {
    /// The format of the file or folder `path`: itself, unless it is [`Format::Auto`].
    ///
    /// # Errors
    /// When the path cannot be read.
    pub(super) fn of(self, path: &Path) -> Result<Self> {
        let kind = fs::kind(path)?;
        if kind != Kind::Folder {
            fs::ensure_file(path)?; // it is read more than once
        }
        if self != Self::Auto {
            return Ok(self);
        }
        if kind == Kind::Folder {
            return Ok(Self::Png);
        }
        let mut first = Vec::new();
        open::open(path)?.take(3).read_to_end(&mut first).with_context(|| format!("cannot read {}", quote::path(path)))?;
        Ok(if first == idx::MAGIC { Self::Idx } else { Self::Csv })
    }

    /// What reads this format; `None` for [`Format::Auto`].
    pub(super) fn reader(self) -> Option<&'static dyn ImageFormat> {
        match self {
            Self::Auto => None,
            Self::Csv => Some(&csv::Csv),
            Self::Idx => Some(&idx::Idx),
            Self::Png => Some(&folder::Folder),
        }
    }
}

/// One format: from a path to images.
pub(super) trait ImageFormat: Sync {
    /// Every file that is read for `path`.
    fn files(&self, path: &Path) -> Result<Vec<PathBuf>>;

    /// The names of the classes, where the format itself has names.
    fn class_names(&self, _path: &Path) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    /// The lowest and the highest label of `path`, where labels are plain numbers.
    fn labels(&self, _path: &Path, _progress: &dyn Progress) -> Result<Option<(Label, Label)>, ReadError> {
        Ok(None)
    }

    /// All images of `path`. Every file is opened by [`Request::seen`].
    fn read(&self, path: &Path, request: &Request<'_>) -> Result<Images, ReadError>;
}

/// What the images must be like.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub shape: ImageShape,
    pub classes: &'a [String],
    /// The number that means the first class, where labels are plain numbers: 0 or 1.
    pub first_label: Label,
    pub columns: &'a CsvOptions,
    pub progress: &'a dyn Progress,
    /// What opens the files, so that there are digests of them as they were read.
    pub seen: &'a Seen,
}

/// The images of one path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Images {
    pub pixels: Vec<u8>,           // [N, C, H, W]
    pub labels: Vec<Label>,        // [N]
    pub layout: Option<CsvLayout>, // of a CSV file
    pub told: Vec<String>,         // what was found or decided on the way, one sentence each, without the path
}

/// Why a path was not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// What is wrong with it, at most [`Problems::MOST`] of them, and what was found or decided before, as in [`Images::told`].
    Problems(Problems, Vec<String>),
    /// Something else: an interruption, or the system's reason.
    Other(DataError),
}

impl<E: Into<DataError>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl From<Problems> for ReadError {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems, Vec::new())
    }
}

/// What is wrong with some files, in the order of the files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    /// So many problems are enough to see what is wrong.
    pub const MOST: usize = 20;

    /// One problem of one file.
    pub(super) fn one(path: &Path, what: impl fmt::Display) -> Self {
        let mut problems = Self::default();
        problems.push(path, what);
        problems
    }

    /// Adds a problem of a file.
    pub(super) fn push(&mut self, path: &Path, what: impl fmt::Display) {
        if !self.is_full() {
            self.0.push(format!("{}: {what}", quote::path(path)));
        }
    }

    /// Adds the problems of other files.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
        self.0.truncate(Self::MOST);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there are so many that looking for more is of no use.
    pub fn is_full(&self) -> bool {
        self.0.len() >= Self::MOST
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))?;
        if self.is_full() { write!(f, "\n(only the first {} problems are shown)", Self::MOST) } else { Ok(()) }
    }
}

impl std::error::Error for Problems {}
