//! The journal of a run: what it is, and how far it has come. It makes a run that was killed at any moment go on exactly.
//!
//! `<output>.journal` is a file of lines, each a digest and a JSON value that it is the digest of: first the identity of the
//! run, then one checkpoint after another. A checkpoint is written after the files it speaks of were synced, so that
//! whatever line is the last whole one is true. A line that was cut short is passed over. The file is locked while the run
//! lasts.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::block::Position;
use super::manifest::{InputRecord, Part, Settings, Tally};
use super::{ScoreError, Shard};
use crate::digest::Digest;
use crate::fs::{self, GrowingFile};

/// What a run is: what must be equal for another run to go on with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) model: Digest,
    pub(super) options: Settings,
    pub(super) rejects: bool,
    pub(super) shard: Option<Shard>,
    pub(super) inputs: Vec<Given>,
}

/// A table as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) file: String,
    pub(super) bytes: Option<u64>,
}

impl Identity {
    /// What is different in `now`, if something is.
    fn difference(&self, now: &Self) -> Option<String> {
        let inputs = |run: &Self| {
            let given = |input: &Given| match input.bytes {
                Some(bytes) => format!("`{}` of {bytes} bytes", input.file),
                None => format!("`{}`", input.file),
            };
            run.inputs.iter().map(given).collect::<Vec<_>>().join(", ")
        };
        if self.model != now.model {
            return Some(format!("its model was {}, now it is {}", self.model.short(), now.model.short()));
        }
        if self.inputs != now.inputs {
            return Some(format!("its input was {}, now it is {}", inputs(self), inputs(now)));
        }
        let options = |run: &Self| {
            let mut value = serde_json::to_value(&run.options).unwrap_or_default();
            value["shard"] = run.shard.map_or(serde_json::Value::Null, |shard| shard.to_string().into());
            value["rejects"] = run.rejects.into();
            value
        };
        let (before, after) = (options(self), options(now));
        let keys = before.as_object().into_iter().flatten();
        let mut differing = keys.filter(|(key, value)| after.get(key.as_str()) != Some(*value));
        let (key, value) = differing.next()?;
        Some(format!("its option `{key}` was {value}, now it is {}", after[key.as_str()]))
    }
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) position: Position,
    /// The tables that are read to their end.
    pub(super) finished: Vec<InputRecord>,
    /// Set in every checkpoint that is in a journal.
    pub(super) output: Option<Written>,
    pub(super) rejects: Option<Written>,
    pub(super) tally: Tally,
    /// Of a shard: the bytes before its first part.
    pub(super) header: Part,
    /// Of a shard: its parts, from `parts_before` on. Those before are in the checkpoints before.
    pub(super) parts_before: usize,
    pub(super) parts: Vec<Part>,
}

/// How much of a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) digest: Digest,
}

/// The journal of a run that lasts.
#[derive(Debug)]
pub(super) struct Journal {
    file: GrowingFile,
    path: PathBuf,
    _lock: fs::Lock,
}

/// Where a file is built that is to be at `path`.
pub(super) fn partial(path: &Path) -> PathBuf {
    beside(path, ".partial")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl Journal {
    /// Opens the journal of the run that writes `output`: an empty one, or, if the run is to go on and there is something to
    /// go on with, the journal that is there, and its last checkpoint with all parts.
    ///
    /// # Errors
    /// [`ScoreError::Held`] while another run writes the same output; [`ScoreError::Invalid`] if the run that is to go on was
    /// another one.
    pub(super) fn open(output: &Path, identity: &Identity, resume: bool) -> Result<(Self, Option<Checkpoint>), ScoreError> {
        let path = beside(output, ".journal");
        let lock = fs::try_lock(&path)?.ok_or_else(|| ScoreError::Held(output.display().to_string()))?;
        let (checkpoint, bytes) = match resume.then(|| read(&path)).transpose()?.flatten() {
            Some((found, checkpoint, bytes)) => {
                if let Some(difference) = found.difference(identity) {
                    let text = format!("the run that wrote `{}` cannot go on: {difference}", partial(output).display());
                    return Err(ScoreError::Invalid(format!("{text}; leave out `--resume` to begin afresh")));
                }
                (checkpoint, bytes)
            }
            None => (None, 0),
        };
        let file = GrowingFile::after(&path, if checkpoint.is_some() { bytes } else { 0 })?;
        let mut journal = Self { file, path, _lock: lock };
        if checkpoint.is_none() {
            journal.write(identity)?;
        }
        Ok((journal, checkpoint))
    }

    /// Puts a line down for good.
    pub(super) fn write(&mut self, value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(value).context("a journal line cannot be written as JSON")?;
        let line = format!("{} {json}\n", Digest::of_bytes(json.as_bytes()));
        self.file.write_all(line.as_bytes()).with_context(|| format!("cannot write `{}`", self.path.display()))?;
        self.file.sync()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it: the run is complete.
    pub(super) fn remove(self) -> Result<()> {
        fs::remove(&self.path)
    }
}

/// The identity and the last checkpoint in a journal, and how many of its bytes are whole lines; `None` without an identity.
fn read(path: &Path) -> Result<Option<(Identity, Option<Checkpoint>, u64)>> {
    let text = fs::read(path)?;
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    let Some((first, identity)) = lines.next().and_then(|line| Some((line, value(line)?))) else { return Ok(None) };
    let mut bytes = first.len();
    let mut last: Option<Checkpoint> = None;
    for line in lines {
        let Some(mut next) = value::<Checkpoint>(line) else { break };
        let mut parts = last.take().map(|last| last.parts).unwrap_or_default();
        parts.truncate(next.parts_before);
        parts.append(&mut next.parts);
        (next.parts, next.parts_before) = (parts, 0);
        last = Some(next);
        bytes += line.len();
    }
    Ok(Some((identity, last, bytes as u64)))
}

/// The value of a whole line.
fn value<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (digest, json) = line.strip_suffix(b"\n")?.split_at_checked(64)?;
    let json = json.strip_prefix(b" ")?;
    let digest: Digest = std::str::from_utf8(digest).ok()?.parse().ok()?;
    (digest == Digest::of_bytes(json)).then(|| serde_json::from_slice(json).ok()).flatten()
}
