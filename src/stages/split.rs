//! `split`: sets a validation part apart from the training images, and a test part if there is none.
//!
//! Every split draws by a seed of its own, but folds of one data set are the same for all stages that ask for as many: only so is each image
//! held out once, and can be judged by the models that were not trained on it.

use std::path::Path;

use anyhow::Result;

use crate::data::DataSet;
use crate::data::split::{SplitOptions, split, untrained_classes};
use crate::engine::{Context, Stage, StageError};
use crate::graph::StageId;
use crate::quote;

pub(super) struct SplitStage {
    pub options: SplitOptions,
    /// The stage that made the data set whose images are divided.
    pub source: StageId,
}

impl Stage for SplitStage {
    fn kind(&self) -> &'static str {
        "split"
    }

    fn version(&self) -> u32 {
        if self.options.folds.is_some() { 2 } else { 1 }
    }

    fn parameters(&self) -> serde_json::Value {
        let mut parameters = super::parameters(&self.options);
        if let Some(name) = self.seed_name() {
            parameters["drawn_as"] = name.into();
        }
        parameters
    }

    fn inputs(&self) -> Vec<StageId> {
        vec![self.options.data.stage().clone()]
    }

    fn is_seeded(&self) -> bool {
        true
    }

    fn seed_name(&self) -> Option<String> {
        self.options.folds.map(|_| format!("folds of {}", self.source))
    }

    fn superseded(&self, out: &Path) -> Option<String> {
        // What is damaged is found out where it is read.
        let untrained = untrained_classes(out, &self.options).unwrap_or_default();
        (!untrained.is_empty()).then(|| format!("it leaves no images to train on of {}", quote::list(&untrained)))
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let source = context.input(self.options.data.stage())?;
        let made = split(DataSet::load(source)?, &self.options, context.seed)?;
        let size = |part: Option<&crate::data::LabelledImages>| part.map_or(0, |part| part.len());
        let data = &made.data;
        context.progress.note(&format!(
            "{} to train on, {} to choose by, {} to measure with",
            data.train.len(),
            size(data.validation.as_ref()),
            size(data.test.as_ref())
        ));
        for line in &made.notes {
            context.progress.warn(line);
        }
        data.save_linked(context.out, source, &made.unchanged)?;
        Ok(())
    }
}
