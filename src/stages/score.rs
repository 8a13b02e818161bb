//! `score`: files of rows go through an exported model, row by row, into a file of predictions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::kind::StageKind;
use crate::data::FileList;
use crate::data::pattern::Patterns;
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::StageId;
use crate::infer::{Loaded, Precision, WantedPrecision};
use crate::score::{Input, Manifest, Output, OutputFormat, Request, ScoreOptions, ScoreSummary, score};
use crate::spec::Spec;
use crate::units::counted;

pub(super) struct ScoreStage {
    /// With the precision of this machine.
    pub options: ScoreOptions,
    /// The precision that was asked for.
    pub asked: WantedPrecision,
    /// The files that the model was trained on.
    pub trained_on: Vec<TrainedOn>,
}

/// Files that a model, or one that it comes from, was trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TrainedOn {
    /// The stage that trained.
    pub by: StageId,
    /// The folders in which they may be.
    pub folders: Vec<PathBuf>,
    /// Which files.
    pub patterns: Patterns,
}

/// The precisions that the verification which scoring waits for has measured, of the export that is scored.
pub(super) fn measured(spec: &Spec<StageKind>, options: &ScoreOptions) -> Vec<Precision> {
    let verification = options.after.as_ref().and_then(|after| spec.stage(after.stage()));
    match verification.map(|stage| &stage.kind) {
        Some(StageKind::Verify(verify)) if verify.export.stage() == options.model.export.stage() => verify.measured(),
        _ => Vec::new(),
    }
}

impl ScoreStage {
    /// The input files in order.
    fn files(&self, inputs: &BTreeMap<StageId, PathBuf>) -> Result<Vec<PathBuf>> {
        let list =
            self.options.data.as_ref().and_then(|data| inputs.get(data.stage())).map(|dir| FileList::load(dir)).transpose()?;
        self.options.input.resolve(list.as_ref().map_or(Path::new(""), |list| &list.dir))
    }

