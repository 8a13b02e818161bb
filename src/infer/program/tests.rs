//! Programs of every kind of layer against the reference, and what they refuse.

use std::collections::HashSet;
use std::sync::Arc;

use ndarray::s;

use super::{Convolve, MapStep, Program};
use crate::infer::{Batch, Engine, Loaded, Model, Precision, compare, reference};
use crate::metrics::Probabilities;
use crate::nn::{Views, Weights};
use crate::onnx::{Member, Ranges, check, decode, encode, ensemble, samples};
use crate::units::Temperature;

/// The file with ranges measured on `pixels`.
fn with_ranges(bytes: &[u8], pixels: &[u8]) -> Vec<u8> {
    let mut model = decode(bytes).unwrap();
    Loaded::from_bytes(bytes).unwrap().measure_ranges(pixels).unwrap().attach(&mut model);
    encode(&model)
}

fn kernels(bytes: &[u8], precision: Precision) -> Model {
    let model = Loaded::from_bytes(bytes).unwrap().ready(None, precision).unwrap();
    assert_eq!((model.engine(), model.precision()), (Engine::Kernels, precision));
    model
}

#[test]
fn every_kind_of_layer_gives_what_it_should() {
    for (name, architecture) in samples::architectures() {
        let weights = samples::weights(&architecture, 3);
        let bytes = encode(&samples::model(name, &architecture, &weights));
        let pixels = samples::pixels(architecture.input, 150, 5);
        let bytes = with_ranges(&bytes, &pixels);
        let expected = reference::of_images(&architecture, &weights, &pixels);
        for (precision, tolerance) in [(Precision::Fp32, 2e-6), (Precision::Bf16, 0.03), (Precision::Int8, 0.05)] {
            let found = kernels(&bytes, precision).predict(&pixels).unwrap();
            let agreement = compare(&found.probabilities, &expected).unwrap();
            assert!(agreement.largest_difference < tolerance, "{name} in {precision}: {agreement:?}");
            assert!(agreement.largest_sum_error < 1e-6, "{name} in {precision}: {agreement:?}");
            for (row, &label) in found.probabilities.outer_iter().zip(&found.labels) {
                assert!(row.iter().all(|&p| p <= row[usize::from(label)]), "{name}: {row} {label}");
            }
        }
    }
}

#[test]
fn an_image_gets_the_same_bits_whatever_is_predicted_with_it() {
    for (name, architecture) in samples::architectures() {
        let bytes = encode(&samples::model(name, &architecture, &samples::weights(&architecture, 3)));
        let size = architecture.input.pixels();
        let pixels = samples::pixels(architecture.input, 150, 5);
        let bytes = with_ranges(&bytes, &pixels);
        for precision in [Precision::Fp32, Precision::Bf16, Precision::Int8] {
            let model = kernels(&bytes, precision);
            let together = model.predict(&pixels).unwrap();
            for first in [1, 63, 149] {
                let later = model.predict(&pixels[first * size..]).unwrap();
                assert_eq!(later.labels, together.labels[first..], "{name} in {precision} from {first}");
                assert_eq!(later.probabilities, together.probabilities.slice(s![first.., ..]), "{name} in {precision}");
            }
        }
    }
}

#[test]
fn threads_share_a_program() {
    let (name, architecture) = samples::architectures().remove(4);
    let bytes = encode(&samples::model(name, &architecture, &samples::weights(&architecture, 3)));
    let model = kernels(&bytes, Precision::Fp32);
    let pixels = samples::pixels(architecture.input, 100, 5);
    let alone = model.predict(&pixels).unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| model.predict(&pixels).unwrap())).collect();
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), alone));
    });
    assert_eq!(model.predict(&[]).unwrap().probabilities.dim(), (0, 4));
}

#[test]
fn an_ensemble_gives_the_weighted_mean_of_its_members() {
    let layers = [
        r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#,
        r#"[{"conv": {"filters": 3}}, {"gelu": {}}, {"global_max_pool": {}}, {"dense": {"units": 4}}]"#,
        r#"[{"conv": {"filters": 3}}, {"batch_norm": {}}, {"relu": {}}, {"max_pool": {}}, {"flatten": {}}, {"dense": {"units": 4}}]"#,
    ];
    let mut architectures = layers.map(|layers| samples::architecture(1, layers));
    architectures[2].normalisation.mean = vec![0.6];
    let weights = [0, 1, 2].map(|index| samples::weights(&architectures[index], index as u64));
    let members: Vec<Member<'_>> = ["a", "b", "c"]
        .into_iter()
        .zip(architectures.iter().zip(&weights))
        .map(|(name, (architecture, weights))| Member { name, architecture, weights })
        .collect();
    let pixels = samples::pixels(architectures[0].input, 20, 5);
    let each: Vec<Probabilities> =
        members.iter().map(|member| reference::of_images(member.architecture, member.weights, &pixels)).collect();
    for votes in [[1.0, 1.0, 1.0], [0.5, 0.0, 1.5], [0.0, 0.0, 0.25]] {
        let sum: f32 = votes.iter().sum();
        let mean = (&each[0] * votes[0] + &each[1] * votes[1] + &each[2] * votes[2]) / sum;
        let bytes = encode(&ensemble(&members, &votes, Temperature::ONE, &samples::metadata("ensemble")).unwrap());
        let found = kernels(&bytes, Precision::Fp32).predict(&pixels).unwrap();
        let agreement = compare(&found.probabilities, &mean).unwrap();
        assert!(agreement.largest_difference < 2e-6 && agreement.same_labels == 20, "{votes:?}: {agreement:?}");
    }
}

