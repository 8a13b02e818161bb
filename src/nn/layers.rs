//! The layers of a [`Network`](super::Network) as Burn modules, and how features pass through them.
//!
//! Dropout draws its masks from a [`Seed`] instead of Burn's global generator, and batch normalisation hands its batch
//! statistics out instead of changing itself, so that a pass is a function of its arguments.

pub(super) mod fused;

use burn::module::{Module, Param, ParamId};
use burn::tensor::activation::{gelu, relu};
use burn::tensor::module::{avg_pool2d, batch_norm, batch_norm_train, conv2d, linear, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rand::RngExt;
use rayon::prelude::*;

use super::{BatchNorm, Conv, FeatureShape, Layer, LayerError, Pool, Residual, WeightTensor};
use crate::seed::Seed;

/// What passes between layers.
pub(super) enum Features {
    Map(Tensor<4>),    // [N, C, H, W]
    Vector(Tensor<2>), // [N, D]
}

impl Features {
    fn into_map(self) -> Tensor<4> {
        match self {
            Self::Map(map) => map,
            Self::Vector(_) => unreachable!("shapes were checked when the network was built"),
        }
    }

    pub(super) fn into_vector(self) -> Tensor<2> {
        match self {
            Self::Vector(vector) => vector,
            Self::Map(_) => unreachable!("shapes were checked when the network was built"),
        }
    }

    fn map(self, of_map: impl FnOnce(Tensor<4>) -> Tensor<4>, of_vector: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Self {
        match self {
            Self::Map(map) => Self::Map(of_map(map)),
            Self::Vector(vector) => Self::Vector(of_vector(vector)),
        }
    }

    fn twice(self) -> (Self, Self) {
        match self {
            Self::Map(map) => (Self::Map(map.clone()), Self::Map(map)),
            Self::Vector(vector) => (Self::Vector(vector.clone()), Self::Vector(vector)),
        }
    }

    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Map(a), Self::Map(b)) => Self::Map(a + b),
            (a, b) => Self::Vector(a.into_vector() + b.into_vector()),
        }
    }
}

/// What a pass is for.
pub(super) enum Mode<'a> {
    /// Running statistics, no dropout.
    Inference,
    /// Statistics of the batch, dropout drawn from `seed`.
    Training {
        /// The seed of this step.
        seed: Seed,
        /// Receives the statistics of every batch normalisation, in the order of the layers.
        statistics: &'a mut Vec<Statistics>,
        /// Whether products may be of `bf16`.
        half: bool,
    },
}

/// Mean and biased variance of each channel of one batch, without gradients.
pub(super) struct Statistics {
    mean: Tensor<1>,
    variance: Tensor<1>,
}

/// One layer with its parameters.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has a few dozen of them, in one list")]
pub(super) enum LayerModule {
    Conv(ConvModule),
    BatchNorm(BatchNormModule),
    Dense(DenseModule),
    Residual(ResidualModule),
    Stateless(StatelessModule),
}

#[derive(Module, Debug)]
pub(super) struct ConvModule {
    weight: Param<Tensor<4>>, // [out, in, kernel, kernel]
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    options: ConvOptions<2>,
}

#[derive(Module, Debug)]
pub(super) struct BatchNormModule {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    running_mean: Tensor<1>,
    running_variance: Tensor<1>,
    momentum: f64,
    epsilon: f64,
}

#[derive(Module, Debug)]
pub(super) struct DenseModule {
    weight: Param<Tensor<2>>, // [in, out]
    bias: Option<Param<Tensor<1>>>,
}

#[derive(Module, Debug)]
pub(super) struct ResidualModule {
    layers: Vec<LayerModule>,
    shortcut: Vec<LayerModule>, // a convolution and its batch normalisation, or nothing
}

#[derive(Module, Debug)]
pub(super) struct StatelessModule {
    #[module(skip)]
    operation: Operation,
}

/// A layer without parameters.
#[derive(Clone, Debug)]
enum Operation {
    Relu,
    Gelu,
    MaxPool(Pool),
    AvgPool(Pool),
    GlobalMaxPool,
    GlobalAvgPool,
    Flatten,
    Dropout { rate: f64, place: String },
    SpatialDropout { rate: f64, place: String },
}

