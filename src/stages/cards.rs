//! The model card of a model that lies complete in its folder.

use std::path::Path;

use anyhow::Result;

use super::describe;
use super::model::{Model, ModelRecord};
use crate::data::DataSet;
use crate::report::{Fact, Provenance, ReportData, StageRecord, render_markdown_card};

/// The card of the model in `dir`, which was trained or fitted on `data`.
pub(super) fn model_card(dir: &Path, data: &DataSet) -> Result<String> {
    let model = Model::load(dir)?;
    let record = &model.record;
    let about = ReportData {
        generator: format!("atelier {}", env!("CARGO_PKG_VERSION")),
        classes: record.data.classes.clone(),
        data: Some(describe::data::describe(data, None)?),
        provenance: Some(provenance(record)),
        ..ReportData::default()
    };
    Ok(render_markdown_card(&about, &describe::models::describe(&model)?))
}

/// From what the model was made, as far as it knows.
fn provenance(record: &ModelRecord) -> Provenance {
    let name = record.name.to_string();
    let stage = record
        .seed
        .stage
        .map(|seed| Fact { name: format!("Seed of `{name}`, derived from it"), value: seed.value().to_string() });
    Provenance {
        seed: Some(record.seed.pipeline.value()),
        dataset_digest: record.dataset.to_string(),
        facts: stage.into_iter().collect(),
        stages: vec![StageRecord { name, key: record.key.to_string(), ..StageRecord::default() }],
    }
}
