//! `ensemble`: one model that is a soft vote of several, with weights that are equal, given, or fitted on the validation
//! part, and perhaps a temperature.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::evaluation_files;
use super::model::{Member, Model, ModelRecord, Part, VoteTemperature, ensure_same_classes, evaluate_part, save_member};
use crate::data::{DataSet, LabelledImages};
use crate::engine::{Context, Stage, StageError};
use crate::ensemble::{
    TemperatureChoice, VoteWeights, Voting, WeightChoice, fit_temperature, fit_weights, fit_weights_and_temperature, temper, vote,
};
use crate::graph::{DataRef, ModelRef, StageId};
use crate::metrics::{Calibration, Evaluation, Probabilities};
use crate::progress::Progress;
use crate::units::Temperature;

/// Options of the stage kind `ensemble`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnsembleOptions {
    /// The members, at least two, each a single network.
    pub models: Vec<ModelRef>,
    /// How they vote.
    #[serde(default)]
    pub voting: Voting,
    /// What each vote counts for.
    #[serde(default)]
    pub weights: WeightChoice,
    /// One temperature for the vote, which makes it more or less certain and leaves its labels.
    #[serde(default, skip_serializing_if = "TemperatureChoice::is_none")]
    pub temperature: TemperatureChoice,
    /// The data on which weights and temperature are fitted (its validation part) and the vote is measured (its test part).
    pub data: DataRef,
}

pub(super) struct EnsembleStage {
    pub options: EnsembleOptions,
    /// The recipes that several of the members come from, each with these members.
    pub recipes: BTreeMap<StageId, Vec<StageId>>,
}

impl Stage for EnsembleStage {
    fn kind(&self) -> &'static str {
        "ensemble"
    }

    fn version(&self) -> u32 {
        2
    }

    fn parameters(&self) -> serde_json::Value {
        let mut parameters = super::parameters(&self.options);
        if self.options.weights == WeightChoice::Validation && !self.recipes.is_empty() {
            parameters["recipes"] = super::parameters(&self.recipes);
        }
        parameters
    }

    fn inputs(&self) -> Vec<StageId> {
        super::unique(self.options.models.iter().map(ModelRef::stage).chain([self.options.data.stage()]))
    }

    fn measurements(&self) -> Vec<PathBuf> {
        evaluation_files::measurements()
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let data = DataSet::load(context.input(self.options.data.stage())?)?;
        let models = super::load_models(&self.options.models, context)?;
        ensure_same_classes(&models)?;
        let first = models.first().context("an ensemble needs members")?;

        let validation = match &data.validation {
            Some(part) => Some((part, predictions(&models, Part::Validation, part, context.progress)?)),
            None => None,
        };
        let held_out = validation.as_ref().map(|(part, predicted)| (*part, predicted.as_slice()));
        let weights = self.weights(&models, held_out)?;
        let shown: Vec<String> =
            models.iter().zip(weights.shares()).map(|(model, share)| format!("{} {share:.3}", model.record.name)).collect();
        context.progress.note(&format!("vote: {}", shown.join(", ")));

        let classes = &first.record.data.classes;
        let validation = match validation {
            Some((part, predicted)) => Some((part, voted(&predicted, &weights)?)),
            None => None,
        };
        let test = match &data.test {
            Some(part) => {
                let predicted = predictions(&models, Part::Test, part, context.progress)?;
                Some((part, voted(&predicted, &weights)?))
            }
            None => None,
        };
        let temperature = self.temperature(validation.as_ref(), test.as_ref())?;
        if let Some(VoteTemperature { value, .. }) = &temperature {
            context.progress.note(&format!("temperature: {:.4}", value.get()));
        }
        let value = temperature.as_ref().map_or(Temperature::ONE, |temperature| temperature.value);
        let measure = |part: Part, voted: Option<(&LabelledImages, Probabilities)>| {
            let measured = |(images, voted): (&LabelledImages, Probabilities)| -> Result<Evaluation> {
                evaluate_part(context.out, part, images, &temper(voted.view(), value), classes)
            };
            voted.map(measured).transpose()
        };
        let (validation, test) = (measure(Part::Validation, validation)?, measure(Part::Test, test)?);

        let mut members = Vec::new();
        for (model, weight) in models.iter().zip(weights.shares()) {
            for network in &model.members {
                save_member(context.out, &network.name, &network.architecture, &network.weights)?;
                members.push(Member { name: network.name.clone(), weight });
            }
        }
        let record = ModelRecord {
            name: context.id.clone(),
            key: context.key,
            preset: "ensemble".to_owned(),
            data: first.record.data.clone(),
            dataset: first.record.dataset,
            images: first.record.images,
            members,
            voting: voting(&self.options.weights).to_owned(),
            temperature,
            parameters: models.iter().map(|model| model.record.parameters).sum(),
            flops_per_image: models.iter().map(|model| model.record.flops_per_image).sum(),
            validation,
            test,
            teacher: None,
        };
        evaluation_files::write(context.out, &record, &data, None, &models)?;
        Ok(())
    }

    fn publish(&self, id: &StageId, out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        Ok(evaluation_files::publish(id, out))
    }
}

