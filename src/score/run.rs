//! One run: what the rooms beside this file do, put together.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::circle::Circle;
use super::journal::{Checkpoint, Given, Identity, Journal, partial};
use super::manifest::ShardRecord;
use super::parse::Parser;
use super::reader::{Expected, Start};
use super::sheet::Sheet;
use super::writer::{Body, Leftovers, Outcome, Writer, prepare};
use super::{
    Input, Manifest, ModelRecord, OnError, Output, OutputColumn, OutputFormat, Request, ScoreError, ScoreSummary, Settings,
};
use crate::progress::Progress;

/// Scores tables: reads, predicts and writes row by row, in order.
///
/// # Errors
/// [`ScoreError::Interrupted`] within about a second of a wish to stop, unless a stream is waited for;
/// [`ScoreError::Invalid`] for what makes no sense. Else names the file and, where a cell is at fault, its row and column:
/// that of the first such row, whatever the number of threads. The output file is then not there; what the journal holds
/// waits for a run with `resume`.
pub fn score(mut request: Request<'_>, progress: &dyn Progress) -> Result<ScoreSummary, ScoreError> {
    let model = request.model.ready(request.engine, request.precision)?;
    let settings = request.settings(&model);
    request.check()?;
    if let Some(reason) = model.refused() {
        progress.warn(&format!("tract runs this model, because the kernels do not: {reason}"));
    }
    if model.is_emulated() {
        progress.warn(&format!("this machine has no instructions for {0}, which is slower here than fp32", model.precision()));
    }
    if !model.in_fp32().is_empty() {
        progress.note(&format!("in fp32: {}", model.in_fp32().join("; ")));
    }
    let classes = model.interface().classes.clone();
    let total: Option<u64> = request.inputs.iter().map(Input::bytes).sum();
    let start = Instant::now();

    let path = match &request.output {
        Output::File(path) => Some(path.clone()),
        Output::Stream(_) => None,
    };
    let (journal, checkpoint) = match &path {
        Some(path) => {
            let (journal, checkpoint) = Journal::open(path, &identity(&request, &settings), request.resume)?;
            (Some(journal), checkpoint)
        }
        None => (None, None),
    };
    let leftovers = leftovers(&request, journal.as_ref(), checkpoint.is_some());
    let resumed = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.tally.scored);
    if request.resume {
        progress.note(&match &checkpoint {
            Some(checkpoint) => format!("going on after {} rows", checkpoint.tally.rows),
            None if settings.format == OutputFormat::Parquet => {
                "Parquet is written in one go: beginning with the first row".to_owned()
            }
            None => "there is nothing to go on with: beginning with the first row".to_owned(),
        });
    }
    let place =
        checkpoint.as_ref().map(|checkpoint| Start { finished: checkpoint.finished.clone(), position: checkpoint.position });
    let output = std::mem::replace(&mut request.output, Output::Stream(Box::new(std::io::sink())));
    let mut writer = Writer {
        settings: &settings,
        classes: &classes,
        shard: request.shard,
        body: body(output, settings.format, checkpoint.as_ref())?,
        rejects: request.rejects.as_deref().map(|path| rejects(path, checkpoint.as_ref())).transpose()?,
        journal,
        interval: request.checkpoint,
        leftovers,
        progress: checkpoint,
        last: Instant::now(),
    };

    let parser = Parser {
        classes: &classes,
        pixels: model.interface().image.pixels(),
        on_error: settings.on_error,
        text_for: (settings.format != OutputFormat::Csv).then(|| settings.format.name()),
    };
    let wants_rejects = writer.rejects.is_some();
    let work = |block: &mut super::block::Block| {
        parser.parse(block);
        if settings.on_error == OnError::Fail && !block.parsed.rejected.is_empty() {
            return Ok(()); // it ends the run
        }
        let name = block.table.as_ref().map(|table| table.name.clone()).unwrap_or_default();
        block.predictions = Some(model.predict(block.parsed.pixels(parser.pixels)).context(name)?);
        prepare(block, &settings, &classes, wants_rejects)
    };
    let expected = Expected {
        columns: &settings.columns,
        passthrough: &settings.passthrough,
        shape: model.interface().image,
        needs_labels: settings.output_columns.contains(&OutputColumn::TrueLabel),
        block_bytes: request.block_bytes.get(),
        rows_per_batch: request.rows_per_batch.get(),
        shard: request.shard,
    };
    let circle = Circle { workers: request.workers.get(), blocks: request.blocks.get() };
    progress.begin("scoring", total.unwrap_or(0), "bytes");
    let mut sink = |block: &mut super::block::Block| {
        let bytes_read = block.bytes_read;
        writer.write(block)?;
        let rows = writer.progress.as_ref().map_or(0, |checkpoint| checkpoint.tally.rows);
        progress.advance(bytes_read, &speed(rows, rows.saturating_sub(resumed), bytes_read, total, start.elapsed()));
        Ok(())
    };
    let result = circle.run(std::mem::take(&mut request.inputs), expected, place, &work, &mut sink, progress);
    if let Err(ScoreError::Interrupted(_)) = result {
        writer.checkpoint()?;
    }
    result?;

    let record = ModelRecord { name: request.model.name().to_owned(), digest: request.model.digest() };
    let manifest = writer.finish(path.as_deref(), |Outcome { progress, output, rejects }| Manifest {
        model: record,
        classes: classes.clone(),
        inputs: progress.finished,
        output,
        rejects,
        options: settings.clone(),
        accuracy: progress.tally.accuracy(),
        shard: request.shard.map(|shard| ShardRecord { shard, header: progress.header, parts: progress.parts }),
        tally: progress.tally,
    })?;
    Ok(ScoreSummary { manifest, seconds: start.elapsed().as_secs_f64(), resumed })
}

