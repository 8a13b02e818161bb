//! Dynamic data pruning: images that the network has learned are left out of an epoch at random, and those of them that stay
//! count for more, so that the expected gradient is that of all images ("InfoBatch"; Qin and others, 2024). What is known about
//! an image is its loss when it was last learned from.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::data::Label;
use crate::seed::Seed;
use crate::units::{DropRate, Probability};

/// Which images are left out of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PruneOptions {
    /// The probability that an image is left out of an epoch, if its last loss was below the mean of all. The others of these
    /// images count 1 / (1 − `ratio`) times.
    pub ratio: DropRate,
    /// The share of the epochs after which all images are learned from again: where the learning rate is small, what is left out
    /// is not made up for.
    pub until: Probability,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self { ratio: DropRate::new(0.5).expect("0.5 is in range"), until: Probability::new(0.875).expect("0.875 is in range") }
    }
}

impl PruneOptions {
    /// What each image counts for in `epoch` of `epochs`, counted from 0: 0 if it is left out. `losses` are those before the epoch.
    pub(super) fn weights(&self, losses: &[f32], epoch: usize, epochs: usize, seed: Seed) -> Vec<f32> {
        let ratio = self.ratio.get();
        let mean = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / losses.len() as f64;
        let ends = epoch as f64 >= self.until.get() * epochs as f64;
        if ends || !mean.is_finite() {
            return vec![1.0; losses.len()]; // the mean is infinite until every image has been learned from
        }
        let mut rng = seed.index(epoch as u64).rng();
        let weight = |&loss: &f32| match (f64::from(loss) < mean, rng.random::<f64>() < ratio) {
            (false, _) => 1.0,
            (true, true) => 0.0,
            (true, false) => (1.0 - ratio).recip() as f32,
        };
        losses.iter().map(weight).collect()
    }
}

/// The last loss of every training image.
#[derive(Clone, Debug, PartialEq)]
pub struct Losses {
    /// Before the current epoch: what decides who is left out of it.
    pub before: Vec<f32>,
    /// Now.
    pub now: Vec<f32>,
}

impl Losses {
    /// Those of `images` images that have not been learned from.
    pub(super) fn unknown(images: usize) -> Self {
        Self { before: vec![f32::INFINITY; images], now: vec![f32::INFINITY; images] }
    }

    /// Takes in the cross entropy of `logits`, `[N, classes]`, of the images at `indices`, with their labels.
    pub(super) fn update(&mut self, indices: &[usize], logits: &[f32], labels: &[Label]) {
        let classes = logits.len() / labels.len().max(1);
        for ((&index, row), &label) in indices.iter().zip(logits.chunks_exact(classes.max(1))).zip(labels) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = row.iter().map(|logit| (logit - largest).exp()).sum();
            self.now[index] = sum.ln() + largest - row[usize::from(label)];
        }
    }

    /// The epoch is over.
    pub(super) fn close_epoch(&mut self) {
        self.before.clone_from(&self.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(losses: &[f32], epoch: usize) -> Vec<f32> {
        let options = PruneOptions { ratio: DropRate::new(0.75).unwrap(), ..PruneOptions::default() };
        options.weights(losses, epoch, 8, Seed::new(5))
    }

    #[test]
    fn learned_images_are_left_out_and_made_up_for() {
        let losses: Vec<f32> = (0..20_000).map(|index| if index % 5 == 0 { 2.0 } else { 0.25 }).collect();
        let found = weights(&losses, 3);
        for (loss, weight) in losses.iter().zip(&found) {
            assert!(if *loss == 2.0 { *weight == 1.0 } else { *weight == 0.0 || *weight == 4.0 });
        }
        let sum: f32 = found.iter().sum();
        assert!((sum / 20_000.0 - 1.0).abs() < 0.03, "{sum}"); // a standard error of 0.012
        assert_ne!(found, weights(&losses, 4));
        assert_eq!(found, weights(&losses, 3));
    }

    #[test]
    fn all_images_count_until_each_was_seen_and_at_the_end() {
        let losses = [0.1, 3.0, 0.1, 0.1];
        assert_eq!(weights(&[0.1, 3.0, f32::INFINITY, 0.1], 1), [1.0; 4]);
        assert!((0..7).any(|epoch| weights(&losses, epoch) != [1.0; 4]));
        assert_eq!(weights(&losses, 7), [1.0; 4]); // 0.875 of 8 epochs
    }

    #[test]
    fn a_loss_is_the_cross_entropy_and_counts_from_the_next_epoch_on() {
        let mut losses = Losses::unknown(3);
        losses.update(&[2, 0], &[0.0, 0.0, 1000.0, 0.0], &[1, 1]);
        assert_eq!(losses.now, [1000.0, f32::INFINITY, 2f32.ln()]);
        assert_eq!(losses.before, [f32::INFINITY; 3]);
        losses.close_epoch();
        assert_eq!(losses.before, losses.now);
    }
}
