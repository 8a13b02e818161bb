//! Why scoring did not end well.

use crate::progress::Interrupted;

/// Why scoring did not end well. No output file was written.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// It was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Anything else, for people to read.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}
