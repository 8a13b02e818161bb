//! A convolution with its weights, packed once, for inference: it runs on the thread that calls it.

use super::pack::Packed;
use super::plan::Phase;
use super::tile::SweepGroup;
use super::{ConvShape, Convolution};
use crate::kernels::Number;
use crate::kernels::buffer::with_scratch;

/// A convolution whose weights do not change any more. An image's output does not depend on the images beside it, to the bit.
#[derive(Debug)]
pub struct PreparedConvolution<N: Number> {
    convolution: Convolution<N>,
    /// The forward phase in windows, for pooling.
    windows: Phase,
    weights: Packed<N>,
    bias: Vec<f32>,
    relu: bool,
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
        let windows = self.forward.phases[0].in_windows(&self.shape, self.forward.group);
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
            with_scratch(|[frames, ..]| {
                N::run(
                    *level,
                    SweepGroup {
                        phase: &self.windows,
                        index: 0,
                        images: x.len() / input,
                        from: self.convolution.framed(x, frames),
                        weights: &self.weights,
                        bias: &self.bias,
                        resume: false,
                        pool: true,
                        relu: self.relu,
                        to,
                        channels: shape.outputs,
                    },
                );
            });
        }
    }

    fn check(&self, x: &[N], length: usize, image: usize) {
        let input = self.shape().input_image();
        assert!(x.len().is_multiple_of(input), "there are whole images");
        assert_eq!(length, x.len() / input * image, "there is an output for each image");
    }
}
