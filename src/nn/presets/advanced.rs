//! `advanced`: pairs of convolutions in the manner of VGG (Simonyan and Zisserman, 2015), with batch normalisation and
//! spatial dropout.

use serde::{Deserialize, Serialize};

use super::{Activation, Head, Preset, count, dense, dropout, halve, normalised_convolution, rate, spatial_dropout};
use crate::nn::Layer;
use crate::units::{Count, DropRate};

/// Options of the preset `advanced`: a stem, if asked for; for each entry of `filters` twice (3×3 convolution, batch normalisation,
/// activation) with a 2×2 max pooling, then spatial dropout; after them the head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdvancedOptions {
    /// Output channels of a convolution before the pairs; 0 for none.
    pub stem: usize,
    /// Output channels of each pair of convolutions. Each pair halves rows and columns.
    pub filters: Vec<Count>,
    /// Where in a pair the pooling stands.
    pub pooling: PairPooling,
    /// What follows each convolution's batch normalisation.
    pub activation: Activation,
    /// Dropout of whole channels after each pair; 0 for none.
    pub spatial_dropout: DropRate,
    /// How feature maps become a vector.
    pub head: Head,
    /// Outputs of the hidden dense layer; 0 for none.
    pub units: usize,
    /// Dropout before the last layer; 0 for none.
    pub dropout: DropRate,
}

/// Where in a pair of convolutions the pooling stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairPooling {
    /// After the second.
    #[default]
    Last,
    /// After the first, which makes the second four times cheaper, as in the CIFAR-10 speed runs of Jordan (2024).
    Between,
}

impl Default for AdvancedOptions {
    fn default() -> Self {
        Self {
            stem: 0,
            filters: vec![count(32), count(64), count(128)],
            pooling: PairPooling::default(),
            activation: Activation::default(),
            spatial_dropout: rate(0.1),
            head: Head::default(),
            units: 128,
            dropout: rate(0.3),
        }
    }
}

impl Preset for AdvancedOptions {
    fn layers(&self, classes: Count) -> Vec<Layer> {
        let mut layers = Vec::new();
        if self.stem > 0 {
            layers.extend(normalised_convolution(count(self.stem as u64), count(1)));
            layers.push(self.activation.layer());
        }
        for &filters in &self.filters {
            for pools in [self.pooling == PairPooling::Between, self.pooling == PairPooling::Last] {
                layers.extend(normalised_convolution(filters, count(1)));
                layers.push(self.activation.layer());
                layers.extend(pools.then(halve));
            }
            layers.extend(spatial_dropout(self.spatial_dropout));
        }
        layers.push(self.head.layer());
        if self.units > 0 {
            layers.extend([dense(count(self.units as u64)), self.activation.layer()]);
        }
        layers.extend(dropout(self.dropout));
        layers.push(dense(classes));
        layers
    }
}
