//! Calibration: whether an image predicted with confidence 0.8 is right in 8 of 10 cases.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::{MetricsError, argmax, brier_score, check, log_loss};

/// How many bins a reliability diagram has, as in Guo and others (2017).
pub const RELIABILITY_BINS: usize = 15;

/// Images whose confidence (the probability of the predicted class) lies above `low` and not above `high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower end, not included, but for the first bin.
    pub low: f64,
    /// Upper end, included.
    pub high: f64,
    /// How many images fall into it.
    pub images: usize,
    /// Their mean confidence; nothing in an empty bin.
    pub confidence: Option<f64>,
    /// The share of them that is predicted rightly; nothing in an empty bin.
    pub accuracy: Option<f64>,
}

/// The bins of a reliability diagram: 0–1 in [`RELIABILITY_BINS`] parts of equal width.
///
/// # Errors
/// As [`check`].
pub fn reliability(labels: &[u8], probabilities: ArrayView2<'_, f32>) -> Result<Vec<ReliabilityBin>, MetricsError> {
    check(labels, probabilities)?;
    let mut images = [0; RELIABILITY_BINS];
    let mut right = [0; RELIABILITY_BINS];
    let mut confidences = [0.0; RELIABILITY_BINS];
    for (&label, row) in labels.iter().zip(probabilities.rows()) {
        let predicted = argmax(row);
        let confidence = f64::from(row[predicted]);
        // Rounding up makes the bins include their upper end.
        let bin = ((confidence * RELIABILITY_BINS as f64).ceil() as usize).clamp(1, RELIABILITY_BINS) - 1;
        images[bin] += 1;
        right[bin] += usize::from(predicted == usize::from(label));
        confidences[bin] += confidence;
    }
    let end = |index: usize| index as f64 / RELIABILITY_BINS as f64;
    let mean = |sum: f64, count: usize| (count > 0).then(|| sum / count as f64);
    Ok((0..RELIABILITY_BINS)
        .map(|bin| ReliabilityBin {
            low: end(bin),
            high: end(bin + 1),
            images: images[bin],
            confidence: mean(confidences[bin], images[bin]),
            accuracy: mean(right[bin] as f64, images[bin]),
        })
        .collect())
}

/// Expected calibration error: the mean of |accuracy − confidence| over bins, each weighted by its images
/// (Naeini and others, 2015; Guo and others, 2017). 0 is perfect.
pub fn calibration_error(bins: &[ReliabilityBin]) -> f64 {
    let total: usize = bins.iter().map(|bin| bin.images).sum();
    let gap = |bin: &ReliabilityBin| Some((bin.accuracy? - bin.confidence?).abs() * bin.images as f64);
    bins.iter().filter_map(gap).sum::<f64>() / total.max(1) as f64
}

/// How good probabilities are as probabilities, whatever is predicted rightly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Mean −ln p of the true class.
    pub loss: f64,
    /// Brier score, 0–2.
    pub brier: f64,
    /// Expected calibration error.
    pub calibration_error: f64,
    /// The bins of the reliability diagram.
    pub reliability: Vec<ReliabilityBin>,
}

impl Calibration {
    /// Measures `probabilities`, `[N, classes]`, against `labels`, `[N]`.
    ///
    /// # Errors
    /// As [`check`].
    pub fn of(labels: &[u8], probabilities: ArrayView2<'_, f32>) -> Result<Self, MetricsError> {
        let reliability = reliability(labels, probabilities)?;
        Ok(Self {
            loss: log_loss(labels, probabilities)?,
            brier: brier_score(labels, probabilities)?,
            calibration_error: calibration_error(&reliability),
            reliability,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::labels_and_probabilities;
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn the_error_is_the_weighted_gap_of_the_bins() {
        // Two images of confidence 0.75, one right: gap 0.25. Two of confidence 1, both right: gap 0.
        let probabilities = array![[0.75, 0.25], [0.75, 0.25], [1.0, 0.0], [0.0, 1.0]];
        let bins = reliability(&[0, 1, 0, 1], probabilities.view()).unwrap();
        assert_eq!(bins.len(), RELIABILITY_BINS);
        assert_eq!(bins.iter().map(|bin| bin.images).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 2]);
        assert_eq!((bins[11].confidence, bins[11].accuracy), (Some(0.75), Some(0.5)));
        assert_eq!((bins[0].confidence, bins[0].accuracy), (None, None));
        assert_eq!(calibration_error(&bins), 0.125);
    }

    #[test]
    fn the_error_equals_that_of_the_papers_own_code() {
        let (labels, probabilities) = labels_and_probabilities();
        let error = calibration_error(&reliability(&labels, probabilities.view()).unwrap());
        assert!((error - 0.192_200_672_030_448_94).abs() < 1e-7, "{error}");
    }

    #[test]
    fn a_bin_includes_its_upper_end() {
        let check = |row: Array2<f32>, expected| {
            let bins = reliability(&[0], row.view()).unwrap();
            assert_eq!(bins.iter().position(|bin| bin.images == 1), Some(expected), "{row}");
        };
        check(Array2::from_elem((1, 4), 0.25), 3); // 3/15 < 0.25 <= 4/15
        check(array![[0.6f32.next_down(), 0.4]], 8); // 8/15 < p <= 9/15; the 32-bit 0.6 itself is above 9/15
        check(array![[0.6, 0.4]], 9);
        check(array![[1.0]], 14);
    }
}
