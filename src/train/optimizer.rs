//! Optimisers: what turns gradients into new weights. They are Burn's, with the step of Adam by a kernel; which parameters decay,
//! and how gradients are clipped, is decided here.

use anyhow::{Context, anyhow};
use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Bytes, Gradients, Tensor};
use serde::{Deserialize, Serialize};

use crate::nn::accelerated::{Adam, Muon};
use crate::nn::{Architecture, LayerError, Network, decaying_parameters, hidden_weights};
use crate::units::{Count, NonNegative, Positive, Probability};

/// How gradients become new weights. Weight decay never touches biases and batch normalisations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerOptions {
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    Adamw(AdamwOptions),
    /// Adam (Kingma and Ba, 2015); its weight decay is an L2 penalty, added to the gradient.
    Adam(AdamOptions),
    /// Stochastic gradient descent with momentum.
    Sgd(SgdOptions),
    /// Muon for the weights of convolutions and hidden dense layers (Jordan and others, 2024), AdamW for all else, at one
    /// learning rate (Liu and others, 2025).
    Muon(MuonOptions),
}

/// Options of AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamwOptions {
    /// Step size at its peak; the schedule scales it.
    pub learning_rate: Positive,
    /// Share of a weight that decays in each step, times the learning rate.
    pub weight_decay: NonNegative,
    /// Decay of the mean of gradients.
    pub beta_1: Probability,
    /// Decay of the mean of squared gradients.
    pub beta_2: Probability,
    /// Added to the denominator.
    pub epsilon: Positive,
}

impl Default for AdamwOptions {
    fn default() -> Self {
        Self {
            learning_rate: positive(1e-3),
            weight_decay: non_negative(1e-2),
            beta_1: probability(0.9),
            beta_2: probability(0.999),
            epsilon: positive(1e-8),
        }
    }
}

/// Options of Adam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamOptions {
    /// Step size at its peak; the schedule scales it.
    pub learning_rate: Positive,
    /// Factor of the L2 penalty.
    pub weight_decay: NonNegative,
    /// Decay of the mean of gradients.
    pub beta_1: Probability,
    /// Decay of the mean of squared gradients.
    pub beta_2: Probability,
    /// Added to the denominator.
    pub epsilon: Positive,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self {
            learning_rate: positive(1e-3),
            weight_decay: non_negative(0.0),
            beta_1: probability(0.9),
            beta_2: probability(0.999),
            epsilon: positive(1e-8),
        }
    }
}

/// Options of stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SgdOptions {
    /// Step size at its peak; the schedule scales it.
    pub learning_rate: Positive,
    /// Share of the last step that is kept in the next; 0 for none.
    pub momentum: Probability,
    /// Whether the momentum looks ahead (Nesterov, 1983; Sutskever and others, 2013).
    pub nesterov: bool,
    /// Factor of the L2 penalty.
    pub weight_decay: NonNegative,
}

impl Default for SgdOptions {
    fn default() -> Self {
        Self { learning_rate: positive(5e-2), momentum: probability(0.9), nesterov: true, weight_decay: non_negative(5e-4) }
    }
}

/// Options of Muon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MuonOptions {
    /// Step size at its peak; the schedule scales it. It means what AdamW's does: both make steps of the same mean square.
    pub learning_rate: Positive,
    /// Share of a weight that decays in each step, times the learning rate.
    pub weight_decay: NonNegative,
    /// Share of the velocity that is kept in each step.
    pub momentum: Probability,
    /// Iterations of Newton and Schulz that make a step orthogonal.
    pub iterations: Count,
}

impl Default for MuonOptions {
    fn default() -> Self {
        Self {
            learning_rate: positive(2e-3),
            weight_decay: non_negative(1e-2),
            momentum: probability(0.95),
            iterations: Count::new(5).expect("5 is a count"),
        }
    }
}

impl OptimizerOptions {
    /// Step size at its peak.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Adamw(options) => options.learning_rate.get(),
            Self::Adam(options) => options.learning_rate.get(),
            Self::Sgd(options) => options.learning_rate.get(),
            Self::Muon(options) => options.learning_rate.get(),
        }
    }
}

/// A limit on gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// Scales all gradients together, so that their common Euclidean norm is at most this (Pascanu, Mikolov and Bengio, 2013).
    Norm(Positive),
    /// Cuts every single number of a gradient to at most this size.
    Value(Positive),
}

