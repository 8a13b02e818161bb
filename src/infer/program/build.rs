//! From an ONNX graph to a program.

mod image;
mod vote;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use tract_onnx::pb::NodeProto;

use super::bytes::{Encoding, Quantised};
use super::nodes::{Constant, Nodes, NotCovered, Window, integer, pools_pairs, unknown_attribute, window};
use super::share::share_buffers;
use super::{Convolve, MapStep, Program, ROWS, Reading, VectorStep};
use crate::data::View;
use crate::kernels::{ConvShape, Convolution, Number, PoolShape, PreparedDense, WinogradConvolution};
use crate::onnx::{IMAGE, Interface, LABEL, ModelProto, PROBABILITIES};

/// Bytes of maps that a group of images takes: what stays in the second-level cache of a core beside weights.
const CACHE: usize = 400 << 10;
/// Most images in a group: enough to fill tiles of pixels even where maps are small.
const MOST: usize = 16;
/// Bytes of vectors that are worked on together, at most, where there is more than one row of each.
const ROWS_BYTES: usize = 64 << 20;
/// The most numbers in all buffers for one image: 1 GiB.
const MOST_NUMBERS: usize = 1 << 28;

/// A value of the graph.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// The pixels, seen so.
    Image(View),
    /// The pixels with as many zeros on each side.
    Framed(usize),
    Map(Map<'a>),
    /// `by_pixel` is the shape of the map that it was, where its numbers are in the order `[H, W, C]` and not `[C, H, W]`.
    Vector {
        buffer: usize,
        length: usize,
        by_pixel: Option<[usize; 3]>,
    },
    /// Which number of a vector is the first of the largest.
    Label {
        buffer: usize,
        length: usize,
    },
    /// A row of bytes, in the order `[H, W, C]` of the map that it was.
    Row {
        buffer: usize,
        map: [usize; 3],
        encoding: Encoding<'a>,
    },
}

/// What decides how a convolution's weights are packed: the names of weights and bias, whether a ReLU follows, and the shape.
type PackedConv<'a> = (&'a str, Option<&'a str>, bool, ConvShape);
/// The same of a dense layer: instead of the shape, whether the weights are transposed, and the order of the inputs.
type PackedDense<'a> = (&'a str, Option<&'a str>, bool, bool, Option<[usize; 3]>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Map<'a> {
    /// Its number among all maps; buffers are shared out at the end.
    pub id: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Whether there are numbers, which there are unless bytes are all that is read.
    pub has_numbers: bool,
    /// Its number among all maps of bytes, and what they stand for, where there are some.
    pub bytes: Option<(usize, Encoding<'a>)>,
    /// Whether it is the image, normalised.
    pub is_image: bool,
}

impl Map<'_> {
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }
}

pub(super) struct Builder<'a, N: Number> {
    pub graph: Nodes<'a>,
    pub values: BTreeMap<&'a str, Value<'a>>,
    done: Vec<bool>,
    pub maps: Vec<MapStep<N>>,
    pub vectors: Vec<VectorStep<N>>,
    /// Layers whose weights are packed: those of several views are the same.
    convolutions: HashMap<PackedConv<'a>, Arc<Convolve<N>>>,
    denses: HashMap<PackedDense<'a>, Arc<PreparedDense<N>>>,
    map_lengths: Vec<usize>,
    vector_lengths: Vec<usize>,
    /// Numbers in vectors, and in scales and shifts of channels that constants were widened to.
    held: usize,
    readings: Vec<Reading>,
    /// What is to be computed in bytes, if anything.
    pub quantised: Option<Quantised<'a>>,
    image: [usize; 3],
}

pub(super) fn build<N: Number>(proto: &ModelProto, interface: &Interface) -> anyhow::Result<Program<N>> {
    build_with(proto, interface, &mut None)
}

