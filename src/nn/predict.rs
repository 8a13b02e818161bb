//! Prediction: class probabilities of many images, in fixed batches that run side by side, as the mean over views of each image.

use ndarray::Array2;
use rayon::prelude::*;

use super::{Architecture, Network, Weights, image_tensor, push_image};
use crate::data::{ImageShape, LabelledImages, View};
use crate::metrics::Probabilities;
use crate::progress::{Interrupted, Progress};

/// Images in a batch. Results do not depend on the number of threads because the batches do not.
const BATCH: usize = 64;

/// Why nothing could be predicted.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The work was asked to stop.
    #[error("the prediction was stopped")]
    Interrupted(#[from] Interrupted),
    /// The images are not of the shape that the network takes.
    #[error("the network takes images of {expected}, but is given images of {found}")]
    Shape {
        /// What the network takes.
        expected: ImageShape,
        /// What it was given.
        found: ImageShape,
    },
    /// The weights do not fit the architecture.
    #[error("{0:#}")]
    Weights(anyhow::Error),
}

/// Class probabilities of `images`, `[N, classes]`, in their order: the mean over the architecture's views.
///
/// # Errors
/// When the images or the weights do not fit the architecture, or on interruption.
pub fn predict(
    architecture: &Architecture,
    weights: &Weights,
    images: &LabelledImages,
    progress: &dyn Progress,
) -> Result<Probabilities, PredictError> {
    if images.shape() != architecture.input {
        return Err(PredictError::Shape { expected: architecture.input, found: images.shape() });
    }
    let network = Network::from_weights(architecture, weights).map_err(PredictError::Weights)?;
    Ok(network.average(&architecture.views.list(), images.pixels(), progress)?)
}

impl Network {
    /// Class probabilities of images as they are, given as bytes, `[N, C, H, W]`, of the shape that the network takes;
    /// `[N, classes]`.
    ///
    /// # Panics
    /// When the bytes are not a whole number of images.
    ///
    /// # Errors
    /// [`Interrupted`] when `progress` says so.
    pub fn predict(&self, pixels: &[u8], progress: &dyn Progress) -> Result<Probabilities, Interrupted> {
        self.average(&[View::PLAIN], pixels, progress)
    }

    /// The mean over `views` of an image, in double precision and rounded once.
    fn average(&self, views: &[View], pixels: &[u8], progress: &dyn Progress) -> Result<Probabilities, Interrupted> {
        let (shape, classes) = (self.input(), self.classes());
        let batches: Vec<Vec<f32>> = pixels
            .par_chunks(BATCH * shape.pixels())
            .map(|pixels| {
                let mut sums = vec![0.0; pixels.len() / shape.pixels() * classes];
                let mut image_seen = Vec::with_capacity(shape.pixels());
                for view in views {
                    progress.check()?;
                    let mut floats = Vec::with_capacity(pixels.len());
                    for image in pixels.chunks_exact(shape.pixels()) {
                        image_seen.clear();
                        view.push(image, shape, &mut image_seen);
                        push_image(&image_seen, shape.channels, &mut floats);
                    }
                    let logits = self.forward(image_tensor(floats, shape)); // [N, classes]
                    let logits = logits.try_into_vec_as::<f32>().expect("float32 tensors in main memory can be read");
                    let rows = logits.chunks_exact(classes).zip(sums.chunks_exact_mut(classes));
                    rows.for_each(|(logits, sums)| add_softmax(logits, sums));
                }
                Ok(sums.into_iter().map(|sum| (sum / views.len() as f64) as f32).collect())
            })
            .collect::<Result<_, Interrupted>>()?;
        let rows = pixels.len() / shape.pixels();
        Ok(Array2::from_shape_vec((rows, classes), batches.concat()).expect("each image gives one row"))
    }
}

