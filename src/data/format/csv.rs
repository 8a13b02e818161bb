//! CSV files, read whole.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ::csv::ByteRecord;
use anyhow::Context;

use super::{ImageFormat, Images, Problems, ReadError, Request};
use crate::data::csv::{self, Advised, Cells, CsvLayout, Delimiter, Dialect, LabelColumn, Row, Rows, RowsError, Wanted, in_yaml};
use crate::data::open::open;
use crate::data::{DataError, ImageShape};

/// Rows between two looks at whether to stop.
const ROWS_BETWEEN_CHECKS: u64 = 1000;

pub(super) struct Csv;

/// A table whose beginning was understood.
struct Table {
    rows: TableRows,
    layout: CsvLayout,
    notes: Vec<String>,
}

/// The shape of the images in a table, if the names of its columns tell it. What is wrong with the file is found when it is read.
pub(in crate::data) fn shape_told(path: &Path, delimiter: Delimiter) -> Option<ImageShape> {
    let (_, mut rows) = begin(path, open(path).ok()?, delimiter).ok()?;
    csv::shape_told(rows.head().ok()?.first()?)
}

/// The rows of an opened table.
type TableRows = Rows<Box<dyn Read + Send>>;

/// Finds out how a table is written down.
fn begin(path: &Path, mut file: Box<dyn Read + Send>, delimiter: Delimiter) -> Result<(Dialect, TableRows), ReadError> {
    let mut first = Vec::new();
    let sample = (&mut file).take(Dialect::SAMPLE as u64).read_to_end(&mut first);
    sample.with_context(|| format!("cannot read `{}`", path.display()))?;
    let dialect = Dialect::of(&first, delimiter).map_err(|other| Problems::one(path, other))?;
    let rows = Rows::new(dialect.normalise(io::Cursor::new(first).chain(file)));
    Ok((dialect, rows))
}

impl Table {
    fn open(path: &Path, request: &Request<'_>) -> Result<Self, ReadError> {
        let (dialect, mut rows) = begin(path, request.seen.open(path)?, request.columns.delimiter)?;
        let head = rows.head().map_err(|error| failure(path, error))?;
        if head.is_empty() {
            return Err(Problems::one(path, "the file is empty").into());
        }
        let wanted = Wanted {
            columns: request.columns,
            shape: request.shape,
            classes: request.classes,
            label: LabelColumn::Required,
            passthrough: &[],
        };
        let mut notes: Vec<String> = dialect.notes().iter().map(|note| note.in_words(in_yaml)).collect();
        let layout = match CsvLayout::new(&head, &wanted) {
            Ok(layout) => layout,
            Err(error) => return Err(ReadError::Problems(Problems::one(path, error.in_words(in_yaml)), notes)),
        };
        if layout.has_header() {
            rows.next_row().map_err(|error| failure(path, error))?;
        }
        notes.extend(layout.notes().iter().map(|note| note.in_words(in_yaml)));
        Ok(Self { rows, layout, notes })
    }
}

/// What is wrong with a table whose rows cannot be told apart, or with the file below it.
fn failure(path: &Path, error: RowsError) -> ReadError {
    match error {
        RowsError::Io(error) => {
            DataError::from(anyhow::Error::from(error).context(format!("cannot read `{}`", path.display()))).into()
        }
        other => Problems::one(path, other).into(),
    }
}

impl ImageFormat for Csv {
    fn files(&self, path: &Path) -> anyhow::Result<Vec<PathBuf>> {
        Ok(vec![path.to_owned()])
    }

    fn read(&self, path: &Path, request: &Request<'_>) -> Result<Images, ReadError> {
        let Table { mut rows, layout, mut notes } = Table::open(path, request)?;
        let mut plain = layout.plain();
        let mut images = Images::default();
        let mut problems = Problems::default();
        let (mut image, mut passed) = (vec![0; request.shape.pixels()], Cells::default());
        let (mut record, mut cell) = (ByteRecord::new(), Vec::new());
        while !problems.is_full() {
            let row: Row<'_> = match rows.next_row() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                // What is wrong with the rows before it is worth knowing.
                Err(RowsError::Io(error)) => return Err(failure(path, error.into())),
                Err(error) => {
                    problems.push(path, error);
                    break;
                }
            };
            if row.extent.record.is_multiple_of(ROWS_BETWEEN_CHECKS) {
                request.progress.check()?;
            }
            let quick = plain.as_mut().and_then(|plain| plain.parse(row.bytes, request.classes, &mut image, &mut passed));
            let label = match quick {
                Some(label) => Ok(label),
                None => {
                    row.read(&mut record, &mut cell);
                    layout.parse_row(&record, request.classes, &mut image)
                }
            };
            match label {
                Ok(Some(label)) => {
                    images.pixels.extend_from_slice(&image);
                    images.labels.push(label);
                }
                Ok(None) => unreachable!("the layout was asked to have a label"),
                Err(error) if row.extent.last_line > row.extent.line => {
                    let lines = format!("the row spans lines {} to {}", row.extent.line, row.extent.last_line);
                    problems.push(path, format!("{error}; {lines}: is there a quote that is closed too late?"));
                }
                Err(error) => problems.push(path, error),
            }
        }
        if problems.is_empty()
            && let Err(error) = layout.check_label_place(&images.labels, &images.pixels, request.classes)
        {
            problems.push(path, error.in_words(in_yaml));
        }
        if !problems.is_empty() {
            return Err(ReadError::Problems(problems, notes));
        }
        if images.labels.is_empty() {
            return Err(Problems::one(path, "the file has a header and no rows").into());
        }
        notes.extend(rows.oddities(layout.has_header()));
        images.layout = Some(layout);
        images.told = notes;
        Ok(images)
    }
}
