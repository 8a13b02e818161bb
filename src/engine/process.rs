//! One stage of a run: judged, run if it must, its output put into the store, published and recorded.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::anyhow;

use super::cancel::Cancel;
use super::clock::Clock;
use super::events::{Event, Events};
use super::journal::{Happening, Journal};
use super::judge::{Case, Source, Verdict, judge};
use super::key::{KeyParts, Reason, describe};
use super::lockfile::{PipelineLock, Record};
use super::outside;
use super::plan::{Plan, PlannedStage};
use super::publish;
use super::run::{RunOptions, StageReport, Status};
use super::stage::{Context, StageError};
use super::stamps::Stamps;
use super::store::{Manifest, Object, Store};
use crate::fs;
use crate::graph::StageId;
use crate::progress::Progress;

/// What the stages of a run share.
pub(super) struct Workspace<'a> {
    pub(super) plan: &'a Plan,
    pub(super) options: &'a RunOptions,
    pub(super) events: &'a dyn Events,
    pub(super) clock: &'a dyn Clock,
    pub(super) cancel: &'a Cancel,
    pub(super) store: Store,
    pub(super) stamps: Stamps,
    pub(super) journal: Journal,
    /// Written to disk at every change.
    pub(super) lock: Mutex<PipelineLock>,
}

impl Workspace<'_> {
    /// The last success of a stage.
    pub(super) fn record(&self, id: &StageId) -> Option<Record> {
        self.locked().stages.get(id).cloned()
    }

    fn locked(&self) -> MutexGuard<'_, PipelineLock> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner) // every change is the insertion of one complete record
    }
}

/// Gives a stage its output, from the cache or by running it. `sources` holds the outputs of all its inputs.
pub(super) fn process(
    workspace: &Workspace<'_>,
    planned: &PlannedStage,
    sources: &BTreeMap<StageId, Source>,
) -> (StageReport, Option<Source>) {
    let started = workspace.clock.now();
    let result = provide(workspace, planned, sources);
    let now = workspace.clock.now();
    let seconds = now.saturating_sub(started).as_secs_f64();
    let stage = &planned.id;
    let (status, object) = match result {
        Ok((status, object)) => (status, Some(object)),
        Err(StageError::Interrupted) if workspace.cancel.requested().is_some() => (Status::Interrupted, None),
        Err(StageError::Interrupted) => (Status::Failed(anyhow!("it stopped without being asked to").into()), None),
        Err(error) => (Status::Failed(error), None),
    };
    let happening = match (&status, &object) {
        (Status::Ran { unchanged }, Some(object)) => {
            workspace.events.on(&Event::Finished { stage, seconds, unchanged: *unchanged });
            let (key, output) = (object.manifest.key, object.manifest.output());
            Some(Happening::StageFinished { stage: stage.clone(), key, output, seconds })
        }
        (Status::Failed(error), _) => {
            workspace.events.on(&Event::Failed { stage, error, seconds });
            Some(Happening::StageFailed { stage: stage.clone(), error: error.to_string(), seconds })
        }
        (Status::Interrupted, _) => {
            workspace.events.on(&Event::Interrupted { stage, seconds });
            Some(Happening::StageInterrupted { stage: stage.clone(), seconds })
        }
        _ => None,
    };
    if let Some(Err(error)) = happening.map(|happening| workspace.journal.write(now, happening)) {
        let line = format!("the journal could not be kept: {error:#}");
        workspace.events.on(&Event::Warning { stage: Some(stage), line: &line });
    }
    let source = object.as_ref().map(Source::from);
    let key = object.map(|object| object.manifest.key);
    (StageReport { stage: stage.clone(), kind: planned.stage.kind(), status, key, seconds }, source)
}

fn provide(
    workspace: &Workspace<'_>,
    planned: &PlannedStage,
    sources: &BTreeMap<StageId, Source>,
) -> Result<(Status, Object), StageError> {
    let record = workspace.record(&planned.id);
    let forced = workspace.options.is_forced();
    let case = Case { planned, seed: workspace.plan.seed(), record: record.as_ref(), sources, forced };
    match judge(&case, &workspace.store, &workspace.stamps)? {
        Verdict::Cached { parts, object } => {
            require_locked_key(workspace, &parts, record.as_ref())?;
            let restored = settle(workspace, planned, parts, &object)?;
            if !restored.is_empty() {
                workspace.events.on(&Event::Restored { stage: &planned.id, places: &restored });
            }
            workspace.events.on(&Event::Cached { stage: &planned.id });
            Ok((Status::Cached, *object))
        }
        Verdict::Runs { parts, reasons } => {
            require_locked_key(workspace, &parts, record.as_ref())?;
            let damaged = reasons.iter().any(|reason| matches!(reason, Reason::OutputDamaged { .. }));
            let object =
                execute(workspace, planned, sources, &parts, &reasons, record.as_ref()).map_err(|error| match error {
                    StageError::Failed(error) if damaged => StageError::Corrupt(format!(
                        "its output in the cache was damaged, and it could not be made again: {error:#}"
                    )),
                    other => other,
                })?;
            let unchanged = record.is_some_and(|record| record.output == object.manifest.output());
            settle(workspace, planned, parts, &object)?;
            workspace.store.clear_scratch(object.manifest.key)?;
            Ok((Status::Ran { unchanged }, object))
        }
    }
}

