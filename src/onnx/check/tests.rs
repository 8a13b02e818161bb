//! What the check finds.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::Dimension;
use tract_onnx::pb::{AttributeProto, NodeProto};

use super::super::{Metadata, decode, encode, samples};
use super::*;

fn model() -> ModelProto {
    let architecture = samples::architecture(1, r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#);
    samples::model("net", &architecture, &samples::weights(&architecture, 1))
}

#[test]
fn a_model_survives_its_file_and_says_where_it_comes_from() {
    let model = decode(&encode(&model())).unwrap();
    let interface = check(&model).unwrap();
    assert_eq!(interface.image, ImageShape { channels: 1, height: 9, width: 8 });
    assert_eq!(interface.classes, samples::metadata("net").classes);
    assert_eq!(Metadata::of(&model).unwrap(), samples::metadata("net"));
}

#[test]
fn bytes_that_are_no_model_are_refused() {
    let whole = encode(&model());
    assert_eq!(decode(b"").unwrap_err().to_string(), "an ONNX file cannot be empty");
    for bytes in [&whole[..whole.len() - 9], b"label,pixel1\n1,2\n", b"\xFF\xFF\xFF\xFF\xFF"] {
        assert_eq!(decode(bytes).unwrap_err().to_string(), "these are not the bytes of a whole ONNX file");
    }
}

#[test]
fn every_fault_is_named() {
    let check = |spoil: &dyn Fn(&mut ModelProto, &mut GraphProto), expected: &str| {
        let mut model = model();
        let mut graph = model.graph.take().unwrap();
        spoil(&mut model, &mut graph);
        let problems = super::check(&ModelProto { graph: Some(graph), ..model }).unwrap_err();
        assert!(problems.list.iter().any(|problem| problem == expected), "expected: {expected}\nfound: {problems}");
    };
    check(&|model, _| model.opset_import[0].version = 9, "it uses version 9 of ONNX's operators; 13 to 18 are known");
    check(&|model, _| model.opset_import[0].domain = "ai.onnx.ml".into(), "it must import ONNX's own operators, and no others");
    check(&|model, _| model.ir_version = 3, "its format version is 3; constants that are no inputs need 4 or above");
    check(&|model, _| model.metadata_props.clear(), "the file's metadata has no `classes`, a JSON list of their names");
    check(&|model, _| model.metadata_props[1].value = "[\"a\"]".into(), "it gives 4 probabilities, but names 1 classes");
    check(
        &|_, graph| graph.node.swap(0, 1),
        "node `net/normalisation` reads `net/normalisation.centred`, which nothing before it gives",
    );
    check(&|_, graph| graph.node[1].name = "net/0".into(), "a node is called `net/0`, as something before it is");
    check(
        &|_, graph| graph.node[1].output[0] = IMAGE.into(),
        "an output of node `net/normalisation` is called `image`, as something before it is",
    );
    check(&|_, graph| graph.node[0].name.clear(), "a node has no name");
    check(&|_, graph| graph.node[0].output.clear(), "node `net/normalisation.centred` gives nothing");
    check(
        &|_, graph| graph.node[0].domain = "com.shop".into(),
        "node `net/normalisation.centred` uses `Sub` of `com.shop`, which is not ONNX's own",
    );
    check(
        &|_, graph| graph.node[0].attribute.push(AttributeProto { g: Some(GraphProto::default()), ..Default::default() }),
        "node `net/normalisation.centred` holds a graph of its own, which is not supported",
    );
    check(&|_, graph| graph.sparse_initializer.push(Default::default()), "it holds sparse constants, which are not supported");
    check(
        &|_, graph| graph.initializer[0].raw_data.truncate(3),
        "constant `net/normalisation.mean` of shape [1, 1, 1, 1] needs 4 bytes for each value, but holds 3",
    );
    check(
        &|_, graph| graph.initializer[0].dims[0] = -1,
        "constant `net/normalisation.mean` of shape [-1, 1, 1, 1] needs 4 bytes for each value, but holds 4",
    );
    check(
        &|_, graph| graph.initializer[0].data_type = DataType::Float16 as i32,
        "constant `net/normalisation.mean` is of type FLOAT16; only FLOAT and INT64 are known",
    );
    check(&|_, graph| graph.initializer[0].data_type = 99, "constant `net/normalisation.mean` is of an unknown type, 99");
    check(
        &|_, graph| graph.initializer[0].data_location = Some(DataLocation::External as i32),
        "constant `net/normalisation.mean` lies in another file; a model is one file",
    );
    check(&|_, graph| graph.input.clear(), "it has 0 inputs; there must be one, `image`");
    check(&|_, graph| graph.input[0].name = "x".into(), "`x` must be called `image`");
    check(&|_, graph| graph.input[0].r#type = None, "`image` has no type");
    check(&|_, graph| drop(graph.output.remove(0)), "its outputs are `probabilities`; they must be `label` and `probabilities`");
    check(&|_, graph| drop(graph.node.pop()), "the output `label` is given by nothing");
    check(&|_, graph| tensor(&mut graph.output[0]).elem_type = DataType::Float as i32, "`label` is FLOAT; it must be INT64");
    let fixed = "`image` must have the shape [N, C, H, W], with a free N and fixed sizes after it";
    check(&|_, graph| dims(&mut graph.input[0])[0].value = Some(Size::DimValue(1)), fixed);
    check(&|_, graph| dims(&mut graph.input[0])[2].value = Some(Size::DimParam("H".into())), fixed);
    check(&|_, graph| drop(dims(&mut graph.input[0]).pop()), fixed);
    assert_eq!(super::check(&ModelProto::default()).unwrap_err().list.last().unwrap(), "it holds no graph");
}

fn tensor(value: &mut ValueInfoProto) -> &mut type_proto::Tensor {
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().unwrap().value.as_mut() else { unreachable!() };
    tensor
}

fn dims(value: &mut ValueInfoProto) -> &mut Vec<Dimension> {
    &mut tensor(value).shape.as_mut().unwrap().dim
}

/// A network with every operator that is written but those of views and votes.
fn deep() -> ModelProto {
    let layers = r#"[{"conv": {"filters": 3}}, {"relu": {}}, {"max_pool": {}}, {"gelu": {}}, {"avg_pool": {"size": 2, "stride": 1}}, {"flatten": {}}, {"dense": {"units": 4}}]"#;
    let architecture = samples::architecture(1, layers);
    samples::model("net", &architecture, &samples::weights(&architecture, 1))
}

/// Checks what is said of a file of which one node was changed.
fn spoiled(name: &str, spoil: impl Fn(&mut NodeProto), expected: &str) {
    let mut model = deep();
    let nodes = &mut model.graph.as_mut().unwrap().node;
    let node = nodes.iter_mut().find(|node| node.name == name).unwrap_or_else(|| panic!("there is no node {name}"));
    spoil(node);
    let problems = check(&model).unwrap_err().to_string();
    assert!(problems.contains(expected), "expected: {expected}\nfound: {problems}");
}

fn ints(node: &mut NodeProto, name: &str, values: &[i64]) {
    node.attribute.retain(|attribute| attribute.name != name);
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..AttributeProto::default()
    });
}

