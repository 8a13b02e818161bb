//! Batch normalisation over channels (Ioffe and Szegedy, 2015), of rows `[…, C]`: statistics, application and gradient, with
//! ReLU and 2×2 max pooling folded in.
//!
//! Variances are biased, and computed from deviations: those of each part of a batch from its first row, and parts are joined by
//! the formula of Chan, Golub and LeVeque (1979) in a fixed order.

use rayon::prelude::*;

use super::columns::{Deviations, Terms, sum_columns};
use super::number::{Number, each_vector, read, write};
use super::pool::{PoolPairsWith, Pooled};
use super::simd::{Level, Simd, Task};

/// Rows whose statistics are taken together.
const PART: usize = 512;
/// Parts of the sums of the backward pass.
const CHUNKS: usize = 64;
/// Numbers that one elementwise task works on.
const PIECE: usize = 1 << 15;
/// Numbers that an elementwise loop has at least, so that few channels fill vectors too.
const LINE: usize = 256;

/// Mean and variance of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Means, `[C]`.
    pub mean: Vec<f32>,
    /// Biased variances, `[C]`.
    pub variance: Vec<f32>,
}

impl Moments {
    /// Those of `x`, rows of `channels`.
    ///
    /// # Panics
    /// When `x` is empty or not a whole number of rows.
    pub fn of<N: Number>(x: &[N], channels: usize) -> Self {
        assert!(!x.is_empty() && x.len().is_multiple_of(channels), "statistics are taken over whole rows");
        let level = N::best();
        let parts: Vec<_> = x.par_chunks(PART * channels).map(|part| PartialMoments::of(level, part, channels)).collect();
        PartialMoments::join(&parts)
    }
}

/// Mean and sum of squared deviations of each channel over some rows.
#[derive(Clone, Debug)]
pub(crate) struct PartialMoments {
    rows: usize,
    mean: Vec<f32>,
    squares: Vec<f32>,
}

impl PartialMoments {
    /// Those of `x`, rows of `channels`.
    pub(crate) fn of<N: Number>(level: Level, x: &[N], channels: usize) -> Self {
        N::run(level, Accumulate { x, channels })
    }

    /// Joins parts in their order.
    pub(crate) fn join(parts: &[Self]) -> Moments {
        let channels = parts[0].mean.len();
        let mut rows = 0.0;
        let (mut mean, mut squares) = (vec![0.0f64; channels], vec![0.0f64; channels]);
        for part in parts {
            let more = part.rows as f64;
            let all = rows + more;
            for channel in 0..channels {
                let apart = f64::from(part.mean[channel]) - mean[channel];
                mean[channel] += apart * more / all;
                squares[channel] += f64::from(part.squares[channel]) + apart * apart * rows * more / all;
            }
            rows = all;
        }
        Moments {
            mean: mean.into_iter().map(|mean| mean as f32).collect(),
            variance: squares.into_iter().map(|squares| (squares / rows) as f32).collect(),
        }
    }
}

struct Accumulate<'a, N> {
    x: &'a [N],
    channels: usize,
}

impl<N: Number> Task for Accumulate<'_, N> {
    type Output = PartialMoments;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> PartialMoments {
        let Self { x, channels } = self;
        let rows = x.len() / channels;
        let [mut apart, mut squares] = [(); 2].map(|()| vec![0.0; channels]);
        // Any row is near enough to the mean to take deviations from: what that is off, their mean tells.
        let mut mean: Vec<f32> = x[..channels].iter().map(|x| x.wide()).collect();
        sum_columns(simd, rows, &Deviations { x, about: &mean }, [&mut apart, &mut squares]);
        let count = rows as f32;
        for ((mean, squares), apart) in mean.iter_mut().zip(&mut squares).zip(&apart) {
            *mean += apart / count;
            *squares -= apart * apart / count;
        }
        PartialMoments { rows, mean, squares }
    }
}

/// A batch normalisation with its statistics: y = scale · x + shift for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// γ / √(variance + ε), `[C]`.
    pub scale: Vec<f32>,
    /// β − mean · scale, `[C]`.
    pub shift: Vec<f32>,
    /// The means, `[C]`.
    pub mean: Vec<f32>,
    /// 1 / √(variance + ε), `[C]`.
    pub inverse_deviation: Vec<f32>,
}

