//! The machine's peak, against which kernels are measured.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::Number;
use super::simd::{Level, Simd, Task};

/// Runs `steps` rounds of independent multiply-adds of `N` in registers on every thread, and tells how many floating-point
/// operations that was. Timed by the caller.
pub fn peak<N: Number>(level: Level, steps: usize) -> u64 {
    let threads = (0..rayon::current_num_threads()).into_par_iter().with_max_len(1);
    let counts: Vec<u64> = threads.map(|_| N::run(level, Spin::<N> { steps, of: PhantomData })).collect();
    counts.into_iter().sum()
}

struct Spin<N> {
    steps: usize,
    of: PhantomData<N>,
}

/// Sums that depend on nothing but themselves: more than latency × units of any known machine, fewer than its registers.
const CHAINS: usize = 12;

impl<N: Number> Task for Spin<N> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> u64 {
        let number = |value: f32| N::splat_word(simd, N::word(N::narrow(value), N::narrow(value)));
        let (a, b) = (number(std::hint::black_box(0.999)), number(std::hint::black_box(0.001)));
        let mut chains = [simd.splat(1.0); CHAINS];
        for _ in 0..self.steps {
            for chain in &mut chains {
                *chain = N::multiply_add(simd, a, b, *chain);
            }
        }
        std::hint::black_box(chains);
        (2 * N::PER_WORD * CHAINS * S::LANES * self.steps) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_for_every_thread() {
        let threads = rayon::current_num_threads();
        for level in Level::available() {
            assert_eq!(peak::<f32>(level, 3), (threads * 3 * 2 * CHAINS * level.lanes()) as u64);
        }
    }
}
