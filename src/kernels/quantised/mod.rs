//! Convolutions and dense layers of bytes, for inference: activations are 0–255, weights −127–127 with a scale for each output
//! channel, products are summed exactly in 32 bits (Jacob et al., 2018).
//!
//! number = scale · (byte − zero). The zeros of the input and the layer's bias are where a sum starts from, and the input's scales are
//! in the weights, so that the sum of products of bytes, times one number, is what comes out. It becomes a byte (after ReLU, whose
//! zero is byte 0) or a number while it is in registers, and of a 2×2 window only the largest sum does.
//!
//! The arithmetic is exact but for one multiplication and one rounding: every machine gives the same bits.

mod scale;
mod tile;
mod tiled;
mod weights;

pub use scale::{Quantisation, interleave, quantise};
pub use tile::Target;

use self::tile::SweepBytes;
use self::tiled::{SweepByteTiles, Tiled};
use self::weights::{WORD, Weights};
use super::buffer::{Buffer, with_scratch};
use super::conv::{ConvShape, Frame, Phase, ShapeError, Sweep, TilePlan};
use super::simd::ByteLevel;
use super::tiles::Tiles;

/// What a [`QuantisedConvolution`] is made of.
#[derive(Clone, Copy, Debug)]
pub struct QuantisedLayer<'a> {
    /// `[outputs, inputs, kernel, kernel]`.
    pub weights: &'a [f32],
    /// `[outputs]`.
    pub bias: Option<&'a [f32]>,
    /// What bytes of each input channel stand for.
    pub input: &'a [Quantisation],
    /// What number an input channel is on the average, as far as that is known; else 0.
    pub mean: &'a [f32],
    /// What bytes that come out stand for; none if numbers come out. Its zero is 0, so only what ReLU gives can be such bytes.
    pub output: Option<Quantisation>,
    /// Whether negative numbers become zero.
    pub relu: bool,
    /// Whether the largest of each 2×2 window comes out.
    pub pool: bool,
}

/// Why a layer cannot be computed in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantisedError {
    /// The shape is impossible.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Padding is 0, and no byte is.
    #[error("no byte stands for the zeros around an image")]
    Padding,
    /// 32 bits might not hold a sum.
    #[error("sums might leave 32 bits")]
    Range,
}

/// A convolution of bytes with its weights, packed once: it runs on the thread that calls it. With a kernel and images of one pixel it
/// is a dense layer. An image's output does not depend on the images beside it.
#[derive(Debug)]
pub struct QuantisedConvolution {
    shape: ConvShape,
    level: ByteLevel,
    frame: Frame,
    phase: Phase,
    group: usize,
    weights: Weights,
    /// The same in tiles, where tiles multiply it.
    tiled: Option<Tiled>,
    /// What sums are multiplied with: to become bytes, or numbers.
    scales: Vec<f32>,
    /// The byte that stands for 0 in each input channel.
    padding: Vec<u8>,
    to_bytes: bool,
    relu: bool,
    pool: bool,
}

impl QuantisedConvolution {
    /// Quantises and packs the weights.
    ///
    /// # Errors
    /// When the shape is impossible or bytes cannot stand for what is computed.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape, or bytes are to come out whose zero is not 0 or without ReLU.
    pub fn new(shape: ConvShape, layer: QuantisedLayer<'_>) -> Result<Self, QuantisedError> {
        Self::with_makes(shape, layer, ByteLevel::best(), Tiles::best())
    }

