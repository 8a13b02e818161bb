//! How bytes stand for numbers.

use crate::kernels::Number;
use crate::kernels::simd::{Simd, Task};

/// Bytes as numbers: number = scale · (byte − zero).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantisation {
    /// The step from one byte to the next.
    pub scale: f32,
    /// What stands for 0; between two bytes only if no number is ever quantised by it.
    pub zero: f32,
}

impl Quantisation {
    /// Bytes for numbers from `low` to `high`, widened to hold 0; 0 is a byte, because images are framed with it. `None` where there is
    /// no such range, or its steps would be too fine for `f32`.
    pub fn of_range(low: f32, high: f32) -> Option<Self> {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = (high - low) / 255.0;
        let zero = (-low / scale).round_ties_even();
        (scale.is_normal() && (1.0 / scale).is_normal() && (0.0..=255.0).contains(&zero)).then_some(Self { scale, zero })
    }

    /// The byte that is nearest to 0, if one is within half a step.
    pub(super) fn padding(self) -> Option<u8> {
        (-0.5..=255.5).contains(&self.zero).then(|| self.zero.round_ties_even() as u8)
    }
}

/// The nearest bytes; those at the ends for what lies beyond.
///
/// # Panics
/// When lengths differ.
pub fn quantise<N: Number>(x: &[N], by: Quantisation, y: &mut [u8]) {
    assert_eq!(x.len(), y.len(), "there is a byte for each number");
    N::run(N::best(), Quantise { x, by, y });
}

struct Quantise<'a, N> {
    x: &'a [N],
    by: Quantisation,
    y: &'a mut [u8],
}

impl<N: Number> Task for Quantise<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { x, by: Quantisation { scale, zero }, y } = self;
        let steps = 1.0 / scale;
        for (y, x) in y.iter_mut().zip(x) {
            // What is not a number becomes 0.
            *y = (x.wide() * steps + zero).round_ties_even().clamp(0.0, 255.0) as u8;
        }
    }
}

/// Pixels of one image, `[C, H, W]`, as `[H, W, C]`.
///
/// # Panics
/// When lengths differ or the pixels do not make `channels` planes.
pub fn interleave(pixels: &[u8], channels: usize, y: &mut [u8]) {
    assert!(channels > 0 && pixels.len().is_multiple_of(channels) && pixels.len() == y.len(), "there are whole planes");
    for (channel, plane) in pixels.chunks_exact((pixels.len() / channels).max(1)).enumerate() {
        y[channel..].iter_mut().step_by(channels).zip(plane).for_each(|(y, pixel)| *y = *pixel);
    }
}
