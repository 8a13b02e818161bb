//! A step of Muon: momentum whose matrix is made orthogonal (Jordan and others, "Muon: An optimizer for hidden layers in neural
//! networks", 2024).

use rayon::prelude::*;

use super::dense::{Matrix, product};

/// Coefficients of the quintic iteration, chosen by Jordan for the steepest slope at 0: singular values come to lie between about
/// 0.7 and 1.2, not at 1, which serves as well.
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// Keeps the norm that is divided by from 0.
const SMALLEST_NORM: f32 = 1e-7;
/// Numbers that one task works on.
const PIECE: usize = 1 << 14;

/// A step of Muon with Nesterov's momentum and decoupled weight decay.
///
/// The orthogonal matrix is scaled by 0.2 · √max(rows, columns), so that its mean square is that of a step of AdamW and both can share
/// a learning rate (Liu and others, "Muon is scalable for LLM training", 2025).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MuonStep {
    /// Step size.
    pub learning_rate: f32,
    /// Share of the velocity that is kept.
    pub momentum: f32,
    /// Iterations of Newton and Schulz.
    pub iterations: usize,
    /// Share of a weight that decays in the step.
    pub decay: f32,
}

impl MuonStep {
    /// Moves `weights`, a matrix of `rows`, along `gradient`; `velocity` takes in the gradient first. All slices have one length.
    ///
    /// # Panics
    /// When the slices differ in length or do not hold whole rows.
    pub fn run(&self, rows: usize, weights: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
        let length = weights.len();
        assert!(gradient.len() == length && velocity.len() == length, "all slices have one length");
        assert!(rows > 0 && length.is_multiple_of(rows), "the matrix has whole rows");
        let momentum = self.momentum;
        let mut direction = vec![0.0; length];
        let parts = direction.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE)).zip(velocity.par_chunks_mut(PIECE));
        parts.for_each(|((direction, gradient), velocity)| {
            for ((direction, gradient), velocity) in direction.iter_mut().zip(gradient).zip(velocity) {
                *velocity = momentum * *velocity + gradient;
                *direction = gradient + momentum * *velocity;
            }
        });
        orthogonalise(&mut direction, rows, self.iterations);
        let rate = self.learning_rate * 0.2 * (rows.max(length / rows) as f32).sqrt();
        let kept = 1.0 - self.decay;
        weights.par_chunks_mut(PIECE).zip(direction.par_chunks(PIECE)).for_each(|(weights, direction)| {
            for (weight, direction) in weights.iter_mut().zip(direction) {
                *weight = kept * *weight - rate * direction;
            }
        });
    }
}

/// Replaces a matrix of `rows`, U·S·Vᵀ, by about U·Vᵀ: X ← p(X·Xᵀ)·X with p(A) = a·I + b·A + c·A², from X = M / ‖M‖.
///
/// The matrices p of all iterations are polynomials of the first X·Xᵀ, so they commute: their product Q is formed from small square
/// matrices, with A ← p·A·p, and X is multiplied by it once. For the weights of a 3×3 convolution that is a third of the arithmetic.
fn orthogonalise(matrix: &mut [f32], rows: usize, iterations: usize) {
    let columns = matrix.len() / rows;
    // Summed by one thread: the order is that of the numbers.
    let norm = matrix.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt() as f32;
    let scale = 1.0 / norm.max(SMALLEST_NORM);
    matrix.iter_mut().for_each(|value| *value *= scale);

    // A is taken over the shorter side: X·Xᵀ of a wide matrix, Xᵀ·X of a tall one.
    let wide = rows <= columns;
    let side = rows.min(columns);
    let square = |numbers: &[f32], other: &[f32], to: &mut [f32]| {
        product(Matrix::rows(numbers, side, side), Matrix::rows(other, side, side), to);
    };
    let x = Matrix::rows(matrix, rows, columns);
    let (left, right) = if wide { (x, x.transposed()) } else { (x.transposed(), x) };
    let (mut gram, mut polynomial, mut spare) = (vec![0.0; side * side], vec![0.0; side * side], vec![0.0; side * side]);
    product(left, right, &mut gram);
    let mut all = identity(side);
    let [a, b, c] = COEFFICIENTS;
    for iteration in 1..=iterations {
        square(&gram, &gram, &mut polynomial);
        polynomial.iter_mut().zip(&gram).for_each(|(power, gram)| *power = b * gram + c * *power);
        polynomial.iter_mut().step_by(side + 1).for_each(|diagonal| *diagonal += a);
        square(&polynomial, &all, &mut spare);
        std::mem::swap(&mut all, &mut spare);
        if iteration < iterations {
            square(&gram, &polynomial, &mut spare);
            square(&polynomial, &spare, &mut gram);
        }
    }
    let all = Matrix::rows(&all, side, side);
    let (left, right) = if wide { (all, x) } else { (x, all) };
    let mut result = vec![0.0; matrix.len()];
    product(left, right, &mut result);
    matrix.copy_from_slice(&result);
}

