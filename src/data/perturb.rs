//! Perturbations: what may befall an image on its way to a model, in five grades. For tests of robustness, in the manner of
//! Hendrycks and Dietterich, *Benchmarking neural network robustness to common corruptions and perturbations*, 2019, with
//! strengths made for images of about 28 × 28 pixels.
//!
//! | kind | grade 1 | 2 | 3 | 4 | 5 |
//! |---|---|---|---|---|---|
//! | noise: standard deviation of Gaussian noise, of 255 | 10 | 20 | 30 | 45 | 60 |
//! | blur: standard deviation of a Gaussian kernel, pixels | 0.5 | 0.75 | 1.0 | 1.5 | 2.0 |
//! | shift: pixels in a random one of eight directions | 1 | 2 | 3 | 4 | 5 |
//! | contrast: share that is kept, about the image's mean | 0.75 | 0.6 | 0.45 | 0.3 | 0.2 |
//! | occlusion: side of a black square, share of the image's | 0.15 | 0.2 | 0.3 | 0.4 | 0.5 |

use rand::RngExt;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ImageShape, LabelledImages};
use crate::seed::{Rng, Seed};

/// A kind of perturbation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Perturbation {
    /// Gaussian noise on every value.
    Noise,
    /// A Gaussian blur.
    Blur,
    /// A move by whole pixels; what comes in is black.
    Shift,
    /// Less contrast.
    Contrast,
    /// A black square at a random place.
    Occlusion,
}

impl Perturbation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Noise, Self::Blur, Self::Shift, Self::Contrast, Self::Occlusion];

    /// Its name, as in YAML and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Blur => "blur",
            Self::Shift => "shift",
            Self::Contrast => "contrast",
            Self::Occlusion => "occlusion",
        }
    }

    /// The strength at a grade, in the unit that the table of this module names.
    pub const fn strength(self, severity: Severity) -> f32 {
        let strengths = match self {
            Self::Noise => [10.0, 20.0, 30.0, 45.0, 60.0],
            Self::Blur => [0.5, 0.75, 1.0, 1.5, 2.0],
            Self::Shift => [1.0, 2.0, 3.0, 4.0, 5.0],
            Self::Contrast => [0.75, 0.6, 0.45, 0.3, 0.2],
            Self::Occlusion => [0.15, 0.2, 0.3, 0.4, 0.5],
        };
        strengths[severity.0 as usize - 1]
    }

    /// Perturbs one image, `[C, H, W]`, from `source` into `target`, as sample `sample`.
    ///
    /// # Panics
    /// When a slice is not as long as an image.
    pub fn apply(self, severity: Severity, seed: Seed, sample: u64, shape: ImageShape, source: &[u8], target: &mut [u8]) {
        assert_eq!((source.len(), target.len()), (shape.pixels(), shape.pixels()), "each slice must hold one image");
        let mut rng = seed.index(sample).rng();
        let strength = self.strength(severity);
        match self {
            Self::Noise => noise(strength, &mut rng, source, target),
            Self::Blur => blur(strength, shape, source, target),
            Self::Shift => shift(strength as isize, &mut rng, shape, source, target),
            Self::Contrast => contrast(strength, source, target),
            Self::Occlusion => occlude(strength, &mut rng, shape, source, target),
        }
    }

    /// Perturbs all images, each as the sample of its place.
    pub fn apply_all(self, severity: Severity, seed: Seed, images: &LabelledImages) -> LabelledImages {
        let (shape, size) = (images.shape(), images.shape().pixels());
        let mut pixels = vec![0; images.pixels().len()];
        pixels
            .par_chunks_exact_mut(size)
            .zip(images.pixels().par_chunks_exact(size))
            .enumerate()
            .for_each(|(sample, (target, source))| self.apply(severity, seed, sample as u64, shape, source, target));
        LabelledImages::new(shape, pixels, images.labels()).expect("there are as many images as before")
    }
}

impl std::fmt::Display for Perturbation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How strong a perturbation is: a grade from 1 (slight) to 5 (severe).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(with = "u8", extend("minimum" = 1, "maximum" = 5))]
pub struct Severity(u8);

