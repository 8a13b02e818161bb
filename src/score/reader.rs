//! The reading end: records of all tables into batches, in order.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use anyhow::{Context, Result, anyhow, ensure};
use csv::ByteRecord;

use super::batch::{Batch, Table};
use super::{Input, InputRecord};
use crate::data::ImageShape;
use crate::data::csv::{CsvLayout, CsvOptions, LabelColumn, reader};

/// What tables must look like.
pub(super) struct Expected<'a> {
    pub(super) columns: &'a CsvOptions,
    pub(super) passthrough: &'a [String],
    pub(super) shape: ImageShape,
    pub(super) rows_per_batch: usize,
}

/// Takes empty batches from one channel, fills them, and gives them to another. An error becomes the last batch, so that
/// everything before it is dealt with first. Ends early when nobody takes batches any more.
pub(super) struct Reader<'a> {
    pub(super) expected: Expected<'a>,
    pub(super) empty: Receiver<Batch>,
    pub(super) full: Sender<Batch>,
    pub(super) next: u64,
    pub(super) bytes_before: u64,
    pub(super) first: Option<Arc<Table>>,
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

impl Reader<'_> {
    /// Reads all tables. Returns an account of those that were read to their end.
    pub(super) fn run(mut self, inputs: Vec<Input>) -> Vec<InputRecord> {
        let mut records = Vec::new();
        for input in inputs {
            match self.read(input) {
                Ok(record) => records.push(record),
                Err(Stop::Closed) => break,
                Err(Stop::Fault(error)) => {
                    if let Ok(mut batch) = self.empty.recv() {
                        (batch.table, batch.rows) = (Err(error), 0);
                        // The writer ends when it meets this batch, or has ended before.
                        let _ = self.send(batch, self.bytes_before);
                    }
                    break;
                }
            }
        }
        records
    }

    fn read(&mut self, input: Input) -> Result<InputRecord, Stop> {
        let (name, file) = (input.to_string(), input.name());
        let opened = input.open()?;
        let watch = opened.watch();
        let mut source = reader(opened.reader);
        let mut record = ByteRecord::new();
        let mut more = source.read_byte_record(&mut record).with_context(|| format!("cannot read {name}"))?;
        if !more {
            return Err(anyhow!("{name} is empty").into());
        }
        let table = self.table(&name, &record)?;
        if table.layout.has_header() {
            more = source.read_byte_record(&mut record).with_context(|| format!("cannot read {name}"))?;
        }
        let mut rows = 0;
        let mut batch = self.begin(&table)?;
        while more {
            rows += 1;
            std::mem::swap(batch.next_record(), &mut record);
            batch.rows += 1;
            if batch.rows == self.expected.rows_per_batch {
                self.send(batch, self.bytes_before + watch.bytes())?;
                batch = self.begin(&table)?;
            }
            more = source.read_byte_record(&mut record).with_context(|| format!("cannot read {name}"))?;
        }
        // What a decompressor leaves unread belongs to the file too.
        io::copy(source.get_mut(), &mut io::sink()).with_context(|| format!("cannot read {name}"))?;
        self.bytes_before += watch.bytes();
        self.send(batch, self.bytes_before)?;
        Ok(InputRecord { file, rows, digest: watch.digest() })
    }

    /// Understands the columns of a table from its first record.
    fn table(&mut self, name: &str, record: &ByteRecord) -> Result<Arc<Table>> {
        let Expected { columns, passthrough, shape, .. } = self.expected;
        let layout =
            CsvLayout::new(record, columns, shape, LabelColumn::Optional, passthrough).with_context(|| name.to_owned())?;
        if let Some(first) = &self.first {
            let says = |has: bool| if has { "a label column" } else { "no label column" };
            let (has, had) = (layout.label().is_some(), first.layout.label().is_some());
            ensure!(has == had, "{name} has {}, but {} has {}; score them one by one", says(has), first.name, says(had));
        }
        let table = Arc::new(Table { name: name.to_owned(), layout });
        self.first.get_or_insert_with(|| Arc::clone(&table));
        Ok(table)
    }

    fn begin(&self, table: &Arc<Table>) -> Result<Batch, Stop> {
        let mut batch = self.empty.recv().map_err(|_| Stop::Closed)?;
        (batch.table, batch.rows) = (Ok(Arc::clone(table)), 0);
        Ok(batch)
    }

    fn send(&mut self, mut batch: Batch, bytes_read: u64) -> Result<(), Stop> {
        (batch.number, batch.bytes_read) = (self.next, bytes_read);
        self.next += 1;
        self.full.send(batch).map_err(|_| Stop::Closed)
    }
}
