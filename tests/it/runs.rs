//! Whole runs of the binary on the synthetic garments: what is made, what is cached, what an interruption costs, and which
//! exit codes come back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::workshop::{Workshop, files_below};

/// A pipeline of a few seconds with two models, a vote, an export, a verification and a scored file.
const SMALL: &str = r#"
version: 1
name: small
seed: 3
stages:
  raw:      { fetch: { dataset: garments, dir: data, garments: { train: 360, test: 120 } } }
  merged:   { merge: { data: raw, train: "Fashion Train Data {1..6}.csv", test: "Fashion Test Data.csv" } }
  parts:    { split: { data: merged, validation: 0.25 } }
  varied:   { augment: { data: parts, flip: horizontal, shift: 1 } }
  first:    { train: { data: varied, model: { mlp: { units: [32] } }, epochs: 3, early_stopping: { patience: 3 } } }
  second:   { train: { data: varied, model: { basic: { filters: [4, 8], units: 16 } }, epochs: 2, precision: bf16, views: { flip: true, shift: 1 } } }
  compared: { compare: { models: [first, second], data: parts, robustness: { perturbations: [noise], severities: [3], samples: 40 } } }
  vote:     { ensemble: { models: [first, second], weights: validation, temperature: validation, data: parts } }
  exported: { export: { models: [first, second, vote], int8: { data: parts, images: 100 } } }
  verified: { verify: { export: exported, data: parts, tract_images: 100, bf16: { agreement: 0.9, accuracy_loss: 0.1 }, int8: { agreement: 0.9, accuracy_loss: 0.1 } } }
  scored:   { score: { model: exported/vote, after: verified, data: raw, input: "Fashion Test Data.csv" } }
  quick:    { score: { model: exported/vote, after: verified, data: raw, input: "Fashion Test Data.csv", output: quick.csv, precision: bf16 } }
  bytes:    { score: { model: exported/vote, after: verified, data: raw, input: "Fashion Test Data.csv", output: bytes.csv, precision: int8 } }
  page:     { report: { of: [compared, scored], side_by_side: [{ first: first, second: vote }] } }
"#;

fn small() -> Workshop {
    Workshop::with(SMALL)
}

/// The output digest of every stage, from the lock file.
fn digests(workshop: &Workshop) -> BTreeMap<String, String> {
    let lock: serde_json::Value = serde_json::from_str(&workshop.read("artifacts/pipeline.lock")).expect("the lock file is JSON");
    let stages = lock["stages"].as_object().expect("the lock file names stages");
    stages.iter().map(|(name, record)| (name.clone(), record["output"].as_str().expect("an output digest").to_owned())).collect()
}

