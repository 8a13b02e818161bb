//! The gradient of what a convolution gave, derived from the gradient of what was made of it, framed for the backward sweep.

use std::ops::Range;

use super::{ConvShape, Frame};
use crate::kernels::activation::gelu_slope;
use crate::kernels::columns::{Plain, sum_columns};
use crate::kernels::norm::{NormGradient, RowGradient};
use crate::kernels::number::{Number, each_vector, read, write};
use crate::kernels::simd::{Level, Simd, Task};

/// What is known of the gradient of a convolution's output `[N, H', W', outputs]`.
#[derive(Clone, Copy, Debug)]
pub enum OutputGradient<'a, N> {
    /// The gradient itself.
    Plain(&'a [N]),
    /// A ReLU followed.
    Relu {
        /// Gradient of the ReLU's output.
        gradient: &'a [N],
        /// The ReLU's output.
        output: &'a [N],
    },
    /// A GELU followed.
    Gelu {
        /// Gradient of the GELU's output.
        gradient: &'a [N],
        /// The GELU's input.
        input: &'a [N],
    },
    /// ReLU and 2×2 max pooling followed.
    ReluPool {
        /// Gradient of the pooled output, `[N, H'/2, W'/2, outputs]`.
        gradient: &'a [N],
        /// What [`super::Convolution::forward_pool`] chose.
        choice: &'a [u8],
    },
    /// Batch normalisation followed, perhaps with ReLU and 2×2 max pooling.
    Norm(NormGradient<'a, N>),
}

impl<N: Number> OutputGradient<'_, N> {
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub(super) fn check(&self, shape: &ConvShape) {
        let whole = shape.output_len();
        let pooled = shape.batch * (shape.output_height() / 2) * (shape.output_width() / 2) * shape.outputs;
        let check = |length: usize, expected: usize| assert_eq!(length, expected, "the gradient has the length of its shape");
        match self {
            Self::Plain(gradient) => check(gradient.len(), whole),
            Self::Relu { gradient, output: other } | Self::Gelu { gradient, input: other } => {
                check(gradient.len(), whole);
                check(other.len(), whole);
            }
            Self::ReluPool { gradient, choice } => {
                check(gradient.len(), pooled);
                check(choice.len(), pooled);
            }
            Self::Norm(norm) => {
                check(norm.input.len(), whole);
                check(norm.gradient.len(), if norm.choice.is_some() { pooled } else { whole });
                check(norm.choice.map_or(norm.gradient.len(), <[u8]>::len), norm.gradient.len());
                check(norm.channels(), shape.outputs);
            }
        }
    }

    /// What [`OutputGradient::fill`] needs for every group, made once.
    pub(super) fn for_rows(&self, frame: &Frame) -> Option<RowGradient> {
        match self {
            Self::Norm(norm) => Some(norm.for_rows(frame.width)),
            _ => None,
        }
    }

    /// Writes the framed gradient of a group of images.
    pub(super) fn fill(
        &self,
        level: Level,
        shape: &ConvShape,
        (frame, rows): (&Frame, Option<&RowGradient>),
        images: Range<usize>,
        to: &mut [N],
    ) {
        N::run(level, Fill { gradient: self, rows, shape, frame, images, to });
    }
}

struct Fill<'a, N> {
    gradient: &'a OutputGradient<'a, N>,
    rows: Option<&'a RowGradient>,
    shape: &'a ConvShape,
    frame: &'a Frame,
    images: Range<usize>,
    to: &'a mut [N],
}

