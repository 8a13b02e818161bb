//! What a `score` stage writes must not be what the pipeline reads: an input of any stage that is not made from its output, or
//! the pipeline's own file. Files that are there now are judged, and those that will be, by what the patterns of inputs mean; what has
//! the place of a folder is refused here too, and not after hours of training.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::folders_of_files;
use super::kind::StageKind;
use crate::data::pattern::Pattern;
use crate::fs::{Claim, Guard, Misplaced};
use crate::graph::{FilesRef, StageId};
use crate::quote::excerpt;
use crate::score::Manifest;
use crate::spec::{Problems, Spec, StageSpec};

/// Files that a stage reads: a pattern, and a folder below which it is meant.
struct Read<'a> {
    by: &'a StageId,
    pattern: &'a Pattern,
    folder: PathBuf,
}

/// Adds a problem for every output that would be written over something else. `file` is the pipeline's own.
pub(super) fn check(spec: &Spec<StageKind>, file: &Path, problems: &mut Problems) {
    let outputs: Vec<(&StageId, &str, Claim)> = spec.stages.iter().flat_map(|stage| outputs(spec, stage)).collect();
    if outputs.is_empty() {
        return;
    }
    let reads: Vec<Read<'_>> = spec.stages.iter().flat_map(|stage| reads(spec, stage)).collect();
    let own = (None, Claim::read("the pipeline", file));
    let inputs = reads.iter().flat_map(|Read { by, pattern, folder }| {
        let name = format!("what stage `{by}` reads,");
        let files = pattern.resolve(folder).unwrap_or_default();
        files.into_iter().map(move |path| (Some(*by), Claim::read(name.clone(), path)))
    });
    let inputs: Vec<(Option<&StageId>, Claim)> = [own].into_iter().chain(inputs).collect();
    let mut all = Guard::over(inputs.iter().map(|(_, claim)| claim.clone()));
    let mut told = BTreeSet::new();
    for (number, (stage, option, claim)) in outputs.iter().enumerate() {
        let fault = match all.admit(claim) {
            Ok(()) => continue,
            // A stage after this one may read what this one writes.
            Err(Misplaced::Overwrites { .. }) => {
                let later = spec.graph.descendants(stage);
                let not_later = inputs.iter().filter(|(reader, _)| !reader.is_some_and(|reader| later.contains(&reader)));
                Guard::over(not_later.map(|(_, claim)| claim.clone())).admit(claim)
            }
            Err(Misplaced::Twice { .. }) => Ok(()), // two stages that write one file are known by the names of their outputs
            Err(other) => Err(other),
        };
        if let Err(fault) = fault {
            problems.add(spec.place(stage, &[*option]), fault.to_string());
            told.insert(number);
        }
    }
    let paths: Vec<&Path> = outputs.iter().map(|(.., claim)| claim.path()).collect();
    for Read { by, pattern, folder } in &reads {
        for number in pattern.would_mean(folder, &paths) {
            let (stage, option, claim) = &outputs[number];
            if !spec.graph.descendants(stage).contains(by) && told.insert(number) {
                let pattern = excerpt(&folder.join(pattern.to_string()).to_string_lossy());
                let message = format!("{claim} would be among what stage `{by}` reads, `{pattern}`; write to another folder");
                problems.add(spec.place(stage, &[*option]), message);
            }
        }
    }
}

/// What a stage writes where its options say, each with the option.
fn outputs<'a>(spec: &Spec<StageKind>, stage: &'a StageSpec<StageKind>) -> Vec<(&'a StageId, &'static str, Claim)> {
    let StageKind::Score(options) = &stage.kind else { return Vec::new() };
    if options.output.components().any(|part| part == Component::ParentDir) {
        return Vec::new(); // refused for that
    }
    let at = |option, what: &str, path: &Path| (&stage.id, option, Claim::written(what, spec.artifacts.join(path)));
    let manifest = at("output", "the manifest", &Manifest::path(&options.output));
    let rejects = options.rejects.as_deref().map(|path| at("rejects", "the list of rejects", path));
    [at("output", "the predictions", &options.output), manifest].into_iter().chain(rejects).collect()
}

