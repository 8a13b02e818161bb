//! What was scored, by what, into what: the account beside a file of predictions.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{OnError, OutputColumn, OutputFormat, Shard};
use crate::data::csv::CsvOptions;
use crate::digest::Digest;
use crate::infer::{Engine, Precision};
use crate::units::Count;

/// The account of one run: `<output>.manifest.json`. Equal tables, model and options give equal bytes; the speed of a run
/// is in [`ScoreSummary`] and not here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The model.
    pub model: ModelRecord,
    /// The name of each class; its position is the label.
    pub classes: Vec<String>,
    /// The tables, in the order of their rows.
    pub inputs: Vec<InputRecord>,
    /// The predictions.
    pub output: OutputRecord,
    /// The list of rows that were not scored, if one was asked for.
    pub rejects: Option<OutputRecord>,
    /// What else decides on the output.
    pub options: Settings,
    /// How many rows there were, and what became of them.
    #[serde(flatten)]
    pub tally: Tally,
    /// The share of scored rows whose predicted label is the true one; `None` without labels or rows.
    pub accuracy: Option<f64>,
    /// Which rows these are, if they are not all; then `tally` and the files are about these rows alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardRecord>,
}

impl Manifest {
    /// Where the manifest of a file of predictions is.
    pub fn path(output: &Path) -> PathBuf {
        let mut beside = output.as_os_str().to_owned();
        beside.push(".manifest.json");
        PathBuf::from(beside)
    }
}

/// What decides on the bytes of an output, beside the model and the tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How columns were understood.
    pub columns: CsvOptions,
    /// Which columns were passed through.
    pub passthrough: Vec<String>,
    /// The format of the output.
    pub format: OutputFormat,
    /// The columns that were asked for; all of them if empty.
    pub output_columns: Vec<OutputColumn>,
    /// How many classes are named for each row.
    pub top_k: Option<Count>,
    /// What was to be done about rows that cannot be scored.
    pub on_error: OnError,
    /// How many such rows there could be.
    pub max_errors: Option<u64>,
    /// What computed.
    pub engine: Engine,
    /// In what.
    pub precision: Precision,
}

/// The model of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Its name.
    pub name: String,
    /// The digest of its file.
    pub digest: Digest,
}

/// One table of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// Its file name, without folders.
    pub file: String,
    /// Its rows.
    pub rows: u64,
    /// The digest of its bytes, as they lie on disk.
    pub digest: Digest,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// Its file name, without folders; `None` for a stream.
    pub file: Option<String>,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// How many rows there were, and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Rows read.
    pub rows: u64,
    /// Rows scored.
    pub scored: u64,
    /// Rows that could not be scored.
    pub rejected: u64,
    /// The lines of those of them that go over more than one: a quote that is not closed makes one row of many lines.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rejected_lines: u64,
    /// How many rows were given each class.
    pub predicted: Vec<u64>,
    /// Scored rows whose predicted label is the true one; `None` without labels.
    pub correct: Option<u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Tally {
    /// The share of scored rows whose predicted label is the true one.
    pub(super) fn accuracy(&self) -> Option<f64> {
        let correct = self.correct.filter(|_| self.scored > 0)?;
        Some(correct as f64 / self.scored as f64)
    }
}

/// Which rows a shard holds, and how they lie in its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Which shard it is of how many: `2/4`.
    pub shard: Shard,
    /// The bytes before the first part, in the output and in the list of rejects.
    pub header: Part,
    /// What each of its parts became, in order.
    pub parts: Vec<Part>,
}

/// The bytes of one part of the rows: in the output and in the list of rejects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Part {
    /// Bytes of the output.
    pub output: u64,
    /// Bytes of the list of rejects.
    pub rejects: u64,
}

impl From<(u64, u64)> for Part {
    fn from((output, rejects): (u64, u64)) -> Self {
        Self { output, rejects }
    }
}

impl From<Part> for (u64, u64) {
    fn from(part: Part) -> Self {
        (part.output, part.rejects)
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreSummary {
    /// What depends on tables, model and options alone.
    pub manifest: Manifest,
    /// How long it took, without loading the model.
    pub seconds: f64,
    /// How many of the rows an earlier, interrupted run had scored; they are in the manifest, but not in the speed.
    pub resumed: u64,
}

impl ScoreSummary {
    /// Rows scored in a second.
    pub fn rows_per_second(&self) -> f64 {
        (self.manifest.tally.scored - self.resumed) as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}
