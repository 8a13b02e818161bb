//! Convolution blocks as operations.

use std::sync::{Arc, PoisonError};

use burn::backend::flex::FlexTensor;

use super::maps::{MapNumber, by_number, numbers, sizes};
use super::operation::Operation;
use super::{Activation, Then, Windows, memory};
use crate::kernels::{self, Affine, ConvShape, Convolution, Gradients, Moments, NormGradient, OutputGradient, Pooled};

/// Plans that are kept at most: more than the convolutions of a network, times the sizes of batches that it is given.
const PLANS: usize = 256;

/// Convolution, bias, activation, and 2×2 max pooling after ReLU. Inputs: images, weights, bias.
#[derive(Clone, Copy, Debug)]
pub struct ConvBlock {
    pub(super) windows: Windows,
    pub(super) then: Then,
}

/// What [`ConvBlock`] saves.
#[derive(Clone, Debug)]
pub struct SavedConv {
    x: FlexTensor,
    weight: FlexTensor,
    /// ReLU's output or GELU's input.
    values: Option<FlexTensor>,
    /// What pooling chose.
    choice: Vec<u8>,
}

impl Operation<3> for ConvBlock {
    type Saved = SavedConv;

    fn forward(self, inputs: [FlexTensor; 3]) -> (FlexTensor, SavedConv) {
        let inputs = inputs.map(|input| input.to_contiguous());
        by_number!(inputs[0], Self::forward_of(self, inputs))
    }

    fn backward(self, saved: SavedConv, gradient: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        by_number!(saved.x, Self::backward_of(self, saved, &gradient.to_contiguous(), wanted))
    }
}

impl ConvBlock {
    fn forward_of<N: MapNumber>(self, [x, weight, bias]: [FlexTensor; 3]) -> (FlexTensor, SavedConv) {
        let conv = plan::<N>(self.windows, &x, &weight);
        let [whole, pooled] = shapes(conv.shape());
        let bias = Some(numbers(&bias));
        let mut choice = Vec::new();
        let (output, values) = match self.then {
            Then { activation: Activation::Relu, pool: true } => {
                choice.resize(pooled.iter().product(), 0);
                let y = memory::tensor::<N>(pooled, |y| conv.forward_pool(numbers(&x), numbers(&weight), bias, y, &mut choice));
                (y, None)
            }
            Then { activation, pool } => {
                assert!(!pool, "only ReLU is pooled here");
                let relu = activation == Activation::Relu;
                let y = memory::tensor::<N>(whole, |y| conv.forward(numbers(&x), numbers(&weight), bias, relu, y));
                match activation {
                    Activation::None => (y, None),
                    Activation::Relu => (y.clone(), Some(y)),
                    Activation::Gelu => (memory::tensor::<N>(whole, |to| kernels::gelu(numbers(&y), to)), Some(y)),
                }
            }
        };
        (output, SavedConv { x, weight, values, choice })
    }

    fn backward_of<N: MapNumber>(self, saved: SavedConv, gradient: &FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let SavedConv { x, weight, values, choice } = saved;
        let gradient = numbers::<N>(gradient);
        let values = values.as_ref().map(numbers);
        let of_output = match (self.then.activation, values) {
            (Activation::Relu, None) => OutputGradient::ReluPool { gradient, choice: &choice },
            (Activation::Relu, Some(output)) => OutputGradient::Relu { gradient, output },
            (Activation::Gelu, Some(input)) => OutputGradient::Gelu { gradient, input },
            (Activation::Gelu, None) | (Activation::None, _) => OutputGradient::Plain(gradient),
        };
        backward(&plan(self.windows, &x, &weight), &x, &weight, &of_output, wanted)
    }
}

/// Convolution, batch normalisation, and perhaps ReLU and 2×2 max pooling. Inputs: images, weights, γ, β.
#[derive(Clone, Copy, Debug)]
pub struct ConvNormBlock {
    pub(super) windows: Windows,
    pub(super) epsilon: f32,
    pub(super) then: Then,
}

/// What [`ConvNormBlock`] saves.
#[derive(Clone, Debug)]
pub struct SavedConvNorm {
    x: FlexTensor,
    weight: FlexTensor,
    /// The convolution's output.
    y: FlexTensor,
    affine: Affine,
    /// Statistics of the batch.
    pub(super) moments: Moments,
    /// What pooling picked and chose.
    pooled: Option<(FlexTensor, Vec<u8>)>,
}

impl Operation<4> for ConvNormBlock {
    type Saved = SavedConvNorm;

    fn forward(self, inputs: [FlexTensor; 4]) -> (FlexTensor, SavedConvNorm) {
        let inputs = inputs.map(|input| input.to_contiguous());
        by_number!(inputs[0], Self::forward_of(self, inputs))
    }

    fn backward(self, saved: SavedConvNorm, gradient: FlexTensor, wanted: [bool; 4]) -> [Option<FlexTensor>; 4] {
        by_number!(saved.x, Self::backward_of(self, saved, &gradient.to_contiguous(), wanted))
    }
}

