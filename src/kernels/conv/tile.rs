//! The microkernel of a sweep: a tile of pixels × channels is summed in registers, one broadcast and a few fused
//! multiply-adds for each word that goes in: an `f32`, or two `bf16` of neighbouring channels.

use super::pack::Packed;
use super::plan::{Phase, Pixel, Run};
use crate::kernels::Number;
use crate::kernels::pool::Fold;
use crate::kernels::simd::{Simd, Task};

/// A run of fewer numbers is not worth setting up.
const SHORT: usize = 8;

/// Sweeps a group of framed images.
pub(crate) struct SweepGroup<'a, N: Number, O> {
    /// The phase of the sweep.
    pub phase: &'a Phase,
    /// Which it is.
    pub index: usize,
    /// Images in the group; the last group of a batch may have fewer than a full one.
    pub images: usize,
    /// The framed images.
    pub from: &'a [N],
    /// The weights.
    pub weights: &'a Packed<N>,
    /// What each channel's sum starts from, padded to whole vectors.
    pub bias: &'a [f32],
    /// Whether sums go on from what is there instead.
    pub resume: bool,
    /// Whether the largest of each four pixels is what comes out; the phase has them in windows.
    pub pool: bool,
    /// Whether negative sums become zero.
    pub relu: bool,
    /// What comes out, `channels` apart at each pixel's place.
    pub to: &'a mut [O],
    /// Channels that come out.
    pub channels: usize,
}

impl<N: Number, O: Number> Task for SweepGroup<'_, N, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pixels = &self.phase.pixels[..self.images * self.phase.pixels_of_image];
        let Some((from, to)) = reach(pixels) else { return };
        assert!(from + self.phase.reach(N::PER_WORD) <= self.from.len(), "windows lie inside the framed images");
        assert!(to + self.channels <= self.to.len(), "pixels lie inside what comes out");
        assert!(!self.pool || (!self.resume && pixels.len().is_multiple_of(4)), "there are whole windows, summed at once");
        let depth: usize = self.phase.runs.iter().map(|run| run.length.div_ceil(N::PER_WORD)).sum();
        for (index, block) in self.weights.blocks.iter().enumerate() {
            let width = block.vectors * S::LANES;
            let rows = self.weights.rows(self.index, index);
            assert!(depth * width <= rows.len() && block.start + width <= self.bias.len());
            let block = BlockOfChannels {
                runs: &self.phase.runs,
                from: self.from.as_ptr(),
                weights: rows.as_ptr(),
                bias: self.bias[block.start..].as_ptr(),
                resume: self.resume,
                pool: self.pool,
                relu: self.relu,
                to: self.to[block.start..].as_mut_ptr(),
                vectors: block.vectors,
                channels: (self.channels - block.start).min(width),
            };
            // SAFETY: the asserts above are the preconditions: windows inside `from`, pixels inside `to`, whole rows of weights
            // and a whole block of bias. `to` starts at the block, and `channels` ends with the pixel.
            unsafe {
                match (S::REGISTERS >= 32, block.vectors, self.pool) {
                    (true, 4, false) => block.sweep::<S, 6, 4>(simd, pixels),
                    (true, 4, true) => block.sweep::<S, 4, 4>(simd, pixels),
                    (true, 2, _) => block.sweep::<S, 12, 2>(simd, pixels),
                    (true, _, _) => block.sweep::<S, 12, 1>(simd, pixels),
                    (false, 2, false) => block.sweep::<S, 6, 2>(simd, pixels),
                    (false, 2, true) => block.sweep::<S, 4, 2>(simd, pixels),
                    (false, _, _) => block.sweep::<S, 8, 1>(simd, pixels),
                }
            }
        }
    }
}

/// The largest offsets of the pixels.
fn reach(pixels: &[Pixel]) -> Option<(usize, usize)> {
    let from = pixels.iter().map(|pixel| pixel.from).max()?;
    let to = pixels.iter().map(|pixel| pixel.to).max()?;
    Some((from, to))
}

struct BlockOfChannels<'a, N: Number, O> {
    runs: &'a [Run],
    from: *const N,
    weights: *const N::Word,
    bias: *const f32,
    resume: bool,
    pool: bool,
    relu: bool,
    to: *mut O,
    vectors: usize,
    channels: usize,
}

