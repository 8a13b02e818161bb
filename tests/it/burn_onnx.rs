//! The way back: `burn-onnx`, Burn's own importer, turns an exported file into Burn code, and that code gives what tract
//! gives.
//!
//! `burn_onnx/generated.rs` is the importer's output for the ensemble below. A test makes it again and compares, so it
//! is always that of the present files; after a change that is meant, run the tests with `UPDATE_GENERATED=1`.

#[rustfmt::skip]
#[allow(clippy::all, unused_extern_crates)]
mod generated;

use std::path::{Path, PathBuf};

use atelier::data::ImageShape;
use atelier::digest::Digest;
use atelier::infer::{Batch, Loaded, compare};
use atelier::nn::{Architecture, Normalisation, ParameterKind, Views, WeightTensor, Weights};
use atelier::onnx::{Member, Metadata, encode, ensemble};
use atelier::seed::Seed;
use atelier::units::Temperature;
use burn::tensor::{Bytes, Device, Tensor, TensorData};
use burn_onnx::{LoadStrategy, ModelGen};
use rand::RngExt;

/// Two small networks that hold every kind of layer.
const LAYERS: [&str; 2] = [
    r#"[{"batch_norm": {}}, {"conv": {"filters": 3, "bias": false}}, {"batch_norm": {}}, {"gelu": {}}, {"dropout": {"rate": 0.5}},
        {"residual": {"layers": [{"conv": {"filters": 4, "stride": 2}}, {"relu": {}}]}}, {"max_pool": {}}, {"global_avg_pool": {}},
        {"dense": {"units": 3}}]"#,
    r#"[{"avg_pool": {}}, {"conv": {"filters": 2, "kernel": 2, "padding": "valid"}}, {"spatial_dropout": {"rate": 0.1}},
        {"residual": {"layers": [{"relu": {}}]}}, {"global_max_pool": {}}, {"dense": {"units": 3, "bias": false}}]"#,
];
const SHAPE: ImageShape = ImageShape { channels: 1, height: 8, width: 8 };

#[test]
fn burn_reads_an_exported_file_and_gives_the_same_probabilities() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = exported();
    std::fs::write(dir.path().join("ensemble.onnx"), &bytes).unwrap();
    let (code, weights) = import(dir.path());

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/burn_onnx/generated.rs");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &code).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    assert!(code == known, "the importer's code is another; see the head of this file. It is now:\n{code}");

    let mut rng = Seed::new(5).rng();
    let pixels: Vec<u8> = (0..7 * SHAPE.pixels()).map(|_| rng.random()).collect();
    let tract = Loaded::from_bytes(&bytes).unwrap().optimise(Batch::Free).unwrap().predict(&pixels).unwrap();

    let device = Device::default();
    let model = generated::Model::from_bytes(Bytes::from_bytes_vec(weights), &device);
    let values: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel)).collect();
    let images = Tensor::<4>::from_data(TensorData::new(values, [7, SHAPE.channels, SHAPE.height, SHAPE.width]), &device);
    let (labels, probabilities) = model.forward(images);
    let probabilities = ndarray::Array2::from_shape_vec((7, 3), probabilities.into_data().try_to_vec::<f32>().unwrap()).unwrap();

    let agreement = compare(&probabilities, &tract.probabilities).unwrap();
    assert!(agreement.largest_difference < 1e-6, "{agreement:?}");
    let labels: Vec<u8> = labels.into_data().try_to_vec::<i64>().unwrap().into_iter().map(|label| label as u8).collect();
    assert_eq!(labels, tract.labels);
}

/// The importer's code and weights for the file in `dir`.
fn import(dir: &Path) -> (String, Vec<u8>) {
    let path = |name: &str| -> PathBuf { dir.join(name) };
    ModelGen::default() // not `new`, which logs to standard output
        .input(path("ensemble.onnx").to_str().unwrap())
        .out_dir(dir.to_str().unwrap())
        .load_strategy(LoadStrategy::Bytes)
        .run_from_cli();
    let code = std::fs::read_to_string(path("ensemble.rs")).unwrap();
    let (_, code) = code.split_once('\n').unwrap(); // the first line names the folder
    (code.to_owned(), std::fs::read(path("ensemble.bpk")).unwrap())
}

fn exported() -> Vec<u8> {
    let networks: Vec<(Architecture, Weights)> = LAYERS.into_iter().map(network).collect();
    let members: Vec<Member<'_>> = ["first", "second"]
        .into_iter()
        .zip(&networks)
        .map(|(name, (architecture, weights))| Member { name, architecture, weights })
        .collect();
    let metadata = Metadata {
        model: "ensemble".into(),
        classes: ["shirt", "shoe", "bag"].map(str::to_owned).to_vec(),
        dataset: "random".into(),
        dataset_digest: Digest::of_bytes(b"data"),
        synthetic: true,
        stage_key: Digest::of_bytes(b"key"),
        test_accuracy: None,
    };
    encode(&ensemble(&members, &[1.0, 2.0], Temperature::ONE, &metadata).unwrap())
}

fn network(layers: &str) -> (Architecture, Weights) {
    let architecture = Architecture {
        input: SHAPE,
        classes: 3,
        normalisation: Normalisation { mean: vec![0.3], deviation: vec![0.35] },
        layers: serde_json::from_str(layers).unwrap(),
        views: Views::default(),
    };
    let mut rng = Seed::new(1).rng();
    let tensors = architecture.parameters().unwrap().into_iter().map(|parameter| {
        let base = if parameter.kind == ParameterKind::RunningVariance { 1.0 } else { 0.0 };
        let values = (0..parameter.shape.iter().product()).map(|_| base + rng.random_range(-0.5_f32..0.5)).collect();
        WeightTensor { name: parameter.name, shape: parameter.shape, values }
    });
    let weights = Weights::new(&architecture, tensors.collect()).unwrap();
    (architecture, weights)
}