/// Adds the probabilities of a row of logits to `sums`. The largest logit is taken off first, so that nothing overflows.
fn add_softmax(logits: &[f32], sums: &mut [f64]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - largest).exp()).collect();
    let total: f64 = exponentials.iter().sum();
    sums.iter_mut().zip(exponentials).for_each(|(sum, exponential)| *sum += exponential / total);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{ModelOptions, Normalisation, Views};
    use crate::progress::Silent;
    use crate::seed::Seed;

    fn setting() -> (Architecture, Weights) {
        let model: ModelOptions = serde_json::from_str(r#"{"basic": {"filters": [2], "units": 4}}"#).unwrap();
        let shape = ImageShape { channels: 1, height: 6, width: 6 };
        let architecture = model.build(shape, 3, Normalisation { mean: vec![0.3], deviation: vec![0.3] }).unwrap();
        let weights = Weights::initial(&architecture, Seed::new(5)).unwrap();
        (architecture, weights)
    }

    fn images(count: usize) -> LabelledImages {
        let pixels: Vec<u8> = (0..count * 36).map(|index| (index * 7919 % 256) as u8).collect();
        LabelledImages::new(ImageShape { channels: 1, height: 6, width: 6 }, pixels, vec![0; count]).unwrap()
    }

    #[test]
    fn rows_are_probabilities_and_do_not_depend_on_the_batch_they_are_in() {
        let (architecture, weights) = setting();
        let many = predict(&architecture, &weights, &images(150), &Silent).unwrap();
        assert_eq!(many.dim(), (150, 3));
        assert!(many.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-6));
        let few = predict(&architecture, &weights, &images(70), &Silent).unwrap();
        assert!((&many.slice(ndarray::s![..70, ..]) - &few).iter().all(|difference| difference.abs() < 1e-6));
        assert_eq!(predict(&architecture, &weights, &images(0), &Silent).unwrap().dim(), (0, 3));
    }

    #[test]
    fn views_are_averaged_and_do_not_tell_an_image_from_its_mirror_image() {
        let (single, weights) = setting();
        let averaged = Architecture { views: Views { flip: true, shift: 2 }, ..single.clone() };
        let given = images(70);
        let seen = |view: View| {
            let mut pixels = Vec::new();
            (0..given.len()).for_each(|index| view.push(given.image(index), given.shape(), &mut pixels));
            LabelledImages::new(given.shape(), pixels, vec![0; given.len()]).unwrap()
        };
        let mut expected = Array2::<f64>::zeros((70, 3));
        for view in averaged.views.list() {
            let probabilities = predict(&single, &weights, &seen(view), &Silent).unwrap();
            expected += &(probabilities.mapv(f64::from) / 6.0);
        }
        let found = predict(&averaged, &weights, &given, &Silent).unwrap();
        assert!((&found.mapv(f64::from) - &expected).iter().all(|difference| difference.abs() < 1e-7));
        assert_ne!(found, predict(&single, &weights, &given, &Silent).unwrap());
        let mirrored = predict(&averaged, &weights, &seen(View { mirrored: true, ..View::PLAIN }), &Silent).unwrap();
        assert!((&found - &mirrored).iter().all(|difference| difference.abs() < 1e-7));
    }

    #[test]
    fn foreign_images_and_interruptions_are_errors() {
        struct Stop;
        impl Progress for Stop {
            fn begin(&self, _: &str, _: u64, _: &str) {}
            fn advance(&self, _: u64, _: &str) {}
            fn note(&self, _: &str) {}
            fn warn(&self, _: &str) {}
            fn interrupted(&self) -> bool {
                true
            }
        }
        let (architecture, weights) = setting();
        let error = predict(&architecture, &weights, &images(9), &Stop).unwrap_err();
        assert!(matches!(error, PredictError::Interrupted(_)));
        let foreign = LabelledImages::new(ImageShape::MNIST, vec![0; 784], vec![0]).unwrap();
        let error = predict(&architecture, &weights, &foreign, &Silent).unwrap_err();
        insta::assert_snapshot!(error, @"the network takes images of 1×6×6, but is given images of 1×28×28");
    }

    #[test]
    fn softmax_bears_large_logits() {
        let mut row = [0.0; 3];
        add_softmax(&[1000.0, 1000.0, -1000.0], &mut row);
        assert_eq!(row, [0.5, 0.5, 0.0]);
    }
}
