//! `pipeline schema`: what can stand in `pipeline.yaml`, as a JSON schema or as a text for people.

use super::exit::{Exit, Failure};
use super::text::{json, print};

/// The arguments of `pipeline schema`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print the reference for people instead: every kind of stage with its options, in Markdown
    #[arg(long)]
    markdown: bool,
}

/// Prints the schema, or the reference.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.markdown {
        print(&crate::stages::reference())?;
    } else {
        print(&json(&crate::stages::schema())?)?;
    }
    Ok(Exit::Done)
}
