//! The writing end: blocks, in order, into the output and the list of rejects, and checkpoints into the journal.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::block::{Block, Table};
use super::columns::{Columns, Prediction, Row};
use super::files::{Leftovers, write_manifest};
use super::journal::{Checkpoint, Journal};
use super::manifest::{Manifest, Part, Tally};
use super::parse::Parser;
use super::sheet::Sheet;
use super::spans::Spans;
use super::{OnError, OutputFormat, OutputRecord, Settings, Shard, parquet, text};
use crate::units::counted;

/// The columns of the list of rejects.
pub(super) const REJECTS: [&[u8]; 4] = [b"file", b"row", b"column", b"reason"];

/// The writing end of a run.
pub(super) struct Writer<'a> {
    /// To be kept as soon as there is a checkpoint. Dropped before the journal, which is locked as long as it is open.
    pub(super) leftovers: Leftovers,
    pub(super) settings: &'a Settings,
    pub(super) classes: &'a [String],
    pub(super) parser: Parser<'a>,
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
    /// Rows over several lines.
    pub(super) spans: Spans,
    /// The first row of this run that could not be scored, and why.
    pub(super) first_rejected: Option<String>,
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
        self.spans.note(block, &table);
        if let (None, Some(&index)) = (&self.first_rejected, block.parsed.rejected.first()) {
            self.first_rejected = self.fault(block, &table, index).map(|error| format!("{error:#}"));
        }
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
        let allowed = match (self.settings.on_error, self.settings.max_errors) {
            (OnError::Fail, _) => 0,
            (_, Some(most)) => most - before.min(most),
            (_, None) => return Ok(()),
        };
        let Some(&index) = rejected.get(usize::try_from(allowed).unwrap_or(usize::MAX)) else { return Ok(()) };
        let error = self.fault(block, table, index).unwrap_or_else(|| anyhow!("{}: a row cannot be scored", table.name));
        Err(match self.settings.max_errors {
            Some(most) => {
                let rows = counted(usize::try_from(most).unwrap_or(usize::MAX), "row");
                error.context(format!("more than {rows} cannot be scored; the first too many"))
            }
            None => error,
        })
    }

    /// What is wrong with a row of the block.
    fn fault(&self, block: &Block, table: &Table, index: u32) -> Option<anyhow::Error> {
        let error = self.parser.error(block, table, index)?;
        Some(anyhow::Error::new(error).context(table.name.clone()))
    }

    /// Fails if there were rows and none could be scored: whatever is to be done about a row, such a run has not done what it
    /// was to do. A shard may have come upon bad rows alone.
    pub(super) fn check_tally(&mut self) -> Result<()> {
        let Some(Tally { rows, scored: 0, .. }) = self.progress.as_ref().map(|progress| &progress.tally) else { return Ok(()) };
        if *rows == 0 || self.shard.is_some() {
            return Ok(());
        }
        let rows = *rows;
        let first = self.first_rejected.take().map(|first| format!("; the first: {first}")).unwrap_or_default();
        self.leftovers.are_kept = false;
        if let Some(sheet) = self.rejects.take() {
            sheet.place()?;
        }
        Err(anyhow!("none of the {rows} rows could be scored{first}"))
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
            write_manifest(path, &manifest)?;
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
    tally.rejected_lines += block.parsed.rejected_lines;
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

/// Writes the lines of a block into its buffer: all that can be done away from the writing end.
pub(super) fn prepare(block: &mut Block, settings: &Settings, classes: &[String]) -> Result<()> {
    let Some(table) = block.table.clone().filter(|_| settings.format != OutputFormat::Parquet) else { return Ok(()) };
    let columns = Columns::new(settings, classes.len(), table.layout.label().is_some());
    let mut output = std::mem::take(&mut block.output);
    let result = for_each_row(block, &columns, |row| {
        text::write_row(&mut output, settings.format, &columns, row, classes);
        Ok(())
    });
    block.output = output;
    result
}
