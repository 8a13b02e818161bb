//! The order of work: starts stages as their inputs become available, side by side where the options allow it. It does
//! not know what is done with a stage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::events::Event;
use super::judge::Source;
use super::plan::PlannedStage;
use super::process::{Workspace, process};
use super::run::{StageReport, Status};
use crate::graph::StageId;

/// Stages recurse over graphs of layers; the default of 2 MiB is meant for less.
const STACK_BYTES: usize = 16 << 20;

struct State<'a> {
    /// Stages that have not been started, in running order.
    waiting: Vec<&'a PlannedStage>,
    /// The outputs that are there.
    sources: BTreeMap<StageId, Source>,
    running: usize,
    reports: Vec<StageReport>,
    /// No further stage is to be started.
    stopping: bool,
}

struct Board<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
}

/// Works through `chosen` (in running order), given the outputs in `sources`, and reports on each of them.
pub(super) fn work_through<'a>(
    workspace: &Workspace<'a>,
    chosen: Vec<&'a PlannedStage>,
    sources: BTreeMap<StageId, Source>,
) -> Vec<StageReport> {
    let order: BTreeMap<StageId, usize> = chosen.iter().enumerate().map(|(place, planned)| (planned.id.clone(), place)).collect();
    let workers = workspace.options.jobs.get().min(chosen.len());
    let state = State { waiting: chosen, sources, running: 0, reports: Vec::new(), stopping: false };
    let board = Board { state: Mutex::new(state), changed: Condvar::new() };
    thread::scope(|scope| {
        for number in 0..workers {
            let builder = thread::Builder::new().name(format!("stage-{number}")).stack_size(STACK_BYTES);
            if builder.spawn_scoped(scope, || work(workspace, &board)).is_err() && number == 0 {
                work(workspace, &board); // the system has no thread to give: this one does the work
            }
        }
    });
    let mut state = board.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let is_lost = |report: &&StageReport| matches!(report.status, Status::Failed(_));
    let mut lost: BTreeSet<StageId> = state.reports.iter().filter(is_lost).map(|report| report.stage.clone()).collect();
    for planned in std::mem::take(&mut state.waiting) {
        let missing: Vec<StageId> = planned.stage.inputs().into_iter().filter(|input| lost.contains(input)).collect();
        if !missing.is_empty() {
            lost.insert(planned.id.clone());
        }
        workspace.events.on(&Event::Skipped { stage: &planned.id, missing: &missing });
        let (stage, kind) = (planned.id.clone(), planned.stage.kind());
        state.reports.push(StageReport { stage, kind, status: Status::Skipped(missing), key: None, seconds: 0.0 });
    }
    state.reports.sort_by_key(|report| order[&report.stage]);
    state.reports
}

/// One worker: takes stages until none is left that could become ready.
fn work<'a>(workspace: &Workspace<'a>, board: &Board<'a>) {
    let mut state = locked(board);
    loop {
        if let Some(planned) = take_ready(workspace, &mut state) {
            state.running += 1;
            let sources = state.sources.clone();
            drop(state);
            let (report, source) = process(workspace, planned, &sources);
            state = locked(board);
            state.running -= 1;
            state.stopping |= matches!(report.status, Status::Failed(_)) && !workspace.options.keep_going;
            state.sources.extend(source.map(|source| (planned.id.clone(), source)));
            state.reports.push(report);
            board.changed.notify_all();
        } else if state.running == 0 {
            return;
        } else {
            state = board.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The first stage that has all its inputs, unless the run stops.
fn take_ready<'a>(workspace: &Workspace<'a>, state: &mut State<'a>) -> Option<&'a PlannedStage> {
    if state.stopping || workspace.cancel.requested().is_some() {
        return None;
    }
    let is_ready = |planned: &&PlannedStage| planned.stage.inputs().iter().all(|input| state.sources.contains_key(input));
    let place = state.waiting.iter().position(is_ready)?;
    Some(state.waiting.remove(place))
}

fn locked<'b, 'a>(board: &'b Board<'a>) -> MutexGuard<'b, State<'a>> {
    board.state.lock().unwrap_or_else(PoisonError::into_inner) // a panic of a stage is caught before it gets here
}
