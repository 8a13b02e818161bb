//! The loss: cross entropy of logits with the labels, smoothed or not, and with what a teacher says; and what a model is worth
//! on data that is only watched.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};

use crate::data::Label;
use crate::metrics::Probabilities;

/// Mean cross entropy of `logits`, `[N, classes]`, with the labels, of which `smoothing` is spread over all classes (Szegedy
/// and others, 2016). The logarithm is taken of the softmax as a whole, so that large logits do no harm. The loss of each row is
/// multiplied by its weight in `weights`, `[N]`, before the mean over rows is taken.
/// Gives one number, `[1]`.
pub fn cross_entropy(logits: Tensor<2>, labels: &[Label], smoothing: f64, weights: &[f32]) -> Tensor<1> {
    let [rows, classes] = logits.dims();
    let mut targets = vec![(smoothing / classes as f64) as f32; rows * classes];
    for (row, &label) in labels.iter().enumerate() {
        targets[row * classes + usize::from(label)] += (1.0 - smoothing) as f32;
    }
    with_targets(logits, targets, weights)
}

/// Mean cross entropy of softmax(logits / T) with `taught`, a teacher's probabilities softened by the same temperature T, times
/// T², which keeps the size of its gradient (Hinton, Vinyals and Dean, 2015). Both are `[N, classes]`. It is the
/// Kullback-Leibler divergence from the teacher but for a constant. The loss of each row is multiplied by its weight in
/// `weights`, `[N]`. Gives one number, `[1]`.
pub fn distillation(logits: Tensor<2>, taught: Vec<f32>, temperature: f64, weights: &[f32]) -> Tensor<1> {
    with_targets(logits.div_scalar(temperature), taught, weights).mul_scalar(temperature * temperature)
}

/// Mean over rows of `weights` times the cross entropy of `logits` with the distributions `targets`, both `[N, classes]`.
fn with_targets(logits: Tensor<2>, mut targets: Vec<f32>, weights: &[f32]) -> Tensor<1> {
    let [rows, classes] = logits.dims();
    for (row, &weight) in targets.chunks_exact_mut(classes).zip(weights) {
        row.iter_mut().for_each(|target| *target *= weight);
    }
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [rows, classes]), &Device::flex());
    (log_softmax(logits, 1) * targets).sum().div_scalar(-(rows as f64))
}

/// How many rows of `logits`, `[N, classes]`, are largest at their label; the first of equals counts.
fn count_correct(logits: &[f32], labels: &[Label]) -> usize {
    correct(logits, labels).filter(|&correct| correct).count()
}

/// For each row of `logits`, `[N, classes]`, whether it is largest at its label; the first of equals counts.
pub fn correct(logits: &[f32], labels: &[Label]) -> impl Iterator<Item = bool> {
    let classes = logits.len() / labels.len().max(1);
    logits.chunks_exact(classes.max(1)).zip(labels).map(|(row, &label)| largest(row) == usize::from(label))
}

fn largest(row: &[f32]) -> usize {
    (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0)
}

/// Loss and accuracy on data that is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean cross entropy, without label smoothing. A probability of 0 counts as the smallest that float32 can tell from 0.
    pub loss: f64,
    /// Share of right labels.
    pub accuracy: f64,
}

