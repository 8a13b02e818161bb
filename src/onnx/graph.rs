//! Writing a graph: nodes and constants under names that the caller chooses. It knows the format, not the layers.

use anyhow::{Result, ensure};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

use super::{BATCH, IMAGE, IR_VERSION, LABEL, Metadata, OPSET, PROBABILITIES};
use crate::data::ImageShape;

/// A graph in the making. Every node has one output, and its name is the node's name.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Graph {
    /// Adds a node and returns the name of its output, which is `name`.
    pub(super) fn node(&mut self, operator: &str, name: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.nodes.push(NodeProto {
            name: name.to_owned(),
            op_type: operator.to_owned(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            attribute: attributes,
            ..NodeProto::default()
        });
        name.to_owned()
    }

    /// Adds a float32 constant and returns its name. `values` are rounded from double precision.
    ///
    /// # Errors
    /// When a value is not a finite float32, as after a training that diverged.
    pub(super) fn constant(&mut self, name: &str, shape: &[usize], values: &[f64]) -> Result<String> {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        let mut bytes = Vec::with_capacity(4 * values.len());
        for (index, &value) in values.iter().enumerate() {
            let rounded = value as f32;
            ensure!(
                rounded.is_finite(),
                "`{name}` holds {rounded} at {index}: the model cannot be exported; did its training diverge?"
            );
            bytes.extend_from_slice(&rounded.to_le_bytes());
        }
        self.constants.push(TensorProto {
            name: name.to_owned(),
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: DataType::Float as i32,
            raw_data: bytes,
            ..TensorProto::default()
        });
        Ok(name.to_owned())
    }

    /// Adds a constant list of whole numbers and returns its name.
    pub(super) fn indices(&mut self, name: &str, values: &[i64]) -> String {
        self.constants.push(TensorProto {
            name: name.to_owned(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        name.to_owned()
    }

    /// The node of `label`, the first of the largest of `labelled`, and, around the graph, the file with the interface that every model has.
    pub(super) fn finish(
        mut self,
        name: &str,
        image: ImageShape,
        classes: usize,
        labelled: &str,
        metadata: &Metadata,
        further: &[(&str, String)],
    ) -> ModelProto {
        let attributes = vec![integer("axis", 1), integer("keepdims", 0), integer("select_last_index", 0)];
        self.node("ArgMax", LABEL, &[labelled], attributes);
        let ImageShape { channels, height, width } = image;
        ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(GraphProto {
                name: name.to_owned(),
                node: self.nodes,
                initializer: self.constants,
                input: vec![value(IMAGE, DataType::Float, &[channels, height, width])],
                output: vec![value(LABEL, DataType::Int64, &[]), value(PROBABILITIES, DataType::Float, &[classes])],
                ..GraphProto::default()
            }),
            metadata_props: metadata.entries(further),
            ..ModelProto::default()
        }
    }
}

/// An input or output of shape `[N, rest…]`.
fn value(name: &str, kind: DataType, rest: &[usize]) -> ValueInfoProto {
    let dimension = |value| Dimension { value: Some(value), ..Dimension::default() };
    let mut dim = vec![dimension(dimension::Value::DimParam(BATCH.to_owned()))];
    dim.extend(rest.iter().map(|&size| dimension(dimension::Value::DimValue(size as i64))));
    let tensor = type_proto::Tensor { elem_type: kind as i32, shape: Some(TensorShapeProto { dim }) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..ValueInfoProto::default() }
}

/// An attribute that is one integer.
pub(super) fn integer(name: &str, value: usize) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i: value as i64, ..AttributeProto::default() }
}

/// An attribute that is a list of integers: `count` times `value`.
pub(super) fn integers(name: &str, value: usize, count: usize) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: vec![value as i64; count],
        ..AttributeProto::default()
    }
}
