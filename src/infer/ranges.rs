//! What numbers a model's activations are on some images: what computing in bytes needs to know of a file.
//!
//! A range is the one that makes the sum of squared errors least: numbers inside are off by up to half a step, numbers beyond it by what
//! is cut off.

use anyhow::{Context, Result, ensure};

use super::Loaded;
use super::program::Program;
use crate::onnx::{Range, Ranges};

/// Parts into which the numbers of a value are sorted.
const BINS: usize = 2048;
/// The share of the largest number that a range holds at least.
const LEAST: f64 = 0.25;
/// Images that are run at once.
const CHUNK: usize = 64;

/// The numbers of a value.
#[derive(Clone, Debug)]
struct Seen {
    low: f32,
    high: f32,
    /// How many there are, and the sum of each channel.
    count: u64,
    sums: Vec<f64>,
    /// How many there are in each part of low–high; those that are 0, which a byte stands for exactly, are left out.
    bins: Vec<u64>,
}

impl Loaded {
    /// Runs images, `[C, H, W]` with values 0–255, and measures the values that layers of bytes read. The result depends on the file,
    /// the images and the make of vectors of the machine.
    ///
    /// # Errors
    /// When the kernels do not cover the graph, there is no whole image, or a value is not a finite number.
    pub fn measure_ranges(&self, pixels: &[u8]) -> Result<Ranges> {
        let size = self.interface().image.pixels();
        ensure!(!pixels.is_empty() && pixels.len().is_multiple_of(size), "there are no whole images to measure ranges on");
        let program = Program::<f32>::new(self.proto(), self.interface()).context("only the kernels compute in bytes")?;
        let readings = program.readings();
        let empty = |channels: usize| Seen { low: 0.0, high: 0.0, count: 0, sums: vec![0.0; channels], bins: vec![0; BINS] };
        let mut seen: Vec<Seen> = readings.iter().map(|reading| empty(reading.channels)).collect();
        let (mut labels, mut probabilities) = (Vec::new(), Vec::new());
        let mut run = |observe: &mut dyn FnMut(usize, &[f32])| {
            for pixels in pixels.chunks(CHUNK * size) {
                labels.clear();
                probabilities.clear();
                program.run_observed(pixels, &mut labels, &mut probabilities, observe);
            }
        };
        run(&mut |number, values| seen[number].extend(values));
        for (reading, seen) in readings.iter().zip(&seen) {
            ensure!(seen.sums.iter().all(|sum| sum.is_finite()), "`{}` is not finite on the images", reading.name);
        }
        run(&mut |number, values| seen[number].sort(values));
        let values = readings.iter().zip(&seen).map(|(reading, seen)| (reading.name.clone(), seen.range())).collect();
        Ok(Ranges { images: pixels.len() / size, values })
    }
}

impl Seen {
    /// Widens low–high, which hold 0, to hold values `[.., channels]`, and adds to the sums.
    fn extend(&mut self, values: &[f32]) {
        for values in values.chunks_exact(self.sums.len()) {
            for (sum, value) in self.sums.iter_mut().zip(values) {
                *sum += f64::from(*value);
                self.low = self.low.min(*value);
                self.high = self.high.max(*value);
            }
        }
        self.count += values.len() as u64;
    }

    /// Counts values into the parts of low–high.
    fn sort(&mut self, values: &[f32]) {
        let width = (self.high - self.low) / BINS as f32;
        for value in values.iter().filter(|value| **value != 0.0) {
            let bin = ((value - self.low) / width) as usize;
            self.bins[bin.min(BINS - 1)] += 1;
        }
    }

    fn range(&self) -> Range {
        let pixels = self.count / self.sums.len() as u64;
        let mean = self.sums.iter().map(|sum| (sum / pixels as f64) as f32).collect();
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let total: u64 = self.bins.iter().sum();
        let candidates = |end: f64| (0..=64).map(move |step| end * (LEAST + (1.0 - LEAST) * f64::from(step) / 64.0));
        let lows: Vec<(f64, f64)> = candidates(low).map(|end| (end, self.cut(|value| end - value))).collect();
        let highs = candidates(high).map(|end| (end, self.cut(|value| value - end)));
        let mut best = (f64::INFINITY, low, high);
        for (high, above) in highs {
            for &(low, below) in &lows {
                let step = (high - low) / 255.0;
                let error = below + above + total as f64 * step * step / 12.0;
                if error < best.0 {
                    best = (error, low, high);
                }
            }
        }
        Range { low: best.1 as f32, high: best.2 as f32, mean }
    }

    /// The sum of squares of what is beyond an end of a range; `beyond` tells how far a number is, negative inside.
    fn cut(&self, beyond: impl Fn(f64) -> f64) -> f64 {
        let (low, width) = (f64::from(self.low), f64::from(self.high - self.low) / BINS as f64);
        let centre = |bin: usize| low + (bin as f64 + 0.5) * width;
        self.bins.iter().enumerate().map(|(bin, count)| *count as f64 * beyond(centre(bin)).max(0.0).powi(2)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[f32]) -> Seen {
        let mut seen = Seen { low: 0.0, high: 0.0, count: 0, sums: vec![0.0; 2], bins: vec![0; BINS] };
        seen.extend(values);
        seen.sort(values);
        seen
    }

    #[test]
    fn a_range_cuts_off_what_is_rare_and_keeps_what_is_not() {
        let even: Vec<f32> = (0..2000).map(|index| index as f32 / 1000.0 - 0.5).collect();
        let range = seen(&even).range();
        assert!((range.low + 0.5).abs() < 0.02 && (range.high - 1.5).abs() < 0.03, "{range:?}");
        assert!((range.mean[0] - 0.499).abs() < 1e-3 && (range.mean[1] - 0.5).abs() < 1e-3, "{range:?}");
        let mut rare: Vec<f32> = (0..1_000_000).map(|index| (index % 1000) as f32 / 1000.0).collect();
        rare.extend([3.0, 0.0]);
        let range = seen(&rare).range();
        assert!(range.low == 0.0 && range.high > 0.9 && range.high < 2.0, "{range:?}");
    }

    #[test]
    fn what_is_always_zero_has_no_range() {
        assert_eq!(seen(&[0.0; 8]).range(), Range { low: 0.0, high: 0.0, mean: vec![0.0; 2] });
    }
}
