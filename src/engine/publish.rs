//! Publishing: copies of output files at the places below the artifacts folder where people look for them.
//!
//! A published file that is missing or was edited is put back from the cache. `SHA256SUMS` lists all results in the form
//! that `sha256sum --check` reads; `SHA256SUMS.measured` lists the files that tell how long the work took. So two clean runs
//! of one pipeline give the same `SHA256SUMS`, whatever time they took.
//!
//! Published files are read at every look at them, unless they are longer than [`LONG`]: that costs less than a tenth of a
//! second for 100 MB, and finds what no stamp tells, such as a bit that the storage has lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::events::{Event, Events};
use super::lockfile::PipelineLock;
use super::plan::PlannedStage;
use super::stage::StageError;
use super::stamps::Stamps;
use super::store::{Object, slashed};
use crate::fs;
use crate::graph::StageId;

/// The name of the list of sums in the artifacts folder.
pub const SUMS: &str = "SHA256SUMS";
/// The name of the list of those that differ from run to run.
pub(super) const MEASURED_SUMS: &str = "SHA256SUMS.measured";
/// A published file of more bytes counts as unchanged while its stamp is.
const LONG: u64 = 256 << 20;

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
            !top.is_empty() && !super::OWN_NAMES.contains(&top),
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
        let digest = |bytes: u64| if bytes > LONG { stamps.blake3(&path) } else { stamps.read(&path) };
        let bytes = fs::stamp(&path).map(|stamp| stamp.bytes);
        if bytes != Some(content.bytes) || digest(content.bytes)? != content.blake3 {
            stale.push(place.clone());
        }
    }
    Ok(stale)
}

/// Copies each of the `stale` places from the output.
///
/// # Errors
/// [`StageError::Corrupt`] when the output is not what was stored; otherwise names the paths and the system's reason.
pub(super) fn restore(
    artifacts: &Path,
    object: &Object,
    places: &BTreeMap<String, String>,
    stale: &[String],
) -> Result<(), StageError> {
    for place in stale {
        let file = &places[place];
        let (from, to) = (object.files.join(file), artifacts.join(place));
        if !fs::copy_checked(&from, &to, object.manifest.files[file].blake3)? {
            return Err(StageError::Corrupt(format!(
                "its output in the cache is damaged: `{}` has other content than was stored; `pipeline cache verify` moves it \
                 out of the way, and the next run makes it again",
                from.display()
            )));
        }
    }
    Ok(())
}

/// Removes the folders that a file at `place` was the last to be in.
///
/// # Errors
/// Names the path and the system's reason.
pub(super) fn remove_empty_folders(artifacts: &Path, place: &str) -> Result<()> {
    let mut above = Path::new(place).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    above.try_for_each(|folder| fs::remove_if_empty(&artifacts.join(folder)))
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

/// Writes the lists of sums for every published file that stands in its place, other than files of stages that are
/// outdated or `doubtful`, and results that are not those of the lock file. Returns the places of these.
///
/// # Errors
/// Names the path and the system's reason.
pub(super) fn write_sums(
    artifacts: &Path,
    lock: &PipelineLock,
    doubtful: &BTreeSet<StageId>,
    stamps: &Stamps,
) -> Result<Vec<String>> {
    let mut edited = Vec::new();
    let outdated = lock.outdated();
    let mut lists = [(SUMS, BTreeMap::new()), (MEASURED_SUMS, BTreeMap::new())];
    let counts = |stage: &StageId| !outdated.contains_key(stage) && !doubtful.contains(stage);
    for (_, record) in lock.stages.iter().filter(|(stage, _)| counts(stage)) {
        for (place, file) in &record.published {
            let path = artifacts.join(place);
            if path.is_file() {
                if let Some(content) = record.files.get(file)
                    && stamps.blake3(&path)? != content.blake3
                {
                    edited.push(place.clone());
                    continue;
                }
                let sum = stamps.sha256(&path).with_context(|| format!("cannot list `{place}` in `{SUMS}`"))?;
                let list = usize::from(!record.files.contains_key(file));
                lists[list].1.insert(place, sum);
            }
        }
    }
    for (name, sums) in lists {
        let text: String = sums.into_iter().map(|(place, sum)| format!("{sum}  {place}\n")).collect();
        let path = artifacts.join(name);
        let is_current = if path.exists() { fs::read(&path)? == text.as_bytes() } else { text.is_empty() };
        if !is_current {
            fs::write(&path, text)?;
        }
    }
    Ok(edited)
}
