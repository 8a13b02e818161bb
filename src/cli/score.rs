//! `pipeline score`: classifies the rows of CSV files with an ONNX model.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::exit::{Exit, Failure};
use super::progress::{Mode, Standalone};
use super::signals;
use super::text::{Paint, Style, complain, count, duration, json_line, number, print};
use super::wording::in_options;
use crate::data::csv::{CsvOptions, Delimiter, Header, PixelPattern};
use crate::data::pattern::Pattern;
use crate::engine::{Cancel, Signal, SystemClock};
use crate::fs::{self, Claim};
use crate::infer::{Engine, Loaded, WantedPrecision, is_damage};
use crate::score::{
    Input, OnError, Output, OutputColumn, OutputFormat, Request, ScoreError, ScoreSummary, Shard, Tally, check_files, claims,
    score,
};
use crate::stages;
use crate::units::Count;

/// The arguments of `pipeline score`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The ONNX file, as `export` writes it
    #[arg(short, long, value_name = "FILE")]
    model: PathBuf,

    /// A CSV file, plain, .gz or .zst; `x{1..6}.csv` and `x*.csv` name several, `-` is the standard input; may be repeated
    #[arg(short, long, value_name = "PATTERN", required = true, value_parser = parse_pattern, allow_hyphen_values = true)]
    input: Vec<Pattern>,

    /// Where the predictions go; `-` is the standard output
    #[arg(short, long, value_name = "FILE", default_value = "predictions.csv", allow_hyphen_values = true)]
    output: PathBuf,

    /// The format of the predictions: csv, jsonl or parquet; told by the name of the output unless given
    #[arg(long, value_name = "FORMAT", value_parser = read_text::<OutputFormat>)]
    format: Option<OutputFormat>,

    /// The columns of the output, separated by commas: row, label, class, confidence, probabilities, true_label; all but
    /// `row` unless given. Those passed through follow
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = read_text::<OutputColumn>)]
    columns: Vec<OutputColumn>,

    /// Only the K most probable classes (top_1, p_top_1 …) instead of the probability of each
    #[arg(long, value_name = "K")]
    top_k: Option<NonZeroUsize>,

    /// What to do about a row that cannot be scored: fail, skip (leave it out) or null (keep its place, empty)
    #[arg(long, value_name = "WHAT", default_value = "fail", value_parser = read_text::<OnError>)]
    on_error: OnError,

    /// List every row that was not scored in this CSV file: file, row, column, reason
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,

    /// Fail when more than N rows cannot be scored
    #[arg(long, value_name = "N")]
    max_errors: Option<u64>,

    /// Go on with an interrupted run into the same output, if there is one; the bytes are those of a run without interruption
    #[arg(long)]
    resume: bool,

    /// Score the I-th of N shares of the rows, as in `2/4`; `merge-shards` puts the shares together
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// Copy this column of the input to the output; may be repeated
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    passthrough: Vec<String>,

    /// The column that holds the label, if there is one: its name, or its place (first, last or a number)
    #[arg(long, value_name = "COLUMN", default_value = "label", allow_hyphen_values = true)]
    label: String,

    /// The names of the pixel columns, with `n` in braces where the number stands, or `row` and `column`; usual ones are recognised
    #[arg(long, value_name = "PATTERN", default_value = "pixel{n}", value_parser = read_text::<PixelPattern>, allow_hyphen_values = true)]
    pixels: PixelPattern,

    /// Whether the first row names the columns: auto, yes or no
    #[arg(long, value_name = "WHETHER", default_value = "auto", value_parser = read_text::<Header>)]
    header: Header,

    /// A further column that may be there and is passed over, `*` for all; may be repeated
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    ignore: Vec<String>,

    /// What stands between two columns: auto, comma, semicolon, tab, bar or space
    #[arg(long, value_name = "WHAT", default_value = "auto", value_parser = read_text::<Delimiter>)]
    delimiter: Delimiter,

    /// What computes: kernels or tract; the kernels where they cover the model, else tract, unless given
    #[arg(long, value_name = "ENGINE", value_parser = read_text::<Engine>)]
    engine: Option<Engine>,

    /// What it computes in: fp32, bf16 or int8 (faster where the processor has instructions for it; let `verify` measure what it loses), or
    /// auto, the fastest of fp32 and what `--verified` allows. int8 needs a file that was exported with `int8`
    #[arg(long, value_name = "PRECISION", default_value = "fp32", value_parser = read_text::<WantedPrecision>)]
    precision: WantedPrecision,

    /// The verification of the model, as a `verify` stage leaves it (artifacts/STAGE.json), for `--precision auto`
    #[arg(long, value_name = "FILE")]
    verified: Option<PathBuf>,

    /// How many threads predict; as many as there are processors by default. The output does not depend on it
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// How progress is shown
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    progress: Mode,
}

