//! Pooling of images `[N, H, W, C]`. Windows stay inside the image.

use rayon::prelude::*;

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

    fn check(&self, input: usize, output: usize) {
        assert!(self.size > 0 && self.stride > 0 && self.channels > 0, "windows, steps and channels are positive");
        assert_eq!(input, self.batch * self.input_image(), "the input has the length of its shape");
        assert_eq!(output, self.batch * self.output_image(), "the output has the length of its shape");
    }
}

/// The largest number of each window.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn max_pool(shape: PoolShape, x: &[f32], y: &mut [f32]) {
    shape.check(x.len(), y.len());
    each_image(shape, x, y, |level, x, y| level.run(Forward { shape, x, y, fold: Fold::Max }));
}

/// The mean of each window.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn avg_pool(shape: PoolShape, x: &[f32], y: &mut [f32]) {
    shape.check(x.len(), y.len());
    each_image(shape, x, y, |level, x, y| level.run(Forward { shape, x, y, fold: Fold::Mean }));
}

/// The gradient of [`max_pool`]'s input: each window's gradient goes to the first of its largest numbers.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn max_pool_backward(shape: PoolShape, x: &[f32], gradient: &[f32], to: &mut [f32]) {
    shape.check(x.len(), gradient.len());
    assert_eq!(x.len(), to.len(), "input and its gradient have one length");
    let (whole, part) = (shape.input_image(), shape.output_image());
    let level = Level::best();
    to.par_chunks_mut(whole).enumerate().for_each(|(image, to)| {
        let (x, gradient) = (&x[image * whole..][..whole], &gradient[image * part..][..part]);
        level.run(MaxBackward { shape, x, gradient, to });
    });
}

/// The gradient of [`avg_pool`]'s input.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn avg_pool_backward(shape: PoolShape, gradient: &[f32], to: &mut [f32]) {
    shape.check(to.len(), gradient.len());
    let (whole, part) = (shape.input_image(), shape.output_image());
    let level = Level::best();
    to.par_chunks_mut(whole).enumerate().for_each(|(image, to)| {
        level.run(MeanBackward { shape, gradient: &gradient[image * part..][..part], to });
    });
}

fn each_image(shape: PoolShape, x: &[f32], y: &mut [f32], work: impl Fn(Level, &[f32], &mut [f32]) + Sync) {
    if y.is_empty() {
        return;
    }
    let level = Level::best();
    x.par_chunks(shape.input_image()).zip(y.par_chunks_mut(shape.output_image())).for_each(|(x, y)| work(level, x, y));
}

#[derive(Clone, Copy)]
enum Fold {
    Max,
    Mean,
}

/// One image.
struct Forward<'a> {
    shape: PoolShape,
    x: &'a [f32],
    y: &'a mut [f32],
    fold: Fold,
}

impl Task for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PoolShape { width, channels, size, stride, .. } = self.shape;
        let columns = self.shape.columns();
        for (window, to) in self.y.chunks_exact_mut(channels).enumerate() {
            let (top, left) = (window / columns * stride, window % columns * stride);
            for row in 0..size {
                for column in 0..size {
                    let from = &self.x[((top + row) * width + left + column) * channels..][..channels];
                    if row + column == 0 {
                        to.copy_from_slice(from);
                        continue;
                    }
                    match self.fold {
                        Fold::Max => {
                            for (to, from) in to.iter_mut().zip(from) {
                                *to = if *from > *to { *from } else { *to };
                            }
                        }
                        Fold::Mean => {
                            for (to, from) in to.iter_mut().zip(from) {
                                *to += from;
                            }
                        }
                    }
                }
            }
            if let Fold::Mean = self.fold {
                let share = 1.0 / (size * size) as f32;
                for to in to {
                    *to *= share;
                }
            }
        }
    }
}

/// One image.
struct MaxBackward<'a> {
    shape: PoolShape,
    x: &'a [f32],
    gradient: &'a [f32],
    to: &'a mut [f32],
}

