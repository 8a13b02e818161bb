//! `optimum`: a residual network (He, Zhang, Ren and Sun, 2016) for small images.

use serde::{Deserialize, Serialize};

use super::{Activation, Head, Preset, count, dense, dropout, halve, normalised_convolution, rate};
use crate::nn::{Layer, Residual};
use crate::units::{Count, DropRate};

/// Options of the preset `optimum`: a 3×3 convolution as stem, then for each entry of `filters` a stage of `blocks` residual
/// blocks; then the head, dropout and the logits. A block is convolution, batch normalisation, activation, convolution, batch
/// normalisation, added to its input, then the activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimumOptions {
    /// Output channels of the stem; 0 for those of the first stage.
    pub stem: usize,
    /// Step of the stem's convolution: 2 halves rows and columns at once, which makes the network about four times cheaper.
    pub stem_stride: Count,
    /// Output channels of the convolutions of each stage.
    pub filters: Vec<Count>,
    /// Residual blocks in each stage.
    pub blocks: Count,
    /// How rows and columns are halved.
    pub halving: Halving,
    /// What follows batch normalisations and sums.
    pub activation: Activation,
    /// How feature maps become a vector.
    pub head: Head,
    /// Dropout before the last layer; 0 for none.
    pub dropout: DropRate,
}

/// How a residual network halves rows and columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Halving {
    /// The first block of every stage but the first does, by convolutions of step 2 (He and others, 2016).
    #[default]
    Stride,
    /// Every stage begins with a convolution of its own, which changes the channels, and a 2×2 max pooling; all its blocks add to
    /// their very input (ResNet-9 of Page's speed runs, 2018).
    Pool,
}

impl Default for OptimumOptions {
    fn default() -> Self {
        Self {
            stem: 0,
            stem_stride: count(1),
            filters: vec![count(32), count(64), count(128)],
            blocks: count(1),
            halving: Halving::default(),
            activation: Activation::default(),
            head: Head::default(),
            dropout: rate(0.2),
        }
    }
}

impl Preset for OptimumOptions {
    fn layers(&self, classes: Count) -> Vec<Layer> {
        let mut layers = Vec::new();
        if let Some(&first) = self.filters.first() {
            let stem = if self.stem > 0 { count(self.stem as u64) } else { first };
            layers.extend(normalised_convolution(stem, self.stem_stride));
            layers.push(self.activation.layer());
        }
        for (stage, &filters) in self.filters.iter().enumerate() {
            if self.halving == Halving::Pool {
                layers.extend(normalised_convolution(filters, count(1)));
                layers.extend([self.activation.layer(), halve()]);
            }
            for block in 0..self.blocks.get() {
                let halves = self.halving == Halving::Stride && stage > 0 && block == 0;
                layers.push(self.residual_block(filters, count(if halves { 2 } else { 1 })));
                layers.push(self.activation.layer());
            }
        }
        layers.push(self.head.layer());
        layers.extend(dropout(self.dropout));
        layers.push(dense(classes));
        layers
    }
}

impl OptimumOptions {
    fn residual_block(&self, filters: Count, stride: Count) -> Layer {
        let mut layers = Vec::from(normalised_convolution(filters, stride));
        layers.push(self.activation.layer());
        layers.extend(normalised_convolution(filters, count(1)));
        Layer::Residual(Residual { layers })
    }
}
