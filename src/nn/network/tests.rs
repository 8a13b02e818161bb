//! Every kind of layer and every preset against the plain reference: values, running statistics and gradients.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;

use super::reference;
use crate::data::ImageShape;
use crate::nn::{Architecture, ModelOptions, Network, Normalisation, WeightTensor, Weights, image_tensor};
use crate::seed::Seed;

const SHAPE: ImageShape = ImageShape { channels: 2, height: 9, width: 8 };
const BATCH: usize = 3;

struct Case {
    architecture: Architecture,
    weights: Weights,
    pixels: Vec<f32>,
}

fn floats(count: usize, seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    (0..count).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect()
}

/// A network of `model` with random weights, biases, scales and statistics, and a random batch.
fn case(model: &str) -> Case {
    let model: ModelOptions = serde_json::from_str(model).unwrap();
    let normalisation = Normalisation { mean: vec![0.3, 0.5], deviation: vec![0.3, 0.6] };
    let architecture = model.build(SHAPE, 3, normalisation).unwrap();
    let tensors = architecture.parameters().unwrap().into_iter().map(|parameter| {
        let mut values = floats(parameter.shape.iter().product(), Seed::new(1).child(&parameter.name));
        if parameter.name.ends_with("variance") {
            values.iter_mut().for_each(|value| *value = value.abs() + 0.2);
        }
        WeightTensor { name: parameter.name, shape: parameter.shape, values }
    });
    let weights = Weights::new(&architecture, tensors.collect()).unwrap();
    let pixels = floats(BATCH * SHAPE.pixels(), Seed::new(2)).into_iter().map(|value| (value + 1.0) * 127.5).collect();
    Case { architecture, weights, pixels }
}

fn layers(list: &str) -> String {
    format!(r#"{{"layers": [{list}]}}"#)
}

/// One short network for each kind of layer.
fn every_layer() -> Vec<String> {
    [
        r#"{"conv": {"filters": 4}}, {"flatten": {}}, {"dense": {"units": 3}}"#,
        r#"{"conv": {"filters": 3, "kernel": 2, "stride": 2, "padding": "valid", "bias": false}}, {"conv": {"filters": 2, "stride": 2}},
           {"flatten": {}}, {"dense": {"units": 3, "bias": false}}"#,
        r#"{"conv": {"filters": 3, "kernel": 5}}, {"batch_norm": {"momentum": 0.3}}, {"relu": {}}, {"global_avg_pool": {}},
           {"dense": {"units": 4}}, {"batch_norm": {"epsilon": 0.01}}, {"dense": {"units": 3}}"#,
        r#"{"conv": {"filters": 3}}, {"gelu": {}}, {"max_pool": {}}, {"flatten": {}}, {"dense": {"units": 5}}, {"gelu": {}}, {"dense": {"units": 3}}"#,
        r#"{"conv": {"filters": 3}}, {"max_pool": {"size": 3, "stride": 2}}, {"avg_pool": {"size": 2, "stride": 1}}, {"global_max_pool": {}},
           {"dense": {"units": 3}}"#,
        r#"{"conv": {"filters": 4}}, {"dropout": {"rate": 0.3}}, {"spatial_dropout": {"rate": 0.4}}, {"avg_pool": {"size": 3}}, {"flatten": {}},
           {"dense": {"units": 6}}, {"dropout": {"rate": 0.5}}, {"relu": {}}, {"dense": {"units": 3}}"#,
        r#"{"conv": {"filters": 3}}, {"residual": {"layers": [{"conv": {"filters": 3}}, {"gelu": {}}]}},
           {"residual": {"layers": [{"conv": {"filters": 4, "stride": 2, "bias": false}}, {"batch_norm": {}},
               {"residual": {"layers": [{"relu": {}}, {"conv": {"filters": 4}}]}}, {"dropout": {"rate": 0.2}}]}},
           {"global_avg_pool": {}}, {"residual": {"layers": [{"dense": {"units": 4}}]}}, {"dense": {"units": 3}}"#,
    ]
    .map(layers)
    .to_vec()
}

fn every_preset() -> Vec<String> {
    [
        r#"{"mlp": {"units": [6, 5]}}"#,
        r#"{"basic": {"filters": [2, 3], "units": 5}}"#,
        r#"{"advanced": {"filters": [2, 3, 4], "units": 5}}"#,
        r#"{"advanced": {"filters": [2, 3], "units": 5, "head": "flatten"}}"#,
        r#"{"optimum": {"filters": [2, 3, 4], "blocks": 2}}"#,
        r#"{"optimum": {"filters": [3, 4], "stem_stride": 2}}"#,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn doubles(weights: &Weights) -> Vec<Vec<f64>> {
    weights.tensors().iter().map(|tensor| widened(&tensor.values)).collect()
}

fn assert_near(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(1e-2, |size: f64, value| size.max(value.abs()));
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(found) - expected).abs() < 2e-4 * size, "{what}, value {index}: {found}, not {expected}");
    }
}