impl Severity {
    /// All grades, rising.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// The plain number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Severity {
    type Error = String;

    fn try_from(grade: u8) -> Result<Self, String> {
        if (1..=5).contains(&grade) {
            Ok(Self(grade))
        } else {
            Err(format!("{grade} is out of range: a severity is from 1 to 5"))
        }
    }
}

impl From<Severity> for u8 {
    fn from(severity: Severity) -> Self {
        severity.0
    }
}

fn to_byte(value: f32) -> u8 {
    (value.clamp(0.0, 255.0) + 0.5) as u8
}

fn noise(deviation: f32, rng: &mut Rng, source: &[u8], target: &mut [u8]) {
    for (from, to) in source.chunks(2).zip(target.chunks_mut(2)) {
        // Two normal numbers from two uniform ones (Box and Muller, 1958).
        let radius = deviation * (-2.0 * libm::logf(1.0 - rng.random::<f32>())).sqrt();
        let angle = std::f32::consts::TAU * rng.random::<f32>();
        let normal = [radius * libm::cosf(angle), radius * libm::sinf(angle)];
        for ((from, to), normal) in from.iter().zip(to).zip(normal) {
            *to = to_byte(f32::from(*from) + normal);
        }
    }
}

/// Convolves rows, then columns; beyond the edges the image goes on as its last pixel.
fn blur(deviation: f32, shape: ImageShape, source: &[u8], target: &mut [u8]) {
    let reach = (3.0 * deviation).ceil() as isize;
    let kernel: Vec<f32> = (-reach..=reach).map(|at| libm::expf(-((at * at) as f32) / (2.0 * deviation * deviation))).collect();
    let sum: f32 = kernel.iter().sum();
    let ImageShape { height, width, .. } = shape;
    let near = |at: usize, offset: isize, end: usize| (at.cast_signed() + offset).clamp(0, end.cast_signed() - 1).cast_unsigned();
    let mut rows = vec![0.0; height * width];
    for (source, target) in source.chunks_exact(height * width).zip(target.chunks_exact_mut(height * width)) {
        for (index, value) in rows.iter_mut().enumerate() {
            let (y, x) = (index / width, index % width);
            *value =
                kernel.iter().zip(-reach..).map(|(weight, at)| weight * f32::from(source[y * width + near(x, at, width)])).sum();
        }
        for (index, value) in target.iter_mut().enumerate() {
            let (y, x) = (index / width, index % width);
            let total: f32 = kernel.iter().zip(-reach..).map(|(weight, at)| weight * rows[near(y, at, height) * width + x]).sum();
            *value = to_byte(total / (sum * sum));
        }
    }
}

fn shift(distance: isize, rng: &mut Rng, shape: ImageShape, source: &[u8], target: &mut [u8]) {
    const DIRECTIONS: [(isize, isize); 8] = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)];
    let (down, right) = DIRECTIONS[rng.random_range(0..DIRECTIONS.len())];
    let ImageShape { height, width, .. } = shape;
    for (source, target) in source.chunks_exact(height * width).zip(target.chunks_exact_mut(height * width)) {
        for (index, value) in target.iter_mut().enumerate() {
            let row = (index / width).checked_add_signed(-down * distance).filter(|&row| row < height);
            let column = (index % width).checked_add_signed(-right * distance).filter(|&column| column < width);
            *value = row.zip(column).map_or(0, |(row, column)| source[row * width + column]);
        }
    }
}

fn contrast(kept: f32, source: &[u8], target: &mut [u8]) {
    let mean = source.iter().map(|&pixel| f32::from(pixel)).sum::<f32>() / source.len() as f32;
    for (&from, to) in source.iter().zip(target) {
        *to = to_byte(mean + kept * (f32::from(from) - mean));
    }
}

