//! Convolution of images `[N, H, W, C]`, forward and backward, without an unfolded copy of the input.
//!
//! Images are worked on in small groups: a group is framed with zeros in scratch memory that stays in the second-level cache,
//! and swept by a microkernel that holds a tile of pixels × channels in registers. What follows a convolution (bias, ReLU,
//! 2×2 pooling, batch statistics) is done while its group is still in that cache; what precedes its backward pass (the
//! gradient of those) is computed while the gradient is framed. Neither costs a pass over memory.
//!
//! Groups and chunks depend on the shape alone, and sums over them have a fixed order: results do not depend on the number of
//! threads.

use std::marker::PhantomData;

use rayon::prelude::*;

mod gradient;
mod pack;
mod plan;
mod prepared;
mod shape;
mod tile;
mod tiled;
mod tiled_gradient;
mod weight_gradient;
mod winograd;

pub use gradient::OutputGradient;
pub(crate) use pack::{Block, Packed, blocks_of};
pub(crate) use plan::{Frame, Phase, Pixel, Run, Sweep};
pub use prepared::PreparedConvolution;
pub use shape::{ConvShape, ShapeError};
pub(crate) use tile::SweepGroup;
pub(crate) use tiled::{Epilogue, Pixels, SweepTiles, TilePlan, TileWeights, sweep};
pub use winograd::WinogradConvolution;

use self::pack::unpack_sum;
use self::plan::tiled_group;
use self::tiled_gradient::{AddTiles, TileGradient};
use self::weight_gradient::{AddWeightGradient, WeightBlocks};
use super::buffer::{Buffer, Lease, with_scratch};
use super::norm::{Moments, PartialMoments, RowGradient};
use super::number::Number;
use super::pool::pool_pairs;
use super::simd::{Level, Simd, Task};
use super::tiles::Tiles;

/// Parts into which a batch is cut for the sums of the backward pass.
const CHUNKS: usize = 16;

/// A convolution of one shape, planned once and run often, of images and gradients of `N`. Weights, biases and all sums are `f32`.
#[derive(Clone, Debug)]
pub struct Convolution<N> {
    shape: ConvShape,
    level: Level,
    forward: Sweep,
    backward: Sweep,
    weight_blocks: WeightBlocks,
    places: Vec<usize>,
    tiled: Option<Tiled>,
    of: PhantomData<N>,
}

/// The same sweeps in products of tiles.
#[derive(Clone, Debug)]
struct Tiled {
    tiles: Tiles,
    forward: TilePlan,
    backward: TilePlan,
    gradient: TileGradient,
}

impl Tiled {
    /// `None` where windows are more than a pixel apart.
    fn new(tiles: Tiles, shape: &ConvShape, forward: &Sweep, backward: &Sweep) -> Option<Self> {
        const SIZE: usize = size_of::<half::bf16>();
        if shape.stride != 1 {
            return None;
        }
        let gradient = TileGradient::new(shape, &forward.frame, &forward.phases[0], forward.group);
        let forward = TilePlan::new(forward, 1, [shape.output_height(), shape.output_width()], SIZE, false)?;
        let backward = TilePlan::new(backward, 1, [shape.height, shape.width], SIZE, false)?;
        Some(Self { tiles, forward, backward, gradient })
    }
}

/// The weights of a sweep.
#[derive(Debug)]
enum Weights<N: Number> {
    Vectors(Packed<N>),
    Tiles(TileWeights),
}

/// Where a backward pass writes; what is `None` is not computed.
#[derive(Debug)]
pub struct Gradients<'a, N> {
    /// Gradient of the images, `[N, H, W, inputs]`.
    pub input: Option<&'a mut [N]>,
    /// Gradient of the weights, `[outputs, inputs, kernel, kernel]`.
    pub weights: Option<&'a mut [f32]>,
    /// Gradient of the bias, `[outputs]`.
    pub bias: Option<&'a mut [f32]>,
}

impl<N> Default for Gradients<'_, N> {
    fn default() -> Self {
        Self { input: None, weights: None, bias: None }
    }
}

impl<N: Number> Convolution<N> {
    /// Plans a convolution on the widest vectors of this machine.
    ///
    /// # Errors
    /// When the shape is impossible.
    pub fn new(shape: ConvShape) -> Result<Self, ShapeError> {
        Self::with_makes(shape, N::best(), N::tiles())
    }

