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

/// Sums that depend on nothing but themselves, at most: more than latency × units of any known machine.
const CHAINS: usize = 24;

/// As many of them as fit the registers beside two factors.
fn chains<S: Simd>() -> usize {
    if S::REGISTERS >= 32 { CHAINS } else { CHAINS / 2 }
}

impl<N: Number> Task for Spin<N> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> u64 {
        match chains::<S>() {
            CHAINS => spin::<S, N, CHAINS>(simd, self.steps),
            _ => spin::<S, N, { CHAINS / 2 }>(simd, self.steps),
        }
        (2 * N::PER_WORD * chains::<S>() * S::LANES * self.steps) as u64
    }
}

#[inline(always)]
fn spin<S: Simd, N: Number, const CHAINS: usize>(simd: S, steps: usize) {
    let word = |value: f32| N::word(N::narrow(value), N::narrow(value));
    let (a, b) = (N::splat_word(simd, word(std::hint::black_box(0.999))), N::splat_word(simd, word(std::hint::black_box(0.001))));
    let mut chains = [simd.splat(1.0); CHAINS];
    for _ in 0..steps {
        for chain in &mut chains {
            *chain = N::multiply_add(simd, a, b, *chain);
        }
    }
    std::hint::black_box(chains);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_for_every_thread() {
        let threads = rayon::current_num_threads();
        for level in Level::available() {
            assert_eq!(
                peak::<f32>(level, 3),
                (threads * 3 * 2 * if level.registers() >= 32 { CHAINS } else { CHAINS / 2 } * level.lanes()) as u64
            );
        }
    }
}