#[test]
fn a_temperature_is_that_of_tract_and_of_its_definition_and_leaves_the_labels() {
    let layers = [
        r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#,
        r#"[{"conv": {"filters": 3}}, {"relu": {}}, {"flatten": {}}, {"dense": {"units": 4}}]"#,
    ];
    let mut architectures = layers.map(|layers| samples::architecture(3, layers));
    architectures[1].views = Views { flip: true, shift: 1 };
    let weights = [0, 1].map(|index| {
        // A last class whose probability is 0 in float32.
        let mut tensors = samples::weights(&architectures[index], index as u64).tensors().to_vec();
        *tensors.last_mut().unwrap().values.last_mut().unwrap() = -300.0;
        Weights::new(&architectures[index], tensors).unwrap()
    });
    let members: Vec<Member<'_>> = ["a", "b"]
        .into_iter()
        .zip(architectures.iter().zip(&weights))
        .map(|(name, (architecture, weights))| Member { name, architecture, weights })
        .collect();
    let pixels = samples::pixels(architectures[0].input, 100, 5);
    let file = |temperature: f64| {
        let temperature = Temperature::new(temperature).unwrap();
        encode(&ensemble(&members, &[1.0, 2.0], temperature, &samples::metadata("ensemble")).unwrap())
    };
    let vote = kernels(&file(1.0), Precision::Fp32).predict(&pixels).unwrap();
    assert!(vote.probabilities.column(3).iter().all(|p| *p == 0.0), "{}", vote.probabilities);
    for temperature in [0.05, 0.8, 1.7, 20.0] {
        let bytes = file(temperature);
        let found = kernels(&bytes, Precision::Fp32).predict(&pixels).unwrap();
        let tract = Loaded::from_bytes(&bytes).unwrap().optimise(Batch::Free).unwrap().predict(&pixels).unwrap();
        let mut powers = vote.probabilities.mapv(|p| f64::from(p.max(Temperature::FLOOR)).powf(1.0 / temperature));
        powers.outer_iter_mut().for_each(|mut row| row /= row.sum());
        for other in [&tract.probabilities, &powers.mapv(|p| p as f32)] {
            let agreement = compare(&found.probabilities, other).unwrap();
            assert!(agreement.largest_difference < 2e-5, "{temperature}: {agreement:?}");
        }
        assert_eq!((&found.labels, &tract.labels), (&vote.labels, &vote.labels), "{temperature}");
    }
}

#[test]
fn views_share_their_weights() {
    let (name, architecture) = samples::architectures().pop().unwrap();
    assert_eq!(architecture.views.count(), 6);
    let model = samples::model(name, &architecture, &samples::weights(&architecture, 3));
    let program = Program::<f32>::new(&model, &check(&model).unwrap()).unwrap();
    let layers = |wanted: fn(&MapStep<f32>) -> Option<*const Convolve<f32>>| program.maps.iter().filter_map(wanted).collect();
    let all: Vec<*const Convolve<f32>> = layers(|step| match step {
        MapStep::Conv { layer, .. } => Some(Arc::as_ptr(layer)),
        _ => None,
    });
    let different: HashSet<_> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (12, 2));
}

