//! No figure is taken from images that a model, or anything it comes from, has seen: every way in which it could be, and the honest ones.

use std::fmt::Write as _;

use atelier::data::{DataSet, Part};
use atelier::stages;

use crate::workshop::Workshop;

/// Data in two splits, whose test parts differ as well, a whole, and a model of each.
const BASE: &str = r#"version: 1
stages:
  raw:   { merge: { train: "a.csv", image: { channels: 1, height: 4, width: 4 }, classes: [x, y, z] } }
  one:   { split: { data: raw, validation: 0.2, test: 0.2 } }
  two:   { split: { data: raw, validation: 0.2, test: 0.2 } }
  vary:  { augment: { data: one, shift: 1 } }
  good:  { train: { data: vary, model: mlp } }
  also:  { train: { data: one, model: mlp, early_stopping: {} } }
  other: { train: { data: two, model: mlp } }
  whole: { train: { data: raw, model: mlp } }
  refit: { train: { data: one, model: mlp, refit: true } }
"#;

/// What is wrong with further stages, one line for each problem.
#[track_caller]
fn problems(more: &str) -> String {
    match stages::load("p.yaml", &format!("{BASE}{more}"), &[], None) {
        Ok(_) => String::new(),
        Err(problems) => {
            let text = problems.to_string();
            let lines = text.lines().filter_map(|line| line.strip_prefix("p.yaml:"));
            lines.map(|line| line.split_once(' ').unwrap().1).collect::<Vec<_>>().join("\n")
        }
    }
}

#[track_caller]
fn is_honest(more: &str) {
    assert_eq!(problems(more), "");
}

#[test]
fn models_of_one_split_may_be_voted_ranked_verified_taught_and_started_from() {
    is_honest(
        r#"
  vote:    { ensemble: { models: [good, also, refit], weights: validation, temperature: validation, data: one } }
  ranked:  { compare: { models: [good, also, refit, vote], data: vary } }
  out:     { export: { models: [good, refit, vote] } }
  proof:   { verify: { export: out, data: one, gate: { accuracy: 0.5 } } }
  student: { distill: { data: vary, model: mlp, teacher: good, start_from: also } }
  again:   { train: { data: one, model: mlp, start_from: student, refit: true } }
  search:  { tune: { data: one, model: mlp, search: { model.mlp.dropout: { float: { min: 0.0, max: 0.5 } } } } }
  found:   { train: { data: vary, model: mlp, params: search } }
  page:    { report: { of: [ranked], side_by_side: [{ first: good, second: vote }] } }
"#,
    );
}

#[test]
fn a_vote_is_not_fitted_or_measured_on_images_that_a_member_has_seen() {
    assert_eq!(
        problems("  vote: { ensemble: { models: [good, other], weights: validation, data: one } }\n"),
        "stage `vote`: `other` was trained on `two`, which divides the same images in another way, and so on some of the validation part of `one`, on which weights are fitted; let `other` train on `one`"
    );
    assert_eq!(
        problems("  vote: { ensemble: { models: [good, other], temperature: validation, data: one } }\n"),
        "stage `vote`: `other` was trained on `two`, which divides the same images in another way, and so on some of the validation part of `one`, on which the temperature is fitted; let `other` train on `one`"
    );
    assert_eq!(
        problems("  vote: { ensemble: { models: [good, other], data: one } }\n"),
        "stage `vote`: `other` was trained on `two`, which divides the same images in another way, and so on some of the validation part of `one`, on which the vote is measured; let `other` train on `one`"
    );
}

#[test]
fn models_are_not_ranked_by_images_that_one_has_seen() {
    assert_eq!(
        problems("  ranked: { compare: { models: [good, other], data: one } }\n"),
        "stage `ranked`: `other` was trained on `two`, which divides the same images in another way, and so on some of the validation part of `one`, by which models are ranked; let `other` train on `one`"
    );
}

