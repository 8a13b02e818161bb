//! `advanced`: pairs of convolutions in the manner of VGG (Simonyan and Zisserman, 2015), with batch normalisation and
//! spatial dropout.

use serde::{Deserialize, Serialize};

use super::{Preset, count, dense, dropout, flatten, halve, normalised_convolution, rate, relu, spatial_dropout};
use crate::nn::{Layer, Plain};
use crate::units::{Count, DropRate};

/// Options of the preset `advanced`: for each entry of `filters` twice (3×3 convolution, batch normalisation, ReLU), then
/// 2×2 max pooling and spatial dropout; after them the head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdvancedOptions {
    /// Output channels of each pair of convolutions. Each pair is followed by a pooling that halves rows and columns.
    pub filters: Vec<Count>,
    /// Dropout of whole channels after each pooling; 0 for none.
    pub spatial_dropout: DropRate,
    /// How feature maps become a vector.
    pub head: Head,
    /// Outputs of the hidden dense layer.
    pub units: Count,
    /// Dropout after the hidden dense layer; 0 for none.
    pub dropout: DropRate,
}

/// How feature maps become a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// The mean of each channel (Lin, Chen and Yan, 2014): few parameters.
    #[default]
    GlobalAvgPool,
    /// All values: where in the image something is stays known.
    Flatten,
}

impl Default for AdvancedOptions {
    fn default() -> Self {
        Self {
            filters: vec![count(32), count(64), count(128)],
            spatial_dropout: rate(0.1),
            head: Head::default(),
            units: count(128),
            dropout: rate(0.3),
        }
    }
}

impl Preset for AdvancedOptions {
    fn layers(&self, classes: Count) -> Vec<Layer> {
        let mut layers = Vec::new();
        for &filters in &self.filters {
            for _ in 0..2 {
                layers.extend(normalised_convolution(filters, count(1)));
                layers.push(relu());
            }
            layers.push(halve());
            layers.extend(spatial_dropout(self.spatial_dropout));
        }
        layers.push(match self.head {
            Head::GlobalAvgPool => Layer::GlobalAvgPool(Plain {}),
            Head::Flatten => flatten(),
        });
        layers.extend([dense(self.units), relu()]);
        layers.extend(dropout(self.dropout));
        layers.push(dense(classes));
        layers
    }
}
