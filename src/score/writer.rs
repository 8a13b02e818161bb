//! The writing end: blocks, in order, into the output and the list of rejects, and checkpoints into the journal.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::block::{Block, Table};
use super::columns::{Columns, Prediction, Row};
use super::journal::{Checkpoint, Journal};
use super::manifest::{Manifest, Part, Tally};
use super::sheet::Sheet;
use super::{OnError, OutputFormat, OutputRecord, Settings, Shard, parquet, text};
use crate::data::csv::CellError;
use crate::fs;
use crate::units::counted;

/// The columns of the list of rejects.
const REJECTS: [&[u8]; 4] = [b"file", b"row", b"column", b"reason"];

/// The writing end of a run.
pub(super) struct Writer<'a> {
    pub(super) settings: &'a Settings,
    pub(super) classes: &'a [String],
    pub(super) shard: Option<Shard>,
    pub(super) body: Body,
    pub(super) rejects: Option<Sheet>,
    pub(super) journal: Option<Journal>,
    /// How long there may be no checkpoint.
    pub(super) interval: Duration,
    /// How far the run has come; nowhere before the first block.
    pub(super) progress: Option<Checkpoint>,
    /// When the last checkpoint was written.
    pub(super) last: Instant,
    /// To be kept as soon as there is one.
    pub(super) leftovers: Leftovers,
}

/// What a run leaves when it does not come to its end: nothing, unless another run can go on with it.
pub(super) struct Leftovers {
    pub(super) paths: Vec<PathBuf>,
    pub(super) are_kept: bool,
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        if !self.are_kept {
            // What cannot be removed is harmless: the next run writes over it.
            self.paths.iter().for_each(|path| drop(fs::remove(path)));
        }
    }
}

/// What a run has come to.
pub(super) struct Outcome {
    pub(super) progress: Checkpoint,
    pub(super) output: OutputRecord,
    pub(super) rejects: Option<OutputRecord>,
}

/// The output.
pub(super) enum Body {
    Text(Box<Sheet>),
    /// The table, once its columns are known.
    Parquet(Option<Box<Sheet>>, Option<Box<parquet::Writer>>),
}

impl Writer<'_> {
    /// Writes a block.
    ///
    /// # Errors
    /// Names the row that ends the run, if one does.
    pub(super) fn write(&mut self, block: &mut Block) -> Result<()> {
        let Some(table) = block.table.clone() else { return Ok(()) };
        let mut progress = match self.progress.take() {
            Some(progress) => progress,
            None => self.begin(block, &table)?,
        };
        if let Err(error) = self.check(block, &table, progress.tally.rejected) {
            self.give_up(block)?;
            return Err(error);
        }
        let (Some(position), Some(predictions)) = (block.end, &block.predictions) else {
            return Err(anyhow!("a block came out of the circle half done"));
        };
        let images = predictions.labels.len();
        ensure!(images == block.parsed.images, "{} images were read, but {images} scored", block.parsed.images);
        match &mut self.body {
            Body::Text(sheet) => sheet.put(&block.output)?,
            Body::Parquet(_, Some(writer)) => {
                let columns = Columns::new(self.settings, self.classes.len(), table.layout.label().is_some());
                for_each_row(block, &columns, |row| writer.push(row, self.classes))?;
            }
            Body::Parquet(..) => return Err(anyhow!("the Parquet table was not begun")),
        }
        if let Some(sheet) = &mut self.rejects {
            sheet.put(&block.rejects)?;
        }
        count(&mut progress.tally, block);
        if let Some(shard) = self.shard
            && !block.rows.is_empty()
        {
            let place = (block.part / shard.count() as u64) as usize;
            if place == progress.parts.len() {
                progress.parts.push(Part::default());
            }
            let part = progress.parts.get_mut(place).context("a part of the shard was left out")?;
            part.output += block.output.len() as u64;
            part.rejects += block.rejects.len() as u64;
        }
        progress.finished.extend(block.finished.take());
        progress.position = position;
        self.progress = Some(progress);
        if self.last.elapsed() >= self.interval { self.checkpoint() } else { Ok(()) }
    }

    /// Writes what comes before the first row.
    fn begin(&mut self, block: &Block, table: &Table) -> Result<Checkpoint> {
        let columns = Columns::new(self.settings, self.classes.len(), table.layout.label().is_some());
        let mut header = Part::default();
        match &mut self.body {
            Body::Text(sheet) => {
                sheet.put(&text::header(self.settings.format, &columns))?;
                header.output = sheet.written().bytes;
            }
            Body::Parquet(sheet, writer) => {
                let sheet = sheet.take().context("the Parquet table was begun twice")?;
                *writer = Some(Box::new(parquet::Writer::new(*sheet, columns)?));
            }
        }
        if let Some(sheet) = &mut self.rejects {
            let mut line = Vec::new();
            text::write_cells(&mut line, REJECTS);
            sheet.put(&line)?;
            header.rejects = sheet.written().bytes;
        }
        let tally =
            Tally { predicted: vec![0; self.classes.len()], correct: table.layout.label().map(|_| 0), ..Tally::default() };
        Ok(Checkpoint {
            position: block.end.context("a block has an end")?,
            finished: Vec::new(),
            output: None,
            rejects: None,
            tally,
            header,
            parts_before: 0,
            parts: Vec::new(),
        })
    }

    /// Fails if a row of the block ends the run.
    fn check(&self, block: &Block, table: &Table, before: u64) -> Result<()> {
        let rejected = &block.parsed.rejected;
        let place = |error: &CellError| anyhow::Error::new(error.clone()).context(table.name.clone());
        if self.settings.on_error == OnError::Fail {
            return rejected.first().map_or(Ok(()), |error| Err(place(error)));
        }
        let Some(most) = self.settings.max_errors else { return Ok(()) };
        match rejected.get((most - before.min(most)) as usize) {
            Some(error) => {
                Err(place(error)
                    .context(format!("more than {} cannot be scored; the first too many", counted(most as usize, "row"))))
            }
            None => Ok(()),
        }
    }

    /// Gives the list of rejects its place, though the run fails: it says what to mend. Such a run cannot be gone on with.
    fn give_up(&mut self, block: &Block) -> Result<()> {
        let Some(mut sheet) = self.rejects.take() else { return Ok(()) };
        self.leftovers.are_kept = false;
        sheet.put(&block.rejects)?;
        sheet.place()
    }

    /// Puts down how far the run has come, once that is safe on the disk.
    pub(super) fn checkpoint(&mut self) -> Result<()> {
        let (Some(journal), Some(progress), Body::Text(output)) = (&mut self.journal, &mut self.progress, &mut self.body) else {
            return Ok(());
        };
        output.sync()?;
        progress.output = Some(output.written());
        progress.rejects = match &mut self.rejects {
            Some(sheet) => {
                sheet.sync()?;
                Some(sheet.written())
            }
            None => None,
        };
        journal.write(&Checkpoint { parts: progress.parts[progress.parts_before..].to_vec(), ..progress.clone() })?;
        // The last part may still grow, so the next checkpoint has it again.
        progress.parts_before = progress.parts.len().saturating_sub(1);
        self.last = Instant::now();
        self.leftovers.are_kept = true;
        Ok(())
    }

    /// Gives the files their places: list of rejects, manifest, output, in this order, so that where the output is new, all is.
    pub(super) fn finish(mut self, path: Option<&Path>, account: impl FnOnce(Outcome) -> Manifest) -> Result<Manifest> {
        self.checkpoint()?;
        let progress = self.progress.take().context("nothing was read")?;
        let sheet = match self.body {
            Body::Text(sheet) => *sheet,
            Body::Parquet(_, writer) => writer.context("the Parquet table was not begun")?.finish()?,
        };
        let record = |sheet: &Sheet| OutputRecord { file: sheet.file_name(), digest: sheet.written().digest };
        let rejects = self.rejects.as_ref().map(record);
        let manifest = account(Outcome { progress, output: record(&sheet), rejects });
        if let Some(rejects) = self.rejects {
            rejects.place()?;
        }
        if let Some(path) = path {
            fs::write_json(&Manifest::path(path), &manifest)?;
        }
        sheet.place()?;
        self.leftovers.are_kept = true; // there are none any more
        self.journal.map_or(Ok(()), Journal::remove)?;
        Ok(manifest)
    }
}

