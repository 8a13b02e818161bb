//! A block: some consecutive rows of one table, and the buffers that carry them from the file through the model to the
//! output, and are then used again.

use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::InputRecord;
use super::parse::Parsed;
use crate::data::csv::CsvLayout;
use crate::digest::Digest;
use crate::infer::Predictions;

/// The table that rows come from.
#[derive(Debug)]
pub(super) struct Table {
    /// What errors call it.
    pub(super) name: String,
    /// Its name without folders.
    pub(super) file: String,
    pub(super) layout: CsvLayout,
}

/// A place between two rows: up to there all is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Which table, counted from 0.
    pub(super) input: usize,
    /// Its bytes before the place, decompressed.
    pub(super) bytes: u64,
    /// Their digest.
    pub(super) digest: Digest,
    /// Its rows before the place.
    pub(super) rows: u64,
    /// Its line feeds before the place.
    pub(super) lines: u64,
}

/// Some consecutive rows of one table.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Its place in the order of all blocks.
    pub(super) number: u64,
    /// The table; none in a block that only brings an error.
    pub(super) table: Option<Arc<Table>>,
    /// Why there are no more rows.
    pub(super) fault: Option<anyhow::Error>,
    pub(super) bytes: Vec<u8>,
    /// The rows to be scored: where each begins in `bytes`, and where it ends.
    pub(super) rows: Vec<(usize, usize)>,
    /// Whether the last of them is the end of the table, with a quote that is never closed.
    pub(super) is_open: bool,
    /// The number of the first row in its table, counted from 1.
    pub(super) first_row: u64,
    /// The line of the table on which `bytes` begin, counted from 1.
    pub(super) first_line: u64,
    /// Which part of all rows, for shards.
    pub(super) part: u64,
    /// The place behind the block.
    pub(super) end: Option<Position>,
    /// The account of the table, if the block is its last one.
    pub(super) finished: Option<InputRecord>,
    /// How many bytes of all inputs were read when this block was, as they lie on disk.
    pub(super) bytes_read: u64,
    /// What the user should know of the table.
    pub(super) warnings: Vec<String>,
    /// What the rows hold.
    pub(super) parsed: Parsed,
    /// What the model says of those that can be scored.
    pub(super) predictions: Option<Predictions>,
    /// The output of the rows, unless it is written column by column.
    pub(super) output: Vec<u8>,
    /// The lines about rows that cannot be scored.
    pub(super) rejects: Vec<u8>,
}

impl Block {
    /// Makes the block ready for other rows.
    pub(super) fn clear(&mut self) {
        self.table = None;
        self.fault = None;
        self.finished = None;
        self.end = None;
        self.predictions = None;
        self.bytes.clear();
        self.rows.clear();
        self.is_open = false;
        self.warnings.clear();
        self.output.clear();
        self.rejects.clear();
        self.parsed.clear();
    }

    /// How many bytes its buffers hold.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let rows = self.rows.capacity() * size_of::<(usize, usize)>();
        self.bytes.capacity() + rows + self.output.capacity() + self.rejects.capacity() + self.parsed.memory()
    }

    /// Takes out why there are no more rows.
    pub(super) fn check(&mut self) -> Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }
}
