//! The forecast: what a run would do, stage by stage, and why. It changes nothing on disk.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::clock::Clock;
use super::error::EngineError;
use super::heal;
use super::judge::{Case, Source, Verdict, judge};
use super::key::{KeyParts, Reason, describe};
use super::lockfile::PipelineLock;
use super::plan::{Plan, PlannedStage};
use super::publish;
use super::run::RunOptions;
use super::stamps::Stamps;
use super::store::Store;
use crate::digest::Digest;
use crate::graph::StageId;

/// What would become of each selected stage, in running order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// One per selected stage.
    pub outlooks: Vec<Outlook>,
}

impl Forecast {
    /// Whether any stage would run.
    pub fn has_work(&self) -> bool {
        self.outlooks.iter().any(|outlook| !matches!(outlook.fate, Fate::Cached { .. }))
    }

    /// The stages that would run, or would have to once their inputs have.
    pub fn running(&self) -> BTreeSet<&StageId> {
        let runs = |outlook: &&Outlook| matches!(outlook.fate, Fate::Runs { .. } | Fate::Depends { .. });
        self.outlooks.iter().filter(runs).map(|outlook| &outlook.stage).collect()
    }

    /// What would become of the stage `id`, if it was selected.
    pub fn outlook(&self, id: &StageId) -> Option<&Outlook> {
        self.outlooks.iter().find(|outlook| outlook.stage == *id)
    }
}

/// What would become of one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlook {
    /// The stage.
    pub stage: StageId,
    /// Its kind.
    pub kind: &'static str,
    /// Its key; none if an input must run first.
    pub key: Option<Digest>,
    /// What the key is made of, as far as it is known.
    pub parts: Option<KeyParts>,
    /// What would happen.
    pub fate: Fate,
}

/// What would happen to one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// Its output is in the cache.
    Cached {
        /// The digest of the output.
        output: Digest,
        /// Published files that would be put back, below the artifacts folder.
        restores: Vec<String>,
    },
    /// It would run.
    Runs {
        /// Why.
        reasons: Vec<Reason>,
    },
    /// It would run once its inputs have, unless they turn out as they were.
    Depends {
        /// The inputs that would run.
        reasons: Vec<Reason>,
    },
    /// It could not run.
    Fails {
        /// Why.
        error: String,
    },
}

/// Says what a run with these options would do.
///
/// # Errors
/// As [`run()`](super::run()): an unknown or unready selection, a damaged lock file.
pub fn forecast(plan: &Plan, options: &RunOptions, clock: &dyn Clock) -> Result<Forecast, EngineError> {
    let selected = options.selection.apply(plan)?;
    let store = Store::new(plan.cache_folder());
    let stamps = Stamps::open(plan.cache_folder().join(super::STAMPS), clock.now());
    let lock = PipelineLock::read(plan.artifacts()).map_err(EngineError::Corrupt)?;
    let mut sources = BTreeMap::new();
    let mut outlooks = Vec::new();
    for planned in plan.stages() {
        let is_chosen = selected.chosen.contains(&planned.id);
        if !is_chosen && !selected.given.contains(&planned.id) {
            continue;
        }
        let record = lock.as_ref().and_then(|lock| lock.stages.get(&planned.id));
        let forced = is_chosen && options.is_forced();
        let case = Case { planned, seed: plan.seed(), record, sources: &sources, forced };
        let (outlook, source) = look_ahead(plan, &case, &store, &stamps);
        if let Some(source) = source {
            sources.insert(planned.id.clone(), source);
        } else if !is_chosen {
            return Err(EngineError::NotReady { stage: planned.id.clone(), why: outlook.fate.why() });
        }
        if is_chosen {
            outlooks.push(outlook);
        }
    }
    Ok(Forecast { outlooks })
}

impl Fate {
    /// The reasons on one line; empty for a cached stage.
    pub fn why(&self) -> String {
        match self {
            Self::Cached { .. } => String::new(),
            // That the inputs of a stage will change says nothing while there is nothing they could differ from.
            Self::Runs { reasons } if reasons.contains(&Reason::NeverRun) => Reason::NeverRun.to_string(),
            Self::Runs { reasons } | Self::Depends { reasons } => describe(reasons),
            Self::Fails { error } => error.clone(),
        }
    }
}

/// The output of a stage that is damaged in the cache and will be mended from its published copies.
fn mendable(
    plan: &Plan,
    case: &Case<'_>,
    parts: &KeyParts,
    reasons: &[Reason],
    store: &Store,
    stamps: &Stamps,
) -> Option<(Digest, Source)> {
    let [Reason::OutputDamaged { .. }] = reasons else { return None };
    let key = parts.key();
    heal::find(store, key, case.record, plan.artifacts(), stamps).ok()??;
    let output = case.record?.output;
    Some((output, Source { files: store.find(key)?, key, output }))
}

fn look_ahead(plan: &Plan, case: &Case<'_>, store: &Store, stamps: &Stamps) -> (Outlook, Option<Source>) {
    let PlannedStage { id, stage } = case.planned;
    let outlook = |key, parts, fate| Outlook { stage: id.clone(), kind: stage.kind(), key, parts, fate };
    match judge(case, store, stamps) {
        Err(error) => (outlook(None, None, Fate::Fails { error: format!("{error:#}") }), None),
        Ok(Verdict::Runs { parts, reasons }) => {
            if let Some((output, source)) = mendable(plan, case, &parts, &reasons, store, stamps) {
                let fate = Fate::Cached { output, restores: Vec::new() };
                return (outlook(Some(parts.key()), Some(parts), fate), Some(source));
            }
            let is_upstream = |reason: &Reason| matches!(reason, Reason::UpstreamRuns { .. });
            let key = (!reasons.iter().any(is_upstream)).then(|| parts.key());
            let depends = reasons.iter().all(is_upstream);
            let fate = if depends { Fate::Depends { reasons } } else { Fate::Runs { reasons } };
            (outlook(key, Some(parts), fate), None)
        }
        Ok(Verdict::Cached { parts, object }) => {
            let places = publish::places(case.planned, &object);
            match places.and_then(|places| publish::stale(plan.artifacts(), &object, &places, stamps)) {
                Err(error) => (outlook(Some(parts.key()), Some(parts), Fate::Fails { error: format!("{error:#}") }), None),
                Ok(restores) => {
                    let fate = Fate::Cached { output: object.manifest.output(), restores };
                    (outlook(Some(parts.key()), Some(parts), fate), Some(Source::from(&*object)))
                }
            }
        }
    }
}
