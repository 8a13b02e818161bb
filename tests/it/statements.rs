//! What artifacts say of a model, counted again from the files they speak of.

use std::collections::BTreeMap;

use atelier::seed::Seed;
use serde_json::Value;

use crate::workshop::Workshop;

/// Models of every sort: averaged, refit, left at its best epoch, taught, and a vote of which one member has no weight.
const EVERY_SORT: &str = r#"
version: 1
name: statements
seed: 42
stages:
  raw:      { fetch: { dataset: garments, dir: data, garments: { train: 360, test: 120 } } }
  merged:   { merge: { data: raw, train: "Fashion Train Data {1..6}.csv", test: "Fashion Test Data.csv" } }
  parts:    { split: { data: merged, validation: 0.25 } }
  mean:     { train: { data: parts, model: { mlp: { units: [16] } }, epochs: 3, average: { ema: {} }, views: { flip: true }, seeds: 2 } }
  again:    { train: { data: parts, model: { mlp: { units: [24] } }, epochs: 12, optimizer: { adamw: { learning_rate: 0.05 } }, early_stopping: { patience: 2 }, warm_up: 10, schedule: cosine, refit: true } }
  best:     { train: { data: parts, model: { basic: { filters: [4, 8], units: 16 } }, epochs: 3, precision: bf16, early_stopping: {} } }
  vote:     { ensemble: { models: [mean-1, mean-2, best], weights: [1, 0, 2], temperature: 1.5, data: parts } }
  pupil:    { distill: { data: parts, model: { mlp: { units: [8] } }, teacher: vote, epochs: 2 } }
  exported: { export: { models: [mean, again, best, vote, pupil] } }
  verified: { verify: { export: exported, data: parts } }
  scored:   { score: { model: exported/vote, after: verified, data: raw, input: "Fashion Test Data.csv" } }
  report:   { report: { of: [verified, scored] } }
"#;

/// The rows of two cells in a model card.
fn rows(card: &str) -> BTreeMap<String, String> {
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('\\', "")).collect::<Vec<_>>();
    let rows = card.lines().filter(|line| line.starts_with("| ")).map(cells);
    rows.filter_map(|cells| <[String; 2]>::try_from(cells).ok()).map(|[name, value]| (name, value)).collect()
}

/// The count at the beginning of a cell.
fn count(text: &str) -> u64 {
    text.replace(',', "").split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("`{text}` is no count"))
}

/// The numbers in a file of weights.
fn numbers(bytes: &[u8]) -> u64 {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    file.tensors().iter().map(|(_, tensor)| tensor.shape().iter().product::<usize>() as u64).sum()
}

