//! What a model computes in.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kernels::Worth;

/// What a model's maps and products are; sums are fp32, of int8 whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ComputedIn")]
pub enum Precision {
    /// Float32.
    #[default]
    Fp32,
    /// Bfloat16: 1.4 to 1.6 times as fast as fp32 with the `avx512_bf16` of AMD's processors, slower with that of Intel's, and slow without.
    Bf16,
    /// Bytes, in convolutions and in dense layers on flattened maps, fp32 elsewhere. The file must hold the ranges of its activations,
    /// as `export` with `int8` writes them.
    Int8,
}

impl Precision {
    /// The fastest of fp32 and what else is `allowed`, on this machine.
    pub fn fastest(allowed: &[Self]) -> Self {
        Self::fastest_of(allowed, Worth::here())
    }

    fn fastest_of(allowed: &[Self], worth: Worth) -> Self {
        let ranked = [(Self::Int8, worth.bytes_pay()), (Self::Bf16, worth.half_pays())];
        ranked.into_iter().find(|(precision, pays)| *pays && allowed.contains(precision)).map_or(Self::Fp32, |(found, _)| found)
    }

    /// Whether this machine computes faster in fp32.
    pub fn is_slower(self) -> bool {
        match self {
            Self::Fp32 => false,
            Self::Bf16 => !Worth::here().half_pays(),
            Self::Int8 => !Worth::here().bytes_pay(),
        }
    }
}

/// What is to be computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ScoringPrecision")]
pub enum WantedPrecision {
    /// Float32.
    #[default]
    Fp32,
    /// Bfloat16: 1.4 to 1.6 times as fast as fp32 with the `avx512_bf16` of AMD's processors, slower with that of Intel's, and slow without.
    Bf16,
    /// Bytes, in convolutions and in dense layers on flattened maps, fp32 elsewhere. The file must hold the ranges of its activations,
    /// as `export` with `int8` writes them.
    Int8,
    /// The fastest on this machine, by its instructions, of fp32 and what a verification has measured and let pass.
    Auto,
}

impl WantedPrecision {
    /// What it is where a verification has let pass what is `allowed`.
    pub fn among(self, allowed: &[Precision]) -> Precision {
        match self {
            Self::Fp32 => Precision::Fp32,
            Self::Bf16 => Precision::Bf16,
            Self::Int8 => Precision::Int8,
            Self::Auto => Precision::fastest(allowed),
        }
    }
}

impl From<Precision> for WantedPrecision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Fp32 => Self::Fp32,
            Precision::Bf16 => Self::Bf16,
            Precision::Int8 => Self::Int8,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_is_one_that_was_allowed() {
        let all = [Precision::Bf16, Precision::Int8];
        let check = |half, bytes, allowed: &[Precision], expected| {
            assert_eq!(Precision::fastest_of(allowed, Worth { half, bytes }), expected, "{half:?} {bytes:?} {allowed:?}");
        };
        check(None, None, &all, Precision::Fp32);
        check(Some(2.0), Some(4.0), &all, Precision::Int8);
        check(Some(2.0), Some(4.0), &[Precision::Bf16], Precision::Bf16);
        check(Some(0.5), Some(6.0), &[Precision::Bf16], Precision::Fp32);
        check(Some(2.0), Some(4.0), &[], Precision::Fp32);
        assert_eq!(WantedPrecision::Int8.among(&[]), Precision::Int8);
    }
}
