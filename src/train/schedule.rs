//! Schedules: the learning rate of every step.

use serde::{Deserialize, Serialize};

use crate::units::{Count, Epochs, Fraction, NonNegative, Probability};

/// How the learning rate changes while training. The optimiser's own rate is the peak.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleOptions {
    /// It does not.
    #[default]
    Constant,
    /// Multiplied by a factor every few epochs.
    Step(StepOptions),
    /// Multiplied by a factor in each epoch, smoothly from step to step.
    Exponential(ExponentialOptions),
    /// Half a cosine from the peak down to a final rate (Loshchilov and Hutter, 2017, without restarts).
    Cosine(CosineOptions),
    /// Up to the peak, then down to nearly nothing (Smith and Topin, 2019).
    OneCycle(OneCycleOptions),
    /// Multiplied by a factor whenever the validation loss (without validation data: the training loss) stops falling.
    ReduceOnPlateau(PlateauOptions),
}

/// Options of the schedule `step`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepOptions {
    /// Epochs between two changes.
    pub every: Epochs,
    /// What the rate is multiplied by.
    pub factor: Fraction,
}

impl Default for StepOptions {
    fn default() -> Self {
        Self { every: Epochs::new(5).expect("5 is a number of epochs"), factor: fraction(0.5) }
    }
}

/// Options of the schedule `exponential`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExponentialOptions {
    /// What the rate is multiplied by in each epoch.
    pub factor: Fraction,
}

impl Default for ExponentialOptions {
    fn default() -> Self {
        Self { factor: fraction(0.9) }
    }
}

/// Options of the schedule `cosine`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CosineOptions {
    /// Learning rate at the end.
    pub final_rate: NonNegative,
}

impl Default for CosineOptions {
    fn default() -> Self {
        Self { final_rate: NonNegative::new(0.0).expect("0 is in range") }
    }
}

/// Options of the schedule `one_cycle`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OneCycleOptions {
    /// Share of all steps in which the rate rises.
    pub warm_up: Fraction,
    /// Rate of the first step, as a share of the peak.
    pub start: Probability,
    /// Rate of the last step, as a share of the peak.
    pub end: Probability,
    /// How it rises and falls.
    pub shape: OneCycleShape,
}

/// How the rate of a cycle rises and falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OneCycleShape {
    /// In straight lines: a triangle.
    #[default]
    Linear,
    /// In half cosines.
    Cosine,
}

impl Default for OneCycleOptions {
    fn default() -> Self {
        Self {
            warm_up: fraction(0.3),
            start: Probability::new(0.04).expect("0.04 is in range"),
            end: Probability::new(1e-3).expect("0.001 is in range"),
            shape: OneCycleShape::default(),
        }
    }
}

/// Options of the schedule `reduce_on_plateau`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlateauOptions {
    /// What the rate is multiplied by.
    pub factor: Fraction,
    /// Epochs without improvement that are borne before each change.
    pub patience: Count,
    /// By how much the loss must fall to count as improvement.
    pub min_delta: NonNegative,
    /// The rate is never taken below this.
    pub min_rate: NonNegative,
}

impl Default for PlateauOptions {
    fn default() -> Self {
        Self {
            factor: fraction(0.5),
            patience: Count::new(3).expect("3 is a count"),
            min_delta: NonNegative::new(1e-4).expect("1e-4 is in range"),
            min_rate: NonNegative::new(0.0).expect("0 is in range"),
        }
    }
}

fn fraction(value: f64) -> Fraction {
    Fraction::new(value).expect("defaults are in range")
}

/// Where a step stands in a training.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The step, from 0.
    pub step: usize,
    /// All steps of the training.
    pub steps: usize,
    /// Steps in each epoch.
    pub steps_per_epoch: usize,
}

/// The learning rate of a step: `peak` scaled by the schedule, after a warm-up of `warm_up` epochs in which it rises
/// linearly. What `reduce_on_plateau` takes off is not in it: see [`plateau_rate`].
pub fn learning_rate(schedule: &ScheduleOptions, peak: f64, warm_up: f64, at: Position) -> f64 {
    let warm_up_steps = (warm_up * at.steps_per_epoch as f64).round() as usize;
    if at.step < warm_up_steps {
        return peak * (at.step + 1) as f64 / warm_up_steps as f64;
    }
    let gone = (at.step - warm_up_steps) as f64;
    let epochs = gone / at.steps_per_epoch as f64;
    match schedule {
        ScheduleOptions::Constant | ScheduleOptions::ReduceOnPlateau(_) => peak,
        ScheduleOptions::Step(step) => peak * step.factor.get().powf((epochs / step.every.get() as f64).floor()),
        ScheduleOptions::Exponential(exponential) => peak * exponential.factor.get().powf(epochs),
        ScheduleOptions::Cosine(cosine) => {
            let share = gone / (at.steps - warm_up_steps) as f64;
            between(peak, cosine.final_rate.get(), share, OneCycleShape::Cosine)
        }
        ScheduleOptions::OneCycle(cycle) => {
            let share = at.step as f64 / (at.steps - 1).max(1) as f64;
            let top = cycle.warm_up.get();
            if share < top {
                between(peak * cycle.start.get(), peak, share / top, cycle.shape)
            } else {
                between(peak, peak * cycle.end.get(), (share - top) / (1.0 - top), cycle.shape)
            }
        }
    }
}

