//! Selections, failures, interruptions and workers.

use super::*;

fn id(name: &str) -> StageId {
    name.parse().unwrap()
}

#[test]
fn until_runs_a_stage_and_what_it_needs() {
    let mut bench = Bench::new("raw:, a: raw, b: raw, vote: a b");
    bench.options.selection = Selection::Until(vec![id("a")]);
    bench.runs("raw a");
    bench.options.selection = Selection::All;
    bench.runs("b vote");
}

#[test]
fn single_runs_one_stage_on_what_is_in_the_cache() {
    let mut bench = Bench::new("raw:, a: raw, b: raw, vote: a b");
    bench.options.selection = Selection::Single(vec![id("vote")]);
    let error = bench.try_run().unwrap_err();
    insta::assert_snapshot!(error, @"stage `raw` was not selected, but what was selected needs its output, and it must run first: has not run yet");
    bench.options.selection = Selection::All;
    bench.runs("raw a b vote");
    bench.toy("raw").suffix = "new".to_owned();
    bench.toy("vote").suffix = "new".to_owned();
    bench.options.selection = Selection::Single(vec![id("vote")]);
    let error = bench.try_run().unwrap_err();
    insta::assert_snapshot!(error, @r#"stage `raw` was not selected, but what was selected needs its output, and it must run first: parameter suffix: "raw," → "new""#);
    bench.toy("raw").suffix = "raw,".to_owned();
    bench.runs("vote");
}

#[test]
fn downstream_runs_a_stage_and_what_needs_it() {
    let mut bench = Bench::new("raw:, a: raw, b: raw, vote: a b, other: raw");
    bench.runs("raw a b vote other");
    bench.options = RunOptions { selection: Selection::Downstream(vec![id("a")]), force: true, ..RunOptions::default() };
    bench.runs("a vote");
}

#[test]
fn force_runs_what_is_selected_and_says_so() {
    let mut bench = Bench::new("raw:, a: raw");
    bench.runs("raw a");
    bench.options.force = true;
    assert_eq!(bench.why("raw"), "forced");
    assert_eq!(bench.why("a"), "input `raw` will change, forced");
    bench.runs("raw a");
}

#[test]
fn a_stage_that_does_not_exist_is_named_with_the_nearest() {
    let mut bench = Bench::new("basic:, advanced: basic");
    bench.options.selection = Selection::Single(vec![id("advancd")]);
    insta::assert_snapshot!(bench.try_run().unwrap_err(), @"there is no stage `advancd`; did you mean `advanced`?");
    bench.options.selection = Selection::Single(vec![id("zzz")]);
    insta::assert_snapshot!(bench.try_run().unwrap_err(), @"there is no stage `zzz`");
}

#[test]
fn a_failure_stops_the_run_and_keeps_what_finished() {
    let mut bench = Bench::new("raw:, bad: raw, after: bad, other: raw");
    bench.toy("bad").act = Act::Fail;
    let summary = bench.try_run().unwrap();
    assert_eq!(summary.outcome, Outcome::Failed);
    assert_eq!(
        bench.heard,
        ["started raw", "started bad", "failed bad: no luck", r#"skipped after for ["bad"]"#, "skipped other for []"]
    );
    bench.toy("bad").act = Act::Join;
    bench.runs("bad after other");
}

#[test]
fn keep_going_runs_what_does_not_need_the_failure() {
    let mut bench = Bench::new("raw:, bad: raw, after: bad, other: raw");
    bench.toy("bad").act = Act::Fail;
    bench.options.keep_going = true;
    let summary = bench.try_run().unwrap();
    assert_eq!(summary.outcome, Outcome::Failed);
    assert_eq!(names_where(&summary, |status| matches!(status, Status::Ran { .. })), "raw other");
    assert_eq!(names_where(&summary, |status| matches!(status, Status::Skipped(_))), "after");
}

#[test]
fn a_gate_is_an_outcome_of_its_own_and_a_plain_failure_outweighs_it() {
    let mut bench = Bench::new("gate:, bad:");
    bench.toy("gate").act = Act::Gate;
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Gate);
    assert_eq!(bench.heard[1], "failed gate: accuracy 0.1 is below 0.9");
    bench.toy("bad").act = Act::Fail;
    bench.options.keep_going = true;
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Failed);
}

