//! Faults that `pipeline.yaml` alone shows: each is found before anything runs, at its place, and what the program advises
//! is what it accepts.

use atelier::spec::Problems;
use atelier::stages;

const BASE: &str = r#"version: 1
stages:
  raw:    { fetch: { dataset: garments } }
  merged: { merge: { data: raw, train: "*.csv" } }
  parts:  { split: { data: merged } }
  good:   { train: { data: parts, model: mlp } }
  better: { train: { data: parts, model: mlp } }
  out:    { export: { models: [good, better] } }
"#;

/// The problems of the pipeline above with further lines.
fn problems(lines: &str) -> Result<(), Problems> {
    stages::load("pipeline.yaml", &format!("{BASE}{lines}\n"), &[], None).map(drop)
}

/// A faulty line, a part of what is said of it, a part of what is advised, and the line once the advice is followed.
const TABLE: &[[&str; 4]] = &[
    // Names and places.
    [
        "  SHA256SUMS: { train: { data: parts, model: mlp } }",
        "keeps its own `SHA256SUMS`",
        "give the stage another name",
        "  sums: { train: { data: parts, model: mlp } }",
    ],
    [
        "  s: { score: { model: out/good, input: x.csv, output: pipeline.lock, format: csv } }",
        "keeps its own `pipeline.lock`",
        "write another name",
        "  s: { score: { model: out/good, input: x.csv, output: lock.csv, format: csv } }",
    ],
    [
        "  s: { score: { model: out/good, input: x.csv, output: .cache/x.csv } }",
        "keeps its own `.cache`",
        "write another name",
        "  s: { score: { model: out/good, input: x.csv, output: cache/x.csv } }",
    ],
    [
        "  s: { score: { model: out/good, input: x.csv, output: labels.txt, format: csv } }",
        "`out` (export) writes `labels.txt` too",
        "give one of them another name",
        "  s: { score: { model: out/good, input: x.csv, output: scored.txt, format: csv } }",
    ],
    [
        "  s: { score: { model: out/good, input: x.csv, output: good, format: csv } }",
        "it writes `good`, and `good` (train) writes `good/",
        "give one of them another name",
        "  s: { score: { model: out/good, input: x.csv, output: good.csv, format: csv } }",
    ],
    [
        "  s: { score: { model: out/good, input: x.csv, output: good/model.onnx/x.csv } }",
        "it writes `good/model.onnx/x.csv`, and `out` (export) writes `good/model.onnx`",
        "give one of them another name",
        "  s: { score: { model: out/good, input: x.csv, output: good/x.csv } }",
    ],
    [
        "  s: { score: { model: out/good, input: x.csv, on_error: skip, rejects: predictions.csv.manifest.json } }",
        "would be two of its files",
        "write another name",
        "  s: { score: { model: out/good, input: x.csv, on_error: skip, rejects: rejects.csv } }",
    ],
    [
        "  again: { export: { models: [good] } }",
        "`out` (export) writes `good/model.onnx` too",
        "export all models in one stage",
        "",
    ],
    ["artifacts: /", "`/` is the whole file system", "name a folder for results", "artifacts: results"],
    ["artifacts: /tmp/../.", "is the whole file system", "name a folder for results", "artifacts: results"],
    ["artifacts: \"\"", "an empty text names no file or folder", "write a path", "artifacts: results"],
    ["artifacts: \"a\\0b\"", "has control characters", "write it without them", "artifacts: ab"],
    ["artifacts: \"a\\e[31mb\"", "has control characters", "write it without them", "artifacts: ab"],
    ["artifacts: Cargo.toml", "`Cargo.toml` is something else", "name a folder", "artifacts: results"],
    ["artifacts: Cargo.toml/a/b", "`Cargo.toml` is something else", "name a folder", "artifacts: results"],
    ["artifacts: ./data/", "among the data that stage `raw` takes from `data`", "name another folder", "artifacts: data/results"],
    [
        "  own: { merge: { train: src, image: { channels: 1, height: 8, width: 8 } } }\nartifacts: src/results",
        "among the data that stage `own` takes from `src`",
        "name another folder",
        "  own: { merge: { train: src, image: { channels: 1, height: 8, width: 8 } } }\nartifacts: results",
    ],
    [
        "  f: { fetch: { dataset: garments, dir: Cargo.toml } }",
        "`Cargo.toml` is something else",
        "name a folder",
        "  f: { fetch: { dataset: garments, dir: data } }",
    ],
    [
        "  f: { fetch: { dataset: fashion-mnist, url: nowhere } }",
        "`nowhere` is not the address of a folder",
        "write one that begins with `https://` or `http://`",
        "  f: { fetch: { dataset: fashion-mnist, url: \"http://nowhere\" } }",
    ],
    [
        "  f: { fetch: { dataset: fashion-mnist, timeout_seconds: 1e30 } }",
        "no clock counts so many seconds",
        "write fewer",
        "  f: { fetch: { dataset: fashion-mnist, timeout_seconds: 60 } }",
    ],
    // Data.
    [
        "  m: { merge: { train: x.csv, image: { channels: 0, height: 8, width: 8 } } }",
        "`channels: 0` leaves no pixels",
        "make it at least 1",
        "  m: { merge: { train: x.csv, image: { channels: 1, height: 8, width: 8 } } }",
    ],
    [
        "  m: { merge: { train: x.csv, image: { channels: 1, height: 0, width: 8 } } }\n  a: { augment: { data: m, shift: 1 } }",
        "`height: 0` leaves no pixels",
        "make it at least 1",
        "  m: { merge: { train: x.csv, image: { channels: 1, height: 8, width: 8 } } }\n  a: { augment: { data: m, shift: 1 } }",
    ],
    [
        "  m: { merge: { train: x, format: png, image: { channels: 2, height: 8, width: 8 } } }",
        "PNG files give 1 channel (gray) or 3 (RGB), not 2",
        "write `channels: 1`",
        "  m: { merge: { train: x, format: png, image: { channels: 1, height: 8, width: 8 } } }",
    ],
    [
        "  m: { merge: { data: raw, train: x.csv, image: { channels: 1, height: 8, width: 8 } } }",
        "`raw` has images of 1×28×28, which are not 1×8×8",
        "leave out `image`",
        "  m: { merge: { data: raw, train: x.csv } }",
    ],
    [
        "  m: { merge: { data: raw, train: x.csv, classes: [a, b] } }",
        "`raw` has 10 classes, and here are 2 names",
        "leave out `classes`",
        "  m: { merge: { data: raw, train: x.csv } }",
    ],
    [
        "  m: { merge: { data: raw, train: x.csv, classes: [a, b, c, d, e, f, g, h, i, a] } }",
        "two classes are called `a`, 0 and 9",
        "give each class a name of its own",
        "  m: { merge: { data: raw, train: x.csv, classes: [a, b, c, d, e, f, g, h, i, j] } }",
    ],
    [
        "  m: { merge: { train: x.csv, image: { channels: 1, height: 8, width: 8 }, classes: [\"é\", \"e\\u0301 \"] } }",
        "classes 0 and 1 are both called `é`, but for invisible differences",
        "give each class a name of its own",
        "  m: { merge: { train: x.csv, image: { channels: 1, height: 8, width: 8 }, classes: [\"é\", \"e\"] } }",
    ],
    [
        "  m: { merge: { train: x.csv, image: { channels: 1, height: 8, width: 8 }, classes: [a, \" \"] } }",
        "class 1 has no name",
        "give it one",
        "  m: { merge: { train: x.csv, image: { channels: 1, height: 8, width: 8 }, classes: [a, b] } }",
    ],
    [
        "  m: { merge: { train: x.csv, image: { channels: 1, height: 8, width: 8 }, classes: [a] } }",
        "there must be at least 2 classes, not 1",
        "name every class",
        "  m: { merge: { train: x.csv, image: { channels: 1, height: 8, width: 8 }, classes: [a, b] } }",
    ],
    [
        "  m: { merge: { data: raw, train: x.csv, columns: { label: pixel7 } } }",
        "`pixel7` is the label's name, and by `pixel{n}` that of a pixel",
        "name the label's column",
        "  m: { merge: { data: raw, train: x.csv, columns: { label: class } } }",
    ],
    [
        "  p: { split: { data: merged, folds: { count: 2, use: 3 } } }",
        "`folds` cannot `use: 3`: there are 2",
        "name one from 1 to 2",
        "  p: { split: { data: merged, folds: { count: 2, use: 2 } } }",
    ],
    [
        "  p: { split: { data: merged, folds: { count: 1, use: 1 } } }",
        "`folds` cannot have a `count` of 1",
        "make it at least 2",
        "  p: { split: { data: merged, folds: { count: 2, use: 1 } } }",
    ],
    [
        "  p: { split: { data: merged, validation: 0.5, folds: { count: 2, use: 1 } } }",
        "both set a validation part apart",
        "leave one of them out",
        "  p: { split: { data: merged, folds: { count: 2, use: 1 } } }",
    ],
    [
        "  p: { split: { data: parts } }",
        "`parts` has a validation part already",
        "name data that is not split yet",
        "  p: { split: { data: merged } }",
    ],
    [
        "  a: { augment: { data: parts, shift: 28 } }",
        "`shift: 28` moves images of 1×28×28 out of sight",
        "make it less than 28",
        "  a: { augment: { data: parts, shift: 27 } }",
    ],
    [
        "  a: { augment: { data: parts, erase: { probability: 0.5, size: [2, 29] } } }",
        "`erase` wants squares of side 29",
        "make them smaller",
        "  a: { augment: { data: parts, erase: { probability: 0.5, size: [2, 28] } } }",
    ],
    // Scores and verification.
    [
        "  s: { score: { model: out/good, input: x.csv, top_k: 11 } }",
        "the 11 most probable classes are asked for, but the model knows 10 classes",
        "ask for 10 at most",
        "  s: { score: { model: out/good, input: x.csv, top_k: 10 } }",
    ],
    [
        "  s: { score: { model: out/good, input: x.csv, passthrough: [id, p_3] } }",
        "the column `p_3` cannot be passed through",
        "leave it out",
        "  s: { score: { model: out/good, input: x.csv, passthrough: [id] } }",
    ],
    [
        "  s: { score: { model: out/good, input: x.csv, passthrough: [id, id] } }",
        "`id` is to be passed through twice",
        "name each once",
        "  s: { score: { model: out/good, input: x.csv, passthrough: [id] } }",
    ],
    [
        "  s: { score: { model: out/good, input: x.csv, output_columns: [row, row] } }",
        "a column of the output is asked for twice",
        "name each once",
        "  s: { score: { model: out/good, input: x.csv, output_columns: [row] } }",
    ],
    [
        "  s: { score: { model: out/good, input: x.csv, passthrough: [id], columns: { header: no } } }",
        "without a header, no column has a name",
        "leave it out",
        "  s: { score: { model: out/good, input: x.csv, columns: { header: no } } }",
    ],
    [
        "  m: { merge: { train: x.csv, test: y.csv, image: { channels: 1, height: 8, width: 8 } } }\n  v: { verify: { export: out, data: m } }",
        "was trained on other images or classes than those of `m`",
        "name the data that the models were trained on",
        "  m: { merge: { data: raw, train: x.csv, test: y.csv } }\n  v: { verify: { export: out, data: m } }",
    ],
    [
        "  e: { ensemble: { models: [good], data: parts } }",
        "`models` names 1 model",
        "name at least 2",
        "  e: { ensemble: { models: [good, better], data: parts } }",
    ],
    [
        "  t: { train: { data: parts, model: { layers: [] } } }",
        "the network ends with 1×28×28 values, but there are 10 classes; end with `flatten` or a global pool, and `dense: { units: 10 }`",
        "",
        "  t: { train: { data: parts, model: { layers: [flatten, { dense: { units: 10 } }] } } }",
    ],
    [
        "  t: { train: { data: parts, model: mlp, epochs: 3, warm_up: 3 } }",
        "`warm_up` of 3 epochs leaves nothing of the 3 `epochs`",
        "make it shorter",
        "  t: { train: { data: parts, model: mlp, epochs: 3, warm_up: 2 } }",
    ],
    [
        "  t: { train: { data: parts, model: mlp, warm_up: 1, schedule: one_cycle } }",
        "`one_cycle` rises to its peak by itself",
        "leave out `warm_up`",
        "  t: { train: { data: parts, model: mlp, schedule: one_cycle } }",
    ],
    [
        "  t: { train: { data: parts, model: mlp, optimizer: { sgd: { momentum: 0 } } } }",
        "`nesterov` needs a `momentum` above 0",
        "set `nesterov: false`",
        "  t: { train: { data: parts, model: mlp, optimizer: { sgd: { momentum: 0, nesterov: false } } } }",
    ],
    // Numbers.
    [
        "  t: { train: { data: parts, model: mlp, epochs: 1000000000000000000 } }",
        "a number of epochs is at most 1099511627776",
        "",
        "  t: { train: { data: parts, model: mlp, epochs: 1099511627776 } }",
    ],
    [
        "  t: { train: { data: parts, model: mlp, epochs: \"12\" } }",
        "needs a whole number, not the text `12`",
        "remove the quotes",
        "  t: { train: { data: parts, model: mlp, epochs: 12 } }",
    ],
    [
        "  t: { train: { data: parts, model: mlp, epochs: 1_000 } }",
        "needs a whole number",
        "write 1000",
        "  t: { train: { data: parts, model: mlp, epochs: 1000 } }",
    ],
    [
        "  t: { train: { data: parts, model: mlp, epochs: 12.0 } }",
        "needs a whole number, not the number 12.0",
        "write 12",
        "  t: { train: { data: parts, model: mlp, epochs: 12 } }",
    ],
    [
        "  t: { train: { data: parts, model: mlp, epochs: } }",
        "`epochs` has no value",
        "give a whole number",
        "  t: { train: { data: parts, model: mlp, epochs: 3 } }",
    ],
    [
        "  t: { train: { data: parts, model: mlp, refit: yes } }",
        "`true` or `false`",
        "write `true`",
        "  t: { train: { data: parts, model: mlp, refit: true } }",
    ],
    [
        "  t: { train: { data: parts, model: mlp, epoch: 3 } }",
        "`epoch` is not known",
        "did you mean `epochs`?",
        "  t: { train: { data: parts, model: mlp, epochs: 3 } }",
    ],
    [
        "  m: { merge: { data: raw, train: [x.csv, x.csv] } }",
        "`x.csv` is named twice",
        "",
        "  m: { merge: { data: raw, train: [x.csv] } }",
    ],
];

