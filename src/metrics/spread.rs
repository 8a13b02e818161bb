//! A figure over several runs of the same recipe.

use serde::{Deserialize, Serialize};

/// Mean and standard deviation of a figure over runs that differ in their seed alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many runs, at least two.
    pub runs: usize,
    /// Their mean.
    pub mean: f64,
    /// The sample standard deviation: squares are divided by the runs less one (Bessel's correction).
    pub deviation: f64,
}

impl Spread {
    /// Of `values`, one for each run; `None` of fewer than two, which tell nothing about chance.
    pub fn of(values: &[f64]) -> Option<Self> {
        let runs = values.len();
        if runs < 2 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / runs as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { runs, mean, deviation: (squares / (runs - 1) as f64).sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        // Python: statistics.mean and statistics.stdev of the same numbers.
        let spread = Spread::of(&[0.93, 0.94, 0.92, 0.95]).unwrap();
        assert_eq!(spread.runs, 4);
        assert!((spread.mean - 0.935).abs() < 1e-12, "{spread:?}");
        assert!((spread.deviation - 0.012_909_944_487_358_056).abs() < 1e-12, "{spread:?}");
        assert_eq!(Spread::of(&[0.5, 0.5]).map(|spread| spread.deviation), Some(0.0));
        assert_eq!(Spread::of(&[0.5]), None);
    }
}
