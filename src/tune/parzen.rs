//! A Parzen estimator on 0–1: a density made of one truncated normal kernel for each observation, and a wide one at the
//! centre, the prior, that lets every value have a chance.
//!
//! As in Bergstra and others (2011), a kernel is as wide as the farther of the gaps to its neighbours, so that the density is
//! narrow where observations crowd; no kernel is narrower than 1 / min(100, 1 + kernels), which keeps a few equal
//! observations from ending the search. Kernels are cut off at 0 and 1 and each has all its mass between them.

use std::f64::consts::{SQRT_2, TAU};

use rand::RngExt;

use crate::seed::Rng;

/// A mixture of truncated normal distributions of equal weight.
#[derive(Clone, Debug)]
pub(super) struct Parzen {
    kernels: Vec<Kernel>,
}

#[derive(Clone, Copy, Debug)]
struct Kernel {
    mean: f64,
    deviation: f64,
    /// What of the untruncated distribution lies between 0 and 1.
    mass: f64,
}

impl Parzen {
    /// The estimate from `observations`, each 0–1, in any order.
    pub(super) fn new(observations: impl IntoIterator<Item = f64>) -> Self {
        let mut means: Vec<(f64, bool)> = observations.into_iter().map(|mean| (mean, false)).collect();
        means.push((0.5, true));
        means.sort_by(|a, b| a.0.total_cmp(&b.0));
        let narrowest = 1.0 / (1.0 + means.len() as f64).min(100.0);
        let kernel = |(index, &(mean, is_prior)): (usize, &(f64, bool))| {
            let below = index.checked_sub(1).map_or(0.0, |below| mean - means[below].0);
            let above = means.get(index + 1).map_or(0.0, |above| above.0 - mean);
            Kernel::new(mean, if is_prior { 1.0 } else { below.max(above).clamp(narrowest, 1.0) })
        };
        Self { kernels: means.iter().enumerate().map(kernel).collect() }
    }

    /// Draws a number, 0–1.
    pub(super) fn draw(&self, rng: &mut Rng) -> f64 {
        let kernel = self.kernels[rng.random_range(0..self.kernels.len())];
        loop {
            // A kernel's mean lies between 0 and 1 and its deviation is at most 1: a third of the draws or more are kept.
            let draw = kernel.mean + kernel.deviation * standard_normal(rng);
            if (0.0..=1.0).contains(&draw) {
                return draw;
            }
        }
    }

    /// The density at `position`.
    pub(super) fn density(&self, position: f64) -> f64 {
        let of_kernel = |kernel: &Kernel| {
            let z = (position - kernel.mean) / kernel.deviation;
            libm::exp(-0.5 * z * z) / (TAU.sqrt() * kernel.deviation * kernel.mass)
        };
        self.mean(of_kernel)
    }

    /// The chance of a number between `low` and `high`.
    pub(super) fn mass(&self, low: f64, high: f64) -> f64 {
        self.mean(|kernel| kernel.untruncated_mass(low, high) / kernel.mass)
    }

    fn mean(&self, of_kernel: impl Fn(&Kernel) -> f64) -> f64 {
        self.kernels.iter().map(of_kernel).sum::<f64>() / self.kernels.len() as f64
    }
}

impl Kernel {
    fn new(mean: f64, deviation: f64) -> Self {
        let mut kernel = Self { mean, deviation, mass: 1.0 };
        kernel.mass = kernel.untruncated_mass(0.0, 1.0);
        kernel
    }

    fn untruncated_mass(&self, low: f64, high: f64) -> f64 {
        let below = |position: f64| 0.5 * libm::erfc((self.mean - position) / (self.deviation * SQRT_2));
        below(high) - below(low)
    }
}

/// A draw of the standard normal distribution (Box and Muller, 1958).
fn standard_normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * libm::log(1.0 - rng.random::<f64>())).sqrt();
    radius * libm::cos(TAU * rng.random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn check(observations: &[f64]) {
        let parzen = Parzen::new(observations.iter().copied());
        let cells = 1000;
        let middle = |cell: usize| (cell as f64 + 0.5) / f64::from(cells as u32);
        let integral = (0..cells).map(|cell| parzen.density(middle(cell))).sum::<f64>() / cells as f64;
        assert!((integral - 1.0).abs() < 1e-3, "{observations:?}: density sums to {integral}");
        assert!((parzen.mass(0.0, 1.0) - 1.0).abs() < 1e-12, "{observations:?}");
        let sum = (0..7).map(|cell| parzen.mass(f64::from(cell) / 7.0, f64::from(cell + 1) / 7.0)).sum::<f64>();
        assert!((sum - 1.0).abs() < 1e-12, "{observations:?}: cells sum to {sum}");

        let (mut rng, draws) = (Seed::new(7).rng(), 4000);
        let below = (0..draws).filter(|_| parzen.draw(&mut rng) < 0.3).count() as f64 / f64::from(draws);
        let expected = parzen.mass(0.0, 0.3);
        assert!((below - expected).abs() < 0.03, "{observations:?}: drawn {below}, expected {expected}");
    }

    #[test]
    fn it_is_a_distribution_and_draws_follow_it() {
        check(&[]);
        check(&[0.0]);
        check(&[1.0, 0.0]);
        check(&[0.2, 0.25, 0.3]);
        check(&[0.9; 30]);
    }

    #[test]
    fn observations_attract_and_the_prior_leaves_a_chance_elsewhere() {
        let parzen = Parzen::new([0.8, 0.82, 0.84]);
        assert!(parzen.density(0.82) > 3.0 * parzen.density(0.2));
        assert!(parzen.density(0.0) > 0.1);
    }

    #[test]
    fn the_normal_draws_have_mean_0_and_deviation_1() {
        let mut rng = Seed::new(3).rng();
        let draws: Vec<f64> = (0..20_000).map(|_| standard_normal(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
