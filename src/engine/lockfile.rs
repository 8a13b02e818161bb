//! `pipeline.lock`: what the results in the artifacts folder were made from and what they are.
//!
//! It names, for every stage, the key, the parts that the key was made of, and the digest of each output file. The same
//! results give the same text, so it can be kept under version control. It is rewritten only after the outputs that it
//! names are in the cache, and before they are published.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::key::KeyParts;
use super::store::Content;
use crate::digest::Digest;
use crate::fs;
use crate::graph::StageId;
use crate::seed::Seed;

/// The name of the file in the artifacts folder.
pub const FILE_NAME: &str = "pipeline.lock";

const VERSION: u32 = 1;

/// The content of `pipeline.lock`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineLock {
    /// The version of this format.
    pub version: u32,
    /// The name of the pipeline.
    pub pipeline: String,
    /// The root seed.
    pub seed: Seed,
    /// What is known of each stage, by name.
    pub stages: BTreeMap<StageId, Record>,
}

/// The last success of one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The key: the digest of `parts`.
    pub key: Digest,
    /// What the key was made of.
    pub parts: KeyParts,
    /// The digest of the result.
    pub output: Digest,
    /// Every file of the result.
    pub files: BTreeMap<String, Content>,
    /// Which file of the output stands where below the artifacts folder: place → file of the output.
    pub published: BTreeMap<String, String>,
}

impl Record {
    /// Whether the digests are those of what they stand beside.
    fn is_whole(&self) -> bool {
        let files = serde_json::to_value(&self.files).expect("a map with text keys is JSON");
        self.key == self.parts.key() && self.output == Digest::of_json(&files)
    }
}

impl PipelineLock {
    /// A lock file of a pipeline that has not run yet.
    pub fn new(pipeline: &str, seed: Seed) -> Self {
        Self { version: VERSION, pipeline: pipeline.to_owned(), seed, stages: BTreeMap::new() }
    }

    /// Reads the lock file of the artifacts folder; `None` if it has none.
    ///
    /// # Errors
    /// When the file is there but cannot be read as a lock file; says where it is wrong.
    pub fn read(artifacts: &Path) -> Result<Option<Self>> {
        let path = artifacts.join(FILE_NAME);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_text(&path)?;
        let lock: Self = serde_json::from_str(&text).with_context(|| {
            format!("`{}` is damaged: restore it from version control, or delete it and run again", path.display())
        })?;
        anyhow::ensure!(
            lock.version == VERSION,
            "`{}` has version {}, and this program reads version {VERSION}: delete it and run again",
            path.display(),
            lock.version
        );
        if let Some(stage) = lock.stages.iter().find_map(|(stage, record)| (!record.is_whole()).then_some(stage)) {
            anyhow::bail!(
                "`{}` is damaged: what it says of stage `{stage}` does not fit together: restore it from version control, or \
                 delete it and run again",
                path.display()
            );
        }
        Ok(Some(lock))
    }

    /// The stages whose results were made from other results than those that the lock file names, each with the inputs that
    /// have changed since. What was made from such a result is one itself.
    pub fn outdated(&self) -> BTreeMap<StageId, Vec<StageId>> {
        let mut found: BTreeMap<StageId, Vec<StageId>> = BTreeMap::new();
        loop {
            let before = found.len();
            for (stage, record) in &self.stages {
                let has_changed = |input: &StageId, digest: &Digest| {
                    found.contains_key(input) || self.stages.get(input).is_some_and(|made| made.output != *digest)
                };
                let changed: Vec<StageId> =
                    record.parts.inputs.iter().filter(|(id, digest)| has_changed(id, digest)).map(|(id, _)| id.clone()).collect();
                if !changed.is_empty() {
                    found.insert(stage.clone(), changed);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// Says which stages have no published files, because they were made from results that are no longer there; `None` if there
    /// are no such stages.
    pub fn withdrawn(&self) -> Option<String> {
        let outdated = self.outdated();
        let quoted = |stage: &StageId| format!("`{stage}`");
        let is_published = |stage: &&StageId| self.stages.get(*stage).is_some_and(|record| !record.published.is_empty());
        let stages: Vec<String> = outdated.keys().filter(is_published).map(quoted).collect();
        let causes: BTreeSet<&StageId> = outdated.values().flatten().filter(|input| !outdated.contains_key(*input)).collect();
        let causes: Vec<String> = causes.into_iter().map(quoted).collect();
        (!stages.is_empty()).then(|| {
            format!(
                "withdrawn, because they were made from an earlier result of {}: the files of {}; running these stages, or going \
                 back to the earlier parameters, brings them back",
                causes.join(", "),
                stages.join(", ")
            )
        })
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("all fields are plain data with text keys");
        text.push('\n');
        text
    }

    /// Writes the lock file into the artifacts folder, unless it already reads so.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn write(&self, artifacts: &Path) -> Result<()> {
        let (path, text) = (artifacts.join(FILE_NAME), self.text());
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) { Ok(()) } else { fs::write(&path, text) }
    }
}
