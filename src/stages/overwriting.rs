//! What a `score` stage writes must not be what the pipeline reads: an input of any stage that is not made from its output, or
//! the pipeline's own file. Files that are there now are judged; what has the place of a folder is refused here too, and not
//! after hours of training.

use std::path::{Path, PathBuf};

use super::kind::StageKind;
use crate::data::pattern::Pattern;
use crate::fs::{Claim, Guard, Misplaced};
use crate::graph::{FilesRef, StageId};
use crate::score::Manifest;
use crate::spec::{Problems, Spec, StageSpec};

/// Adds a problem for every output that would be written over something else. `file` is the pipeline's own.
pub(super) fn check(spec: &Spec<StageKind>, file: &Path, problems: &mut Problems) {
    let outputs: Vec<(&StageId, &str, Claim)> = spec.stages.iter().flat_map(|stage| outputs(spec, stage)).collect();
    if outputs.is_empty() {
        return;
    }
    let own = (None, Claim::read("the pipeline", file));
    let inputs = spec.stages.iter().flat_map(|stage| {
        let name = format!("what stage `{}` reads,", stage.id);
        inputs(spec, stage).into_iter().map(move |path| (Some(&stage.id), Claim::read(name.clone(), path)))
    });
    let inputs: Vec<(Option<&StageId>, Claim)> = [own].into_iter().chain(inputs).collect();
    let mut all = Guard::over(inputs.iter().map(|(_, claim)| claim.clone()));
    for (stage, option, claim) in outputs {
        let fault = match all.admit(&claim) {
            Ok(()) => continue,
            // A stage after this one may read what this one writes.
            Err(Misplaced::Overwrites { .. }) => {
                let later = spec.graph.descendants(stage);
                let not_later = inputs.iter().filter(|(reader, _)| !reader.is_some_and(|reader| later.contains(&reader)));
                Guard::over(not_later.map(|(_, claim)| claim.clone())).admit(&claim)
            }
            Err(Misplaced::Twice { .. }) => Ok(()), // two stages that write one file are known by the names of their outputs
            Err(other) => Err(other),
        };
        if let Err(fault) = fault {
            problems.add(spec.place(stage, &[option]), fault.to_string());
        }
    }
}

/// What a stage writes where its options say, each with the option.
fn outputs<'a>(spec: &Spec<StageKind>, stage: &'a StageSpec<StageKind>) -> Vec<(&'a StageId, &'static str, Claim)> {
    let StageKind::Score(options) = &stage.kind else { return Vec::new() };
    let at = |option, what: &str, path: &Path| (&stage.id, option, Claim::written(what, spec.artifacts.join(path)));
    let manifest = at("output", "the manifest", &Manifest::path(&options.output));
    let rejects = options.rejects.as_deref().map(|path| at("rejects", "the list of rejects", path));
    [at("output", "the predictions", &options.output), manifest].into_iter().chain(rejects).collect()
}

/// The files that a stage reads and that are there.
fn inputs(spec: &Spec<StageKind>, stage: &StageSpec<StageKind>) -> Vec<PathBuf> {
    let (patterns, data): (Vec<&Pattern>, &Option<FilesRef>) = match &stage.kind {
        StageKind::Merge(options) => {
            (options.train.iter().chain(options.test.iter().flat_map(|test| test.iter())).collect(), &options.data)
        }
        StageKind::Score(options) => (options.input.iter().collect(), &options.data),
        _ => return Vec::new(),
    };
    let fetched = data.as_ref().and_then(|data| spec.stage(data.stage())).map(|stage| &stage.kind);
    let base = match fetched {
        Some(StageKind::Fetch(options)) => options.dir.as_path(),
        _ => Path::new(""),
    };
    patterns.into_iter().flat_map(|pattern| pattern.resolve(base).unwrap_or_default()).collect()
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
}
