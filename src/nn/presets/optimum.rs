//! `optimum`: a residual network (He, Zhang, Ren and Sun, 2016) for small images.

use serde::{Deserialize, Serialize};

use super::{Preset, count, dense, dropout, normalised_convolution, rate, relu};
use crate::nn::{Layer, Plain, Residual};
use crate::units::{Count, DropRate};

/// Options of the preset `optimum`: a 3×3 convolution as stem, then for each entry of `filters` a stage of `blocks` residual
/// blocks, the first block of every stage but the first halving rows and columns; then the mean of each channel, dropout
/// and the logits. A block is convolution, batch normalisation, ReLU, convolution, batch normalisation, added to its input,
/// then ReLU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimumOptions {
    /// Output channels of the convolutions of each stage; the stem has those of the first.
    pub filters: Vec<Count>,
    /// Residual blocks in each stage.
    pub blocks: Count,
    /// Step of the stem's convolution: 2 halves rows and columns at once, which makes the network about four times cheaper.
    pub stem_stride: Count,
    /// Dropout before the last layer; 0 for none.
    pub dropout: DropRate,
}

impl Default for OptimumOptions {
    fn default() -> Self {
        Self { filters: vec![count(32), count(64), count(128)], blocks: count(1), stem_stride: count(1), dropout: rate(0.2) }
    }
}

impl Preset for OptimumOptions {
    fn layers(&self, classes: Count) -> Vec<Layer> {
        let mut layers = Vec::new();
        if let Some(&filters) = self.filters.first() {
            layers.extend(normalised_convolution(filters, self.stem_stride));
            layers.push(relu());
        }
        for (stage, &filters) in self.filters.iter().enumerate() {
            for block in 0..self.blocks.get() {
                let stride = if stage > 0 && block == 0 { count(2) } else { count(1) };
                layers.push(residual_block(filters, stride));
                layers.push(relu());
            }
        }
        layers.push(Layer::GlobalAvgPool(Plain {}));
        layers.extend(dropout(self.dropout));
        layers.push(dense(classes));
        layers
    }
}

fn residual_block(filters: Count, stride: Count) -> Layer {
    let mut layers = Vec::from(normalised_convolution(filters, stride));
    layers.push(relu());
    layers.extend(normalised_convolution(filters, count(1)));
    Layer::Residual(Residual { layers })
}
