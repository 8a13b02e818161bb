//! Nothing is judged by images that it, or what it comes from, has used: what the plan tells of that before anything runs.
//!
//! A figure on a validation part must not be of a model that was trained on some of its images; a figure on a test part, besides, not of
//! one that was chosen by them. What only the content of files can tell is noted, and looked up when the stage runs.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Value, json};

use super::Checker;
use crate::data::Part;
use crate::digest::Digest;
use crate::graph::{DataRef, ModelRef, ParametersRef, StageId};
use crate::stages::StageKind;
use crate::stages::facts::{DataFacts, ModelFacts, NetworkFacts, SearchFacts};
use crate::stages::foreign::Foreign;
use crate::stages::lineage::{Folding, Images, Purpose, Relation, Use};
use crate::stages::named_part;
use crate::stages::out_of_fold::OutOfFold;

/// What figures are taken from.
pub(super) struct Judged<'a> {
    /// The data, by its name.
    pub data: &'a StageId,
    /// What is known of it.
    pub facts: &'a DataFacts,
    /// The part of it.
    pub part: Part,
    /// What for, as in "on which weights are fitted".
    pub why: &'a str,
    /// Whether images of folds can be used for that, each by the models that were not trained on it.
    pub folds: bool,
}

/// What a network is trained from, beside its data.
#[derive(Default)]
pub(super) struct Origins<'a> {
    pub start: Option<&'a ModelRef>,
    pub teacher: Option<&'a ModelRef>,
    pub params: Option<&'a ParametersRef>,
    pub refit: bool,
}

