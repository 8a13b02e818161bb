//! Whether two models that were measured on the same images differ by more than chance.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{Interval, MetricsError};
use crate::seed::Seed;

/// Below this many images on which just one of two models is right, [`mcnemar`] takes the exact binomial test, for which
/// the chi-squared distribution would be too rough.
const EXACT_BELOW: u64 = 25;

/// How the p-value of a [`McNemar`] test was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum McNemarMethod {
    /// The two-sided binomial test.
    ExactBinomial,
    /// Chi-squared with one degree of freedom and continuity correction (Edwards, 1948).
    ChiSquared,
}

impl McNemarMethod {
    /// What it is called in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExactBinomial => "exact binomial",
            Self::ChiSquared => "chi-squared",
        }
    }
}

/// McNemar's test (1947): of the images on which just one of two models is right, is either model right more often than
/// a fair coin?
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Images that only the first model predicts rightly.
    pub only_first: u64,
    /// Images that only the second model predicts rightly.
    pub only_second: u64,
    /// How the p-value was computed.
    pub method: McNemarMethod,
    /// The chance of a difference at least as large if both models were equally good.
    pub p_value: f64,
}

/// Compares two models' predictions, `[N]` each.
///
/// # Errors
/// When the lengths differ or are 0.
pub fn mcnemar(labels: &[u8], first: &[u8], second: &[u8]) -> Result<McNemar, MetricsError> {
    let outcomes = paired_outcomes(labels, first, second)?;
    let only_first = outcomes.iter().filter(|&&outcome| outcome == 1).count() as u64;
    let only_second = outcomes.iter().filter(|&&outcome| outcome == -1).count() as u64;
    Ok(mcnemar_of_counts(only_first, only_second))
}

fn mcnemar_of_counts(only_first: u64, only_second: u64) -> McNemar {
    let discordant = only_first + only_second;
    let (method, p_value) = if discordant < EXACT_BELOW {
        let tail: f64 = (0..=only_first.min(only_second)).map(|k| binomial_half(discordant, k)).sum();
        (McNemarMethod::ExactBinomial, (2.0 * tail).min(1.0))
    } else {
        let excess = only_first.abs_diff(only_second).saturating_sub(1) as f64;
        let statistic = excess * excess / discordant as f64;
        // The upper tail of chi-squared with one degree of freedom is that of a squared normal variable.
        (McNemarMethod::ChiSquared, libm::erfc((statistic / 2.0).sqrt()))
    };
    McNemar { only_first, only_second, method, p_value }
}

/// The chance of `k` heads in `n` throws of a fair coin.
fn binomial_half(n: u64, k: u64) -> f64 {
    let ways: f64 = (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product();
    ways * 0.5f64.powi(i32::try_from(n).expect("small by EXACT_BELOW"))
}

/// The accuracy of a first model less that of a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccuracyDifference {
    /// On the images themselves.
    pub difference: f64,
    /// The percentile interval of 95 % over the resamples.
    pub interval: Interval,
    /// How many times the images were resampled.
    pub resamples: usize,
}

