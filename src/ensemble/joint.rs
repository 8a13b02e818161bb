//! Weights and temperature of a vote, fitted together.
//!
//! Members that were trained with smoothed labels are less certain than they are right. Weights fitted to the vote as it is then go to
//! the most certain member, for its certainty and not for what it knows. Here the loss that counts is that of the vote at the
//! temperature that suits it: L(w, T) = mean of ln Σ_k exp(z_k/T) − z_y/T with z = ln Σᵢ wᵢ·pᵢ. It is not convex in w, so what is
//! found is the better of two places that no small step improves: one below equal weights, one below those of [`fit_weights`].

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::{EnsembleError, VoteWeights, check_members, fit_temperature, fit_weights, vote};
use crate::metrics::{self, SMALLEST_PROBABILITY};
use crate::units::Temperature;

/// Rounds of a temperature and a few steps of the weights, at most.
const MOST_ROUNDS: usize = 100;
/// Steps of the weights in a round.
const STEPS: usize = 4;
/// Halvings along one line.
const HALVINGS: usize = 30;
/// What a round must gain for another to follow, in nats.
const LEAST_GAIN: f64 = 1e-9;

/// The result of [`fit_weights_and_temperature`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedVote {
    /// The weights; they sum to 1.
    pub weights: VoteWeights,
    /// The temperature of the vote with these weights.
    pub temperature: Temperature,
    /// The log-loss of the vote at that temperature, on the data they were fitted on, in nats.
    pub loss: f64,
}

/// Weights and temperature whose vote has the least log-loss on `labels`, `[N]`, of a part that no member was trained on; `members` are the
/// probabilities, `[N, classes]` each. Never worse than [`fit_weights`] followed by [`fit_temperature`]. The same input gives the same
/// result.
///
/// # Errors
/// When there are no members, or their probabilities do not fit each other or the labels.
pub fn fit_weights_and_temperature(members: &[ArrayView2<'_, f32>], labels: &[u8]) -> Result<FittedVote, EnsembleError> {
    check_members(members)?;
    metrics::check(labels, members[0]).map_err(|error| EnsembleError::Member { member: 0, error })?;
    let starts = [VoteWeights::equal(members.len())?, fit_weights(members, labels)?.weights];
    let problem = Problem::new(members, labels);
    let mut best: Option<FittedVote> = None;
    for start in starts {
        let power_of = |shares: &[f64]| {
            let weights = VoteWeights::new(shares.to_vec())?;
            Ok(1.0 / fit_temperature(vote(members, &weights)?.view(), labels)?.temperature.get())
        };
        let descended = VoteWeights::new(problem.descend(start.shares(), power_of)?)?;
        for weights in [start, descended] {
            let fitted = fit_temperature(vote(members, &weights)?.view(), labels)?;
            if best.as_ref().is_none_or(|best| fitted.loss < best.loss) {
                best = Some(FittedVote { weights, temperature: fitted.temperature, loss: fitted.loss });
            }
        }
    }
    Ok(best.expect("there are two starts"))
}

/// The members' probabilities, `[N, classes]` in 64 bits each, and the labels.
struct Problem<'a> {
    members: Vec<Vec<f64>>,
    labels: &'a [u8],
    classes: usize,
}