impl Checker<'_> {
    /// What a search chooses by.
    pub(super) fn searches(&mut self, id: &StageId, data: &DataRef, kind: &StageKind) {
        let Some(facts) = self.facts.data.get(data.stage()) else { return };
        let parts = [Part::Train, Part::Validation].into_iter();
        let chosen = parts.filter_map(|part| facts.used(Purpose::Chosen, part, id, data.stage())).collect();
        let search = SearchFacts { chosen, recipe: recipe(kind, facts, []) };
        self.facts.searches.insert(id.clone(), search);
    }

    /// A network that is trained on `data`: its figures must be of images that nothing it comes from has used.
    pub(super) fn network(&mut self, id: &StageId, name: &DataRef, data: &DataFacts, kind: &StageKind, origins: &Origins<'_>) {
        let named = [("start_from", origins.start), ("teacher", origins.teacher)];
        let models: Vec<(&str, &StageId, Vec<Rc<Use>>)> = named
            .into_iter()
            .filter_map(|(path, model)| {
                let facts = self.facts.models.get(model?.stage())?;
                Some((path, model?.stage(), facts.all_uses().cloned().collect()))
            })
            .collect();
        let search = origins.params.and_then(|params| {
            let facts = self.facts.searches.get(params.stage())?;
            Some(("params", params.stage(), facts.chosen.clone()))
        });
        let whom = if origins.teacher.is_some() { "the student" } else { "this one" };
        let mut uses = data.training(id, name.stage());
        let mut is_honest = true;
        for (path, source, used) in models.into_iter().chain(search) {
            for (part, why) in
                [(Part::Validation, format!("by which {whom} is judged")), (Part::Test, format!("on which {whom} is measured"))]
            {
                let judged = Judged { data: name.stage(), facts: data, part, why: &why, folds: false };
                is_honest = is_honest && self.is_unseen(id, &[path], source, &used, &judged, &mut BTreeSet::new());
            }
            uses.extend(used);
        }
        if !is_honest {
            return;
        }
        let refit = origins.refit.then(|| data.used(Purpose::Refit, Part::Validation, id, name.stage())).flatten();
        let network = NetworkFacts {
            name: id.clone(),
            data: name.stage().clone(),
            held_out: data.validation.clone(),
            uses: uses.into_iter().collect(),
            refit,
            recipe: recipe(kind, data, self.origin_recipes(origins)),
        };
        let facts = ModelFacts {
            shape: data.shape,
            classes: data.classes.clone(),
            ensemble: false,
            networks: vec![network],
            chosen: BTreeSet::new(),
        };
        self.facts.models.insert(id.clone(), facts);
    }

    fn origin_recipes(&self, origins: &Origins<'_>) -> [(&'static str, Option<Value>); 3] {
        let model = |model: Option<&ModelRef>| {
            let facts = self.facts.models.get(model?.stage())?;
            Some(json!(facts.networks.iter().map(|network| network.recipe).collect::<BTreeSet<_>>()))
        };
        let search = |params: &ParametersRef| Some(json!(self.facts.searches.get(params.stage())?.recipe));
        [("start_from", model(origins.start)), ("teacher", model(origins.teacher)), ("params", origins.params.and_then(search))]
    }

    /// Whether none of `models` has used the images that they are judged by; each part and its purpose in `parts`.
    pub(super) fn are_unseen(
        &mut self,
        id: &StageId,
        models: &[(Vec<&str>, &StageId)],
        data: &StageId,
        facts: &DataFacts,
        parts: &[(Part, &str)],
    ) -> bool {
        let mut told = BTreeSet::new();
        let mut is_honest = true;
        for &(part, why) in parts {
            let judged = Judged { data, facts, part, why, folds: part == Part::Validation };
            for (path, model) in models {
                let Some(facts) = self.facts.models.get(*model) else { continue };
                let uses: Vec<Rc<Use>> = facts.uses_before(part).cloned().collect();
                is_honest &= self.is_unseen(id, path, model, &uses, &judged, &mut told);
            }
        }
        is_honest
    }

    /// Whether a model of which images were used so may be judged by others; if not, that is a problem at `path`, unless that of the
    /// same stage was `told`. What only content tells is noted.
    fn is_unseen(
        &mut self,
        id: &StageId,
        path: &[&str],
        model: &StageId,
        uses: &[Rc<Use>],
        judged: &Judged<'_>,
        told: &mut BTreeSet<StageId>,
    ) -> bool {
        let Some(images) = judged.facts.part(judged.part) else { return true };
        let matters = |used: &&Rc<Use>| judged.part == Part::Test || used.purpose != Purpose::Chosen;
        let (mut seen, mut foreign) = (Vec::new(), Vec::new());
        for used in uses.iter().filter(matters) {
            match used.images.relation(images) {
                Relation::Disjoint => {}
                Relation::OtherFiles => foreign.push(used),
                relation @ (Relation::Overlap | Relation::Mixed) => seen.push((used, relation)),
            }
        }
        // What the model was trained on itself says more than what others were.
        if let Some((used, relation)) = seen.into_iter().min_by_key(|(used, _)| (used.purpose, used.by != *model)) {
            if told.insert(self.entry(&used.by).clone()) {
                let (message, help) = self.seen(model, used, relation, judged, images);
                self.problem(id, path, message, &help);
            }
            return false;
        }
        foreign.sort_by_key(|used| used.by != *model);
        for used in foreign {
            self.look_up(id, model, used, (judged.data, judged.part), judged.facts);
        }
        true
    }

    /// Notes that a stage must compare images of different files, unless they are the test and the training files of one `merge` stage,
    /// which has compared them.
    fn look_up(&mut self, id: &StageId, model: &StageId, used: &Use, judged: (&StageId, Part), facts: &DataFacts) {
        let (data, part) = judged;
        if part == Part::Test && used.images.are_of_files_of(&facts.train) {
            return;
        }
        let case = Foreign {
            model: model.clone(),
            by: used.by.clone(),
            purpose: used.purpose,
            used: (used.data.clone(), used.part),
            judged: (data.clone(), part),
        };
        let cases = self.facts.foreign.entry(id.clone()).or_default();
        if !cases.iter().any(|known| known.asks_the_same_as(&case)) {
            cases.push(case);
        }
    }

    /// The name in the file of a stage: its own, unless it is a further seed.
    fn entry<'b>(&'b self, stage: &'b StageId) -> &'b StageId {
        self.spec.stage(stage).map_or(stage, |stage| &stage.entry)
    }

    /// What is wrong with judging `model` by images of which others, or they themselves, were used so; and what to do.
    fn seen(&self, model: &StageId, used: &Use, relation: Relation, judged: &Judged<'_>, images: &Images) -> (String, String) {
        let Use { purpose, by, data, part, .. } = used;
        let is_search = self.facts.searches.contains_key(by);
        let is_vote = self.facts.models.get(by).is_some_and(|facts| facts.ensemble);
        let (how, again) = match purpose {
            _ if is_search => ("searched on", "on"),
            Purpose::Trained | Purpose::Refit => ("was trained on", "on"),
            Purpose::Chosen if is_vote => ("was fitted on", "on"),
            Purpose::Chosen => ("was chosen by", "by"),
        };
        let who = if by == model { format!("`{by}` {how}") } else { format!("`{model}` comes from `{by}`, which {how}") };
        let what = match part {
            Part::Train => format!("`{data}`"),
            part => format!("the {} of `{data}`", named_part(*part)),
        };
        let (judged_part, why) = (format!("the {} of `{}`", named_part(judged.part), judged.data), judged.why);
        let message = match relation {
            _ if used.images == *images => format!("{who} {judged_part} too, {why}"),
            Relation::Mixed => {
                format!("{who} {what}, which divides the same images in another way, and so {again} some of {judged_part}, {why}")
            }
            _ => format!("{who} {what}, which holds images of {judged_part}, {why}"),
        };
        let (judged_data, by) = (judged.data, self.entry(by));
        let help = match (purpose, folding(used, judged)) {
            (_, Some(whole)) if judged.folds => {
                format!(
                    "name `{whole}`, of which they are folds, as `data`: each image is then judged by those that were not trained on it"
                )
            }
            (Purpose::Refit, _) => "name a model without `refit`".to_owned(),
            _ if is_search => format!("let `{by}` search on `{judged_data}`"),
            (Purpose::Chosen, _) if is_vote => format!("let `{by}` be fitted on `{judged_data}`"),
            _ => format!("let `{by}` train on `{judged_data}`"),
        };
        (message, help)
    }

    /// How models are judged by `data` that was not split itself, but in folds that they were trained on; `None` if it was not.
    pub(super) fn out_of_fold(&mut self, id: &StageId, models: &[ModelRef], data: &DataRef) -> Option<OutOfFold> {
        let facts =
            self.facts.data.get(data.stage()).filter(|facts| facts.validation.is_none() && facts.copied.is_none())?.clone();
        let known: Vec<(usize, &ModelRef, &ModelFacts)> = models
            .iter()
            .enumerate()
            .map(|(place, model)| Some((place, model, self.facts.models.get(model.stage())?)))
            .collect::<Option<_>>()?;
        let mut networks: BTreeMap<&StageId, (usize, &NetworkFacts)> = BTreeMap::new();
        for (place, _, model) in &known {
            for network in &model.networks {
                networks.entry(&network.name).or_insert((*place, network));
            }
        }
        let mut folds: BTreeMap<usize, (&StageId, &Images)> = BTreeMap::new();
        let mut common: Option<&Folding> = None;
        for (_, network) in networks.values() {
            let images = network.held_out.as_ref()?;
            let (folding, number) = images.fold()?;
            if *folding.of() != facts.source || common.replace(folding).is_some_and(|other| other != folding) {
                return None;
            }
            folds.entry(number).or_insert((&network.data, images));
        }
        let mut found = OutOfFold { folds: folds.values().map(|(data, _)| (*data).clone()).collect(), ..OutOfFold::default() };
        let mut recipes: BTreeMap<Digest, Vec<StageId>> = BTreeMap::new();
        let (mut faults, mut foreign) = (Vec::new(), Vec::new());
        for (name, (place, network)) in networks {
            let is_new = |images: &Images| {
                let uses = network.uses_before(Part::Validation).filter(|used| used.purpose != Purpose::Chosen);
                uses.into_iter().all(|used| matches!(used.images.relation(images), Relation::Disjoint | Relation::OtherFiles))
            };
            let judges: Vec<usize> =
                folds.values().enumerate().filter(|(_, (_, images))| is_new(images)).map(|(place, _)| place).collect();
            if judges.is_empty() {
                faults.push((place, name.clone()));
            }
            let trained = network.uses.iter().filter(|used| used.purpose != Purpose::Chosen);
            foreign.extend(
                trained.filter(|used| !used.images.are_of_files_of(&facts.train)).map(|used| (name.clone(), used.clone())),
            );
            found.judges.insert(name.clone(), judges);
            recipes.entry(network.recipe).or_default().push(name.clone());
        }
        found.recipes = recipes.into_values().collect();
        found.recipes.sort();
        if facts.test.is_none() {
            let first = found.folds.first()?;
            found.test = self.facts.data.get(first).is_some_and(|fold| fold.test.is_some()).then(|| first.clone());
        }
        for (name, used) in foreign {
            self.look_up(id, &name, &used, (data.stage(), Part::Train), &facts);
        }
        for (place, name) in faults {
            let message = format!(
                "`{name}`, with all that it comes from, was trained on every fold of `{data}`, and so can judge no image"
            );
            self.problem(id, &["models", &place.to_string()], message, "train it on all folds but its own");
        }
        Some(found)
    }

    /// A part to choose by must be there. Where models of folds were meant to be judged out of fold, the one that is of no fold is at fault.
    pub(super) fn needs_validation(&mut self, id: &StageId, models: &[ModelRef], data: &DataRef, path: &str, why: &str) {
        if self.facts.data.get(data.stage()).is_none_or(|facts| facts.validation.is_some()) {
            return;
        }
        match self.of_other_folds(models, data) {
            Some((place, message)) => {
                let help =
                    format!("train it on these folds, leave it out, or name data with a validation part in place of `{data}`");
                self.problem(id, &["models", &place.to_string()], message, &help);
            }
            None => {
                self.problem(id, &[path], format!("`{data}` has no validation part, but {why}"), "name a stage after `split`");
            }
        }
    }

    /// Of models of which some were trained on folds of `data`, the first that was not trained on the same: its place, and what is wrong.
    fn of_other_folds(&self, models: &[ModelRef], data: &DataRef) -> Option<(usize, String)> {
        let whole = &self.facts.data.get(data.stage())?.source;
        let folding = |network: &NetworkFacts| {
            let (folding, _) = network.held_out.as_ref()?.fold()?;
            (folding.of() == whole).then(|| folding.clone())
        };
        let networks = |model: &ModelRef| self.facts.models.get(model.stage()).map_or(&[][..], |facts| &facts.networks);
        let (first, common) = models.iter().find_map(|model| Some((model, networks(model).iter().find_map(folding)?)))?;
        let is_other = |model: &ModelRef| networks(model).iter().any(|network| folding(network).as_ref() != Some(&common));
        let place = models.iter().position(is_other)?;
        let model = &models[place];
        Some((
            place,
            format!("`{model}` was not trained on the folds of `{data}` that `{first}` was, so it cannot be judged out of fold"),
        ))
    }
}

