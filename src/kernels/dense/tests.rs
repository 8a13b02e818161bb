//! Dense layers against sums in `f64`.

use super::*;
use crate::kernels::Number;
use crate::kernels::Tiles;
use crate::kernels::reference::{assert_close, channel_sums, numbers, wide};

/// a · b, of `rows` × `depth` and `depth` × `columns`, each read through its own index.
fn product_of(
    (rows, depth, columns): (usize, usize, usize),
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) -> Vec<f64> {
    let mut sums = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            sums.push((0..depth).map(|at| f64::from(a(row, at)) * f64::from(b(at, column))).sum());
        }
    }
    sums
}

#[test]
fn a_dense_layer_and_its_gradients_equal_their_definition() {
    for (batch, inputs, outputs) in [(1, 1, 1), (5, 7, 3), (17, 100, 300), (130, 64, 10)] {
        let shape = DenseShape { batch, inputs, outputs, half: false };
        let (x, weights) = (numbers("x", batch * inputs), numbers("weights", inputs * outputs));
        let (bias, gradient) = (numbers("bias", outputs), numbers("gradient", batch * outputs));

        let plain = product_of((batch, inputs, outputs), |n, i| x[n * inputs + i], |i, o| weights[i * outputs + o]);
        let mut y = vec![9.0; batch * outputs];
        shape.forward(&x, &weights, None, false, &mut y);
        assert_close("plain", &y, &plain, 1e-5);
        let mut expected = plain;
        expected.iter_mut().enumerate().for_each(|(index, y)| *y = (*y + f64::from(bias[index % outputs])).max(0.0));
        shape.forward(&x, &weights, Some(&bias), true, &mut y);
        assert_close("bias and ReLU", &y, &expected, 1e-5);

        let mut found = vec![9.0; x.len()];
        shape.input_gradient(&weights, &gradient, &mut found);
        let expected = product_of((batch, outputs, inputs), |n, o| gradient[n * outputs + o], |o, i| weights[i * outputs + o]);
        assert_close("input gradient", &found, &expected, 1e-5);
        let mut found = vec![9.0; weights.len()];
        shape.weight_gradient(&x, &gradient, &mut found);
        let expected = product_of((inputs, batch, outputs), |i, n| x[n * inputs + i], |n, o| gradient[n * outputs + o]);
        assert_close("weight gradient", &found, &expected, 1e-5);
        let mut found = vec![9.0; outputs];
        shape.bias_gradient(&gradient, &mut found);
        assert_close("bias gradient", &found, &channel_sums(&wide(&gradient), outputs), 1e-5);
    }
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    let shape = DenseShape { batch: 128, inputs: 3136, outputs: 128, half: false };
    let (x, weights) = (numbers("x", 128 * 3136), numbers("weights", 3136 * 128));
    let gradient = numbers("gradient", 128 * 128);
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut found = [vec![0.0; 128 * 128], vec![0.0; x.len()], vec![0.0; weights.len()], vec![0.0; 128]];
            let [y, input, weight, bias] = &mut found;
            shape.forward(&x, &weights, None, false, y);
            shape.input_gradient(&weights, &gradient, input);
            shape.weight_gradient(&x, &gradient, weight);
            shape.bias_gradient(&gradient, bias);
            found.iter().flatten().map(|value| value.to_bits()).collect::<Vec<_>>()
        })
    };
    let one = bits(1);
    assert!(bits(2) == one, "two threads give other bits than one");
    assert!(bits(4) == one, "four threads give other bits than one");
}

fn check_prepared<N: Number>(rows: usize, inputs: usize, outputs: usize, tolerance: f64) {
    let (x, weights, bias) = (numbers("x", rows * inputs), numbers("weights", inputs * outputs), numbers("bias", outputs));
    let mut expected: Vec<f64> = Vec::new();
    for row in x.chunks_exact(inputs) {
        expected.extend((0..outputs).map(|output| {
            let sum: f64 = (0..inputs).map(|input| f64::from(row[input]) * f64::from(weights[input * outputs + output])).sum();
            (sum + f64::from(bias[output])).max(0.0)
        }));
    }
    let emulated = (N::PER_WORD == 2).then(Tiles::emulated);
    for tiles in [None, emulated] {
        let layer = PreparedDense::<N>::with_makes(inputs, outputs, &weights, Some(&bias), true, N::best(), tiles);
        let mut y = vec![9.0; rows * outputs];
        layer.run(&x, &mut y);
        assert_close("rows together", &y, &expected, tolerance);
        let mut alone = vec![9.0; outputs];
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact(outputs)) {
            layer.run(x, &mut alone);
            assert_eq!(alone, y, "a row alone gives the same bits");
        }
    }
}

#[test]
fn prepared_layers_give_what_the_definition_does() {
    // Numbers of the tests are exact in `bf16`, and sums are `f32`.
    for (rows, inputs, outputs) in [(1, 1, 1), (7, 3, 5), (100, 513, 33), (3, 1025, 70), (130, 64, 10)] {
        check_prepared::<f32>(rows, inputs, outputs, 1e-5);
        check_prepared::<half::bf16>(rows, inputs, outputs, 1e-5);
    }
    assert!(PreparedDense::<f32>::new(0, 3, &[], None, false).is_none());
}

#[test]
fn products_in_tiles_are_those_of_the_definition() {
    for (rows, depth, columns) in [(1, 1, 1), (33, 70, 17), (70, 33, 64), (5, 128, 100)] {
        let (a, b) = (numbers("a", rows * depth), numbers("b", depth * columns));
        let expected = product_of((rows, depth, columns), |row, k| a[row * depth + k], |k, column| b[k * columns + column]);
        // Each matrix as it is, and as the transposed one of what lies the other way.
        let turned = |numbers: &[f32], rows: usize, columns: usize| -> Vec<f32> {
            (0..numbers.len()).map(|at| numbers[at % rows * columns + at / rows]).collect()
        };
        let (turned_a, turned_b) = (turned(&a, rows, depth), turned(&b, depth, columns));
        let lefts = [Matrix::rows(&a, rows, depth), Matrix::rows(&turned_a, depth, rows).transposed()];
        let rights = [Matrix::rows(&b, depth, columns), Matrix::rows(&turned_b, columns, depth).transposed()];
        for (left, right) in lefts.into_iter().flat_map(|left| rights.map(|right| (left, right))) {
            let mut to = vec![9.0; rows * columns];
            tiled::product(Tiles::emulated(), half::bf16::best(), left, right, &mut to);
            assert_close("in tiles", &to, &expected, 1e-5);
        }
    }
}
