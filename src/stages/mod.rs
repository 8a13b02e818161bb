//! Stages: what each kind of stage does, and the one registry of kinds ([`StageKind`]). The only room that knows both
//! `pipeline.yaml` and the domain; the files of the kinds know nothing of each other.
//!
//! [`load`] is the way from text to something that can be run: parse, check everything, bind every kind to its stage.

mod augment;
mod cards;
mod check;
mod compare;
mod cost;
mod describe;
mod distill;
mod ensemble;
mod evaluation_files;
mod export;
mod facts;
mod fetch;
mod foreign;
mod kind;
mod learning;
mod lineage;
mod merge;
mod model;
mod out_of_fold;
mod overwriting;
mod predictions;
mod report;
mod score;
mod search;
mod session;
mod split;
mod train;
mod tune;
mod verify;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use self::facts::Facts;
use self::model::Model;
use crate::engine::{Context, Plan, PlannedStage, Stage};
use crate::graph::{FilesRef, ModelRef, StageId};
use crate::progress::Progress;
use crate::score::ScoreOptions;
use crate::spec::{Kind as _, Override, Problems, Spec, StageSpec};
use crate::tune::TuneOptions;

pub use compare::{CompareOptions, RobustnessOptions};
pub use cost::{Budget, Need, Needs};
pub use ensemble::EnsembleOptions;
pub use export::ExportOptions;
pub use kind::StageKind;
pub use report::{Pair, ReportOptions};
pub use verify::{Gate, VerifyOptions, measured};

/// Reads, checks and binds a pipeline. `file` is only what problems call the text; relative paths in the text are relative
/// to the working folder. Original data may also be found in `data_dir`.
///
/// # Errors
/// Every problem of the text at once.
pub fn load(file: &str, text: &str, overrides: &[Override], data_dir: Option<&Path>) -> Result<Plan, Problems> {
    let (spec, facts) = checked(file, text, overrides)?;
    Ok(planned(&spec, &facts, data_dir))
}

/// The same, with the memory that each stage is estimated to need.
///
/// # Errors
/// Every problem of the text at once.
pub fn load_with_needs(
    file: &str,
    text: &str,
    overrides: &[Override],
    data_dir: Option<&Path>,
) -> Result<(Plan, Needs), Problems> {
    let (spec, facts) = checked(file, text, overrides)?;
    Ok((planned(&spec, &facts, data_dir), cost::estimate(&spec, &facts)))
}

fn checked(file: &str, text: &str, overrides: &[Override]) -> Result<(Spec<StageKind>, Facts), Problems> {
    let spec: Spec<StageKind> = crate::spec::parse(file, text, overrides)?;
    let (facts, mut problems) = check::check(&spec);
    overwriting::check(&spec, Path::new(file), &mut problems);
    problems.or((spec, facts))
}

fn planned(spec: &Spec<StageKind>, facts: &Facts, data_dir: Option<&Path>) -> Plan {
    let bound = spec.stages.iter().map(|stage| PlannedStage { id: stage.id.clone(), stage: bind(stage, spec, facts, data_dir) });
    let stages = bound.collect();
    let plan = Plan::new(spec.name.clone(), spec.seed, spec.artifacts.clone(), stages).expect("the reader has checked the graph");
    plan.with_families(spec.families())
}

/// The JSON schema of `pipeline.yaml`.
pub fn schema() -> serde_json::Value {
    crate::spec::schema::<StageKind>()
}

/// Every stage kind and option, as a Markdown page for people.
pub fn reference() -> String {
    format!("{}{}", include_str!("introduction.md"), crate::spec::reference(&schema()))
}

fn references(stage: &StageSpec<StageKind>) -> Vec<StageId> {
    unique(stage.references.iter().map(|reference| &reference.stage))
}

/// The folders from which patterns are read below a `fetch` stage, if one is named, or below the working folder.
fn folders_of_files(spec: &Spec<StageKind>, data: Option<&FilesRef>) -> Vec<PathBuf> {
    match data.and_then(|data| spec.stage(data.stage())).map(|stage| &stage.kind) {
        Some(StageKind::Fetch(options)) => options.folders(),
        _ => vec![PathBuf::new()],
    }
}

/// The recipes that several of the models come from, each with these models.
fn recipes(spec: &Spec<StageKind>, models: &[ModelRef]) -> BTreeMap<StageId, Vec<StageId>> {
    let models: HashSet<&StageId> = models.iter().map(ModelRef::stage).collect();
    let named = |stages: Vec<StageId>| stages.into_iter().filter(|id| models.contains(id)).collect::<Vec<_>>();
    let families = spec.families().into_iter().map(|(name, stages)| (name, named(stages)));
    families.filter(|(_, models)| models.len() > 1).collect()
}

