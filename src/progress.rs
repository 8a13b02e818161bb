//! Progress: how long work tells its caller what it is doing, and learns that it should stop.
//!
//! Nothing below `cli/` prints. Work that takes more than a moment takes a [`Progress`] and reports through it.

/// Receives reports from running work and says whether it should stop. One per stage run; shared by its threads.
pub trait Progress: Sync {
    /// A part of the work begins: `total` units of `unit` ("images", "rows", "bytes") will be reported.
    /// A total of 0 means that it is not known.
    fn begin(&self, what: &str, total: u64, unit: &str);

    /// `done` units of the current part are finished; `message` is a short current figure, such as a loss.
    fn advance(&self, done: u64, message: &str);

    /// A line worth keeping: the end of an epoch, the result of a trial.
    fn note(&self, line: &str);

    /// Something the user should know and that is not an error.
    fn warn(&self, line: &str);

    /// Whether the work should leave a resumable state and return [`Interrupted`].
    fn interrupted(&self) -> bool;

    /// [`Interrupted`] if the work should stop, for use with `?`.
    ///
    /// # Errors
    /// [`Interrupted`] when [`Progress::interrupted`] is true.
    fn check(&self) -> Result<(), Interrupted> {
        if self.interrupted() { Err(Interrupted) } else { Ok(()) }
    }
}

/// The work was asked to stop and left a resumable state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Hears nothing and never interrupts: for tests and library users.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _total: u64, _unit: &str) {}
    fn advance(&self, _done: u64, _message: &str) {}
    fn note(&self, _line: &str) {}
    fn warn(&self, _line: &str) {}
    fn interrupted(&self) -> bool {
        false
    }
}