/// Passes features through a run of layers by Burn's own operations, one layer after the other.
pub(super) fn forward(layers: &[LayerModule], mut features: Features, mode: &mut Mode<'_>) -> Features {
    for layer in layers {
        features = layer.forward(features, mode);
    }
    features
}

impl LayerModule {
    fn forward(&self, features: Features, mode: &mut Mode<'_>) -> Features {
        match self {
            Self::Conv(conv) => Features::Map(conv.forward(features.into_map())),
            Self::BatchNorm(norm) => match features {
                Features::Map(map) => Features::Map(norm.forward(map, mode)),
                Features::Vector(vector) => Features::Vector(norm.forward(vector, mode)),
            },
            Self::Dense(dense) => Features::Vector(dense.forward(features.into_vector())),
            Self::Residual(residual) => residual.forward(features, mode),
            Self::Stateless(layer) => layer.operation.forward(features, mode),
        }
    }

    /// Takes the statistics of a pass into the running ones.
    pub(super) fn update(&mut self, statistics: &mut impl Iterator<Item = Statistics>) {
        match self {
            Self::BatchNorm(norm) => norm.update(statistics.next().expect("every batch normalisation reports its statistics")),
            Self::Residual(residual) => {
                residual.layers.iter_mut().chain(&mut residual.shortcut).for_each(|layer| layer.update(statistics));
            }
            Self::Conv(_) | Self::Dense(_) | Self::Stateless(_) => {}
        }
    }

    /// Takes the gradient of every parameter out of `gradients` and appends it, in the order of
    /// [`super::Architecture::parameters`]; `None` for running statistics.
    pub(super) fn gradients(&self, gradients: &mut Gradients, found: &mut Vec<Option<Vec<f32>>>) {
        fn take<const D: usize>(parameter: &Param<Tensor<D>>, gradients: &mut Gradients) -> Option<Vec<f32>> {
            parameter.val().grad_remove(gradients).map(values)
        }
        match self {
            Self::Conv(conv) => {
                found.push(take(&conv.weight, gradients));
                found.extend(conv.bias.iter().map(|bias| take(bias, gradients)));
            }
            Self::BatchNorm(norm) => found.extend([take(&norm.gamma, gradients), take(&norm.beta, gradients), None, None]),
            Self::Dense(dense) => {
                found.push(take(&dense.weight, gradients));
                found.extend(dense.bias.iter().map(|bias| take(bias, gradients)));
            }
            Self::Residual(residual) => {
                residual.layers.iter().chain(&residual.shortcut).for_each(|layer| layer.gradients(gradients, found));
            }
            Self::Stateless(_) => {}
        }
    }

    /// Appends the values of every parameter, in the order of [`super::Architecture::parameters`].
    pub(super) fn values(&self, found: &mut Vec<Vec<f32>>) {
        match self {
            Self::Conv(conv) => {
                found.push(values(conv.weight.val()));
                found.extend(conv.bias.iter().map(|bias| values(bias.val())));
            }
            Self::BatchNorm(norm) => {
                found.extend(
                    [norm.gamma.val(), norm.beta.val(), norm.running_mean.clone(), norm.running_variance.clone()].map(values),
                );
            }
            Self::Dense(dense) => {
                found.push(values(dense.weight.val()));
                found.extend(dense.bias.iter().map(|bias| values(bias.val())));
            }
            Self::Residual(residual) => {
                residual.layers.iter().chain(&residual.shortcut).for_each(|layer| layer.values(found));
            }
            Self::Stateless(_) => {}
        }
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.without_autodiff().try_into_vec_as::<f32>().expect("float32 tensors in main memory can be read")
}

impl ConvModule {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, self.weight.val(), self.bias.as_ref().map(Param::val), self.options.clone()) // [N, out, H', W']
    }
}

impl DenseModule {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        linear(x, self.weight.val(), self.bias.as_ref().map(Param::val)) // [N, out]
    }
}