impl<N: Number> Task for Fill<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { gradient, rows, shape, frame, images, to } = self;
        let line = frame.width * frame.channels;
        let image = shape.output_image();
        let of = |index: usize, row: usize| (images.start + index) * image + row * line;
        match *gradient {
            OutputGradient::Plain(gradient) => frame.fill(images.len(), to, |index, row, to| {
                to.copy_from_slice(&gradient[of(index, row)..][..line]);
            }),
            OutputGradient::Relu { gradient, output } => frame.fill(images.len(), to, |index, row, to| {
                let from = of(index, row);
                for ((to, gradient), output) in to.iter_mut().zip(&gradient[from..][..line]).zip(&output[from..][..line]) {
                    *to = if output.wide() > 0.0 { *gradient } else { N::default() };
                }
            }),
            OutputGradient::Gelu { gradient, input } => frame.fill(images.len(), to, |index, row, to| {
                let from = of(index, row);
                for ((to, gradient), input) in to.iter_mut().zip(&gradient[from..][..line]).zip(&input[from..][..line]) {
                    *to = N::narrow(gradient.wide() * gelu_slope(input.wide()));
                }
            }),
            OutputGradient::ReluPool { gradient, choice } => {
                let pooled = PooledRows::new(frame, images.start);
                frame.fill(images.len(), to, |index, row, to| match pooled.row(index, row) {
                    Some((from, first)) => {
                        unpool(simd, &gradient[from..][..pooled.line], &choice[from..][..pooled.line], first, frame.channels, to);
                    }
                    None => to.fill(N::default()),
                });
            }
            OutputGradient::Norm(norm) => {
                let rows = rows.expect("made for every normalisation");
                let pooled = PooledRows::new(frame, images.start);
                frame.fill(images.len(), to, |index, row, to| {
                    let input = &norm.input[of(index, row)..][..line];
                    match norm.choice {
                        None => rows.fill(simd, input, &norm.gradient[of(index, row)..][..line], norm.relu, to),
                        Some(choice) => {
                            match pooled.row(index, row) {
                                Some((from, first)) => {
                                    let gradient = &norm.gradient[from..][..pooled.line];
                                    unpool(simd, gradient, &choice[from..][..pooled.line], first, frame.channels, to);
                                }
                                None => to.fill(N::default()),
                            }
                            rows.add_means(simd, input, to);
                        }
                    }
                });
            }
        }
    }
}

/// Where the rows of a 2×2 pooled map lie.
struct PooledRows {
    image: usize,
    rows: usize,
    line: usize,
    start: usize,
}

impl PooledRows {
    fn new(frame: &Frame, start: usize) -> Self {
        let (rows, line) = (frame.height / 2, frame.width / 2 * frame.channels);
        Self { image: rows * line, rows, line, start }
    }

    /// Where the pooled row of a whole row starts, and the number of the window's first pixel in that row: 0 or 2. The last of
    /// an odd number of rows is in no window.
    #[inline(always)]
    fn row(&self, index: usize, row: usize) -> Option<(usize, u8)> {
        (row / 2 < self.rows).then(|| ((self.start + index) * self.image + row / 2 * self.line, (row % 2 * 2) as u8))
    }
}

/// Spreads a pooled row: each gradient goes to the pixel that was chosen, if it is `first` or the one right of it.
#[inline(always)]
fn unpool<S: Simd, N: Number>(simd: S, gradient: &[N], choice: &[u8], first: u8, channels: usize, to: &mut [N]) {
    let windows = gradient.chunks_exact(channels).zip(choice.chunks_exact(channels));
    let mut pairs = to.chunks_exact_mut(2 * channels);
    for ((gradient, choice), pair) in windows.zip(&mut pairs) {
        let (left, right) = pair.split_at_mut(channels);
        each_vector!(S, channels, |at, count| {
            if count == S::LANES {
                let value = read(simd, gradient, at, count);
                let codes = choice[at..at + count].as_ptr();
                // SAFETY: there are as many codes as a vector has lanes.
                let kept = unsafe { [simd.keep_where_code(codes, first, value), simd.keep_where_code(codes, first + 1, value)] };
                write(simd, left, at, count, kept[0]);
                write(simd, right, at, count, kept[1]);
            } else {
                for channel in at..at + count {
                    left[channel] = if choice[channel] == first { gradient[channel] } else { N::default() };
                    right[channel] = if choice[channel] == first + 1 { gradient[channel] } else { N::default() };
                }
            }
        });
    }
    pairs.into_remainder().fill(N::default());
}

/// Adds the channels of every pixel of framed gradients to `bias`.
pub(super) struct AddRows<'a, N> {
    pub frame: &'a Frame,
    pub images: usize,
    pub gradients: &'a [N],
    pub bias: &'a mut [f32],
}

impl<N: Number> Task for AddRows<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // The zeros of the frame add nothing.
        let framed = &self.gradients[..self.images * self.frame.len()];
        let mut sums = vec![0.0; self.bias.len()];
        sum_columns(simd, framed.len() / self.bias.len(), &Plain(framed), [&mut sums]);
        self.bias.iter_mut().zip(&sums).for_each(|(bias, sum)| *bias += sum);
    }
}