fn occlude(share: f32, rng: &mut Rng, shape: ImageShape, source: &[u8], target: &mut [u8]) {
    let ImageShape { height, width, .. } = shape;
    let side = ((share * height.min(width) as f32).round() as usize).max(1);
    let (top, left) = (rng.random_range(0..=height - side), rng.random_range(0..=width - side));
    target.copy_from_slice(source);
    for plane in target.chunks_exact_mut(height * width) {
        for row in plane.chunks_exact_mut(width).skip(top).take(side) {
            row[left..left + side].fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::garments;

    const MILD: Severity = Severity::ALL[0];
    const SEVERE: Severity = Severity::ALL[4];

    fn apply(kind: Perturbation, severity: Severity, sample: u64, image: &[u8]) -> Vec<u8> {
        let mut target = vec![9; image.len()];
        kind.apply(severity, Seed::new(1), sample, garments::SHAPE, image, &mut target);
        target
    }

    #[test]
    fn every_grade_changes_images_more_than_the_one_below() {
        let images = garments::images(Seed::new(3), 50);
        for kind in Perturbation::ALL {
            let distance = |severity| -> f64 {
                let perturbed = kind.apply_all(severity, Seed::new(1), &images);
                assert_eq!(perturbed, kind.apply_all(severity, Seed::new(1), &images), "{kind} is repeatable");
                images.pixels().iter().zip(perturbed.pixels()).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
            };
            let distances = Severity::ALL.map(distance);
            assert!(distances[0] > 0.0 && distances.is_sorted_by(|a, b| a < b), "{kind}: {distances:?}");
        }
    }

    #[test]
    fn noise_has_the_deviation_it_says() {
        let noisy = apply(Perturbation::Noise, SEVERE, 0, &[128; 784]);
        let deviation = noisy.iter().map(|&value| (f64::from(value) - 128.0).powi(2)).sum::<f64>() / 784.0;
        assert!((50.0..65.0).contains(&deviation.sqrt()), "{}", deviation.sqrt());
        assert_ne!(noisy, apply(Perturbation::Noise, SEVERE, 1, &[128; 784]));
    }

    #[test]
    fn a_blur_spreads_a_point_evenly_and_keeps_flat_images() {
        assert_eq!(apply(Perturbation::Blur, SEVERE, 0, &[77; 784]), [77; 784]);
        let mut point = [0; 784];
        point[14 * 28 + 14] = 255;
        let blurred = apply(Perturbation::Blur, Severity::ALL[2], 0, &point);
        assert_eq!(blurred[14 * 28 + 14], 41, "255 / 2π at a deviation of 1");
        assert_eq!((blurred[13 * 28 + 14], blurred[14 * 28 + 15]), (25, 25));
    }

    #[test]
    fn a_shift_moves_by_its_distance_in_every_direction() {
        let mut point = [0; 784];
        point[14 * 28 + 14] = 255;
        let mut places: Vec<usize> = (0..200)
            .map(|sample| apply(Perturbation::Shift, SEVERE, sample, &point).iter().position(|&value| value == 255).unwrap())
            .collect();
        places.sort_unstable();
        places.dedup();
        let around = |row: usize| [row * 28 + 9, row * 28 + 14, row * 28 + 19];
        let expected: Vec<usize> = [9, 14, 19].into_iter().flat_map(around).filter(|&place| place != 14 * 28 + 14).collect();
        assert_eq!(places, expected);
    }

    #[test]
    fn contrast_moves_values_to_the_mean_and_occlusion_blackens_a_square() {
        let halves: Vec<u8> = (0..784).map(|index| if index < 392 { 0 } else { 200 }).collect();
        let flat = apply(Perturbation::Contrast, SEVERE, 0, &halves);
        assert_eq!((flat[0], flat[783]), (80, 120));
        let occluded = apply(Perturbation::Occlusion, MILD, 0, &[200; 784]);
        assert_eq!(occluded.iter().filter(|&&value| value == 0).count(), 16, "a square of side 4");
    }

    #[test]
    fn a_severity_is_a_grade_from_1_to_5() {
        assert_eq!(serde_json::from_str::<Severity>("5").unwrap(), SEVERE);
        for bad in ["0", "6"] {
            let error = serde_json::from_str::<Severity>(bad).unwrap_err().to_string();
            assert!(error.contains("a severity is from 1 to 5"), "{error}");
        }
        for kind in Perturbation::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }
}
