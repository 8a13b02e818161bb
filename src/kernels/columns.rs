//! Sums over the rows of a matrix, column by column.

use super::number::{Number, read};
use super::simd::Simd;

/// Rows whose sums are kept apart, so that additions need not wait for each other.
const ABREAST: usize = 4;

/// What is summed: `N` terms of each number of a matrix `[rows, channels]`.
pub(crate) trait Terms<S: Simd, const N: usize> {
    /// What does not change along a column.
    type Column: Copy;

    /// Prepares the columns from `channel`, `count` of them.
    fn column(&self, simd: S, channel: usize, count: usize) -> Self::Column;

    /// Adds the terms of the numbers at `at`, `count` of them.
    fn add(&self, simd: S, column: Self::Column, at: usize, count: usize, sums: &mut [S::Vector; N]);
}

/// Sums `terms` over `rows`, in a fixed order; sum `n` of a channel goes to `to[n][channel]`.
#[inline(always)]
pub(crate) fn sum_columns<S: Simd, const N: usize>(simd: S, rows: usize, terms: &impl Terms<S, N>, mut to: [&mut [f32]; N]) {
    let channels = to[0].len();
    for channel in (0..channels).step_by(S::LANES) {
        let count = S::LANES.min(channels - channel);
        let sums = if count == S::LANES {
            sum_strip(simd, rows, channels, channel, S::LANES, terms)
        } else {
            sum_strip(simd, rows, channels, channel, count, terms)
        };
        for (to, sum) in to.iter_mut().zip(sums) {
            let to = &mut to[channel..channel + count];
            // SAFETY: the slice holds `count` numbers, at most a vector of them.
            unsafe { simd.store_first(to.as_mut_ptr(), count, sum) };
        }
    }
}

#[inline(always)]
fn sum_strip<S: Simd, const N: usize>(
    simd: S,
    rows: usize,
    channels: usize,
    channel: usize,
    count: usize,
    terms: &impl Terms<S, N>,
) -> [S::Vector; N] {
    let column = terms.column(simd, channel, count);
    let mut sums = [[simd.splat(0.0); N]; ABREAST];
    let whole = rows / ABREAST * ABREAST;
    for row in (0..whole).step_by(ABREAST) {
        for (lane, sums) in sums.iter_mut().enumerate() {
            terms.add(simd, column, (row + lane) * channels + channel, count, sums);
        }
    }
    for row in whole..rows {
        terms.add(simd, column, row * channels + channel, count, &mut sums[0]);
    }
    let mut total = sums[0];
    for sums in &sums[1..] {
        for (total, sum) in total.iter_mut().zip(sums) {
            *total = simd.add(*total, *sum);
        }
    }
    total
}

/// The numbers themselves.
pub(crate) struct Plain<'a, N>(pub &'a [N]);

impl<S: Simd, N: Number> Terms<S, 1> for Plain<'_, N> {
    type Column = ();

    #[inline(always)]
    fn column(&self, _: S, _: usize, _: usize) {}

    #[inline(always)]
    fn add(&self, simd: S, (): (), at: usize, count: usize, [sum]: &mut [S::Vector; 1]) {
        *sum = simd.add(*sum, read(simd, self.0, at, count));
    }
}

/// Deviations from `about`, and their squares.
pub(crate) struct Deviations<'a, N> {
    pub x: &'a [N],
    pub about: &'a [f32],
}

impl<S: Simd, N: Number> Terms<S, 2> for Deviations<'_, N> {
    type Column = S::Vector;

    #[inline(always)]
    fn column(&self, simd: S, channel: usize, count: usize) -> S::Vector {
        read(simd, self.about, channel, count)
    }

    #[inline(always)]
    fn add(&self, simd: S, about: S::Vector, at: usize, count: usize, [sum, squares]: &mut [S::Vector; 2]) {
        let apart = simd.subtract(read(simd, self.x, at, count), about);
        *sum = simd.add(*sum, apart);
        *squares = simd.multiply_add(apart, apart, *squares);
    }
}
