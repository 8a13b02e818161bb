//! Plain references that the kernels are tested against: loops over the definition, summed in `f64`.

use rand::RngExt;

use super::{ConvShape, PoolShape};
use crate::seed::Seed;

/// Numbers in (−1, 1), rounded to 1/64 so that products are exact and ties occur.
pub(crate) fn numbers(name: &str, length: usize) -> Vec<f32> {
    let mut rng = Seed::new(7).child(name).rng();
    (0..length).map(|_| rng.random_range(-63i32..=63) as f32 / 64.0).collect()
}

/// Asserts that two slices differ by no more than rounding.
#[track_caller]
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let apart = (f64::from(found) - expected).abs();
        assert!(apart <= tolerance * expected.abs().max(1.0), "{what}: at {index}, {found} instead of {expected}");
    }
}

/// Calls `each(x, weight, y)` with the indices of every product of a convolution.
fn products(shape: &ConvShape, mut each: impl FnMut(usize, usize, usize)) {
    let ConvShape { batch, height, width, inputs, outputs, kernel, stride, padding } = *shape;
    let (rows, columns) = (shape.output_height(), shape.output_width());
    for image in 0..batch {
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            for (tap_row, tap_column) in (0..kernel).flat_map(|a| (0..kernel).map(move |b| (a, b))) {
                let (y, x) = (row * stride + tap_row, column * stride + tap_column);
                if y < padding || x < padding || y - padding >= height || x - padding >= width {
                    continue;
                }
                let from = ((image * height + y - padding) * width + x - padding) * inputs;
                let to = ((image * rows + row) * columns + column) * outputs;
                for output in 0..outputs {
                    for input in 0..inputs {
                        let weight = ((output * inputs + input) * kernel + tap_row) * kernel + tap_column;
                        each(from + input, weight, to + output);
                    }
                }
            }
        }
    }
}

/// A convolution's output, without bias.
pub(crate) fn convolution(shape: &ConvShape, x: &[f32], weights: &[f32]) -> Vec<f64> {
    let mut y = vec![0.0; shape.output_len()];
    products(shape, |from, weight, to| y[to] += f64::from(x[from]) * f64::from(weights[weight]));
    y
}

/// A convolution's input and weight gradients.
pub(crate) fn convolution_backward(shape: &ConvShape, x: &[f32], weights: &[f32], gradient: &[f64]) -> [Vec<f64>; 2] {
    let (mut input, mut weight_gradient) = (vec![0.0; shape.input_len()], vec![0.0; shape.weights_len()]);
    products(shape, |from, weight, to| {
        input[from] += gradient[to] * f64::from(weights[weight]);
        weight_gradient[weight] += gradient[to] * f64::from(x[from]);
    });
    [input, weight_gradient]
}

/// The sum of each channel over rows of `channels`.
pub(crate) fn channel_sums(x: &[f64], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for row in x.chunks_exact(channels) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// For each window and channel, the indices of its numbers, row by row.
pub(crate) fn windows(shape: &PoolShape) -> Vec<Vec<usize>> {
    let PoolShape { batch, height, width, channels, size, stride } = *shape;
    let mut windows = Vec::new();
    for image in 0..batch {
        for top in (0..(height + 1).saturating_sub(size)).step_by(stride) {
            for left in (0..(width + 1).saturating_sub(size)).step_by(stride) {
                for channel in 0..channels {
                    let at = |row: usize, column: usize| ((image * height + row) * width + column) * channels + channel;
                    windows.push((0..size * size).map(|place| at(top + place / size, left + place % size)).collect());
                }
            }
        }
    }
    windows
}

/// The first index of the largest number.
pub(crate) fn largest(x: &[f64], window: &[usize]) -> usize {
    window.iter().copied().fold(window[0], |best, index| if x[index] > x[best] { index } else { best })
}

/// The same numbers in `f64`.
pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}
