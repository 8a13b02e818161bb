//! What was scored, by what, into what: the account beside a file of predictions.

use serde::{Deserialize, Serialize};

use super::OnError;
use crate::data::csv::CsvOptions;
use crate::digest::Digest;

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
    /// How columns were understood.
    pub columns: CsvOptions,
    /// Which columns were passed through.
    pub passthrough: Vec<String>,
    /// What was to be done about rows that cannot be scored.
    pub on_error: OnError,
    /// Rows read.
    pub rows: u64,
    /// Rows scored.
    pub scored: u64,
    /// How many rows were given each class.
    pub predicted: Vec<u64>,
    /// The share of rows whose predicted label is the true one; `None` without labels or rows.
    pub accuracy: Option<f64>,
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

/// The predictions of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// Its file name, without folders; `None` for a stream.
    pub file: Option<String>,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreSummary {
    /// What depends on tables, model and options alone.
    pub manifest: Manifest,
    /// How long it took, without loading the model.
    pub seconds: f64,
}

impl ScoreSummary {
    /// Rows scored in a second.
    pub fn rows_per_second(&self) -> f64 {
        self.manifest.scored as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}
