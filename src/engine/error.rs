//! Why a plan cannot be run at all. What goes wrong in a single stage is a [`StageError`](super::StageError).

use std::path::PathBuf;

use crate::graph::StageId;

/// Why a plan cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another run uses the artifacts folder.
    #[error("another run holds the lock of `{}`: wait for it to end, or give this one another `artifacts` folder", .folder.display())]
    Held {
        /// The artifacts folder.
        folder: PathBuf,
    },
    /// There is no cache where one was looked for.
    #[error("there is no cache in `{}`: name the artifacts folder of a pipeline that has run, as in `--artifacts results`", .folder.display())]
    NoCache {
        /// The folder.
        folder: PathBuf,
    },
    /// A stage was asked for that the plan does not have.
    #[error("there is no stage `{stage}`{}", nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    UnknownStage {
        /// The name.
        stage: StageId,
        /// A name that is much like it.
        nearest: Option<StageId>,
    },
    /// A stage outside the selection is needed but is not in the cache.
    #[error("stage `{stage}` was not selected, but what was selected needs its output, and it must run first: {why}")]
    NotReady {
        /// The stage that is needed.
        stage: StageId,
        /// Why it would have to run.
        why: String,
    },
    /// `--locked` was given and the results would not be those of `pipeline.lock`.
    #[error("the results would not be those that `pipeline.lock` names:\n{}", .0.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))]
    OutOfDate(Vec<String>),
    /// A file that the engine keeps is damaged.
    #[error("{0:#}")]
    Corrupt(anyhow::Error),
    /// The system does not let the engine work.
    #[error("{0:#}")]
    System(anyhow::Error),
}

// No `#[from]`: it would make the error its own source, and its text would be told twice.
impl From<anyhow::Error> for EngineError {
    fn from(error: anyhow::Error) -> Self {
        Self::System(error)
    }
}
