//! `pipeline metrics`: the figures of all models.

use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::figures;
use super::text::{Paint, json, print};
use crate::engine::PipelineLock;

/// The arguments of `pipeline metrics`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The artifacts folder
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,

    /// Print every model's metrics.json, by model, as one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints the figures.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let figures = figures::current(&arguments.artifacts)?;
    if figures.is_empty() {
        let withdrawn = PipelineLock::read(&arguments.artifacts)?.and_then(|lock| lock.withdrawn());
        let why = withdrawn.map_or_else(|| "run the pipeline first".to_owned(), |line| format!("they were {line}"));
        let text = format!("there are no metrics in `{}`: {why}", arguments.artifacts.display());
        return Err(Failure::new(Exit::Failed, text));
    }
    if arguments.json {
        let all: serde_json::Map<_, _> = figures.into_iter().map(|one| (one.model, one.values)).collect();
        print(&json(&all)?)?;
    } else {
        let text = figures::render(&figures, &figures::recipes(&arguments.artifacts)?, Paint::stdout());
        print(&(text + &figures::withdrawn(&arguments.artifacts, Paint::stdout())?))?;
    }
    Ok(Exit::Done)
}
