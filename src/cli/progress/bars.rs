//! Progress on a terminal: one bar per running stage at the bottom, lines worth keeping above.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::line;
use crate::cli::text::{Paint, finished};
use crate::engine::{Event, Events};
use crate::graph::StageId;
use crate::quote::printable;

const TICK: Duration = Duration::from_millis(120);

/// A running stage: its bar, and the part of its work that it is at.
#[derive(Clone)]
struct Running {
    bar: ProgressBar,
    what: String,
}

/// Draws bars on standard error.
pub(super) struct Bars {
    all: MultiProgress,
    running: Mutex<BTreeMap<StageId, Running>>,
    width: usize,
    paint: Paint,
}

impl Bars {
    pub(super) fn new(width: usize, paint: Paint) -> Self {
        Self { all: MultiProgress::new(), running: Mutex::new(BTreeMap::new()), width, paint }
    }

    /// The bar of a running stage, drawn from its first mention on.
    fn bar<'r>(&self, running: &'r mut BTreeMap<StageId, Running>, stage: &StageId) -> &'r mut Running {
        running.entry(stage.clone()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::no_length());
            bar.set_style(style(0, "", self.paint.is_coloured()));
            bar.set_prefix(format!("{:width$}", stage.as_str(), width = self.width));
            bar.enable_steady_tick(TICK);
            Running { bar, what: String::new() }
        })
    }
}

impl Events for Bars {
    fn on(&self, event: &Event<'_>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = line(event, self.width, self.paint) {
            let _ = self.all.println(finished(&line, self.paint.is_coloured())); // a terminal that is gone must not end the run
        }
        match event {
            Event::Started { stage, .. } => {
                self.bar(&mut running, stage);
            }
            Event::Begin { stage, what, total, unit } => {
                let Running { bar, what: part } = self.bar(&mut running, stage);
                bar.set_style(style(*total, unit, self.paint.is_coloured()));
                bar.set_length(*total);
                bar.reset();
                bar.set_message(printable(what).into_owned());
                *part = (*what).to_owned();
            }
            Event::Advance { stage, done, message } => {
                if let Some(Running { bar, what }) = running.get(*stage) {
                    bar.set_position(*done);
                    if !message.is_empty() {
                        bar.set_message(printable(&format!("{what}, {message}")).into_owned());
                    }
                }
            }
            Event::Finished { stage, .. } | Event::Failed { stage, .. } | Event::Interrupted { stage, .. } => {
                if let Some(Running { bar, .. }) = running.remove(*stage) {
                    bar.finish_and_clear();
                }
            }
            Event::RunFinished { .. } => {
                let _ = self.all.clear();
            }
            _ => {}
        }
    }
}

/// How a bar looks: with a length, position and time left; without one, what has passed.
fn style(total: u64, unit: &str, coloured: bool) -> ProgressStyle {
    let (position, length, unit) = match unit {
        "bytes" => ("decimal_bytes", "decimal_total_bytes", String::new()),
        other => ("human_pos", "human_len", format!(" {}", other.replace(['{', '}'], ""))),
    };
    let (bar, message) = if coloured { ("{bar:24.cyan/dim}", "{wide_msg:.dim}") } else { ("{bar:24}", "{wide_msg}") };
    let template = match total {
        0 => format!("  {{prefix}}  {{spinner}} {{elapsed}}  {message}"),
        _ => format!("  {{prefix}}  {bar} {{{position}}}/{{{length}}}{unit}, {{eta}} left  {message}"),
    };
    ProgressStyle::with_template(&template).expect("the templates above are sound").progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_sound_for_any_unit() {
        for unit in ["", "images", "bytes", "{odd}", "}{"] {
            for coloured in [false, true] {
                let _ = (style(0, unit, coloured), style(10, unit, coloured));
            }
        }
    }
}