impl Task for MaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PoolShape { width, channels, size, stride, .. } = self.shape;
        let columns = self.shape.columns();
        self.to.fill(0.0);
        let mut largest = vec![0.0f32; channels];
        let mut place = vec![0u32; channels];
        for (window, gradient) in self.gradient.chunks_exact(channels).enumerate() {
            let (top, left) = (window / columns * stride, window % columns * stride);
            let start = (top * width + left) * channels;
            largest.copy_from_slice(&self.x[start..][..channels]);
            place.fill(0);
            for row in 0..size {
                for column in 0..size {
                    let offset = (row * width + column) * channels;
                    let from = &self.x[start + offset..][..channels];
                    for ((largest, place), from) in largest.iter_mut().zip(&mut place).zip(from) {
                        let larger = *from > *largest;
                        *largest = if larger { *from } else { *largest };
                        *place = if larger { offset as u32 } else { *place };
                    }
                }
            }
            for (channel, (gradient, place)) in gradient.iter().zip(&place).enumerate() {
                self.to[start + *place as usize + channel] += gradient;
            }
        }
    }
}

/// One image.
struct MeanBackward<'a> {
    shape: PoolShape,
    gradient: &'a [f32],
    to: &'a mut [f32],
}

impl Task for MeanBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PoolShape { width, channels, size, stride, .. } = self.shape;
        let columns = self.shape.columns();
        let share = 1.0 / (size * size) as f32;
        self.to.fill(0.0);
        for (window, gradient) in self.gradient.chunks_exact(channels).enumerate() {
            let (top, left) = (window / columns * stride, window % columns * stride);
            for row in 0..size {
                for column in 0..size {
                    let to = &mut self.to[((top + row) * width + left + column) * channels..][..channels];
                    for (to, gradient) in to.iter_mut().zip(gradient) {
                        *to += gradient * share;
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
pub fn global_avg_pool(x: &[f32], pixels: usize, channels: usize, y: &mut [f32]) {
    check_global(x.len(), pixels, channels, y.len());
    let level = Level::best();
    y.par_chunks_mut(channels)
        .zip(x.par_chunks(pixels * channels))
        .for_each(|(y, x)| level.run(GlobalForward { x, y, fold: Fold::Mean }));
}

/// Largest number of each channel: `[N, pixels, C]` → `[N, C]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn global_max_pool(x: &[f32], pixels: usize, channels: usize, y: &mut [f32]) {
    check_global(x.len(), pixels, channels, y.len());
    let level = Level::best();
    y.par_chunks_mut(channels)
        .zip(x.par_chunks(pixels * channels))
        .for_each(|(y, x)| level.run(GlobalForward { x, y, fold: Fold::Max }));
}

/// The gradient of [`global_avg_pool`]'s input.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn global_avg_pool_backward(gradient: &[f32], pixels: usize, channels: usize, to: &mut [f32]) {
    check_global(to.len(), pixels, channels, gradient.len());
    let share = 1.0 / pixels as f32;
    to.par_chunks_mut(pixels * channels).zip(gradient.par_chunks(channels)).for_each(|(to, gradient)| {
        let shared: Vec<f32> = gradient.iter().map(|gradient| gradient * share).collect();
        for pixel in to.chunks_exact_mut(channels) {
            pixel.copy_from_slice(&shared);
        }
    });
}

/// The gradient of [`global_max_pool`]'s input: each channel's goes to the first of its largest numbers.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn global_max_pool_backward(x: &[f32], gradient: &[f32], pixels: usize, channels: usize, to: &mut [f32]) {
    check_global(x.len(), pixels, channels, gradient.len());
    assert_eq!(x.len(), to.len(), "input and its gradient have one length");
    let image = pixels * channels;
    to.par_chunks_mut(image).zip(x.par_chunks(image).zip(gradient.par_chunks(channels))).for_each(|(to, (x, gradient))| {
        to.fill(0.0);
        let mut best: Vec<(f32, usize)> = x[..channels].iter().map(|value| (*value, 0)).collect();
        for (pixel, values) in x.chunks_exact(channels).enumerate() {
            for (best, value) in best.iter_mut().zip(values) {
                if *value > best.0 {
                    *best = (*value, pixel);
                }
            }
        }
        for (channel, ((_, pixel), gradient)) in best.into_iter().zip(gradient).enumerate() {
            to[pixel * channels + channel] = *gradient;
        }
    });
}

fn check_global(whole: usize, pixels: usize, channels: usize, part: usize) {
    assert!(pixels > 0 && channels > 0, "there are pixels and channels");
    assert_eq!(whole / pixels, part, "each image gives one number for each channel");
    assert!(whole.is_multiple_of(pixels * channels), "there are whole images");
}

/// One image.
struct GlobalForward<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    fold: Fold,
}