#[test]
fn a_model_of_unsplit_data_is_not_judged_by_a_part_of_it() {
    assert_eq!(
        problems(
            "  vote: { ensemble: { models: [good, whole], data: vary } }\n  ranked: { compare: { models: [good, whole], data: one } }\n"
        ),
        "stage `vote`: `whole` was trained on `raw`, which holds images of the validation part of `vary`, on which the vote is measured; let `whole` train on `vary`\n\
         stage `ranked`: `whole` was trained on `raw`, which holds images of the validation part of `one`, by which models are ranked; let `whole` train on `one`"
    );
}

#[test]
fn a_gate_does_not_judge_by_images_that_a_model_has_seen() {
    let two_test_parts = "  out: { export: { models: [good, other] } }\n  proof: { verify: { export: out, data: one, gate: { model: other, accuracy: 0.6 } } }\n";
    assert_eq!(
        problems(two_test_parts),
        "stage `proof`: `other` was trained on `two`, which divides the same images in another way, and so on some of the test part of `one`, by which the gate judges; let `other` train on `one`"
    );
    assert_eq!(
        problems("  out: { export: { models: [whole] } }\n  proof: { verify: { export: out, data: two } }\n"),
        "stage `proof`: `whole` was trained on `raw`, which holds images of the test part of `two`, on which its file is measured; let `whole` train on `two`"
    );
}

#[test]
fn what_a_model_has_seen_goes_on_to_those_that_start_from_it() {
    assert_eq!(
        problems("  next: { train: { data: one, model: mlp, start_from: other } }\n"),
        "stage `next`: `other` was trained on `two`, which divides the same images in another way, and so on some of the validation part of `one`, by which this one is judged; let `other` train on `one`"
    );
    let over_unsplit = "  next: { train: { data: raw, model: mlp, start_from: other } }\n  last: { train: { data: two, model: mlp, start_from: next } }\n";
    assert_eq!(
        problems(over_unsplit),
        "stage `last`: `next` was trained on `raw`, which holds images of the validation part of `two`, by which this one is judged; let `next` train on `two`"
    );
}

#[test]
fn a_refit_model_is_no_start_and_no_teacher_where_its_validation_part_judges() {
    assert_eq!(
        problems(
            "  next: { train: { data: vary, model: mlp, start_from: refit } }\n  student: { distill: { data: one, model: mlp, teacher: refit } }\n"
        ),
        "stage `next`: `refit` was trained on the validation part of `vary` too, by which this one is judged; name a model without `refit`\n\
         stage `student`: `refit` was trained on the validation part of `one` too, by which the student is judged; name a model without `refit`"
    );
}

#[test]
fn a_student_has_seen_what_its_teacher_and_what_that_comes_from_have_seen() {
    assert_eq!(
        problems("  student: { distill: { data: one, model: mlp, teacher: other } }\n"),
        "stage `student`: `other` was trained on `two`, which divides the same images in another way, and so on some of the validation part of `one`, by which the student is judged; let `other` train on `one`"
    );
    // The teacher's own data tells nothing of where it began.
    let begun = |data: &str| {
        format!(
            r#"
  far:     {{ merge: {{ train: "far.csv", image: {{ channels: 1, height: 4, width: 4 }}, classes: [x, y, z] }} }}
  begun:   {{ train: {{ data: {data}, model: mlp, start_from: other }} }}
  student: {{ distill: {{ data: {data}, model: mlp, teacher: begun }} }}
  vote:    {{ ensemble: {{ models: [good, student], data: one }} }}
"#
        )
    };
    assert_eq!(
        problems(&begun("far")),
        "stage `vote`: `student` comes from `other`, which was trained on `two`, which divides the same images in another way, and so on some of the validation part of `one`, on which the vote is measured; let `other` train on `one`"
    );
    // What it was trained on itself is told first.
    assert_eq!(
        problems(&begun("raw")),
        "stage `vote`: `student` was trained on `raw`, which holds images of the validation part of `one`, on which the vote is measured; let `student` train on `one`"
    );
    let by_vote = "  vote: { ensemble: { models: [good, refit], data: one } }\n  student: { distill: { data: one, model: mlp, teacher: vote } }\n";
    assert_eq!(
        problems(by_vote),
        "stage `student`: `vote` comes from `refit`, which was trained on the validation part of `one` too, by which the student is judged; name a model without `refit`"
    );
}