/// From `from` at share 0 to `to` at share 1.
fn between(from: f64, to: f64, share: f64, shape: OneCycleShape) -> f64 {
    let eased = match shape {
        OneCycleShape::Linear => share,
        OneCycleShape::Cosine => 0.5 - 0.5 * libm::cos(std::f64::consts::PI * share),
    };
    from + (to - from) * eased
}

/// The rate after a plateau: `peak` times what the history of losses, one for each finished epoch, has taken off it.
pub fn plateau_rate(options: &PlateauOptions, peak: f64, losses: &[f64]) -> f64 {
    let (mut best, mut waited, mut rate) = (f64::INFINITY, 0, peak);
    for &loss in losses {
        if loss < best - options.min_delta.get() {
            (best, waited) = (loss, 0);
            continue;
        }
        waited += 1;
        if waited > options.patience.get() {
            (rate, waited) = ((rate * options.factor.get()).max(options.min_rate.get().min(peak)), 0);
        }
    }
    rate
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates of a training of 4 epochs of 3 steps with peak 1, in thousandths.
    fn rates(schedule: &str, warm_up: f64) -> Vec<f64> {
        let schedule: ScheduleOptions = serde_json::from_str(schedule).unwrap();
        let at = |step| Position { step, steps: 12, steps_per_epoch: 3 };
        (0..12).map(|step| (learning_rate(&schedule, 1.0, warm_up, at(step)) * 1000.0).round()).collect()
    }

    #[test]
    fn schedules_give_the_known_rates() {
        let check = |schedule: &str, warm_up: f64, expected: [i32; 12]| {
            assert_eq!(rates(schedule, warm_up), expected.map(f64::from), "{schedule} after {warm_up}");
        };
        check(r#""constant""#, 0.0, [1000; 12]);
        check(r#""constant""#, 1.0, [333, 667, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000]);
        check(r#"{"step": {"every": 1, "factor": 0.5}}"#, 0.0, [1000, 1000, 1000, 500, 500, 500, 250, 250, 250, 125, 125, 125]);
        check(
            r#"{"step": {"every": 2, "factor": 0.1}}"#,
            1.0,
            [333, 667, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 100, 100, 100],
        );
        check(r#"{"exponential": {"factor": 0.5}}"#, 0.0, [1000, 794, 630, 500, 397, 315, 250, 198, 157, 125, 99, 79]);
        check(r#"{"cosine": {}}"#, 0.0, [1000, 983, 933, 854, 750, 629, 500, 371, 250, 146, 67, 17]);
        check(r#"{"cosine": {"final_rate": 0.1}}"#, 1.0, [333, 667, 1000, 1000, 973, 895, 775, 628, 472, 325, 205, 127]);
        check(
            r#"{"one_cycle": {"warm_up": 0.363636363636, "start": 0.2, "end": 0.0}}"#,
            0.0,
            [200, 400, 600, 800, 1000, 857, 714, 571, 429, 286, 143, 0],
        );
        check(
            r#"{"one_cycle": {"warm_up": 0.363636363636, "start": 0.0, "end": 0.1, "shape": "cosine"}}"#,
            0.0,
            [0, 146, 500, 854, 1000, 955, 831, 650, 450, 269, 145, 100],
        );
    }

    #[test]
    fn a_plateau_lowers_the_rate_after_patience() {
        let options = |text: &str| serde_json::from_str::<PlateauOptions>(text).unwrap();
        let check = |text: &str, losses: &[f64], expected: f64| {
            assert_eq!(plateau_rate(&options(text), 1.0, losses), expected, "{text} {losses:?}");
        };
        let patient = r#"{"factor": 0.5, "patience": 2}"#;
        check(patient, &[], 1.0);
        check(patient, &[3.0, 2.0, 1.0], 1.0);
        check(patient, &[1.0, 1.0, 1.0], 1.0);
        check(patient, &[1.0, 1.0, 1.0, 1.0], 0.5);
        check(patient, &[1.0, 1.0, 1.0, 0.5, 1.0, 1.0], 1.0);
        check(patient, &[1.0; 7], 0.25);
        check(r#"{"factor": 0.5, "patience": 1, "min_rate": 0.4}"#, &[1.0; 9], 0.4);
        check(r#"{"factor": 0.5, "patience": 1, "min_delta": 0.3}"#, &[1.0, 0.9, 0.8], 0.5);
    }
}