/// Burn's optimiser with its state, weight decay on weights alone, and clipping over all gradients.
pub struct Optimizer {
    inner: ModuleOptimizer,
    clip: Option<Clip>,
}

impl Optimizer {
    /// An optimiser for networks of `architecture`, at the start of a training.
    ///
    /// # Errors
    /// When a layer of the architecture does not fit.
    pub fn new(options: &OptimizerOptions, clip: Option<Clip>, architecture: &Architecture) -> Result<Self, LayerError> {
        let decaying = ParamGroup::from_ids(decaying_parameters(architecture)?);
        let inner = match options {
            OptimizerOptions::Adamw(AdamwOptions { weight_decay, beta_1, beta_2, epsilon, .. }) => {
                let plain = adam([*beta_1, *beta_2], *epsilon, true);
                let decay = Adam { weight_decay: weight_decay.get() as f32, ..plain };
                ModuleOptimizer::from(plain).with_group(decaying, decay, None)
            }
            OptimizerOptions::Adam(AdamOptions { weight_decay, beta_1, beta_2, epsilon, .. }) => {
                let plain = adam([*beta_1, *beta_2], *epsilon, false);
                let decay = Adam { weight_decay: weight_decay.get() as f32, ..plain };
                ModuleOptimizer::from(plain).with_group(decaying, decay, None)
            }
            OptimizerOptions::Sgd(options) => {
                let momentum = MomentumConfig { momentum: options.momentum.get(), dampening: 0.0, nesterov: options.nesterov };
                let config = SgdConfig::new().with_momentum((momentum.momentum > 0.0).then_some(momentum));
                let decay = config.clone().with_weight_decay(penalty(options.weight_decay));
                ModuleOptimizer::from(config.build()).with_group(decaying, decay.build(), None)
            }
            OptimizerOptions::Muon(MuonOptions { weight_decay, momentum, iterations, .. }) => {
                let AdamwOptions { beta_1, beta_2, epsilon, .. } = AdamwOptions::default();
                let plain = adam([beta_1, beta_2], epsilon, true);
                let weight_decay = weight_decay.get() as f32;
                let muon = Muon { momentum: momentum.get() as f32, iterations: iterations.get(), weight_decay };
                ModuleOptimizer::from(plain).with_group(decaying, Adam { weight_decay, ..plain }, None).with_group(
                    ParamGroup::from_ids(hidden_weights(architecture)?),
                    muon,
                    None,
                )
            }
        };
        Ok(Self { inner, clip })
    }

    /// The network after one step along `gradients`.
    pub fn step(&mut self, learning_rate: f64, network: Network, gradients: Gradients) -> Network {
        let mut gradients = GradientsParams::from_grads(gradients, &network);
        if let Some(clip) = self.clip {
            clip_gradients(clip, &network, &mut gradients);
        }
        self.inner.step(learning_rate, network, gradients)
    }

    /// The state as bytes, in Burn's own format.
    ///
    /// # Errors
    /// When Burn cannot write it.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let bytes = self.inner.into_bytes().map_err(|error| anyhow!("{error}")).context("cannot write the optimiser's state")?;
        Ok(bytes.to_vec())
    }

    /// This optimiser with the state that [`Optimizer::to_bytes`] gave.
    ///
    /// # Errors
    /// When the bytes are not such a state.
    pub fn with_state(self, bytes: Vec<u8>) -> anyhow::Result<Self> {
        let inner = self.inner.from_bytes(Bytes::from_bytes_vec(bytes));
        Ok(Self { inner: inner.map_err(|error| anyhow!("{error}")).context("cannot read the optimiser's state")?, ..self })
    }
}

/// Adam without weight decay.
fn adam([beta_1, beta_2]: [Probability; 2], epsilon: Positive, decoupled: bool) -> Adam {
    let [beta_1, beta_2] = [beta_1.get() as f32, beta_2.get() as f32];
    Adam { beta_1, beta_2, epsilon: epsilon.get() as f32, weight_decay: 0.0, decoupled }
}

fn penalty(decay: NonNegative) -> Option<WeightDecayConfig> {
    (decay.get() > 0.0).then(|| WeightDecayConfig::new(decay.get() as f32))
}

