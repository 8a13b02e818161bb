//! Progress as lines: every event worth a line, and now and then how far a stage is.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::line;
use crate::cli::text::{Paint, bytes, duration, finished, number};
use crate::engine::{Clock, Event, Events};
use crate::graph::StageId;

/// A stage says how far it is at most this often.
const PAUSE: Duration = Duration::from_secs(10);

/// The part of its work that a stage is at.
struct Part {
    what: String,
    total: u64,
    unit: String,
    started: Duration,
    shown: Duration,
}

struct State<W> {
    out: W,
    parts: BTreeMap<StageId, Part>,
}

/// Writes lines.
pub(super) struct Plain<'a, W> {
    state: Mutex<State<W>>,
    width: usize,
    clock: &'a dyn Clock,
    paint: Paint,
}

impl<'a, W: Write> Plain<'a, W> {
    pub(super) fn new(out: W, width: usize, clock: &'a dyn Clock, paint: Paint) -> Self {
        Self { state: Mutex::new(State { out, parts: BTreeMap::new() }), width, clock, paint }
    }
}

impl<W: Write + Send> Events for Plain<'_, W> {
    fn on(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match event {
            Event::Begin { stage, what, total, unit } => {
                let now = self.clock.now();
                let part = Part { what: (*what).to_owned(), total: *total, unit: (*unit).to_owned(), started: now, shown: now };
                state.parts.insert((*stage).clone(), part);
                return;
            }
            Event::Advance { stage, done, message } => {
                let now = self.clock.now();
                let Some(part) = state.parts.get_mut(stage).filter(|part| now.saturating_sub(part.shown) >= PAUSE) else {
                    return;
                };
                part.shown = now;
                format!("  {:width$}  {}", stage.as_str(), how_far(part, *done, message, now), width = self.width)
            }
            other => match line(other, self.width, self.paint) {
                Some(line) => line,
                None => return,
            },
        };
        // A log that nobody reads any more must not end the run.
        let text = finished(&text, self.paint.is_coloured());
        let _ = writeln!(state.out, "{text}").and_then(|()| state.out.flush());
    }
}

/// `reading: 20,000 of 60,000 images, about 4.0 s left, loss 0.3`
fn how_far(part: &Part, done: u64, message: &str, now: Duration) -> String {
    let amount = |value: u64| if part.unit == "bytes" { bytes(value) } else { number(value) };
    let unit = if part.unit == "bytes" { String::new() } else { format!(" {}", part.unit) };
    let mut text = format!("{}: {}", part.what, amount(done));
    if part.total > 0 {
        text += &format!(" of {}", amount(part.total));
    }
    text += &unit;
    let elapsed = now.saturating_sub(part.started).as_secs_f64();
    if part.total > done && done > 0 {
        text += &format!(", about {} left", duration(elapsed * (part.total - done) as f64 / done as f64));
    }
    if !message.is_empty() {
        text += &format!(", {message}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::engine::{Outcome, Reason, StageError};

    /// A clock that stands still between settings.
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn a_run_in_lines() {
        let clock = Hand(AtomicU64::new(0));
        let plain = Plain::new(Vec::new(), 5, &clock, Paint::none());
        let (raw, basic): (StageId, StageId) = ("raw".parse().unwrap(), "basic".parse().unwrap());
        let (stage, error) = (&raw, StageError::Gate("accuracy 0.1\nis below 0.9".to_owned()));
        let advance = |seconds: u64, done, message| {
            clock.0.store(seconds, Ordering::SeqCst);
            plain.on(&Event::Advance { stage: &raw, done, message });
        };
        plain.on(&Event::RunStarted { pipeline: "toys", stages: 2 });
        plain.on(&Event::Started { stage, kind: "fetch", reasons: &[Reason::NeverRun, Reason::Forced] });
        plain.on(&Event::Begin { stage, what: "reading", total: 60_000, unit: "images" });
        advance(9, 10_000, "too early to be shown");
        advance(10, 20_000, "");
        advance(19, 25_000, "too early to be shown");
        advance(20, 40_000, "loss 0.3");
        plain.on(&Event::Begin { stage, what: "downloading", total: 0, unit: "bytes" });
        advance(40, 1_500_000, "");
        plain.on(&Event::Note { stage, line: "six parts" });
        plain.on(&Event::Warning { stage: Some(stage), line: "odd" });
        plain.on(&Event::Warning { stage: None, line: "odd too" });
        plain.on(&Event::Restored { stage, places: &["a".to_owned(), "b".to_owned()] });
        plain.on(&Event::Finished { stage, seconds: 41.0, unchanged: true });
        plain.on(&Event::Failed { stage: &basic, error: &error, seconds: 61.0 });
        plain.on(&Event::Interrupted { stage, seconds: 1.0 });
        plain.on(&Event::Skipped { stage, missing: &[basic.clone(), raw.clone()] });
        plain.on(&Event::Skipped { stage, missing: &[] });
        plain.on(&Event::RunFinished { outcome: Outcome::Done });
        let text = String::from_utf8(plain.state.into_inner().unwrap().out).unwrap();
        insta::assert_snapshot!(text, @"
        ▶ raw    fetch: has not run yet, forced
          raw    reading: 20,000 of 60,000 images, about 20.0 s left
          raw    reading: 40,000 of 60,000 images, about 10.0 s left, loss 0.3
          raw    downloading: 1.5 MB
          raw    six parts
        ! raw    odd
        !        odd too
        ↺ raw    put back a, b
        ✓ raw    41.0 s, same bytes as before
        ✗ basic  after 1 min 01 s: accuracy 0.1
                 is below 0.9
        ■ raw    interrupted after 1.0 s; the next run goes on from there
        - raw    not started: it needs `basic` and `raw`
        ");
    }
}
