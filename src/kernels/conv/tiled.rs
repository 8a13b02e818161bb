//! A sweep in products of tiles ([`crate::kernels::tiles`]): rows of A are the windows of 16 neighbouring pixels, read from the framed
//! images where they lie, at the step from one pixel to the next; columns of B are 16 channels that come out.
//!
//! Neighbours are counted along the rows of the frame, so that the pixels of a sum that lie in the frame's margin are computed and
//! dropped: one step serves all 16 windows only if they are equally far apart. So this is for a stride of one; where a single
//! pixel comes out of an image, the images of a group are the pixels. A run of a window is cut into steps of a tile's row; what a
//! last step reads beyond its run is multiplied by zero. Sums go through a scratch in the first-level cache, from which vectors add
//! the bias, cut off, pool, round and store, while the tiles are at the next block.

use rayon::prelude::*;

use super::ConvShape;
use super::pack::{Places, places};
use super::plan::{Frame, Phase, Sweep};
use crate::kernels::Number;
use crate::kernels::buffer::Lease;
use crate::kernels::number::sealed::Number as _;
use crate::kernels::pool::Fold;
use crate::kernels::simd::{Simd, Task, pair};
use crate::kernels::tiles::{Block, Halves, Kind, ROW, SIDE, Step, Sums, TILE, Tiles};

/// A pixel of a block that comes to nothing.
pub(crate) const NOWHERE: u32 = u32::MAX;
/// Pixels in a block.
const PIXELS: usize = 2 * SIDE;

/// Which windows are multiplied together, and where their sums go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TilePlan {
    /// The frame of the images, with room after each for what a step reads beyond its run.
    pub frame: Frame,
    /// Bytes from one framed image to the next.
    pub image: usize,
    /// Bytes from the window of one pixel to that of the next.
    pub pixel: usize,
    /// Bytes from the start of a window to where each step reads.
    pub starts: Vec<usize>,
    /// Blocks of an image's pixels.
    pub blocks: Vec<Pixels>,
    /// Pixels that come out of an image.
    pub places: usize,
    /// Whether the images of a group are the pixels of one.
    pub merged: bool,
    /// Whether the largest of each 2×2 pixels comes out.
    pub pool: bool,
}

/// Two rows of tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pixels {
    /// Bytes from where the image starts to the window of the first of each 16 pixels.
    pub from: [usize; 2],
    /// Which of the image's pixels that come out each is, or [`NOWHERE`]; when pooling, one for two neighbours and the two below them.
    pub to: Vec<u32>,
}

impl TilePlan {
    /// How a phase of `sweep`, the only one, is multiplied, from which `rows` × `columns` pixels of an image come out; numbers are of
    /// `size` bytes. `None` where windows are not one pixel apart.
    pub(crate) fn new(sweep: &Sweep, stride: usize, [rows, columns]: [usize; 2], size: usize, pool: bool) -> Option<Self> {
        let merged = rows * columns == 1 && !pool;
        let [phase] = sweep.phases.as_slice() else { return None };
        if stride != 1 && !merged {
            return None;
        }
        let row = ROW / size;
        let is_whole = phase.runs.iter().all(|run| run.length.is_multiple_of(row));
        let gap = if is_whole { 0 } else { row.div_ceil(sweep.frame.channels) };
        let frame = Frame { gap, ..sweep.frame };
        let starts = phase.runs.iter().flat_map(|run| (0..run.length).step_by(row).map(|at| (run.from + at) * size)).collect();
        let image = frame.len() * size;
        let (pixel, line) = (frame.channels * size, frame.columns());
        let mut plan = Self { frame, image, pixel, starts, blocks: Vec::new(), places: rows * columns, merged, pool };
        if pool {
            plan.places = (rows / 2) * (columns / 2);
            plan.cut_windows(rows / 2, columns / 2, line);
        } else if merged {
            plan.pixel = image;
            plan.cut(1, sweep.group, sweep.group);
        } else {
            plan.cut(rows, columns, line);
        }
        Some(plan)
    }

