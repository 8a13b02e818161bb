//! The reading end: the bytes of all tables into blocks of whole rows, in order. Rows are told apart here, and read later.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use anyhow::{Context, Result, anyhow, ensure};
use csv::ByteRecord;
use memchr::memchr_iter;

use super::block::{Block, Position, Table};
use super::input::Opened;
use super::shard::ROWS_PER_PART;
use super::{Input, InputRecord, Shard};
use crate::data::ImageShape;
use crate::data::csv::{
    Advised, BYTE_ORDER_MARK, CsvLayout, CsvOptions, Dialect, HEAD_BYTES, HEAD_ROWS, LONGEST_ROW, LabelColumn, Wanted, Wording,
    first_record, head, is_open as is_open_record, last_record,
};
use crate::digest::Digester;
use crate::fs;
use crate::progress::Progress;

/// What tables must look like, and how their rows go into blocks.
pub(super) struct Expected<'a> {
    pub(super) columns: &'a CsvOptions,
    pub(super) passthrough: &'a [String],
    pub(super) shape: ImageShape,
    pub(super) classes: &'a [String],
    /// How options are written by the user.
    pub(super) wording: Wording,
    /// Whether the label column must be there.
    pub(super) needs_labels: bool,
    /// About how many bytes a block has.
    pub(super) block_bytes: usize,
    /// Blocks have a multiple of so many rows where they can.
    pub(super) rows_per_batch: usize,
    /// How many there are at most.
    pub(super) rows_per_block: usize,
    /// Which rows are to be scored, if not all.
    pub(super) shard: Option<Shard>,
    /// How many bytes each table had when the run began, where that is known.
    pub(super) lengths: Vec<Option<u64>>,
    /// What is told of tables, and ends the wait for a stream.
    pub(super) progress: &'a dyn Progress,
}

/// What an earlier run has read: tables to their end, and one up to a place.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) finished: Vec<InputRecord>,
    pub(super) position: Position,
}

/// Takes empty blocks from one channel, fills them, and gives them to another. An error becomes the last block, so that
/// everything before it is dealt with first. Ends early when nobody takes blocks any more.
pub(super) struct Reader<'a> {
    pub(super) expected: Expected<'a>,
    pub(super) empty: Receiver<Block>,
    pub(super) full: Sender<Block>,
    pub(super) start: Option<Start>,
    /// The number of the next block.
    next: u64,
    /// Bytes and rows of the tables before this one.
    bytes_before: u64,
    rows_before: u64,
    first: Option<Arc<Table>>,
    /// What was said of a table and need not be said of another.
    told: Vec<String>,
}

