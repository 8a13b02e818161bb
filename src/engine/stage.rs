//! The seam between the engine and the work: what a stage tells the engine, and what the engine gives it to run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::digest::Digest;
use crate::graph::StageId;
use crate::progress::{Interrupted, Progress};
use crate::seed::Seed;

/// A stage that was checked and can be run.
///
/// A stage is a function from its parameters, its inputs' content and its seed to files in a folder. Nothing else may
/// influence what it writes.
pub trait Stage: Send + Sync {
    /// The kind, as written in `pipeline.yaml`: `train`.
    fn kind(&self) -> &'static str;

    /// Counts up whenever the same parameters and inputs would give other output than before.
    fn version(&self) -> u32;

    /// The parameters that its output depends on, and no others: no paths of the machine, no numbers of threads.
    fn parameters(&self) -> serde_json::Value;

    /// The stages whose outputs it reads, each once.
    fn inputs(&self) -> Vec<StageId>;

    /// Whether its output depends on the seed.
    fn is_seeded(&self) -> bool {
        false
    }

    /// The name from which its seed derives, where that is not its own: stages that must draw the same have the same.
    fn seed_name(&self) -> Option<String> {
        None
    }

    /// Files outside the cache that it reads; their digests become part of the key. Asked only when every input is there;
    /// `inputs` maps each input stage to the folder of its output.
    ///
    /// # Errors
    /// When the files cannot be found; says what was looked for.
    fn reads(&self, inputs: &BTreeMap<StageId, PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
        let _ = inputs;
        Ok(Vec::new())
    }

    /// Files of its output, relative, that hold measurements of the run itself, such as how many seconds it took. They are
    /// kept and published like the others but do not count in the digest of the output: that they differ from run to run
    /// makes nothing else run again.
    fn measurements(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Why a cached output, in the folder `out`, should not be used although nothing that the key knows of has changed: what
    /// stood in for something that can be had by now. `None` where it is as good as a new one.
    fn superseded(&self, out: &Path) -> Option<String> {
        let _ = out;
        None
    }

    /// Does the work: writes its output into `context.out`.
    ///
    /// # Errors
    /// Any [`StageError`].
    fn run(&self, context: &Context<'_>) -> Result<(), StageError>;

    /// Which files of its output folder go where below the artifacts folder, both relative. Called after a run and when
    /// a cached output is restored.
    ///
    /// # Errors
    /// When the output folder is not as this stage makes it.
    fn publish(&self, id: &StageId, out: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
        let _ = (id, out);
        Ok(Vec::new())
    }
}

/// What a stage is given to run with.
pub struct Context<'a> {
    /// Its own name.
    pub id: &'a StageId,
    /// The seed of this stage.
    pub seed: Seed,
    /// The seed of the pipeline, from which that of the stage derives. For show: an output should depend on `seed`.
    pub root_seed: Seed,
    /// The folder of each input's output. Read only.
    pub inputs: &'a BTreeMap<StageId, PathBuf>,
    /// The digest of each input's output.
    pub digests: &'a BTreeMap<StageId, Digest>,
    /// The key under which each input was made. For show: an output should depend on digests.
    pub keys: &'a BTreeMap<StageId, Digest>,
    /// The digest of each file outside the cache that it reads, by path, as its key has it.
    pub files: &'a BTreeMap<PathBuf, Digest>,
    /// An empty folder for its own output.
    pub out: &'a Path,
    /// A folder that belongs to this key alone and outlives an interruption: the place for checkpoints and journals.
    /// Removed when the stage has succeeded.
    pub scratch: &'a Path,
    /// The key of this stage run.
    pub key: Digest,
    /// Where it reports.
    pub progress: &'a dyn Progress,
}

impl Context<'_> {
    /// The folder of an input's output.
    ///
    /// # Errors
    /// When `stage` is not an input: a fault of the stage's `inputs`.
    pub fn input(&self, stage: &StageId) -> anyhow::Result<&Path> {
        self.inputs
            .get(stage)
            .map(PathBuf::as_path)
            .ok_or_else(|| anyhow!("stage `{stage}` is read but not declared as an input"))
    }

    /// Checks that the files outside the cache that it has read, each with its digest as it was read, are those that its key
    /// names. The engine looks at the files before and after; only the stage knows what it saw in between.
    ///
    /// # Errors
    /// Names a file that is another one than before, or that only one side knows of.
    pub fn check_read(&self, read: &BTreeMap<PathBuf, Digest>) -> anyhow::Result<()> {
        let differs = |path: &&PathBuf| self.files.get(*path) != read.get(*path);
        match self.files.keys().chain(read.keys()).find(differs) {
            Some(path) => Err(changed_while_read(path)),
            None => Ok(()),
        }
    }
}

/// What is said of a file outside the cache that did not stand still.
pub(super) fn changed_while_read(path: &Path) -> anyhow::Error {
    anyhow!(
        "`{}` changed while it was read, so what was made of it is thrown away; run again when it is left alone",
        path.display()
    )
}

/// Why a stage did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// It was asked to stop and left a resumable state. Exit code 130 or 143.
    #[error("interrupted")]
    Interrupted,
    /// The work is done, but what it made does not pass. Exit code 4. The text shows what failed and by how much.
    #[error("{0}")]
    Gate(String),
    /// An artifact or cached object is damaged. Exit code 5.
    #[error("{0}")]
    Corrupt(String),
    /// Anything else. Exit code 1.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for StageError {
    /// An error that has [`Interrupted`] among its causes is an interruption; any other is a failure.
    fn from(error: anyhow::Error) -> Self {
        if error.chain().any(|cause| cause.is::<Interrupted>()) { Self::Interrupted } else { Self::Failed(error) }
    }
}

impl From<Interrupted> for StageError {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}
