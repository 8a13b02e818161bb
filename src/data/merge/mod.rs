//! Merging: many files become one data set, and what is odd about them is counted.
//!
//! Files are read side by side and put together in the order in which they were named. Every problem of every file is
//! collected, up to [`Problems::MOST`], before the work fails.

mod repeats;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use repeats::{Repeat, Repeats};
pub use report::{MergeReport, MergedFile};

use super::csv::{Advised, CsvOptions, in_yaml};
use super::files::FileList;
use super::format::{Format, Images, Problems, ReadError, Request, shape_told};
use super::pattern::Patterns;
use super::seen::Seen;
use super::{DataError, DataInfo, DataSet, ImageShape, Label, LabelledImages, Part, classes};
use crate::digest::Digest;
use crate::graph::FilesRef;
use crate::progress::Progress;
use crate::{fault, fs, quote};

/// The options of a `merge` stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeOptions {
    /// The stage that found the files. Paths are then relative to its folder, and name, shape and class names come from it.
    #[serde(default)]
    pub data: Option<FilesRef>,
    /// The files to train on.
    pub train: Patterns,
    /// The files to test with.
    #[serde(default)]
    pub test: Option<Patterns>,
    /// The format of the files.
    #[serde(default)]
    pub format: Format,
    /// The shape of the images. Needed where no stage says it, nor the header of the first table (`1x1`, `1x2` …).
    #[serde(default)]
    pub image: Option<ImageShape>,
    /// The names of the classes, in the order of their labels; labels of IDX files that run from 1 to the number of classes
    /// count from 1. Where nothing says them, they are the names of the class
    /// folders, or the numbers up to the highest label.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
    /// The name of the data set.
    #[serde(default)]
    pub name: Option<String>,
    /// How the columns of CSV files are to be understood.
    #[serde(default)]
    pub columns: CsvOptions,
}

/// What [`merge`] makes.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The images, in a train part and perhaps a test part.
    pub data: DataSet,
    /// Where they came from, and what is odd about them.
    pub report: MergeReport,
    /// The digest of every file, as it was read.
    pub read: BTreeMap<PathBuf, Digest>,
}

/// One file or folder to read.
struct Source {
    part: Part,
    path: PathBuf,
    format: Format,
}

impl MergeOptions {
    /// Every file that [`merge`] will read, in order.
    ///
    /// # Errors
    /// Names a file that is missing.
    pub fn files(&self, base: &Path, list: Option<&FileList>) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for source in self.sources(base, list)? {
            files.extend(reader(source.format).files(&source.path)?);
        }
        Ok(files)
    }

    fn sources(&self, base: &Path, list: Option<&FileList>) -> Result<Vec<Source>> {
        let base = list.map_or(base, |list| &list.dir);
        let mut sources = Vec::new();
        for (part, patterns) in [(Part::Train, Some(&self.train)), (Part::Test, self.test.as_ref())] {
            for path in patterns.map(|patterns| patterns.resolve(base)).transpose()?.unwrap_or_default() {
                sources.push(Source { part, format: self.format.of(&path)?, path });
            }
        }
        Ok(sources)
    }

    /// The shape of the images that nothing else says, if the first file is a table whose header counts rows and columns. Reads its
    /// beginning.
    pub fn shape_told(&self, base: &Path) -> Option<ImageShape> {
        let first = self.train.iter().next()?.resolve(base).ok()?.into_iter().next()?;
        let is_table = self.format.of(&first).is_ok_and(|format| format == Format::Csv);
        is_table.then(|| shape_told(&first, self.columns.delimiter)).flatten()
    }

    fn shape(&self, base: &Path, list: Option<&FileList>) -> Result<ImageShape> {
        let shape = self.image.or(list.map(|list| list.shape)).or_else(|| self.shape_told(base)).context(
            "nothing says what shape the images have; add `image: { channels: 1, height: 28, width: 28 }`, or as it is",
        )?;
        ensure!(shape.pixels() > 0, "images of {shape} have no pixels");
        Ok(shape)
    }

    /// The names of the classes, or `None` if the labels must tell.
    fn classes(&self, list: Option<&FileList>, sources: &[Source]) -> Result<Option<Vec<String>>> {
        let mut classes = self.classes.clone().or_else(|| list.map(|list| list.classes.clone()));
        if classes.is_none()
            && let Some(first) = sources.first()
        {
            classes = reader(first.format).class_names(&first.path)?;
        }
        if let Some(classes) = &classes {
            check_classes(classes)?;
        }
        Ok(classes)
    }
}

