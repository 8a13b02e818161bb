//! What a network takes in memory: numbers that its layers keep for the backward pass and pass on, counted as the kernels join layers
//! (`nn/layers/fused.rs`).

use crate::nn::{Architecture, FeatureShape, Layer, LayerError, ParameterKind, Residual};

/// Numbers of a network, for one image where they depend on images.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NetworkSizes {
    /// All weights.
    pub weights: u64,
    /// Numbers of maps that training keeps for the backward pass.
    pub maps: u64,
    /// The same of vectors, and of what is float32 in any precision.
    pub vectors: u64,
    /// What a layer is given and gives: the most of any.
    pub passing: u64,
    /// Numbers that layers give in prediction, those of one kernel counted once.
    pub given: u64,
    /// The largest map with the zeros around it.
    pub framed: u64,
    /// The layer with most weights.
    pub heaviest: Place,
    /// The layer that keeps most.
    pub widest: Place,
}

/// A layer, and how much it has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place {
    /// Its place and name: ``layer 3 (`conv`)``.
    pub layer: String,
    numbers: u64,
}

impl Place {
    fn at_least(&mut self, numbers: u64, place: &str, name: &str) {
        if numbers > self.numbers || self.layer.is_empty() {
            *self = Self { layer: format!("layer {place} (`{name}`)"), numbers };
        }
    }
}

impl NetworkSizes {
    /// The sizes of a network.
    ///
    /// # Errors
    /// The first layer that does not fit.
    pub fn of(architecture: &Architecture) -> Result<Self, LayerError> {
        let mut sizes = Self::default();
        for parameter in architecture.parameters()? {
            let numbers = parameter.shape.iter().product::<usize>() as u64;
            sizes.weights = sizes.weights.saturating_add(numbers);
            let place = parameter.name.rsplit_once('.').map_or("", |(place, _)| place);
            sizes.heaviest.at_least(numbers, place, layer_of(parameter.kind));
        }
        let first = *architecture.shapes()?.first().expect("starts with one");
        sizes.walk(&architecture.layers, first, "")?;
        Ok(sizes)
    }

    /// Goes through a list of layers that stands at `prefix`; the shape after the last.
    fn walk(&mut self, layers: &[Layer], mut shape: FeatureShape, prefix: &str) -> Result<FeatureShape, LayerError> {
        let mut index = 0;
        while let Some(layer) = layers.get(index) {
            let place = format!("{prefix}{index}");
            let before = shape;
            let whole = layer.output(before, &place)?;
            let (mut after, mut taken) = (whole, 1);
            let numbers = whole.len() as u64;
            let is_map = matches!(whole, FeatureShape::Map { .. });
            let kept = match layer {
                Layer::Conv(options) => {
                    if let FeatureShape::Map { channels, height, width } = before {
                        let framed = channels as u64 * (height + 2 * options.pad()) as u64 * (width + 2 * options.pad()) as u64;
                        self.framed = self.framed.max(framed);
                    }
                    let is_normalised = matches!(layers.get(index + 1), Some(Layer::BatchNorm(_)));
                    taken += usize::from(is_normalised);
                    let activation = activation(layers.get(index + taken));
                    taken += usize::from(activation.is_some());
                    let mut pooled = None;
                    if let Some(pool @ Layer::MaxPool(options)) = layers.get(index + taken)
                        && (options.size.get(), options.step()) == (2, 2)
                    {
                        after = pool.output(whole, &place)?;
                        (pooled, taken) = (Some(after.len() as u64), taken + 1);
                    }
                    match (is_normalised, activation, pooled) {
                        (false, Some(Activation::Relu), Some(pooled)) => pooled + pooled / 2,
                        (false, Some(Activation::Gelu), _) => 2 * numbers + pooled.unwrap_or(0),
                        (false, ..) => numbers + pooled.unwrap_or(0),
                        (true, Some(Activation::Gelu), _) => 3 * numbers + pooled.unwrap_or(0),
                        (true, _, Some(pooled)) => numbers + 2 * pooled + pooled / 2,
                        (true, _, None) => 2 * numbers,
                    }
                }
                Layer::BatchNorm(_) | Layer::Dense(_) => {
                    let activation = activation(layers.get(index + 1));
                    taken += usize::from(activation.is_some());
                    if activation == Some(Activation::Gelu) { 2 * numbers } else { numbers }
                }
                Layer::Residual(residual) => numbers + self.residual(residual, before, whole, &place)?,
                Layer::MaxPool(_) | Layer::AvgPool(_) | Layer::GlobalMaxPool(_) | Layer::GlobalAvgPool(_) => numbers,
                Layer::Relu(_) | Layer::Gelu(_) => numbers,
                Layer::Flatten(_) | Layer::Dropout(_) | Layer::SpatialDropout(_) => {
                    // Masks, and maps that are turned, are of float32.
                    self.vectors += 2 * numbers;
                    0
                }
            };
            *(if is_map { &mut self.maps } else { &mut self.vectors }) += kept;
            self.given += after.len() as u64;
            self.passing = self.passing.max((before.len() + whole.len()) as u64);
            self.widest.at_least(kept.max(numbers), &place, layer.name());
            shape = after;
            index += taken;
        }
        Ok(shape)
    }