impl Task for GlobalForward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let channels = self.y.len();
        let mut pixels = self.x.chunks_exact(channels);
        self.y.copy_from_slice(pixels.next().expect("an image has a pixel"));
        for pixel in pixels {
            match self.fold {
                Fold::Max => {
                    for (y, x) in self.y.iter_mut().zip(pixel) {
                        *y = if *x > *y { *x } else { *y };
                    }
                }
                Fold::Mean => {
                    for (y, x) in self.y.iter_mut().zip(pixel) {
                        *y += x;
                    }
                }
            }
        }
        if let Fold::Mean = self.fold {
            let share = 1.0 / (self.x.len() / channels) as f32;
            for y in self.y {
                *y *= share;
            }
        }
    }
}

/// Where a normalisation with 2×2 max pooling writes; all of one length.
#[derive(Debug)]
pub struct Pooled<'a> {
    /// The largest of each window.
    pub output: &'a mut [f32],
    /// What the normalisation was given there.
    pub picked: &'a mut [f32],
    /// Which of the window's four it was, or 4 for none.
    pub choice: &'a mut [u8],
}

/// The largest of each 2×2 window of one image whose numbers are not negative, and which it was: 4 where all are zero.
pub(crate) fn pool_pairs(level: Level, x: &[f32], width: usize, channels: usize, y: &mut [f32], choice: &mut [u8]) {
    level.run(PoolPairs { x, width, channels, y, choice });
}

struct PoolPairs<'a> {
    x: &'a [f32],
    width: usize,
    channels: usize,
    y: &'a mut [f32],
    choice: &'a mut [u8],
}

impl Task for PoolPairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, width, channels, y, choice } = self;
        let line = width / 2 * channels;
        if line == 0 {
            return;
        }
        let whole = channels / S::LANES * S::LANES;
        let zero = simd.splat(0.0);
        let outputs = y.chunks_exact_mut(line).zip(choice.chunks_exact_mut(line));
        for (rows, (y, choice)) in x.chunks_exact(2 * width * channels).zip(outputs) {
            for window in 0..width / 2 {
                let pixels = window_of(rows, width, channels, window);
                let (y, choice) = (&mut y[window * channels..][..channels], &mut choice[window * channels..][..channels]);
                for channel in (0..whole).step_by(S::LANES) {
                    // SAFETY: all slices hold `channels` numbers, and a vector of them starts at `channel`.
                    unsafe {
                        let (mut best, mut which) = (simd.load(pixels[0].as_ptr().add(channel)), zero);
                        for (number, pixel) in pixels.iter().enumerate().skip(1) {
                            let value = simd.load(pixel.as_ptr().add(channel));
                            which = simd.select_greater(value, best, simd.splat(number as f32), which);
                            best = simd.select_greater(value, best, value, best);
                        }
                        simd.store(y.as_mut_ptr().add(channel), best);
                        let which = simd.select_greater(best, zero, which, simd.splat(4.0));
                        simd.store_codes(choice.as_mut_ptr().add(channel), which);
                    }
                }
                for channel in whole..channels {
                    let (mut best, mut which) = (pixels[0][channel], 0);
                    for (number, pixel) in (0u8..).zip(&pixels).skip(1) {
                        (best, which) = if pixel[channel] > best { (pixel[channel], number) } else { (best, which) };
                    }
                    y[channel] = best;
                    choice[channel] = if best > 0.0 { which } else { 4 };
                }
            }
        }
    }
}