impl Affine {
    /// From statistics and the parameters γ and β.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn new(moments: &Moments, gamma: &[f32], beta: &[f32], epsilon: f32) -> Self {
        let channels = moments.mean.len();
        assert!(gamma.len() == channels && beta.len() == channels, "there is a scale and a shift for each channel");
        let inverse_deviation: Vec<f32> = moments.variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
        let scale: Vec<f32> = inverse_deviation.iter().zip(gamma).map(|(inverse, gamma)| inverse * gamma).collect();
        let shift = moments.mean.iter().zip(&scale).zip(beta).map(|((mean, scale), beta)| beta - mean * scale).collect();
        Self { scale, shift, mean: moments.mean.clone(), inverse_deviation }
    }

    /// y = scale · x + shift, and max(y, 0) with `relu`, over rows of channels.
    ///
    /// # Panics
    /// When the slices differ in length or are not whole rows.
    pub fn apply<N: Number>(&self, x: &[N], relu: bool, y: &mut [N]) {
        scale_shift(x, &self.scale, &self.shift, relu, y);
    }

    /// [`Affine::apply`], then the largest of each 2×2 window of the images `x`, `[N, height, width, C]`: `pooled.output` is
    /// `[N, height/2, width/2, C]`. `pooled.picked` gets the number of `x` that each came from, and `pooled.choice` which of the
    /// window's four it was (row by row), or 4 where `relu` made all of them zero.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn apply_pool<N: Number>(&self, x: &[N], height: usize, width: usize, relu: bool, pooled: Pooled<'_, N>) {
        let channels = self.scale.len();
        let (whole, part) = (height * width * channels, (height / 2) * (width / 2) * channels);
        assert!(x.len().is_multiple_of(whole), "there are whole images");
        let Pooled { output, picked, choice } = pooled;
        let length = x.len() / whole * part;
        assert!(output.len() == length && picked.len() == length && choice.len() == length, "outputs are pooled images");
        if part == 0 {
            return;
        }
        let level = N::best();
        x.par_chunks(whole)
            .zip(output.par_chunks_mut(part).zip(picked.par_chunks_mut(part).zip(choice.par_chunks_mut(part))))
            .for_each(|(x, (output, (picked, choice)))| {
                let to = Pooled { output, picked, choice };
                N::run(level, PoolPairsWith { x, width, scale: &self.scale, shift: &self.shift, relu, to });
            });
    }

    /// The gradients of γ and β, `[C]` each. `x` is what the normalisation was given and `gradient` the gradient of its output;
    /// after pooling, `x` is what was picked.
    ///
    /// # Panics
    /// When the slices differ in length or are not whole rows.
    pub fn parameter_gradients<N: Number>(&self, x: &[N], gradient: &[N], relu: bool) -> [Vec<f32>; 2] {
        let channels = self.scale.len();
        assert!(x.len() == gradient.len() && x.len().is_multiple_of(channels), "input and gradient are the same whole rows");
        let level = N::best();
        let part = (x.len() / channels).div_ceil(CHUNKS).max(1) * channels;
        let parts: Vec<[Vec<f32>; 2]> = x
            .par_chunks(part)
            .zip(gradient.par_chunks(part))
            .map(|(x, gradient)| N::run(level, SumGradients { affine: self, x, gradient, relu }))
            .collect();
        let mut sums = [vec![0.0f32; channels], vec![0.0f32; channels]];
        for part in &parts {
            for (sum, part) in sums.iter_mut().zip(part) {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
        sums[0].iter_mut().zip(&self.inverse_deviation).for_each(|(sum, inverse)| *sum *= inverse);
        sums
    }

    /// The gradient of the input, `[…, C]`, of a normalisation that is not joined to a convolution.
    ///
    /// # Panics
    /// When the slices of `of` and `to` differ in length.
    pub fn input_gradient<N: Number>(of: &NormGradient<'_, N>, to: &mut [N]) {
        let channels = of.channels();
        assert!(of.choice.is_none() && of.input.len() == to.len() && of.gradient.len() == to.len(), "all have one length");
        let level = N::best();
        let rows = of.for_rows(repeat(channels) / channels);
        let piece = PIECE.next_multiple_of(rows.line());
        to.par_chunks_mut(piece)
            .zip(of.input.par_chunks(piece).zip(of.gradient.par_chunks(piece)))
            .for_each(|(to, (input, gradient))| N::run(level, FillRows { rows: &rows, input, gradient, relu: of.relu, to }));
    }
}

/// y = scale · x + shift, and max(y, 0) with `relu`, over rows of channels. `x` and `y` may be of different numbers.
///
/// # Panics
/// When the slices differ in length or are not whole rows.
pub fn scale_shift<A: Number, B: Number>(x: &[A], scale: &[f32], shift: &[f32], relu: bool, y: &mut [B]) {
    let channels = scale.len();
    assert_eq!(channels, shift.len(), "there is a shift for each scale");
    assert!(x.len() == y.len() && x.len().is_multiple_of(channels), "input and output are the same whole rows");
    let level = B::best();
    let line = repeat(channels);
    let (scale, shift) = (repeated(scale, line), repeated(shift, line));
    let piece = PIECE.next_multiple_of(line);
    y.par_chunks_mut(piece).zip(x.par_chunks(piece)).for_each(|(y, x)| {
        B::run(level, Apply { scale: &scale, shift: &shift, x, relu, y });
    });
}

/// What the gradient of a batch normalisation's input is computed from.
#[derive(Clone, Copy, Debug)]
pub struct NormGradient<'a, N> {
    /// The normalisation.
    pub affine: &'a Affine,
    /// What it was given, `[N, H, W, C]`.
    pub input: &'a [N],
    /// Gradient of its output, or of the pooled output.
    pub gradient: &'a [N],
    /// Gradient of γ, `[C]`.
    pub gamma: &'a [f32],
    /// Gradient of β, `[C]`.
    pub beta: &'a [f32],
    /// Whether a ReLU followed.
    pub relu: bool,
    /// What 2×2 max pooling chose, if it followed.
    pub choice: Option<&'a [u8]>,
}