    /// The layers of a block; what its shortcut keeps.
    fn residual(&mut self, block: &Residual, before: FeatureShape, after: FeatureShape, place: &str) -> Result<u64, LayerError> {
        self.walk(&block.layers, before, &format!("{place}.layers."))?;
        let projects = block.projection(before, after, place)?.is_some();
        Ok(if projects { 2 * after.len() as u64 } else { 0 })
    }
}

/// The layer that has parameters of a kind.
fn layer_of(kind: ParameterKind) -> &'static str {
    match kind {
        ParameterKind::ConvWeight => "conv",
        ParameterKind::DenseWeight => "dense",
        ParameterKind::Bias => "bias",
        ParameterKind::Gamma | ParameterKind::Beta | ParameterKind::RunningMean | ParameterKind::RunningVariance => "batch_norm",
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Activation {
    Relu,
    Gelu,
}

fn activation(layer: Option<&Layer>) -> Option<Activation> {
    match layer {
        Some(Layer::Relu(_)) => Some(Activation::Relu),
        Some(Layer::Gelu(_)) => Some(Activation::Gelu),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::nn::{Normalisation, Views};

    fn sizes(layers: &str) -> NetworkSizes {
        NetworkSizes::of(&Architecture {
            input: ImageShape::MNIST,
            classes: 10,
            normalisation: Normalisation { mean: vec![0.0], deviation: vec![1.0] },
            layers: serde_json::from_str(layers).unwrap(),
            views: Views::default(),
        })
        .unwrap()
    }

    #[test]
    fn layers_that_a_kernel_joins_keep_what_it_keeps() {
        let area = 28 * 28;
        let joined = sizes(r#"[{"conv": {"filters": 8}}, {"relu": {}}, {"max_pool": {}}]"#);
        assert_eq!((joined.weights, joined.maps, joined.given), (80, 8 * area / 4 * 3 / 2, 8 * area / 4));
        let apart = sizes(r#"[{"conv": {"filters": 8}}, {"gelu": {}}, {"max_pool": {"size": 2, "stride": 1}}]"#);
        assert_eq!(apart.maps, 2 * 8 * area + 8 * 27 * 27);
        let normalised = sizes(r#"[{"conv": {"filters": 8}}, {"batch_norm": {}}, {"relu": {}}]"#);
        assert_eq!((normalised.maps, normalised.passing), (2 * 8 * area, 9 * area));
        assert_eq!(normalised.framed, 30 * 30);
    }

    #[test]
    fn the_heaviest_and_the_widest_layer_are_named() {
        let found = sizes(
            r#"[{"residual": {"layers": [{"conv": {"filters": 64}}]}}, {"max_pool": {"size": 14}}, {"flatten": {}}, {"dense": {"units": 4000}}]"#,
        );
        assert_eq!(found.heaviest.layer, "layer 3 (`dense`)");
        assert_eq!(found.widest.layer, "layer 0 (`residual`)");
    }
}