impl BatchNormModule {
    fn forward<const D: usize>(&self, x: Tensor<D>, mode: &mut Mode<'_>) -> Tensor<D> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        match mode {
            Mode::Inference => batch_norm(x, gamma, beta, self.running_mean.clone(), self.running_variance.clone(), self.epsilon),
            Mode::Training { statistics, .. } => {
                let result = batch_norm_train(x, gamma, beta, self.epsilon);
                let (mean, variance) = (result.mean.without_autodiff(), result.variance.without_autodiff());
                statistics.push(Statistics { mean, variance });
                result.output
            }
        }
    }

    fn update(&mut self, batch: Statistics) {
        let blend = |old: &Tensor<1>, new: Tensor<1>| {
            old.clone().without_autodiff().mul_scalar(1.0 - self.momentum) + new.mul_scalar(self.momentum)
        };
        let (mean, variance) = (blend(&self.running_mean, batch.mean), blend(&self.running_variance, batch.variance));
        (self.running_mean, self.running_variance) = (mean, variance);
    }
}

impl ResidualModule {
    fn forward(&self, features: Features, mode: &mut Mode<'_>) -> Features {
        let (input, copy) = features.twice();
        let branch = forward(&self.layers, input, mode);
        branch.plus(forward(&self.shortcut, copy, mode))
    }
}

impl Operation {
    fn forward(&self, features: Features, mode: &mut Mode<'_>) -> Features {
        match self {
            Self::Relu => features.map(relu, relu),
            Self::Gelu => features.map(gelu, gelu),
            Self::MaxPool(pool) => {
                let options = MaxPoolOptions::new([pool.size.get(); 2]).with_stride([pool.step(); 2]);
                Features::Map(max_pool2d(features.into_map(), options))
            }
            Self::AvgPool(pool) => {
                let options = AvgPoolOptions::new([pool.size.get(); 2]).with_stride([pool.step(); 2]);
                Features::Map(avg_pool2d(features.into_map(), options))
            }
            Self::GlobalMaxPool => {
                let [batch, channels, height, width] = features.dims_of_map();
                let flat: Tensor<3> = features.into_map().reshape([batch, channels, height * width]);
                Features::Vector(flat.max_dim(2).reshape([batch, channels]))
            }
            Self::GlobalAvgPool => {
                let [batch, channels, height, width] = features.dims_of_map();
                let flat: Tensor<3> = features.into_map().reshape([batch, channels, height * width]);
                Features::Vector(flat.mean_dim(2).reshape([batch, channels]))
            }
            Self::Flatten => match features {
                Features::Map(map) => Features::Vector(map.flatten(1, 3)),
                vector @ Features::Vector(_) => vector,
            },
            Self::Dropout { rate, place } => match (features, mode) {
                (Features::Map(map), Mode::Training { seed, .. }) => {
                    let [batch, channels, height, width] = map.dims();
                    let mask = mask_tensor(seed.child(place), *rate, batch, channels * height * width);
                    Features::Map(map * mask.reshape([batch, channels, height, width]))
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
                    let [batch, channels, _, _] = map.dims();
                    let mask = mask_tensor(seed.child(place), *rate, batch, channels);
                    Features::Map(map * mask.reshape([batch, channels, 1, 1]))
                }
                Mode::Inference => features,
            },
        }
    }
}

impl Features {
    fn dims_of_map(&self) -> [usize; 4] {
        match self {
            Self::Map(map) => map.dims(),
            Self::Vector(_) => unreachable!("shapes were checked when the network was built"),
        }
    }
}

fn mask_tensor(seed: Seed, rate: f64, rows: usize, columns: usize) -> Tensor<2> {
    Tensor::from_data(TensorData::new(dropout_mask(seed, rate, rows, columns), [rows, columns]), &Device::flex())
}

/// A mask of 0 with probability `rate`, else 1 / (1 − rate): `[rows, columns]`. Each row draws from a seed of its own.
pub(super) fn dropout_mask(seed: Seed, rate: f64, rows: usize, columns: usize) -> Vec<f32> {
    let threshold = (rate * f64::from(u32::MAX)) as u32;
    let kept = (1.0 / (1.0 - rate)) as f32;
    let mut mask = vec![0.0; rows * columns];
    mask.par_chunks_mut(columns).enumerate().for_each(|(row, values)| {
        let mut rng = seed.index(row as u64).rng();
        for value in values {
            *value = if rng.random::<u32>() < threshold { 0.0 } else { kept };
        }
    });
    mask
}

/// Builds layer modules from tensors that come in the order of [`super::Architecture::parameters`].
pub(super) struct Builder<'a> {
    tensors: std::slice::Iter<'a, WeightTensor>,
    taken: u64,
}

