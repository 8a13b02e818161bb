//! What operators of ONNX (13 to 18) take: how many inputs and outputs, and which attributes of which type. These are the operators
//! that this program writes; whether tract knows what others take, is tract's to say.

use std::collections::HashSet;

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::attribute_proto::AttributeType;

/// What nodes of an operator may look like.
struct Operator {
    name: &'static str,
    /// The inputs that there must be, and the most that there may be.
    inputs: (usize, usize),
    /// The most outputs.
    outputs: usize,
    attributes: &'static [(&'static str, AttributeType)],
}

const fn operator(
    name: &'static str,
    inputs: (usize, usize),
    outputs: usize,
    attributes: &'static [(&'static str, AttributeType)],
) -> Operator {
    Operator { name, inputs, outputs, attributes }
}

use AttributeType::{Float, Int, Ints, String as Text};

const OPERATORS: &[Operator] = &[
    operator("Add", (2, 2), 1, &[]),
    operator("ArgMax", (1, 1), 1, &[("axis", Int), ("keepdims", Int), ("select_last_index", Int)]),
    operator(
        "AveragePool",
        (1, 1),
        1,
        &[
            ("auto_pad", Text),
            ("ceil_mode", Int),
            ("count_include_pad", Int),
            ("kernel_shape", Ints),
            ("pads", Ints),
            ("strides", Ints),
        ],
    ),
    operator(
        "Conv",
        (2, 3),
        1,
        &[("auto_pad", Text), ("dilations", Ints), ("group", Int), ("kernel_shape", Ints), ("pads", Ints), ("strides", Ints)],
    ),
    operator("Div", (2, 2), 1, &[]),
    operator("Erf", (1, 1), 1, &[]),
    operator("Flatten", (1, 1), 1, &[("axis", Int)]),
    operator("Gemm", (2, 3), 1, &[("alpha", Float), ("beta", Float), ("transA", Int), ("transB", Int)]),
    operator("GlobalAveragePool", (1, 1), 1, &[]),
    operator("GlobalMaxPool", (1, 1), 1, &[]),
    operator("Log", (1, 1), 1, &[]),
    operator("Max", (1, usize::MAX), 1, &[]),
    operator(
        "MaxPool",
        (1, 1),
        2,
        &[
            ("auto_pad", Text),
            ("ceil_mode", Int),
            ("dilations", Ints),
            ("kernel_shape", Ints),
            ("pads", Ints),
            ("storage_order", Int),
            ("strides", Ints),
        ],
    ),
    operator("Mul", (2, 2), 1, &[]),
    operator("Pad", (2, 4), 1, &[("mode", Text)]),
    operator("Relu", (1, 1), 1, &[]),
    operator("Slice", (3, 5), 1, &[]),
    operator("Softmax", (1, 1), 1, &[("axis", Int)]),
    operator("Sub", (2, 2), 1, &[]),
];

/// Whether nodes of the operator are known, and so were checked.
pub(super) fn is_known(operator: &str) -> bool {
    OPERATORS.iter().any(|known| known.name == operator)
}

/// Adds what is wrong with the inputs, outputs and attributes of a node.
pub(super) fn check(node: &NodeProto, problems: &mut Vec<String>) {
    let mut problem = |what: String| problems.push(format!("node `{}` ({}) {what}", node.name, node.op_type));
    let mut names = HashSet::new();
    for attribute in &node.attribute {
        if !names.insert(attribute.name.as_str()) {
            problem(format!("has the attribute `{}` twice", attribute.name));
        }
    }
    let Some(operator) = OPERATORS.iter().find(|known| known.name == node.op_type) else { return };
    let (least, most) = operator.inputs;
    let found = node.input.len();
    if !(least..=most).contains(&found) {
        let range = if least == most { least.to_string() } else { format!("{least} or more") };
        problem(match found > most && least != most {
            true => format!("has {found} inputs; it takes {most} at most"),
            false => format!("has {found} inputs; it takes {range}"),
        });
    }
    // Of a variable number of inputs, none may be left out.
    let needed = if most == usize::MAX { found } else { least };
    if node.input.iter().take(needed).any(String::is_empty) {
        problem("has an input without a name".to_owned());
    }
    if node.output.len() > operator.outputs {
        problem(format!("has {} outputs; it gives {} at most", node.output.len(), operator.outputs));
    }
    if node.output.first().is_some_and(String::is_empty) {
        problem("has an output without a name".to_owned());
    }
    for attribute in &node.attribute {
        match operator.attributes.iter().find(|(name, _)| *name == attribute.name) {
            None => problem(format!("has an attribute `{}`, which it does not know", attribute.name)),
            Some((name, kind)) if attribute.r#type != *kind as i32 => {
                problem(format!("has an attribute `{name}` that is not of type {}", kind.as_str_name()));
            }
            Some(_) => {}
        }
    }
}
