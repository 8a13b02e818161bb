//! One stage of a run: judged, run if it must, its output put into the store, published and recorded.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::anyhow;

use super::cancel::Cancel;
use super::clock::Clock;
use super::events::{Event, Events};
use super::heal;
use super::journal::{Happening, Journal};
use super::judge::{Case, Source, Verdict, judge, outside_files};
use super::key::{KeyParts, Reason, describe};
use super::lockfile::{PipelineLock, Record};
use super::outside;
use super::plan::{Plan, PlannedStage};
use super::run::{RunOptions, StageReport, Status};
use super::settle::settle;
use super::stage::{Context, StageError, changed_while_read};
use super::stamps::Stamps;
use super::store::{Lookup, Manifest, Object, Store};
use crate::digest::Digest;
use crate::graph::StageId;
use crate::progress::Progress;
use crate::{fs, panics};

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

    pub(super) fn locked(&self) -> MutexGuard<'_, PipelineLock> {
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
    // A worker that unwinds would leave the others waiting for it.
    let result = catch_unwind(AssertUnwindSafe(|| provide(workspace, planned, sources)))
        .unwrap_or_else(|payload| Err(anyhow!("it panicked: {}", panics::describe(&*payload)).into()));
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
    let mut rounds = 0;
    loop {
        let record = workspace.record(&planned.id);
        let forced = workspace.options.is_forced();
        let case = Case { planned, seed: workspace.plan.seed(), record: record.as_ref(), sources, forced };
        let (parts, reasons) = match judge(&case, &workspace.store, &workspace.stamps)? {
            Verdict::Cached { parts, object } => {
                require_locked_result(workspace, &parts, &object, record.as_ref())?;
                match settle(workspace, planned, parts, &object) {
                    Ok(restored) => {
                        workspace.store.clear_scratch(object.manifest.key)?; // a kill may have left it
                        if !restored.is_empty() {
                            workspace.events.on(&Event::Restored { stage: &planned.id, places: &restored });
                        }
                        workspace.events.on(&Event::Cached { stage: &planned.id });
                        return Ok((Status::Cached, *object));
                    }
                    // Read for publishing, the cached output turned out to be damaged: another look finds that out too.
                    Err(StageError::Corrupt(_)) if rounds == 0 => {
                        workspace.store.read(object.manifest.key, &workspace.stamps)?;
                        rounds += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            Verdict::Runs { parts, reasons } => (parts, reasons),
        };
        let damaged = reasons.iter().any(|reason| matches!(reason, Reason::OutputDamaged { .. }));
        if damaged && rounds == 0 && mended(workspace, planned, parts.key(), record.as_ref())? {
            rounds += 1;
            continue;
        }
        require_locked_key(workspace, &parts, record.as_ref())?;
        read_inputs(workspace, sources, &parts)?;
        let outside = Outside::read(workspace, planned, sources)?;
        if outside.digests() != parts.files {
            // What was remembered of the files is not so, or they have changed since: they are known now.
            rounds += 1;
            if rounds > 3 {
                return Err(changed_while_read(outside.other(&parts.files)).into());
            }
            continue;
        }
        let object =
            execute(workspace, planned, sources, &outside, &parts, &reasons, record.as_ref()).map_err(|error| match error {
                StageError::Failed(error) if damaged => StageError::Corrupt(format!(
                    "its output in the cache was damaged, and it could not be made again: {error:#}; \
                     `pipeline cache verify` reads everything else in the cache"
                )),
                other => other,
            })?;
        let unchanged = record.is_some_and(|record| record.output == object.manifest.output());
        settle(workspace, planned, parts, &object)?;
        workspace.store.clear_scratch(object.manifest.key)?;
        return Ok((Status::Ran { unchanged }, object));
    }
}

/// Mends the damaged output under `key` from its published copies, if that is possible.
pub(super) fn mended(
    workspace: &Workspace<'_>,
    planned: &PlannedStage,
    key: Digest,
    record: Option<&Record>,
) -> anyhow::Result<bool> {
    let (store, artifacts) = (&workspace.store, workspace.plan.artifacts());
    let Some(mends) = heal::find(store, key, record, artifacts, &workspace.stamps)? else { return Ok(false) };
    let Some(line) = heal::mend(&mends)? else { return Ok(false) };
    workspace.events.on(&Event::Warning { stage: Some(&planned.id), line: &line });
    Ok(true)
}

/// Reads the outputs that a stage is going to read, so that it is not made from what is damaged.
fn read_inputs(workspace: &Workspace<'_>, sources: &BTreeMap<StageId, Source>, parts: &KeyParts) -> Result<(), StageError> {
    for input in parts.inputs.keys() {
        let key = sources[input].key;
        workspace.store.read(key, &workspace.stamps)?;
        if let Lookup::Damaged(what) = workspace.store.look_up(key, None, &workspace.stamps)? {
            return Err(StageError::Corrupt(format!(
                "the output of `{input}`, which it needs, is damaged ({what}); run again to have it made anew; `pipeline cache \
                 verify` reads everything else in the cache"
            )));
        }
    }
    Ok(())
}

/// The files outside the cache that a stage reads, as this process has read them before the stage does.
struct Outside(BTreeMap<String, (PathBuf, Digest)>);

impl Outside {
    fn read(workspace: &Workspace<'_>, planned: &PlannedStage, sources: &BTreeMap<StageId, Source>) -> anyhow::Result<Self> {
        let files = outside_files(&*planned.stage, &inputs_of(planned, sources))?;
        let read = |(name, path): (String, PathBuf)| -> anyhow::Result<_> {
            let digest = workspace.stamps.read(&path)?;
            Ok((name, (path, digest)))
        };
        files.into_iter().map(read).collect::<anyhow::Result<_>>().map(Self)
    }

    fn digests(&self) -> BTreeMap<String, Digest> {
        self.0.iter().map(|(name, (_, digest))| (name.clone(), *digest)).collect()
    }

    fn by_path(&self) -> BTreeMap<PathBuf, Digest> {
        self.0.values().cloned().collect()
    }

    /// A file that is not as in `expected`.
    fn other(&self, expected: &BTreeMap<String, Digest>) -> &Path {
        let differs = |(name, (_, digest)): &(&String, &(PathBuf, Digest))| expected.get(*name) != Some(digest);
        self.0.iter().find(differs).map_or(Path::new("one of its files"), |(_, (path, _))| path.as_path())
    }
}

/// The outputs that a stage reads.
fn inputs_of(planned: &PlannedStage, sources: &BTreeMap<StageId, Source>) -> BTreeMap<StageId, Source> {
    let inputs = planned.stage.inputs().into_iter();
    inputs.filter_map(|input| Some((input.clone(), sources.get(&input)?.clone()))).collect()
}

/// Runs a stage and puts its output into the store.
fn execute(
    workspace: &Workspace<'_>,
    planned: &PlannedStage,
    sources: &BTreeMap<StageId, Source>,
    outside: &Outside,
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
        seed: workspace.plan.seed().child(stage.seed_name().as_deref().unwrap_or(id.as_str())),
        root_seed: workspace.plan.seed(),
        inputs: &parts.inputs.keys().map(|input| (input.clone(), sources[input].files.clone())).collect(),
        digests: &parts.inputs,
        keys: &parts.inputs.keys().map(|input| (input.clone(), sources[input].key)).collect(),
        files: &outside.by_path(),
        out: &out,
        scratch: &scratch,
        key,
        progress: &StageProgress { stage: id, events: workspace.events, cancel: workspace.cancel },
    };
    let made = catch_unwind(AssertUnwindSafe(|| stage.run(&context)))
        .unwrap_or_else(|payload| Err(anyhow!("it panicked: {}", panics::describe(&*payload)).into()))
        .and_then(|()| check_inputs(workspace, planned, sources, parts))
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

/// Looks at everything that a stage has read, now that it has: what is put under its key must be made of what the key names.
fn check_inputs(
    workspace: &Workspace<'_>,
    planned: &PlannedStage,
    sources: &BTreeMap<StageId, Source>,
    parts: &KeyParts,
) -> Result<(), StageError> {
    let outside = outside_files(&*planned.stage, &inputs_of(planned, sources))?;
    if let Some(name) = parts.files.keys().find(|name| !outside.contains_key(*name)) {
        return Err(changed_while_read(Path::new(name)).into());
    }
    for (name, path) in &outside {
        if parts.files.get(name) != Some(&workspace.stamps.blake3(path)?) {
            return Err(changed_while_read(path).into());
        }
    }
    for input in parts.inputs.keys() {
        if let Lookup::Damaged(what) = workspace.store.look_up(sources[input].key, None, &workspace.stamps)? {
            return Err(StageError::Corrupt(format!(
                "the output of `{input}`, which it read, was damaged meanwhile ({what}), so what was made of it is thrown away; \
                 run again to have both made anew; `pipeline cache verify` reads everything else in the cache"
            )));
        }
    }
    Ok(())
}

/// Looks at a fresh output before it goes into the store.
fn accept(workspace: &Workspace<'_>, out: &Path, manifest: Manifest, record: Option<&Record>) -> Result<Manifest, StageError> {
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

/// Under `--locked`, refuses a cached output that is not the one of the lock file.
fn require_locked_result(
    workspace: &Workspace<'_>,
    parts: &KeyParts,
    object: &Object,
    record: Option<&Record>,
) -> Result<(), StageError> {
    require_locked_key(workspace, parts, record)?;
    if !workspace.options.locked || record.is_some_and(|record| record.output == object.manifest.output()) {
        return Ok(());
    }
    Err(StageError::Gate(
        "its output in the cache has other bytes than `pipeline.lock` names; `run --locked --force` makes it again".to_owned(),
    ))
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