#[test]
fn every_statement_about_a_model_is_that_of_its_files() {
    let workshop = Workshop::with(EVERY_SORT);
    workshop.pipeline(&["run"]).expect(0);
    let json = |path: &str| -> Value { serde_json::from_str(&workshop.read(path)).unwrap() };
    let lock = json("artifacts/pipeline.lock");
    let bytes = |path: &str| std::fs::read(workshop.path(path)).unwrap();
    let single = ["mean", "mean-2", "again", "best", "pupil"];
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;

    for model in single.into_iter().chain(["vote"]) {
        let metrics = json(&format!("artifacts/{model}/metrics.json"));
        let card = rows(&workshop.read(&format!("artifacts/{model}/MODEL_CARD.md")));
        let number = |path: &str| metrics.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} of {model}"));
        // From what it was made.
        assert_eq!(card["Seed"], "42", "{model}");
        assert_eq!(metrics["seed"]["pipeline"], 42, "{model}");
        let own = card.get(&format!("Seed of `{model}`, derived from it"));
        assert_eq!(own.is_some(), model != "vote");
        assert!(own.is_none_or(|own| *own == Seed::new(42).child(model).value().to_string()), "{own:?}");
        assert_eq!(Value::from(card["Stage key"].clone()), lock["stages"][model]["key"], "{model}");
        assert_eq!(Value::from(card["Data digest"].clone()), metrics["dataset"]["digest"]);
        // Its size.
        assert_eq!(count(&card["Parameters"]), number("/parameters"), "{model}");
        // Its figures.
        let matrix = workshop.read(&format!("artifacts/{model}/confusion_matrix.csv"));
        let matrix: Vec<Vec<u64>> =
            matrix.lines().skip(1).map(|row| row.split(',').skip(1).map(|cell| cell.parse().unwrap()).collect()).collect();
        let right: u64 = matrix.iter().enumerate().map(|(class, row)| row[class]).sum();
        let all: u64 = matrix.iter().flatten().sum();
        let accuracy = metrics.pointer("/test/accuracy").and_then(Value::as_f64).unwrap();
        assert!(all == 120 && close(accuracy, right as f64 / all as f64), "{model}: {right} of {all}, not {accuracy}");
        assert!(card["Accuracy"].starts_with(&format!("{:.2}", accuracy * 100.0)), "{}", card["Accuracy"]);
    }

    for model in single {
        let metrics = json(&format!("artifacts/{model}/metrics.json"));
        let card = rows(&workshop.read(&format!("artifacts/{model}/MODEL_CARD.md")));
        assert_eq!(count(&card["Parameters"]), numbers(&bytes(&format!("artifacts/{model}/weights.safetensors"))), "{model}");
        let epochs = workshop.read(&format!("artifacts/{model}/history.csv")).lines().count() as u64 - 1;
        assert_eq!((&metrics["train"]["epochs"], count(&card["Epochs"])), (&epochs.into(), epochs), "{model}");
        let asked = metrics["train"]["settings"]["epochs"].as_u64().unwrap();
        assert_eq!(card.get("Epochs asked for").map(|text| count(text)), (asked != epochs).then_some(asked), "{model}");
        let images = if model == "again" { 360 } else { 270 };
        assert_eq!((&metrics["train"]["images"], count(&card["Images"])), (&images.into(), images), "{model}");
        let kept = &card["Weights kept"];
        match metrics["train"]["chosen"].as_str() {
            Some("best") => assert_eq!(*kept, format!("of epoch {}", metrics["train"]["best_epoch"])),
            Some("average") => assert_eq!(kept, "the average over the steps"),
            _ => assert_eq!(kept, "those after the last step"),
        }
    }
    // bf16 where the machine has it; metrics and card say in what it was computed, and by which instructions.
    let best = json("artifacts/best/metrics.json");
    let (precision, instructions) = (&best["train"]["precision"], best["train"]["instructions"].as_str().unwrap());
    assert_eq!(precision, &best["train"]["settings"]["precision"]);
    let card = rows(&workshop.read("artifacts/best/MODEL_CARD.md"));
    assert_eq!(card["Computed in"], format!("{} ({instructions})", precision.as_str().unwrap()));

    // The refit went as far as the first training was best, at its learning rates, and says both.
    let again = json("artifacts/again/metrics.json");
    let first = &again["train"]["first"];
    assert_eq!(
        (&first["images"], &first["best_epoch"], &first["stopped_early"]),
        (&270.into(), &again["train"]["epochs"], &true.into())
    );
    let text = &rows(&workshop.read("artifacts/again/MODEL_CARD.md"))["Trained twice"];
    assert!(
        text.starts_with(&format!("on 270 images for {} epochs, of which {} was best", first["epochs"], first["best_epoch"])),
        "{text}"
    );
    assert!(first["best_epoch"].as_u64() < Some(10), "the best epoch lies in the warm-up: {first}");

    // The vote is what the file holds: a member without weight is no part of it.
    let (vote, mean) = (json("artifacts/vote/metrics.json"), json("artifacts/mean/metrics.json"));
    for path in ["/parameters", "/flops_per_image", "/train/epochs"] {
        let sum = mean.pointer(path).unwrap().as_u64().unwrap() + best.pointer(path).unwrap().as_u64().unwrap();
        assert_eq!(vote.pointer(path).unwrap().as_u64(), Some(sum), "{path}");
    }
    let card = workshop.read("artifacts/vote/MODEL_CARD.md");
    assert!(card.contains("soft vote of 2, given weights; mean-2 left out, with a weight of 0"), "{card}");
    assert_eq!(rows(&card)["Weighted mean of the probabilities of"], "mean × 0.3333, best × 0.6667");
    let mentions = |model: &str, text: &str| {
        bytes(&format!("artifacts/{model}/model.onnx")).windows(text.len()).any(|part| part == text.as_bytes())
    };
    assert!(mentions("vote", "mean/") && mentions("vote", "best/") && !mentions("vote", "mean-2/"));
    let size = |model: &str| bytes(&format!("artifacts/{model}/model.onnx")).len() as u64;
    assert!(size("vote") < 4 * vote["parameters"].as_u64().unwrap() + 40_000, "{}", size("vote"));
    // So does its pupil, and what is printed.
    let pupil = json("artifacts/pupil/metrics.json");
    for figure in ["parameters", "flops_per_image"] {
        assert_eq!(pupil["teacher"][figure], vote[figure], "{figure}");
    }
    assert_eq!(pupil["teacher"]["test_accuracy"], vote["test"]["accuracy"]);
    let table = workshop.pipeline(&["metrics"]).expect(0).stdout;
    let printed = table.lines().find(|line| line.starts_with("vote ")).unwrap().replace(',', "");
    let parameters = vote["parameters"].to_string();
    assert!(printed.split_whitespace().any(|cell| cell == parameters), "{table}");
    // The scored file says what the vote says.
    let manifest = json("artifacts/predictions.csv.manifest.json");
    assert!(
        close(manifest["accuracy"].as_f64().unwrap(), vote["test"]["accuracy"].as_f64().unwrap()),
        "{}",
        manifest["accuracy"]
    );
    assert!(
        workshop.read("artifacts/report.html").contains("<dd>42</dd>")
            || workshop.read("artifacts/report.html").contains("Seed 42")
    );
}

#[test]
fn figures_of_the_validation_part_are_called_so() {
    let workshop = Workshop::with(
        r#"
version: 1
stages:
  raw:    { fetch: { dataset: garments, dir: data, garments: { train: 240, test: 60 } } }
  merged: { merge: { data: raw, train: "Fashion Train Data {1..6}.csv" } }
  parts:  { split: { data: merged, validation: 0.25 } }
  model:  { train: { data: parts, model: { mlp: { units: [8] } }, epochs: 1 } }
  report: { report: { of: [model] } }
"#,
    );
    workshop.pipeline(&["run"]).expect(0);
    let card = workshop.read("artifacts/model/MODEL_CARD.md");
    assert!(card.contains("## Metrics on the validation part") && !card.contains("on the test part"), "{card}");
    let page = workshop.read("artifacts/report.html");
    assert!(page.contains("Best validation accuracy") && page.contains("On the validation part."));
    assert!(!page.contains("test accuracy") && !page.contains("Test accuracy") && !page.contains("On the test part"));
}
