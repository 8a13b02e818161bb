//! Why work on data did not end well.

use crate::progress::Interrupted;

/// Why work on data did not end well. A caller tells the wish to stop from everything else.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It was asked to stop. Nothing it had begun needs to be cleared away.
    #[error("interrupted")]
    Interrupted(#[from] Interrupted),
    /// Anything else, for people to read.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

// No `#[from]`: it would make the error its own source, and its text would be told twice.
impl From<anyhow::Error> for DataError {
    fn from(error: anyhow::Error) -> Self {
        match error.chain().find_map(|cause| cause.downcast_ref::<Interrupted>()) {
            Some(interrupted) => Self::Interrupted(*interrupted),
            None => Self::Failed(error),
        }
    }
}
