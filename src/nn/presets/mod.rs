//! Presets: ready architectures with a few options, one file each. A preset is a function from its options and the shape of
//! the data to layers; it knows nothing that a list of layers in `pipeline.yaml` could not say.

mod advanced;
mod basic;
mod mlp;
mod optimum;

pub use advanced::{AdvancedOptions, PairPooling};
pub use basic::BasicOptions;
pub use mlp::MlpOptions;
pub use optimum::{Halving, OptimumOptions};

use serde::{Deserialize, Serialize};

use super::{Architecture, BatchNorm, Conv, Dense, Dropout, Layer, LayerError, Normalisation, Padding, Plain, Pool, Views};
use crate::data::ImageShape;
use crate::units::{Count, DropRate};

/// The options of a preset, which say what its layers are.
trait Preset {
    /// The layers from pixels to `classes` logits.
    fn layers(&self, classes: Count) -> Vec<Layer>;
}

macro_rules! presets {
    ($($(#[$doc:meta])* $variant:ident($options:ty) = $name:literal;)*) => {
        /// A model: a preset with options, or layers one by one.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ModelOptions {
            $($(#[$doc])* $variant($options),)*
            /// The layers themselves, first to last; the last must give one logit for each class.
            Layers(Vec<Layer>),
        }

        impl ModelOptions {
            /// The name of the preset, or `layers`.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                    Self::Layers(_) => "layers",
                }
            }

            fn layers(&self, classes: Count) -> Vec<Layer> {
                match self {
                    $(Self::$variant(options) => options.layers(classes),)*
                    Self::Layers(layers) => layers.clone(),
                }
            }
        }
    };
}

// The registry of presets.
presets! {
    /// Dense layers only: 784–128–64–10 unless told otherwise.
    Mlp(MlpOptions) = "mlp";
    /// A few convolutions with pooling, then dense layers.
    Basic(BasicOptions) = "basic";
    /// Pairs of convolutions with batch normalisation and dropout.
    Advanced(AdvancedOptions) = "advanced";
    /// A residual network.
    Optimum(OptimumOptions) = "optimum";
}

impl ModelOptions {
    /// The architecture for images of shape `input` and `classes` classes, which sees them once, as they are.
    ///
    /// # Errors
    /// The first layer that does not fit, such as a pooling window larger than what is left of the image.
    pub fn build(&self, input: ImageShape, classes: usize, normalisation: Normalisation) -> Result<Architecture, LayerError> {
        let count = Count::new(classes as u64).map_err(|message| LayerError {
            place: "output".into(),
            message: format!("has one unit for each class: {message}"),
        })?;
        let architecture = Architecture { input, classes, normalisation, layers: self.layers(count), views: Views::default() };
        architecture.check()?;
        Ok(architecture)
    }
}

impl ModelOptions {
    /// Whether the layers fit images of shape `input`, whatever the number of classes.
    ///
    /// # Errors
    /// The first layer that does not fit.
    pub fn fits(&self, input: ImageShape) -> Result<(), LayerError> {
        let normalisation = Normalisation { mean: Vec::new(), deviation: Vec::new() };
        let (classes, layers) = (2, self.layers(count(2)));
        Architecture { input, classes, normalisation, layers, views: Views::default() }.shapes().map(drop)
    }
}

/// What follows a convolution or a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0).
    #[default]
    Relu,
    /// x·Φ(x) (Hendrycks and Gimpel, 2016).
    Gelu,
}

impl Activation {
    fn layer(self) -> Layer {
        match self {
            Self::Relu => relu(),
            Self::Gelu => Layer::Gelu(Plain {}),
        }
    }
}

/// How feature maps become a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// The mean of each channel (Lin, Chen and Yan, 2014): few parameters.
    #[default]
    GlobalAvgPool,
    /// The largest value of each channel: as few, and a feature counts wherever it is.
    GlobalMaxPool,
    /// All values: where in the image something is stays known.
    Flatten,
}

impl Head {
    fn layer(self) -> Layer {
        match self {
            Self::GlobalAvgPool => Layer::GlobalAvgPool(Plain {}),
            Self::GlobalMaxPool => Layer::GlobalMaxPool(Plain {}),
            Self::Flatten => flatten(),
        }
    }
}

fn count(value: u64) -> Count {
    Count::new(value).expect("presets count from 1")
}

fn rate(value: f64) -> DropRate {
    DropRate::new(value).expect("presets drop less than everything")
}

fn dense(units: Count) -> Layer {
    Layer::Dense(Dense { units, bias: true })
}

fn relu() -> Layer {
    Layer::Relu(Plain {})
}

fn flatten() -> Layer {
    Layer::Flatten(Plain {})
}

fn halve() -> Layer {
    Layer::MaxPool(Pool { size: count(2), stride: None })
}

fn convolution(filters: Count, kernel: Count) -> Layer {
    Layer::Conv(Conv { filters, kernel, stride: count(1), padding: Padding::Same, bias: true })
}

/// A 3×3 convolution without bias and its batch normalisation.
fn normalised_convolution(filters: Count, stride: Count) -> [Layer; 2] {
    [
        Layer::Conv(Conv { filters, kernel: count(3), stride, padding: Padding::Same, bias: false }),
        Layer::BatchNorm(BatchNorm::default()),
    ]
}

/// A dropout layer, or nothing if it would drop nothing.
fn dropout(rate: DropRate) -> Option<Layer> {
    (rate.get() > 0.0).then_some(Layer::Dropout(Dropout { rate }))
}

