//! `score`: files of rows go through an exported model, row by row, into a file of predictions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::FileList;
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::StageId;
use crate::infer::Loaded;
use crate::score::{Input, Output, Request, ScoreOptions, ScoreSummary, score};

pub(super) struct ScoreStage(pub ScoreOptions);

impl ScoreStage {
    /// The input files in order.
    fn files(&self, inputs: &BTreeMap<StageId, PathBuf>) -> Result<Vec<PathBuf>> {
        let list = self.0.data.as_ref().and_then(|data| inputs.get(data.stage())).map(|dir| FileList::load(dir)).transpose()?;
        self.0.input.resolve(list.as_ref().map_or(Path::new(""), |list| &list.dir))
    }

    /// The name of the file in the output folder.
    fn output(&self) -> PathBuf {
        PathBuf::from(self.0.output.file_name().expect("the plan's check lets only paths with a file name pass"))
    }
}

impl Stage for ScoreStage {
    fn kind(&self) -> &'static str {
        "score"
    }

    fn version(&self) -> u32 {
        1
    }

    fn parameters(&self) -> serde_json::Value {
        super::parameters(&self.0)
    }

    fn inputs(&self) -> Vec<StageId> {
        let others = self.0.after.iter().map(|after| after.stage()).chain(self.0.data.iter().map(|data| data.stage()));
        super::unique([self.0.model.export.stage()].into_iter().chain(others))
    }

    fn reads(&self, inputs: &BTreeMap<StageId, PathBuf>) -> Result<Vec<PathBuf>> {
        self.files(inputs)
    }

    fn measurements(&self) -> Vec<PathBuf> {
        vec![PathBuf::from("summary.json")]
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let export = context.input(self.0.model.export.stage())?;
        let file = export.join(self.0.model.model.as_str()).join("model.onnx");
        let model = Loaded::open(&file).map_err(|error| StageError::Corrupt(format!("{error:#}")))?;
        let inputs = self.files(context.inputs)?.into_iter().map(Input::File).collect();
        let request = Request {
            columns: self.0.columns.clone(),
            passthrough: self.0.passthrough.clone(),
            on_error: self.0.on_error,
            ..Request::new(&model, inputs, Output::File(context.out.join(self.output())))
        };
        let summary: ScoreSummary = score(request, context.progress).map_err(anyhow::Error::from)?;
        let accuracy = summary.manifest.accuracy.map(|accuracy| format!(", accuracy {accuracy:.4}")).unwrap_or_default();
        context.progress.note(&format!("{} rows, {:.0} rows/s{accuracy}", summary.manifest.scored, summary.rows_per_second()));
        fs::write_json(&context.out.join("summary.json"), &summary)?;
        Ok(())
    }

    fn publish(&self, _id: &StageId, _out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let manifest = |path: &Path| PathBuf::from(format!("{}.manifest.json", path.display()));
        let (from, to) = (self.output(), self.0.output.clone());
        Ok(vec![(manifest(&from), manifest(&to)), (from, to)])
    }
}