/// Clips over all gradients at once; Burn's own clipping takes each parameter by itself.
fn clip_gradients(clip: Clip, network: &Network, gradients: &mut GradientsParams) {
    match clip {
        Clip::Norm(limit) => {
            let mut norm = SquaredNorm { gradients, sum: 0.0 };
            network.visit(&mut norm);
            let norm = norm.sum.sqrt();
            if norm > limit.get() {
                network.visit(&mut Change { gradients, change: Adjust::Scale(limit.get() / norm) });
            }
        }
        Clip::Value(limit) => network.visit(&mut Change { gradients, change: Adjust::Limit(limit.get()) }),
    }
}

/// Sums the squares of all gradients, parameter by parameter in the order of the layers.
struct SquaredNorm<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for SquaredNorm<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(parameter.id) {
            let values = gradient.try_into_vec_as::<f32>().expect("float32 tensors in main memory can be read");
            self.sum += values.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>();
        }
    }
}

#[derive(Clone, Copy)]
enum Adjust {
    Scale(f64),
    Limit(f64),
}

struct Change<'a> {
    gradients: &'a mut GradientsParams,
    change: Adjust,
}

impl ModuleVisitor for Change<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(parameter.id) {
            let changed = match self.change {
                Adjust::Scale(factor) => gradient.mul_scalar(factor),
                Adjust::Limit(limit) => gradient.clamp(-limit, limit),
            };
            self.gradients.register(parameter.id, changed);
        }
    }
}

fn positive(value: f64) -> Positive {
    Positive::new(value).expect("defaults are in range")
}

fn non_negative(value: f64) -> NonNegative {
    NonNegative::new(value).expect("defaults are in range")
}

