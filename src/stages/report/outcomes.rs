//! Outcomes for the page: searches, the comparison, the verification, scored files.

use anyhow::Result;

use super::Sources;
use crate::fs;
use crate::metrics::Spread;
use crate::report::{
    ComparisonReport, Gate, Importance, Interval, PairTest, RankedModel, RecipeReport, RobustnessPoint, RobustnessReport,
    ScoringReport, SpreadReport, TrialReport, TrialStatus, TuningReport, VerificationReport, VerifiedModel,
};
use crate::score::ScoreSummary;
use crate::stages::compare::Comparison;
use crate::stages::tune::SearchRecord;
use crate::stages::verify::Verification;
use crate::tune::{Objective, Status, TrialRecord};

/// Every search.
pub(super) fn tuning(sources: &Sources<'_>) -> Result<Vec<TuningReport>> {
    sources.of_kind(&["tune"]).map(|(id, dir)| Ok(search(id.as_str(), fs::read_json(&dir.join("search.json"))?))).collect()
}

fn search(stage: &str, record: SearchRecord) -> TuningReport {
    let trial = |trial: &TrialRecord| TrialReport {
        number: trial.trial as u64 + 1,
        status: match trial.status {
            Status::Finished => TrialStatus::Complete,
            Status::Pruned => TrialStatus::Pruned,
            Status::Diverged | Status::Failed => TrialStatus::Failed,
        },
        value: trial.value,
        epochs: trial.reports.last().map_or(0, |report| report.epoch.get() as u64),
        parameters: trial.parameters.clone(),
        reason: trial.reason.clone(),
    };
    let tuned = record.tuned;
    TuningReport {
        stage: stage.to_owned(),
        sampler: record.sampler.name().to_owned(),
        objective: format!("validation {}", tuned.objective),
        maximise: tuned.objective == Objective::Accuracy,
        trials: tuned.trials.iter().map(trial).collect(),
        importance: tuned
            .importance
            .iter()
            .filter_map(|entry| Some(Importance { parameter: entry.parameter.clone(), value: entry.share? }))
            .collect(),
        importance_method: "share of the variance of the trials' ranks that the parameter explains by itself".to_owned(),
    }
}

/// The last comparison.
pub(super) fn comparison(sources: &Sources<'_>) -> Result<Option<ComparisonReport>> {
    let Some((_, dir)) = sources.of_kind(&["compare"]).last() else { return Ok(None) };
    let comparison: Comparison = fs::read_json(&dir.join("comparison.json"))?;
    let ranked = comparison.ranking.iter().map(|ranked| RankedModel {
        model: ranked.model.to_string(),
        accuracy: ranked.validation_accuracy,
        robustness: ranked.robustness,
        score: ranked.score,
    });
    let robustness = comparison.robustness.iter().map(|entry| {
        let clean = RobustnessPoint { severity: 0.0, accuracy: entry.clean };
        let points =
            entry.points.iter().map(|&(severity, accuracy)| RobustnessPoint { severity: f64::from(severity.get()), accuracy });
        RobustnessReport {
            model: entry.model.to_string(),
            perturbation: entry.perturbation.name().to_owned(),
            points: [clean].into_iter().chain(points).collect(),
        }
    });
    let tests = comparison.significance.iter().map(|pair| PairTest {
        first: pair.first.to_string(),
        second: pair.second.to_string(),
        only_first: pair.test.only_first,
        only_second: pair.test.only_second,
        difference: pair.difference.difference,
        interval: Some(Interval { low: pair.difference.interval.low, high: pair.difference.interval.high }),
        p_value: pair.test.p_value,
        method: pair.test.method.name().to_owned(),
    });
    let spread = |spread: &Spread| SpreadReport { mean: spread.mean, deviation: spread.deviation };
    let recipes = comparison.recipes.iter().map(|recipe| RecipeReport {
        recipe: recipe.recipe.to_string(),
        models: recipe.models.iter().map(ToString::to_string).collect(),
        validation_accuracy: spread(&recipe.validation_accuracy),
        test_accuracy: recipe.test_accuracy.as_ref().map(spread),
    });
    Ok(Some(ComparisonReport {
        ranking: ranked.collect(),
        recipes: recipes.collect(),
        selected: comparison.selected.to_string(),
        reason: comparison.reason.clone(),
        robustness: robustness.collect(),
        significance: tests.collect(),
    }))
}

/// The last verification.
pub(super) fn verification(sources: &Sources<'_>) -> Result<Option<VerificationReport>> {
    let Some((_, dir)) = sources.of_kind(&["verify"]).last() else { return Ok(None) };
    let verification: Verification = fs::read_json(&dir.join("verification.json"))?;
    let models = verification.models.iter().map(|verified| VerifiedModel {
        model: verified.model.to_string(),
        file: verified.file.clone(),
        rows: verified.against_burn.rows as u64,
        largest_difference: f64::from(verified.against_burn.largest_difference),
        worst_row: verified.against_burn.worst_row as u64,
        label_agreement: verified.against_burn.label_agreement(),
        batch_sizes: verified.batches.iter().map(|(size, _)| size.get() as u64).collect(),
        problems: verified.problems.clone(),
    });
    let gates = verification.gates.iter().map(|gate| Gate {
        model: gate.model.to_string(),
        metric: gate.metric.clone(),
        required: gate.required.clone(),
        measured: gate.measured,
        passed: gate.passed,
    });
    Ok(Some(VerificationReport { tolerance: verification.tolerance, models: models.collect(), gates: gates.collect() }))
}

/// Every scored file.
pub(super) fn scoring(sources: &Sources<'_>) -> Result<Vec<ScoringReport>> {
    sources
        .of_kind(&["score"])
        .map(|(id, dir)| {
            let summary: ScoreSummary = fs::read_json(&dir.join("summary.json"))?;
            let manifest = summary.manifest;
            Ok(ScoringReport {
                stage: id.to_string(),
                model: manifest.model.name,
                inputs: manifest.inputs.into_iter().map(|input| input.file).collect(),
                output: manifest.output.file.unwrap_or_default(),
                rows: manifest.tally.scored,
                accuracy: manifest.accuracy,
                label_counts: manifest.tally.predicted,
                digest: manifest.output.digest.to_string(),
            })
        })
        .collect()
}
