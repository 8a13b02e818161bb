//! What a model computes in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a model's maps and products are; sums are fp32, of int8 whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ScoringPrecision")]
pub enum Precision {
    /// Float32.
    #[default]
    Fp32,
    /// Bfloat16: 1.4 to 1.6 times as fast with `avx512_bf16`, and slow without.
    Bf16,
    /// Bytes, in convolutions and in dense layers on flattened maps, fp32 elsewhere. The file must hold the ranges of its activations,
    /// as `export` with `int8` writes them.
    Int8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}
