//! `score`: files of rows go through an exported model, row by row, into a file of predictions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::FileList;
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::StageId;
use crate::infer::Loaded;
use crate::score::{Input, Manifest, Output, OutputFormat, Request, ScoreOptions, ScoreSummary, score};

pub(super) struct ScoreStage(pub ScoreOptions);

impl ScoreStage {
    /// The input files in order.
    fn files(&self, inputs: &BTreeMap<StageId, PathBuf>) -> Result<Vec<PathBuf>> {
        let list = self.0.data.as_ref().and_then(|data| inputs.get(data.stage())).map(|dir| FileList::load(dir)).transpose()?;
        self.0.input.resolve(list.as_ref().map_or(Path::new(""), |list| &list.dir))
    }

    /// The name in the output folder of a file that is to be published as `path`.
    fn file_name(path: &Path) -> PathBuf {
        PathBuf::from(path.file_name().expect("the plan's check lets only paths with a file name pass"))
    }
}

impl Stage for ScoreStage {
    fn kind(&self) -> &'static str {
        "score"
    }

    fn version(&self) -> u32 {
        3
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
        let files = self.files(context.inputs)?;
        let inputs = files.iter().cloned().map(Input::File).collect();
        let request = Request {
            columns: self.0.columns.clone(),
            passthrough: self.0.passthrough.clone(),
            format: self.0.format.or_else(|| OutputFormat::of(&self.0.output)).unwrap_or_default(),
            output_columns: self.0.output_columns.clone(),
            top_k: self.0.top_k,
            on_error: self.0.on_error,
            rejects: self.0.rejects.as_deref().map(|path| context.out.join(Self::file_name(path))),
            max_errors: self.0.max_errors,
            engine: self.0.engine,
            precision: self.0.precision,
            ..Request::new(&model, inputs, Output::File(context.out.join(Self::file_name(&self.0.output))))
        };
        let summary: ScoreSummary = score(request, context.progress).map_err(anyhow::Error::from)?;
        context.check_read(&files.into_iter().zip(summary.manifest.inputs.iter().map(|input| input.digest)).collect())?;
        let accuracy = summary.manifest.accuracy.map(|accuracy| format!(", accuracy {accuracy:.4}")).unwrap_or_default();
        let tally = &summary.manifest.tally;
        let rejected = if tally.rejected > 0 { format!(", {} rejected", tally.rejected) } else { String::new() };
        context.progress.note(&format!("{} rows{rejected}, {:.0} rows/s{accuracy}", tally.scored, summary.rows_per_second()));
        fs::write_json(&context.out.join("summary.json"), &summary)?;
        Ok(())
    }

    fn publish(&self, _id: &StageId, _out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let publish = |path: &Path| (Self::file_name(path), path.to_owned());
        let (from, to) = publish(&self.0.output);
        let manifest = (Manifest::path(&from), Manifest::path(&to));
        Ok([manifest, (from, to)].into_iter().chain(self.0.rejects.as_deref().map(publish)).collect())
    }
}
