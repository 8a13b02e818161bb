//! The microkernel of the weight gradient: a block of window positions × output channels is summed in registers over the
//! pixels of a group of images. A word holds one image's `f32`, or the `bf16` of two images at the same place, whose products are
//! added.

use super::pack::{Block, blocks};
use super::plan::{Phase, Pixel};
use crate::kernels::Number;
use crate::kernels::simd::{Level, Simd, Task};

/// Pixels summed before a block's sums return to memory, so that what they read stays in the first-level cache.
const STRETCH: usize = 256;
/// Most window positions in a block.
const MOST: usize = 12;

/// Positions of the window that are summed together.
#[derive(Clone, Copy, Debug)]
struct Positions {
    /// Where each lies, counted from the window's start. Past `count`, the last is repeated.
    from: [usize; MOST],
    /// The row of the sums that each belongs to.
    rows: [usize; MOST],
    count: usize,
    /// Whether they are neighbours, as many as fit the registers.
    contiguous: bool,
}

/// How the weight gradient of a convolution is cut into blocks.
#[derive(Clone, Debug)]
pub(crate) struct WeightBlocks {
    /// Blocks of channels, and the positions that are summed with each.
    blocks: Vec<(Block, Vec<Positions>)>,
    /// Rows of the sums: taps × input channels.
    pub rows: usize,
    /// Columns of the sums: output channels, padded to whole vectors.
    pub columns: usize,
}

impl WeightBlocks {
    /// Cuts the sums of a forward phase.
    pub(crate) fn new(level: Level, forward: &Phase, outputs: usize) -> Self {
        let blocks = blocks(level, outputs).into_iter().map(|block| {
            let size = positions_abreast(level.registers(), block.vectors);
            (block, Positions::of(forward, size))
        });
        Self { blocks: blocks.collect(), rows: forward.depth(), columns: outputs.next_multiple_of(level.lanes()) }
    }
}

/// Positions whose sums fill the registers, beside a row of gradient and a number.
const fn positions_abreast(registers: usize, vectors: usize) -> usize {
    match (registers >= 32, vectors) {
        (true, 4) => 6,
        (true, _) => 12,
        (false, 2) => 6,
        (false, _) => 8,
    }
}

impl Positions {
    /// Cuts the runs of a phase into blocks of `size`; what is left over is gathered into blocks of its own.
    fn of(forward: &Phase, size: usize) -> Vec<Self> {
        let mut positions = Vec::new();
        let mut left: Vec<(usize, usize)> = Vec::new();
        let mut row = 0;
        for run in &forward.runs {
            let place = |index: usize| (run.from + index, row + index);
            let whole = run.length / size * size;
            for start in (0..whole).step_by(size) {
                let block: Vec<_> = (start..start + size).map(place).collect();
                positions.push(Self::new(&block, true));
            }
            left.extend((whole..run.length).map(place));
            row += run.length;
        }
        positions.extend(left.chunks(size).map(|few| Self::new(few, false)));
        positions
    }

    fn new(places: &[(usize, usize)], contiguous: bool) -> Self {
        let last = places[places.len() - 1];
        let mut block = Self { from: [last.0; MOST], rows: [last.1; MOST], count: places.len(), contiguous };
        for (index, &(from, row)) in places.iter().enumerate() {
            block.from[index] = from;
            block.rows[index] = row;
        }
        block
    }
}

/// Adds a group's share to the sums.
pub(crate) struct AddWeightGradient<'a, N: Number> {
    /// How the sums are cut.
    pub blocks: &'a WeightBlocks,
    /// Windows of the framed images: `from` of each pixel.
    pub windows: &'a [Pixel],
    /// The framed images, side by side.
    pub images: &'a [N::Word],
    /// Where each pixel's gradient starts.
    pub places: &'a [usize],
    /// The gradient, side by side likewise, with room for a vector read at its very end.
    pub gradient: &'a [N::Word],
    /// The sums, rows × columns.
    pub sums: &'a mut [f32],
    /// Whether the sums begin here: what they hold is left over from other work.
    pub fresh: bool,
}