#[test]
fn what_the_kernels_do_not_cover_is_named_and_left_to_tract() {
    let architecture =
        samples::architecture(1, r#"[{"conv": {"filters": 3}}, {"relu": {}}, {"flatten": {}}, {"dense": {"units": 4}}]"#);
    let model = samples::model("net", &architecture, &samples::weights(&architecture, 1));
    let check = |spoil: &dyn Fn(&mut tract_onnx::pb::NodeProto), expected: &str| {
        let mut model = decode(&encode(&model)).unwrap();
        model.graph.as_mut().unwrap().node.iter_mut().for_each(spoil);
        let loaded = Loaded::from_bytes(&encode(&model)).unwrap();
        let error = format!("{:#}", loaded.ready(Some(Engine::Kernels), Precision::Fp32).unwrap_err());
        assert_eq!(error, format!("the kernels do not cover the graph; `tract` can run it, in fp32: {expected}"));
        let model = loaded.ready(None, Precision::Fp32).unwrap();
        assert_eq!((model.engine(), model.refused()), (Engine::Tract, Some(expected)));
        let error = format!("{:#}", loaded.ready(None, Precision::Bf16).unwrap_err());
        assert!(error.contains(expected), "{error}");
    };
    let tanh = |node: &mut tract_onnx::pb::NodeProto| {
        if node.op_type == "Relu" {
            node.op_type = "Tanh".into();
        }
    };
    check(&tanh, "node `net/1` (Tanh): the kernels have no such operator");
    let shifted = |node: &mut tract_onnx::pb::NodeProto| {
        if let Some(pads) = node.attribute.iter_mut().find(|attribute| attribute.name == "pads") {
            pads.ints = vec![2, 1, 0, 1];
        }
    };
    check(&shifted, "node `net/0` (Conv): `pads` is not the same on all sides");
    let loaded = Loaded::from_bytes(&encode(&model)).unwrap();
    let error = loaded.ready(Some(Engine::Tract), Precision::Bf16).unwrap_err().to_string();
    assert_eq!(error, "tract computes in fp32 alone; leave out the engine, or take `kernels`");
}

#[test]
fn what_int8_does_not_cover_stays_in_fp32_and_is_named() {
    let layers = r#"[{"conv": {"filters": 3}}, {"relu": {}}, {"max_pool": {}}, {"conv": {"filters": 5}}, {"gelu": {}}, {"conv": {"filters": 6}},
        {"relu": {}}, {"flatten": {}}, {"dense": {"units": 8}}, {"relu": {}}, {"dense": {"units": 4}}]"#;
    let architecture = samples::architecture(1, layers);
    let plain = encode(&samples::model("net", &architecture, &samples::weights(&architecture, 1)));
    let pixels = samples::pixels(architecture.input, 40, 5);
    let loaded = Loaded::from_bytes(&plain).unwrap();
    let error = loaded.ready(None, Precision::Int8).unwrap_err().to_string();
    let expected = "the file does not tell the ranges of its activations, which int8 needs; export it with `int8: { data: … }`";
    assert_eq!(error, expected);
    let ranges = loaded.measure_ranges(&pixels).unwrap();
    assert_eq!((ranges.images, ranges.values.len()), (40, 3));
    let expected = kernels(&plain, Precision::Fp32).predict(&pixels).unwrap();
    let check = |spoil: &dyn Fn(&mut Ranges)| {
        let (mut ranges, mut model) = (ranges.clone(), decode(&plain).unwrap());
        spoil(&mut ranges);
        ranges.attach(&mut model);
        let model = kernels(&encode(&model), Precision::Int8);
        let agreement = compare(&model.predict(&pixels).unwrap().probabilities, &expected.probabilities).unwrap();
        assert!(agreement.largest_difference < 0.05, "{agreement:?}");
        model.in_fp32().join("\n")
    };
    insta::assert_snapshot!(check(&|_| ()), @"node `net/10` (Gemm): its input is a vector of numbers");
    let names: Vec<String> = ranges.values.keys().cloned().collect();
    insta::assert_snapshot!(names.join(" "), @"net/2 net/4 net/6");
    insta::assert_snapshot!(check(&|ranges| drop(ranges.values.remove(&names[0]))), @"
    node `net/3` (Conv): its input's range is not known
    node `net/10` (Gemm): its input is a vector of numbers
    ");
    insta::assert_snapshot!(check(&|ranges| drop(ranges.values.remove(&names[1]))), @"
    node `net/5` (Conv): its input's range is not known
    node `net/10` (Gemm): its input is a vector of numbers
    ");
    insta::assert_snapshot!(check(&|ranges| ranges.values.clear()), @"
    node `net/3` (Conv): its input's range is not known
    node `net/5` (Conv): its input's range is not known
    node `net/8` (Gemm): its input is a vector of numbers
    node `net/10` (Gemm): its input is a vector of numbers
    ");
    let nothing = |ranges: &mut Ranges| {
        let range = ranges.values.get_mut(&names[1]).unwrap();
        (range.low, range.high) = (0.0, 0.0);
    };
    insta::assert_snapshot!(check(&nothing), @"
    node `net/5` (Conv): its input's range is not known
    node `net/10` (Gemm): its input is a vector of numbers
    ");
}

#[test]
fn a_layer_that_bytes_cannot_compute_is_left_to_fp32() {
    let layers = r#"[{"conv": {"filters": 3}}, {"relu": {}}, {"conv": {"filters": 4}}, {"relu": {}}, {"global_avg_pool": {}}, {"dense": {"units": 4}}]"#;
    let mut architecture = samples::architecture(1, layers);
    // No pixel is as dark as the mean, so none can stand around an image.
    architecture.normalisation.mean = vec![-0.5];
    let plain = encode(&samples::model("net", &architecture, &samples::weights(&architecture, 1)));
    let pixels = samples::pixels(architecture.input, 40, 5);
    let expected = kernels(&plain, Precision::Fp32).predict(&pixels).unwrap();
    let model = kernels(&with_ranges(&plain, &pixels), Precision::Int8);
    insta::assert_snapshot!(model.in_fp32().join("\n"), @"
    node `net/0` (Conv): no byte stands for the zeros around an image
    node `net/5` (Gemm): its input is a vector of numbers
    ");
    let agreement = compare(&model.predict(&pixels).unwrap().probabilities, &expected.probabilities).unwrap();
    assert!(agreement.largest_difference < 0.05, "{agreement:?}");
}
