//! An architecture: layers as data, from which shapes, arithmetic, parameters, a Burn module and an ONNX graph follow.

use serde::{Deserialize, Serialize};

use super::{FeatureShape, LayerError, MOST_VALUES, MOST_WEIGHTS, Views, Windows, volume};
use crate::data::ImageShape;
use crate::units::{Count, DropRate, Positive};

/// One layer. Feature maps are `[N, C, H, W]`, vectors `[N, D]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Two-dimensional convolution.
    Conv(Conv),
    /// Batch normalisation over each channel (Ioffe and Szegedy, 2015).
    BatchNorm(BatchNorm),
    /// max(x, 0).
    Relu(Plain),
    /// Gaussian error linear unit, x·Φ(x) with the exact Φ (Hendrycks and Gimpel, 2016).
    Gelu(Plain),
    /// Largest value of each window.
    MaxPool(Pool),
    /// Mean of each window.
    AvgPool(Pool),
    /// Largest value of each channel: `[N, C, H, W]` → `[N, C]`.
    GlobalMaxPool(Plain),
    /// Mean of each channel: `[N, C, H, W]` → `[N, C]`.
    GlobalAvgPool(Plain),
    /// Zeroes single values while training (Srivastava and others, 2014).
    Dropout(Dropout),
    /// Zeroes whole channels while training (Tompson and others, 2015).
    SpatialDropout(Dropout),
    /// Fully connected layer; takes vectors.
    Dense(Dense),
    /// Feature maps to vectors, in the order channel, row, column.
    Flatten(Plain),
    /// x + f(x) (He and others, 2016).
    Residual(Residual),
}

/// The options of a layer that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plain {}

/// Options of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    /// Output channels.
    pub filters: Count,
    /// Rows and columns of the kernel.
    #[serde(default = "three")]
    pub kernel: Count,
    /// Step between windows, in rows and columns.
    #[serde(default = "one")]
    pub stride: Count,
    /// What lies beyond the border.
    #[serde(default)]
    pub padding: Padding,
    /// Whether a bias is added to each channel. Superfluous in front of a batch normalisation.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// What a convolution sees beyond the border.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// (kernel − 1) / 2 zeros on every side, so that stride 1 keeps the size. The kernel must be odd.
    #[default]
    Same,
    /// Nothing: windows stay inside.
    Valid,
}

/// Options of a batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Share of the newest batch in the running statistics.
    #[serde(default = "momentum")]
    pub momentum: DropRate,
    /// Added to the variance.
    #[serde(default = "epsilon")]
    pub epsilon: Positive,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { momentum: momentum(), epsilon: epsilon() }
    }
}

/// Options of a pooling layer. Windows stay inside the feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Rows and columns of the window.
    #[serde(default = "two")]
    pub size: Count,
    /// Step between windows; the size of the window unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Count>,
}

impl Pool {
    /// Step between windows.
    pub fn step(&self) -> usize {
        self.stride.unwrap_or(self.size).get()
    }
}

/// Options of a dropout layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Chance of a value to be zeroed; the others are scaled by 1 / (1 − rate).
    pub rate: DropRate,
}

/// Options of a fully connected layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Outputs.
    pub units: Count,
    /// Whether a bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// Options of a residual block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// The layers of f. Where they change channels or size, the shortcut is a 1×1 convolution without bias, of fitting
    /// stride, and a batch normalisation (option B of He and others, 2016); else it is the identity.
    pub layers: Vec<Layer>,
}

fn one() -> Count {
    Count::new(1).expect("1 is a count")
}
fn two() -> Count {
    Count::new(2).expect("2 is a count")
}
fn three() -> Count {
    Count::new(3).expect("3 is a count")
}
fn yes() -> bool {
    true
}
fn momentum() -> DropRate {
    DropRate::new(0.1).expect("0.1 is in range")
}
fn epsilon() -> Positive {
    Positive::new(1e-5).expect("1e-5 is in range")
}