impl<N: Number> Task for AddWeightGradient<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let WeightBlocks { blocks, rows, columns } = self.blocks;
        assert!(rows * columns <= self.sums.len(), "there is a sum for each weight");
        let positions = blocks.iter().flat_map(|(_, positions)| positions);
        let reach = positions.flat_map(|block| block.from).max().unwrap_or(0);
        let window = self.windows.iter().map(|pixel| pixel.from).max().unwrap_or(0);
        assert!(window + reach < self.images.len(), "windows lie inside the framed images");
        let place = self.places.iter().max().copied().unwrap_or(0);
        assert!(place + columns <= self.gradient.len(), "the gradient has room for whole vectors");
        for (index, (windows, places)) in self.windows.chunks(STRETCH).zip(self.places.chunks(STRETCH)).enumerate() {
            for (block, positions) in blocks {
                assert!(block.start + block.vectors * S::LANES <= *columns);
                for positions in positions {
                    let stretch = Stretch::<N> {
                        windows,
                        images: self.images.as_ptr(),
                        places,
                        gradient: self.gradient[block.start..].as_ptr(),
                        sums: self.sums[block.start..].as_mut_ptr(),
                        columns: *columns,
                        positions,
                        fresh: self.fresh && index == 0,
                    };
                    // SAFETY: the asserts above are the preconditions: windows and positions inside `images`, whole vectors of
                    // gradient at each place, rows of `columns` sums that hold the block.
                    unsafe { stretch.add_block::<S>(simd, block.vectors) }
                }
            }
        }
    }
}

struct Stretch<'a, N: Number> {
    windows: &'a [Pixel],
    images: *const N::Word,
    places: &'a [usize],
    gradient: *const N::Word,
    sums: *mut f32,
    columns: usize,
    positions: &'a Positions,
    fresh: bool,
}

impl<N: Number> Stretch<'_, N> {
    /// # Safety
    /// As [`Self::add`], for `vectors`.
    #[inline(always)]
    unsafe fn add_block<S: Simd>(&self, simd: S, vectors: usize) {
        let Positions { contiguous, count, .. } = *self.positions;
        // SAFETY: as the caller vouches. A block has at most `positions_abreast` positions, and the last is repeated after them.
        unsafe {
            match (S::REGISTERS >= 32, vectors, contiguous) {
                (true, 4, true) => self.add::<S, 6, 4, true>(simd),
                (true, 4, false) => self.add::<S, 6, 4, false>(simd),
                (true, 2, true) => self.add::<S, 12, 2, true>(simd),
                (true, 2, false) if count <= 4 => self.add::<S, 4, 2, false>(simd),
                (true, 2, false) if count <= 9 => self.add::<S, 9, 2, false>(simd),
                (true, 2, false) => self.add::<S, 12, 2, false>(simd),
                (true, _, true) => self.add::<S, 12, 1, true>(simd),
                (true, _, false) if count <= 9 => self.add::<S, 9, 1, false>(simd),
                (true, _, false) => self.add::<S, 12, 1, false>(simd),
                (false, 2, true) => self.add::<S, 6, 2, true>(simd),
                (false, 2, false) => self.add::<S, 6, 2, false>(simd),
                (false, _, true) => self.add::<S, 8, 1, true>(simd),
                (false, _, false) => self.add::<S, 8, 1, false>(simd),
            }
        }
    }

    /// # Safety
    /// For every window and position, `images` must be valid for reading; for every place, `gradient` for reading `V` vectors;
    /// for every row, `sums` for reading and writing `V` vectors.
    #[inline(always)]
    unsafe fn add<S: Simd, const J: usize, const V: usize, const CONTIGUOUS: bool>(&self, simd: S) {
        let mut sums = [[simd.splat(0.0); V]; J];
        let first = self.positions.from[0];
        for (window, place) in self.windows.iter().zip(self.places) {
            // SAFETY: the window lies inside `images`, the place inside `gradient`.
            let (window, gradient) = unsafe { (self.images.add(window.from), self.gradient.add(*place)) };
            let mut row = [simd.splat(0.0); V];
            for (vector, row) in row.iter_mut().enumerate() {
                // SAFETY: there are `V` vectors at the place.
                *row = unsafe { simd.load(gradient.add(vector * S::LANES).cast()) };
            }
            for (position, sums) in sums.iter_mut().enumerate() {
                let from = if CONTIGUOUS { first + position } else { self.positions.from[position] };
                // SAFETY: the position lies inside `images`.
                let number = N::splat_word(simd, unsafe { *window.add(from) });
                for vector in 0..V {
                    sums[vector] = N::multiply_add(simd, number, row[vector], sums[vector]);
                }
            }
        }
        for (position, sums) in sums.into_iter().enumerate().take(self.positions.count) {
            for (vector, sum) in sums.into_iter().enumerate() {
                // SAFETY: the row's sums hold the block.
                unsafe {
                    let to = self.sums.add(self.positions.rows[position] * self.columns + vector * S::LANES);
                    simd.store(to, if self.fresh { sum } else { simd.add(simd.load(to), sum) });
                }
            }
        }
    }
}
