//! The check of a whole pipeline before anything runs: every option that makes sense alone must also make sense beside the
//! stages it reads. All problems are collected, each with its place.

mod alone;
mod data;
mod judged;
mod places;
mod seen;

use std::collections::HashSet;

use self::seen::Origins;
use super::facts::{DataFacts, Facts, FilesFacts};
use super::kind::StageKind;
use super::score::measured;
use super::search::{self, Foreseen, Tries};
use crate::ensemble::WeightChoice;
use crate::fault::Fault;
use crate::fs::names;
use crate::graph::{DataRef, ModelRef, StageId};
use crate::infer::{Engine, WantedPrecision};
use crate::nn::{Architecture, ModelOptions, Views};
use crate::quote::excerpt;
use crate::score::{OnError, OutputFormat, ScoreOptions};
use crate::spec::{Problem, Problems, Spec, StageSpec};
use crate::train::{DistillOptions, TrainOptions, TrainSettings};
use crate::tune::{Parameters, TuneOptions};
use crate::units::counted;

/// Checks every stage, after those it reads.
pub(super) fn check(spec: &Spec<StageKind>) -> (Facts, Problems) {
    let mut checker = Checker { spec, facts: Facts::default(), problems: Problems::new(), tries: Tries::default() };
    for stage in spec.graph.order().filter_map(|id| spec.stage(id)) {
        if stage.id == stage.entry {
            checker.alone(stage);
            checker.stage(stage);
        } else if let Some(first) = checker.facts.models.get(&stage.entry) {
            // A further seed: what is wrong with it was said of the first.
            let facts = first.of_seed(&stage.entry, &stage.id);
            checker.facts.models.insert(stage.id.clone(), facts);
        }
    }
    checker.artifacts();
    checker.publications();
    (checker.facts, checker.problems)
}

struct Checker<'a> {
    spec: &'a Spec<StageKind>,
    facts: Facts,
    problems: Problems,
    /// How many combinations of searches are still looked at.
    tries: Tries,
}

