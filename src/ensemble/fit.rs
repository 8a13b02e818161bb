//! The weights of least log-loss on validation data.
//!
//! With pᵢₙ the probability that member i gives to the true class of image n, the loss of shares w is
//! −(1/N) Σₙ ln Σᵢ wᵢ·pᵢₙ: convex in w, so that there is one best value on the simplex, which can be proved to be reached.
//! The gradient's largest component says how far away it is: gᵢ = (1/N) Σₙ pᵢₙ / Σⱼ wⱼ·pⱼₙ has the weighted mean 1, and
//! by convexity no other shares are better by more than max gᵢ − 1. The search stops when this bound is at most 1e-10.
//!
//! A step moves weight from the member of least gᵢ that still has some to the one of the largest, as far as the loss falls
//! along that line (the choice of pairs is that of sequential minimal optimisation: Platt, 1998; Keerthi and others, 2001).
//! The loss never rises. The EM algorithm for mixture proportions has the same limit, but needs millions of
//! steps where two members are nearly alike, which members of an ensemble are.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::{EnsembleError, VoteWeights, check_members};
use crate::metrics::{self, SMALLEST_PROBABILITY};

/// By how much the loss may be above the best possible, in nats.
const TOLERANCE: f64 = 1e-10;

/// Steps after which the search gives up getting closer; what it has then is in [`FittedWeights::gap`].
const MOST_STEPS: usize = 10_000;

/// Halvings and Newton steps along one line: the former alone reach the last bit.
const LINE_STEPS: usize = 64;

/// The result of [`fit_weights`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedWeights {
    /// The weights; they sum to 1. A member that makes the vote worse has 0.
    pub weights: VoteWeights,
    /// The log-loss of the vote on the data they were fitted on, in nats.
    pub loss: f64,
    /// No other weights have a loss smaller by more than this.
    pub gap: f64,
    /// How many steps the search took.
    pub steps: usize,
}

