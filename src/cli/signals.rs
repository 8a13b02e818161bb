//! Signals. A file that grows over the limit of the process is an error of the write, like a full disk, and does not kill.
//! Ctrl-C and the system's request to end: the first lets the run stop in a resumable state, the second ends the program.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::engine::{Cancel, Signal};

/// Sees to it that what concerns a single write does not end the program. (That a reader of the output is gone is an error
/// of the write already: the runtime ignores SIGPIPE.)
///
/// # Errors
/// When the system does not allow it.
pub(super) fn tame() -> Result<()> {
    #[cfg(unix)]
    flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)))
        .context("cannot listen to the signal of files that grow too long")?;
    Ok(())
}

/// A handle that signals reach from now on.
///
/// # Errors
/// When the system does not allow it.
pub(super) fn listen() -> Result<Cancel> {
    let cancel = Cancel::new();
    let once = Arc::new(AtomicBool::new(false));
    for (number, signal) in [(SIGINT, Signal::Interrupt), (SIGTERM, Signal::Terminate)] {
        // In this order: the second signal finds `once` set by the first.
        flag::register_conditional_shutdown(number, 128 + i32::from(signal.number()), Arc::clone(&once))
            .and_then(|_| flag::register(number, Arc::clone(&once)))
            .and_then(|_| flag::register_usize(number, cancel.flag(), usize::from(signal.number())))
            .with_context(|| format!("cannot listen to signal {number}"))?;
    }
    Ok(cancel)
}
