//! `pipeline run`, and its relatives `export`, `verify` and `report`, which run up to the stages of one kind.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::figures;
use super::load::{Source, name_width, stage_name};
use super::memory::Memory;
use super::progress::{Mode, shower};
use super::text::{Paint, Style, bytes, count, duration, print};
use super::{plan, signals};
use crate::engine::{self, Outcome, PipelineLock, Plan, RunOptions, Selection, Status, Summary, SystemClock};
use crate::graph::StageId;
use crate::stages::Needs;

/// How to run, for every verb that runs stages.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Manner {
    /// Run stages even if their results are in the cache
    #[arg(short, long)]
    force: bool,

    /// As --force, and without the checkpoints of interrupted runs
    #[arg(long)]
    no_cache: bool,

    /// Fail if anything would differ from pipeline.lock
    #[arg(long)]
    locked: bool,

    /// After a failure, go on with the stages that do not need what failed
    #[arg(short, long)]
    keep_going: bool,

    /// Say what would run, and run nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// How many stages may run side by side
    #[arg(short, long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,

    #[command(flatten)]
    memory: Memory,

    /// How progress is shown
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    progress: Mode,
}

/// The arguments of `pipeline run`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,

    /// Run this stage alone, on what is in the cache; may be repeated
    #[arg(short, long, value_name = "STAGE", value_parser = stage_name, group = "selection")]
    single: Vec<StageId>,

    /// Run this stage and everything it needs; may be repeated
    #[arg(long, value_name = "STAGE", value_parser = stage_name, group = "selection")]
    until: Vec<StageId>,

    /// Run this stage and everything that needs it; may be repeated
    #[arg(long, value_name = "STAGE", value_parser = stage_name, group = "selection")]
    downstream: Vec<StageId>,

    #[command(flatten)]
    manner: Manner,
}

/// The arguments of the verbs that run up to the stages of one kind.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct KindArguments {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    manner: Manner,
}

/// Runs a pipeline, or the selected stages of it.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let Arguments { source, single, until, downstream, manner } = arguments;
    let selection = match (&single[..], &until[..], &downstream[..]) {
        ([], [], []) => Selection::All,
        (single @ [_, ..], ..) => Selection::Single(single.to_vec()),
        (_, until @ [_, ..], _) => Selection::Until(until.to_vec()),
        (.., downstream) => Selection::Downstream(downstream.to_vec()),
    };
    execute(source, &source.load_with_needs()?, selection, manner)
}

/// Runs a pipeline up to its stages of one kind.
pub(super) fn run_kind(arguments: &KindArguments, kind: &str) -> Result<Exit, Failure> {
    let loaded = arguments.source.load_with_needs()?;
    let of_kind = loaded.0.stages().iter().filter(|planned| planned.stage.kind() == kind);
    let stages: Vec<StageId> = of_kind.map(|planned| planned.id.clone()).collect();
    if stages.is_empty() {
        let file = arguments.source.file.display();
        return Err(Failure::new(Exit::Usage, format!("`{file}` has no stage of the kind `{kind}`: add one")));
    }
    execute(&arguments.source, &loaded, Selection::Until(stages), &arguments.manner)
}

fn execute(source: &Source, (plan, needs): &(Plan, Needs), selection: Selection, manner: &Manner) -> Result<Exit, Failure> {
    let options = RunOptions {
        selection,
        force: manner.force,
        no_cache: manner.no_cache,
        locked: manner.locked,
        keep_going: manner.keep_going,
        jobs: manner.jobs,
    };
    let clock = SystemClock::new();
    manner.memory.check(source, plan, needs, &options, &clock)?;
    if manner.dry_run {
        let forecast = engine::forecast(plan, &options, &clock)?;
        print(&plan::render(&forecast, Paint::stdout()))?;
        print(&plan::memory(&forecast, needs))?;
        return Ok(Exit::Done);
    }
    let cancel = signals::listen()?; // not before: what comes before has nothing to leave in order, and ends at once
    let shower = shower(manner.progress, name_width(plan), &clock);
    let summary = engine::run(plan, &options, &*shower, &clock, &cancel)?;
    drop(shower);
    if manner.progress != Mode::Json {
        print(&render(plan, &summary, Paint::stdout())?)?;
    }
    Ok(summary.outcome.into())
}

