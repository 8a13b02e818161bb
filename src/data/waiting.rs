//! Reading what may keep its reader waiting: a pipe, a device, the standard input.
//!
//! The system's call that reads such a source cannot be ended from outside. So a thread of its own makes the calls, opening included,
//! and the reader looks every now and then whether it should stop. A thread that nobody waits for any more ends with the program.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::progress::{Interrupted, Progress};

/// How much is read at once, at most.
const PIECE: usize = 1 << 16;

/// How many pieces may be ready.
const READY: usize = 4;

/// The time between two looks at whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// A source that may keep its reader waiting, and a wait that can be ended.
pub struct Waiting<'a> {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    given: usize,
    progress: &'a dyn Progress,
}

impl<'a> Waiting<'a> {
    /// Will read what `open` opens. When `progress` is interrupted, reading ends with an error that holds [`Interrupted`].
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn new<R: Read>(open: impl FnOnce() -> io::Result<R> + Send + 'static, progress: &'a dyn Progress) -> io::Result<Self> {
        let (give, pieces) = sync_channel(READY);
        thread::Builder::new().name("waiting".to_owned()).spawn(move || {
            let mut source = match open() {
                Ok(source) => source,
                Err(error) => return drop(give.send(Err(error))),
            };
            loop {
                let mut piece = vec![0; PIECE];
                match source.read(&mut piece) {
                    Ok(0) => return,
                    Ok(count) => {
                        piece.truncate(count);
                        if give.send(Ok(piece)).is_err() {
                            return; // nobody reads any more
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return drop(give.send(Err(error))),
                }
            }
        })?;
        Ok(Self { pieces, piece: Vec::new(), given: 0, progress })
    }
}

impl Read for Waiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.piece.len() {
            if self.progress.interrupted() {
                return Err(io::Error::other(Interrupted));
            }
            match self.pieces.recv_timeout(LOOK) {
                Ok(piece) => (self.piece, self.given) = (piece?, 0),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len() - self.given);
        buffer[..count].copy_from_slice(&self.piece[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::progress::Silent;

    struct Stopped(AtomicBool);

    impl Progress for Stopped {
        fn begin(&self, _what: &str, _total: u64, _unit: &str) {}
        fn advance(&self, _done: u64, _message: &str) {}
        fn note(&self, _line: &str) {}
        fn warn(&self, _line: &str) {}
        fn interrupted(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn all_is_read_and_errors_are_passed_on() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        let (mut read, source) = (Vec::new(), io::Cursor::new(bytes.clone()));
        Waiting::new(move || Ok(source), &Silent).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        let closed = || Err::<io::Empty, _>(io::Error::other("closed"));
        assert_eq!(Waiting::new(closed, &Silent).unwrap().read(&mut [0]).unwrap_err().to_string(), "closed");
    }

    #[test]
    fn a_wait_without_end_can_be_ended() {
        let stopped = Stopped(AtomicBool::new(false));
        let opens = || {
            thread::sleep(Duration::from_secs(3600));
            Ok(io::empty())
        };
        let mut waiting = Waiting::new(opens, &stopped).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                stopped.0.store(true, Ordering::SeqCst);
            });
            let error = waiting.read(&mut [0]).unwrap_err();
            assert!(error.get_ref().is_some_and(|inner| inner.is::<Interrupted>()));
        });
    }
}
