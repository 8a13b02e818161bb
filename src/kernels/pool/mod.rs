//! Pooling of images `[N, H, W, C]`. Windows stay inside the image.

use rayon::prelude::*;

use super::number::{Number, each_vector, read, write};
use super::simd::{Level, Simd, Task};

/// A pooling of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images.
    pub batch: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Rows and columns of a window.
    pub size: usize,
    /// Step between windows.
    pub stride: usize,
}

impl PoolShape {
    /// Rows that come out.
    pub fn rows(&self) -> usize {
        self.windows(self.height)
    }

    /// Columns that come out.
    pub fn columns(&self) -> usize {
        self.windows(self.width)
    }

    fn windows(&self, size: usize) -> usize {
        size.checked_sub(self.size).map_or(0, |rest| rest / self.stride + 1)
    }

    /// Numbers in one image that goes in.
    pub fn input_image(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Numbers in one image that comes out.
    pub fn output_image(&self) -> usize {
        self.rows() * self.columns() * self.channels
    }

    pub(super) fn check(&self, input: usize, output: usize) {
        assert!(self.size > 0 && self.stride > 0 && self.channels > 0, "windows, steps and channels are positive");
        assert_eq!(input, self.batch * self.input_image(), "the input has the length of its shape");
        assert_eq!(output, self.batch * self.output_image(), "the output has the length of its shape");
    }
}

/// The largest number of each window.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn max_pool<N: Number>(shape: PoolShape, x: &[N], y: &mut [N]) {
    shape.check(x.len(), y.len());
    each_image(shape, x, y, |level, x, y| N::run(level, Forward { shape, x, y, fold: Fold::Max }));
}

/// The mean of each window.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn avg_pool<N: Number>(shape: PoolShape, x: &[N], y: &mut [N]) {
    shape.check(x.len(), y.len());
    each_image(shape, x, y, |level, x, y| N::run(level, Forward { shape, x, y, fold: Fold::Mean }));
}

/// The gradient of [`max_pool`]'s input: each window's gradient goes to the first of its largest numbers.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn max_pool_backward<N: Number>(shape: PoolShape, x: &[N], gradient: &[N], to: &mut [N]) {
    shape.check(x.len(), gradient.len());
    assert_eq!(x.len(), to.len(), "input and its gradient have one length");
    let (whole, part) = (shape.input_image(), shape.output_image());
    let level = N::best();
    to.par_chunks_mut(whole).enumerate().for_each(|(image, to)| {
        let (x, gradient) = (&x[image * whole..][..whole], &gradient[image * part..][..part]);
        N::run(level, MaxBackward { shape, x, gradient, to });
    });
}

/// The gradient of [`avg_pool`]'s input.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn avg_pool_backward<N: Number>(shape: PoolShape, gradient: &[N], to: &mut [N]) {
    shape.check(to.len(), gradient.len());
    let (whole, part) = (shape.input_image(), shape.output_image());
    let level = N::best();
    to.par_chunks_mut(whole).enumerate().for_each(|(image, to)| {
        N::run(level, MeanBackward { shape, gradient: &gradient[image * part..][..part], to });
    });
}

fn each_image<N: Number>(shape: PoolShape, x: &[N], y: &mut [N], work: impl Fn(Level, &[N], &mut [N]) + Sync) {
    if y.is_empty() {
        return;
    }
    let level = N::best();
    x.par_chunks(shape.input_image()).zip(y.par_chunks_mut(shape.output_image())).for_each(|(x, y)| work(level, x, y));
}

#[derive(Clone, Copy)]
pub(crate) enum Fold {
    Max,
    Mean,
}

impl Fold {
    /// The larger of two numbers, the first in a tie; or their sum.
    #[inline(always)]
    pub(crate) fn two<S: Simd>(self, simd: S, a: S::Vector, b: S::Vector) -> S::Vector {
        match self {
            Self::Max => simd.select_greater(b, a, b, a),
            Self::Mean => simd.add(a, b),
        }
    }
}

/// One image.
pub(super) struct Forward<'a, N> {
    pub(super) shape: PoolShape,
    pub(super) x: &'a [N],
    pub(super) y: &'a mut [N],
    pub(super) fold: Fold,
}