fn identity(side: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; side * side];
    matrix.iter_mut().step_by(side + 1).for_each(|diagonal| *diagonal = 1.0);
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{assert_close, numbers};

    /// The plain product of `[n, k]` and `[k, m]`, in double precision.
    fn plain(a: &[f64], b: &[f64], [n, k, m]: [usize; 3]) -> Vec<f64> {
        let sum = |row: usize, column: usize| (0..k).map(|index| a[row * k + index] * b[index * m + column]).sum();
        (0..n * m).map(|place| sum(place / m, place % m)).collect()
    }

    fn transposed(a: &[f64], rows: usize) -> Vec<f64> {
        let columns = a.len() / rows;
        (0..a.len()).map(|place| a[place % rows * columns + place / rows]).collect()
    }

    /// The iteration by its definition, always over the rows.
    fn orthogonal(matrix: &[f64], rows: usize, iterations: usize) -> Vec<f64> {
        let columns = matrix.len() / rows;
        let norm = matrix.iter().map(|value| value * value).sum::<f64>().sqrt();
        let mut x: Vec<f64> = matrix.iter().map(|value| value / norm).collect();
        let [a, b, c] = COEFFICIENTS.map(f64::from);
        for _ in 0..iterations {
            let gram = plain(&x, &transposed(&x, rows), [rows, columns, rows]);
            let square = plain(&gram, &gram, [rows; 3]);
            let polynomial: Vec<f64> = gram.iter().zip(&square).map(|(gram, square)| b * gram + c * square).collect();
            let next = plain(&polynomial, &x, [rows, rows, columns]);
            x = x.iter().zip(next).map(|(value, next)| a * value + next).collect();
        }
        x
    }

    #[test]
    fn steps_are_those_of_the_definition_for_wide_and_tall_matrices() {
        for (rows, columns) in [(3, 8), (8, 3), (5, 5), (1, 4), (40, 90)] {
            let length = rows * columns;
            let (mut weights, mut velocity) = (numbers("weights", length), vec![0.0; length]);
            let mut exact: Vec<f64> = weights.iter().copied().map(f64::from).collect();
            let mut exact_velocity = vec![0.0; length];
            let step = MuonStep { learning_rate: 0.1, momentum: 0.9, iterations: 5, decay: 0.03 };
            for time in 0..3 {
                let gradient = numbers(&format!("gradient {time}"), length);
                step.run(rows, &mut weights, &gradient, &mut velocity);
                exact_velocity.iter_mut().zip(&gradient).for_each(|(v, g)| *v = 0.9 * *v + f64::from(*g));
                let direction: Vec<f64> = exact_velocity.iter().zip(&gradient).map(|(v, g)| f64::from(*g) + 0.9 * v).collect();
                let rate = 0.1 * 0.2 * (rows.max(columns) as f64).sqrt();
                let direction = orthogonal(&direction, rows, 5);
                exact.iter_mut().zip(direction).for_each(|(weight, step)| *weight = 0.97 * *weight - rate * step);
            }
            assert_close("velocity", &velocity, &exact_velocity, 1e-5);
            assert_close("weights", &weights, &exact, 1e-3);
        }
    }

    #[test]
    fn singular_values_come_near_to_one() {
        let (rows, columns) = (6, 20);
        let mut matrix = numbers("matrix", rows * columns);
        orthogonalise(&mut matrix, rows, 5);
        let x: Vec<f64> = matrix.iter().copied().map(f64::from).collect();
        let gram = plain(&x, &transposed(&x, rows), [rows, columns, rows]);
        for row in 0..rows {
            let length = gram[row * rows + row];
            assert!((0.4..1.6).contains(&length), "row {row} has squared length {length}");
        }
    }

    #[test]
    fn a_gradient_of_zeros_moves_nothing() {
        let mut weights = vec![1.0, 2.0];
        let step = MuonStep { learning_rate: 0.1, momentum: 0.9, iterations: 5, decay: 0.0 };
        step.run(1, &mut weights, &[0.0, 0.0], &mut [0.0, 0.0]);
        assert_eq!(weights, [1.0, 2.0]);
    }
}
