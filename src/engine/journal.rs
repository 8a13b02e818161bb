//! The journal: what every run did and when, one JSON object per line, only ever appended to.
//!
//! It is a history for people and for comparisons between runs; no decision of the engine rests on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::key::Reason;
use super::run::Outcome;
use crate::digest::Digest;
use crate::fs;
use crate::graph::StageId;

const FILE_NAME: &str = "journal.jsonl";

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since 1970-01-01 00:00 UTC.
    pub time: u64,
    /// The run: when it started, on the same scale.
    pub run: u64,
    /// What happened.
    #[serde(flatten)]
    pub happening: Happening,
}

/// What a line of the journal tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// A run began.
    RunStarted {
        /// The name of the pipeline.
        pipeline: String,
        /// The version of the program.
        program: String,
    },
    /// A stage began.
    StageStarted {
        /// The stage.
        stage: StageId,
        /// Its key.
        key: Digest,
        /// Why it ran.
        reasons: Vec<Reason>,
    },
    /// A stage succeeded.
    StageFinished {
        /// The stage.
        stage: StageId,
        /// Its key.
        key: Digest,
        /// The digest of its output.
        output: Digest,
        /// How long it took.
        seconds: f64,
    },
    /// A stage failed.
    StageFailed {
        /// The stage.
        stage: StageId,
        /// Why.
        error: String,
        /// How long it took.
        seconds: f64,
    },
    /// A stage was interrupted.
    StageInterrupted {
        /// The stage.
        stage: StageId,
        /// How long it ran.
        seconds: f64,
    },
    /// A run ended.
    RunFinished {
        /// How.
        outcome: Outcome,
        /// How long it took.
        seconds: f64,
        /// The most memory the process held, in bytes, where the system says so.
        peak_memory: Option<u64>,
        /// How many stages were run to their end.
        ran: usize,
        /// The key of every stage with a valid output, run or cached.
        keys: BTreeMap<StageId, Digest>,
    },
}

/// Writes the lines of one run.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    run: u64,
}

impl Journal {
    /// Starts the journal of a run that begins at `now`, in the folder `cache`.
    pub(super) fn begin(cache: &Path, now: Duration) -> Result<Self> {
        let path = cache.join(FILE_NAME);
        if path.exists() && !fs::read(&path)?.ends_with(b"\n") {
            fs::append_line(&path, "")?; // ends the line that a crash cut short
        }
        Ok(Self { path, run: milliseconds(now) })
    }

    pub(super) fn write(&self, now: Duration, happening: Happening) -> Result<()> {
        let entry = Entry { time: milliseconds(now), run: self.run, happening };
        fs::append_line(&self.path, &serde_json::to_string(&entry)?)
    }
}

/// All lines of the journal below the folder `artifacts`, oldest first. A line that was cut short by a crash is left out.
///
/// # Errors
/// Names the path and the system's reason.
pub fn read_journal(artifacts: &Path) -> Result<Vec<Entry>> {
    let path = artifacts.join(super::CACHE_FOLDER).join(FILE_NAME);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read(&path)?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_costs_itself_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join(super::super::CACHE_FOLDER);
        fs::create_dir(&cache).unwrap();
        let finished = Happening::StageInterrupted { stage: "basic".parse().unwrap(), seconds: 1.5 };
        let write = |milliseconds: u64| {
            let time = Duration::from_millis(milliseconds);
            Journal::begin(&cache, time).unwrap().write(time, finished.clone()).unwrap();
        };
        write(1);
        let path = cache.join(FILE_NAME);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(br#"{"time": 2, "ru"#);
        fs::write(&path, bytes).unwrap();
        write(3);
        let entry = |time| Entry { time, run: time, happening: finished.clone() };
        assert_eq!(read_journal(dir.path()).unwrap(), [entry(1), entry(3)]);
    }
}
