//! A dense layer with its weights, packed once, for inference: it runs on the thread that calls it, by the microkernel of the
//! convolutions.

use crate::kernels::Number;
use crate::kernels::buffer::{Buffer, with_scratch};
use crate::kernels::conv::{ConvShape, Packed, Sweep, SweepGroup, SweepTiles, TilePlan, TileWeights};
use crate::kernels::number::{each_vector, read, write};
use crate::kernels::simd::{Level, Simd, Task, pair};
use crate::kernels::tiles::{ROW, Tiles};

/// Inputs that are summed before the next are begun, so that their weights stay in the second-level cache.
const DEPTH: usize = 512;
/// Rows that are worked on together.
const ROWS: usize = 96;

/// A dense layer whose weights do not change any more. Rows go in and come out as `f32`, products are of `N`. A row's output does not
/// depend on the rows beside it, to the bit.
#[derive(Debug)]
pub struct PreparedDense<N: Number> {
    inputs: usize,
    outputs: usize,
    relu: bool,
    level: Level,
    bias: Vec<f32>,
    product: Product<N>,
}

#[derive(Debug)]
struct Tiled {
    tiles: Tiles,
    plan: TilePlan,
    weights: TileWeights,
}

#[derive(Debug)]
enum Product<N: Number> {
    /// In vectors, some of the inputs after the other.
    Vectors(Vec<Piece<N>>),
    /// In tiles, all inputs at once: sums stay in tiles over all steps.
    Tiles(Box<Tiled>),
}

/// Some of the inputs.
#[derive(Debug)]
struct Piece<N: Number> {
    start: usize,
    sweep: Sweep,
    weights: Packed<N>,
}

impl<N: Number> PreparedDense<N> {
    /// Packs `weights`, `[inputs, outputs]`, and `bias`, `[outputs]`; `relu` makes negative outputs zero. `None` for no outputs or
    /// inputs.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn new(inputs: usize, outputs: usize, weights: &[f32], bias: Option<&[f32]>, relu: bool) -> Option<Self> {
        assert_eq!(weights.len(), inputs * outputs, "the weights have the length of their shape");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "the bias has the length of its shape");
        if inputs == 0 || outputs == 0 {
            return None;
        }
        Some(Self::with_makes(inputs, outputs, weights, bias, relu, N::best(), N::tiles()))
    }

    /// The same on the given vectors and tiles.
    pub(crate) fn with_makes(
        inputs: usize,
        outputs: usize,
        weights: &[f32],
        bias: Option<&[f32]>,
        relu: bool,
        level: Level,
        tiles: Option<Tiles>,
    ) -> Self {
        let mut padded = bias.unwrap_or_default().to_vec();
        padded.resize(outputs + 64, 0.0);
        let piece = |start: usize| {
            let depth = DEPTH.min(inputs - start);
            let shape = ConvShape { batch: ROWS, height: 1, width: 1, inputs: depth, outputs, kernel: 1, stride: 1, padding: 0 };
            let mut sweep = Sweep::forward(&shape, N::PER_WORD);
            // The piece of a row lies between pieces that others sum.
            for (row, pixel) in sweep.phases[0].pixels.iter_mut().enumerate() {
                pixel.from = row * inputs;
            }
            let columns = (0..outputs).flat_map(|output| (start..start + depth).map(move |input| input * outputs + output));
            let transposed: Vec<f32> = columns.map(|at| weights[at]).collect();
            Piece { start, weights: Packed::new(level, &shape, &sweep, &transposed, false), sweep }
        };
        let product = match tiles {
            Some(tiles) => {
                let row = ROW / size_of::<N>();
                let plan = TilePlan::of_rows(ROWS, inputs, inputs.next_multiple_of(row) * size_of::<N>(), size_of::<N>());
                let weight = |input: usize, output: usize| {
                    if input < inputs { half::bf16::from_f32(weights[input * outputs + output]) } else { half::bf16::ZERO }
                };
                let packed = TileWeights::new(&plan, outputs, |step, word, output| {
                    let first = step * row + 2 * word;
                    pair(weight(first, output), weight(first + 1, output))
                });
                Product::Tiles(Box::new(Tiled { tiles, plan, weights: packed }))
            }
            None => Product::Vectors((0..inputs).step_by(DEPTH).map(piece).collect()),
        };
        Self { inputs, outputs, relu, level, bias: padded, product }
    }

    /// Numbers in a row that goes in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers in a row that comes out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `x` is any number of rows `[inputs]`, `y` as many `[outputs]`.
    ///
    /// # Panics
    /// When a slice is not of whole rows, or of another number of them.
    pub fn run(&self, x: &[f32], y: &mut [f32]) {
        let Self { inputs, outputs, .. } = *self;
        assert!(x.len().is_multiple_of(inputs), "there are whole rows");
        assert_eq!(y.len(), x.len() / inputs * outputs, "there is an output for each row");
        for (x, y) in x.chunks(ROWS * inputs).zip(y.chunks_mut(ROWS * outputs)) {
            with_scratch(|[rows, ..]| match &self.product {
                Product::Vectors(pieces) => self.run_pieces(pieces, x, rows, y),
                Product::Tiles(tiled) => {
                    let Tiled { tiles, plan, weights } = &**tiled;
                    let apart = plan.frame.channels;
                    let images = x.len() / inputs;
                    let rows = rows.of::<N>(plan.bytes(images)[1] / size_of::<N>());
                    for (x, to) in x.chunks_exact(inputs).zip(rows.chunks_exact_mut(apart)) {
                        N::run(self.level, Narrow { x, rows: to });
                    }
                    let (from, bias, relu, channels) = (N::halves(rows), &self.bias, self.relu, outputs);
                    let tiles = *tiles;
                    N::run(self.level, SweepTiles { tiles, plan, images, from, weights, bias, relu, to: y, channels });
                }
            });
        }
    }

    fn run_pieces(&self, pieces: &[Piece<N>], x: &[f32], rows: &mut Buffer, y: &mut [f32]) {
        let Self { inputs, outputs, .. } = *self;
        // A word that ends a row reads one number more.
        let rows = rows.of::<N>(x.len() + N::PER_WORD);
        N::run(self.level, Narrow { x, rows: &mut *rows });
        for Piece { start, sweep, weights } in pieces {
            N::run(
                self.level,
                SweepGroup {
                    phase: &sweep.phases[0],
                    index: 0,
                    images: x.len() / inputs,
                    from: &rows[*start..],
                    weights,
                    bias: &self.bias,
                    resume: *start > 0,
                    pool: false,
                    relu: self.relu && start + DEPTH >= inputs,
                    to: &mut *y,
                    channels: outputs,
                },
            );
        }
    }
}

/// Numbers as `N`, and zeros after them.
struct Narrow<'a, N> {
    x: &'a [f32],
    rows: &'a mut [N],
}

impl<N: Number> Task for Narrow<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, rows } = self;
        each_vector!(S, x.len(), |at, count| {
            let value = read(simd, x, at, count);
            write(simd, rows, at, count, value);
        });
        rows[x.len()..].fill(N::default());
    }
}
