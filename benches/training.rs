//! Each kernel of a training step against the machine's measured peak, and the whole step (forward, loss, backward, AdamW) through
//! Burn: `cargo bench --bench training`.
//!
//! Shapes are those of two networks, batch 128: *small* (conv 32, pool, conv 64, pool, dense 128) and *medium* (three times conv,
//! normalisation, ReLU twice, and a pool; 32, 64 and 128 channels). Times are medians; criterion also reports the throughput in
//! elements per second, where an element is a floating-point operation (two for each multiply-add). The peak is that of
//! independent fused multiply-adds in registers on all threads, measured first.

use std::hint::black_box;
use std::time::Duration;

use atelier::kernels::{
    Affine, ConvShape, Convolution, DenseShape, Gradients, Level, Moments, NormGradient, OutputGradient, Pooled, peak,
};
use atelier::nn::accelerated::{Activation, Then, Windows, conv_block, conv_norm_block, dense as dense_layer};
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};

const BATCH: usize = 128;

/// The convolutions of both networks: size, channels in, channels out.
const CONVOLUTIONS: [(usize, usize, usize); 7] =
    [(28, 1, 32), (14, 32, 64), (28, 32, 32), (14, 64, 64), (7, 64, 128), (7, 128, 128), (14, 32, 32)];

fn shape((size, inputs, outputs): (usize, usize, usize)) -> ConvShape {
    ConvShape { batch: BATCH, height: size, width: size, inputs, outputs, kernel: 3, stride: 1, padding: 1 }
}

fn name((size, inputs, outputs): (usize, usize, usize)) -> String {
    format!("{size}x{size}x{inputs}-{outputs}")
}

/// Numbers between −0.5 and 0.5 without a pattern that matters.
fn numbers(length: usize) -> Vec<f32> {
    (0..length).map(|index| ((index * 7919) % 1000) as f32 / 1000.0 - 0.5).collect()
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    group
}

fn machine(criterion: &mut Criterion) {
    let mut group = group(criterion, "peak");
    let work = peak(Level::best(), 1 << 20);
    group.throughput(Throughput::Elements(work));
    group.bench_function(Level::best().name(), |bencher| bencher.iter(|| peak(Level::best(), black_box(1 << 20))));
    group.finish();
}

fn convolutions(criterion: &mut Criterion) {
    for sizes in CONVOLUTIONS {
        let shape = shape(sizes);
        let conv = Convolution::new(shape).expect("the shape is possible");
        let (x, weights) = (numbers(shape.input_len()), numbers(shape.weights_len()));
        let bias = numbers(shape.outputs);
        let mut y = vec![0.0; shape.output_len()];
        let gradient = numbers(shape.output_len());

        let mut forward = group(criterion, "conv forward");
        forward.throughput(Throughput::Elements(shape.flops()));
        forward.bench_function(BenchmarkId::new("bias, ReLU", name(sizes)), |bencher| {
            bencher.iter(|| conv.forward(&x, &weights, Some(&bias), true, &mut y));
        });
        forward.bench_function(BenchmarkId::new("moments", name(sizes)), |bencher| {
            bencher.iter(|| conv.forward_moments(&x, &weights, &mut y));
        });
        let mut pooled = vec![0.0; y.len() / 4];
        let mut choice = vec![0; y.len() / 4];
        if shape.output_height().is_multiple_of(2) {
            forward.bench_function(BenchmarkId::new("bias, ReLU, pool", name(sizes)), |bencher| {
                bencher.iter(|| conv.forward_pool(&x, &weights, Some(&bias), &mut pooled, &mut choice));
            });
        }
        forward.finish();

        let (mut input, mut weight) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
        let plain = OutputGradient::Plain(&gradient);
        let mut backward = group(criterion, "conv backward");
        backward.throughput(Throughput::Elements(shape.flops()));
        backward.bench_function(BenchmarkId::new("input", name(sizes)), |bencher| {
            bencher.iter(|| {
                conv.backward(&x, &weights, &plain, Gradients { input: Some(&mut input), ..Gradients::default() });
            });
        });
        backward.bench_function(BenchmarkId::new("weights", name(sizes)), |bencher| {
            bencher.iter(|| {
                conv.backward(&x, &weights, &plain, Gradients { weights: Some(&mut weight), ..Gradients::default() });
            });
        });
        backward.finish();
    }
}

fn norms(criterion: &mut Criterion) {
    for (size, channels) in [(28, 32), (14, 64), (7, 128)] {
        let length = BATCH * size * size * channels;
        let (x, gradient) = (numbers(length), numbers(length));
        let moments = Moments::of(&x, channels);
        let affine = Affine::new(&moments, &numbers(channels), &numbers(channels), 1e-5);
        let mut y = vec![0.0; length];
        let (mut output, mut picked) = (vec![0.0; length / 4], vec![0.0; length / 4]);
        let mut choice = vec![0; length / 4];
        let mut norms = group(criterion, "norm");
        let id = |what: &str| BenchmarkId::new(what, format!("{size}x{size}x{channels}"));
        norms.throughput(Throughput::Bytes(4 * length as u64));
        norms.bench_function(id("moments"), |bencher| bencher.iter(|| Moments::of(&x, channels)));
        norms.bench_function(id("apply, ReLU"), |bencher| bencher.iter(|| affine.apply(&x, true, &mut y)));
        if usize::is_multiple_of(size, 2) {
            norms.bench_function(id("apply, ReLU, pool"), |bencher| {
                bencher.iter(|| {
                    let pooled = Pooled { output: &mut output, picked: &mut picked, choice: &mut choice };
                    affine.apply_pool(&x, size, size, true, pooled);
                });
            });
        }
        norms.bench_function(id("parameter gradients"), |bencher| {
            bencher.iter(|| affine.parameter_gradients(&x, &gradient, true));
        });
        let [gamma, beta] = affine.parameter_gradients(&x, &gradient, true);
        let norm = NormGradient {
            affine: &affine,
            input: &x,
            gradient: &gradient,
            gamma: &gamma,
            beta: &beta,
            relu: true,
            choice: None,
        };
        norms.bench_function(id("input gradient"), |bencher| bencher.iter(|| Affine::input_gradient(&norm, &mut y)));
        norms.finish();
    }
}

