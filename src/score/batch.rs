//! A batch: the buffers that carry some rows from the file through the model to the output, and are then used again.

use std::sync::Arc;

use anyhow::{Context, Result};
use csv::ByteRecord;

use super::row;
use crate::data::Label;
use crate::data::csv::CsvLayout;
use crate::infer::Model;

/// The table that rows come from.
pub(super) struct Table {
    /// What errors call it.
    pub(super) name: String,
    pub(super) layout: CsvLayout,
}

/// Some consecutive rows of one table.
pub(super) struct Batch {
    /// Its place in the order of all batches.
    pub(super) number: u64,
    /// The table, or why there is none.
    pub(super) table: Result<Arc<Table>>,
    /// The first `rows` are those of this batch; the others are buffers.
    pub(super) records: Vec<ByteRecord>,
    pub(super) rows: usize,
    /// How many bytes of all inputs were read when this batch was full.
    pub(super) bytes_read: u64,
    /// The lines of the output.
    pub(super) output: Vec<u8>,
    /// The predicted label of each row, and whether it is the true one.
    pub(super) labels: Vec<(Label, bool)>,
    pixels: Vec<u8>, // [rows, C, H, W]
    truth: Vec<Option<Label>>,
}

impl Batch {
    /// Empty buffers for up to `rows` rows of `table`.
    pub(super) fn new(table: Result<Arc<Table>>) -> Self {
        Self {
            number: 0,
            table,
            records: Vec::new(),
            rows: 0,
            bytes_read: 0,
            output: Vec::new(),
            labels: Vec::new(),
            pixels: Vec::new(),
            truth: Vec::new(),
        }
    }

    /// The buffer for the next row.
    pub(super) fn next_record(&mut self) -> &mut ByteRecord {
        if self.rows == self.records.len() {
            self.records.push(ByteRecord::new());
        }
        &mut self.records[self.rows]
    }

    /// Parses the rows, predicts them, and writes their lines of output.
    ///
    /// # Errors
    /// Names the table and, where a cell is at fault, its row and column.
    pub(super) fn score(&mut self, model: &Model, classes: &row::Classes) -> Result<()> {
        let Ok(table) = &self.table else { return Ok(()) };
        let interface = model.interface();
        let size = interface.image.pixels();
        self.pixels.resize(self.rows * size, 0);
        self.truth.clear();
        for (record, pixels) in self.records[..self.rows].iter().zip(self.pixels.chunks_exact_mut(size)) {
            let label = table.layout.parse_row(record, &interface.classes, pixels).with_context(|| table.name.clone())?;
            self.truth.push(label);
        }
        let predictions = model.predict(&self.pixels).with_context(|| table.name.clone())?;
        self.output.clear();
        self.labels.clear();
        for (index, &label) in predictions.labels.iter().enumerate() {
            let truth = self.truth[index];
            let probabilities = predictions.probabilities.row(index);
            let passed = table.layout.passed().iter().map(|column| &self.records[index][column.index]);
            row::write(&mut self.output, classes, label, probabilities.iter().copied(), truth, passed);
            self.labels.push((label, truth == Some(label)));
        }
        Ok(())
    }
}
