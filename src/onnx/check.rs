//! The structural check: whether a file has the interface that every model of this program has, and whether its graph
//! holds together. It says nothing of what the graph computes.

use std::collections::HashSet;
use std::fmt;

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::{GraphProto, TensorProto, ValueInfoProto, type_proto};

use super::{IMAGE, LABEL, ModelProto, PROBABILITIES, metadata};
use crate::data::ImageShape;

/// What a model takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The shape of an image.
    pub image: ImageShape,
    /// The name of each class; its position is the label.
    pub classes: Vec<String>,
}

/// Everything that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the model is not as it should be: {}", self.0.join("; "))
    }
}

impl std::error::Error for Problems {}

/// The versions of ONNX's operators that a graph may use: from 13, which gave Softmax its present meaning, to 18, the last
/// that tract is tested with.
const OPSETS: std::ops::RangeInclusive<i64> = 13..=18;

/// Checks a file's interface, versions, names, order of nodes and sizes of constants.
///
/// # Errors
/// Every problem found, each naming the node, constant or value it is about.
pub fn check(model: &ModelProto) -> Result<Interface, Problems> {
    let mut problems = Vec::new();
    match model.opset_import.as_slice() {
        [opset] if matches!(opset.domain.as_str(), "" | "ai.onnx") => {
            if !OPSETS.contains(&opset.version) {
                let (least, most) = OPSETS.into_inner();
                problems.push(format!("it uses version {} of ONNX's operators; {least} to {most} are known", opset.version));
            }
        }
        _ => problems.push("it must import ONNX's own operators, and no others".to_owned()),
    }
    if model.ir_version < 4 {
        problems.push(format!("its format version is {}; constants that are no inputs need 4 or above", model.ir_version));
    }
    let Some(graph) = &model.graph else {
        problems.push("it holds no graph".to_owned());
        return Err(Problems(problems));
    };
    check_names(graph, &mut problems);
    for constant in &graph.initializer {
        check_constant(constant, &mut problems);
    }
    let interface = check_interface(model, graph, &mut problems);
    match interface {
        Some(interface) if problems.is_empty() => Ok(interface),
        _ => Err(Problems(problems)),
    }
}

/// Every value has one origin, which comes before its use.
fn check_names<'a>(graph: &'a GraphProto, problems: &mut Vec<String>) {
    let mut defined = HashSet::new();
    let mut nodes = HashSet::new();
    let define = |name: &'a str, what: &str, defined: &mut HashSet<&'a str>, problems: &mut Vec<String>| {
        if name.is_empty() {
            problems.push(format!("{what} has no name"));
        } else if !defined.insert(name) {
            problems.push(format!("{what} is called `{name}`, as something before it is"));
        }
    };
    for input in &graph.input {
        define(&input.name, "an input", &mut defined, problems);
    }
    for constant in &graph.initializer {
        define(&constant.name, "a constant", &mut defined, problems);
    }
    if !graph.sparse_initializer.is_empty() {
        problems.push("it holds sparse constants, which are not supported".to_owned());
    }
    for node in &graph.node {
        define(&node.name, "a node", &mut nodes, problems);
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            problems.push(format!("node `{}` uses `{}` of `{}`, which is not ONNX's own", node.name, node.op_type, node.domain));
        }
        for input in node.input.iter().filter(|input| !input.is_empty() && !defined.contains(input.as_str())) {
            problems.push(format!("node `{}` reads `{input}`, which nothing before it gives", node.name));
        }
        if node.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty()) {
            problems.push(format!("node `{}` holds a graph of its own, which is not supported", node.name));
        }
        if node.output.is_empty() {
            problems.push(format!("node `{}` gives nothing", node.name));
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            define(output, &format!("an output of node `{}`", node.name), &mut defined, problems);
        }
    }
    for output in &graph.output {
        if !defined.contains(output.name.as_str()) {
            problems.push(format!("the output `{}` is given by nothing", output.name));
        }
    }
}

/// The bytes of a constant fill its shape.
fn check_constant(constant: &TensorProto, problems: &mut Vec<String>) {
    let name = &constant.name;
    if constant.data_location == Some(DataLocation::External as i32) || !constant.external_data.is_empty() {
        problems.push(format!("constant `{name}` lies in another file; a model is one file"));
        return;
    }
    let (size, single) = match DataType::try_from(constant.data_type) {
        Ok(DataType::Float) => (4, constant.float_data.len()),
        Ok(DataType::Int64) => (8, constant.int64_data.len()),
        Ok(other) => {
            problems.push(format!("constant `{name}` is of type {}; only FLOAT and INT64 are known", other.as_str_name()));
            return;
        }
        Err(_) => {
            problems.push(format!("constant `{name}` is of an unknown type, {}", constant.data_type));
            return;
        }
    };
    let volume = constant.dims.iter().try_fold(1_usize, |volume, &dim| volume.checked_mul(usize::try_from(dim).ok()?));
    let bytes = if constant.raw_data.is_empty() { single.checked_mul(size) } else { Some(constant.raw_data.len()) };
    if volume.is_none() || volume.and_then(|volume| volume.checked_mul(size)) != bytes {
        problems.push(format!(
            "constant `{name}` of shape {:?} needs {size} bytes for each value, but holds {}",
            constant.dims,
            bytes.unwrap_or(usize::MAX)
        ));
    }
}