/// A program that computes in bytes what `quantised` tells, which is there again when an error is returned.
pub(super) fn build_with<'a, N: Number>(
    proto: &'a ModelProto,
    interface: &Interface,
    quantised: &mut Option<Quantised<'a>>,
) -> anyhow::Result<Program<N>> {
    let graph = Nodes::new(proto.graph.as_ref().context("the file holds no graph")?);
    let shape = interface.image;
    let mut builder = Builder {
        done: vec![false; graph.nodes.len()],
        graph,
        values: BTreeMap::from([(IMAGE, Value::Image(View::PLAIN))]),
        maps: Vec::new(),
        vectors: Vec::new(),
        convolutions: HashMap::new(),
        denses: HashMap::new(),
        map_lengths: Vec::new(),
        vector_lengths: Vec::new(),
        held: 0,
        readings: Vec::new(),
        quantised: quantised.take(),
        image: [shape.channels, shape.height, shape.width],
    };
    for index in 0..builder.graph.nodes.len() {
        if !builder.done[index]
            && let Err(error) = builder.node(index)
        {
            *quantised = builder.quantised;
            return Err(error.into());
        }
    }
    let classes = interface.classes.len();
    let output = match builder.values.get(PROBABILITIES) {
        Some(Value::Vector { buffer, length, .. }) if *length == classes => *buffer,
        _ => anyhow::bail!("`{PROBABILITIES}` is not a vector of {classes} numbers"),
    };
    let label = match builder.values.get(LABEL) {
        Some(Value::Label { buffer, length }) if *length == classes => *buffer,
        _ => anyhow::bail!("`{LABEL}` is not the first of the largest of {classes} numbers"),
    };
    let Builder { mut maps, vectors, map_lengths, vector_lengths, mut readings, quantised, .. } = builder;
    let Quantised { byte_lengths, row_lengths, in_numbers, .. } = quantised.unwrap_or_default();
    let lengths = share_buffers(&mut maps, &map_lengths, MapStep::reads, MapStep::writes);
    let byte_lengths = share_buffers(&mut maps, &byte_lengths, MapStep::reads_bytes, MapStep::writes_bytes);
    let bytes = lengths.iter().map(|length| length * size_of::<N>()).sum::<usize>() + byte_lengths.iter().sum::<usize>();
    let group = (CACHE / bytes.max(1)).clamp(1, MOST);
    let numbers = lengths.iter().chain(&byte_lengths).chain(&vector_lengths).chain(&row_lengths).sum::<usize>();
    anyhow::ensure!(numbers <= MOST_NUMBERS, "its values take {numbers} numbers for one image; {MOST_NUMBERS} are the most");
    let rows = (ROWS_BYTES / (size_of::<f32>() * vector_lengths.iter().sum::<usize>()).max(1)).clamp(1, ROWS);
    for reading in &mut readings {
        if let [Some(buffer), _] = maps[reading.step].reads() {
            reading.from = *buffer;
        }
    }
    Ok(Program {
        image: shape,
        classes,
        maps,
        vectors,
        map_lengths: lengths,
        byte_lengths,
        vector_lengths,
        row_lengths,
        output,
        label,
        group: group.min(rows),
        rows,
        readings,
        in_numbers,
        arenas: Mutex::default(),
    })
}

impl<'a, N: Number> Builder<'a, N> {
    fn node(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        if self.held > MOST_NUMBERS {
            return Err(NotCovered::new(node, "the values up to here take too much memory"));
        }
        match node.op_type.as_str() {
            "Pad" => self.pad(index),
            "Slice" => self.slice(index),
            "Sub" => self.normalisation(index),
            "Conv" => self.conv(index),
            "Gemm" => self.dense(index),
            "Relu" => self.relu(index),
            "Div" => self.gelu(index),
            "Mul" | "Add" if self.graph.beside_constant(node).is_some() => self.scale_shift(index),
            "Add" => self.add(index),
            "MaxPool" | "AveragePool" => self.pool(index),
            "GlobalMaxPool" | "GlobalAveragePool" => self.global_pool(index),
            "Flatten" => self.flatten(index),
            "Softmax" => self.softmax(index),
            "Max" => self.temperature(index),
            "ArgMax" => self.label(index),
            _ => Err(NotCovered::new(node, "the kernels have no such operator")),
        }
    }

