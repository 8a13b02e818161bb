//! `compare`: ranks models by accuracy and robustness on the validation part, selects one, and says which differences on
//! the test part are significant. The test part decides nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use super::foreign::{self, Foreign};
use super::model::{Model, Part, ensure_same_classes};
use super::out_of_fold::{self, Group, OutOfFold};
use crate::data::perturb::{Perturbation, Severity};
use crate::data::{DataSet, Label, LabelledImages};
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::{DataRef, ModelRef, StageId};
use crate::metrics::{
    AccuracyDifference, McNemar, Probabilities, Proportion, Spread, bootstrap_difference, mcnemar, predictions,
};
use crate::progress::Progress;
use crate::seed::Seed;
use crate::units::{Count, Probability};

/// Options of the stage kind `compare`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareOptions {
    /// The models, at least one.
    pub models: Vec<ModelRef>,
    /// The data they are compared on; the ranking needs its validation part, on which no model may have been trained. If the models were
    /// trained on folds, name the data that the folds divide: each is then ranked by the images that it was not trained on.
    pub data: DataRef,
    /// How robustness is measured and what it counts for.
    #[serde(default)]
    pub robustness: RobustnessOptions,
}

/// How robustness is measured: accuracy on perturbed validation images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RobustnessOptions {
    /// What is done to the images; an empty list leaves robustness out.
    pub perturbations: Vec<Perturbation>,
    /// How strongly, 1 to 5; each perturbation is tried at each severity.
    pub severities: Vec<Severity>,
    /// How many validation images are perturbed: the first ones, or all if there are fewer.
    pub samples: Count,
    /// The share of robustness in the score that ranks; the rest is the accuracy on clean images.
    pub weight: Probability,
}

impl Default for RobustnessOptions {
    fn default() -> Self {
        Self {
            perturbations: Perturbation::ALL.to_vec(),
            severities: [Severity::ALL[0], Severity::ALL[2], Severity::ALL[4]].to_vec(),
            samples: Count::new(1000).expect("1000 is a count"),
            weight: Probability::new(0.25).expect("0.25 is in range"),
        }
    }
}

/// The result, as `comparison.json` holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Comparison {
    /// Best first.
    pub ranking: Vec<Ranked>,
    /// What recipes with several seeds reach, in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipes: Vec<Recipe>,
    /// The model that is best by score.
    pub selected: StageId,
    /// Why, in a sentence.
    pub reason: String,
    /// How many validation images robustness was measured on.
    pub robustness_samples: usize,
    /// Accuracy of every model under every perturbation.
    pub robustness: Vec<Robustness>,
    /// Whether models differ, for every pair of them, on the test part.
    pub significance: Vec<Significance>,
}

/// A model's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ranked {
    /// The model.
    pub model: StageId,
    /// What the ranking goes by: (1 − weight) × accuracy + weight × robustness.
    pub score: f64,
    /// Accuracy on the validation part.
    pub validation_accuracy: f64,
    /// Mean accuracy on perturbed validation images, where it was measured.
    pub robustness: Option<f64>,
    /// Accuracy on the test part, for information.
    pub test_accuracy: Option<f64>,
}

/// What one recipe reaches over its seeds. It tells what the recipe is worth, where a single model may have been lucky.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Recipe {
    /// The stage as it stands in the file.
    pub recipe: StageId,
    /// Its models.
    pub models: Vec<StageId>,
    /// Their accuracy on the validation part.
    pub validation_accuracy: Spread,
    /// Their accuracy on the test part, for information.
    pub test_accuracy: Option<Spread>,
}

/// A model's accuracy under one perturbation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Robustness {
    /// The model.
    pub model: StageId,
    /// What was done to the images.
    pub perturbation: Perturbation,
    /// Accuracy on the same images as they are.
    pub clean: f64,
    /// The accuracy at each severity.
    pub points: Vec<(Severity, f64)>,
}

/// Whether two models differ.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Significance {
    /// One model.
    pub first: StageId,
    /// The other.
    pub second: StageId,
    /// McNemar's test of whether both are equally good.
    pub test: McNemar,
    /// Accuracy of the first less that of the second, with its bootstrap interval.
    pub difference: AccuracyDifference,
}

