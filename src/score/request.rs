//! What is to be scored, by what, and where it goes.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::{Input, OnError, row};
use crate::data::csv::CsvOptions;
use crate::infer::Loaded;
use crate::units::{BatchSize, Count};

/// What is to be scored. [`Request::new`] has the defaults.
#[derive(Debug)]
pub struct Request<'a> {
    /// The model.
    pub model: &'a Loaded,
    /// The tables, in the order in which their rows are to appear.
    pub inputs: Vec<Input>,
    /// Where predictions go.
    pub output: Output,
    /// How the columns of the tables are to be understood.
    pub columns: CsvOptions,
    /// Columns that are copied to the output. They need not be in `columns.ignore`.
    pub passthrough: Vec<String>,
    /// What to do about a row that cannot be scored.
    pub on_error: OnError,
    /// How many threads parse and predict.
    pub workers: Count,
    /// How many rows go together. The output does not depend on it.
    pub rows_per_batch: BatchSize,
    /// How many batches there are at most, between reading and writing: the bound of memory. The output does not depend
    /// on it.
    pub batches: Count,
}

/// Where predictions go.
pub enum Output {
    /// A file, which appears when all is done, with a manifest beside it: `<file>.manifest.json`.
    File(PathBuf),
    /// A stream, such as the standard output.
    Stream(Box<dyn Write + Send>),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl<'a> Request<'a> {
    /// Scores `inputs` by `model` into `output`, with a thread for each processor and nothing passed through.
    pub fn new(model: &'a Loaded, inputs: Vec<Input>, output: Output) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = |count: usize| Count::new(count as u64).expect("above 0");
        Self {
            model,
            inputs,
            output,
            columns: CsvOptions::default(),
            passthrough: Vec::new(),
            on_error: OnError::Fail,
            workers: count(workers),
            rows_per_batch: BatchSize::new(64).expect("64 is a batch size"),
            batches: count(4 * workers + 4),
        }
    }

    /// Checks that there is something to score, and that every column of the output has a name of its own.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.inputs.is_empty(), "there is nothing to score");
        let own = row::own_columns(self.model.interface().classes.len(), true);
        for (index, name) in self.passthrough.iter().enumerate() {
            ensure!(!own.contains(name), "the column `{name}` cannot be passed through: predictions have a column of that name");
            ensure!(!self.passthrough[..index].contains(name), "the column `{name}` is to be passed through twice");
        }
        Ok(())
    }
}
