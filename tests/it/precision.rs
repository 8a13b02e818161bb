//! `precision: auto`: what a machine computes in is what results are known by, in training and in scoring.

use serde_json::Value;

use crate::workshop::Workshop;

const AUTO: &str = r#"
version: 1
name: fastest
seed: 3
stages:
  raw:      { fetch: { dataset: garments, dir: data, garments: { train: 120, test: 60 } } }
  merged:   { merge: { data: raw, train: "Fashion Train Data {1..6}.csv", test: "Fashion Test Data.csv" } }
  net:      { train: { data: merged, model: { basic: { filters: [4, 8], units: 16 } }, epochs: 1, precision: auto } }
  exported: { export: { models: [net], int8: { data: merged, images: 60 } } }
  verified: { verify: { export: exported, data: merged, bf16: { agreement: 0.5, accuracy_loss: 1.0 }, int8: { agreement: 0.5, accuracy_loss: 1.0 } } }
  scored:   { score: { model: exported/net, after: verified, data: raw, input: "Fashion Test Data.csv", precision: auto } }
"#;

fn json(workshop: &Workshop, name: &str) -> Value {
    serde_json::from_str(&workshop.read(name)).expect("the file is JSON")
}

#[test]
fn auto_is_known_by_what_it_is_on_the_machine() {
    let workshop = Workshop::with(AUTO);
    workshop.pipeline(&["run", "--progress", "plain"]).expect(0).says("`precision: auto` is");
    let metrics = json(&workshop, "artifacts/net/metrics.json");
    let trained = metrics["train"]["precision"].as_str().unwrap();
    let manifest = json(&workshop, "artifacts/predictions.csv.manifest.json");
    let scored = manifest["options"]["precision"].as_str().unwrap();
    assert!(["fp32", "bf16"].contains(&trained) && ["fp32", "bf16", "int8"].contains(&scored), "{trained} {scored}");
    assert!(
        !workshop.read("artifacts/pipeline.lock").contains(r#""precision": "auto""#),
        "the lock file names what was computed in"
    );

    // The same written out is the same work; something else is another, and says so.
    let stated = [format!("net.precision={trained}"), format!("scored.precision={scored}")];
    workshop.pipeline(&["run", "-S", &stated[0], "-S", &stated[1]]).expect(0).says("nothing to do");
    if trained == "fp32" && cfg!(target_arch = "x86_64") && is_x86_feature_detected!("avx512bf16") {
        workshop.pipeline(&["plan", "-S", "net.precision=bf16"]).expect(0).says("precision");
    }
}

#[test]
fn the_command_line_takes_a_verification() {
    let workshop = Workshop::with(AUTO);
    workshop.pipeline(&["run"]).expect(0);
    let score = |model: &str, more: &[&str]| {
        let input = "data/garments/Fashion Test Data.csv";
        let arguments = ["score", "-m", model, "-i", input, "-o", "x.csv", "--precision", "auto"];
        workshop.pipeline(&[&arguments, more].concat())
    };
    let manifest = json(&workshop, "artifacts/predictions.csv.manifest.json");
    score("artifacts/net/model.onnx", &["--verified", "artifacts/verified.json"]).expect(0);
    assert_eq!(json(&workshop, "x.csv.manifest.json")["options"]["precision"], manifest["options"]["precision"]);
    score("artifacts/net/model.onnx", &[]).expect(2).says("--verified");
    score("artifacts/net/model.onnx", &["--verified", "artifacts/net/metrics.json"]).expect(2).says("no verification");

    // A file that this verification has not seen, though it is called the same.
    let before = workshop.read("artifacts/verified.json");
    workshop.write("before.json", before);
    workshop.pipeline(&["run", "-S", "seed=4"]).expect(0);
    score("artifacts/net/model.onnx", &["--verified", "before.json"]).expect(2).says("says nothing of this model");
}

#[test]
fn auto_needs_something_to_choose_from() {
    let workshop = Workshop::with(&AUTO.replace("after: verified, ", ""));
    workshop.pipeline(&["plan"]).expect(3).says("`auto` chooses among what a verification has measured, and none has");
    let search = r#"tuned: { tune: { data: merged, model: basic, search: { precision: { choice: [auto, fp32] } } } }"#;
    let workshop = Workshop::with(&format!("{AUTO}  {search}\n"));
    workshop.pipeline(&["plan"]).expect(3).says("not a third choice");
}