fn check_classes(classes: &[String]) -> Result<()> {
    Ok(fault::none(classes::faults(classes))?)
}

fn reader(format: Format) -> &'static dyn super::format::ImageFormat {
    format.reader().expect("the format of a source was found when its path was")
}

/// Reads all files and puts them together.
///
/// Paths are relative to the folder of `list`, or to `base` where there is no list. With a list, every file must be on it
/// and be as it was when it was listed.
///
/// # Errors
/// Names everything that is wrong with the files, by file, row, column and text.
pub fn merge(options: &MergeOptions, base: &Path, list: Option<&FileList>, progress: &dyn Progress) -> Result<Merged, DataError> {
    let sources = options.sources(base, list)?;
    let shape = options.shape(base, list)?;
    let classes = options.classes(list, &sources)?;
    let numbers: Vec<String> = (0..=Label::MAX).map(|label| label.to_string()).collect();
    let (names, seen) = (classes.as_deref().unwrap_or(&numbers), Seen::default());
    let first_label = first_label(&sources, classes.as_deref(), progress)?;
    let request = Request { shape, classes: names, first_label, columns: &options.columns, progress, seen: &seen };
    let folder = list.map_or(base, |list| &list.dir);
    let (files, read) = read_all(&sources, &request, folder, list)?;

    let put_together = |part: Part| -> Result<LabelledImages> {
        let of_part = || files.iter().filter(|(file, _)| file.part == part).map(|(_, images)| images);
        let pixels: Vec<u8> = of_part().flat_map(|images| images.pixels.iter().copied()).collect();
        let labels: Vec<Label> = of_part().flat_map(|images| images.labels.iter().copied()).collect();
        LabelledImages::new(shape, pixels, labels)
    };
    let train = put_together(Part::Train)?;
    let test = options.test.is_some().then(|| put_together(Part::Test)).transpose()?;
    let classes = match classes {
        Some(classes) => classes,
        None => numbers_up_to_highest(&train, test.as_ref())?,
    };
    let info = DataInfo {
        name: options.name.clone().or(list.map(|list| list.name.clone())).unwrap_or_else(|| "images".to_owned()),
        synthetic: list.is_some_and(|list| list.synthetic),
        shape,
        classes,
    };
    let data = DataSet { info, train, validation: None, test, augmentation: None };
    let mut report = MergeReport::new(&data, files);
    if let ([first, .., last], 1) = (data.info.classes.as_slice(), first_label) {
        let (first, last, count) = (quote::excerpt(first), quote::excerpt(last), data.info.classes.len());
        report.notes.insert(0, format!("the labels count from 1: 1 is `{first}`, {count} is `{last}`"));
    }
    for line in &report.notes {
        progress.warn(line);
    }
    Ok(Merged { data, report, read })
}

/// The number that means the first class. It is 1 where all labels are plain numbers, none of them is 0 and the highest is
/// the number of classes, which have other names than numbers: counted from 0, it would be none of them.
fn first_label(sources: &[Source], classes: Option<&[String]>, progress: &dyn Progress) -> Result<Label, DataError> {
    let Some(classes) = classes.filter(|classes| classes.iter().all(|class| class.parse::<Label>().is_err())) else {
        return Ok(0);
    };
    let (mut lowest, mut highest) = (Label::MAX, 0);
    for source in sources {
        match reader(source.format).labels(&source.path, progress) {
            Ok(Some((low, high))) => (lowest, highest) = (lowest.min(low), highest.max(high)),
            Err(ReadError::Other(DataError::Interrupted(interrupted))) => return Err(interrupted.into()),
            // What is wrong with a file is told when its images are read.
            Ok(None) | Err(_) => return Ok(0),
        }
    }
    Ok(Label::from(lowest >= 1 && usize::from(highest) == classes.len()))
}

/// What was read of one source: its entry in the report, its images, and the digests of its files.
type Piece = (MergedFile, Images, Vec<(PathBuf, Digest)>);
/// The same of all sources.
type AllPieces = (Vec<(MergedFile, Images)>, BTreeMap<PathBuf, Digest>);