impl EnsembleStage {
    fn weights(&self, models: &[Model], validation: Option<(&LabelledImages, &[Probabilities])>) -> Result<VoteWeights> {
        Ok(match &self.options.weights {
            WeightChoice::Equal => VoteWeights::equal(models.len())?,
            WeightChoice::Given(weights) => weights.clone(),
            WeightChoice::Validation => {
                let (part, predicted) = validation.context("weights cannot be fitted without a validation part")?;
                self.fitted(models, part, predicted)?
            }
        })
    }

    /// The weights of least log-loss. Members that differ in their seed alone are equal before anything is measured, and count the same:
    /// a few thousand images tell recipes apart, seeds hardly.
    fn fitted(&self, models: &[Model], part: &LabelledImages, predicted: &[Probabilities]) -> Result<VoteWeights> {
        let alike = self.alike(&models.iter().map(|model| &model.record.name).collect::<Vec<_>>());
        let mean = |members: &Vec<usize>| {
            let several: Vec<ArrayView2<'_, f32>> = members.iter().map(|&member| predicted[member].view()).collect();
            vote(&several, &VoteWeights::equal(several.len())?)
        };
        let means = alike.iter().map(mean).collect::<Result<Vec<_>, _>>()?;
        let fitted = match self.options.temperature {
            TemperatureChoice::Validation => fit_weights_and_temperature(&views(&means), part.labels())?.weights,
            TemperatureChoice::None | TemperatureChoice::Given(_) => fit_weights(&views(&means), part.labels())?.weights,
        };
        let mut each = vec![0.0; models.len()];
        for (members, share) in alike.iter().zip(fitted.shares()) {
            members.iter().for_each(|&member| each[member] = share / members.len() as f64);
        }
        Ok(VoteWeights::new(each)?)
    }

    /// The places of `names`, those of one recipe together, in the order of their first.
    fn alike(&self, names: &[&StageId]) -> Vec<Vec<usize>> {
        let recipe = |name: &StageId| self.recipes.values().find(|members| members.contains(name));
        let mut alike: Vec<Vec<usize>> = Vec::new();
        for (place, name) in names.iter().enumerate() {
            match alike.iter_mut().find(|others| recipe(name).is_some_and(|recipe| recipe.contains(names[others[0]]))) {
                Some(others) => others.push(place),
                None => alike.push(vec![place]),
            }
        }
        alike
    }

    /// The temperature, and how well the votes on the parts are calibrated without it.
    fn temperature(
        &self,
        validation: Option<&(&LabelledImages, Probabilities)>,
        test: Option<&(&LabelledImages, Probabilities)>,
    ) -> Result<Option<VoteTemperature>> {
        let value = match self.options.temperature {
            TemperatureChoice::None => return Ok(None),
            TemperatureChoice::Given(value) => value,
            TemperatureChoice::Validation => {
                let (part, voted) = validation.context("a temperature cannot be fitted without a validation part")?;
                fit_temperature(voted.view(), part.labels())?.temperature
            }
        };
        let before = |voted: Option<&(&LabelledImages, Probabilities)>| {
            voted.map(|(part, voted)| Calibration::of(part.labels(), voted.view())).transpose()
        };
        Ok(Some(VoteTemperature {
            value,
            fitted: self.options.temperature == TemperatureChoice::Validation,
            validation_before: before(validation)?,
            test_before: before(test)?,
        }))
    }
}

fn predictions(models: &[Model], part: Part, images: &LabelledImages, progress: &dyn Progress) -> Result<Vec<Probabilities>> {
    models.iter().map(|model| model.predictions(part, images, progress)).collect()
}

fn voted(predicted: &[Probabilities], weights: &VoteWeights) -> Result<Probabilities> {
    Ok(vote(&views(predicted), weights)?)
}

fn views(predicted: &[Probabilities]) -> Vec<ArrayView2<'_, f32>> {
    predicted.iter().map(|member| member.view()).collect()
}

/// Where the weights come from, in a word.
fn voting(weights: &WeightChoice) -> &'static str {
    match weights {
        WeightChoice::Equal => "equal",
        WeightChoice::Validation => "validation",
        WeightChoice::Given(_) => "given",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_of_a_recipe_stand_together() {
        let id = |name: &str| name.parse::<StageId>().unwrap();
        let options = serde_json::from_str(r#"{"models": ["a", "b"], "data": "parts"}"#).unwrap();
        let recipes = BTreeMap::from([(id("a"), vec![id("a"), id("a-2")]), (id("c"), vec![id("c"), id("c-2"), id("c-3")])]);
        let stage = EnsembleStage { options, recipes };
        let names = ["a", "c", "b", "a-2", "c-3", "c-2"].map(id);
        assert_eq!(stage.alike(&names.each_ref()), [vec![0, 3], vec![1, 4, 5], vec![2]]);
    }
}
