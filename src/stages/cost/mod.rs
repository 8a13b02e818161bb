//! What a stage will take in memory, told from shapes before anything runs: a run that cannot fit the machine is refused in
//! seconds, with the largest part and its place in the file, and not killed after hours.
//!
//! The figures are estimates, within a factor of two for the two pipelines that `tests/it/memory.rs` runs. They are what the
//! process holds while one stage runs: images of whole data sets, weights in all their copies, what the layers keep of a batch, and what
//! predictions take on every thread.

mod images;
mod needs;
mod network;

use std::collections::BTreeMap;

use self::images::{Counts, count};
use self::needs::BASE;
use self::network::NetworkSizes;
use super::facts::{DataFacts, Facts};
use super::kind::StageKind;
use super::search::{self, Tries};
use crate::data::ImageShape;
use crate::graph::{ModelRef, StageId};
use crate::nn::{ModelOptions, Normalisation};
use crate::spec::Spec;
use crate::train::{OptimizerOptions, TrainOptions, TrainSettings};
use crate::tune::{Parameters, TuneOptions};

pub use self::needs::{Budget, Need, Needs};

/// Images that a network predicts together on one thread.
const TOGETHER: u64 = 64;
/// Bytes of a float32.
const SINGLE: u64 = 4;
/// Batches that are ready or being made while one is learned from.
const BATCHES: u64 = 5;
/// Bytes that each thread takes to read and write tables.
const TABLES: u64 = 8 << 20;
/// Bytes that tract takes to optimise graphs and to run them on each thread.
const TRACT: u64 = 24 << 20;

/// A part of what a stage needs, and the options that it follows from.
struct Part {
    what: String,
    bytes: u64,
    path: &'static [&'static str],
}

fn part(what: impl Into<String>, bytes: u64, path: &'static [&'static str]) -> Part {
    Part { what: what.into(), bytes, path }
}

/// What is known of a model.
#[derive(Clone, Copy, Default)]
struct ModelSizes {
    weights: u64,
    given: u64,
}

/// What a training needs, and what is known of its model.
struct Cost {
    bytes: u64,
    parts: Vec<Part>,
    model: ModelSizes,
}

struct Estimator<'a> {
    spec: &'a Spec<StageKind>,
    facts: &'a Facts,
    threads: u64,
    counts: BTreeMap<StageId, Counts>,
    models: BTreeMap<StageId, ModelSizes>,
    /// How many combinations of searches are still looked at.
    tries: Tries,
}

/// What each stage needs.
pub(super) fn estimate(spec: &Spec<StageKind>, facts: &Facts) -> Needs {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let tries = Tries::default();
    let mut estimator = Estimator { spec, facts, threads, counts: BTreeMap::new(), models: BTreeMap::new(), tries };
    let mut needs = BTreeMap::new();
    for stage in spec.graph.order().filter_map(|id| spec.stage(id)) {
        let parts = estimator.parts(&stage.id, &stage.kind);
        let Some(largest) = parts.iter().max_by_key(|part| part.bytes) else { continue };
        let need = Need {
            bytes: total(&parts).saturating_add(BASE),
            largest: largest.what.clone(),
            largest_bytes: largest.bytes,
            stage: spec.place(&stage.id, &[]),
            option: spec.place(&stage.id, path(&stage.kind, largest)),
            entry: stage.entry.clone(),
        };
        needs.insert(stage.id.clone(), need);
    }
    Needs(needs)
}

/// The options that a part follows from: where a network is, its layers.
fn path(kind: &StageKind, part: &Part) -> &'static [&'static str] {
    let of_model = matches!(kind, StageKind::Train(_) | StageKind::Tune(_) | StageKind::Distill(_));
    if part.path == ["model"] && !of_model { &[] } else { part.path }
}

fn product(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(1, u64::saturating_mul)
}

fn total(parts: &[Part]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.bytes))
}