#[test]
fn advice_that_is_followed_is_accepted() {
    for [faulty, message, advice, followed] in TABLE {
        let found = problems(faulty).expect_err(faulty);
        assert_eq!(found.len(), 1, "{faulty}\n{found}");
        let problem = found.iter().next().unwrap();
        assert!(problem.message.contains(message), "{faulty}\n{found}");
        let help = problem.help.as_deref().unwrap_or_default();
        assert!(help.contains(advice), "{faulty}\n{found}");
        assert!(problem.place.line() > BASE.lines().count(), "the place is not in what was added: {found}");
        if let Err(left) = problems(followed) {
            panic!("{faulty}\nwas told: {found}and after\n{followed}\nis told: {left}");
        }
    }
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let lines = r#"  SHA256SUMS: { train: { data: m, model: mlp, warm_up: 12 } }
  m: { merge: { train: x.csv, image: { channels: 0, height: 0, width: 8 }, classes: [a, a, ""] } }
  p: { split: { data: m, folds: { count: 2, use: 3 } } }
  s: { score: { model: out/good, input: x.csv, output: labels.txt, format: csv, top_k: 99 } }
artifacts: /"#;
    let found = problems(lines).unwrap_err();
    for expected in [
        "`SHA256SUMS`",
        "`warm_up`",
        "`channels: 0`",
        "`height: 0`",
        "two classes",
        "class 2 has no name",
        "`use: 3`",
        "`labels.txt`",
        "99 most probable classes",
        "the whole file system",
    ] {
        assert!(found.iter().any(|problem| problem.message.contains(expected)), "{expected} is not in\n{found}");
    }
}

