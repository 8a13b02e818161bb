//! From the command line to a plan: reads `pipeline.yaml`, applies `-S`, shows every problem.

use std::path::{Path, PathBuf};

use super::exit::{Exit, Failure};
use super::text::{Paint, Style, complain, count};
use crate::engine::Plan;
use crate::fs;
use crate::graph::StageId;
use crate::spec::{MOST_BYTES, Override, Part, Problems};
use crate::stages::{self, Needs};

/// Which pipeline, and with which changes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Source {
    /// The file that declares the pipeline
    #[arg(value_name = "PIPELINE", default_value = "pipeline.yaml")]
    pub(super) file: PathBuf,

    /// Set a parameter for this call only, as in `-S advanced.epochs=3` or `-S seed=7`; may be repeated
    #[arg(short = 'S', long = "set", value_name = "PATH=VALUE")]
    pub(super) set: Vec<String>,

    /// Where original data files may be found; FASHION_MNIST_DIR says the same
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

impl Source {
    /// Reads and checks the pipeline. Every problem is shown before this returns.
    pub(super) fn load(&self) -> Result<Plan, Failure> {
        self.load_by(stages::load)
    }

    /// The same, with the memory that stages are estimated to need.
    pub(super) fn load_with_needs(&self) -> Result<(Plan, Needs), Failure> {
        self.load_by(stages::load_with_needs)
    }

    fn load_by<T>(&self, load: impl FnOnce(&str, &str, &[Override], Option<&Path>) -> Result<T, Problems>) -> Result<T, Failure> {
        let name = self.file.display();
        if !self.file.exists() {
            let help = "name another file, or write one with `pipeline init`";
            return Err(Failure::new(Exit::Usage, format!("there is no file `{name}`: {help}")));
        }
        if self.file.is_dir() {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{name}` is a folder: name the file in it that declares the pipeline"),
            ));
        }
        let bytes = fs::read_at_most(&self.file, MOST_BYTES as u64).map_err(|error| match error.is::<fs::TooLong>() {
            true => Failure::new(Exit::Invalid, error.to_string()),
            false => error.into(),
        })?;
        let text = text_of(bytes).map_err(|fault| Failure::new(Exit::Invalid, format!("{name}{fault}")))?;
        let mut overrides = Vec::new();
        for text in &self.set {
            overrides.push(text.parse::<Override>().map_err(|error| Failure::new(Exit::Usage, format!("`-S {text}`: {error}")))?);
        }
        let environment = std::env::var_os("FASHION_MNIST_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
        let data_dir = self.data_dir.clone().or(environment);
        let file = name.to_string();
        load(&file, &text, &overrides, data_dir.as_deref()).map_err(|problems| self.show(&problems))
    }

    /// Shows problems, and says that nothing was run.
    pub(super) fn show(&self, problems: &Problems) -> Failure {
        let paint = Paint::stderr();
        let style = |part| match part {
            Part::Place => Style::Bold,
            Part::Message | Part::Mark => Style::Fault,
            Part::Help => Style::Green,
            Part::Margin => Style::Margin,
        };
        complain(problems.render(&|part, text| paint.text(style(part), text)).trim_end());
        let found = format!("{} in `{}`", count(problems.len(), "problem"), self.file.display());
        complain(&format!("\n{} {found}: nothing was run", paint.text(Style::Red, "error:")));
        Failure { exit: Exit::Invalid, text: None }
    }
}

/// The text of a file, or what is wrong with it, to be read after the file's name.
fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(": the text is UTF-16: save the file as UTF-8".to_owned());
    }
    if bytes.contains(&0) {
        return Err(": this is no text file: name the file that declares the pipeline".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!(":{line}: the text is not UTF-8: save the file as UTF-8")
    })
}

/// Reads a stage's name from the command line.
pub(super) fn stage_name(text: &str) -> Result<StageId, String> {
    text.parse()
}

/// The length of the longest stage name of a plan.
pub(super) fn name_width(plan: &Plan) -> usize {
    plan.stages().iter().map(|planned| planned.id.as_str().len()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_said_in_a_line() {
        let check = |bytes: &[u8]| text_of(bytes.to_vec()).unwrap_err();
        assert_eq!(text_of("größe: 1\n".into()).unwrap(), "größe: 1\n");
        assert_eq!(check(b"a: 1\nb: \xff"), ":2: the text is not UTF-8: save the file as UTF-8");
        assert_eq!(check(b"\xff\xfev\0"), ": the text is UTF-16: save the file as UTF-8");
        assert_eq!(check(b"PK\x03\x04\0"), ": this is no text file: name the file that declares the pipeline");
    }
}
