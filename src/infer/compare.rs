//! How far two models agree.

use anyhow::{Result, ensure};
use ndarray::ArrayView1;

use crate::metrics::Probabilities;

/// How far two sets of predictions of the same images agree.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Agreement {
    /// How many images.
    pub rows: usize,
    /// The largest |Δp| of any image and class; infinite where one of the two is not a number.
    pub largest_difference: f32,
    /// The image it was found at; 0 where there are none.
    pub worst_row: usize,
    /// How many images get the same label: the first of the largest probabilities.
    pub same_labels: usize,
    /// The first image that gets another label.
    pub first_other_label: Option<usize>,
    /// The largest distance of a row's sum from 1, in either set; infinite where a row is not made of numbers.
    pub largest_sum_error: f32,
}

impl Agreement {
    /// The share of images that get the same label; 1 where there are none.
    pub fn label_agreement(&self) -> f64 {
        if self.rows == 0 { 1.0 } else { self.same_labels as f64 / self.rows as f64 }
    }
}

/// Compares two sets of probabilities, `[N, classes]`, row by row.
///
/// # Errors
/// When their shapes differ.
pub fn compare(a: &Probabilities, b: &Probabilities) -> Result<Agreement> {
    ensure!(a.dim() == b.dim(), "probabilities of shapes {:?} and {:?} cannot be compared", a.dim(), b.dim());
    let mut agreement = Agreement {
        rows: a.nrows(),
        largest_difference: 0.0,
        worst_row: 0,
        same_labels: 0,
        first_other_label: None,
        largest_sum_error: 0.0,
    };
    for (row, (a, b)) in a.outer_iter().zip(b.outer_iter()).enumerate() {
        let difference = a.iter().zip(b).map(|(a, b)| distance(*a, *b)).fold(0.0, f32::max);
        if difference > agreement.largest_difference {
            (agreement.largest_difference, agreement.worst_row) = (difference, row);
        }
        if first_of_largest(a) == first_of_largest(b) {
            agreement.same_labels += 1;
        } else if agreement.first_other_label.is_none() {
            agreement.first_other_label = Some(row);
        }
        let sum_error = distance(a.sum(), 1.0).max(distance(b.sum(), 1.0));
        agreement.largest_sum_error = agreement.largest_sum_error.max(sum_error);
    }
    Ok(agreement)
}

/// |a − b|, infinite where that is not a number.
fn distance(a: f32, b: f32) -> f32 {
    let distance = (a - b).abs();
    if distance.is_nan() { f32::INFINITY } else { distance }
}

/// The position of the first of the largest values.
fn first_of_largest(row: ArrayView1<'_, f32>) -> usize {
    let mut best = 0;
    for (class, &value) in row.iter().enumerate() {
        if value > row[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_worst_row_and_the_first_other_label_are_found() {
        let a = array![[0.5, 0.5], [0.25, 0.75], [0.75, 0.25], [1.0, 0.0]];
        let b = array![[0.5, 0.5], [0.5, 0.5], [0.375, 0.625], [1.0, 0.5]];
        let agreement = compare(&a, &b).unwrap();
        let expected = Agreement {
            rows: 4,
            largest_difference: 0.5,
            worst_row: 3,
            same_labels: 2,
            first_other_label: Some(1),
            largest_sum_error: 0.5,
        };
        assert_eq!(agreement, expected);
        assert_eq!(agreement.label_agreement(), 0.5);
    }

    #[test]
    fn what_is_not_a_number_agrees_with_nothing() {
        let agreement = compare(&array![[f32::NAN, 1.0]], &array![[f32::NAN, 1.0]]).unwrap();
        assert_eq!((agreement.largest_difference, agreement.largest_sum_error), (f32::INFINITY, f32::INFINITY));
    }

    #[test]
    fn shapes_must_be_equal_and_may_be_empty() {
        let error = compare(&array![[1.0]], &array![[1.0, 0.0]]).unwrap_err().to_string();
        assert_eq!(error, "probabilities of shapes (1, 1) and (1, 2) cannot be compared");
        assert_eq!(compare(&Probabilities::zeros((0, 2)), &Probabilities::zeros((0, 2))).unwrap().label_agreement(), 1.0);
    }
}
