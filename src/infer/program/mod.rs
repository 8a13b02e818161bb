//! A model as a list of steps of our own kernels: what [`Engine::Kernels`](super::Engine) runs.
//!
//! [`build`] walks the ONNX graph once, joins what a kernel does at once (normalisation; convolution, ReLU and pooling; the five
//! nodes of a GELU; the four of a temperature) and packs the weights, those of several views once. Buffers are used again from call to call: maps lie in `[H, W, C]`, and a few images go through all
//! convolutions together, so that their maps stay in the second-level cache; what follows (dense layers, softmax, the vote) is
//! done for many images at once, so that weights are read once for all of them. A call runs on one thread; any number of threads
//! may share a program.
//!
//! The bits of an image's probabilities do not depend on what else is predicted with it. Graphs that hold anything else than what
//! this program exports are refused by name, and tract runs them.

mod build;
mod bytes;
mod nodes;
mod share;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use ndarray::ArrayView1;

pub(super) use self::bytes::build_bytes;

use self::build::build;
use crate::data::{ImageShape, Label, View};
use crate::kernels::{
    ConvShape, Number, PoolShape, PreparedConvolution, PreparedDense, Quantisation, QuantisedConvolution, WinogradConvolution,
    interleave, quantise, serial,
};
use crate::metrics::argmax;
use crate::onnx::{Interface, ModelProto};

/// Images whose vectors are worked on together, unless they are long.
const ROWS: usize = 64;

/// A model that is ready to run.
#[derive(Debug)]
pub(super) struct Program<N: Number> {
    image: ImageShape,
    classes: usize,
    maps: Vec<MapStep<N>>,
    vectors: Vec<VectorStep<N>>,
    /// Numbers in an image of each buffer for maps: of the longest map that it holds at some time.
    map_lengths: Vec<usize>,
    /// Bytes in an image of each buffer for maps of bytes, likewise.
    byte_lengths: Vec<usize>,
    /// Numbers in a row of each buffer for vectors.
    vector_lengths: Vec<usize>,
    /// Bytes in a row of each buffer for rows of bytes.
    row_lengths: Vec<usize>,
    /// The vector that holds the probabilities.
    output: usize,
    /// The vector whose first largest number is the label: the probabilities, or what they were before a temperature.
    label: usize,
    /// Images whose maps are worked on together.
    group: usize,
    /// Images whose vectors are worked on together.
    rows: usize,
    /// The values that convolutions and dense layers read from maps of numbers, the image excepted.
    readings: Vec<Reading>,
    /// Convolutions and dense layers that compute in numbers although bytes were asked for, and why.
    in_numbers: Vec<String>,
    arenas: Mutex<Vec<Arena<N>>>,
}

/// A value that a layer reads.
#[derive(Debug)]
pub(super) struct Reading {
    /// Its name in the graph.
    pub name: String,
    /// Its channels: the map is `[H, W, channels]`.
    pub channels: usize,
    /// The step that reads it.
    step: usize,
    /// The buffer that it is in when that step begins, and its length.
    from: usize,
    length: usize,
}

/// A step that reads maps: buffers are numbered.
#[derive(Debug)]
enum MapStep<N: Number> {
    /// Pixels, seen so, become a map.
    Image {
        view: View,
        scale: Vec<f32>,
        shift: Vec<f32>,
        to: usize,
    },
    /// Convolution with bias, perhaps ReLU, perhaps 2×2 max pooling.
    Conv {
        layer: Arc<Convolve<N>>,
        pool: bool,
        from: usize,
        to: usize,
    },
    /// scale · x + shift of each channel; `length` numbers in an image, here and below.
    ScaleShift {
        scale: Vec<f32>,
        shift: Vec<f32>,
        length: usize,
        from: usize,
        to: usize,
    },
    Relu {
        length: usize,
        from: usize,
        to: usize,
    },
    Gelu {
        length: usize,
        from: usize,
        to: usize,
    },
    Add {
        from: [usize; 2],
        relu: bool,
        length: usize,
        to: usize,
    },
    /// Pooling of one image.
    Pool {
        shape: PoolShape,
        max: bool,
        from: usize,
        to: usize,
    },
    /// A map becomes a vector: largest or mean of each channel.
    GlobalPool {
        pixels: usize,
        channels: usize,
        max: bool,
        from: usize,
        to_vector: usize,
    },
    /// A map becomes a vector in its own order, `[H, W, C]`.
    Flatten {
        from: usize,
        to_vector: usize,
    },
    /// A map becomes a vector in the order `[C, H, W]`.
    FlattenByChannel {
        channels: usize,
        from: usize,
        to_vector: usize,
    },
    /// Pixels, seen so, become a map of bytes.
    Pixels {
        view: View,
        to_bytes: usize,
    },
    /// A map becomes a map of bytes.
    Quantise {
        by: Quantisation,
        length: usize,
        from: usize,
        to_bytes: usize,
    },
    /// Convolution of bytes, perhaps with pooling, that gives bytes.
    ConvBytes {
        layer: Box<QuantisedConvolution>,
        from_bytes: usize,
        to_bytes: usize,
    },
    /// The same that gives numbers.
    ConvNumbers {
        layer: Box<QuantisedConvolution>,
        from_bytes: usize,
        to: usize,
    },
    /// A map of bytes becomes a row of bytes in its own order, `[H, W, C]`.
    FlattenBytes {
        length: usize,
        from_bytes: usize,
        to_row: usize,
    },
}