fn int(node: &mut NodeProto, name: &str, value: i64) {
    node.attribute.retain(|attribute| attribute.name != name);
    let r#type = AttributeType::Int as i32;
    node.attribute.push(AttributeProto { name: name.to_owned(), r#type, i: value, ..AttributeProto::default() });
}

#[test]
fn nodes_of_every_operator_need_their_inputs() {
    let whole = deep();
    let mut operators: Vec<&str> = Vec::new();
    for node in &whole.graph.as_ref().unwrap().node {
        operators.push(&node.op_type);
        spoiled(&node.name, |node| node.input.clear(), "has 0 inputs; it takes");
        spoiled(&node.name, |node| node.input[0].clear(), "has an input without a name");
        spoiled(&node.name, |node| node.output[0].clear(), "has an output without a name");
        spoiled(&node.name, |node| node.output.extend(["a".into(), "b".into()]), "has 3 outputs; it gives");
        spoiled(&node.name, |node| int(node, "nonsense", 1), "has an attribute `nonsense`, which it does not know");
        spoiled(&node.name, |node| node.input.extend(vec!["image".to_owned(); 3]), "inputs; it takes");
    }
    for operator in
        ["Conv", "Gemm", "Relu", "MaxPool", "AveragePool", "Flatten", "Softmax", "ArgMax", "Sub", "Mul", "Div", "Erf", "Add"]
    {
        assert!(operators.contains(&operator), "{operator} is not tried");
    }
}

#[test]
fn attributes_have_their_type_and_a_size_that_fits() {
    spoiled("label", |node| int(node, "axis", -4_611_686_018_427_387_904), "has an attribute `axis` of -4611686018427387904");
    spoiled("label", |node| int(node, "axis", 2), "runs along axis 2, but its input has 2");
    spoiled("label", |node| int(node, "axis", -2), "runs over the images");
    spoiled("probabilities", |node| int(node, "axis", 7), "runs along axis 7, but its input has 2");
    spoiled("net/5", |node| int(node, "axis", 4_611_686_018_427_387_904), "has an attribute `axis` of 4611686018427387904");
    spoiled("net/5", |node| int(node, "axis", -9), "runs along axis -9, but its input has 4");
    spoiled("net/0", |node| ints(node, "strides", &[1 << 31, 1 << 31]), "has an attribute `strides` of [2147483648, 2147483648]");
    spoiled("net/0", |node| ints(node, "strides", &[0, 0]), "has a window, a step or a dilation of 0");
    spoiled("net/0", |node| ints(node, "strides", &[1_000_001, 1]), "has a step of 1000001, far larger");
    spoiled("net/0", |node| ints(node, "dilations", &[1]), "has an attribute `dilations` of [1]; 2 numbers");
    spoiled("net/0", |node| ints(node, "dilations", &[2_000_000_000; 2]), "larger than the feature map");
    spoiled("net/0", |node| ints(node, "pads", &[1]), "has an attribute `pads` of [1]; 4 numbers");
    spoiled("net/0", |node| ints(node, "pads", &[3; 4]), "has a padding of 3, not smaller than its window");
    spoiled("net/0", |node| ints(node, "pads", &[-1; 4]), "has an attribute `pads` of [-1, -1, -1, -1]");
    spoiled("net/0", |node| ints(node, "kernel_shape", &[5, 5]), "has a `kernel_shape` of [5, 5], but weights of");
    spoiled("net/2", |node| ints(node, "kernel_shape", &[1, 2, 3]), "has an attribute `kernel_shape` of [1, 2, 3]; 2 numbers");
    spoiled("net/2", |node| node.attribute.clear(), "has a window, a step or a dilation of 0");
    spoiled("net/0", |node| int(node, "strides", 1), "has an attribute `strides` that is not of type INTS");
    spoiled("net/0", |node| node.attribute.extend(node.attribute.clone()), "has the attribute `kernel_shape` twice");
    spoiled("net/0", |node| int(node, "group", -1), "has less than one group");
}

#[test]
fn shapes_must_meet() {
    let mut model = deep();
    spoiled("net/6", |node| node.input.swap(0, 1), "multiplies by [27] for each image");
    spoiled("net/6", |node| node.input[0] = "net/4".into(), "multiplies matrices, but is given [3, 3, 3] for each image");
    spoiled("net/0", |node| node.input[1] = "net/6.weight".into(), "which are not of four dimensions");
    let graph = model.graph.as_mut().unwrap();
    for (index, size) in [1_099_511_627_776, 9_223_372_036_854_775_807, 30_000, 0].into_iter().enumerate() {
        dims(&mut graph.input[0])[2].value = Some(Size::DimValue(size));
        dims(&mut graph.input[0])[3].value = Some(Size::DimValue(size));
        let problems = check(&ModelProto { graph: Some(graph.clone()), ..deep() }).unwrap_err().to_string();
        let expected = if index < 3 { "are too large: 67108864 values are the most" } else { "must have the shape [N, C, H, W]" };
        assert!(problems.contains(expected), "{size}: {problems}");
    }
    // Twice as many rows as the dense layer is made for.
    let mut model = deep();
    let graph = model.graph.as_mut().unwrap();
    dims(&mut graph.input[0])[2].value = Some(Size::DimValue(18));
    let problems = check(&model).unwrap_err().to_string();
    assert!(problems.contains("has weights for 27 inputs, but is given"), "{problems}");
}

#[test]
fn values_that_would_be_given_twice_and_functions_are_refused() {
    let mut model = deep();
    model.graph.as_mut().unwrap().initializer[0].float_data.push(1.0);
    model.functions.push(Default::default());
    let problems = check(&model).unwrap_err();
    assert_eq!(problems.list.len(), 2, "{problems}");
    assert!(problems.is_own && problems.to_string().contains("holds its values twice"), "{problems}");
}

#[test]
fn slices_take_what_onnx_says_they_take() {
    for (size, start, end, step, expected) in [
        (5, 0, 5, 1, Some(5)),
        (5, 1, i64::MAX, 2, Some(2)),
        (5, -2, 5, 1, Some(2)),
        (5, 4, -6, -1, Some(5)),
        (5, i64::MAX, i64::MIN, -1, Some(5)),
        (5, i64::MAX, i64::MIN, i64::MIN, Some(1)),
        (5, 3, 3, 1, None),
        (5, 0, 5, 0, None),
        (5, i64::MIN, i64::MIN, 1, None),
    ] {
        assert_eq!(shapes::sliced(size, start, end, step), expected, "{size} {start} {end} {step}");
    }
}

#[test]
fn a_window_may_be_larger_than_the_map_where_the_runtime_pads() {
    // One row is left for the mean of two.
    let mut model = deep();
    dims(&mut model.graph.as_mut().unwrap().input[0])[2].value = Some(Size::DimValue(2));
    let problems = check(&model).unwrap_err().to_string();
    assert!(problems.contains("node `net/4` (AveragePool) has a window of 2, larger than the feature map"), "{problems}");
    let nodes = &mut model.graph.as_mut().unwrap().node;
    nodes.iter_mut().find(|node| node.name == "net/4").unwrap().attribute.push(AttributeProto {
        name: "auto_pad".to_owned(),
        r#type: AttributeType::String as i32,
        s: b"SAME_UPPER".to_vec(),
        ..AttributeProto::default()
    });
    check(&model).unwrap();
}

#[test]
fn a_small_file_takes_little_memory_and_time_to_check() {
    let mut model = deep();
    let graph = model.graph.as_mut().unwrap();
    let constant = &mut graph.initializer[0];
    constant.dims = [vec![1; 1_000_000], constant.dims.clone()].concat();
    let attribute = |name: usize| AttributeProto { name: name.to_string(), ..AttributeProto::default() };
    graph.node[0].attribute.extend((0..200_000).map(attribute));
    let problems = check(&model).unwrap_err();
    assert!(problems.list.iter().any(|problem| problem.ends_with(" dimensions; 8 are the most")), "{problems}");
    assert_eq!(problems.list.len(), 200_001);
}

#[test]
fn many_problems_of_a_file_are_counted_and_few_are_shown() {
    let problems = Problems { list: vec!["x".repeat(100_000); 500], is_own: false };
    let text = problems.to_string();
    assert!(text.len() < 5000 && text.ends_with("; and 490 more"), "{text}");
}
