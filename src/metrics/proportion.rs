//! Shares of images, with the interval in which the true share lies.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::{MetricsError, check};

/// The 0.975 quantile of the standard normal distribution: two-sided 95 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// Two ends of a confidence interval of 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How many of how many, such as right predictions among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proportion {
    /// How many it holds for.
    pub successes: usize,
    /// How many there are; at least one.
    pub total: usize,
}

impl Proportion {
    /// The proportion of predictions that equal their labels.
    ///
    /// # Errors
    /// When there are no labels, or not as many predictions.
    pub fn right(labels: &[u8], predictions: &[u8]) -> Result<Self, MetricsError> {
        if labels.len() != predictions.len() {
            return Err(MetricsError::RowCount { labels: labels.len(), rows: predictions.len() });
        }
        if labels.is_empty() {
            return Err(MetricsError::Empty);
        }
        let successes = labels.iter().zip(predictions).filter(|(label, prediction)| label == prediction).count();
        Ok(Self { successes, total: labels.len() })
    }

    /// The share, 0–1.
    pub fn share(self) -> f64 {
        self.successes as f64 / self.total as f64
    }

    /// The score interval of 95 % (Wilson, 1927): unlike p ± 1.96·√(p(1−p)/n) it stays within 0–1 and is right near its
    /// ends.
    pub fn interval(self) -> Interval {
        let (n, p) = (self.total as f64, self.share());
        let z2 = Z_95 * Z_95;
        let centre = p + z2 / (2.0 * n);
        let spread = Z_95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z2 / n;
        // At the ends the two terms cancel exactly on paper but not in floating point.
        let low = if self.successes == 0 { 0.0 } else { (centre - spread) / scale };
        let high = if self.successes == self.total { 1.0 } else { (centre + spread) / scale };
        Interval { low, high }
    }
}

/// The share of images whose true class is among the `k` most probable. Equal probabilities rank by class index, as
/// [`super::argmax`] does, so that top-1 is the accuracy.
///
/// # Errors
/// As [`check`], and when `k` is 0 or larger than the number of classes.
pub fn top_k_accuracy(labels: &[u8], probabilities: ArrayView2<'_, f32>, k: usize) -> Result<Proportion, MetricsError> {
    check(labels, probabilities)?;
    let classes = probabilities.ncols();
    if !(1..=classes).contains(&k) {
        return Err(MetricsError::TopK { k, classes });
    }
    let among = |label: usize, row: ndarray::ArrayView1<'_, f32>| {
        let before = |(class, &p): (usize, &f32)| p > row[label] || (p == row[label] && class < label);
        row.iter().enumerate().filter(|&entry| before(entry)).count() < k
    };
    let successes = labels.iter().zip(probabilities.rows()).filter(|&(&label, row)| among(label.into(), row)).count();
    Ok(Proportion { successes, total: labels.len() })
}

#[cfg(test)]
mod tests {
    use super::super::samples::labels_and_probabilities;
    use super::*;
    use ndarray::array;

    #[test]
    fn wilson_intervals_equal_those_of_statsmodels() {
        let check = |successes, total, low: f64, high: f64| {
            let interval = Proportion { successes, total }.interval();
            assert!((interval.low - low).abs() < 1e-14, "{successes}/{total}: {interval:?}");
            assert!((interval.high - high).abs() < 1e-14, "{successes}/{total}: {interval:?}");
        };
        // statsmodels 0.15, proportion_confint(method="wilson")
        check(9120, 10_000, 0.906_288_126_963_311_4, 0.917_395_458_379_251_2);
        check(0, 20, 0.0, 0.161_125_158_052_819_3);
        check(20, 20, 0.838_874_841_947_180_4, 1.0);
        check(1, 3, 0.061_491_944_720_396_26, 0.792_340_399_197_952_3);
    }

    #[test]
    fn top_k_counts_classes_before_the_true_one() {
        let probabilities = array![[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.2, 0.3, 0.5]];
        let top = |labels: &[u8], k| top_k_accuracy(labels, probabilities.view(), k).map(|p| p.successes);
        assert_eq!(top(&[0, 1, 0], 1), Ok(1));
        assert_eq!(top(&[0, 1, 0], 2), Ok(2));
        assert_eq!(top(&[0, 1, 0], 3), Ok(3));
        assert_eq!(top(&[0, 1, 0], 4), Err(MetricsError::TopK { k: 4, classes: 3 }));
        assert_eq!(top(&[0, 1, 0], 0), Err(MetricsError::TopK { k: 0, classes: 3 }));
    }

    #[test]
    fn top_k_accuracy_equals_that_of_scikit_learn() {
        let (labels, probabilities) = labels_and_probabilities();
        let top = |k| top_k_accuracy(&labels, probabilities.view(), k).unwrap().share();
        assert_eq!([1, 2, 3, 4, 5].map(top), [0.16, 0.34, 0.58, 0.8, 1.0]);
    }

    #[test]
    fn accuracy_counts_equal_labels() {
        assert_eq!(Proportion::right(&[1, 2, 3], &[1, 0, 3]), Ok(Proportion { successes: 2, total: 3 }));
        assert_eq!(Proportion::right(&[], &[]), Err(MetricsError::Empty));
        assert_eq!(Proportion::right(&[1], &[]), Err(MetricsError::RowCount { labels: 1, rows: 0 }));
    }
}
