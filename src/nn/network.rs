//! `Network`: the Burn module built from an [`Architecture`] and its [`Weights`].

use burn::module::{Module, ParamId};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use super::layers::{Builder, Features, LayerModule, Mode, forward, fused};
use super::{Architecture, LayerError, ParameterKind, Weights, accelerated};
use crate::data::ImageShape;
use crate::seed::Seed;

/// A network that can be run and trained. It takes pixels 0–255 and gives logits; the normalisation of pixels is inside.
///
/// It is built without gradients, for inference; [`Module::train`] gives a network whose passes can be differentiated,
/// [`Module::valid`] leads back. The id of a Burn parameter is its position in [`Architecture::parameters`].
#[derive(Module, Debug)]
pub struct Network {
    layers: Vec<LayerModule>,
    scale: Tensor<1>, // [C]
    shift: Tensor<1>, // [C]
    #[module(skip)]
    input: ImageShape,
    classes: usize,
    /// Whether our own kernels compute; else Burn's operations do.
    kernels: bool,
    /// Whether training passes compute maps in `bf16`.
    half: bool,
}

impl Network {
    /// A network of the given architecture and weights.
    ///
    /// # Errors
    /// When the weights are not those of the architecture, or a layer does not fit.
    pub fn from_weights(architecture: &Architecture, weights: &Weights) -> anyhow::Result<Self> {
        architecture.check()?;
        let tensors = weights.tensors();
        Weights::check(architecture, tensors)?;
        let input = architecture.shapes()?[0];
        let layers = Builder::new(tensors).layers(&architecture.layers, "", input)?;
        let normalisation = &architecture.normalisation;
        let pairs = normalisation.mean.iter().zip(&normalisation.deviation);
        let (scale, shift): (Vec<f32>, Vec<f32>) =
            pairs.map(|(mean, deviation)| (1.0 / (255.0 * deviation), -mean / deviation)).unzip();
        let channels = architecture.input.channels;
        let constant = |values| Tensor::from_data(TensorData::new(values, [channels]), &Device::flex());
        Ok(Self {
            layers,
            scale: constant(scale),
            shift: constant(shift),
            input: architecture.input,
            classes: architecture.classes,
            kernels: accelerated::is_available(&Device::flex()),
            half: false,
        })
    }

    /// The same network, computed by Burn's own operations: what the kernels are checked against.
    pub fn by_burn(self) -> Self {
        Self { kernels: false, ..self }
    }

    /// The same network, whose training passes compute maps of features and their gradients in `bf16`, where kernels and machine
    /// do that well ([`accelerated::has_half`]). Weights, their gradients, statistics and inference stay float32.
    pub fn in_half(self) -> Self {
        Self { half: self.kernels && accelerated::has_half(), ..self }
    }

    /// The weights as they are now.
    ///
    /// # Panics
    /// When `architecture` is not the one the network was built from.
    pub fn to_weights(&self, architecture: &Architecture) -> Weights {
        Weights::from_values(architecture, self.values()).expect("the network was built from this architecture")
    }

    /// The shape of the images it takes.
    pub fn input(&self) -> ImageShape {
        self.input
    }

    /// How many classes it tells apart.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The values of every parameter, in the order of [`Architecture::parameters`].
    pub fn values(&self) -> Vec<Vec<f32>> {
        let mut found = Vec::new();
        self.layers.iter().for_each(|layer| layer.values(&mut found));
        found
    }

    /// The gradient of every parameter, taken out of `gradients`, in the order of [`Architecture::parameters`]; `None` for
    /// running statistics, which have none.
    pub fn gradients(&self, gradients: &mut Gradients) -> Vec<Option<Vec<f32>>> {
        let mut found = Vec::new();
        self.layers.iter().for_each(|layer| layer.gradients(gradients, &mut found));
        found
    }

    /// Logits of images, as in use: running statistics, no dropout.
    /// `[N, H, W, C]`, pixels 0–255 → `[N, classes]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.run(images, &mut Mode::Inference)
    }

    /// Logits of a batch, as in training: statistics of the batch, dropout drawn from `seed`. The running statistics take
    /// in those of the batch (its biased variance).
    /// `[N, H, W, C]`, pixels 0–255 → `[N, classes]`.
    pub fn forward_training(&mut self, images: Tensor<4>, seed: Seed) -> Tensor<2> {
        let mut statistics = Vec::new();
        let logits = self.run(images, &mut Mode::Training { seed, statistics: &mut statistics, half: self.half });
        let mut statistics = statistics.into_iter();
        self.layers.iter_mut().for_each(|layer| layer.update(&mut statistics));
        logits
    }

    fn run(&self, images: Tensor<4>, mode: &mut Mode<'_>) -> Tensor<2> {
        let (scale, shift) = (self.scale.clone(), self.shift.clone());
        if self.kernels {
            // Without convolutions there is nothing to gain.
            let convolves = self.layers.iter().any(|layer| matches!(layer, LayerModule::Conv(_) | LayerModule::Residual(_)));
            let half = self.half && convolves && matches!(mode, Mode::Training { .. });
            let x = accelerated::scale_shift(images, scale, shift, half); // [N, H, W, C]
            return fused::forward(&self.layers, Features::Map(x), mode).into_vector();
        }
        let x = images * scale.unsqueeze() + shift.unsqueeze();
        let x = x.permute([0, 3, 1, 2]); // [N, C, H, W]
        forward(&self.layers, Features::Map(x), mode).into_vector() // [N, classes]
    }
}

/// The ids of the parameters of `architecture` that weight decay applies to: weights of convolutions and dense layers, not
/// biases and not the scales and shifts of batch normalisations.
///
/// # Errors
/// When a layer does not fit.
pub fn decaying_parameters(architecture: &Architecture) -> Result<Vec<ParamId>, LayerError> {
    let parameters = architecture.parameters()?;
    let decays = |kind| matches!(kind, ParameterKind::ConvWeight | ParameterKind::DenseWeight);
    Ok((0u64..).zip(parameters).filter(|(_, parameter)| decays(parameter.kind)).map(|(index, _)| ParamId::from(index)).collect())
}

/// The ids of the weights of convolutions and of all dense layers but the last.
///
/// # Errors
/// When a layer of the architecture does not fit.
pub fn hidden_weights(architecture: &Architecture) -> Result<Vec<ParamId>, LayerError> {
    let parameters = architecture.parameters()?;
    let weights = |kind| matches!(kind, ParameterKind::ConvWeight | ParameterKind::DenseWeight);
    let last = parameters.iter().rposition(|parameter| parameter.kind == ParameterKind::DenseWeight);
    let hidden = parameters.iter().enumerate().filter(|(index, parameter)| weights(parameter.kind) && Some(*index) != last);
    Ok(hidden.map(|(index, _)| ParamId::from(index as u64)).collect())
}

/// A tensor of pixels, `[N, H, W, C]`, from their values 0–255 as floats in that order.
pub fn image_tensor(pixels: Vec<f32>, shape: ImageShape) -> Tensor<4> {
    let count = pixels.len() / shape.pixels();
    Tensor::from_data(TensorData::new(pixels, [count, shape.height, shape.width, shape.channels]), &Device::flex())
}

/// Appends an image `[C, H, W]` to `pixels` as floats in the order `[H, W, C]`.
pub fn push_image(image: &[u8], channels: usize, pixels: &mut Vec<f32>) {
    if channels == 1 {
        pixels.extend(image.iter().map(|&pixel| f32::from(pixel)));
        return;
    }
    let plane = image.len() / channels;
    for place in 0..plane {
        pixels.extend((0..channels).map(|channel| f32::from(image[channel * plane + place])));
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