/// Scores the rows.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let cancel = signals::listen()?;
    let to_stdout = arguments.output == Path::new("-") || is_stdout(&arguments.output);
    if !arguments.model.is_file() {
        return Err(Failure::new(Exit::Usage, format!("there is no file `{}`", arguments.model.display())));
    }
    let inputs = Input::resolve(&arguments.input, Path::new(""))?;
    let output = if to_stdout { Output::Stream(Box::new(io::stdout())) } else { Output::File(arguments.output.clone()) };
    let mut files = claims(Some(&arguments.model), &inputs, &output, arguments.rejects.as_deref());
    if to_stdout {
        files.push(Claim::written("the standard output", STANDARD_OUTPUT));
    }
    check_files(&files).map_err(|error| failure(error, &cancel))?;
    let model = Loaded::open(&arguments.model).map_err(|error| {
        let exit = if is_damage(&error) { Exit::Corrupt } else { Exit::Usage };
        Failure::new(exit, format!("{error:#}"))
    })?;
    let allowed = match (arguments.precision, &arguments.verified) {
        (WantedPrecision::Auto, Some(file)) => {
            stages::measured(file, model.digest()).map_err(|error| Failure::new(Exit::Usage, format!("{error:#}")))?
        }
        (WantedPrecision::Auto, None) => {
            let text = "`--precision auto` chooses among what a verification has measured; name its file with `--verified`";
            return Err(Failure::new(Exit::Usage, text));
        }
        (_, Some(_)) => return Err(Failure::new(Exit::Usage, "`--verified` is for `--precision auto` alone")),
        (_, None) => Vec::new(),
    };
    let is_stream = matches!(fs::place(&arguments.output), Ok(fs::Place::Stream(_)));
    let format = match arguments.format.or_else(|| OutputFormat::of(&arguments.output)) {
        Some(format) => format,
        None if to_stdout || is_stream => OutputFormat::Csv,
        None => {
            let name = arguments.output.display();
            let text = format!("the name `{name}` tells no format; end it in .csv, .jsonl or .parquet, or give `--format`");
            return Err(Failure::new(Exit::Usage, text));
        }
    };
    let count = |count: NonZeroUsize| Count::new(count.get() as u64).map_err(|error| Failure::new(Exit::Usage, error));
    let mut request = Request {
        columns: CsvOptions {
            label: arguments.label.clone(),
            pixels: arguments.pixels.clone(),
            header: arguments.header,
            ignore: arguments.ignore.clone(),
            delimiter: arguments.delimiter,
        },
        wording: in_options,
        passthrough: arguments.passthrough.clone(),
        format,
        output_columns: arguments.columns.clone(),
        top_k: arguments.top_k.map(count).transpose()?,
        on_error: arguments.on_error,
        rejects: arguments.rejects.clone(),
        max_errors: arguments.max_errors,
        resume: arguments.resume,
        shard: arguments.shard,
        engine: arguments.engine,
        precision: arguments.precision.among(&allowed),
        ..Request::new(&model, inputs, output)
    };
    if let Some(jobs) = arguments.jobs {
        request.workers = count(jobs)?;
    }
    let (clock, name) = (SystemClock::new(), "score".parse().map_err(anyhow::Error::msg)?);
    // Lines of progress must not get between predictions.
    let mode = if to_stdout { Mode::Quiet } else { arguments.progress };
    let progress = Standalone::new(mode, &name, &clock, &cancel);
    let summary = score(request, &progress);
    drop(progress);
    let summary = match summary {
        Ok(summary) => summary,
        Err(ScoreError::Failed(error)) if to_stdout && is_broken_pipe(&error) => return Ok(Exit::Done),
        Err(error) => return Err(failure(error, &cancel)),
    };
    match (to_stdout, arguments.progress) {
        (true, _) => complain(&sentence(&summary, "standard output", Paint::stderr())),
        (false, Mode::Json) => print(&json_line(&summary)?)?,
        (false, _) => print(&format!("{}\n", sentence(&summary, &arguments.output.display().to_string(), Paint::stdout())))?,
    }
    Ok(Exit::Done)
}

