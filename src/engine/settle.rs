//! What becomes of the artifacts folder when a stage has its output: its files are published, the success is recorded, and
//! what was made from an earlier output of the stage is withdrawn.
//!
//! Whoever reads the folder sees files that belong together: every published file was made from those results that are
//! published beside it. What does not belong to a new result is gone before the lock file names that result, and the files of
//! the result come after it: what stands in the folder belongs to what the lock file names at every moment, whatever ends the
//! program. Only what the cache holds is withdrawn, and it stands in its place again as soon as it belongs there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Result, anyhow};

use super::events::Event;
use super::key::KeyParts;
use super::lockfile::{PipelineLock, Record};
use super::plan::PlannedStage;
use super::process::Workspace;
use super::publish;
use super::stage::StageError;
use super::store::{Content, Lookup, Object};
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
        withdraw(workspace, &lock, withdrawn.iter())?;
        let plain = |path: &PathBuf| fs::is_plain(path) == Some(true); // where a link leads is replaced, and a folder is refused
        if replaces {
            stale.iter().map(|place| artifacts.join(place)).filter(plain).try_for_each(|path| fs::remove(&path))?;
        }
    }
    *lock = next;
    if !workspace.options.locked {
        lock.write(artifacts)?;
    }
    if has_changes {
        publish::restore(artifacts, object, &lock.stages[&planned.id].published, &stale)?;
        publish::write_sums(artifacts, &lock, &BTreeSet::new(), stamps)?;
    }
    Ok(stale)
}

/// Takes the published files of some stages away. What is not as the stage has made it is somebody's work, and what the cache
/// does not hold cannot come back: both are left, and named.
fn withdraw<'a>(workspace: &Workspace<'_>, lock: &PipelineLock, stages: impl Iterator<Item = &'a StageId>) -> Result<()> {
    let (artifacts, store, stamps) = (workspace.plan.artifacts(), &workspace.store, &workspace.stamps);
    let (mut edited, mut alone) = (Vec::new(), Vec::new());
    for record in stages.filter_map(|stage| lock.stages.get(stage)) {
        let made = store.manifest(record.key).map_or_else(|_| BTreeMap::new(), |manifest| manifest.files);
        for (place, file) in &record.published {
            let path = artifacts.join(place);
            if fs::is_plain(&path).is_none() {
                continue;
            }
            let content = record.files.get(file).or_else(|| made.get(file));
            let is_same = |content: &Content| {
                fs::is_plain(&path) == Some(true) && fs::digest(&path).is_ok_and(|digest| digest == content.blake3)
            };
            if content.is_none_or(|content| !store.holds(record.key, file, *content, stamps)) {
                alone.push(format!("`{}`", path.display()));
            } else if content.is_some_and(is_same) {
                fs::remove(&path)?;
                publish::remove_empty_folders(artifacts, place)?;
            } else {
                edited.push(format!("`{}`", path.display()));
            }
        }
    }
    for (left, why) in [(edited, "were edited since"), (alone, "the cache does not hold them")] {
        if !left.is_empty() {
            let (left, sums) = (left.join(", "), publish::SUMS);
            let line = format!("made from an earlier result, but {why}: {left}; left as they are, and not listed in `{sums}`");
            workspace.events.on(&Event::Warning { stage: None, line: &line });
        }
    }
    Ok(())
}

/// The files that the artifacts folder should not hold at the moment, because they were made from results that are not the
/// present ones: what an earlier version of the program has left is withdrawn now.
pub(super) fn withdraw_outdated(workspace: &Workspace<'_>) -> Result<()> {
    let lock = workspace.locked();
    let outdated = lock.outdated();
    if outdated.is_empty() {
        return Ok(());
    }
    publish::write_sums(workspace.plan.artifacts(), &lock, &BTreeSet::new(), &workspace.stamps)?;
    withdraw(workspace, &lock, outdated.keys())
}

/// Puts files back that belong into the artifacts folder and are missing there, of stages that this run did not select:
/// what was withdrawn for a result that is gone again, or what a crash has prevented.
pub(super) fn bring_back(workspace: &Workspace<'_>) -> Result<()> {
    let (artifacts, lock) = (workspace.plan.artifacts(), workspace.locked());
    let outdated = lock.outdated();
    for (stage, record) in lock.stages.iter().filter(|(stage, _)| !outdated.contains_key(*stage)) {
        let is_missing = |place: &&String| fs::is_plain(&artifacts.join(place.as_str())).is_none();
        let missing: Vec<String> = record.published.keys().filter(is_missing).cloned().collect();
        if missing.is_empty() {
            continue;
        }
        let Lookup::Found(object) = workspace.store.look_up(record.key, Some(record.output), &workspace.stamps)? else {
            continue;
        };
        match publish::restore(artifacts, &object, &record.published, &missing) {
            Ok(()) => workspace.events.on(&Event::Restored { stage, places: &missing }),
            Err(error) => {
                workspace.events.on(&Event::Warning { stage: Some(stage), line: &error.to_string() });
            }
        }
    }
    Ok(())
}
