//! The structural check: whether a file has the interface that every model of this program has, and whether its graph
//! holds together: names, inputs and attributes of nodes, and the shape of every value. It says nothing of what the graph computes.
//! What passes here, engines need not doubt.

mod operators;
mod shapes;

use std::collections::HashSet;
use std::fmt;

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::{GraphProto, TensorProto, ValueInfoProto, type_proto};

use super::{IMAGE, LABEL, ModelProto, PROBABILITIES, metadata};
use crate::data::ImageShape;
use crate::quote::excerpt_of;

/// What a model takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The shape of an image.
    pub image: ImageShape,
    /// The name of each class; its position is the label.
    pub classes: Vec<String>,
    /// Numbers in the largest value of one image, as far as shapes are known.
    pub largest: usize,
}

/// The most problems of a file that are shown.
const SHOWN: usize = 10;
/// The most characters that are shown of one.
const LONGEST: usize = 300;

/// The most dimensions of a constant; layers need four. A million of them may be of size 1, and each node that reads it would have as many.
const MOST_DIMENSIONS: usize = 8;

/// Everything that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// What is wrong.
    pub list: Vec<String>,
    /// Whether this program wrote the file, which then was whole once and is damaged. A file from elsewhere just is another model.
    pub is_own: bool,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.list.iter().take(SHOWN).map(|problem| excerpt_of(problem, LONGEST)).collect();
        write!(f, "the model is not as it should be: {}", shown.join("; "))?;
        match self.list.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for Problems {}

/// The versions of ONNX's operators that a graph may use: from 13, which gave Softmax its present meaning, to 18, the last
/// that tract is tested with.
const OPSETS: std::ops::RangeInclusive<i64> = 13..=18;

/// Checks a file's interface, versions, names, order of nodes, sizes of constants, and, if all that is well, the shape of every value.
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
    if !model.functions.is_empty() {
        problems.push("it holds functions of its own, which are not supported".to_owned());
    }
    let is_own = model.producer_name == env!("CARGO_PKG_NAME");
    let Some(graph) = &model.graph else {
        problems.push("it holds no graph".to_owned());
        return Err(Problems { list: problems, is_own });
    };
    check_names(graph, &mut problems);
    for constant in &graph.initializer {
        check_constant(constant, &mut problems);
    }
    let mut interface = check_interface(model, graph, &mut problems);
    if let Some(interface) = interface.as_mut().filter(|_| problems.is_empty()) {
        interface.largest = shapes::check(graph, interface, &mut problems);
    }
    match interface {
        Some(interface) if problems.is_empty() => Ok(interface),
        _ => Err(Problems { list: problems, is_own }),
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
        operators::check(node, problems);
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
    if constant.dims.len() > MOST_DIMENSIONS {
        let found = constant.dims.len();
        problems.push(format!("constant `{name}` has {found} dimensions; {MOST_DIMENSIONS} are the most"));
        return;
    }
    let typed = [
        constant.float_data.len(),
        constant.int64_data.len(),
        constant.int32_data.len(),
        constant.double_data.len(),
        constant.uint64_data.len(),
        constant.string_data.len(),
    ];
    let kinds = typed.iter().filter(|values| **values > 0).count() + usize::from(!constant.raw_data.is_empty());
    if kinds > 1 {
        problems.push(format!("constant `{name}` holds its values twice"));
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
    let image = ImageShape::new(channels, height, width).map_err(|problem| problems.push(problem)).ok()?;
    (problems.len() == found).then_some(Interface { image, classes, largest: 0 })
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
mod tests;
