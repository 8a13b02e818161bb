//! What inference does between convolutions, on the thread that calls: the same computations as those of training, without their
//! parallel loops.

use super::activation::{Gelu, MapTask, Relu};
use super::norm::Apply;
use super::number::{Number, each_vector, read, write};
use super::pool::{Fold, Forward, GlobalForward, PoolShape};
use super::simd::{Simd, Task};

/// Pixels 0–255 of one image, `[C, H, W]`, as normalised numbers `[H, W, C]`: scale · pixel + shift of each channel.
///
/// # Panics
/// When lengths differ.
pub fn normalise_pixels<N: Number>(pixels: &[u8], scale: &[f32], shift: &[f32], y: &mut [N]) {
    assert!(pixels.len() == y.len() && scale.len() == shift.len(), "there is a number for each pixel");
    assert!(!scale.is_empty() && y.len().is_multiple_of(scale.len()), "there are whole pixels");
    N::run(N::best(), NormalisePixels { pixels, scale, shift, y });
}

struct NormalisePixels<'a, N> {
    pixels: &'a [u8],
    scale: &'a [f32],
    shift: &'a [f32],
    y: &'a mut [N],
}

impl<N: Number> Task for NormalisePixels<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { pixels, scale, shift, y } = self;
        let channels = scale.len();
        let plane = pixels.len() / channels;
        for (channel, pixels) in pixels.chunks_exact(plane.max(1)).enumerate() {
            let (scale, shift) = (scale[channel], shift[channel]);
            for (y, pixel) in y[channel..].iter_mut().step_by(channels).zip(pixels) {
                *y = N::narrow(f32::from(*pixel) * scale + shift);
            }
        }
    }
}

/// scale · x + shift of each channel of rows.
///
/// # Panics
/// When lengths differ or `x` is not of whole rows.
pub fn scale_shift<N: Number>(x: &[N], scale: &[f32], shift: &[f32], y: &mut [N]) {
    assert!(x.len() == y.len() && scale.len() == shift.len(), "input and output have one length");
    assert!(!scale.is_empty() && x.len().is_multiple_of(scale.len()), "there are whole rows");
    N::run(N::best(), Apply { scale, shift, x, relu: false, y });
}

/// max(x, 0).
///
/// # Panics
/// When lengths differ.
pub fn relu<N: Number>(x: &[N], y: &mut [N]) {
    assert_eq!(x.len(), y.len(), "input and output have one length");
    N::run(N::best(), MapTask { x, y, function: Relu });
}

/// x·Φ(x): see [`super::gelu`].
///
/// # Panics
/// When lengths differ.
pub fn gelu<N: Number>(x: &[N], y: &mut [N]) {
    assert_eq!(x.len(), y.len(), "input and output have one length");
    N::run(N::best(), MapTask { x, y, function: Gelu });
}

/// a + b, and max(a + b, 0) with `relu`.
///
/// # Panics
/// When lengths differ.
pub fn add<N: Number>(a: &[N], b: &[N], relu: bool, y: &mut [N]) {
    assert!(a.len() == y.len() && b.len() == y.len(), "terms and sum have one length");
    N::run(N::best(), Add { a, b, relu, y });
}

struct Add<'a, N> {
    a: &'a [N],
    b: &'a [N],
    relu: bool,
    y: &'a mut [N],
}

impl<N: Number> Task for Add<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let least = simd.splat(if self.relu { 0.0 } else { f32::NEG_INFINITY });
        each_vector!(S, self.y.len(), |at, count| {
            let sum = simd.add(read(simd, self.a, at, count), read(simd, self.b, at, count));
            // What is not a number stays so.
            write(simd, self.y, at, count, simd.max(least, sum));
        });
    }
}

/// The largest number of each window, or their mean, of `shape.batch` images.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn pool<N: Number>(shape: PoolShape, max: bool, x: &[N], y: &mut [N]) {
    shape.check(x.len(), y.len());
    let fold = if max { Fold::Max } else { Fold::Mean };
    if y.is_empty() {
        return;
    }
    for (x, y) in x.chunks_exact(shape.input_image()).zip(y.chunks_exact_mut(shape.output_image())) {
        N::run(N::best(), Forward { shape, x, y, fold });
    }
}

/// The largest number of each channel of whole images `[pixels, C]`, or its mean, as `f32`: `y` is `[N, C]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn global_pool<N: Number>(x: &[N], pixels: usize, channels: usize, max: bool, y: &mut [f32]) {
    assert!(pixels > 0 && channels > 0 && x.len().is_multiple_of(pixels * channels), "there are whole images");
    assert_eq!(x.len() / pixels, y.len(), "each image gives one number for each channel");
    let fold = if max { Fold::Max } else { Fold::Mean };
    for (x, y) in x.chunks_exact(pixels * channels).zip(y.chunks_exact_mut(channels)) {
        N::run(N::best(), GlobalForward { x, y, fold });
    }
}

/// The same numbers as `f32`.
///
/// # Panics
/// When lengths differ.
pub fn widen<N: Number>(x: &[N], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "input and output have one length");
    N::run(N::best(), Widen { x, y });
}

struct Widen<'a, N> {
    x: &'a [N],
    y: &'a mut [f32],
}

impl<N: Number> Task for Widen<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        each_vector!(S, self.y.len(), |at, count| {
            let value = read(simd, self.x, at, count);
            write(simd, self.y, at, count, value);
        });
    }
}