fn identity(request: &Request<'_>, settings: &Settings) -> Identity {
    let given = |input: &Input| Given { file: input.name(), bytes: input.bytes() };
    Identity {
        model: request.model.digest(),
        options: settings.clone(),
        rejects: request.rejects.is_some(),
        shard: request.shard,
        inputs: request.inputs.iter().map(given).collect(),
    }
}

fn body(output: Output, format: OutputFormat, checkpoint: Option<&Checkpoint>) -> Result<Body, ScoreError> {
    let sheet = match output {
        Output::Stream(stream) => Sheet::stream(stream),
        Output::File(path) => match checkpoint.and_then(|checkpoint| checkpoint.output) {
            Some(written) => Sheet::go_on(&path, &written)?,
            None => Sheet::file(&path)?,
        },
    };
    Ok(if format == OutputFormat::Parquet { Body::Parquet(Some(Box::new(sheet)), None) } else { Body::Text(Box::new(sheet)) })
}

fn rejects(path: &Path, checkpoint: Option<&Checkpoint>) -> Result<Sheet, ScoreError> {
    match checkpoint.and_then(|checkpoint| checkpoint.rejects) {
        Some(written) => Sheet::go_on(path, &written),
        None => Ok(Sheet::file(path)?),
    }
}

/// `12000 rows, 3125 rows/s, 80 s left`
fn speed(rows: u64, since: u64, bytes: u64, total: Option<u64>, time: Duration) -> String {
    let seconds = time.as_secs_f64().max(f64::MIN_POSITIVE);
    let left = total.filter(|_| bytes > 0).map(|total| total.saturating_sub(bytes) as f64 / bytes as f64 * seconds);
    let left = left.map(|left| format!(", {left:.0} s left")).unwrap_or_default();
    format!("{rows} rows, {:.0} rows/s{left}", since as f64 / seconds)
}

/// The files that a run makes before it is complete; kept from the beginning if they are those of a run that goes on.
fn leftovers(request: &Request<'_>, journal: Option<&Journal>, are_kept: bool) -> Leftovers {
    let output = match &request.output {
        Output::File(path) => Some(partial(path)),
        Output::Stream(_) => None,
    };
    let rejects = request.rejects.as_deref().map(partial);
    let journal = journal.map(|journal| journal.path().to_owned());
    Leftovers { paths: output.into_iter().chain(rejects).chain(journal).collect(), are_kept }
}
