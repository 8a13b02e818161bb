//! Every operation against Burn's own composition of the same layers: outputs, statistics and all gradients.

use burn::tensor::module::{avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{TensorData, activation};
use rand::RngExt;

use super::*;
use crate::seed::Seed;

fn device() -> Device {
    Device::flex().autodiff()
}

fn random<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
    let mut rng = Seed::new(3).child(name).rng();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_into_vec().expect("float32")
}

#[track_caller]
fn assert_close(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}: lengths");
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let tolerance = 2e-4 * theirs.abs().max(1.0);
        assert!((ours - theirs).abs() <= tolerance, "{what}: at {index}, {ours} instead of {theirs}");
    }
}

/// The parameters of a case, `[N, H, W, C]` images first; each a leaf that gradients are taken of.
struct Inputs {
    x: Tensor<4>,
    weight: Tensor<4>,
    vectors: [Tensor<1>; 2],
}

impl Inputs {
    fn new([batch, size, inputs, outputs, kernel]: [usize; 5]) -> Self {
        let x = random("x", [batch, size, size + 1, inputs]).require_grad();
        let weight = random("weight", [outputs, inputs, kernel, kernel]).require_grad();
        Self { x, weight, vectors: ["first", "second"].map(|name| random(name, [outputs]).require_grad()) }
    }

    /// Output, and the gradients of all inputs of a loss that weighs every number of the output differently.
    fn run<const D: usize>(&self, network: impl Fn(&Self) -> Tensor<D>) -> Vec<(&'static str, Vec<f32>)> {
        let y = network(self);
        let loss = (y.clone() * random("loss", y.dims())).sum();
        let gradients = loss.backward();
        let mut found = vec![("output", values(&y))];
        found.extend(self.x.grad(&gradients).map(|gradient| ("x", values(&gradient))));
        found.extend(self.weight.grad(&gradients).map(|gradient| ("weight", values(&gradient))));
        for (name, vector) in ["first", "second"].into_iter().zip(&self.vectors) {
            found.extend(vector.grad(&gradients).map(|gradient| (name, values(&gradient))));
        }
        found
    }
}

/// Compares outputs and gradients of both networks on the same inputs; `gradients` is how many inputs have one.
fn check<const D: usize>(
    shape: [usize; 5],
    gradients: usize,
    ours: impl Fn(&Inputs) -> Tensor<D>,
    theirs: impl Fn(&Inputs) -> Tensor<D>,
) {
    let inputs = Inputs::new(shape);
    let (ours, theirs) = (inputs.run(ours), inputs.run(theirs));
    assert_eq!(ours.len(), gradients + 1, "every input that was used has a gradient");
    assert_eq!(ours.len(), theirs.len());
    for ((what, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        assert_close(what, ours, theirs);
    }
}

fn channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

fn channels_last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

/// Burn's convolution, images `[N, C, H, W]`.
fn convolve(inputs: &Inputs, bias: bool, windows: Windows) -> Tensor<4> {
    let Windows { stride, padding } = windows;
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    let bias = bias.then(|| inputs.vectors[0].clone());
    conv2d(channels_first(inputs.x.clone()), inputs.weight.clone(), bias, options)
}

/// Batch normalisation from Burn's elementary operations, with mean and variance.
fn normalise(x: Tensor<4>, gamma: &Tensor<1>, beta: &Tensor<1>, epsilon: f32) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let channels = gamma.dims()[0];
    let wide = |vector: Tensor<1>| vector.reshape([1, channels, 1, 1]);
    let mean_of = |x: Tensor<4>| x.mean_dim(0).mean_dim(2).mean_dim(3).reshape([channels]);
    let mean = mean_of(x.clone());
    let apart = x - wide(mean.clone());
    let variance = mean_of(apart.clone() * apart.clone());
    let y = apart / wide(variance.clone() + epsilon).sqrt() * wide(gamma.clone()) + wide(beta.clone());
    (y, mean, variance)
}

fn follow(x: Tensor<4>, then: Then) -> Tensor<4> {
    let x = match then.activation {
        Activation::None => x,
        Activation::Relu => activation::relu(x),
        Activation::Gelu => activation::gelu(x),
    };
    channels_last(if then.pool { max_pool2d(x, MaxPoolOptions::new([2, 2])) } else { x })
}

fn every_then() -> impl Iterator<Item = Then> {
    [Activation::None, Activation::Relu, Activation::Gelu]
        .into_iter()
        .flat_map(|activation| [false, true].map(|pool| Then { activation, pool }))
}