#[test]
fn a_panic_is_a_failure_of_its_stage() {
    let mut bench = Bench::new("raw:, bad: raw");
    bench.toy("bad").act = Act::Panic;
    let summary = bench.try_run().unwrap();
    assert_eq!(summary.outcome, Outcome::Failed);
    assert_eq!(bench.heard.last().unwrap(), "failed bad: it panicked: no more ideas");
}

#[test]
fn an_interruption_keeps_the_checkpoint_and_the_next_run_goes_on_from_it() {
    let mut bench = Bench::new("raw:, slow: raw, after: slow");
    bench.toy("slow").act = Act::Checkpoint;
    let summary = bench.try_run_with(Listener { stop_at: Some("slow"), ..Listener::default() }).unwrap();
    assert_eq!(summary.outcome, Outcome::Interrupted(Signal::Interrupt));
    assert_eq!(names_where(&summary, |status| matches!(status, Status::Interrupted)), "slow");
    assert_eq!(bench.heard, ["started raw", "started slow", "skipped after for []"]);
    assert_eq!(fs::entries(&bench.artifact(".cache/scratch")).unwrap().len(), 1);
    bench.runs("slow after");
    assert_eq!(bench.text("slow"), "raw,slow,resumed");
    assert_eq!(fs::entries(&bench.artifact(".cache/scratch")).unwrap().len(), 0);
    bench.runs("");
}

#[test]
fn no_cache_starts_from_nothing() {
    let mut bench = Bench::new("slow:");
    bench.toy("slow").act = Act::Checkpoint;
    for _ in 0..2 {
        let summary = bench.try_run_with(Listener { stop_at: Some("slow"), ..Listener::default() }).unwrap();
        assert_eq!(summary.outcome, Outcome::Interrupted(Signal::Interrupt));
        bench.options.no_cache = true; // without it, the second run would find the checkpoint and finish
    }
}

#[test]
fn a_stage_cannot_interrupt_itself() {
    let mut bench = Bench::new("odd:");
    bench.toy("odd").act = Act::GiveUp;
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Failed);
    assert_eq!(bench.heard[1], "failed odd: it stopped without being asked to");
}

#[test]
fn independent_stages_run_side_by_side() {
    let mut bench = Bench::new("raw:, a: raw, b: raw, vote: a b");
    let meeting = Arc::<Meeting>::default();
    bench.toy("a").act = Act::Meet(meeting.clone());
    bench.toy("b").act = Act::Meet(meeting);
    bench.jobs(2);
    bench.runs("raw a b vote");
}

#[test]
fn workers_do_not_change_the_results() {
    let locks = [1, 4].map(|jobs| {
        let mut bench = Bench::new("raw:, a: raw, b: raw, c: raw, d: raw, x: a b, y: c d, vote: x y");
        bench.toy("c").seeded = true;
        bench.jobs(jobs);
        bench.ran();
        fs::read_text(&bench.artifact("pipeline.lock")).unwrap()
    });
    assert_eq!(locks[0], locks[1]);
}

#[test]
fn the_journal_tells_what_happened() {
    let mut bench = Bench::new("raw:, a: raw");
    bench.runs("raw a");
    bench.toy("a").act = Act::Fail;
    bench.toy("a").suffix = "new".to_owned();
    bench.try_run().unwrap();
    let entries = read_journal(&bench.path("artifacts")).unwrap();
    let lines = entries.iter().map(|entry| match &entry.happening {
        Happening::RunStarted { pipeline, .. } => format!("run of {pipeline}"),
        Happening::StageStarted { stage, reasons, .. } => format!("{stage} for {}", reasons[0]),
        Happening::StageFinished { stage, seconds, .. } => format!("{stage} done in {seconds}"),
        Happening::StageFailed { stage, error, .. } => format!("{stage} failed: {error}"),
        Happening::StageInterrupted { stage, .. } => format!("{stage} interrupted"),
        Happening::RunFinished { outcome, ran, keys, .. } => format!("{outcome:?}, ran {ran}, {} results", keys.len()),
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r#"
    run of toys
    raw for has not run yet
    raw done in 2
    a for has not run yet
    a done in 2
    Done, ran 2, 2 results
    run of toys
    a for parameter suffix: "a," → "new"
    a failed: no luck
    Failed, ran 0, 2 results
    "#);
    assert!(entries.windows(2).all(|pair| pair[0].time <= pair[1].time && pair[0].run <= pair[1].run));
}
