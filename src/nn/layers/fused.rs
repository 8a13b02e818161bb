//! The way of features through layers by our own kernels: runs of layers that a kernel computes at once (convolution, batch
//! normalisation, activation, pooling) are recognised and handed over.
//!
//! Maps are `[N, H, W, C]` here, of float32 or `bf16`; vectors are of float32. What is computed is what the layers one by one compute, up to rounding; dropout draws the
//! same masks.

use burn::module::Param;
use burn::tensor::{DType, Tensor};

use super::{
    BatchNormModule, ConvModule, DenseModule, Features, LayerModule, Mode, Operation, ResidualModule, Statistics, mask_tensor,
};
use crate::nn::accelerated::{
    Activation, Normalised, Pooling, Then, Windows, activate, add, batch_norm, conv_block, conv_norm_block, dense, fold_norm,
    global_avg_pool, global_max_pool, pool, to_half, to_single,
};

/// Passes features through a run of layers; maps are `[N, H, W, C]`.
pub(in crate::nn) fn forward(layers: &[LayerModule], mut features: Features, mode: &mut Mode<'_>) -> Features {
    let mut rest = layers;
    while let [first, after @ ..] = rest {
        let taken;
        (features, taken) = match first {
            LayerModule::Conv(conv) => convolve(conv, after, features.into_map(), mode),
            LayerModule::BatchNorm(norm) => normalise(norm, after, features, mode),
            LayerModule::Dense(layer) => connect(layer, after, features.into_vector(), mode),
            LayerModule::Residual(residual) => (residual.fused(features, mode), 0),
            LayerModule::Stateless(layer) => (layer.operation.fused(features, mode), 0),
        };
        rest = &after[taken..];
    }
    features
}

/// A convolution with what follows it, and how many layers that was.
fn convolve(conv: &ConvModule, after: &[LayerModule], x: Tensor<4>, mode: &mut Mode<'_>) -> (Features, usize) {
    let windows = Windows { stride: conv.options.stride[0], padding: conv.options.padding[0].0 };
    let (weight, bias) = (conv.weight.val(), conv.bias.as_ref().map(Param::val));
    let [LayerModule::BatchNorm(norm), after @ ..] = after else {
        let (then, taken) = what_follows(after);
        return (Features::Map(conv_block(x, weight, bias, windows, then)), taken);
    };
    let (then, taken) = what_follows(after);
    let (gamma, beta) = (norm.gamma.val(), norm.beta.val());
    let output = match mode {
        Mode::Inference => {
            let running = [gamma, beta, norm.running_mean.clone(), norm.running_variance.clone()];
            let (weight, bias) = fold_norm(weight, bias, running, norm.epsilon as f32);
            conv_block(x, weight, Some(bias), windows, then)
        }
        Mode::Training { statistics, .. } => {
            let normalised = conv_norm_block(x, weight, gamma, beta, norm.epsilon as f32, windows, then);
            // The kernel leaves out a bias, which moves nothing but the mean.
            let mean = match bias {
                Some(bias) => normalised.mean.without_autodiff() + bias.without_autodiff(),
                None => normalised.mean.without_autodiff(),
            };
            statistics.push(Statistics { mean, variance: normalised.variance.without_autodiff() });
            normalised.output
        }
    };
    (Features::Map(output), taken + 1)
}

/// A batch normalisation with the activation that follows it, and how many layers that was.
fn normalise(norm: &BatchNormModule, after: &[LayerModule], features: Features, mode: &mut Mode<'_>) -> (Features, usize) {
    let (activation, taken) = activation_of(after);
    let features = match features {
        Features::Map(map) => Features::Map(norm.fused(map, activation, mode)),
        Features::Vector(vector) => Features::Vector(norm.fused(vector, activation, mode)),
    };
    (features, taken)
}

/// A dense layer with the activation that follows it, and how many layers that was.
fn connect(layer: &DenseModule, after: &[LayerModule], x: Tensor<2>, mode: &Mode<'_>) -> (Features, usize) {
    let (activation, taken) = activation_of(after);
    let half = matches!(mode, Mode::Training { half: true, .. });
    (Features::Vector(dense(x, layer.weight.val(), layer.bias.as_ref().map(Param::val), activation, half)), taken)
}

