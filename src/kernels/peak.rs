//! The machine's peak, against which kernels are measured.

use rayon::prelude::*;

use super::simd::{Level, Simd, Task};

/// Runs `steps` rounds of independent multiply-adds in registers on every thread, and tells how many floating-point operations
/// that was. Timed by the caller.
pub fn peak(level: Level, steps: usize) -> u64 {
    let counts: Vec<u64> =
        (0..rayon::current_num_threads()).into_par_iter().with_max_len(1).map(|_| level.run(Spin { steps })).collect();
    counts.into_iter().sum()
}

struct Spin {
    steps: usize,
}

/// Sums that depend on nothing but themselves: more than latency × units of any known machine, fewer than its registers.
const CHAINS: usize = 12;

impl Task for Spin {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> u64 {
        let (a, b) = (simd.splat(std::hint::black_box(0.999)), simd.splat(std::hint::black_box(0.001)));
        let mut chains = [simd.splat(1.0); CHAINS];
        for _ in 0..self.steps {
            for chain in &mut chains {
                *chain = simd.multiply_add(*chain, a, b);
            }
        }
        std::hint::black_box(chains);
        (2 * CHAINS * S::LANES * self.steps) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_for_every_thread() {
        let threads = rayon::current_num_threads();
        for level in Level::available() {
            assert_eq!(peak(level, 3), (threads * 3 * 2 * CHAINS * level.lanes()) as u64);
        }
    }
}
