//! Every make against plain sums of whole numbers, and bytes against the numbers that they stand for.

use proptest::prelude::*;

use super::*;
use crate::kernels::reference::convolution;

/// A layer whose weights and biases bytes hold exactly.
#[derive(Debug)]
struct Case {
    shape: ConvShape,
    x: Vec<u8>,
    /// `[outputs, inputs, kernel, kernel]`, in steps of 2⁻⁶.
    weights: Vec<i8>,
    bias: Vec<i32>,
    zeros: Vec<u8>,
    pool: bool,
}

type Make = (ByteLevel, Option<Tiles>);

/// All vectors of this machine, without tiles, with emulated ones, and with the machine's if it has them.
fn makes() -> Vec<Make> {
    let tiles = [Some(None), Some(Some(Tiles::emulated())), Tiles::native().map(Some)];
    let tiles: Vec<Option<Tiles>> = tiles.into_iter().flatten().collect();
    ByteLevel::available().into_iter().flat_map(|level| tiles.iter().map(move |tiles| (level, *tiles))).collect()
}

const STEP: f32 = 1.0 / 64.0;
const SCALE: f32 = 0.5;
/// What a byte that comes out stands for: small sums fill it, large ones are cut off.
const OUTPUT: f32 = 4.7;

impl Case {
    fn layer(&self, (level, tiles): Make, output: Option<Quantisation>, relu: bool) -> QuantisedConvolution {
        let weights: Vec<f32> = self.weights.iter().map(|weight| f32::from(*weight) * STEP).collect();
        let bias: Vec<f32> = self.bias.iter().map(|bias| *bias as f32 * STEP * SCALE).collect();
        let input: Vec<Quantisation> =
            self.zeros.iter().map(|zero| Quantisation { scale: SCALE, zero: f32::from(*zero) }).collect();
        // Weights that bytes hold exactly leave no mean error, whatever the mean.
        let mean = vec![3.0; self.shape.inputs];
        let layer =
            QuantisedLayer { weights: &weights, bias: Some(&bias), input: &input, mean: &mean, output, relu, pool: self.pool };
        QuantisedConvolution::with_makes(self.shape, layer, level, tiles).unwrap()
    }

