//! From the bytes of a block to pixels, labels and cells, and to what is wrong with the rows that have none.

use csv::{ByteRecord, Position};
use memchr::{memchr, memchr_iter};

use super::block::{Block, Table};
use super::{OnError, text};
use crate::data::Label;
use crate::data::csv::{CellError, Cells, CsvLayout, read_record};

/// How rows are to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parser<'a> {
    pub(super) classes: &'a [String],
    /// The pixels of an image.
    pub(super) pixels: usize,
    pub(super) on_error: OnError,
    /// The format that needs cells to be UTF-8 text, if the output's does.
    pub(super) text_for: Option<&'static str>,
    /// Whether rows that cannot be scored are listed.
    pub(super) lists_rejects: bool,
}

/// The rows of a block.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The rows that have a place in the output.
    pub(super) kept: Vec<Kept>,
    /// Of those that can be scored, `[images, C, H, W]`; what follows them is left over from other blocks. It grows as images
    /// are found, for a table of bad rows has far more rows than images have room in as many bytes.
    pixels: Vec<u8>,
    /// How many can be scored.
    pub(super) images: usize,
    /// The cells to be passed through, row by row of `kept`.
    pub(super) passed: Cells,
    /// The rows that cannot be scored, by their place in the block; if one is to end the run, only the first. What is wrong
    /// with each, [`Parser::error`] says.
    pub(super) rejected: Vec<u32>,
    /// Those of them that go over several lines, by their place in the block.
    pub(super) rejected_spans: Vec<u32>,
    /// The lines that these take.
    pub(super) rejected_lines: u64,
    /// Kept rows that go over several lines.
    pub(super) kept_spans: u64,
    /// The first of them.
    pub(super) first_kept_span: Option<Span>,
}

/// Where a row lies in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) row: u64,
    pub(super) first_line: u64,
    pub(super) last_line: u64,
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
        self.rejected_spans.clear();
        self.rejected_lines = 0;
        self.kept_spans = 0;
        self.first_kept_span = None;
    }

    /// How many bytes it holds, but for the cells passed through.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let places = self.rejected.capacity() + self.rejected_spans.capacity();
        self.kept.capacity() * size_of::<Kept>() + self.pixels.capacity() + places * size_of::<u32>()
    }

    /// The pixels of the images, `[images, C, H, W]`.
    pub(super) fn pixels(&self, size: usize) -> &[u8] {
        &self.pixels[..self.images * size]
    }

    /// The place of the next image.
    fn next_image(&mut self, size: usize) -> &mut [u8] {
        let (start, end) = (self.images * size, (self.images + 1) * size);
        if self.pixels.len() < end {
            self.pixels.resize(end.next_power_of_two(), 0);
        }
        &mut self.pixels[start..end]
    }
}

