//! The judgement of one stage: is its output in the cache, and if not, why must it run?
//!
//! Forecasts and runs judge by the same function, so what `plan` says is what `run` does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, ensure};

use super::key::{KeyParts, Reason};
use super::lockfile::Record;
use super::outside;
use super::plan::PlannedStage;
use super::stage::Stage;
use super::stamps::Stamps;
use super::store::{Lookup, Object, Store, slashed};
use crate::digest::Digest;
use crate::graph::StageId;
use crate::seed::Seed;

/// The output of a stage, for those that read it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Its folder.
    pub(super) files: PathBuf,
    /// The key under which it was made.
    pub(super) key: Digest,
    /// Its digest.
    pub(super) output: Digest,
}

impl From<&Object> for Source {
    fn from(object: &Object) -> Self {
        Self { files: object.files.clone(), key: object.manifest.key, output: object.manifest.output() }
    }
}

/// What a stage is judged by.
pub(super) struct Case<'a> {
    pub(super) planned: &'a PlannedStage,
    /// The root seed.
    pub(super) seed: Seed,
    /// Its last success.
    pub(super) record: Option<&'a Record>,
    /// The outputs that are there; an input without one must run first.
    pub(super) sources: &'a BTreeMap<StageId, Source>,
    /// Whether it is to run in any case.
    pub(super) forced: bool,
}

/// The judgement.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The output is in the cache, and whole.
    Cached { parts: KeyParts, object: Box<Object> },
    /// The stage must run. The parts are complete unless an input must run first.
    Runs { parts: KeyParts, reasons: Vec<Reason> },
}

/// Judges a stage.
///
/// # Errors
/// When the files that it reads cannot be found or read.
pub(super) fn judge(case: &Case<'_>, store: &Store, stamps: &Stamps) -> Result<Verdict> {
    let (parts, pending) = gather(case, stamps)?;
    let mut reasons = match case.record {
        Some(record) => parts.changes_since(&record.parts, &pending),
        None => vec![Reason::NeverRun],
    };
    if !pending.is_empty() {
        reasons.extend(pending.into_iter().map(|input| Reason::UpstreamRuns { input }));
        reasons.extend(case.forced.then_some(Reason::Forced));
        return Ok(Verdict::Runs { parts, reasons });
    }
    if case.forced {
        let reasons = if reasons.is_empty() { vec![Reason::Forced] } else { reasons };
        return Ok(Verdict::Runs { parts, reasons });
    }
    let output = case.record.filter(|record| record.key == parts.key()).map(|record| record.output);
    match store.look_up(parts.key(), output, stamps)? {
        Lookup::Absent if reasons.is_empty() => Ok(Verdict::Runs { parts, reasons: vec![Reason::OutputMissing] }),
        Lookup::Absent => Ok(Verdict::Runs { parts, reasons }),
        Lookup::Damaged(what) => Ok(Verdict::Runs { parts, reasons: vec![Reason::OutputDamaged { what }] }),
        Lookup::Found(object) => {
            let mut reasons = outside::changes(&object.files, stamps)?;
            reasons.extend(case.planned.stage.superseded(&object.files).map(|why| Reason::Superseded { why }));
            Ok(if reasons.is_empty() { Verdict::Cached { parts, object } } else { Verdict::Runs { parts, reasons } })
        }
    }
}

/// The parts of a stage's key as far as they are known, and the inputs that must run first.
fn gather(case: &Case<'_>, stamps: &Stamps) -> Result<(KeyParts, BTreeSet<StageId>)> {
    let stage = &case.planned.stage;
    let names: BTreeSet<StageId> = stage.inputs().into_iter().collect();
    let (there, pending): (BTreeSet<_>, BTreeSet<_>) = names.into_iter().partition(|input| case.sources.contains_key(input));
    let inputs: BTreeMap<StageId, Source> =
        there.into_iter().map(|input| (input.clone(), case.sources[&input].clone())).collect();
    let mut files = BTreeMap::new();
    if pending.is_empty() {
        for (name, path) in outside_files(&**stage, &inputs)? {
            files.insert(name, stamps.blake3(&path)?);
        }
    }
    let parts = KeyParts {
        stage: case.planned.id.clone(),
        kind: stage.kind().to_owned(),
        version: stage.version(),
        parameters: stage.parameters(),
        inputs: inputs.into_iter().map(|(input, source)| (input, source.output)).collect(),
        files,
        seed: stage.is_seeded().then_some(case.seed),
    };
    Ok((parts, pending))
}

/// The files outside the cache that a stage reads, by the names that they have in its key, given the outputs of its inputs.
///
/// # Errors
/// When the files cannot be found.
pub(super) fn outside_files(stage: &dyn Stage, inputs: &BTreeMap<StageId, Source>) -> Result<BTreeMap<String, PathBuf>> {
    let folders = inputs.iter().map(|(input, source)| (input.clone(), source.files.clone())).collect();
    below_their_folder(stage.reads(&folders)?)
}

