//! Keeping the cache in order: what is in it, whether it is whole, and what can go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::clock::Clock;
use super::error::EngineError;
use super::lockfile::PipelineLock;
use super::stamps::Stamps;
use super::store::{Lookup, Manifest, Store};
use crate::digest::Digest;
use crate::fs;
use crate::progress::{Interrupted, Progress};

/// One object of the cache.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its key.
    pub key: Digest,
    /// What it holds, or why that cannot be said.
    pub manifest: Result<Manifest, String>,
    /// Whether it is the present result of a stage, as `pipeline.lock` names it.
    pub is_current: bool,
}

/// What a cleaning removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Objects that are the present result of no stage.
    pub objects: usize,
    /// Scratch folders of stages that did not succeed.
    pub scratch: usize,
    /// Damaged objects in quarantine.
    pub quarantined: usize,
    /// The length of all removed objects, as far as it is known.
    pub bytes: u64,
}

/// All objects of the cache below `artifacts`: by stage, present results first.
///
/// # Errors
/// A damaged lock file; what the system refuses.
pub fn list(artifacts: &Path) -> Result<Vec<Listed>, EngineError> {
    let store = Store::new(existing_cache(artifacts)?);
    let current = current_keys(artifacts)?;
    let mut listed = Vec::new();
    for key in store.keys()? {
        let manifest = store.manifest(key).map_err(|error| format!("{error:#}"));
        listed.push(Listed { key, manifest, is_current: current.contains(&key) });
    }
    let stage = |one: &Listed| one.manifest.as_ref().map(|manifest| manifest.stage.clone()).ok();
    listed.sort_by_key(|one| (stage(one), !one.is_current, one.key));
    Ok(listed)
}

/// The folder with the output that the cache below `artifacts` holds under `key`, if it holds one. It is not checked.
pub fn find_output(artifacts: &Path, key: Digest) -> Option<PathBuf> {
    Store::new(artifacts.join(super::CACHE_FOLDER)).find(key)
}

/// Reads every object of the cache below `artifacts` again and moves the damaged ones to quarantine. Each is returned
/// with what was wrong with it.
///
/// # Errors
/// Another run; what the system refuses; an interruption, as [`Interrupted`] in [`EngineError::System`].
pub fn verify(
    artifacts: &Path,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<Vec<(Digest, String, PathBuf)>, EngineError> {
    let cache = existing_cache(artifacts)?;
    let _held = hold(artifacts)?;
    let lock = PipelineLock::read(artifacts).map_err(EngineError::Corrupt)?;
    let outputs: BTreeMap<Digest, Digest> =
        lock.into_iter().flat_map(|lock| lock.stages.into_values()).map(|record| (record.key, record.output)).collect();
    let store = Store::new(cache.clone());
    let keys = store.keys()?;
    progress.begin("checking the cache", keys.len() as u64, "objects");
    // A memory of its own, without what is remembered: every byte is read.
    let stamps = Stamps::open(cache.join("no-stamps"), clock.now());
    let mut damaged = Vec::new();
    for (done, key) in keys.into_iter().enumerate() {
        progress.check().map_err(|Interrupted| anyhow::Error::new(Interrupted))?;
        if let Lookup::Damaged(what) = store.look_up(key, outputs.get(&key).copied(), &stamps)? {
            damaged.push((key, what, store.quarantine(key)?));
        }
        progress.advance(done as u64 + 1, "");
    }
    Ok(damaged)
}

/// Removes from the cache below `artifacts` everything that the present results do not need: older objects, scratch
/// folders and the quarantine.
///
/// # Errors
/// Another run; a damaged lock file; what the system refuses.
pub fn clean(artifacts: &Path) -> Result<Cleaned, EngineError> {
    let cache = existing_cache(artifacts)?;
    let _held = hold(artifacts)?;
    let current = current_keys(artifacts)?;
    let store = Store::new(cache.clone());
    let mut cleaned = Cleaned::default();
    for key in store.keys()?.into_iter().filter(|key| !current.contains(key)) {
        cleaned.bytes += store.manifest(key).map_or(0, |manifest| manifest.bytes());
        store.remove(key)?;
        cleaned.objects += 1;
    }
    for key in store.scratch_keys()? {
        store.clear_scratch(key)?;
        cleaned.scratch += 1;
    }
    cleaned.quarantined = store.quarantined()?.len();
    store.clear_quarantine()?;
    store.sweep()?;
    for folder in [artifacts, &cache] {
        fs::sweep(folder)?;
    }
    Ok(cleaned)
}

fn current_keys(artifacts: &Path) -> Result<BTreeSet<Digest>, EngineError> {
    let lock = PipelineLock::read(artifacts).map_err(EngineError::Corrupt)?;
    Ok(lock.into_iter().flat_map(|lock| lock.stages.into_values()).map(|record| record.key).collect())
}

/// The cache below `artifacts`, which must be there: a wrong path is not an empty cache.
fn existing_cache(artifacts: &Path) -> Result<PathBuf, EngineError> {
    let cache = artifacts.join(super::CACHE_FOLDER);
    if cache.is_dir() { Ok(cache) } else { Err(EngineError::NoCache { folder: artifacts.to_owned() }) }
}

fn hold(artifacts: &Path) -> Result<fs::Lock, EngineError> {
    let lock = fs::try_lock(&artifacts.join(super::CACHE_FOLDER).join(super::LOCK))?;
    lock.ok_or_else(|| EngineError::Held { folder: artifacts.to_owned() })
}
