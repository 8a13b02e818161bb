//! Measured metrics as the report shows them.

use super::data::{ClassScore, EvaluationReport, Interval, ReliabilityBin, TopK};
use crate::metrics::{Evaluation, MetricsError};

impl TryFrom<&Evaluation> for EvaluationReport {
    type Error = MetricsError;

    /// All that was measured, with the classification report as text.
    ///
    /// # Errors
    /// When the evaluation's parts do not fit each other.
    fn try_from(evaluation: &Evaluation) -> Result<Self, MetricsError> {
        let Evaluation { accuracy_interval: interval, per_class, reliability, .. } = evaluation;
        let score = |score: &crate::metrics::ClassScores| ClassScore {
            precision: score.precision,
            recall: score.recall,
            f1: score.f1,
            support: score.support,
        };
        Ok(Self {
            accuracy: evaluation.accuracy,
            accuracy_interval: Some(Interval { low: interval.low, high: interval.high }),
            loss: evaluation.loss,
            macro_f1: evaluation.macro_f1,
            calibration_error: evaluation.calibration_error,
            top_k: evaluation.top_k.iter().map(|top| TopK { k: top.k as u64, accuracy: top.accuracy }).collect(),
            confusion: evaluation.confusion.rows().to_vec(),
            per_class: per_class.iter().map(score).collect(),
            reliability: reliability.iter().map(ReliabilityBin::from).collect(),
            classification_report: evaluation.classification_report()?.to_string(),
        })
    }
}

impl From<&crate::metrics::ReliabilityBin> for ReliabilityBin {
    fn from(bin: &crate::metrics::ReliabilityBin) -> Self {
        Self {
            low: bin.low,
            high: bin.high,
            count: bin.images as u64,
            confidence: bin.confidence.unwrap_or(0.0),
            accuracy: bin.accuracy.unwrap_or(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::evaluate;

    #[test]
    fn every_figure_of_an_evaluation_is_taken_over() {
        let labels = [0, 1, 1, 0];
        let probabilities = ndarray::array![[0.9f32, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]];
        let classes = ["Bag".to_owned(), "Coat".to_owned()];
        let evaluation = evaluate(&labels, probabilities.view(), &classes).unwrap();
        let report = EvaluationReport::try_from(&evaluation).unwrap();
        assert_eq!(report.accuracy, 0.75);
        assert_eq!((report.loss, report.macro_f1), (evaluation.loss, evaluation.macro_f1));
        assert_eq!(report.calibration_error, evaluation.calibration_error);
        assert_eq!(report.confusion, [[2, 0], [1, 1]]);
        assert_eq!((report.per_class[1].recall, report.per_class[1].support), (0.5, 2));
        assert_eq!(report.reliability.iter().map(|bin| bin.count).sum::<u64>(), 4);
        assert_eq!(report.top_k.len(), evaluation.top_k.len());
        let interval = report.accuracy_interval.unwrap();
        assert!(interval.low < 0.75 && 0.75 < interval.high);
        assert!(report.classification_report.contains("macro avg"), "{}", report.classification_report);
    }
}
