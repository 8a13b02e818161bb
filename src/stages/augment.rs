//! `augment`: says how training images are varied; the variation itself happens on the fly while training, or here if copies
//! are asked for.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::DataSet;
use crate::data::augment::{AugmentOptions, augment};
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::StageId;

const PREVIEW: &str = "preview.png";

pub(super) struct AugmentStage(pub AugmentOptions);

impl Stage for AugmentStage {
    fn kind(&self) -> &'static str {
        "augment"
    }

    fn version(&self) -> u32 {
        1
    }

    fn parameters(&self) -> serde_json::Value {
        super::parameters(&self.0)
    }

    fn inputs(&self) -> Vec<StageId> {
        vec![self.0.data.stage().clone()]
    }

    fn is_seeded(&self) -> bool {
        true
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let source = context.input(self.0.data.stage())?;
        let made = augment(DataSet::load(source)?, &self.0, context.seed, context.progress).map_err(anyhow::Error::from)?;
        made.data.save_linked(context.out, source, &made.unchanged)?;
        if let Some(png) = made.preview {
            fs::write(&context.out.join(PREVIEW), png)?;
        }
        Ok(())
    }

    fn publish(&self, id: &StageId, out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let has_preview = fs::stamp(&out.join(PREVIEW)).is_some();
        Ok(has_preview.then(|| (PREVIEW.into(), format!("{id}.png").into())).into_iter().collect())
    }
}
