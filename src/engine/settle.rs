//! What becomes of the artifacts folder when a stage has its output: its files are published, the success is recorded, and
//! what was made from an earlier output of the stage is withdrawn.
//!
//! Whoever reads the folder sees files that belong together: every published file was made from those results that are
//! published beside it. A file is gone before the first that does not belong to it stands in its place, so that this holds
//! at every moment, whatever ends the program. What is withdrawn stays in the cache, and stands in its place again as soon
//! as it belongs there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, anyhow};

use super::events::{Event, Events};
use super::key::KeyParts;
use super::lockfile::{PipelineLock, Record};
use super::plan::PlannedStage;
use super::process::Workspace;
use super::publish;
use super::stage::StageError;
use super::stamps::Stamps;
use super::store::{Object, Store};
use crate::fs;
use crate::graph::StageId;

/// Puts published files in their places and records the success. Says which files were not as they should be.
///
/// # Errors
/// [`StageError::Corrupt`] when the output in the store is not what was stored; the places are then empty or as they were.
pub(super) fn settle(
    workspace: &Workspace<'_>,
    planned: &PlannedStage,
    parts: KeyParts,
    object: &Object,
) -> Result<Vec<String>, StageError> {
    let (artifacts, stamps) = (workspace.plan.artifacts(), &workspace.stamps);
    let places = publish::places(planned, object)?;
    let mut lock = workspace.locked();
    if let Some((other, place)) = publish::rival(&places, &planned.id, &lock) {
        return Err(anyhow!("it publishes `{place}`, and so does stage `{other}`").into());
    }
    let stale = publish::stale(artifacts, object, &places, stamps)?;
    let record = Record {
        key: object.manifest.key,
        parts,
        output: object.manifest.output(),
        files: object.manifest.results(),
        published: places,
    };
    let old = lock.stages.get(&planned.id);
    if let Some(old) = old {
        let orphans = old.published.keys().filter(|place| !record.published.contains_key(*place));
        publish::warn_of_orphans(artifacts, &planned.id, orphans, workspace.events);
    }
    let replaces = old.is_some_and(|old| old.output != record.output);
    let mut next = lock.clone();
    next.stages.insert(planned.id.clone(), record);
    let before = lock.outdated();
    let withdrawn: BTreeSet<StageId> = next.outdated().into_keys().filter(|stage| !before.contains_key(stage)).collect();
    let has_changes = !stale.is_empty() || !withdrawn.is_empty();
    if has_changes {
        let doubtful = withdrawn.iter().chain([&planned.id]).cloned().collect();
        publish::write_sums(artifacts, &lock, &doubtful, stamps)?;
        withdraw(artifacts, &lock, withdrawn.iter(), &workspace.store, workspace.events)?;
        let places = &next.stages[&planned.id].published;
        if replaces {
            for place in &stale {
                fs::remove(&artifacts.join(place))?;
            }
        }
        publish::restore(artifacts, object, places, &stale)?;
    }
    *lock = next;
    if !workspace.options.locked {
        lock.write(artifacts)?;
    }
    if has_changes {
        publish::write_sums(artifacts, &lock, &BTreeSet::new(), stamps)?;
    }
    Ok(stale)
}

/// Takes the published files of some stages away. Files that are not as the stage has made them are somebody's work: they
/// are left, and named.
pub(super) fn withdraw<'a>(
    artifacts: &Path,
    lock: &PipelineLock,
    stages: impl Iterator<Item = &'a StageId>,
    store: &Store,
    events: &dyn Events,
) -> Result<()> {
    let mut left = Vec::new();
    for record in stages.filter_map(|stage| lock.stages.get(stage)) {
        let made = store.manifest(record.key).map_or_else(|_| BTreeMap::new(), |manifest| manifest.files);
        for (place, file) in &record.published {
            let path = artifacts.join(place);
            if fs::stamp(&path).is_none() {
                continue;
            }
            let content = record.files.get(file).or_else(|| made.get(file));
            if content.is_some_and(|content| fs::digest(&path).is_ok_and(|digest| digest == content.blake3)) {
                fs::remove(&path)?;
                publish::remove_empty_folders(artifacts, place)?;
            } else {
                left.push(format!("`{}`", path.display()));
            }
        }
    }
    if !left.is_empty() {
        let line = format!(
            "{} belong to an earlier result, but were edited since: left as they are, and not listed in `{}`",
            left.join(", "),
            publish::SUMS
        );
        events.on(&Event::Warning { stage: None, line: &line });
    }
    Ok(())
}

/// The files that the artifacts folder should not hold at the moment, because they were made from results that are not the
/// present ones: what a crash or an earlier version of the program has left is withdrawn now.
pub(super) fn withdraw_outdated(
    artifacts: &Path,
    lock: &PipelineLock,
    store: &Store,
    stamps: &Stamps,
    events: &dyn Events,
) -> Result<()> {
    let outdated = lock.outdated();
    if outdated.is_empty() {
        return Ok(());
    }
    publish::write_sums(artifacts, lock, &BTreeSet::new(), stamps)?;
    withdraw(artifacts, lock, outdated.keys(), store, events)
}
