//! The circle of blocks: a reader, workers, and a sink that gets blocks in their order.
//!
//! A fixed number of blocks goes round, so memory does not depend on how long the tables are. The reader may wait for a stream
//! for ever, so nobody waits for the reader when the run is to end.

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

/// How long a thread waits before it looks whether it should.
const PATIENCE: Duration = Duration::from_millis(200);

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
        expected: Expected,
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
        let reader = Reader::new(expected, start, take_empty, give_full);
        let reading = thread::spawn(move || reader.run(inputs));
        let result = thread::scope(|scope| {
            for _ in 0..self.workers {
                let (take_full, is_over, give_done) = (&take_full, &is_over, give_done.clone());
                scope.spawn(move || serve(take_full, is_over, work, &give_done));
            }
            drop(give_done); // so that the workers' ends are the only ones
            // Workers are told even if the sink panics.
            let _over = Over(&is_over);
            // The sink's ends of the channels are moved: when it returns early, the reader finds them closed.
            collect(take_done, give_empty, sink, progress)
        });
        result?;
        // Every block came out, so the reader has ended; if it panicked, not by coming to the end of the tables.
        reading.join().unwrap_or_else(|panic| resume_unwind(panic));
        Ok(())
    }
}

/// Tells the workers that there is no more to do.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn serve(full: &Mutex<Receiver<Block>>, is_over: &AtomicBool, work: &dyn Fn(&mut Block) -> Result<()>, done: &Sender<Done>) {
    loop {
        let received = {
            let full = full.lock().unwrap_or_else(PoisonError::into_inner);
            if is_over.load(Ordering::Acquire) {
                return;
            }
            full.recv_timeout(PATIENCE)
        };
        let mut block = match received {
            Ok(block) => block,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
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
        let (block, result) = match done.recv_timeout(PATIENCE) {
            Ok(done) => done,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
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