#[test]
fn a_further_seed_is_told_of_by_its_own_name_and_as_one_problem_with_the_first() {
    let vote = |models: &str| {
        problems(&format!(
            "  seeded: {{ train: {{ data: two, model: mlp, seeds: 3 }} }}\n  vote: {{ ensemble: {{ models: [good, {models}], data: one }} }}\n"
        ))
    };
    let told = |name: &str| {
        format!(
            "stage `vote`: `{name}` was trained on `two`, which divides the same images in another way, and so on some of the validation part of `one`, on which the vote is measured; let `seeded` train on `one`"
        )
    };
    assert_eq!(vote("seeded-2"), told("seeded-2"));
    assert_eq!(vote("seeded"), told("seeded"));
}

#[test]
fn parameters_are_not_chosen_by_test_images() {
    let search = |data: &str| {
        format!(
            "  search: {{ tune: {{ data: {data}, model: mlp, search: {{ model.mlp.dropout: {{ float: {{ min: 0.0, max: 0.5 }} }} }} }} }}\n"
        )
    };
    assert_eq!(
        problems(&format!("{}  found: {{ train: {{ data: one, model: mlp, params: search }} }}\n", search("two"))),
        "stage `found`: `search` searched on `two`, which divides the same images in another way, and so on some of the test part of `one`, on which this one is measured; let `search` search on `one`"
    );
    is_honest(&format!("{}  found: {{ train: {{ data: one, model: mlp, params: search }} }}\n", search("vary")));
}

#[test]
fn two_merges_of_one_file_hold_the_same_images() {
    let more = r#"
  copy:   { merge: { train: ["./a.csv"], image: { channels: 1, height: 4, width: 4 }, classes: [x, y, z] } }
  third:  { split: { data: copy, validation: 0.2 } }
  late:   { train: { data: third, model: mlp } }
  vote:   { ensemble: { models: [good, late], data: one } }
"#;
    assert_eq!(
        problems(more),
        "stage `vote`: `late` was trained on `third`, which divides the same images in another way, and so on some of the validation part of `one`, on which the vote is measured; let `late` train on `one`"
    );
    let itself = r#"  both: { merge: { train: "b.csv", test: "./b.csv", image: { channels: 1, height: 4, width: 4 } } }
"#;
    assert_eq!(
        problems(itself),
        "stage `both`: `./b.csv` is given both to train on and to test with; give other files, or leave it out and set a part apart with `test` in a `split` stage"
    );
}

#[test]
fn copies_of_one_image_do_not_come_into_two_parts() {
    let more = "  more: { augment: { data: raw, shift: 1, copies: 3 } }\n  part: { split: { data: more } }\n  twice: { split: { data: one } }\n";
    assert_eq!(
        problems(more),
        "stage `part`: `more` adds varied copies of images, and copies of one image would come into several parts; split first, and let `more` vary the training part\n\
         stage `twice`: `one` has a validation part already; name data that is not split yet: `raw`"
    );
}

/// Folds with two recipes.
const FOLDS: &str = r#"
  p1: { split: { data: raw, folds: { count: 3, use: 1 } } }
  p2: { split: { data: raw, folds: { count: 3, use: 2 } } }
  p3: { split: { data: raw, folds: { count: 3, use: 3 } } }
  q:  { split: { data: raw, folds: { count: 4, use: 2 } } }
  v1: { augment: { data: p1, shift: 1 } }
  a1: { train: { data: p1, model: mlp } }
  a2: { train: { data: p2, model: mlp } }
  a3: { train: { data: p3, model: mlp, refit: true } }
  b1: { train: { data: v1, model: basic } }
  v2: { augment: { data: p2, shift: 1 } }
  b2: { train: { data: v2, model: basic } }
