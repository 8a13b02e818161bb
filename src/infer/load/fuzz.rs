//! Damaged and hostile files: whatever is in a file, it is refused with a message or runs, and what both engines run gives one answer.
//! `FUZZ_ROUNDS` changes how many files are tried.

use rand::RngExt;
use rand::seq::IndexedRandom;
use tract_onnx::pb::tensor_shape_proto::Dimension;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};

use super::*;
use crate::onnx::{Member, encode, ensemble, samples};
use crate::seed::{Rng, Seed};
use crate::units::Temperature;

/// Whole numbers at which something may go wrong.
const NUMBERS: [i64; 22] = [
    i64::MIN,
    -4_611_686_018_427_387_904,
    -(1 << 31),
    -3,
    -2,
    -1,
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    9,
    100,
    65_536,
    1_000_001,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) + 1,
    4_611_686_018_427_387_904,
    i64::MAX,
];
const NAMES: [&str; 14] = [
    "axis",
    "keepdims",
    "select_last_index",
    "kernel_shape",
    "strides",
    "pads",
    "dilations",
    "group",
    "ceil_mode",
    "auto_pad",
    "transA",
    "transB",
    "alpha",
    "count_include_pad",
];
const OPERATORS: [&str; 26] = [
    "Add",
    "ArgMax",
    "AveragePool",
    "Conv",
    "Div",
    "Erf",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Log",
    "Max",
    "MaxPool",
    "Mul",
    "Pad",
    "Relu",
    "Slice",
    "Softmax",
    "Sub",
    "Sigmoid",
    "Identity",
    "Clip",
    "MatMul",
    "Exp",
    "Reshape",
    "Nonsense",
];

fn files() -> Vec<ModelProto> {
    let architectures = samples::architectures();
    let weights: Vec<_> = architectures.iter().map(|(_, architecture)| samples::weights(architecture, 3)).collect();
    let networks = || architectures.iter().zip(&weights);
    let mut files: Vec<ModelProto> =
        networks().map(|((name, architecture), weights)| samples::model(name, architecture, weights)).collect();
    let members: Vec<Member<'_>> = networks()
        .filter(|((_, architecture), _)| architecture.input.channels == 1)
        .map(|((name, architecture), weights)| Member { name, architecture, weights })
        .collect();
    let votes = vec![1.0; members.len()];
    files.push(ensemble(&members, &votes, Temperature::new(0.7).unwrap(), &samples::metadata("vote")).unwrap());
    files
}

fn any<'a, T>(list: &'a mut [T], rng: &mut Rng) -> Option<&'a mut T> {
    if list.is_empty() {
        return None;
    }
    let index = rng.random_range(0..list.len());
    Some(&mut list[index])
}

fn number(rng: &mut Rng) -> i64 {
    *NUMBERS.choose(rng).expect("there are some")
}

/// Changes something somewhere in a file; sometimes nothing.
fn change(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let graph = model.graph.as_mut()?;
    let values: Vec<String> = graph.node.iter().flat_map(|node| node.output.clone()).collect();
    let constants: Vec<String> = graph.initializer.iter().map(|constant| constant.name.clone()).collect();
    let value = |rng: &mut Rng| match rng.random_range(0..4) {
        0 => String::new(),
        1 => "image".to_owned(),
        2 => constants.choose(rng).cloned().unwrap_or_default(),
        _ => values.choose(rng).cloned().unwrap_or_default(),
    };
    match rng.random_range(0..10) {
        0..4 => {
            let mut attributes: Vec<&mut AttributeProto> = graph.node.iter_mut().flat_map(|node| &mut node.attribute).collect();
            change_attribute(any(&mut attributes, rng)?, rng);
        }
        4..6 => {
            let node = any(&mut graph.node, rng)?;
            change_node(node, value(rng), rng);
        }
        6 => {
            let first = rng.random_range(0..graph.node.len());
            match rng.random_range(0..3) {
                0 => drop(graph.node.remove(first)),
                1 => {
                    let mut copy = graph.node[first].clone();
                    copy.name.push_str("-copy");
                    copy.output.iter_mut().for_each(|name| name.push_str("-copy"));
                    graph.node.insert(first + 1, copy);
                }
                _ => {
                    let last = graph.node.len() - 1;
                    graph.node.swap(first, (first + 1).min(last));
                }
            }
        }
        7..9 => change_constant(any(&mut graph.initializer, rng)?, rng),
        _ => change_interface(model, rng),
    }
    Some(())
}

fn change_attribute(attribute: &mut AttributeProto, rng: &mut Rng) {
    match rng.random_range(0..8) {
        0 => attribute.i = number(rng),
        1 => {
            if let Some(one) = any(&mut attribute.ints, rng) {
                *one = number(rng);
            } else {
                attribute.i = number(rng);
            }
        }
        2 => {
            let all = number(rng);
            attribute.ints.fill(all);
        }
        3 => attribute.ints.push(number(rng)),
        4 => drop(attribute.ints.pop()),
        5 => attribute.ints.clear(),
        6 => attribute.name = (*NAMES.choose(rng).expect("there are some")).to_owned(),
        _ => attribute.r#type = rng.random_range(0..10),
    }
}

fn change_node(node: &mut NodeProto, value: String, rng: &mut Rng) {
    match rng.random_range(0..11) {
        0 => node.input.clear(),
        1 => drop(node.input.pop()),
        2 => node.input.push(value),
        3 | 4 => {
            if let Some(input) = any(&mut node.input, rng) {
                *input = value;
            }
        }
        5 => node.input.reverse(),
        6 => node.output.push("more".to_owned()),
        7 => node.output[0].clear(),
        8 => node.op_type = (*OPERATORS.choose(rng).expect("there are some")).to_owned(),
        9 => node.attribute.clear(),
        _ => {
            let name = *NAMES.choose(rng).expect("there are some");
            let (kind, many) = if rng.random() { (2, vec![]) } else { (7, vec![number(rng), number(rng)]) };
            node.attribute.push(AttributeProto {
                name: name.to_owned(),
                r#type: kind,
                i: number(rng),
                ints: many,
                ..AttributeProto::default()
            });
        }
    }
}

