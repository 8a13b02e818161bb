//! An ONNX graph to look things up in: which node gives a value, who reads it, what a constant holds.

use std::collections::BTreeMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// A graph whose nodes come in an order in which they can be run.
pub(super) struct Nodes<'a> {
    pub nodes: &'a [NodeProto],
    constants: BTreeMap<&'a str, &'a TensorProto>,
    readers: BTreeMap<&'a str, Vec<usize>>,
}

/// A constant: shape and numbers.
pub(super) type Constant = (Vec<usize>, Vec<f32>);

/// Why the kernels cannot run a graph: which node, and what of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node `{node}` ({operator}): {what}")]
pub(super) struct NotCovered {
    node: String,
    operator: String,
    what: String,
}

impl NotCovered {
    pub fn new(node: &NodeProto, what: impl Into<String>) -> Self {
        Self { node: node.name.clone(), operator: node.op_type.clone(), what: what.into() }
    }
}

impl<'a> Nodes<'a> {
    pub fn new(graph: &'a GraphProto) -> Self {
        let mut readers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            node.input.iter().for_each(|input| readers.entry(input).or_default().push(index));
        }
        let constants = graph.initializer.iter().map(|constant| (constant.name.as_str(), constant)).collect();
        Self { nodes: &graph.node, constants, readers }
    }

    /// The nodes that read what `node` gives.
    pub fn readers(&self, node: &NodeProto) -> &[usize] {
        node.output.first().and_then(|output| self.readers.get(output.as_str())).map_or(&[], Vec::as_slice)
    }

    /// The only node that reads what node `index` gives, if it is of one of the `operators`.
    pub fn follower(&self, index: usize, operators: &[&str]) -> Option<usize> {
        match *self.readers(&self.nodes[index]) {
            [reader] if operators.contains(&self.nodes[reader].op_type.as_str()) => Some(reader),
            _ => None,
        }
    }

    /// A constant's shape and numbers, if `name` is one of float32.
    pub fn constant(&self, name: &str) -> Option<Constant> {
        let tensor = self.constants.get(name)?;
        if tensor.data_type != DataType::Float as i32 {
            return None;
        }
        let shape: Vec<usize> = tensor.dims.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>()?;
        let values = if tensor.raw_data.is_empty() {
            tensor.float_data.clone()
        } else {
            tensor.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        (values.len() == shape.iter().product::<usize>()).then_some((shape, values))
    }

    /// The whole numbers of a constant list, if `name` is one of int64.
    pub fn indices(&self, name: &str) -> Option<Vec<i64>> {
        let tensor = self.constants.get(name).filter(|tensor| tensor.data_type == DataType::Int64 as i32)?;
        if tensor.raw_data.is_empty() {
            return Some(tensor.int64_data.clone());
        }
        Some(tensor.raw_data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
    }

    /// The constant that a node of two inputs reads, and the name of its other input.
    pub fn beside_constant(&self, node: &'a NodeProto) -> Option<(&'a str, Constant)> {
        let [first, second] = node.input.as_slice() else { return None };
        match (self.constant(first), self.constant(second)) {
            (None, Some(constant)) => Some((first, constant)),
            // A difference or a quotient is not the same the other way round.
            (Some(constant), None) if matches!(node.op_type.as_str(), "Add" | "Mul" | "Max") => Some((second, constant)),
            _ => None,
        }
    }
}

/// A whole-number attribute, or its default.
pub(super) fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or(default, |attribute| attribute.i)
}

/// A list of whole numbers, or an empty one.
pub(super) fn integers<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or(&[], |attribute| attribute.ints.as_slice())
}

/// Whether no attribute but `known` ones is there.
pub(super) fn unknown_attribute<'a>(node: &'a NodeProto, known: &[&str]) -> Option<&'a str> {
    node.attribute.iter().map(|attribute| attribute.name.as_str()).find(|name| !known.contains(name))
}

/// A square window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub size: usize,
    pub stride: usize,
    pub padding: usize,
}

pub(super) fn window(node: &NodeProto, known: &[&str]) -> Result<Window, NotCovered> {
    if let Some(name) = unknown_attribute(node, known) {
        return Err(NotCovered::new(node, format!("attribute `{name}`")));
    }
    let same = |name: &str, default: usize| match integers(node, name) {
        [] => Ok(default),
        [first, rest @ ..] if rest.iter().all(|other| other == first) => {
            usize::try_from(*first).map_err(|_| NotCovered::new(node, format!("`{name}` is negative")))
        }
        _ => Err(NotCovered::new(node, format!("`{name}` is not the same on all sides"))),
    };
    let (size, stride, padding) = (same("kernel_shape", 0)?, same("strides", 1)?, same("pads", 0)?);
    if stride == 0 || (size == 0 && node.op_type != "Conv") {
        return Err(NotCovered::new(node, "it has no window or no step"));
    }
    Ok(Window { size, stride, padding })
}

/// Whether a pooling is of 2×2 windows side by side.
pub(super) fn pools_pairs(node: &NodeProto) -> bool {
    let found = window(node, &["kernel_shape", "strides", "pads", "ceil_mode"]);
    found == Ok(Window { size: 2, stride: 2, padding: 0 }) && integer(node, "ceil_mode", 0) == 0
}