/// A network as data: from pixels 0–255, `[N, C, H, W]`, to logits, `[N, classes]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// The shape of an image.
    pub input: ImageShape,
    /// How many classes; the last layer has as many outputs.
    pub classes: usize,
    /// What is done to pixels first.
    pub normalisation: Normalisation,
    /// The layers, first to last. The last must give a vector of `classes` logits.
    pub layers: Vec<Layer>,
    /// The views of an image over which probabilities are averaged.
    #[serde(default, skip_serializing_if = "Views::is_single")]
    pub views: Views,
}

/// The first step of every network: (pixel / 255 − mean) / deviation, by channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean of each channel over the training data, in 0–1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel over the training data, in 0–1.
    pub deviation: Vec<f32>,
}

/// What a parameter is, which decides how it starts and whether it decays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Weights of a convolution, `[out, in, kernel, kernel]`.
    ConvWeight,
    /// Weights of a dense layer, `[in, out]`.
    DenseWeight,
    /// A bias, `[out]`.
    Bias,
    /// Scale of a batch normalisation, `[C]`.
    Gamma,
    /// Shift of a batch normalisation, `[C]`.
    Beta,
    /// Running mean of a batch normalisation, `[C]`; not trained.
    RunningMean,
    /// Running variance of a batch normalisation, `[C]`; not trained.
    RunningVariance,
}

/// One parameter of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name: the place of its layer, then what it is: `0.weight`, `3.layers.1.gamma`, `3.shortcut.weight`,
    /// `3.shortcut.running_mean`.
    pub name: String,
    /// What it is.
    pub kind: ParameterKind,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Architecture {
    /// The shape of the features before each top-level layer, and after the last.
    ///
    /// # Errors
    /// The first layer that does not fit what comes before it.
    pub fn shapes(&self) -> Result<Vec<FeatureShape>, LayerError> {
        let ImageShape { channels, height, width } = self.input;
        ImageShape::new(channels, height, width).map_err(|message| LayerError { place: "images".into(), message })?;
        let mut shapes = vec![FeatureShape::Map { channels, height, width }];
        for (index, layer) in self.layers.iter().enumerate() {
            let next = layer.output(*shapes.last().expect("starts with one"), &index.to_string())?;
            shapes.push(next);
        }
        Ok(shapes)
    }

    /// Checks that every layer fits and that the last gives one logit for each class.
    ///
    /// # Errors
    /// The first layer that does not fit.
    pub fn check(&self) -> Result<(), LayerError> {
        let Normalisation { mean, deviation } = &self.normalisation;
        let channels = self.input.channels;
        if mean.len() != channels || deviation.len() != channels || deviation.iter().any(|&deviation| deviation <= 0.0) {
            return Err(LayerError {
                place: "normalisation".into(),
                message: format!("needs one mean and one deviation above 0 for each of the {channels} channels"),
            });
        }
        self.views.check(self.input)?;
        let (classes, last) = (self.classes, *self.shapes()?.last().expect("starts with one"));
        if last == FeatureShape::Vector(classes) {
            return Ok(());
        }
        let before = if matches!(last, FeatureShape::Map { .. }) { "`flatten` or a global pool, and " } else { "" };
        Err(LayerError {
            place: format!("layer {}", self.layers.len().saturating_sub(1)),
            message: format!(
                "the network ends with {last} values, but there are {classes} classes; end with {before}`dense: {{ units: {classes} }}`"
            ),
        })
    }

    /// Arithmetic of one image's way through the network, in all its views: two operations for each multiply-add of
    /// convolutions and dense layers. Other layers are not counted, as is usual.
    ///
    /// # Errors
    /// As [`Architecture::shapes`].
    pub fn flops(&self) -> Result<u64, LayerError> {
        let shapes = self.shapes()?;
        let mut sum = 0_u64;
        for (layer, (&before, &after)) in self.layers.iter().zip(shapes.iter().zip(&shapes[1..])) {
            sum = sum.saturating_add(layer.flops(before, after)?);
        }
        Ok(sum.saturating_mul(self.views.count() as u64))
    }

    /// Every parameter in the order of the layers: what a file of weights must hold.
    ///
    /// # Errors
    /// As [`Architecture::shapes`].
    pub fn parameters(&self) -> Result<Vec<Parameter>, LayerError> {
        let shapes = self.shapes()?;
        let mut found = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            layer.parameters(shapes[index], &index.to_string(), &mut found)?;
        }
        Ok(found)
    }
}

