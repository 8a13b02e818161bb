//! An exponential moving average of weights and running statistics, which becomes the model.

use super::{AverageOptions, EmaOptions};

/// The average so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Average {
    /// Share of the average that stays in each step, late in a training.
    decay: f64,
    /// Steps taken in.
    pub steps: u64,
    /// Values of every parameter, in the order of the architecture.
    pub values: Vec<Vec<f32>>,
}

impl Average {
    /// An average of `values` that has taken in `steps` steps; 0 at the start of a training, where it begins with the
    /// initial weights.
    pub fn new(options: &AverageOptions, steps: u64, values: Vec<Vec<f32>>) -> Self {
        let AverageOptions::Ema(EmaOptions { decay }) = options;
        Self { decay: decay.get(), steps, values }
    }

    /// Takes in the values after another step.
    pub fn update(&mut self, newest: &[Vec<f32>]) {
        let step = self.steps as f64;
        let share = (1.0 - self.decay.min((1.0 + step) / (10.0 + step))) as f32;
        for (average, newest) in self.values.iter_mut().zip(newest) {
            for (average, newest) in average.iter_mut().zip(newest) {
                *average += share * (newest - *average);
            }
        }
        self.steps += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_forgotten_soon_and_later_values_slowly() {
        let options: AverageOptions = serde_json::from_str(r#"{"ema": {"decay": 0.5}}"#).unwrap();
        let mut average = Average::new(&options, 0, vec![vec![0.0]]);
        let mut follow = |value: f32| {
            average.update(&[vec![value]]);
            average.values[0][0]
        };
        assert!((follow(1.0) - 0.9).abs() < 1e-6); // 1/10 stays
        assert!((follow(0.0) - 0.9 * 2.0 / 11.0).abs() < 1e-6);
        for _ in 0..100 {
            follow(8.0);
        }
        assert!((follow(0.0) - 4.0).abs() < 1e-5); // the decay of 1/2
    }
}