/// Why reading ended early.
enum Stop {
    Closed,
    Fault(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Fault(error)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(expected: Expected<'a>, start: Option<Start>, empty: Receiver<Block>, full: Sender<Block>) -> Self {
        Self { expected, empty, full, start, next: 0, bytes_before: 0, rows_before: 0, first: None, told: Vec::new() }
    }

    /// Reads all tables.
    pub(super) fn run(mut self, inputs: Vec<Input>) {
        for (index, input) in inputs.into_iter().enumerate() {
            match self.read(index, input) {
                Ok(()) => {}
                Err(Stop::Closed) => return,
                Err(Stop::Fault(error)) => {
                    if let Ok(mut block) = self.empty.recv() {
                        block.clear();
                        (block.fault, block.number, block.bytes_read) = (Some(error), self.next, self.bytes_before);
                        // The writer ends when it meets this block, or has ended before.
                        let _ = self.full.send(block);
                    }
                    return;
                }
            }
        }
    }

    fn read(&mut self, index: usize, input: Input) -> Result<(), Stop> {
        let (name, file) = (input.to_string(), input.name());
        let Expected { columns, progress, wording, .. } = self.expected;
        let length = self.expected.lengths.get(index).copied().flatten();
        let measured = input.path().map(Path::to_owned).zip(length);
        let opened = input.open(length, columns.delimiter, progress)?;
        let mut notes = opened.notes.clone();
        let mut source = Source::new(opened, name.clone(), measured);
        let (head, behind) = source.head(self.expected.block_bytes)?;
        let table = self.table(name, file, &head)?;
        notes.extend_from_slice(table.layout.notes());
        for note in notes.iter().map(|note| note.in_words(wording)) {
            if !self.told.contains(&note) {
                progress.warn(&format!("{}: {note}", table.name));
                self.told.push(note);
            }
        }
        if table.layout.has_header() {
            source.take(behind);
        }
        if let Some(start) = self.start.clone() {
            if let Some(record) = start.finished.get(index) {
                return self.pass_over(source, record);
            }
            if start.position.input == index && start.position.bytes > 0 {
                source.skip_to(&start.position)?;
            }
        }
        loop {
            let mut block = self.empty.recv().map_err(|_| Stop::Closed)?;
            block.clear();
            let at_end = self.fill(&mut block, &mut source)?;
            block.end = Some(source.position(index));
            block.table = Some(Arc::clone(&table));
            (block.number, block.bytes_read) = (self.next, self.bytes_before + source.bytes_read());
            self.next += 1;
            if at_end {
                block.finished = Some(source.finish(&table.file)?);
                block.warnings.extend(source.growth_told());
                self.bytes_before += source.bytes_read();
                self.rows_before += source.rows;
                block.bytes_read = self.bytes_before;
            }
            self.full.send(block).map_err(|_| Stop::Closed)?;
            if at_end {
                return Ok(());
            }
        }
    }

    /// Fills a block with the next rows; whether they are the last ones of the table.
    fn fill(&self, block: &mut Block, source: &mut Source<'_>) -> Result<bool> {
        let global = self.rows_before + source.rows;
        block.part = global / ROWS_PER_PART;
        block.first_row = source.rows + 1;
        block.first_line = source.lines + 1;
        // A block of a shard holds rows of one part.
        let room = if self.expected.shard.is_some() { (ROWS_PER_PART - global % ROWS_PER_PART) as usize } else { usize::MAX };
        let room = room.min(self.expected.rows_per_block);
        let mut wanted = self.expected.block_bytes;
        let behind = loop {
            source.read_up_to(wanted)?;
            let is_whole = source.at_end && !source.is_cut_off()?;
            // More may be ahead than a block holds: what told the layout.
            let length = source.ahead.len().min(wanted);
            let at_end = source.at_end && length == source.ahead.len();
            let behind = self.cut(&source.ahead[..length], at_end && is_whole, room, block);
            if at_end && !is_whole && block.rows.is_empty() {
                break source.ahead.len(); // a row that is still being written
            }
            if at_end || !block.rows.is_empty() {
                break behind;
            }
            source.check_length(wanted)?;
            wanted *= 2;
        };
        source.rows += block.rows.len() as u64;
        source.give(behind, &mut block.bytes);
        if self.expected.shard.is_some_and(|shard| !shard.has(block.part)) {
            block.rows.clear();
            block.is_open = false;
        }
        Ok(source.at_end && source.ahead.is_empty())
    }

    /// Finds up to `room` whole rows in `bytes`; the place behind them.
    fn cut(&self, bytes: &[u8], at_end: bool, room: usize, block: &mut Block) -> usize {
        let Block { rows, is_open, .. } = block;
        rows.clear();
        let mut at = 0;
        while rows.len() < room {
            let rest = &bytes[at.min(bytes.len())..];
            if let Some(range) = first_record(rest) {
                rows.push((at + range.start, at + range.end));
                at += range.end + 1;
                continue;
            }
            match last_record(rest).filter(|_| at_end) {
                Some(range) => {
                    *is_open = is_open_record(&rest[range.clone()]);
                    rows.push((at + range.start, at + range.end));
                    at += range.end + 1;
                }
                None if at_end => return bytes.len(), // what is left is blank
                None => {
                    let batches = rows.len() - rows.len() % self.expected.rows_per_batch;
                    if batches > 0 {
                        rows.truncate(batches);
                    }
                    break;
                }
            }
        }
        rows.last().map_or(0, |&(_, end)| (end + 1).min(bytes.len()))
    }

    /// Reads a table that an earlier run has read to its end, and checks that it is still the same.
    fn pass_over(&mut self, mut source: Source<'_>, record: &InputRecord) -> Result<(), Stop> {
        source.skip(u64::MAX)?;
        source.rows = record.rows;
        let name = source.name.clone();
        if source.finish(&record.file)? != *record {
            return Err(changed(&name).into());
        }
        self.bytes_before += source.bytes_read();
        self.rows_before += record.rows;
        Ok(())
    }

    /// Understands the columns of a table from its first records.
    fn table(&mut self, name: String, file: String, head: &[ByteRecord]) -> Result<Arc<Table>> {
        let Expected { columns, passthrough, shape, classes, needs_labels, wording, .. } = self.expected;
        let label = if needs_labels { LabelColumn::Required } else { LabelColumn::Optional };
        let wanted = Wanted { columns, shape, classes, label, passthrough };
        let layout = CsvLayout::new(head, &wanted).map_err(|error| anyhow!("{name}: {}", error.in_words(wording)))?;
        if let Some(first) = &self.first {
            let says = |has: bool| if has { "a label column" } else { "no label column" };
            let (has, had) = (layout.label().is_some(), first.layout.label().is_some());
            ensure!(has == had, "{name} has {}, but {} has {}; score them one by one", says(has), first.name, says(had));
        }
        let table = Arc::new(Table { name, file, layout });
        self.first.get_or_insert_with(|| Arc::clone(&table));
        Ok(table)
    }
}

fn changed(name: &str) -> anyhow::Error {
    anyhow!("{name} is not what it was when the run began that is to go on; leave out `--resume` to begin afresh")
}

/// A table that is being read.
struct Source<'a> {
    reader: Box<dyn Read + Send + 'a>,
    watch: Option<super::input::Watch>,
    /// How its text lies on disk; `None` if it is compressed.
    dialect: Option<Dialect>,
    name: String,
    /// Of a file whose length at the beginning is known: where it is, and that length.
    measured: Option<(PathBuf, u64)>,
    /// Whether its last row was still being written, once that was looked at.
    is_cut_off: Option<bool>,
    /// What was read and is not in a block yet.
    ahead: Vec<u8>,
    at_end: bool,
    /// Bytes, rows and line feeds before `ahead`, and the digest of these bytes.
    taken: u64,
    rows: u64,
    lines: u64,
    digester: Digester,
}