fn dense(criterion: &mut Criterion) {
    for (inputs, outputs) in [(3136, 128), (1152, 128), (128, 10)] {
        let shape = DenseShape { batch: BATCH, inputs, outputs };
        let (x, weights) = (numbers(BATCH * inputs), numbers(inputs * outputs));
        let (bias, gradient) = (numbers(outputs), numbers(BATCH * outputs));
        let (mut y, mut input, mut weight) = (gradient.clone(), x.clone(), weights.clone());
        let mut dense = group(criterion, "dense");
        let id = |what: &str| BenchmarkId::new(what, format!("{inputs}-{outputs}"));
        dense.throughput(Throughput::Elements(shape.flops()));
        dense.bench_function(id("forward"), |b| b.iter(|| shape.forward(&x, &weights, Some(&bias), true, &mut y)));
        dense.bench_function(id("input gradient"), |b| b.iter(|| shape.input_gradient(&weights, &gradient, &mut input)));
        dense.bench_function(id("weight gradient"), |b| b.iter(|| shape.weight_gradient(&x, &gradient, &mut weight)));
        dense.finish();
    }
}

/// A convolution, and the normalisation that follows it in *medium*.
#[derive(Module, Debug)]
struct Block {
    conv: Conv2d,
    norm: Option<[Param<Tensor<1>>; 2]>,
    pool: bool,
}

/// One of the two networks: blocks, then dense 128 and dense 10.
#[derive(Module, Debug)]
struct Network {
    blocks: Vec<Block>,
    dense: [Linear; 2],
}

impl Network {
    fn new(device: &Device, channels: &[usize], norm: bool, features: usize) -> Self {
        let inputs = std::iter::once(&1).chain(channels);
        let blocks = inputs.zip(channels).enumerate().map(|(index, (&inputs, &outputs))| Block {
            conv: Conv2dConfig::new([inputs, outputs], [3, 3]).with_bias(!norm).init(device),
            norm: norm.then(|| [Tensor::ones([outputs], device), Tensor::zeros([outputs], device)].map(Param::from_tensor)),
            pool: !norm || index % 2 == 1,
        });
        let dense = [LinearConfig::new(features, 128).init(device), LinearConfig::new(128, 10).init(device)];
        Self { blocks: blocks.collect(), dense }
    }

    fn forward(&self, mut x: Tensor<4>) -> Tensor<2> {
        for Block { conv, norm, pool } in &self.blocks {
            let windows = Windows { stride: 1, padding: 1 };
            let then = Then { activation: Activation::Relu, pool: *pool };
            let bias = conv.bias.as_ref().map(Param::val);
            x = match norm {
                Some([gamma, beta]) => conv_norm_block(x, conv.weight.val(), gamma.val(), beta.val(), 1e-5, windows, then).output,
                None => conv_block(x, conv.weight.val(), bias, windows, then),
            };
        }
        let [hidden, last] = &self.dense;
        let x = x.flatten::<2>(1, 3);
        let x = dense_layer(x, hidden.weight.val(), hidden.bias.as_ref().map(Param::val), Activation::Relu);
        dense_layer(x, last.weight.val(), last.bias.as_ref().map(Param::val), Activation::None)
    }
}

fn steps(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let images = TensorData::new(numbers(BATCH * 784), [BATCH, 28, 28, 1]);
    let labels = TensorData::new((0..BATCH as i64).map(|index| index % 10).collect::<Vec<_>>(), [BATCH]);
    let networks = [
        ("small", Network::new(&device, &[32, 64], false, 3136)),
        ("medium", Network::new(&device, &[32, 32, 64, 64, 128, 128], true, 1152)),
    ];
    for (name, network) in networks {
        let mut network = Some(network);
        let mut optimiser = AdamWConfig::new().init();
        let loss = CrossEntropyLossConfig::new().init(&device);
        let mut step = group(criterion, "step");
        step.measurement_time(Duration::from_secs(2));
        step.throughput(Throughput::Elements(BATCH as u64));
        step.bench_function(name, |bencher| {
            bencher.iter(|| {
                let trained = network.take().expect("each step puts the network back");
                let x = Tensor::<4>::from_data(images.clone(), &device);
                let y = Tensor::<1, Int>::from_data(labels.clone(), &device);
                let gradients = loss.forward(trained.forward(x), y).backward();
                let gradients = GradientsParams::from_grads(gradients, &trained);
                network = Some(optimiser.step(1e-3, trained, gradients));
            });
        });
        step.finish();
    }
}

criterion_group!(benches, machine, convolutions, norms, dense, steps);
criterion_main!(benches);
