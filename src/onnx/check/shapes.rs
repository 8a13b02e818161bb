//! The shapes of values, from the image on: what layers are given must fit them, and no value of an image may be larger than
//! [`MOST_VALUES`]. What comes from an operator that is not known here has no known shape, and is tract's to check.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::Interface;
use super::operators::is_known;
use crate::nn::{MOST_VALUES, Windows, volume};
use crate::onnx::{IMAGE, LABEL, PROBABILITIES};
use crate::quote::excerpt;

/// A value of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    /// For each of N images as many numbers: the sizes after N.
    Images(Vec<usize>),
    /// The same for all images.
    Constant(Vec<usize>),
    Unknown,
}

use Value::{Constant, Images, Unknown};

/// Adds what does not fit. Names, arity and constants have been checked.
pub(super) fn check(graph: &GraphProto, interface: &Interface, problems: &mut Vec<String>) -> usize {
    let constants: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let shape = interface.image;
    let mut shapes = Shapes { values: HashMap::new(), constants: &constants };
    for tensor in &graph.initializer {
        let sizes = tensor.dims.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
        shapes.values.insert(&tensor.name, Constant(sizes));
    }
    shapes.values.insert(IMAGE, Images(vec![shape.channels, shape.height, shape.width]));
    let mut largest = shape.pixels();
    for node in &graph.node {
        let given = match shapes.of(node) {
            Ok(given) => given,
            Err(what) => {
                problems.push(format!("node `{}` ({}) {what}", excerpt(&node.name), excerpt(&node.op_type)));
                return largest;
            }
        };
        if let Images(sizes) | Constant(sizes) = &given {
            match volume(sizes.iter().copied()).filter(|&volume| (1..=MOST_VALUES).contains(&volume)) {
                Some(volume) => largest = largest.max(volume),
                None => {
                    problems.push(format!(
                        "node `{}` ({}) gives values of {sizes:?}; 1 to {MOST_VALUES} numbers are possible",
                        excerpt(&node.name),
                        excerpt(&node.op_type)
                    ));
                    return largest;
                }
            }
        }
        for (index, output) in node.output.iter().enumerate() {
            shapes.values.insert(output, if index == 0 { given.clone() } else { Unknown });
        }
    }
    for (name, expected) in [(PROBABILITIES, vec![interface.classes.len()]), (LABEL, vec![])] {
        match shapes.values.get(name) {
            None | Some(Unknown) => {}
            Some(Images(found)) if *found == expected => {}
            Some(_) => problems.push(format!("what it gives as `{name}` has not the shape that it declares")),
        }
    }
    largest
}

struct Shapes<'a> {
    values: HashMap<&'a str, Value>,
    constants: &'a HashMap<&'a str, &'a TensorProto>,
}

/// What does not fit, to be read after the name of the node.
type Fault = String;