/// The weights whose vote has the least log-loss on `labels`, `[N]`, of a part that no member was trained on; `members`
/// are the probabilities, `[N, classes]` each. A member's probability of the true class counts as at least
/// [`SMALLEST_PROBABILITY`], as in [`metrics::log_loss`]. The same input gives the same weights; among members that are
/// equal, the first ones are preferred.
///
/// # Errors
/// When there are no members, or their probabilities do not fit each other or the labels.
pub fn fit_weights(members: &[ArrayView2<'_, f32>], labels: &[u8]) -> Result<FittedWeights, EnsembleError> {
    check_members(members)?;
    metrics::check(labels, members[0]).map_err(|error| EnsembleError::Member { member: 0, error })?;
    let truths: Vec<Vec<f64>> = members.iter().map(|member| of_true_class(member, labels)).collect();
    let mut shares = vec![1.0 / members.len() as f64; members.len()];
    let mut steps = 0;
    loop {
        let mixture = mix(&truths, &shares);
        let gradient: Vec<f64> = truths.iter().map(|truth| mean(truth.iter().zip(&mixture).map(|(p, m)| p / m))).collect();
        let (up, down) = pair(&gradient, &shares);
        let gap = (gradient[up] - 1.0).max(0.0);
        if gap <= TOLERANCE || steps == MOST_STEPS {
            let loss = mean(mixture.iter().map(|p| -p.ln()));
            return Ok(FittedWeights { weights: VoteWeights::new(shares)?, loss, gap, steps });
        }
        let moved = line_search(&mixture, &truths[up], &truths[down], shares[down]);
        shares[up] += moved;
        shares[down] -= moved;
        steps += 1;
    }
}

/// A member's probability of each image's true class.
fn of_true_class(member: &ArrayView2<'_, f32>, labels: &[u8]) -> Vec<f64> {
    let truth = |(&label, row): (&u8, ndarray::ArrayView1<'_, f32>)| f64::from(row[usize::from(label)]);
    labels.iter().zip(member.rows()).map(|pair| truth(pair).max(SMALLEST_PROBABILITY)).collect()
}

/// Σᵢ wᵢ·pᵢₙ for each image n.
fn mix(truths: &[Vec<f64>], shares: &[f64]) -> Vec<f64> {
    let mut mixture = vec![0.0; truths[0].len()];
    for (truth, share) in truths.iter().zip(shares) {
        for (sum, p) in mixture.iter_mut().zip(truth) {
            *sum += share * p;
        }
    }
    mixture
}

/// The member whose weight should grow most, and the one with a weight whose should shrink most.
fn pair(gradient: &[f64], shares: &[f64]) -> (usize, usize) {
    let (mut up, mut down) = (0, None);
    for (member, &slope) in gradient.iter().enumerate() {
        if slope > gradient[up] {
            up = member;
        }
        if shares[member] > 0.0 && down.is_none_or(|least: usize| slope < gradient[least]) {
            down = Some(member);
        }
    }
    (up, down.expect("shares sum to 1"))
}

/// How much of `limit` to move from `down` to `up` for the least loss: where the slope
/// (1/N) Σ (upₙ − downₙ) / (mixtureₙ + t·(upₙ − downₙ)), which falls with t, crosses 0. Newton's method within a bracket.
fn line_search(mixture: &[f64], up: &[f64], down: &[f64], limit: f64) -> f64 {
    let slope_and_bend = |t: f64| {
        let (mut slope, mut bend) = (0.0, 0.0);
        for ((m, u), d) in mixture.iter().zip(up).zip(down) {
            let ratio = (u - d) / (m + t * (u - d));
            slope += ratio;
            bend -= ratio * ratio;
        }
        (slope, bend)
    };
    if slope_and_bend(limit).0 >= 0.0 {
        return limit;
    }
    let (mut low, mut high, mut t) = (0.0, limit, 0.0);
    for _ in 0..LINE_STEPS {
        let (slope, bend) = slope_and_bend(t);
        if slope > 0.0 {
            low = t;
        } else {
            high = t;
        }
        let newton = t - slope / bend;
        let next = if newton > low && newton < high { newton } else { low + (high - low) / 2.0 };
        if next == t || high - low <= f64::EPSILON * limit {
            break;
        }
        t = next;
    }
    t
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ensemble::vote;
    use crate::metrics::{Probabilities, log_loss};
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    /// Rows of `classes` positive values, each divided by its sum.
    pub(in crate::ensemble) fn distributions(values: Vec<f32>, classes: usize) -> Probabilities {
        let mut rows = Array2::from_shape_vec((values.len() / classes, classes), values).unwrap();
        for mut row in rows.rows_mut() {
            let sum = row.sum();
            row /= sum;
        }
        rows
    }

    fn fit(members: &[Probabilities], labels: &[u8]) -> FittedWeights {
        fit_weights(&members.iter().map(|member| member.view()).collect::<Vec<_>>(), labels).unwrap()
    }

    fn loss(members: &[Probabilities], weights: &VoteWeights, labels: &[u8]) -> f64 {
        let views: Vec<_> = members.iter().map(|member| member.view()).collect();
        log_loss(labels, vote(&views, weights).unwrap().view()).unwrap()
    }

    #[test]
    fn the_optimum_of_a_problem_solved_by_hand() {
        // Loss −(3·ln(0.2 + 0.6·w) + ln(0.8 − 0.6·w)) / 4 is least where 3·(0.8 − 0.6·w) = 0.2 + 0.6·w: w = 11/12.
        let (a, b) = (array![[0.8, 0.2]], array![[0.2, 0.8]]);
        let rows = |row: &Array2<f32>| row.broadcast((4, 2)).unwrap().to_owned();
        let fitted = fit(&[rows(&a), rows(&b)], &[0, 0, 0, 1]);
        assert!((fitted.weights.get()[0] - 11.0 / 12.0).abs() < 1e-6, "{fitted:?}");
        assert!(fitted.gap <= TOLERANCE, "{fitted:?}");
        assert!((fitted.loss - -(3.0 * 0.75f64.ln() + 0.25f64.ln()) / 4.0).abs() < 1e-7, "{fitted:?}");
    }

    #[test]
    fn a_member_that_only_harms_gets_nothing() {
        let (good, bad) = (array![[0.9, 0.1], [0.2, 0.8]], array![[0.8, 0.2], [0.3, 0.7]]);
        assert_eq!(fit(&[bad, good], &[0, 1]).weights.get(), [0.0, 1.0]);
    }

    #[test]
    fn a_member_that_is_certainly_wrong_does_not_make_the_loss_infinite() {
        let fitted = fit(&[array![[1.0, 0.0], [1.0, 0.0]], array![[1.0, 0.0], [1.0, 0.0]]], &[0, 1]);
        assert!(fitted.loss.is_finite(), "{fitted:?}");
        assert_eq!(fitted.weights.shares(), [0.5, 0.5]);
    }

    #[test]
    fn nearly_equal_members_are_no_trouble() {
        let values = |shift: usize| {
            let value = |index: usize| 0.2 + ((index * 7919) % 101) as f32 / 100.0 + ((index * 31 + shift) % 7) as f32 * 1e-5;
            distributions((0..3000).map(value).collect(), 3)
        };
        let labels: Vec<u8> = (0..1000).map(|row| (row % 3) as u8).collect();
        let fitted = fit(&[values(0), values(1), values(2)], &labels);
        assert!(fitted.gap <= TOLERANCE && fitted.steps < 100, "{fitted:?}");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let row = array![[0.5, 0.5]];
        let says = |labels: &[u8], members: &[ArrayView2<'_, f32>]| fit_weights(members, labels).unwrap_err().to_string();
        insta::assert_snapshot!(says(&[0], &[]), @"an ensemble needs at least one member");
        insta::assert_snapshot!(says(&[0, 1], &[row.view()]), @"member 0: there are 2 labels but 1 rows of probabilities; both must be of the same images");
        insta::assert_snapshot!(says(&[2], &[row.view()]), @"member 0: the label of row 0 is 2, but there are only 2 classes (0 to 1)");
        insta::assert_snapshot!(says(&[], &[Array2::zeros((0, 2)).view()]), @"member 0: there are no images to measure on");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_member_and_no_equal_vote_is_better_and_order_does_not_matter(
            members in proptest::collection::vec(proptest::collection::vec(0.01f32..1.0, 40 * 3), 1..6),
            labels in proptest::collection::vec(0u8..3, 40),
        ) {
            let mut members: Vec<Probabilities> = members.into_iter().map(|values| distributions(values, 3)).collect();
            let fitted = fit(&members, &labels);
            prop_assert!(fitted.gap <= TOLERANCE);
            prop_assert!((fitted.weights.get().iter().sum::<f64>() - 1.0).abs() < 1e-12);
            prop_assert!((loss(&members, &fitted.weights, &labels) - fitted.loss).abs() < 1e-6);
            prop_assert!(fitted.loss <= loss(&members, &VoteWeights::equal(members.len()).unwrap(), &labels) + 1e-6);
            for member in &members {
                prop_assert!(fitted.loss <= log_loss(&labels, member.view()).unwrap() + 1e-6);
            }
            members.reverse();
            let mut reversed = fit(&members, &labels).weights.get().to_vec();
            reversed.reverse();
            for (weight, other) in fitted.weights.get().iter().zip(reversed) {
                prop_assert!((weight - other).abs() < 1e-3, "{weight} {other}");
            }
        }
    }
}
