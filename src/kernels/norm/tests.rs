//! Statistics; application and gradients are tested with the convolution that they are joined to.

use super::*;
use crate::kernels::reference::{assert_close, channel_sums, numbers, wide};

fn check(rows: usize, channels: usize, offset: f32) {
    let x: Vec<f32> = numbers("x", rows * channels).iter().map(|x| x + offset).collect();
    let mean: Vec<f64> = channel_sums(&wide(&x), channels).iter().map(|sum| sum / rows as f64).collect();
    let squares: Vec<f64> = x.iter().enumerate().map(|(index, x)| (f64::from(*x) - mean[index % channels]).powi(2)).collect();
    let variance: Vec<f64> = channel_sums(&squares, channels).iter().map(|sum| sum / rows as f64).collect();
    let found = Moments::of(&x, channels);
    assert_close("mean", &found.mean, &mean, 1e-6);
    assert_close("variance", &found.variance, &variance, 1e-6);
}

#[test]
fn moments_are_those_of_the_definition() {
    check(1, 3, 0.0);
    check(700, 1, 0.0);
    check(2000, 48, 0.0);
    check(1100, 19, 0.0);
}

#[test]
fn a_large_mean_does_not_swamp_the_variance() {
    check(1500, 16, 1000.0);
}