"#;

#[test]
fn members_that_were_trained_on_folds_are_judged_out_of_fold() {
    let problems = |more: &str| problems(&format!("{FOLDS}{more}"));
    assert_eq!(
        problems(
            "  vote: { ensemble: { models: [a1, a2], weights: validation, data: p1 } }\n  ranked: { compare: { models: [a1, a2], data: v1 } }\n"
        ),
        "stage `vote`: `a2` was trained on `p2`, which holds images of the validation part of `p1`, on which weights are fitted; name `raw`, of which they are folds, as `data`: each image is then judged by those that were not trained on it\n\
         stage `ranked`: `a2` was trained on `p2`, which holds images of the validation part of `v1`, by which models are ranked; name `raw`, of which they are folds, as `data`: each image is then judged by those that were not trained on it"
    );
    let honest = r#"
  vote:   { ensemble: { models: [a1, a2, b1, b2], weights: validation, temperature: validation, data: raw } }
  three:  { ensemble: { models: [a1, a2, a3], data: raw } }
  ranked: { compare: { models: [vote, three, a1, b2], data: raw } }
"#;
    assert_eq!(problems(honest), "");
    assert_eq!(
        problems("  strange: { ensemble: { models: [a1, b2], weights: validation, data: raw } }\n"),
        "stage `strange`: no image was out of the folds of all recipes, so that nothing tells which of them should count for more; train each recipe on the same folds, or leave out `weights`"
    );
    assert_eq!(
        problems(
            "  c: { train: { data: q, model: mlp } }\n  mixed: { ensemble: { models: [a1, c], weights: validation, data: raw } }\n"
        ),
        "stage `mixed`: `c` was not trained on the folds of `raw` that `a1` was, so it cannot be judged out of fold; train it on these folds, leave it out, or name data with a validation part in place of `raw`"
    );
    let ranked = "  ranked: { compare: { models: [a1, a2, whole], data: raw } }";
    let said = stages::load("p.yaml", &format!("{BASE}{FOLDS}{ranked}\n"), &[], None).unwrap_err().to_string();
    let place = format!(":{}: stage `ranked`: `whole` was not trained on the folds of `raw`", ranked.find("whole").unwrap() + 1);
    assert!(said.contains(&place), "{place}\n{said}");
    assert_eq!(
        problems(
            "  measured: { ensemble: { models: [a1, b1], data: p1 } }\n  any: { ensemble: { models: [a1, whole], data: raw } }\n"
        ),
        ""
    );
    // A test part that was set apart together with the folds has been used by none of them.
    let tested = r#"
  t1:    { split: { data: raw, test: 0.2, folds: { count: 2, use: 1 } } }
  t2:    { split: { data: raw, test: 0.2, folds: { count: 2, use: 2 } } }
  d1:    { train: { data: t1, model: mlp } }
  d2:    { train: { data: t2, model: mlp } }
  both:  { ensemble: { models: [d1, d2], weights: validation, temperature: validation, data: raw } }
  out:   { export: { models: [d1, both] } }
  proof: { verify: { export: out, data: t2, gate: { accuracy: 0.5 } } }
"#;
    assert_eq!(problems(tested), "");
    let tainted = "  all: { train: { data: raw, model: mlp, start_from: a2 } }\n  pre: { train: { data: p1, model: mlp, start_from: all } }\n";
    assert_eq!(
        problems(tainted),
        "stage `pre`: `all` was trained on `raw`, which holds images of the validation part of `p1`, by which this one is judged; let `all` train on `p1`"
    );
    assert_eq!(
        problems("  s: { distill: { data: p1, model: mlp, teacher: a2 } }\n"),
        "stage `s`: `a2` was trained on `p2`, which holds images of the validation part of `p1`, by which the student is judged; let `a2` train on `p1`"
    );
}

// What only a run tells.

