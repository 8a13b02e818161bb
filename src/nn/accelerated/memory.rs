//! Buffers that are used again: a training step needs the same large tensors as the step before, and fresh memory costs a page
//! fault for every four kilobytes.
//!
//! Every tensor made here keeps a second owner in the pool. When the pool is its only owner, its memory is free for the next
//! tensor of the same size. Burn therefore never changes such a tensor in place.

use std::sync::{Mutex, PoisonError};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::Shape;

use super::maps::MapNumber;

/// Tensors smaller than this come from the allocator, which is quick at them.
const SMALLEST: usize = 1 << 14;
/// A buffer that so many requests did not want is given back to the allocator.
const PATIENCE: u64 = 1 << 10;

struct Pool {
    requests: u64,
    buffers: Vec<Pooled>,
}

struct Pooled {
    tensor: FlexTensor,
    last: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { requests: 0, buffers: Vec::new() });

/// A tensor of `shape`, filled by `fill`, which must write every number: what it finds there is left over.
pub(super) fn tensor<N: MapNumber>(shape: impl Into<Shape>, fill: impl FnOnce(&mut [N])) -> FlexTensor {
    tensor_with(shape, |numbers| {
        fill(numbers);
    })
    .0
}

/// The same for a `fill` that gives something.
pub(super) fn tensor_with<N: MapNumber, R>(shape: impl Into<Shape>, fill: impl FnOnce(&mut [N]) -> R) -> (FlexTensor, R) {
    let shape = shape.into();
    let length = shape.num_elements();
    let mut buffer = take::<N>(length).unwrap_or_else(|| N::zeros(length));
    let result = fill(N::storage(&mut buffer));
    let tensor = FlexTensor::from_arc(buffer.data_arc(), Layout::contiguous(shape), N::TYPE);
    if length >= SMALLEST {
        keep(buffer);
    }
    (tensor, result)
}

/// Gives the memory of every buffer that is not in use back to the allocator. Call it when training ends.
pub fn release() {
    lock().buffers.retain(|buffer| !buffer.tensor.is_unique());
}

/// A free buffer of `length` numbers, out of the pool.
fn take<N: MapNumber>(length: usize) -> Option<FlexTensor> {
    if length < SMALLEST {
        return None;
    }
    let mut pool = lock();
    pool.requests += 1;
    let now = pool.requests;
    pool.buffers.retain(|buffer| !buffer.tensor.is_unique() || now - buffer.last < PATIENCE);
    let fits = |tensor: &FlexTensor| tensor.layout().num_elements() == length && tensor.dtype() == N::TYPE;
    let free = |buffer: &Pooled| buffer.tensor.is_unique() && fits(&buffer.tensor);
    // The one used last is most likely in a cache.
    let (index, _) = pool.buffers.iter().enumerate().filter(|(_, buffer)| free(buffer)).max_by_key(|(_, b)| b.last)?;
    Some(pool.buffers.swap_remove(index).tensor)
}

fn keep(tensor: FlexTensor) {
    let mut pool = lock();
    let last = pool.requests;
    pool.buffers.push(Pooled { tensor, last });
}

fn lock() -> std::sync::MutexGuard<'static, Pool> {
    // A panic elsewhere cannot leave the list of buffers half changed.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A size that no other test asks for, so that they do not take each other's buffers.
    const LENGTH: usize = SMALLEST + 77;

    fn address(tensor: &FlexTensor) -> usize {
        tensor.bytes().as_ptr() as usize
    }

    #[test]
    fn memory_is_used_again_when_its_tensor_is_gone_and_not_before() {
        let first = tensor::<f32>([LENGTH], |numbers| numbers.fill(1.0));
        let second = tensor::<f32>([LENGTH, 1], |numbers| numbers.fill(2.0));
        assert_ne!(address(&first), address(&second));
        let was = address(&first);
        drop(first);
        let third = tensor::<f32>([1, LENGTH], |numbers| numbers.fill(3.0));
        assert_eq!(address(&third), was);
        assert!(second.as_slice::<f32>().expect("contiguous").iter().all(|number| *number == 2.0));
        assert!(third.as_slice::<f32>().expect("contiguous").iter().all(|number| *number == 3.0));
    }
}