impl Residual {
    /// Whether the shortcut needs a projection, and with which stride, given shapes before and after the layers.
    ///
    /// # Errors
    /// When no stride makes the shapes meet; `place` names the block.
    pub fn projection(&self, before: FeatureShape, after: FeatureShape, place: &str) -> Result<Option<usize>, LayerError> {
        if before == after {
            return Ok(None);
        }
        let fault = || LayerError {
            place: format!("layer {place}"),
            message: format!("a residual block cannot add {before} and {after}: no 1×1 convolution leads from one to the other"),
        };
        let (FeatureShape::Map { height, width, .. }, FeatureShape::Map { height: rows, width: columns, .. }) = (before, after)
        else {
            return Err(fault());
        };
        let stride = height.div_ceil(rows);
        if height.div_ceil(stride) == rows && width.div_ceil(stride) == columns { Ok(Some(stride)) } else { Err(fault()) }
    }

    /// The shape after the layers of f.
    ///
    /// # Errors
    /// The first layer that does not fit.
    pub fn inner_output(&self, before: FeatureShape, place: &str) -> Result<FeatureShape, LayerError> {
        self.layers
            .iter()
            .enumerate()
            .try_fold(before, |shape, (index, layer)| layer.output(shape, &format!("{place}.layers.{index}")))
    }
}