impl Checker<'_> {
    fn stage(&mut self, stage: &StageSpec<StageKind>) {
        let id = &stage.id;
        match &stage.kind {
            StageKind::Fetch(options) => {
                let (shape, classes) = options.dataset.facts();
                self.facts.files.insert(id.clone(), FilesFacts { shape, classes });
            }
            StageKind::Merge(options) => self.merge(id, options),
            StageKind::Split(options) => self.split(id, options),
            StageKind::Augment(options) => self.augment(id, options),
            StageKind::Tune(options) => {
                self.tune(id, options);
                self.searches(id, &options.data, &stage.kind);
            }
            StageKind::Train(options) => self.train(id, options, &stage.kind),
            StageKind::Distill(options) => self.distill(id, options, &stage.kind),
            StageKind::Compare(options) => {
                self.models(id, &options.models, 1, &options.data);
                self.compares(id, options);
            }
            StageKind::Ensemble(options) => {
                self.models(id, &options.models, 2, &options.data);
                if let WeightChoice::Given(weights) = &options.weights
                    && weights.len() != options.models.len()
                {
                    let are = if weights.len() == 1 { "is" } else { "are" };
                    let (weights, models) = (counted(weights.len(), "weight"), counted(options.models.len(), "model"));
                    let message = format!("there {are} {weights} for {models}");
                    let is_copy = |model: &ModelRef| self.spec.stage(model.stage()).is_some_and(|stage| stage.id != stage.entry);
                    let help = match options.models.iter().any(is_copy) {
                        true => "give one weight for each model, in their order; one with several seeds is as many models",
                        false => "give one weight for each model, in their order",
                    };
                    self.problem(id, &["weights"], message, help);
                }
                for (index, model) in options.models.iter().enumerate() {
                    if self.facts.models.get(model.stage()).is_some_and(|facts| facts.ensemble) {
                        let message = format!("`{model}` is itself an ensemble");
                        self.problem(id, &["models", &index.to_string()], message, "name its members instead");
                    }
                }
                self.votes(id, options);
            }
            StageKind::Export(options) => {
                self.distinct(id, &options.models, 1);
                self.same_classes(id, &options.models);
                let models = options.models.iter().map(|model| model.stage().clone()).collect();
                if let Some(int8) = &options.int8 {
                    self.same_shape(id, &options.models, &["int8", "data"], &int8.data);
                }
                self.facts.exports.insert(id.clone(), models);
            }
            StageKind::Verify(options) => {
                if self.facts.data.get(options.data.stage()).is_some_and(|data| data.test.is_none()) {
                    let message = format!("`{}` has no test part to verify on", options.data);
                    self.problem(id, &["data"], message, "give `test` in its `split` or `merge` stage");
                }
                let export = self.spec.stage(options.export.stage());
                let has_ranges =
                    export.is_none_or(|stage| !matches!(&stage.kind, StageKind::Export(export) if export.int8.is_none()));
                if options.int8.is_some() && !has_ranges {
                    let message = format!("`{}` has not measured the ranges that int8 needs", options.export);
                    self.problem(id, &["int8"], message, "give `int8: { data: … }` in the export");
                }
                if let Some(gate) = &options.gate
                    && let Some(model) = &gate.model
                {
                    self.exported(id, &["gate", "model"], options.export.stage(), model);
                }
                self.verified_data(id, options.export.stage(), &options.data);
                self.verifies(id, options);
            }
            StageKind::Score(options) => {
                if options.input.iter().any(|pattern| pattern.to_string() == "-") {
                    let help = "name files, or call `pipeline score --input -`";
                    self.problem(id, &["input"], "a stage cannot read the standard input", help);
                }
                for (key, path) in [("output", Some(&options.output)), ("rejects", options.rejects.as_ref())] {
                    let Some(path) = path else { continue };
                    let is_below = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
                    if !is_below || path.as_os_str().is_empty() {
                        let message = format!("`{}` is not below the folder of artifacts", excerpt(&path.to_string_lossy()));
                        self.problem(id, &[key], message, "write a relative path without `..`");
                    } else if let Some((message, help)) = names::fault(path, ".manifest.json") {
                        self.problem(id, &[key], message, help);
                    }
                }
                self.scoring(id, options);
                self.scores(id, options);
            }
            StageKind::Report(options) => {
                for (index, pair) in options.side_by_side.iter().enumerate() {
                    if pair.first == pair.second {
                        let message = format!("`{}` stands beside itself", pair.first);
                        self.problem(id, &["side_by_side", &index.to_string()], message, "name two models");
                    }
                }
                self.shows(id, options);
            }
        }
    }

    /// What a `score` stage asks for must have a meaning.
    fn scoring(&mut self, id: &StageId, options: &ScoreOptions) {
        if options.format.is_none() && OutputFormat::of(&options.output).is_none() {
            let message = format!("the name `{}` tells no format", excerpt(&options.output.to_string_lossy()));
            self.problem(id, &["output"], message, "end it in .csv, .jsonl or .parquet, or give `format`");
        }
        if options.on_error == OnError::Fail {
            for (key, is_given) in [("rejects", options.rejects.is_some()), ("max_errors", options.max_errors.is_some())] {
                if is_given {
                    let message = format!("the first row that cannot be scored ends the stage, so `{key}` has no meaning");
                    self.problem(id, &[key], message, "give `on_error: skip` or `on_error: null`, or leave it out");
                }
            }
        }
        if options.precision != WantedPrecision::Fp32 {
            let allowed = measured(self.spec, options);
            let (message, help) = match options.precision {
                WantedPrecision::Fp32 => unreachable!("asked for above"),
                WantedPrecision::Auto => (
                    "`auto` chooses among what a verification has measured, and none has".to_owned(),
                    "verify the export with `bf16: {}` or `int8: {}`, and name that stage in `after`".to_owned(),
                ),
                wanted => {
                    let precision = wanted.among(&[]);
                    let help = format!("verify the export with `{precision}: {{}}`, and name that stage in `after`");
                    (format!("nothing has measured what `{precision}` loses"), help)
                }
            };
            let is_measured = match options.precision {
                WantedPrecision::Auto => !allowed.is_empty(),
                wanted => allowed.contains(&wanted.among(&[])),
            };
            if !is_measured {
                self.problem(id, &["precision"], message, &help);
            }
            if options.engine == Some(Engine::Tract) {
                self.problem(id, &["engine"], "tract computes in fp32 alone", "leave out `engine`, or `precision`");
            }
        }
        let names = |path: &std::path::Path| path.file_name().map(std::ffi::OsStr::to_owned);
        if options.rejects.as_ref().is_some_and(|rejects| names(rejects) == names(&options.output)) {
            self.problem(id, &["rejects"], "predictions and rejects have the same file name", "give one of them another name");
        }
    }

    /// Faults of the options below `path`.
    fn faults(&mut self, stage: &StageId, path: &[&str], faults: Vec<Fault>) {
        for fault in faults {
            let path: Vec<&str> = path.iter().copied().chain(fault.path.iter().map(String::as_str)).collect();
            self.problem(stage, &path, fault.message, &fault.help);
        }
    }

    fn problem(&mut self, stage: &StageId, path: &[&str], message: impl Into<String>, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.problems.push(Problem {
            place: self.spec.place(stage, path),
            message: format!("stage `{stage}`: {}", message.into()),
            help,
        });
    }

    fn train(&mut self, id: &StageId, options: &TrainOptions, kind: &StageKind) {
        let Some(data) = self.facts.data.get(options.data.stage()).cloned() else { return };
        self.learns(id, &options.model, options.views, &options.settings(), &options.data, &data);
        if data.validation.is_none() && options.refit {
            let message = format!("`refit` adds the validation part, but `{}` has none", options.data);
            self.problem(id, &["refit"], message, "put a `split` stage before, or leave out `refit`");
        }
        if let Some(found) = options.params.as_ref().and_then(|params| self.facts.possible.get(params.stage())) {
            let misfit = |found: &Parameters| {
                let fits = options.with_parameters(found).map_err(|error| error.to_string());
                fits.and_then(|options| search::against(&options.model, &options.settings(), &data)).err()
            };
            let size = search::size(options);
            let error = found.iter().take_while(|found| self.tries.take(size, found.len())).find_map(misfit);
            if let Some(error) = error {
                self.problem(id, &["params"], format!("what the search finds may not fit: {error}"), "");
            }
        }
        let start = self.single(id, options.start_from.as_ref());
        let origins = Origins { start, params: options.params.as_ref(), refit: options.refit, ..Origins::default() };
        self.network(id, &options.data, &data, kind, &origins);
    }

    fn distill(&mut self, id: &StageId, options: &DistillOptions, kind: &StageKind) {
        let Some(data) = self.facts.data.get(options.data.stage()).cloned() else { return };
        self.learns(id, &options.model, options.views, &options.settings(), &options.data, &data);
        if options.labels.get() == 1.0 {
            let message = "`labels: 1` leaves nothing to learn from the teacher";
            self.problem(id, &["labels"], message, "make it less, or train without a teacher");
        }
        if options.labels.get() == 0.0 && options.label_smoothing.get() > 0.0 {
            let message = "`label_smoothing` is about the true labels, which are no part of the loss";
            self.problem(id, &["label_smoothing"], message, "leave it out, or give `labels` a share");
        }
        if let Some(variants) = options.variants {
            if variants.get() > 1 && !data.varied {
                let message = format!("the images of `{}` are not varied, so all {variants} variants are the same", options.data);
                self.problem(id, &["variants"], message, "put an `augment` stage before, or leave out `variants`");
            } else if variants.get() > options.epochs.get() {
                let message = format!("of {variants} variants, {} epochs would never show the last", options.epochs);
                self.problem(id, &["variants"], message, "make it `epochs` at most");
            }
        }
        let start = self.single(id, options.start_from.as_ref());
        let teacher = self.teacher(id, options, &data);
        self.network(id, &options.data, &data, kind, &Origins { start, teacher, ..Origins::default() });
    }

    /// What a network starts from, if that is one network.
    fn single<'a>(&mut self, id: &StageId, start: Option<&'a ModelRef>) -> Option<&'a ModelRef> {
        let start = start?;
        if self.facts.models.get(start.stage())?.ensemble {
            self.problem(id, &["start_from"], format!("`{start}` is an ensemble"), "start from one of its members");
            return None;
        }
        Some(start)
    }

    /// The teacher, if what it says is about these images and classes.
    fn teacher<'a>(&mut self, id: &StageId, options: &'a DistillOptions, data: &DataFacts) -> Option<&'a ModelRef> {
        let (name, facts) = (&options.teacher, self.facts.models.get(options.teacher.stage())?);
        if facts.shape != data.shape || facts.classes != data.classes {
            let message = format!("`{name}` was trained on other images or classes than those of `{}`", options.data);
            self.problem(id, &["teacher"], message, "");
            return None;
        }
        Some(name)
    }

    /// Settings and network must make sense, alone and on the data.
    fn learns(
        &mut self,
        id: &StageId,
        model: &ModelOptions,
        views: Views,
        settings: &TrainSettings,
        name: &DataRef,
        data: &DataFacts,
    ) {
        if let Some(architecture) = self.builds(id, &["model"], model, data)
            && let Err(message) = search::lone_images(&architecture, settings)
        {
            self.problem(id, &["batch_size"], message, "");
        }
        if let Err(error) = views.check(data.shape) {
            self.problem(id, &["views", "shift"], error.message, "");
        }
        if data.validation.is_none() && settings.early_stopping.is_some() {
            let message = format!("early stopping watches the validation part, but `{name}` has none");
            self.problem(id, &["early_stopping"], message, "put a `split` stage before, or leave out `early_stopping`");
        }
    }

    fn tune(&mut self, id: &StageId, options: &TuneOptions) {
        let Some(data) = self.facts.data.get(options.data.stage()).cloned() else { return };
        let before = self.problems.len();
        self.builds(id, &["model"], &options.model, &data);
        let is_told = self.problems.len() > before || options.train.check().is_err();
        if data.validation.is_none() {
            let message = format!("trials are judged on the validation part, but `{}` has none", options.data);
            self.problem(id, &["data"], message, "put a `split` stage before");
        }
        if options.search.iter().any(|(path, range)| path == "precision" && range.extremes().contains(&"auto".into())) {
            let message = "`auto` is fp32 or bf16, whichever is faster on the machine, and not a third choice";
            self.problem(id, &["search", "precision"], message, "let the search choose between `fp32` and `bf16`");
        }
        let base = TrainOptions::new(options.data.clone(), options.model.clone(), options.train.clone());
        let can_be = |options: &TrainOptions| search::against(&options.model, &options.settings(), &data);
        let Foreseen { possible, problems } = search::foresee(&options.search, &base, is_told, &mut self.tries, &can_be);
        self.facts.possible.insert(id.clone(), possible);
        for (path, error) in problems {
            let place = ["search"].into_iter().chain(path.as_deref()).collect::<Vec<_>>();
            self.problem(id, &place, error, "");
        }
    }

    /// The model must fit the images; the network, where it is known.
    fn builds(&mut self, id: &StageId, path: &[&str], model: &ModelOptions, data: &DataFacts) -> Option<Architecture> {
        let built = search::build(model, data);
        built.unwrap_or_else(|message| {
            self.problem(id, path, message, "");
            None
        })
    }

    /// At least `least` models, none twice, all of the classes and shape of `data`.
    fn models(&mut self, id: &StageId, models: &[ModelRef], least: usize, data: &DataRef) {
        self.distinct(id, models, least);
        self.same_classes(id, models);
        let Some(data_facts) = self.facts.data.get(data.stage()).cloned() else { return };
        for (index, model) in models.iter().enumerate() {
            let Some(facts) = self.facts.models.get(model.stage()) else { continue };
            if facts.shape != data_facts.shape || facts.classes != data_facts.classes {
                let message = format!("`{model}` was trained on other images or classes than those of `{data}`");
                self.problem(id, &["models", &index.to_string()], message, "");
            }
        }
    }

    /// The files of an export are verified on images and classes like those that their models were trained on.
    fn verified_data(&mut self, id: &StageId, export: &StageId, data: &DataRef) {
        let Some(facts) = self.facts.data.get(data.stage()) else { return };
        let mut models = self.facts.exports.get(export).into_iter().flatten();
        let is_other = |model: &&StageId| {
            self.facts.models.get(*model).is_some_and(|model| model.shape != facts.shape || model.classes != facts.classes)
        };
        if let Some(model) = models.find(is_other).cloned() {
            let message = format!("`{model}` was trained on other images or classes than those of `{data}`");
            self.problem(id, &["data"], message, "name the data that the models were trained on");
        }
    }

    /// Images of `data` must be of the shape that the models take.
    fn same_shape(&mut self, id: &StageId, models: &[ModelRef], path: &[&str], data: &DataRef) {
        let Some(shape) = self.facts.data.get(data.stage()).map(|data| data.shape) else { return };
        let other = models.iter().find(|model| self.facts.models.get(model.stage()).is_some_and(|facts| facts.shape != shape));
        if let Some(model) = other {
            let message = format!("`{model}` takes other images than those of `{data}`");
            self.problem(id, path, message, "name the data that the models were trained on");
        }
    }

    fn distinct(&mut self, id: &StageId, models: &[ModelRef], least: usize) {
        if models.len() < least {
            let message = format!("`models` names {}", counted(models.len(), "model"));
            self.problem(id, &["models"], message, &format!("name at least {least}"));
        }
        let mut named = HashSet::new();
        for (index, model) in models.iter().enumerate() {
            if !named.insert(model) {
                self.problem(id, &["models", &index.to_string()], format!("`{model}` is named twice"), "name each model once");
            }
        }
    }

    fn same_classes(&mut self, id: &StageId, models: &[ModelRef]) {
        let mut known = models.iter().filter_map(|model| Some((model, self.facts.models.get(model.stage())?)));
        let Some((first, facts)) = known.next() else { return };
        if let Some((other, _)) = known.find(|(_, other)| other.classes != facts.classes) {
            let message = format!("`{first}` and `{other}` have different classes");
            self.problem(id, &["models"], message, "put only models of the same classes together");
        }
    }

    fn exported(&mut self, id: &StageId, path: &[&str], export: &StageId, model: &StageId) {
        let Some(models) = self.facts.exports.get(export) else { return };
        if models.contains(model) {
            return;
        }
        let names: Vec<String> = models.iter().map(|model| format!("`{model}`")).collect();
        let help = format!("`{export}` exports {}", names.join(", "));
        self.problem(id, path, format!("`{model}` is not among the models of `{export}`"), &help);
    }
}
