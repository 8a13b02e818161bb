//! The figures of a comparison of models.

use serde::{Deserialize, Serialize};

use super::Interval;

/// How models compare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparisonReport {
    /// The models from best to worst.
    pub ranking: Vec<RankedModel>,
    /// What recipes with several seeds reach; empty if each has one.
    pub recipes: Vec<RecipeReport>,
    /// The selected model's name; empty for none.
    pub selected: String,
    /// Why it was selected.
    pub reason: String,
    /// Accuracy under perturbed images.
    pub robustness: Vec<RobustnessReport>,
    /// Tests of whether two models differ.
    pub significance: Vec<PairTest>,
}

/// A model's place among others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedModel {
    /// Its name.
    pub model: String,
    /// Accuracy on clean images.
    pub accuracy: f64,
    /// Mean accuracy on perturbed images, if it was measured.
    pub robustness: Option<f64>,
    /// What the ranking goes by.
    pub score: f64,
}

/// What one recipe reaches over several seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipeReport {
    /// Its name.
    pub recipe: String,
    /// The models that come from it.
    pub models: Vec<String>,
    /// Their accuracy on the validation part.
    pub validation_accuracy: SpreadReport,
    /// Their accuracy on the test part.
    pub test_accuracy: Option<SpreadReport>,
}

/// A figure over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpreadReport {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation.
    pub deviation: f64,
}

/// One model's accuracy under one perturbation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RobustnessReport {
    /// The model's name.
    pub model: String,
    /// The perturbation's name.
    pub perturbation: String,
    /// The accuracy at each severity, weakest first. Severity 0 is the clean image.
    pub points: Vec<RobustnessPoint>,
}

/// Accuracy at one severity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RobustnessPoint {
    /// How strong the perturbation is, in its own unit.
    pub severity: f64,
    /// Share of correct predictions.
    pub accuracy: f64,
}

/// A test of whether two models differ on the same images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairTest {
    /// One model's name.
    pub first: String,
    /// The other's.
    pub second: String,
    /// Images that only the first predicts correctly.
    pub only_first: u64,
    /// Images that only the second predicts correctly.
    pub only_second: u64,
    /// Accuracy of the first minus that of the second.
    pub difference: f64,
    /// The difference's 95 % interval, if known.
    pub interval: Option<Interval>,
    /// The p-value of McNemar's test.
    pub p_value: f64,
    /// Which form of the test was used: `exact`, `chi-squared`.
    pub method: String,
}
