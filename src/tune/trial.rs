//! Trials: what one tries, reports and ends as.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Importance, Objective, Parameters};
use crate::units::Epochs;

/// What a trial is to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number, from 0.
    pub trial: usize,
    /// A value for each parameter that is searched.
    pub parameters: Parameters,
}

/// The objective's value after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// How many epochs were done.
    pub epoch: Epochs,
    /// The value; finite.
    pub value: f64,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// By itself, with a value.
    Finished,
    /// The pruner gave it up.
    Pruned,
    /// A value was no finite number.
    Diverged,
    /// Its parameters do not make a training.
    Failed,
}

/// What a trial comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A value of the objective; that of a trial that diverged is no finite number.
    Value(f64),
    /// Its parameters cannot stand together, for this reason.
    Impossible(String),
}

impl From<f64> for Outcome {
    fn from(value: f64) -> Self {
        Self::Value(value)
    }
}

/// A trial that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialRecord {
    /// Its number, from 0.
    pub trial: usize,
    /// What it tried.
    pub parameters: Parameters,
    /// How it ended.
    pub status: Status,
    /// The objective's value: the final one of a finished trial, the best so far of a pruned one.
    pub value: Option<f64>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it reported, by epoch.
    pub reports: Vec<Report>,
}

/// The outcome of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// What was sought.
    pub objective: Objective,
    /// The finished trial of the best value; of equal ones the first.
    pub best: TrialRecord,
    /// Every trial.
    pub trials: Vec<TrialRecord>,
    /// How much each parameter mattered.
    pub importance: Vec<Importance>,
}

/// What a trial says about its parameters, in an order from best to worst: finished trials by cost, then pruned ones, which
/// got less far the worse they were, then diverged ones, then those that could not be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank {
    group: u8,
    epochs: usize,
    cost: f64,
}

impl TrialRecord {
    /// The objective's value turned so that less is better; infinite where there is none.
    pub(super) fn cost(&self, objective: Objective) -> f64 {
        self.value.map_or(f64::INFINITY, |value| objective.cost(value))
    }

    /// Where this trial stands among others.
    pub(super) fn rank(&self, objective: Objective) -> Rank {
        let (group, epochs) = match self.status {
            Status::Finished => (0, 0),
            Status::Pruned => (1, self.reports.len()),
            Status::Diverged => (2, 0),
            Status::Failed => (3, 0),
        };
        Rank { group, epochs, cost: self.cost(objective) }
    }
}

impl Rank {
    pub(super) fn total_cmp(&self, other: &Self) -> Ordering {
        self.group.cmp(&other.group).then(other.epochs.cmp(&self.epochs)).then(self.cost.total_cmp(&other.cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_rank_by_how_they_ended_then_how_far_they_got_then_their_value() {
        let record = |status, epochs, value| {
            let report = |epoch| Report { epoch: Epochs::new(epoch).unwrap(), value: 0.5 };
            let reports = (1..=epochs).map(report).collect();
            TrialRecord { trial: 0, parameters: Parameters::new(), status, value, reason: None, reports }
        };
        use Status::{Diverged, Failed, Finished, Pruned};
        let best_first = [
            record(Finished, 2, Some(0.9)),
            record(Finished, 4, Some(0.8)),
            record(Pruned, 3, Some(0.1)),
            record(Pruned, 2, Some(0.95)),
            record(Pruned, 2, Some(0.6)),
            record(Diverged, 4, None),
            record(Failed, 0, None),
        ];
        let rank = |record: &TrialRecord| record.rank(Objective::Accuracy);
        assert!(best_first.is_sorted_by(|a, b| rank(a).total_cmp(&rank(b)) == Ordering::Less));
        assert_eq!(best_first[0].cost(Objective::Loss), 0.9);
        assert_eq!(best_first[0].cost(Objective::Accuracy), -0.9);
    }
}