    /// Plans a convolution on the given vectors.
    ///
    /// # Errors
    /// When the shape is impossible.
    pub fn with_level(shape: ConvShape, level: Level) -> Result<Self, ShapeError> {
        Self::with_makes(shape, level, None)
    }

    /// Plans a convolution on the given vectors and tiles.
    ///
    /// # Errors
    /// When the shape is impossible.
    pub(crate) fn with_makes(shape: ConvShape, level: Level, tiles: Option<Tiles>) -> Result<Self, ShapeError> {
        let (shape, level) = (shape.check()?, N::level(level));
        let tiles = tiles.filter(|_| shape.stride == 1);
        let (forward, backward) = match tiles {
            Some(_) => (Sweep::forward_in(&shape, tiled_group(&shape)), Sweep::backward_in(&shape, tiled_group(&shape))),
            None => (Sweep::forward(&shape, N::PER_WORD), Sweep::backward(&shape, N::PER_WORD)),
        };
        let tiled = tiles.and_then(|tiles| Tiled::new(tiles, &shape, &forward, &backward));
        let weight_blocks = WeightBlocks::new(level, &forward.phases[0], shape.outputs);
        let places = backward.frame.places(backward.group);
        Ok(Self { shape, level, forward, backward, weight_blocks, places, tiled, of: PhantomData })
    }

