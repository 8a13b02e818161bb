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
mod nodes;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use self::build::build;
use crate::data::{ImageShape, Label, View};
use crate::kernels::{ConvShape, Number, PoolShape, PreparedConvolution, PreparedDense, WinogradConvolution, serial};
use crate::onnx::{Interface, ModelProto};

/// Images whose vectors are worked on together.
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
    /// Numbers in a row of each buffer for vectors.
    vector_lengths: Vec<usize>,
    /// The vector that holds the probabilities.
    output: usize,
    /// The vector whose first largest number is the label: the probabilities, or what they were before a temperature.
    label: usize,
    /// Images whose maps are worked on together.
    group: usize,
    arenas: Mutex<Vec<Arena<N>>>,
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
}

/// The ways of a convolution.
#[derive(Debug)]
enum Convolve<N: Number> {
    Direct(PreparedConvolution<N>),
    Tiles(WinogradConvolution<N>),
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
    vectors: Vec<Vec<f32>>,
    /// An image as it is seen.
    seen: Vec<u8>,
}

impl<N: Number> Program<N> {
    /// # Errors
    /// Names the first node that the kernels do not cover, and why.
    pub(super) fn new(proto: &ModelProto, interface: &Interface) -> anyhow::Result<Self> {
        build(proto, interface)
    }

    /// Appends the labels and probabilities of `pixels`, whole images `[C, H, W]`.
    pub(super) fn run(&self, pixels: &[u8], labels: &mut Vec<Label>, probabilities: &mut Vec<f32>) {
        let lent = self.arenas.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut arena = lent.unwrap_or_else(|| self.arena());
        let image = self.image.pixels();
        for pixels in pixels.chunks(ROWS * image) {
            let rows = pixels.len() / image;
            for (group, pixels) in pixels.chunks(self.group * image).enumerate() {
                self.run_maps(pixels, group * self.group, &mut arena);
            }
            self.run_vectors(rows, &mut arena.vectors);
            probabilities.extend_from_slice(&arena.vectors[self.output][..rows * self.classes]);
            labels.extend(arena.vectors[self.label][..rows * self.classes].chunks_exact(self.classes).map(first_largest));
        }
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
    }

    fn arena(&self) -> Arena<N> {
        Arena {
            maps: self.map_lengths.iter().map(|length| vec![N::default(); self.group * length]).collect(),
            vectors: self.vector_lengths.iter().map(|length| vec![0.0; ROWS * length]).collect(),
            seen: Vec::new(),
        }
    }

    /// The steps on maps for a group of images, whose vectors begin at row `first`.
    fn run_maps(&self, pixels: &[u8], first: usize, Arena { maps, vectors, seen }: &mut Arena<N>) {
        let image = self.image.pixels();
        let images = pixels.len() / image;
        for step in &self.maps {
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
            }
        }
    }

    fn run_vectors(&self, rows: usize, vectors: &mut [Vec<f32>]) {
        let of = |buffer: usize| rows * self.vector_lengths[buffer];
        for step in &self.vectors {
            match step {
                VectorStep::Dense { layer, from, to } => {
                    let (x, y) = two(vectors, *from, *to);
                    layer.run(&x[..of(*from)], &mut y[..of(*to)]);
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

/// The first of the largest.
fn first_largest(row: &[f32]) -> Label {
    let mut best = 0;
    for (class, probability) in row.iter().enumerate() {
        if *probability > row[best] {
            best = class;
        }
    }
    // A model has no more classes than labels: that was checked when its file was read.
    Label::try_from(best).unwrap_or(Label::MAX)
}

/// exp(xᵢ) / Σ exp(xⱼ). The largest is taken off first, so that nothing overflows.
fn softmax(x: &[f32], y: &mut [f32]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - largest).exp());
    let sum: f32 = y.iter().sum();
    y.iter_mut().for_each(|y| *y /= sum);
}
