//! `ensemble`: one model that is a soft vote of several, with weights that are equal, given, or fitted on the validation
//! part, and perhaps a temperature. Members that were trained on folds are judged out of fold ([`OutOfFold`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::evaluation_files;
use super::foreign::{self, Foreign};
use super::model::{
    Member, MemberNetwork as Network, Model, ModelRecord, Part, RecordedSeed, VoteTemperature, ensure_same_classes,
    evaluate_part, save_member,
};
use super::out_of_fold::{self, Group, OutOfFold};
use crate::data::{DataSet, Label, LabelledImages};
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
    /// The data on which weights and temperature are fitted (its validation part) and the vote is measured (its test part): images that
    /// no member was trained on. If the members were trained on folds, name the data that the folds divide: each of its images is then
    /// judged by the members that were not trained on it (out of fold).
    pub data: DataRef,
}

pub(super) struct EnsembleStage {
    pub options: EnsembleOptions,
    /// The recipes that several of the members come from, each with these members.
    pub recipes: BTreeMap<StageId, Vec<StageId>>,
    /// Which members judge which images, where the data was not split but its folds were trained on.
    pub out_of_fold: Option<OutOfFold>,
    /// Images that the members have used, which those that the vote is fitted and measured on must not be.
    pub foreign: Vec<Foreign>,
}

impl Stage for EnsembleStage {
    fn kind(&self) -> &'static str {
        "ensemble"
    }

    fn version(&self) -> u32 {
        3
    }

    fn parameters(&self) -> serde_json::Value {
        let mut parameters = super::parameters(&self.options);
        if self.options.weights == WeightChoice::Validation && !self.recipes.is_empty() {
            parameters["recipes"] = super::parameters(&self.recipes);
        }
        parameters
    }

    fn inputs(&self) -> Vec<StageId> {
        let named = self.options.models.iter().map(ModelRef::stage).chain([self.options.data.stage()]);
        super::unique(named.chain(self.out_of_fold.iter().flat_map(OutOfFold::inputs)).chain(foreign::inputs(&self.foreign)))
    }

    fn measurements(&self) -> Vec<PathBuf> {
        evaluation_files::measurements()
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        foreign::check(&self.foreign, context)?;
        let data = DataSet::load(context.input(self.options.data.stage())?)?;
        let models = super::load_models(&self.options.models, context)?;
        ensure_same_classes(&models)?;
        let first = models.first().context("an ensemble needs members")?;

        let held_out = self.held_out(&models, &data, context)?;
        let weights = self.weights(&models, &held_out)?;
        let shown: Vec<String> =
            models.iter().zip(weights.shares()).map(|(model, share)| format!("{} {share:.3}", model.record.name)).collect();
        context.progress.note(&format!("vote: {}", shown.join(", ")));

        let classes = &first.record.data.classes;
        let validation = Judged::vote(&held_out, &weights)?;
        let test = match &self.out_of_fold {
            Some(folds) if data.test.is_none() => folds.test_images(context)?,
            _ => data.test.clone(),
        };
        let test = match test {
            Some(part) => {
                let predicted = predictions(&models, Part::Test, &part, context.progress)?;
                let voted = voted(&predicted, &weights)?;
                Some((part, voted))
            }
            None => None,
        };
        let temperature = self.temperature(validation.as_ref(), test.as_ref())?;
        if let Some(VoteTemperature { value, .. }) = &temperature {
            context.progress.note(&format!("temperature: {:.4}", value.get()));
        }
        let value = temperature.as_ref().map_or(Temperature::ONE, |temperature| temperature.value);
        let measure = |part: Part, voted: Option<(LabelledImages, Probabilities)>| {
            let measured = |(images, voted): (LabelledImages, Probabilities)| -> Result<Evaluation> {
                evaluate_part(context.out, part, &images, &temper(voted.view(), value), classes)
            };
            voted.map(measured).transpose()
        };
        let (validation, test) = (measure(Part::Validation, validation)?, measure(Part::Test, test)?);

        let mut members = Vec::new();
        let (mut parameters, mut flops_per_image) = (0, 0);
        for (model, weight) in models.iter().zip(weights.shares()) {
            for network in &model.members {
                let Network { name, architecture, weights, before_refit, .. } = network;
                save_member(context.out, name, architecture, weights, before_refit.as_ref())?;
                let member = Member { name: name.clone(), weight };
                if member.has_vote() {
                    parameters += weights.count();
                    flops_per_image += architecture.flops().map_err(anyhow::Error::from)?;
                }
                members.push(member);
            }
        }
        let record = ModelRecord {
            name: context.id.clone(),
            key: context.key,
            seed: RecordedSeed { stage: None, ..first.record.seed },
            preset: "ensemble".to_owned(),
            data: first.record.data.clone(),
            dataset: first.record.dataset,
            images: first.record.images,
            members,
            voting: voting(&self.options.weights).to_owned(),
            temperature,
            parameters,
            flops_per_image,
            validation,
            test,
            teacher: None,
            out_of_fold: self.out_of_fold.as_ref().map(|folds| folds.folds.len()),
        };
        evaluation_files::write(context.out, &record, &data, None, &models)?;
        Ok(())
    }

    fn publish(&self, id: &StageId, out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        Ok(evaluation_files::publish(id, out))
    }
}

