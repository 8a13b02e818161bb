//! What is to be scored, by what, and where it goes.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::files::Outlet;
use super::{Input, OnError, OutputColumn, OutputFormat, ScoreError, Settings, Shard, columns};
use crate::data::csv::{CsvOptions, Wording, in_yaml};
use crate::fault;
use crate::infer::{Engine, Loaded, Model, Precision};
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
    /// Their format.
    pub format: OutputFormat,
    /// Their columns, before those that are passed through; all of them if empty.
    pub output_columns: Vec<OutputColumn>,
    /// Only the most probable classes, so many, instead of the probability of each.
    pub top_k: Option<Count>,
    /// How the columns of the tables are to be understood.
    pub columns: CsvOptions,
    /// How the user writes these options, for advice.
    pub wording: Wording,
    /// Columns that are copied to the output. They need not be in `columns.ignore`.
    pub passthrough: Vec<String>,
    /// What to do about a row that cannot be scored.
    pub on_error: OnError,
    /// A file that lists every such row.
    pub rejects: Option<PathBuf>,
    /// How many such rows there can be.
    pub max_errors: Option<u64>,
    /// Which rows are to be scored, if not all.
    pub shard: Option<Shard>,
    /// Whether to go on with an earlier run into the same file that was interrupted, if there is one.
    pub resume: bool,
    /// What computes: the kernels where they cover the model, else tract, unless given.
    pub engine: Option<Engine>,
    /// In what.
    pub precision: Precision,
    /// How many threads parse and predict.
    pub workers: Count,
    /// How many rows the model is given at once, where there are so many. The output does not depend on it.
    pub rows_per_batch: BatchSize,
    /// About how many bytes of a table go together. The output does not depend on it.
    pub block_bytes: Count,
    /// How many such blocks there are at most, between reading and writing: the bound of memory. The output does not depend
    /// on it.
    pub blocks: Count,
    /// How much time may pass between two checkpoints of a run that can be gone on with.
    pub checkpoint: Duration,
}

/// Where predictions go.
pub enum Output {
    /// A file, which appears when all is done, with a manifest beside it: `<file>.manifest.json`. A link is followed; through a
    /// device or a FIFO predictions go as they come, without a manifest.
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
    /// Scores `inputs` by `model` into `output` as CSV, with a thread for each processor and nothing passed through.
    pub fn new(model: &'a Loaded, inputs: Vec<Input>, output: Output) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = |count: usize| Count::new(count as u64).expect("above 0");
        Self {
            model,
            inputs,
            output,
            format: OutputFormat::Csv,
            output_columns: Vec::new(),
            top_k: None,
            columns: CsvOptions::default(),
            wording: in_yaml,
            passthrough: Vec::new(),
            on_error: OnError::Fail,
            rejects: None,
            max_errors: None,
            shard: None,
            resume: false,
            engine: None,
            precision: Precision::Fp32,
            workers: count(workers),
            rows_per_batch: BatchSize::new(64).expect("64 is a batch size"),
            block_bytes: count(1 << 20),
            blocks: count(2 * workers + 2),
            checkpoint: Duration::from_millis(500),
        }
    }

    /// What decides on the bytes of the output, beside model and tables.
    pub(super) fn settings(&self, model: &Model) -> Settings {
        Settings {
            columns: self.columns.clone(),
            passthrough: self.passthrough.clone(),
            format: self.format,
            output_columns: self.output_columns.clone(),
            top_k: self.top_k,
            on_error: self.on_error,
            max_errors: self.max_errors,
            engine: model.engine(),
            precision: model.precision(),
        }
    }

    /// Checks that what is asked for makes sense: there is something to score, every column of the output has a name of its
    /// own, and no option is without meaning.
    pub(super) fn check(&self, output: Option<&Outlet>, rejects: Option<&Outlet>) -> Result<(), ScoreError> {
        let refuse = |text: String| Err(ScoreError::Invalid(text));
        if self.inputs.is_empty() {
            return refuse("there is nothing to score".to_owned());
        }
        let classes = self.model.interface().classes.len();
        fault::none(columns::faults(&self.output_columns, &self.passthrough, self.top_k, Some(classes)))
            .map_err(|fault| ScoreError::Invalid(fault.to_string()))?;
        if self.on_error == OnError::Fail && (self.rejects.is_some() || self.max_errors.is_some()) {
            let text = "the first row that cannot be scored ends the run, so `--rejects` and `--max-errors` have no meaning";
            return refuse(format!("{text}; add `--on-error skip` or `--on-error null`"));
        }
        let is_file = |outlet: Option<&Outlet>| matches!(outlet, Some(Outlet::File(_)));
        if self.resume && !is_file(output) {
            return refuse("what went to a stream cannot be gone on with: give an output file".to_owned());
        }
        if self.resume && rejects.is_some() && !is_file(rejects) {
            return refuse("a list of rejects that went to a stream cannot be gone on with: give a file".to_owned());
        }
        if let Some(input) = self.inputs.iter().find(|input| self.resume && input.is_stream()) {
            return refuse(format!("{input} is a stream and cannot be read again, so the run cannot go on: give input files"));
        }
        if self.shard.is_some() && (!is_file(output) || (rejects.is_some() && !is_file(rejects))) {
            return refuse("a shard needs its files and its manifest to be merged: give output files".to_owned());
        }
        if self.shard.is_some() && self.format == OutputFormat::Parquet {
            return refuse("shards are merged as text: give a shard an output of the format CSV or JSON Lines".to_owned());
        }
        Ok(())
    }
}