pub(super) struct CompareStage {
    pub options: CompareOptions,
    /// The recipes that several of the models come from, each with these models.
    pub recipes: BTreeMap<StageId, Vec<StageId>>,
    /// Which networks judge which images, where the data was not split but its folds were trained on.
    pub out_of_fold: Option<OutOfFold>,
    /// Images that the models have used, which those that they are judged by must not be.
    pub foreign: Vec<Foreign>,
}

impl Stage for CompareStage {
    fn kind(&self) -> &'static str {
        "compare"
    }

    fn version(&self) -> u32 {
        1
    }

    fn parameters(&self) -> serde_json::Value {
        let mut parameters = super::parameters(&self.options);
        if !self.recipes.is_empty() {
            parameters["recipes"] = super::parameters(&self.recipes);
        }
        parameters
    }

    fn inputs(&self) -> Vec<StageId> {
        let named = self.options.models.iter().map(ModelRef::stage).chain([self.options.data.stage()]);
        super::unique(named.chain(self.out_of_fold.iter().flat_map(OutOfFold::inputs)).chain(foreign::inputs(&self.foreign)))
    }

    fn is_seeded(&self) -> bool {
        true
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        foreign::check(&self.foreign, context)?;
        let data = DataSet::load(context.input(self.options.data.stage())?)?;
        let models = super::load_models(&self.options.models, context)?;
        ensure_same_classes(&models)?;
        let held_out = self.held_out(&models, &data, context)?;
        let test = match &self.out_of_fold {
            Some(folds) if data.test.is_none() => folds.test_images(context)?,
            _ => data.test,
        };
        let tested = match &test {
            Some(test) => models.iter().map(|model| Tested::new(model, test, context.progress)).collect::<Result<Vec<_>>>()?,
            None => Vec::new(),
        };

        let mut robustness = Vec::new();
        let mut ranking = Vec::new();
        let mut most_samples = 0;
        let options = &self.options.robustness;
        context.progress.begin("robustness", models.len() as u64, "models");
        for (done, (model, groups)) in models.iter().zip(&held_out).enumerate() {
            let (images, predicted) = out_of_fold::predictions(model, groups, context.progress)?;
            let samples = samples(groups, options.samples.get());
            most_samples = most_samples.max(samples.iter().map(|group| group.images.len()).sum());
            let measured = measure_robustness(model, &samples, options, context.seed, context.progress)?;
            let points: Vec<f64> = measured.iter().flat_map(|entry| entry.points.iter().map(|point| point.1)).collect();
            let mean = (!points.is_empty()).then(|| points.iter().sum::<f64>() / points.len() as f64);
            ranking.push(Ranked {
                model: model.record.name.clone(),
                score: 0.0,
                validation_accuracy: accuracy(images.labels(), &predicted)?,
                robustness: mean,
                test_accuracy: tested.get(done).map(|tested| tested.accuracy),
            });
            robustness.extend(measured);
            context.progress.advance(done as u64 + 1, model.record.name.as_str());
        }
        let (ranking, mut reason) = rank(ranking, options.weight.get());
        if self.out_of_fold.is_some() {
            reason.push_str("; every model was judged by the images that were out of its folds");
        }
        context.progress.note(&reason);
        let recipes = recipes(&self.recipes, &ranking);
        for recipe in &recipes {
            let Recipe { recipe, validation_accuracy: Spread { runs, mean, deviation }, .. } = recipe;
            context.progress.note(&format!("`{recipe}` over {runs} seeds: validation accuracy {mean:.4} ± {deviation:.4}"));
        }

        let significance = match &test {
            Some(test) => significance(&tested, test, context)?,
            None => Vec::new(),
        };
        let selected = ranking.first().expect("at least one model, by the plan's check").model.clone();
        let comparison =
            Comparison { ranking, recipes, selected, reason, robustness_samples: most_samples, robustness, significance };
        fs::write_json(&context.out.join("comparison.json"), &comparison)?;
        Ok(())
    }

    fn publish(&self, id: &StageId, _out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        Ok(vec![("comparison.json".into(), format!("{id}.json").into())])
    }
}