fn change_constant(constant: &mut TensorProto, rng: &mut Rng) {
    match rng.random_range(0..7) {
        0 => {
            if let Some(size) = any(&mut constant.dims, rng) {
                *size = number(rng);
            }
        }
        1 => constant.dims.reverse(),
        2 => constant.dims.insert(0, 1),
        3 => drop(constant.raw_data.pop()),
        4 => constant.data_type = rng.random_range(0..12),
        5 if constant.data_type == 7 => {
            constant.raw_data = (0..constant.raw_data.len() / 8).flat_map(|_| number(rng).to_le_bytes()).collect();
        }
        5 => {
            let values = constant.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            constant.float_data = values;
            if rng.random() {
                constant.raw_data.clear();
            }
        }
        _ => constant.int64_data.push(number(rng)),
    }
}

fn change_interface(model: &mut ModelProto, rng: &mut Rng) {
    let graph = model.graph.as_mut().expect("there is a graph");
    let size = |value: &mut ValueInfoProto, rng: &mut Rng| {
        let kind = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
        let Some(type_proto::Value::TensorType(tensor)) = kind else { return };
        let Some(shape) = tensor.shape.as_mut() else { return };
        if let Some(dimension) = any(&mut shape.dim, rng) {
            dimension.value = Some(Size::DimValue(number(rng)));
        }
    };
    match rng.random_range(0..6) {
        0 => size(&mut graph.input[0], rng),
        1 => {
            if let Some(output) = any(&mut graph.output, rng) {
                size(output, rng);
            }
        }
        2 => model.opset_import[0].version = number(rng),
        3 => model.ir_version = number(rng),
        4 => model.metadata_props.retain(|entry| entry.key != "classes"),
        _ => {
            let dim = vec![Dimension { value: Some(Size::DimValue(number(rng))), ..Dimension::default() }];
            let tensor = type_proto::Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
            let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
            let name = graph.node[0].output[0].clone();
            graph.value_info.push(ValueInfoProto { name, r#type: Some(kind), ..ValueInfoProto::default() });
        }
    }
}

fn rounds(default: usize) -> usize {
    std::env::var("FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Whether the file runs at all.
fn judge(bytes: &[u8], what: &str) -> bool {
    let loaded = catch_unwind(|| Loaded::from_bytes(bytes)).unwrap_or_else(|_| panic!("{what}: the check panics"));
    let Ok(loaded) = loaded else { return false };
    let by_kernels = loaded.ready(Some(Engine::Kernels), Precision::Fp32).map_err(|error| format!("{error:#}"));
    if let Err(error) = &by_kernels {
        assert!(!error.contains("the kernels failed at"), "{what}: {error}");
    }
    let by_tract = loaded.ready(Some(Engine::Tract), Precision::Fp32).map_err(|error| format!("{error:#}"));
    match (by_kernels, by_tract) {
        (Ok(kernels), Ok(tract)) => {
            let pixels = samples::pixels(loaded.interface().image, 3, 5);
            let (Ok(own), Ok(reference)) = (kernels.predict(&pixels), tract.predict(&pixels)) else { return true };
            for (image, row) in reference.probabilities.outer_iter().enumerate() {
                let largest = row.iter().copied().fold(0.0, f32::max);
                let near = row.iter().filter(|p| largest - **p < 1e-4).count();
                let same = own.labels[image] == reference.labels[image];
                assert!(same || near > 1, "{what}: {:?} and {:?}", own.labels, reference.labels);
            }
            true
        }
        (Ok(_), Err(error)) => panic!("{what}: the kernels run what tract refuses: {error}"),
        (Err(_), tract) => tract.is_ok(),
    }
}

#[test]
fn a_file_with_changed_parts_is_refused_or_runs_alike_in_both_engines() {
    let files = files();
    let mut runs = 0;
    let rounds = rounds(500);
    for round in 0..rounds {
        let mut rng = Seed::new(round as u64).rng();
        let which = rng.random_range(0..files.len());
        let mut model = files[which].clone();
        for _ in 0..rng.random_range(1..3) {
            change(&mut model, &mut rng);
        }
        runs += usize::from(judge(&encode(&model), &format!("file {which}, round {round}")));
    }
    assert!(runs > rounds / 50 && runs < rounds, "{runs} of {rounds} changed files ran");
}

#[test]
fn a_file_with_changed_bytes_is_refused_or_runs() {
    let bytes: Vec<Vec<u8>> = files().iter().map(encode).collect();
    for round in 0..rounds(1000) {
        let mut rng = Seed::new(round as u64).rng();
        let mut bytes = bytes[rng.random_range(0..bytes.len())].clone();
        if rng.random() {
            bytes.truncate(rng.random_range(0..bytes.len()));
        }
        // Most of a file are weights; names and shapes stand at its ends.
        for _ in 0..rng.random_range(0..4) {
            if let Some(byte) = any(&mut bytes, &mut rng) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
        let loaded = catch_unwind(|| Loaded::from_bytes(&bytes)).unwrap_or_else(|_| panic!("round {round}: the check panics"));
        if let Ok(loaded) = loaded
            && let Err(error) = loaded.ready(Some(Engine::Kernels), Precision::Fp32)
        {
            assert!(!format!("{error:#}").contains("the kernels failed at"), "round {round}: {error:#}");
        }
    }
}
