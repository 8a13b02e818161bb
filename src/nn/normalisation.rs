//! The normalisation of pixels, measured on training data.

use super::Normalisation;
use crate::data::LabelledImages;

impl Normalisation {
    /// Mean and standard deviation of each channel over `images`, in 0–1. A channel that never changes gets deviation 1,
    /// so that it becomes zero everywhere. Sums are of integers, so that the order of images does not matter.
    pub fn of(images: &LabelledImages) -> Self {
        let shape = images.shape();
        let area = shape.height * shape.width;
        let mut counts = vec![[0u64; 256]; shape.channels];
        for plane in images.pixels().chunks_exact(area).enumerate() {
            let counts = &mut counts[plane.0 % shape.channels];
            for &pixel in plane.1 {
                counts[usize::from(pixel)] += 1;
            }
        }
        let (mean, deviation) = counts.iter().map(spread).unzip();
        Self { mean, deviation }
    }
}

fn spread(counts: &[u64; 256]) -> (f32, f32) {
    let moment = |power: u32| -> f64 {
        let sum: u128 = (0u128..).zip(counts).map(|(value, &count)| value.pow(power) * u128::from(count)).sum();
        sum as f64
    };
    let total = moment(0);
    if total == 0.0 {
        return (0.0, 1.0);
    }
    let mean = moment(1) / total;
    let variance = moment(2) / total - mean * mean;
    let deviation = if variance > 1e-6 { variance.sqrt() / 255.0 } else { 1.0 };
    ((mean / 255.0) as f32, deviation as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;

    #[test]
    fn each_channel_is_measured_by_itself() {
        let shape = ImageShape { channels: 2, height: 1, width: 2 };
        let images = LabelledImages::new(shape, vec![0, 255, 7, 7, 0, 255, 7, 7], vec![0, 1]).unwrap();
        let normalisation = Normalisation::of(&images);
        assert_eq!(normalisation.mean, [0.5, 7.0 / 255.0]);
        assert_eq!(normalisation.deviation, [0.5, 1.0]);
    }
}