impl<'a> Problem<'a> {
    fn new(members: &[ArrayView2<'_, f32>], labels: &'a [u8]) -> Self {
        let numbers = |member: &ArrayView2<'_, f32>| member.iter().copied().map(f64::from).collect();
        Self { members: members.iter().map(numbers).collect(), labels, classes: members[0].ncols() }
    }

    /// Shares from which no small step goes down, with the power 1/T that `power_of` says suits them.
    fn descend(
        &self,
        mut shares: Vec<f64>,
        power_of: impl Fn(&[f64]) -> Result<f64, EnsembleError>,
    ) -> Result<Vec<f64>, EnsembleError> {
        let mut before = f64::INFINITY;
        for _ in 0..MOST_ROUNDS {
            let power = power_of(&shares)?;
            for _ in 0..STEPS {
                let gradient = self.gradient(&self.mix(&shares), power);
                let (up, down) = pair(&gradient, &shares);
                let moved = self.line_search(&shares, up, down, power);
                shares[up] += moved;
                shares[down] = (shares[down] - moved).max(0.0);
            }
            let loss = self.loss(&self.mix(&shares), power);
            if before - loss < LEAST_GAIN {
                break;
            }
            before = loss;
        }
        Ok(shares)
    }

    /// Σᵢ wᵢ·pᵢ, `[N, classes]`.
    fn mix(&self, shares: &[f64]) -> Vec<f64> {
        let mut mixture = vec![0.0; self.members[0].len()];
        for (member, share) in self.members.iter().zip(shares) {
            mixture.iter_mut().zip(member).for_each(|(sum, p)| *sum += share * p);
        }
        mixture
    }

    /// The mean loss of a vote at a power 1/T.
    fn loss(&self, mixture: &[f64], power: f64) -> f64 {
        let cost = |(row, &label): (&[f64], &u8)| {
            let total: f64 = row.iter().map(|&p| (power * logarithm(p)).exp()).sum();
            total.ln() - power * logarithm(row[usize::from(label)]).max(SMALLEST_PROBABILITY.ln())
        };
        mixture.chunks_exact(self.classes).zip(self.labels).map(cost).sum::<f64>() / self.labels.len() as f64
    }

    /// The slope of the loss with each share: the mean of (1/T)·(Σ_k q_k·pᵢₖ/P_k − pᵢ_y/P_y), where q is the vote at that power.
    fn gradient(&self, mixture: &[f64], power: f64) -> Vec<f64> {
        // What a small growth of each mixed probability does to the loss, [N, classes].
        let mut slopes = Vec::with_capacity(mixture.len());
        for (row, &label) in mixture.chunks_exact(self.classes).zip(self.labels) {
            let total: f64 = row.iter().map(|&p| (power * logarithm(p)).exp()).sum();
            slopes.extend(row.iter().enumerate().map(|(class, &p)| {
                if p <= f64::from(Temperature::FLOOR) {
                    return 0.0;
                }
                let is_truth = class == usize::from(label) && p > SMALLEST_PROBABILITY;
                power * ((power * p.ln()).exp() / total - f64::from(u8::from(is_truth))) / p
            }));
        }
        let images = self.labels.len() as f64;
        self.members.iter().map(|member| member.iter().zip(&slopes).map(|(p, slope)| p * slope).sum::<f64>() / images).collect()
    }

    /// How much of the share of `down` to move to `up`: of all of it, its half, its quarter … the first that is better than the next.
    fn line_search(&self, shares: &[f64], up: usize, down: usize, power: f64) -> f64 {
        let loss_at = |moved: f64| {
            let mut shares = shares.to_vec();
            shares[up] += moved;
            shares[down] -= moved;
            self.loss(&self.mix(&shares), power)
        };
        if up == down {
            return 0.0;
        }
        let (mut best, mut least) = (0.0, loss_at(0.0));
        let mut step = shares[down];
        for _ in 0..HALVINGS {
            let loss = loss_at(step);
            if loss < least {
                (best, least) = (step, loss);
            } else if best > 0.0 {
                break;
            }
            step /= 2.0;
        }
        best
    }
}

/// The member whose share should grow most, and the one with a share whose should shrink most.
fn pair(gradient: &[f64], shares: &[f64]) -> (usize, usize) {
    let by_slope = |a: &usize, b: &usize| gradient[*a].total_cmp(&gradient[*b]);
    let up = (0..gradient.len()).min_by(by_slope).expect("there are members");
    let down = (0..gradient.len()).filter(|&member| shares[member] > 0.0).max_by(by_slope).expect("shares sum to 1");
    (up, down)
}

fn logarithm(probability: f64) -> f64 {
    probability.max(f64::from(Temperature::FLOOR)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::fit::tests::distributions;
    use proptest::prelude::*;

    /// Probabilities p^power, scaled to a sum of 1.
    fn sharpened(member: &crate::metrics::Probabilities, power: i32) -> crate::metrics::Probabilities {
        distributions(member.iter().map(|value| value.powi(power)).collect(), member.ncols())
    }

    #[test]
    fn an_uncertain_member_that_knows_more_is_heard() {
        // Both are right nine times in ten, about different images; the first says so with less certainty.
        let images = 200;
        let labels: Vec<u8> = (0..images).map(|image| (image % 2) as u8).collect();
        let member = |wrong: usize, certainty: f32| {
            let values = labels.iter().enumerate().flat_map(|(image, &label)| {
                let right = if image % 10 == wrong { 1.0 - certainty } else { certainty };
                if label == 0 { [right, 1.0 - right] } else { [1.0 - right, right] }
            });
            distributions(values.collect(), 2)
        };
        let (uncertain, certain) = (member(3, 0.6), member(6, 0.9));
        let members = [uncertain.view(), certain.view()];
        let alone = fit_weights(&members, &labels).unwrap();
        let together = fit_weights_and_temperature(&members, &labels).unwrap();
        let share = |weights: &VoteWeights| weights.shares()[0];
        assert!(share(&together.weights) > share(&alone.weights) + 0.1, "{together:?} against {alone:?}");
        assert!(together.loss < alone.loss && together.temperature.get() < 1.0, "{together:?} against {alone:?}");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(matches!(fit_weights_and_temperature(&[], &[]), Err(EnsembleError::NoMembers)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_is_never_worse_than_one_after_the_other(
            values in proptest::collection::vec(1e-3f32..1.0, 3 * 30 * 3),
            labels in proptest::collection::vec(0u8..3, 30),
            powers in [1i32..5, 1i32..5, 1i32..5],
        ) {
            let members: Vec<_> = values.chunks_exact(90).zip(powers).map(|(values, power)| {
                sharpened(&distributions(values.to_vec(), 3), power)
            }).collect();
            let views: Vec<_> = members.iter().map(|member| member.view()).collect();
            let weights = fit_weights(&views, &labels).unwrap().weights;
            let apart = fit_temperature(vote(&views, &weights).unwrap().view(), &labels).unwrap();
            let together = fit_weights_and_temperature(&views, &labels).unwrap();
            prop_assert!(together.loss <= apart.loss);
            prop_assert_eq!(fit_weights_and_temperature(&views, &labels).unwrap(), together);
        }

        #[test]
        fn the_gradient_is_that_of_finite_differences(
            values in proptest::collection::vec(1e-3f32..1.0, 3 * 10 * 3),
            labels in proptest::collection::vec(0u8..3, 10),
            power in 0.3f64..4.0,
        ) {
            let members: Vec<_> = values.chunks_exact(30).map(|values| distributions(values.to_vec(), 3)).collect();
            let views: Vec<_> = members.iter().map(|member| member.view()).collect();
            let problem = Problem::new(&views, &labels);
            let shares = [0.5, 0.2, 0.3];
            let gradient = problem.gradient(&problem.mix(&shares), power);
            for member in 0..3 {
                let at = |change: f64| {
                    let mut shares = shares;
                    shares[member] += change;
                    problem.loss(&problem.mix(&shares), power)
                };
                let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                prop_assert!((slope - gradient[member]).abs() < 1e-6 * (1.0 + slope.abs()), "{member}: {slope}, {gradient:?}");
            }
        }
    }
}
