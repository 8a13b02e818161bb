//! Pruners: which trials are given up before their last epoch.

use serde::{Deserialize, Serialize};

use crate::units::{Count, Epochs};

/// Which trials are given up early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pruner {
    /// None: every trial runs to its end.
    #[default]
    None,
    /// Those whose best epoch so far is worse than the median of the finished trials at the same epoch (the median
    /// stopping rule of Golovin and others, 2017).
    Median(MedianOptions),
}

/// Options of the median stopping rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MedianOptions {
    /// How many epochs every trial may have at least.
    #[serde(default = "warmup_epochs")]
    pub warmup_epochs: usize,
    /// How many trials must have finished before one is given up.
    #[serde(default = "startup_trials")]
    pub startup_trials: Count,
}

impl Default for MedianOptions {
    fn default() -> Self {
        Self { warmup_epochs: warmup_epochs(), startup_trials: startup_trials() }
    }
}

fn warmup_epochs() -> usize {
    1
}
fn startup_trials() -> Count {
    Count::new(4).expect("4 is a count")
}

/// What a trial is told after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Stop: the trial is hopeless, or its result no number.
    Stop,
}

impl Pruner {
    /// What to tell a trial after `epoch`, given its least cost so far and, of each finished trial, the cost at the same
    /// epoch; nothing for one that stopped before.
    pub(super) fn verdict(&self, epoch: Epochs, least_cost: f64, finished: &[Option<f64>]) -> Verdict {
        let Self::Median(options) = self else { return Verdict::Continue };
        if epoch.get() <= options.warmup_epochs || finished.len() < options.startup_trials.get() {
            return Verdict::Continue;
        }
        match median(finished.iter().flatten().copied().collect()) {
            Some(median) if least_cost > median => Verdict::Stop,
            _ => Verdict::Continue,
        }
    }
}

/// The middle value, or the mean of the two in the middle; nothing of nothing.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[values.len() / 2 - 1] + upper) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_rule() {
        let check = |epoch, least_cost, finished: &[Option<f64>], expected| {
            let options = MedianOptions { warmup_epochs: 2, startup_trials: Count::new(3).unwrap() };
            let epoch = Epochs::new(epoch).unwrap();
            assert_eq!(Pruner::Median(options).verdict(epoch, least_cost, finished), expected, "{epoch} {least_cost}");
            assert_eq!(Pruner::None.verdict(epoch, least_cost, finished), Verdict::Continue);
        };
        use Verdict::{Continue, Stop};
        let three = [Some(0.5), Some(0.3), Some(0.4)];
        check(3, 0.41, &three, Stop);
        check(3, 0.39, &three, Continue);
        check(3, 0.4, &three, Continue); // as good as the median
        check(2, 0.9, &three, Continue); // still warming up
        check(3, 0.9, &three[..2], Continue); // too few finished trials
        check(3, 0.36, &[Some(0.3), Some(0.4), None], Stop); // the mean of the two in the middle
        check(3, 0.34, &[Some(0.3), Some(0.4), None], Continue);
        check(3, 0.9, &[None, None, None], Continue); // nobody got that far
    }
}
