//! What a training computes in.

use serde::{Deserialize, Serialize};

use crate::nn::accelerated::{half_pays, has_half, instructions};
use crate::progress::Progress;

/// What maps of features and their gradients are computed in, while training. The trained model is fp32, and so is every figure about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Float32.
    #[default]
    Fp32,
    /// Bfloat16. With the `avx512_bf16` of AMD's processors 1.6 to 1.9 times as fast as fp32; with that of Intel's it is slower, and told. A
    /// machine without it says so and computes in fp32.
    Bf16,
    /// The faster of fp32 and bf16 on this machine, by its instructions.
    Auto,
}

impl Precision {
    /// What this machine computes in where this is asked for: fp32 or bf16.
    pub fn here(self) -> Self {
        self.on(has_half(), half_pays())
    }

    fn on(self, has_half: bool, half_pays: bool) -> Self {
        match self {
            Self::Bf16 if has_half => Self::Bf16,
            Self::Auto if half_pays => Self::Bf16,
            Self::Fp32 | Self::Bf16 | Self::Auto => Self::Fp32,
        }
    }

    /// Whether it is bf16 here.
    pub fn is_half(self) -> bool {
        self.here() == Self::Bf16
    }

    /// Tells what this machine makes of it, if that is not just what was asked for or not wise.
    pub fn tell(self, progress: &dyn Progress) {
        match self {
            Self::Fp32 => {}
            Self::Auto => {
                let name = if self.is_half() { "bf16" } else { "fp32" };
                progress.note(&format!("`precision: auto` is {name} here ({})", instructions(self.is_half())));
            }
            Self::Bf16 if !has_half() => {
                progress.warn("this machine has no instructions for `precision: bf16`; training in fp32; `auto` takes the faster on any");
            }
            Self::Bf16 if !half_pays() => progress.warn(
                "`precision: bf16` is slower than fp32 on this machine, whose instructions for it do half as much; take `precision: auto`",
            ),
            Self::Bf16 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_the_faster_and_bf16_what_was_asked_for() {
        let check = |has_half, half_pays, auto: Precision, half: Precision| {
            assert_eq!(Precision::Auto.on(has_half, half_pays), auto);
            assert_eq!(Precision::Bf16.on(has_half, half_pays), half);
            assert_eq!(Precision::Fp32.on(has_half, half_pays), Precision::Fp32);
        };
        check(false, false, Precision::Fp32, Precision::Fp32);
        check(true, false, Precision::Fp32, Precision::Bf16);
        check(true, true, Precision::Bf16, Precision::Bf16);
    }
}