/// The paired bootstrap (Efron and Tibshirani, 1993, chapter 13): the difference of two accuracies, and how it varies when
/// the `N` images are drawn anew, with replacement, `resamples` times. `resamples` of 0 counts as 1.
///
/// # Errors
/// When the lengths differ or are 0.
pub fn bootstrap_difference(
    labels: &[u8],
    first: &[u8],
    second: &[u8],
    resamples: usize,
    seed: Seed,
) -> Result<AccuracyDifference, MetricsError> {
    let outcomes = paired_outcomes(labels, first, second)?;
    let resamples = resamples.max(1);
    let mean = |sum: i64| sum as f64 / outcomes.len() as f64;
    let mut means: Vec<f64> = (0..resamples)
        .map(|resample| {
            let mut rng = seed.index(resample as u64).rng();
            mean((0..outcomes.len()).map(|_| i64::from(outcomes[rng.random_range(0..outcomes.len())])).sum())
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let quantile = |share: f64| means[((resamples - 1) as f64 * share).round() as usize];
    Ok(AccuracyDifference {
        difference: mean(outcomes.iter().map(|&outcome| i64::from(outcome)).sum()),
        interval: Interval { low: quantile(0.025), high: quantile(0.975) },
        resamples,
    })
}

/// For each image 1 if only the first model is right, −1 if only the second is, else 0.
fn paired_outcomes(labels: &[u8], first: &[u8], second: &[u8]) -> Result<Vec<i8>, MetricsError> {
    if labels.len() != first.len() || labels.len() != second.len() {
        return Err(MetricsError::PredictionCount { labels: labels.len(), first: first.len(), second: second.len() });
    }
    if labels.is_empty() {
        return Err(MetricsError::Empty);
    }
    let outcome = |((label, first), second): ((&u8, &u8), &u8)| i8::from(first == label) - i8::from(second == label);
    Ok(labels.iter().zip(first).zip(second).map(outcome).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_equal_those_of_statsmodels() {
        use McNemarMethod::{ChiSquared, ExactBinomial};
        let check = |only_first, only_second, method, p_value: f64| {
            let test = mcnemar_of_counts(only_first, only_second);
            assert_eq!(test.method, method, "{test:?}");
            assert!((test.p_value / p_value - 1.0).abs() < 1e-12, "{test:?}, expected {p_value}");
        };
        // statsmodels 0.15, mcnemar(exact=..., correction=True)
        check(0, 0, ExactBinomial, 1.0);
        check(3, 9, ExactBinomial, 0.145_996_093_75);
        check(5, 1, ExactBinomial, 0.218_75);
        check(12, 12, ExactBinomial, 1.0);
        check(1, 23, ExactBinomial, 2.980_232_238_769_531_2e-6);
        check(10, 20, ChiSquared, 0.100_348_246_462_290_54);
        check(60, 110, ChiSquared, 0.000_171_189_003_836_151_34);
        // No excess is no evidence; the correction must not turn it into some.
        check(20, 20, ChiSquared, 1.0);
    }

    #[test]
    fn only_discordant_images_count() {
        let test = mcnemar(&[0, 0, 0, 0, 1], &[0, 0, 1, 1, 1], &[0, 1, 0, 2, 0]).unwrap();
        assert_eq!((test.only_first, test.only_second), (2, 1));
        let error = mcnemar(&[0], &[0, 1], &[0]).unwrap_err().to_string();
        assert_eq!(error, "there are 1 labels but 2 predictions of the first model and 1 of the second");
        assert_eq!(mcnemar(&[], &[], &[]), Err(MetricsError::Empty));
    }

    /// 400 images; the first model is right on the first 300, the second on the first 280 and the last 20.
    fn models() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let right = |holds: fn(usize) -> bool| (0..400).map(|image| u8::from(!holds(image))).collect();
        (vec![0; 400], right(|image| image < 300), right(|image| !(280..380).contains(&image)))
    }

    #[test]
    fn the_bootstrap_covers_what_the_normal_approximation_does() {
        let (labels, first, second) = models();
        let equal = bootstrap_difference(&labels, &first, &second, 2000, Seed::new(1)).unwrap();
        assert_eq!(equal.difference, 0.0);
        // 40 of 400 outcomes are ±1: deviation √(40/400)/√400 = 0.0158, so the interval is about ±0.031.
        assert!((equal.interval.low + 0.031).abs() < 0.003, "{equal:?}");
        assert!((equal.interval.high - 0.031).abs() < 0.003, "{equal:?}");
        let better = bootstrap_difference(&labels, &labels, &second, 2000, Seed::new(1)).unwrap();
        assert_eq!(better.difference, 0.25);
        assert!(better.interval.low > 0.2 && better.interval.high < 0.3, "{better:?}");
    }

    #[test]
    fn the_bootstrap_is_a_function_of_its_seed() {
        let (labels, first, second) = models();
        let run = |seed| bootstrap_difference(&labels, &first, &second, 100, Seed::new(seed)).unwrap().interval;
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
