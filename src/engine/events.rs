//! Events: what the engine tells its caller while it runs. It prints nothing itself.

use super::key::Reason;
use super::run::Outcome;
use super::stage::StageError;
use crate::graph::StageId;

/// Hears what happens in a run. Called from several threads.
pub trait Events: Sync {
    /// Something happened.
    fn on(&self, event: &Event<'_>);
}

/// What can happen in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// The run begins.
    RunStarted {
        /// The name of the pipeline.
        pipeline: &'a str,
        /// How many stages were selected.
        stages: usize,
    },
    /// A stage need not run.
    Cached {
        /// The stage.
        stage: &'a StageId,
    },
    /// A stage begins.
    Started {
        /// The stage.
        stage: &'a StageId,
        /// Its kind.
        kind: &'static str,
        /// Why it runs.
        reasons: &'a [Reason],
    },
    /// A running stage begins a part of its work.
    Begin {
        /// The stage.
        stage: &'a StageId,
        /// The part.
        what: &'a str,
        /// How many units there are to do; 0 if that is not known.
        total: u64,
        /// What a unit is, in the plural.
        unit: &'a str,
    },
    /// A running stage has done so many units of its present part.
    Advance {
        /// The stage.
        stage: &'a StageId,
        /// Units done.
        done: u64,
        /// A current figure.
        message: &'a str,
    },
    /// A running stage has a line worth keeping.
    Note {
        /// The stage.
        stage: &'a StageId,
        /// The line.
        line: &'a str,
    },
    /// Something the user should know and that is not an error.
    Warning {
        /// The stage it concerns, if it concerns one.
        stage: Option<&'a StageId>,
        /// The line.
        line: &'a str,
    },
    /// Published files were missing or edited and have been put back from the cache.
    Restored {
        /// The stage that publishes them.
        stage: &'a StageId,
        /// Their places below the artifacts folder.
        places: &'a [String],
    },
    /// A stage succeeded.
    Finished {
        /// The stage.
        stage: &'a StageId,
        /// How long it took.
        seconds: f64,
        /// Whether its output has the same bytes as that of its last success.
        unchanged: bool,
    },
    /// A stage failed.
    Failed {
        /// The stage.
        stage: &'a StageId,
        /// Why.
        error: &'a StageError,
        /// How long it took.
        seconds: f64,
    },
    /// A stage stopped because the run was asked to; it can go on from where it was.
    Interrupted {
        /// The stage.
        stage: &'a StageId,
        /// How long it ran.
        seconds: f64,
    },
    /// A stage was not started, because something that it needs failed or because the run stops.
    Skipped {
        /// The stage.
        stage: &'a StageId,
        /// Inputs that failed, or that were not started because of a failure; empty if the run merely stopped.
        missing: &'a [StageId],
    },
    /// The run ended.
    RunFinished {
        /// How.
        outcome: Outcome,
    },
}

/// Hears nothing: for tests and library users.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl Events for Deaf {
    fn on(&self, _event: &Event<'_>) {}
}
