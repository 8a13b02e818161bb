//! Time, as a parameter.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time to the engine, which uses it for durations and the journal and never for a key.
pub trait Clock: Sync {
    /// The time since 1970-01-01 00:00 UTC. Never goes back.
    fn now(&self) -> Duration;
}

/// The machine's time when the program started, and what has passed since on its monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Duration,
    started: Instant,
}

impl SystemClock {
    /// A clock that starts from the machine's present time (or from 1970 if the machine believes to be before that).
    pub fn new() -> Self {
        Self { origin: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin + self.started.elapsed()
    }
}
