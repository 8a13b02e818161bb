//! History: the figures of every epoch, and what follows from them: which epoch was best, and whether to stop.

use serde::{Deserialize, Serialize};

use super::{EarlyStopping, Monitor};

/// The figures of one epoch. The same training gives the same figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Mean training loss of the epoch's images, each by what it counts for, with label smoothing, dropout and augmentation.
    pub loss: f64,
    /// Share of right labels among these images, as they were learned from.
    pub accuracy: f64,
    /// Cross entropy on validation data, without label smoothing.
    pub validation_loss: Option<f64>,
    /// Share of right labels on validation data.
    pub validation_accuracy: Option<f64>,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
}

/// How long one epoch took. Never the same twice, so it is kept apart from the figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochTiming {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Seconds of learning, without validation.
    pub seconds: f64,
    /// Images learned from in each of these seconds.
    pub images_per_second: f64,
}

impl EpochRecord {
    /// The figure that is watched; less is better.
    fn cost(&self, monitor: Monitor) -> Option<f64> {
        match monitor {
            Monitor::Loss => self.validation_loss,
            Monitor::Accuracy => self.validation_accuracy.map(|accuracy| -accuracy),
        }
    }
}

/// What the history says so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The best epoch, from 1; none without validation data.
    pub best: Option<usize>,
    /// Epochs since then.
    pub waited: usize,
}

/// The best epoch by `monitor`: the last that was better than the best before it by more than `min_delta`.
pub fn standing(history: &[EpochRecord], monitor: Monitor, min_delta: f64) -> Standing {
    let (mut best, mut lowest) = (None, f64::INFINITY);
    for record in history {
        if let Some(cost) = record.cost(monitor)
            && (best.is_none() || cost < lowest - min_delta)
        {
            (best, lowest) = (Some(record.epoch), cost);
        }
    }
    Standing { best, waited: best.map_or(0, |best| history.len() - best) }
}

/// Whether patience is at its end.
pub fn should_stop(history: &[EpochRecord], options: &EarlyStopping) -> bool {
    let standing = standing(history, options.monitor, options.min_delta.get());
    standing.best.is_some() && standing.waited >= options.patience.get()
}

/// The history as CSV with a header, one line for each epoch; what was not measured is empty. With `timings`, their columns
/// follow, and the text is no longer the same from run to run.
pub fn history_csv(history: &[EpochRecord], timings: Option<&[EpochTiming]>) -> String {
    let mut text = String::from("epoch,loss,accuracy,validation_loss,validation_accuracy,learning_rate");
    text.push_str(if timings.is_some() { ",images_per_second,seconds\n" } else { "\n" });
    let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for (index, record) in history.iter().enumerate() {
        let EpochRecord { epoch, loss, accuracy, learning_rate, .. } = record;
        let validation = format!("{},{}", optional(record.validation_loss), optional(record.validation_accuracy));
        text.push_str(&format!("{epoch},{loss},{accuracy},{validation},{learning_rate}"));
        if let Some(timing) = timings.and_then(|timings| timings.get(index)) {
            text.push_str(&format!(",{:.0},{:.2}", timing.images_per_second, timing.seconds));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(figures: &[(f64, f64)]) -> Vec<EpochRecord> {
        let record = |(index, &(loss, accuracy)): (usize, &(f64, f64))| EpochRecord {
            epoch: index + 1,
            loss: 0.5,
            accuracy: 0.75,
            validation_loss: Some(loss),
            validation_accuracy: Some(accuracy),
            learning_rate: 0.001,
        };
        figures.iter().enumerate().map(record).collect()
    }

    #[test]
    fn the_best_epoch_is_the_last_real_improvement() {
        let history = history(&[(1.0, 0.5), (0.5, 0.4), (0.45, 0.6), (0.6, 0.6)]);
        let check = |monitor, min_delta, best, waited| {
            assert_eq!(standing(&history, monitor, min_delta), Standing { best: Some(best), waited });
        };
        check(Monitor::Loss, 0.0, 3, 1);
        check(Monitor::Loss, 0.1, 2, 2);
        check(Monitor::Accuracy, 0.0, 3, 1);
        check(Monitor::Accuracy, 0.2, 1, 3);
        assert_eq!(standing(&[], Monitor::Loss, 0.0), Standing { best: None, waited: 0 });
    }

    #[test]
    fn stopping_waits_for_patience() {
        let options =
            |patience: usize| -> EarlyStopping { serde_json::from_str(&format!(r#"{{"patience": {patience}}}"#)).unwrap() };
        let history = history(&[(1.0, 0.0), (0.5, 0.0), (0.6, 0.0), (0.7, 0.0)]);
        assert!(should_stop(&history, &options(2)));
        assert!(!should_stop(&history, &options(3)));
        assert!(!should_stop(&history[..3], &options(2)));
        assert!(!should_stop(&[], &options(1)));
    }

    #[test]
    fn csv_has_a_line_for_each_epoch() {
        let mut history = history(&[(0.25, 0.9), (0.2, 0.95)]);
        history[1].validation_loss = None;
        let timing = |epoch| EpochTiming { epoch, seconds: 1.5, images_per_second: 1000.4 };
        insta::assert_snapshot!(history_csv(&history, None), @"
        epoch,loss,accuracy,validation_loss,validation_accuracy,learning_rate
        1,0.5,0.75,0.25,0.9,0.001
        2,0.5,0.75,,0.95,0.001
        ");
        insta::assert_snapshot!(history_csv(&history, Some(&[timing(1), timing(2)])), @"
        epoch,loss,accuracy,validation_loss,validation_accuracy,learning_rate,images_per_second,seconds
        1,0.5,0.75,0.25,0.9,0.001,1000,1.50
        2,0.5,0.75,,0.95,0.001,1000,1.50
        ");
    }
}