const SAME: Windows = Windows { stride: 1, padding: 1 };
const HALF: Windows = Windows { stride: 2, padding: 1 };
const EPSILON: f32 = 1e-3;

#[test]
fn convolution_blocks() {
    for then in every_then() {
        for windows in [SAME, HALF] {
            let ours = |inputs: &Inputs| {
                let bias = Some(inputs.vectors[0].clone());
                conv_block(inputs.x.clone(), inputs.weight.clone(), bias, windows, then)
            };
            check([3, 6, 5, 17, 3], 3, ours, |inputs| follow(convolve(inputs, true, windows), then));
            let ours = |inputs: &Inputs| conv_block(inputs.x.clone(), inputs.weight.clone(), None, windows, then);
            check([3, 6, 5, 17, 3], 2, ours, |inputs| follow(convolve(inputs, false, windows), then));
        }
    }
}

#[test]
fn convolution_and_normalisation_blocks() {
    for then in every_then() {
        let ours = |inputs: &Inputs| {
            let [gamma, beta] = inputs.vectors.clone();
            conv_norm_block(inputs.x.clone(), inputs.weight.clone(), gamma, beta, EPSILON, SAME, then).output
        };
        let theirs = |inputs: &Inputs| {
            let [gamma, beta] = &inputs.vectors;
            follow(normalise(convolve(inputs, false, SAME), gamma, beta, EPSILON).0, then)
        };
        check([3, 6, 5, 17, 3], 4, ours, theirs);
    }
}

#[test]
fn normalisation_alone() {
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        let ours = |inputs: &Inputs| {
            let [gamma, beta] = inputs.vectors.clone();
            batch_norm(inputs.x.clone(), gamma, beta, EPSILON, activation).output
        };
        let theirs = |inputs: &Inputs| {
            let [gamma, beta] = &inputs.vectors;
            let then = Then { activation, pool: false };
            follow(normalise(channels_first(inputs.x.clone()), gamma, beta, EPSILON).0, then)
        };
        check([3, 6, 17, 17, 1], 3, ours, theirs);
    }
}

#[test]
fn statistics_are_those_of_the_batch() {
    let inputs = Inputs::new([3, 6, 5, 17, 3]);
    let [gamma, beta] = inputs.vectors.clone();
    let (_, mean, variance) = normalise(convolve(&inputs, false, SAME), &gamma, &beta, EPSILON);
    let found = conv_norm_block(inputs.x.clone(), inputs.weight.clone(), gamma.clone(), beta.clone(), EPSILON, SAME, Then::RELU);
    assert_close("mean", &values(&found.mean), &values(&mean));
    assert_close("variance", &values(&found.variance), &values(&variance));
    let y = channels_last(convolve(&inputs, false, SAME));
    let found = batch_norm(y, gamma, beta, EPSILON, Activation::None);
    assert_close("mean alone", &values(&found.mean), &values(&mean));
    assert_close("variance alone", &values(&found.variance), &values(&variance));
}

#[test]
fn a_folded_normalisation_computes_what_the_two_layers_do() {
    let inputs = Inputs::new([3, 6, 5, 17, 3]);
    let [bias, beta] = inputs.vectors.clone();
    let (gamma, running_mean) = (random("gamma", [17]), random("mean", [17]));
    let running_variance = random("variance", [17]).powi_scalar(2) + 0.1;
    let wide = |vector: &Tensor<1>| vector.clone().reshape([1, 17, 1, 1]);
    let y = convolve(&inputs, true, SAME);
    let expected = (y - wide(&running_mean)) / (wide(&running_variance) + EPSILON).sqrt() * wide(&gamma) + wide(&beta);
    let norm = [gamma, beta, running_mean, running_variance];
    let (weight, bias) = fold_norm(inputs.weight.clone(), Some(bias), norm, EPSILON);
    let found = conv_block(inputs.x.clone(), weight, Some(bias), SAME, Then::RELU);
    assert_close("output", &values(&found), &values(&follow(expected, Then::RELU)));
}

