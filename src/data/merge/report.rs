//! What a merge found: files, class counts, repeated images.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::repeats::{self, Repeats};
use crate::data::format::{Format, Images};
use crate::data::{DataSet, Part};
use crate::digest::Digest;
use crate::fs;
use crate::quote::excerpt_of;

const FILE: &str = "merge.json";

/// What a merge found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeReport {
    /// The files, in order.
    pub files: Vec<MergedFile>,
    /// Training images of each class.
    pub train: Vec<usize>,
    /// Test images of each class.
    pub test: Option<Vec<usize>>,
    /// Training images that equal an earlier training image.
    pub duplicates: Repeats,
    /// Test images that equal a training image.
    pub overlap: Option<Repeats>,
    /// What a person should know, one sentence each.
    pub notes: Vec<String>,
}

/// One file of a merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergedFile {
    /// Its path, relative to the folder of the data.
    pub path: PathBuf,
    /// The part it went into.
    pub part: Part,
    /// Its format.
    pub format: Format,
    /// How many images it holds.
    pub images: usize,
    /// The digest of its content; of several files, the digest of their digests.
    pub blake3: Digest,
}

impl MergeReport {
    pub(super) fn new(data: &DataSet, files: Vec<(MergedFile, Images)>) -> Self {
        let classes = data.info.classes.len();
        let (duplicates, overlap) = repeats::count(&data.train, data.test.as_ref());
        let mut report = Self {
            train: data.train.class_counts(classes),
            test: data.test.as_ref().map(|test| test.class_counts(classes)),
            duplicates,
            overlap,
            notes: told(files.iter().map(|(file, images)| (file.path.as_path(), images.told.as_slice())))
                .into_iter()
                .chain(differing_columns(&files))
                .collect(),
            files: files.into_iter().map(|(file, _)| file).collect(),
        };
        report.note_repeats();
        report.note_empty_classes(&data.info.classes);
        report
    }

    /// Writes the report into the folder of a stage's output.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&self, out: &Path) -> Result<()> {
        fs::write_json(&out.join(FILE), self)
    }

    /// Reads what [`MergeReport::save`] wrote.
    ///
    /// # Errors
    /// When the file is missing or damaged; names it.
    pub fn load(out: &Path) -> Result<Self> {
        fs::read_json(&out.join(FILE))
    }

    fn note_repeats(&mut self) {
        let found = [
            ("training images that equal an earlier one", Some(&self.duplicates)),
            ("test images that are also training images", self.overlap.as_ref()),
        ];
        for (what, repeats) in found {
            if let Some(Repeats { images: images @ 1.., conflicting, .. }) = repeats {
                self.notes.push(format!("{what}: {images}, of these with another label: {conflicting}"));
            }
        }
    }

    fn note_empty_classes(&mut self, classes: &[String]) {
        let parts = [("training", Some(&self.train)), ("test", self.test.as_ref())];
        let mut notes = Vec::new();
        for (part, counts) in parts {
            let empty = counts.into_iter().flatten().zip(classes).filter(|(count, _)| **count == 0);
            notes.extend(empty.map(|(_, class)| format!("there are no {part} images of the class `{class}`")));
        }
        self.notes.extend(notes);
    }
}

/// What is to be told of the files, each sentence once, with the first file that it is about.
pub(super) fn told<'a>(files: impl Iterator<Item = (&'a Path, &'a [String])>) -> Vec<String> {
    let mut sentences: Vec<(&str, &Path, usize)> = Vec::new();
    for (path, told) in files {
        for sentence in told {
            match sentences.iter_mut().find(|(known, ..)| known == sentence) {
                Some((.., others)) => *others += 1,
                None => sentences.push((sentence, path, 0)),
            }
        }
    }
    let line = |(sentence, path, others): (&str, &Path, usize)| {
        let first = excerpt_of(&path.to_string_lossy(), LONGEST_PATH);
        match others {
            0 => format!("`{first}`: {sentence}"),
            1 => format!("`{first}` and 1 more file: {sentence}"),
            others => format!("`{first}` and {others} more files: {sentence}"),
        }
    };
    sentences.into_iter().map(line).collect()
}

/// A path in a note is cut off behind so many characters.
const LONGEST_PATH: usize = 200;

/// A note for the first file of each part whose columns differ from those of the part's first file.
fn differing_columns(files: &[(MergedFile, Images)]) -> Vec<String> {
    let mut notes = Vec::new();
    for part in [Part::Train, Part::Test] {
        let mut layouts = files
            .iter()
            .filter(|(file, _)| file.part == part)
            .filter_map(|(file, images)| images.layout.as_ref().map(|layout| (file, layout)));
        let Some((first, layout)) = layouts.next() else { continue };
        for (file, other) in layouts {
            if let Some(difference) = layout.difference(other) {
                let (first, other) = (first.path.display(), file.path.display());
                notes.push(format!("`{first}` and `{other}` have different columns: {difference}; each was read by its own"));
            }
        }
    }
    notes
}