/// The tensor of a batch; `pixels` are `[N, C, H, W]`, as the reference takes them.
fn images(pixels: &[f32]) -> Tensor<4> {
    let plane = SHAPE.height * SHAPE.width;
    let last = |image: &[f32]| -> Vec<f32> {
        (0..plane).flat_map(|place| (0..SHAPE.channels).map(move |channel| channel * plane + place)).map(|at| image[at]).collect()
    };
    image_tensor(pixels.chunks_exact(SHAPE.pixels()).flat_map(last).collect(), SHAPE)
}

/// The network as our kernels and as Burn's own operations compute it.
fn both_ways(architecture: &Architecture, weights: &Weights) -> [(&'static str, Network); 2] {
    let network = || Network::from_weights(architecture, weights).unwrap();
    [("kernels", network()), ("Burn", network().by_burn())]
}

fn read(tensor: Tensor<2>) -> Vec<f32> {
    tensor.without_autodiff().try_into_vec_as().unwrap()
}

#[test]
fn inference_is_that_of_the_reference() {
    for model in every_layer().into_iter().chain(every_preset()) {
        let Case { architecture, weights, pixels } = case(&model);
        let (expected, _) = reference::run(&architecture, &doubles(&weights), &widened(&pixels), None);
        for (way, network) in both_ways(&architecture, &weights) {
            assert_near(&read(network.forward(images(&pixels))), &expected, &format!("{model} by {way}"));
            assert_eq!(network.to_weights(&architecture), weights, "{model} by {way}");
        }
    }
}

#[test]
fn training_passes_and_running_statistics_are_those_of_the_reference() {
    for model in every_layer().into_iter().chain(every_preset()) {
        let Case { architecture, weights, pixels } = case(&model);
        let (expected, running) = reference::run(&architecture, &doubles(&weights), &widened(&pixels), Some(Seed::new(3)));
        for (way, network) in both_ways(&architecture, &weights) {
            let mut network = network.train();
            let logits = network.forward_training(images(&pixels), Seed::new(3));
            assert_near(&read(logits), &expected, &format!("{model} by {way}"));
            let after = network.to_weights(&architecture);
            let statistics = after.tensors().iter().filter(|tensor| tensor.name.contains("running_"));
            assert_eq!(statistics.clone().count(), running.len(), "{model} by {way}");
            for (tensor, expected) in statistics.zip(&running) {
                assert_near(&tensor.values, expected, &format!("{} of {model} by {way}", tensor.name));
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for model in every_layer().into_iter().chain(every_preset()) {
        let Case { architecture, weights, pixels } = case(&model);
        let seed = Seed::new(4);
        let direction = floats(BATCH * 3, Seed::new(5));
        let found = both_ways(&architecture, &weights).map(|(way, network)| {
            let mut network = network.train();
            let logits = network.forward_training(images(&pixels), seed);
            let along = Tensor::<2>::from_data(TensorData::new(direction.clone(), [BATCH, 3]), &Device::flex());
            let mut gradients = (logits * along).sum().backward();
            (way, network.gradients(&mut gradients))
        });

        let pixels = widened(&pixels);
        let loss = |tensors: &[Vec<f64>]| -> f64 {
            let (logits, _) = reference::run(&architecture, tensors, &pixels, Some(seed));
            logits.iter().zip(&direction).map(|(logit, &along)| logit * f64::from(along)).sum()
        };
        let mut tensors = doubles(&weights);
        for (index, tensor) in weights.tensors().iter().enumerate() {
            let what = format!("{} of {model}", tensor.name);
            if tensor.name.contains("running_") {
                assert!(found.iter().all(|(_, found)| found[index].is_none()), "{what} is trained");
                continue;
            }
            // All numbers of a small tensor, every ninth of a large one.
            let count = tensor.values.len();
            let positions: Vec<usize> = (0..count).step_by(if count > 60 { 9 } else { 1 }).collect();
            let slope = |&position: &usize| {
                const STEP: f64 = 1e-6;
                let start = tensors[index][position];
                tensors[index][position] = start + STEP;
                let above = loss(&tensors);
                tensors[index][position] = start - STEP;
                let below = loss(&tensors);
                tensors[index][position] = start;
                (above - below) / (2.0 * STEP)
            };
            let expected: Vec<f64> = positions.iter().map(slope).collect();
            for (way, found) in &found {
                // No gradient is one of zero: a bias in front of a batch normalisation moves nothing.
                let found: Vec<f32> =
                    positions.iter().map(|&position| found[index].as_ref().map_or(0.0, |found| found[position])).collect();
                assert_near(&found, &expected, &format!("{what} by {way}"));
            }
        }
    }
}

/// ‖found − expected‖ / ‖expected‖.
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let apart = norm(&mut found.iter().zip(expected).map(|(found, expected)| f64::from(*found) - f64::from(*expected)));
    apart / norm(&mut expected.iter().map(|value| f64::from(*value))).max(1e-3)
}

#[test]
fn in_half_logits_and_gradients_are_those_of_float32_but_for_rounding() {
    for model in every_layer().into_iter().chain(every_preset()) {
        let Case { architecture, weights, pixels } = case(&model);
        let direction = floats(BATCH * 3, Seed::new(5));
        // Every machine can compute in half, if slowly.
        let [single, half] = [false, true].map(|half| {
            let network = Network::from_weights(&architecture, &weights).unwrap();
            let mut network = Network { half, ..network }.train();
            let logits = network.forward_training(images(&pixels), Seed::new(4));
            let found = read(logits.clone());
            let along = Tensor::<2>::from_data(TensorData::new(direction.clone(), [BATCH, 3]), &Device::flex());
            let gradients = network.gradients(&mut (logits * along).sum().backward());
            (found, gradients.into_iter().flatten().flatten().collect::<Vec<f32>>())
        });
        let (logits, gradients) = (relative_error(&half.0, &single.0), relative_error(&half.1, &single.1));
        let maps = architecture.layers.iter().any(|layer| matches!(layer, crate::nn::Layer::Conv(_)));
        assert_eq!(logits > 0.0, maps, "{model}: maps are in half, and only they");
        assert!(logits < 0.03 && gradients < 0.08, "{model}: off by {logits} and {gradients}");
    }
}

#[test]
fn dropout_scales_what_it_keeps_and_depends_on_seed_and_row() {
    let mask = |seed: u64, rate| crate::nn::layers::dropout_mask(Seed::new(seed), rate, 50, 400);
    let values = mask(1, 0.25);
    let zeros = values.iter().filter(|&&value| value == 0.0).count() as f64 / values.len() as f64;
    assert!((zeros - 0.25).abs() < 0.01, "{zeros}");
    assert!(values.iter().all(|&value| value == 0.0 || (value - 4.0 / 3.0).abs() < 1e-6));
    assert_eq!(values, mask(1, 0.25));
    assert_ne!(values, mask(2, 0.25));
    assert_ne!(values[..400], values[400..800]);
    assert!(mask(1, 0.0).iter().all(|&value| value == 1.0));
}

#[test]
fn a_network_without_gradients_comes_back_from_training() {
    let Case { architecture, weights, pixels } = case(&every_preset()[2]);
    let network = Network::from_weights(&architecture, &weights).unwrap();
    let plain = read(network.forward(images(&pixels)));
    let there_and_back = network.train().valid();
    assert!(!there_and_back.forward(images(&pixels)).is_autodiff());
    assert_eq!(read(there_and_back.forward(images(&pixels))), plain);
}

#[test]
fn weights_of_another_architecture_are_refused() {
    let (one, other) = (case(&every_preset()[0]), case(&every_preset()[1]));
    let error = Network::from_weights(&one.architecture, &other.weights).unwrap_err().to_string();
    assert!(error.starts_with("the weights hold `0.weight` of shape [2, 2, 3, 3] where"), "{error}");
}
