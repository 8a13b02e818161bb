//! `basic`: a few convolutions with pooling, then dense layers.

use serde::{Deserialize, Serialize};

use super::{Preset, convolution, count, dense, dropout, flatten, halve, rate, relu};
use crate::nn::Layer;
use crate::units::{Count, DropRate};

/// Options of the preset `basic`: convolution, ReLU and 2×2 max pooling for each entry of `filters`, then flatten, dense,
/// ReLU, dropout and the logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BasicOptions {
    /// Output channels of each convolution. Each is followed by a pooling that halves rows and columns.
    pub filters: Vec<Count>,
    /// Rows and columns of each kernel; odd.
    pub kernel: Count,
    /// Outputs of the hidden dense layer.
    pub units: Count,
    /// Dropout after the hidden dense layer; 0 for none.
    pub dropout: DropRate,
}

impl Default for BasicOptions {
    fn default() -> Self {
        Self { filters: vec![count(32), count(64)], kernel: count(3), units: count(128), dropout: rate(0.3) }
    }
}

impl Preset for BasicOptions {
    fn layers(&self, classes: Count) -> Vec<Layer> {
        let mut layers = Vec::new();
        for &filters in &self.filters {
            layers.extend([convolution(filters, self.kernel), relu(), halve()]);
        }
        layers.extend([flatten(), dense(self.units), relu()]);
        layers.extend(dropout(self.dropout));
        layers.push(dense(classes));
        layers
    }
}
