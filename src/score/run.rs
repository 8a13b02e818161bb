//! The circle of batches: a reader, workers, and a writer that keeps the order.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::batch::Batch;
use super::reader::{Expected, Reader};
use super::{InputRecord, Manifest, ModelRecord, Output, OutputRecord, Request, ScoreError, ScoreSummary, row};
use crate::digest::Digester;
use crate::fs::{self, AtomicFile};
use crate::infer::Model;
use crate::progress::Progress;

/// Scores tables: reads, predicts and writes row by row, in order.
///
/// # Errors
/// [`ScoreError::Interrupted`] within about a second of a wish to stop, unless a stream is waited for. Else names the
/// file and, where a cell is at fault, its row and column: that of the first such row, whatever the number of threads.
/// The output file is then not written.
pub fn score(request: Request<'_>, progress: &dyn Progress) -> Result<ScoreSummary, ScoreError> {
    request.check()?;
    let model = request.model.optimise(request.model.fastest_batch())?;
    let total: Option<u64> = request.inputs.iter().map(super::Input::bytes).sum();
    progress.begin("scoring", total.unwrap_or(0), "bytes");
    let start = Instant::now();

    let (target, path) = match request.output {
        Output::File(path) => (Target::File(AtomicFile::create(&path)?), Some(path)),
        Output::Stream(stream) => (Target::Stream(stream), None),
    };
    let writer = Writer::new(target, path.as_deref(), model.interface().classes.len());
    let expected = Expected {
        columns: &request.columns,
        passthrough: &request.passthrough,
        shape: model.interface().image,
        rows_per_batch: request.rows_per_batch.get(),
    };
    let circle = Circle { model: &model, workers: request.workers.get(), batches: request.batches.get() };
    let (tally, inputs) = circle.run(request.inputs, expected, writer, progress)?;

    let rows = tally.predicted.iter().sum();
    let manifest = Manifest {
        model: ModelRecord { name: request.model.name().to_owned(), digest: request.model.digest() },
        classes: model.interface().classes.clone(),
        inputs,
        output: OutputRecord { file: path.as_deref().map(file_name), digest: tally.digester.digest() },
        columns: request.columns,
        passthrough: request.passthrough,
        on_error: request.on_error,
        rows,
        scored: rows,
        predicted: tally.predicted,
        accuracy: (tally.has_labels && rows > 0).then(|| tally.correct as f64 / rows as f64),
    };
    if let Some(path) = path {
        let mut beside = path.into_os_string();
        beside.push(".manifest.json");
        fs::write_json(&PathBuf::from(beside), &manifest)?;
    }
    Ok(ScoreSummary { manifest, seconds: start.elapsed().as_secs_f64() })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

struct Circle<'a> {
    model: &'a Model,
    workers: usize,
    batches: usize,
}

/// A batch that a worker is done with; the outer error is a panic, which is passed on.
type Done = (Batch, Result<Result<()>, Box<dyn Any + Send>>);

impl Circle<'_> {
    fn run(
        &self,
        inputs: Vec<super::Input>,
        expected: Expected<'_>,
        writer: Writer<'_>,
        progress: &dyn Progress,
    ) -> Result<(Tally, Vec<InputRecord>), ScoreError> {
        let ((give_empty, take_empty), (give_full, take_full), (give_done, take_done)) = (channel(), channel(), channel());
        for _ in 0..self.batches {
            give_empty.send(Batch::new(Err(anyhow!("nothing was read")))).expect("the receiver is held below");
        }
        let take_full = Mutex::new(take_full);
        let classes = row::Classes::new(&self.model.interface().classes);
        thread::scope(|scope| {
            let reader = Reader { expected, empty: take_empty, full: give_full, next: 0, bytes_before: 0, first: None };
            let reading = scope.spawn(move || reader.run(inputs));
            for _ in 0..self.workers {
                let (take_full, classes, give_done) = (&take_full, &classes, give_done.clone());
                scope.spawn(move || self.work(take_full, classes, &give_done));
            }
            drop(give_done); // so that the workers' ends are the only ones
            // The writer owns its ends of the channels: when it returns early, reader and workers find them closed.
            let tally = writer.run(take_done, give_empty, progress)?;
            let records = reading.join().unwrap_or_else(|panic| resume_unwind(panic));
            Ok((tally, records))
        })
    }

    fn work(&self, full: &Mutex<Receiver<Batch>>, classes: &row::Classes, done: &Sender<Done>) {
        loop {
            let received = full.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(mut batch) = received else { return };
            let result = catch_unwind(AssertUnwindSafe(|| batch.score(self.model, classes)));
            if done.send((batch, result)).is_err() {
                return;
            }
        }
    }
}

enum Target {
    File(AtomicFile),
    Stream(Box<dyn Write + Send>),
}

/// The writing end.
struct Writer<'a> {
    target: Target,
    path: Option<&'a Path>,
    classes: usize,
    tally: Tally,
}

/// What was written.
struct Tally {
    predicted: Vec<u64>, // [classes]
    correct: u64,
    has_labels: bool,
    digester: Digester,
}

impl<'a> Writer<'a> {
    fn new(target: Target, path: Option<&'a Path>, classes: usize) -> Self {
        let tally = Tally { predicted: vec![0; classes], correct: 0, has_labels: false, digester: Digester::default() };
        Self { target, path, classes, tally }
    }

    /// Writes batches in the order of their numbers until there are no more, and gives them back.
    fn run(mut self, done: Receiver<Done>, empty: Sender<Batch>, progress: &dyn Progress) -> Result<Tally, ScoreError> {
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        loop {
            progress.check()?;
            let (batch, result) = match done.recv_timeout(Duration::from_millis(200)) {
                Ok(done) => done,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            waiting.insert(batch.number, (batch, result));
            while let Some((mut batch, result)) = waiting.remove(&next) {
                result.unwrap_or_else(|panic| resume_unwind(panic))?;
                self.write(&mut batch, next == 0)?;
                next += 1;
                progress.advance(batch.bytes_read, &format!("{} rows", self.tally.predicted.iter().sum::<u64>()));
                // The reader may have come to its end and take no more.
                let _ = empty.send(batch);
            }
        }
        assert!(waiting.is_empty(), "every batch comes out of the circle");
        let context = self.context();
        match self.target {
            Target::File(file) => file.commit()?,
            Target::Stream(mut stream) => stream.flush().context(context)?,
        }
        Ok(self.tally)
    }

    fn write(&mut self, batch: &mut Batch, is_first: bool) -> Result<()> {
        let table = match &batch.table {
            Ok(table) => table,
            Err(_) => return std::mem::replace(&mut batch.table, Err(anyhow!("nothing was read"))).map(drop),
        };
        if is_first {
            self.tally.has_labels = table.layout.label().is_some();
            let header = row::header(self.classes, &table.layout);
            self.put(&header)?;
        }
        self.put(&batch.output)?;
        ensure!(batch.labels.len() == batch.rows, "{} rows were read, but {} scored", batch.rows, batch.labels.len());
        for &(label, is_correct) in &batch.labels {
            self.tally.predicted[usize::from(label)] += 1;
            self.tally.correct += u64::from(is_correct);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.tally.digester.update(bytes);
        let result = match &mut self.target {
            Target::File(file) => file.write_all(bytes),
            Target::Stream(stream) => stream.write_all(bytes),
        };
        result.with_context(|| self.context())
    }

    fn context(&self) -> String {
        match self.path {
            Some(path) => format!("cannot write `{}`", path.display()),
            None => "cannot write the predictions".to_owned(),
        }
    }
}
