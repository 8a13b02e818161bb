//! The microkernel: a tile of pixels × channels is summed in registers, one broadcast and a few dot products of four bytes for each word
//! that goes in; then sums become bytes or numbers, perhaps the largest of each four.

use super::weights::{WORD, Weights};
use crate::kernels::Number;
use crate::kernels::conv::{Phase, Pixel, Run};
use crate::kernels::simd::{ByteTask, Bytes};

/// What comes out of a layer: bytes, or numbers.
pub trait Target: sealed::Target {}

impl Target for u8 {}
impl<N: Number> Target for N {}

pub(crate) mod sealed {
    use crate::kernels::Number;
    use crate::kernels::simd::Bytes;

    /// How sums become a [`super::Target`].
    pub trait Target: Copy + Send + Sync {
        /// Writes sum · scale of the first `count` lanes, with `relu` none below 0.
        ///
        /// # Safety
        /// `scales` must be valid for reading `LANES` numbers for each vector, `to` for writing `count` values, and `count` at most
        /// the lanes of all vectors.
        unsafe fn store<B: Bytes, const V: usize>(
            make: B,
            sums: [B::Words; V],
            scales: *const f32,
            relu: bool,
            to: *mut Self,
            count: usize,
        );
    }

    impl Target for u8 {
        #[inline(always)]
        unsafe fn store<B: Bytes, const V: usize>(
            make: B,
            sums: [B::Words; V],
            scales: *const f32,
            _relu: bool,
            to: *mut u8,
            count: usize,
        ) {
            // SAFETY: as the caller vouches.
            unsafe { make.store(sums, scales, to, count) }
        }
    }

    impl<N: Number> Target for N {
        #[inline(always)]
        unsafe fn store<B: Bytes, const V: usize>(
            make: B,
            sums: [B::Words; V],
            scales: *const f32,
            relu: bool,
            to: *mut N,
            count: usize,
        ) {
            for (vector, sums) in sums.into_iter().enumerate().take(count.div_ceil(B::LANES)) {
                // SAFETY: the caller vouches for the scales of every vector.
                let numbers = unsafe { make.numbers(sums, scales.add(vector * B::LANES)) };
                let left = (count - vector * B::LANES).min(B::LANES);
                for (lane, number) in numbers.into_iter().enumerate().take(left) {
                    let number = if relu { number.max(0.0) } else { number };
                    // SAFETY: the caller vouches for `count` values.
                    unsafe { to.add(vector * B::LANES + lane).write(N::narrow(number)) };
                }
            }
        }
    }
}

/// Sweeps a group of framed images of bytes.
pub(super) struct SweepBytes<'a, T> {
    /// What is summed, and the pixels of a full group; with `pool`, four for each that comes out, and they go to the same place.
    pub phase: &'a Phase,
    /// Images in the group; the last group of a batch may have fewer than a full one.
    pub images: usize,
    /// The framed images.
    pub from: &'a [u8],
    /// The weights.
    pub weights: &'a Weights,
    /// What sums are multiplied with, padded to whole blocks.
    pub scales: &'a [f32],
    /// Whether the largest of each four pixels is taken.
    pub pool: bool,
    /// Whether negative numbers become zero; bytes are never negative.
    pub relu: bool,
    /// What comes out, `channels` apart at each pixel's place.
    pub to: &'a mut [T],
    /// Channels that come out.
    pub channels: usize,
}