impl<N: Number> Task for Forward<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let PoolShape { width, channels, size, stride, .. } = self.shape;
        let columns = self.shape.columns();
        let share = simd.splat(1.0 / (size * size) as f32);
        for (window, to) in self.y.chunks_exact_mut(channels).enumerate() {
            let (top, left) = (window / columns * stride, window % columns * stride);
            each_vector!(S, channels, |at, count| {
                let of =
                    |row: usize, column: usize| read(simd, self.x, ((top + row) * width + left + column) * channels + at, count);
                let mut value = of(0, 0);
                for (row, column) in (0..size).flat_map(|row| (0..size).map(move |column| (row, column))).skip(1) {
                    value = self.fold.two(simd, value, of(row, column));
                }
                if let Fold::Mean = self.fold {
                    value = simd.multiply(value, share);
                }
                write(simd, to, at, count, value);
            });
        }
    }
}

/// One image.
struct MaxBackward<'a, N> {
    shape: PoolShape,
    x: &'a [N],
    gradient: &'a [N],
    to: &'a mut [N],
}

impl<N: Number> Task for MaxBackward<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PoolShape { width, channels, size, stride, .. } = self.shape;
        let columns = self.shape.columns();
        self.to.fill(N::default());
        let mut largest = vec![0.0f32; channels];
        let mut place = vec![0u32; channels];
        for (window, gradient) in self.gradient.chunks_exact(channels).enumerate() {
            let (top, left) = (window / columns * stride, window % columns * stride);
            let start = (top * width + left) * channels;
            largest.iter_mut().zip(&self.x[start..]).for_each(|(largest, x)| *largest = x.wide());
            place.fill(0);
            for row in 0..size {
                for column in 0..size {
                    let offset = (row * width + column) * channels;
                    let from = &self.x[start + offset..][..channels];
                    for ((largest, place), from) in largest.iter_mut().zip(&mut place).zip(from) {
                        let larger = from.wide() > *largest;
                        *largest = if larger { from.wide() } else { *largest };
                        *place = if larger { offset as u32 } else { *place };
                    }
                }
            }
            for (channel, (gradient, place)) in gradient.iter().zip(&place).enumerate() {
                let to = &mut self.to[start + *place as usize + channel];
                *to = N::narrow(to.wide() + gradient.wide());
            }
        }
    }
}

/// One image.
struct MeanBackward<'a, N> {
    shape: PoolShape,
    gradient: &'a [N],
    to: &'a mut [N],
}

impl<N: Number> Task for MeanBackward<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PoolShape { width, channels, size, stride, .. } = self.shape;
        let columns = self.shape.columns();
        let share = 1.0 / (size * size) as f32;
        self.to.fill(N::default());
        for (window, gradient) in self.gradient.chunks_exact(channels).enumerate() {
            let (top, left) = (window / columns * stride, window % columns * stride);
            for row in 0..size {
                for column in 0..size {
                    let to = &mut self.to[((top + row) * width + left + column) * channels..][..channels];
                    for (to, gradient) in to.iter_mut().zip(gradient) {
                        *to = N::narrow(to.wide() + gradient.wide() * share);
                    }
                }
            }
        }
    }
}

/// Mean of each channel: `[N, pixels, C]` → `[N, C]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn global_avg_pool<N: Number>(x: &[N], pixels: usize, channels: usize, y: &mut [f32]) {
    check_global(x.len(), pixels, channels, y.len());
    let level = N::best();
    y.par_chunks_mut(channels)
        .zip(x.par_chunks(pixels * channels))
        .for_each(|(y, x)| N::run(level, GlobalForward { x, y, fold: Fold::Mean }));
}

/// Largest number of each channel: `[N, pixels, C]` → `[N, C]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn global_max_pool<N: Number>(x: &[N], pixels: usize, channels: usize, y: &mut [f32]) {
    check_global(x.len(), pixels, channels, y.len());
    let level = N::best();
    y.par_chunks_mut(channels)
        .zip(x.par_chunks(pixels * channels))
        .for_each(|(y, x)| N::run(level, GlobalForward { x, y, fold: Fold::Max }));
}

