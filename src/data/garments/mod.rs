//! Garments: a synthetic data set in place of a real one that cannot be had.
//!
//! Ten classes, named and arranged as in Fashion-MNIST, of gray 28 × 28 images, drawn from outlines whose proportions,
//! position, angle, shade, folds and prints vary from image to image. Classes overlap as garments do: a shirt differs from
//! a pullover by its collar and buttons, a coat by its opening. Results on it say that a pipeline works, and nothing about
//! real garments; everything made from it carries `synthetic: true`.

mod canvas;
mod clothes;
mod shoes;

use rand::RngExt;
use rayon::prelude::*;

use canvas::{Canvas, Pose};

use super::{ImageShape, Label, LabelledImages};
use crate::seed::{Rng, Seed};

/// The name of the data set.
pub const NAME: &str = "garments";

/// Counts up whenever the same seed draws other images than before.
pub const DRAWING: u32 = 1;

/// The shape of every image.
pub const SHAPE: ImageShape = ImageShape::MNIST;

/// The names of the classes, in the order of Fashion-MNIST.
pub const CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// How a garment of each class is drawn.
const DRAW: [fn(&mut Canvas, &mut Rng); CLASSES.len()] = [
    clothes::t_shirt,
    clothes::trouser,
    clothes::pullover,
    clothes::dress,
    clothes::coat,
    shoes::sandal,
    clothes::shirt,
    shoes::sneaker,
    clothes::bag,
    shoes::ankle_boot,
];

/// Draws `count` images. Classes are equally frequent, in a mixed order; image `i` depends on the seed and `i` alone.
pub fn images(seed: Seed, count: usize) -> LabelledImages {
    let size = SHAPE.pixels();
    let mut pixels = vec![0; count * size];
    let labels: Vec<Label> = (0..count).map(|index| label(seed, index)).collect();
    pixels.par_chunks_exact_mut(size).zip(&labels).enumerate().for_each(|(index, (image, &label))| {
        draw(label, &mut seed.index(index as u64).rng(), image);
    });
    LabelledImages::new(SHAPE, pixels, labels).expect("an image was drawn for every label")
}

/// The class of image `index`: every run of ten images shows each class once, in an order of its own.
fn label(seed: Seed, index: usize) -> Label {
    use rand::seq::SliceRandom;
    let mut order: [Label; CLASSES.len()] = std::array::from_fn(|class| class as Label);
    let run = (index / CLASSES.len()) as u64;
    order.shuffle(&mut seed.index(u64::MAX - run).rng());
    order[index % CLASSES.len()]
}

/// Draws one garment of a class into `image`, `[28, 28]`.
fn draw(label: Label, rng: &mut Rng, image: &mut [u8]) {
    let pose = Pose::draw(rng);
    let mut canvas = Canvas::new(pose);
    DRAW[usize::from(label)](&mut canvas, rng);
    canvas.finish(rng, image);
}

/// A number between `least` and `most`.
fn between(rng: &mut Rng, least: f32, most: f32) -> f32 {
    least + (most - least) * rng.random::<f32>()
}

/// True with a probability.
fn chance(rng: &mut Rng, probability: f32) -> bool {
    rng.random::<f32>() < probability
}
#[cfg(test)]
mod tests {
    use super::*;

    const TRAIN: usize = 3000;
    const TEST: usize = 1000;

    fn unit(image: &[u8]) -> Vec<f32> {
        image.iter().map(|&pixel| f32::from(pixel) / 255.0).collect()
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn highest(scores: impl Iterator<Item = f32>) -> Label {
        scores.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(class, _)| class as Label)
    }

    /// The accuracy of a rule on images that are drawn from another seed than the training images.
    fn accuracy(rule: impl Fn(&[f32]) -> Label) -> f64 {
        let test = images(Seed::new(2), TEST);
        let right = (0..TEST).filter(|&index| rule(&unit(test.image(index))) == test.labels()[index]).count();
        right as f64 / TEST as f64
    }

    #[test]
    fn images_depend_on_seed_and_index_alone_and_classes_are_equally_frequent() {
        let (few, many) = (images(Seed::new(1), 30), images(Seed::new(1), 100));
        assert_eq!(few.pixels(), &many.pixels()[..few.pixels().len()]);
        assert_eq!(few.labels(), &many.labels()[..30]);
        assert_eq!(many.class_counts(10), [10; 10]);
        assert_ne!(few, images(Seed::new(2), 30));
        assert_ne!(few.labels()[..10], few.labels()[10..20], "the order is mixed");
        let drawn = |index| many.image(index).iter().filter(|&&pixel| pixel > 30).count();
        assert!((0..100).all(|index| (40..700).contains(&drawn(index))), "every image shows something");
    }

    /// A set that a linear model solved would not tell a working convolution from a broken one.
    #[test]
    fn a_linear_model_learns_much_and_not_all() {
        let train = images(Seed::new(1), TRAIN);
        let inputs: Vec<Vec<f32>> = (0..TRAIN).map(|index| unit(train.image(index))).collect();
        let mut weights = vec![vec![0.0_f32; SHAPE.pixels() + 1]; CLASSES.len()]; // the last one is the bias
        let logits = |weights: &[Vec<f32>], input: &[f32]| -> Vec<f32> {
            weights.iter().map(|row| dot(row, input) + row[SHAPE.pixels()]).collect()
        };
        for epoch in 0..10 {
            let rate = 0.02 / (1.0 + epoch as f32);
            for (input, &label) in inputs.iter().zip(train.labels()) {
                let logits = logits(&weights, input);
                let most = logits.iter().copied().fold(f32::MIN, f32::max);
                let exponentials: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
                let sum: f32 = exponentials.iter().sum();
                for (class, row) in weights.iter_mut().enumerate() {
                    let error = exponentials[class] / sum - f32::from(u8::from(class == usize::from(label)));
                    row.iter_mut().zip(input).for_each(|(weight, value)| *weight -= rate * error * value);
                    row[SHAPE.pixels()] -= rate * error;
                }
            }
        }
        let linear = accuracy(|input| highest(logits(&weights, input).into_iter()));
        assert!((0.6..0.93).contains(&linear), "softmax regression reaches {linear}");
    }

    #[test]
    fn classes_have_a_mean_image_of_their_own() {
        let train = images(Seed::new(1), TRAIN);
        let mut means = vec![vec![0.0_f32; SHAPE.pixels()]; CLASSES.len()];
        for index in 0..TRAIN {
            let mean = &mut means[usize::from(train.labels()[index])];
            mean.iter_mut().zip(unit(train.image(index))).for_each(|(sum, value)| *sum += value);
        }
        for mean in &mut means {
            let length = dot(mean, mean).sqrt();
            mean.iter_mut().for_each(|value| *value /= length);
        }
        let nearest = accuracy(|input| highest(means.iter().map(|mean| dot(mean, input))));
        assert!((0.4..0.85).contains(&nearest), "the nearest mean image is right for {nearest}");
    }
}