impl<T: Target> ByteTask for SweepBytes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<B: Bytes>(self, make: B) {
        let Self { phase, weights, scales, pool, .. } = self;
        let pixels = &phase.pixels[..self.images * phase.pixels_of_image];
        let (Some(from), Some(to)) = (pixels.iter().map(|pixel| pixel.from).max(), pixels.iter().map(|pixel| pixel.to).max())
        else {
            return;
        };
        assert!(from + phase.reach(WORD) <= self.from.len(), "windows lie inside the framed images");
        assert!(to + self.channels <= self.to.len(), "pixels lie inside what comes out");
        assert!(!pool || pixels.len().is_multiple_of(4), "there are whole windows");
        let depth: usize = phase.runs.iter().map(|run| run.length.div_ceil(WORD)).sum();
        assert_eq!(depth, weights.depth, "there is a row of weights for each word");
        for block in &weights.blocks {
            let width = block.vectors * B::LANES;
            let rows = &weights.words[block.start * depth..][..depth * width];
            let block_of = BlockOfChannels {
                runs: &phase.runs,
                from: self.from.as_ptr(),
                weights: rows.as_ptr(),
                bias: weights.bias[block.start..][..width].as_ptr(),
                scales: scales[block.start..][..width].as_ptr(),
                pool,
                relu: self.relu,
                to: self.to[block.start..].as_mut_ptr(),
                channels: (self.channels - block.start).min(width),
            };
            // SAFETY: the asserts above are the preconditions: windows inside `from`, pixels inside `to`, whole rows of weights,
            // biases and scales. `to` starts at the block, and `channels` ends with the pixel.
            unsafe {
                match (B::REGISTERS >= 32, block.vectors, pool) {
                    (true, 4, false) => block_of.sweep::<B, 6, 4>(make, pixels),
                    (true, 4, true) => block_of.sweep::<B, 4, 4>(make, pixels),
                    (true, 2, _) => block_of.sweep::<B, 12, 2>(make, pixels),
                    (true, _, _) => block_of.sweep::<B, 12, 1>(make, pixels),
                    (false, 2, _) => block_of.sweep::<B, 4, 2>(make, pixels),
                    (false, _, _) => block_of.sweep::<B, 8, 1>(make, pixels),
                }
            }
        }
    }
}

struct BlockOfChannels<'a, T> {
    runs: &'a [Run],
    from: *const u8,
    weights: *const i32,
    bias: *const i32,
    scales: *const f32,
    pool: bool,
    relu: bool,
    to: *mut T,
    channels: usize,
}

impl<T: Target> BlockOfChannels<'_, T> {
    /// # Safety
    /// Every pixel's runs, in whole words, must lie inside what `from` points to, its `channels` values inside what `to` points to;
    /// `weights` must hold a row of `V` vectors for each word of the runs, `bias` and `scales` one row. With pooling, pixels and `P` are
    /// multiples of four.
    #[inline(always)]
    unsafe fn sweep<B: Bytes, const P: usize, const V: usize>(&self, make: B, pixels: &[Pixel]) {
        for tile in pixels.chunks(P) {
            // A short tile repeats its last pixel and stores it once.
            let mut windows = [self.from; P];
            for (index, window) in windows.iter_mut().enumerate() {
                // SAFETY: the pixel's window starts inside `from`.
                *window = unsafe { self.from.add(tile[index.min(tile.len() - 1)].from) };
            }
            // SAFETY: as the caller vouches.
            let mut sums = unsafe { self.sums::<B, P, V>(make, windows) };
            if self.pool {
                for window in 0..P / 4 {
                    let [mut best, second, third, fourth] = [0, 1, 2, 3].map(|pixel| sums[4 * window + pixel]);
                    for (((best, b), c), d) in best.iter_mut().zip(second).zip(third).zip(fourth) {
                        *best = make.max(make.max(*best, b), make.max(c, d));
                    }
                    sums[window] = best;
                }
            }
            let step = if self.pool { 4 } else { 1 };
            for (pixel, sums) in tile.iter().step_by(step).zip(sums) {
                // SAFETY: the pixel's channels lie inside `to`, and there are `channels` of them in this block.
                unsafe { T::store(make, sums, self.scales, self.relu, self.to.add(pixel.to), self.channels) };
            }
        }
    }

    /// # Safety
    /// As [`Self::sweep`].
    #[inline(always)]
    unsafe fn sums<B: Bytes, const P: usize, const V: usize>(&self, make: B, windows: [*const u8; P]) -> [[B::Words; V]; P] {
        let mut row = [make.zero(); V];
        for (vector, row) in row.iter_mut().enumerate() {
            // SAFETY: the bias has `V` vectors.
            *row = unsafe { make.load(self.bias.add(vector * B::LANES)) };
        }
        let mut sums = [row; P];
        let mut weights = self.weights;
        for run in self.runs {
            let mut words = windows;
            for word in &mut words {
                // SAFETY: the run starts inside the window.
                *word = unsafe { word.add(run.from) };
            }
            for step in 0..run.length.div_ceil(WORD) {
                // SAFETY: the run has more than `step` words, and there is a row of weights for each.
                unsafe {
                    for (vector, row) in row.iter_mut().enumerate() {
                        *row = make.load(weights.add(vector * B::LANES));
                    }
                    for (word, sums) in words.iter().zip(&mut sums) {
                        let bytes = make.splat(word.add(step * WORD));
                        for vector in 0..V {
                            sums[vector] = make.dot(sums[vector], bytes, row[vector]);
                        }
                    }
                    weights = weights.add(V * B::LANES);
                }
            }
        }
        sums
    }
}