    /// Its shape.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// y = x ∗ w + b, and max(y, 0) with `relu`. `x` is `[N, H, W, inputs]`, `weights` `[outputs, inputs, kernel, kernel]`, `bias`
    /// `[outputs]`, `y` `[N, H', W', outputs]`.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn forward(&self, x: &[N], weights: &[f32], bias: Option<&[f32]>, relu: bool, y: &mut [N]) {
        self.check_forward(x, weights, bias);
        assert_eq!(y.len(), self.shape.output_len(), "the output has the length of its shape");
        let (weights, bias) = self.prepare_weights(weights, bias);
        x.par_chunks(self.forward.group * self.shape.input_image())
            .zip(y.par_chunks_mut(self.forward.group * self.shape.output_image()))
            .with_max_len(1)
            .for_each(|(x, y)| {
                with_scratch(|[frames, ..]| self.forward_group(x, frames, &weights, &bias, relu, y));
            });
    }

    /// [`Convolution::forward`] with ReLU, then the largest of each 2×2 window: `y` is `[N, H'/2, W'/2, outputs]`. `choice`, of the
    /// same length, tells which of the window's four it was (row by row), or 4 where none is positive.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn forward_pool(&self, x: &[N], weights: &[f32], bias: Option<&[f32]>, y: &mut [N], choice: &mut [u8]) {
        self.check_forward(x, weights, bias);
        let pooled = self.pooled_image();
        assert_eq!(y.len(), self.shape.batch * pooled, "the output has the length of its shape");
        assert_eq!(choice.len(), y.len(), "there is a choice for each output");
        if pooled == 0 {
            return;
        }
        let (weights, bias) = self.prepare_weights(weights, bias);
        let group = self.forward.group;
        let image = self.shape.output_image();
        x.par_chunks(group * self.shape.input_image())
            .zip(y.par_chunks_mut(group * pooled).zip(choice.par_chunks_mut(group * pooled)))
            .with_max_len(1)
            .for_each(|(x, (y, choice))| {
                let images = y.len() / pooled;
                with_scratch(|[frames, whole, ..]| {
                    let whole = whole.of::<f32>(images * image);
                    self.forward_group(x, frames, &weights, &bias, true, whole);
                    let (width, channels) = (self.shape.output_width(), self.shape.outputs);
                    let pooled = y.chunks_exact_mut(pooled).zip(choice.chunks_exact_mut(pooled));
                    for (whole, (y, choice)) in whole.chunks_exact(image).zip(pooled) {
                        pool_pairs(self.level, whole, width, channels, y, choice);
                    }
                });
            });
    }

    /// [`Convolution::forward`] without bias and ReLU; gives mean and variance of each output channel over the batch, for a
    /// batch normalisation that follows.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn forward_moments(&self, x: &[N], weights: &[f32], y: &mut [N]) -> Moments {
        self.check_forward(x, weights, None);
        assert_eq!(y.len(), self.shape.output_len(), "the output has the length of its shape");
        let (weights, bias) = self.prepare_weights(weights, None);
        let parts: Vec<PartialMoments> = x
            .par_chunks(self.forward.group * self.shape.input_image())
            .zip(y.par_chunks_mut(self.forward.group * self.shape.output_image()))
            .with_max_len(1)
            .map(|(x, y)| {
                with_scratch(|[frames, ..]| self.forward_group(x, frames, &weights, &bias, false, y));
                PartialMoments::of(self.level, y, self.shape.outputs)
            })
            .collect();
        PartialMoments::join(&parts)
    }

    /// The gradients, given that of what came out.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn backward(&self, x: &[N], weights: &[f32], gradient: &OutputGradient<'_, N>, into: Gradients<'_, N>) {
        self.check_forward(x, weights, None);
        gradient.check(&self.shape);
        let shape = &self.shape;
        let images = shape.batch.div_ceil(CHUNKS).next_multiple_of(self.forward.group);
        let chunks = shape.batch.div_ceil(images);
        let rotated = into.input.is_some().then(|| self.pack(weights, true));
        let zeros = vec![0.0; shape.inputs + 64];
        let norm_rows = gradient.for_rows(&self.backward.frame);

        let WeightBlocks { rows, columns, .. } = self.weight_blocks;
        let all_sums = self.tiled.as_ref().map_or(rows * columns, |tiled| tiled.gradient.sums_len());
        let sums_len = if into.weights.is_some() { all_sums } else { 0 };
        let bias_len = if into.bias.is_some() { shape.outputs } else { 0 };
        let mut parts = Lease::<f32>::new(chunks * sums_len);
        let mut biases = vec![0.0; chunks * bias_len];
        if let Some(input) = &into.input {
            assert_eq!(input.len(), shape.input_len(), "the input gradient has the length of its shape");
        }
        let mut inputs: Vec<Option<&mut [N]>> = match into.input {
            Some(input) => input.chunks_mut(images * shape.input_image()).map(Some).collect(),
            None => (0..chunks).map(|_| None).collect(),
        };
        let mut jobs = Vec::with_capacity(chunks);
        let (mut sums, mut bias) = (parts.as_mut_slice(), biases.as_mut_slice());
        for (chunk, input) in inputs.iter_mut().enumerate() {
            let (first, later) = sums.split_at_mut(sums_len);
            let (first_bias, later_bias) = bias.split_at_mut(bias_len);
            jobs.push((chunk * images, input.as_deref_mut(), first, first_bias));
            (sums, bias) = (later, later_bias);
        }
        jobs.into_par_iter().with_max_len(1).for_each(|(first, mut input, sums, bias)| {
            let last = (first + images).min(shape.batch);
            for start in (first..last).step_by(self.forward.group) {
                let group = start..(start + self.forward.group).min(last);
                let input = input.as_deref_mut().map(|input| {
                    &mut input[(group.start - first) * shape.input_image()..(group.end - first) * shape.input_image()]
                });
                let fresh = start == first;
                self.backward_group(
                    x,
                    (gradient, norm_rows.as_ref()),
                    group,
                    rotated.as_ref().zip(input),
                    &zeros,
                    (&mut *sums, fresh),
                    bias,
                );
            }
        });
        if let Some(to) = into.weights {
            assert_eq!(to.len(), shape.weights_len(), "the weight gradient has the length of its shape");
            match &self.tiled {
                Some(tiled) => tiled.gradient.unpack_sum(self.level, shape.kernel * shape.kernel, parts.as_slice(), to),
                None => unpack_sum(self.level, shape, columns, parts.as_slice(), to),
            }
        }
        if let Some(to) = into.bias {
            assert_eq!(to.len(), shape.outputs, "the bias gradient has the length of its shape");
            to.fill(0.0);
            for part in biases.chunks_exact(bias_len) {
                to.iter_mut().zip(part).for_each(|(to, part)| *to += part);
            }
        }
    }

    /// Adds a group's share to `sums` (of the weights; `fresh` ones are overwritten) and `bias` where they are not empty, and
    /// writes its input gradient.
    #[expect(clippy::too_many_arguments, reason = "the three gradients of one group, computed while it is in the cache")]
    fn backward_group(
        &self,
        x: &[N],
        (gradient, rows): (&OutputGradient<'_, N>, Option<&RowGradient>),
        group: std::ops::Range<usize>,
        input: Option<(&Weights<N>, &mut [N])>,
        zeros: &[f32],
        (sums, fresh): (&mut [f32], bool),
        bias: &mut [f32],
    ) {
        let (shape, level) = (&self.shape, self.level);
        let images = group.len();
        with_scratch(|[frames, gradients, words, gradient_words]| {
            let (frame, [framed, reach]) = self.backward_frames(images);
            let gradients = gradients.of::<N>(reach);
            gradient.fill(level, shape, (frame, rows), group.clone(), gradients);
            gradients[framed..].fill(N::default());
            if !bias.is_empty() {
                N::run(level, gradient::AddRows { frame, images, gradients, bias });
            }
            if !sums.is_empty() {
                let x = &x[group.start * shape.input_image()..group.end * shape.input_image()];
                match &self.tiled {
                    Some(tiled) => {
                        let plan = &tiled.gradient;
                        let [words_len, reach] = plan.words(images);
                        let x = {
                            let words = words.of::<N::Word>(reach);
                            let whole = &self.forward.frame;
                            N::run(level, FrameWords { frame: whole, image: shape.input_image(), x, words: &mut *words });
                            words[words_len..].fill(N::Word::default());
                            words
                        };
                        N::run(
                            level,
                            AddTiles {
                                tiles: tiled.tiles,
                                plan,
                                images,
                                x: N::pairs(x),
                                gradient: N::halves(gradients),
                                frame,
                                rows: frames.of(plan.rows_len()),
                                transposed: gradient_words.of(plan.transposed_len(images)),
                                sums,
                                fresh,
                            },
                        );
                    }
                    None => {
                        let phase = &self.forward.phases[0];
                        let pixels = images.div_ceil(N::PER_WORD) * phase.pixels_of_image;
                        let x = self.framed_words(x, frames, words);
                        let gradient_words = gradient_words.of(self.backward.frames_len());
                        N::run(
                            level,
                            AddWeightGradient::<N> {
                                blocks: &self.weight_blocks,
                                windows: &phase.pixels[..pixels],
                                images: x,
                                places: &self.places[..pixels],
                                gradient: N::abreast(level, gradients, images, frame.len(), gradient_words),
                                sums,
                                fresh,
                            },
                        );
                    }
                }
            }
            match input {
                Some((Weights::Vectors(weights), to)) => {
                    for (index, phase) in self.backward.phases.iter().enumerate() {
                        N::run(
                            level,
                            SweepGroup {
                                phase,
                                index,
                                images,
                                from: gradients,
                                weights,
                                bias: zeros,
                                resume: false,
                                pool: false,
                                relu: false,
                                to,
                                channels: shape.inputs,
                            },
                        );
                    }
                }
                Some((Weights::Tiles(weights), to)) => {
                    let Tiled { tiles, backward: plan, .. } = self.tiled();
                    let (from, bias) = (N::halves(gradients), zeros);
                    let channels = shape.inputs;
                    N::run(level, SweepTiles { tiles: *tiles, plan, images, from, weights, bias, relu: false, to, channels });
                }
                None => {}
            }
        });
    }

    fn check_forward(&self, x: &[N], weights: &[f32], bias: Option<&[f32]>) {
        assert_eq!(x.len(), self.shape.input_len(), "the input has the length of its shape");
        assert_eq!(weights.len(), self.shape.weights_len(), "the weights have the length of their shape");
        assert!(bias.is_none_or(|bias| bias.len() == self.shape.outputs), "the bias has the length of its shape");
    }

    /// Numbers in one image of a 2×2 pooled output.
    fn pooled_image(&self) -> usize {
        (self.shape.output_height() / 2) * (self.shape.output_width() / 2) * self.shape.outputs
    }

    /// The weights of the forward sweep, or `transposed` of the backward one.
    fn pack(&self, weights: &[f32], transposed: bool) -> Weights<N> {
        let sweep = if transposed { &self.backward } else { &self.forward };
        match &self.tiled {
            Some(tiled) => {
                let plan = if transposed { &tiled.backward } else { &tiled.forward };
                Weights::Tiles(TileWeights::of_convolution(plan, &self.shape, sweep, weights, transposed))
            }
            None => Weights::Vectors(Packed::new(self.level, &self.shape, sweep, weights, transposed)),
        }
    }

    /// What weights were packed for.
    fn tiled(&self) -> &Tiled {
        self.tiled.as_ref().expect("weights are packed for tiles where there is a plan for them")
    }

    /// The frame of gradients, how many numbers a group of them takes, and how many with what is read after them.
    fn backward_frames(&self, images: usize) -> (&Frame, [usize; 2]) {
        match &self.tiled {
            Some(tiled) => (&tiled.backward.frame, tiled.backward.bytes(images).map(|bytes| bytes / size_of::<N>())),
            None => {
                let framed = images * self.backward.frame.len();
                (&self.backward.frame, [framed, framed + 64])
            }
        }
    }

    fn prepare_weights(&self, weights: &[f32], bias: Option<&[f32]>) -> (Weights<N>, Vec<f32>) {
        let packed = self.pack(weights, false);
        let mut padded = bias.unwrap_or_default().to_vec();
        padded.resize(self.shape.outputs + 64, 0.0);
        (packed, padded)
    }

    fn forward_group<O: Number>(
        &self,
        x: &[N],
        frames: &mut Buffer,
        weights: &Weights<N>,
        bias: &[f32],
        relu: bool,
        to: &mut [O],
    ) {
        let images = x.len() / self.shape.input_image();
        let channels = self.shape.outputs;
        match weights {
            Weights::Vectors(weights) => {
                let (from, phase) = (self.framed(x, frames), &self.forward.phases[0]);
                let group =
                    SweepGroup { phase, index: 0, images, from, weights, bias, resume: false, pool: false, relu, to, channels };
                N::run(self.level, group);
            }
            Weights::Tiles(weights) => {
                let Tiled { tiles, forward: plan, .. } = self.tiled();
                let from = N::halves(framed_for(plan, x, self.shape.input_image(), frames));
                N::run(self.level, SweepTiles { tiles: *tiles, plan, images, from, weights, bias, relu, to, channels });
            }
        }
    }

    /// The images with zeros around them: in `frames`, or where they are if there are to be none.
    fn framed<'a>(&self, x: &'a [N], frames: &'a mut Buffer) -> &'a [N] {
        let frame = &self.forward.frame;
        if frame.is_bare() && self.forward.phases[0].is_whole(N::PER_WORD) {
            return x;
        }
        let line = frame.width * frame.channels;
        let image = self.shape.input_image();
        let frames = frames.of(self.forward.frames_len());
        frame.fill(x.len() / image, frames, |index, row, to| {
            let from = index * image + row * line;
            to.copy_from_slice(&x[from..from + line]);
        });
        frames
    }

    /// The images with zeros around them, side by side in words.
    fn framed_words<'a>(&self, x: &'a [N], frames: &'a mut Buffer, words: &'a mut Buffer) -> &'a [N::Word] {
        let (frame, image) = (&self.forward.frame, self.shape.input_image());
        let images = x.len() / image;
        let words = words.of(self.forward.frames_len());
        if N::PER_WORD == 1 {
            return N::abreast(self.level, self.framed(x, frames), images, frame.len(), words);
        }
        N::run(self.level, FrameWords { frame, image, x, words: &mut *words });
        words
    }
}