    /// Warns of files that the model was trained on, whatever they are called: it may be of use to score them, but an accuracy on them says
    /// how well images are remembered.
    fn tell_known(&self, files: &[PathBuf], context: &Context<'_>) -> Result<()> {
        let length = |path: &Path| fs::stamp(path).map(|stamp| stamp.bytes);
        for TrainedOn { by, folders, patterns } in &self.trained_on {
            // Files that are gone by now cannot be compared.
            for trained in folders.iter().flat_map(|folder| patterns.resolve(folder).unwrap_or_default()) {
                for file in files.iter().filter(|file| length(file).is_some() && length(file) == length(&trained)) {
                    if *file == trained || fs::digest(file)? == fs::digest(&trained)? {
                        let file = file.display();
                        context
                            .progress
                            .warn(&format!("`{by}` was trained on `{file}`: an accuracy on it says nothing of new images"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the predictions are in the output folder: under the name that they are published by, or in a folder of their own
    /// where the stage has another file of that name.
    fn predictions(&self) -> PathBuf {
        let name = file_name(&self.options.output);
        if name == Path::new(SUMMARY) { Path::new("predictions").join(name) } else { name }
    }

    /// Where the list of rejects is in the output folder, if there is one: likewise. It may be published by the same name as the
    /// predictions, to another folder.
    fn rejects(&self) -> Option<PathBuf> {
        let (name, predictions) = (file_name(self.options.rejects.as_deref()?), file_name(&self.options.output));
        // Beside the predictions lies what is made on the way, under their name with an ending.
        let begins =
            |name: &Path, with: &Path| name.as_os_str().as_encoded_bytes().starts_with(with.as_os_str().as_encoded_bytes());
        let is_taken = name == Path::new(SUMMARY) || begins(&name, &predictions) || begins(&predictions, &name);
        Some(if is_taken { Path::new("list-of-rejects").join(name) } else { name })
    }
}

const SUMMARY: &str = "summary.json";

fn file_name(path: &Path) -> PathBuf {
    PathBuf::from(path.file_name().expect("the plan's check lets only paths with a file name pass"))
}

impl Stage for ScoreStage {
    fn kind(&self) -> &'static str {
        "score"
    }

    fn version(&self) -> u32 {
        4
    }

    fn parameters(&self) -> serde_json::Value {
        super::parameters(&self.options)
    }

    fn inputs(&self) -> Vec<StageId> {
        let others =
            self.options.after.iter().map(|after| after.stage()).chain(self.options.data.iter().map(|data| data.stage()));
        super::unique([self.options.model.export.stage()].into_iter().chain(others))
    }

    fn reads(&self, inputs: &BTreeMap<StageId, PathBuf>) -> Result<Vec<PathBuf>> {
        self.files(inputs)
    }

    fn measurements(&self) -> Vec<PathBuf> {
        vec![PathBuf::from(SUMMARY)]
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let export = context.input(self.options.model.export.stage())?;
        let file = export.join(self.options.model.model.as_str()).join("model.onnx");
        let model = Loaded::open(&file).map_err(|error| StageError::Corrupt(format!("{error:#}")))?;
        if self.asked == WantedPrecision::Auto {
            context.progress.note(&format!("`precision: auto` is {} here", self.options.precision.among(&[])));
        }
        let files = self.files(context.inputs)?;
        let inputs = files.iter().cloned().map(Input::File).collect();
        let request = Request {
            columns: self.options.columns.clone(),
            passthrough: self.options.passthrough.clone(),
            format: self.options.format.or_else(|| OutputFormat::of(&self.options.output)).unwrap_or_default(),
            output_columns: self.options.output_columns.clone(),
            top_k: self.options.top_k,
            on_error: self.options.on_error,
            rejects: self.rejects().map(|path| context.out.join(path)),
            max_errors: self.options.max_errors,
            engine: self.options.engine,
            precision: self.options.precision.among(&[]),
            ..Request::new(&model, inputs, Output::File(context.out.join(self.predictions())))
        };
        let summary: ScoreSummary = score(request, context.progress).map_err(anyhow::Error::from)?;
        if summary.manifest.accuracy.is_some() {
            self.tell_known(&files, context)?;
        }
        context.check_read(&files.into_iter().zip(summary.manifest.inputs.iter().map(|input| input.digest)).collect())?;
        let accuracy = summary.manifest.accuracy.map(|accuracy| format!(", accuracy {accuracy:.4}")).unwrap_or_default();
        let tally = &summary.manifest.tally;
        let rejected = if tally.rejected > 0 { format!(", {} rejected", tally.rejected) } else { String::new() };
        context.progress.note(&format!(
            "{}{rejected}, {:.0} rows/s{accuracy}",
            counted(tally.scored as usize, "row"),
            summary.rows_per_second()
        ));
        fs::write_json(&context.out.join(SUMMARY), &summary)?;
        Ok(())
    }

    fn publish(&self, _id: &StageId, _out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let (from, to) = (self.predictions(), self.options.output.clone());
        let manifest = (Manifest::path(&from), Manifest::path(&to));
        Ok([manifest, (from, to)].into_iter().chain(self.rejects().zip(self.options.rejects.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_do_not_meet_in_the_output_folder() {
        let places = |output: &str, rejects: &str| {
            let options = serde_json::json!({ "model": "e/m", "input": "x", "output": output, "rejects": rejects });
            let options = serde_json::from_value(options).unwrap();
            let stage = ScoreStage { options, asked: WantedPrecision::Fp32, trained_on: Vec::new() };
            (stage.predictions().display().to_string(), stage.rejects().unwrap().display().to_string())
        };
        let expect = |output: &str, rejects: &str| (output.to_owned(), rejects.to_owned());
        assert_eq!(places("a/x.csv", "b/y.csv"), expect("x.csv", "y.csv"));
        assert_eq!(places("a/x.csv", "b/x.csv"), expect("x.csv", "list-of-rejects/x.csv"));
        assert_eq!(places("x.csv", "b/x.csv.partial"), expect("x.csv", "list-of-rejects/x.csv.partial"));
        assert_eq!(places("y.csv.journal", "b/y.csv"), expect("y.csv.journal", "list-of-rejects/y.csv"));
        assert_eq!(places("summary.json", "b/summary.json"), expect("predictions/summary.json", "list-of-rejects/summary.json"));
    }
}
