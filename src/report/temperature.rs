//! The temperature of a vote as the report shows it.

use serde::{Deserialize, Serialize};

use super::data::ReliabilityBin;
use crate::metrics::{Calibration, Evaluation};

/// The temperature of a vote, and what it does to the calibration on the part of [`ModelReport::test`](super::ModelReport::test).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemperatureReport {
    /// The temperature; below 1 the vote became more certain, above 1 less.
    pub value: f64,
    /// Whether it was fitted on validation data; else it was given.
    pub fitted: bool,
    /// The vote as it is; `None` where there was nothing to measure on.
    pub before: Option<CalibrationReport>,
    /// The vote at the temperature.
    pub after: Option<CalibrationReport>,
}

/// How good probabilities are as probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationReport {
    /// Mean cross entropy.
    pub loss: f64,
    /// Brier score, 0–2.
    pub brier: f64,
    /// Expected calibration error.
    pub calibration_error: f64,
    /// The bins of the reliability diagram.
    pub reliability: Vec<ReliabilityBin>,
}

impl From<&Calibration> for CalibrationReport {
    fn from(Calibration { loss, brier, calibration_error, reliability }: &Calibration) -> Self {
        let reliability = reliability.iter().map(ReliabilityBin::from).collect();
        Self { loss: *loss, brier: *brier, calibration_error: *calibration_error, reliability }
    }
}

impl From<&Evaluation> for CalibrationReport {
    fn from(Evaluation { loss, brier, calibration_error, reliability, .. }: &Evaluation) -> Self {
        let reliability = reliability.iter().map(ReliabilityBin::from).collect();
        Self { loss: *loss, brier: *brier, calibration_error: *calibration_error, reliability }
    }
}