/// Reads every source, in the order of the sources; also gives the digest of each file as it was read.
fn read_all(sources: &[Source], request: &Request<'_>, folder: &Path, list: Option<&FileList>) -> Result<AllPieces, DataError> {
    request.progress.begin("files read", sources.len() as u64, "files");
    let done = AtomicU64::new(0);
    let results: Vec<Result<Piece, ReadError>> = sources
        .par_iter()
        .map(|source| {
            request.progress.check()?;
            let seen = Seen::default();
            let images = reader(source.format).read(&source.path, &Request { seen: &seen, ..*request });
            // First, because a file that was replaced is to be called that, whatever is wrong with what is there now.
            let digests = digests(source, &seen, images.is_ok(), list)?;
            let images = images?;
            let path = within(folder, &source.path).to_owned();
            request.progress.advance(done.fetch_add(1, Ordering::Relaxed) + 1, &path.to_string_lossy());
            let blake3 = match digests.as_slice() {
                [(_, one)] => *one,
                many => Digest::of_bytes(many.iter().map(|(_, digest)| digest.to_string()).collect::<String>().as_bytes()),
            };
            let file = MergedFile { path, part: source.part, format: source.format, images: images.labels.len(), blake3 };
            Ok((file, images, digests))
        })
        .collect();
    let (mut files, mut read, mut problems) = (Vec::new(), BTreeMap::new(), Problems::default());
    let (mut told, mut guess) = (Vec::new(), None);
    for (source, result) in sources.iter().zip(results) {
        match result {
            Ok((file, images, digests)) => {
                told.push((source, images.told.clone()));
                if let Some(layout) = &images.layout
                    && let Some(is_first) = layout.guess()
                    && *guess.get_or_insert(is_first) != is_first
                {
                    let error = layout.unclear_label("the rows of this file say otherwise than those of another");
                    problems.push(&source.path, error.in_words(in_yaml));
                }
                files.push((file, images));
                read.extend(digests);
            }
            Err(ReadError::Problems(found, notes)) => {
                told.push((source, notes));
                problems.extend(found);
            }
            Err(ReadError::Other(error)) => return Err(error),
        }
    }
    if problems.is_empty() {
        return Ok((files, read));
    }
    // What was decided about the files may explain what is wrong with them.
    for line in report::told(told.iter().map(|(source, told)| (within(folder, &source.path), told.as_slice()))) {
        request.progress.warn(&line);
    }
    Err(anyhow::Error::from(problems).into())
}

fn within<'a>(folder: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(folder).unwrap_or(path)
}

/// The digest of each file that a source consists of, as it was read; checked against the list. A reader that has met a
/// problem, and so is not `done`, may not have come to every file.
fn digests(source: &Source, seen: &Seen, done: bool, list: Option<&FileList>) -> Result<Vec<(PathBuf, Digest)>> {
    let mut digests = Vec::new();
    let files = reader(source.format).files(&source.path)?;
    let others = || format!("other files came to lie in `{}` while it was read; run again", source.path.display());
    ensure!(!done || files.len() == seen.len(), others());
    for path in files {
        let listed = match list.map(|list| (list, list.find(&path))) {
            Some((list, None)) => bail!(
                "`{}` is not one of the files of `{}`; leave out `data` to merge files of your own",
                path.display(),
                list.name
            ),
            Some((_, listed)) => listed,
            None => None,
        };
        let digest = match seen.digest(&path)? {
            Some(digest) => digest,
            None if done => bail!(others()),
            None => fs::digest(&path)?,
        };
        ensure!(listed.is_none_or(|file| file.blake3 == digest), "`{}` has changed since it was fetched", path.display());
        digests.push((path, digest));
    }
    Ok(digests)
}

fn numbers_up_to_highest(train: &LabelledImages, test: Option<&LabelledImages>) -> Result<Vec<String>> {
    let labels = train.labels().iter().chain(test.map(LabelledImages::labels).unwrap_or_default());
    let classes: Vec<String> = (0..=labels.copied().max().unwrap_or(0)).map(|label| label.to_string()).collect();
    check_classes(&classes).context("the labels name the classes, as nothing else does")?;
    Ok(classes)
}
