//! Memory for kernels: buffers that start at a cache line, lent by a small store, and scratch space that a thread keeps for its
//! next task. Fresh memory costs a page fault for every four kilobytes; what a training step needs, the next needs again.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

const LINE: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// What a buffer may hold: any bits are a value.
///
/// # Safety
/// Every pattern of bits must be a value, and no value may need a drop or more alignment than a cache line.
pub unsafe trait Plain: Copy + 'static {}

// SAFETY: any 32 bits are an `f32`.
unsafe impl Plain for f32 {}
// SAFETY: any 32 bits are a `u32`.
unsafe impl Plain for u32 {}
// SAFETY: any 32 bits are an `i32`.
unsafe impl Plain for i32 {}
// SAFETY: any 8 bits are a `u8`.
unsafe impl Plain for u8 {}
// SAFETY: any 16 bits are a `bf16`.
unsafe impl Plain for half::bf16 {}

/// Memory that starts at a cache line, so that no vector load straddles two lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer(Vec<Line>);

impl Buffer {
    /// `length` values, made room for. What they are is left over from earlier work.
    pub(crate) fn of<T: Plain>(&mut self, length: usize) -> &mut [T] {
        let lines = (length * size_of::<T>()).div_ceil(size_of::<Line>());
        if self.0.len() < lines {
            self.0.resize(lines, Line([0.0; LINE]));
        }
        // SAFETY: there are as many bytes as was just made sure; they are initialised, aligned to a cache line, borrowed
        // exclusively, and any bits are a `T`.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), length) }
    }

    fn bytes(&self) -> usize {
        self.0.len() * size_of::<Line>()
    }
}

/// A buffer that goes back to the store when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease<T: Plain> {
    buffer: Buffer,
    length: usize,
    of: PhantomData<T>,
}

/// Buffers in the store at most; the smallest is given up first.
const STORED: usize = 12;

static STORE: Mutex<Vec<Buffer>> = Mutex::new(Vec::new());

impl<T: Plain> Lease<T> {
    /// A buffer of `length` values. What they are is left over from earlier work.
    pub(crate) fn new(length: usize) -> Self {
        let bytes = length * size_of::<T>();
        let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = store.iter().enumerate().filter(|(_, buffer)| buffer.bytes() >= bytes);
        let smallest = fitting.min_by_key(|(_, buffer)| buffer.bytes()).map(|(index, _)| index);
        let mut buffer = smallest.map(|index| store.swap_remove(index)).unwrap_or_default();
        drop(store);
        buffer.of::<T>(length);
        Self { buffer, length, of: PhantomData }
    }

    /// The values.
    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: the buffer was made to hold `length` values, any bits are a `T`, and it is aligned to a cache line.
        unsafe { std::slice::from_raw_parts(self.buffer.0.as_ptr().cast(), self.length) }
    }

    /// The values.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        self.buffer.of(self.length)
    }
}

impl<T: Plain> Drop for Lease<T> {
    fn drop(&mut self) {
        let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
        store.push(std::mem::take(&mut self.buffer));
        if store.len() > STORED {
            let smallest = store.iter().enumerate().min_by_key(|(_, buffer)| buffer.bytes()).map(|(index, _)| index);
            smallest.map(|index| store.swap_remove(index));
        }
    }
}

/// Lends the thread's scratch buffers. What they hold is left over from earlier tasks of the thread. A task that borrows them must
/// not start parallel work: the thread might pick up another task that borrows them too.
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut [Buffer; 4]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<[Buffer; 4]> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_start_at_a_cache_line_and_keep_what_they_hold_as_they_grow() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.of::<f32>(17), [0.0; 17]);
        assert_eq!(buffer.of::<u32>(1).as_ptr() as usize % 64, 0);
        buffer.of::<f32>(17)[16] = 1.0;
        assert_eq!((buffer.of::<f32>(33)[16], buffer.of::<half::bf16>(5).len()), (1.0, 5));
    }

    #[test]
    fn two_leases_never_share_a_buffer() {
        let (mut a, mut b) = (Lease::<f32>::new(100), Lease::<f32>::new(100));
        a.as_mut_slice().fill(1.0);
        b.as_mut_slice().fill(2.0);
        assert_eq!(a.as_slice(), [1.0; 100]);
    }
}
