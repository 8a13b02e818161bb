//! Cancellation: a request from outside that running stages learn of through their progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

/// Who asked the run to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A polite request from the system to end.
    Terminate,
}

impl Signal {
    /// The number POSIX gives it; the exit code of an interrupted run is 128 more.
    pub const fn number(self) -> u8 {
        match self {
            Self::Interrupt => 2,
            Self::Terminate => 15,
        }
    }
}

/// A handle to stop a run. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicUsize>);

impl Cancel {
    /// A handle that nobody has used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop.
    pub fn request(&self, signal: Signal) {
        self.0.store(usize::from(signal.number()), Ordering::SeqCst);
    }

    /// Who asked the run to stop, if anybody did.
    pub fn requested(&self) -> Option<Signal> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            number if number == usize::from(Signal::Terminate.number()) => Some(Signal::Terminate),
            _ => Some(Signal::Interrupt),
        }
    }

    /// The number behind the handle, for a signal handler that can do no more than store [`Signal::number`] in it.
    pub fn flag(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_number_is_a_request() {
        for (number, signal) in [(0, None), (2, Some(Signal::Interrupt)), (15, Some(Signal::Terminate))] {
            let cancel = Cancel::new();
            cancel.flag().store(number, Ordering::SeqCst);
            assert_eq!(cancel.requested(), signal);
        }
        let cancel = Cancel::new();
        cancel.clone().request(Signal::Terminate);
        assert_eq!(cancel.requested(), Some(Signal::Terminate));
    }
}
