//! Which parameters mattered: a rough figure from the trials at hand, without further training.
//!
//! For each parameter by itself the trials are put into groups: one for each choice, or thirds by size for numbers. The
//! figure is the share of variance between groups of the trials' *ranks*, η²_H = (H − k + 1) / (n − k) with H of Kruskal and
//! Wallis (1952), n trials and k groups (Tomczak and Tomczak, 2014). Ranks make a diverged trial count as bad and not as
//! infinitely bad; the correction by k makes the figure 0 on average where a parameter does nothing. It does
//! not see parameters that matter only together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::space::{Range, SearchSpace, cell};
use super::{Objective, Status, TrialRecord};

/// Groups into which numbers are put.
const GROUPS: usize = 3;

/// With fewer trials there is no figure.
const FEWEST_TRIALS: usize = 8;

/// With fewer trials more than groups there is no figure.
const FEWEST_SPARE: usize = 4;

/// How much one parameter mattered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The path of the parameter.
    pub parameter: String,
    /// The share of the variance of the trials' ranks that it explains by itself, 0–1; nothing where the trials are too few
    /// or all alike.
    pub share: Option<f64>,
}

/// How much each parameter of `space` mattered in `trials`, in the order of the paths. Trials that were pruned do not
/// or could not be do not count; diverged ones count as the worst.
pub fn importance(space: &SearchSpace, objective: Objective, trials: &[TrialRecord]) -> Vec<Importance> {
    let cost = |trial: &TrialRecord| match trial.status {
        Status::Finished => trial.value.map(|value| objective.cost(value)),
        Status::Diverged => Some(f64::INFINITY),
        Status::Pruned | Status::Failed => None,
    };
    let share = |path: &str, range: &Range| {
        let counted = |trial: &TrialRecord| Some((range.position(trial.parameters.get(path)?)?, cost(trial)?));
        let (positions, costs): (Vec<f64>, Vec<f64>) = trials.iter().filter_map(counted).unzip();
        explained(&groups(range, &positions), &middle_ranks(&costs))
    };
    space.iter().map(|(path, range)| Importance { parameter: path.to_owned(), share: share(path, range) }).collect()
}

/// The group of each position. Equal positions are in the same group.
fn groups(range: &Range, positions: &[f64]) -> Vec<usize> {
    if let Range::Choice(choices) = range {
        return positions.iter().map(|&position| cell(position, choices.count())).collect();
    }
    let below = |position: f64| positions.iter().filter(|&&other| other < position).count();
    positions.iter().map(|&position| cell(below(position) as f64 / positions.len() as f64, GROUPS)).collect()
}

/// The rank of each value, from 1; equal values share the mean of their ranks.
fn middle_ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|&other| other < value).count();
        let equal = values.iter().filter(|&other| other == value).count();
        below as f64 + (equal as f64 + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

fn explained(groups: &[usize], ranks: &[f64]) -> Option<f64> {
    let mut members = BTreeMap::<usize, Vec<f64>>::new();
    for (&group, &rank) in groups.iter().zip(ranks) {
        members.entry(group).or_default().push(rank);
    }
    let (n, k) = (ranks.len(), members.len());
    if n < FEWEST_TRIALS || k < 2 || n < k + FEWEST_SPARE {
        return None;
    }
    let mean = |ranks: &[f64]| ranks.iter().sum::<f64>() / ranks.len() as f64;
    let overall = mean(ranks);
    let total: f64 = ranks.iter().map(|rank| (rank - overall).powi(2)).sum();
    let between: f64 = members.values().map(|ranks| ranks.len() as f64 * (mean(ranks) - overall).powi(2)).sum();
    let h = (n - 1) as f64 * between / total; // with ties accounted for, since `total` is of the middle ranks
    (total > 0.0).then(|| ((h - k as f64 + 1.0) / (n - k) as f64).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use crate::tune::Sampler;
    use serde_json::json;

    fn space() -> SearchSpace {
        serde_json::from_value(json!({
            "a": {"float": {"min": 0.0, "max": 1.0}},
            "b": {"choice": ["x", "y"]},
            "c": {"int": {"min": 1, "max": 9}},
        }))
        .unwrap()
    }

    /// Trials at random whose accuracy is that of `judge`.
    fn trials(count: usize, judge: impl Fn(&TrialRecord) -> f64) -> Vec<TrialRecord> {
        let trial = |trial| {
            let parameters = Sampler::Random.suggest(&space(), Seed::new(5), trial, &[]).unwrap();
            let mut record =
                TrialRecord { trial, parameters, status: Status::Finished, value: None, reason: None, reports: vec![] };
            record.value = Some(judge(&record));
            record
        };
        (0..count).map(trial).collect()
    }

    fn shares(trials: &[TrialRecord]) -> Vec<Option<f64>> {
        importance(&space(), Objective::Accuracy, trials).into_iter().map(|importance| importance.share).collect()
    }

    #[test]
    fn the_parameter_that_decides_gets_most() {
        // Not monotone: a rank correlation would see nothing.
        let hill = trials(60, |trial| -(trial.parameters["a"].as_f64().unwrap() - 0.5).abs());
        let [Some(a), Some(b), Some(c)] = shares(&hill)[..] else { panic!("{:?}", shares(&hill)) };
        assert!(a > 0.5 && b < 0.1 && c < 0.1, "{a} {b} {c}");
        let choice = trials(60, |trial| f64::from(u8::from(trial.parameters["b"] == "x")));
        let [Some(a), Some(b), Some(c)] = shares(&choice)[..] else { panic!("{:?}", shares(&choice)) };
        assert!(a < 0.1 && b > 0.95 && c < 0.1, "{a} {b} {c}");
    }

    #[test]
    fn eta_squared_of_an_example_by_hand() {
        // Ranks 1–4 and 5–8: H = 7 · (2 · 4 · 2²) / 42 = 5.333, η² = (5.333 − 1) / 6.
        let share = explained(&[0, 0, 0, 0, 1, 1, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).unwrap();
        assert!((share - 13.0 / 18.0).abs() < 1e-12, "{share}");
    }

    #[test]
    fn too_few_or_equal_trials_give_no_figure() {
        assert_eq!(shares(&trials(7, |trial| trial.trial as f64)), [None; 3]);
        assert_eq!(shares(&trials(20, |_| 0.5)), [None; 3]);
        let mut pruned = trials(20, |trial| trial.trial as f64);
        pruned[..13].iter_mut().for_each(|trial| trial.status = Status::Pruned);
        assert_eq!(shares(&pruned), [None; 3]);
    }

    #[test]
    fn diverged_trials_are_the_worst() {
        let mut some = trials(40, |trial| trial.trial as f64);
        for trial in &mut some {
            if trial.parameters["b"] == "x" {
                (trial.status, trial.value) = (Status::Diverged, None);
            }
        }
        assert!(shares(&some)[1].unwrap() > 0.5, "{:?}", shares(&some));
    }
}