impl Shapes<'_> {
    /// The shape of the first output of a node.
    fn of(&self, node: &NodeProto) -> Result<Value, Fault> {
        if !is_known(&node.op_type) {
            return Ok(Unknown);
        }
        let input = |index: usize| self.input(node, index);
        match node.op_type.as_str() {
            "Add" | "Sub" | "Mul" | "Div" | "Max" => {
                (1..node.input.len()).try_fold(input(0), |shape, index| broadcast(&shape, &input(index)))
            }
            "Relu" | "Erf" | "Log" => Ok(input(0)),
            "Softmax" => {
                let shape = input(0);
                axis(node, -1, rank(&shape), false)?;
                Ok(shape)
            }
            "ArgMax" => self.arg_max(node),
            "Flatten" => self.flatten(node),
            "Gemm" => self.gemm(node),
            "Conv" => self.conv(node),
            "MaxPool" | "AveragePool" => self.pool(node),
            "GlobalMaxPool" | "GlobalAveragePool" => match input(0) {
                Images(sizes) => {
                    let [channels, ..] = map(&sizes)?;
                    Ok(Images(vec![channels, 1, 1]))
                }
                _ => Ok(Unknown),
            },
            "Pad" => self.pad(node),
            "Slice" => self.slice(node),
            _ => Ok(Unknown),
        }
    }

    fn input(&self, node: &NodeProto, index: usize) -> Value {
        let name = node.input.get(index).map_or("", String::as_str);
        self.values.get(name).cloned().unwrap_or(Unknown)
    }

    /// The whole numbers that an input of a node is, if it is a constant list of them.
    fn list(&self, node: &NodeProto, index: usize) -> Option<Vec<i64>> {
        let tensor = self.constants.get(node.input.get(index)?.as_str())?;
        if tensor.data_type != DataType::Int64 as i32 || tensor.dims.len() != 1 {
            return None;
        }
        Some(match tensor.raw_data.is_empty() {
            true => tensor.int64_data.clone(),
            false => tensor.raw_data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        })
    }

    fn arg_max(&self, node: &NodeProto) -> Result<Value, Fault> {
        let shape = self.input(node, 0);
        let along = axis(node, 0, rank(&shape), false)?;
        let Images(mut sizes) = shape else { return Ok(Unknown) };
        match along {
            None => Ok(Unknown),
            Some(0) => Err("runs over the images, not over what there is of each".to_owned()),
            Some(along) if integer(node, "keepdims", 1)? == 0 => {
                sizes.remove(along - 1);
                Ok(Images(sizes))
            }
            Some(along) => {
                sizes[along - 1] = 1;
                Ok(Images(sizes))
            }
        }
    }

    fn flatten(&self, node: &NodeProto) -> Result<Value, Fault> {
        let shape = self.input(node, 0);
        match (axis(node, 1, rank(&shape), true)?, shape) {
            (Some(1), Images(sizes)) => Ok(Images(vec![volume(sizes).unwrap_or(usize::MAX)])),
            _ => Ok(Unknown),
        }
    }

    fn gemm(&self, node: &NodeProto) -> Result<Value, Fault> {
        let is_turned = integer(node, "transA", 0)? != 0;
        let (x, weights) = (self.input(node, 0), self.input(node, 1));
        if [&x, &weights].iter().any(|shape| rank(shape).is_some_and(|rank| rank != 2)) {
            return Err(format!("multiplies matrices, but is given {} and {}", told(&x), told(&weights)));
        }
        if matches!(weights, Images(_)) {
            return Err(format!("multiplies by {}", told(&weights)));
        }
        let (Images(x), Constant(weights), false) = (x, weights, is_turned) else { return Ok(Unknown) };
        let (inputs, outputs) = match integer(node, "transB", 0)? {
            0 => (weights[0], weights[1]),
            _ => (weights[1], weights[0]),
        };
        if x != [inputs] {
            return Err(format!("has weights for {inputs} inputs, but is given {}", x[0]));
        }
        if let Constant(bias) = self.input(node, 2) {
            let fits = bias.len() <= 2 && bias.iter().rev().zip([outputs, 1]).all(|(&size, most)| size == 1 || size == most);
            if !fits {
                return Err(format!("has a bias of {bias:?} for {outputs} outputs"));
            }
        }
        Ok(Images(vec![outputs]))
    }

    fn conv(&self, node: &NodeProto) -> Result<Value, Fault> {
        let (x, weights) = (self.input(node, 0), self.input(node, 1));
        let (Images(x), Constant(weights)) = (x, weights) else { return Ok(Unknown) };
        let [channels, height, width] = map(&x)?;
        let &[outputs, inputs, rows, columns] = weights.as_slice() else {
            return Err(format!("has weights of {weights:?}, which are not of four dimensions"));
        };
        let groups = usize::try_from(integer(node, "group", 1)?).ok().filter(|&groups| groups > 0);
        let groups = groups.ok_or("has less than one group")?;
        if inputs.checked_mul(groups) != Some(channels) || !outputs.is_multiple_of(groups) {
            return Err(format!("has weights of {weights:?} in {groups} groups, but is given {channels} channels"));
        }
        let kernel = integers(node, "kernel_shape", [rows, columns])?;
        if kernel != [rows, columns] {
            return Err(format!("has a `kernel_shape` of {kernel:?}, but weights of {weights:?}"));
        }
        if let Constant(bias) = self.input(node, 2)
            && bias != [outputs]
        {
            return Err(format!("has a bias of {bias:?} for {outputs} outputs"));
        }
        match windows(node, kernel, [height, width])? {
            Some([rows, columns]) => Ok(Images(vec![outputs, rows, columns])),
            None => Ok(Unknown),
        }
    }

    fn pool(&self, node: &NodeProto) -> Result<Value, Fault> {
        let Images(x) = self.input(node, 0) else { return Ok(Unknown) };
        let [channels, height, width] = map(&x)?;
        let kernel = integers(node, "kernel_shape", [0, 0])?;
        match windows(node, kernel, [height, width])? {
            Some([rows, columns]) => Ok(Images(vec![channels, rows, columns])),
            None => Ok(Unknown),
        }
    }

    fn pad(&self, node: &NodeProto) -> Result<Value, Fault> {
        let (Images(mut sizes), Some(pads), 2) = (self.input(node, 0), self.list(node, 1), node.input.len()) else {
            return Ok(Unknown);
        };
        let rank = sizes.len() + 1;
        if pads.len() != 2 * rank || pads[0] != 0 || pads[rank] != 0 {
            return Err(format!("has pads {pads:?}, which are not two for each side of an image"));
        }
        for (index, size) in sizes.iter_mut().enumerate() {
            let padded = i128::from(pads[index + 1]) + i128::from(pads[rank + index + 1]) + *size as i128;
            *size = usize::try_from(padded).ok().filter(|&size| size > 0).ok_or("cuts all of the image off")?;
        }
        Ok(Images(sizes))
    }

    fn slice(&self, node: &NodeProto) -> Result<Value, Fault> {
        let is_list = |name: &String| self.constants.get(name.as_str()).is_none_or(|tensor| tensor.dims.len() == 1);
        if !node.input.iter().skip(1).all(is_list) {
            return Err("takes its starts, ends, axes and steps as lists".to_owned());
        }
        let Images(mut sizes) = self.input(node, 0) else { return Ok(Unknown) };
        let (Some(starts), Some(ends)) = (self.list(node, 1), self.list(node, 2)) else { return Ok(Unknown) };
        let all = |index: usize, default: fn(i64) -> i64| match node.input.get(index) {
            Some(name) if !name.is_empty() => self.list(node, index),
            _ => Some((0..starts.len() as i64).map(default).collect()),
        };
        let (Some(axes), Some(steps)) = (all(3, |index| index), all(4, |_| 1)) else { return Ok(Unknown) };
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("has not as many starts, ends, axes and steps".to_owned());
        }
        let rank = sizes.len() + 1;
        let mut cut = Vec::new();
        for (index, &along) in axes.iter().enumerate() {
            let along = normal(along, rank, false).ok_or_else(|| format!("cuts along axis {along}, of {rank}"))?;
            if along == 0 {
                return Ok(Unknown);
            }
            if cut.contains(&along) {
                return Err("cuts twice along one axis".to_owned());
            }
            cut.push(along);
            let size = &mut sizes[along - 1];
            *size = sliced(*size, starts[index], ends[index], steps[index]).ok_or("cuts nothing out")?;
        }
        Ok(Images(sizes))
    }
}

