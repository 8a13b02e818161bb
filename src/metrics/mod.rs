//! Metrics: pure functions of labels and probabilities. They know nothing of anything else: no models, no files, no
//! other room.
//!
//! [`evaluate`] computes all of them for one model on one part of the data. The single metrics are functions of their own:
//!
//! | question | answer |
//! |---|---|
//! | how often is it right, and how sure is that figure | [`Proportion`], [`top_k_accuracy`] |
//! | how good are its probabilities | [`log_loss`], [`brier_score`], [`reliability`], [`calibration_error`] |
//! | what does it take for what | [`ConfusionMatrix`], [`ClassificationReport`] |
//! | is one model better than another, or just lucky | [`mcnemar`], [`bootstrap_difference`] |
//! | how much of a figure is the seed | [`Spread`] |
//!
//! Labels are class indices, `[N]`; probabilities are `[N, classes]`, one row an image. Every function that takes
//! probabilities checks them first ([`check_probabilities`]), so that a NaN or a matrix of logits is an error and not a
//! figure. A prediction is the first class of largest probability ([`argmax`]), the rule of the exported graphs.

mod calibration;
mod classes;
mod confusion;
mod evaluation;
mod loss;
mod proportion;
#[cfg(test)]
mod samples;
mod significance;
mod spread;

use ndarray::{ArrayView1, ArrayView2};

pub use calibration::{Calibration, RELIABILITY_BINS, ReliabilityBin, calibration_error, reliability};
pub use classes::{Averages, ClassScores, ClassificationReport};
pub use confusion::ConfusionMatrix;
pub use evaluation::{Evaluation, TopK, evaluate};
pub use loss::{SMALLEST_PROBABILITY, brier_score, log_loss};
pub use proportion::{Interval, Proportion, top_k_accuracy};
pub use significance::{AccuracyDifference, McNemar, McNemarMethod, bootstrap_difference, mcnemar};
pub use spread::Spread;

/// Class probabilities, `[N, classes]`, rows summing to 1.
pub type Probabilities = ndarray::Array2<f32>;

/// How far a row of probabilities may be from summing to 1, and one of them from 0 to 1: wide enough for sums of 256 values
/// of half precision, narrow enough to tell logits from probabilities.
const SUM_TOLERANCE: f64 = 1e-2;

/// Why a metric cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MetricsError {
    /// There is nothing to measure.
    #[error("there are no images to measure on")]
    Empty,
    /// Labels and probabilities are not of the same images.
    #[error("there are {labels} labels but {rows} rows of probabilities; both must be of the same images")]
    RowCount {
        /// Number of labels.
        labels: usize,
        /// Number of rows.
        rows: usize,
    },
    /// Class names and columns differ.
    #[error("there are {names} class names but {columns} columns of probabilities")]
    ClassCount {
        /// Number of class names.
        names: usize,
        /// Number of columns.
        columns: usize,
    },
    /// A label cannot name that many classes.
    #[error("{0} classes do not fit labels of one byte; use 1 to 256 classes")]
    TooManyClasses(usize),
    /// A label or prediction is no class.
    #[error("the label of row {row} is {label}, but there are only {classes} classes (0 to {})", classes.saturating_sub(1))]
    Label {
        /// Row, from 0.
        row: usize,
        /// The label.
        label: u8,
        /// Number of classes.
        classes: usize,
    },
    /// A probability is NaN or infinite.
    #[error("row {row}, class {class}: {value} is not a finite number; the model has diverged or its input was not finite")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Column.
        class: usize,
        /// The value.
        value: f32,
    },
    /// A row is finite but not a distribution.
    #[error(
        "row {row} is not a distribution: its values are {smallest} to {largest} and sum to {sum}; pass probabilities, not logits"
    )]
    NotADistribution {
        /// Row, from 0.
        row: usize,
        /// Smallest value.
        smallest: f32,
        /// Largest value.
        largest: f32,
        /// Sum of the row.
        sum: f64,
    },
    /// k of top-k is out of range.
    #[error("top-{k} accuracy needs k between 1 and the number of classes, {classes}")]
    TopK {
        /// The k asked for.
        k: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Two lists of predictions are not of the same images.
    #[error("there are {labels} labels but {first} predictions of the first model and {second} of the second")]
    PredictionCount {
        /// Number of labels.
        labels: usize,
        /// Number of the first model's predictions.
        first: usize,
        /// Number of the second model's predictions.
        second: usize,
    },
}

