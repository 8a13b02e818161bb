//! `pipeline score`: classifies the rows of CSV files with an ONNX model.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::exit::{Exit, Failure};
use super::progress::{Mode, Standalone};
use super::signals;
use super::text::{Paint, Style, complain, duration, number, print};
use crate::data::csv::{CsvOptions, Header, PixelPattern};
use crate::data::pattern::Pattern;
use crate::engine::{Signal, SystemClock};
use crate::infer::Loaded;
use crate::score::{Input, Output, Request, ScoreError, ScoreSummary, score};
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

    /// Copy this column of the input to the output; may be repeated
    #[arg(long, value_name = "COLUMN")]
    passthrough: Vec<String>,

    /// The column that holds the label, if there is one
    #[arg(long, value_name = "COLUMN", default_value = "label")]
    label: String,

    /// The names of the pixel columns, with `{n}` where the number stands
    #[arg(long, value_name = "PATTERN", default_value = "pixel{n}", value_parser = read_text::<PixelPattern>)]
    pixels: PixelPattern,

    /// Whether the first row names the columns: auto, yes or no
    #[arg(long, value_name = "WHETHER", default_value = "auto", value_parser = read_text::<Header>)]
    header: Header,

    /// A further column that may be there and is passed over; may be repeated
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,

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
    let to_stdout = arguments.output == Path::new("-");
    if !arguments.model.is_file() {
        return Err(Failure::new(Exit::Usage, format!("there is no file `{}`", arguments.model.display())));
    }
    let model = Loaded::open(&arguments.model).map_err(|error| Failure::new(Exit::Corrupt, format!("{error:#}")))?;
    let inputs = Input::resolve(&arguments.input, Path::new(""))?;
    let output = if to_stdout { Output::Stream(Box::new(io::stdout())) } else { Output::File(arguments.output.clone()) };
    let mut request = Request {
        columns: CsvOptions {
            label: arguments.label.clone(),
            pixels: arguments.pixels.clone(),
            header: arguments.header,
            ignore: arguments.ignore.clone(),
        },
        passthrough: arguments.passthrough.clone(),
        ..Request::new(&model, inputs, output)
    };
    if let Some(jobs) = arguments.jobs {
        request.workers = Count::new(jobs.get() as u64).map_err(|error| Failure::new(Exit::Usage, error))?;
    }
    let (clock, name) = (SystemClock::new(), "score".parse().map_err(anyhow::Error::msg)?);
    // Lines of progress must not get between predictions.
    let mode = if to_stdout { Mode::Quiet } else { arguments.progress };
    let progress = Standalone::new(mode, &name, &clock, &cancel);
    let summary = score(request, &progress);
    drop(progress);
    let summary = match summary {
        Ok(summary) => summary,
        Err(ScoreError::Interrupted(_)) => {
            let signal = cancel.requested().unwrap_or(Signal::Interrupt);
            return Err(Failure { exit: Exit::Interrupted(signal), text: None });
        }
        Err(ScoreError::Failed(error)) if to_stdout && is_broken_pipe(&error) => return Ok(Exit::Done),
        Err(ScoreError::Failed(error)) => return Err(error.into()),
    };
    match (to_stdout, arguments.progress) {
        (true, _) => complain(&sentence(&summary, "standard output", Paint::stderr())),
        (false, Mode::Json) => print(&format!("{}\n", serde_json::to_string(&summary).map_err(anyhow::Error::from)?))?,
        (false, _) => print(&format!("{}\n", sentence(&summary, &arguments.output.display().to_string(), Paint::stdout())))?,
    }
    Ok(Exit::Done)
}

/// `✓ 10,000 rows → y.csv, accuracy 0.9312 · 3.2 s · 3,125 rows/s`
fn sentence(summary: &ScoreSummary, output: &str, paint: Paint) -> String {
    let accuracy = summary.manifest.accuracy.map(|accuracy| format!(", accuracy {accuracy:.4}")).unwrap_or_default();
    let said = format!("{} rows → {output}{accuracy}", number(summary.manifest.scored));
    let cost = format!("· {} · {} rows/s", duration(summary.seconds), number(summary.rows_per_second() as u64));
    format!("{} {} {}", paint.text(Style::Green, "✓"), paint.text(Style::Bold, said), paint.text(Style::Dim, cost))
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
    }

    #[test]
    fn a_reader_that_is_gone_is_known() {
        let broken = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot write");
        assert!(is_broken_pipe(&broken));
        assert!(!is_broken_pipe(&anyhow::anyhow!("broken pipe")));
    }
}