impl<N: Number> NormGradient<'_, N> {
    pub(crate) fn channels(&self) -> usize {
        self.affine.scale.len()
    }

    /// The coefficients, repeated for rows of `width` pixels.
    pub(crate) fn for_rows(&self, width: usize) -> RowGradient {
        let channels = self.channels();
        let count = (self.input.len() / channels) as f32;
        let line = width * channels;
        let Affine { scale, shift, mean, inverse_deviation } = self.affine;
        // dx = scale · (g − mean(g) − x̂ · mean(g · x̂)), where β's gradient is Σ g and γ's is Σ g · x̂.
        let by: Vec<f32> = (0..channels).map(|c| -scale[c] * self.gamma[c] * inverse_deviation[c] / count).collect();
        let plus: Vec<f32> = (0..channels).map(|c| -scale[c] * self.beta[c] / count).collect();
        RowGradient {
            scale: repeated(scale, line),
            shift: repeated(shift, line),
            mean: repeated(mean, line),
            by: repeated(&by, line),
            plus: repeated(&plus, line),
        }
    }
}

/// Coefficients of a normalisation's gradient for a whole row: scale · g + by · (x − mean) + plus.
pub(crate) struct RowGradient {
    scale: Vec<f32>,
    shift: Vec<f32>,
    mean: Vec<f32>,
    by: Vec<f32>,
    plus: Vec<f32>,
}

impl RowGradient {
    fn line(&self) -> usize {
        self.scale.len()
    }

    /// The gradient of a row, from the gradient of the output.
    #[inline(always)]
    pub(crate) fn fill<S: Simd, N: Number>(&self, simd: S, input: &[N], gradient: &[N], relu: bool, to: &mut [N]) {
        // The comparison repeats the arithmetic of `Apply`, so that both agree on what the ReLU passed.
        let (zero, threshold) = (simd.splat(0.0), simd.splat(if relu { 0.0 } else { f32::NEG_INFINITY }));
        each_vector!(S, to.len(), |at, count| {
            let (x, scale) = (read(simd, input, at, count), read(simd, &self.scale, at, count));
            let value = simd.add(simd.multiply(x, scale), read(simd, &self.shift, at, count));
            let passed = simd.select_greater(value, threshold, read(simd, gradient, at, count), zero);
            write(simd, to, at, count, self.value(simd, x, scale, passed, at, count));
        });
    }

