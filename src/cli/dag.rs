//! `pipeline dag`: the graph of stages as text, for Graphviz or for Mermaid.

use clap::ValueEnum;

use super::exit::{Exit, Failure};
use super::load::Source;
use super::text::print;
use crate::graph::StageId;

/// The arguments of `pipeline dag`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,

    /// The language of the drawing
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// A tree for the terminal
    #[default]
    Text,
    /// Graphviz
    Dot,
    /// Mermaid, as GitHub draws it
    Mermaid,
}

/// Prints the drawing.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let plan = arguments.source.load()?;
    let label = |id: &StageId| plan.stage(id).map(|planned| planned.stage.kind().to_owned()).unwrap_or_default();
    print(&match arguments.format {
        Format::Text => plan.graph().text(label),
        Format::Dot => plan.graph().dot(label),
        Format::Mermaid => plan.graph().mermaid(label),
    })?;
    Ok(Exit::Done)
}
