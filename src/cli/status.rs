//! `pipeline status`: how every stage stands, and how the last run went.

use std::collections::BTreeMap;

use super::exit::{Exit, Failure};
use super::load::Source;
use super::plan::{fate, why};
use super::text::{Cell, Paint, Style, Table, bytes, count, duration, moment, print};
use crate::engine::{self, Entry, Forecast, Happening, Outcome, PipelineLock, RunOptions, SystemClock, read_journal};
use crate::graph::StageId;

/// The arguments of `pipeline status`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
}

/// Prints how the stages stand.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let plan = arguments.source.load()?;
    let forecast = engine::forecast(&plan, &RunOptions::default(), &SystemClock::new())?;
    let lock = PipelineLock::read(plan.artifacts()).map_err(engine::EngineError::Corrupt)?;
    let journal = read_journal(plan.artifacts())?;
    print(&render(&forecast, lock.as_ref(), &journal, Paint::stdout()))?;
    Ok(Exit::Done)
}

fn render(forecast: &Forecast, lock: Option<&PipelineLock>, journal: &[Entry], paint: Paint) -> String {
    let last = last_ends(journal);
    let head = ["stage", "kind", "state"].map(Cell::new).into_iter();
    let figures = ["last took", "result"].map(Cell::right);
    let mut table = Table::with_head(head.chain(figures).chain(["key", "why", "last failure"].map(Cell::new)));
    for outlook in &forecast.outlooks {
        let (word, style) = fate(&outlook.fate);
        // What is said of a result is said of the one that the stage has now, not of one with other parameters.
        let record = lock.and_then(|lock| lock.stages.get(&outlook.stage)).filter(|record| outlook.key == Some(record.key));
        let size = record.map(|record| bytes(record.files.values().map(|content| content.bytes).sum()));
        let (took, failure) = match last.get(&outlook.stage) {
            Some(Happening::StageFinished { seconds, .. }) => (duration(*seconds), String::new()),
            Some(Happening::StageFailed { error, .. }) => (String::new(), error.lines().next().unwrap_or_default().to_owned()),
            Some(Happening::StageInterrupted { seconds, .. }) => {
                (String::new(), format!("interrupted after {}", duration(*seconds)))
            }
            _ => Default::default(),
        };
        table.row([
            Cell::new(&outlook.stage),
            Cell::new(outlook.kind).style(Style::Dim),
            Cell::new(word).style(style),
            Cell::right(took),
            Cell::right(size.unwrap_or_default()),
            Cell::new(outlook.key.map(|key| key.short()).unwrap_or_default()).style(Style::Dim),
            Cell::new(why(&outlook.fate).lines().next().unwrap_or_default()).style(Style::Dim),
            Cell::new(failure).style(Style::Red),
        ]);
    }
    let withdrawn = lock.and_then(PipelineLock::withdrawn).map(|line| format!("{line}\n")).unwrap_or_default();
    format!("{}\n{withdrawn}{}\n", table.render(paint), last_run(journal))
}

/// How each stage last ended.
fn last_ends(journal: &[Entry]) -> BTreeMap<&StageId, &Happening> {
    let ends = journal.iter().filter_map(|entry| match &entry.happening {
        happening @ (Happening::StageFinished { stage, .. }
        | Happening::StageFailed { stage, .. }
        | Happening::StageInterrupted { stage, .. }) => Some((stage, happening)),
        _ => None,
    });
    ends.collect()
}

/// `last run: 2026-03-14 15:09 UTC, done, ran 3 stages in 4 min 02 s`
fn last_run(journal: &[Entry]) -> String {
    let Some(last) = journal.last() else { return "no run yet".to_owned() };
    let finished = journal.iter().rev().take_while(|entry| entry.run == last.run).find_map(|entry| match &entry.happening {
        Happening::RunFinished { outcome, seconds, ran, .. } => Some((*outcome, *seconds, *ran)),
        _ => None,
    });
    let text = match finished {
        None => "did not come to an end (it is still running, or it was killed)".to_owned(),
        Some((outcome, seconds, ran)) => {
            let outcome = match outcome {
                Outcome::Done => "done",
                Outcome::Failed => "failed",
                Outcome::Gate => "does not pass",
                Outcome::Corrupt => "damaged",
                Outcome::Interrupted(_) => "interrupted",
            };
            format!("{outcome}, ran {} in {}", count(ran, "stage"), duration(seconds))
        }
    };
    format!("last run: {}, {text}", moment(last.run))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::engine::{Fate, Outlook, Reason};

    fn entry(run: u64, happening: Happening) -> Entry {
        Entry { time: run, run, happening }
    }

    #[test]
    fn the_state_of_stages_and_of_the_last_run() {
        let id = |name: &str| name.parse::<StageId>().unwrap();
        let digest = Digest::of_bytes(b"");
        let outlook = |name, fate| Outlook { stage: id(name), kind: "toy", key: None, parts: None, fate };
        let forecast = Forecast {
            outlooks: vec![
                outlook("raw", Fate::Cached { output: digest, restores: Vec::new() }),
                outlook("basic", Fate::Runs { reasons: vec![Reason::NeverRun] }),
            ],
        };
        let started = Happening::RunStarted { pipeline: "toys".to_owned(), program: "1".to_owned() };
        let mut journal = vec![
            entry(0, Happening::StageFailed { stage: id("raw"), error: "old".to_owned(), seconds: 1.0 }),
            entry(60_000, started),
            entry(60_000, Happening::StageFinished { stage: id("raw"), key: digest, output: digest, seconds: 62.0 }),
            entry(60_000, Happening::StageFailed { stage: id("basic"), error: "no luck\nat all".to_owned(), seconds: 1.0 }),
        ];
        insta::assert_snapshot!(render(&forecast, None, &journal, Paint::none()), @"
        stage  kind  state    last took  result  key  why              last failure
        raw    toy   cached  1 min 02 s
        basic  toy   runs                             has not run yet  no luck

        last run: 1970-01-01 00:01 UTC, did not come to an end (it is still running, or it was killed)
        ");
        let finished =
            Happening::RunFinished { outcome: Outcome::Failed, seconds: 63.0, peak_memory: None, ran: 1, keys: BTreeMap::new() };
        journal.push(entry(60_000, finished));
        assert_eq!(last_run(&journal), "last run: 1970-01-01 00:01 UTC, failed, ran 1 stage in 1 min 03 s");
        assert_eq!(last_run(&[]), "no run yet");
    }
}