/// The ways of a convolution.
#[derive(Debug)]
enum Convolve<N: Number> {
    Direct(Box<PreparedConvolution<N>>),
    Tiles(Box<WinogradConvolution<N>>),
}

impl<N: Number> Convolve<N> {
    fn shape(&self) -> &ConvShape {
        match self {
            Self::Direct(layer) => layer.shape(),
            Self::Tiles(layer) => layer.shape(),
        }
    }

    fn run(&self, x: &[N], pool: bool, y: &mut [N]) {
        match self {
            Self::Direct(layer) if pool => layer.run_pool(x, y),
            Self::Direct(layer) => layer.run(x, y),
            Self::Tiles(layer) => layer.run(x, pool, y),
        }
    }
}

/// A step from vectors to vectors.
#[derive(Debug)]
enum VectorStep<N: Number> {
    Dense {
        layer: Arc<PreparedDense<N>>,
        from: usize,
        to: usize,
    },
    /// A row of bytes becomes a vector.
    DenseBytes {
        layer: Box<QuantisedConvolution>,
        from_row: usize,
        to: usize,
    },
    ScaleShift {
        scale: Vec<f32>,
        shift: Vec<f32>,
        from: usize,
        to: usize,
    },
    Relu {
        from: usize,
        to: usize,
    },
    Gelu {
        from: usize,
        to: usize,
    },
    Add {
        from: [usize; 2],
        to: usize,
    },
    Softmax {
        from: usize,
        to: usize,
    },
    /// softmax(ln(max(x, least)) · power).
    Temperature {
        least: f32,
        power: f32,
        from: usize,
        to: usize,
    },
}

/// The buffers of one thread.
#[derive(Debug)]
struct Arena<N> {
    maps: Vec<Vec<N>>,
    bytes: Vec<Vec<u8>>,
    vectors: Vec<Vec<f32>>,
    /// An image as it is seen.
    seen: Vec<u8>,
    rows: Vec<Vec<u8>>,
}

impl<N: Number> Program<N> {
    /// # Errors
    /// Names the first node that the kernels do not cover, and why.
    pub(super) fn new(proto: &ModelProto, interface: &Interface) -> anyhow::Result<Self> {
        build(proto, interface)
    }

    /// The values that convolutions and dense layers read from maps of numbers, the image excepted.
    pub(super) fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// Convolutions and dense layers that compute in numbers although bytes were asked for, and why.
    pub(super) fn in_numbers(&self) -> &[String] {
        &self.in_numbers
    }

    /// Appends the labels and probabilities of `pixels`, whole images `[C, H, W]`.
    pub(super) fn run(&self, pixels: &[u8], labels: &mut Vec<Label>, probabilities: &mut Vec<f32>) {
        self.run_observed(pixels, labels, probabilities, &mut |_, _| ());
    }

    /// [`Self::run`], and shows what the [`Reading`] of each number is for a few images at a time.
    pub(super) fn run_observed(
        &self,
        pixels: &[u8],
        labels: &mut Vec<Label>,
        probabilities: &mut Vec<f32>,
        observe: &mut dyn FnMut(usize, &[N]),
    ) {
        let lent = self.arenas.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut arena = lent.unwrap_or_else(|| self.arena());
        let image = self.image.pixels();
        for pixels in pixels.chunks(self.rows * image) {
            let rows = pixels.len() / image;
            for (group, pixels) in pixels.chunks(self.group * image).enumerate() {
                self.run_maps(pixels, group * self.group, &mut arena, observe);
            }
            self.run_vectors(rows, &mut arena);
            probabilities.extend_from_slice(&arena.vectors[self.output][..rows * self.classes]);
            labels.extend(arena.vectors[self.label][..rows * self.classes].chunks_exact(self.classes).map(label_of));
        }
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
    }

