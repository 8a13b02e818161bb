//! Adam as an optimiser of Burn whose step is one kernel. Its state is that of Burn's own Adam.

use burn::backend::Dispatch;
use burn::backend::flex::FlexTensor;
use burn::optim::{AdamState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};

use super::extension::Accelerated;
use crate::kernels::AdamStep;

/// Adam (Kingma and Ba, 2015), or with `decoupled` decay AdamW (Loshchilov and Hutter, 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the mean of gradients.
    pub beta_1: f32,
    /// Decay of the mean of squared gradients.
    pub beta_2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// An L2 penalty, or the share of a weight that decays in each step, times the learning rate.
    pub weight_decay: f32,
    /// Whether weights decay by themselves; else the penalty is added to the gradient.
    pub decoupled: bool,
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        weights: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let AdaptiveMomentumState { time, moment_1, moment_2, .. } = match state {
            Some(state) => state.momentum,
            None => AdaptiveMomentumState::new(0, gradient.zeros_like(), gradient.zeros_like()),
        };
        let time = time + 1;
        let step = AdamStep {
            learning_rate: learning_rate as f32,
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
            time: i32::try_from(time).unwrap_or(i32::MAX),
            penalty: if self.decoupled { 0.0 } else { self.weight_decay },
            decay: if self.decoupled { (learning_rate * f64::from(self.weight_decay)) as f32 } else { 0.0 },
        };
        let (weights, means, squares) = <Dispatch as Accelerated>::adam(
            weights.into_dispatch(),
            gradient.into_dispatch(),
            moment_1.into_dispatch(),
            moment_2.into_dispatch(),
            step,
        );
        let momentum = AdaptiveMomentumState::new(time, Tensor::from_dispatch(means), Tensor::from_dispatch(squares));
        (Tensor::from_dispatch(weights), Some(AdamState::new(momentum)))
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        AdamState::new(state.momentum.to_device(device))
    }
}

/// Takes the step; tensors that nobody else holds are changed in place.
pub(super) fn step([weights, gradient, means, squares]: [FlexTensor; 4], step: AdamStep) -> (FlexTensor, FlexTensor, FlexTensor) {
    let [mut weights, gradient, mut means, mut squares] =
        [weights, gradient, means, squares].map(|tensor| tensor.to_contiguous());
    step.run(weights.storage_mut(), super::maps::numbers(&gradient), means.storage_mut(), squares.storage_mut());
    (weights, means, squares)
}
