//! Fetching: raw files that are found, downloaded, or, if the user allows it, drawn.
//!
//! Fashion-MNIST is wanted as six CSV files to train on and one to test with. It is looked for in this order, and every
//! failure is kept, to be told if all fail:
//!
//! 1. the CSV files, in `dir`, then in the data folder given by `--data-dir` or `FASHION_MNIST_DIR`;
//! 2. the four published IDX files, packed or unpacked, in the same two places; packed ones must have the published MD5;
//! 3. the published IDX files at their official address, kept in `dir`.
//!
//! CSV files that are there are used as they are; those that are missing are made. No file that is there is written over: one
//! with the name of a published file may be of MNIST. Only with `otherwise: garments` does a synthetic set take the place of
//! real data, in a folder of its own, and every later stage is told.

mod download;
mod drawn;
mod official;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use ureq::http::Uri;

use super::garments::{self, CLASSES};
use super::{DataError, FileList, ImageShape};
use crate::fault::Fault;
use crate::progress::Progress;
use crate::quote::excerpt;
use crate::seed::Seed;
use crate::units::{Count, Positive};

/// The options of a `fetch` stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchOptions {
    /// The data set that is wanted.
    pub dataset: Dataset,
    /// The folder for the files.
    #[serde(default = "default_dir")]
    pub dir: PathBuf,
    /// What to take if the data set can be neither found nor downloaded. Without it, that is an error.
    #[serde(default)]
    pub otherwise: Option<Substitute>,
    /// The address of the folder to download from, in place of the official one: `https://` or `http://`. What comes is
    /// checked against the published lengths and MD5 sums.
    #[serde(default = "default_url")]
    pub url: String,
    /// Never download.
    #[serde(default)]
    pub offline: bool,
    /// Give up when nothing has arrived for so many seconds, or fewer than 4,000 bytes a second.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: Positive,
    /// The size of the synthetic set.
    #[serde(default)]
    pub garments: GarmentCounts,
}

/// A data set that can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dataset {
    /// Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): 70,000 gray images of garments from a shop.
    FashionMnist,
    /// A synthetic set that the program draws.
    Garments,
}

/// What may take the place of a data set that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Substitute {
    /// The synthetic set.
    Garments,
}

/// How many garments are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GarmentCounts {
    /// Images to train on.
    pub train: Count,
    /// Images to test with.
    pub test: Count,
}

impl Default for GarmentCounts {
    fn default() -> Self {
        let count = |value| Count::new(value).expect("the number is above 0");
        Self { train: count(6000), test: count(1000) }
    }
}

fn default_dir() -> PathBuf {
    PathBuf::from("data")
}

fn default_url() -> String {
    official::URL.to_owned()
}

fn default_timeout() -> Positive {
    Positive::new(30.0).expect("30 is above 0")
}

impl FetchOptions {
    /// What cannot be: an address that is none, a time beyond all clocks.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let is_address = self.url.parse::<Uri>().is_ok_and(|address| {
            matches!(address.scheme_str(), Some("http" | "https")) && address.host().is_some_and(|host| !host.is_empty())
        });
        if !is_address {
            let message = format!("`{}` is not the address of a folder", excerpt(&self.url));
            faults.push(Fault::new(&["url"], message, "write one that begins with `https://` or `http://`, or leave out `url`"));
        }
        if std::time::Duration::try_from_secs_f64(self.timeout_seconds.get()).is_err() {
            faults.push(Fault::new(&["timeout_seconds"], "no clock counts so many seconds", "write fewer"));
        }
        faults
    }

    /// The folders in which the files may be: `dir`, or a folder in it that is the program's, where they are drawn; both, where it depends on
    /// what can be had.
    pub fn folders(&self) -> Vec<PathBuf> {
        let drawn = self.dir.join(garments::NAME);
        match (self.dataset, self.otherwise) {
            (Dataset::Garments, _) => vec![drawn],
            (Dataset::FashionMnist, None) => vec![self.dir.clone()],
            (Dataset::FashionMnist, Some(Substitute::Garments)) => vec![self.dir.clone(), drawn],
        }
    }

    /// Whether what is fetched may depend on the seed.
    pub fn may_draw(&self) -> bool {
        self.dataset == Dataset::Garments || self.otherwise.is_some()
    }
}

impl Dataset {
    /// The shape of its images and the names of its classes. The synthetic set shares those of Fashion-MNIST.
    pub fn facts(self) -> (ImageShape, Vec<String>) {
        match self {
            Self::FashionMnist | Self::Garments => (ImageShape::MNIST, CLASSES.map(str::to_owned).to_vec()),
        }
    }
}

/// Whether what is wanted seems to lie in one of the folders, in place of which a synthetic set was drawn before. A look at
/// names only, so that it is cheap.
pub fn is_at_hand(options: &FetchOptions, data_dir: Option<&Path>) -> bool {
    options.dataset == Dataset::FashionMnist
        && [Some(options.dir.as_path()), data_dir].into_iter().flatten().any(official::seems_complete)
}

/// Does what a `fetch` stage is asked to do: afterwards the files of the list are there.
///
/// `data_dir` is the folder given by `--data-dir` or `FASHION_MNIST_DIR`.
///
/// # Errors
/// When the data set can be neither found nor downloaded nor replaced: everything that was tried, and why it failed. When
/// CSV files are there that do not hold what they should. An interrupted download goes on where it stopped when it is
/// tried again.
pub fn fetch(
    options: &FetchOptions,
    data_dir: Option<&Path>,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<FileList, DataError> {
    if options.dataset == Dataset::Garments {
        return drawn::garments(options, seed, progress);
    }
    let mut tried = Vec::new();
    if let Some(list) = official::fashion_mnist(options, data_dir, progress, &mut tried)? {
        return Ok(list);
    }
    let tried = tried.join("\n- ");
    match options.otherwise {
        Some(Substitute::Garments) => {
            progress.warn(&format!(
                "Fashion-MNIST could not be had, so SYNTHETIC garments take its place: no result of this run says anything \
                 about Fashion-MNIST. Tried:\n- {tried}"
            ));
            drawn::garments(options, seed, progress)
        }
        None => Err(anyhow::anyhow!(
            "Fashion-MNIST could not be had. Tried:\n- {tried}\nPut its files into one of these folders, or add \
             `otherwise: garments` to go on with a synthetic set"
        )
        .into()),
    }
}