/// The four pixels of a 2×2 window of two rows.
#[inline(always)]
fn window_of(rows: &[f32], width: usize, channels: usize, window: usize) -> [&[f32]; 4] {
    let (upper, lower) = rows.split_at(width * channels);
    let (a, b) = upper[2 * window * channels..][..2 * channels].split_at(channels);
    let (c, d) = lower[2 * window * channels..][..2 * channels].split_at(channels);
    [a, b, c, d]
}

/// The largest of each 2×2 window of one image, scaled and shifted; see [`super::Affine::apply_pool`].
pub(crate) fn pool_pairs_with(level: Level, x: &[f32], width: usize, scale: &[f32], shift: &[f32], relu: bool, to: Pooled<'_>) {
    level.run(PoolPairsWith { x, width, scale, shift, relu, to });
}

struct PoolPairsWith<'a> {
    x: &'a [f32],
    width: usize,
    scale: &'a [f32],
    shift: &'a [f32],
    relu: bool,
    to: Pooled<'a>,
}

impl Task for PoolPairsWith<'_> {
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
        let least = if relu { 0.0 } else { f32::NEG_INFINITY };
        let whole = channels / S::LANES * S::LANES;
        let outputs =
            to.output.chunks_exact_mut(line).zip(to.picked.chunks_exact_mut(line).zip(to.choice.chunks_exact_mut(line)));
        for (rows, (output, (picked, choice))) in x.chunks_exact(2 * width * channels).zip(outputs) {
            for window in 0..width / 2 {
                let pixels = window_of(rows, width, channels, window);
                let start = window * channels;
                let output = &mut output[start..][..channels];
                let picked = &mut picked[start..][..channels];
                let choice = &mut choice[start..][..channels];
                for channel in (0..whole).step_by(S::LANES) {
                    // SAFETY: all slices hold `channels` numbers, and a vector of them starts at `channel`.
                    unsafe {
                        let scale = simd.load(scale.as_ptr().add(channel));
                        let shift = simd.load(shift.as_ptr().add(channel));
                        // Product and sum are rounded apart, as in the gradient, so that both agree on what the ReLU passed.
                        let value_of = |x| simd.add(simd.multiply(x, scale), shift);
                        let mut from = simd.load(pixels[0].as_ptr().add(channel));
                        let (mut best, mut which) = (value_of(from), simd.splat(0.0));
                        for (number, pixel) in pixels.iter().enumerate().skip(1) {
                            let x = simd.load(pixel.as_ptr().add(channel));
                            let value = value_of(x);
                            which = simd.select_greater(value, best, simd.splat(number as f32), which);
                            from = simd.select_greater(value, best, x, from);
                            best = simd.select_greater(value, best, value, best);
                        }
                        let least = simd.splat(least);
                        simd.store(output.as_mut_ptr().add(channel), simd.max(least, best));
                        simd.store(picked.as_mut_ptr().add(channel), from);
                        let which = simd.select_greater(best, least, which, simd.splat(4.0));
                        simd.store_codes(choice.as_mut_ptr().add(channel), which);
                    }
                }
                for channel in whole..channels {
                    let value_of = |x: f32| x * scale[channel] + shift[channel];
                    let mut from = pixels[0][channel];
                    let (mut best, mut which) = (value_of(from), 0);
                    for (number, pixel) in (0u8..).zip(&pixels).skip(1) {
                        let x = pixel[channel];
                        if value_of(x) > best {
                            (best, from, which) = (value_of(x), x, number);
                        }
                    }
                    output[channel] = if best < least { least } else { best };
                    picked[channel] = from;
                    choice[channel] = if best > least { which } else { 4 };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
