//! Whether stages fit into memory: those that are going to run, each by itself and beside those that may run at the same time.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::graph::{Graph, StageId};
use crate::spec::{Place, Problem, Problems};

/// What the program takes without a stage: code, threads, tables.
pub(super) const BASE: u64 = 32 << 20;

/// Of the stages that are going to run, so many of those that need most are looked at side by side.
const MOST_SIDE_BY_SIDE: usize = 100;

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

/// The memory that a stage is estimated to need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Bytes that the process holds while the stage runs.
    pub bytes: u64,
    /// What most of it is for.
    pub largest: String,
    /// How much that is.
    pub largest_bytes: u64,
    /// Where the stage stands.
    pub(super) stage: Place,
    /// Where the option stands that the largest part follows from.
    pub(super) option: Place,
    /// The stage's name in the file.
    pub(super) entry: StageId,
}

/// The memory that the stages of a pipeline are estimated to need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs(pub(super) BTreeMap<StageId, Need>);

impl Needs {
    /// Of some stages, the one that needs most, and what it needs.
    pub fn largest<'a>(&'a self, stages: impl IntoIterator<Item = &'a StageId>) -> Option<(&'a StageId, &'a Need)> {
        let known = stages.into_iter().filter_map(|id| self.0.get_key_value(id));
        known.max_by_key(|(_, need)| need.bytes)
    }

    /// Whether all is well whichever stages run, and whichever side by side.
    pub fn always_fit(&self, budget: &Budget) -> bool {
        let mut all: Vec<u64> = self.0.values().map(|need| need.bytes - BASE).collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        let most = all.into_iter().take(budget.jobs).fold(BASE, u64::saturating_add);
        budget.bytes.is_none_or(|bytes| most <= bytes)
    }

    /// What does not fit of the stages `running`, those of `graph` that are going to run.
    pub fn problems(&self, running: &BTreeSet<&StageId>, graph: &Graph, budget: &Budget) -> Problems {
        let mut problems = Problems::new();
        let Some(most) = budget.bytes else { return problems };
        let mut all: Vec<(&StageId, &Need)> = self.0.iter().filter(|(id, _)| running.contains(id)).collect();
        let mut told: BTreeSet<&StageId> = BTreeSet::new();
        for (id, need) in all.iter().filter(|(_, need)| need.bytes > most) {
            // What is said of one seed holds for all.
            if told.insert(&need.entry) {
                problems.push(Problem {
                    place: need.option.clone(),
                    message: format!(
                        "stage `{id}` needs about {} of memory, {} of it for {}; {} {}",
                        said(need.bytes),
                        said(need.largest_bytes),
                        need.largest,
                        said(most),
                        budget.said
                    ),
                    help: Some("make it smaller, or allow more with `--max-memory`".to_owned()),
                });
            }
        }
        if problems.is_empty() {
            all.sort_by_key(|(_, need)| std::cmp::Reverse(need.bytes));
            let (stages, sum) = side_by_side(&all, graph, budget.jobs);
            if let (true, [(_, first), ..]) = (sum > most, &stages[..]) {
                let names: Vec<String> = stages.iter().take(5).map(|(id, _)| format!("`{id}`")).collect();
                problems.push(Problem {
                    place: first.stage.clone(),
                    message: format!(
                        "side by side, {} need about {} of memory; {} {}",
                        names.join(", "),
                        said(sum),
                        said(most),
                        budget.said
                    ),
                    help: Some("lower `--jobs`, or allow more with `--max-memory`".to_owned()),
                });
            }
        }
        problems
    }
}

/// Stages of which none needs another, so that `jobs` workers may run them at once, and what they need together. Of `all`, those first
/// that need most, each is tried as the first of such stages, and joined by what fits to it in this order: there may be others that need
/// more, but none is named that cannot be.
fn side_by_side<'a>(all: &[(&'a StageId, &'a Need)], graph: &Graph, jobs: usize) -> (Vec<(&'a StageId, &'a Need)>, u64) {
    let all = &all[..all.len().min(MOST_SIDE_BY_SIDE)];
    let later: Vec<HashSet<&StageId>> = all.iter().map(|(id, _)| graph.descendants(id).into_iter().collect()).collect();
    let is_apart = |one: usize, other: usize| !later[one].contains(all[other].0) && !later[other].contains(all[one].0);
    let from = |first: usize| {
        let mut chosen = vec![first];
        for next in (0..all.len()).filter(|next| *next != first) {
            if chosen.len() < jobs && chosen.iter().all(|other| is_apart(*other, next)) {
                chosen.push(next);
            }
        }
        chosen.sort_unstable();
        let sum = chosen.iter().fold(BASE, |sum, place| sum.saturating_add(all[*place].1.bytes - BASE));
        (chosen.into_iter().map(|place| all[place]).collect::<Vec<_>>(), sum)
    };
    // Of those that need as much, the first.
    (0..all.len()).map(from).rev().max_by_key(|(_, sum)| *sum).unwrap_or_default()
}

/// A number of bytes in three digits.
fn said(bytes: u64) -> String {
    let mut value = bytes as f64 / 1e6;
    for unit in ["MB", "GB", "TB", "PB"] {
        if value < 999.5 || unit == "PB" {
            return if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") };
        }
        value /= 1000.0;
    }
    unreachable!("the last unit always does")
}
