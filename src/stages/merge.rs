//! `merge`: raw files, however many, become one set of labelled images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::FileList;
use crate::data::merge::{MergeOptions, merge};
use crate::engine::{Context, Stage, StageError};
use crate::graph::StageId;

pub(super) struct MergeStage(pub MergeOptions);

impl MergeStage {
    /// The list of the stage that found the files, if one did.
    fn list(&self, inputs: &BTreeMap<StageId, PathBuf>) -> Result<Option<FileList>> {
        let folder = self.0.data.as_ref().and_then(|data| inputs.get(data.stage()));
        folder.map(|folder| FileList::load(folder)).transpose()
    }
}

impl Stage for MergeStage {
    fn kind(&self) -> &'static str {
        "merge"
    }

    fn version(&self) -> u32 {
        1
    }

    fn parameters(&self) -> serde_json::Value {
        super::parameters(&self.0)
    }

    fn inputs(&self) -> Vec<StageId> {
        super::unique(self.0.data.iter().map(|data| data.stage()))
    }

    fn reads(&self, inputs: &BTreeMap<StageId, PathBuf>) -> Result<Vec<PathBuf>> {
        match self.list(inputs)? {
            // The stage that found the files vouches for their content.
            Some(_) => Ok(Vec::new()),
            None => self.0.files(Path::new(""), None),
        }
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let list = self.list(context.inputs)?;
        let merged = merge(&self.0, Path::new(""), list.as_ref(), context.progress).map_err(anyhow::Error::from)?;
        if list.is_none() {
            context.check_read(&merged.read)?;
        }
        let data = &merged.data;
        let test = data.test.as_ref().map_or(0, |test| test.len());
        context.progress.note(&format!(
            "{}: {} training and {test} test images of {}",
            data.info.name,
            data.train.len(),
            data.info.shape
        ));
        data.save(context.out)?;
        merged.report.save(context.out)?;
        Ok(())
    }
}