impl<'a> Source<'a> {
    fn new(opened: Opened<'a>, name: String, measured: Option<(PathBuf, u64)>) -> Self {
        let Opened { reader, watch, dialect, .. } = opened;
        let (ahead, digester) = (Vec::new(), Digester::default());
        let (at_end, is_cut_off) = (false, None);
        Self { reader, watch, dialect, name, measured, is_cut_off, ahead, at_end, taken: 0, rows: 0, lines: 0, digester }
    }

    /// The length of the file now, if it has grown since the beginning.
    fn grown_to(&self) -> Option<u64> {
        let (path, length) = self.measured.as_ref()?;
        fs::stamp(path).map(|stamp| stamp.bytes).filter(|bytes| bytes > length)
    }

    /// Whether the file, read to the length that it had, ends there within a row because it is still being written.
    fn is_cut_off(&mut self) -> Result<bool> {
        if self.is_cut_off.is_none() {
            let in_row = self.ahead.last().is_some_and(|byte| !matches!(byte, b'\r' | b'\n'));
            self.is_cut_off = Some(match (&self.measured, &self.dialect) {
                (Some((path, length)), Some(dialect)) if in_row && self.grown_to().is_some() => {
                    let next = fs::bytes_at(path, *length, 2)?;
                    !next.is_empty() && !dialect.ends_row(&next)
                }
                // A compressed file that is still being written ends before its stream does: an error of reading.
                _ => false,
            });
        }
        Ok(self.is_cut_off == Some(true))
    }

    /// What is to be said of a file that has grown.
    fn growth_told(&self) -> Option<String> {
        let ((_, length), now) = (self.measured.as_ref()?, self.grown_to()?);
        let end = match self.is_cut_off {
            Some(true) => "; the row that was being written there was left out",
            _ => "",
        };
        Some(format!(
            "{} has grown from {length} to {now} bytes since the run began: only the first {length} were read{end}",
            self.name
        ))
    }

    /// Reads until `count` bytes are ahead, or the table ends.
    fn read_up_to(&mut self, count: usize) -> Result<()> {
        let missing = count.saturating_sub(self.ahead.len());
        if missing > 0 && !self.at_end {
            self.ahead.reserve(missing);
            let found = (&mut self.reader).take(missing as u64).read_to_end(&mut self.ahead);
            self.at_end = found.with_context(|| self.reading())? < missing;
        }
        Ok(())
    }