/// A fault of several settings together stands where one of them is written, not at the stage.
#[test]
fn settings_that_contradict_each_other_are_shown_where_they_stand() {
    let found = problems(
        "  t: { train: { data: parts, model: mlp, epochs: 3, warm_up: 3, label_smoothing: 1, optimizer: { adam: { beta_2: 1 } } } }",
    )
    .unwrap_err();
    let columns: Vec<usize> = found.iter().map(|problem| problem.place.column()).collect();
    assert_eq!(columns, [62, 82, 114], "{found}");
}

#[test]
fn names_too_long_for_file_systems_are_told_before_anything_runs() {
    let name = |length: usize| format!("  {}: {{ train: {{ data: parts, model: mlp }} }}", "n".repeat(length));
    assert!(problems(&name(200)).is_ok());
    for (lines, expected) in [
        (name(201), "too long for a stage name"),
        (format!("artifacts: {}", "n".repeat(256)), "a name of 256 bytes"),
        (format!("artifacts: {}", "abc/".repeat(1000)), "has 4000 bytes"),
        (
            format!("  s: {{ score: {{ model: out/good, input: x.csv, output: {}.csv }} }}", "n".repeat(240)),
            "a name of 244 bytes, and file systems take 241 here",
        ),
        (format!("  {}: {{ train: {{ data: parts, model: mlp, seeds: 3 }} }}", "n".repeat(199)), "too long for a stage name"),
    ] {
        let found = problems(&lines).expect_err(&lines);
        assert!(found.iter().any(|problem| problem.message.contains(expected)), "{found}");
    }
}

