//! What of a graph is computed in bytes: convolutions, and dense layers on flattened maps, whose input's range the file tells.
//!
//! A map is kept in bytes where nothing but such layers reads it and ReLU made it; another one is quantised for them. The pixels are
//! bytes already: their normalisation goes into the weights. All else, and what is refused, stays in numbers.

use std::collections::BTreeMap;

use tract_onnx::pb::NodeProto;

use super::build::{Builder, Map, Value, build_with};
use super::nodes::NotCovered;
use super::{MapStep, Program, VectorStep};
use crate::data::View;
use crate::kernels::{ConvShape, Number, Quantisation, QuantisedConvolution, QuantisedError, QuantisedLayer};
use crate::onnx::{Interface, ModelProto, Range, Ranges};

/// What bytes stand for.
#[derive(Clone, Copy, Debug)]
pub(in crate::infer) enum Encoding<'a> {
    /// Pixels, by the normalisation of this number.
    Pixels(usize),
    /// Numbers of a range.
    Range(&'a Range),
}

/// What is to be computed in bytes, and what became of it.
#[derive(Debug, Default)]
pub(in crate::infer) struct Quantised<'a> {
    ranges: Option<&'a Ranges>,
    /// Nodes that cannot be computed in bytes, and why.
    refused: BTreeMap<usize, QuantisedError>,
    /// What pixels stand for, channel by channel, of each normalisation.
    normalisations: Vec<Vec<Quantisation>>,
    pub byte_lengths: Vec<usize>,
    pub row_lengths: Vec<usize>,
    pub in_numbers: Vec<String>,
}

/// A program that computes in bytes what it can.
///
/// # Errors
/// Names the first node that the kernels do not cover, and why.
pub(in crate::infer) fn build_bytes<N: Number>(
    proto: &ModelProto,
    interface: &Interface,
    ranges: &Ranges,
) -> anyhow::Result<Program<N>> {
    let mut refused = BTreeMap::new();
    loop {
        let known = refused.len();
        let mut quantised = Some(Quantised { ranges: Some(ranges), refused, ..Quantised::default() });
        match build_with(proto, interface, &mut quantised) {
            Ok(program) => return Ok(program),
            // A layer turned out not to fit bytes: its input must be numbers.
            Err(error) => match quantised {
                Some(quantised) if quantised.refused.len() > known => refused = quantised.refused,
                _ => return Err(error),
            },
        }
    }
}

impl<'a, N: Number> Builder<'a, N> {
    /// What the bytes of a map would stand for, if the file tells.
    fn encoding(&self, name: &str) -> Option<(&'a Range, Quantisation)> {
        let range = self.quantised.as_ref()?.ranges?.values.get(name)?;
        Some((range, Quantisation::of_range(range.low, range.high)?))
    }

    /// Whether node `reader` computes in bytes what it reads of `name`.
    pub fn takes_bytes(&self, reader: usize, name: &str, is_image: bool) -> bool {
        let Some(quantised) = &self.quantised else { return false };
        if !is_image && self.encoding(name).is_none() {
            return false;
        }
        let node = self.at(reader);
        let fits = |node: usize| !quantised.refused.contains_key(&node);
        match node.op_type.as_str() {
            "Conv" => node.input[0] == name && fits(reader),
            "Flatten" => {
                let readers = self.graph.readers(node);
                !readers.is_empty() && readers.iter().all(|&dense| self.at(dense).op_type == "Gemm" && fits(dense))
            }
            _ => false,
        }
    }

    /// Whether any, and whether all nodes take the bytes of what `node` gives.
    fn readers_take_bytes(&self, node: &'a NodeProto, is_image: bool) -> (bool, bool) {
        let readers = self.graph.readers(node);
        let mut takes = readers.iter().map(|&reader| self.takes_bytes(reader, &node.output[0], is_image));
        (takes.clone().any(|takes| takes), !readers.is_empty() && takes.all(|takes| takes))
    }

    fn map_of_bytes(&mut self, length: usize) -> usize {
        let lengths = &mut self.quantised.as_mut().expect("bytes were asked for").byte_lengths;
        lengths.push(length);
        lengths.len() - 1
    }

    /// Makes bytes of the map of numbers that `node` gave, if they are read.
    pub fn quantise(&mut self, node: &'a NodeProto, map: &mut Map<'a>) {
        if map.bytes.is_some() || map.is_image || !self.readers_take_bytes(node, false).0 {
            return;
        }
        let Some((range, by)) = self.encoding(&node.output[0]) else { return };
        let to_bytes = self.map_of_bytes(map.len());
        self.maps.push(MapStep::Quantise { by, length: map.len(), from: map.id, to_bytes });
        map.bytes = Some((to_bytes, Encoding::Range(range)));
    }

    /// Lets a view of the pixels be a map of bytes, if that is read; `node` gives the normalised image.
    pub fn pixels(&mut self, node: &'a NodeProto, view: View, [mean, scale]: [&[f32]; 2], map: &mut Map<'a>) {
        let (any, all) = self.readers_take_bytes(node, true);
        map.has_numbers = !all;
        if any && let Some(quantised) = &mut self.quantised {
            let encoding = Encoding::Pixels(quantised.normalisations.len());
            let channels = mean.iter().zip(scale).map(|(zero, scale)| Quantisation { scale: *scale, zero: *zero });
            quantised.normalisations.push(channels.collect());
            let to_bytes = self.map_of_bytes(map.len());
            self.maps.push(MapStep::Pixels { view, to_bytes });
            map.bytes = Some((to_bytes, encoding));
        }
    }