impl OutOfFold {
    /// Whether there is an image that networks of all recipes may judge.
    pub(super) fn compares_recipes(&self) -> bool {
        let judged = |fold: usize| {
            let judges = |name: &StageId| self.judges.get(name).is_some_and(|folds| folds.contains(&fold));
            self.recipes.iter().all(|recipe| recipe.iter().any(judges))
        };
        (0..self.folds.len()).any(judged)
    }
}

/// The whole of which both are folds, of one folding, if they are.
fn folding<'a>(used: &Use, judged: &Judged<'a>) -> Option<&'a StageId> {
    let images = judged.facts.validation.as_ref()?;
    images.fold()?;
    // Two trainings on folds of the same folding overlap without being mixed.
    let is_other_fold =
        used.part == Part::Train && used.images != judged.facts.train && used.images.relation(images) == Relation::Overlap;
    (is_other_fold && used.images.is_divided()).then_some(judged.facts.part_of.as_ref()?)
}

/// The same for all stages that differ in their name, their seed or the fold of their data alone.
fn recipe<const N: usize>(kind: &StageKind, data: &DataFacts, origins: [(&'static str, Option<Value>); N]) -> Digest {
    let mut form = serde_json::to_value(kind).expect("options have a JSON form");
    if let Some(options) = form.as_object_mut().and_then(|kinds| kinds.values_mut().next()) {
        options["data"] = json!([data.source, data.variation]);
        for (name, recipe) in origins {
            if let Some(recipe) = recipe {
                options[name] = recipe;
            }
        }
    }
    Digest::of_json(&form)
}