/// The first index of the largest value; 0 for an empty row.
pub fn argmax(row: ArrayView1<'_, f32>) -> usize {
    let mut best = 0;
    for (index, &value) in row.iter().enumerate() {
        if value > row[best] {
            best = index;
        }
    }
    best
}

/// The predicted class of every row of `probabilities`, `[N, classes]` → `[N]`.
///
/// # Errors
/// As [`check_probabilities`].
pub fn predictions(probabilities: ArrayView2<'_, f32>) -> Result<Vec<u8>, MetricsError> {
    check_probabilities(probabilities)?;
    Ok(probabilities.rows().into_iter().map(|row| u8::try_from(argmax(row)).expect("at most 256 classes")).collect())
}

/// Checks that `probabilities`, `[N, classes]`, has 1 to 256 classes, and that every row is a distribution: finite, in 0–1,
/// summing to 1.
///
/// # Errors
/// The first row that is not, by its index from 0.
pub fn check_probabilities(probabilities: ArrayView2<'_, f32>) -> Result<(), MetricsError> {
    if !(1..=256).contains(&probabilities.ncols()) {
        return Err(MetricsError::TooManyClasses(probabilities.ncols()));
    }
    for (row, values) in probabilities.rows().into_iter().enumerate() {
        let (mut smallest, mut largest, mut sum) = (f32::INFINITY, f32::NEG_INFINITY, 0.0);
        for (class, &value) in values.iter().enumerate() {
            if !value.is_finite() {
                return Err(MetricsError::NotFinite { row, class, value });
            }
            smallest = smallest.min(value);
            largest = largest.max(value);
            sum += f64::from(value);
        }
        let inside = f64::from(smallest) >= -SUM_TOLERANCE && f64::from(largest) <= 1.0 + SUM_TOLERANCE;
        if !inside || (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(MetricsError::NotADistribution { row, smallest, largest, sum });
        }
    }
    Ok(())
}

/// Checks that `labels` and `probabilities` are of the same, at least one, images, that every label is a class, and what
/// [`check_probabilities`] checks.
///
/// # Errors
/// The first thing that does not hold.
pub fn check(labels: &[u8], probabilities: ArrayView2<'_, f32>) -> Result<(), MetricsError> {
    if labels.len() != probabilities.nrows() {
        return Err(MetricsError::RowCount { labels: labels.len(), rows: probabilities.nrows() });
    }
    check_probabilities(probabilities)?;
    check_labels(labels, probabilities.ncols())
}

/// Checks that there are labels and that every one is below `classes`.
fn check_labels(labels: &[u8], classes: usize) -> Result<(), MetricsError> {
    if labels.is_empty() {
        return Err(MetricsError::Empty);
    }
    match labels.iter().position(|&label| usize::from(label) >= classes) {
        Some(row) => Err(MetricsError::Label { row, label: labels[row], classes }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn the_first_of_equal_probabilities_wins() {
        assert_eq!(argmax(array![0.2, 0.4, 0.4].view()), 1);
        assert_eq!(argmax(array![0.25, 0.25, 0.25, 0.25].view()), 0);
        assert_eq!(predictions(array![[0.1, 0.9], [0.5, 0.5]].view()), Ok(vec![1, 0]));
    }

    #[test]
    fn what_cannot_be_measured_is_named() {
        let says = |labels: &[u8], probabilities: Array2<f32>| check(labels, probabilities.view()).unwrap_err().to_string();
        insta::assert_snapshot!(says(&[], Array2::zeros((0, 2))), @"there are no images to measure on");
        insta::assert_snapshot!(says(&[0, 1], array![[0.5, 0.5]]), @"there are 2 labels but 1 rows of probabilities; both must be of the same images");
        insta::assert_snapshot!(says(&[0, 2], array![[0.5, 0.5], [1.0, 0.0]]), @"the label of row 1 is 2, but there are only 2 classes (0 to 1)");
        insta::assert_snapshot!(says(&[0], array![[0.5, f32::NAN]]), @"row 0, class 1: NaN is not a finite number; the model has diverged or its input was not finite");
        insta::assert_snapshot!(says(&[0], array![[3.0, -2.0]]), @"row 0 is not a distribution: its values are -2 to 3 and sum to 1; pass probabilities, not logits");
        insta::assert_snapshot!(says(&[0], array![[0.5, 0.25]]), @"row 0 is not a distribution: its values are 0.25 to 0.5 and sum to 0.75; pass probabilities, not logits");
        insta::assert_snapshot!(says(&[0], Array2::zeros((1, 300))), @"300 classes do not fit labels of one byte; use 1 to 256 classes");
    }
}
