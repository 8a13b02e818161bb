//! The temperature of a vote: P → P^(1/T) / Σ P^(1/T), one number that makes all probabilities more or less certain and leaves
//! every label as it is (temperature scaling: Guo and others, "On calibration of modern neural networks", 2017). The mean of
//! several networks is less certain than it is right, for their mistakes differ: its T is usually below 1.
//!
//! With zᵢ = ln Pᵢ, the log-loss of an image of class y is ln Σᵢ exp(zᵢ/T) − z_y/T: convex in 1/T, so that its slope crosses 0 at
//! most once, wherever T is looked for. A probability counts as at least [`Temperature::FLOOR`], so that 0 has a logarithm. In
//! the fit, that of the true class counts as at least [`SMALLEST_PROBABILITY`], as in [`log_loss`]: one certain error must not decide alone.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::EnsembleError;
use crate::metrics::{Probabilities, SMALLEST_PROBABILITY, argmax, check, log_loss};
use crate::units::Temperature;

/// Halvings of the range of ln T, after which nothing is left to halve.
const HALVINGS: usize = 60;

/// The result of [`fit_temperature`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedTemperature {
    /// The temperature.
    pub temperature: Temperature,
    /// The log-loss of the vote as it is, in nats.
    pub loss_before: f64,
    /// The log-loss at the temperature, on the data it was fitted on; never above `loss_before`.
    pub loss: f64,
}

/// The temperature at which `vote`, `[N, classes]`, has the least log-loss on `labels`, `[N]`, of a part that no member was trained on;
/// at the end of the range where the loss still falls there. The same input gives the same temperature.
///
/// # Errors
/// When probabilities and labels do not fit each other.
pub fn fit_temperature(vote: ArrayView2<'_, f32>, labels: &[u8]) -> Result<FittedTemperature, EnsembleError> {
    let checked = |result: Result<f64, _>| result.map_err(EnsembleError::Vote);
    check(labels, vote).map_err(EnsembleError::Vote)?;
    let loss_before = checked(log_loss(labels, vote))?;
    let logarithms = vote.mapv(logarithm);
    let truths: Vec<f64> = logarithms.rows().into_iter().zip(labels).map(|(row, &label)| row[usize::from(label)]).collect();
    // Less is lost at a higher temperature where the slope with 1/T is above 0.
    let wants_higher = |ln_t: f64| slope(&logarithms, &truths, (-ln_t).exp()) > 0.0;
    let (mut low, mut high) = (Temperature::LEAST.ln(), Temperature::MOST.ln());
    for _ in 0..HALVINGS {
        let middle = low + (high - low) / 2.0;
        if wants_higher(middle) { low = middle } else { high = middle }
    }
    let fitted = high.exp().clamp(Temperature::LEAST, Temperature::MOST);
    let temperature = Temperature::new(fitted).expect("it is in range");
    let loss = checked(log_loss(labels, temper(vote, temperature).view()))?;
    if loss <= loss_before {
        return Ok(FittedTemperature { temperature, loss_before, loss });
    }
    // Rounding, or how the two count probabilities near 0 and 1, can leave the measured loss a trifle above.
    Ok(FittedTemperature { temperature: Temperature::ONE, loss_before, loss: loss_before })
}

/// The slope of the mean loss with the power 1/T: the mean of Σ zᵢ·qᵢ − z_y, where q are the probabilities at that power.
fn slope(logarithms: &Array2<f64>, truths: &[f64], power: f64) -> f64 {
    let least = SMALLEST_PROBABILITY.ln();
    let mut sum = 0.0;
    for (row, truth) in logarithms.rows().into_iter().zip(truths) {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut total, mut weighted) = (0.0, 0.0);
        for &z in row {
            let share = ((z - largest) * power).exp();
            total += share;
            weighted += share * z;
        }
        sum += weighted / total - truth.max(least);
    }
    sum / truths.len() as f64
}

/// `vote`, `[N, classes]`, at a temperature. At 1 it stays as it is. The first of the largest of each row stays the same: where rounding
/// makes a smaller one as large, it is taken one step down.
pub fn temper(vote: ArrayView2<'_, f32>, temperature: Temperature) -> Probabilities {
    let mut tempered = vote.to_owned();
    if temperature == Temperature::ONE {
        return tempered;
    }
    let power = 1.0 / temperature.get();
    for (mut row, before) in tempered.rows_mut().into_iter().zip(vote.rows()) {
        let first = argmax(before);
        let largest = logarithm(before[first]);
        let shares: Vec<f64> = before.iter().map(|&p| ((logarithm(p) - largest) * power).exp()).collect();
        let total: f64 = shares.iter().sum();
        row.iter_mut().zip(shares).for_each(|(p, share)| *p = (share / total) as f32);
        let largest = row[first];
        row.iter_mut().take(first).filter(|p| **p >= largest).for_each(|p| *p = largest.next_down());
    }
    tempered
}

