//! Batches: the training images of an epoch in shuffled order, augmented, made beside the training on a thread of their own.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use rand::RngExt;

use super::Teaching;
use crate::data::augment::Augmenter;
use crate::data::{Label, LabelledImages};
use crate::nn::push_image;
use crate::seed::Seed;

/// Changes an image at random, on its way into a batch.
pub trait Augment: Sync {
    /// Writes a changed `source` to `target`; both are one image, `[C, H, W]`. What it does depends on `seed`, `epoch` and
    /// `sample` alone.
    fn apply(&self, seed: Seed, epoch: u64, sample: u64, source: &[u8], target: &mut [u8]);
}

impl Augment for Augmenter {
    fn apply(&self, seed: Seed, epoch: u64, sample: u64, source: &[u8], target: &mut [u8]) {
        Augmenter::apply(self, seed, epoch, sample, source, target);
    }
}

/// A batch, ready to be learned from.
pub struct Batch {
    /// Which of the training images these are, `[N]`.
    pub indices: Vec<usize>,
    /// What each counts for, `[N]`.
    pub weights: Vec<f32>,
    /// Pixels 0–255, `[N, H, W, C]`.
    pub pixels: Vec<f32>,
    /// Labels, `[N]`.
    pub labels: Vec<Label>,
    /// What the teacher says of these images, softened, `[N, classes]`; empty without a teacher.
    pub taught: Vec<f32>,
}

/// The seed of augmentation in a training whose seed is `training`.
pub fn augmentation_seed(training: Seed) -> Seed {
    training.child("augment")
}

/// Where batches come from.
pub struct Source<'a> {
    /// The images to learn from.
    pub images: &'a LabelledImages,
    /// What changes them.
    pub augment: Option<&'a dyn Augment>,
    /// Images in a batch; the last of an epoch may have fewer.
    pub batch_size: usize,
    /// Seed of order and augmentation.
    pub seed: Seed,
    /// Whose variants of the images are learned from, in place of a new one in each epoch.
    pub teaching: Option<&'a Teaching>,
}

impl Source<'_> {
    /// How many batches an epoch of all images has.
    pub fn batches(&self) -> usize {
        self.images.len().div_ceil(self.batch_size)
    }

    /// How many batches an epoch has in which images count what `weights` says, `[images]`.
    pub fn batches_of(&self, weights: &[f32]) -> usize {
        weights.iter().filter(|&&weight| weight > 0.0).count().div_ceil(self.batch_size)
    }

    /// Runs `consume` with the batches of `epoch` from batch `first` on, while they are being made. Each image counts what `weights`
    /// says, `[images]`; one of weight 0 is left out.
    pub fn stream<T>(&self, epoch: usize, first: usize, weights: &[f32], consume: impl FnOnce(Receiver<Batch>) -> T) -> T {
        let mut order = shuffled(self.images.len(), self.seed.child("order").index(epoch as u64));
        order.retain(|&index| weights[index] > 0.0);
        thread::scope(|scope| {
            let (sender, receiver) = sync_channel(2);
            scope.spawn(move || {
                for indices in order.chunks(self.batch_size).skip(first) {
                    let weights = indices.iter().map(|&index| weights[index]).collect();
                    if sender.send(self.batch(epoch, indices, weights)).is_err() {
                        return; // the consumer has stopped
                    }
                }
            });
            consume(receiver)
        })
    }

    fn batch(&self, epoch: usize, indices: &[usize], weights: Vec<f32>) -> Batch {
        let size = self.images.shape().pixels();
        let mut pixels = Vec::with_capacity(indices.len() * size);
        let mut changed = vec![0; size];
        let seed = augmentation_seed(self.seed);
        let variant = self.teaching.map_or(epoch, |teaching| teaching.variant(epoch));
        for &index in indices {
            let original = self.images.image(index);
            let image = match self.augment {
                Some(augment) => {
                    augment.apply(seed, variant as u64, index as u64, original, &mut changed);
                    &changed
                }
                None => original,
            };
            push_image(image, self.images.shape().channels, &mut pixels);
        }
        let taught = self.teaching.map_or_else(Vec::new, |teaching| teaching.rows(epoch, indices));
        let labels = indices.iter().map(|&index| self.images.labels()[index]).collect();
        Batch { indices: indices.to_vec(), weights, pixels, labels, taught }
    }
}