/// The end of a run: what was done, and the figures that came of it.
fn render(plan: &Plan, summary: &Summary, paint: Paint) -> anyhow::Result<String> {
    let (style, sign, said) = match summary.outcome {
        Outcome::Done => (Style::Green, "✓", headline(summary)),
        Outcome::Interrupted(_) => (Style::Yellow, "■", format!("interrupted: {}", headline(summary))),
        Outcome::Gate => (Style::Red, "✗", format!("does not pass: {}", headline(summary))),
        Outcome::Failed | Outcome::Corrupt => (Style::Red, "✗", format!("failed: {}", headline(summary))),
    };
    let mut cost = duration(summary.seconds);
    if let Some(peak) = summary.peak_memory.filter(|_| summary.ran() > 0) {
        cost += &format!(" · peak memory {}", bytes(peak));
    }
    let dot = paint.text(Style::Dim, format!("· {cost}"));
    let mut text = format!("{} {} {dot}\n", paint.text(style, sign), paint.text(Style::Bold, said));
    if let Outcome::Interrupted(_) = summary.outcome {
        text += "  run again to go on from here\n";
    }
    if summary.outcome == Outcome::Done && summary.ran() > 0 {
        let figures = figures::current(plan.artifacts())?;
        if !figures.is_empty() {
            text += &format!("\n{}", figures::render(&figures, &figures::recipes(plan.artifacts())?, paint));
        }
        for page in pages(plan, summary)? {
            text += &format!("\nreport: {}\n", page.display());
        }
    }
    Ok(text)
}

/// The pages that the report stages of the run have published.
fn pages(plan: &Plan, summary: &Summary) -> anyhow::Result<Vec<PathBuf>> {
    let mut records = PipelineLock::read(plan.artifacts())?.map(|lock| lock.stages).unwrap_or_default();
    let reports = summary.stages.iter().filter(|report| report.kind == "report");
    let published = reports.filter_map(|report| records.remove(&report.stage)).flat_map(|record| record.published.into_keys());
    Ok(published.map(|place| plan.artifacts().join(place)).collect())
}

/// `ran 3 stages, 12 cached, 1 failed`
fn headline(summary: &Summary) -> String {
    let number = |wanted: fn(&Status) -> bool| summary.stages.iter().filter(|report| wanted(&report.status)).count();
    let ran = number(|status| matches!(status, Status::Ran { .. }));
    let cached = number(|status| matches!(status, Status::Cached));
    if cached == summary.stages.len() {
        return format!(
            "nothing to do: {} cached",
            if cached == 1 { "1 stage is".to_owned() } else { format!("all {cached} stages are") }
        );
    }
    let mut parts = vec![format!("ran {}", count(ran, "stage"))];
    for (number, word) in [
        (cached, "cached"),
        (number(|status| matches!(status, Status::Failed(_))), "failed"),
        (number(|status| matches!(status, Status::Interrupted)), "interrupted"),
        (number(|status| matches!(status, Status::Skipped(_))), "not started"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Signal, StageError, StageReport};

    fn check(statuses: Vec<Status>, expected: &str) {
        let report = |status| StageReport { stage: "a".parse().unwrap(), kind: "toy", status, key: None, seconds: 0.0 };
        let stages = statuses.into_iter().map(report).collect();
        let summary = Summary { outcome: Outcome::Done, stages, seconds: 1.0, peak_memory: None };
        assert_eq!(headline(&summary), expected);
    }

    #[test]
    fn headlines() {
        let ran = || Status::Ran { unchanged: false };
        let failed = || Status::Failed(StageError::Gate(String::new()));
        check(vec![Status::Cached], "nothing to do: 1 stage is cached");
        check(vec![Status::Cached, Status::Cached], "nothing to do: all 2 stages are cached");
        check(vec![ran(), Status::Cached], "ran 1 stage, 1 cached");
        check(vec![ran(), failed(), Status::Skipped(Vec::new())], "ran 1 stage, 1 failed, 1 not started");
        check(vec![Status::Interrupted], "ran 0 stages, 1 interrupted");
    }

    #[test]
    fn how_a_run_ended_is_the_first_thing_said() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::new("toys", crate::seed::Seed::new(1), dir.path().to_owned(), Vec::new()).unwrap();
        let text = |outcome| {
            let summary = Summary { outcome, stages: Vec::new(), seconds: 61.0, peak_memory: Some(1 << 30) };
            render(&plan, &summary, Paint::none()).unwrap()
        };
        for (outcome, expected) in [
            (Outcome::Done, "✓ nothing to do"),
            (Outcome::Failed, "✗ failed: "),
            (Outcome::Corrupt, "✗ failed: "),
            (Outcome::Gate, "✗ does not pass: "),
            (Outcome::Interrupted(Signal::Interrupt), "■ interrupted: "),
        ] {
            assert!(text(outcome).starts_with(expected), "{}", text(outcome));
        }
    }
}
