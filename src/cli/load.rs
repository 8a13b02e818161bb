//! From the command line to a plan: reads `pipeline.yaml`, applies `-S`, shows every problem.

use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::text::{Paint, Style, complain, count};
use crate::engine::Plan;
use crate::fs;
use crate::graph::StageId;
use crate::spec::{Override, Problems};

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
        let name = self.file.display();
        if !self.file.exists() {
            let help = "name another file, or write one with `pipeline init`";
            return Err(Failure::new(Exit::Usage, format!("there is no file `{name}`: {help}")));
        }
        let bytes = fs::read(&self.file)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            Failure::new(Exit::Invalid, format!("{name}:{line}: the text is not UTF-8: save the file as UTF-8"))
        })?;
        let mut overrides = Vec::new();
        for text in &self.set {
            overrides.push(text.parse::<Override>().map_err(|error| Failure::new(Exit::Usage, format!("`-S {text}`: {error}")))?);
        }
        let environment = std::env::var_os("FASHION_MNIST_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
        let data_dir = self.data_dir.clone().or(environment);
        crate::stages::load(&name.to_string(), &text, &overrides, data_dir.as_deref()).map_err(|problems| self.show(&problems))
    }

    fn show(&self, problems: &Problems) -> Failure {
        let paint = Paint::stderr();
        complain(problems.render(paint.is_coloured()).trim_end());
        let found = format!("{} in `{}`", count(problems.len(), "problem"), self.file.display());
        complain(&format!("\n{} {found}: nothing was run", paint.text(Style::Red, "error:")));
        Failure { exit: Exit::Invalid, text: None }
    }
}

/// Reads a stage's name from the command line.
pub(super) fn stage_name(text: &str) -> Result<StageId, String> {
    text.parse()
}

/// The length of the longest stage name of a plan.
pub(super) fn name_width(plan: &Plan) -> usize {
    plan.stages().iter().map(|planned| planned.id.as_str().len()).max().unwrap_or(0)
}