impl EnsembleStage {
    /// The images that the vote is fitted and judged by, with what each member says of those that it has not seen.
    fn held_out(&self, models: &[Model], data: &DataSet, context: &Context<'_>) -> Result<Vec<Judged>> {
        let groups = match (&self.out_of_fold, &data.validation) {
            (Some(plan), _) => {
                let names: Vec<&StageId> = models.iter().map(|model| &model.record.name).collect();
                plan.groups(&names, &plan.images(context)?)
            }
            (None, Some(images)) => vec![Group { images: images.clone(), judges: (0..models.len()).collect() }],
            (None, None) => Vec::new(),
        };
        let judged = |Group { images, judges }: Group| {
            let says = |&judge: &usize| models[judge].predictions(Part::Validation, &images, context.progress);
            let said = judges.iter().map(says).collect::<Result<_>>()?;
            Ok(Judged { images, judges, said })
        };
        groups.into_iter().map(judged).collect()
    }

    fn weights(&self, models: &[Model], held_out: &[Judged]) -> Result<VoteWeights> {
        Ok(match &self.options.weights {
            WeightChoice::Equal => VoteWeights::equal(models.len())?,
            WeightChoice::Given(weights) => weights.clone(),
            WeightChoice::Validation => self.fitted(models, held_out)?,
        })
    }

    /// The weights of least log-loss, on images that members of every recipe may judge. Members that differ in their seed or their fold
    /// alone are equal before anything is measured, and count the same: a few thousand images tell recipes apart, seeds hardly.
    fn fitted(&self, models: &[Model], held_out: &[Judged]) -> Result<VoteWeights> {
        let alike = self.alike(&models.iter().map(|model| &model.record.name).collect::<Vec<_>>());
        let common: Vec<&Judged> =
            held_out.iter().filter(|group| alike.iter().all(|members| group.says(members).next().is_some())).collect();
        ensure!(!common.is_empty(), "there are no images by which weights can be fitted");
        let mean = |members: &Vec<usize>| {
            out_of_fold::joined(common.iter().map(|group| {
                let several: Vec<ArrayView2<'_, f32>> = group.says(members).map(|(_, said)| said.view()).collect();
                Ok(vote(&several, &VoteWeights::equal(several.len())?)?)
            }))
        };
        let means = alike.iter().map(mean).collect::<Result<Vec<_>>>()?;
        let labels: Vec<Label> = common.iter().flat_map(|group| group.images.labels()).copied().collect();
        let fitted = match self.options.temperature {
            TemperatureChoice::Validation => fit_weights_and_temperature(&views(&means), &labels)?.weights,
            TemperatureChoice::None | TemperatureChoice::Given(_) => fit_weights(&views(&means), &labels)?.weights,
        };
        let mut each = vec![0.0; models.len()];
        for (members, share) in alike.iter().zip(fitted.shares()) {
            members.iter().for_each(|&member| each[member] = share / members.len() as f64);
        }
        Ok(VoteWeights::new(each)?)
    }

    /// The places of `names`, those of one recipe together, in the order of their first.
    fn alike(&self, names: &[&StageId]) -> Vec<Vec<usize>> {
        let recipes = || match &self.out_of_fold {
            Some(folds) => folds.recipes.iter().collect::<Vec<_>>(),
            None => self.recipes.values().collect(),
        };
        let recipe = |name: &StageId| recipes().into_iter().find(|members| members.contains(name));
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
        validation: Option<&(LabelledImages, Probabilities)>,
        test: Option<&(LabelledImages, Probabilities)>,
    ) -> Result<Option<VoteTemperature>> {
        let value = match self.options.temperature {
            TemperatureChoice::None => return Ok(None),
            TemperatureChoice::Given(value) => value,
            TemperatureChoice::Validation => {
                let (part, voted) = validation.context("a temperature cannot be fitted without a validation part")?;
                fit_temperature(voted.view(), part.labels())?.temperature
            }
        };
        let before = |voted: Option<&(LabelledImages, Probabilities)>| {
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

/// Images with what those members say of them that have not seen them.
struct Judged {
    images: LabelledImages,
    /// The places of these members.
    judges: Vec<usize>,
    /// What each of them says, `[N, classes]`.
    said: Vec<Probabilities>,
}

impl Judged {
    /// What those of `members` say that may, with their places.
    fn says(&self, members: &[usize]) -> impl Iterator<Item = (usize, &Probabilities)> {
        self.judges.iter().copied().zip(&self.said).filter(|(judge, _)| members.contains(judge))
    }

    /// The vote on all images of `groups`: on each, of those members that have not seen it. Images that only members without a weight may
    /// judge are left out.
    fn vote(groups: &[Self], weights: &VoteWeights) -> Result<Option<(LabelledImages, Probabilities)>> {
        let mut voted_groups = Vec::new();
        for Self { images, judges, said } in groups {
            let shares: Vec<f64> = judges.iter().map(|&judge| weights.get()[judge]).collect();
            if shares.iter().any(|&share| share > 0.0) {
                let judges = judges.clone();
                voted_groups.push((Group { images: images.clone(), judges }, voted(said, &VoteWeights::new(shares)?)?));
            }
        }
        if voted_groups.is_empty() {
            return Ok(None);
        }
        let (groups, voted): (Vec<Group>, Vec<Probabilities>) = voted_groups.into_iter().unzip();
        Ok(Some((out_of_fold::all_images(&groups)?, out_of_fold::joined(voted.into_iter().map(Ok))?)))
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
        let stage = EnsembleStage { options, recipes, out_of_fold: None, foreign: Vec::new() };
        let names = ["a", "c", "b", "a-2", "c-3", "c-2"].map(id);
        assert_eq!(stage.alike(&names.each_ref()), [vec![0, 3], vec![1, 4, 5], vec![2]]);
    }
}