/// How much a slice takes of `size`; `None` for nothing.
pub(super) fn sliced(size: usize, start: i64, end: i64, step: i64) -> Option<usize> {
    let (size, step) = (size as i128, i128::from(step));
    let from_end = |place: i64| if place < 0 { i128::from(place) + size } else { i128::from(place) };
    let (least, most) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let (start, end) = (from_end(start).clamp(least.max(0), most), from_end(end).clamp(least, most));
    let distance = if step > 0 { end - start } else { start - end };
    if step == 0 || distance <= 0 {
        return None;
    }
    usize::try_from((distance + step.abs() - 1) / step.abs()).ok()
}

/// The number of windows along rows and columns; `None` where a padding is found by the runtime, or windows may reach over the end.
fn windows(node: &NodeProto, [rows, columns]: [usize; 2], sides: [usize; 2]) -> Result<Option<[usize; 2]>, Fault> {
    let steps = integers(node, "strides", [1, 1])?;
    let dilations = integers(node, "dilations", [1, 1])?;
    let pads = integers(node, "pads", [0, 0, 0, 0])?;
    let automatic = node.attribute.iter().find(|attribute| attribute.name == "auto_pad");
    let is_explicit = automatic.is_none_or(|attribute| matches!(attribute.s.as_slice(), b"" | b"NOTSET"));
    let along = |side: usize, size: usize| {
        let padding = [pads[side], pads[side + 2]];
        let windows = Windows { size, dilation: dilations[side], step: steps[side], padding };
        // A padding that the runtime finds makes room for any window.
        let room = if is_explicit { 0 } else { size.saturating_mul(dilations[side]) };
        windows.count(sides[side].max(room)).map_err(|error| format!("{error} of {} × {}", sides[0], sides[1]))
    };
    let counts = [along(0, rows)?, along(1, columns)?];
    Ok((is_explicit && integer(node, "ceil_mode", 0)? == 0).then_some(counts))
}

