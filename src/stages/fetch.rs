//! `fetch`: raw files are found, downloaded, or, if that is allowed, drawn. They lie outside the cache, so the output is a list
//! that vouches for their content.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::FileList;
use crate::data::fetch::{FetchOptions, fetch, is_at_hand};
use crate::engine::{Context, OutsideFile, Stage, StageError, write_outside};

pub(super) struct FetchStage {
    pub options: FetchOptions,
    /// The folder given by `--data-dir` or `FASHION_MNIST_DIR`.
    pub data_dir: Option<PathBuf>,
}

impl Stage for FetchStage {
    fn kind(&self) -> &'static str {
        "fetch"
    }

    fn version(&self) -> u32 {
        1
    }

    fn parameters(&self) -> serde_json::Value {
        let mut parameters = super::parameters(&self.options);
        if let Some(fields) = parameters.as_object_mut() {
            // How files are had does not change what they hold: published sums do.
            for name in ["url", "offline", "timeout_seconds"] {
                fields.remove(name);
            }
        }
        parameters
    }

    fn inputs(&self) -> Vec<crate::graph::StageId> {
        Vec::new()
    }

    fn is_seeded(&self) -> bool {
        self.options.may_draw()
    }

    fn superseded(&self, out: &Path) -> Option<String> {
        let stood_in = FileList::load(out).is_ok_and(|list| list.synthetic);
        (stood_in && is_at_hand(&self.options, self.data_dir.as_deref()))
            .then(|| "synthetic images stood in for the real ones, which are at hand now".to_owned())
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let list = fetch(&self.options, self.data_dir.as_deref(), context.seed, context.progress).map_err(anyhow::Error::from)?;
        let vouched: Vec<OutsideFile> = list
            .files
            .iter()
            .map(|file| OutsideFile { path: list.dir.join(&file.path), bytes: file.bytes, blake3: file.blake3 })
            .collect();
        write_outside(context.out, &vouched)?;
        list.save(context.out)?;
        let bytes: u64 = list.files.iter().map(|file| file.bytes).sum();
        let kind = if list.synthetic { ", SYNTHETIC" } else { "" };
        context.progress.note(&format!("{}{kind}: {} files, {:.0} MB", list.name, list.files.len(), bytes as f64 / 1e6));
        Ok(())
    }
}
