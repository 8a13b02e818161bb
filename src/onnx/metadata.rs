//! What a file says about its model, beside the graph: the `metadata_props` of ONNX, which are pairs of text.

use anyhow::{Context, Result, ensure};
use tract_onnx::pb::StringStringEntryProto;

use super::ModelProto;
use crate::digest::Digest;

/// Where a model comes from and what its labels mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// The model's name.
    pub model: String,
    /// The name of each class; its position is the label. Written as a JSON list.
    pub classes: Vec<String>,
    /// The name of the data it was trained on.
    pub dataset: String,
    /// The content of that data.
    pub dataset_digest: Digest,
    /// Whether that data was drawn by the program.
    pub synthetic: bool,
    /// The key of the stage run that trained the model.
    pub stage_key: Digest,
    /// Accuracy on the test split, 0–1, if it was measured.
    pub test_accuracy: Option<f64>,
}

impl Metadata {
    /// The pairs of a file, in a fixed order, followed by `further` ones.
    pub(super) fn entries(&self, further: &[(&str, String)]) -> Vec<StringStringEntryProto> {
        let mut pairs = vec![
            ("model", self.model.clone()),
            ("classes", serde_json::Value::from(self.classes.clone()).to_string()),
            ("dataset", self.dataset.clone()),
            ("dataset_digest", self.dataset_digest.to_string()),
            ("synthetic", self.synthetic.to_string()),
            ("stage_key", self.stage_key.to_string()),
        ];
        pairs.extend(self.test_accuracy.map(|accuracy| ("test_accuracy", accuracy.to_string())));
        pairs.extend(further.iter().cloned());
        pairs.into_iter().map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value }).collect()
    }

    /// Checks that there is one name for each class of the network.
    pub(super) fn check(&self, classes: usize) -> Result<()> {
        ensure!(self.classes.len() == classes, "the network has {classes} classes, but {} are named", self.classes.len());
        Ok(())
    }

    /// Reads what an exported file says about its model.
    ///
    /// # Errors
    /// Names the entry that is missing or not as written by this program.
    pub fn of(model: &ModelProto) -> Result<Self> {
        let text = |key: &str| find(model, key).with_context(|| format!("the file's metadata has no `{key}`"));
        let digest = |key: &str| text(key)?.parse::<Digest>().map_err(|error| anyhow::anyhow!("the file's `{key}`: {error}"));
        Ok(Self {
            model: text("model")?.to_owned(),
            classes: classes(model)?,
            dataset: text("dataset")?.to_owned(),
            dataset_digest: digest("dataset_digest")?,
            synthetic: text("synthetic")?.parse().context("the file's `synthetic` is neither true nor false")?,
            stage_key: digest("stage_key")?,
            test_accuracy: match find(model, "test_accuracy") {
                Some(accuracy) => Some(accuracy.parse().with_context(|| format!("the file's `test_accuracy` is `{accuracy}`"))?),
                None => None,
            },
        })
    }
}

/// The names of the classes.
pub(super) fn classes(model: &ModelProto) -> Result<Vec<String>> {
    let text = find(model, "classes").context("the file's metadata has no `classes`, a JSON list of their names")?;
    serde_json::from_str(text).with_context(|| format!("the file's `classes` are not a JSON list of names: {text}"))
}

pub(super) fn find<'a>(model: &'a ModelProto, key: &str) -> Option<&'a str> {
    model.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}