/// The sizes of a map of features.
fn map(sizes: &[usize]) -> Result<[usize; 3], Fault> {
    sizes.try_into().map_err(|_| format!("takes feature maps, but is given values of {sizes:?}"))
}

/// The shape of two values put together number by number, the smaller repeated.
fn broadcast(a: &Value, b: &Value) -> Result<Value, Fault> {
    let unlike = || format!("puts values of {} and {} together", told(a), told(b));
    let joined = |a: &[usize], b: &[usize]| -> Option<Vec<usize>> {
        let length = a.len().max(b.len());
        let size = |sizes: &[usize], index: usize| (index + sizes.len()).checked_sub(length).map_or(1, |index| sizes[index]);
        let join = |index| match (size(a, index), size(b, index)) {
            (a, b) if a == b => Some(a),
            (1, other) | (other, 1) => Some(other),
            _ => None,
        };
        (0..length).map(join).collect()
    };
    match (a, b) {
        (Unknown, _) | (_, Unknown) => Ok(Unknown),
        (Constant(a), Constant(b)) => joined(a, b).map(Constant).ok_or_else(unlike),
        (Images(a), Images(b)) if a.len() == b.len() => joined(a, b).map(Images).ok_or_else(unlike),
        (Images(_), Images(_)) => Err(unlike()),
        (Images(images), Constant(constant)) | (Constant(constant), Images(images)) => {
            let rest = match constant.len().cmp(&(images.len() + 1)) {
                std::cmp::Ordering::Greater => return Err(unlike()),
                std::cmp::Ordering::Equal if constant[0] != 1 => return Err(unlike()),
                std::cmp::Ordering::Equal => &constant[1..],
                std::cmp::Ordering::Less => constant.as_slice(),
            };
            joined(images, rest).map(Images).ok_or_else(unlike)
        }
    }
}

/// How many axes a value has, if that is known.
fn rank(value: &Value) -> Option<usize> {
    match value {
        Images(sizes) => Some(sizes.len() + 1),
        Constant(sizes) => Some(sizes.len()),
        Unknown => None,
    }
}

fn told(value: &Value) -> String {
    match value {
        Images(sizes) => format!("{sizes:?} for each image"),
        Constant(sizes) => format!("{sizes:?}"),
        Unknown => "an unknown shape".to_owned(),
    }
}

/// The axis that a node names, counted from the first; `None` where it is not known how many there are.
fn axis(node: &NodeProto, default: i64, rank: Option<usize>, or_end: bool) -> Result<Option<usize>, Fault> {
    let given = integer(node, "axis", default)?;
    let Some(rank) = rank else { return Ok(None) };
    normal(given, rank, or_end).map(Some).ok_or_else(|| format!("runs along axis {given}, but its input has {rank}"))
}

/// An axis counted from the first; with `or_end`, the end behind the last axis counts as one.
fn normal(axis: i64, rank: usize, or_end: bool) -> Option<usize> {
    let rank = rank as i64;
    let found = if axis < 0 { axis.checked_add(rank)? } else { axis };
    let most = if or_end { rank } else { rank - 1 };
    usize::try_from(found).ok().filter(|_| (0..=most).contains(&found))
}

/// A whole-number attribute, or its default.
fn integer(node: &NodeProto, name: &str, default: i64) -> Result<i64, Fault> {
    let value = node.attribute.iter().find(|attribute| attribute.name == name).map_or(default, |attribute| attribute.i);
    // No attribute means anything beyond 32 bits, and runtimes keep it in as many.
    if i32::try_from(value).is_err() {
        return Err(format!("has an attribute `{name}` of {value}"));
    }
    Ok(value)
}

/// A list of sizes, or its default.
fn integers<const N: usize>(node: &NodeProto, name: &str, default: [usize; N]) -> Result<[usize; N], Fault> {
    let Some(attribute) = node.attribute.iter().find(|attribute| attribute.name == name) else { return Ok(default) };
    let sizes: Option<Vec<usize>> =
        attribute.ints.iter().map(|&size| i32::try_from(size).ok().and_then(|size| usize::try_from(size).ok())).collect();
    sizes.and_then(|sizes| sizes.try_into().ok()).ok_or_else(|| {
        format!("has an attribute `{name}` of {}; {N} numbers from 0 to {} are needed", shown(&attribute.ints), i32::MAX)
    })
}

/// A list, its beginning if it is long.
fn shown(numbers: &[i64]) -> String {
    if numbers.len() <= 8 { format!("{numbers:?}") } else { format!("{} numbers", numbers.len()) }
}
