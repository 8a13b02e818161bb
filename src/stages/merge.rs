//! `merge`: raw files, however many, become one set of labelled images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::data::merge::{MergeOptions, MergeReport, merge};
use crate::data::{FileList, Part};
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
        2
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
        ensure_other_test_files(&merged.report)?;
        if let Some(line) = mostly_repeated(&merged.report) {
            context.progress.warn(&line);
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

/// Checks that no file to test with is a file to train on, whatever the two are called.
fn ensure_other_test_files(report: &MergeReport) -> Result<()> {
    const HELP: &str = "give other files as `test`, or leave it out and set a part apart with `test` in a `split` stage";
    let of_part = |part: Part| report.files.iter().filter(move |file| file.part == part);
    for test in of_part(Part::Test) {
        if let Some(train) = of_part(Part::Train).find(|train| train.blake3 == test.blake3) {
            let (train, test) = (train.path.display(), test.path.display());
            ensure!(train.to_string() != test.to_string(), "`{test}` is given both to train on and to test with; {HELP}");
            anyhow::bail!("`{test}` to test with and `{train}` to train on hold the same; {HELP}");
        }
    }
    Ok(())
}

/// What figures on test images are worth of which more than half are training images too. Small images of few kinds may well repeat, so
/// that this is no error.
fn mostly_repeated(report: &MergeReport) -> Option<String> {
    let all: usize = report.test.iter().flatten().sum();
    let repeated = report.overlap.as_ref().map_or(0, |repeats| repeats.images);
    (2 * repeated > all).then(|| {
        format!(
            "{repeated} of the {all} test images are training images too: figures on them tell how well images are remembered, not how \
             new ones are recognised"
        )
    })
}
