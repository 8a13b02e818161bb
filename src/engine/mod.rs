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
//! | `.cache/objects/<key>/` | outputs, moved here by one rename when complete and synced, and read again before anything is made from them |
//! | `.cache/building/`, `.cache/scratch/<key>/` | outputs in the making; checkpoints of stages that have not succeeded |
//! | `.cache/quarantine/` | objects that were found damaged; they are computed again |
//! | `.cache/journal.jsonl` | the history of runs |
//! | `.cache/stamps.json` | digests of files that have not changed since they were hashed |
//! | `.cache/lock` | held by the one run that works in this folder |
//! | `pipeline.lock` | keys, key parts and output digests; written after the outputs that it names are in the cache, and before they are published |
//! | everything else | published copies, restored from the cache when missing or edited; results are listed in `SHA256SUMS`, files that tell how long the work took in `SHA256SUMS.measured` |
//!
//! Nothing is made from what is not as it should be:
//!
//! | what may be wrong | how it is noticed |
//! |---|---|
//! | a file outside the cache was replaced, with its length and time kept | stamps hold the time of the inode's change, which cannot be set; files that changed within two seconds are hashed again |
//! | it is replaced while a stage reads it | it is hashed before and after; readers digest what they read and hold it against the key |
//! | a cached output has lost a bit | stamps where it stays where it is; read from disk before anything is made from it or published |
//! | a published file has | it is read by every run that selects its stage (longer than 256 MB: its stamp) |
//! | a manifest was changed | it holds its own digest; those of earlier versions are held against `pipeline.lock` |
//! | published files do not belong together | `pipeline.lock` tells what each was made from; what does not fit is withdrawn ([`PipelineLock::outdated`]) |
//!
//! What is damaged is set aside and made again by the same run, before what needs it.

mod cancel;
mod clock;
mod error;
mod events;
mod forecast;
mod heal;
mod inspect;
mod journal;
mod judge;
mod key;
mod lockfile;
mod look;
mod maintenance;
mod memory;
mod outside;
mod plan;
mod process;
mod publish;
mod run;
mod schedule;
mod select;
mod settle;
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
pub use memory::{Available, Limit, available_memory, peak_memory};
pub use outside::{OutsideFile, read_outside, write_outside};
pub use plan::{Plan, PlannedStage};
pub use run::{Outcome, RunOptions, StageReport, Status, Summary, run};
pub use select::Selection;
pub use stage::{Context, Stage, StageError};
pub use store::{Content, Manifest, Object};

/// The names in the artifacts folder that belong to the engine: no stage can publish there.
pub const OWN_NAMES: [&str; 4] = [CACHE_FOLDER, publish::SUMS, publish::MEASURED_SUMS, lockfile::FILE_NAME];

/// The folder below the artifacts folder that belongs to the engine.
const CACHE_FOLDER: &str = ".cache";
/// The memory of file digests in the cache folder.
const STAMPS: &str = "stamps.json";
/// The file in the cache folder that the running process holds a lock on.
const LOCK: &str = "lock";
