//! Why scoring did not end well.

use crate::progress::Interrupted;

/// Why scoring did not end well. The output is then not there; what was put down in the journal waits for a run that goes on.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// It was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// What was asked for makes no sense, or does not fit the run that is to go on.
    #[error("{0}")]
    Invalid(String),
    /// Another run writes the same file.
    #[error("another run is writing `{0}`; wait until it is done")]
    Held(String),
    /// A file is not what its manifest says.
    #[error("{0}")]
    Damaged(String),
    /// Anything else, for people to read.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

// No `#[from]`: it would make the error its own source, and its text would be told twice.
impl From<anyhow::Error> for ScoreError {
    fn from(error: anyhow::Error) -> Self {
        match error.chain().find_map(|cause| cause.downcast_ref::<Interrupted>()) {
            Some(interrupted) => Self::Interrupted(*interrupted),
            None => Self::Failed(error),
        }
    }
}
