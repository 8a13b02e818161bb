//! `split`: sets a validation part apart from the training images, and a test part if there is none.

use anyhow::Result;

use crate::data::DataSet;
use crate::data::split::{SplitOptions, split};
use crate::engine::{Context, Stage, StageError};
use crate::graph::StageId;

pub(super) struct SplitStage(pub SplitOptions);

impl Stage for SplitStage {
    fn kind(&self) -> &'static str {
        "split"
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
        let made = split(DataSet::load(source)?, &self.0, context.seed)?;
        let size = |part: Option<&crate::data::LabelledImages>| part.map_or(0, |part| part.len());
        let data = &made.data;
        context.progress.note(&format!(
            "{} to train on, {} to choose by, {} to measure with",
            data.train.len(),
            size(data.validation.as_ref()),
            size(data.test.as_ref())
        ));
        data.save_linked(context.out, source, &made.unchanged)?;
        Ok(())
    }
}
