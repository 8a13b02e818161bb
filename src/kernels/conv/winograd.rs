//! 3×3 convolution of stride 1 with fewer multiplications, for inference: F(2×2, 3×3) of Winograd's minimal filtering (Lavin and
//! Gray, 2016). A tile of 2×2 outputs takes 16 products for each pair of channels instead of 36.
//!
//! Tiles of 4×4 inputs are transformed by sums and differences; then each of the 16 positions is a matrix product over channels,
//! by the microkernel of the direct convolution; then sums and differences give the outputs. A few dozen tiles go through all three
//! together, so that what lies between stays in the second-level cache. Sums differ from those of the direct convolution by a few
//! roundings.

use super::pack::Packed;
use super::plan::{Frame, Sweep};
use super::tile::SweepGroup;
use super::{ConvShape, ShapeError};
use crate::kernels::Number;
use crate::kernels::buffer::with_scratch;
use crate::kernels::number::{each_vector, read, write};
use crate::kernels::simd::{Level, Simd, Task};

/// Positions in a transformed tile.
const POSITIONS: usize = 16;
/// Numbers between the transforms that are in work at once, over all positions.
const CACHE: usize = 1 << 17;

/// A prepared convolution by tiles. An image's output does not depend on the images beside it, to the bit.
#[derive(Debug)]
pub struct WinogradConvolution<N: Number> {
    shape: ConvShape,
    level: Level,
    frame: Frame,
    /// The matrix product of one position, of a full group of tiles.
    sweep: Sweep,
    weights: Vec<Packed<N>>,
    bias: Vec<f32>,
    /// What sums of products start from.
    zeros: Vec<f32>,
    relu: bool,
}

impl<N: Number> WinogradConvolution<N> {
    /// Whether there is such an algorithm for a shape, and enough channels for it to pay.
    pub fn is_for(shape: &ConvShape) -> bool {
        let enough = 16;
        let pays = N::tiles().is_none(); // tiles do more than twice the products in the time of the transforms
        pays && shape.kernel == 3 && shape.stride == 1 && shape.inputs >= enough && shape.outputs >= enough
    }

    /// Transforms and packs `weights`, `[outputs, inputs, 3, 3]`; `relu` makes negative outputs zero.
    ///
    /// # Errors
    /// When the shape is impossible.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape, or the kernel is not 3×3 of stride 1.
    pub fn new(shape: ConvShape, weights: &[f32], bias: Option<&[f32]>, relu: bool) -> Result<Self, ShapeError> {
        Self::with_level(shape, weights, bias, relu, N::best())
    }

