//! Made-up labels and predictions for tests: a stream that any language can repeat, so that other tools' figures on the same
//! numbers can be expected here.

use ndarray::Array2;

/// Knuth's 64-bit linear congruential generator; yields the upper 31 bits of each state.
pub(super) fn stream(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

/// `n` labels and as many predictions, of which about three in four are right.
pub(super) fn labels_and_predictions(n: usize, classes: u64) -> (Vec<u8>, Vec<u8>) {
    let mut next = stream(classes);
    let byte = |value: u64| u8::try_from(value % classes).expect("few classes");
    (0..n)
        .map(|_| {
            let (label, chance) = (byte(next()), next());
            (label, if chance % 4 == 0 { byte(chance >> 2) } else { label })
        })
        .unzip()
}

/// 50 rows of probabilities of 5 classes, and 50 labels that have nothing to do with them.
pub(super) fn labels_and_probabilities() -> (Vec<u8>, Array2<f32>) {
    let mut next = stream(99);
    let mut probabilities = Array2::from_shape_simple_fn((50, 5), || (1 + next() % 1000) as f32);
    for mut row in probabilities.rows_mut() {
        let sum = row.sum();
        row /= sum;
    }
    (std::iter::repeat_with(|| (next() % 5) as u8).take(50).collect(), probabilities)
}