/// Images of random gray values with random labels, as rows of CSV: whoever tells them has seen them.
fn noise(images: usize, seed: u64) -> String {
    let mut state = seed;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut rows = String::new();
    for _ in 0..images {
        write!(rows, "{}", next(3)).unwrap();
        (0..64).for_each(|_| write!(rows, ",{}", next(256)).unwrap());
        rows.push('\n');
    }
    rows
}

fn header() -> String {
    (1..=64).fold("label".to_owned(), |header, pixel| format!("{header},pixel{pixel}")) + "\n"
}

fn with(stages: &str, files: &[(&str, &str)]) -> Workshop {
    let workshop = Workshop::with(&format!("version: 1\nseed: 1\nstages:\n{stages}"));
    for (name, rows) in files {
        workshop.write(name, format!("{}{rows}", header()));
    }
    workshop
}

fn json(workshop: &Workshop, name: &str) -> serde_json::Value {
    serde_json::from_str(&workshop.read(&format!("artifacts/{name}"))).unwrap()
}

fn merge(name: &str, files: &str) -> String {
    format!("  {name}: {{ merge: {{ {files}, image: {{ channels: 1, height: 8, width: 8 }}, classes: [x, y, z] }} }}\n")
}

const LEARNS_BY_HEART: &str =
    "model: { mlp: { units: [128], dropout: 0 } }, epochs: 40, batch_size: 16, optimizer: { adamw: { learning_rate: 0.003 } }";

/// The data of every split in the cache.
fn splits(workshop: &Workshop) -> Vec<DataSet> {
    let objects = std::fs::read_dir(workshop.path("artifacts/.cache/objects")).unwrap();
    let mut folders = Vec::new();
    for object in objects {
        let object = object.unwrap().path();
        folders.push(object.join("files"));
        folders.push(object);
    }
    folders.iter().filter_map(|folder| DataSet::load(folder).ok()).filter(|data| data.validation.is_some()).collect()
}