    /// The same on the given vectors.
    pub(crate) fn with_level(
        shape: ConvShape,
        weights: &[f32],
        bias: Option<&[f32]>,
        relu: bool,
        level: Level,
    ) -> Result<Self, ShapeError> {
        let (shape, level) = (shape.check()?, N::level(level));
        let ConvShape { height, width, inputs, outputs, padding, .. } = shape;
        assert!(shape.kernel == 3 && shape.stride == 1, "tiles are for 3×3 kernels of stride 1");
        assert_eq!(weights.len(), shape.weights_len(), "the weights have the length of their shape");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "the bias has the length of its shape");
        // Tiles at the end of an odd number of rows or columns reach one further.
        let odd = |size: usize| size % 2;
        let frame = Frame {
            height,
            width,
            channels: inputs,
            before: padding,
            below: padding + odd(shape.output_height()),
            right: padding + odd(shape.output_width()),
            gap: 0,
        };
        // Whole tiles of the microkernel, which are of 6 or 12.
        let tiles = (CACHE / (POSITIONS * (inputs + outputs)) / 12 * 12).max(12);
        let product = ConvShape { batch: tiles, height: 1, width: 1, inputs, outputs, kernel: 1, stride: 1, padding: 0 };
        let sweep = Sweep::forward(&product, N::PER_WORD);
        let transformed = transform_weights(weights);
        let weights = transformed.iter().map(|weights| Packed::new(level, &product, &sweep, weights, false)).collect();
        let mut padded = bias.unwrap_or_default().to_vec();
        padded.resize(outputs + 64, 0.0);
        Ok(Self { shape, level, frame, sweep, weights, bias: padded, zeros: vec![0.0; outputs + 64], relu })
    }

    /// Its shape.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// `x` is any number of images `[H, W, inputs]`, `y` as many `[H', W', outputs]`; with `pool` the largest of each 2×2 window of
    /// those, `[H'/2, W'/2, outputs]`.
    ///
    /// # Panics
    /// When a slice is not of whole images, or of another number of them.
    pub fn run(&self, x: &[N], pool: bool, y: &mut [N]) {
        let ConvShape { inputs, outputs, .. } = self.shape;
        let (image, images) = (self.shape.input_image(), x.len() / self.shape.input_image());
        assert!(x.len().is_multiple_of(image), "there are whole images");
        let target = Target::new(&self.shape, pool);
        assert_eq!(y.len(), images * target.image, "there is an output for each image");
        let tiles = images * target.tiles();
        with_scratch(|[frames, transformed, products, _]| {
            let frames = frames.of::<N>(images * self.frame.len() + 64);
            let line = self.frame.width * inputs;
            self.frame.fill(images, frames, |index, row, to| {
                let from = index * image + row * line;
                to.copy_from_slice(&x[from..from + line]);
            });
            let group = self.sweep.group;
            let transformed = transformed.of::<N>(POSITIONS * group * inputs + 64);
            let products = products.of::<f32>(POSITIONS * group * outputs + 64);
            for first in (0..tiles).step_by(group) {
                let count = group.min(tiles - first);
                let step = group * inputs;
                N::run(self.level, TransformInputs { of: self, target, frames, first, count, step, to: &mut *transformed });
                for (position, weights) in self.weights.iter().enumerate() {
                    N::run(
                        self.level,
                        SweepGroup {
                            phase: &self.sweep.phases[0],
                            index: 0,
                            images: count,
                            from: &transformed[position * step..],
                            weights,
                            bias: &self.zeros,
                            resume: false,
                            pool: false,
                            relu: false,
                            to: &mut products[position * group * outputs..][..group * outputs],
                            channels: outputs,
                        },
                    );
                }
                let step = group * outputs;
                N::run(self.level, TransformOutputs { of: self, target, products, first, count, step, to: &mut *y });
            }
        });
    }
}

/// G·g·Gᵀ of every kernel: for each position, weights `[outputs, inputs]`.
fn transform_weights(weights: &[f32]) -> Vec<Vec<f32>> {
    let three_to_four = |[a, b, c]: [f64; 3]| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let mut positions = vec![Vec::new(); POSITIONS];
    for kernel in weights.chunks_exact(9) {
        let columns = [0, 1, 2].map(|column| three_to_four([0, 1, 2].map(|row| f64::from(kernel[3 * row + column]))));
        for row in 0..4 {
            let values = three_to_four([columns[0][row], columns[1][row], columns[2][row]]);
            for (column, value) in values.into_iter().enumerate() {
                positions[4 * row + column].push(value as f32);
            }
        }
    }
    positions
}

/// Where outputs go.
#[derive(Clone, Copy)]
struct Target {
    pool: bool,
    /// Outputs of an image that are wanted, before pooling.
    rows: usize,
    columns: usize,
    channels: usize,
    /// Numbers in an image that comes out.
    image: usize,
}

impl Target {
    fn new(shape: &ConvShape, pool: bool) -> Self {
        let (rows, columns, channels) = (shape.output_height(), shape.output_width(), shape.outputs);
        if pool {
            // What is left over of an odd number is in no window.
            let (rows, columns) = (rows / 2 * 2, columns / 2 * 2);
            return Self { pool, rows, columns, channels, image: rows / 2 * (columns / 2) * channels };
        }
        Self { pool, rows, columns, channels, image: rows * columns * channels }
    }

    fn tiles_across(&self) -> usize {
        self.columns.div_ceil(2)
    }

    fn tiles(&self) -> usize {
        self.rows.div_ceil(2) * self.tiles_across()
    }

    /// Image, row and column of a tile's first output.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (image, tile) = (tile / self.tiles(), tile % self.tiles());
        (image, tile / self.tiles_across() * 2, tile % self.tiles_across() * 2)
    }
}