    fn arena(&self) -> Arena<N> {
        Arena {
            maps: self.map_lengths.iter().map(|length| vec![N::default(); self.group * length]).collect(),
            bytes: self.byte_lengths.iter().map(|length| vec![0; self.group * length]).collect(),
            vectors: self.vector_lengths.iter().map(|length| vec![0.0; self.rows * length]).collect(),
            seen: Vec::new(),
            rows: self.row_lengths.iter().map(|length| vec![0; self.rows * length]).collect(),
        }
    }

    /// The steps on maps for a group of images, whose vectors begin at row `first`.
    fn run_maps(&self, pixels: &[u8], first: usize, arena: &mut Arena<N>, observe: &mut dyn FnMut(usize, &[N])) {
        let Arena { maps, bytes, vectors, rows, seen } = arena;
        let image = self.image.pixels();
        let images = pixels.len() / image;
        for (index, step) in self.maps.iter().enumerate() {
            for (number, reading) in self.readings.iter().enumerate().filter(|(_, reading)| reading.step == index) {
                observe(number, &maps[reading.from][..images * reading.length]);
            }
            match step {
                MapStep::Image { view, scale, shift, to } => {
                    for (pixels, y) in pixels.chunks_exact(image).zip(maps[*to].chunks_exact_mut(image)) {
                        seen.clear();
                        view.push(pixels, self.image, seen);
                        serial::normalise_pixels(seen, scale, shift, y);
                    }
                }
                MapStep::Conv { layer, pool, from, to } => {
                    let shape = layer.shape();
                    let (x, y) = two(maps, *from, *to);
                    let divide = if *pool { 2 } else { 1 };
                    let length = (shape.output_height() / divide) * (shape.output_width() / divide) * shape.outputs;
                    layer.run(&x[..images * shape.input_image()], *pool, &mut y[..images * length]);
                }
                MapStep::ScaleShift { scale, shift, length, from, to } => {
                    let (x, y) = two(maps, *from, *to);
                    serial::scale_shift(&x[..images * length], scale, shift, &mut y[..images * length]);
                }
                MapStep::Relu { length, from, to } => {
                    let (x, y) = two(maps, *from, *to);
                    serial::relu(&x[..images * length], &mut y[..images * length]);
                }
                MapStep::Gelu { length, from, to } => {
                    let (x, y) = two(maps, *from, *to);
                    serial::gelu(&x[..images * length], &mut y[..images * length]);
                }
                MapStep::Add { from: [a, b], relu, length, to } => {
                    let mut y = std::mem::take(&mut maps[*to]);
                    let (a, b) = (&maps[*a][..images * length], &maps[*b][..images * length]);
                    serial::add(a, b, *relu, &mut y[..images * length]);
                    maps[*to] = y;
                }
                MapStep::Pool { shape, max, from, to } => {
                    let shape = PoolShape { batch: images, ..*shape };
                    let (x, y) = two(maps, *from, *to);
                    serial::pool(shape, *max, &x[..images * shape.input_image()], &mut y[..images * shape.output_image()]);
                }
                MapStep::GlobalPool { pixels, channels, max, from, to_vector } => {
                    let y = &mut vectors[*to_vector][first * channels..][..images * channels];
                    serial::global_pool(&maps[*from][..images * pixels * channels], *pixels, *channels, *max, y);
                }
                MapStep::Flatten { from, to_vector } => {
                    let length = self.vector_lengths[*to_vector];
                    let y = &mut vectors[*to_vector][first * length..][..images * length];
                    serial::widen(&maps[*from][..images * length], y);
                }
                MapStep::FlattenByChannel { channels, from, to_vector } => {
                    let length = self.vector_lengths[*to_vector];
                    let y = &mut vectors[*to_vector][first * length..][..images * length];
                    for (x, y) in maps[*from].chunks_exact(length).zip(y.chunks_exact_mut(length)) {
                        for (channel, y) in y.chunks_exact_mut(length / channels).enumerate() {
                            y.iter_mut().zip(x[channel..].iter().step_by(*channels)).for_each(|(y, x)| *y = x.wide());
                        }
                    }
                }
                MapStep::Pixels { view, to_bytes } => {
                    for (pixels, y) in pixels.chunks_exact(image).zip(bytes[*to_bytes].chunks_exact_mut(image)) {
                        seen.clear();
                        view.push(pixels, self.image, seen);
                        interleave(seen, self.image.channels, y);
                    }
                }
                MapStep::Quantise { by, length, from, to_bytes } => {
                    quantise(&maps[*from][..images * length], *by, &mut bytes[*to_bytes][..images * length]);
                }
                MapStep::ConvBytes { layer, from_bytes, to_bytes } => {
                    let (x, y) = two(bytes, *from_bytes, *to_bytes);
                    layer.run(&x[..images * layer.shape().input_image()], &mut y[..images * layer.output_image()]);
                }
                MapStep::ConvNumbers { layer, from_bytes, to } => {
                    let x = &bytes[*from_bytes][..images * layer.shape().input_image()];
                    layer.run(x, &mut maps[*to][..images * layer.output_image()]);
                }
                MapStep::FlattenBytes { length, from_bytes, to_row } => {
                    let x = &bytes[*from_bytes][..images * length];
                    rows[*to_row][first * length..][..images * length].copy_from_slice(x);
                }
            }
        }
    }

