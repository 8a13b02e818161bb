//! The options of the stage kind `score`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::csv::CsvOptions;
use crate::data::pattern::Patterns;
use crate::graph::{AnyRef, ExportedModelRef, FilesRef};

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
    /// Columns of the input that are copied to the output.
    #[serde(default)]
    pub passthrough: Vec<String>,
    /// How the columns of the input are to be understood.
    #[serde(default)]
    pub columns: CsvOptions,
    /// What to do about a row that cannot be scored.
    #[serde(default)]
    pub on_error: OnError,
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
}