/// Bᵀ·d·B of tiles, position by position.
struct TransformInputs<'a, N: Number> {
    of: &'a WinogradConvolution<N>,
    target: Target,
    frames: &'a [N],
    first: usize,
    count: usize,
    /// Numbers of a position.
    step: usize,
    to: &'a mut [N],
}

impl<N: Number> Task for TransformInputs<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { of, target, frames, first, count, step, to } = self;
        let channels = of.frame.channels;
        let line = of.frame.columns() * channels;
        for tile in 0..count {
            let (image, row, column) = target.place(first + tile);
            let corner = image * of.frame.len() + row * line + column * channels;
            each_vector!(S, channels, |at, lanes| {
                let mut rows = [[simd.splat(0.0); 4]; 4];
                for (row, values) in rows.iter_mut().enumerate() {
                    let mut d = [simd.splat(0.0); 4];
                    for (column, d) in d.iter_mut().enumerate() {
                        *d = read(simd, frames, corner + row * line + column * channels + at, lanes);
                    }
                    *values = four(simd, d);
                }
                let [first, second, third, fourth] = rows;
                for (column, (((a, b), c), d)) in first.into_iter().zip(second).zip(third).zip(fourth).enumerate() {
                    let values = four(simd, [a, b, c, d]);
                    for (row, value) in values.into_iter().enumerate() {
                        write(simd, to, (4 * row + column) * step + tile * channels + at, lanes, value);
                    }
                }
            });
        }
    }
}

/// d₀ − d₂, d₁ + d₂, d₂ − d₁, d₁ − d₃.
#[inline(always)]
fn four<S: Simd>(simd: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 4] {
    [simd.subtract(a, c), simd.add(b, c), simd.subtract(c, b), simd.subtract(b, d)]
}

/// m₀ + m₁ + m₂, m₁ − m₂ − m₃.
#[inline(always)]
fn two<S: Simd>(simd: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 2] {
    [simd.add(simd.add(a, b), c), simd.subtract(simd.subtract(b, c), d)]
}

/// Aᵀ·m·A of tiles, with bias, ReLU and pooling.
struct TransformOutputs<'a, N: Number> {
    of: &'a WinogradConvolution<N>,
    target: Target,
    products: &'a [f32],
    first: usize,
    count: usize,
    /// Numbers of a position.
    step: usize,
    to: &'a mut [N],
}

impl<N: Number> Task for TransformOutputs<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { of, target, products, first, count, step, to } = self;
        let Target { pool, rows, columns, channels, image } = target;
        let least = simd.splat(if of.relu { 0.0 } else { f32::NEG_INFINITY });
        for tile in 0..count {
            let (index, row, column) = target.place(first + tile);
            each_vector!(S, channels, |at, lanes| {
                let bias = read(simd, &of.bias, at, lanes);
                let mut halves = [[simd.splat(0.0); 2]; 4];
                for (row, values) in halves.iter_mut().enumerate() {
                    let mut m = [simd.splat(0.0); 4];
                    for (column, m) in m.iter_mut().enumerate() {
                        *m = read(simd, products, (4 * row + column) * step + tile * channels + at, lanes);
                    }
                    *values = two(simd, m);
                }
                let left = two(simd, [halves[0][0], halves[1][0], halves[2][0], halves[3][0]]);
                let right = two(simd, [halves[0][1], halves[1][1], halves[2][1], halves[3][1]]);
                let outputs = [[left[0], right[0]], [left[1], right[1]]];
                // What is not a number stays so.
                if pool {
                    let mut best = outputs[0][0];
                    for value in [outputs[0][1], outputs[1][0], outputs[1][1]] {
                        best = simd.select_greater(value, best, value, best);
                    }
                    let place = index * image + (row / 2 * (columns / 2) + column / 2) * channels;
                    write(simd, to, place + at, lanes, simd.max(least, simd.add(best, bias)));
                } else {
                    for (down, outputs) in outputs.into_iter().enumerate() {
                        for (across, value) in outputs.into_iter().enumerate() {
                            if row + down < rows && column + across < columns {
                                let place = index * image + ((row + down) * columns + column + across) * channels;
                                write(simd, to, place + at, lanes, simd.max(least, simd.add(value, bias)));
                            }
                        }
                    }
                }
            });
        }
    }
}