    /// The same on the given vectors and tiles.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn with_makes(
        shape: ConvShape,
        layer: QuantisedLayer<'_>,
        level: ByteLevel,
        tiles: Option<Tiles>,
    ) -> Result<Self, QuantisedError> {
        let shape = shape.check()?;
        let QuantisedLayer { weights, bias, input, mean, output, relu, pool } = layer;
        assert_eq!(weights.len(), shape.weights_len(), "the weights have the length of their shape");
        assert!(bias.is_none_or(|bias| bias.len() == shape.outputs), "the bias has the length of its shape");
        assert!(input.len() == shape.inputs && mean.len() == shape.inputs, "each input channel has a scale and a mean");
        assert!(output.is_none_or(|output| output.zero == 0.0 && relu), "bytes that come out stand for what ReLU gives");
        let mut padding: Vec<u8> = input.iter().map(|input| input.padding().unwrap_or(0)).collect();
        if shape.padding == 0 {
            padding.fill(0);
        } else if input.iter().any(|input| input.padding().is_none()) {
            return Err(QuantisedError::Padding);
        }
        let sweep = Sweep::forward(&shape, WORD);
        let size = [shape.output_height(), shape.output_width()];
        let plan = tiles.and_then(|tiles| Some((tiles, TilePlan::new(&sweep, shape.stride, size, 1, pool)?)));
        let Sweep { frame, group, phases, .. } = sweep;
        let mut phase = phases.into_iter().next().expect("a forward sweep has one phase");
        let mut weights = Weights::new(level, &shape, &phase, weights, bias, input, mean).ok_or(QuantisedError::Range)?;
        let scales: Vec<f32> = weights.scales.iter().map(|scale| output.map_or(*scale, |output| scale / output.scale)).collect();
        // A product that left 32 bits could not become a byte.
        if output.is_some() && !scales.iter().all(|scale| *scale < 1.0) {
            return Err(QuantisedError::Range);
        }
        let tiled = plan.map(|(tiles, plan)| Tiled::new(tiles, plan, &phase, (&weights, level.lanes()), &scales, shape.outputs));
        if tiled.is_some() {
            weights.words = Vec::new(); // packed anew
        }
        if pool {
            phase = phase.in_windows(&shape, group);
        }
        let to_bytes = output.is_some();
        Ok(Self { shape, level, frame, phase, group, weights, tiled, scales, padding, to_bytes, relu, pool })
    }

    /// Its shape; the batch is the most images that are worked on together.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Values of one image that comes out.
    pub fn output_image(&self) -> usize {
        let divide = if self.pool { 2 } else { 1 };
        (self.shape.output_height() / divide) * (self.shape.output_width() / divide) * self.shape.outputs
    }

    /// `x` is any number of images `[H, W, inputs]`, `y` as many `[H', W', outputs]`, or with pooling `[H'/2, W'/2, outputs]`.
    ///
    /// # Panics
    /// When a slice is not of whole images, or of another number of them, or bytes are wanted where numbers come out or the other way
    /// round.
    pub fn run<T: Target>(&self, x: &[u8], y: &mut [T]) {
        let (input, output) = (self.shape.input_image(), self.output_image());
        assert!(x.len().is_multiple_of(input), "there are whole images");
        assert_eq!(y.len(), x.len() / input * output, "there is an output for each image");
        assert_eq!(self.to_bytes, size_of::<T>() == 1, "bytes come out, or numbers, as was said");
        if output == 0 {
            return;
        }
        for (x, to) in x.chunks(self.group * input).zip(y.chunks_mut(self.group * output)) {
            let (images, relu, channels) = (x.len() / input, self.relu, self.shape.outputs);
            with_scratch(|[frames, ..]| match &self.tiled {
                Some(layer) => {
                    let from = frames.of::<u8>(layer.plan.bytes(images)[1]);
                    self.frame_images(&layer.plan.frame, x, from);
                    self.level.run(SweepByteTiles { layer, images, from, relu, to, channels });
                }
                None => self.level.run(SweepBytes {
                    phase: &self.phase,
                    images,
                    from: self.framed(x, frames),
                    weights: &self.weights,
                    scales: &self.scales,
                    pool: self.pool,
                    relu,
                    to,
                    channels,
                }),
            });
        }
    }

    /// The images with zeros around them: in `frames`, or where they are if there are to be none.
    fn framed<'a>(&self, x: &'a [u8], frames: &'a mut Buffer) -> &'a [u8] {
        let frame = &self.frame;
        if frame.is_bare() && self.phase.is_whole(WORD) {
            return x;
        }
        let images = x.len() / self.shape.input_image();
        let frames = frames.of::<u8>(images * frame.len() + WORD);
        self.frame_images(frame, x, frames);
        frames
    }

    /// Writes the images into their frames.
    fn frame_images(&self, frame: &Frame, x: &[u8], frames: &mut [u8]) {
        let line = frame.width * frame.channels;
        pad(&self.padding, frames);
        for (x, to) in x.chunks_exact(self.shape.input_image()).zip(frames.chunks_exact_mut(frame.len())) {
            let rows = to.chunks_exact_mut(frame.columns() * frame.channels).skip(frame.before);
            for (x, to) in x.chunks_exact(line).zip(rows) {
                to[frame.before * frame.channels..][..line].copy_from_slice(x);
            }
        }
    }
}

/// Fills pixels with the byte of each channel.
fn pad(padding: &[u8], to: &mut [u8]) {
    match padding {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => to.fill(*first),
        _ => to.chunks_mut(padding.len()).for_each(|to| to.copy_from_slice(&padding[..to.len()])),
    }
}

#[cfg(test)]
mod tests;
