//! Initial weights: a pure function of the architecture and a seed.
//!
//! | parameter | start |
//! |---|---|
//! | weights of convolutions and hidden dense layers | normal, variance 2 / fan-in (He and others, 2015) |
//! | weights of the last dense layer, which no ReLU follows | normal, variance 2 / (fan-in + fan-out) (Glorot and Bengio, 2010) |
//! | biases, shifts, running means | 0 |
//! | scales and running variances of batch normalisations | 1 |
//! | the scale of a batch normalisation that ends a residual branch | 0, so that each block starts as the identity (Goyal and others, 2017) |

use rand::RngExt;

use super::{Architecture, Layer, LayerError, Parameter, ParameterKind, WeightTensor, Weights};
use crate::seed::Seed;

impl Weights {
    /// The weights from which a training of `architecture` starts. Each parameter draws from a seed of its own, named after
    /// it, so that a layer's start does not depend on the layers before it.
    ///
    /// # Errors
    /// When a layer of the architecture does not fit.
    pub fn initial(architecture: &Architecture, seed: Seed) -> Result<Self, LayerError> {
        let parameters = architecture.parameters()?;
        let last_dense = parameters.iter().rposition(|parameter| parameter.kind == ParameterKind::DenseWeight);
        let mut branch_ends = Vec::new();
        zero_gammas(&architecture.layers, "", &mut branch_ends);
        let tensors = parameters.into_iter().enumerate().map(|(index, parameter)| {
            let values = if branch_ends.contains(&parameter.name) {
                vec![0.0; count(&parameter)]
            } else {
                start(&parameter, Some(index) == last_dense, seed)
            };
            WeightTensor { name: parameter.name, shape: parameter.shape, values }
        });
        Ok(Self::new(architecture, tensors.collect()).expect("made from the architecture's own parameters"))
    }
}

fn start(parameter: &Parameter, is_last: bool, seed: Seed) -> Vec<f32> {
    let shape = &parameter.shape;
    let (fan_in, fan_out) = match parameter.kind {
        ParameterKind::ConvWeight => (shape[1] * shape[2] * shape[3], shape[0] * shape[2] * shape[3]),
        ParameterKind::DenseWeight => (shape[0], shape[1]),
        ParameterKind::Bias | ParameterKind::Beta | ParameterKind::RunningMean => return vec![0.0; count(parameter)],
        ParameterKind::Gamma | ParameterKind::RunningVariance => return vec![1.0; count(parameter)],
    };
    let variance = if is_last { 2.0 / (fan_in + fan_out) as f64 } else { 2.0 / fan_in as f64 };
    normal(count(parameter), variance.sqrt(), seed.child(&parameter.name))
}

fn count(parameter: &Parameter) -> usize {
    parameter.shape.iter().product()
}

/// The names of the scales of batch normalisations that are the last layer of a residual branch.
fn zero_gammas(layers: &[Layer], place: &str, names: &mut Vec<String>) {
    for (index, layer) in layers.iter().enumerate() {
        if let Layer::Residual(residual) = layer {
            let inside = format!("{place}{index}.layers.");
            zero_gammas(&residual.layers, &inside, names);
            if let Some(Layer::BatchNorm(_)) = residual.layers.last() {
                names.push(format!("{inside}{}.gamma", residual.layers.len() - 1));
            }
        }
    }
}

/// Normal numbers of mean 0 by Box and Muller's method (1958). `libm` gives the same digits on every platform.
fn normal(count: usize, deviation: f64, seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - rng.random::<f64>())); // the logarithm's argument is never 0
        let angle = std::f64::consts::TAU * rng.random::<f64>();
        values.push((deviation * radius * libm::cos(angle)) as f32);
        values.push((deviation * radius * libm::sin(angle)) as f32);
    }
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::nn::{ModelOptions, Normalisation};

    fn architecture(model: &str) -> Architecture {
        let model: ModelOptions = serde_json::from_str(model).unwrap();
        model.build(ImageShape::MNIST, 10, Normalisation { mean: vec![0.0], deviation: vec![1.0] }).unwrap()
    }

    fn spread(weights: &Weights, name: &str) -> (f64, f64) {
        let values = &weights.get(name).unwrap().values;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, square.sqrt())
    }

    #[test]
    fn weights_have_the_variance_of_their_kind() {
        let weights = Weights::initial(&architecture(r#"{"basic": {"dropout": 0}}"#), Seed::new(1)).unwrap();
        let check = |name: &str, expected: f64| {
            let (mean, deviation) = spread(&weights, name);
            assert!(mean.abs() < 0.1 * expected && (deviation / expected - 1.0).abs() < 0.1, "{name}: {mean} ± {deviation}");
        };
        check("3.weight", (2.0f64 / (32.0 * 9.0)).sqrt());
        check("7.weight", (2.0f64 / 3136.0).sqrt());
        check("9.weight", (2.0f64 / 138.0).sqrt());
        assert!(weights.get("7.bias").unwrap().values.iter().all(|&value| value == 0.0));
    }

    #[test]
    fn residual_branches_start_silent() {
        let weights = Weights::initial(&architecture(r#"{"optimum": {}}"#), Seed::new(1)).unwrap();
        let all = |name: &str, expected: f32| weights.get(name).unwrap().values.iter().all(|&value| value == expected);
        assert!(all("3.layers.4.gamma", 0.0) && all("3.layers.1.gamma", 1.0) && all("5.shortcut.gamma", 1.0));
        assert!(all("1.running_variance", 1.0) && all("1.running_mean", 0.0));
    }

    #[test]
    fn the_seed_decides() {
        let architecture = architecture(r#"{"mlp": {}}"#);
        let draw = |seed| Weights::initial(&architecture, Seed::new(seed)).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
