//! A convolution with its weights, packed once, for inference: it runs on the thread that calls it.

use super::plan::Phase;
use super::tile::SweepGroup;
use super::{ConvShape, Convolution, SweepTiles, TilePlan, Weights, framed_for};
use crate::kernels::Number;
use crate::kernels::buffer::with_scratch;

/// A convolution whose weights do not change any more. An image's output does not depend on the images beside it, to the bit.
#[derive(Debug)]
pub struct PreparedConvolution<N: Number> {
    convolution: Convolution<N>,
    windows: Windows,
    weights: Weights<N>,
    bias: Vec<f32>,
    relu: bool,
}

/// The pixels of a forward sweep in the 2×2 windows that they are pooled in.
#[derive(Debug)]
enum Windows {
    Vectors(Phase),
    Tiles(TilePlan),
}

impl<N: Number> Convolution<N> {
    /// Packs `weights`, `[outputs, inputs, kernel, kernel]`, and `bias`, `[outputs]`; `relu` makes negative outputs zero.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn prepare(self, weights: &[f32], bias: Option<&[f32]>, relu: bool) -> PreparedConvolution<N> {
        assert_eq!(weights.len(), self.shape.weights_len(), "the weights have the length of their shape");
        assert!(bias.is_none_or(|bias| bias.len() == self.shape.outputs), "the bias has the length of its shape");
        let (weights, bias) = self.prepare_weights(weights, bias);
        let (rows, columns) = (self.shape.output_height(), self.shape.output_width());
        let tiled = self.tiled.as_ref();
        let tiled = tiled.and_then(|_| TilePlan::new(&self.forward, 1, [rows, columns], size_of::<N>(), true));
        let windows = tiled
            .map_or_else(|| Windows::Vectors(self.forward.phases[0].in_windows(&self.shape, self.forward.group)), Windows::Tiles);
        PreparedConvolution { convolution: self, windows, weights, bias, relu }
    }
}

impl<N: Number> PreparedConvolution<N> {
    /// Its shape; the batch is the most images that are worked on together.
    pub fn shape(&self) -> &ConvShape {
        self.convolution.shape()
    }

    /// `x` is any number of images `[H, W, inputs]`, `y` as many `[H', W', outputs]`.
    ///
    /// # Panics
    /// When a slice is not of whole images, or of another number of them.
    pub fn run<O: Number>(&self, x: &[N], y: &mut [O]) {
        let Convolution { shape, forward, .. } = &self.convolution;
        self.check(x, y.len(), shape.output_image());
        let groups = x.chunks(forward.group * shape.input_image()).zip(y.chunks_mut(forward.group * shape.output_image()));
        for (x, y) in groups {
            with_scratch(|[frames, ..]| {
                self.convolution.forward_group(x, frames, &self.weights, &self.bias, self.relu, y);
            });
        }
    }

    /// [`Self::run`], then the largest of each 2×2 window: `y` is as many images `[H'/2, W'/2, outputs]`.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub fn run_pool(&self, x: &[N], y: &mut [N]) {
        let Convolution { shape, forward, level, .. } = &self.convolution;
        let (input, pooled) = (shape.input_image(), self.convolution.pooled_image());
        self.check(x, y.len(), pooled);
        if pooled == 0 {
            return;
        }
        for (x, to) in x.chunks(forward.group * input).zip(y.chunks_mut(forward.group * pooled)) {
            let (images, bias, relu, channels) = (x.len() / input, self.bias.as_slice(), self.relu, shape.outputs);
            with_scratch(|[frames, ..]| match (&self.windows, &self.weights) {
                (Windows::Tiles(plan), Weights::Tiles(weights)) => {
                    let from = N::halves(framed_for(plan, x, input, frames));
                    let tiles = self.convolution.tiled().tiles;
                    N::run(*level, SweepTiles { tiles, plan, images, from, weights, bias, relu, to, channels });
                }
                (Windows::Vectors(phase), Weights::Vectors(weights)) => {
                    let from = self.convolution.framed(x, frames);
                    let (index, resume, pool) = (0, false, true);
                    N::run(*level, SweepGroup { phase, index, images, from, weights, bias, resume, pool, relu, to, channels });
                }
                _ => unreachable!("weights and windows are packed for the same makes"),
            });
        }
    }

    fn check(&self, x: &[N], length: usize, image: usize) {
        let input = self.shape().input_image();
        assert!(x.len().is_multiple_of(input), "there are whole images");
        assert_eq!(length, x.len() / input * image, "there is an output for each image");
    }
}