impl Estimator<'_> {
    fn parts(&mut self, id: &StageId, kind: &StageKind) -> Vec<Part> {
        match kind {
            StageKind::Fetch(options) => {
                let counts = Counts::fetched(options);
                self.counts.insert(id.clone(), counts);
                let pixels = ImageShape::MNIST.pixels() as u64;
                vec![part("the images that it brings", product([counts.all(), pixels, 3]), &["dataset"])]
            }
            StageKind::Merge(options) => {
                let Some(shape) = self.facts.data.get(id).map(|data| data.shape) else { return Vec::new() };
                let fetched = options.data.as_ref().and_then(|files| self.counts.get(files.stage()).copied());
                let counts = fetched.or_else(|| count(options, shape));
                self.counts.extend(counts.map(|counts| (id.clone(), counts)));
                let pixels = shape.pixels() as u64;
                vec![
                    part("all images", product([counts.map_or(1, Counts::all), pixels, 3]), &["image"]),
                    part("the rows that are read", product([self.threads, pixels, 8]).saturating_add(TABLES), &["image"]),
                ]
            }
            StageKind::Split(options) => self.copied(id, options.data.stage(), |counts| counts),
            StageKind::Augment(options) => {
                let copies = options.copies as u64;
                self.copied(id, options.data.stage(), |counts| Counts {
                    train: counts.train.saturating_mul(copies.saturating_add(1)),
                    ..counts
                })
            }
            StageKind::Tune(options) => self.tuned(id, options),
            StageKind::Train(options) => self.trained(id, options),
            StageKind::Distill(options) => {
                let settings = options.settings();
                let Some(data) = self.facts.data.get(options.data.stage()) else { return Vec::new() };
                let (data, counts) = (data.clone(), self.counts.get(options.data.stage()).copied());
                let Some(sizes) = network(&options.model, &data) else { return Vec::new() };
                self.models.insert(id.clone(), ModelSizes { weights: sizes.weights, given: sizes.given });
                let mut parts = self.training(&sizes, &settings, &data, counts, false);
                let variants = match options.variants {
                    Some(variants) => variants.get() as u64,
                    None if data.varied => settings.epochs.get() as u64,
                    None => 1,
                };
                let classes = data.classes.as_ref().map_or(10, Vec::len) as u64;
                let answers = product([variants, counts.map_or(1, |counts| counts.train), classes, SINGLE]);
                let shown = product([counts.map_or(1, |counts| counts.train), data.shape.pixels() as u64]);
                let path: &[&str] = if options.variants.is_some() { &["variants"] } else { &["epochs"] };
                parts.push(part("the teacher's answers", answers.saturating_add(shown), path));
                parts.extend(self.deployed(std::slice::from_ref(&options.teacher), "the teacher", &["teacher"]));
                parts
            }
            StageKind::Compare(options) => {
                let mut parts = self.loaded(options.data.stage());
                parts.extend(self.predicting(&options.models));
                parts
            }
            StageKind::Ensemble(options) => {
                let members = options.models.iter().filter_map(|model| self.models.get(model.stage()));
                let sizes = members.fold(ModelSizes::default(), |all, one| ModelSizes {
                    weights: all.weights.saturating_add(one.weights),
                    given: all.given.max(one.given),
                });
                self.models.insert(id.clone(), sizes);
                let mut parts = self.loaded(options.data.stage());
                parts.extend(self.predicting(&options.models));
                parts
            }
            StageKind::Export(options) => {
                let mut parts = self.deployed(&options.models, "the exported models", &["models"]);
                if let Some(int8) = &options.int8 {
                    parts.extend(self.loaded(int8.data.stage()));
                }
                parts
            }
            StageKind::Verify(options) => {
                let models: Vec<ModelRef> =
                    self.facts.exports.get(options.export.stage()).into_iter().flatten().cloned().map(ModelRef::new).collect();
                let mut parts = self.loaded(options.data.stage());
                parts.extend(self.deployed(&models, "the models", &["export"]));
                parts.push(part("their graphs in tract", product([self.threads, TRACT]), &["export"]));
                parts
            }
            StageKind::Score(options) => {
                let model = ModelRef::new(options.model.model.clone());
                let mut parts = self.deployed(&[model], "the model", &["model"]);
                parts.push(part("rows that are read and written", product([self.threads, TABLES]), &["input"]));
                parts
            }
            StageKind::Report(_) => vec![part("the page", 16 << 20, &[])],
        }
    }

    /// A data set that is read, changed and written.
    fn copied(&mut self, id: &StageId, from: &StageId, change: impl Fn(Counts) -> Counts) -> Vec<Part> {
        let Some(data) = self.facts.data.get(from) else { return Vec::new() };
        let Some(counts) = self.counts.get(from).copied() else { return Vec::new() };
        let made = change(counts);
        self.counts.insert(id.clone(), made);
        let images = counts.all().saturating_add(product([made.all(), 2]));
        vec![part("the images, read and written", product([images, data.shape.pixels() as u64]), &[])]
    }

    /// A data set that is read; the file of its largest part is held beside the images for a moment.
    fn loaded(&self, from: &StageId) -> Vec<Part> {
        let (Some(data), Some(counts)) = (self.facts.data.get(from), self.counts.get(from)) else { return Vec::new() };
        let images = counts.all().saturating_add(counts.train / 2);
        vec![part("the images", product([images, data.shape.pixels() as u64]), &["data"])]
    }

    fn trained(&mut self, id: &StageId, options: &TrainOptions) -> Vec<Part> {
        let search = options.params.as_ref().map(|params| params.stage());
        let Some(cost) = self.costliest(options, search, options.refit) else { return Vec::new() };
        self.models.insert(id.clone(), cost.model);
        cost.parts
    }

    fn tuned(&mut self, id: &StageId, options: &TuneOptions) -> Vec<Part> {
        let base = TrainOptions::new(options.data.clone(), options.model.clone(), options.train.clone());
        self.costliest(&base, Some(id), false).map_or_else(Vec::new, |cost| cost.parts)
    }

    /// What training takes with those parameters of the search `search` that make it take most: of each parameter, in their order, the
    /// extreme value that does so beside those before it. What is below another choice may take more: so combinations that are known to be
    /// possible are looked at too. Of a search of too many values, some are left out.
    fn costliest(&mut self, options: &TrainOptions, search: Option<&StageId>, refit: bool) -> Option<Cost> {
        let kind = search.and_then(|search| self.spec.stage(search)).map(|stage| &stage.kind);
        let (Some(search), Some(StageKind::Tune(TuneOptions { search: space, .. }))) = (search, kind) else {
            return self.cost(options, refit);
        };
        let size = search::size(options);
        let (mut chosen, mut best, mut most) = (Parameters::new(), options.clone(), None);
        for (path, range) in space.iter() {
            if !space.is_active(path, &chosen) {
                continue;
            }
            let mut costliest: Option<(Cost, TrainOptions, _)> = None;
            for value in range.extremes() {
                if !self.tries.take(size, 1) {
                    break;
                }
                let Ok(options) = best.with_parameters(&[(path.to_owned(), value.clone())].into()) else { continue };
                let cost = self.cost(&options, refit);
                if let Some(cost) = cost.filter(|cost| costliest.as_ref().is_none_or(|(most, ..)| cost.bytes > most.bytes)) {
                    costliest = Some((cost, options, value));
                }
            }
            if let Some((cost, options, value)) = costliest {
                (best, most) = (options, Some(cost));
                chosen.insert(path.to_owned(), value);
            }
        }
        for parameters in self.facts.possible.get(search).into_iter().flatten() {
            if !self.tries.take(size, parameters.len()) {
                break;
            }
            let cost = options.with_parameters(parameters).ok().and_then(|options| self.cost(&options, refit));
            most = most.into_iter().chain(cost).max_by_key(|cost| cost.bytes);
        }
        most.or_else(|| self.cost(options, refit))
    }

    /// What training takes with these options.
    fn cost(&self, options: &TrainOptions, refit: bool) -> Option<Cost> {
        let data = self.facts.data.get(options.data.stage())?;
        let sizes = network(&options.model, data)?;
        let counts = self.counts.get(options.data.stage()).copied();
        let parts = self.training(&sizes, &options.settings(), data, counts, refit);
        let model = ModelSizes { weights: sizes.weights, given: sizes.given };
        Some(Cost { bytes: total(&parts), parts, model })
    }

    fn training(
        &self,
        sizes: &NetworkSizes,
        settings: &TrainSettings,
        data: &DataFacts,
        counts: Option<Counts>,
        refit: bool,
    ) -> Vec<Part> {
        let weights = product([sizes.weights, SINGLE]);
        let state: u64 = match settings.optimizer {
            OptimizerOptions::Adamw(_) | OptimizerOptions::Adam(_) => 2,
            OptimizerOptions::Sgd(_) | OptimizerOptions::Muon(_) => 1,
        };
        let kept = 1 + u64::from(settings.average.is_some()) + u64::from(data.validation.is_some());
        let pixels = data.shape.pixels() as u64;
        let batch = counts.map_or(u64::MAX, |counts| counts.all()).min(settings.batch_size.get() as u64).max(1);
        let number = if settings.precision.is_half() { SINGLE / 2 } else { SINGLE };
        let features = product([batch, product([sizes.maps + sizes.passing, number]) + product([sizes.vectors, SINGLE])]);
        let predicted = product([self.threads, TOGETHER, sizes.given + 2 * pixels, SINGLE]);
        let framed = product([self.threads, sizes.framed, SINGLE, 2]);
        let images = counts.map_or(1, |counts| counts.all().saturating_add(if refit { counts.all() } else { counts.train / 2 }));
        let heaviest = &sizes.heaviest.layer;
        let widest = &sizes.widest.layer;
        vec![
            part(format!("weights and gradients, most of them in {heaviest}"), product([weights, 2 + kept]), &["model"]),
            part(format!("the optimiser's state, most of it for {heaviest}"), product([weights, state]), &["model"]),
            part(format!("checkpoints, most of them for {heaviest}"), product([weights, kept + state, 2]), &["model"]),
            part(
                format!("what layers keep of {batch} images, most of it in {widest}"),
                features.saturating_add(framed),
                &["model"],
            ),
            part(format!("predictions, most of them in {widest}"), predicted, &["model"]),
            part("batches", product([BATCHES, batch, pixels, SINGLE]), &["batch_size"]),
            part("the images", product([images, pixels]), &["data"]),
        ]
    }

    /// Networks that predict one after another.
    fn predicting(&self, models: &[ModelRef]) -> Vec<Part> {
        let sizes: Vec<ModelSizes> = models.iter().filter_map(|model| self.models.get(model.stage()).copied()).collect();
        let weights = sizes.iter().fold(0_u64, |sum, one| sum.saturating_add(one.weights));
        let given = sizes.iter().map(|one| one.given).max().unwrap_or(0);
        vec![
            part("the models' weights", product([weights, SINGLE, 2]), &["models"]),
            part("predictions", product([self.threads, TOGETHER, given, SINGLE]), &["models"]),
        ]
    }

    /// Models as files: written, read, and packed for the kernels and for tract, one after another.
    fn deployed(&self, models: &[ModelRef], what: &str, path: &'static [&'static str]) -> Vec<Part> {
        let sizes = models.iter().filter_map(|model| self.models.get(model.stage()));
        let most = sizes.fold(ModelSizes::default(), |all, one| ModelSizes {
            weights: all.weights.max(one.weights),
            given: all.given.max(one.given),
        });
        let values = product([self.threads, most.given, SINGLE, 8]);
        vec![part(what, product([most.weights, SINGLE, 6]).saturating_add(values), path)]
    }
}

/// The sizes of the network that a stage trains on `data`.
fn network(model: &ModelOptions, data: &DataFacts) -> Option<NetworkSizes> {
    let channels = data.shape.channels;
    let normalisation = Normalisation { mean: vec![0.0; channels], deviation: vec![1.0; channels] };
    // Where only the labels will tell how many classes there are, ten are as good as any number.
    let classes = data.classes.as_ref().map_or(10, Vec::len);
    NetworkSizes::of(&model.build(data.shape, classes, normalisation).ok()?).ok()
}