impl Layer {
    /// The name in YAML.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "conv",
            Self::BatchNorm(_) => "batch_norm",
            Self::Relu(_) => "relu",
            Self::Gelu(_) => "gelu",
            Self::MaxPool(_) => "max_pool",
            Self::AvgPool(_) => "avg_pool",
            Self::GlobalMaxPool(_) => "global_max_pool",
            Self::GlobalAvgPool(_) => "global_avg_pool",
            Self::Dropout(_) => "dropout",
            Self::SpatialDropout(_) => "spatial_dropout",
            Self::Dense(_) => "dense",
            Self::Flatten(_) => "flatten",
            Self::Residual(_) => "residual",
        }
    }

    /// The shape of the features after this layer, which stands at `place`.
    ///
    /// # Errors
    /// When the layer does not fit `before`.
    pub fn output(&self, before: FeatureShape, place: &str) -> Result<FeatureShape, LayerError> {
        let fault =
            |message: String| LayerError { place: format!("layer {place}"), message: format!("`{}` {message}", self.name()) };
        let map = || match before {
            FeatureShape::Map { channels, height, width } => Ok((channels, height, width)),
            FeatureShape::Vector(size) => Err(fault(format!("takes feature maps, but is given vectors of {size}"))),
        };
        let windows = |side: usize, size: usize, step: usize, padding: usize| {
            let windows = Windows { size, dilation: 1, step, padding: [padding; 2] };
            windows.count(side).map_err(|error| fault(format!("{error} {before}")))
        };
        let after = match self {
            Self::Conv(conv) => {
                let (_, height, width) = map()?;
                let (kernel, stride) = (conv.kernel.get(), conv.stride.get());
                if conv.padding == Padding::Same && kernel % 2 == 0 {
                    return Err(fault(format!("has an even kernel of {kernel}; `padding: same` needs an odd one")));
                }
                FeatureShape::Map {
                    channels: conv.filters.get(),
                    height: windows(height, kernel, stride, conv.pad())?,
                    width: windows(width, kernel, stride, conv.pad())?,
                }
            }
            Self::MaxPool(pool) | Self::AvgPool(pool) => {
                let (channels, height, width) = map()?;
                FeatureShape::Map {
                    channels,
                    height: windows(height, pool.size.get(), pool.step(), 0)?,
                    width: windows(width, pool.size.get(), pool.step(), 0)?,
                }
            }
            Self::GlobalMaxPool(_) | Self::GlobalAvgPool(_) => FeatureShape::Vector(map()?.0),
            Self::SpatialDropout(_) => map().map(|_| before)?,
            Self::Dense(dense) => match before {
                FeatureShape::Vector(_) => FeatureShape::Vector(dense.units.get()),
                FeatureShape::Map { .. } => {
                    return Err(fault(format!(
                        "takes vectors, but is given feature maps {before}; put `flatten` or a global pool before it"
                    )));
                }
            },
            Self::Flatten(_) => FeatureShape::Vector(before.len()),
            Self::Residual(residual) => {
                let after = residual.inner_output(before, place)?;
                residual.projection(before, after, place)?;
                after
            }
            Self::BatchNorm(_) | Self::Relu(_) | Self::Gelu(_) | Self::Dropout(_) => before,
        };
        if !after.is_bounded() {
            return Err(fault(format!("gives {after} numbers for an image; {MOST_VALUES} are the most")));
        }
        let weights = match self {
            Self::Conv(conv) => volume([conv.filters.get(), before.channels(), conv.kernel.get(), conv.kernel.get()]),
            Self::Dense(dense) => volume([before.len(), dense.units.get()]),
            _ => Some(0),
        };
        if weights.is_none_or(|weights| weights > MOST_WEIGHTS) {
            return Err(fault(format!("has more weights than {MOST_WEIGHTS}, the most of a layer")));
        }
        Ok(after)
    }

    fn flops(&self, before: FeatureShape, after: FeatureShape) -> Result<u64, LayerError> {
        let multiply_adds = match self {
            Self::Conv(conv) => after.len() * before.channels() * conv.kernel.get() * conv.kernel.get(),
            Self::Dense(_) => before.len() * after.len(),
            Self::Residual(residual) => {
                let mut shape = before;
                let mut sum = 0;
                for layer in &residual.layers {
                    let next = layer.output(shape, "")?;
                    sum = layer.flops(shape, next)?.saturating_add(sum);
                    shape = next;
                }
                if residual.projection(before, after, "")?.is_some() {
                    sum = sum.saturating_add(2 * (after.len() * before.channels()) as u64);
                }
                return Ok(sum);
            }
            _ => 0,
        };
        // At most the weights of a layer times the values that it gives, both of which are bounded.
        Ok(2 * multiply_adds as u64)
    }

    fn parameters(&self, before: FeatureShape, place: &str, found: &mut Vec<Parameter>) -> Result<(), LayerError> {
        let mut add = |name: String, kind, shape: &[usize]| found.push(Parameter { name, kind, shape: shape.to_vec() });
        match self {
            Self::Conv(conv) => {
                let (filters, kernel) = (conv.filters.get(), conv.kernel.get());
                add(format!("{place}.weight"), ParameterKind::ConvWeight, &[filters, before.channels(), kernel, kernel]);
                if conv.bias {
                    add(format!("{place}.bias"), ParameterKind::Bias, &[filters]);
                }
            }
            Self::Dense(dense) => {
                add(format!("{place}.weight"), ParameterKind::DenseWeight, &[before.len(), dense.units.get()]);
                if dense.bias {
                    add(format!("{place}.bias"), ParameterKind::Bias, &[dense.units.get()]);
                }
            }
            Self::BatchNorm(_) => batch_norm_parameters(before.channels(), place, &mut add),
            Self::Residual(residual) => {
                let mut shape = before;
                for (index, layer) in residual.layers.iter().enumerate() {
                    let place = format!("{place}.layers.{index}");
                    layer.parameters(shape, &place, found)?;
                    shape = layer.output(shape, &place)?;
                }
                if residual.projection(before, shape, place)?.is_some() {
                    let place = format!("{place}.shortcut");
                    let mut add =
                        |name: String, kind, shape: &[usize]| found.push(Parameter { name, kind, shape: shape.to_vec() });
                    add(format!("{place}.weight"), ParameterKind::ConvWeight, &[shape.channels(), before.channels(), 1, 1]);
                    batch_norm_parameters(shape.channels(), &place, &mut add);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn batch_norm_parameters(channels: usize, place: &str, add: &mut impl FnMut(String, ParameterKind, &[usize])) {
    add(format!("{place}.gamma"), ParameterKind::Gamma, &[channels]);
    add(format!("{place}.beta"), ParameterKind::Beta, &[channels]);
    add(format!("{place}.running_mean"), ParameterKind::RunningMean, &[channels]);
    add(format!("{place}.running_variance"), ParameterKind::RunningVariance, &[channels]);
}

impl Conv {
    /// Zeros on every side of the feature map.
    pub fn pad(&self) -> usize {
        match self.padding {
            Padding::Same => (self.kernel.get() - 1) / 2,
            Padding::Valid => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn architecture(layers: &str) -> Architecture {
        Architecture {
            input: ImageShape::MNIST,
            classes: 10,
            normalisation: Normalisation { mean: vec![0.0], deviation: vec![1.0] },
            layers: serde_json::from_str(layers).unwrap(),
            views: Views::default(),
        }
    }

    #[test]
    fn shapes_flops_and_parameters_of_a_small_network_are_those_counted_by_hand() {
        let network = architecture(
            r#"[{"conv": {"filters": 32}}, {"relu": {}}, {"max_pool": {}}, {"conv": {"filters": 64}}, {"relu": {}}, {"max_pool": {}},
                {"flatten": {}}, {"dense": {"units": 128}}, {"relu": {}}, {"dense": {"units": 10}}]"#,
        );
        network.check().unwrap();
        assert_eq!(network.shapes().unwrap()[6], FeatureShape::Map { channels: 64, height: 7, width: 7 });
        let multiply_adds = 28 * 28 * 32 * 9 + 14 * 14 * 64 * 32 * 9 + 3136 * 128 + 128 * 10;
        assert_eq!(network.flops().unwrap(), 2 * multiply_adds);
        let parameters = network.parameters().unwrap();
        assert_eq!(parameters[2].name, "3.weight");
        assert_eq!(parameters[2].shape, [64, 32, 3, 3]);
        let count: usize = parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum();
        assert_eq!(count, 320 + 18_496 + 401_536 + 1_290);
    }

    #[test]
    fn a_residual_block_that_changes_shape_has_a_projection() {
        let network = architecture(
            r#"[{"residual": {"layers": [{"conv": {"filters": 8, "stride": 2, "bias": false}}, {"batch_norm": {}}]}},
                {"residual": {"layers": [{"conv": {"filters": 8}}]}}, {"global_avg_pool": {}}, {"dense": {"units": 10}}]"#,
        );
        network.check().unwrap();
        let names: Vec<String> = network.parameters().unwrap().into_iter().map(|parameter| parameter.name).collect();
        assert!(names.contains(&"0.shortcut.weight".to_owned()), "{names:?}");
        assert!(names.contains(&"0.shortcut.running_variance".to_owned()), "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("1.shortcut")), "{names:?}");
    }

    #[test]
    fn a_normalisation_fits_the_channels() {
        let mut network = architecture(r#"[{"flatten": {}}, {"dense": {"units": 10}}]"#);
        network.normalisation.deviation = vec![0.0];
        let error = network.check().unwrap_err().to_string();
        assert_eq!(error, "normalisation: needs one mean and one deviation above 0 for each of the 1 channels");
    }

    #[test]
    fn misfits_are_named_with_their_place() {
        let check = |layers: &str, expected: &str| {
            let error = architecture(layers).check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(r#"[{"dense": {"units": 10}}]"#, "layer 0: `dense` takes vectors, but is given feature maps 1×28×28");
        check(r#"[{"max_pool": {"size": 40}}]"#, "has a window of 40, larger than the feature map 1×28×28");
        check(r#"[{"flatten": {}}, {"dense": {"units": 9}}]"#, "ends with 9 values, but there are 10 classes");
        check(r#"[{"residual": {"layers": [{"flatten": {}}]}}]"#, "cannot add 1×28×28 and 784");
        check(
            r#"[{"residual": {"layers": [{"conv": {"filters": 4, "kernel": 2}}]}}]"#,
            "layer 0.layers.0: `conv` has an even kernel of 2",
        );
    }
}
