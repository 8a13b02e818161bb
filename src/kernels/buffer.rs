//! Memory for kernels: buffers that start at a cache line, lent by a small store, and scratch space that a thread keeps for its
//! next task. Fresh memory costs a page fault for every four kilobytes; what a training step needs, the next needs again.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Numbers that start at a cache line, so that no vector load straddles two lines.
#[derive(Clone, Default)]
pub(crate) struct Buffer(Vec<Line>);

impl Buffer {
    /// Makes it hold at least `length` numbers; new ones are zero, others keep their value.
    fn grow(&mut self, length: usize) {
        let lines = length.div_ceil(LINE);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0.0; LINE]));
        }
    }

    /// The numbers.
    pub(crate) fn as_slice(&self) -> &[f32] {
        // SAFETY: a `Line` is `LINE` numbers without padding, so `n` lines are `n * LINE` initialised numbers.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * LINE) }
    }

    /// The numbers.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: as in `as_slice`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * LINE) }
    }
}

/// A buffer that goes back to the store when it is dropped.
pub(crate) struct Lease(Buffer);

/// Buffers in the store at most; the smallest is given up first.
const STORED: usize = 12;

static STORE: Mutex<Vec<Buffer>> = Mutex::new(Vec::new());

impl Lease {
    /// A buffer of at least `length` numbers. What it holds is left over from earlier work.
    pub(crate) fn new(length: usize) -> Self {
        let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = store.iter().enumerate().filter(|(_, buffer)| buffer.0.len() * LINE >= length);
        let smallest = fitting.min_by_key(|(_, buffer)| buffer.0.len()).map(|(index, _)| index);
        let mut buffer = smallest.map(|index| store.swap_remove(index)).unwrap_or_default();
        drop(store);
        buffer.grow(length);
        Self(buffer)
    }

    /// The numbers.
    pub(crate) fn as_slice(&self) -> &[f32] {
        self.0.as_slice()
    }

    /// The numbers.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        self.0.as_mut_slice()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
        store.push(std::mem::take(&mut self.0));
        if store.len() > STORED {
            let smallest = store.iter().enumerate().min_by_key(|(_, buffer)| buffer.0.len()).map(|(index, _)| index);
            smallest.map(|index| store.swap_remove(index));
        }
    }
}

/// Lends two scratch buffers of at least the given lengths. What they hold is left over from earlier tasks of the thread.
/// A task that borrows them must not start parallel work: the thread might pick up another task that borrows them too.
pub(crate) fn with_scratch<R>(first: usize, second: usize, work: impl FnOnce(&mut [f32], &mut [f32]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<(Buffer, Buffer)> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|(a, b)| {
        a.grow(first);
        b.grow(second);
        work(a.as_mut_slice(), b.as_mut_slice())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_start_at_a_cache_line_and_new_numbers_are_zeros() {
        let mut buffer = Buffer::default();
        buffer.grow(17);
        assert_eq!(buffer.as_slice(), [0.0; 32]);
        assert_eq!(buffer.as_slice().as_ptr() as usize % 64, 0);
        buffer.as_mut_slice()[31] = 1.0;
        buffer.grow(33);
        assert_eq!((buffer.as_slice()[31], buffer.as_slice().len()), (1.0, 48));
    }

    #[test]
    fn two_leases_never_share_a_buffer() {
        let (mut a, mut b) = (Lease::new(100), Lease::new(100));
        a.as_mut_slice().fill(1.0);
        b.as_mut_slice().fill(2.0);
        assert!(a.as_slice().len() >= 100 && a.as_slice().iter().all(|number| *number == 1.0));
    }
}
