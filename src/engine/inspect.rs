//! A look at what a run will rest on, before it rests on it.
//!
//! A cached output counts while the stamps of its files are as remembered. That is good enough to leave an output where it
//! is, and not to make other outputs from it: storage that has lost a bit says nothing of it in a stamp. So everything that
//! a stage reads which is going to run is read from disk first. What turns out to be damaged is then made again like
//! anything else that is damaged, before the stages that need it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::judge::{Case, Source, Verdict, judge};
use super::process::Workspace;
use super::select::Selected;
use super::store::Lookup;
use crate::graph::StageId;

/// Reads the cached outputs that the selected stages need as far as these are going to run, so that no judgement of them
/// rests on memory.
///
/// # Errors
/// What the system refuses.
pub(super) fn read_what_is_needed(workspace: &Workspace<'_>, selected: &Selected) -> Result<()> {
    let plan = workspace.plan;
    let mut sources: BTreeMap<StageId, Source> = BTreeMap::new();
    let mut needed: Vec<StageId> = Vec::new();
    for planned in plan.stages() {
        let is_chosen = selected.chosen.contains(&planned.id);
        if !is_chosen && !selected.given.contains(&planned.id) {
            continue;
        }
        let record = workspace.record(&planned.id);
        let forced = is_chosen && workspace.options.is_forced();
        let case = Case { planned, seed: plan.seed(), record: record.as_ref(), sources: &sources, forced };
        match judge(&case, &workspace.store, &workspace.stamps) {
            Ok(Verdict::Cached { object, .. }) => {
                sources.insert(planned.id.clone(), Source::from(&*object));
            }
            // What cannot be judged fails in the run, where that is told.
            Ok(Verdict::Runs { .. }) | Err(_) => needed.extend(planned.stage.inputs()),
        }
    }
    let mut seen = BTreeSet::new();
    while let Some(id) = needed.pop() {
        let Some(source) = sources.get(&id).filter(|_| seen.insert(id.clone())) else { continue };
        workspace.store.read(source.key, &workspace.stamps)?;
        if !matches!(workspace.store.look_up(source.key, None, &workspace.stamps)?, Lookup::Found(_)) {
            needed.extend(plan.stage(&id).into_iter().flat_map(|planned| planned.stage.inputs()));
        }
    }
    Ok(())
}
