//! Small networks with random weights, for tests: every kind of layer, in every place where lowering treats it differently.
#![cfg(test)]

use rand::RngExt;

use super::{Member, Metadata, ModelProto, lower};
use crate::data::ImageShape;
use crate::digest::Digest;
use crate::nn::{Architecture, Normalisation, ParameterKind, Views, WeightTensor, Weights};
use crate::seed::Seed;

/// A network for images of `channels`×9×8 and 4 classes, with layers given as JSON.
pub(crate) fn architecture(channels: usize, layers: &str) -> Architecture {
    let spread = |start: f32| (0..channels).map(|channel| start + 0.05 * channel as f32).collect();
    let architecture = Architecture {
        input: ImageShape { channels, height: 9, width: 8 },
        classes: 4,
        normalisation: Normalisation { mean: spread(0.3), deviation: spread(0.35) },
        layers: serde_json::from_str(layers).expect("the test's layers are layers"),
        views: Views::default(),
    };
    architecture.check().expect("the test's layers fit");
    architecture
}

/// Weights of a size that keeps features near 1; running variances between 0.5 and 1.5.
pub(crate) fn weights(architecture: &Architecture, seed: u64) -> Weights {
    let mut rng = Seed::new(seed).rng();
    let tensors = architecture
        .parameters()
        .expect("the layers fit")
        .into_iter()
        .map(|parameter| {
            let inputs = match parameter.kind {
                ParameterKind::ConvWeight => parameter.shape[1..].iter().product(),
                ParameterKind::DenseWeight => parameter.shape[0],
                _ => 1,
            };
            let mut draw = || {
                let value = rng.random_range(-1.0_f32..1.0);
                match parameter.kind {
                    ParameterKind::ConvWeight | ParameterKind::DenseWeight => value * (3.0 / inputs as f32).sqrt(),
                    ParameterKind::Gamma | ParameterKind::RunningVariance => 1.0 + 0.5 * value,
                    ParameterKind::Bias | ParameterKind::Beta | ParameterKind::RunningMean => 0.3 * value,
                }
            };
            let values = (0..parameter.shape.iter().product()).map(|_| draw()).collect();
            WeightTensor { name: parameter.name, shape: parameter.shape, values }
        })
        .collect();
    Weights::new(architecture, tensors).expect("made from the architecture's own parameters")
}

/// Random pixels of `count` images.
pub(crate) fn pixels(shape: ImageShape, count: usize, seed: u64) -> Vec<u8> {
    let mut rng = Seed::new(seed).rng();
    (0..count * shape.pixels()).map(|_| rng.random()).collect()
}

/// The metadata of a model called `name` with four classes.
pub(crate) fn metadata(name: &str) -> Metadata {
    Metadata {
        model: name.to_owned(),
        classes: ["shirt", "shoe, left", "bag", "Kleid \"neu\""].map(str::to_owned).to_vec(),
        dataset: "garments".to_owned(),
        dataset_digest: Digest::of_bytes(b"garments"),
        synthetic: true,
        stage_key: Digest::of_bytes(b"key"),
        test_accuracy: Some(0.875),
    }
}

/// A network with random weights as a file.
pub(crate) fn model(name: &str, architecture: &Architecture, weights: &Weights) -> ModelProto {
    lower(&Member { name, architecture, weights }, &metadata(name)).expect("the samples can be lowered")
}

/// Every kind of layer. Each entry names what it is for.
pub(crate) fn architectures() -> Vec<(&'static str, Architecture)> {
    let layers = [
        (
            "dense",
            1,
            r#"[{"flatten": {}}, {"dense": {"units": 6}}, {"relu": {}}, {"dropout": {"rate": 0.5}}, {"dense": {"units": 4}}]"#,
        ),
        (
            "dense_norm",
            2,
            r#"[{"flatten": {}}, {"batch_norm": {}}, {"dense": {"units": 6, "bias": false}}, {"batch_norm": {}}, {"batch_norm": {}},
            {"gelu": {}}, {"dense": {"units": 4, "bias": false}}]"#,
        ),
        (
            "conv",
            1,
            r#"[{"conv": {"filters": 3}}, {"relu": {}}, {"max_pool": {}}, {"spatial_dropout": {"rate": 0.1}},
            {"conv": {"filters": 5, "kernel": 2, "padding": "valid"}}, {"gelu": {}}, {"avg_pool": {"size": 2, "stride": 1}}, {"flatten": {}}, {"dense": {"units": 4}}]"#,
        ),
        (
            "conv_norm",
            3,
            r#"[{"batch_norm": {"epsilon": 0.1}}, {"conv": {"filters": 3, "bias": false}}, {"dropout": {"rate": 0.2}}, {"batch_norm": {}}, {"relu": {}},
            {"batch_norm": {}}, {"conv": {"filters": 4, "kernel": 5, "stride": 2}}, {"batch_norm": {}}, {"global_max_pool": {}}, {"dense": {"units": 4}}, {"batch_norm": {}}]"#,
        ),
        (
            "residual",
            1,
            r#"[{"conv": {"filters": 4}}, {"residual": {"layers": [{"conv": {"filters": 4, "bias": false}}, {"batch_norm": {}}, {"relu": {}}, {"conv": {"filters": 4}}, {"dropout": {"rate": 0.1}}]}},
            {"residual": {"layers": [{"batch_norm": {}}, {"relu": {}}, {"conv": {"filters": 6, "stride": 2, "bias": false}}, {"batch_norm": {}}]}}, {"relu": {}},
            {"residual": {"layers": [{"residual": {"layers": []}}, {"max_pool": {"size": 1, "stride": 2}}]}},
            {"global_avg_pool": {}}, {"residual": {"layers": [{"dense": {"units": 6}}, {"gelu": {}}]}}, {"dense": {"units": 4}}]"#,
        ),
    ];
    let mut all: Vec<(&str, Architecture)> =
        layers.into_iter().map(|(name, channels, layers)| (name, architecture(channels, layers))).collect();
    // The same in several views: of one channel and of three, with convolutions and without, mirrored, moved and both.
    for (name, of, flip, shift) in [("mirrored", 0, true, 0), ("moved", 2, false, 7), ("mirrored_and_moved", 3, true, 2)] {
        all.push((name, Architecture { views: Views { flip, shift }, ..all[of].1.clone() }));
    }
    all
}
