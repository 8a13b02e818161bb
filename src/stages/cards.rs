//! The model card of a model that lies complete in its folder.

use std::path::Path;

use anyhow::Result;

use super::describe;
use super::model::Model;
use crate::data::DataSet;
use crate::report::{Provenance, ReportData, render_markdown_card};

/// The card of the model in `dir`, which was trained or fitted on `data`.
pub(super) fn model_card(dir: &Path, data: &DataSet) -> Result<String> {
    let model = Model::load(dir)?;
    let record = &model.record;
    let about = ReportData {
        generator: format!("atelier {}", env!("CARGO_PKG_VERSION")),
        classes: record.data.classes.clone(),
        data: Some(describe::data::describe(data, None)?),
        provenance: Some(Provenance { dataset_digest: record.dataset.to_string(), ..Provenance::default() }),
        ..ReportData::default()
    };
    Ok(render_markdown_card(&about, &describe::models::describe(&model)?))
}