    pub fn at(&self, index: usize) -> &'a NodeProto {
        &self.graph.nodes[index]
    }

    /// The value that an input of a node holds.
    fn input(&self, node: &'a NodeProto, name: &str) -> Result<Value<'a>, NotCovered> {
        let value = self.values.get(name).copied();
        value.ok_or_else(|| NotCovered::new(node, format!("its input `{name}` is nothing that came before")))
    }

    fn map_input(&self, node: &'a NodeProto) -> Result<Map<'a>, NotCovered> {
        match self.input(node, &node.input[0])? {
            Value::Map(map) => Ok(map),
            _ => Err(NotCovered::new(node, "its input is no map of features")),
        }
    }

    /// Notes that the step that comes next reads a map of numbers, once for each value.
    fn reads(&mut self, name: &str, x: &Map<'_>) {
        debug_assert!(x.has_numbers, "`{name}` is read as numbers");
        if !x.is_image && self.readings.iter().all(|reading| reading.name != name) {
            let (step, name) = (self.maps.len(), name.to_owned());
            self.readings.push(Reading { name, channels: x.channels, step, from: x.id, length: x.len() });
        }
    }

    /// A vector in the order `[C, H, W]`.
    fn vector_input(&self, node: &'a NodeProto, name: &str) -> Result<(usize, usize), NotCovered> {
        match self.input(node, name)? {
            Value::Vector { buffer, length, by_pixel: None } => Ok((buffer, length)),
            _ => Err(NotCovered::new(node, "its input is no vector of features")),
        }
    }

    /// A new map.
    pub fn map(&mut self, height: usize, width: usize, channels: usize) -> Map<'a> {
        let id = self.map_lengths.len();
        let map = Map { id, height, width, channels, has_numbers: true, bytes: None, is_image: false };
        self.map_lengths.push(map.len());
        map
    }

    /// A new vector.
    fn vector(&mut self, length: usize) -> usize {
        self.held += length;
        self.vector_lengths.push(length);
        self.vector_lengths.len() - 1
    }

    pub fn plain(&mut self, length: usize) -> (usize, Value<'a>) {
        let buffer = self.vector(length);
        (buffer, Value::Vector { buffer, length, by_pixel: None })
    }

    /// Records what the nodes from `first` to `last` together give.
    pub fn give(&mut self, nodes: &[usize], mut value: Value<'a>) {
        for &node in nodes {
            self.done[node] = true;
        }
        let last = self.at(*nodes.last().expect("there is a node"));
        if let Value::Map(map) = &mut value {
            self.quantise(last, map);
        }
        self.values.insert(&last.output[0], value);
    }

    fn conv(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let not = |what: &str| NotCovered::new(node, what);
        let x = self.map_input(node)?;
        let Some((weight_shape, weights)) = node.input.get(1).and_then(|name| self.graph.constant(name)) else {
            return Err(not("its weights are no constant"));
        };
        let bias = match node.input.get(2) {
            Some(name) => Some(self.graph.constant(name).ok_or_else(|| not("its bias is no constant"))?.1),
            None => None,
        };
        let window = window(node, &["kernel_shape", "strides", "pads"])?;
        let &[outputs, inputs, kernel, columns] = weight_shape.as_slice() else {
            return Err(not("its weights are not of four dimensions"));
        };
        if inputs != x.channels || kernel != columns || bias.as_ref().is_some_and(|bias| bias.len() != outputs) {
            return Err(not("its weights do not fit its input"));
        }
        let (height, width) = (x.height, x.width);
        let shape =
            ConvShape { batch: MOST, height, width, inputs, outputs, kernel, stride: window.stride, padding: window.padding };
        let mut nodes = vec![index];
        nodes.extend(self.graph.follower(index, &["Relu"]));
        let relu = nodes.len() > 1;
        let last = nodes[nodes.len() - 1];
        let pool = self.graph.follower(last, &["MaxPool"]).filter(|&pool| pools_pairs(self.at(pool)));
        nodes.extend(pool);
        let shape = shape.check().map_err(|error| NotCovered::new(node, error.to_string()))?;
        if self.takes_bytes(index, &node.input[0], x.is_image) {
            return self.conv_bytes(&nodes, x, shape, &weights, bias.as_deref(), [relu, pool.is_some()]);
        }
        self.stays_in_numbers(index, "its input's range is not known");
        self.reads(&node.input[0], &x);
        let divide = if pool.is_some() { 2 } else { 1 };
        let y = self.map(shape.output_height() / divide, shape.output_width() / divide, outputs);
        let bias = bias.as_deref();
        let packed = (node.input[1].as_str(), node.input.get(2).map(String::as_str), relu, shape);
        let layer = match self.convolutions.get(&packed) {
            Some(layer) => Arc::clone(layer),
            None => {
                let layer = if WinogradConvolution::<N>::is_for(&shape) {
                    WinogradConvolution::new(shape, &weights, bias, relu).map(|layer| Convolve::Tiles(Box::new(layer)))
                } else {
                    Convolution::new(shape).map(|layer| Convolve::Direct(Box::new(layer.prepare(&weights, bias, relu))))
                };
                let layer = Arc::new(layer.map_err(|error| NotCovered::new(node, error.to_string()))?);
                self.convolutions.insert(packed, Arc::clone(&layer));
                layer
            }
        };
        self.maps.push(MapStep::Conv { layer, pool: pool.is_some(), from: x.id, to: y.id });
        self.give(&nodes, Value::Map(y));
        Ok(())
    }

    fn dense(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let not = |what: &str| NotCovered::new(node, what);
        if let Some(name) = unknown_attribute(node, &["transB"]) {
            return Err(NotCovered::new(node, format!("attribute `{name}`")));
        }
        let x = self.input(node, &node.input[0])?;
        let (length, by_pixel) = match x {
            Value::Vector { length, by_pixel, .. } => (length, by_pixel),
            Value::Row { map, .. } => (map.iter().product(), Some(map)),
            _ => return Err(not("its input is no vector")),
        };
        let Some((shape, weights)) = node.input.get(1).and_then(|name| self.graph.constant(name)) else {
            return Err(not("its weights are no constant"));
        };
        let transposed = integer(node, "transB", 0) != 0;
        let (inputs, outputs) = match *shape.as_slice() {
            [outputs, inputs] if transposed => (inputs, outputs),
            [inputs, outputs] => (inputs, outputs),
            _ => return Err(not("its weights are no matrix")),
        };
        let bias = match node.input.get(2) {
            Some(name) => Some(self.graph.constant(name).ok_or_else(|| not("its bias is no constant"))?.1),
            None => None,
        };
        if inputs != length || bias.as_ref().is_some_and(|bias| bias.len() != outputs) {
            return Err(not("its weights do not fit its input"));
        }
        let relu = self.graph.follower(index, &["Relu"]);
        // Rows of weights in the order in which the numbers come.
        let row = |input: usize| match by_pixel {
            None => input,
            Some([height, width, channels]) => (input % channels) * height * width + input / channels,
        };
        let at = |input: usize, output: usize| if transposed { output * inputs + input } else { input * outputs + output };
        let nodes: Vec<usize> = std::iter::once(index).chain(relu).collect();
        let buffer = match x {
            Value::Vector { buffer, .. } => buffer,
            _ => {
                let weight = |output: usize, input: usize| weights[at(row(input), output)];
                return self.dense_bytes(&nodes, x, outputs, weight, bias.as_deref());
            }
        };
        self.stays_in_numbers(index, "its input is a vector of numbers");
        let packed = (node.input[1].as_str(), node.input.get(2).map(String::as_str), relu.is_some(), transposed, by_pixel);
        let layer = match self.denses.get(&packed) {
            Some(layer) => Arc::clone(layer),
            None => {
                let ordered: Vec<f32> = (0..inputs)
                    .flat_map(|input| (0..outputs).map(move |output| (input, output)))
                    .map(|(input, output)| weights[at(row(input), output)])
                    .collect();
                let layer = PreparedDense::new(inputs, outputs, &ordered, bias.as_deref(), relu.is_some());
                let layer = Arc::new(layer.ok_or_else(|| not("it has no outputs"))?);
                self.denses.insert(packed, Arc::clone(&layer));
                layer
            }
        };
        let (to, value) = self.plain(outputs);
        self.vectors.push(VectorStep::Dense { layer, from: buffer, to });
        self.give(&nodes, value);
        Ok(())
    }

    fn relu(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let value = match self.input(node, &node.input[0])? {
            Value::Map(x) => {
                let y = self.map(x.height, x.width, x.channels);
                self.maps.push(MapStep::Relu { length: x.len(), from: x.id, to: y.id });
                Value::Map(y)
            }
            _ => {
                let (from, length) = self.vector_input(node, &node.input[0])?;
                let (to, value) = self.plain(length);
                self.vectors.push(VectorStep::Relu { from, to });
                value
            }
        };
        self.give(&[index], value);
        Ok(())
    }

    /// x · (1 + erf(x / √2)) · ½.
    fn gelu(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let not = || NotCovered::new(node, "a quotient that is no part of a GELU");
        let scalar = |index: usize, expected: f32| match self.graph.beside_constant(self.at(index)) {
            Some((_, (_, values))) => values == [expected],
            None => false,
        };
        let input = node.input[0].as_str();
        let erf = self.graph.follower(index, &["Erf"]).filter(|_| scalar(index, std::f32::consts::SQRT_2)).ok_or_else(not)?;
        let raised = self.graph.follower(erf, &["Add"]).filter(|&next| scalar(next, 1.0)).ok_or_else(not)?;
        let doubled = self.graph.follower(raised, &["Mul"]).filter(|&next| self.at(next).input.iter().any(|name| name == input));
        let doubled = doubled.ok_or_else(not)?;
        let last = self.graph.follower(doubled, &["Mul"]).filter(|&next| scalar(next, 0.5)).ok_or_else(not)?;
        let value = match self.input(node, input)? {
            Value::Map(x) => {
                let y = self.map(x.height, x.width, x.channels);
                self.maps.push(MapStep::Gelu { length: x.len(), from: x.id, to: y.id });
                Value::Map(y)
            }
            _ => {
                let (from, length) = self.vector_input(node, input)?;
                let (to, value) = self.plain(length);
                self.vectors.push(VectorStep::Gelu { from, to });
                value
            }
        };
        self.give(&[index, erf, raised, doubled, last], value);
        Ok(())
    }

    /// x · scale, x + shift, or both.
    fn scale_shift(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let Some((name, first)) = self.graph.beside_constant(node) else {
            return Err(NotCovered::new(node, "it has no constant"));
        };
        let add = self.graph.follower(index, &["Add"]).filter(|_| node.op_type == "Mul");
        let second = add.and_then(|next| Some((next, self.graph.beside_constant(self.at(next))?.1)));
        let (value, channels, after) = match self.input(node, name)? {
            Value::Image(_) | Value::Framed(_) | Value::Label { .. } => {
                return Err(NotCovered::new(node, "the image is normalised by a difference and a product"));
            }
            Value::Map(map) => (Value::Map(map), map.channels, 2),
            Value::Vector { .. } | Value::Row { .. } => {
                let (buffer, length) = self.vector_input(node, name)?;
                (Value::Vector { buffer, length, by_pixel: None }, length, 0)
            }
        };
        self.held += 2 * channels;
        let wide = |constant| {
            widened(constant, channels, after).ok_or_else(|| NotCovered::new(node, "its constant is not one of the channels"))
        };
        let mut nodes = vec![index];
        let (scale, shift) = if node.op_type == "Add" {
            (vec![1.0; channels], wide(first)?)
        } else {
            match second {
                Some((next, shift)) => {
                    nodes.push(next);
                    (wide(first)?, wide(shift)?)
                }
                None => (wide(first)?, vec![0.0; channels]),
            }
        };
        let value = match value {
            Value::Map(x) => {
                let y = self.map(x.height, x.width, x.channels);
                self.maps.push(MapStep::ScaleShift { scale, shift, length: x.len(), from: x.id, to: y.id });
                Value::Map(y)
            }
            Value::Vector { buffer: from, length, .. } => {
                let (to, value) = self.plain(length);
                self.vectors.push(VectorStep::ScaleShift { scale, shift, from, to });
                value
            }
            _ => unreachable!("refused above"),
        };
        self.give(&nodes, value);
        Ok(())
    }

    fn add(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let [a, b] = node.input.as_slice() else { return Err(NotCovered::new(node, "it has not two inputs")) };
        let unlike = || NotCovered::new(node, "its inputs are not of one shape");
        let mut nodes = vec![index];
        let value = match (self.input(node, a)?, self.input(node, b)?) {
            (Value::Map(a), Value::Map(b)) if (a.height, a.width, a.channels) == (b.height, b.width, b.channels) => {
                nodes.extend(self.graph.follower(index, &["Relu"]));
                let y = self.map(a.height, a.width, a.channels);
                self.maps.push(MapStep::Add { from: [a.id, b.id], relu: nodes.len() > 1, length: a.len(), to: y.id });
                Value::Map(y)
            }
            (Value::Vector { .. }, Value::Vector { .. }) => {
                let ((a, length), (b, other)) = (self.vector_input(node, a)?, self.vector_input(node, b)?);
                if length != other {
                    return Err(unlike());
                }
                let (to, value) = self.plain(length);
                self.vectors.push(VectorStep::Add { from: [a, b], to });
                value
            }
            _ => return Err(unlike()),
        };
        self.give(&nodes, value);
        Ok(())
    }

    fn pool(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let x = self.map_input(node)?;
        let Window { size, stride, padding } =
            window(node, &["kernel_shape", "strides", "pads", "ceil_mode", "count_include_pad"])?;
        if padding != 0 || integer(node, "ceil_mode", 0) != 0 {
            return Err(NotCovered::new(node, "its windows reach beyond the map"));
        }
        let shape = PoolShape { batch: 1, height: x.height, width: x.width, channels: x.channels, size, stride };
        let y = self.map(shape.rows(), shape.columns(), x.channels);
        self.maps.push(MapStep::Pool { shape, max: node.op_type == "MaxPool", from: x.id, to: y.id });
        self.give(&[index], Value::Map(y));
        Ok(())
    }

    fn global_pool(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let x = self.map_input(node)?;
        let flatten = self.graph.follower(index, &["Flatten"]);
        let Some(flatten) = flatten.filter(|&flatten| integer(self.at(flatten), "axis", 1) == 1) else {
            return Err(NotCovered::new(node, "it is not flattened"));
        };
        let (to_vector, value) = self.plain(x.channels);
        let (pixels, max) = (x.height * x.width, node.op_type == "GlobalMaxPool");
        self.maps.push(MapStep::GlobalPool { pixels, channels: x.channels, max, from: x.id, to_vector });
        self.give(&[index, flatten], value);
        Ok(())
    }

    fn flatten(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        if integer(node, "axis", 1) != 1 {
            return Err(NotCovered::new(node, "it does not flatten whole images"));
        }
        let value = match self.input(node, &node.input[0])? {
            Value::Image(_) | Value::Framed(_) | Value::Label { .. } => {
                return Err(NotCovered::new(node, "the image is not normalised"));
            }
            Value::Map(x) if self.takes_bytes(index, &node.input[0], x.is_image) => self.flatten_bytes(node, &x)?,
            Value::Map(x) => {
                let buffer = self.vector(x.len());
                let Map { id: from, height, width, channels, .. } = x;
                self.reads_flat(index, &x);
                // A dense layer can have its weights in any order.
                let dense = self.graph.readers(node).iter().all(|&reader| self.at(reader).op_type == "Gemm");
                let by_pixel = (dense && channels > 1 && height * width > 1).then_some([height, width, channels]);
                self.maps.push(match by_pixel.is_some() || channels == 1 || height * width == 1 {
                    true => MapStep::Flatten { from, to_vector: buffer },
                    false => MapStep::FlattenByChannel { channels, from, to_vector: buffer },
                });
                Value::Vector { buffer, length: x.len(), by_pixel }
            }
            vector @ (Value::Vector { .. } | Value::Row { .. }) => vector,
        };
        self.give(&[index], value);
        Ok(())
    }

    /// Notes what a flattening of a map reads, if dense layers follow.
    fn reads_flat(&mut self, index: usize, x: &Map<'_>) {
        let node = self.at(index);
        if self.graph.readers(node).iter().any(|&reader| self.at(reader).op_type == "Gemm") {
            self.reads(&node.input[0], x);
        }
    }
}

/// One number for each of `count` channels, from as many or one for all. `after` dimensions of a value follow its channels.
fn widened((shape, values): Constant, count: usize, after: usize) -> Option<Vec<f32>> {
    if let [all] = values.as_slice() {
        return Some(vec![*all; count]);
    }
    let (rest, tail) = shape.split_at_checked(shape.len().checked_sub(after)?)?;
    let (channels, before) = rest.split_last()?;
    (*channels == count && before.iter().chain(tail).all(|size| *size == 1)).then_some(values)
}
