//! Each kernel of a training step against the machine's measured peak, and the whole step (forward, loss, backward, AdamW) through
//! Burn: `cargo bench --bench training`.
//!
//! Everything is timed in FP32, and in BF16 where the machine has instructions for it. Shapes are those of two networks, batch 128: *small* (conv 32, pool, conv 64, pool, dense 128) and *medium* (three times conv,
//! normalisation, ReLU twice, and a pool; 32, 64 and 128 channels). Times are medians; criterion also reports the throughput in
//! elements per second, where an element is a floating-point operation (two for each multiply-add). The peak is that of
//! independent fused multiply-adds in registers on all threads, measured first; a table at the end tells every kernel's share of
//! it.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::time::Duration;

use atelier::kernels::{
    Affine, ConvShape, Convolution, DenseShape, Gradients, Level, Moments, NormGradient, Number, OutputGradient, Pooled, Worth,
    machine, peak,
};
use atelier::nn::accelerated::{
    Activation, Adam, Then, Windows, conv_block, conv_norm_block, dense as dense_layer, has_half, to_half, to_single,
};
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData, bf16};
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, measurement::WallTime};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

/// FP32 or BF16.
trait Precision: Number {
    const NAME: &'static str;
    fn widest() -> Option<Level>;
    fn of(value: f32) -> Self;

    fn numbers(length: usize) -> Vec<Self> {
        numbers(length).into_iter().map(Self::of).collect()
    }

    fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
        group(criterion, &format!("{} {name}", Self::NAME))
    }
}

impl Precision for f32 {
    const NAME: &'static str = "FP32";

    fn widest() -> Option<Level> {
        Some(Level::best())
    }

    fn of(value: f32) -> f32 {
        value
    }
}

impl Precision for bf16 {
    const NAME: &'static str = "BF16";

    fn widest() -> Option<Level> {
        Level::half()
    }

    fn of(value: f32) -> bf16 {
        bf16::from_f32(value)
    }
}

fn kernels(criterion: &mut Criterion) {
    each_kernel::<f32>(criterion);
    each_kernel::<bf16>(criterion);
    dense(criterion);
}

fn each_kernel<N: Precision>(criterion: &mut Criterion) {
    let Some(level) = N::widest() else {
        println!("{}: no instructions for it, nothing to time", N::NAME);
        return;
    };
    peaks::<N>(criterion, level);
    convolutions::<N>(criterion);
    norms::<N>(criterion);
}

fn peaks<N: Precision>(criterion: &mut Criterion, level: Level) {
    let mut group = N::group(criterion, "peak");
    if let Some(tiles) = N::tiles() {
        group.throughput(Throughput::Elements(tiles.peak(false, 1 << 18)));
        group.bench_function(tiles.name(), |bencher| bencher.iter(|| tiles.peak(false, black_box(1 << 18))));
    } else {
        group.throughput(Throughput::Elements(peak::<N>(level, 1 << 20)));
        group.bench_function(level.name(), |bencher| bencher.iter(|| peak::<N>(level, black_box(1 << 20))));
    }
    group.finish();
}

fn convolutions<N: Precision>(criterion: &mut Criterion) {
    for sizes in CONVOLUTIONS {
        let shape = shape(sizes);
        let conv = Convolution::<N>::new(shape).expect("the shape is possible");
        let (x, weights) = (N::numbers(shape.input_len()), numbers(shape.weights_len()));
        let bias = numbers(shape.outputs);
        let mut y = vec![N::default(); shape.output_len()];
        let gradient = N::numbers(shape.output_len());

        let mut forward = N::group(criterion, "conv forward");
        forward.throughput(Throughput::Elements(shape.flops()));
        forward.bench_function(BenchmarkId::new("bias, ReLU", name(sizes)), |bencher| {
            bencher.iter(|| conv.forward(&x, &weights, Some(&bias), true, &mut y));
        });
        forward.bench_function(BenchmarkId::new("moments", name(sizes)), |bencher| {
            bencher.iter(|| conv.forward_moments(&x, &weights, &mut y));
        });
        let mut pooled = vec![N::default(); y.len() / 4];
        let mut choice = vec![0; y.len() / 4];
        if shape.output_height().is_multiple_of(2) {
            forward.bench_function(BenchmarkId::new("bias, ReLU, pool", name(sizes)), |bencher| {
                bencher.iter(|| conv.forward_pool(&x, &weights, Some(&bias), &mut pooled, &mut choice));
            });
        }
        forward.finish();

        let (mut input, mut weight) = (vec![N::default(); x.len()], vec![0.0; weights.len()]);
        let plain = OutputGradient::Plain(&gradient);
        let mut backward = N::group(criterion, "conv backward");
        backward.throughput(Throughput::Elements(shape.flops()));
        if shape.inputs > 1 {
            backward.bench_function(BenchmarkId::new("input", name(sizes)), |bencher| {
                bencher.iter(|| {
                    conv.backward(&x, &weights, &plain, Gradients { input: Some(&mut input), ..Gradients::default() });
                });
            });
        }
        backward.bench_function(BenchmarkId::new("weights", name(sizes)), |bencher| {
            bencher.iter(|| {
                conv.backward(&x, &weights, &plain, Gradients { weights: Some(&mut weight), ..Gradients::default() });
            });
        });
        backward.finish();
    }
}