    /// How `rows` rows of `inputs` numbers, `apart` bytes from each other, are multiplied.
    pub(crate) fn of_rows(rows: usize, inputs: usize, apart: usize, size: usize) -> Self {
        let frame = Frame { height: 1, width: 1, channels: apart / size, before: 0, below: 0, right: 0, gap: 0 };
        let starts = (0..inputs * size).step_by(ROW).collect();
        let mut plan =
            Self { frame, image: apart, pixel: apart, starts, blocks: Vec::new(), places: 1, merged: true, pool: false };
        plan.cut(1, rows, rows);
        plan
    }

    /// Blocks of 32 pixels in their order; `line` pixels of the frame make a row.
    fn cut(&mut self, rows: usize, columns: usize, line: usize) {
        let pixels = (rows - 1) * line + columns;
        for first in (0..pixels).step_by(PIXELS) {
            let to = (first..first + PIXELS).map(|at| {
                let (row, column) = (at / line, at % line);
                if row < rows && column < columns { (row * columns + column) as u32 } else { NOWHERE }
            });
            let from = [first, first + SIDE].map(|at| at * self.pixel);
            self.blocks.push(Pixels { from, to: to.collect() });
        }
    }

    /// Blocks of 16 pixels and those below them.
    fn cut_windows(&mut self, rows: usize, columns: usize, line: usize) {
        for (row, first) in (0..rows).flat_map(|row| (0..columns).step_by(SIDE / 2).map(move |first| (row, first))) {
            let to = (first..first + SIDE / 2).map(|at| if at < columns { (row * columns + at) as u32 } else { NOWHERE });
            let from = [2 * row, 2 * row + 1].map(|row| (row * line + 2 * first) * self.pixel);
            self.blocks.push(Pixels { from, to: to.collect() });
        }
    }

    /// Bytes of `images` framed images, and those of them and after them that blocks read.
    pub(crate) fn bytes(&self, images: usize) -> [usize; 2] {
        let from = self.blocks.iter().flat_map(|block| block.from).max().unwrap_or(0);
        let start = self.starts.iter().max().copied().unwrap_or(0);
        let last = if self.merged { 0 } else { (images - 1) * self.image };
        let images = images * self.image;
        [images, images.max(last + from + (SIDE - 1) * self.pixel + start + ROW)]
    }
}

/// Channels that come out of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The first.
    pub start: usize,
    /// Tiles beside each other, one or two.
    pub tiles: usize,
}

/// Weights in the order in which tiles read them.
#[derive(Debug)]
pub(crate) struct TileWeights {
    /// Blocks of channels.
    pub columns: Vec<Columns>,
    /// For one and for two tiles beside each other.
    steps: [Vec<Step>; 2],
    /// For each block and step, a tile or two of words.
    words: Lease<u32>,
}

impl TileWeights {
    /// Weights for `outputs` channels: `word(step, row, output)` is the word that meets word `row` of a step.
    pub(crate) fn new(plan: &TilePlan, outputs: usize, word: impl Fn(usize, usize, usize) -> u32 + Sync) -> Self {
        let columns: Vec<Columns> = (0..outputs)
            .step_by(2 * SIDE)
            .map(|start| Columns { start, tiles: (outputs - start).div_ceil(SIDE).min(2) })
            .collect();
        let steps = [1, 2].map(|tiles| {
            plan.starts.iter().enumerate().map(|(index, &a)| Step { a, b: index * tiles * TILE }).collect::<Vec<_>>()
        });
        let of_block = plan.starts.len() * 2 * TILE / 4;
        let mut words = Lease::new(columns.len() * of_block);
        words.as_mut_slice().par_chunks_mut(of_block).zip(&columns).for_each(|(words, block)| {
            for (step, words) in words.chunks_exact_mut(block.tiles * TILE / 4).enumerate().take(plan.starts.len()) {
                for (tile, words) in words.chunks_exact_mut(TILE / 4).enumerate() {
                    let first = block.start + tile * SIDE;
                    for (row, words) in words.chunks_exact_mut(SIDE).enumerate() {
                        for (to, output) in words.iter_mut().zip(first..) {
                            *to = if output < outputs { word(step, row, output) } else { 0 };
                        }
                    }
                }
            }
        });
        Self { columns, steps, words }
    }

