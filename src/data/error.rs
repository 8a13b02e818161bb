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
    Failed(#[from] anyhow::Error),
}
