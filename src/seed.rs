//! Seeds: every random choice of the program is drawn from a generator that was derived, by name, from the one seed in
//! `pipeline.yaml`.
//!
//! A child seed is a BLAKE3 hash of its parent and a label, so `(seed, stage, epoch, sample)` always gives the same
//! numbers, whatever runs beside it and in whatever order.

use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// The generator used everywhere: xoshiro256++ (Blackman and Vigna, 2019), fast and of known sequence on every platform.
pub type Rng = rand_xoshiro::Xoshiro256PlusPlus;

/// The origin of a stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Seed(u64);

impl Seed {
    /// A root seed, as declared by the user.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The seed of a named part of the work, such as a stage or the initialisation of a layer.
    pub fn child(self, label: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.to_le_bytes());
        hasher.update(label.as_bytes());
        Self::from_hash(&hasher.finalize())
    }

    /// The seed of the `index`-th of many like parts: an epoch, a sample, a trial.
    pub fn index(self, index: u64) -> Self {
        // SplitMix64's finaliser (Steele, Lea and Flood, 2014): a bijection of 64 bits, cheap enough for every sample.
        let mut z = self.0 ^ index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self(z ^ (z >> 31))
    }

    /// A generator at the start of this seed's stream.
    pub fn rng(self) -> Rng {
        Rng::seed_from_u64(self.0)
    }

    /// The plain number.
    pub const fn value(self) -> u64 {
        self.0
    }

    fn from_hash(hash: &blake3::Hash) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        Self(u64::from_le_bytes(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn children_differ_by_label_and_index_and_are_repeatable() {
        let seed = Seed::new(42);
        assert_eq!(seed.child("basic"), seed.child("basic"));
        assert_ne!(seed.child("basic"), seed.child("advanced"));
        assert_ne!(seed.index(0), seed.index(1));
        assert_ne!(seed.index(0), seed);
        let draw = |seed: Seed| seed.rng().random::<u64>();
        assert_eq!(draw(seed.child("a").index(3)), draw(seed.child("a").index(3)));
        assert_ne!(draw(seed.child("a").index(3)), draw(seed.child("a").index(4)));
    }
}