    /// Weights `[outputs, inputs, kernel, kernel]` for the phase of a sweep, as they are for vectors.
    pub(crate) fn of_convolution(plan: &TilePlan, shape: &ConvShape, sweep: &Sweep, weights: &[f32], transposed: bool) -> Self {
        let Places { of_output, numbers } = places(shape, sweep, &sweep.phases[0], transposed);
        let words = words_of_steps(&sweep.phases[0], ROW / 2);
        let number = |number: Option<usize>, output: usize| {
            number.map_or(half::bf16::ZERO, |number| half::bf16::narrow(weights[output * of_output + numbers[number]]))
        };
        Self::new(plan, sweep.outputs, |step, row, output| {
            let [first, second] = words[step * SIDE + row];
            pair(number(first, output), number(second, output))
        })
    }

    /// Where the windows' steps start.
    fn starts(&self) -> impl Iterator<Item = usize> {
        self.steps[0].iter().map(|step| step.a)
    }

    /// The steps of a block, and where its two columns of tiles start.
    pub(crate) fn block(&self, index: usize) -> (&[Step], [*const u8; 2]) {
        let steps = &self.steps[self.columns[index].tiles - 1];
        let of_block = steps.len() * 2 * TILE / 4;
        let first = self.words.as_slice()[index * of_block..][..of_block].as_ptr().cast::<u8>();
        // With one column of tiles the second is not looked at.
        (steps, [first, first.wrapping_add(TILE)])
    }
}

/// For every word of every step of a phase, the indices of its numbers in the order of the runs, for steps of `row` numbers.
fn words_of_steps(phase: &Phase, row: usize) -> Vec<[Option<usize>; 2]> {
    let mut words = Vec::new();
    let mut start = 0;
    for run in &phase.runs {
        for at in (0..run.length.next_multiple_of(row)).step_by(2) {
            words.push([at, at + 1].map(|at| (at < run.length).then_some(start + at)));
        }
        start += run.length;
    }
    words
}

/// Sweeps a group of framed images.
pub(crate) struct SweepTiles<'a, O> {
    pub tiles: Tiles,
    pub plan: &'a TilePlan,
    pub images: usize,
    /// The framed images and what follows them, as [`TilePlan::bytes`] says.
    pub from: &'a [half::bf16],
    pub weights: &'a TileWeights,
    /// What is added to the sums of each channel, padded to whole tiles.
    pub bias: &'a [f32],
    /// Whether negative sums become zero.
    pub relu: bool,
    /// What comes out, `channels` apart.
    pub to: &'a mut [O],
    pub channels: usize,
}

impl<O: Number> Task for SweepTiles<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { tiles, plan, images, from, weights, bias, relu, to, channels } = self;
        assert!(images * plan.places * channels <= to.len(), "pixels lie inside what comes out");
        assert!(channels.next_multiple_of(2 * SIDE) <= bias.len(), "there is a bias for each channel");
        let emit = Emit { simd, bias, relu, channels, pool: plan.pool, to };
        // SAFETY: a `bf16` has no bits that are no byte.
        let bytes = unsafe { std::slice::from_raw_parts(from.as_ptr().cast::<u8>(), size_of_val(from)) };
        sweep(tiles, plan, images, bytes, weights, emit);
    }
}

/// What becomes of the sums of a block.
pub(crate) trait Epilogue {
    /// What is multiplied.
    type Kind: Kind;

    /// Takes the sums of `COLUMNS` tiles beside each other, of the channels from `start` on. A pixel of the block goes to the place that
    /// `pixels` names, after `first` others, if it is below `limit`.
    fn take<const COLUMNS: usize>(&mut self, sums: &Sums, start: usize, pixels: &Pixels, first: usize, limit: usize);
}

