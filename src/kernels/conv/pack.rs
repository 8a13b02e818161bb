//! Weights in the order in which a sweep reads them, and gradients back from the order in which they are summed.

use rayon::prelude::*;

use super::ConvShape;
use super::plan::{Phase, Sweep};
use crate::kernels::buffer::Lease;
use crate::kernels::number::{Number, read};
use crate::kernels::simd::{Level, Simd, Task};

/// Output channels that one tile computes: neighbours that fill whole vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The first channel.
    pub start: usize,
    /// Vectors; the last may be partly empty.
    pub vectors: usize,
}

/// Splits channels into blocks of 4, 2 or 1 vectors (2 or 1 where registers are few), widest first.
pub(crate) fn blocks(level: Level, channels: usize) -> Vec<Block> {
    blocks_of(level.lanes(), level.registers(), channels)
}

/// [`blocks`] of vectors of so many lanes, of which so many fit the registers.
pub(crate) fn blocks_of(lanes: usize, registers: usize, channels: usize) -> Vec<Block> {
    let widest = if registers >= 32 { 4 } else { 2 };
    let mut left = channels.div_ceil(lanes);
    let mut blocks = Vec::new();
    let mut start = 0;
    for vectors in [4, 2, 1] {
        while vectors <= widest && left >= vectors {
            blocks.push(Block { start, vectors });
            start += vectors * lanes;
            left -= vectors;
        }
    }
    blocks
}

/// The weights of a sweep: for each phase and block, a row of the block's channels for each word.
#[derive(Debug)]
pub(crate) struct Packed<N: Number> {
    /// The blocks of channels.
    pub blocks: Vec<Block>,
    phases: Vec<Vec<usize>>,
    words: Lease<N::Word>,
}

impl<N: Number> Packed<N> {
    /// Packs `weights`, `[outputs, inputs, kernel, kernel]`, for `sweep`; `transposed` for the input gradient.
    pub(crate) fn new(level: Level, shape: &ConvShape, sweep: &Sweep, weights: &[f32], transposed: bool) -> Self {
        let blocks = blocks(level, sweep.outputs);
        let words: Vec<_> = sweep.phases.iter().map(|phase| phase.words(N::PER_WORD)).collect();
        let mut length = 0;
        let mut phases = Vec::new();
        let mut pieces = Vec::new();
        let places: Vec<_> = sweep.phases.iter().map(|phase| places(shape, sweep, phase, transposed)).collect();
        for (places, words) in places.iter().zip(&words) {
            let mut starts = Vec::new();
            for block in &blocks {
                let size = words.len() * block.vectors * level.lanes();
                starts.push(length);
                length += size;
                pieces.push((places, words, block, size));
            }
            phases.push(starts);
        }
        let mut packed = Lease::new(length);
        let mut rest = packed.as_mut_slice();
        let mut jobs = Vec::new();
        for (places, words, block, size) in pieces {
            let (piece, later) = rest.split_at_mut(size);
            jobs.push((places, words, block, piece));
            rest = later;
        }
        jobs.into_par_iter().for_each(|(Places { of_output, numbers }, words, block, piece)| {
            let width = block.vectors * level.lanes();
            let channels = width.min(sweep.outputs - block.start);
            // The weights of a number for the channels of the block.
            let column = |number: usize| {
                let first = block.start * of_output + numbers[number];
                weights[first..].iter().step_by(*of_output).map(|weight| N::narrow(*weight))
            };
            for ((first, second), to) in words.iter().zip(piece.chunks_exact_mut(width)) {
                let (to, padding) = to.split_at_mut(channels);
                match second {
                    Some(second) => {
                        for ((to, first), second) in to.iter_mut().zip(column(*first)).zip(column(*second)) {
                            *to = N::word(first, second);
                        }
                    }
                    None => to.iter_mut().zip(column(*first)).for_each(|(to, first)| *to = N::word(first, N::default())),
                }
                padding.fill(N::Word::default());
            }
        });
        Self { blocks, phases, words: packed }
    }

    /// The rows of a phase and block.
    pub(crate) fn rows(&self, phase: usize, block: usize) -> &[N::Word] {
        &self.words.as_slice()[self.phases[phase][block]..]
    }
}

/// Where the weights of a phase lie among `[outputs, inputs, kernel, kernel]`.
pub(super) struct Places {
    /// From one channel that comes out to the next.
    pub of_output: usize,
    /// Those of the first channel, for every number of a window in the order of the runs.
    pub numbers: Vec<usize>,
}

/// The places of a phase of `sweep`; `transposed` for the input gradient.
pub(super) fn places(shape: &ConvShape, sweep: &Sweep, phase: &Phase, transposed: bool) -> Places {
    let taps = shape.kernel * shape.kernel;
    let (of_output, of_input) = if transposed { (taps, shape.inputs * taps) } else { (shape.inputs * taps, taps) };
    let channels = sweep.frame.channels;
    let numbers = phase.taps.iter().flat_map(|tap| (0..channels).map(move |channel| channel * of_input + tap));
    Places { of_output, numbers: numbers.collect() }
}

/// Adds up `parts` of `rows` × `columns` sums each, in their order, and writes them as `[outputs, inputs, kernel, kernel]`.
/// A row is a tap and an input channel, as in [`Sweep::forward`]; columns past `shape.outputs` are dropped.
pub(crate) fn unpack_sum(level: Level, shape: &ConvShape, columns: usize, parts: &[f32], weights: &mut [f32]) {
    let rows = shape.inputs * shape.kernel * shape.kernel;
    weights.par_chunks_mut(level.lanes() * rows).enumerate().for_each(|(strip, weights)| {
        level.run(UnpackStrip { shape, columns, parts, start: strip * level.lanes(), weights });
    });
}

/// The outputs from `start` on, a vector of them at most.
struct UnpackStrip<'a> {
    shape: &'a ConvShape,
    columns: usize,
    parts: &'a [f32],
    start: usize,
    weights: &'a mut [f32],
}

impl Task for UnpackStrip<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { shape, columns, parts, start, weights } = self;
        let taps = shape.kernel * shape.kernel;
        let rows = shape.inputs * taps;
        for row in 0..rows {
            let mut sum = simd.splat(0.0);
            for part in parts.chunks_exact(rows * columns) {
                sum = simd.add(sum, read(simd, part, row * columns + start, S::LANES));
            }
            let (tap, channel) = (row / shape.inputs, row % shape.inputs);
            for (output, sum) in weights.chunks_exact_mut(rows).zip(simd.lanes_of(sum)) {
                output[channel * taps + tap] = sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_the_channels() {
        for level in Level::available() {
            for channels in 1..200 {
                let blocks = blocks(level, channels);
                let mut next = 0;
                for block in &blocks {
                    assert_eq!(block.start, next);
                    next += block.vectors * level.lanes();
                }
                assert!(next >= channels && next < channels + level.lanes(), "{} {channels}", level.name());
            }
        }
    }
}