impl<N: Number, O: Number> BlockOfChannels<'_, N, O> {
    /// # Safety
    /// Every pixel's runs must lie inside what `from` points to, its `channels` numbers inside what `to` points to; `weights`
    /// must hold a row of `V` vectors for each number of the runs, `bias` one row. With pooling, `P` is a multiple of four.
    #[inline(always)]
    unsafe fn sweep<S: Simd, const P: usize, const V: usize>(&self, simd: S, pixels: &[Pixel]) {
        debug_assert_eq!(V, self.vectors);
        for tile in pixels.chunks(P) {
            // A short tile repeats its last pixel and stores it once.
            let mut windows = [self.from; P];
            for (index, window) in windows.iter_mut().enumerate() {
                // SAFETY: the pixel's window starts inside `from`.
                *window = unsafe { self.from.add(tile[index.min(tile.len() - 1)].from) };
            }
            // SAFETY: as the caller vouches.
            let mut sums = unsafe { self.sums::<S, P, V>(simd, windows, self.start::<S, P, V>(simd, tile)) };
            if self.pool {
                for window in 0..P / 4 {
                    let [mut best, second, third, fourth] = [0, 1, 2, 3].map(|pixel| sums[4 * window + pixel]);
                    for (((best, b), c), d) in best.iter_mut().zip(second).zip(third).zip(fourth) {
                        *best = Fold::Max.two(simd, Fold::Max.two(simd, *best, b), Fold::Max.two(simd, c, d));
                    }
                    sums[window] = best;
                }
            }
            for (pixel, sums) in tile.iter().step_by(if self.pool { 4 } else { 1 }).zip(sums) {
                // SAFETY: the pixel's channels lie inside `to`, and there are `channels` of them in this block.
                unsafe { self.store::<S, V>(simd, self.to.add(pixel.to), sums) };
            }
        }
    }

    /// # Safety
    /// As [`Self::sweep`].
    #[inline(always)]
    unsafe fn start<S: Simd, const P: usize, const V: usize>(&self, simd: S, tile: &[Pixel]) -> [[S::Vector; V]; P] {
        let mut row = [simd.splat(0.0); V];
        for (vector, row) in row.iter_mut().enumerate() {
            // SAFETY: the bias has `V` vectors.
            *row = unsafe { simd.load(self.bias.add(vector * S::LANES)) };
        }
        let mut sums = [row; P];
        if self.resume {
            for (pixel, sums) in tile.iter().zip(&mut sums) {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    let left = (self.channels - vector * S::LANES).min(S::LANES);
                    // SAFETY: `left` numbers of the block's channels are at the pixel's place and after.
                    *sum = unsafe { O::load(simd, self.to.add(pixel.to + vector * S::LANES), left) };
                }
            }
        }
        sums
    }

    /// # Safety
    /// As [`Self::sweep`].
    #[inline(always)]
    unsafe fn sums<S: Simd, const P: usize, const V: usize>(
        &self,
        simd: S,
        windows: [*const N; P],
        mut sums: [[S::Vector; V]; P],
    ) -> [[S::Vector; V]; P] {
        let mut weights = self.weights;
        if S::REGISTERS >= 32 && self.runs.iter().all(|run| run.length < SHORT) {
            // Setting up a run would take longer than the run: numbers are found one by one, which AVX2 has too few registers for.
            for number in self.runs.iter().flat_map(|run| (run.from..run.from + run.length).step_by(N::PER_WORD)) {
                // SAFETY: the number lies inside the window, and there is a row of weights for it.
                unsafe {
                    self.step::<S, P, V>(simd, windows, number, weights, &mut sums);
                    weights = weights.add(V * S::LANES);
                }
            }
            return sums;
        }
        for run in self.runs {
            let mut numbers = windows;
            for number in &mut numbers {
                // SAFETY: the run starts inside the window.
                *number = unsafe { number.add(run.from) };
            }
            for step in 0..run.length.div_ceil(N::PER_WORD) {
                // SAFETY: the run has more than `step` words, and there is a row of weights for each.
                unsafe {
                    self.step::<S, P, V>(simd, numbers, step * N::PER_WORD, weights, &mut sums);
                    weights = weights.add(V * S::LANES);
                }
            }
        }
        sums
    }

    /// Adds number `at` of every window times a row of weights.
    ///
    /// # Safety
    /// `windows` must be valid for reading at `at`, `weights` for reading `V` vectors.
    #[inline(always)]
    unsafe fn step<S: Simd, const P: usize, const V: usize>(
        &self,
        simd: S,
        windows: [*const N; P],
        at: usize,
        weights: *const N::Word,
        sums: &mut [[S::Vector; V]; P],
    ) {
        let mut row = [simd.splat(0.0); V];
        for (vector, row) in row.iter_mut().enumerate() {
            // SAFETY: the row holds `V` vectors.
            *row = unsafe { simd.load(weights.add(vector * S::LANES).cast()) };
        }
        for (window, sums) in windows.into_iter().zip(sums) {
            // SAFETY: the window is valid at `at`.
            let number = unsafe { N::splat(simd, window.add(at)) };
            for vector in 0..V {
                sums[vector] = N::multiply_add(simd, number, row[vector], sums[vector]);
            }
        }
    }

    /// # Safety
    /// `to` must be valid for writing `channels` numbers.
    #[inline(always)]
    unsafe fn store<S: Simd, const V: usize>(&self, simd: S, to: *mut O, sums: [S::Vector; V]) {
        for (vector, mut value) in sums.into_iter().enumerate() {
            if self.relu {
                // What is not a number stays so.
                value = simd.max(simd.splat(0.0), value);
            }
            let left = self.channels - vector * S::LANES;
            // SAFETY: `left` numbers of the block's channels are at `to` and after.
            unsafe {
                if left >= S::LANES {
                    O::store(simd, to.add(vector * S::LANES), S::LANES, value);
                } else {
                    O::store(simd, to.add(vector * S::LANES), left, value);
                }
            }
        }
    }
}