fn probability(value: f64) -> Probability {
    Probability::new(value).expect("defaults are in range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::nn::{Normalisation, Views, WeightTensor, Weights, image_tensor};
    use crate::units::Positive;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 1, width: 2 };

    fn architecture() -> Architecture {
        Architecture {
            input: SHAPE,
            classes: 1,
            normalisation: Normalisation { mean: vec![0.0], deviation: vec![1.0 / 255.0] },
            layers: serde_json::from_str(r#"[{"flatten": {}}, {"dense": {"units": 1}}]"#).unwrap(),
            views: Views::default(),
        }
    }

    /// Weights and bias after `steps` steps down the loss w·x + b, with x = (3, 4), so that the gradient is (3, 4, 1).
    fn after(steps: usize, options: &str, clip: Option<Clip>) -> Vec<f32> {
        let architecture = architecture();
        let tensor = |name: &str, shape: &[usize], values: &[f32]| WeightTensor {
            name: name.into(),
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        let tensors = vec![tensor("1.weight", &[2, 1], &[1.0, -1.0]), tensor("1.bias", &[1], &[0.5])];
        let weights = Weights::new(&architecture, tensors).unwrap();
        let mut network = Network::from_weights(&architecture, &weights).unwrap().train();
        let new = || Optimizer::new(&serde_json::from_str(options).unwrap(), clip, &architecture).unwrap();
        let mut optimizer = new();
        for _ in 0..steps {
            let gradients = network.forward(image_tensor(vec![3.0, 4.0], SHAPE)).sum().backward();
            network = optimizer.step(0.1, network, gradients);
            // Every step goes through the state's bytes, so that a state that does not survive them shows.
            optimizer = new().with_state(optimizer.to_bytes().unwrap()).unwrap();
        }
        network.values().concat()
    }

    #[test]
    fn steps_are_those_computed_by_hand() {
        let check = |steps: usize, options: &str, clip: Option<Clip>, expected: [f64; 3]| {
            let found = after(steps, options, clip);
            let near = found.iter().zip(expected).all(|(&found, expected)| (f64::from(found) - expected).abs() < 1e-4);
            assert!(near, "{options}: {found:?}, not {expected:?}");
        };
        let plain = r#"{"sgd": {"momentum": 0, "nesterov": false, "weight_decay": 0}}"#;
        check(1, plain, None, [0.7, -1.4, 0.4]);
        let heavy = r#"{"sgd": {"momentum": 0.5, "nesterov": false, "weight_decay": 0}}"#;
        check(2, heavy, None, [1.0 - 0.3 - 0.45, -1.0 - 0.4 - 0.6, 0.5 - 0.1 - 0.15]);
        let nesterov = r#"{"sgd": {"momentum": 0.5, "nesterov": true, "weight_decay": 0}}"#;
        check(2, nesterov, None, [1.0 - 0.45 - 0.525, -1.0 - 0.6 - 0.7, 0.5 - 0.15 - 0.175]);
        // The bias does not decay.
        let decayed = r#"{"sgd": {"momentum": 0, "nesterov": false, "weight_decay": 0.5}}"#;
        check(1, decayed, None, [1.0 - 0.1 * 3.5, -1.0 - 0.1 * 3.5, 0.4]);
        // Adam's first steps are of the size of the learning rate.
        check(1, r#"{"adam": {}}"#, None, [0.9, -1.1, 0.4]);
        check(3, r#"{"adam": {}}"#, None, [0.7, -1.3, 0.2]);
        check(1, r#"{"adamw": {"weight_decay": 0.5}}"#, None, [0.95 - 0.1, -0.95 - 0.1, 0.4]);
        let limit = |value| Positive::new(value).unwrap();
        let norm = 26f64.sqrt();
        check(1, plain, Some(Clip::Norm(limit(2.0))), [1.0 - 0.6 / norm, -1.0 - 0.8 / norm, 0.5 - 0.2 / norm]);
        check(1, plain, Some(Clip::Norm(limit(20.0))), [0.7, -1.4, 0.4]);
        check(1, plain, Some(Clip::Value(limit(2.0))), [0.8, -1.2, 0.4]);
    }

    /// All values after `steps` steps of a network with a hidden layer of two, whose state is written and read in between if asked.
    fn hidden_after(steps: usize, options: &str, is_written: bool) -> Vec<Vec<f32>> {
        let layers = r#"[{"flatten": {}}, {"dense": {"units": 2}}, {"dense": {"units": 1}}]"#;
        let architecture = Architecture { layers: serde_json::from_str(layers).unwrap(), ..architecture() };
        let weights = Weights::initial(&architecture, crate::seed::Seed::new(1)).unwrap();
        let mut network = Network::from_weights(&architecture, &weights).unwrap().train();
        let new = || Optimizer::new(&serde_json::from_str(options).unwrap(), None, &architecture).unwrap();
        let mut optimizer = new();
        for step in 0..steps {
            let image = image_tensor(vec![3.0 + step as f32, 4.0], SHAPE);
            let gradients = network.forward(image).sum().backward();
            network = optimizer.step(0.1, network, gradients);
            if is_written {
                optimizer = new().with_state(optimizer.to_bytes().unwrap()).unwrap();
            }
        }
        network.values()
    }

    #[test]
    fn muon_moves_hidden_weights_and_adamw_all_else() {
        let muon = r#"{"muon": {"weight_decay": 0}}"#;
        let moved: Vec<Vec<f32>> = hidden_after(0, muon, false)
            .iter()
            .zip(hidden_after(1, muon, false))
            .map(|(before, after)| before.iter().zip(after).map(|(before, after)| (before - after).abs()).collect())
            .collect();
        let [hidden, hidden_bias, last, last_bias] = &moved[..] else { panic!("{moved:?}") };
        // A gradient of rank 1 has one singular value, which comes near 1: 0.1 · 0.2 · √2 is the size of the step.
        let size = hidden.iter().map(|value| value * value).sum::<f32>().sqrt() / (0.1 * 0.2 * 2f32.sqrt());
        assert!((0.65..1.25).contains(&size), "{size}");
        for values in [hidden_bias, last, last_bias] {
            assert!(
                values.iter().all(|value| (value - 0.1).abs() < 1e-4),
                "AdamW's first steps are of the learning rate: {values:?}"
            );
        }
        assert_eq!(hidden_after(3, muon, true), hidden_after(3, muon, false));
    }

    #[test]
    fn a_foreign_state_is_refused() {
        let optimizer = Optimizer::new(&OptimizerOptions::Adam(AdamOptions::default()), None, &architecture()).unwrap();
        let error = optimizer.with_state(b"junk".to_vec()).err().unwrap().to_string();
        assert_eq!(error, "cannot read the optimiser's state");
    }
}
