//! The journal of a run: what it is, and how far it has come. It makes a run that was killed at any moment go on exactly.
//!
//! `<output>.journal` is a file of lines, each a digest and a JSON value that it is the digest of: first the identity of the
//! run, then one checkpoint after another. A checkpoint is written after the files it speaks of were synced, so that
//! whatever line is the last whole one is true. A line that was cut short is passed over. The file is locked while the run
//! lasts.
//!
//! The first line also tells that there may be other files under way. So a run that begins afresh leaves that of an earlier run
//! where it is until these files are removed, and then writes its own.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::block::Position;
use super::files::{journal_of, partial};
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
    /// Where the list of rejects is to be, if that can be written as text: so that what is left of it is found.
    #[serde(default)]
    pub(super) rejects_at: Option<String>,
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
        if let (Some(before), Some(after)) = (&self.rejects_at, &now.rejects_at)
            && !fs::is_same(Path::new(before), Path::new(after))
        {
            return Some(format!("its list of rejects was `{before}`, now it is `{after}`"));
        }
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

/// The journal of a run that lasts. It is locked as long.
#[derive(Debug)]
pub(super) struct Journal {
    file: GrowingFile,
    path: PathBuf,
}

/// A journal that was opened, and what an earlier run has left in it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) journal: Journal,
    /// How far the run has come that is to go on.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Whether an earlier run wrote to the same place and did not come to its end.
    pub(super) is_left: bool,
    /// Where that run's list of rejects was to be.
    pub(super) rejects_at: Option<PathBuf>,
}

impl Journal {
    /// Opens the journal of the run that writes to `place`. If the run is to go on and there is something to go on with, the
    /// last checkpoint comes with it, with all parts. Otherwise [`Journal::begin`] is to be called before anything is written.
    ///
    /// # Errors
    /// [`ScoreError::Held`] while another run writes to the same place; [`ScoreError::Invalid`] if the run that is to go on was
    /// another one, or what stands there is no journal.
    pub(super) fn open(place: &Path, identity: &Identity, resume: bool) -> Result<Opened, ScoreError> {
        let (path, lock, found) = Self::lock(place)?;
        let is_left = found.is_left();
        let rejects_at = found.identity.as_ref().and_then(|identity| identity.rejects_at.as_deref()).map(PathBuf::from);
        let checkpoint = match found.identity.filter(|_| resume) {
            Some(earlier) => {
                if let Some(difference) = earlier.difference(identity) {
                    let text = format!("the run that wrote `{}` cannot go on: {difference}", partial(place).display());
                    return Err(ScoreError::Invalid(format!("{text}; leave out `--resume` to begin afresh")));
                }
                found.checkpoint
            }
            None => None,
        };
        let bytes = if checkpoint.is_some() { found.bytes } else { found.first_line };
        Ok(Opened { journal: Self::cut(lock, path, bytes)?, checkpoint, is_left, rejects_at })
    }

    /// Opens the journal of work that writes to `place` and cannot be gone on with, for [`Journal::begin`]. Whether earlier work
    /// at the same place did not come to its end.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(super) fn open_afresh(place: &Path) -> Result<(Self, bool), ScoreError> {
        let (path, lock, found) = Self::lock(place)?;
        Ok((Self::cut(lock, path, found.first_line)?, found.is_left()))
    }

    fn lock(place: &Path) -> Result<(PathBuf, fs::Lock, Found), ScoreError> {
        let path = journal_of(place);
        if fs::is_plain(&path).is_some_and(|is_plain| !is_plain) {
            return Err(not_a_journal(&path));
        }
        let lock = fs::try_lock(&path)?.ok_or_else(|| ScoreError::Held(place.display().to_string()))?;
        let found = read(&path)?;
        Ok((path, lock, found))
    }

    fn cut(lock: fs::Lock, path: PathBuf, bytes: u64) -> Result<Self> {
        let file = GrowingFile::locked(lock, &path, bytes)?;
        file.sync()?; // before the files are removed of which the lines behind spoke
        Ok(Self { file, path })
    }

    /// Begins the journal: `identity` says what the work is. What earlier work has left must be gone by then.
    pub(super) fn begin(&mut self, identity: &impl Serialize) -> Result<()> {
        self.file.cut(0)?;
        self.write(identity)
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

    /// Removes it: nothing was made under it. What cannot be removed is harmless.
    pub(super) fn discard(&self) {
        drop(fs::remove(&self.path));
    }

    /// Removes it: the run is complete.
    pub(super) fn remove(self) -> Result<()> {
        fs::remove(&self.path)
    }
}

fn not_a_journal(path: &Path) -> ScoreError {
    let text = "is there already, and is no journal of this program; move it away, or write to another file";
    ScoreError::Invalid(format!("`{}` {text}", path.display()))
}

/// What a journal holds.
#[derive(Debug, Default)]
struct Found {
    /// None if another version of this program wrote it.
    identity: Option<Identity>,
    checkpoint: Option<Checkpoint>,
    /// The bytes of its first line, if that is whole.
    first_line: u64,
    /// The bytes of all whole lines.
    bytes: u64,
}

impl Found {
    /// Whether an earlier run may have made other files: it does so after the first line.
    fn is_left(&self) -> bool {
        self.first_line > 0
    }
}

/// Reads a journal.
///
/// # Errors
/// [`ScoreError::Invalid`] if it is something else.
fn read(path: &Path) -> Result<Found, ScoreError> {
    let text = fs::read(path)?;
    // A loss of power leaves zeros where something was being written.
    if text.iter().all(|&byte| byte == 0) {
        return Ok(Found::default());
    }
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    if json(first).is_none() {
        return if is_cut_short(first) { Ok(Found::default()) } else { Err(not_a_journal(path)) };
    }
    let first_line = first.len() as u64;
    let mut found = Found { identity: value(first), checkpoint: None, first_line, bytes: first_line };
    for line in lines {
        let Some(mut next) = value::<Checkpoint>(line) else { break };
        let mut parts = found.checkpoint.take().map(|last| last.parts).unwrap_or_default();
        parts.truncate(next.parts_before);
        parts.append(&mut next.parts);
        (next.parts, next.parts_before) = (parts, 0);
        found.checkpoint = Some(next);
        found.bytes += line.len() as u64;
    }
    Ok(found)
}

/// Whether a line could be the beginning of one of a journal.
fn is_cut_short(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let begins_json = |rest: &[u8]| rest == b" {" || rest == b" ["; // of a run, or of shards that are merged
    !line.ends_with(b"\n") && (digits == line.len().min(64)) && line.get(64..66).is_none_or(begins_json)
}

/// The value of a whole line.
fn value<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(json(line)?).ok()
}

/// The JSON of a whole line.
fn json(line: &[u8]) -> Option<&[u8]> {
    let (digest, json) = line.strip_suffix(b"\n")?.split_at_checked(64)?;
    let json = json.strip_prefix(b" ")?;
    let digest: Digest = std::str::from_utf8(digest).ok()?.parse().ok()?;
    (digest == Digest::of_bytes(json)).then_some(json)
}
