//! How many images a data set will have, as far as that can be told before it is read.

use std::path::{Path, PathBuf};

use crate::data::fetch::{Dataset, FetchOptions};
use crate::data::merge::MergeOptions;
use crate::data::{Format, ImageShape};
use crate::fs;

/// Bytes of a pixel in a table: a digit or more, and what separates it from the next.
const IN_TABLE: u64 = 2;
/// How many times longer a compressed table is when it is unpacked.
const PACKED_TABLE: u64 = 6;
/// The same of IDX files, whose bytes are pixels: those of Fashion-MNIST are 1.8 times longer.
const PACKED_IDX: u64 = 2;

/// Numbers of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// To train on, and to validate with.
    pub train: u64,
    /// To test with.
    pub test: u64,
}

impl Counts {
    /// All of them.
    pub fn all(self) -> u64 {
        self.train.saturating_add(self.test)
    }

    /// What a `fetch` stage brings.
    pub fn fetched(options: &FetchOptions) -> Self {
        let drawn = Self { train: options.garments.train.get() as u64, test: options.garments.test.get() as u64 };
        let published = Self { train: 60_000, test: 10_000 };
        match options.dataset {
            Dataset::Garments => drawn,
            Dataset::FashionMnist => published,
        }
    }
}

/// What a `merge` stage of files that are there will hold, told by their lengths; `None` where they are not there yet.
pub(super) fn count(options: &MergeOptions, shape: ImageShape) -> Option<Counts> {
    let pixels = shape.pixels() as u64;
    let in_files = |paths: Vec<PathBuf>| -> Option<u64> {
        paths.iter().try_fold(0_u64, |sum, path| {
            // Of a folder of pictures there is no stamp.
            let bytes = fs::stamp(path)?.bytes;
            let is_packed = path.extension().is_some_and(|extension| extension == "gz" || extension == "zst");
            let is_idx = options.format == Format::Idx || path.to_string_lossy().contains("ubyte");
            let (unpacked, pixel) = if is_idx { (PACKED_IDX, 1) } else { (PACKED_TABLE, IN_TABLE) };
            let bytes = if is_packed { bytes.saturating_mul(unpacked) } else { bytes };
            Some(sum.saturating_add(bytes / (pixel * pixels)))
        })
    };
    let train = in_files(options.train.resolve(Path::new("")).ok()?)?;
    let test = match &options.test {
        Some(patterns) => in_files(patterns.resolve(Path::new("")).ok()?)?,
        None => 0,
    };
    Some(Counts { train, test })
}