/// Names files by their paths below the deepest folder that holds them all.
fn below_their_folder(paths: Vec<PathBuf>) -> Result<BTreeMap<String, PathBuf>> {
    let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (name, path) in names_of(&paths)?.into_iter().zip(paths) {
        if let Some(other) = named.get(&name) {
            let (one, two) = (other.display(), path.display());
            ensure!(steps(other) == steps(&path), "`{one}` and `{two}` lie so that their names in a key would be the same");
        }
        named.insert(name, path);
    }
    Ok(named)
}

/// The name of each path, without the machine's folders. Where a path that begins at the root stands beside one that does not, or paths lead
/// upwards in different ways, the working folder is called `here`, those above it `above`, and the root `root`.
fn names_of(paths: &[PathBuf]) -> Result<Vec<String>> {
    if let Ok(names) = stripped(paths).iter().map(|path| slashed(path)).collect() {
        return Ok(names);
    }
    let steps: Vec<(bool, usize, PathBuf)> = paths.iter().map(|path| steps(path)).collect();
    let highest = steps.iter().map(|(_, up, _)| *up).max().unwrap_or(0);
    let from_one_place: Vec<PathBuf> = steps
        .into_iter()
        .map(|(absolute, up, below)| {
            if absolute {
                return Path::new("root").join(below);
            }
            let above: PathBuf = (up..highest).rev().map(|level| if level == 0 { "here" } else { "above" }).collect();
            above.join(below)
        })
        .collect();
    stripped(&from_one_place).iter().map(|path| slashed(path)).collect()
}

/// Whether a path begins at the root, how many folders it leads upwards, and where it leads from there.
fn steps(path: &Path) -> (bool, usize, PathBuf) {
    let (mut absolute, mut up, mut below) = (false, 0, PathBuf::new());
    for part in path.components() {
        match part {
            Component::Prefix(_) | Component::RootDir => absolute = true,
            Component::CurDir => {}
            Component::ParentDir if below.pop() => {}
            Component::ParentDir => up += usize::from(!absolute),
            Component::Normal(name) => below.push(name),
        }
    }
    (absolute, up, below)
}

/// Paths below the deepest folder that holds them all.
fn stripped(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut parents = paths.iter().map(|path| path.parent().unwrap_or(Path::new("")).to_owned());
    let first = parents.next().unwrap_or_default();
    let folder = parents.fold(first, |folder, parent| shared_folder(&folder, &parent));
    paths.iter().map(|path| path.strip_prefix(&folder).unwrap_or(path).to_owned()).collect()
}

fn shared_folder(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(part, _)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_below_the_folder_they_share() {
        let names = |paths: &[&str]| -> Vec<String> {
            below_their_folder(paths.iter().map(PathBuf::from).collect()).unwrap().into_keys().collect()
        };
        assert_eq!(names(&["/mnt/a/data/1.csv"]), ["1.csv"]);
        assert_eq!(names(&["data/1.csv", "data/2.csv"]), ["1.csv", "2.csv"]);
        assert_eq!(names(&["data/cat/1.png", "data/catfish/1.png"]), ["cat/1.png", "catfish/1.png"]);
        assert_eq!(names(&["data/x.csv", "other/x.csv"]), ["data/x.csv", "other/x.csv"]);
        assert_eq!(names(&["/a/x.csv", "/b/x.csv"]), ["a/x.csv", "b/x.csv"]);
        assert_eq!(names(&[]), [""; 0]);
    }

    #[test]
    fn files_from_different_folders_have_names_too() {
        let names = |paths: &[&str]| names_of(&paths.iter().map(PathBuf::from).collect::<Vec<_>>()).unwrap();
        assert_eq!(names(&["../l/x.csv"]), ["x.csv"]);
        assert_eq!(names(&["../l/x.csv", "../m/x.csv"]), ["l/x.csv", "m/x.csv"]);
        assert_eq!(names(&["/abs/a.csv", "data/t.csv"]), ["root/abs/a.csv", "data/t.csv"]);
        assert_eq!(names(&["/abs/a.csv", "../t.csv", "data/t.csv"]), ["root/abs/a.csv", "t.csv", "here/data/t.csv"]);
        assert_eq!(names(&["../l/x.csv", "data/t.csv"]), ["l/x.csv", "here/data/t.csv"]);
        assert_eq!(names(&["../../l/x.csv", "../m/x.csv", "x.csv"]), ["l/x.csv", "above/m/x.csv", "above/here/x.csv"]);
        assert_eq!(names(&["./a/../x.csv", "../y.csv"]), ["here/x.csv", "y.csv"]);
        assert_eq!(names(&["/x.csv", "y.csv"]), ["root/x.csv", "y.csv"]);
        assert_eq!(names(&["./data/x.csv", "data/y.csv"]), ["data/x.csv", "data/y.csv"]);
        let below = |paths: [&str; 2]| below_their_folder(paths.map(PathBuf::from).to_vec());
        assert_eq!(below(["data/x.csv", "./data/x.csv"]).unwrap().len(), 1, "one file");
        assert!(below(["/x.csv", "root/x.csv"]).is_err());
    }
}
