//! A step of Adam in one pass over memory.

use rayon::prelude::*;

use super::simd::{Level, Simd, Task};

/// Numbers that one task works on.
const PIECE: usize = 1 << 14;

/// A step of Adam (Kingma and Ba, 2015), with an L2 penalty or decoupled weight decay (Loshchilov and Hutter, 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Step size.
    pub learning_rate: f32,
    /// Decay of the mean of gradients.
    pub beta_1: f32,
    /// Decay of the mean of squared gradients.
    pub beta_2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// Which step it is, from 1.
    pub time: i32,
    /// Share of a weight that is added to its gradient.
    pub penalty: f32,
    /// Share of a weight that decays in the step.
    pub decay: f32,
}

impl AdamStep {
    /// Moves `weights` along `gradient`; `means` and `squares` are the running means of gradients and of their squares, which take in
    /// the gradient first. All slices have one length.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn run(&self, weights: &mut [f32], gradient: &[f32], means: &mut [f32], squares: &mut [f32]) {
        let length = weights.len();
        assert!(gradient.len() == length && means.len() == length && squares.len() == length, "all slices have one length");
        let level = Level::best();
        let states = means.par_chunks_mut(PIECE).zip(squares.par_chunks_mut(PIECE));
        weights.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE)).zip(states).for_each(
            |((weights, gradient), (means, squares))| {
                level.run(Move { step: self, weights, gradient, means, squares });
            },
        );
    }
}

struct Move<'a> {
    step: &'a AdamStep,
    weights: &'a mut [f32],
    gradient: &'a [f32],
    means: &'a mut [f32],
    squares: &'a mut [f32],
}

impl Task for Move<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let AdamStep { learning_rate, beta_1, beta_2, epsilon, time, penalty, decay } = *self.step;
        let (rest_1, rest_2) = (1.0 - beta_1, 1.0 - beta_2);
        let (unbias_1, unbias_2) = (1.0 / (1.0 - beta_1.powi(time)), 1.0 / (1.0 - beta_2.powi(time)));
        let kept = 1.0 - decay;
        let states = self.means.iter_mut().zip(self.squares);
        for ((weight, gradient), (mean, square)) in self.weights.iter_mut().zip(self.gradient).zip(states) {
            let gradient = gradient + penalty * *weight;
            *mean = beta_1 * *mean + rest_1 * gradient;
            *square = beta_2 * *square + rest_2 * gradient * gradient;
            let step = *mean * unbias_1 / ((*square * unbias_2).sqrt() + epsilon);
            *weight = kept * *weight - learning_rate * step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::{assert_close, numbers};

    #[test]
    fn steps_are_those_of_the_definition() {
        let length = PIECE + 77;
        let (mut weights, mut means, mut squares) = (numbers("weights", length), vec![0.0; length], vec![0.0; length]);
        let mut exact: Vec<[f64; 3]> = weights.iter().map(|weight| [f64::from(*weight), 0.0, 0.0]).collect();
        for time in 1..4 {
            let gradient = numbers(&format!("gradient {time}"), length);
            let step = AdamStep { learning_rate: 0.1, beta_1: 0.9, beta_2: 0.99, epsilon: 0.01, time, penalty: 0.2, decay: 0.03 };
            step.run(&mut weights, &gradient, &mut means, &mut squares);
            for ([weight, mean, square], gradient) in exact.iter_mut().zip(&gradient) {
                let gradient = f64::from(*gradient) + 0.2 * *weight;
                *mean = 0.9 * *mean + 0.1 * gradient;
                *square = 0.99 * *square + 0.01 * gradient * gradient;
                let (mean, square) = (*mean / (1.0 - 0.9f64.powi(time)), *square / (1.0 - 0.99f64.powi(time)));
                *weight = 0.97 * *weight - 0.1 * mean / (square.sqrt() + 0.01);
            }
        }
        let expected = |part: usize| exact.iter().map(|values| values[part]).collect::<Vec<_>>();
        assert_close("weights", &weights, &expected(0), 2e-5);
        assert_close("means", &means, &expected(1), 1e-6);
        assert_close("squares", &squares, &expected(2), 1e-6);
    }
}
