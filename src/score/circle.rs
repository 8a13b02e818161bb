//! The circle of blocks: a reader, workers, and a sink that gets blocks in their order.
//!
//! A fixed number of blocks goes round, so memory does not depend on how long the tables are.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::block::Block;
use super::reader::{Expected, Reader, Start};
use super::{Input, ScoreError};
use crate::progress::Progress;

/// A block that a worker is done with; an error of its own is in it, the error here is a panic, which is passed on.
type Done = (Block, Result<Result<()>, Box<dyn Any + Send>>);

/// How many threads and blocks there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circle {
    pub(super) workers: usize,
    pub(super) blocks: usize,
}

impl Circle {
    /// Reads all tables, from `start` on if an earlier run has read what is before, lets `work` do its part on each block,
    /// on several threads, and gives the blocks to `sink`, in order, on this one.
    ///
    /// # Errors
    /// The first error in the order of blocks; [`ScoreError::Interrupted`] when that is asked for.
    pub(super) fn run(
        self,
        inputs: Vec<Input>,
        expected: Expected<'_>,
        start: Option<Start>,
        work: &(dyn Fn(&mut Block) -> Result<()> + Sync),
        sink: &mut dyn FnMut(&mut Block) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<(), ScoreError> {
        let ((give_empty, take_empty), (give_full, take_full), (give_done, take_done)) = (channel(), channel(), channel());
        for _ in 0..self.blocks {
            give_empty.send(Block::default()).expect("the receiver is held below");
        }
        let take_full = Mutex::new(take_full);
        let is_over = AtomicBool::new(false);
        let while_taken = WhileTaken { progress, is_over: &is_over };
        let expected = Expected { progress: &while_taken, ..expected };
        thread::scope(|scope| {
            let _over = Over(&is_over);
            let reader = Reader::new(expected, start, take_empty, give_full);
            scope.spawn(move || reader.run(inputs));
            for _ in 0..self.workers {
                let (take_full, give_done) = (&take_full, give_done.clone());
                scope.spawn(move || serve(take_full, work, &give_done));
            }
            drop(give_done); // so that the workers' ends are the only ones
            // The sink's ends of the channels are moved: when it returns early, reader and workers find them closed.
            collect(take_done, give_empty, sink, progress)
        })
    }
}

/// What the reader looks at. It may wait for a stream, and is to stop as well when nobody takes its blocks any more.
struct WhileTaken<'a> {
    progress: &'a dyn Progress,
    is_over: &'a AtomicBool,
}

impl Progress for WhileTaken<'_> {
    fn begin(&self, what: &str, total: u64, unit: &str) {
        self.progress.begin(what, total, unit);
    }

    fn advance(&self, done: u64, message: &str) {
        self.progress.advance(done, message);
    }

    fn note(&self, line: &str) {
        self.progress.note(line);
    }

    fn warn(&self, line: &str) {
        self.progress.warn(line);
    }

    fn interrupted(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.progress.interrupted()
    }
}

/// Says that it is over when it is dropped, by a panic too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn serve(full: &Mutex<Receiver<Block>>, work: &dyn Fn(&mut Block) -> Result<()>, done: &Sender<Done>) {
    loop {
        let received = full.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut block) = received else { return };
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut block)));
        if done.send((block, result)).is_err() {
            return;
        }
    }
}

/// Gives blocks to the sink in the order of their numbers until there are no more, and sends them round again.
fn collect(
    done: Receiver<Done>,
    empty: Sender<Block>,
    sink: &mut dyn FnMut(&mut Block) -> Result<()>,
    progress: &dyn Progress,
) -> Result<(), ScoreError> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    loop {
        progress.check()?;
        let (block, result) = match done.recv_timeout(Duration::from_millis(200)) {
            Ok(done) => done,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        progress.check()?; // the end of a wait is an error of the reader too
        waiting.insert(block.number, (block, result));
        while let Some((mut block, result)) = waiting.remove(&next) {
            result.unwrap_or_else(|panic| resume_unwind(panic))?;
            block.check()?;
            sink(&mut block)?;
            next += 1;
            // The reader may have come to its end and take no more.
            let _ = empty.send(block);
        }
    }
    assert!(waiting.is_empty(), "every block comes out of the circle");
    Ok(())
}