    fn run_vectors(&self, count: usize, Arena { vectors, rows, .. }: &mut Arena<N>) {
        let of = |buffer: usize| count * self.vector_lengths[buffer];
        for step in &self.vectors {
            match step {
                VectorStep::Dense { layer, from, to } => {
                    let (x, y) = two(vectors, *from, *to);
                    layer.run(&x[..of(*from)], &mut y[..of(*to)]);
                }
                VectorStep::DenseBytes { layer, from_row, to } => {
                    let x = &rows[*from_row][..count * self.row_lengths[*from_row]];
                    layer.run(x, &mut vectors[*to][..of(*to)]);
                }
                VectorStep::ScaleShift { scale, shift, from, to } => {
                    let (x, y) = two(vectors, *from, *to);
                    serial::scale_shift(&x[..of(*from)], scale, shift, &mut y[..of(*to)]);
                }
                VectorStep::Relu { from, to } => {
                    let (x, y) = two(vectors, *from, *to);
                    serial::relu(&x[..of(*from)], &mut y[..of(*to)]);
                }
                VectorStep::Gelu { from, to } => {
                    let (x, y) = two(vectors, *from, *to);
                    serial::gelu(&x[..of(*from)], &mut y[..of(*to)]);
                }
                VectorStep::Add { from: [a, b], to } => {
                    let mut y = std::mem::take(&mut vectors[*to]);
                    serial::add(&vectors[*a][..of(*a)], &vectors[*b][..of(*b)], false, &mut y[..of(*to)]);
                    vectors[*to] = y;
                }
                VectorStep::Softmax { from, to } => {
                    let length = self.vector_lengths[*from];
                    let (x, y) = two(vectors, *from, *to);
                    let rows = x[..of(*from)].chunks_exact(length).zip(y[..of(*to)].chunks_exact_mut(length));
                    rows.for_each(|(x, y)| softmax(x, y));
                }
                VectorStep::Temperature { least, power, from, to } => {
                    let length = self.vector_lengths[*from];
                    let (x, y) = two(vectors, *from, *to);
                    let x: Vec<f32> = x[..of(*from)].iter().map(|x| x.max(*least).ln() * power).collect();
                    x.chunks_exact(length).zip(y[..of(*to)].chunks_exact_mut(length)).for_each(|(x, y)| softmax(x, y));
                }
            }
        }
    }
}

/// Two different buffers, the second to be written.
fn two<T>(buffers: &mut [T], from: usize, to: usize) -> (&T, &mut T) {
    let [from, to] = buffers.get_disjoint_mut([from, to]).expect("a step reads and writes different buffers");
    (from, to)
}

/// The label of a row: the first of the largest.
fn label_of(row: &[f32]) -> Label {
    // A model has no more classes than labels: that was checked when its file was read.
    Label::try_from(argmax(ArrayView1::from(row))).unwrap_or(Label::MAX)
}

/// exp(xᵢ) / Σ exp(xⱼ). The largest is taken off first, so that nothing overflows.
fn softmax(x: &[f32], y: &mut [f32]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - largest).exp());
    let sum: f32 = y.iter().sum();
    y.iter_mut().for_each(|y| *y /= sum);
}