#[test]
fn pools() {
    for (size, stride) in [(2, 2), (3, 2), (3, 1)] {
        let ours = |inputs: &Inputs| pool(inputs.x.clone(), Pooling { max: true, size, stride });
        let options = MaxPoolOptions::new([size; 2]).with_stride([stride; 2]);
        check([3, 7, 5, 1, 1], 1, ours, |inputs| channels_last(max_pool2d(channels_first(inputs.x.clone()), options.clone())));
        let ours = |inputs: &Inputs| pool(inputs.x.clone(), Pooling { max: false, size, stride });
        let options = AvgPoolOptions::new([size; 2]).with_stride([stride; 2]);
        check([3, 7, 5, 1, 1], 1, ours, |inputs| channels_last(avg_pool2d(channels_first(inputs.x.clone()), options.clone())));
    }
    let pixels = |inputs: &Inputs| {
        let [batch, height, width, channels] = inputs.x.dims();
        inputs.x.clone().reshape([batch, height * width, channels])
    };
    check([3, 7, 5, 1, 1], 1, |i| global_avg_pool(i.x.clone()), |i| pixels(i).mean_dim(1).squeeze_dim::<2>(1));
    check([3, 7, 5, 1, 1], 1, |i| global_max_pool(i.x.clone()), |i| pixels(i).max_dim(1).squeeze_dim::<2>(1));
}

#[test]
fn activations() {
    check([3, 7, 5, 1, 1], 1, |i| activate(i.x.clone(), Activation::Relu), |i| activation::relu(i.x.clone()));
    check([3, 7, 5, 1, 1], 1, |i| activate(i.x.clone(), Activation::Gelu), |i| activation::gelu(i.x.clone()));
    check([3, 7, 5, 1, 1], 1, |i| activate(i.x.clone(), Activation::None), |i| i.x.clone().mul_scalar(1.0));
}

#[test]
fn dense_layers() {
    // The weights of a 1×1 convolution serve as the matrix.
    let rows = |inputs: &Inputs| inputs.x.clone().reshape([-1, 5]);
    let matrix = |inputs: &Inputs| inputs.weight.clone().reshape([5, 17]);
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        let ours = |i: &Inputs| dense(rows(i), matrix(i), Some(i.vectors[0].clone()), activation, false);
        let theirs = |i: &Inputs| {
            let y = rows(i).matmul(matrix(i)) + i.vectors[0].clone().reshape([1, 17]);
            match activation {
                Activation::None => y,
                Activation::Relu => activation::relu(y),
                Activation::Gelu => activation::gelu(y),
            }
        };
        check([3, 7, 5, 17, 1], 3, ours, theirs);
    }
    check([3, 7, 5, 17, 1], 2, |i| dense(rows(i), matrix(i), None, Activation::None, false), |i| rows(i).matmul(matrix(i)));
}

#[test]
fn tensors_without_autodiff_and_views_are_taken_too() {
    let inputs = Inputs::new([3, 6, 5, 17, 3]);
    let tracked = conv_block(inputs.x.clone(), inputs.weight.clone(), None, SAME, Then::RELU_POOL);
    let view = channels_first(inputs.x.inner());
    let plain = conv_block(channels_last(view), inputs.weight.inner(), None, SAME, Then::RELU_POOL);
    assert_eq!(values(&plain), values(&tracked));
}

#[test]
fn a_value_that_is_used_twice_gets_both_gradients() {
    let twice = |y: Tensor<4>| y.clone() + y.powi_scalar(2);
    check(
        [2, 4, 3, 4, 3],
        2,
        |i| twice(conv_block(i.x.clone(), i.weight.clone(), None, SAME, Then::RELU)),
        |i| twice(follow(convolve(i, false, SAME), Then::RELU)),
    );
}

/// The loss of [`Inputs::run`] for a network of smooth functions, in which `change` was added to one number of the weights.
fn smooth_loss(inputs: &Inputs, index: usize, change: f32) -> f32 {
    let mut weight = values(&inputs.weight);
    weight[index] += change;
    let weight = Tensor::from_data(TensorData::new(weight, inputs.weight.dims()), &device());
    let y = smooth(inputs, weight);
    (y.clone() * random("loss", y.dims())).sum().into_scalar()
}

fn smooth(inputs: &Inputs, weight: Tensor<4>) -> Tensor<4> {
    let [gamma, beta] = inputs.vectors.clone();
    let then = Then { activation: Activation::Gelu, pool: false };
    let y = conv_norm_block(inputs.x.clone(), weight.clone(), gamma, beta, 0.1, SAME, Then::NOTHING).output;
    y + conv_block(inputs.x.clone(), weight, None, SAME, then)
}

#[test]
fn gradients_are_the_limits_of_differences() {
    let inputs = Inputs::new([2, 4, 3, 4, 3]);
    let y = smooth(&inputs, inputs.weight.clone());
    let gradients = (y.clone() * random("loss", y.dims())).sum().backward();
    let gradient = values(&inputs.weight.grad(&gradients).expect("the weights are tracked"));
    for index in (0..gradient.len()).step_by(7) {
        let step = 1e-2;
        let difference = (smooth_loss(&inputs, index, step) - smooth_loss(&inputs, index, -step)) / (2.0 * step);
        let tolerance = 1e-2 * gradient[index].abs().max(1.0);
        assert!((difference - gradient[index]).abs() < tolerance, "at {index}: {} but {difference}", gradient[index]);
    }
}