impl CompareStage {
    /// For each model, the images that it is judged by, with its networks that have not seen them.
    fn held_out(&self, models: &[Model], data: &DataSet, context: &Context<'_>) -> Result<Vec<Vec<Group>>> {
        if let Some(plan) = &self.out_of_fold {
            let folds = plan.images(context)?;
            return models.iter().map(|model| plan.groups_of(model, &folds)).collect();
        }
        let images = data.validation.as_ref().ok_or_else(|| anyhow!("the data has no validation part to rank by"))?;
        let all = |model: &Model| vec![Group { images: images.clone(), judges: (0..model.members.len()).collect() }];
        Ok(models.iter().map(all).collect())
    }
}

/// The first images of each group, so many together, or all if there are fewer.
fn samples(groups: &[Group], count: usize) -> Vec<Group> {
    let all: usize = groups.iter().map(|group| group.images.len()).sum();
    let sample = |Group { images, judges }: &Group| {
        let share = (images.len() * count.min(all)).div_ceil(all);
        Group { images: images.select(&(0..share).collect::<Vec<_>>()), judges: judges.clone() }
    };
    groups.iter().map(sample).collect()
}

/// What a model says of the test images.
struct Tested {
    model: StageId,
    labels: Vec<Label>,
    accuracy: f64,
}

impl Tested {
    fn new(model: &Model, test: &LabelledImages, progress: &dyn Progress) -> Result<Self> {
        let probabilities = model.predictions(Part::Test, test, progress)?;
        let (labels, accuracy) = (predictions(probabilities.view())?, accuracy(test.labels(), &probabilities)?);
        Ok(Self { model: model.record.name.clone(), labels, accuracy })
    }
}

