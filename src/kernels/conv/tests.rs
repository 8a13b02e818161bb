//! Every path of the convolution against the plain reference, on every make of vectors, in `f32` and in `bf16`. The references' numbers
//! are exact in both.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::kernels::number::sealed::Number as _;
use crate::kernels::reference::{assert_close, channel_sums, convolution, convolution_backward, largest, numbers, wide, windows};
use crate::kernels::{Affine, NormGradient, Number, PoolShape, Pooled, gelu};

/// What tests know of a number.
trait Tested: Number {
    /// Half a unit in the last place of a number near one, and some.
    const ROUNDING: f64;
    fn levels() -> Vec<Level>;
    /// Every level without tiles, and with tiles where there are any: emulated, and by the machine's instructions.
    fn makes() -> Vec<(Level, Option<Tiles>)>;
}

impl Tested for f32 {
    const ROUNDING: f64 = 0.0;

    fn levels() -> Vec<Level> {
        Level::available()
    }

    fn makes() -> Vec<(Level, Option<Tiles>)> {
        Self::levels().into_iter().map(|level| (level, None)).collect()
    }
}

impl Tested for bf16 {
    const ROUNDING: f64 = 4e-3;

    fn levels() -> Vec<Level> {
        [Some(Level::best().for_half()), Level::half()].into_iter().flatten().collect()
    }

    fn makes() -> Vec<(Level, Option<Tiles>)> {
        let tiles = [None, Some(Tiles::emulated()), Tiles::native()];
        let native = tiles.into_iter().filter(|tiles| tiles.is_none_or(Tiles::is_native));
        let best = native.map(|tiles| (bf16::best(), tiles));
        best.chain([(Level::best().for_half(), None), (Level::best().for_half(), Some(Tiles::emulated()))]).collect()
    }
}

/// What sums of `f32` may be off.
const TOLERANCE: f64 = 1e-5;

fn narrow<N: Tested>(x: &[f32]) -> Vec<N> {
    x.iter().map(|x| N::narrow(*x)).collect()
}

fn floats<N: Tested>(x: &[N]) -> Vec<f32> {
    x.iter().map(|x| x.wide()).collect()
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    let channels = || prop_oneof![Just(1usize), 1..40usize, Just(64), Just(80)];
    let kernel = prop_oneof![Just(1usize), Just(2), Just(3), Just(5)];
    (1..4usize, 1..12usize, 1..12usize, channels(), channels(), kernel, 1..4usize, any::<bool>()).prop_filter_map(
        "fits",
        |(batch, height, width, inputs, outputs, kernel, stride, same)| {
            let padding = if same { (kernel - 1) / 2 } else { 0 };
            ConvShape { batch, height, width, inputs, outputs, kernel, stride, padding }.check().ok()
        },
    )
}

