//! The weight gradient in products of tiles: rows of A are output channels over the pixels of two images, columns of B are positions of
//! the window.
//!
//! A word is the same pixel of two images. What is transposed is the gradient, [output channel][pixel], once for all taps; the images
//! stay as they are, [pixel][channel], and a tap is a start some pixels on. Sums stay in tiles over all pixels of a group of images.

use rayon::prelude::*;

use super::ConvShape;
use super::plan::{Frame, Phase};
use crate::kernels::simd::{Level, Simd, Task, pair};
use crate::kernels::tiles::{Block, Halves, SIDE, Step, Sums, Tiles};

/// Sums of a block.
const SUMS: usize = 4 * SIDE * SIDE;

/// How the weight gradient of a convolution is cut into blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TileGradient {
    /// Rows and columns that come out of an image.
    rows: usize,
    columns: usize,
    outputs: usize,
    /// Columns and channels of the framed images.
    line: usize,
    inputs: usize,
    /// Words of a framed image.
    image: usize,
    positions: Vec<Positions>,
    /// Words from the gradient of one output channel to the next: an odd number of cache lines, so that neighbours lie in other sets.
    apart: usize,
    /// Steps of a pair of images.
    depth: usize,
    /// Steps of all pairs of a full group.
    steps: Vec<Step>,
}

/// Up to 32 neighbouring positions of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Positions {
    /// Where the first lies, counted from the window's start.
    from: usize,
    /// Which of all positions it is, in the order of the runs.
    first: usize,
    count: usize,
}

impl TileGradient {
    /// Cuts the sums of a forward phase of a convolution of stride 1, for groups of `group` images.
    pub(crate) fn new(shape: &ConvShape, frame: &Frame, phase: &Phase, group: usize) -> Self {
        let (rows, columns) = (shape.output_height(), shape.output_width());
        let mut positions = Vec::new();
        let mut first = 0;
        for run in &phase.runs {
            for at in (0..run.length).step_by(2 * SIDE) {
                positions.push(Positions { from: run.from + at, first: first + at, count: (run.length - at).min(2 * SIDE) });
            }
            first += run.length;
        }
        let (line, inputs) = (frame.columns(), frame.channels);
        let depth = (rows * line).div_ceil(SIDE);
        let apart = SIDE * if depth.is_multiple_of(2) { depth + 1 } else { depth };
        let image = frame.len();
        let outputs = shape.outputs;
        let of_pair = outputs.next_multiple_of(2 * SIDE) * apart;
        let steps = (0..group.div_ceil(2)).flat_map(|pair| {
            (0..depth)
                .map(move |step| Step { a: 4 * (pair * of_pair + step * SIDE), b: 4 * (pair * image + step * SIDE * inputs) })
        });
        Self { steps: steps.collect(), rows, columns, outputs, line, inputs, image, positions, apart, depth }
    }

    fn blocks_of_outputs(&self) -> usize {
        self.outputs.div_ceil(2 * SIDE)
    }

    /// Sums of all blocks.
    pub(crate) fn sums_len(&self) -> usize {
        self.blocks_of_outputs() * self.positions.len() * SUMS
    }

    /// Words of a pair's transposed gradient.
    fn of_pair(&self) -> usize {
        self.outputs.next_multiple_of(2 * SIDE) * self.apart
    }

    /// Words of the transposed gradients of `images` images.
    pub(crate) fn transposed_len(&self, images: usize) -> usize {
        images.div_ceil(2) * self.of_pair()
    }

    /// Words of a pair's gradient before it is transposed.
    pub(crate) fn rows_len(&self) -> usize {
        self.depth * SIDE * self.outputs.next_multiple_of(SIDE)
    }

    /// Words of `images` framed images, and those of them and after them that blocks read.
    pub(crate) fn words(&self, images: usize) -> [usize; 2] {
        let pairs = images.div_ceil(2);
        let from = self.positions.iter().map(|positions| positions.from).max().unwrap_or(0);
        let last = (pairs - 1) * self.image + from + (self.depth * SIDE - 1) * self.inputs + 2 * SIDE;
        [pairs * self.image, last.max(pairs * self.image)]
    }

    /// Adds up `parts` of the sums in their order, and writes them as `[outputs, inputs, kernel, kernel]`.
    pub(crate) fn unpack_sum(&self, level: Level, taps: usize, parts: &[f32], weights: &mut [f32]) {
        let of_output = self.inputs * taps;
        weights.par_chunks_mut(of_output).enumerate().for_each(|(output, weights)| {
            level.run(UnpackOutput { plan: self, taps, parts, output, weights });
        });
    }
}

/// The weights of an output channel.
struct UnpackOutput<'a> {
    plan: &'a TileGradient,
    taps: usize,
    parts: &'a [f32],
    output: usize,
    weights: &'a mut [f32],
}

impl Task for UnpackOutput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { plan, taps, parts, output, weights } = self;
        let (block, row) = (output / (2 * SIDE), output % (2 * SIDE));
        for (index, positions) in plan.positions.iter().enumerate() {
            let columns = positions.count.div_ceil(SIDE);
            for column in 0..columns {
                let tile = columns * (row / SIDE) + column;
                let at = (block * plan.positions.len() + index) * SUMS + (tile * SIDE + row % SIDE) * SIDE;
                let mut sums = [0.0; SIDE];
                for part in parts.chunks_exact(plan.sums_len()) {
                    sums.iter_mut().zip(&part[at..at + SIDE]).for_each(|(sum, part)| *sum += part);
                }
                for (position, sum) in (positions.first + column * SIDE..positions.first + positions.count).zip(sums) {
                    let (tap, channel) = (position / plan.inputs, position % plan.inputs);
                    weights[channel * taps + tap] = sum;
                }
            }
        }
    }
}