    /// What bytes of each channel stand for, and the mean of each.
    fn channels(&self, node: &'a NodeProto, encoding: Encoding<'a>, count: usize) -> Result<Channels, NotCovered> {
        let (input, mean) = match encoding {
            Encoding::Pixels(number) => {
                let normalisations = self.quantised.as_ref().map_or(&[][..], |quantised| &quantised.normalisations);
                (normalisations[number].clone(), vec![0.0; count])
            }
            Encoding::Range(range) => {
                let by = Quantisation::of_range(range.low, range.high);
                (by.map_or_else(Vec::new, |by| vec![by; count]), range.mean.clone())
            }
        };
        if input.len() != count || mean.len() != count {
            return Err(NotCovered::new(node, "its input's range is of another number of channels"));
        }
        Ok((input, mean))
    }

    /// A layer of bytes, or a note that there can be none.
    fn layer(
        &mut self,
        index: usize,
        shape: ConvShape,
        layer: QuantisedLayer<'_>,
    ) -> Result<Box<QuantisedConvolution>, NotCovered> {
        QuantisedConvolution::new(shape, layer).map(Box::new).map_err(|error| {
            if let Some(quantised) = &mut self.quantised {
                quantised.refused.insert(index, error);
            }
            NotCovered::new(self.at(index), error.to_string())
        })
    }

    /// The convolution at the first of `nodes`, with what follows it; `then` tells whether that is ReLU, and pooling.
    pub fn conv_bytes(
        &mut self,
        nodes: &[usize],
        x: Map<'a>,
        shape: ConvShape,
        weights: &[f32],
        bias: Option<&[f32]>,
        then: [bool; 2],
    ) -> Result<(), NotCovered> {
        let (index, node) = (nodes[0], self.at(nodes[0]));
        let last = self.at(nodes[nodes.len() - 1]);
        let Some((from_bytes, encoding)) = x.bytes else { return Err(NotCovered::new(node, "its input is not in bytes")) };
        let (input, mean) = self.channels(node, encoding, x.channels)?;
        let [relu, pool] = then;
        let output = match self.readers_take_bytes(last, false) {
            (_, true) if relu => self.encoding(&last.output[0]).filter(|(_, output)| output.zero == 0.0),
            _ => None,
        };
        let (of, to) = (output.map(|(_, by)| by), output.map(|(range, _)| range));
        let layer =
            self.layer(index, shape, QuantisedLayer { weights, bias, input: &input, mean: &mean, output: of, relu, pool })?;
        let divide = if pool { 2 } else { 1 };
        let mut y = self.map(shape.output_height() / divide, shape.output_width() / divide, shape.outputs);
        match to {
            Some(range) => {
                let to_bytes = self.map_of_bytes(y.len());
                self.maps.push(MapStep::ConvBytes { layer, from_bytes, to_bytes });
                (y.bytes, y.has_numbers) = (Some((to_bytes, Encoding::Range(range))), false);
            }
            None => self.maps.push(MapStep::ConvNumbers { layer, from_bytes, to: y.id }),
        }
        self.give(nodes, Value::Map(y));
        Ok(())
    }

    /// The row that `node` makes of a map of bytes.
    pub fn flatten_bytes(&mut self, node: &'a NodeProto, x: &Map<'a>) -> Result<Value<'a>, NotCovered> {
        let (Some((from_bytes, encoding)), Some(quantised)) = (x.bytes, &mut self.quantised) else {
            return Err(NotCovered::new(node, "its input is not in bytes"));
        };
        let to_row = quantised.row_lengths.len();
        quantised.row_lengths.push(x.len());
        self.maps.push(MapStep::FlattenBytes { length: x.len(), from_bytes, to_row });
        Ok(Value::Row { buffer: to_row, map: [x.height, x.width, x.channels], encoding })
    }

    /// The dense layer at the first of `nodes`, and ReLU if a second follows. `weight` gives that of an output and an input, which are
    /// in the order of the row.
    pub fn dense_bytes(
        &mut self,
        nodes: &[usize],
        x: Value<'a>,
        outputs: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: Option<&[f32]>,
    ) -> Result<(), NotCovered> {
        let (index, node) = (nodes[0], self.at(nodes[0]));
        let Value::Row { buffer: from_row, map, encoding } = x else {
            return Err(NotCovered::new(node, "its input is no row of bytes"));
        };
        let (inputs, [height, width, channels]) = (map.iter().product(), map);
        let (of_channel, mean) = self.channels(node, encoding, channels)?;
        let weights: Vec<f32> =
            (0..outputs).flat_map(|output| (0..inputs).map(move |input| (output, input))).map(|(o, i)| weight(o, i)).collect();
        let shape = ConvShape { batch: super::ROWS, height: 1, width: 1, inputs, outputs, kernel: 1, stride: 1, padding: 0 };
        let layer = QuantisedLayer {
            weights: &weights,
            bias,
            input: &of_channel.repeat(height * width),
            mean: &mean.repeat(height * width),
            output: None,
            relu: nodes.len() > 1,
            pool: false,
        };
        let layer = self.layer(index, shape, layer)?;
        let (to, value) = self.plain(outputs);
        self.vectors.push(VectorStep::DenseBytes { layer, from_row, to });
        self.give(nodes, value);
        Ok(())
    }

    /// Notes that a layer is computed in numbers, where bytes were asked for.
    pub fn stays_in_numbers(&mut self, index: usize, otherwise: &str) {
        let node = self.at(index);
        let Some(quantised) = &mut self.quantised else { return };
        let why = quantised.refused.get(&index).map_or_else(|| otherwise.to_owned(), ToString::to_string);
        quantised.in_numbers.push(NotCovered::new(node, why).to_string());
    }
}

/// What bytes of each channel stand for, and the mean of each.
type Channels = (Vec<Quantisation>, Vec<f32>);
