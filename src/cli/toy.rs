//! A toy pipeline for the tests of the verbs: raw text, and a model that publishes figures.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::engine::{Cancel, Context, Deaf, Plan, PlannedStage, RunOptions, Stage, StageError, Summary, SystemClock, run};
use crate::fs;
use crate::graph::StageId;
use crate::seed::Seed;

struct Raw;

impl Stage for Raw {
    fn kind(&self) -> &'static str {
        "fetch"
    }

    fn version(&self) -> u32 {
        1
    }

    fn parameters(&self) -> serde_json::Value {
        json!({})
    }

    fn inputs(&self) -> Vec<StageId> {
        Vec::new()
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        Ok(fs::write(&context.out.join("raw.txt"), "raw")?)
    }
}

struct Model {
    accuracy: f64,
}

impl Stage for Model {
    fn kind(&self) -> &'static str {
        "train"
    }

    fn version(&self) -> u32 {
        3
    }

    fn parameters(&self) -> serde_json::Value {
        json!({ "accuracy": self.accuracy, "optimizer": { "adamw": { "learning_rate": 0.001 } } })
    }

    fn inputs(&self) -> Vec<StageId> {
        vec!["raw".parse().unwrap()]
    }

    fn is_seeded(&self) -> bool {
        true
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let figures = json!({ "model": context.id, "test": { "accuracy": self.accuracy } });
        Ok(fs::write_json(&context.out.join("figures.json"), &figures)?)
    }

    fn publish(&self, id: &StageId, _out: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
        Ok(vec![("figures.json".into(), format!("{id}/metrics.json").into())])
    }
}

/// The stages `raw` and `basic`, a model of this accuracy, with results in `artifacts`.
pub(super) fn plan(artifacts: &Path, accuracy: f64) -> Plan {
    let stage = |name: &str, stage: Box<dyn Stage>| PlannedStage { id: name.parse().unwrap(), stage };
    let stages = vec![stage("raw", Box::new(Raw)), stage("basic", Box::new(Model { accuracy }))];
    Plan::new("toys", Seed::new(42), artifacts.to_owned(), stages).unwrap()
}

/// Runs that pipeline.
pub(super) fn run_toys(artifacts: &Path, accuracy: f64) -> Summary {
    run(&plan(artifacts, accuracy), &RunOptions::default(), &Deaf, &SystemClock::new(), &Cancel::new()).unwrap()
}
