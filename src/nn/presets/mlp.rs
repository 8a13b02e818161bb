//! `mlp`: dense layers only.

use serde::{Deserialize, Serialize};

use super::{Preset, count, dense, dropout, flatten, rate, relu};
use crate::nn::Layer;
use crate::units::{Count, DropRate};

/// Options of the preset `mlp`: flatten, then dense, ReLU and dropout for each entry of `units`, then the logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MlpOptions {
    /// Outputs of each hidden layer.
    pub units: Vec<Count>,
    /// Dropout after each hidden layer; 0 for none.
    pub dropout: DropRate,
}

impl Default for MlpOptions {
    fn default() -> Self {
        Self { units: vec![count(128), count(64)], dropout: rate(0.2) }
    }
}

impl Preset for MlpOptions {
    fn layers(&self, classes: Count) -> Vec<Layer> {
        let mut layers = vec![flatten()];
        for &units in &self.units {
            layers.extend([dense(units), relu()]);
            layers.extend(dropout(self.dropout));
        }
        layers.push(dense(classes));
        layers
    }
}
