//! What a stage will take in memory, told from shapes before anything runs: a pipeline that cannot fit the machine is refused in
//! seconds, with the largest part and its place in the file, and not killed after hours.
//!
//! The figures are estimates, within a factor of two for the pipelines that are shipped (`tests/it/memory.rs`). They are what the
//! process holds while one stage runs: images of whole data sets, weights in all their copies, what the layers keep of a batch, and what
//! predictions take on every thread.

mod images;
mod network;

use std::collections::BTreeMap;

use self::images::{Counts, count};
use self::network::NetworkSizes;
use super::facts::{DataFacts, Facts};
use super::kind::StageKind;
use crate::data::ImageShape;
use crate::engine::Need;
use crate::graph::{ModelRef, StageId};
use crate::nn::{ModelOptions, Normalisation};
use crate::spec::{Problem, Problems, Spec};
use crate::train::{OptimizerOptions, TrainOptions, TrainSettings};
use crate::tune::{SearchSpace, TuneOptions};

/// What the program takes without a stage: code, threads, tables.
const BASE: u64 = 32 << 20;
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

/// How much memory there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes; `None` where nothing says.
    pub bytes: Option<u64>,
    /// Who says so, to be read after the number: `are available`.
    pub said: String,
    /// Stages that may run side by side.
    pub jobs: usize,
}

impl Budget {
    /// No limit.
    pub fn unlimited() -> Self {
        Self { bytes: None, said: String::new(), jobs: 1 }
    }
}

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

struct Estimator<'a> {
    spec: &'a Spec<StageKind>,
    facts: &'a Facts,
    threads: u64,
    counts: BTreeMap<StageId, Counts>,
    models: BTreeMap<StageId, ModelSizes>,
}

/// What each stage needs; what does not fit the budget is a problem.
pub(super) fn estimate(
    spec: &Spec<StageKind>,
    facts: &Facts,
    budget: &Budget,
    problems: &mut Problems,
) -> BTreeMap<StageId, Need> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut estimator = Estimator { spec, facts, threads, counts: BTreeMap::new(), models: BTreeMap::new() };
    let mut needs = BTreeMap::new();
    for stage in spec.graph.order().filter_map(|id| spec.stage(id)) {
        let parts = estimator.parts(&stage.id, &stage.kind);
        let Some(largest) = parts.iter().max_by_key(|part| part.bytes) else { continue };
        let bytes = parts.iter().fold(BASE, |sum, part| sum.saturating_add(part.bytes));
        let need = Need { bytes, largest: largest.what.clone(), largest_bytes: largest.bytes };
        if let Some(most) = budget.bytes.filter(|most| bytes > *most)
            && stage.id == stage.entry
        {
            let Need { largest, largest_bytes, .. } = &need;
            problems.push(Problem {
                place: spec.place(&stage.id, path(&stage.kind, parts.iter().find(|part| part.what == *largest))),
                message: format!(
                    "stage `{}` needs about {} of memory, {} of it for {largest}; {} {}",
                    stage.id,
                    told(bytes),
                    told(*largest_bytes),
                    told(most),
                    budget.said
                ),
                help: Some("make it smaller, or allow more with `--max-memory`".to_owned()),
            });
        }
        needs.insert(stage.id.clone(), need);
    }
    side_by_side(spec, &needs, budget, problems);
    needs
}

/// Stages that fit alone may not fit together.
fn side_by_side(spec: &Spec<StageKind>, needs: &BTreeMap<StageId, Need>, budget: &Budget, problems: &mut Problems) {
    let Some(most) = budget.bytes.filter(|_| budget.jobs > 1 && problems.is_empty()) else { return };
    let mut all: Vec<(&StageId, u64)> = needs.iter().map(|(id, need)| (id, need.bytes - BASE)).collect();
    all.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    all.truncate(budget.jobs);
    let sum = all.iter().fold(BASE, |sum, (_, bytes)| sum.saturating_add(*bytes));
    if let (true, Some((first, _))) = (sum > most, all.first()) {
        let names: Vec<String> = all.iter().take(5).map(|(id, _)| format!("`{id}`")).collect();
        problems.push(Problem {
            place: spec.place(first, &[]),
            message: format!(
                "side by side, {} need about {} of memory; {} {}",
                names.join(", "),
                told(sum),
                told(most),
                budget.said
            ),
            help: Some("lower `--jobs`, or allow more with `--max-memory`".to_owned()),
        });
    }
}

/// The options that a part follows from: where a network is, its layers.
fn path<'a>(kind: &StageKind, part: Option<&'a Part>) -> &'a [&'static str] {
    let of_model = matches!(kind, StageKind::Train(_) | StageKind::Tune(_) | StageKind::Distill(_));
    part.map_or(&[][..], |part| if part.path == ["model"] && !of_model { &[][..] } else { part.path })
}

fn product(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(1, u64::saturating_mul)
}

/// A number of bytes in three digits.
fn told(bytes: u64) -> String {
    let mut value = bytes as f64 / 1e6;
    for unit in ["MB", "GB", "TB", "PB"] {
        if value < 999.5 || unit == "PB" {
            return if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") };
        }
        value /= 1000.0;
    }
    unreachable!("the last unit always does")
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
            StageKind::Tune(options) => self.tuned(options),
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
        let searched = options.params.as_ref().and_then(|params| self.spec.stage(params.stage()));
        let search = match searched.map(|stage| &stage.kind) {
            Some(StageKind::Tune(tune)) => Some(&tune.search),
            _ => None,
        };
        let Some((parts, sizes)) = self.costliest(options, search, options.refit) else { return Vec::new() };
        self.models.insert(id.clone(), sizes);
        parts
    }

    fn tuned(&mut self, options: &TuneOptions) -> Vec<Part> {
        let base = TrainOptions::new(options.data.clone(), options.model.clone(), options.train.clone());
        self.costliest(&base, Some(&options.search), false).map_or_else(Vec::new, |(parts, _)| parts)
    }

    /// What training takes with those of the parameters of a search that make it take most.
    fn costliest(&self, options: &TrainOptions, search: Option<&SearchSpace>, refit: bool) -> Option<(Vec<Part>, ModelSizes)> {
        let data = self.facts.data.get(options.data.stage())?;
        let counts = self.counts.get(options.data.stage()).copied();
        let mut candidates = vec![options.clone()];
        if let Some(search) = search {
            let ends = search.iter().map(|(path, range)| (path.to_owned(), range.extremes()));
            let ends: Vec<_> = ends.collect();
            let last = ends.iter().filter_map(|(path, values)| Some((path.clone(), values.last()?.clone()))).collect();
            candidates.extend(options.with_parameters(&last).ok());
            for (path, value) in ends.iter().flat_map(|(path, values)| values.iter().map(move |value| (path, value))) {
                candidates.extend(options.with_parameters(&[(path.clone(), value.clone())].into()).ok());
            }
        }
        let costs = candidates.iter().filter_map(|options| {
            let sizes = network(&options.model, data)?;
            let parts = self.training(&sizes, &options.settings(), data, counts, refit);
            let sum = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes));
            Some((sum, parts, ModelSizes { weights: sizes.weights, given: sizes.given }))
        });
        costs.max_by_key(|(sum, ..)| *sum).map(|(_, parts, sizes)| (parts, sizes))
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
