//! What is shown while a pipeline runs: bars on a terminal, lines in a log, JSON for programs.

mod bars;
mod json;
mod plain;

use std::io::{self, IsTerminal};

use clap::ValueEnum;

use super::text::{Paint, Style, duration};
use crate::engine::{Cancel, Clock, Deaf, Event, Events, Outcome, describe};
use crate::graph::StageId;
use crate::progress::Progress;

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Bars on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// Lines.
    Plain,
    /// One JSON object per line, on standard output.
    Json,
    /// Not at all.
    #[value(skip)]
    Quiet,
}

impl Mode {
    /// Whether bars are drawn.
    fn has_bars(self) -> bool {
        self == Self::Auto && io::stdout().is_terminal() && io::stderr().is_terminal()
    }
}

/// Shows the events of a run whose longest stage name has `width` characters.
pub(super) fn shower<'a>(mode: Mode, width: usize, clock: &'a dyn Clock) -> Box<dyn Events + 'a> {
    match mode {
        Mode::Quiet => Box::new(Deaf),
        Mode::Json => Box::new(json::Json::new(io::stdout(), clock)),
        _ if mode.has_bars() => Box::new(bars::Bars::new(width, Paint::stderr())),
        _ => Box::new(plain::Plain::new(io::stdout(), width, clock, Paint::stdout())),
    }
}

/// The line to keep of an event, if it has one.
///
/// ```text
/// ▶ basic      train: parameter epochs: 12 → 14
///   basic      epoch 3: loss 0.31
/// ! basic      only 4 of 6 parts have rows
/// ✓ basic      4 min 02 s
/// ```
fn line(event: &Event<'_>, width: usize, paint: Paint) -> Option<String> {
    let (sign, style, stage, text) = match event {
        Event::Started { stage, kind, reasons } => ("▶", Style::Cyan, Some(*stage), format!("{kind}: {}", describe(reasons))),
        Event::Note { stage, line } => (" ", Style::Plain, Some(*stage), (*line).to_owned()),
        Event::Warning { stage, line } => ("!", Style::Yellow, *stage, (*line).to_owned()),
        Event::Restored { stage, places } => ("↺", Style::Cyan, Some(*stage), format!("put back {}", places.join(", "))),
        Event::Finished { stage, seconds, unchanged } => {
            let unchanged = if *unchanged { ", same bytes as before" } else { "" };
            ("✓", Style::Green, Some(*stage), format!("{}{unchanged}", duration(*seconds)))
        }
        Event::Failed { stage, error, seconds } => {
            ("✗", Style::Red, Some(*stage), format!("after {}: {error}", duration(*seconds)))
        }
        Event::Interrupted { stage, seconds } => (
            "■",
            Style::Yellow,
            Some(*stage),
            format!("interrupted after {}; the next run goes on from there", duration(*seconds)),
        ),
        Event::Skipped { stage, missing } if !missing.is_empty() => {
            let names: Vec<String> = missing.iter().map(|input| format!("`{input}`")).collect();
            ("-", Style::Dim, Some(*stage), format!("not started: it needs {}", names.join(" and ")))
        }
        Event::RunStarted { .. }
        | Event::Cached { .. }
        | Event::Begin { .. }
        | Event::Advance { .. }
        | Event::Skipped { .. }
        | Event::RunFinished { .. } => return None,
    };
    let name = paint.text(Style::Bold, format!("{:width$}", stage.map_or("", |stage| stage.as_str())));
    // Further lines of a text stand below its first.
    let text = text.trim_end().replace('\n', &format!("\n{:width$}    ", ""));
    Some(format!("{} {name}  {text}", paint.text(style, sign)))
}

/// The progress of one piece of work outside a pipeline. What was drawn is cleared when it is dropped.
pub(super) struct Standalone<'a> {
    events: Box<dyn Events + 'a>,
    name: StageId,
    cancel: &'a Cancel,
}

impl<'a> Standalone<'a> {
    /// Progress that is shown under `name`.
    pub(super) fn new(mode: Mode, name: &StageId, clock: &'a dyn Clock, cancel: &'a Cancel) -> Self {
        Self { events: shower(mode, name.as_str().len(), clock), name: name.clone(), cancel }
    }
}

impl Drop for Standalone<'_> {
    fn drop(&mut self) {
        self.events.on(&Event::RunFinished { outcome: Outcome::Done });
    }
}

impl Progress for Standalone<'_> {
    fn begin(&self, what: &str, total: u64, unit: &str) {
        self.events.on(&Event::Begin { stage: &self.name, what, total, unit });
    }

    fn advance(&self, done: u64, message: &str) {
        self.events.on(&Event::Advance { stage: &self.name, done, message });
    }

    fn note(&self, line: &str) {
        self.events.on(&Event::Note { stage: &self.name, line });
    }

    fn warn(&self, line: &str) {
        self.events.on(&Event::Warning { stage: Some(&self.name), line });
    }

    fn interrupted(&self) -> bool {
        self.cancel.requested().is_some()
    }
}