impl ConvNormBlock {
    fn forward_of<N: MapNumber>(self, [x, weight, gamma, beta]: [FlexTensor; 4]) -> (FlexTensor, SavedConvNorm) {
        let conv = plan::<N>(self.windows, &x, &weight);
        let [whole, half] = shapes(conv.shape());
        let (y, moments) = memory::tensor_with::<N, _>(whole, |y| conv.forward_moments(numbers(&x), numbers(&weight), y));
        let affine = Affine::new(&moments, numbers(&gamma), numbers(&beta), self.epsilon);
        let relu = self.relu();
        let (output, pooled) = if self.then.pool {
            let mut choice = vec![0; half.iter().product()];
            let (output, picked) = memory::tensor_with(half, |output| {
                memory::tensor(half, |picked| {
                    affine.apply_pool(numbers::<N>(&y), whole[1], whole[2], relu, Pooled { output, picked, choice: &mut choice });
                })
            });
            (output, Some((picked, choice)))
        } else {
            (memory::tensor(whole, |output| affine.apply(numbers::<N>(&y), relu, output)), None)
        };
        (output, SavedConvNorm { x, weight, y, affine, moments, pooled })
    }

    fn backward_of<N: MapNumber>(
        self,
        saved: SavedConvNorm,
        gradient: &FlexTensor,
        wanted: [bool; 4],
    ) -> [Option<FlexTensor>; 4] {
        let SavedConvNorm { x, weight, y, affine, pooled, .. } = saved;
        let gradient = numbers::<N>(gradient);
        let picked = pooled.as_ref().map_or(&y, |(picked, _)| picked);
        let [of_gamma, of_beta] = affine.parameter_gradients(numbers(picked), gradient, self.relu());
        let norm = NormGradient {
            affine: &affine,
            input: numbers(&y),
            gradient,
            gamma: &of_gamma,
            beta: &of_beta,
            relu: self.relu(),
            choice: pooled.as_ref().map(|(_, choice)| choice.as_slice()),
        };
        let conv = plan::<N>(self.windows, &x, &weight);
        let [wants_x, wants_weight, wants_gamma, wants_beta] = wanted;
        let [of_x, of_weight, _] = backward(&conv, &x, &weight, &OutputGradient::Norm(norm), [wants_x, wants_weight, false]);
        let channels = |values: Vec<f32>| memory::tensor::<f32>([values.len()], |to| to.copy_from_slice(&values));
        [of_x, of_weight, wants_gamma.then(|| channels(of_gamma)), wants_beta.then(|| channels(of_beta))]
    }

    fn relu(self) -> bool {
        assert!(self.then.activation != Activation::Gelu, "GELU follows apart");
        self.then.activation == Activation::Relu
    }
}

/// Plans the convolution of `x`, `[N, H, W, inputs]`, by `weight`, `[outputs, inputs, k, k]`.
fn plan<N: MapNumber>(windows: Windows, x: &FlexTensor, weight: &FlexTensor) -> Arc<Convolution<N>> {
    let [batch, height, width, channels] = sizes(x);
    let [outputs, inputs, kernel, columns] = sizes(weight);
    assert_eq!(channels, inputs, "the weights are for the images' channels");
    assert_eq!(kernel, columns, "the kernel is square");
    let Windows { stride, padding } = windows;
    let shape = ConvShape { batch, height, width, inputs, outputs, kernel, stride, padding };
    let mut plans = N::plans().lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(plan) = plans.get(&shape) {
        return Arc::clone(plan);
    }
    if plans.len() >= PLANS {
        plans.clear();
    }
    let plan = Arc::new(Convolution::new(shape).unwrap_or_else(|error| panic!("{error}")));
    plans.insert(shape, Arc::clone(&plan));
    plan
}

/// Shapes of what comes out, whole and after 2×2 pooling.
fn shapes(shape: &ConvShape) -> [[usize; 4]; 2] {
    let (height, width) = (shape.output_height(), shape.output_width());
    [[shape.batch, height, width, shape.outputs], [shape.batch, height / 2, width / 2, shape.outputs]]
}

/// The gradients of images, weights and bias that are wanted.
fn backward<N: MapNumber>(
    conv: &Convolution<N>,
    x: &FlexTensor,
    weight: &FlexTensor,
    gradient: &OutputGradient<'_, N>,
    [wants_x, wants_weight, wants_bias]: [bool; 3],
) -> [Option<FlexTensor>; 3] {
    let mut of_weight = vec![0.0; if wants_weight { conv.shape().weights_len() } else { 0 }];
    let mut of_bias = vec![0.0; if wants_bias { conv.shape().outputs } else { 0 }];
    let mut run = |input: Option<&mut [N]>| {
        let weights = wants_weight.then_some(of_weight.as_mut_slice());
        let bias = wants_bias.then_some(of_bias.as_mut_slice());
        conv.backward(numbers(x), numbers(weight), gradient, Gradients { input, weights, bias });
    };
    let of_x = if wants_x {
        Some(memory::tensor(sizes::<4>(x), |to| run(Some(to))))
    } else {
        run(None);
        None
    };
    // Parameters' gradients stay out of the pool: the optimiser changes them in place.
    let parameter = |values, shape: &[usize]| FlexTensor::from_data(burn::tensor::TensorData::new(values, shape.to_vec()));
    let outputs = conv.shape().outputs;
    [of_x, wants_weight.then(|| parameter(of_weight, &sizes::<4>(weight))), wants_bias.then(|| parameter(of_bias, &[outputs]))]
}