    /// The same where `to` holds the gradient that the pooling passed.
    #[inline(always)]
    pub(crate) fn add_means<S: Simd, N: Number>(&self, simd: S, input: &[N], to: &mut [N]) {
        each_vector!(S, to.len(), |at, count| {
            let (x, scale) = (read(simd, input, at, count), read(simd, &self.scale, at, count));
            let value = self.value(simd, x, scale, read(simd, to, at, count), at, count);
            write(simd, to, at, count, value);
        });
    }

    /// scale · passed + by · (x − mean) + plus.
    #[inline(always)]
    fn value<S: Simd>(&self, simd: S, x: S::Vector, scale: S::Vector, passed: S::Vector, at: usize, count: usize) -> S::Vector {
        let apart = simd.subtract(x, read(simd, &self.mean, at, count));
        let means = simd.multiply_add(read(simd, &self.by, at, count), apart, read(simd, &self.plus, at, count));
        simd.multiply_add(scale, passed, means)
    }
}

struct FillRows<'a, N> {
    rows: &'a RowGradient,
    input: &'a [N],
    gradient: &'a [N],
    relu: bool,
    to: &'a mut [N],
}

impl<N: Number> Task for FillRows<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let line = self.rows.line();
        for ((to, input), gradient) in self.to.chunks_mut(line).zip(self.input.chunks(line)).zip(self.gradient.chunks(line)) {
            self.rows.fill(simd, input, gradient, self.relu, to);
        }
    }
}

pub(super) struct Apply<'a, A, B> {
    pub(super) scale: &'a [f32],
    pub(super) shift: &'a [f32],
    pub(super) x: &'a [A],
    pub(super) relu: bool,
    pub(super) y: &'a mut [B],
}

impl<A: Number, B: Number> Task for Apply<'_, A, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let least = simd.splat(if self.relu { 0.0 } else { f32::NEG_INFINITY });
        for (y, x) in self.y.chunks_mut(self.scale.len()).zip(self.x.chunks(self.scale.len())) {
            each_vector!(S, y.len(), |at, count| {
                let scaled = simd.multiply(read(simd, x, at, count), read(simd, self.scale, at, count));
                let value = simd.add(scaled, read(simd, self.shift, at, count));
                // What is not a number stays so.
                write(simd, y, at, count, simd.max(least, value));
            });
        }
    }
}

struct SumGradients<'a, N> {
    affine: &'a Affine,
    x: &'a [N],
    gradient: &'a [N],
    relu: bool,
}

impl<N: Number> Task for SumGradients<'_, N> {
    /// Σ g · (x − mean) and Σ g of each channel.
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [Vec<f32>; 2] {
        let channels = self.affine.scale.len();
        let [mut products, mut plain] = [vec![0.0; channels], vec![0.0; channels]];
        sum_columns(simd, self.x.len() / channels, &self, [&mut products, &mut plain]);
        [products, plain]
    }
}

impl<S: Simd, N: Number> Terms<S, 2> for SumGradients<'_, N> {
    /// Scale, shift and mean.
    type Column = [S::Vector; 3];

    #[inline(always)]
    fn column(&self, simd: S, channel: usize, count: usize) -> [S::Vector; 3] {
        let Affine { scale, shift, mean, .. } = self.affine;
        [read(simd, scale, channel, count), read(simd, shift, channel, count), read(simd, mean, channel, count)]
    }

    #[inline(always)]
    fn add(&self, simd: S, column: [S::Vector; 3], at: usize, count: usize, [products, plain]: &mut [S::Vector; 2]) {
        let [scale, shift, mean] = column;
        let x = read(simd, self.x, at, count);
        let mut passed = read(simd, self.gradient, at, count);
        if self.relu {
            // Product and sum are rounded apart, as where the output was computed, so that both agree on what passed.
            let zero = simd.splat(0.0);
            passed = simd.select_greater(simd.add(simd.multiply(x, scale), shift), zero, passed, zero);
        }
        *products = simd.multiply_add(passed, simd.subtract(x, mean), *products);
        *plain = simd.add(*plain, passed);
    }
}

/// The smallest multiple of `channels` that fills an elementwise loop.
fn repeat(channels: usize) -> usize {
    LINE.div_ceil(channels) * channels
}

/// `values` over and over, `length` in all.
fn repeated(values: &[f32], length: usize) -> Vec<f32> {
    values.iter().copied().cycle().take(length).collect()
}

#[cfg(test)]
mod tests;
