//! Activation functions, value by value.

use rayon::prelude::*;

use super::number::Number;
use super::simd::{Simd, Task};

/// Numbers that one task works on.
const CHUNK: usize = 1 << 15;

/// y = max(x, 0); what is not a number stays so.
///
/// # Panics
/// When the slices differ in length.
pub fn relu<N: Number>(x: &[N], y: &mut [N]) {
    map(x, y, Relu);
}

/// The gradient of [`relu`]'s input, from its output and the gradient of that.
///
/// # Panics
/// When the slices differ in length.
pub fn relu_backward<N: Number>(output: &[N], gradient: &[N], to: &mut [N]) {
    zip(output, gradient, to, ReluBackward);
}

/// y = x·Φ(x) with the distribution function Φ of the normal distribution (Hendrycks and Gimpel, 2016), to within 3 · 10⁻⁷ of
/// the exact value for |x| ≤ 4, and of its magnitude beyond.
///
/// # Panics
/// When the slices differ in length.
pub fn gelu<N: Number>(x: &[N], y: &mut [N]) {
    map(x, y, Gelu);
}

/// The gradient of [`gelu`]'s input, from that input and the gradient of the output.
///
/// # Panics
/// When the slices differ in length.
pub fn gelu_backward<N: Number>(input: &[N], gradient: &[N], to: &mut [N]) {
    zip(input, gradient, to, GeluBackward);
}

pub(super) trait Map: Copy + Send + Sync {
    fn value(self, x: f32) -> f32;
}

trait Zip: Copy + Send + Sync {
    fn value(self, a: f32, b: f32) -> f32;
}

#[derive(Clone, Copy)]
pub(super) struct Relu;

impl Map for Relu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        if x < 0.0 { 0.0 } else { x }
    }
}

#[derive(Clone, Copy)]
struct ReluBackward;

impl Zip for ReluBackward {
    #[inline(always)]
    fn value(self, output: f32, gradient: f32) -> f32 {
        if output > 0.0 { gradient } else { 0.0 }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Gelu;

impl Map for Gelu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * normal_distribution(x)
    }
}

#[derive(Clone, Copy)]
struct GeluBackward;

impl Zip for GeluBackward {
    #[inline(always)]
    fn value(self, input: f32, gradient: f32) -> f32 {
        gradient * gelu_slope(input)
    }
}

/// The derivative of x·Φ(x): Φ(x) + x·φ(x).
#[inline(always)]
pub(crate) fn gelu_slope(x: f32) -> f32 {
    const ROOT: f32 = 0.398_942_3; // 1 / √(2π)
    normal_distribution(x) + x * ROOT * exp(-0.5 * x * x)
}

/// Φ(x) = (1 + erf(x / √2)) / 2.
#[inline(always)]
fn normal_distribution(x: f32) -> f32 {
    0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2)
}

/// The error function as a rational minimax approximation over [−4, 4], beyond which it is ±1 in `f32` (the coefficients of
/// Eigen's `erf_float`).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = if x > 4.0 { 4.0 } else { x };
    let x = if x < -4.0 { -4.0 } else { x };
    let square = x * x;
    let top = -2.726_142_3e-10;
    let top = top * square + 2.770_681_4e-8;
    let top = top * square - 2.101_024e-6;
    let top = top * square - 5.692_506_4e-5;
    let top = top * square - 7.349_906_3e-4;
    let top = top * square - 2.954_6e-3;
    let top = top * square - 1.609_603_3e-2;
    let bottom = -1.456_607_2e-5;
    let bottom = bottom * square - 2.133_740_6e-4;
    let bottom = bottom * square - 1.682_827e-3;
    let bottom = bottom * square - 7.373_329e-3;
    let bottom = bottom * square - 1.426_473_9e-2;
    x * top / bottom
}

/// eˣ for x ≤ 0 (Cody and Waite's reduction, then the polynomial of Cephes' `expf`); 0 below −87.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to a whole number, which its low bits then hold.
    let inside = if x > -87.0 { x } else { -87.0 };
    let shifted = inside * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = inside - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let sum = 1.987_569_1e-4;
    let sum = sum * rest + 1.398_2e-3;
    let sum = sum * rest + 8.333_452e-3;
    let sum = sum * rest + 4.166_579_6e-2;
    let sum = sum * rest + 1.666_666_5e-1;
    let sum = sum * rest + 5e-1;
    let sum = sum * rest * rest + rest + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x > -87.0 { sum * power } else { 0.0 }
}

fn map<N: Number>(x: &[N], y: &mut [N], function: impl Map) {
    assert_eq!(x.len(), y.len(), "input and output have one length");
    let level = N::best();
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| N::run(level, MapTask { x, y, function }));
}

fn zip<N: Number>(a: &[N], b: &[N], y: &mut [N], function: impl Zip) {
    assert!(a.len() == y.len() && b.len() == y.len(), "inputs and output have one length");
    let level = N::best();
    y.par_chunks_mut(CHUNK)
        .zip(a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)))
        .for_each(|(y, (a, b))| N::run(level, ZipTask { a, b, y, function }));
}

pub(super) struct MapTask<'a, N, F> {
    pub(super) x: &'a [N],
    pub(super) y: &'a mut [N],
    pub(super) function: F,
}

impl<N: Number, F: Map> Task for MapTask<'_, N, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y = N::narrow(self.function.value(x.wide()));
        }
    }
}

struct ZipTask<'a, N, F> {
    a: &'a [N],
    b: &'a [N],
    y: &'a mut [N],
    function: F,
}

impl<N: Number, F: Zip> Task for ZipTask<'_, N, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for ((y, a), b) in self.y.iter_mut().zip(self.a).zip(self.b) {
            *y = N::narrow(self.function.value(a.wide(), b.wide()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Vec<f32> {
        (-12_000..=12_000).map(|step| step as f32 / 1000.0).collect()
    }

    #[test]
    fn gelu_and_its_slope_are_those_of_the_definition() {
        let x = grid();
        let (mut y, mut slope) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        gelu(&x, &mut y);
        gelu_backward(&x, &vec![1.0; x.len()], &mut slope);
        for ((&x, y), slope) in x.iter().zip(y).zip(slope) {
            let exact = f64::from(x);
            let phi = 0.5 * libm::erfc(-exact / std::f64::consts::SQRT_2);
            let density = (-0.5 * exact * exact).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let tolerance = 3e-7 * exact.abs().max(1.0);
            assert!((f64::from(y) - exact * phi).abs() < tolerance, "gelu({x}) = {y}, not {}", exact * phi);
            assert!((f64::from(slope) - phi - exact * density).abs() < tolerance, "slope at {x}: {slope}");
        }
    }

    #[test]
    fn relu_keeps_what_is_positive_and_so_does_its_gradient() {
        let x = [-1.0, 0.0, 2.0];
        let mut y = [9.0; 3];
        relu(&x, &mut y);
        assert_eq!(y, [0.0, 0.0, 2.0]);
        let mut hidden = [9.0];
        relu(&[f32::NAN], &mut hidden);
        assert!(hidden[0].is_nan(), "a diverged network must not look sound");
        let mut gradient = [9.0; 3];
        relu_backward(&y, &[5.0, 6.0, 7.0], &mut gradient);
        assert_eq!(gradient, [0.0, 0.0, 7.0]);
    }
}
