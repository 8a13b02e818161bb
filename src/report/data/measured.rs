//! On which part of the data a model was measured.

use serde::{Deserialize, Serialize};

use super::ReportData;

/// A part of the data whose images a model has not learned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasuredPart {
    /// The test part, by which nothing was chosen.
    #[default]
    Test,
    /// The validation part, where there is no test part.
    Validation,
}

impl MeasuredPart {
    /// Its name: `test`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Validation => "validation",
        }
    }
}

impl ReportData {
    /// The part on which the models were measured, in a word; both where they differ.
    pub(in crate::report) fn measured_on(&self) -> &'static str {
        let mut parts = self.models.iter().filter(|model| model.test.is_some()).map(|model| model.part);
        let first = parts.next().unwrap_or_default();
        if parts.all(|part| part == first) { first.name() } else { "test or validation" }
    }
}