/// Adds a group's share to the sums.
pub(crate) struct AddTiles<'a> {
    pub tiles: Tiles,
    pub plan: &'a TileGradient,
    pub images: usize,
    /// The framed images, two in a word, and what follows them, as [`TileGradient::words`] says.
    pub x: &'a [u32],
    /// The framed gradients, one after the other.
    pub gradient: &'a [half::bf16],
    pub frame: &'a Frame,
    /// Room for a pair's gradient, and for all transposed.
    pub rows: &'a mut [u32],
    pub transposed: &'a mut [u32],
    /// The sums, aligned to a cache line.
    pub sums: &'a mut [f32],
    /// Whether the sums begin here: what they hold is left over from other work.
    pub fresh: bool,
}

impl Task for AddTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { tiles, plan, images, x, gradient, frame, rows, transposed, sums, fresh } = self;
        assert!(plan.words(images)[1] <= x.len(), "windows lie inside the framed images");
        assert!(plan.transposed_len(images) <= transposed.len(), "there is room for the transposed gradient");
        assert!(plan.sums_len() <= sums.len() && sums.as_ptr().cast::<Sums>().is_aligned(), "there is a sum for each weight");
        for (index, to) in transposed.chunks_exact_mut(plan.of_pair()).enumerate().take(images.div_ceil(2)) {
            let of_image = |image: usize| (image < images).then(|| &gradient[image * frame.len()..][..frame.len()]);
            let pair = [of_image(2 * index).expect("a pair has a first image"), of_image(2 * index + 1).unwrap_or_default()];
            plan.join(pair, frame, rows);
            plan.transpose(simd, rows, to);
        }
        let steps = &plan.steps[..images.div_ceil(2) * plan.depth];
        let mut session = tiles.begin();
        let mut blocks = sums.chunks_exact_mut(SUMS);
        for block in 0..plan.blocks_of_outputs() {
            let a = transposed[2 * block * SIDE * plan.apart..].as_ptr().cast::<u8>();
            for positions in &plan.positions {
                let b = x[positions.from..].as_ptr().cast::<u8>();
                let product = Block {
                    a: [a, a.wrapping_add(4 * SIDE * plan.apart)],
                    a_step: 4 * plan.apart,
                    b: [b, b.wrapping_add(4 * SIDE)],
                    b_step: 4 * plan.inputs,
                    steps,
                    resume: !fresh,
                };
                let sums = blocks.next().expect("there are as many sums as the third assert says").as_mut_ptr();
                // SAFETY: the asserts above are the preconditions: windows inside `x`, 32 rows of pixels in whole steps in
                // `transposed`. The sums are four tiles of `f32`, aligned, and any bits are a sum.
                unsafe {
                    let sums = &mut *sums.cast::<Sums>();
                    match positions.count.div_ceil(SIDE) {
                        1 => session.multiply::<Halves, 1>(product, sums),
                        _ => session.multiply::<Halves, 2>(product, sums),
                    }
                }
            }
        }
    }
}

impl TileGradient {
    /// Writes the gradients of two images in words, in rows as long as those of the framed images, with zeros between and after them.
    #[inline(always)]
    fn join(&self, [first, second]: [&[half::bf16]; 2], frame: &Frame, to: &mut [u32]) {
        let wide = self.outputs.next_multiple_of(SIDE);
        let to = &mut to[..self.rows_len()];
        for (row, to) in to.chunks_mut(self.line * wide).enumerate() {
            if row >= self.rows {
                to.fill(0);
                continue;
            }
            let start = ((frame.before + row) * frame.columns() + frame.before) * self.outputs;
            let (inside, after) = to.split_at_mut(self.columns * wide);
            after.fill(0);
            for (column, to) in inside.chunks_exact_mut(wide).enumerate() {
                let at = start + column * self.outputs;
                let first = &first[at..at + self.outputs];
                if second.is_empty() {
                    to.iter_mut().zip(first).for_each(|(to, first)| *to = pair(*first, half::bf16::ZERO));
                } else {
                    let second = &second[at..at + self.outputs];
                    to.iter_mut().zip(first).zip(second).for_each(|((to, first), second)| *to = pair(*first, *second));
                }
            }
        }
    }

    /// Writes rows of channels as rows of pixels.
    #[inline(always)]
    fn transpose<S: Simd>(&self, simd: S, rows: &[u32], to: &mut [u32]) {
        let (wide, pixels) = (self.outputs.next_multiple_of(SIDE), self.depth * SIDE);
        assert!(wide * pixels <= rows.len() && wide * self.apart <= to.len() && pixels <= self.apart);
        for pixel in (0..pixels).step_by(S::LANES) {
            for channel in (0..wide).step_by(S::LANES) {
                let from = rows[pixel * wide + channel..].as_ptr();
                let to = to[channel * self.apart + pixel..].as_mut_ptr();
                // SAFETY: there are `LANES` rows of as many words at both places, as just checked: 16 is a multiple of `LANES`.
                unsafe { simd.transpose(from, wide, to, self.apart) };
            }
        }
    }
}