/// Runs a stage and puts its output into the store.
fn execute(
    workspace: &Workspace<'_>,
    planned: &PlannedStage,
    sources: &BTreeMap<StageId, Source>,
    parts: &KeyParts,
    reasons: &[Reason],
    record: Option<&Record>,
) -> Result<Object, StageError> {
    let (id, stage, store, key) = (&planned.id, &planned.stage, &workspace.store, parts.key());
    workspace.events.on(&Event::Started { stage: id, kind: stage.kind(), reasons });
    let started = Happening::StageStarted { stage: id.clone(), key, reasons: reasons.to_vec() };
    workspace.journal.write(workspace.clock.now(), started)?;
    if reasons.iter().any(|reason| matches!(reason, Reason::OutputDamaged { .. })) {
        let line = format!("its damaged output is now in `{}`", store.quarantine(key)?.display());
        workspace.events.on(&Event::Warning { stage: Some(id), line: &line });
    }
    if workspace.options.no_cache {
        store.clear_scratch(key)?;
    }
    let (out, scratch) = (store.begin(key)?, store.scratch(key)?);
    let context = Context {
        id,
        seed: workspace.plan.seed().child(id.as_str()),
        inputs: &parts.inputs.keys().map(|input| (input.clone(), sources[input].files.clone())).collect(),
        digests: &parts.inputs,
        keys: &parts.inputs.keys().map(|input| (input.clone(), sources[input].key)).collect(),
        out: &out,
        scratch: &scratch,
        key,
        progress: &StageProgress { stage: id, events: workspace.events, cancel: workspace.cancel },
    };
    let made = catch_unwind(AssertUnwindSafe(|| stage.run(&context)))
        .unwrap_or_else(|payload| Err(anyhow!("it panicked: {}", panic_text(&*payload)).into()))
        .and_then(|()| Ok(store.describe(key, id, stage.kind(), &stage.measurements())?))
        .and_then(|manifest| accept(workspace, &out, manifest, record));
    match made {
        Ok(manifest) => Ok(store.install(manifest, &workspace.stamps)?),
        Err(error) => {
            store.abandon(key)?;
            if fs::entries(&scratch)?.is_empty() {
                store.clear_scratch(key)?;
            }
            Err(error)
        }
    }
}

/// Looks at a fresh output before it goes into the store.
fn accept(
    workspace: &Workspace<'_>,
    out: &std::path::Path,
    manifest: Manifest,
    record: Option<&Record>,
) -> Result<Manifest, StageError> {
    if let Some(change) = outside::changes(out, &workspace.stamps)?.first() {
        return Err(anyhow!("it lists in `{}` what is not so: {change}", outside::FILE_NAME).into());
    }
    if let Some(record) = record.filter(|record| record.key == manifest.key && record.output != manifest.output()) {
        let files = manifest.results();
        let names = files.keys().chain(record.files.keys()).find(|name| files.get(*name) != record.files.get(*name));
        let line = format!(
            "everything it depends on is as before, but it made other bytes than before (first in `{}`)",
            names.map_or("", String::as_str)
        );
        if workspace.options.locked {
            return Err(StageError::Gate(line));
        }
        workspace.events.on(&Event::Warning { stage: Some(&manifest.stage), line: &line });
    }
    Ok(manifest)
}

/// Under `--locked`, refuses a stage whose key is not that of the lock file.
fn require_locked_key(workspace: &Workspace<'_>, parts: &KeyParts, record: Option<&Record>) -> Result<(), StageError> {
    if !workspace.options.locked || record.is_some_and(|record| record.key == parts.key()) {
        return Ok(());
    }
    let changes = match record {
        Some(record) => parts.changes_since(&record.parts, &Default::default()),
        None => vec![Reason::NeverRun],
    };
    Err(StageError::Gate(format!("the result would not be that of `pipeline.lock`: {}", describe(&changes))))
}

/// Puts published files in their places and records the success. Says which files were not as they should be.
fn settle(
    workspace: &Workspace<'_>,
    planned: &PlannedStage,
    parts: KeyParts,
    object: &Object,
) -> Result<Vec<String>, StageError> {
    let artifacts = workspace.plan.artifacts();
    let places = publish::places(planned, object)?;
    let mut lock = workspace.locked();
    if let Some((other, place)) = publish::rival(&places, &planned.id, &lock) {
        return Err(anyhow!("it publishes `{place}`, and so does stage `{other}`").into());
    }
    let stale = publish::stale(artifacts, object, &places, &workspace.stamps)?;
    publish::restore(artifacts, object, &places, &stale)?;
    let record = Record {
        key: object.manifest.key,
        parts,
        output: object.manifest.output(),
        files: object.manifest.results(),
        published: places,
    };
    if let Some(old) = lock.stages.get(&planned.id) {
        let orphans = old.published.keys().filter(|place| !record.published.contains_key(*place));
        publish::warn_of_orphans(artifacts, &planned.id, orphans, workspace.events);
    }
    lock.stages.insert(planned.id.clone(), record);
    if !workspace.options.locked {
        lock.write(artifacts)?;
    }
    Ok(stale)
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Hands on what a stage reports, with its name.
struct StageProgress<'a> {
    stage: &'a StageId,
    events: &'a dyn Events,
    cancel: &'a Cancel,
}

impl Progress for StageProgress<'_> {
    fn begin(&self, what: &str, total: u64, unit: &str) {
        self.events.on(&Event::Begin { stage: self.stage, what, total, unit });
    }

    fn advance(&self, done: u64, message: &str) {
        self.events.on(&Event::Advance { stage: self.stage, done, message });
    }

    fn note(&self, line: &str) {
        self.events.on(&Event::Note { stage: self.stage, line });
    }

    fn warn(&self, line: &str) {
        self.events.on(&Event::Warning { stage: Some(self.stage), line });
    }

    fn interrupted(&self) -> bool {
        self.cancel.requested().is_some()
    }
}
