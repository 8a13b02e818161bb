//! `export`: every model, ensembles included, as one ONNX file.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use serde::{Deserialize, Serialize};

use super::model::{Model, ensure_same_classes, member_folder};
use crate::data::{DataSet, LabelledImages};
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::{DataRef, ModelRef, StageId};
use crate::infer::Loaded;
use crate::onnx::{self, Member, Metadata, ModelProto};
use crate::units::Count;

/// Options of the stage kind `export`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportOptions {
    /// The models, at least one; each becomes `<model>/model.onnx`.
    pub models: Vec<ModelRef>,
    /// Lets the files be scored in int8: measures the ranges of activations and writes them into the metadata. The files stay fp32.
    #[serde(default)]
    pub int8: Option<Int8Options>,
}

/// How the ranges of activations are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Int8Options {
    /// The data they are measured on: its training part.
    pub data: DataRef,
    /// How many images, evenly over the part; all if it has fewer.
    #[serde(default = "images")]
    pub images: Count,
}

fn images() -> Count {
    Count::new(1000).expect("1000 is a count")
}

pub(super) struct ExportStage(pub ExportOptions);

impl Stage for ExportStage {
    fn kind(&self) -> &'static str {
        "export"
    }

    fn version(&self) -> u32 {
        2
    }

    fn parameters(&self) -> serde_json::Value {
        super::parameters(&self.0)
    }

    fn inputs(&self) -> Vec<StageId> {
        super::unique(self.0.models.iter().map(ModelRef::stage).chain(self.0.int8.iter().map(|int8| int8.data.stage())))
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let models = super::load_models(&self.0.models, context)?;
        ensure_same_classes(&models)?;
        let first = models.first().ok_or_else(|| anyhow!("there is nothing to export"))?;
        let measured = match &self.0.int8 {
            Some(int8) => Some(int8.images(&DataSet::load(context.input(int8.data.stage())?)?.train)),
            None => None,
        };
        for model in &models {
            context.progress.check()?;
            let name = &model.record.name;
            let mut bytes = onnx_bytes(model)?;
            if let Some(images) = &measured {
                bytes = with_ranges(&bytes, images)
                    .map_err(|error| error.context(format!("the ranges of `{name}` cannot be measured")))?;
            }
            context.progress.note(&format!("{name}/model.onnx: {:.2} MB", bytes.len() as f64 / 1e6));
            let folder = context.out.join(name.as_str());
            fs::create_dir(&folder)?;
            fs::write(&folder.join("model.onnx"), bytes)?;
            // What `verify` compares the file with: the model itself.
            let source = context.input(name)?;
            fs::link_or_copy(&source.join("model.json"), &folder.join("model.json"))?;
            for member in &model.members {
                let (from, to) = (member_folder(source, &member.name), member_folder(&folder, &member.name));
                fs::create_dir(&to)?;
                for file in ["architecture.json", "weights.safetensors"] {
                    fs::link_or_copy(&from.join(file), &to.join(file))?;
                }
            }
        }
        let mut labels = first.record.data.classes.join("\n");
        labels.push('\n');
        fs::write(&context.out.join("labels.txt"), labels)?;
        Ok(())
    }

    fn publish(&self, _id: &StageId, _out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let models = self.0.models.iter().map(|model| Path::new(model.stage().as_str()).join("model.onnx"));
        Ok(models.chain([PathBuf::from("labels.txt")]).map(|path| (path.clone(), path)).collect())
    }
}

impl Int8Options {
    /// The images of a part that are measured.
    fn images(&self, part: &LabelledImages) -> LabelledImages {
        let count = self.images.get().min(part.len());
        part.select(&(0..count).map(|index| index * part.len() / count).collect::<Vec<_>>())
    }
}

/// An ONNX file with the ranges of its activations on `images`.
fn with_ranges(bytes: &[u8], images: &LabelledImages) -> Result<Vec<u8>> {
    let loaded = Loaded::from_bytes(bytes)?;
    let ranges = loaded.measure_ranges(images.pixels())?;
    let mut proto = loaded.proto().clone();
    ranges.attach(&mut proto);
    Ok(onnx::encode(&proto))
}

/// The model as the bytes of an ONNX file, which passed the structural check.
pub(super) fn onnx_bytes(model: &Model) -> Result<Vec<u8>> {
    let record = &model.record;
    let metadata = Metadata {
        model: record.name.to_string(),
        classes: record.data.classes.clone(),
        dataset: record.data.name.clone(),
        dataset_digest: record.dataset,
        synthetic: record.data.synthetic,
        stage_key: record.key,
        test_accuracy: record.test.as_ref().map(|test| test.accuracy),
    };
    let members: Vec<Member<'_>> = model
        .members
        .iter()
        .map(|member| Member { name: member.name.as_str(), architecture: &member.architecture, weights: &member.weights })
        .collect();
    let proto: ModelProto = match members.as_slice() {
        [single] if !model.is_ensemble() => onnx::lower(single, &metadata)?,
        several => {
            let votes: Vec<f32> = model.members.iter().map(|member| member.weight as f32).collect();
            onnx::ensemble(several, &votes, model.temperature(), &metadata)?
        }
    };
    let checked = onnx::check(&proto);
    ensure!(checked.is_ok(), "the graph of `{}` is not well formed: {}", record.name, checked.unwrap_err());
    Ok(onnx::encode(&proto))
}