/// What a stage reads.
fn reads<'a>(spec: &Spec<StageKind>, stage: &'a StageSpec<StageKind>) -> Vec<Read<'a>> {
    let (patterns, data): (Vec<&Pattern>, &Option<FilesRef>) = match &stage.kind {
        StageKind::Merge(options) => {
            (options.train.iter().chain(options.test.iter().flat_map(|test| test.iter())).collect(), &options.data)
        }
        StageKind::Score(options) => (options.input.iter().collect(), &options.data),
        _ => return Vec::new(),
    };
    let folders = folders_of_files(spec, data.as_ref());
    let below = |folder: PathBuf| patterns.iter().map(move |pattern| Read { by: &stage.id, pattern, folder: folder.clone() });
    folders.into_iter().flat_map(below).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use crate::fs;

    #[test]
    fn a_score_stage_does_not_write_over_what_the_pipeline_reads() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        for name in ["a.csv", "t.csv", "z.csv", "p.yaml"] {
            fs::write(&dir.path().join(name), "").unwrap();
        }
        fs::create_dir(&dir.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("a.csv", dir.path().join("link.csv")).unwrap();
        let problems = |score: &str| {
            let text = format!(
                r#"version: 1
artifacts: "{folder}/"
stages:
  m: {{ merge: {{ train: "{folder}/a.csv", test: "{folder}/t.csv", image: {{ channels: 1, height: 8, width: 8 }}, classes: [a, b] }} }}
  s: {{ split: {{ data: m }} }}
  n: {{ train: {{ data: s, model: mlp, epochs: 1 }} }}
  e: {{ export: {{ models: [n] }} }}
  z: {{ score: {{ model: e/n, input: "{folder}/t.csv", format: csv, on_error: skip, {score} }} }}
  later: {{ score: {{ model: e/n, after: z, input: "{folder}/z.csv", output: later.csv }} }}
"#
            );
            let loaded = super::super::load(&format!("{folder}/p.yaml"), &text, &[], None);
            loaded.map(|_| ()).map_err(|problems| problems.to_string().replace(folder, "DIR"))
        };
        for (score, expected) in [
            ("output: a.csv", "the predictions `DIR/a.csv` would overwrite what stage `m` reads, `DIR/a.csv`"),
            ("output: link.csv", "the predictions `DIR/link.csv` would overwrite what stage `m` reads, `DIR/a.csv`"),
            ("rejects: t.csv", "the list of rejects `DIR/t.csv` would overwrite what stage `m` reads, `DIR/t.csv`"),
            ("output: p.yaml", "the predictions `DIR/p.yaml` would overwrite the pipeline `DIR/p.yaml`"),
            ("output: sub", "the predictions `DIR/sub` is a folder"),
        ] {
            let found = problems(score).expect_err(score);
            assert!(found.contains(expected), "{score}: {found}");
            assert!(found.contains(":8:"), "at its place: {found}");
        }
        assert_eq!(problems("output: new.csv, rejects: r.csv"), Ok(()));
        assert_eq!(problems("output: z.csv"), Ok(()), "a later stage may read it");
    }
    #[test]
    fn what_would_be_read_once_it_is_there_is_refused_before_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        fs::write(&dir.path().join("data/garments/x.csv"), "").unwrap();
        let problems = |output: &str| {
            let text = format!(
                r#"version: 1
artifacts: "{folder}"
stages:
  raw: {{ fetch: {{ dataset: garments, dir: "{folder}/data" }} }}
  g: {{ merge: {{ data: raw, train: "*.csv" }} }}
  m: {{ merge: {{ train: "{folder}/*.csv", image: {{ channels: 1, height: 8, width: 8 }}, classes: [a, b] }} }}
  n: {{ train: {{ data: m, model: mlp, epochs: 1 }} }}
  e: {{ export: {{ models: [n] }} }}
  z: {{ score: {{ model: e/n, input: "{folder}/rows.txt", output: "{output}" }} }}
  later: {{ score: {{ model: e/n, after: z, input: "{folder}/scored/*.csv", output: later/all.csv }} }}
"#
            );
            let loaded = super::super::load("p.yaml", &text, &[], None);
            loaded.map(|_| ()).map_err(|problems| problems.to_string().replace(folder, "DIR"))
        };
        for (output, expected) in [
            (
                "new.csv",
                "the predictions `DIR/new.csv` would be among what stage `m` reads, `DIR/*.csv`; write to another folder",
            ),
            (
                "data/garments/new.csv",
                "the predictions `DIR/data/garments/new.csv` would be among what stage `g` reads, `DIR/data/garments/*.csv`",
            ),
            ("data/garments/x.csv", "would overwrite what stage `g` reads, `DIR/data/garments/x.csv`"),
        ] {
            let found = problems(output).expect_err(output);
            assert!(found.contains(expected) && found.contains("p.yaml:9:"), "{output}: {found}");
        }
        assert_eq!(problems("data/new.csv"), Ok(()));
        assert_eq!(problems("scored/new.csv"), Ok(()), "a later stage may read it");
    }
}
