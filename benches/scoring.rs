//! Models of two sizes by every engine and precision, without files around them: `cargo bench --bench scoring`.
//!
//! *Small* is conv 32, pool, conv 64, pool, dense 128; *medium* is three times conv, normalisation, ReLU twice, and a pool, with 32,
//! 64 and 128 channels. Weights are initial ones: arithmetic does not depend on them. Images are predicted in pieces on all threads,
//! as `pipeline score` does; criterion's elements are images. The ONNX files are left in `peers/` below the build folder for
//! `benches/peers/run scoring`.

#![allow(clippy::print_stdout, reason = "a benchmark says where its figures are from")]

use std::path::PathBuf;
use std::time::Duration;

use atelier::data::ImageShape;
use atelier::digest::Digest;
use atelier::infer::{Engine, Loaded, Model, Precision};
use atelier::kernels::{ByteLevel, machine};
use atelier::nn::accelerated::has_half;
use atelier::nn::{Architecture, Normalisation, Views, Weights};
use atelier::onnx::{Member, Metadata, decode, encode, lower};
use atelier::seed::Seed;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;

/// The program's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SHAPE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };
const IMAGES: usize = 4096;
/// Images that a thread predicts at once.
const PIECE: usize = 64;

const SMALL: &str = r#"[{"conv": {"filters": 32}}, {"relu": {}}, {"max_pool": {}}, {"conv": {"filters": 64}}, {"relu": {}}, {"max_pool": {}},
    {"flatten": {}}, {"dense": {"units": 128}}, {"relu": {}}, {"dense": {"units": 10}}]"#;

/// *Medium*: blocks of two convolutions.
fn medium() -> String {
    let block = |filters: usize| {
        let conv = format!(r#"{{"conv": {{"filters": {filters}, "bias": false}}}}, {{"batch_norm": {{}}}}, {{"relu": {{}}}}"#);
        format!(r#"{conv}, {conv}, {{"max_pool": {{}}}}"#)
    };
    let head = r#"{"flatten": {}}, {"dense": {"units": 128}}, {"relu": {}}, {"dense": {"units": 10}}"#;
    format!("[{}, {}, {}, {head}]", block(32), block(64), block(128))
}

/// A network with initial weights as an ONNX file.
fn file(name: &str, layers: &str) -> Vec<u8> {
    let architecture = Architecture {
        input: SHAPE,
        classes: 10,
        normalisation: Normalisation { mean: vec![0.286], deviation: vec![0.353] },
        layers: serde_json::from_str(layers).expect("these are layers"),
        views: Views::default(),
    };
    let weights = Weights::initial(&architecture, Seed::new(1)).expect("the layers fit");
    let metadata = Metadata {
        model: name.to_owned(),
        classes: (0..10).map(|class| format!("class {class}")).collect(),
        dataset: "none".to_owned(),
        dataset_digest: Digest::of_bytes(b"none"),
        synthetic: true,
        stage_key: Digest::of_bytes(name.as_bytes()),
        test_accuracy: None,
    };
    encode(
        &lower(&Member { name, architecture: &architecture, weights: &weights }, &metadata).expect("the network can be exported"),
    )
}

/// The file with the ranges that its activations have on some images, which int8 needs.
fn with_ranges(bytes: &[u8], pixels: &[u8]) -> Vec<u8> {
    let ranges = Loaded::from_bytes(bytes).and_then(|loaded| loaded.measure_ranges(pixels)).expect("the kernels run the model");
    let mut model = decode(bytes).expect("the file is a model");
    ranges.attach(&mut model);
    encode(&model)
}

fn predict(model: &Model, pixels: &[u8]) -> usize {
    pixels.par_chunks(PIECE * SHAPE.pixels()).map(|pixels| model.predict(pixels).expect("the model runs").labels.len()).sum()
}

fn models(criterion: &mut Criterion) {
    println!("{}", machine());
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from).join("peers");
    std::fs::create_dir_all(&folder).expect("the build folder can be written");
    let pixels: Vec<u8> = (0..IMAGES * SHAPE.pixels()).map(|index| ((index * 7919) % 256) as u8).collect();
    let mut group = criterion.benchmark_group("model alone");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(IMAGES as u64));
    for (name, layers) in [("small", SMALL.to_owned()), ("medium", medium())] {
        let bytes = with_ranges(&file(name, &layers), &pixels[..256 * SHAPE.pixels()]);
        std::fs::write(folder.join(format!("{name}.onnx")), &bytes).expect("the build folder can be written");
        let loaded = Loaded::from_bytes(&bytes).expect("the file is a model");
        for (engine, precision) in [
            (Engine::Kernels, Precision::Fp32),
            (Engine::Kernels, Precision::Bf16),
            (Engine::Kernels, Precision::Int8),
            (Engine::Tract, Precision::Fp32),
        ] {
            let is_native = match precision {
                Precision::Fp32 => true,
                Precision::Bf16 => has_half(),
                Precision::Int8 => ByteLevel::best().is_native(),
            };
            if !is_native {
                continue;
            }
            let model = loaded.ready(Some(engine), precision).expect("the engine runs the model");
            group.bench_function(BenchmarkId::new(name, format!("{engine} {precision}")), |bencher| {
                bencher.iter(|| predict(&model, &pixels));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, models);
criterion_main!(benches);
