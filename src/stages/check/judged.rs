//! What stages that judge models ask of the images they judge them by.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Checker;
use crate::data::Part;
use crate::ensemble::{TemperatureChoice, WeightChoice};
use crate::graph::{DataRef, ModelRef, StageId};
use crate::score::ScoreOptions;
use crate::spec::Kind as _;
use crate::stages::facts::{DataFacts, ModelFacts, NetworkFacts};
use crate::stages::folders_of_files;
use crate::stages::lineage::{Purpose, Use};
use crate::stages::out_of_fold::OutOfFold;
use crate::stages::score::TrainedOn;
use crate::stages::{CompareOptions, EnsembleOptions, ReportOptions, StageKind, VerifyOptions};

impl Checker<'_> {
    pub(super) fn compares(&mut self, id: &StageId, options: &CompareOptions) {
        if !self.are_known(&options.models, &options.data) {
            return;
        }
        match self.out_of_fold(id, &options.models, &options.data) {
            Some(found) => {
                self.tests_out_of_fold(id, &options.models, &options.data, &found, "on which models are compared");
                self.facts.out_of_fold.insert(id.clone(), found);
            }
            None => {
                self.needs_validation(id, &options.models, &options.data, "data", "the ranking goes by validation figures");
                let parts = [(Part::Validation, "by which models are ranked"), (Part::Test, "on which models are compared")];
                self.judges(id, &options.models, &options.data, &parts);
            }
        }
    }

    /// A vote, which is fitted and measured on images that its members have not used.
    pub(super) fn votes(&mut self, id: &StageId, options: &EnsembleOptions) {
        let fits_weights = options.weights == WeightChoice::Validation;
        let fits_temperature = options.temperature == TemperatureChoice::Validation;
        if !self.are_known(&options.models, &options.data) {
            return;
        }
        let why = match (fits_weights, fits_temperature) {
            (true, true) => "on which weights and temperature are fitted",
            (true, false) => "on which weights are fitted",
            (false, true) => "on which the temperature is fitted",
            (false, false) => "on which the vote is measured",
        };
        let found = self.out_of_fold(id, &options.models, &options.data);
        let is_honest = match &found {
            Some(found) => {
                if fits_weights && !found.compares_recipes() {
                    let message =
                        "no image was out of the folds of all recipes, so that nothing tells which of them should count for more";
                    self.problem(id, &["weights"], message, "train each recipe on the same folds, or leave out `weights`");
                }
                self.tests_out_of_fold(id, &options.models, &options.data, found, "on which the vote is measured")
            }
            None => {
                if fits_weights {
                    self.needs_validation(id, &options.models, &options.data, "weights", "weights are fitted on it");
                }
                if fits_temperature {
                    self.needs_validation(id, &options.models, &options.data, "temperature", "the temperature is fitted on it");
                }
                let parts = [(Part::Validation, why), (Part::Test, "on which the vote is measured")];
                self.judges(id, &options.models, &options.data, &parts)
            }
        };
        if !is_honest {
            return;
        }
        let mut chosen: BTreeSet<Rc<Use>> = BTreeSet::new();
        if fits_weights || fits_temperature {
            let fitted_on = match &found {
                Some(found) => found.folds.iter().collect(),
                None => vec![options.data.stage()],
            };
            let used = |name: &StageId| self.facts.data.get(name)?.used(Purpose::Chosen, Part::Validation, id, name);
            chosen.extend(fitted_on.into_iter().filter_map(used));
        }
        let members: Vec<&ModelFacts> = options.models.iter().filter_map(|model| self.facts.models.get(model.stage())).collect();
        if let Some(first) = members.first() {
            chosen.extend(members.iter().flat_map(|member| member.chosen.clone()));
            let networks: Vec<NetworkFacts> = members.iter().flat_map(|member| member.networks.clone()).collect();
            let facts = ModelFacts { shape: first.shape, classes: first.classes.clone(), ensemble: true, networks, chosen };
            self.facts.models.insert(id.clone(), facts);
        }
        self.facts.out_of_fold.extend(found.map(|found| (id.clone(), found)));
    }

    pub(super) fn verifies(&mut self, id: &StageId, options: &VerifyOptions) {
        let Some(models) = self.facts.exports.get(options.export.stage()).cloned() else { return };
        let models: Vec<(Vec<&str>, &StageId)> = models.iter().map(|model| (vec!["data"], model)).collect();
        let why = if options.gate.is_some() { "by which the gate judges" } else { "on which its file is measured" };
        let Some(data) = self.facts.data.get(options.data.stage()).cloned() else { return };
        self.are_unseen(id, &models, options.data.stage(), &data, &[(Part::Test, why)]);
    }

    /// A page counts the mistakes of two models on the test part that it shows.
    pub(super) fn shows(&mut self, id: &StageId, options: &ReportOptions) {
        let shown = self.spec.graph.ancestors(id);
        let stages = || self.spec.stages.iter().filter(|stage| shown.contains(&&stage.id));
        let Some((name, data)) = stages()
            .rfind(|stage| ["merge", "split", "augment"].contains(&stage.kind.name()))
            .and_then(|stage| Some((stage.id.clone(), self.facts.data.get(&stage.id)?.clone())))
        else {
            return;
        };
        let unfit: BTreeSet<StageId> = stages()
            .filter(|stage| self.facts.models.get(&stage.id).is_some_and(|model| !may_show(model, &data)))
            .map(|stage| stage.id.clone())
            .collect();
        for (index, pair) in options.side_by_side.iter().enumerate() {
            let index = index.to_string();
            let models = [("first", &pair.first), ("second", &pair.second)];
            let models = models.map(|(key, model)| (vec!["side_by_side", index.as_str(), key], model.stage()));
            self.are_unseen(id, &models, &name, &data, &[(Part::Test, "on which mistakes are counted")]);
        }
        if !unfit.is_empty() {
            self.facts.not_shown.insert(id.clone(), unfit);
        }
    }

    /// Notes the files that a scored model was trained on: rows of them with labels would give an accuracy that means little.
    pub(super) fn scores(&mut self, id: &StageId, options: &ScoreOptions) {
        let Some(model) = self.facts.models.get(&options.model.model) else { return };
        let mut files: Vec<TrainedOn> = Vec::new();
        for used in model.all_uses().filter(|used| used.purpose != Purpose::Chosen) {
            let Some(source) = self.facts.data.get(&used.data).and_then(|data| self.spec.stage(&data.source)) else { continue };
            if let StageKind::Merge(merge) = &source.kind {
                let folders = folders_of_files(self.spec, merge.data.as_ref());
                let found = TrainedOn { by: used.by.clone(), folders, patterns: merge.train.clone() };
                if !files.iter().any(|known| (&known.folders, &known.patterns) == (&found.folders, &found.patterns)) {
                    files.push(found);
                }
            }
        }
        self.facts.trained_on.insert(id.clone(), files);
    }

    /// Models that are judged by parts of `data`.
    fn judges(&mut self, id: &StageId, models: &[ModelRef], data: &DataRef, parts: &[(Part, &str)]) -> bool {
        let Some(facts) = self.facts.data.get(data.stage()).cloned() else { return true };
        let places: Vec<String> = (0..models.len()).map(|index| index.to_string()).collect();
        let models: Vec<(Vec<&str>, &StageId)> =
            models.iter().zip(&places).map(|(model, place)| (vec!["models", place.as_str()], model.stage())).collect();
        self.are_unseen(id, &models, data.stage(), &facts, parts)
    }

    /// Models that are judged out of fold, and measured on the test part of `data` or on that which was set apart with the folds.
    fn tests_out_of_fold(&mut self, id: &StageId, models: &[ModelRef], data: &DataRef, found: &OutOfFold, why: &str) -> bool {
        let data = found.test.clone().map_or(data.clone(), DataRef::new);
        self.judges(id, models, &data, &[(Part::Test, why)])
    }

    /// Whether models and data are without a problem of their own, of which more would follow.
    fn are_known(&self, models: &[ModelRef], data: &DataRef) -> bool {
        self.facts.data.contains_key(data.stage()) && models.iter().all(|model| self.facts.models.contains_key(model.stage()))
    }
}

/// Whether what a model says of test images may be shown.
fn may_show(model: &ModelFacts, data: &DataFacts) -> bool {
    use crate::stages::lineage::Relation::{Disjoint, OtherFiles};
    let Some(test) = &data.test else { return true };
    model.uses_before(Part::Test).all(|used| matches!(used.images.relation(test), Disjoint | OtherFiles))
}
