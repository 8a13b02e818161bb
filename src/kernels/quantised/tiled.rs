//! A sweep of bytes in products of tiles, as [`crate::kernels::conv::TilePlan`] cuts them: the same sums as the microkernel of vectors, to
//! the bit, because whole numbers add up to the same in any order.

use super::tile::Target;
use super::weights::{WORD, Weights};
use crate::kernels::conv::{NOWHERE, Phase, Pixels, TilePlan, TileWeights};
use crate::kernels::simd::{ByteTask, Bytes};
use crate::kernels::tiles::{self, Block, ROW, SIDE, Sums, Tiles};

/// What a layer of tiles is computed by.
#[derive(Debug)]
pub(super) struct Tiled {
    pub tiles: Tiles,
    pub plan: TilePlan,
    weights: TileWeights,
    /// What each channel's sum starts from, and is multiplied with, padded to whole blocks.
    bias: Vec<i32>,
    scales: Vec<f32>,
}

impl Tiled {
    /// Packs weights that were packed for vectors of `lanes` lanes, of `outputs` channels.
    pub(super) fn new(
        tiles: Tiles,
        plan: TilePlan,
        phase: &Phase,
        (weights, lanes): (&Weights, usize),
        scales: &[f32],
        outputs: usize,
    ) -> Self {
        let words = words_of_steps(phase);
        let packed = TileWeights::new(&plan, outputs, |step, row, output| {
            words[step * SIDE + row].map_or(0, |word| weights.word(lanes, word, output) as u32)
        });
        let padded = outputs.next_multiple_of(2 * SIDE);
        let mut bias = weights.bias[..outputs].to_vec();
        bias.resize(padded, 0);
        let mut scales = scales[..outputs].to_vec();
        scales.resize(padded, 0.0);
        Self { tiles, plan, weights: packed, bias, scales }
    }
}

/// For every word of every step, which of the words of the runs it is.
fn words_of_steps(phase: &Phase) -> Vec<Option<usize>> {
    let mut words = Vec::new();
    let mut start = 0;
    for run in &phase.runs {
        let count = run.length.div_ceil(WORD);
        words.extend((0..count.next_multiple_of(ROW / WORD)).map(|word| (word < count).then_some(start + word)));
        start += count;
    }
    words
}

/// Sweeps a group of framed images of bytes.
pub(super) struct SweepByteTiles<'a, T> {
    pub layer: &'a Tiled,
    pub images: usize,
    /// The framed images and what follows them, as [`TilePlan::bytes`] says.
    pub from: &'a [u8],
    /// Whether negative numbers become zero; bytes are never negative.
    pub relu: bool,
    /// What comes out, `channels` apart.
    pub to: &'a mut [T],
    pub channels: usize,
}

impl<T: Target> ByteTask for SweepByteTiles<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<B: Bytes>(self, make: B) {
        let Self { layer: Tiled { tiles, plan, weights, bias, scales }, images, from, relu, to, channels } = self;
        assert!(plan.bytes(images)[1] <= from.len(), "windows lie inside the framed images");
        assert!(images * plan.places * channels <= to.len(), "pixels lie inside what comes out");
        assert!(channels.next_multiple_of(2 * SIDE) <= bias.len().min(scales.len()), "each channel has a bias and a scale");
        let (rounds, limit) = if plan.merged { (1, images) } else { (images, plan.places) };
        let mut session = tiles.begin();
        let mut sums = Sums::ZERO;
        for (index, columns) in weights.columns.iter().enumerate() {
            let (steps, b) = weights.block(index);
            let start = columns.start;
            let emit = Emit { bias: &bias[start..], scales: &scales[start..], start, relu, channels, pool: plan.pool };
            for image in 0..rounds {
                let first = from.as_ptr().wrapping_add(image * plan.image);
                for pixels in &plan.blocks {
                    if pixels.to[0] != NOWHERE && pixels.to[0] as usize >= limit {
                        break; // images that the group does not have
                    }
                    let a = pixels.from.map(|from| first.wrapping_add(from));
                    let block = Block { a, a_step: plan.pixel, b, b_step: ROW, steps, resume: false };
                    // SAFETY: the first assert is that every step of every window lies inside `from`; the weights hold the tiles of
                    // every step.
                    unsafe {
                        match columns.tiles {
                            1 => session.multiply::<tiles::Bytes, 1>(block, &mut sums),
                            _ => session.multiply::<tiles::Bytes, 2>(block, &mut sums),
                        }
                    }
                    let to = &mut to[image * plan.places * channels..];
                    match (B::LANES, columns.tiles) {
                        (16, 1) => emit.pixels::<B, T, 1, 1>(make, &sums, pixels, limit, to),
                        (16, _) => emit.pixels::<B, T, 2, 2>(make, &sums, pixels, limit, to),
                        (8, 1) => emit.pixels::<B, T, 1, 2>(make, &sums, pixels, limit, to),
                        (8, _) => emit.pixels::<B, T, 2, 4>(make, &sums, pixels, limit, to),
                        (_, 1) => emit.pixels::<B, T, 1, 4>(make, &sums, pixels, limit, to),
                        (_, _) => emit.pixels::<B, T, 2, 8>(make, &sums, pixels, limit, to),
                    }
                }
            }
        }
    }
}

/// What becomes of the sums of a block.
struct Emit<'a> {
    bias: &'a [i32],
    scales: &'a [f32],
    start: usize,
    relu: bool,
    channels: usize,
    pool: bool,
}

impl Emit<'_> {
    /// The sums of `COLUMNS` tiles, which are `V` vectors.
    #[inline(always)]
    fn pixels<B: Bytes, T: Target, const COLUMNS: usize, const V: usize>(
        &self,
        make: B,
        sums: &Sums,
        pixels: &Pixels,
        limit: usize,
        to: &mut [T],
    ) {
        assert!(V * B::LANES == COLUMNS * SIDE, "the vectors are as wide as the tiles");
        let count = (self.channels - self.start).min(COLUMNS * SIDE);
        for (at, &place) in pixels.to.iter().enumerate() {
            if place as usize >= limit {
                continue;
            }
            let mut totals = [make.zero(); V];
            for (vector, total) in totals.iter_mut().enumerate() {
                let channel = vector * B::LANES;
                let read = |row: usize, at: usize| {
                    let words = sums.0[COLUMNS * row + channel / SIDE][at].as_ptr().cast::<i32>();
                    // SAFETY: a row has 16 sums, a whole number of vectors.
                    unsafe { make.load(words.add(channel % SIDE)) }
                };
                let sum = if self.pool {
                    let [a, b, c, d] = [read(0, 2 * at), read(0, 2 * at + 1), read(1, 2 * at), read(1, 2 * at + 1)];
                    make.max(make.max(a, b), make.max(c, d))
                } else {
                    read(at / SIDE, at % SIDE)
                };
                let bias = &self.bias[channel..channel + B::LANES];
                // SAFETY: there is a bias for each lane.
                *total = make.add(sum, unsafe { make.load(bias.as_ptr()) });
            }
            let to = &mut to[place as usize * self.channels + self.start..][..count];
            let scales = &self.scales[..COLUMNS * SIDE];
            // SAFETY: there is a scale for each lane, and room for `count` values.
            unsafe { T::store::<B, V>(make, totals, scales.as_ptr(), self.relu, to.as_mut_ptr(), count) };
        }
    }
}