/// The gradient of [`global_avg_pool`]'s input.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn global_avg_pool_backward<N: Number>(gradient: &[f32], pixels: usize, channels: usize, to: &mut [N]) {
    check_global(to.len(), pixels, channels, gradient.len());
    let share = 1.0 / pixels as f32;
    to.par_chunks_mut(pixels * channels).zip(gradient.par_chunks(channels)).for_each(|(to, gradient)| {
        let shared: Vec<N> = gradient.iter().map(|gradient| N::narrow(gradient * share)).collect();
        for pixel in to.chunks_exact_mut(channels) {
            pixel.copy_from_slice(&shared);
        }
    });
}

/// The gradient of [`global_max_pool`]'s input: each channel's goes to the first of its largest numbers.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn global_max_pool_backward<N: Number>(x: &[N], gradient: &[f32], pixels: usize, channels: usize, to: &mut [N]) {
    check_global(x.len(), pixels, channels, gradient.len());
    assert_eq!(x.len(), to.len(), "input and its gradient have one length");
    let image = pixels * channels;
    to.par_chunks_mut(image).zip(x.par_chunks(image).zip(gradient.par_chunks(channels))).for_each(|(to, (x, gradient))| {
        to.fill(N::default());
        let mut best: Vec<(f32, usize)> = x[..channels].iter().map(|value| (value.wide(), 0)).collect();
        for (pixel, values) in x.chunks_exact(channels).enumerate() {
            for (best, value) in best.iter_mut().zip(values) {
                if value.wide() > best.0 {
                    *best = (value.wide(), pixel);
                }
            }
        }
        for (channel, ((_, pixel), gradient)) in best.into_iter().zip(gradient).enumerate() {
            to[pixel * channels + channel] = N::narrow(*gradient);
        }
    });
}

fn check_global(whole: usize, pixels: usize, channels: usize, part: usize) {
    assert!(pixels > 0 && channels > 0, "there are pixels and channels");
    assert_eq!(whole / pixels, part, "each image gives one number for each channel");
    assert!(whole.is_multiple_of(pixels * channels), "there are whole images");
}

/// One image.
pub(super) struct GlobalForward<'a, N> {
    pub(super) x: &'a [N],
    pub(super) y: &'a mut [f32],
    pub(super) fold: Fold,
}

impl<N: Number> Task for GlobalForward<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, y, fold } = self;
        let channels = y.len();
        let share = simd.splat(1.0 / (x.len() / channels) as f32);
        each_vector!(S, channels, |at, count| {
            let mut value = read(simd, x, at, count);
            for pixel in (channels..x.len()).step_by(channels) {
                value = fold.two(simd, value, read(simd, x, pixel + at, count));
            }
            if let Fold::Mean = fold {
                value = simd.multiply(value, share);
            }
            write(simd, y, at, count, value);
        });
    }
}

/// Where a normalisation with 2×2 max pooling writes; all of one length.
#[derive(Debug)]
pub struct Pooled<'a, N> {
    /// The largest of each window.
    pub output: &'a mut [N],
    /// What the normalisation was given there.
    pub picked: &'a mut [N],
    /// Which of the window's four it was, or 4 for none.
    pub choice: &'a mut [u8],
}

/// The largest of each 2×2 window of one image whose numbers are not negative, and which it was: 4 where all are zero.
pub(crate) fn pool_pairs<N: Number>(level: Level, x: &[f32], width: usize, channels: usize, y: &mut [N], choice: &mut [u8]) {
    N::run(level, PoolPairs { x, width, channels, y, choice });
}

struct PoolPairs<'a, N> {
    x: &'a [f32],
    width: usize,
    channels: usize,
    y: &'a mut [N],
    choice: &'a mut [u8],
}