/// Whatever is written anywhere in a file, what is said of it is short and shows no control characters.
#[test]
fn no_text_of_a_file_makes_a_long_or_invisible_message() {
    let long = "9".repeat(14_000);
    let wide = "x y".repeat(5_000);
    let evil = "\\e[31m\\u202e\\u009b\\0";
    for bad in [
        long.clone(),
        format!("\"{long}\""),
        format!("\"{wide}\""),
        format!("\"a{evil}{wide}\""),
        format!("-{long}"),
        format!("1{}.5", "0".repeat(400)),
    ] {
        for template in [
            "  t: { train: { data: parts, model: mlp, epochs: @ } }",
            "  t: { train: { data: parts, model: mlp, label_smoothing: @ } }",
            "  t: { train: { data: parts, model: mlp, schedule: @ } }",
            "  t: { train: { data: parts, model: mlp, @: 1 } }",
            "  t: { train: { data: @, model: mlp } }",
            "  t: { train: { data: parts, model: { @: {} } } }",
            "  t: { @: {} }",
            "  @: { train: { data: parts, model: mlp } }",
            "  t: @",
            "@: 1",
            "version: @",
            "artifacts: @",
            "  m: { merge: { train: @ } }",
            "  m: { merge: { train: x.csv, classes: [@, @] } }",
            "  m: { merge: { train: x.csv, columns: { pixels: @, label: @ } } }",
            "  f: { fetch: { dataset: garments, dir: @, url: @ } }",
            "  s: { score: { model: @, input: x.csv, output: @ } }",
            "  s: { score: { model: out/good, input: \"{@}\", passthrough: [@, @] } }",
            "  u: { tune: { data: parts, model: mlp, search: { @: { choice: [@, 1] } } } }",
            "  u: { tune: { data: parts, model: mlp, search: { batch_size: { int: { min: @, max: @ } } } } }",
        ] {
            let lines = template.replace('@', &bad);
            let Err(found) = problems(&lines) else { continue };
            for line in found.to_string().lines() {
                assert!(
                    line.chars().count() < 700,
                    "{template}: {} characters: {}",
                    line.chars().count(),
                    line.chars().take(900).collect::<String>()
                );
                assert!(!line.chars().any(atelier::quote::is_invisible), "{template}: {line:?}");
            }
        }
    }
}