impl Parser<'_> {
    /// Parses the rows of a block, and lists those that cannot be scored.
    pub(super) fn parse(&self, block: &mut Block) {
        let Block { table: Some(table), bytes, rows, is_open, first_row, first_line, parsed, rejects, .. } = block else {
            return;
        };
        parsed.clear();
        let mut plain = table.layout.plain();
        let mut careful = Careful::new(bytes, rows, *first_row, *first_line, *is_open);
        let has_quotes = memchr(b'"', bytes).is_some();
        for (index, &(start, end)) in rows.iter().enumerate() {
            parsed.next_image(self.pixels);
            let image = &mut parsed.pixels[parsed.images * self.pixels..][..self.pixels];
            let passed = parsed.passed.len();
            let quick = plain
                .as_mut()
                .filter(|_| !careful.is_open(index))
                .and_then(|plain| plain.parse(&bytes[start..end], self.classes, image, &mut parsed.passed));
            let row = *first_row + index as u64;
            if let Some(truth) = quick
                && (passed..parsed.passed.len()).all(|cell| self.is_fit(parsed.passed.get(cell)))
            {
                parsed.kept.push(Kept { row, truth, is_image: true });
                parsed.images += 1;
            } else {
                parsed.passed.truncate(passed);
                match self.parse_record(index, &mut careful, table, parsed) {
                    Ok(()) => {}
                    Err(_) if self.on_error == OnError::Fail => return,
                    Err(error) if self.lists_rejects => list(rejects, table, &error),
                    Err(_) => {}
                }
            }
            if has_quotes && memchr(b'\n', &bytes[start..end]).is_some() && parsed.rejected.last() != Some(&(index as u32)) {
                parsed.kept_spans += 1;
                parsed.first_kept_span.get_or_insert_with(|| careful.span(index));
            }
        }
    }

    /// What is wrong with the row at `index`, which cannot be scored.
    pub(super) fn error(&self, block: &Block, table: &Table, index: u32) -> Option<CellError> {
        let mut careful = Careful::of(block);
        let mut pixels = vec![0; self.pixels];
        self.read(index as usize, &mut careful, &table.layout, &mut pixels).err()
    }

    /// Where the row at `index` lies.
    pub(super) fn span(block: &Block, index: u32) -> Span {
        Careful::of(block).span(index as usize)
    }

    /// Whether a cell can be passed through.
    fn is_fit(&self, cell: &[u8]) -> bool {
        self.text_for.is_none() || std::str::from_utf8(cell).is_ok()
    }

    /// Reads the row at `index` into `pixels`; its label.
    fn read(
        &self,
        index: usize,
        careful: &mut Careful<'_>,
        layout: &CsvLayout,
        pixels: &mut [u8],
    ) -> Result<Option<Label>, CellError> {
        let Span { first_line, last_line, .. } = careful.span(index);
        let is_open = careful.is_open(index);
        let record = careful.record(index, layout);
        if is_open {
            let mut error = layout.error(record, record.len().saturating_sub(1), "");
            error.why = match first_line == last_line {
                true => "a quote in it is never closed".to_owned(),
                false => format!("a quote in it is never closed: it goes on to the end of the table, line {last_line}"),
            };
            return Err(error);
        }
        let truth = layout.parse_row(record, self.classes, pixels).and_then(|truth| {
            let unfit = layout.passed().iter().find(|column| !self.is_fit(&record[column.index]));
            match (unfit, self.text_for) {
                (Some(column), Some(format)) => {
                    Err(layout.error(record, column.index, &format!("is not UTF-8 text, and {format} holds no other")))
                }
                _ => Ok(truth),
            }
        });
        truth.map_err(|mut error| {
            if last_line > first_line {
                let lines = last_line - first_line + 1;
                error.why += &format!("; the row goes on to line {last_line} ({lines} lines): is a quote closed too late?");
            }
            error
        })
    }

    fn parse_record(&self, index: usize, careful: &mut Careful<'_>, table: &Table, parsed: &mut Parsed) -> Result<(), CellError> {
        let row = careful.first_row + index as u64;
        let result = self.read(index, careful, &table.layout, parsed.next_image(self.pixels));
        let Span { first_line, last_line, .. } = careful.span(index);
        let record = &careful.record;
        let cells = table.layout.passed().iter().map(|column| record.get(column.index));
        match result {
            Ok(truth) => {
                parsed.kept.push(Kept { row, truth, is_image: true });
                parsed.images += 1;
                cells.for_each(|cell| parsed.passed.push(cell.unwrap_or_default()));
                Ok(())
            }
            Err(error) => {
                parsed.rejected.push(index as u32);
                if last_line > first_line {
                    parsed.rejected_spans.push(index as u32);
                    parsed.rejected_lines += last_line - first_line + 1;
                }
                if self.on_error == OnError::Null {
                    parsed.kept.push(Kept { row, truth: None, is_image: false });
                    cells.for_each(|cell| parsed.passed.push(cell.filter(|cell| self.is_fit(cell)).unwrap_or_default()));
                }
                Err(error)
            }
        }
    }
}

/// Appends a line to the list of rejects.
fn list(rejects: &mut Vec<u8>, table: &Table, error: &CellError) {
    let row = error.row.to_string();
    let column = if error.name.is_empty() { &error.column.to_string() } else { &error.name };
    text::write_cells(rejects, [table.file.as_bytes(), row.as_bytes(), column.as_bytes(), error.why.as_bytes()]);
}

/// The rows of a block, each as a record.
struct Careful<'a> {
    bytes: &'a [u8],
    rows: &'a [(usize, usize)],
    first_row: u64,
    first_line: u64,
    /// Whether the last row has a quote that is never closed.
    is_open: bool,
    /// A place up to which line feeds were counted, and the line that it is on.
    counted: (usize, u64),
    /// The row that was read last.
    record: ByteRecord,
    /// A cell of it, without its quotes.
    cell: Vec<u8>,
}

impl<'a> Careful<'a> {
    fn new(bytes: &'a [u8], rows: &'a [(usize, usize)], first_row: u64, first_line: u64, is_open: bool) -> Self {
        let (counted, record, cell) = ((0, first_line), ByteRecord::new(), Vec::new());
        Self { bytes, rows, first_row, first_line, is_open, counted, record, cell }
    }

    fn of(block: &'a Block) -> Self {
        Self::new(&block.bytes, &block.rows, block.first_row, block.first_line, block.is_open)
    }

    /// Whether the row at `index` has a quote that is never closed.
    fn is_open(&self, index: usize) -> bool {
        self.is_open && index + 1 == self.rows.len()
    }

    /// Where the row at `index` lies.
    fn span(&mut self, index: usize) -> Span {
        let (start, end) = self.rows[index];
        let line_feeds = |from: usize, to: usize| memchr_iter(b'\n', &self.bytes[from..to]).count() as u64;
        let (place, line) = if self.counted.0 <= start { self.counted } else { (0, self.first_line) };
        let first_line = line + line_feeds(place, start);
        let text = self.bytes[start..end].trim_ascii_end().len();
        let last_line = first_line + line_feeds(start, start + text);
        self.counted = (start, first_line);
        Span { row: self.first_row + index as u64, first_line, last_line }
    }

    /// The row at `index`, with its place in the table.
    fn record(&mut self, index: usize, layout: &CsvLayout) -> &ByteRecord {
        let (start, end) = self.rows[index];
        let line = self.span(index).first_line;
        read_record(&self.bytes[start..end], &mut self.record, &mut self.cell);
        let mut position = Position::new();
        position.set_line(line);
        position.set_record(self.first_row + index as u64 - u64::from(!layout.has_header()));
        self.record.set_position(Some(position));
        &self.record
    }
}