    fn reading(&self) -> String {
        format!("cannot read {}", self.name)
    }

    /// Fails if `count` bytes are more than a row can have.
    fn check_length(&self, count: usize) -> Result<()> {
        ensure!(
            count <= LONGEST_ROW,
            "{}: row {} (line {}) is longer than {} MiB; is there a quote that is never closed?",
            self.name,
            self.rows + 1,
            self.lines + 1,
            LONGEST_ROW >> 20
        );
        Ok(())
    }

    /// The first records of the table, which tell its layout, and the place behind the first.
    fn head(&mut self, block_bytes: usize) -> Result<(Vec<ByteRecord>, usize)> {
        let mut wanted = block_bytes.max(BYTE_ORDER_MARK.len());
        self.read_up_to(wanted)?;
        if self.ahead.starts_with(BYTE_ORDER_MARK) {
            self.take(BYTE_ORDER_MARK.len());
        }
        loop {
            let records = head(&self.ahead, self.at_end);
            let are_enough = records.len() >= HEAD_ROWS || (self.ahead.len() >= HEAD_BYTES && !records.is_empty());
            if self.at_end || are_enough {
                ensure!(!records.is_empty(), "{} is empty", self.name);
                let first = first_record(&self.ahead).or_else(|| last_record(&self.ahead)).unwrap_or(0..0);
                let is_open = first.end == self.ahead.len() && is_open_record(&self.ahead[first.clone()]);
                ensure!(!is_open, "{}: its first row has a quote that is never closed", self.name);
                let behind = first.end + 1;
                return Ok((records, behind.min(self.ahead.len())));
            }
            if records.is_empty() {
                self.check_length(wanted)?;
            }
            wanted = 2 * self.ahead.len().max(wanted);
            self.read_up_to(wanted)?;
        }
    }

    /// Notes that the first `count` bytes ahead are dealt with.
    fn note(&mut self, count: usize) {
        let bytes = &self.ahead[..count];
        self.digester.update(bytes);
        self.lines += memchr_iter(b'\n', bytes).count() as u64;
        self.taken += count as u64;
    }

    /// Passes over the first `count` bytes ahead.
    fn take(&mut self, count: usize) {
        self.note(count);
        self.ahead.drain(..count);
    }

    /// Puts the first `count` bytes ahead into `block`, whose memory is used for what is left.
    fn give(&mut self, count: usize, block: &mut Vec<u8>) {
        self.note(count);
        block.clear();
        block.extend_from_slice(&self.ahead[count..]);
        std::mem::swap(block, &mut self.ahead);
        block.truncate(count);
    }

    /// Passes over the next `count` bytes, or all if there are fewer.
    fn skip(&mut self, mut count: u64) -> Result<()> {
        loop {
            let here = self.ahead.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            self.take(here);
            count -= here as u64;
            if count == 0 || (self.at_end && self.ahead.is_empty()) {
                return Ok(());
            }
            self.read_up_to(1 << 20)?;
        }
    }

    /// Passes over what an earlier run has read, and checks that it is still the same.
    fn skip_to(&mut self, position: &Position) -> Result<()> {
        self.skip(position.bytes.saturating_sub(self.taken))?;
        self.rows = position.rows;
        ensure!(self.position(position.input) == *position, changed(&self.name));
        Ok(())
    }

    fn position(&self, input: usize) -> Position {
        Position { input, bytes: self.taken, digest: self.digester.digest(), rows: self.rows, lines: self.lines }
    }

    /// How many bytes were read, as they lie on disk.
    fn bytes_read(&self) -> u64 {
        self.watch.as_ref().map_or(self.taken, super::input::Watch::bytes)
    }

    /// The account of the table, which is read to its end.
    fn finish(&mut self, file: &str) -> Result<InputRecord> {
        // What a decompressor leaves unread belongs to the file too.
        io::copy(&mut self.reader, &mut io::sink()).with_context(|| self.reading())?;
        let digest = self.watch.as_ref().map_or_else(|| self.digester.digest(), super::input::Watch::digest);
        Ok(InputRecord { file: file.to_owned(), rows: self.rows, digest })
    }
}
