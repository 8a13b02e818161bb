//! Fashion-MNIST as it was published: names, sums, and the places where it may be.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use md5::{Digest as _, Md5};
use ureq::tls::RootCerts;

use super::FetchOptions;
use super::download::{self, Request};
use super::table::{self, Table};
use crate::data::csv::CsvOptions;
use crate::data::format::{self, Format, ReadError};
use crate::data::garments::CLASSES;
use crate::data::seen::Seen;
use crate::data::{DataError, FileList, ImageShape, LabelledImages, RawFile};
use crate::fs;
use crate::progress::Progress;
use crate::quote;

/// The official address of the published files.
pub(super) const URL: &str = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";

const NAME: &str = "fashion-mnist";
const TRAIN: usize = 60_000;
const TEST: usize = 10_000;

/// A published file: its name, its length and its MD5 sum, from the data set's own page.
pub(super) struct Published {
    pub name: &'static str,
    pub bytes: u64,
    pub md5: &'static str,
}

/// Images and labels to train on, then to test with.
pub(super) const PUBLISHED: [Published; 4] = [
    Published { name: "train-images-idx3-ubyte.gz", bytes: 26_421_880, md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d" },
    Published { name: "train-labels-idx1-ubyte.gz", bytes: 29_515, md5: "25c81989df183df01b3e8a0aad5dffbe" },
    Published { name: "t10k-images-idx3-ubyte.gz", bytes: 4_422_102, md5: "bef4ecab320f06d8554ea6380940ec79" },
    Published { name: "t10k-labels-idx1-ubyte.gz", bytes: 5148, md5: "bb300cfdad3c16e7a12a480ee83cd310" },
];

/// Whether a folder has files of the names of all CSV files, or of all published ones, packed or not.
pub(super) fn seems_complete(dir: &Path) -> bool {
    let has = |name: &Path| fs::stamp(&dir.join(name)).is_some();
    let published = |file: &Published| has(Path::new(file.name)) || has(Path::new(file.name.trim_end_matches(".gz")));
    table::tables(TRAIN, TEST).iter().all(|table| has(&table.name)) || PUBLISHED.iter().all(published)
}

/// The places of the four files, in the order of [`PUBLISHED`].
type Pairs = [PathBuf; 4];

/// Finds or makes the CSV files; `None` if that cannot be done, with the reasons in `tried`.
pub(super) fn fashion_mnist(
    options: &FetchOptions,
    data_dir: Option<&Path>,
    progress: &dyn Progress,
    tried: &mut Vec<String>,
) -> Result<Option<FileList>, DataError> {
    let dir = &options.dir;
    let tables = table::tables(TRAIN, TEST);
    let missing: Vec<Table> = tables.iter().filter(|table| !dir.join(&table.name).exists()).cloned().collect();
    if !missing.is_empty() {
        tried.push(format!("CSV files in `{}`: {}", dir.display(), missing_names(&missing)));
        if let Some(from) = data_dir.filter(|from| missing.iter().all(|table| from.join(&table.name).is_file())) {
            for table in &missing {
                table::describe(from, table, progress)?;
                fs::copy(&from.join(&table.name), &dir.join(&table.name))?;
            }
        } else {
            if let Some(from) = data_dir {
                tried.push(format!("CSV files in `{}`, the data folder: they are not all there", from.display()));
            }
            let Some(pairs) = idx_files(options, data_dir, progress, tried)? else { return Ok(None) };
            let (train, test) = (read(&pairs[0], TRAIN, progress)?, read(&pairs[2], TEST, progress)?);
            table::write_all(dir, &missing, &train, &test, progress)?;
        }
    }
    let files = tables.iter().map(|table| table::describe(dir, table, progress)).collect::<Result<Vec<RawFile>, DataError>>()?;
    Ok(Some(FileList {
        name: NAME.to_owned(),
        synthetic: false,
        shape: ImageShape::MNIST,
        classes: class_names(),
        dir: dir.clone(),
        files,
    }))
}

fn missing_names(missing: &[Table]) -> String {
    match missing {
        [one] => format!("`{}` is missing", one.name.display()),
        [first, rest @ ..] => format!("`{}` and {} more are missing", first.name.display(), rest.len()),
        [] => "none is missing".to_owned(),
    }
}

/// Finds or downloads the published files.
fn idx_files(
    options: &FetchOptions,
    data_dir: Option<&Path>,
    progress: &dyn Progress,
    tried: &mut Vec<String>,
) -> Result<Option<Pairs>, DataError> {
    for place in [Some(options.dir.as_path()), data_dir].into_iter().flatten() {
        match PUBLISHED.each_ref().map(|file| local(place, file)) {
            [Ok(a), Ok(b), Ok(c), Ok(d)] => return Ok(Some([a, b, c, d])),
            results => {
                let first = results.into_iter().find_map(Result::err).unwrap_or_default();
                tried.push(format!("IDX files in `{}`: {first}", place.display()));
            }
        }
    }
    if data_dir.is_none() {
        tried.push("a data folder: neither `--data-dir` nor `FASHION_MNIST_DIR` names one".to_owned());
    }
    if options.offline {
        tried.push(format!("download from {}: `offline: true` forbids it", options.url));
        return Ok(None);
    }
    match download_all(options, progress) {
        Ok(pairs) => Ok(Some(pairs)),
        Err(DataError::Interrupted(interrupted)) => Err(interrupted.into()),
        Err(DataError::Failed(error)) => {
            tried.push(format!("download from {}: {error:#}", options.url));
            Ok(None)
        }
    }
}

/// A published file in a folder: packed and with its sum, or unpacked.
fn local(place: &Path, file: &Published) -> Result<PathBuf, String> {
    let packed = place.join(file.name);
    let unpacked = packed.with_extension("");
    if packed.is_file() {
        check_sum(&packed, file).map(|()| packed).map_err(|error| format!("{error:#}"))
    } else if unpacked.is_file() {
        Ok(unpacked)
    } else {
        Err(format!("`{}` is missing", file.name))
    }
}

fn download_all(options: &FetchOptions, progress: &dyn Progress) -> Result<Pairs, DataError> {
    let mut places = Vec::new();
    for file in &PUBLISHED {
        let target = options.dir.join(file.name);
        match local(&options.dir, file) {
            Ok(path) => {
                places.push(path);
                continue;
            }
            // It may be of MNIST, whose files have the same names.
            Err(why) if fs::stamp(&target).is_some() => {
                return Err(anyhow!("{why}, and nothing is written over it; move it away to have it downloaded").into());
            }
            Err(_) => {}
        }
        let request = Request {
            url: format!("{}/{}", options.url.trim_end_matches('/'), file.name),
            target: &target,
            bytes: file.bytes,
            trust: RootCerts::WebPki,
            patience: std::time::Duration::try_from_secs_f64(options.timeout_seconds.get())
                .context("`timeout_seconds` is too long")?,
        };
        download::download(&request, &|path| check_sum(path, file), progress)?;
        places.push(target);
    }
    Ok(places.try_into().expect("a place was found for each of the four files"))
}

/// The names of the classes: those that the synthetic set has borrowed.
fn class_names() -> Vec<String> {
    CLASSES.map(str::to_owned).into()
}

/// Checks the length and the MD5 sum of a file.
fn check_sum(path: &Path, file: &Published) -> Result<()> {
    let bytes = fs::stamp(path).map_or(0, |stamp| stamp.bytes);
    let path_shown = quote::path(path);
    ensure!(bytes == file.bytes, "{path_shown} has {bytes} bytes, not {} as published", file.bytes);
    let sum: String = Md5::digest(fs::read_at_most(path, file.bytes)?).iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(sum == file.md5, "the MD5 sum of {path_shown} is {sum}, not {} as published", file.md5);
    Ok(())
}

/// Reads a pair of published files and counts what it holds.
fn read(images: &Path, count: usize, progress: &dyn Progress) -> Result<LabelledImages, DataError> {
    let (shape, classes, columns) = (ImageShape::MNIST, class_names(), CsvOptions::default());
    let seen = &Seen::default();
    let request = format::Request { shape, classes: &classes, first_label: 0, columns: &columns, progress, seen };
    let reader = Format::Idx.reader().context("IDX files have a reader")?;
    let found = match reader.read(images, &request) {
        Ok(found) => LabelledImages::new(shape, found.pixels, found.labels)?,
        Err(ReadError::Problems(problems, _)) => return Err(anyhow::Error::from(problems).into()),
        Err(ReadError::Other(error)) => return Err(error),
    };
    let (found_counts, expected) = (found.class_counts(classes.len()), vec![count / classes.len(); classes.len()]);
    if found_counts == expected {
        Ok(found)
    } else {
        Err(anyhow!("`{}` is not Fashion-MNIST: its classes have {found_counts:?} images", images.display()).into())
    }
}