fn logarithm(probability: f32) -> f64 {
    f64::from(probability.max(Temperature::FLOOR)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::fit::tests::distributions;
    use crate::metrics::predictions;
    use ndarray::array;
    use proptest::prelude::*;

    fn at(temperature: f64) -> Temperature {
        Temperature::new(temperature).unwrap()
    }

    #[test]
    fn a_power_of_probabilities_is_taken_and_nothing_stays_nothing() {
        let tempered = temper(array![[0.8, 0.2, 0.0], [0.5, 0.5, 0.0]].view(), at(0.5));
        let expected = array![[16.0 / 17.0, 1.0 / 17.0, 0.0], [0.5, 0.5, 0.0]];
        assert!((&tempered - &expected).iter().all(|difference: &f32| difference.abs() < 1e-7), "{tempered}");
        let mild = temper(array![[0.64, 0.36]].view(), at(2.0));
        assert!((mild[(0, 0)] - 0.8 / 1.4).abs() < 1e-7, "{mild}");
        let vote = array![[0.3, 0.7]];
        assert_eq!(temper(vote.view(), Temperature::ONE), vote);
    }

    #[test]
    fn the_temperature_of_a_problem_solved_by_hand() {
        // Three of four are right at probability 0.6: the loss is least where 0.6^(1/T) / (0.6^(1/T) + 0.4^(1/T)) = 3/4.
        let vote = array![[0.6, 0.4], [0.6, 0.4], [0.6, 0.4], [0.6, 0.4]];
        let fitted = fit_temperature(vote.view(), &[0, 0, 0, 1]).unwrap();
        let expected = 1.5f64.ln() / 3f64.ln();
        assert!((fitted.temperature.get() - expected).abs() < 1e-6, "{fitted:?}");
        assert!((fitted.loss + (3.0 * 0.75f64.ln() + 0.25f64.ln()) / 4.0).abs() < 1e-7, "{fitted:?}");
    }

    #[test]
    fn a_vote_that_is_always_right_or_always_wrong_ends_at_the_ends_of_the_range() {
        let vote = array![[0.6, 0.4], [0.3, 0.7]];
        assert!((fit_temperature(vote.view(), &[0, 1]).unwrap().temperature.get() - Temperature::LEAST).abs() < 1e-9);
        assert!((fit_temperature(vote.view(), &[1, 0]).unwrap().temperature.get() - Temperature::MOST).abs() < 1e-9);
        let certain = array![[1.0, 0.0], [0.0, 1.0]];
        assert!(fit_temperature(certain.view(), &[1, 1]).unwrap().loss.is_finite());
    }

    /// The log-loss that the fit makes least, by its definition.
    fn plain_loss(vote: &Probabilities, labels: &[u8], temperature: f64) -> f64 {
        let cost = |(row, &label): (ndarray::ArrayView1<'_, f32>, &u8)| {
            let total: f64 = row.iter().map(|&p| logarithm(p)).map(|z| (z / temperature).exp()).sum();
            total.ln() - logarithm(row[usize::from(label)]).max(SMALLEST_PROBABILITY.ln()) / temperature
        };
        vote.rows().into_iter().zip(labels).map(cost).sum::<f64>() / labels.len() as f64
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let error = fit_temperature(array![[0.5, 0.5]].view(), &[0, 1]).unwrap_err();
        insta::assert_snapshot!(error, @"the vote: there are 2 labels but 1 rows of probabilities; both must be of the same images");
    }

    #[test]
    fn neighbours_that_rounding_joins_keep_their_order() {
        let (less, more) = (0.25f32.next_down(), 0.25f32);
        let vote = array![[less, more, 0.25, 0.25], [0.25, 0.25, less, less]];
        for temperature in [0.05, 0.3, 3.0, 20.0] {
            let tempered = temper(vote.view(), at(temperature));
            assert_eq!(predictions(tempered.view()).unwrap(), [1, 0], "{temperature}: {tempered}");
            assert!(tempered[(0, 0)] < tempered[(0, 1)] && tempered[(1, 0)] == tempered[(1, 1)], "{temperature}: {tempered}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_other_temperature_is_better_and_labels_stay(
            values in proptest::collection::vec(1e-6f32..1.0, 40 * 3),
            labels in proptest::collection::vec(0u8..3, 40),
            sharper in 1i32..6,
        ) {
            let vote = distributions(values.into_iter().map(|value| value.powi(sharper)).collect(), 3);
            let fitted = fit_temperature(vote.view(), &labels).unwrap();
            let loss = |temperature| log_loss(&labels, temper(vote.view(), temperature).view()).unwrap();
            prop_assert!(fitted.loss <= fitted.loss_before);
            prop_assert!((fitted.loss - loss(fitted.temperature)).abs() < 1e-12);
            // What is made least; a probability near 0 is counted otherwise by the measure, which may then want no temperature.
            let fitted_loss = plain_loss(&vote, &labels, fitted.temperature.get());
            if fitted.temperature != Temperature::ONE {
                for other in [0.2, 0.5, 0.9, 1.1, 2.0, 6.0, 20.0] {
                    let other = (fitted.temperature.get() * other).clamp(Temperature::LEAST, Temperature::MOST);
                    let other_loss = plain_loss(&vote, &labels, other);
                    prop_assert!(fitted_loss <= other_loss + 1e-9, "{fitted:?} against {other}: {other_loss}");
                }
            }
            for temperature in [fitted.temperature, at(0.1), at(10.0)] {
                let tempered = temper(vote.view(), temperature);
                prop_assert_eq!(predictions(tempered.view()).unwrap(), predictions(vote.view()).unwrap());
                prop_assert!(tempered.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-6));
            }
        }
    }
}
