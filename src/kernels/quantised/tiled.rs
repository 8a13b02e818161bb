//! A sweep of bytes in products of tiles, as [`crate::kernels::conv::TilePlan`] cuts them: the same sums as the microkernel of vectors, to
//! the bit, because whole numbers add up to the same in any order.

use super::tile::Target;
use super::weights::{WORD, Weights};
use crate::kernels::conv::{Epilogue, Phase, Pixels, TilePlan, TileWeights, sweep};
use crate::kernels::simd::{ByteTask, Bytes};
use crate::kernels::tiles::{self, ROW, SIDE, Sums, Tiles};

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
        assert!(images * plan.places * channels <= to.len(), "pixels lie inside what comes out");
        assert!(channels.next_multiple_of(2 * SIDE) <= bias.len().min(scales.len()), "each channel has a bias and a scale");
        sweep(*tiles, plan, images, from, weights, Emit { make, bias, scales, relu, channels, pool: plan.pool, to });
    }
}

/// Bias, pooling, and what sums stand for.
struct Emit<'a, B, T> {
    make: B,
    bias: &'a [i32],
    scales: &'a [f32],
    relu: bool,
    channels: usize,
    pool: bool,
    to: &'a mut [T],
}

impl<B: Bytes, T: Target> Epilogue for Emit<'_, B, T> {
    type Kind = tiles::Bytes;

    #[inline(always)]
    fn take<const COLUMNS: usize>(&mut self, sums: &Sums, start: usize, pixels: &Pixels, first: usize, limit: usize) {
        match COLUMNS * SIDE / B::LANES {
            1 => self.vectors::<COLUMNS, 1>(sums, start, pixels, first, limit),
            2 => self.vectors::<COLUMNS, 2>(sums, start, pixels, first, limit),
            4 => self.vectors::<COLUMNS, 4>(sums, start, pixels, first, limit),
            _ => self.vectors::<COLUMNS, 8>(sums, start, pixels, first, limit),
        }
    }
}

impl<B: Bytes, T: Target> Emit<'_, B, T> {
    /// The sums of `COLUMNS` tiles, which are `V` vectors.
    #[inline(always)]
    fn vectors<const COLUMNS: usize, const V: usize>(
        &mut self,
        sums: &Sums,
        start: usize,
        pixels: &Pixels,
        first: usize,
        limit: usize,
    ) {
        assert!(V * B::LANES == COLUMNS * SIDE, "the vectors are as wide as the tiles");
        let make = self.make;
        let count = (self.channels - start).min(COLUMNS * SIDE);
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
                let bias = &self.bias[start + channel..][..B::LANES];
                // SAFETY: there is a bias for each lane.
                *total = make.add(sum, unsafe { make.load(bias.as_ptr()) });
            }
            let to = &mut self.to[(first + place as usize) * self.channels + start..][..count];
            let scales = &self.scales[start..][..COLUMNS * SIDE];
            // SAFETY: there is a scale for each lane, and room for `count` values.
            unsafe { T::store::<B, V>(make, totals, scales.as_ptr(), self.relu, to.as_mut_ptr(), count) };
        }
    }
}
