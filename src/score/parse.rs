//! From the bytes of a block to pixels, labels and cells, and to what is wrong with the rows that have none.

use std::io::{Chain, Read};

use csv::{ByteRecord, Position};
use memchr::memchr_iter;

use super::OnError;
use super::block::{Block, Table};
use crate::data::Label;
use crate::data::csv::{CellError, Cells, CsvLayout, reader};

/// How rows are to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parser<'a> {
    pub(super) classes: &'a [String],
    /// The pixels of an image.
    pub(super) pixels: usize,
    pub(super) on_error: OnError,
    /// The format that needs cells to be UTF-8 text, if the output's does.
    pub(super) text_for: Option<&'static str>,
}

/// The rows of a block.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The rows that have a place in the output.
    pub(super) kept: Vec<Kept>,
    /// Of those that can be scored, `[images, C, H, W]`; what follows them is left over from other blocks.
    pixels: Vec<u8>,
    /// How many can be scored.
    pub(super) images: usize,
    /// The cells to be passed through, row by row of `kept`.
    pub(super) passed: Cells,
    /// What is wrong with the rows that cannot be scored, in order; if that is to end the run, only the first.
    pub(super) rejected: Vec<CellError>,
}

/// A row that has a place in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its number in the table.
    pub(super) row: u64,
    pub(super) truth: Option<Label>,
    /// Whether it can be scored.
    pub(super) is_image: bool,
}

impl Parsed {
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.images = 0;
        self.passed.clear();
        self.rejected.clear();
    }

    /// The pixels of the images, `[images, C, H, W]`.
    pub(super) fn pixels(&self, size: usize) -> &[u8] {
        &self.pixels[..self.images * size]
    }
}

impl Parser<'_> {
    /// Parses the rows of a block.
    pub(super) fn parse(&self, block: &mut Block) {
        let Block { table: Some(table), bytes, rows, first_row, first_line, parsed, .. } = block else { return };
        parsed.clear();
        if parsed.pixels.len() < rows.len() * self.pixels {
            parsed.pixels.resize(rows.len() * self.pixels, 0);
        }
        let mut plain = table.layout.plain();
        let mut careful = Careful { bytes, rows, first_row: *first_row, first_line: *first_line, reader: None };
        for (index, &(start, end)) in rows.iter().enumerate() {
            let image = &mut parsed.pixels[parsed.images * self.pixels..][..self.pixels];
            let passed = parsed.passed.len();
            let quick = plain.as_mut().and_then(|plain| plain.parse(&bytes[start..end], self.classes, image, &mut parsed.passed));
            let row = *first_row + index as u64;
            if let Some(truth) = quick
                && (passed..parsed.passed.len()).all(|cell| self.is_fit(parsed.passed.get(cell)))
            {
                parsed.kept.push(Kept { row, truth, is_image: true });
                parsed.images += 1;
                continue;
            }
            parsed.passed.truncate(passed);
            let record = careful.record(index, table);
            self.parse_record(&table.layout, &record, row, parsed);
            if self.on_error == OnError::Fail && !parsed.rejected.is_empty() {
                return;
            }
        }
    }

    /// Whether a cell can be passed through.
    fn is_fit(&self, cell: &[u8]) -> bool {
        self.text_for.is_none() || std::str::from_utf8(cell).is_ok()
    }

    fn parse_record(&self, layout: &CsvLayout, record: &ByteRecord, row: u64, parsed: &mut Parsed) {
        let image = &mut parsed.pixels[parsed.images * self.pixels..][..self.pixels];
        let result = layout.parse_row(record, self.classes, image).and_then(|truth| {
            let unfit = layout.passed().iter().find(|column| !self.is_fit(&record[column.index]));
            match (unfit, self.text_for) {
                (Some(column), Some(format)) => {
                    Err(layout.error(record, column.index, &format!("is not UTF-8 text, and {format} holds no other")))
                }
                _ => Ok(truth),
            }
        });
        let cells = layout.passed().iter().map(|column| record.get(column.index));
        match result {
            Ok(truth) => {
                parsed.kept.push(Kept { row, truth, is_image: true });
                parsed.images += 1;
                cells.for_each(|cell| parsed.passed.push(cell.unwrap_or_default()));
            }
            Err(error) => {
                parsed.rejected.push(error);
                if self.on_error == OnError::Null {
                    parsed.kept.push(Kept { row, truth: None, is_image: false });
                    cells.for_each(|cell| parsed.passed.push(cell.filter(|cell| self.is_fit(cell)).unwrap_or_default()));
                }
            }
        }
    }
}

/// The rows of a block by the `csv` crate. Rows that follow each other share a reader, whose making has its cost.
struct Careful<'a> {
    bytes: &'a [u8],
    rows: &'a [(usize, usize)],
    first_row: u64,
    first_line: u64,
    /// The next row to be read, and what reads it.
    reader: Option<(usize, RowReader<'a>)>,
}

type RowReader<'a> = csv::Reader<Chain<&'static [u8], &'a [u8]>>;

impl Careful<'_> {
    /// The row at `index`, with its place in the table.
    fn record(&mut self, index: usize, table: &Table) -> ByteRecord {
        let (start, _) = self.rows[index];
        let mut reader = match self.reader.take() {
            Some((next, reader)) if next == index => reader,
            // The blank line keeps a row from being taken for the first of a file, where a byte order mark may stand.
            _ => {
                let (_, end) = self.rows[self.rows.len() - 1];
                reader(b"\n".as_slice().chain(&self.bytes[start..end]))
            }
        };
        let mut record = ByteRecord::new();
        let found = reader.read_byte_record(&mut record).expect("reading from memory does not fail");
        assert!(found, "a row is a record");
        let mut position = Position::new();
        position.set_line(self.first_line + memchr_iter(b'\n', &self.bytes[..start]).count() as u64);
        position.set_record(self.first_row + index as u64 - u64::from(!table.layout.has_header()));
        record.set_position(Some(position));
        self.reader = Some((index + 1, reader));
        record
    }
}
