//! One run: what the rooms beside this file do, put together.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::circle::Circle;
use super::files::{Earlier, Outlet, check_files, claims, make_room, open_stream, room_for_list};
use super::journal::{Given, Identity, Journal, Written};
use super::manifest::ShardRecord;
use super::parse::Parser;
use super::reader::{Expected, Start};
use super::sheet::Sheet;
use super::spans::Spans;
use super::writer::{Body, Outcome, Writer, prepare};
use super::{
    Input, Manifest, ModelRecord, OnError, Output, OutputColumn, OutputFormat, Request, ScoreError, ScoreSummary, Settings,
};
use crate::progress::Progress;

/// Scores tables: reads, predicts and writes row by row, in order.
///
/// # Errors
/// [`ScoreError::Interrupted`] within about a second of a wish to stop, unless the reader of an output keeps it waiting;
/// [`ScoreError::Invalid`] for what makes no sense. Else names the file and, where a cell is at fault, its row and column:
/// that of the first such row, whatever the number of threads. The output file is then not there; what the journal holds
/// waits for a run with `resume`.
pub fn score(mut request: Request<'_>, progress: &dyn Progress) -> Result<ScoreSummary, ScoreError> {
    check_files(&claims(request.model.file(), &request.inputs, &request.output, request.rejects.as_deref()))?;
    let model = request.model.ready(request.engine, request.precision)?;
    let settings = request.settings(&model);
    let path = match &request.output {
        Output::File(path) => Some(path.clone()),
        Output::Stream(_) => None,
    };
    let outlet = path.as_deref().map(Outlet::of).transpose()?;
    let rejects = request.rejects.as_deref().map(Outlet::of).transpose()?;
    request.check(outlet.as_ref(), rejects.as_ref())?;
    if let Some(reason) = model.refused() {
        progress.warn(&format!("tract runs this model, because the kernels do not: {reason}"));
    }
    if model.is_emulated() {
        progress.warn(&format!("this machine has no instructions for {0}, which is slower here than fp32", model.precision()));
    } else if model.precision().is_slower() {
        progress
            .warn(&format!("this machine's instructions for {0} are slower than those for fp32; take fp32", model.precision()));
    }
    if !model.in_fp32().is_empty() {
        progress.note(&format!("in fp32: {}", model.in_fp32().join("; ")));
    }
    let classes = model.interface().classes.clone();
    let lengths: Vec<Option<u64>> = request.inputs.iter().map(Input::bytes).collect();
    let total: Option<u64> = lengths.iter().copied().sum();
    let start = Instant::now();

    let identity = identity(&request, &settings, rejects.as_ref());
    let (journal, checkpoint, leftovers) = match &outlet {
        Some(Outlet::File(place)) => {
            let mut opened = Journal::open(place, &identity, request.resume)?;
            let earlier = Earlier {
                is_left: opened.is_left,
                goes_on: opened.checkpoint.is_some(),
                rejects_at: opened.rejects_at.as_deref(),
            };
            let path = path.as_deref().unwrap_or(place);
            let leftovers = make_room(path, place, rejects.as_ref().and_then(Outlet::file), &opened.journal, earlier)?;
            if opened.checkpoint.is_none() {
                opened.journal.begin(&identity)?;
            }
            (Some(opened.journal), opened.checkpoint, leftovers)
        }
        // Only the list of rejects can be a file.
        _ => (None, None, room_for_list(rejects.as_ref().and_then(Outlet::file))?),
    };
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
    let parser = Parser {
        classes: &classes,
        pixels: model.interface().image.pixels(),
        on_error: settings.on_error,
        text_for: (settings.format != OutputFormat::Csv).then(|| settings.format.name()),
        lists_rejects: rejects.is_some(),
    };
    let written = checkpoint.as_ref().and_then(|checkpoint| checkpoint.output);
    let sheet = match (output, &outlet) {
        (Output::Stream(stream), _) => Sheet::stream("the predictions", stream),
        (Output::File(path), None) => return Err(anyhow::anyhow!("`{}` leads nowhere", path.display()).into()),
        (Output::File(_), Some(outlet)) => sheet(outlet, written.as_ref(), progress)?,
    };
    let listed = checkpoint.as_ref().and_then(|checkpoint| checkpoint.rejects);
    let mut writer = Writer {
        leftovers,
        settings: &settings,
        classes: &classes,
        parser,
        shard: request.shard,
        body: match settings.format {
            OutputFormat::Parquet => Body::Parquet(Some(Box::new(sheet)), None),
            _ => Body::Text(Box::new(sheet)),
        },
        rejects: rejects.as_ref().map(|outlet| self::sheet(outlet, listed.as_ref(), progress)).transpose()?,
        journal,
        interval: request.checkpoint,
        progress: checkpoint,
        last: Instant::now(),
        spans: Spans::default(),
        first_rejected: None,
    };

    let work = |block: &mut super::block::Block| {
        parser.parse(block);
        if settings.on_error == OnError::Fail && !block.parsed.rejected.is_empty() {
            return Ok(()); // it ends the run
        }
        let name = block.table.as_ref().map(|table| table.name.clone()).unwrap_or_default();
        block.predictions = Some(model.predict(block.parsed.pixels(parser.pixels)).context(name)?);
        prepare(block, &settings, &classes)
    };
    let expected = Expected {
        columns: &settings.columns,
        passthrough: &settings.passthrough,
        shape: model.interface().image,
        classes: &classes,
        wording: request.wording,
        needs_labels: settings.output_columns.contains(&OutputColumn::TrueLabel),
        block_bytes: request.block_bytes.get(),
        rows_per_batch: request.rows_per_batch.get(),
        rows_per_block: rows_per_block(request.block_bytes.get(), request.rows_per_batch.get()),
        shard: request.shard,
        lengths,
        progress,
    };
    let circle = Circle { workers: request.workers.get(), blocks: request.blocks.get() };
    progress.begin("scoring", total.unwrap_or(0), "bytes");
    let mut sink = |block: &mut super::block::Block| {
        let bytes_read = block.bytes_read;
        writer.write(block)?;
        writer.spans.warnings().iter().chain(&block.warnings).for_each(|line| progress.warn(line));
        let rows = writer.progress.as_ref().map_or(0, |checkpoint| checkpoint.tally.rows);
        progress.advance(bytes_read, &speed(rows, rows.saturating_sub(resumed), bytes_read, total, start.elapsed()));
        Ok(())
    };
    let result = circle.run(std::mem::take(&mut request.inputs), expected, place, &work, &mut sink, progress);
    if let Err(ScoreError::Interrupted(_)) = result {
        writer.checkpoint()?;
    }
    result?;
    writer.spans.last_warning().iter().for_each(|line| progress.warn(line));
    writer.spans.remark().iter().for_each(|line| progress.note(line));
    writer.check_tally()?;

    let record = ModelRecord { name: request.model.name().to_owned(), digest: request.model.digest() };
    // Beside a stream there is no manifest.
    let path = path.filter(|_| matches!(outlet, Some(Outlet::File(_))));
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
    if manifest.tally.rows > 0 && manifest.tally.scored == 0 {
        progress.warn("none of the rows of this shard could be scored");
    }
    Ok(ScoreSummary { manifest, seconds: start.elapsed().as_secs_f64(), resumed })
}