/// Multiplies every block of a group of framed images, given with what follows them, and hands its sums on.
#[inline(always)]
pub(crate) fn sweep<E: Epilogue>(
    tiles: Tiles,
    plan: &TilePlan,
    images: usize,
    from: &[u8],
    weights: &TileWeights,
    mut epilogue: E,
) {
    assert!(plan.bytes(images)[1] <= from.len(), "windows lie inside the framed images");
    assert!(weights.starts().eq(plan.starts.iter().copied()), "the weights are for these windows");
    let (rounds, limit) = if plan.merged { (1, images) } else { (images, plan.places) };
    let mut session = tiles.begin();
    let mut sums = Sums::ZERO;
    for (index, columns) in weights.columns.iter().enumerate() {
        let (steps, b) = weights.block(index);
        for image in 0..rounds {
            let first = from.as_ptr().wrapping_add(image * plan.image);
            for pixels in &plan.blocks {
                if pixels.to[0] != NOWHERE && pixels.to[0] as usize >= limit {
                    break; // images that the group does not have
                }
                let a = pixels.from.map(|from| first.wrapping_add(from));
                let block = Block { a, a_step: plan.pixel, b, b_step: ROW, steps, resume: false };
                // SAFETY: the asserts above are that every step of every window lies inside `from`, and that the steps are those of the
                // plan; the weights hold the tiles of every step.
                unsafe {
                    match columns.tiles {
                        1 => session.multiply::<E::Kind, 1>(block, &mut sums),
                        _ => session.multiply::<E::Kind, 2>(block, &mut sums),
                    }
                }
                match columns.tiles {
                    1 => epilogue.take::<1>(&sums, columns.start, pixels, image * plan.places, limit),
                    _ => epilogue.take::<2>(&sums, columns.start, pixels, image * plan.places, limit),
                }
            }
        }
    }
}

/// Bias, ReLU, pooling and rounding.
struct Emit<'a, S, O> {
    simd: S,
    bias: &'a [f32],
    relu: bool,
    channels: usize,
    pool: bool,
    to: &'a mut [O],
}

impl<S: Simd, O: Number> Epilogue for Emit<'_, S, O> {
    type Kind = Halves;

    #[inline(always)]
    fn take<const COLUMNS: usize>(&mut self, sums: &Sums, start: usize, pixels: &Pixels, first: usize, limit: usize) {
        let simd = self.simd;
        for (at, &place) in pixels.to.iter().enumerate() {
            if place as usize >= limit {
                continue;
            }
            let to = &mut self.to[(first + place as usize) * self.channels + start..];
            for channel in (0..COLUMNS * SIDE).step_by(S::LANES) {
                let left = (self.channels - start).saturating_sub(channel).min(S::LANES);
                if left == 0 {
                    break;
                }
                let read = |row: usize, at: usize| {
                    let numbers = sums.0[COLUMNS * row + channel / SIDE][at].as_ptr().cast::<f32>();
                    // SAFETY: a row has 16 sums, a whole number of vectors.
                    unsafe { simd.load(numbers.add(channel % SIDE)) }
                };
                let sum = if self.pool {
                    let [a, b, c, d] = [read(0, 2 * at), read(0, 2 * at + 1), read(1, 2 * at), read(1, 2 * at + 1)];
                    Fold::Max.two(simd, Fold::Max.two(simd, a, b), Fold::Max.two(simd, c, d))
                } else {
                    read(at / SIDE, at % SIDE)
                };
                let bias = &self.bias[start + channel..][..S::LANES];
                let to = &mut to[channel..channel + left];
                // SAFETY: there is a bias for each lane, and room for `left` numbers.
                unsafe {
                    let mut sum = simd.add(sum, simd.load(bias.as_ptr()));
                    if self.relu {
                        sum = simd.max(simd.splat(0.0), sum); // what is not a number stays so
                    }
                    if left == S::LANES {
                        O::store(simd, to.as_mut_ptr(), S::LANES, sum);
                    } else {
                        O::store(simd, to.as_mut_ptr(), left, sum);
                    }
                }
            }
        }
    }
}
