//! The operations as an extension of Burn's backends: run on Flex, recorded on autodiff over Flex.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::TensorData;

use super::activation::Activation;
use super::adam;
use super::conv::{ConvBlock, ConvNormBlock};
use super::dense::DenseBlock;
use super::maps::{Add, Convert};
use super::muon;
use super::norm::{NormBlock, ScaleShift};
use super::operation::{Operation, Tracked, record};
use super::pool::{GlobalPool, Pooling};
use crate::kernels::{AdamStep, Moments, MuonStep};

/// Backends that have the kernels.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Accelerated: Backend {
    fn conv_block(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        block: ConvBlock,
    ) -> FloatTensor<Self>;

    fn conv_norm_block(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        block: ConvNormBlock,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn norm_block(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        block: NormBlock,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn scale_shift(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        operation: ScaleShift,
    ) -> FloatTensor<Self>;

    fn pool(x: FloatTensor<Self>, pooling: Pooling) -> FloatTensor<Self>;

    fn global_pool(x: FloatTensor<Self>, pooling: GlobalPool) -> FloatTensor<Self>;

    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;

    fn convert(x: FloatTensor<Self>, convert: Convert) -> FloatTensor<Self>;

    fn add(a: FloatTensor<Self>, b: FloatTensor<Self>, add: Add) -> FloatTensor<Self>;

    fn dense(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>, block: DenseBlock) -> FloatTensor<Self>;

    /// New weights and running means.
    fn adam(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        means: FloatTensor<Self>,
        squares: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// New weights and velocity.
    fn muon(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        step: MuonStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl Accelerated for Flex {
    fn conv_block(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, block: ConvBlock) -> FlexTensor {
        block.forward([x, weight, bias]).0
    }

    fn conv_norm_block(
        x: FlexTensor,
        weight: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        block: ConvNormBlock,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (y, saved) = block.forward([x, weight, gamma, beta]);
        let [mean, variance] = statistics(saved.moments);
        (y, mean, variance)
    }

    fn norm_block(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor, block: NormBlock) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (y, saved) = block.forward([x, gamma, beta]);
        let [mean, variance] = statistics(saved.moments);
        (y, mean, variance)
    }

    fn scale_shift(x: FlexTensor, scale: FlexTensor, shift: FlexTensor, operation: ScaleShift) -> FlexTensor {
        operation.forward([x, scale, shift]).0
    }

    fn pool(x: FlexTensor, pooling: Pooling) -> FlexTensor {
        pooling.forward([x]).0
    }

    fn global_pool(x: FlexTensor, pooling: GlobalPool) -> FlexTensor {
        pooling.forward([x]).0
    }

    fn activate(x: FlexTensor, activation: Activation) -> FlexTensor {
        activation.forward([x]).0
    }

    fn convert(x: FlexTensor, convert: Convert) -> FlexTensor {
        convert.forward([x]).0
    }

    fn add(a: FlexTensor, b: FlexTensor, add: Add) -> FlexTensor {
        add.forward([a, b]).0
    }

    fn dense(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, block: DenseBlock) -> FlexTensor {
        block.forward([x, weight, bias]).0
    }

    fn adam(
        weights: FlexTensor,
        gradient: FlexTensor,
        means: FlexTensor,
        squares: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        adam::step([weights, gradient, means, squares], step)
    }

    fn muon(weights: FlexTensor, gradient: FlexTensor, velocity: FlexTensor, step: MuonStep) -> (FlexTensor, FlexTensor) {
        muon::step([weights, gradient, velocity], step)
    }
}

impl<C: CheckpointStrategy> Accelerated for Autodiff<Flex, C> {
    fn conv_block(x: Tracked<C>, weight: Tracked<C>, bias: Tracked<C>, block: ConvBlock) -> Tracked<C> {
        record::<C, _, _, 3>(block, [x, weight, bias], |_| ()).0
    }

    fn conv_norm_block(
        x: Tracked<C>,
        weight: Tracked<C>,
        gamma: Tracked<C>,
        beta: Tracked<C>,
        block: ConvNormBlock,
    ) -> (Tracked<C>, Tracked<C>, Tracked<C>) {
        let (y, [mean, variance]) =
            record::<C, _, _, 4>(block, [x, weight, gamma, beta], |saved| statistics(saved.moments.clone()));
        (y, Tracked::<C>::new(mean), Tracked::<C>::new(variance))
    }

    fn norm_block(x: Tracked<C>, gamma: Tracked<C>, beta: Tracked<C>, block: NormBlock) -> (Tracked<C>, Tracked<C>, Tracked<C>) {
        let (y, [mean, variance]) = record::<C, _, _, 3>(block, [x, gamma, beta], |saved| statistics(saved.moments.clone()));
        (y, Tracked::<C>::new(mean), Tracked::<C>::new(variance))
    }

    fn scale_shift(x: Tracked<C>, scale: Tracked<C>, shift: Tracked<C>, operation: ScaleShift) -> Tracked<C> {
        record::<C, _, _, 3>(operation, [x, scale, shift], |_| ()).0
    }

    fn pool(x: Tracked<C>, pooling: Pooling) -> Tracked<C> {
        record::<C, _, _, 1>(pooling, [x], |_| ()).0
    }

    fn global_pool(x: Tracked<C>, pooling: GlobalPool) -> Tracked<C> {
        record::<C, _, _, 1>(pooling, [x], |_| ()).0
    }

    fn activate(x: Tracked<C>, activation: Activation) -> Tracked<C> {
        record::<C, _, _, 1>(activation, [x], |_| ()).0
    }

    fn convert(x: Tracked<C>, convert: Convert) -> Tracked<C> {
        record::<C, _, _, 1>(convert, [x], |_| ()).0
    }

    fn add(a: Tracked<C>, b: Tracked<C>, add: Add) -> Tracked<C> {
        record::<C, _, _, 2>(add, [a, b], |()| ()).0
    }

    fn dense(x: Tracked<C>, weight: Tracked<C>, bias: Tracked<C>, block: DenseBlock) -> Tracked<C> {
        record::<C, _, _, 3>(block, [x, weight, bias], |_| ()).0
    }

    fn adam(
        weights: Tracked<C>,
        gradient: Tracked<C>,
        means: Tracked<C>,
        squares: Tracked<C>,
        step: AdamStep,
    ) -> (Tracked<C>, Tracked<C>, Tracked<C>) {
        // A step is not differentiated.
        let tensors = [weights, gradient, means, squares].map(|tensor| tensor.into_primitive());
        let (weights, means, squares) = adam::step(tensors, step);
        (Tracked::<C>::new(weights), Tracked::<C>::new(means), Tracked::<C>::new(squares))
    }

    fn muon(weights: Tracked<C>, gradient: Tracked<C>, velocity: Tracked<C>, step: MuonStep) -> (Tracked<C>, Tracked<C>) {
        let (weights, velocity) = muon::step([weights, gradient, velocity].map(|tensor| tensor.into_primitive()), step);
        (Tracked::<C>::new(weights), Tracked::<C>::new(velocity))
    }
}

fn statistics(moments: Moments) -> [FlexTensor; 2] {
    [moments.mean, moments.variance].map(|values| {
        let channels = values.len();
        FlexTensor::from_data(TensorData::new(values, [channels]))
    })
}