fn identity(request: &Request<'_>, settings: &Settings, rejects: Option<&Outlet>) -> Identity {
    let given = |input: &Input| Given { file: input.name(), bytes: input.bytes() };
    let rejects_at = rejects.and_then(Outlet::file).and_then(|place| std::path::absolute(place).ok());
    Identity {
        model: request.model.digest(),
        options: settings.clone(),
        rejects: request.rejects.is_some(),
        rejects_at: rejects_at.and_then(|path| path.to_str().map(str::to_owned)),
        shard: request.shard,
        inputs: request.inputs.iter().map(given).collect(),
    }
}

/// An output, or the rest of it if `written` is there already.
fn sheet(outlet: &Outlet, written: Option<&Written>, progress: &dyn Progress) -> Result<Sheet, ScoreError> {
    match (outlet, written) {
        (Outlet::File(place), Some(written)) => Sheet::go_on(place, written),
        (Outlet::File(place), None) => Ok(Sheet::file(place)?),
        (Outlet::Stream(path), _) => Ok(Sheet::stream(format!("`{}`", path.display()), open_stream(path, progress)?)),
    }
}

/// The most rows of a block. Rows of images have more bytes than this takes them to have; what is shorter cannot be scored, and
/// what is said of it is much longer than itself.
pub(super) fn rows_per_block(block_bytes: usize, rows_per_batch: usize) -> usize {
    const BYTES_PER_ROW: usize = 64;
    (block_bytes / BYTES_PER_ROW / rows_per_batch * rows_per_batch).max(rows_per_batch)
}

/// `12000 rows, 3125 rows/s, 80 s left`
fn speed(rows: u64, since: u64, bytes: u64, total: Option<u64>, time: Duration) -> String {
    let seconds = time.as_secs_f64().max(f64::MIN_POSITIVE);
    let left = total.filter(|_| bytes > 0).map(|total| total.saturating_sub(bytes) as f64 / bytes as f64 * seconds);
    let left = left.map(|left| format!(", {left:.0} s left")).unwrap_or_default();
    format!("{rows} rows, {:.0} rows/s{left}", since as f64 / seconds)
}
