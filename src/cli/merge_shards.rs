//! `pipeline merge-shards`: puts the predictions of all shards of a run together.

use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::progress::{Mode, Standalone};
use super::score::failure;
use super::signals;
use super::text::{Paint, Style, count, json_line, number, print};
use crate::engine::SystemClock;
use crate::score::merge_shards;

/// The arguments of `pipeline merge-shards`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The predictions of every shard, in any order; their manifests must lie beside them
    #[arg(value_name = "SHARD", required = true)]
    shards: Vec<PathBuf>,

    /// Where the merged predictions go
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Where the merged list of rejects goes, if the shards have one; their lists must lie beside them
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,

    /// How progress is shown
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    progress: Mode,
}

/// Merges the shards.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let cancel = signals::listen()?;
    let (clock, name) = (SystemClock::new(), "merge".parse().map_err(anyhow::Error::msg)?);
    let progress = Standalone::new(arguments.progress, &name, &clock, &cancel);
    let merged = merge_shards(&arguments.shards, &arguments.output, arguments.rejects.as_deref(), &progress);
    drop(progress);
    let manifest = merged.map_err(|error| failure(error, &cancel))?;
    if arguments.progress == Mode::Json {
        print(&json_line(&manifest)?)?;
    } else {
        let (rows, shards) = (number(manifest.tally.rows), count(arguments.shards.len(), "shard"));
        let paint = Paint::stdout();
        let said = format!("{rows} rows of {shards} → {}", arguments.output.display());
        print(&format!("{} {}\n", paint.text(Style::Green, "✓"), paint.text(Style::Bold, said)))?;
    }
    Ok(Exit::Done)
}