#[test]
fn one_command_makes_everything_and_a_second_run_makes_nothing() {
    let workshop = small();
    workshop.pipeline(&["run", "pipeline.yaml"]).expect(0).says("synthetic");

    for model in ["first", "second", "vote"] {
        for file in ["model.onnx", "metrics.json", "confusion_matrix.csv", "classification_report.txt", "MODEL_CARD.md"] {
            assert!(workshop.path(&format!("artifacts/{model}/{file}")).is_file(), "{model}/{file}");
        }
        let metrics: serde_json::Value =
            serde_json::from_str(&workshop.read(&format!("artifacts/{model}/metrics.json"))).unwrap();
        assert_eq!(metrics["model"], model);
        assert_eq!(metrics["dataset"]["synthetic"], true);
        for path in ["/parameters", "/flops_per_image", "/train/epochs", "/train/seconds", "/train/images_per_second"] {
            assert!(metrics.pointer(path).is_some_and(serde_json::Value::is_number), "{path} of {model}");
        }
        for path in ["/test/accuracy", "/test/loss", "/test/macro_f1"] {
            assert!(metrics.pointer(path).is_some_and(serde_json::Value::is_number), "{path} of {model}");
        }
        assert_eq!(metrics["test"]["per_class"].as_array().map(Vec::len), Some(10));
    }
    let metrics = |model: &str| -> serde_json::Value {
        serde_json::from_str(&workshop.read(&format!("artifacts/{model}/metrics.json"))).unwrap()
    };
    assert_eq!((&metrics("second")["views"]["count"], &metrics("first")["views"]), (&6.into(), &serde_json::Value::Null));
    assert!(workshop.read("artifacts/second/MODEL_CARD.md").contains("| Mean over views of an image | 6 |"));
    let keeps_an_epoch =
        |model: &str| workshop.read(&format!("artifacts/{model}/MODEL_CARD.md")).contains("| Weights kept | of epoch ");
    assert!(keeps_an_epoch("first") && !keeps_an_epoch("second"), "only early stopping goes back to an epoch");
    let vote = metrics("vote");
    let losses =
        ["/validation/loss", "/ensemble/temperature/before/validation/loss"].map(|path| vote.pointer(path).unwrap().as_f64());
    assert!(losses[0] <= losses[1], "the temperature was fitted for the least loss: {losses:?}");
    assert!(workshop.read("artifacts/vote/MODEL_CARD.md").contains("| Temperature of the vote |"));
    let verified: serde_json::Value = serde_json::from_str(&workshop.read("artifacts/verified.json")).unwrap();
    for model in verified["models"].as_array().unwrap() {
        let rows = |path: &str| model.pointer(path).and_then(serde_json::Value::as_u64);
        assert_eq!(rows("/kernels/rows"), Some(100), "the kernels cover {}", model["model"]);
        assert_eq!(rows("/against_burn/rows"), Some(120), "Burn runs all images of {}", model["model"]);
        for precision in ["bf16", "int8"] {
            assert_eq!(rows(&format!("/{precision}/against_fp32/rows")), Some(120), "{precision} of {}", model["model"]);
        }
    }
    for (file, precision) in [("predictions", "fp32"), ("quick", "bf16"), ("bytes", "int8")] {
        let manifest: serde_json::Value =
            serde_json::from_str(&workshop.read(&format!("artifacts/{file}.csv.manifest.json"))).unwrap();
        assert_eq!((&manifest["options"]["engine"], &manifest["options"]["precision"]), (&"kernels".into(), &precision.into()));
    }
    for file in [
        "first/history.csv",
        "first/weights.safetensors",
        "labels.txt",
        "SHA256SUMS",
        "predictions.csv",
        "predictions.csv.manifest.json",
    ] {
        assert!(workshop.path(&format!("artifacts/{file}")).is_file(), "{file}");
    }
    assert_eq!(workshop.read("artifacts/predictions.csv").lines().count(), 121);
    assert!(workshop.read("artifacts/page.html").contains("ynthetic"), "the report must say that the data is synthetic");
    assert!(workshop.read("artifacts/page.html").contains("Reliability of vote without its temperature"));
    assert!(workshop.read("artifacts/first/MODEL_CARD.md").contains("Synthetic"));

    let before = digests(&workshop);
    let start = Instant::now();
    workshop.pipeline(&["run", "pipeline.yaml"]).expect(0).says("nothing to do");
    assert!(start.elapsed() < Duration::from_secs(20), "looking must be much cheaper than running");
    assert_eq!(digests(&workshop), before);
    workshop.pipeline(&["plan", "pipeline.yaml", "--exit-code"]).expect(0);

    // One parameter of one model: it and what depends on it, nothing else, and the plan says so beforehand.
    let changed = ["-S", "second.epochs=1"];
    let plan = workshop.pipeline(&[&["plan", "pipeline.yaml", "--exit-code"], &changed[..]].concat()).expect(10);
    assert!(plan.stdout.contains("epochs"), "{}", plan.stdout);
    workshop.pipeline(&[&["run", "pipeline.yaml"], &changed[..]].concat()).expect(0);
    let after = digests(&workshop);
    let differ: Vec<&str> =
        before.iter().filter(|(name, digest)| after[*name] != **digest).map(|(name, _)| name.as_str()).collect();
    assert_eq!(differ, ["bytes", "compared", "exported", "page", "quick", "scored", "second", "verified", "vote"]);
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_many_jobs_and_wherever() {
    let (one, two) = (small(), small());
    one.pipeline(&["run", "pipeline.yaml", "-j", "1", "--until", "verified"]).expect(0);
    two.pipeline(&["run", "pipeline.yaml", "-j", "2", "--until", "verified"]).expect(0);
    assert_eq!(digests(&one), digests(&two));
    assert_eq!(
        std::fs::read(one.path("artifacts/vote/model.onnx")).unwrap(),
        std::fs::read(two.path("artifacts/vote/model.onnx")).unwrap()
    );
    let other = small();
    other.pipeline(&["run", "pipeline.yaml", "--until", "first", "-S", "seed=4"]).expect(0);
    assert_ne!(digests(&other)["first"], digests(&one)["first"]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_training_goes_on_and_ends_in_the_same_bytes() {
    let longer = ["-S", "second.epochs=300", "--until", "second"];
    let whole = small();
    whole.pipeline(&[&["run", "pipeline.yaml"], &longer[..]].concat()).expect(0);

    let broken = small();
    for epoch in [20, 110, 200] {
        let code = interrupt_at(&broken, &longer, &format!("epoch {epoch}/300"));
        assert_eq!(code, Some(130), "interrupted at epoch {epoch}");
    }
    broken.pipeline(&[&["run", "pipeline.yaml"], &longer[..]].concat()).expect(0);
    assert_eq!(digests(&broken), digests(&whole));
}

/// Runs the pipeline until it says `line`, then asks it to stop as Ctrl-C does; its exit code.
#[cfg(unix)]
fn interrupt_at(workshop: &Workshop, arguments: &[&str], line: &str) -> Option<i32> {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let mut command = workshop.command(&[&["run", "pipeline.yaml", "--progress", "plain"], arguments].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|said| said.contains(line)), "the run ended without saying `{line}`");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    lines.for_each(drop); // an unread pipe would hold the program up
    child.wait().unwrap().code()
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn memory_does_not_grow_with_epochs() {
    // Megabytes at the peak of a run that trains a convolutional network, in both precisions, with averages and checkpoints.
    let peak = |epochs: usize| -> Option<f64> {
        let train = |precision: &str| {
            format!(
                "model: {{ advanced: {{ filters: [8, 8], units: 16 }} }}, epochs: {epochs}, precision: {precision}, average: {{ ema: {{}} }}"
            )
        };
        let workshop = Workshop::with(&format!(
            r#"
version: 1
name: memory
stages:
  raw:    {{ fetch: {{ dataset: garments, dir: data, garments: {{ train: 480, test: 60 }} }} }}
  merged: {{ merge: {{ data: raw, train: "Fashion Train Data {{1..6}}.csv", test: "Fashion Test Data.csv" }} }}
  parts:  {{ split: {{ data: merged, validation: 0.25 }} }}
  single: {{ train: {{ data: parts, {} }} }}
  half:   {{ train: {{ data: parts, {} }} }}
"#,
            train("fp32"),
            train("bf16"),
        ));
        let text = workshop.pipeline(&["run", "pipeline.yaml"]).expect(0).text();
        let (_, after) = text.split_once("peak memory ")?;
        let (figure, unit) = after.split_once(' ')?;
        assert!(unit.starts_with("MB"), "{text}");
        figure.parse().ok()
    };
    match (peak(2), peak(16)) {
        (Some(few), Some(many)) => assert!(many < 1.1 * few + 8.0, "{few} MB after 2 epochs, {many} MB after 16"),
        _ => eprintln!("skipped: this system does not tell a process its peak memory"),
    }
}

#[test]
fn a_model_can_start_from_the_weights_of_another() {
    let workshop = small();
    let more = "  again:    { train: { data: varied, model: { mlp: { units: [32] } }, start_from: first, epochs: 1 } }\n";
    let options = "data: varied, model: { mlp: { units: [32] } }, teacher: again, start_from: first, epochs: 1, precision: bf16";
    workshop.write("pipeline.yaml", format!("{SMALL}{more}  student:  {{ distill: {{ {options} }} }}\n"));
    let run =
        |stage: &str| workshop.pipeline(&["run", "--until", stage]).expect(0).says("4 of 4 parameters begin with given weights");
    run("again");
    #[cfg(target_arch = "x86_64")]
    let has_half = is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let has_half = false;
    run("student").says(if has_half { "`again` answers in bf16" } else { "`again` answers in fp32" });
    let loss = |model: &str| -> f64 {
        let history = workshop.read(&format!("artifacts/{model}/history.csv"));
        history.lines().nth(1).and_then(|epoch| epoch.split(',').nth(1)).unwrap().parse().unwrap()
    };
    assert!(loss("again") < loss("first"), "the first epoch must profit from what was learned before");
    assert!(loss("student") < loss("first"), "a student too");
}

#[test]
fn more_seeds_retrain_nothing_and_are_meant_by_the_name_of_the_first() {
    let workshop = small();
    workshop.pipeline(&["run", "--until", "compared"]).expect(0);
    let before = digests(&workshop);

    let three = ["-S", "first.seeds=3", "-S", "second.epochs=1"];
    let with = |arguments: &[&str]| workshop.pipeline(&[arguments, &three[..]].concat());
    let planned = with(&["plan"]).expect(0).stdout;
    let fate = |stage: &str| planned.lines().find(|line| line.split_whitespace().next() == Some(stage)).unwrap_or_default();
    assert!(fate("first").contains("cached"), "{planned}");
    assert!(fate("first-2").contains("has not run yet") && fate("first-3").contains("has not run yet"), "{planned}");
    assert!(with(&["dag"]).expect(0).stdout.contains("first-3"));
    with(&["explain", "first-2"]).expect(0).says("first, first-2, first-3");

    with(&["run", "-s", "first"]).expect(0).says("ran 2 stages, 1 cached");
    with(&["run", "--downstream", "first", "-n"]).expect(2).says("second"); // which is not made yet in this form
    with(&["run", "--until", "compared"]).expect(0).says("over seeds");
    let after = digests(&workshop);
    assert_eq!(after["first"], before["first"]);
    assert_ne!(after["first"], after["first-2"]);
    assert_ne!(after["first-2"], after["first-3"]);

    let compared: serde_json::Value = serde_json::from_str(&workshop.read("artifacts/compared.json")).unwrap();
    assert_eq!(compared["ranking"].as_array().map(Vec::len), Some(4));
    let recipe = &compared["recipes"][0];
    assert_eq!(recipe["models"], serde_json::json!(["first", "first-2", "first-3"]));
    assert_eq!((&recipe["recipe"], &recipe["test_accuracy"]["runs"]), (&"first".into(), &3.into()));
    workshop.pipeline(&["metrics"]).expect(0).says("over seeds");

    with(&["run", "--until", "vote"]).expect(0);
    let vote: serde_json::Value = serde_json::from_str(&workshop.read("artifacts/vote/metrics.json")).unwrap();
    let weights: Vec<f64> =
        vote["ensemble"]["members"].as_array().unwrap().iter().map(|member| member["weight"].as_f64().unwrap()).collect();
    assert!(weights[0] == weights[1] && weights[1] == weights[2], "seeds count the same: {weights:?}");
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{weights:?}");
    workshop.pipeline(&["plan", "-S", "first-2.epochs=1"]).expect(3).says("there is no stage `first-2`");
    with(&["plan", "-S", "first-2.epochs=1"]).expect(3).says("write `first.epochs=…`, which changes them all");
    with(&["plan", "-S", "first.epochs=1"]).expect(0);
}

#[cfg(unix)]
#[test]
fn a_student_is_a_model_like_any_other_and_follows_its_teacher() {
    let student = r#"
  student:  { distill: { data: varied, model: { mlp: { units: [8] } }, teacher: vote, epochs: 4, variants: 2, temperature: 2, labels: 0.1 } }
  better:   { compare: { models: [vote, student], data: parts, robustness: { perturbations: [] } } }
  sheet:    { report: { of: [better, verified] } }
"#;
    let text = SMALL.replace("export: { models: [first, second, vote] }", "export: { models: [first, second, vote, student] }");
    let text = format!("{text}{student}");
    let workshop = Workshop::with(&text);
    workshop.pipeline(&["run", "--until", "sheet"]).expect(0);
    let metrics: serde_json::Value = serde_json::from_str(&workshop.read("artifacts/student/metrics.json")).unwrap();
    assert_eq!(metrics["teacher"]["name"], "vote");
    for path in ["/teacher/flops_per_image", "/teacher/test_accuracy", "/test/accuracy"] {
        assert!(metrics.pointer(path).is_some_and(serde_json::Value::is_number), "{path}");
    }
    assert!(workshop.read("artifacts/sheet.html").contains("Learned from vote: accuracy"));
    assert!(workshop.read("artifacts/student/MODEL_CARD.md").contains("Learned from vote"));

    // Another teacher, another student.
    let planned = workshop.pipeline(&["plan", "-S", "second.epochs=1"]).expect(0).stdout;
    let student = planned.lines().find(|line| line.starts_with("student")).unwrap();
    assert!(student.contains("may run") && student.contains("input `vote` will change"), "{planned}");

    // Interrupted in its training, it goes on, asks the teacher nothing again, and ends in the same bytes.
    let longer = ["-S", "student.epochs=600", "-S", "student.labels=0.5", "--until", "student"];
    let whole = Workshop::with(&text);
    whole.pipeline(&[&["run", "pipeline.yaml"], &longer[..]].concat()).expect(0);
    assert_eq!(interrupt_at(&workshop, &longer, "epoch 200/600"), Some(130));
    workshop.pipeline(&[&["run", "pipeline.yaml"], &longer[..]].concat()).expect(0);
    assert_eq!(digests(&workshop)["student"], digests(&whole)["student"]);
}

#[test]
fn exit_codes_are_those_published() {
    let workshop = small();
    workshop.pipeline(&["run", "--no-such-flag"]).expect(2);
    workshop.pipeline(&["run", "missing.yaml"]).expect(2);
    workshop.write("broken.yaml", "version: 1\nstages:\n  a: { fetch: { dataset: fashion-mnst } }\n");
    workshop.pipeline(&["run", "broken.yaml"]).expect(3).says("broken.yaml:3:");
    workshop.pipeline(&["plan", "pipeline.yaml", "--exit-code"]).expect(10);

    workshop
        .write("no-data.yaml", "version: 1\nstages:\n  a: { fetch: { dataset: fashion-mnist, dir: nowhere, offline: true } }\n");
    workshop.pipeline(&["run", "no-data.yaml"]).expect(1).says("nowhere");

    // A gate that cannot be met.
    let gate = ["run", "pipeline.yaml", "--until", "verified", "-S", "verified.gate={accuracy: 1.0, model: first}"];
    workshop.pipeline(&gate).expect(4).says("accuracy").says("must be ≥ 1");

    // A damaged object is named, set aside and computed again.
    let objects = workshop.path("artifacts/.cache/objects");
    let victim = std::fs::read_dir(&objects)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find_map(|object| files_below(&object).into_iter().find(|path| path.ends_with("train.safetensors")))
        .expect("a cached data set");
    let mut bytes = std::fs::read(&victim).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::remove_file(&victim).unwrap();
    std::fs::write(&victim, bytes).unwrap();
    workshop.pipeline(&["run", "pipeline.yaml", "--until", "first"]).expect(0).says("quarantine");
}
