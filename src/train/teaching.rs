//! Learning from a teacher: a network learns the probabilities that another model gives for the very images it sees (knowledge
//! distillation; Hinton, Vinyals and Dean, 2015), each image in a fixed number of variants that come round again and again, so
//! that the teacher need judge each of them only once ("consistent teaching"; Beyer and others, 2022).

use ndarray::ArrayViewMut1;
use rayon::prelude::*;

use super::batches::{Augment, augmentation_seed};
use crate::data::LabelledImages;
use crate::digest::Digest;
use crate::metrics::Probabilities;
use crate::seed::Seed;
use crate::units::{Positive, Probability};

/// What a teacher says of the training images, and what that counts for.
#[derive(Clone, Debug)]
pub struct Teaching {
    /// Its softened probabilities for each variant of the images, `[N, classes]` in the order of the images.
    variants: Vec<Probabilities>,
    /// By what logits are divided in the loss.
    pub(super) temperature: f64,
    /// The share of the loss that stays with the labels.
    pub(super) labels: f64,
}

impl Teaching {
    /// The teaching by a teacher's probabilities for every variant of the training images, `[N, classes]` each. They are softened
    /// as logits that are divided by `temperature` would be: p^(1/T), scaled to a sum of 1. `labels` is the share of the loss
    /// that stays with the true labels.
    ///
    /// # Panics
    /// When there is no variant.
    pub fn new(mut variants: Vec<Probabilities>, temperature: Positive, labels: Probability) -> Self {
        assert!(!variants.is_empty(), "a teacher that has seen nothing cannot teach");
        let temperature = temperature.get();
        variants.iter_mut().flat_map(|variant| variant.rows_mut()).for_each(|row| soften(row, temperature));
        Self { variants, temperature, labels: labels.get() }
    }

    /// The variant that is learned from in `epoch`, counted from 0.
    pub fn variant(&self, epoch: usize) -> usize {
        epoch % self.variants.len()
    }

    /// The softened probabilities for the images at `indices` in `epoch`, `[indices, classes]`.
    pub(super) fn rows(&self, epoch: usize, indices: &[usize]) -> Vec<f32> {
        let variant = &self.variants[self.variant(epoch)];
        indices.iter().flat_map(|&index| variant.row(index).to_vec()).collect()
    }

    /// Names the teaching by its content.
    pub(super) fn digest(&self) -> Digest {
        let variant = |variant: &Probabilities| {
            let bytes: Vec<u8> = variant.iter().flat_map(|value| value.to_le_bytes()).collect();
            Digest::of_bytes(&bytes)
        };
        let variants: Vec<Digest> = self.variants.iter().map(variant).collect();
        Digest::of_json(&serde_json::json!([variants, self.temperature, self.labels]))
    }

    /// Whether it is about `images` images of `classes` classes, and made of numbers.
    pub(super) fn check(&self, images: usize, classes: usize) -> Result<(), String> {
        for variant in &self.variants {
            let (rows, columns) = variant.dim();
            if (rows, columns) != (images, classes) {
                return Err(format!(
                    "the teacher's probabilities are for {rows} images of {columns} classes, but there are {images} of {classes}"
                ));
            }
            if !variant.iter().all(|value| value.is_finite()) {
                return Err("a probability of the teacher is not a number".into());
            }
        }
        Ok(())
    }
}

/// p^(1/T), scaled to a sum of 1: the softmax of the logits behind `row` divided by `temperature`.
fn soften(mut row: ArrayViewMut1<'_, f32>, temperature: f64) {
    if temperature == 1.0 {
        return;
    }
    let powers: Vec<f64> = row.iter().map(|&value| f64::from(value).powf(temperature.recip())).collect();
    let sum: f64 = powers.iter().sum();
    row.iter_mut().zip(powers).for_each(|(value, power)| *value = (power / sum) as f32);
}

/// All `images` as a training whose seed is `seed` sees them in `epoch`, counted from 0, with their labels.
pub fn variant_of(images: &LabelledImages, augment: Option<&dyn Augment>, seed: Seed, epoch: usize) -> LabelledImages {
    let Some(augment) = augment else { return images.clone() };
    let (size, seed) = (images.shape().pixels(), augmentation_seed(seed));
    let mut pixels = vec![0; images.pixels().len()];
    pixels.par_chunks_exact_mut(size).enumerate().for_each(|(index, target)| {
        augment.apply(seed, epoch as u64, index as u64, images.image(index), target);
    });
    LabelledImages::new(images.shape(), pixels, images.labels()).expect("as many as there were")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn teaching(temperature: f64, variants: Vec<Probabilities>) -> Teaching {
        Teaching::new(variants, Positive::new(temperature).unwrap(), Probability::new(0.25).unwrap())
    }

    #[test]
    fn softening_is_dividing_the_logits() {
        let softmax = |logits: [f64; 3], temperature: f64| {
            let powers = logits.map(|logit| (logit / temperature).exp());
            powers.map(|power| (power / powers.iter().sum::<f64>()) as f32)
        };
        let logits = [2.0, -1.0, 0.5];
        for temperature in [0.5, 1.0, 4.0] {
            let soft = teaching(temperature, vec![array![softmax(logits, 1.0)].into_shape_with_order((1, 3)).unwrap()]);
            let expected = softmax(logits, temperature);
            let near = soft.rows(0, &[0]).iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6);
            assert!(near, "{temperature}: {:?}, not {expected:?}", soft.rows(0, &[0]));
        }
        assert_eq!(teaching(4.0, vec![array![[1.0, 0.0]]]).rows(0, &[0]), [1.0, 0.0]);
    }

    #[test]
    fn variants_come_round() {
        let taught = teaching(1.0, vec![array![[1.0, 0.0], [0.0, 1.0]], array![[0.5, 0.5], [0.25, 0.75]]]);
        assert_eq!(taught.rows(0, &[1, 0]), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(taught.rows(3, &[1]), [0.25, 0.75]);
        assert_eq!(taught.rows(4, &[0]), taught.rows(0, &[0]));
    }

    #[test]
    fn foreign_probabilities_are_refused_and_everything_counts_in_the_digest() {
        let taught = teaching(1.0, vec![array![[1.0, 0.0]]]);
        assert_eq!(taught.check(1, 2), Ok(()));
        insta::assert_snapshot!(taught.check(2, 2).unwrap_err(), @"the teacher's probabilities are for 1 images of 2 classes, but there are 2 of 2");
        insta::assert_snapshot!(teaching(1.0, vec![array![[f32::NAN, 0.0]]]).check(1, 2).unwrap_err(), @"a probability of the teacher is not a number");
        assert_ne!(taught.digest(), teaching(1.0, vec![array![[0.9, 0.1]]]).digest());
        assert_ne!(taught.digest(), teaching(2.0, vec![array![[1.0, 0.0]]]).digest());
        assert_ne!(taught.digest(), teaching(1.0, vec![array![[1.0, 0.0]]; 2]).digest());
    }
}
