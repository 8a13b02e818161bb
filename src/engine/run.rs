//! A run: everything that is done once around the stages. Locks, reads what is known, lets the stages be worked through,
//! and writes down how it went.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};

use super::cancel::{Cancel, Signal};
use super::clock::Clock;
use super::error::EngineError;
use super::events::{Event, Events};
use super::forecast::{Fate, Forecast, forecast};
use super::journal::{Happening, Journal};
use super::judge::{Case, Source, Verdict, judge};
use super::key::{Reason, describe};
use super::lockfile::PipelineLock;
use super::memory::peak_memory;
use super::plan::Plan;
use super::process::{Workspace, mended};
use super::publish;
use super::schedule::work_through;
use super::select::{Selected, Selection};
use super::stage::StageError;
use super::stamps::Stamps;
use super::store::Store;
use super::{inspect, look, settle};
use crate::digest::Digest;
use crate::fs;
use crate::graph::StageId;

/// How to run a plan.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Which stages.
    pub selection: Selection,
    /// Run them even if their output is in the cache.
    pub force: bool,
    /// As `force`, and without what interrupted runs have left in scratch folders.
    pub no_cache: bool,
    /// Fail instead of making anything that `pipeline.lock` does not name; leave that file as it is.
    pub locked: bool,
    /// After a failure, go on with the stages that do not need what failed.
    pub keep_going: bool,
    /// How many stages may run side by side.
    pub jobs: NonZeroUsize,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            selection: Selection::All,
            force: false,
            no_cache: false,
            locked: false,
            keep_going: false,
            jobs: NonZeroUsize::MIN,
        }
    }
}