/// The losses of 50 steps of gradient descent on a small network.
fn train(network: impl Fn(&Inputs) -> Tensor<4>) -> Vec<f32> {
    let mut inputs = Inputs::new([4, 8, 2, 6, 3]);
    let target = random("target", network(&inputs).dims());
    let mut losses = Vec::new();
    for _ in 0..50 {
        let apart = network(&inputs) - target.clone();
        let loss = (apart.clone() * apart).mean();
        let gradients = loss.backward();
        losses.push(loss.into_scalar());
        let step = |value: &Tensor<1>| {
            let gradient = value.grad(&gradients).expect("every parameter is tracked");
            Tensor::from_inner(value.clone().inner() - gradient * 0.5).require_grad()
        };
        inputs.vectors = inputs.vectors.each_ref().map(step);
        let gradient = inputs.weight.grad(&gradients).expect("every parameter is tracked");
        inputs.weight = Tensor::from_inner(inputs.weight.inner() - gradient * 0.5).require_grad();
    }
    losses
}

#[test]
fn fifty_steps_have_the_losses_of_burns_own_operations() {
    let ours = train(|inputs| {
        let [gamma, beta] = inputs.vectors.clone();
        conv_norm_block(inputs.x.clone(), inputs.weight.clone(), gamma, beta, EPSILON, SAME, Then::RELU_POOL).output
    });
    let theirs = train(|inputs| {
        let [gamma, beta] = &inputs.vectors;
        follow(normalise(convolve(inputs, false, SAME), gamma, beta, EPSILON).0, Then::RELU_POOL)
    });
    assert!(ours[49] < 0.8 * ours[0], "the network learns: {} to {}", ours[0], ours[49]);
    for (step, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert!((ours - theirs).abs() < 1e-4, "step {step}: a loss of {ours} instead of {theirs}");
    }
}

#[test]
fn adam_is_burns_adam() {
    use burn::optim::{AdamConfig, AdamWConfig, LearningRate, Optimizer};

    /// Weights after a few steps.
    fn descend<O: Optimizer>(optimiser: &O) -> Vec<f32> {
        const RATE: LearningRate = 0.01;
        let mut weights = random("weights", [3, 50]).inner();
        let mut state = None;
        for step in 0..5 {
            let gradient = random(&format!("gradient {step}"), [3, 50]).inner();
            (weights, state) = optimiser.step(RATE, weights, gradient, state);
        }
        values(&weights)
    }
    let ours = Adam { beta_1: 0.8, beta_2: 0.95, epsilon: 1e-6, weight_decay: 0.1, decoupled: true };
    let theirs = AdamWConfig::new().with_beta_1(0.8).with_beta_2(0.95).with_epsilon(1e-6).with_weight_decay(0.1);
    assert_close("AdamW", &descend(&ours), &descend(&theirs.build()));
    let penalty = burn::optim::decay::WeightDecayConfig::new(0.1);
    let theirs = AdamConfig::new().with_beta_1(0.8).with_beta_2(0.95).with_epsilon(1e-6).with_weight_decay(Some(penalty));
    assert_close("Adam", &descend(&Adam { decoupled: false, ..ours }), &descend(&theirs.build()));
}

#[test]
fn half_is_kept_through_blocks_and_left_by_global_pools() {
    let inputs = Inputs::new([3, 6, 5, 17, 3]);
    let x = to_half(inputs.x.clone());
    assert_eq!(x.dtype(), DType::BF16);
    let y = conv_block(x.clone(), inputs.weight.clone(), None, SAME, Then::RELU_POOL);
    assert_eq!(pool(add(y.clone(), y.clone()), Pooling { max: false, size: 2, stride: 1 }).dtype(), DType::BF16);
    assert_eq!(global_avg_pool(activate(y.clone(), Activation::Gelu)).dtype(), DType::F32);
    let gradients = global_max_pool(y).sum().backward();
    assert_eq!(inputs.x.grad(&gradients).expect("tracked").dtype(), DType::F32);
    assert_eq!(inputs.weight.grad(&gradients).expect("tracked").dtype(), DType::F32);
    assert_eq!(values(&to_single(to_half(to_single(x.clone())))), values(&to_single(x)));
}

#[test]
fn flex_has_the_kernels_with_and_without_autodiff() {
    assert!(is_available(&Device::flex()));
    assert!(is_available(&device()));
}