impl<N: Number> Task for PoolPairs<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, width, channels, y, choice } = self;
        let line = width / 2 * channels;
        if line == 0 {
            return;
        }
        let zero = simd.splat(0.0);
        let outputs = y.chunks_exact_mut(line).zip(choice.chunks_exact_mut(line));
        for (rows, (y, choice)) in x.chunks_exact(2 * width * channels).zip(outputs) {
            for window in 0..width / 2 {
                let pixels = window_of(rows, width, channels, window);
                let (y, choice) = (&mut y[window * channels..][..channels], &mut choice[window * channels..][..channels]);
                each_vector!(S, channels, |at, count| {
                    let (mut best, mut which) = (read(simd, pixels[0], at, count), zero);
                    for (number, pixel) in pixels.iter().enumerate().skip(1) {
                        let value = read(simd, pixel, at, count);
                        which = simd.select_greater(value, best, simd.splat(number as f32), which);
                        best = simd.select_greater(value, best, value, best);
                    }
                    write(simd, y, at, count, best);
                    write_codes(simd, choice, at, count, simd.select_greater(best, zero, which, simd.splat(4.0)));
                });
            }
        }
    }
}

/// Writes a vector's first `count` whole numbers, 0–255, to `at` and after.
#[inline(always)]
fn write_codes<S: Simd>(simd: S, to: &mut [u8], at: usize, count: usize, codes: S::Vector) {
    let to = &mut to[at..at + count];
    if count == S::LANES {
        // SAFETY: the slice holds a vector of bytes.
        unsafe { simd.store_codes(to.as_mut_ptr(), codes) };
    } else {
        to.iter_mut().zip(simd.lanes_of(codes)).for_each(|(to, code)| *to = code as u8);
    }
}

/// The four pixels of a 2×2 window of two rows.
#[inline(always)]
fn window_of<N>(rows: &[N], width: usize, channels: usize, window: usize) -> [&[N]; 4] {
    let (upper, lower) = rows.split_at(width * channels);
    let (a, b) = upper[2 * window * channels..][..2 * channels].split_at(channels);
    let (c, d) = lower[2 * window * channels..][..2 * channels].split_at(channels);
    [a, b, c, d]
}

/// The largest of each 2×2 window of one image, scaled and shifted; see [`super::Affine::apply_pool`].
pub(crate) struct PoolPairsWith<'a, N> {
    pub x: &'a [N],
    pub width: usize,
    pub scale: &'a [f32],
    pub shift: &'a [f32],
    pub relu: bool,
    pub to: Pooled<'a, N>,
}

impl<N: Number> Task for PoolPairsWith<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, width, scale, shift, relu, to } = self;
        let channels = scale.len();
        assert_eq!(channels, shift.len(), "there is a shift for each scale");
        let line = width / 2 * channels;
        if line == 0 {
            return;
        }
        let least = simd.splat(if relu { 0.0 } else { f32::NEG_INFINITY });
        let outputs =
            to.output.chunks_exact_mut(line).zip(to.picked.chunks_exact_mut(line).zip(to.choice.chunks_exact_mut(line)));
        for (rows, (output, (picked, choice))) in x.chunks_exact(2 * width * channels).zip(outputs) {
            for window in 0..width / 2 {
                let pixels = window_of(rows, width, channels, window);
                let start = window * channels;
                let output = &mut output[start..][..channels];
                let picked = &mut picked[start..][..channels];
                let choice = &mut choice[start..][..channels];
                each_vector!(S, channels, |at, count| {
                    let (scale, shift) = (read(simd, scale, at, count), read(simd, shift, at, count));
                    // Product and sum are rounded apart, as in the gradient, so that both agree on what the ReLU passed.
                    let value_of = |x| simd.add(simd.multiply(x, scale), shift);
                    let mut from = read(simd, pixels[0], at, count);
                    let (mut best, mut which) = (value_of(from), simd.splat(0.0));
                    for (number, pixel) in pixels.iter().enumerate().skip(1) {
                        let x = read(simd, pixel, at, count);
                        let value = value_of(x);
                        which = simd.select_greater(value, best, simd.splat(number as f32), which);
                        from = simd.select_greater(value, best, x, from);
                        best = simd.select_greater(value, best, value, best);
                    }
                    write(simd, output, at, count, simd.max(least, best));
                    write(simd, picked, at, count, from);
                    write_codes(simd, choice, at, count, simd.select_greater(best, least, which, simd.splat(4.0)));
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