/// 0 to `count` − 1 in random order (Fisher and Yates' shuffle).
fn shuffled(count: usize, seed: Seed) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut rng = seed.rng();
    for last in (1..count).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::train::variant_of;

    struct Stamp;

    impl Augment for Stamp {
        fn apply(&self, _seed: Seed, epoch: u64, sample: u64, source: &[u8], target: &mut [u8]) {
            assert_eq!(u64::from(source[0]), sample);
            target[0] = (100 + 20 * epoch + sample) as u8;
        }
    }

    fn images() -> LabelledImages {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        LabelledImages::new(shape, (0..10).collect::<Vec<u8>>(), (0..10).collect::<Vec<u8>>()).unwrap()
    }

    const ALL: [f32; 10] = [1.0; 10];

    fn epoch(source: &Source<'_>, epoch: usize, first: usize) -> Vec<(Vec<f32>, Vec<Label>)> {
        source.stream(epoch, first, &ALL, |batches| batches.iter().map(|batch| (batch.pixels, batch.labels)).collect())
    }

    #[test]
    fn an_epoch_has_every_image_once_in_an_order_of_its_own() {
        let images = images();
        let source = Source { images: &images, augment: None, batch_size: 4, seed: Seed::new(1), teaching: None };
        let labels = |index| epoch(&source, index, 0).into_iter().flat_map(|batch| batch.1).collect::<Vec<_>>();
        let (zeroth, first) = (labels(0), labels(1));
        assert_ne!(zeroth, first);
        assert_eq!(zeroth, labels(0));
        for mut labels in [zeroth, first] {
            labels.sort_unstable();
            assert_eq!(labels, (0..10).collect::<Vec<u8>>());
        }
        let batches = epoch(&source, 0, 0);
        assert_eq!(batches.iter().map(|batch| batch.1.len()).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(source.batches(), 3);
        assert_eq!(epoch(&source, 0, 1), batches[1..]);
    }

    #[test]
    fn images_without_weight_are_left_out() {
        let images = images();
        let source = Source { images: &images, augment: None, batch_size: 4, seed: Seed::new(1), teaching: None };
        let weights = [0.0, 1.0, 2.0, 0.0, 2.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        let batches: Vec<Batch> = source.stream(0, 0, &weights, |batches| batches.iter().collect());
        assert_eq!((batches.len(), source.batches_of(&weights)), (2, 2));
        let mut seen: Vec<usize> = batches.iter().flat_map(|batch| batch.indices.clone()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 4, 6, 7, 8]);
        for batch in &batches {
            let expected: Vec<f32> = batch.indices.iter().map(|&index| weights[index]).collect();
            assert_eq!(batch.weights, expected);
            assert!(batch.indices.iter().zip(&batch.labels).all(|(&index, &label)| index == usize::from(label)));
        }
    }

    #[test]
    fn the_channels_of_a_pixel_lie_side_by_side() {
        let shape = ImageShape { channels: 3, height: 1, width: 2 };
        let images = LabelledImages::new(shape, vec![1, 2, 3, 4, 5, 6], vec![0]).unwrap();
        let source = Source { images: &images, augment: None, batch_size: 1, seed: Seed::new(1), teaching: None };
        let batches: Vec<Batch> = source.stream(0, 0, &[1.0], |batches| batches.iter().collect());
        assert_eq!(batches.iter().map(|batch| &batch.pixels).collect::<Vec<_>>(), [&[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]]);
    }

    #[test]
    fn augmentation_knows_epoch_and_sample() {
        let images = images();
        let source = Source { images: &images, augment: Some(&Stamp), batch_size: 3, seed: Seed::new(1), teaching: None };
        for (pixels, labels) in epoch(&source, 2, 0) {
            let expected: Vec<f32> = labels.iter().map(|&label| 140.0 + f32::from(label)).collect();
            assert_eq!(pixels, expected);
        }
    }

    #[test]
    fn a_teacher_has_judged_the_very_image_that_is_learned_from() {
        use crate::metrics::Probabilities;
        use crate::units::{Positive, Probability};

        let images = images();
        let seed = Seed::new(1);
        // A teacher that says what it saw: the pixel of the variant.
        let seen = |epoch| variant_of(&images, Some(&Stamp), seed, epoch).pixels().iter().map(|&p| f32::from(p)).collect();
        let said = |epoch| Probabilities::from_shape_vec((10, 1), seen(epoch)).unwrap();
        let teaching = Teaching::new((0..3).map(said).collect(), Positive::new(1.0).unwrap(), Probability::new(0.0).unwrap());
        let source = Source { images: &images, augment: Some(&Stamp), batch_size: 4, seed, teaching: Some(&teaching) };
        for epoch in 0..7 {
            let batches: Vec<Batch> = source.stream(epoch, 0, &ALL, |batches| batches.iter().collect());
            assert!(batches.iter().all(|batch| batch.pixels == batch.taught && !batch.taught.is_empty()), "{epoch}");
        }
    }

    #[test]
    fn a_consumer_may_stop_early() {
        let images = images();
        let source = Source { images: &images, augment: None, batch_size: 1, seed: Seed::new(1), teaching: None };
        assert_eq!(source.stream(0, 0, &ALL, |batches| batches.recv().unwrap().labels.len()), 1);
    }
}