fn check_interface(model: &ModelProto, graph: &GraphProto, problems: &mut Vec<String>) -> Option<Interface> {
    let found = problems.len();
    let image = match graph.input.as_slice() {
        [input] => check_value(input, IMAGE, DataType::Float, "[N, C, H, W]", problems),
        inputs => {
            problems.push(format!("it has {} inputs; there must be one, `{IMAGE}`", inputs.len()));
            None
        }
    };
    let output = |name: &str| graph.output.iter().find(|output| output.name == name);
    if graph.output.len() != 2 || output(LABEL).is_none() || output(PROBABILITIES).is_none() {
        let names: Vec<String> = graph.output.iter().map(|output| format!("`{}`", output.name)).collect();
        problems.push(format!("its outputs are {}; they must be `{LABEL}` and `{PROBABILITIES}`", names.join(", ")));
        return None;
    }
    let label = check_value(output(LABEL)?, LABEL, DataType::Int64, "[N]", problems);
    let probabilities = check_value(output(PROBABILITIES)?, PROBABILITIES, DataType::Float, "[N, classes]", problems);
    let classes = metadata::classes(model).map_err(|error| problems.push(error.to_string())).ok();
    let (image, _, probabilities, classes) = (image?, label?, probabilities?, classes?);
    let &[channels, height, width] = image.as_slice() else { return None };
    if probabilities != [classes.len()] {
        problems.push(format!("it gives {} probabilities, but names {} classes", probabilities[0], classes.len()));
    }
    (problems.len() == found).then_some(Interface { image: ImageShape { channels, height, width }, classes })
}

/// An input or output: its name, type, and a shape like `pattern`, in which N is free. Returns the sizes after N.
fn check_value(
    value: &ValueInfoProto,
    name: &str,
    kind: DataType,
    pattern: &str,
    problems: &mut Vec<String>,
) -> Option<Vec<usize>> {
    if value.name != name {
        problems.push(format!("`{}` must be called `{name}`", value.name));
        return None;
    }
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        problems.push(format!("`{name}` has no type"));
        return None;
    };
    if tensor.elem_type != kind as i32 {
        let found = DataType::try_from(tensor.elem_type).map_or("of an unknown type", |kind| kind.as_str_name());
        problems.push(format!("`{name}` is {found}; it must be {}", kind.as_str_name()));
    }
    let sizes: Vec<Option<&Size>> = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| dim.value.as_ref()).collect();
    let fixed = |size: &Option<&Size>| match size {
        Some(Size::DimValue(size)) => usize::try_from(*size).ok().filter(|&size| size > 0),
        _ => None,
    };
    let is_free = matches!(sizes.first(), Some(Some(Size::DimParam(_))));
    let rest: Option<Vec<usize>> = sizes.iter().skip(1).map(fixed).collect();
    match rest {
        Some(rest) if is_free && sizes.len() == pattern.split(',').count() => Some(rest),
        _ => {
            problems.push(format!("`{name}` must have the shape {pattern}, with a free N and fixed sizes after it"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::AttributeProto;
    use tract_onnx::pb::tensor_shape_proto::Dimension;

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
            assert!(problems.0.iter().any(|problem| problem == expected), "expected: {expected}\nfound: {problems}");
        };
        check(&|model, _| model.opset_import[0].version = 9, "it uses version 9 of ONNX's operators; 13 to 18 are known");
        check(
            &|model, _| model.opset_import[0].domain = "ai.onnx.ml".into(),
            "it must import ONNX's own operators, and no others",
        );
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
        check(
            &|_, graph| graph.sparse_initializer.push(Default::default()),
            "it holds sparse constants, which are not supported",
        );
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
        check(
            &|_, graph| drop(graph.output.remove(0)),
            "its outputs are `probabilities`; they must be `label` and `probabilities`",
        );
        check(&|_, graph| drop(graph.node.pop()), "the output `label` is given by nothing");
        check(&|_, graph| tensor(&mut graph.output[0]).elem_type = DataType::Float as i32, "`label` is FLOAT; it must be INT64");
        let fixed = "`image` must have the shape [N, C, H, W], with a free N and fixed sizes after it";
        check(&|_, graph| dims(&mut graph.input[0])[0].value = Some(Size::DimValue(1)), fixed);
        check(&|_, graph| dims(&mut graph.input[0])[2].value = Some(Size::DimParam("H".into())), fixed);
        check(&|_, graph| drop(dims(&mut graph.input[0]).pop()), fixed);
        assert_eq!(super::check(&ModelProto::default()).unwrap_err().0.last().unwrap(), "it holds no graph");
    }

    fn tensor(value: &mut ValueInfoProto) -> &mut type_proto::Tensor {
        let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().unwrap().value.as_mut() else { unreachable!() };
        tensor
    }

    fn dims(value: &mut ValueInfoProto) -> &mut Vec<Dimension> {
        &mut tensor(value).shape.as_mut().unwrap().dim
    }
}
