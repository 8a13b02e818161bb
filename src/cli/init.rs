//! `pipeline init`: writes a commented `pipeline.yaml` to start from.

use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::text::print;
use crate::fs;

/// What is written: a pipeline with every kind of stage.
const TEMPLATE: &str = include_str!("../../pipeline.yaml");

/// The arguments of `pipeline init`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to write
    #[arg(value_name = "PIPELINE", default_value = "pipeline.yaml")]
    file: PathBuf,
}

/// Writes the file, unless there is one.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let name = arguments.file.display();
    if arguments.file.exists() {
        return Err(Failure::new(Exit::Usage, format!("`{name}` is there already and is left as it is: name another file")));
    }
    fs::write(&arguments.file, TEMPLATE)?;
    print(&format!("wrote `{name}`. Next: `pipeline plan {name}`, then `pipeline run {name}`\n"))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let arguments = Arguments { file: dir.path().join("p.yaml") };
        assert_eq!(run(&arguments).unwrap(), Exit::Done);
        assert_eq!(fs::read_text(&arguments.file).unwrap(), TEMPLATE);
        fs::write(&arguments.file, "mine").unwrap();
        assert_eq!(run(&arguments).unwrap_err().exit, Exit::Usage);
        assert_eq!(fs::read_text(&arguments.file).unwrap(), "mine");
    }

    #[test]
    fn the_template_has_no_problems() {
        let loaded = crate::stages::load("pipeline.yaml", TEMPLATE, &[], None);
        assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
    }
}
