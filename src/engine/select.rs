//! Which stages of a plan a run is about.

use std::collections::BTreeSet;

use super::error::EngineError;
use super::plan::Plan;
use crate::graph::StageId;

/// The stages that a run may execute. A name that stands for several stages means all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// These and everything they need.
    Until(Vec<StageId>),
    /// These alone; what else they need must be in the cache.
    Single(Vec<StageId>),
    /// These and everything that needs them; what else those need must be in the cache.
    Downstream(Vec<StageId>),
}

/// A selection applied to a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    /// The stages that may be executed.
    pub(super) chosen: BTreeSet<StageId>,
    /// The stages that those need and that must be in the cache, each after everything it reads.
    pub(super) given: Vec<StageId>,
}

impl Selection {
    pub(super) fn apply(&self, plan: &Plan) -> Result<Selected, EngineError> {
        let graph = plan.graph();
        let named: Vec<StageId> = match self {
            Self::All => Vec::new(),
            Self::Until(ids) | Self::Single(ids) | Self::Downstream(ids) => ids.iter().flat_map(|id| plan.meant_by(id)).collect(),
        };
        if let Some(id) = named.iter().find(|id| !graph.contains(id)) {
            return Err(EngineError::UnknownStage { stage: id.clone(), nearest: nearest(plan, id) });
        }
        let reach = |id| match self {
            Self::Until(_) => graph.ancestors(id),
            Self::Downstream(_) => graph.descendants(id),
            Self::All | Self::Single(_) => Vec::new(),
        };
        let chosen: BTreeSet<StageId> = match self {
            Self::All => graph.order().cloned().collect(),
            _ => named.iter().flat_map(|id| reach(id).into_iter().chain([id])).cloned().collect(),
        };
        let needed: BTreeSet<&StageId> = chosen.iter().flat_map(|id| graph.ancestors(id)).collect();
        let given = graph.order().filter(|id| needed.contains(id) && !chosen.contains(id)).cloned().collect();
        Ok(Selected { chosen, given })
    }
}

/// The stage whose name is most like `id`, if one is at all like it.
pub(super) fn nearest(plan: &Plan, id: &StageId) -> Option<StageId> {
    let likeness = |other: &StageId| strsim::jaro_winkler(id.as_str(), other.as_str());
    let candidates = plan.graph().order().map(|other| (likeness(other), other));
    candidates.filter(|(likeness, _)| *likeness > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, other)| other.clone())
}
