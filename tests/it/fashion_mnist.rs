//! The real data. These tests need the four published files in the folder that `FASHION_MNIST_DIR` names, and say so where
//! they are missing.

use crate::workshop::Workshop;

const RAW: &str = r#"
version: 1
stages:
  raw:    { fetch: { dataset: fashion-mnist, dir: data, otherwise: garments, offline: true, garments: { train: 120, test: 40 } } }
  merged: { merge: { data: raw, train: "Fashion Train Data {1..6}.csv", test: "Fashion Test Data.csv" } }
"#;

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn published() -> Option<String> {
    let folder = std::env::var("FASHION_MNIST_DIR").ok().filter(|folder| !folder.is_empty());
    if folder.is_none() {
        eprintln!("skipped: FASHION_MNIST_DIR names no folder with the published files");
    }
    folder
}

#[test]
fn real_data_takes_the_place_of_synthetic_data_as_soon_as_it_is_at_hand() {
    let Some(folder) = published() else { return };
    let workshop = Workshop::with(RAW);
    workshop.pipeline(&["run"]).expect(0).says("SYNTHETIC").says("120 training and 40 test images");
    workshop.pipeline(&["plan", "--exit-code"]).expect(0);

    workshop.pipeline(&["plan", "--exit-code", "--data-dir", &folder]).expect(10).says("at hand now");
    workshop.pipeline(&["run", "--data-dir", &folder]).expect(0).says("60000 training and 10000 test images");
    // The CSV files lie in `data` now.
    workshop.pipeline(&["plan", "--exit-code"]).expect(0);
    let lines = workshop.read("data/Fashion Train Data 6.csv").lines().count();
    assert_eq!(lines, 10_001);
}

#[test]
fn a_dense_network_learns_real_garments_in_an_epoch() {
    let Some(folder) = published() else { return };
    let text = format!(
        "{RAW}  parts:  {{ split: {{ data: merged, validation: 0.2 }} }}\n  dense:  {{ train: {{ data: parts, model: mlp, epochs: 1 }} }}\n"
    );
    let workshop = Workshop::with(&text);
    workshop.pipeline(&["run", "--data-dir", &folder]).expect(0);
    let metrics: serde_json::Value = serde_json::from_str(&workshop.read("artifacts/dense/metrics.json")).unwrap();
    let accuracy = metrics["test"]["accuracy"].as_f64().unwrap();
    assert!((0.78..0.95).contains(&accuracy), "{accuracy}");
    assert_eq!(metrics["dataset"]["synthetic"], false);
    assert_eq!(metrics["test"]["images"], 10_000);
}