fn measure_robustness(
    model: &Model,
    samples: &[Group],
    options: &RobustnessOptions,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<Vec<Robustness>> {
    let quiet = super::Quiet(progress);
    let score = |change: &dyn Fn(&LabelledImages) -> LabelledImages| -> Result<f64> {
        let (mut labels, mut found) = (Vec::new(), Vec::new());
        for Group { images, judges } in samples {
            let images = change(images);
            found.extend(predictions(model.predict_by(judges, &images, &quiet)?.view())?);
            labels.extend_from_slice(images.labels());
        }
        Ok(Proportion::right(&labels, &found)?.share())
    };
    if options.perturbations.is_empty() {
        return Ok(Vec::new());
    }
    let clean = score(&LabelledImages::clone)?;
    let mut measured = Vec::new();
    for &perturbation in &options.perturbations {
        let mut points = Vec::new();
        for &severity in &options.severities {
            progress.check()?;
            // The same seed for every model: all see the same noise.
            let seed = seed.child(perturbation.name());
            points.push((severity, score(&|images| perturbation.apply_all(severity, seed, images))?));
        }
        measured.push(Robustness { model: model.record.name.clone(), perturbation, clean, points });
    }
    Ok(measured)
}

/// How often the test part is drawn anew for the interval of a difference.
const RESAMPLES: usize = 1000;

fn significance(models: &[Tested], test: &LabelledImages, context: &Context<'_>) -> Result<Vec<Significance>> {
    let mut pairs = Vec::new();
    for second in 1..models.len() {
        for first in 0..second {
            context.progress.check()?;
            let (one, other) = (&models[first], &models[second]);
            pairs.push(Significance {
                first: one.model.clone(),
                second: other.model.clone(),
                test: mcnemar(test.labels(), &one.labels, &other.labels)?,
                difference: bootstrap_difference(
                    test.labels(),
                    &one.labels,
                    &other.labels,
                    RESAMPLES,
                    context.seed.child("bootstrap"),
                )?,
            });
        }
    }
    Ok(pairs)
}

/// The share of right labels.
fn accuracy(labels: &[Label], probabilities: &Probabilities) -> Result<f64> {
    Ok(Proportion::right(labels, &predictions(probabilities.view())?)?.share())
}

/// Scores models, sorts them best first (ties keep their order), and says why the first is selected.
fn rank(mut models: Vec<Ranked>, weight: f64) -> (Vec<Ranked>, String) {
    for model in &mut models {
        model.score = match model.robustness {
            Some(robustness) => (1.0 - weight) * model.validation_accuracy + weight * robustness,
            None => model.validation_accuracy,
        };
    }
    models.sort_by(|a, b| b.score.total_cmp(&a.score));
    let Some(best) = models.first() else { return (models, String::new()) };
    let how = match best.robustness {
        Some(robustness) => format!(
            "{:.4} = {:.2} × validation accuracy {:.4} + {weight:.2} × accuracy under perturbation {robustness:.4}",
            best.score,
            1.0 - weight,
            best.validation_accuracy
        ),
        None => format!("validation accuracy {:.4}", best.score),
    };
    let ahead = match models.get(1) {
        Some(second) => format!(", ahead of `{}` by {:.4}", second.model, best.score - second.score),
        None => String::new(),
    };
    let reason = format!("`{}` is selected: {how}{ahead}", best.model);
    (models, reason)
}

/// Mean and deviation of the accuracy of each recipe's models.
fn recipes(recipes: &BTreeMap<StageId, Vec<StageId>>, ranking: &[Ranked]) -> Vec<Recipe> {
    let recipe = |(recipe, models): (&StageId, &Vec<StageId>)| {
        let ranked: Vec<&Ranked> = ranking.iter().filter(|ranked| models.contains(&ranked.model)).collect();
        let validation: Vec<f64> = ranked.iter().map(|ranked| ranked.validation_accuracy).collect();
        let test: Option<Vec<f64>> = ranked.iter().map(|ranked| ranked.test_accuracy).collect();
        Some(Recipe {
            recipe: recipe.clone(),
            models: models.clone(),
            validation_accuracy: Spread::of(&validation)?,
            test_accuracy: test.and_then(|test| Spread::of(&test)),
        })
    };
    recipes.iter().filter_map(recipe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(name: &str, accuracy: f64, robustness: Option<f64>) -> Ranked {
        Ranked {
            model: name.parse().unwrap(),
            score: 0.0,
            validation_accuracy: accuracy,
            robustness,
            test_accuracy: Some(1.0 - accuracy),
        }
    }

    #[test]
    fn a_recipe_is_worth_the_mean_of_its_seeds() {
        let id = |name: &str| -> StageId { name.parse().unwrap() };
        let ranking = [ranked("own-2", 0.94, None), ranked("other", 0.93, None), ranked("own", 0.92, None)];
        let found = recipes(&BTreeMap::from([(id("own"), vec![id("own"), id("own-2")])]), &ranking);
        let [Recipe { recipe, models, validation_accuracy, test_accuracy: Some(test) }] = &found[..] else { panic!("{found:?}") };
        assert_eq!((recipe.as_str(), models.len(), validation_accuracy.runs), ("own", 2, 2));
        assert!((validation_accuracy.mean - 0.93).abs() < 1e-12 && (test.mean - 0.07).abs() < 1e-12, "{found:?}");
        assert!((validation_accuracy.deviation - 0.02 / 2f64.sqrt()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn the_ranking_weighs_accuracy_and_robustness_and_never_the_test_part() {
        let names = |models: &[Ranked]| models.iter().map(|model| model.model.to_string()).collect::<Vec<_>>();
        let models =
            || vec![ranked("sharp", 0.94, Some(0.50)), ranked("steady", 0.92, Some(0.80)), ranked("poor", 0.50, Some(0.40))];
        assert_eq!(names(&rank(models(), 0.0).0), ["sharp", "steady", "poor"]);
        let (ranking, reason) = rank(models(), 0.25);
        assert_eq!(names(&ranking), ["steady", "sharp", "poor"]);
        insta::assert_snapshot!(reason, @"`steady` is selected: 0.8900 = 0.75 × validation accuracy 0.9200 + 0.25 × accuracy under perturbation 0.8000, ahead of `sharp` by 0.0600");
        let (_, reason) = rank(vec![ranked("only", 0.9, None)], 0.25);
        insta::assert_snapshot!(reason, @"`only` is selected: validation accuracy 0.9000");
    }
}