/// The activation and the pooling that a kernel can take over, and how many layers they are.
fn what_follows(layers: &[LayerModule]) -> (Then, usize) {
    let (activation, taken) = activation_of(layers);
    let pools = matches!(
        layers.get(taken),
        Some(LayerModule::Stateless(layer))
            if matches!(&layer.operation, Operation::MaxPool(pool) if pool.size.get() == 2 && pool.step() == 2)
    );
    (Then { activation, pool: pools }, taken + usize::from(pools))
}

fn activation_of(layers: &[LayerModule]) -> (Activation, usize) {
    match layers.first() {
        Some(LayerModule::Stateless(layer)) => match layer.operation {
            Operation::Relu => (Activation::Relu, 1),
            Operation::Gelu => (Activation::Gelu, 1),
            _ => (Activation::None, 0),
        },
        _ => (Activation::None, 0),
    }
}

/// A map times a mask of float32, in the numbers of the map.
fn masked(map: Tensor<4>, mask: Tensor<4>) -> Tensor<4> {
    let half = map.dtype() == DType::BF16;
    let map = to_single(map) * mask;
    if half { to_half(map) } else { map }
}

impl BatchNormModule {
    fn fused<const D: usize>(&self, x: Tensor<D>, activation: Activation, mode: &mut Mode<'_>) -> Tensor<D> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        match mode {
            Mode::Inference => {
                let scale = gamma / (self.running_variance.clone() + self.epsilon).sqrt();
                let shift = beta - self.running_mean.clone() * scale.clone();
                activate(x * scale.unsqueeze() + shift.unsqueeze(), activation)
            }
            Mode::Training { statistics, .. } => {
                let Normalised { output, mean, variance } = batch_norm(x, gamma, beta, self.epsilon as f32, activation);
                statistics.push(Statistics { mean: mean.without_autodiff(), variance: variance.without_autodiff() });
                output
            }
        }
    }
}

impl ResidualModule {
    fn fused(&self, features: Features, mode: &mut Mode<'_>) -> Features {
        let (input, copy) = features.twice();
        let branch = forward(&self.layers, input, mode);
        match (branch, forward(&self.shortcut, copy, mode)) {
            (Features::Map(a), Features::Map(b)) => Features::Map(add(a, b)),
            (a, b) => a.plus(b),
        }
    }
}

impl Operation {
    fn fused(&self, features: Features, mode: &mut Mode<'_>) -> Features {
        match self {
            Self::Relu => features.map(|map| activate(map, Activation::Relu), |vector| activate(vector, Activation::Relu)),
            Self::Gelu => features.map(|map| activate(map, Activation::Gelu), |vector| activate(vector, Activation::Gelu)),
            Self::MaxPool(options) => {
                let pooling = Pooling { max: true, size: options.size.get(), stride: options.step() };
                Features::Map(pool(features.into_map(), pooling))
            }
            Self::AvgPool(options) => {
                let pooling = Pooling { max: false, size: options.size.get(), stride: options.step() };
                Features::Map(pool(features.into_map(), pooling))
            }
            Self::GlobalMaxPool => Features::Vector(global_max_pool(features.into_map())),
            Self::GlobalAvgPool => Features::Vector(global_avg_pool(features.into_map())),
            // Weights of dense layers count channel, row, column.
            Self::Flatten => match features {
                Features::Map(map) => Features::Vector(to_single(map).permute([0, 3, 1, 2]).flatten(1, 3)),
                vector @ Features::Vector(_) => vector,
            },
            Self::Dropout { rate, place } => match (features, mode) {
                (Features::Map(map), Mode::Training { seed, .. }) => {
                    let [batch, height, width, channels] = map.dims();
                    let mask = mask_tensor(seed.child(place), *rate, batch, channels * height * width);
                    Features::Map(masked(map, mask.reshape([batch, channels, height, width]).permute([0, 2, 3, 1])))
                }
                (Features::Vector(vector), Mode::Training { seed, .. }) => {
                    let [batch, size] = vector.dims();
                    Features::Vector(vector * mask_tensor(seed.child(place), *rate, batch, size))
                }
                (features, Mode::Inference) => features,
            },
            Self::SpatialDropout { rate, place } => match mode {
                Mode::Training { seed, .. } => {
                    let map = features.into_map();
                    let [batch, _, _, channels] = map.dims();
                    let mask = mask_tensor(seed.child(place), *rate, batch, channels);
                    Features::Map(masked(map, mask.reshape([batch, 1, 1, channels])))
                }
                Mode::Inference => features,
            },
        }
    }
}
