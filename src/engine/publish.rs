//! Publishing: copies of output files at the places below the artifacts folder where people look for them.
//!
//! A published file that is missing or was edited is put back from the cache. `SHA256SUMS` lists all of them in the form
//! that `sha256sum --check` reads.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::events::{Event, Events};
use super::lockfile::{self, PipelineLock};
use super::plan::PlannedStage;
use super::stamps::Stamps;
use super::store::{Object, slashed};
use crate::fs;
use crate::graph::StageId;

/// The name of the list of sums in the artifacts folder.
pub const SUMS: &str = "SHA256SUMS";

/// Where the files of a stage's output go below the artifacts folder: place → file of the output.
///
/// # Errors
/// When the stage names a file that its output does not have, or a place that is not below the artifacts folder or
/// belongs to the engine.
pub(super) fn places(planned: &PlannedStage, object: &Object) -> Result<BTreeMap<String, String>> {
    let mut places = BTreeMap::new();
    for (file, place) in planned.stage.publish(&planned.id, &object.files)? {
        let (file, place) = (slashed(&file)?, slashed(&place)?);
        ensure!(object.manifest.files.contains_key(&file), "stage `{}` publishes `{file}`, which it has not made", planned.id);
        let top = place.split('/').next().unwrap_or_default();
        ensure!(
            !matches!(top, "" | super::CACHE_FOLDER | SUMS | lockfile::FILE_NAME),
            "stage `{}` cannot publish to `{place}`: the name is taken by the engine",
            planned.id
        );
        let twice = places.insert(place.clone(), file).is_some();
        ensure!(!twice, "stage `{}` publishes two files to `{place}`", planned.id);
    }
    Ok(places)
}

/// The stage that has already published to one of `places`, and that place.
pub(super) fn rival<'a>(
    places: &'a BTreeMap<String, String>,
    stage: &StageId,
    lock: &PipelineLock,
) -> Option<(StageId, &'a String)> {
    let others = lock.stages.iter().filter(|(id, _)| *id != stage);
    others
        .flat_map(|(id, record)| places.keys().map(move |place| (id, record, place)))
        .find_map(|(id, record, place)| record.published.contains_key(place).then(|| (id.clone(), place)))
}

/// The places whose file is missing or has other content than the output.
///
/// # Errors
/// Names the path and the system's reason.
pub(super) fn stale(
    artifacts: &Path,
    object: &Object,
    places: &BTreeMap<String, String>,
    stamps: &Stamps,
) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for (place, file) in places {
        let (path, content) = (artifacts.join(place), object.manifest.files[file]);
        let same = fs::stamp(&path).is_some_and(|stamp| stamp.bytes == content.bytes) && stamps.blake3(&path)? == content.blake3;
        if !same {
            stale.push(place.clone());
        }
    }
    Ok(stale)
}

/// Copies each of the `stale` places from the output.
///
/// # Errors
/// Names the paths and the system's reason.
pub(super) fn restore(artifacts: &Path, object: &Object, places: &BTreeMap<String, String>, stale: &[String]) -> Result<()> {
    for place in stale {
        fs::copy(&object.files.join(&places[place]), &artifacts.join(place))?;
    }
    Ok(())
}

/// Warns of published files that no stage makes any more. They are the user's to remove.
pub(super) fn warn_of_orphans<'a>(
    artifacts: &Path,
    stage: &StageId,
    places: impl Iterator<Item = &'a String>,
    events: &dyn Events,
) {
    let left: Vec<String> = places
        .map(|place| artifacts.join(place))
        .filter(|path| path.exists())
        .map(|path| format!("`{}`", path.display()))
        .collect();
    if !left.is_empty() {
        let line = format!("no stage makes {} any more: left as it was by stage `{stage}`", left.join(", "));
        events.on(&Event::Warning { stage: None, line: &line });
    }
}

/// Writes `SHA256SUMS` for every published file that stands in its place.
///
/// # Errors
/// Names the path and the system's reason.
pub(super) fn write_sums(artifacts: &Path, lock: &PipelineLock, stamps: &Stamps) -> Result<()> {
    let places: std::collections::BTreeSet<&String> = lock.stages.values().flat_map(|record| record.published.keys()).collect();
    let mut text = String::new();
    for place in places {
        let path = artifacts.join(place);
        if path.is_file() {
            let sum = stamps.sha256(&path).with_context(|| format!("cannot list `{place}` in `{SUMS}`"))?;
            text.push_str(&format!("{sum}  {place}\n"));
        }
    }
    let path = artifacts.join(SUMS);
    let is_current = if path.exists() { fs::read(&path)? == text.as_bytes() } else { text.is_empty() };
    if is_current { Ok(()) } else { fs::write(&path, text) }
}
