//! Weights as bytes, packed in the order in which a sweep reads them.

use super::Quantisation;
use crate::kernels::conv::{Block, ConvShape, Phase, blocks_of};
use crate::kernels::simd::ByteLevel;

/// Bytes in a word.
pub(super) const WORD: usize = 4;
/// The largest byte of a weight; the smallest is its negative.
const LARGEST: f64 = 127.0;
/// The least share of the largest weight at which larger ones are tried to be cut off, and how many shares are.
const CUTS: (f64, usize) = (0.5, 25);

/// Weights and biases of a sweep: for each block, a row of the block's channels for each word.
#[derive(Debug)]
pub(super) struct Weights {
    pub blocks: Vec<Block>,
    /// Words of all blocks, block by block.
    pub words: Vec<i32>,
    /// Words that go into a pixel's sum.
    pub depth: usize,
    /// What each channel's sum starts from, padded to whole blocks.
    pub bias: Vec<i32>,
    /// What a channel's sum is multiplied with to be the number it stands for, padded likewise.
    pub scales: Vec<f32>,
}

impl Weights {
    /// Quantises `weights`, `[outputs, inputs, kernel, kernel]`, for the phase of a sweep. `input` tells what bytes of each input channel
    /// stand for, and `mean` what number they stand for on the average; what rounded weights make of that is taken off the bias
    /// (Nagel, van Baalen, Blankevoort and Welling, 2019). `None` where sums might leave 32 bits.
    pub(super) fn new(
        level: ByteLevel,
        shape: &ConvShape,
        phase: &Phase,
        weights: &[f32],
        bias: Option<&[f32]>,
        input: &[Quantisation],
        mean: &[f32],
    ) -> Option<Self> {
        let ConvShape { inputs, outputs, kernel, .. } = *shape;
        let (taps, lanes) = (kernel * kernel, level.lanes());
        let words: Vec<[Option<usize>; WORD]> = words(phase);
        let blocks = blocks_of(lanes, level.registers(), outputs);
        let padded = outputs.next_multiple_of(lanes);
        let mut packed = Self {
            words: vec![0; words.len() * padded],
            depth: words.len(),
            bias: vec![0; padded],
            scales: vec![0.0; padded],
            blocks,
        };
        for output in 0..outputs {
            let row = &weights[output * inputs * taps..][..inputs * taps];
            // In steps of the input's bytes, so that one scale serves all input channels.
            let row: Vec<f64> =
                row.iter().enumerate().map(|(at, weight)| f64::from(*weight) * f64::from(input[at / taps].scale)).collect();
            let step = best_step(&row)?;
            let bytes: Vec<i32> = row.iter().map(|weight| round(*weight, 1.0 / step) as i32).collect();
            let mut start = bias.map_or(0.0, |bias| f64::from(bias[output]));
            for (at, (weight, byte)) in row.iter().zip(&bytes).enumerate() {
                let (input, mean) = (input[at / taps], mean[at / taps]);
                let rounded = f64::from(*byte) * step;
                start -= rounded * f64::from(input.zero) + (rounded - weight) * f64::from(mean) / f64::from(input.scale);
            }
            let start = (start / step).round();
            let reach = start.abs() + 255.0 * f64::from(bytes.iter().map(|byte| byte.abs()).sum::<i32>());
            let fits = reach < f64::from(i32::MAX) && (step as f32).is_normal();
            if !fits {
                return None;
            }
            packed.bias[output] = start as i32;
            packed.scales[output] = step as f32;
            let number = |number: usize| (number % inputs) * taps + phase.taps[number / inputs];
            for (word, numbers) in words.iter().enumerate() {
                let value = numbers.map(|index| index.map_or(0, |index| bytes[number(index)] as i8) as u8);
                let at = packed.place(lanes, word, output);
                packed.words[at] = i32::from_ne_bytes(value);
            }
        }
        Some(packed)
    }

    /// The weights of a word and an output channel, packed for vectors of so many lanes.
    pub(super) fn word(&self, lanes: usize, word: usize, output: usize) -> i32 {
        self.words[self.place(lanes, word, output)]
    }

    /// Where the weights of a word and an output channel lie.
    fn place(&self, lanes: usize, word: usize, output: usize) -> usize {
        let block = self.blocks.iter().rfind(|block| block.start <= output).expect("the first block starts at 0");
        block.start * self.depth + word * block.vectors * lanes + output - block.start
    }
}

/// The words that go into a pixel's sum, each with the indices of its numbers in the order of the runs; the last word of a run may lack some.
fn words(phase: &Phase) -> Vec<[Option<usize>; WORD]> {
    let mut words = Vec::new();
    let mut start = 0;
    for run in &phase.runs {
        for first in (0..run.length).step_by(WORD) {
            words.push(std::array::from_fn(|place| (first + place < run.length).then_some(start + first + place)));
        }
        start += run.length;
    }
    words
}

/// The byte of a weight, given how many steps make 1.
fn round(weight: f64, steps: f64) -> f64 {
    // So large a number has no digits behind the point: adding it rounds, to the even one in a tie. Unlike a call, it is vectorised.
    const WHOLE: f64 = 1.5 * (1u64 << 52) as f64;
    ((weight * steps).clamp(-LARGEST, LARGEST) + WHOLE) - WHOLE
}

/// The step between bytes that makes the sum of squared errors least. `None` where a weight is not finite.
fn best_step(row: &[f64]) -> Option<f64> {
    let largest = row.iter().fold(0.0, |largest: f64, weight| largest.max(weight.abs()));
    if !row.iter().all(|weight| weight.is_finite()) {
        return None;
    }
    if largest == 0.0 {
        return Some(1.0);
    }
    let steps = (0..=CUTS.1).map(|cut| largest / LARGEST * (1.0 - (1.0 - CUTS.0) * cut as f64 / CUTS.1 as f64));
    let error = |step: f64| {
        let steps = 1.0 / step;
        row.iter().map(|weight| (round(*weight, steps) * step - weight).powi(2)).sum::<f64>()
    };
    steps.map(|step| (error(step), step)).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, step)| step)
}
