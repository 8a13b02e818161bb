//! The engine: executes a plan of stages with keys, a cache, a journal and a lock file. It knows nothing of machine
//! learning.
//!
//! A stage runs unless its output is in the cache already. "Already" is decided by the stage's *key*, a BLAKE3 hash of
//! canonical JSON of everything that the output may depend on ([`KeyParts`]):
//!
//! | hashed | not hashed |
//! |---|---|
//! | the stage's name and kind | where the artifacts folder is, the host, the user |
//! | the version of the kind's implementation | time stamps, durations, `-j` |
//! | the parameters it consumes | comments, order and layout of `pipeline.yaml` |
//! | the output digest of each input | how the input came to be |
//! | the content of files it reads outside the cache, and their names below the folder they share | that folder |
//! | the root seed, if it draws random numbers | the seed, if it does not |
//!
//! Because a key holds the *content* of the inputs, a stage that runs again and gives the same bytes makes nothing after
//! it run. Because every output stays under its key until the cache is cleaned, going back to an earlier parameter costs
//! nothing.
//!
//! [`forecast()`] says what would happen and why, comparing with the key parts that `pipeline.lock` records of the last
//! success; [`run()`] does it. Both judge stages by the same function.
//!
//! What the engine keeps is laid out so that a crash at any moment loses work but no truth:
//!
//! | file below `<artifacts>/` | |
//! |---|---|
//! | `.cache/objects/<key>/` | outputs, moved here by one rename when complete and synced, and checked at every use |
//! | `.cache/building/`, `.cache/scratch/<key>/` | outputs in the making; checkpoints of stages that have not succeeded |
//! | `.cache/quarantine/` | objects that were found damaged; they are computed again |
//! | `.cache/journal.jsonl` | the history of runs |
//! | `.cache/stamps.json` | digests of files that have not changed since they were hashed |
//! | `.cache/lock` | held by the one run that works in this folder |
//! | `pipeline.lock` | keys, key parts and output digests; written after the outputs it names are in place |
//! | everything else | published copies, restored from the cache when missing or edited; listed in `SHA256SUMS` |

mod cancel;
mod clock;
mod error;
mod events;
mod forecast;
mod journal;
mod judge;
mod key;
mod lockfile;
mod maintenance;
mod memory;
mod outside;
mod plan;
mod process;
mod publish;
mod run;
mod schedule;
mod select;
mod stage;
mod stamps;
mod store;
#[cfg(test)]
mod tests;

pub use cancel::{Cancel, Signal};
pub use clock::{Clock, SystemClock};
pub use error::EngineError;
pub use events::{Deaf, Event, Events};
pub use forecast::{Fate, Forecast, Outlook, forecast};
pub use journal::{Entry, Happening, read_journal};
pub use key::{KeyParts, Reason, describe};
pub use lockfile::{PipelineLock, Record};
pub use maintenance::{Cleaned, Listed, clean, find_output, list, verify};
pub use memory::peak_memory;
pub use outside::{OutsideFile, read_outside, write_outside};
pub use plan::{Plan, PlannedStage};
pub use run::{Outcome, RunOptions, StageReport, Status, Summary, run};
pub use select::Selection;
pub use stage::{Context, Stage, StageError};
pub use store::{Content, Manifest, Object};

/// The folder below the artifacts folder that belongs to the engine.
const CACHE_FOLDER: &str = ".cache";
/// The memory of file digests in the cache folder.
const STAMPS: &str = "stamps.json";
/// The file in the cache folder that the running process holds a lock on.
const LOCK: &str = "lock";
