//! `report`: everything that the stages before it found, on one page. This folder gathers; the room `report` draws.

mod outcomes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::describe::{data, models, pictures};
use super::foreign::{self, Foreign};
use super::model::Model;
use crate::data::DataSet;
use crate::data::merge::MergeReport;
use crate::digest::Digest;
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::{AnyRef, ModelRef, StageId};
use crate::report::{Fact, Provenance, ReportData, StageRecord, render};

const PAGE: &str = "report.html";
/// Holds the digest of the page without timings.
const CONTENT: &str = "content.blake3";

/// Options of the stage kind `report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportOptions {
    /// What the page is about: these stages and all that they come from.
    pub of: Vec<AnyRef>,
    /// The heading; the pipeline's name unless given.
    #[serde(default)]
    pub title: Option<String>,
    /// Pairs of models whose mistakes stand side by side.
    #[serde(default)]
    pub side_by_side: Vec<Pair>,
}

/// Two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// One.
    pub first: ModelRef,
    /// The other.
    pub second: ModelRef,
}

/// A stage whose output the page shows.
pub(super) struct Source {
    /// Its name.
    pub id: StageId,
    /// Its kind.
    pub kind: &'static str,
    /// The stages that it reads.
    pub inputs: Vec<StageId>,
}

pub(super) struct ReportStage {
    pub options: ReportOptions,
    /// The name of the pipeline.
    pub pipeline: String,
    /// The root seed.
    pub seed: u64,
    /// Everything that `of` and `side_by_side` come from, in the order of the plan.
    pub sources: Vec<Source>,
    /// Models that have used some of the test images that the page shows.
    pub not_shown: BTreeSet<StageId>,
    /// Images that models in `side_by_side` have used, which those of the test part must not be.
    pub foreign: Vec<Foreign>,
}

impl Stage for ReportStage {
    fn kind(&self) -> &'static str {
        "report"
    }

    fn version(&self) -> u32 {
        2
    }

    fn parameters(&self) -> serde_json::Value {
        let mut parameters = super::parameters(&self.options);
        parameters["pipeline"] = self.pipeline.clone().into();
        parameters["seed"] = self.seed.into();
        parameters
    }

    fn inputs(&self) -> Vec<StageId> {
        self.sources.iter().map(|source| source.id.clone()).collect()
    }

    /// The page tells how long trainings took. What it tells beside that is in the digest that is kept with it.
    fn measurements(&self) -> Vec<PathBuf> {
        vec![PAGE.into()]
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        foreign::check(&self.foreign, context)?;
        let sources = Sources { stage: self, context };
        let found = sources.of_kind(&["train", "distill", "ensemble"]).map(|(_, dir)| Model::load(dir));
        let models = found.collect::<Result<Vec<_>>>()?;
        // The data as the models see it: the last stage that makes data.
        let set = sources.of_kind(&["merge", "split", "augment"]).last().map(|(_, dir)| DataSet::load(dir)).transpose()?;
        let test = set.as_ref().and_then(|set| set.test.as_ref());

        let mut page = ReportData {
            title: self.options.title.clone().unwrap_or_default(),
            pipeline: self.pipeline.clone(),
            generator: format!("atelier {}", env!("CARGO_PKG_VERSION")),
            ..ReportData::default()
        };
        if let Some(data) = &set {
            page.classes.clone_from(&data.info.classes);
            let merge = sources.of_kind(&["merge"]).next();
            let merge = merge.map(|(_, dir)| MergeReport::load(dir)).transpose()?;
            page.data = Some(data::describe(data, merge.as_ref())?);
        } else if let Some(model) = models.first() {
            page.classes.clone_from(&model.record.data.classes);
        }
        page.tuning = outcomes::tuning(&sources)?;
        page.models = models.iter().map(models::describe).collect::<Result<_>>()?;
        page.comparison = outcomes::comparison(&sources)?;
        if let Some(test) = test {
            for pair in &self.options.side_by_side {
                let find = |reference: &ModelRef| models.iter().find(|model| model.record.name == *reference.stage());
                if let (Some(first), Some(second)) = (find(&pair.first), find(&pair.second)) {
                    page.mistakes.push(pictures::mistakes(first, second, test, context.progress)?);
                }
            }
            let may_show: Vec<&Model> = models.iter().filter(|model| !self.not_shown.contains(&model.record.name)).collect();
            let shown = may_show.iter().rfind(|model| model.is_ensemble()).or(may_show.last());
            if let Some(model) = shown {
                page.predictions.push(pictures::predictions(model, test, context.progress)?);
            }
        }
        page.verification = outcomes::verification(&sources)?;
        page.scoring = outcomes::scoring(&sources)?;
        page.provenance = Some(self.provenance(&models, context));
        fs::write(&context.out.join(PAGE), render(&page))?;
        let content = Digest::of_bytes(render(&of_content_alone(page)).as_bytes());
        fs::write(&context.out.join(CONTENT), format!("{content}\n"))?;
        Ok(())
    }

    fn publish(&self, id: &StageId, _out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        Ok(vec![(PAGE.into(), format!("{id}.html").into())])
    }
}

/// The same page without what differs between two runs that give the same results: timings, and the keys of stages, which may
/// change without their output.
fn of_content_alone(mut page: ReportData) -> ReportData {
    let stages = page.provenance.iter_mut().flat_map(|provenance| &mut provenance.stages);
    stages.for_each(|stage| stage.key.clear());
    for training in page.models.iter_mut().filter_map(|model| model.training.as_mut()) {
        (training.seconds, training.images_per_second) = (0.0, 0.0);
    }
    page
}

impl ReportStage {
    fn provenance(&self, models: &[Model], context: &Context<'_>) -> Provenance {
        let fact = |name: &str, value: &str| Fact { name: name.to_owned(), value: value.to_owned() };
        let stages = self.sources.iter().filter_map(|source| {
            let output = context.digests.get(&source.id)?.to_string();
            let inputs = source.inputs.iter().map(StageId::to_string).collect();
            let key = context.keys.get(&source.id)?.to_string();
            Some(StageRecord { name: source.id.to_string(), kind: source.kind.to_owned(), inputs, key, output })
        });
        Provenance {
            seed: Some(self.seed),
            dataset_digest: models.first().map(|model| model.record.dataset.to_string()).unwrap_or_default(),
            facts: vec![fact("atelier", env!("CARGO_PKG_VERSION")), fact("target", std::env::consts::ARCH)],
            stages: stages.collect(),
        }
    }
}

/// The outputs that the page is made from.
pub(super) struct Sources<'a> {
    stage: &'a ReportStage,
    context: &'a Context<'a>,
}

impl<'a> Sources<'a> {
    /// The stages of certain kinds with the folders of their outputs, in the order of the plan.
    fn of_kind(&self, kinds: &'a [&'a str]) -> impl Iterator<Item = (&'a StageId, &'a Path)> {
        let inputs = self.context.inputs;
        self.stage
            .sources
            .iter()
            .filter(move |source| kinds.contains(&source.kind))
            .filter_map(move |source| Some((&source.id, inputs.get(&source.id)?.as_path())))
    }
}