/// What a convolution is computed by.
fn makes_of<N: Tested>(conv: &Convolution<N>) -> String {
    let tiles = conv.tiled.as_ref().map(|tiled| tiled.tiles.name());
    [Some(conv.level.name()), tiles].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

struct Case {
    shape: ConvShape,
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Case {
    fn new(shape: ConvShape) -> Self {
        let weights = numbers("weights", shape.weights_len());
        Self { shape, x: numbers("x", shape.input_len()), weights, bias: numbers("bias", shape.outputs) }
    }

    /// The reference's output with bias.
    fn output(&self) -> Vec<f64> {
        let mut y = convolution(&self.shape, &self.x, &self.weights);
        for row in y.chunks_exact_mut(self.shape.outputs) {
            row.iter_mut().zip(&self.bias).for_each(|(y, bias)| *y += f64::from(*bias));
        }
        y
    }

    /// Runs the backward pass and compares all three gradients with the reference's, given the gradient of the output.
    fn check_backward<N: Tested>(
        &self,
        conv: &Convolution<N>,
        gradient: &OutputGradient<'_, N>,
        expected: &[f64],
        tolerance: f64,
    ) {
        let name = &makes_of(conv);
        let [input, weights] = convolution_backward(&self.shape, &self.x, &self.weights, expected);
        let mut found = (vec![N::narrow(9.0); input.len()], vec![9.0; weights.len()], vec![9.0; self.shape.outputs]);
        let into = Gradients { input: Some(&mut found.0), weights: Some(&mut found.1), bias: Some(&mut found.2) };
        conv.backward(&narrow(&self.x), &self.weights, gradient, into);
        assert_close(&format!("{name}: input gradient"), &floats(&found.0), &input, tolerance.max(N::ROUNDING));
        assert_close(&format!("{name}: weight gradient"), &found.1, &weights, tolerance);
        let bias = channel_sums(expected, self.shape.outputs);
        assert_close(&format!("{name}: bias gradient"), &found.2, &bias, tolerance);
    }

    fn each_level<N: Tested>(&self, check: impl Fn(&Convolution<N>)) {
        for (level, tiles) in N::makes() {
            check(&Convolution::with_makes(self.shape, level, tiles).unwrap());
        }
    }

    fn pool(&self) -> PoolShape {
        let ConvShape { batch, outputs, .. } = self.shape;
        let (height, width) = (self.shape.output_height(), self.shape.output_width());
        PoolShape { batch, height, width, channels: outputs, size: 2, stride: 2 }
    }
}

fn check_plain<N: Tested>(shape: ConvShape) {
    let case = Case::new(shape);
    let x = narrow(&case.x);
    let expected = case.output();
    let clipped: Vec<f64> = expected.iter().map(|y| y.max(0.0)).collect();
    let numbers = numbers("gradient", expected.len());
    let gradient = narrow(&numbers);
    let masked: Vec<f64> = numbers.iter().zip(&clipped).map(|(g, y)| if *y > 0.0 { f64::from(*g) } else { 0.0 }).collect();
    let tolerance = TOLERANCE.max(N::ROUNDING);
    case.each_level::<N>(|conv| {
        let mut y = vec![N::narrow(9.0); expected.len()];
        conv.forward(&x, &case.weights, Some(&case.bias), false, &mut y);
        assert_close(&makes_of(conv), &floats(&y), &expected, tolerance);
        case.check_backward(conv, &OutputGradient::Plain(&gradient), &wide(&numbers), TOLERANCE);

        conv.forward(&x, &case.weights, Some(&case.bias), true, &mut y);
        assert_close(&makes_of(conv), &floats(&y), &clipped, tolerance);
        let mut prepared = vec![N::narrow(9.0); y.len()];
        conv.clone().prepare(&case.weights, Some(&case.bias), true).run(&x, &mut prepared);
        assert!(prepared == y, "{}: a prepared convolution gives the same bits", &makes_of(conv));
        let relu = OutputGradient::Relu { gradient: &gradient, output: &y };
        case.check_backward(conv, &relu, &masked, TOLERANCE);
    });
}

fn check_pool<N: Tested>(shape: ConvShape) {
    let case = Case::new(shape);
    let x = narrow(&case.x);
    let clipped: Vec<f64> = case.output().iter().map(|y| y.max(0.0)).collect();
    let windows = windows(&case.pool());
    let best: Vec<usize> = windows.iter().map(|window| largest(&clipped, window)).collect();
    let expected: Vec<f64> = best.iter().map(|index| clipped[*index]).collect();
    let numbers = numbers("gradient", expected.len());
    let gradient = narrow(&numbers);
    let mut spread = vec![0.0; clipped.len()];
    for (index, gradient) in best.iter().zip(&numbers) {
        spread[*index] += if clipped[*index] > 0.0 { f64::from(*gradient) } else { 0.0 };
    }
    case.each_level::<N>(|conv| {
        let (mut y, mut choice) = (vec![N::narrow(9.0); expected.len()], vec![9; expected.len()]);
        conv.forward_pool(&x, &case.weights, Some(&case.bias), &mut y, &mut choice);
        assert_close(&makes_of(conv), &floats(&y), &expected, TOLERANCE.max(N::ROUNDING));
        let mut prepared = vec![N::narrow(9.0); y.len()];
        conv.clone().prepare(&case.weights, Some(&case.bias), true).run_pool(&x, &mut prepared);
        assert!(prepared == y, "{}: a prepared convolution gives the same bits", &makes_of(conv));
        let pooled = OutputGradient::ReluPool { gradient: &gradient, choice: &choice };
        case.check_backward(conv, &pooled, &spread, TOLERANCE);
    });
}

/// A batch normalisation by its definition: output, and gradients of input, γ and β.
fn reference_norm(x: &[f64], gamma: &[f32], beta: &[f32], epsilon: f64) -> (Vec<f64>, impl Fn(&[f64]) -> [Vec<f64>; 3] + use<>) {
    let channels = gamma.len();
    let rows = (x.len() / channels) as f64;
    let mean: Vec<f64> = channel_sums(x, channels).iter().map(|sum| sum / rows).collect();
    let squares: Vec<f64> = x.iter().enumerate().map(|(i, x)| (x - mean[i % channels]).powi(2)).collect();
    let deviation: Vec<f64> = channel_sums(&squares, channels).iter().map(|sum| (sum / rows + epsilon).sqrt()).collect();
    let normal: Vec<f64> = x.iter().enumerate().map(|(i, x)| (x - mean[i % channels]) / deviation[i % channels]).collect();
    let gamma: Vec<f64> = wide(gamma);
    let y = normal.iter().enumerate().map(|(i, x)| gamma[i % channels] * x + f64::from(beta[i % channels])).collect();
    let backward = move |gradient: &[f64]| {
        let products: Vec<f64> = gradient.iter().zip(&normal).map(|(g, x)| g * x).collect();
        let (of_gamma, of_beta) = (channel_sums(&products, channels), channel_sums(gradient, channels));
        let input = gradient
            .iter()
            .enumerate()
            .map(|(i, g)| {
                let c = i % channels;
                gamma[c] / deviation[c] * (g - of_beta[c] / rows - normal[i] * of_gamma[c] / rows)
            })
            .collect();
        [input, of_gamma, of_beta]
    };
    (y, backward)
}

fn check_norm<N: Tested>(shape: ConvShape, relu: bool, pool: bool) {
    const EPSILON: f32 = 0.1;
    let case = Case::new(shape);
    let gamma: Vec<f32> = numbers("gamma", shape.outputs);
    let beta = numbers("beta", shape.outputs);
    let x = convolution(&shape, &case.x, &case.weights);
    let images = narrow(&case.x);
    let rounded_once = |tolerance: f64| tolerance.max(N::ROUNDING);
    case.each_level::<N>(|conv| {
        let name = &makes_of(conv);
        let mut y = vec![N::narrow(9.0); x.len()];
        let moments = conv.forward_moments(&images, &case.weights, &mut y);
        assert_close(name, &floats(&y), &x, rounded_once(TOLERANCE));
        // Moments, and all that follows, are those of the numbers as they were kept.
        let (normalised, backward) = reference_norm(&wide(&floats(&y)), &gamma, &beta, f64::from(EPSILON));
        let activated: Vec<f64> = normalised.iter().map(|y| if relu { y.max(0.0) } else { *y }).collect();
        let affine = Affine::new(&moments, &gamma, &beta, EPSILON);
        // Choices are read back from the kernel: rounding may decide a near-tie the other way.
        let (gradient, passed, picked, choice);
        if pool {
            let windows = windows(&case.pool());
            let mut output = vec![N::narrow(9.0); windows.len()];
            let (mut from, mut which) = (output.clone(), vec![9; windows.len()]);
            let pooled = Pooled { output: &mut output, picked: &mut from, choice: &mut which };
            affine.apply_pool(&y, shape.output_height(), shape.output_width(), relu, pooled);
            let best: Vec<f64> = windows.iter().map(|window| activated[largest(&activated, window)]).collect();
            assert_close(name, &floats(&output), &best, rounded_once(1e-4));
            gradient = narrow::<N>(&numbers("gradient", windows.len()));
            let mut spread = vec![0.0; x.len()];
            for ((window, which), gradient) in windows.iter().zip(&which).zip(&gradient) {
                if *which < 4 {
                    spread[window[usize::from(*which)]] += f64::from(gradient.wide());
                }
            }
            for ((from, which), window) in from.iter().zip(&which).zip(&windows) {
                assert!(*which == 4 || *from == y[window[usize::from(*which)]], "{name}: picked is what was chosen");
            }
            (passed, picked, choice) = (spread, from, Some(which));
        } else {
            let mut output = vec![N::narrow(9.0); x.len()];
            affine.apply(&y, relu, &mut output);
            assert_close(name, &floats(&output), &activated, rounded_once(1e-4));
            gradient = narrow::<N>(&numbers("gradient", x.len()));
            let spread =
                gradient.iter().zip(&output).map(|(g, y)| if relu && y.wide() <= 0.0 { 0.0 } else { f64::from(g.wide()) });
            (passed, picked, choice) = (spread.collect::<Vec<f64>>(), y.clone(), None);
        }
        let [input, of_gamma, of_beta] = backward(&passed);
        let found = affine.parameter_gradients(&picked, &gradient, relu);
        assert_close(&format!("{name}: γ"), &found[0], &of_gamma, 2e-4);
        assert_close(&format!("{name}: β"), &found[1], &of_beta, 2e-4);
        let norm = NormGradient {
            affine: &affine,
            input: &y,
            gradient: &gradient,
            gamma: &found[0],
            beta: &found[1],
            relu,
            choice: choice.as_deref(),
        };
        if !pool {
            let mut alone = vec![N::narrow(9.0); x.len()];
            Affine::input_gradient(&norm, &mut alone);
            assert_close(&format!("{name}: input of the normalisation"), &floats(&alone), &input, rounded_once(2e-4));
        }
        // A gradient that was rounded before it is multiplied and summed: compared with the exact backward of what was rounded.
        let mut rounded = vec![N::default(); x.len()];
        let frame = conv.backward_frames(1).0;
        let mut framed = vec![N::default(); shape.batch * frame.len() + 1 + N::PER_WORD];
        let all = OutputGradient::Norm(norm);
        all.fill(conv.level, &shape, (frame, all.for_rows(frame).as_ref()), 0..shape.batch, &mut framed);
        for (place, to) in frame.places(shape.batch).into_iter().zip(rounded.chunks_exact_mut(shape.outputs)) {
            to.copy_from_slice(&framed[place..place + shape.outputs]);
        }
        assert_close(&format!("{name}: gradient of the convolution"), &floats(&rounded), &input, rounded_once(2e-4));
        case.check_backward(conv, &all, &wide(&floats(&rounded)), 1e-4);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn plain_and_with_relu(shape in shapes()) {
        check_plain::<f32>(shape);
        check_plain::<bf16>(shape);
    }

    #[test]
    fn with_relu_and_pool(shape in shapes()) {
        check_pool::<f32>(shape);
        check_pool::<bf16>(shape);
    }

    #[test]
    fn with_normalisation(shape in shapes(), relu: bool, pool: bool) {
        check_norm::<f32>(shape, relu, pool);
        check_norm::<bf16>(shape, relu, pool);
    }
}

const SHAPE: ConvShape = ConvShape { batch: 9, height: 14, width: 14, inputs: 32, outputs: 64, kernel: 3, stride: 1, padding: 1 };

fn check_real_networks<N: Tested>() {
    check_plain::<N>(SHAPE);
    check_plain::<N>(ConvShape { height: 28, width: 28, inputs: 1, outputs: 32, batch: 2, ..SHAPE });
    check_pool::<N>(ConvShape { height: 28, width: 28, inputs: 1, outputs: 32, batch: 2, ..SHAPE });
    check_norm::<N>(ConvShape { height: 7, width: 7, inputs: 64, ..SHAPE }, true, true);
    check_plain::<N>(ConvShape { stride: 2, ..SHAPE });
}

#[test]
fn shapes_of_real_networks() {
    check_real_networks::<f32>();
    check_real_networks::<bf16>();
}

fn check_tiles<N: Tested>(shape: ConvShape) {
    let case = Case::new(shape);
    let x = narrow(&case.x);
    let exact = case.output();
    let windows = windows(&case.pool());
    // Transformed tiles are rounded, and their numbers are up to four times those of the images.
    let tolerance = 4e-5_f64.max(12.0 * N::ROUNDING);
    for level in N::levels() {
        for relu in [false, true] {
            let expected: Vec<f64> = exact.iter().map(|y| if relu { y.max(0.0) } else { *y }).collect();
            let tiles = WinogradConvolution::<N>::with_level(shape, &case.weights, Some(&case.bias), relu, level).unwrap();
            let mut y = vec![N::narrow(9.0); expected.len()];
            tiles.run(&x, false, &mut y);
            assert_close(level.name(), &floats(&y), &expected, tolerance);
            let mut alone = vec![N::narrow(9.0); shape.output_image()];
            tiles.run(&x[x.len() - shape.input_image()..], false, &mut alone);
            assert!(y.ends_with(&alone), "{}: an image alone gives the same bits", level.name());
            let best: Vec<f64> = windows.iter().map(|window| expected[largest(&expected, window)]).collect();
            let mut pooled = vec![N::narrow(9.0); best.len()];
            tiles.run(&x, true, &mut pooled);
            assert_close(&format!("{}, pooled", level.name()), &floats(&pooled), &best, tolerance);
        }
    }
}

#[test]
fn by_tiles() {
    for (height, width, inputs, outputs, padding) in
        [(4, 4, 1, 1, 1), (7, 7, 33, 17, 1), (14, 5, 16, 70, 1), (6, 9, 5, 3, 0), (3, 3, 4, 4, 0)]
    {
        let shape = ConvShape { batch: 3, height, width, inputs, outputs, kernel: 3, stride: 1, padding };
        check_tiles::<f32>(shape);
        check_tiles::<bf16>(shape);
    }
    check_tiles::<f32>(ConvShape { batch: 5, ..SHAPE });
}

fn check_gelu<N: Tested>() {
    let case = Case::new(ConvShape { batch: 2, height: 5, width: 5, inputs: 3, outputs: 4, ..SHAPE });
    let gradient = narrow::<N>(&numbers("gradient", case.shape.output_len()));
    case.each_level::<N>(|conv| {
        let mut x = vec![N::narrow(9.0); gradient.len()];
        conv.forward(&narrow(&case.x), &case.weights, Some(&case.bias), false, &mut x);
        let expected: Vec<f64> = gradient
            .iter()
            .zip(&x)
            .map(|(g, x)| {
                let x = f64::from(x.wide());
                let phi = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
                let exact = f64::from(g.wide()) * (phi + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt());
                f64::from(N::narrow(exact as f32).wide())
            })
            .collect();
        let mut y = vec![N::narrow(9.0); x.len()];
        gelu(&x, &mut y);
        let gradient = OutputGradient::Gelu { gradient: &gradient, input: &x };
        case.check_backward(conv, &gradient, &expected, TOLERANCE.max(2.0 * N::ROUNDING));
    });
}

#[test]
fn with_gelu() {
    check_gelu::<f32>();
    check_gelu::<bf16>();
}

/// The bits of everything a training step computes.
fn step<N: Tested>((level, tiles): (Level, Option<Tiles>), threads: usize) -> Vec<u32> {
    let case = Case::new(ConvShape { batch: 13, ..SHAPE });
    let conv = Convolution::<N>::with_makes(case.shape, level, tiles).unwrap();
    let x = narrow(&case.x);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut y = vec![N::default(); case.shape.output_len()];
        let moments = conv.forward_moments(&x, &case.weights, &mut y);
        let affine = Affine::new(&moments, &case.bias, &case.bias, 1e-5);
        let gradient = narrow::<N>(&numbers("gradient", y.len()));
        let [gamma, beta] = affine.parameter_gradients(&y, &gradient, true);
        let norm = NormGradient {
            affine: &affine,
            input: &y,
            gradient: &gradient,
            gamma: &gamma,
            beta: &beta,
            relu: true,
            choice: None,
        };
        let mut found = (vec![N::default(); x.len()], vec![0.0; case.weights.len()], vec![0.0; case.bias.len()]);
        let into = Gradients { input: Some(&mut found.0), weights: Some(&mut found.1), bias: Some(&mut found.2) };
        conv.backward(&x, &case.weights, &OutputGradient::Norm(norm), into);
        let all = [floats(&y), gamma, beta, floats(&found.0), found.1, found.2, moments.mean, moments.variance];
        all.iter().flatten().map(|value| value.to_bits()).collect()
    })
}

fn check_threads<N: Tested>() {
    for make in N::makes() {
        let one = step::<N>(make, 1);
        assert!(step::<N>(make, 2) == one, "two threads give other bits than one: {make:?}");
        assert!(step::<N>(make, 3) == one, "three threads give other bits than one: {make:?}");
    }
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    check_threads::<f32>();
    check_threads::<bf16>();
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn the_machines_tiles_give_the_bits_of_the_emulation() {
    let Some(native) = Tiles::native() else {
        eprintln!("skipped: this machine has no AMX");
        return;
    };
    let level = bf16::best();
    assert!(step::<bf16>((level, Some(native)), 2) == step::<bf16>((level, Some(Tiles::emulated())), 2));
}

/// What a tile reads beyond a window is multiplied by zero, which is no zero if it is not a number: it must not be another image's.
#[test]
fn an_image_that_is_not_of_numbers_leaves_its_neighbours_alone() {
    for (kernel, inputs, size) in [(1, 5, 4), (3, 5, 4), (3, 64, 4), (2, 33, 2)] {
        let shape = ConvShape { batch: 3, height: size, width: size, inputs, outputs: 20, kernel, stride: 1, padding: 0 };
        let shape = ConvShape { height: size.max(kernel), width: size.max(kernel), ..shape }.check().unwrap();
        let case = Case::new(shape);
        let mut x = narrow::<bf16>(&case.x);
        x[shape.input_image()..2 * shape.input_image()].fill(bf16::NAN);
        for (level, tiles) in bf16::makes().into_iter().filter(|(_, tiles)| tiles.is_some()) {
            let conv = Convolution::with_makes(shape, level, tiles).unwrap();
            let mut y = vec![bf16::ZERO; shape.output_len()];
            conv.prepare(&case.weights, Some(&case.bias), false).run(&x, &mut y);
            let images: Vec<bool> = y.chunks(shape.output_image()).map(|y| y.iter().all(|y| y.is_finite())).collect();
            assert_eq!(images, [true, false, true], "{shape:?} {level:?} {tiles:?}");
        }
    }
}

#[test]
fn what_is_not_asked_for_is_not_written() {
    let case = Case::new(ConvShape { batch: 2, ..SHAPE });
    let conv = Convolution::new(case.shape).unwrap();
    let gradient = numbers("gradient", case.shape.output_len());
    let [_, expected] = convolution_backward(&case.shape, &case.x, &case.weights, &wide(&gradient));
    let mut weights = vec![9.0; case.weights.len()];
    let into = Gradients { weights: Some(&mut weights), ..Gradients::default() };
    conv.backward(&case.x, &case.weights, &OutputGradient::Plain(&gradient), into);
    assert_close("weight gradient alone", &weights, &expected, TOLERANCE);
    conv.backward(&case.x, &case.weights, &OutputGradient::Plain(&gradient), Gradients::default());
}