/// Counts the rows of a block.
fn count(tally: &mut Tally, block: &Block) {
    tally.rows += block.rows.len() as u64;
    tally.rejected += block.parsed.rejected.len() as u64;
    let labels = block.predictions.iter().flat_map(|predictions| &predictions.labels);
    for (kept, &label) in block.parsed.kept.iter().filter(|kept| kept.is_image).zip(labels) {
        tally.scored += 1;
        tally.predicted[usize::from(label)] += 1;
        if let Some(correct) = &mut tally.correct {
            *correct += u64::from(kept.truth == Some(label));
        }
    }
}

/// Does `with` to each row of a block that has a place in the output.
fn for_each_row(block: &Block, columns: &Columns, mut with: impl FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
    let (Some(table), Some(predictions)) = (&block.table, &block.predictions) else { return Ok(()) };
    let cells = table.layout.passed().len();
    let mut ranks = Vec::new();
    let mut image = 0;
    for (index, kept) in block.parsed.kept.iter().enumerate() {
        let mut row = Row {
            number: kept.row,
            truth: kept.truth,
            prediction: None,
            passed: &block.parsed.passed,
            first_passed: index * cells,
        };
        if kept.is_image {
            let probabilities = predictions.probabilities.row(image);
            let probabilities = probabilities.to_slice().context("probabilities lie row by row")?;
            columns.rank(probabilities, &mut ranks);
            row.prediction = Some(Prediction { label: predictions.labels[image], probabilities, ranks: &ranks });
            image += 1;
        }
        with(&row)?;
    }
    Ok(())
}

/// Writes the lines of a block into its buffers: all that can be done away from the writing end.
pub(super) fn prepare(block: &mut Block, settings: &Settings, classes: &[String], wants_rejects: bool) -> Result<()> {
    let Some(table) = block.table.clone() else { return Ok(()) };
    if settings.format != OutputFormat::Parquet {
        let columns = Columns::new(settings, classes.len(), table.layout.label().is_some());
        let mut output = std::mem::take(&mut block.output);
        let result = for_each_row(block, &columns, |row| {
            text::write_row(&mut output, settings.format, &columns, row, classes);
            Ok(())
        });
        block.output = output;
        result?;
    }
    if wants_rejects {
        for error in &block.parsed.rejected {
            let column = if error.name.is_empty() { error.column.to_string() } else { error.name.clone() };
            let row = error.row.to_string();
            let cells = [table.file.as_bytes(), row.as_bytes(), column.as_bytes(), error.why.as_bytes()];
            text::write_cells(&mut block.rejects, cells);
        }
    }
    Ok(())
}