    /// The sums of all pixels, or the largest of each 2×2 window, `[N, H', W', outputs]`.
    fn sums(&self) -> Vec<i64> {
        let ConvShape { batch, height, width, inputs, outputs, kernel, stride, padding } = self.shape;
        let (rows, columns) = (self.shape.output_height(), self.shape.output_width());
        let sum = |image: usize, row: usize, column: usize, output: usize| {
            let mut sum = i64::from(self.bias[output]);
            for (down, right, input) in
                (0..kernel).flat_map(|down| (0..kernel).flat_map(move |right| (0..inputs).map(move |input| (down, right, input))))
            {
                let (y, x) = (row * stride + down, column * stride + right);
                if (padding..padding + height).contains(&y) && (padding..padding + width).contains(&x) {
                    let byte = self.x[((image * height + y - padding) * width + x - padding) * inputs + input];
                    let weight = self.weights[((output * inputs + input) * kernel + down) * kernel + right];
                    sum += i64::from(weight) * (i64::from(byte) - i64::from(self.zeros[input]));
                }
            }
            sum
        };
        let mut sums = Vec::new();
        let step = if self.pool { 2 } else { 1 };
        for image in 0..batch {
            for row in (0..rows / step * step).step_by(step) {
                for column in (0..columns / step * step).step_by(step) {
                    for output in 0..outputs {
                        let window = (0..step * step).map(|at| sum(image, row + at / step, column + at % step, output));
                        sums.push(window.max().unwrap());
                    }
                }
            }
        }
        sums
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let channels = || prop_oneof![Just(1usize), 1..20usize, Just(32), Just(64), Just(100)];
    let kernel = prop_oneof![Just(1usize), Just(2), Just(3), Just(5)];
    let shapes = (1..6usize, 1..9usize, 1..9usize, channels(), channels(), kernel, 1..3usize, any::<bool>());
    let shapes = shapes.prop_filter_map("fits", |(batch, height, width, inputs, outputs, kernel, stride, same)| {
        let padding = if same { (kernel - 1) / 2 } else { 0 };
        ConvShape { batch, height, width, inputs, outputs, kernel, stride, padding }.check().ok()
    });
    (shapes, any::<bool>(), any::<u64>()).prop_map(|(shape, pool, seed)| {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let x = (0..shape.input_len()).map(|_| next() as u8).collect();
        let mut weights: Vec<i8> =
            (0..shape.weights_len()).map(|_| (next() % 255) as i8).map(|weight| weight.max(-127)).collect();
        // The largest weight of each channel is the largest byte, so that a step of the weights is one of the bytes.
        weights.chunks_exact_mut(shape.weights_len() / shape.outputs).for_each(|weights| weights[0] = 127);
        let bias = (0..shape.outputs).map(|_| next() as i32 % 100_000 - 50_000).collect();
        let zeros = (0..shape.inputs).map(|_| next() as u8).collect();
        Case { shape, x, weights, bias, zeros, pool }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_make_gives_the_bits_of_plain_sums(case in cases()) {
        let sums = case.sums();
        let output = Quantisation { scale: OUTPUT, zero: 0.0 };
        let factor = STEP * SCALE;
        let numbers: Vec<f32> = sums.iter().map(|sum| *sum as f32 * factor).collect();
        let positive: Vec<f32> = numbers.iter().map(|number| number.max(0.0)).collect();
        let bytes: Vec<u8> = sums.iter().map(|sum| (*sum as f32 * (factor / OUTPUT)).round_ties_even() as u8).collect();
        for make in makes() {
            let mut found = vec![0; sums.len()];
            case.layer(make, Some(output), true).run(&case.x, &mut found);
            prop_assert_eq!(&found, &bytes, "{:?}", make);
            let mut found = vec![0.0f32; sums.len()];
            case.layer(make, None, false).run(&case.x, &mut found);
            prop_assert_eq!(&found, &numbers, "{:?}", make);
            case.layer(make, None, true).run(&case.x, &mut found);
            prop_assert_eq!(&found, &positive, "{:?}", make);
        }
    }

    #[test]
    fn bytes_stand_for_the_numbers_that_are_nearest(values in prop::collection::vec(-3.0f32..9.0, 1..100)) {
        let by = Quantisation::of_range(-2.0, 8.0).unwrap();
        let mut bytes = vec![0; values.len()];
        quantise(&values, by, &mut bytes);
        for (value, byte) in values.iter().zip(bytes) {
            let back = by.scale * (f32::from(byte) - by.zero);
            let within = value.clamp(-by.scale * by.zero, by.scale * (255.0 - by.zero));
            prop_assert!((back - within).abs() <= by.scale * 0.501, "{} became {}", value, back);
        }
    }
}

/// A layer of any weights is near the convolution of numbers that it stands for.
#[test]
fn a_layer_is_near_what_it_stands_for() {
    let shape = ConvShape { batch: 3, height: 6, width: 5, inputs: 7, outputs: 20, kernel: 3, stride: 1, padding: 1 };
    let wave = |index: usize, step: f32| (index as f32 * step).sin();
    let x: Vec<u8> = (0..shape.input_len()).map(|index| (index * 97 % 256) as u8).collect();
    let weights: Vec<f32> = (0..shape.weights_len()).map(|index| wave(index, 0.7)).collect();
    let bias: Vec<f32> = (0..shape.outputs).map(|index| wave(index, 1.3)).collect();
    let input: Vec<Quantisation> =
        (0..shape.inputs).map(|channel| Quantisation { scale: 0.01 * (channel + 1) as f32, zero: 100.0 }).collect();
    let numbers: Vec<f32> =
        x.iter().enumerate().map(|(index, byte)| input[index % 7].scale * (f32::from(*byte) - 100.0)).collect();
    let layer = QuantisedLayer {
        weights: &weights,
        bias: Some(&bias),
        input: &input,
        mean: &[0.0; 7],
        output: None,
        relu: false,
        pool: false,
    };
    let mut found = vec![0.0f32; shape.output_len()];
    QuantisedConvolution::new(shape, layer).unwrap().run(&x, &mut found);
    let mut expected = convolution(&shape, &numbers, &weights);
    expected.iter_mut().enumerate().for_each(|(index, value)| *value += f64::from(bias[index % 20]));
    let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 0.01 * largest, "{found} instead of {expected}");
    }
}

#[test]
fn planes_are_interleaved() {
    let mut y = [0; 6];
    interleave(&[1, 2, 3, 4, 5, 6], 3, &mut y);
    assert_eq!(y, [1, 3, 5, 2, 4, 6]);
}

#[test]
fn what_bytes_cannot_stand_for_is_refused() {
    let shape = ConvShape { batch: 1, height: 3, width: 3, inputs: 1, outputs: 1, kernel: 3, stride: 1, padding: 1 };
    let check = |zero: f32, bias: f32, expected: Option<QuantisedError>| {
        let input = [Quantisation { scale: 1.0, zero }];
        let (weights, bias) = ([1.0; 9], [bias]);
        let layer = QuantisedLayer {
            weights: &weights,
            bias: Some(&bias),
            input: &input,
            mean: &[0.0],
            output: None,
            relu: true,
            pool: false,
        };
        assert_eq!(QuantisedConvolution::new(shape, layer).err(), expected);
    };
    check(72.9, 1.0, None);
    check(-40.0, 1.0, Some(QuantisedError::Padding));
    check(0.0, 1e9, Some(QuantisedError::Range));
    check(0.0, f32::NAN, Some(QuantisedError::Range));
    assert_eq!(Quantisation::of_range(0.0, 0.0), None);
    assert_eq!(Quantisation::of_range(f32::NAN, f32::INFINITY), None);
    assert_eq!(Quantisation::of_range(1.0, 51.0), Some(Quantisation { scale: 0.2, zero: 0.0 }));
}