impl<'a> Builder<'a> {
    pub(super) fn new(tensors: &'a [WeightTensor]) -> Self {
        Self { tensors: tensors.iter(), taken: 0 }
    }

    /// The modules of `layers`, which stand at `place` (`""`, or `3.layers.`) and are given features of shape `shape`.
    pub(super) fn layers(
        &mut self,
        layers: &[Layer],
        place: &str,
        mut shape: FeatureShape,
    ) -> Result<Vec<LayerModule>, LayerError> {
        let mut modules = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let place = format!("{place}{index}");
            modules.push(self.layer(layer, &place, shape)?);
            shape = layer.output(shape, &place)?;
        }
        Ok(modules)
    }

    fn layer(&mut self, layer: &Layer, place: &str, before: FeatureShape) -> Result<LayerModule, LayerError> {
        let operation = match layer {
            Layer::Conv(conv) => return Ok(self.convolution(conv, conv.stride.get())),
            Layer::BatchNorm(norm) => return Ok(self.batch_norm(norm)),
            Layer::Dense(dense) => {
                let weight = self.parameter();
                let bias = dense.bias.then(|| self.parameter());
                return Ok(LayerModule::Dense(DenseModule { weight, bias }));
            }
            Layer::Residual(residual) => return self.residual(residual, place, before),
            Layer::Relu(_) => Operation::Relu,
            Layer::Gelu(_) => Operation::Gelu,
            Layer::MaxPool(pool) => Operation::MaxPool(*pool),
            Layer::AvgPool(pool) => Operation::AvgPool(*pool),
            Layer::GlobalMaxPool(_) => Operation::GlobalMaxPool,
            Layer::GlobalAvgPool(_) => Operation::GlobalAvgPool,
            Layer::Flatten(_) => Operation::Flatten,
            Layer::Dropout(dropout) => Operation::Dropout { rate: dropout.rate.get(), place: place.to_owned() },
            Layer::SpatialDropout(dropout) => Operation::SpatialDropout { rate: dropout.rate.get(), place: place.to_owned() },
        };
        Ok(LayerModule::Stateless(StatelessModule { operation }))
    }

    fn convolution(&mut self, conv: &Conv, stride: usize) -> LayerModule {
        let options = ConvOptions::new([stride; 2], [conv.pad(); 2], [1; 2], 1);
        let weight = self.parameter();
        let bias = conv.bias.then(|| self.parameter());
        LayerModule::Conv(ConvModule { weight, bias, options })
    }

    fn batch_norm(&mut self, norm: &BatchNorm) -> LayerModule {
        LayerModule::BatchNorm(BatchNormModule {
            gamma: self.parameter(),
            beta: self.parameter(),
            running_mean: self.tensor(),
            running_variance: self.tensor(),
            momentum: norm.momentum.get(),
            epsilon: norm.epsilon.get(),
        })
    }

    fn residual(&mut self, residual: &Residual, place: &str, before: FeatureShape) -> Result<LayerModule, LayerError> {
        let layers = self.layers(&residual.layers, &format!("{place}.layers."), before)?;
        let after = residual.inner_output(before, place)?;
        let mut shortcut = Vec::new();
        if let Some(stride) = residual.projection(before, after, place)? {
            let options = ConvOptions::new([stride; 2], [0; 2], [1; 2], 1);
            shortcut.push(LayerModule::Conv(ConvModule { weight: self.parameter(), bias: None, options }));
            shortcut.push(self.batch_norm(&BatchNorm::default()));
        }
        Ok(LayerModule::Residual(ResidualModule { layers, shortcut }))
    }

    /// The next tensor as a parameter that is trained. Its id is its position among all.
    fn parameter<const D: usize>(&mut self) -> Param<Tensor<D>> {
        let id = ParamId::from(self.taken);
        Param::initialized(id, self.tensor()).set_require_grad(true)
    }

    fn tensor<const D: usize>(&mut self) -> Tensor<D> {
        self.taken += 1;
        let tensor = self.tensors.next().expect("weights were checked against the architecture");
        Tensor::from_data(TensorData::new(tensor.values.clone(), tensor.shape.clone()), &Device::flex())
    }
}