/// How the program ends when scoring or merging does not end well.
pub(super) fn failure(error: ScoreError, cancel: &Cancel) -> Failure {
    match error {
        ScoreError::Interrupted(_) => {
            Failure { exit: Exit::Interrupted(cancel.requested().unwrap_or(Signal::Interrupt)), text: None }
        }
        ScoreError::Invalid(text) => Failure::new(Exit::Usage, text),
        ScoreError::Damaged(text) => Failure::new(Exit::Corrupt, text),
        ScoreError::Held(_) => Failure::new(Exit::Held, error.to_string()),
        ScoreError::Failed(error) => error.into(),
    }
}

/// Where the system has the standard output among its files, if it does.
const STANDARD_OUTPUT: &str = "/dev/stdout";

/// Whether a path leads to the standard output, and not to the file that this may be redirected to.
fn is_stdout(path: &Path) -> bool {
    let is_stream = matches!(fs::place(path), Ok(fs::Place::Stream(_)));
    is_stream && path != Path::new("/dev/null") && fs::is_same(path, Path::new(STANDARD_OUTPUT))
}

/// `✓ 10,000 rows → y.csv, accuracy 0.9312 · 3.2 s · 3,125 rows/s`
fn sentence(summary: &ScoreSummary, output: &str, paint: Paint) -> String {
    let accuracy = summary.manifest.accuracy.map(|accuracy| format!(", accuracy {accuracy:.4}")).unwrap_or_default();
    let rejected = match summary.manifest.tally.rejected {
        0 => String::new(),
        rows => format!(", {} rejected{}", number(rows), lines_of(&summary.manifest.tally)),
    };
    let said = format!("{} → {output}{rejected}{accuracy}", count(summary.manifest.tally.scored as usize, "row"));
    let cost = format!("· {} · {} rows/s", duration(summary.seconds), number(summary.rows_per_second() as u64));
    format!("{} {} {}", paint.text(Style::Green, "✓"), paint.text(Style::Bold, said), paint.text(Style::Dim, cost))
}

/// ` (31 lines in rows over several lines)`, if rejected rows have that.
fn lines_of(tally: &Tally) -> String {
    match tally.rejected_lines {
        0 => String::new(),
        lines => format!(" ({} lines in rows over several lines)", number(lines)),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}

fn parse_pattern(text: &str) -> Result<Pattern, String> {
    text.parse()
}

/// Reads a value that has a text form in `pipeline.yaml`, by the same rules.
fn read_text<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_as_in_a_pipeline() {
        assert_eq!(read_text::<Header>("no"), Ok(Header::No));
        assert!(read_text::<Header>("perhaps").unwrap_err().contains("perhaps"));
        assert_eq!(read_text::<PixelPattern>("pixel{n}"), Ok(CsvOptions::default().pixels));
        assert!(read_text::<PixelPattern>("pixel").is_err());
        assert_eq!(read_text::<OnError>("null"), Ok(OnError::Null));
        assert!(read_text::<OutputColumn>("labels").unwrap_err().contains("true_label"));
    }

    #[test]
    fn a_reader_that_is_gone_is_known() {
        let broken = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot write");
        assert!(is_broken_pipe(&broken));
        assert!(!is_broken_pipe(&anyhow::anyhow!("broken pipe")));
    }
}