fn bind(stage: &StageSpec<StageKind>, spec: &Spec<StageKind>, facts: &Facts, data_dir: Option<&Path>) -> Box<dyn Stage> {
    let foreign = facts.foreign.get(&stage.entry).cloned().unwrap_or_default();
    let out_of_fold = facts.out_of_fold.get(&stage.id).cloned();
    match stage.kind.clone() {
        StageKind::Fetch(options) => Box::new(fetch::FetchStage { options, data_dir: data_dir.map(Path::to_owned) }),
        StageKind::Merge(options) => Box::new(merge::MergeStage(options)),
        StageKind::Split(options) => {
            let source = facts.data.get(&stage.id).map_or_else(|| options.data.stage().clone(), |data| data.source.clone());
            Box::new(split::SplitStage { options, source })
        }
        StageKind::Augment(options) => Box::new(augment::AugmentStage(options)),
        // Results are those of what this machine computes in: keys, metrics and cards say that, and `auto` is no part of them.
        StageKind::Tune(options) => {
            let asked = options.train.precision;
            Box::new(tune::TuneStage { options: TuneOptions { train: options.train.here(), ..options }, asked })
        }
        StageKind::Train(options) => Box::new(train::TrainStage { asked: options.precision, options: options.here(), foreign }),
        StageKind::Distill(options) => {
            Box::new(distill::DistillStage { asked: options.precision, options: options.here(), foreign })
        }
        StageKind::Compare(options) => {
            let recipes = recipes(spec, &options.models);
            Box::new(compare::CompareStage { options, recipes, out_of_fold, foreign })
        }
        StageKind::Ensemble(options) => {
            let recipes = recipes(spec, &options.models);
            Box::new(ensemble::EnsembleStage { options, recipes, out_of_fold, foreign })
        }
        StageKind::Export(options) => Box::new(export::ExportStage(options)),
        StageKind::Verify(options) => {
            let models = facts.exports.get(options.export.stage()).cloned().unwrap_or_default();
            Box::new(verify::VerifyStage { options, models, foreign })
        }
        StageKind::Score(options) => {
            let trained_on = facts.trained_on.get(&stage.id).cloned().unwrap_or_default();
            let (asked, precision) = (options.precision, options.precision.among(&score::measured(spec, &options)));
            let options = ScoreOptions { precision: precision.into(), ..options };
            Box::new(score::ScoreStage { options, asked, trained_on })
        }
        StageKind::Report(options) => {
            let shown: HashSet<&StageId> = spec.graph.ancestors(&stage.id).into_iter().collect();
            let sources = spec
                .stages
                .iter()
                .filter(|other| shown.contains(&other.id))
                .map(|other| report::Source { id: other.id.clone(), kind: other.kind.name(), inputs: references(other) })
                .collect();
            let not_shown = facts.not_shown.get(&stage.id).cloned().unwrap_or_default();
            let (pipeline, seed) = (spec.name.clone(), spec.seed.value());
            Box::new(report::ReportStage { options, pipeline, seed, sources, not_shown, foreign })
        }
    }
}

/// The options of a kind as the parameters of a key.
fn parameters<T: serde::Serialize>(options: &T) -> serde_json::Value {
    serde_json::to_value(options).expect("options have a JSON form")
}

/// A part in a sentence.
fn named_part(part: crate::data::Part) -> &'static str {
    match part {
        crate::data::Part::Train => "training part",
        crate::data::Part::Validation => "validation part",
        crate::data::Part::Test => "test part",
    }
}

/// Each stage once, in order of first appearance.
fn unique<'a>(stages: impl IntoIterator<Item = &'a StageId>) -> Vec<StageId> {
    let mut found = HashSet::new();
    stages.into_iter().filter(|stage| found.insert(*stage)).cloned().collect()
}

fn load_models(models: &[ModelRef], context: &Context<'_>) -> Result<Vec<Model>> {
    models.iter().map(|model| Model::load(context.input(model.stage())?)).collect()
}

/// Passes on only whether to stop: for parts of a stage's work that report as a whole.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn begin(&self, _what: &str, _total: u64, _unit: &str) {}
    fn advance(&self, _done: u64, _message: &str) {}
    fn note(&self, _line: &str) {}
    fn warn(&self, line: &str) {
        self.0.warn(line);
    }
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// What a text of less than 1 MiB can ask for is checked in a second or two; here more is allowed, for slow machines.
    #[track_caller]
    fn is_checked_soon(stages: impl Iterator<Item = String>) {
        const HEAD: &str = "version: 1\nstages:\n  m: { merge: { train: FILES, test: t.csv, image: { channels: 1, height: 4, width: 4 }, classes: [x, y] } }\n  \
                            p: { split: { data: m } }\n";
        let files: Vec<String> = (0..2000).map(|number| format!("{}-{number}.csv", "x".repeat(180))).collect();
        let text = HEAD.replace("FILES", &format!("[{}]", files.join(", ")))
            + &stages.map(|stage| format!("  {stage}\n")).collect::<String>();
        let begin = Instant::now();
        load_with_needs("p.yaml", &text, &[], None).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    }

    fn choices(most: usize) -> String {
        (1..=most).map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_long_list_of_choices_is_checked_soon() {
        let half = choices(40_000);
        let search = format!("batch_size: {{ choice: [{half}] }}, epochs: {{ choice: [{half}] }}");
        is_checked_soon([format!("t: {{ tune: {{ data: p, model: mlp, search: {{ {search} }} }} }}")].into_iter());
    }

    #[test]
    fn a_search_that_many_trainings_use_is_checked_soon() {
        let search =
            format!("t: {{ tune: {{ data: p, model: mlp, search: {{ batch_size: {{ choice: [{}] }} }} }} }}", choices(500));
        let train = |number| format!("n{number}: {{ train: {{ data: p, model: mlp, params: t }} }}");
        is_checked_soon([search].into_iter().chain((0..1500).map(train)));
    }

    #[test]
    fn a_long_chain_of_models_is_checked_soon() {
        let first = "n0: { train: { data: p, model: mlp } }".to_owned();
        let next = |number| format!("n{number}: {{ train: {{ data: p, model: mlp, start_from: n{} }} }}", number - 1);
        is_checked_soon([first].into_iter().chain((1..1500).map(next)));
    }

    #[test]
    fn a_search_of_a_deep_network_is_checked_soon() {
        let layers = "{ dense: { units: 4 } }, ".repeat(10_000);
        let search = format!("search: {{ batch_size: {{ choice: [{}] }} }}", choices(30));
        let model = format!("model: {{ layers: [flatten, {layers} {{ dense: {{ units: 2 }} }}] }}");
        is_checked_soon([format!("t: {{ tune: {{ data: p, {model}, {search} }} }}")].into_iter());
    }
}