#[test]
fn a_vote_over_folds_is_fitted_and_ranked_on_images_out_of_fold_alone() {
    let mut stages = merge("raw", r#"train: "a.csv", test: "t.csv""#);
    for fold in 1..=3 {
        writeln!(stages, "  p{fold}: {{ split: {{ data: raw, folds: {{ count: 3, use: {fold} }} }} }}").unwrap();
        writeln!(stages, "  a{fold}: {{ train: {{ data: p{fold}, {LEARNS_BY_HEART} }} }}").unwrap();
        writeln!(stages, "  b{fold}: {{ train: {{ data: p{fold}, model: {{ mlp: {{ units: [8] }} }}, epochs: 2 }} }}").unwrap();
    }
    stages.push_str(
        r#"  vote:   { ensemble: { models: [a1, a2, a3, b1, b2, b3], weights: validation, data: raw } }
  sharp:  { ensemble: { models: [a1, a2, a3], temperature: validation, data: raw } }
  ranked: { compare: { models: [sharp, vote, a1, b2], data: raw, robustness: { perturbations: [noise], severities: [1], samples: 60 } } }
  out:    { export: { models: [vote] } }
  proof:  { verify: { export: out, data: raw } }
  page:   { report: { of: [ranked, proof] } }
"#,
    );
    let workshop = with(&stages, &[("a.csv", &noise(180, 1)), ("t.csv", &noise(60, 2))]);
    workshop.pipeline(&["run"]).expect(0);

    // Each image was out of one fold, and only there.
    let folds = splits(&workshop);
    let mut held_out: Vec<Vec<u8>> = folds
        .iter()
        .map(|data| data.required(Part::Validation).unwrap())
        .flat_map(|part| (0..part.len()).map(|place| part.image(place).to_vec()).collect::<Vec<_>>())
        .collect();
    held_out.sort();
    held_out.dedup();
    assert_eq!((folds.len(), held_out.len()), (3, 180));

    for name in ["sharp", "vote"] {
        let metrics = json(&workshop, &format!("{name}/metrics.json"));
        assert_eq!(metrics["out_of_fold"], serde_json::json!({ "folds": 3, "images": 180 }));
        let accuracy = metrics["validation"]["accuracy"].as_f64().unwrap();
        assert!(accuracy < 0.5, "`{name}` knows {accuracy} of images with random labels");
    }
    // The members know their own images by heart; the vote does not believe them.
    let vote = json(&workshop, "vote/metrics.json");
    let weights: Vec<f64> =
        vote["ensemble"]["members"].as_array().unwrap().iter().map(|member| member["weight"].as_f64().unwrap()).collect();
    assert!(
        weights[0] == weights[1] && weights[1] == weights[2] && weights[3] == weights[5],
        "folds of a recipe count the same: {weights:?}"
    );
    assert!(weights[3] > weights[0], "{weights:?}");
    let sharp = json(&workshop, "sharp/metrics.json");
    assert!(sharp["ensemble"]["temperature"]["value"].as_f64().unwrap() > 1.0, "{sharp}");

    let ranked = json(&workshop, "ranked.json");
    for model in ranked["ranking"].as_array().unwrap() {
        for figure in ["validation_accuracy", "robustness"] {
            assert!(model[figure].as_f64().unwrap() < 0.6, "{model}");
        }
    }
    assert!(ranked["reason"].as_str().unwrap().contains("out of its folds"), "{ranked}");
    workshop.pipeline(&["run"]).expect(0).says("nothing to do");
}

#[test]
fn a_refit_model_is_ranked_by_the_network_that_has_not_seen_the_validation_part() {
    let stages = merge("raw", r#"train: "a.csv""#)
        + &format!(
            "  parts: {{ split: {{ data: raw, validation: 0.4 }} }}\n  m: {{ train: {{ data: parts, {LEARNS_BY_HEART}, refit: true }} }}\n  n: {{ train: {{ data: parts, model: mlp, epochs: 1 }} }}\n"
        )
        + "  both: { ensemble: { models: [m, n], weights: [9, 1], data: parts } }\n"
        + "  ranked: { compare: { models: [m, both], data: parts, robustness: { perturbations: [noise], severities: [1] } } }\n";
    let workshop = with(&stages, &[("a.csv", &noise(150, 3))]);
    workshop.pipeline(&["run"]).expect(0);
    let ranked = json(&workshop, "ranked.json");
    for model in ranked["ranking"].as_array().unwrap() {
        for figure in ["validation_accuracy", "robustness"] {
            assert!(model[figure].as_f64().unwrap() < 0.6, "{model}");
        }
    }
}

#[test]
fn files_with_the_same_images_are_found_by_their_content() {
    let (rows, others) = (noise(60, 4), noise(60, 5));
    // The same rows under another name, in another order, among others.
    let mut mixed: Vec<&str> = rows.lines().chain(others.lines()).collect();
    mixed.reverse();
    let mixed = mixed.join("\n");
    let stages = merge("raw", r#"train: "a.csv""#)
        + &merge("far", r#"train: "b.csv""#)
        + "  parts: { split: { data: raw, validation: 0.5 } }\n  pre: { train: { data: far, model: mlp, epochs: 1 } }\n  own: { train: { data: parts, model: mlp, epochs: 1 } }\n"
        + "  vote: { ensemble: { models: [own, pre], data: parts } }\n  next: { train: { data: parts, model: mlp, epochs: 1, start_from: pre } }\n";
    // That another stage puts both files together says nothing of the parts of other data.
    let both = merge("both", r#"train: "a.csv", test: "b.csv""#);
    let workshop = with(&format!("{stages}{both}"), &[("a.csv", &rows), ("b.csv", &mixed)]);
    workshop.pipeline(&["run", "--until", "vote"]).expect(1).says("30 of the 30 different images");
    let workshop = with(&stages, &[("a.csv", &rows), ("b.csv", &mixed)]);
    let said = workshop.pipeline(&["run", "--until", "vote"]).expect(1).text();
    assert!(said.contains("`pre` was trained on the training part of `far`, and 30 of the 30 different images of the validation part of `parts` are among them"), "{said}");
    workshop.pipeline(&["run", "--until", "next"]).expect(1).says("30 of the 30 different images");

    // Other images under the same names are no concern; fewer than one in a hundred are told.
    workshop.write("b.csv", format!("{}{others}", header()));
    let said = workshop.pipeline(&["run"]).expect(0).text();
    assert!(!said.contains("are among them"), "{said}");
    workshop.write("pipeline.yaml", workshop.read("pipeline.yaml") + &both);
    workshop.pipeline(&["run"]).expect(0).says("ran 1 stage,");
    let many = noise(400, 6);
    let shared = many.lines().take(3).chain(others.lines()).collect::<Vec<_>>().join("\n");
    let workshop = with(&stages.replace("validation: 0.5", "validation: 0.9"), &[("a.csv", &many), ("b.csv", &shared)]);
    workshop.pipeline(&["run"]).expect(0).says("of the 360 different images of the validation part of `parts` are among them");
}

#[test]
fn copies_of_an_image_that_other_files_hold_too_count_once() {
    let stages = merge("raw", r#"train: "a.csv""#)
        + &merge("far", r#"train: "b.csv""#)
        + "  parts: { split: { data: raw, validation: 0.5 } }\n  pre: { train: { data: far, model: mlp, epochs: 1 } }\n  next: { train: { data: parts, model: mlp, epochs: 1, start_from: pre } }\n";
    let blank = format!("0{}\n", ",0".repeat(64)).repeat(100);
    let workshop = with(&stages, &[("a.csv", &(noise(300, 9) + &blank)), ("b.csv", &(noise(60, 10) + &blank))]);
    workshop
        .pipeline(&["run"])
        .expect(0)
        .says("different images of the validation part of `parts` are among them")
        .says(", and 1 of the ");
}

#[test]
fn a_score_of_files_that_the_model_was_trained_on_is_told_however_they_are_named() {
    let workshop = Workshop::with(
        r#"version: 1
stages:
  raw:   { fetch: { dataset: garments, dir: data, garments: { train: 200, test: 100 } } }
  all:   { merge: { data: raw, train: "Fashion Train Data {1..6}.csv", test: "Fashion Test Data.csv" } }
  net:   { train: { data: all, model: mlp, epochs: 1 } }
  out:   { export: { models: [net] } }
  known: { score: { model: out/net, input: "data/garments/Fashion Train Data 1.csv", output: known.csv } }
  again: { score: { model: out/net, data: raw, input: "Fashion Train Data 2.csv", output: again.csv } }
  new:   { score: { model: out/net, data: raw, input: "Fashion Test Data.csv", output: new.csv } }
"#,
    );
    let told = |file: &str| {
        format!("`net` was trained on `data/garments/Fashion {file}.csv`: an accuracy on it says nothing of new images")
    };
    let run = workshop.pipeline(&["run"]).expect(0).says(&told("Train Data 1")).says(&told("Train Data 2"));
    assert!(!run.text().contains(&told("Test Data")), "{}", run.text());
}

#[test]
fn test_files_that_are_the_training_files_are_refused_and_repeated_images_are_told() {
    let rows = noise(40, 7);
    let stages = merge("raw", r#"train: "a.csv", test: "t.csv""#);
    let workshop = with(&stages, &[("a.csv", &rows), ("t.csv", &rows)]);
    workshop.pipeline(&["run"]).expect(1).says("`t.csv` to test with and `a.csv` to train on hold the same");
    let most: String = rows.lines().rev().take(30).chain(noise(10, 8).lines()).map(|row| format!("{row}\n")).collect();
    workshop.write("t.csv", format!("{}{most}", header()));
    workshop.pipeline(&["run"]).expect(0).says("30 of the 40 test images are training images too");
    let few: String = rows.lines().take(2).chain(noise(38, 8).lines()).map(|row| format!("{row}\n")).collect();
    workshop.write("t.csv", format!("{}{few}", header()));
    workshop.pipeline(&["run"]).expect(0).says("test images that are also training images: 2");
}
