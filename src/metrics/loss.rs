//! Proper scoring rules: what probabilities cost, given what was true.

use ndarray::ArrayView2;

use super::{MetricsError, check};

/// The smallest probability of the true class that [`log_loss`] tells from 0: the spacing of 32-bit floats at 1, which
/// keeps one confident error from making the mean infinite. The figure is scikit-learn's.
pub const SMALLEST_PROBABILITY: f64 = f32::EPSILON as f64;

/// Mean −ln p of the true class, in nats. `p` is clipped to [[`SMALLEST_PROBABILITY`], 1 − [`SMALLEST_PROBABILITY`]].
///
/// # Errors
/// As [`check`].
pub fn log_loss(labels: &[u8], probabilities: ArrayView2<'_, f32>) -> Result<f64, MetricsError> {
    check(labels, probabilities)?;
    let cost = |(&label, row): (&u8, ndarray::ArrayView1<'_, f32>)| {
        -f64::from(row[usize::from(label)]).clamp(SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY).ln()
    };
    Ok(labels.iter().zip(probabilities.rows()).map(cost).sum::<f64>() / labels.len() as f64)
}

/// Mean over images of Σ (p − one-hot)² over classes: 0 at best, 2 at worst (Brier, 1950).
///
/// # Errors
/// As [`check`].
pub fn brier_score(labels: &[u8], probabilities: ArrayView2<'_, f32>) -> Result<f64, MetricsError> {
    check(labels, probabilities)?;
    let mut sum = 0.0;
    for (&label, row) in labels.iter().zip(probabilities.rows()) {
        for (class, &p) in row.iter().enumerate() {
            let truth = if class == usize::from(label) { 1.0 } else { 0.0 };
            sum += (f64::from(p) - truth).powi(2);
        }
    }
    Ok(sum / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::samples::labels_and_probabilities;
    use super::*;
    use ndarray::array;

    #[test]
    fn losses_equal_those_of_scikit_learn() {
        let (labels, probabilities) = labels_and_probabilities();
        let loss = log_loss(&labels, probabilities.view()).unwrap();
        assert!((loss - 1.799_817_807_323_798).abs() < 1e-7, "{loss}");
        let score = brier_score(&labels, probabilities.view()).unwrap();
        assert!((score - 0.858_004_628_015_534_3).abs() < 1e-7, "{score}");
    }

    #[test]
    fn log_loss_is_the_mean_surprise() {
        let loss = log_loss(&[0, 1], array![[0.5, 0.5], [0.75, 0.25]].view()).unwrap();
        assert!((loss - (2f64.ln() + 4f64.ln()) / 2.0).abs() < 1e-12, "{loss}");
    }

    #[test]
    fn a_certain_error_costs_much_but_not_infinitely() {
        let loss = log_loss(&[1], array![[1.0, 0.0]].view()).unwrap();
        assert!((loss - 15.942_385_152_878_742).abs() < 1e-12, "{loss}"); // -ln(2^-23)
        let loss = log_loss(&[0], array![[1.0, 0.0]].view()).unwrap();
        assert!(loss > 0.0 && loss < 1.3e-7, "{loss}");
    }

    #[test]
    fn brier_score_runs_from_0_to_2() {
        let score = |label, row: [f32; 2]| brier_score(&[label], array![row].view()).unwrap();
        assert_eq!(score(0, [1.0, 0.0]), 0.0);
        assert_eq!(score(1, [1.0, 0.0]), 2.0);
        assert_eq!(score(1, [0.75, 0.25]), 1.125);
    }
}