impl RunOptions {
    pub(super) fn is_forced(&self) -> bool {
        self.force || self.no_cache
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every selected stage has its output.
    Done,
    /// A stage failed.
    Failed,
    /// A stage did its work, and what it made does not pass.
    Gate,
    /// An artifact or a cached output is damaged and could not be made again.
    Corrupt,
    /// The run was asked to stop. What finished is kept, and the rest can go on from where it was.
    Interrupted(Signal),
}

/// What became of a selected stage.
#[derive(Debug)]
pub enum Status {
    /// Its output was in the cache.
    Cached,
    /// It ran and succeeded.
    Ran {
        /// Whether the output has the same bytes as that of its last success.
        unchanged: bool,
    },
    /// It did not succeed.
    Failed(StageError),
    /// It was interrupted.
    Interrupted,
    /// It was not started. The inputs that failed, or that were not started because of a failure; empty if the run merely
    /// stopped.
    Skipped(Vec<StageId>),
}

/// One selected stage of a run that has ended.
#[derive(Debug)]
pub struct StageReport {
    /// The stage.
    pub stage: StageId,
    /// Its kind.
    pub kind: &'static str,
    /// What became of it.
    pub status: Status,
    /// The key of its output, if it has one.
    pub key: Option<Digest>,
    /// How long it took, with the look at the cache.
    pub seconds: f64,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Summary {
    /// How.
    pub outcome: Outcome,
    /// The selected stages in running order.
    pub stages: Vec<StageReport>,
    /// How long it took.
    pub seconds: f64,
    /// The most memory the process held, in bytes, where the system says so.
    pub peak_memory: Option<u64>,
}

impl Summary {
    /// How many stages were run to their end.
    pub fn ran(&self) -> usize {
        self.stages.iter().filter(|report| matches!(report.status, Status::Ran { .. })).count()
    }
}

/// Runs the selected stages of a plan whose outputs are not in the cache.
///
/// After a failure no further stage is started unless `keep_going` is set; stages that are running are let run to their
/// end, since what they make is kept. A request through `cancel` reaches running stages through their progress.
///
/// # Errors
/// An [`EngineError`] when the plan cannot be run at all. That a stage failed is not an error but an [`Outcome`].
pub fn run(
    plan: &Plan,
    options: &RunOptions,
    events: &dyn Events,
    clock: &dyn Clock,
    cancel: &Cancel,
) -> Result<Summary, EngineError> {
    let started = clock.now();
    let selected = options.selection.apply(plan)?;
    let cache = plan.cache_folder();
    let held = match fs::try_lock(&cache.join(super::LOCK)) {
        Err(error) if look::is_read_only(&error) => {
            let foreseen = forecast(plan, options, clock)?;
            if options.locked {
                require_locked(plan, PipelineLock::read(plan.artifacts()).map_err(EngineError::Corrupt)?.as_ref(), &foreseen)?;
            }
            return look::look(plan, &foreseen, &error, events, clock);
        }
        held => held?,
    };
    let Some(_held) = held else {
        return Err(EngineError::Held { folder: plan.artifacts().to_owned() });
    };
    let old = PipelineLock::read(plan.artifacts()).map_err(EngineError::Corrupt)?;
    if options.locked {
        require_locked(plan, old.as_ref(), &forecast(plan, options, clock)?)?;
    }
    let workspace = Workspace {
        plan,
        options,
        events,
        clock,
        cancel,
        store: Store::new(cache.clone()),
        stamps: Stamps::open(cache.join(super::STAMPS), started),
        journal: Journal::begin(&cache, started)?,
        lock: Mutex::new(carried_over(plan, old, events)),
    };
    workspace.store.sweep()?;
    sweep_files(&workspace)?;
    let program = env!("CARGO_PKG_VERSION").to_owned();
    workspace.journal.write(started, Happening::RunStarted { pipeline: plan.name().to_owned(), program })?;
    events.on(&Event::RunStarted { pipeline: plan.name(), stages: selected.chosen.len() });
    settle::withdraw_outdated(&workspace)?;
    inspect::read_what_is_needed(&workspace, &selected)?;
    let sources = find_given(&workspace, &selected)?;
    let chosen = plan.stages().iter().filter(|planned| selected.chosen.contains(&planned.id)).collect();
    let reports = work_through(&workspace, chosen, sources);
    finish(workspace, reports, started)
}

/// Writes down how the run went.
fn finish(workspace: Workspace<'_>, reports: Vec<StageReport>, started: Duration) -> Result<Summary, EngineError> {
    settle::bring_back(&workspace)?;
    let lock = workspace.lock.into_inner().unwrap_or_else(PoisonError::into_inner);
    let edited = publish::write_sums(workspace.plan.artifacts(), &lock, &BTreeSet::new(), &workspace.stamps)?;
    if !edited.is_empty() {
        let (edited, sums) = (edited.join("`, `"), publish::SUMS);
        let line = format!("`{edited}`: edited since, and so not listed in `{sums}`; a run of the whole pipeline puts it back");
        workspace.events.on(&Event::Warning { stage: None, line: &line });
    }
    if let Some(line) = lock.withdrawn() {
        workspace.events.on(&Event::Warning { stage: None, line: &line });
    }
    match workspace.stamps.save() {
        Err(error) if look::is_read_only(&error) => {} // it only saves time
        saved => saved?,
    }
    let now = workspace.clock.now();
    let summary = Summary {
        outcome: outcome_of(&reports, workspace.cancel.requested()),
        stages: reports,
        seconds: now.saturating_sub(started).as_secs_f64(),
        peak_memory: peak_memory(),
    };
    let finished = Happening::RunFinished {
        outcome: summary.outcome,
        seconds: summary.seconds,
        peak_memory: summary.peak_memory,
        ran: summary.ran(),
        keys: lock.stages.iter().map(|(stage, record)| (stage.clone(), record.key)).collect(),
    };
    workspace.journal.write(now, finished)?;
    workspace.events.on(&Event::RunFinished { outcome: summary.outcome });
    Ok(summary)
}

fn outcome_of(reports: &[StageReport], requested: Option<Signal>) -> Outcome {
    let failed = |wanted: fn(&StageError) -> bool| {
        reports.iter().any(|report| matches!(&report.status, Status::Failed(error) if wanted(error)))
    };
    let is_unfinished = |report: &StageReport| matches!(report.status, Status::Interrupted | Status::Skipped(_));
    match requested {
        Some(signal) if reports.iter().any(is_unfinished) => Outcome::Interrupted(signal),
        _ if failed(|error| matches!(error, StageError::Corrupt(_))) => Outcome::Corrupt,
        _ if failed(|error| matches!(error, StageError::Failed(_) | StageError::Interrupted)) => Outcome::Failed,
        _ if failed(|error| matches!(error, StageError::Gate(_))) => Outcome::Gate,
        _ => Outcome::Done,
    }
}

/// Removes the files in the making that a kill has left where this run is going to write.
fn sweep_files(workspace: &Workspace<'_>) -> anyhow::Result<()> {
    let artifacts = workspace.plan.artifacts();
    let lock = workspace.locked();
    let places = lock.stages.values().flat_map(|record| record.published.keys());
    let published = places.filter_map(|place| artifacts.join(place).parent().map(Path::to_owned));
    let folders: BTreeSet<PathBuf> = published.chain([artifacts.to_owned(), workspace.plan.cache_folder()]).collect();
    folders.iter().try_for_each(|folder| fs::sweep(folder).map(drop))
}

/// What the lock file says of the stages of this plan. What other stages have published is left where it is, and named.
fn carried_over(plan: &Plan, old: Option<PipelineLock>, events: &dyn Events) -> PipelineLock {
    let mut lock = PipelineLock::new(plan.name(), plan.seed());
    for (stage, record) in old.into_iter().flat_map(|old| old.stages) {
        if plan.graph().contains(&stage) {
            lock.stages.insert(stage, record);
        } else {
            publish::warn_of_orphans(plan.artifacts(), &stage, record.published.keys(), events);
        }
    }
    lock
}

/// The outputs of the stages that were not selected but are needed. They are published and recorded like the others: what
/// is made from them would not belong to earlier results of theirs.
fn find_given(workspace: &Workspace<'_>, selected: &Selected) -> Result<BTreeMap<StageId, Source>, EngineError> {
    let mut sources = BTreeMap::new();
    let mut found = Vec::new();
    for id in &selected.given {
        let planned = workspace.plan.stage(id).expect("a selection names stages of its plan");
        let record = workspace.record(id);
        let look = || {
            let case = Case { planned, seed: workspace.plan.seed(), record: record.as_ref(), sources: &sources, forced: false };
            judge(&case, &workspace.store, &workspace.stamps)
        };
        let verdict = match look() {
            Ok(Verdict::Runs { parts, reasons })
                if is_damage(&reasons) && mended(workspace, planned, parts.key(), record.as_ref())? =>
            {
                look()
            }
            verdict => verdict,
        };
        let why = match verdict {
            Ok(Verdict::Cached { object, parts }) => {
                sources.insert(id.clone(), Source::from(&*object));
                found.push((planned, parts, object));
                continue;
            }
            Ok(Verdict::Runs { reasons, .. }) if is_damage(&reasons) => {
                return Err(EngineError::Corrupt(anyhow!(
                    "stage `{id}` was not selected, but what was selected needs its output, and {}; `pipeline cache verify` \
                     reads everything in the cache, and a run of `{id}` makes it again",
                    describe(&reasons)
                )));
            }
            Ok(Verdict::Runs { reasons, .. }) => describe(&reasons),
            Err(error) => format!("{error:#}"),
        };
        return Err(EngineError::NotReady { stage: id.clone(), why });
    }
    // Nothing is touched before all of them are known to be there.
    for (planned, parts, object) in found {
        settle::settle(workspace, planned, parts, &object).map_err(|error| match error {
            StageError::Corrupt(text) => EngineError::Corrupt(anyhow!("stage `{}`: {text}", planned.id)),
            other => EngineError::System(anyhow!("stage `{}`: {other}", planned.id)),
        })?;
    }
    Ok(sources)
}

fn is_damage(reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| matches!(reason, Reason::OutputDamaged { .. }))
}

/// Refuses what is known beforehand to end otherwise than the lock file says.
fn require_locked(plan: &Plan, lock: Option<&PipelineLock>, forecast: &Forecast) -> Result<(), EngineError> {
    let Some(lock) = lock else {
        return Err(EngineError::OutOfDate(vec!["there is no such file".to_owned()]));
    };
    let mut differences: Vec<String> =
        lock.stages.keys().filter(|id| !plan.graph().contains(id)).map(|id| format!("{id}: is not in the pipeline")).collect();
    for outlook in &forecast.outlooks {
        let record = lock.stages.get(&outlook.stage);
        let why = match (&outlook.fate, record) {
            (_, None) => Reason::NeverRun.to_string(),
            (Fate::Fails { error }, _) => error.clone(),
            (Fate::Depends { .. }, _) => continue,
            (Fate::Cached { .. } | Fate::Runs { .. }, Some(record)) => {
                let Some(parts) = &outlook.parts else { continue };
                // Inputs that must run first are judged when they have run.
                let pending = plan.graph().inputs(&outlook.stage).into_iter().filter(|id| !parts.inputs.contains_key(id));
                let changes = parts.changes_since(&record.parts, &pending.cloned().collect());
                if changes.is_empty() {
                    continue;
                }
                describe(&changes)
            }
        };
        differences.push(format!("{}: {why}", outlook.stage));
    }
    if differences.is_empty() { Ok(()) } else { Err(EngineError::OutOfDate(differences)) }
}