/// Loss and accuracy of `probabilities`, `[N, classes]`, against `labels`.
pub fn evaluate(probabilities: &Probabilities, labels: &[Label]) -> Evaluation {
    let rows = labels.len().max(1) as f64;
    let loss = |(row, &label): (ndarray::ArrayView1<'_, f32>, &Label)| {
        let probability = row[usize::from(label)];
        // Written so that a probability that is not a number gives a loss that is not one either.
        -f64::from(if probability < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { probability }).ln()
    };
    let loss: f64 = probabilities.rows().into_iter().zip(labels).map(loss).sum();
    let correct = count_correct(probabilities.as_slice().expect("made row by row"), labels);
    Evaluation { loss: loss / rows, accuracy: correct as f64 / rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(logits: &[f32], labels: &[Label], smoothing: f64) -> f64 {
        let rows = labels.len();
        let data = TensorData::new(logits.to_vec(), [rows, logits.len() / rows]);
        let logits = Tensor::<2>::from_data(data, &Device::flex());
        f64::from(cross_entropy(logits, labels, smoothing, &vec![1.0; rows]).into_scalar::<f32>())
    }

    #[test]
    fn losses_are_those_computed_by_hand() {
        let check = |logits: &[f32], labels: &[Label], smoothing: f64, expected: f64| {
            let found = loss(logits, labels, smoothing);
            assert!((found - expected).abs() < 1e-5, "{logits:?}: {found}, not {expected}");
        };
        check(&[0.0, 0.0], &[0], 0.0, 2f64.ln());
        check(&[1.0, 0.0], &[0], 0.0, (1.0 + (-1f64).exp()).ln());
        check(&[1.0, 0.0], &[0], 0.2, 0.9 * (1.0 + (-1f64).exp()).ln() + 0.1 * (1.0 + 1f64.exp()).ln());
        check(&[1000.0, 0.0], &[1], 0.0, 1000.0);
        check(&[0.0, 0.0, 0.0, 3.0, 0.0, 0.0], &[2, 0], 0.0, (3f64.ln() + (1.0 + 2.0 * (-3f64).exp()).ln()) / 2.0);
    }

    #[test]
    fn a_row_counts_by_its_weight() {
        let logits = || Tensor::<2>::from_data(TensorData::new(vec![1.0f32, 0.0, 0.0, 3.0], [2, 2]), &Device::flex());
        let weighted = |weights: &[f32]| f64::from(cross_entropy(logits(), &[1, 0], 0.1, weights).into_scalar::<f32>());
        let taught =
            |weights: &[f32]| f64::from(distillation(logits(), vec![0.3, 0.7, 0.5, 0.5], 2.0, weights).into_scalar::<f32>());
        for loss in [&weighted as &dyn Fn(&[f32]) -> f64, &taught] {
            let expected = 4.0 * loss(&[1.0, 0.0]) + 0.5 * loss(&[0.0, 1.0]);
            assert!((loss(&[4.0, 0.5]) - expected).abs() < 1e-6 && loss(&[1.0, 0.0]) > 0.1);
        }
    }

    fn taught(logits: &[f32], taught: &[f32], temperature: f64) -> f64 {
        let data = TensorData::new(logits.to_vec(), [2, logits.len() / 2]);
        let logits = Tensor::<2>::from_data(data, &Device::flex());
        f64::from(distillation(logits, taught.to_vec(), temperature, &[1.0, 1.0]).into_scalar::<f32>())
    }

    #[test]
    fn a_teacher_sure_of_the_label_teaches_what_the_label_does() {
        let logits = [0.5, -1.0, 2.0, 0.0, 3.0, -0.5];
        let soft = taught(&logits, &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0], 1.0);
        assert!((soft - loss(&logits, &[2, 0], 0.0)).abs() < 1e-6, "{soft}");
        // Least where the student says the same; there it is T² times the teacher's entropy.
        let same = taught(&[3f32.ln(), 0.0, 0.0, 3f32.ln()], &[0.75, 0.25, 0.25, 0.75], 1.0);
        let entropy = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((same - entropy).abs() < 1e-6, "{same}, not {entropy}");
    }

    #[test]
    fn the_gradient_of_the_soft_loss_is_that_of_finite_differences() {
        let logits = [0.5, -1.0, 2.0, 0.0, 3.0, -0.5];
        let teacher = [0.2, 0.3, 0.5, 0.7, 0.1, 0.2];
        for temperature in [1.0, 0.5, 4.0] {
            let data = TensorData::new(logits.to_vec(), [2, 3]);
            let input = Tensor::<2>::from_data(data, &Device::flex().autodiff()).require_grad();
            let gradients = distillation(input.clone(), teacher.to_vec(), temperature, &[1.0, 1.0]).backward();
            let found = input.grad(&gradients).unwrap().try_into_vec_as::<f32>().unwrap();
            for (index, &found) in found.iter().enumerate() {
                let moved = |by: f32| {
                    let mut logits = logits;
                    logits[index] += by;
                    taught(&logits, &teacher, temperature)
                };
                let expected = (moved(0.01) - moved(-0.01)) / 0.02;
                assert!((f64::from(found) - expected).abs() < 1e-3, "{temperature}, {index}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn the_first_of_equals_is_the_answer() {
        assert_eq!(count_correct(&[1.0, 1.0, 0.0, 2.0], &[0, 1]), 2);
        assert_eq!(count_correct(&[1.0, 1.0, 0.0, 2.0], &[1, 0]), 0);
        assert_eq!(count_correct(&[], &[]), 0);
    }

    #[test]
    fn impossible_truths_cost_much_but_not_infinitely_much() {
        let probabilities = ndarray::array![[1.0, 0.0], [0.5, 0.5]];
        let evaluation = evaluate(&probabilities, &[1, 0]);
        assert!((evaluation.loss - (87.336_544 + 2f64.ln()) / 2.0).abs() < 1e-3, "{}", evaluation.loss);
        assert_eq!(evaluation.accuracy, 0.5);
        assert!(evaluate(&ndarray::array![[f32::NAN, f32::NAN]], &[0]).loss.is_nan());
    }
}