fn norms<N: Precision>(criterion: &mut Criterion) {
    for (size, channels) in [(28, 32), (14, 64), (7, 128)] {
        let length = BATCH * size * size * channels;
        let (x, gradient) = (N::numbers(length), N::numbers(length));
        let moments = Moments::of(&x, channels);
        let affine = Affine::new(&moments, &numbers(channels), &numbers(channels), 1e-5);
        let mut y = vec![N::default(); length];
        let (mut output, mut picked) = (vec![N::default(); length / 4], vec![N::default(); length / 4]);
        let mut choice = vec![0; length / 4];
        let mut norms = N::group(criterion, "norm");
        let id = |what: &str| BenchmarkId::new(what, format!("{size}x{size}x{channels}"));
        norms.throughput(Throughput::Bytes((size_of::<N>() * length) as u64));
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
        let shape = DenseShape { batch: BATCH, inputs, outputs, half: false };
        let (x, weights) = (numbers(BATCH * inputs), numbers(inputs * outputs));
        let (bias, gradient) = (numbers(outputs), numbers(BATCH * outputs));
        let (mut y, mut input, mut weight) = (gradient.clone(), x.clone(), weights.clone());
        let mut dense = f32::group(criterion, "dense");
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

    fn forward(&self, mut x: Tensor<4>, half: bool) -> Tensor<2> {
        if half {
            x = to_half(x);
        }
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
        let x = to_single(x).flatten::<2>(1, 3);
        let x = dense_layer(x, hidden.weight.val(), hidden.bias.as_ref().map(Param::val), Activation::Relu, half);
        dense_layer(x, last.weight.val(), last.bias.as_ref().map(Param::val), Activation::None, half)
    }
}

fn steps(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let images = TensorData::new(numbers(BATCH * 784), [BATCH, 28, 28, 1]);
    let labels = TensorData::new((0..BATCH as i64).map(|index| index % 10).collect::<Vec<_>>(), [BATCH]);
    let mut step = group(criterion, "step");
    step.measurement_time(Duration::from_secs(2));
    step.throughput(Throughput::Elements(BATCH as u64));
    for half in [false, true] {
        let precision = if half { bf16::NAME } else { f32::NAME };
        if half && !has_half() {
            continue;
        }
        let networks = [
            ("small", Network::new(&device, &[32, 64], false, 3136)),
            ("medium", Network::new(&device, &[32, 32, 64, 64, 128, 128], true, 1152)),
        ];
        for (name, network) in networks {
            let mut network = Some(network);
            let adam = Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 1e-2, decoupled: true };
            let mut optimiser = ModuleOptimizer::from(adam);
            let loss = CrossEntropyLossConfig::new().init(&device);
            step.bench_function(BenchmarkId::new(name, precision), |bencher| {
                bencher.iter(|| {
                    let trained = network.take().expect("each step puts the network back");
                    let x = Tensor::<4>::from_data(images.clone(), &device);
                    let y = Tensor::<1, Int>::from_data(labels.clone(), &device);
                    let gradients = loss.forward(trained.forward(x, half), y).backward();
                    let gradients = GradientsParams::from_grads(gradients, &trained);
                    network = Some(optimiser.step(1e-3, trained, gradients));
                });
            });
        }
    }
    step.finish();
}

/// Prints every kernel's share of the peak, from what criterion has written down.
fn shares() {
    let home = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), std::path::PathBuf::from).join("criterion");
    let mut found: Vec<(String, f64)> = Vec::new();
    let mut folders = vec![home];
    while let Some(folder) = folders.pop() {
        let read = |name: &str| {
            let text = std::fs::read_to_string(folder.join("new").join(name)).ok()?;
            serde_json::from_str::<serde_json::Value>(&text).ok()
        };
        if let (Some(benchmark), Some(estimates)) = (read("benchmark.json"), read("estimates.json"))
            && let (Some(id), Some(work)) = (benchmark["full_id"].as_str(), benchmark["throughput"]["Elements"].as_f64())
            && let Some(nanoseconds) = estimates["median"]["point_estimate"].as_f64()
        {
            found.push((id.to_owned(), work / nanoseconds));
        }
        let inside = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(inside.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let peaks: Vec<(String, f64)> = found.iter().filter(|(id, _)| id.contains("peak")).cloned().collect();
    println!("\n{}", machine());
    let rate = |precision: &str| peaks.iter().find(|(id, _)| id.starts_with(precision)).map(|(_, rate)| rate);
    if let (Some(single), Some(half)) = (rate("FP32"), rate("BF16")) {
        let table = Worth::here().half.unwrap_or(0.0);
        println!(
            "BF16 does {:.1} times the operations of FP32 in registers; `precision: auto` takes it for {table}.",
            half / single
        );
    }
    println!("\nMedians, in 10⁹ operations per second:");
    for (id, rate) in found {
        // What a kernel does in BF16 is measured against the peak of BF16.
        let peak = peaks.iter().find(|(peak, _)| id.get(..4) == peak.get(..4) && !id.contains("peak"));
        let share = peak.map_or_else(String::new, |(_, peak)| format!("{:4.0} % of the peak", 100.0 * rate / peak));
        if rate > 1.0 {
            println!("{id:55} {rate:8.1} {share}");
        }
    }
}

criterion_group!(benches, kernels, steps);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    shares();
}
