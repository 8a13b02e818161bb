//! CSV files, read whole.

use std::path::{Path, PathBuf};

use ::csv::ByteRecord;
use anyhow::{Context, Result};

use super::{ImageFormat, Images, Problems, ReadError, Request};
use crate::data::csv::{CsvLayout, LabelColumn, reader};

/// Rows between two looks at whether to stop.
const ROWS_BETWEEN_CHECKS: usize = 1000;

pub(super) struct Csv;

impl ImageFormat for Csv {
    fn files(&self, path: &Path) -> Result<Vec<PathBuf>> {
        Ok(vec![path.to_owned()])
    }

    fn read(&self, path: &Path, request: &Request<'_>) -> Result<Images, ReadError> {
        let cannot_read = || format!("cannot read `{}`", path.display());
        let mut reader = reader(request.seen.open(path)?);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record).with_context(cannot_read)? {
            return Err(Problems::one(path, "the file is empty").into());
        }
        let layout = CsvLayout::new(&record, request.columns, request.shape, LabelColumn::Required, &[])
            .map_err(|error| Problems::one(path, error))?;
        let mut has_row = !layout.has_header() || reader.read_byte_record(&mut record).with_context(cannot_read)?;
        let size = request.shape.pixels();
        let mut images = Images::default();
        let mut problems = Problems::default();
        let mut image = vec![0; size];
        while has_row && !problems.is_full() {
            match layout.parse_row(&record, request.classes, &mut image) {
                Ok(Some(label)) => {
                    images.pixels.extend_from_slice(&image);
                    images.labels.push(label);
                }
                Ok(None) => unreachable!("the layout was asked to have a label"),
                Err(error) => problems.push(path, error),
            }
            if images.labels.len().is_multiple_of(ROWS_BETWEEN_CHECKS) {
                request.progress.check()?;
            }
            has_row = reader.read_byte_record(&mut record).with_context(cannot_read)?;
        }
        if !problems.is_empty() {
            return Err(problems.into());
        }
        if images.labels.is_empty() {
            return Err(Problems::one(path, "the file has a header and no rows").into());
        }
        images.layout = Some(layout);
        Ok(images)
    }
}
