//! The pipelines and pages of the repository: what is shipped must be read without a problem, and say what is true.

use std::path::Path;

use atelier::stages;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
fn check(name: &str, text: &str) {
    if let Err(problems) = stages::load(name, text, &[], None) {
        panic!("{problems}");
    }
}

#[test]
fn every_shipped_pipeline_is_read_without_a_problem() {
    check("pipeline.yaml", &read("pipeline.yaml"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        check(&name, &read(&format!("pipelines/{name}")));
        found += 1;
    }
    assert!(found >= 2);
}

#[test]
fn the_pipelines_shown_in_readme_and_reference_are_read_without_a_problem() {
    for page in ["README.md", "docs/PIPELINE.md"] {
        let text = read(page);
        let shown: Vec<&str> = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!shown.is_empty());
        for text in shown {
            check(page, text);
        }
    }
}

#[test]
fn the_reference_is_that_of_the_program() {
    let known = read("docs/PIPELINE.md");
    assert!(known == stages::reference(), "docs/PIPELINE.md is not true; run `pipeline schema --markdown > docs/PIPELINE.md`");
}

#[test]
fn the_demonstration_has_every_kind_of_stage() {
    let (demo, reference) = (read("pipelines/demo.yaml"), stages::reference());
    let file_part = reference.split("## Types").next().unwrap();
    let kinds: Vec<&str> = file_part.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`')).collect();
    assert!(kinds.len() > 10, "{kinds:?}");
    for kind in kinds {
        assert!(demo.contains(&format!("{{ {kind}: {{")) || demo.contains(&format!("\n    {kind}:\n")), "`{kind}` is not shown");
    }
}

#[test]
fn every_exit_code_of_the_readme_is_in_the_help() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pipeline")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for code in ["0", "1", "2", "3", "4", "5", "6", "10", "130"] {
        assert!(help.split(|c: char| !c.is_ascii_digit()).any(|word| word == code), "exit code {code} is not in the help");
    }
}

/// Mistakes that only show beside other stages, each with its place and what to do.
#[test]
fn a_pipeline_is_checked_whole_before_anything_runs() {
    let text = r#"version: 1
stages:
  raw:    { fetch: { dataset: garments } }
  merged: { merge: { data: raw, train: "*.csv" } }
  bare:   { train: { data: merged, model: mlp, early_stopping: {}, epochs: 2 } }
  parts:  { split: { data: merged } }
  deep:   { train: { data: parts, model: { layers: [{ max_pool: { size: 40 } }, flatten, { dense: { units: 10 } }] } } }
  flat:   { train: { data: parts, model: { layers: [flatten, { dense: { units: 9 } }] } } }
  good:   { train: { data: parts, model: mlp } }
  tuned:  { tune: { data: parts, model: mlp, search: { model.mlp.dropuot: { float: { min: 0.0, max: 0.5 } } } } }
  wide:   { tune: { data: parts, model: mlp, search: { model.mlp.dropout: { float: { min: 0.0, max: 1.5 } } } } }
  vote:   { ensemble: { models: [good, good], weights: [1, 2, 3], data: parts } }
  twice:  { ensemble: { models: [good, vote], data: parts } }
  out:    { export: { models: [good] } }
  proof:  { verify: { export: out, data: parts, int8: {}, gate: { model: vote, accuracy: 0.5 } } }
  file:   { score: { model: out/good, input: "-", output: ../x.csv } }
  list:   { score: { model: out/good, input: "x.csv", output: y.txt, rejects: r.csv } }
  quick:  { score: { model: out/good, after: proof, input: "x.csv", precision: bf16 } }
  bytes:  { score: { model: out/good, input: "x.csv", output: b.csv, precision: int8 } }
  fine:   { score: { model: out/good, input: "x.csv", output: z.parquet, rejects: s.csv, on_error: null, top_k: 3, output_columns: [row, class] } }
  moved:  { train: { data: parts, model: mlp, views: { flip: true, shift: 28 } } }
  mild:   { ensemble: { models: [good, moved], temperature: validation, data: merged } }
"#;
    let problems = stages::load("pipeline.yaml", text, &[], None).unwrap_err();
    insta::assert_snapshot!(problems.to_string(), @r#"
    pipeline.yaml:5:48: stage `bare`: early stopping watches the validation part, but `merged` has none; put a `split` stage before, or leave out `early_stopping`
      |
    5 |   bare:   { train: { data: merged, model: mlp, early_stopping: {}, epochs: 2 } }
      |                                                ^^^^^^^^^^^^^^

    pipeline.yaml:7:35: stage `deep`: the model does not fit images of 1×28×28: layer 0: `max_pool` has a window of 40, larger than the feature map 1×28×28
      |
    7 |   deep:   { train: { data: parts, model: { layers: [{ max_pool: { size: 40 } }, flatten, { dense: { units: 10 } }] } } }
      |                                   ^^^^^

    pipeline.yaml:8:35: stage `flat`: the model does not fit images of 1×28×28: layer 1: the network ends with 9 values, but there are 10 classes; end with `dense: { units: 10 }`
      |
    8 |   flat:   { train: { data: parts, model: { layers: [flatten, { dense: { units: 9 } }] } } }
      |                                   ^^^^^

    pipeline.yaml:10:56: stage `tuned`: there is no parameter `model.mlp.dropuot`: `model.mlp` has no `dropuot`; did you mean `dropout`?
       |
    10 |   tuned:  { tune: { data: parts, model: mlp, search: { model.mlp.dropuot: { float: { min: 0.0, max: 0.5 } } } } }
       |                                                        ^^^^^^^^^^^^^^^^^

    pipeline.yaml:11:56: stage `wide`: parameter `model.mlp.dropout` cannot be 1.5: `dropout`: 1.5 is out of range: a dropout rate is at least 0 and below 1
       |
    11 |   wide:   { tune: { data: parts, model: mlp, search: { model.mlp.dropout: { float: { min: 0.0, max: 1.5 } } } } }
       |                                                        ^^^^^^^^^^^^^^^^^

    pipeline.yaml:12:40: stage `vote`: `good` is named twice; name each model once
       |
    12 |   vote:   { ensemble: { models: [good, good], weights: [1, 2, 3], data: parts } }
       |                                        ^^^^

    pipeline.yaml:12:47: stage `vote`: there are 3 weights for 2 models; give one weight for each model, in their order
       |
    12 |   vote:   { ensemble: { models: [good, good], weights: [1, 2, 3], data: parts } }
       |                                               ^^^^^^^

    pipeline.yaml:13:40: stage `twice`: `vote` is itself an ensemble; name its members instead
       |
    13 |   twice:  { ensemble: { models: [good, vote], data: parts } }
       |                                        ^^^^

    pipeline.yaml:15:42: stage `proof`: `parts` has no test part to verify on; give `test` in its `split` or `merge` stage
       |
    15 |   proof:  { verify: { export: out, data: parts, int8: {}, gate: { model: vote, accuracy: 0.5 } } }
       |                                          ^^^^^

    pipeline.yaml:15:49: stage `proof`: `out` has not measured the ranges that int8 needs; give `int8: { data: … }` in the export
       |
    15 |   proof:  { verify: { export: out, data: parts, int8: {}, gate: { model: vote, accuracy: 0.5 } } }
       |                                                 ^^^^

    pipeline.yaml:15:74: stage `proof`: `vote` is not among the models of `out`; `out` exports `good`
       |
    15 |   proof:  { verify: { export: out, data: parts, int8: {}, gate: { model: vote, accuracy: 0.5 } } }
       |                                                                          ^^^^

    pipeline.yaml:16:46: stage `file`: a stage cannot read the standard input; name files, or call `pipeline score --input -`
       |
    16 |   file:   { score: { model: out/good, input: "-", output: ../x.csv } }
       |                                              ^^^

    pipeline.yaml:16:59: stage `file`: `../x.csv` is not below the folder of artifacts; write a relative path without `..`
       |
    16 |   file:   { score: { model: out/good, input: "-", output: ../x.csv } }
       |                                                           ^^^^^^^^

    pipeline.yaml:17:63: stage `list`: the name `y.txt` tells no format; end it in .csv, .jsonl or .parquet, or give `format`
       |
    17 |   list:   { score: { model: out/good, input: "x.csv", output: y.txt, rejects: r.csv } }
       |                                                               ^^^^^

    pipeline.yaml:17:79: stage `list`: the first row that cannot be scored ends the stage, so `rejects` has no meaning; give `on_error: skip` or `on_error: null`, or leave it out
       |
    17 |   list:   { score: { model: out/good, input: "x.csv", output: y.txt, rejects: r.csv } }
       |                                                                               ^^^^^

    pipeline.yaml:18:80: stage `quick`: nothing has measured what `bf16` loses; verify the export with `bf16: {}`, and name that stage in `after`
       |
    18 |   quick:  { score: { model: out/good, after: proof, input: "x.csv", precision: bf16 } }
       |                                                                                ^^^^

    pipeline.yaml:19:81: stage `bytes`: nothing has measured what `int8` loses; verify the export with `int8: {}`, and name that stage in `after`
       |
    19 |   bytes:  { score: { model: out/good, input: "x.csv", output: b.csv, precision: int8 } }
       |                                                                                 ^^^^

    pipeline.yaml:21:75: stage `moved`: `shift: 28` moves images of 1×28×28 out of sight: it must be below 28
       |
    21 |   moved:  { train: { data: parts, model: mlp, views: { flip: true, shift: 28 } } }
       |                                                                           ^^

    pipeline.yaml:22:61: stage `mild`: `merged` has no validation part, but the temperature is fitted on it; name a stage after `split`
       |
    22 |   mild:   { ensemble: { models: [good, moved], temperature: validation, data: merged } }
       |                                                             ^^^^^^^^^^
    "#);
}

/// What stages with several seeds and students with teachers ask of the stages around them.
#[test]
fn seeds_and_teachers_are_checked_before_anything_runs() {
    let text = r#"version: 1
stages:
  raw:     { fetch: { dataset: garments } }
  merged:  { merge: { data: raw, train: "*.csv" } }
  parts:   { split: { data: merged } }
  other:   { split: { data: merged, validation: 0.5 } }
  varied:  { augment: { data: parts, shift: 1 } }
  good:    { train: { data: parts, model: mlp, seeds: 2 } }
  refit:   { train: { data: parts, model: mlp, refit: true } }
  foreign: { train: { data: other, model: mlp } }
  vote:    { ensemble: { models: [good, refit], weights: [1, 2], data: parts } }
  fine:    { distill: { data: varied, model: mlp, teacher: good, variants: 4, seeds: 2, start_from: good } }
  tainted: { distill: { data: parts, model: mlp, teacher: vote } }
  strange: { distill: { data: parts, model: mlp, teacher: foreign } }
  same:    { distill: { data: parts, model: mlp, teacher: good, variants: 2 } }
  many:    { distill: { data: varied, model: mlp, teacher: good, epochs: 2, variants: 3 } }
  labels:  { distill: { data: parts, model: mlp, teacher: good, labels: 1 } }
  smooth:  { distill: { data: parts, model: mlp, teacher: good, label_smoothing: 0.1 } }
  vain:    { distill: { data: parts, model: mlp, teacher: good, start_from: vote } }
  knowing: { train: { data: parts, model: mlp, start_from: refit } }
  wrong:   { distill: { data: parts, model: { layers: [flatten, { dense: { units: 9 } }] }, teacher: good, seeds: 3 } }
  out:     { export: { models: [good, good-2] } }
"#;
    let problems = stages::load("pipeline.yaml", text, &[], None).unwrap_err();
    insta::assert_snapshot!(problems.to_string(), @"
    pipeline.yaml:11:49: stage `vote`: there are 2 weights for 3 models; give one weight for each model, in their order; one with several seeds is as many models
       |
    11 |   vote:    { ensemble: { models: [good, refit], weights: [1, 2], data: parts } }
       |                                                 ^^^^^^^

    pipeline.yaml:13:59: stage `tainted`: `vote` comes from `refit`, which was trained on the validation part of `parts` too, by which the student is judged; name a model without `refit`
       |
    13 |   tainted: { distill: { data: parts, model: mlp, teacher: vote } }
       |                                                           ^^^^

    pipeline.yaml:14:59: stage `strange`: `foreign` was trained on `other`, which divides the same images in another way, and so on some of the validation part of `parts`, by which the student is judged; let `foreign` train on `parts`
       |
    14 |   strange: { distill: { data: parts, model: mlp, teacher: foreign } }
       |                                                           ^^^^^^^

    pipeline.yaml:15:75: stage `same`: the images of `parts` are not varied, so all 2 variants are the same; put an `augment` stage before, or leave out `variants`
       |
    15 |   same:    { distill: { data: parts, model: mlp, teacher: good, variants: 2 } }
       |                                                                           ^

    pipeline.yaml:16:87: stage `many`: of 3 variants, 2 epochs would never show the last; make it `epochs` at most
       |
    16 |   many:    { distill: { data: varied, model: mlp, teacher: good, epochs: 2, variants: 3 } }
       |                                                                                       ^

    pipeline.yaml:17:73: stage `labels`: `labels: 1` leaves nothing to learn from the teacher; make it less, or train without a teacher
       |
    17 |   labels:  { distill: { data: parts, model: mlp, teacher: good, labels: 1 } }
       |                                                                         ^

    pipeline.yaml:18:82: stage `smooth`: `label_smoothing` is about the true labels, which are no part of the loss; leave it out, or give `labels` a share
       |
    18 |   smooth:  { distill: { data: parts, model: mlp, teacher: good, label_smoothing: 0.1 } }
       |                                                                                  ^^^

    pipeline.yaml:19:77: stage `vain`: `vote` is an ensemble; start from one of its members
       |
    19 |   vain:    { distill: { data: parts, model: mlp, teacher: good, start_from: vote } }
       |                                                                             ^^^^

    pipeline.yaml:20:60: stage `knowing`: `refit` was trained on the validation part of `parts` too, by which this one is judged; name a model without `refit`
       |
    20 |   knowing: { train: { data: parts, model: mlp, start_from: refit } }
       |                                                            ^^^^^

    pipeline.yaml:21:38: stage `wrong`: the model does not fit images of 1×28×28: layer 1: the network ends with 9 values, but there are 10 classes; end with `dense: { units: 10 }`
       |
    21 |   wrong:   { distill: { data: parts, model: { layers: [flatten, { dense: { units: 9 } }] }, teacher: good, seeds: 3 } }
       |                                      ^^^^^

    pipeline.yaml:22:39: stage `out`: `good-2` is named twice; name each model once
       |
    22 |   out:     { export: { models: [good, good-2] } }
       |                                       ^^^^^^
    ");
}
