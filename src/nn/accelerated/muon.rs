//! Muon as an optimiser of Burn whose step is one kernel.

use burn::backend::Dispatch;
use burn::backend::flex::FlexTensor;
use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

use super::extension::Accelerated;
use crate::kernels::MuonStep;

/// Muon (Jordan and others, 2024) with Nesterov's momentum, for weights: a convolution's are a matrix with a row for each output
/// channel. See [`MuonStep`] for the size of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Muon {
    /// Share of the velocity that is kept in each step.
    pub momentum: f32,
    /// Iterations of Newton and Schulz.
    pub iterations: usize,
    /// Share of a weight that decays in each step, times the learning rate.
    pub weight_decay: f32,
}

/// The state of [`Muon`]: the sum of gradients, each fading by the momentum.
#[derive(Clone, Debug)]
pub struct Velocity<const D: usize> {
    /// As the weights.
    pub velocity: Tensor<D>,
}

impl<const D: usize> RecordState for Velocity<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(prefix, "velocity", self.velocity.to_data());
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let data = source.take_tensor(prefix, "velocity")?;
        Some(Self { velocity: Tensor::from_data(data, device) })
    }
}

impl Optimizer for Muon {
    type State<const D: usize> = Velocity<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        weights: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Velocity<D>>,
    ) -> (Tensor<D>, Option<Velocity<D>>) {
        let velocity = state.map_or_else(|| gradient.zeros_like(), |state| state.velocity);
        let step = MuonStep {
            learning_rate: learning_rate as f32,
            momentum: self.momentum,
            iterations: self.iterations,
            decay: (learning_rate * f64::from(self.weight_decay)) as f32,
        };
        let (weights, velocity) =
            <Dispatch as Accelerated>::muon(weights.into_dispatch(), gradient.into_dispatch(), velocity.into_dispatch(), step);
        (Tensor::from_dispatch(weights), Some(Velocity { velocity: Tensor::from_dispatch(velocity) }))
    }

    fn to_device<const D: usize>(state: Velocity<D>, device: &Device) -> Velocity<D> {
        Velocity { velocity: state.velocity.to_device(device) }
    }
}

/// Takes the step; tensors that nobody else holds are changed in place.
pub(super) fn step([weights, gradient, velocity]: [FlexTensor; 3], step: MuonStep) -> (FlexTensor, FlexTensor) {
    let rows = weights.layout().shape()[0];
    let [mut weights, gradient, mut velocity] = [weights, gradient, velocity].map(|tensor| tensor.to_contiguous());
    step.run(rows, weights.storage_mut(), super::maps::numbers(&gradient), velocity.storage_mut());
    (weights, velocity)
}
