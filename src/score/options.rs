//! The options of the stage kind `score`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::columns;
use crate::data::csv::{CsvOptions, Header};
use crate::data::pattern::Patterns;
use crate::fault::Fault;
use crate::graph::{AnyRef, ExportedModelRef, FilesRef};
use crate::infer::{Engine, WantedPrecision};
use crate::units::Count;

/// Options of the stage kind `score`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreOptions {
    /// The exported model that scores, written `export stage/model`.
    pub model: ExportedModelRef,
    /// A stage that must have succeeded before, such as the verification of the model.
    #[serde(default)]
    pub after: Option<AnyRef>,
    /// A stage that makes raw files; the input is then looked for in its folder.
    #[serde(default)]
    pub data: Option<FilesRef>,
    /// The CSV files, plain or compressed by gzip or Zstandard.
    pub input: Patterns,
    /// The file of predictions, below the folder of artifacts.
    #[serde(default = "predictions")]
    pub output: PathBuf,
    /// Its format; told by its name unless given.
    #[serde(default)]
    pub format: Option<OutputFormat>,
    /// The columns of the output, in their order; all of them unless given. Those passed through follow.
    #[serde(default)]
    pub output_columns: Vec<OutputColumn>,
    /// Only the most probable classes, so many, instead of the probability of each.
    #[serde(default)]
    pub top_k: Option<Count>,
    /// Columns of the input that are copied to the output.
    #[serde(default)]
    pub passthrough: Vec<String>,
    /// How the columns of the input are to be understood.
    #[serde(default)]
    pub columns: CsvOptions,
    /// What to do about a row that cannot be scored.
    #[serde(default)]
    pub on_error: OnError,
    /// A CSV file, below the folder of artifacts, that lists every row that was not scored, and why.
    #[serde(default)]
    pub rejects: Option<PathBuf>,
    /// Fail when more rows than that cannot be scored.
    #[serde(default)]
    pub max_errors: Option<u64>,
    /// What computes: the kernels where they cover the model, else tract, unless given.
    #[serde(default)]
    pub engine: Option<Engine>,
    /// What maps of features and products are computed in. Anything but fp32 must have been verified: `after` names a verification
    /// that measures it, or, for `auto`, that measures at least one.
    #[serde(default)]
    pub precision: WantedPrecision,
}

impl ScoreOptions {
    /// What makes no sense about the columns. `classes` is how many the model knows, if that is known.
    pub fn faults(&self, classes: Option<usize>) -> Vec<Fault> {
        let mut faults = columns::faults(&self.output_columns, &self.passthrough, self.top_k, classes);
        if self.columns.header == Header::No && !self.passthrough.is_empty() {
            let message = "without a header, no column has a name by which it could be passed through";
            faults.push(Fault::new(&["passthrough"], message, "leave it out, or `header: no`"));
        }
        faults
    }
}

fn predictions() -> PathBuf {
    PathBuf::from("predictions.csv")
}

/// What to do about a row that cannot be scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Stop, name its file, row and column, and write no output.
    #[default]
    Fail,
    /// Leave it out.
    Skip,
    /// Keep its place in the output, with empty predictions.
    Null,
}

/// A format of predictions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// CSV with a header.
    #[default]
    Csv,
    /// A JSON object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl OutputFormat {
    /// The format that the name of a file tells: `.csv`, `.jsonl`, `.ndjson` or `.parquet`.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Jsonl => "JSON Lines",
            Self::Parquet => "Parquet",
        }
    }
}

/// A column of the predictions, or several that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputColumn {
    /// The number of the row in its table, counted from 1 without the header.
    Row,
    /// The number of the predicted class.
    Label,
    /// Its name.
    Class,
    /// Its probability.
    Confidence,
    /// `p_0` …: the probability of each class; with `top_k`, `top_1`, `p_top_1` …: names and probabilities of the first.
    Probabilities,
    /// The label of the input.
    TrueLabel,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_defaults_and_refuse_unknown_keys() {
        let options: ScoreOptions = serde_json::from_str(r#"{"model": "exported/ensemble", "input": "x*.csv"}"#).unwrap();
        assert_eq!(options.output, PathBuf::from("predictions.csv"));
        assert_eq!(options.on_error, OnError::Fail);
        assert_eq!(options.columns, CsvOptions::default());
        assert!(serde_json::from_str::<ScoreOptions>(r#"{"model": "a/b", "input": "x", "outputs": "y"}"#).is_err());
    }

    #[test]
    fn the_name_of_a_file_tells_its_format() {
        let of = |name: &str| OutputFormat::of(Path::new(name));
        assert_eq!(of("a/b.csv"), Some(OutputFormat::Csv));
        assert_eq!([of("b.jsonl"), of("b.ndjson")], [Some(OutputFormat::Jsonl); 2]);
        assert_eq!(of("b.parquet"), Some(OutputFormat::Parquet));
        assert_eq!([of("csv"), of("b.txt"), of("-")], [None; 3]);
    }
}