/// A spatial dropout layer, or nothing if it would drop nothing.
fn spatial_dropout(rate: DropRate) -> Option<Layer> {
    (rate.get() > 0.0).then_some(Layer::SpatialDropout(Dropout { rate }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(model: &str) -> Result<Architecture, LayerError> {
        let model: ModelOptions = serde_json::from_str(model).unwrap();
        model.build(ImageShape::MNIST, 10, Normalisation { mean: vec![0.0], deviation: vec![1.0] })
    }

    fn parameters(architecture: &Architecture) -> usize {
        architecture.parameters().unwrap().iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum()
    }

    #[test]
    fn presets_have_the_sizes_counted_by_hand() {
        let check = |model: &str, expected_parameters: usize, expected_flops: u64| {
            let architecture = build(model).unwrap();
            assert_eq!(
                (parameters(&architecture), architecture.flops().unwrap()),
                (expected_parameters, expected_flops),
                "{model}"
            );
        };
        let mlp = 784 * 128 + 128 * 64 + 64 * 10;
        check(r#"{"mlp": {}}"#, mlp + 128 + 64 + 10, 2 * mlp as u64);
        check(r#"{"mlp": {"units": [4], "dropout": 0.0}}"#, 784 * 4 + 4 + 40 + 10, 2 * (784 * 4 + 40));
        let basic = 28 * 28 * 32 * 9 + 14 * 14 * 64 * 32 * 9 + 3136 * 128 + 128 * 10;
        check(r#"{"basic": {}}"#, 320 + 18_496 + 401_536 + 1_290, 2 * basic);
        let pair = |size: u64, before: u64, after: u64| size * size * 9 * (before * after + after * after);
        let advanced = pair(28, 1, 32) + pair(14, 32, 64) + pair(7, 64, 128) + 128 * 128 + 1280;
        let convolutions = 9 * (32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128);
        check(r#"{"advanced": {}}"#, convolutions + 8 * (32 + 64 + 128) + 128 * 129 + 1_290, 2 * advanced);
        let optimum = 28 * 28 * 9 * 32
            + 2 * 28 * 28 * 9 * 32 * 32
            + pair(14, 32, 64)
            + pair(7, 64, 128)
            + 14 * 14 * 32 * 64
            + 7 * 7 * 64 * 128
            + 1280;
        let convolutions = 9 * (32 + 2 * 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128) + 32 * 64 + 64 * 128;
        check(r#"{"optimum": {}}"#, convolutions + 4 * (3 * 32 + 3 * 64 + 3 * 128) + 1_290, 2 * optimum);

        let between = 28 * 28 * 9 * (16 + 16 * 32) + 14 * 14 * 9 * (32 * 32 + 32 * 64) + 7 * 7 * 9 * 64 * 64 + 640;
        let weights = 9 * (16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64);
        let model =
            r#"{"advanced": {"stem": 16, "filters": [32, 64], "pooling": "between", "units": 0, "head": "global_max_pool"}}"#;
        check(model, weights + 4 * (16 + 2 * 32 + 2 * 64) + 650, 2 * between);
        let pooled = between + 14 * 14 * 9 * 32 * 32 + 7 * 7 * 9 * 64 * 64;
        let weights = weights + 9 * (32 * 32 + 64 * 64);
        let model = r#"{"optimum": {"stem": 16, "filters": [32, 64], "halving": "pool"}}"#;
        check(model, weights + 4 * (16 + 3 * 32 + 3 * 64) + 650, 2 * pooled);
    }

    #[test]
    fn a_rate_of_nothing_makes_no_layer() {
        let kinds = |model: &str| build(model).unwrap().layers.len();
        assert_eq!(kinds(r#"{"advanced": {}}"#), kinds(r#"{"advanced": {"dropout": 0.0, "spatial_dropout": 0.0}}"#) + 4);
        assert_eq!(kinds(r#"{"optimum": {}}"#), kinds(r#"{"optimum": {"dropout": 0.0}}"#) + 1);
    }

    #[test]
    fn layers_are_held_against_images_before_the_classes_are_known() {
        let fits = |model: &str| serde_json::from_str::<ModelOptions>(model).unwrap().fits(ImageShape::MNIST);
        assert!(fits(r#"{"layers": [{"flatten": {}}, {"dense": {"units": 7}}]}"#).is_ok());
        assert!(fits(r#"{"basic": {"filters": [1, 1, 1, 1, 1]}}"#).is_err());
    }

    #[test]
    fn names_are_those_of_the_tags() {
        for model in ["mlp", "basic", "advanced", "optimum"] {
            let options: ModelOptions = serde_json::from_str(&format!("{{\"{model}\": {{}}}}")).unwrap();
            assert_eq!(options.name(), model);
        }
    }

    #[test]
    fn misfits_and_unknown_options_are_named() {
        let error = build(r#"{"basic": {"filters": [1, 1, 1, 1, 1]}}"#).unwrap_err().to_string();
        insta::assert_snapshot!(error, @"layer 14: `max_pool` has a window of 2, larger than the feature map 1×1×1");
        let error = build(r#"{"layers": [{"flatten": {}}]}"#).unwrap_err().to_string();
        insta::assert_snapshot!(error, @"layer 0: the network ends with 784 values, but there are 10 classes; end with `dense: { units: 10 }`");
        let error = serde_json::from_str::<ModelOptions>(r#"{"mlp": {"unit": [1]}}"#).unwrap_err().to_string();
        insta::assert_snapshot!(error, @"unknown field `unit`, expected `units` or `dropout` at line 1 column 15");
    }
}
