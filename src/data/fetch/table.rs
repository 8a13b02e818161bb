//! The CSV files of a data set: six parts to train on and one to test with, written quickly and counted.

use std::io::BufRead;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;

use crate::data::{DataError, LabelledImages, Part, RawFile};
use crate::digest::Digester;
use crate::fs;
use crate::progress::Progress;
use crate::quote;

/// How many files the training images are spread over.
const TRAIN_PARTS: usize = 6;

/// One CSV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub name: PathBuf,
    pub part: Part,
    /// The images of the part that it holds.
    pub rows: Range<usize>,
}

/// The seven files for so many images, under the names of the published project.
pub(super) fn tables(train: usize, test: usize) -> Vec<Table> {
    let mut tables: Vec<Table> = (0..TRAIN_PARTS)
        .map(|part| Table {
            name: format!("Fashion Train Data {}.csv", part + 1).into(),
            part: Part::Train,
            rows: part * train / TRAIN_PARTS..(part + 1) * train / TRAIN_PARTS,
        })
        .collect();
    tables.push(Table { name: "Fashion Test Data.csv".into(), part: Part::Test, rows: 0..test });
    tables
}

/// Writes tables into `dir`, side by side.
pub(super) fn write_all(
    dir: &Path,
    tables: &[Table],
    train: &LabelledImages,
    test: &LabelledImages,
    progress: &dyn Progress,
) -> Result<(), DataError> {
    let rows: usize = tables.iter().map(|table| table.rows.len()).sum();
    progress.begin("CSV files written", rows as u64, "rows");
    tables.par_iter().try_for_each(|table| -> Result<(), DataError> {
        progress.check()?;
        let images = if table.part == Part::Test { test } else { train };
        let text = text(images, table.rows.clone());
        fs::write_with(&dir.join(&table.name), |file| file.write_all(&text))?;
        Ok(())
    })?;
    progress.advance(rows as u64, "");
    Ok(())
}

/// A header `label,pixel1,…` and a row for each image.
fn text(images: &LabelledImages, rows: Range<usize>) -> Vec<u8> {
    let cells: Vec<(usize, [u8; 4])> = (0..=u8::MAX)
        .map(|value| {
            let text = format!(",{value}");
            let mut bytes = [0; 4];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            (text.len(), bytes)
        })
        .collect();
    let pixels = images.shape().pixels();
    let mut out = Vec::with_capacity((rows.len() + 2) * (pixels * 4 + 4));
    out.extend_from_slice(b"label");
    for number in 1..=pixels {
        out.extend_from_slice(format!(",pixel{number}").as_bytes());
    }
    out.push(b'\n');
    for row in rows {
        out.extend_from_slice(images.labels()[row].to_string().as_bytes());
        for &pixel in images.image(row) {
            let (length, bytes) = cells[usize::from(pixel)];
            out.extend_from_slice(&bytes); // a fixed length is faster to copy
            out.truncate(out.len() - bytes.len() + length);
        }
        out.push(b'\n');
    }
    out
}

/// Describes a table that is there. Its content goes by in pieces, however long it is.
///
/// # Errors
/// When it holds another number of rows than it should.
pub(super) fn describe(dir: &Path, table: &Table, progress: &dyn Progress) -> Result<RawFile, DataError> {
    let path = dir.join(&table.name);
    fs::ensure_file(&path)?;
    let mut file = fs::open(&path)?;
    let (mut digester, mut rows, mut bytes) = (Digester::default(), Rows::default(), 0);
    loop {
        progress.check()?;
        let piece = file.fill_buf().with_context(|| format!("cannot read {}", quote::path(&path)))?;
        if piece.is_empty() {
            break;
        }
        digester.update(piece);
        rows.add(piece);
        bytes += piece.len() as u64;
        let length = piece.len();
        file.consume(length);
    }
    let (found, expected) = (rows.count(), table.rows.len());
    if found != expected {
        return Err(anyhow!(
            "{} holds {found} rows where {expected} are expected; move it away to have it made again",
            quote::path(&path)
        )
        .into());
    }
    Ok(RawFile { path: table.name.clone(), bytes, blake3: digester.digest() })
}

/// Counts the rows of a CSV text without quoted line breaks: its lines, less a header and empty lines at the end.
#[derive(Default)]
struct Rows {
    /// The first byte that is no byte order mark.
    first: Option<u8>,
    /// Line breaks before the last byte that is not white space.
    breaks: usize,
    /// Line breaks after it.
    pending: usize,
    is_text: bool,
}

impl Rows {
    fn add(&mut self, piece: &[u8]) {
        for &byte in piece {
            if self.first.is_none() && !b"\xef\xbb\xbf".contains(&byte) {
                self.first = Some(byte);
            }
            if byte == b'\n' {
                self.pending += 1;
            } else if !byte.is_ascii_whitespace() {
                self.breaks += std::mem::take(&mut self.pending);
                self.is_text = true;
            }
        }
    }

    fn count(&self) -> usize {
        let has_header = self.first.is_some_and(|byte| !byte.is_ascii_digit());
        if self.is_text { self.breaks + 1 - usize::from(has_header) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;

    #[test]
    fn tables_cover_all_images_once() {
        let tables = tables(100, 7);
        let names: Vec<_> = tables.iter().map(|table| table.name.to_str().unwrap()).collect();
        assert_eq!(
            (names[0], names[5], names[6]),
            ("Fashion Train Data 1.csv", "Fashion Train Data 6.csv", "Fashion Test Data.csv")
        );
        let covered: Vec<usize> = tables[..6].iter().flat_map(|table| table.rows.clone()).collect();
        assert_eq!(covered, (0..100).collect::<Vec<_>>());
        assert_eq!(tables[6].rows, 0..7);
    }

    #[test]
    fn a_table_is_written_as_it_is_read() {
        let shape = ImageShape { channels: 1, height: 1, width: 3 };
        let images = LabelledImages::new(shape, vec![9, 9, 9, 0, 10, 255, 1, 2, 3], vec![5, 0, 1]).unwrap();
        let text = String::from_utf8(text(&images, 1..3)).unwrap();
        assert_eq!(text, "label,pixel1,pixel2,pixel3\n0,0,10,255\n1,1,2,3\n");
    }

    #[test]
    fn rows_are_counted_with_and_without_header_and_last_line_break() {
        for (text, expected) in [
            ("", 0),
            ("label,a\n", 0),
            ("label,a\n1,2\n3,4\n", 2),
            ("label,a\r\n1,2\r\n3,4\r\n\r\n", 2),
            ("1,2\n3,4", 2),
            ("\u{feff}label,a\n1,2", 1),
        ] {
            for size in [1, 3, 100] {
                let mut rows = Rows::default();
                text.as_bytes().chunks(size).for_each(|piece| rows.add(piece));
                assert_eq!(rows.count(), expected, "{text:?}");
            }
        }
    }
}
