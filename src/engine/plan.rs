//! A plan: stages that were checked and can be run, in an order in which they can run, and where their results go.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use super::stage::Stage;
use crate::graph::{Graph, GraphError, StageId};
use crate::seed::Seed;

/// A stage and its name.
pub struct PlannedStage {
    /// The name.
    pub id: StageId,
    /// What it does.
    pub stage: Box<dyn Stage>,
}

impl fmt::Debug for PlannedStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlannedStage({}: {})", self.id, self.stage.kind())
    }
}

/// A pipeline that can be run.
#[derive(Debug)]
pub struct Plan {
    name: String,
    seed: Seed,
    artifacts: PathBuf,
    stages: Vec<PlannedStage>,
    graph: Graph,
    families: BTreeMap<StageId, Vec<StageId>>,
}

impl Plan {
    /// A plan of `stages` for the pipeline `name`, with results in the folder `artifacts`. The stages may come in any
    /// order; among those that could run next, the one given first does.
    ///
    /// # Errors
    /// When the stages and their inputs are not a graph.
    pub fn new(name: impl Into<String>, seed: Seed, artifacts: PathBuf, stages: Vec<PlannedStage>) -> Result<Self, GraphError> {
        let graph = Graph::new(stages.iter().map(|planned| (planned.id.clone(), planned.stage.inputs())).collect())?;
        let mut stages = stages;
        let order: HashMap<&StageId, usize> = graph.order().enumerate().map(|(position, id)| (id, position)).collect();
        stages.sort_by_key(|planned| order[&planned.id]);
        Ok(Self { name: name.into(), seed, artifacts, stages, graph, families: BTreeMap::new() })
    }

    /// The same plan, in which some names stand for several stages: `optimum` for `optimum` and `optimum-2`.
    pub fn with_families(self, families: BTreeMap<StageId, Vec<StageId>>) -> Self {
        Self { families, ..self }
    }

    /// The stages that a user means by `name`: those of its family, or the stage itself.
    pub fn meant_by(&self, name: &StageId) -> Vec<StageId> {
        self.families.get(name).cloned().unwrap_or_else(|| vec![name.clone()])
    }

    /// The name that stands for `id` and for others, with all of them.
    pub fn family_of(&self, id: &StageId) -> Option<(&StageId, &[StageId])> {
        self.families.iter().find(|(_, stages)| stages.contains(id)).map(|(name, stages)| (name, stages.as_slice()))
    }

    /// The name of the pipeline.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The root seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The folder of all results.
    pub fn artifacts(&self) -> &Path {
        &self.artifacts
    }

    /// The folder of everything the engine keeps for itself.
    pub fn cache_folder(&self) -> PathBuf {
        self.artifacts.join(super::CACHE_FOLDER)
    }

    /// All stages, each after everything it reads.
    pub fn stages(&self) -> &[PlannedStage] {
        &self.stages
    }

    /// The stage `id`.
    pub fn stage(&self, id: &StageId) -> Option<&PlannedStage> {
        self.stages.iter().find(|planned| planned.id == *id)
    }

    /// Which stage reads which.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
}
