//! Programs of every kind of layer against the reference, and what they refuse.

use ndarray::s;

use crate::infer::{Engine, Loaded, Model, Precision, compare, reference};
use crate::metrics::Probabilities;
use crate::onnx::{Member, decode, encode, ensemble, samples};

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
        let expected = reference::of_images(&architecture, &weights, &pixels);
        for (precision, tolerance) in [(Precision::Fp32, 2e-6), (Precision::Bf16, 0.03)] {
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
        for precision in [Precision::Fp32, Precision::Bf16] {
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
        let bytes = encode(&ensemble(&members, &votes, &samples::metadata("ensemble")).unwrap());
        let found = kernels(&bytes, Precision::Fp32).predict(&pixels).unwrap();
        let agreement = compare(&found.probabilities, &mean).unwrap();
        assert!(agreement.largest_difference < 2e-6 && agreement.same_labels == 20, "{votes:?}: {agreement:?}");
    }
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