/// The images with zeros around them, and zeros after them as far as blocks of tiles read.
fn framed_for<'a, N: Number>(plan: &TilePlan, x: &[N], image: usize, frames: &'a mut Buffer) -> &'a [N] {
    let images = x.len() / image;
    let [framed, reach] = plan.bytes(images).map(|bytes| bytes / size_of::<N>());
    let frames = frames.of(reach);
    let line = plan.frame.width * plan.frame.channels;
    plan.frame.fill(images, frames, |index, row, to| {
        let from = index * image + row * line;
        to.copy_from_slice(&x[from..from + line]);
    });
    frames[framed..].fill(N::default());
    frames
}

/// Writes zeros and words around and of images `x`, in one go.
struct FrameWords<'a, N: Number> {
    frame: &'a Frame,
    image: usize,
    x: &'a [N],
    words: &'a mut [N::Word],
}

impl<N: Number> Task for FrameWords<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { frame, image, x, words } = self;
        let line = frame.width * frame.channels;
        let images = x.len() / image;
        frame.fill(images.div_ceil(N::PER_WORD), words, |word, row, to| {
            let first = word * N::PER_WORD;
            let of = |index: usize| &x[index * image + row * line..][..line];
            if N::PER_WORD > 1 && first + 1 < images {
                for ((to, first), second) in to.iter_mut().zip(of(first)).zip(of(first + 1)) {
                    *to = N::word(*first, *second);
                }
            } else {
                to.iter_mut().zip(of(first)).for_each(|(to, first)| *to = N::word(*first, N::default()));
            }
        });
    }
}

#[cfg(test)]
mod tests;
