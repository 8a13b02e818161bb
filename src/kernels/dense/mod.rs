//! Dense layers: matrix products of whole batches, by the `gemm` crate, or in tiles of `bf16`.
//!
//! Each number is summed by one thread in an order that depends on the sizes alone.

mod prepared;
mod tiled;

use gemm::Parallelism;
use half::bf16;
use rayon::prelude::*;

pub use prepared::PreparedDense;

use super::number::sealed::Number as _;

/// A dense layer of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseShape {
    /// Rows: images.
    pub batch: usize,
    /// Numbers in a row that goes in.
    pub inputs: usize,
    /// Numbers in a row that comes out.
    pub outputs: usize,
    /// Whether numbers may be rounded to `bf16` before they are multiplied, where the machine multiplies those in tiles. Sums are `f32`.
    pub half: bool,
}

/// Products below which tiles are not worth packing for: an estimate, not measured on a machine with tiles.
const SMALL: usize = 1 << 18;

impl DenseShape {
    /// Operations of a forward pass: two for each multiply-add. Either gradient costs the same.
    pub const fn flops(&self) -> u64 {
        2 * (self.batch * self.inputs * self.outputs) as u64
    }

    /// y = x · w + b, and max(y, 0) with `relu`. `x` is `[N, inputs]`, `weights` `[inputs, outputs]`, `bias` `[outputs]`, `y`
    /// `[N, outputs]`.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn forward(&self, x: &[f32], weights: &[f32], bias: Option<&[f32]>, relu: bool, y: &mut [f32]) {
        let Self { batch, inputs, outputs, .. } = *self;
        self.multiply(Matrix::rows(x, batch, inputs), Matrix::rows(weights, inputs, outputs), y);
        if bias.is_none() && !relu {
            return;
        }
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "the bias has the length of its shape");
        for row in y.chunks_exact_mut(outputs) {
            if let Some(bias) = bias {
                row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
            if relu {
                row.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
            }
        }
    }

    /// The gradient of the input, `[N, inputs]`.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn input_gradient(&self, weights: &[f32], gradient: &[f32], to: &mut [f32]) {
        let Self { batch, inputs, outputs, .. } = *self;
        self.multiply(Matrix::rows(gradient, batch, outputs), Matrix::rows(weights, inputs, outputs).transposed(), to);
    }

    /// The gradient of the weights, `[inputs, outputs]`.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn weight_gradient(&self, x: &[f32], gradient: &[f32], to: &mut [f32]) {
        let Self { batch, inputs, outputs, .. } = *self;
        self.multiply(Matrix::rows(x, batch, inputs).transposed(), Matrix::rows(gradient, batch, outputs), to);
    }

    /// `to` = a · b.
    fn multiply(&self, a: Matrix<'_>, b: Matrix<'_>, to: &mut [f32]) {
        let is_large = self.batch * self.inputs * self.outputs >= SMALL;
        match bf16::tiles().filter(|_| self.half && is_large) {
            Some(tiles) => tiled::product(tiles, bf16::best(), a, b, to),
            None => product(a, b, to),
        }
    }

    /// The gradient of the bias, `[outputs]`.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn bias_gradient(&self, gradient: &[f32], to: &mut [f32]) {
        assert_eq!(gradient.len(), self.batch * self.outputs, "the gradient has the length of its shape");
        assert_eq!(to.len(), self.outputs, "the bias gradient has the length of its shape");
        to.par_chunks_mut(256).enumerate().for_each(|(piece, to)| {
            to.fill(0.0);
            for row in gradient.chunks_exact(self.outputs) {
                to.iter_mut().zip(&row[piece * 256..]).for_each(|(to, value)| *to += value);
            }
        });
    }
}

/// A view of a slice as a matrix.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> Matrix<'a> {
    pub(super) fn rows(numbers: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(numbers.len(), rows * columns, "a matrix has the length of its shape");
        Self { numbers, rows, columns, row_step: columns, column_step: 1 }
    }

    pub(super) fn transposed(self) -> Self {
        let Self { numbers, rows, columns, row_step, column_step } = self;
        Self { numbers, rows: columns, columns: rows, row_step: column_step, column_step: row_step }
    }
}

/// `to` = a · b, by rows.
pub(super) fn product(a: Matrix<'_>, b: Matrix<'_>, to: &mut [f32]) {
    assert_eq!(a.columns, b.rows, "the matrices fit each other");
    assert_eq!(to.len(), a.rows * b.columns, "the product has the length of its shape");
    debug_assert!(a.numbers.len() == a.rows * a.columns && b.numbers.len() == b.rows * b.columns);
    // SAFETY: both views lie inside their slices, `to` is a whole matrix by rows and borrowed exclusively; with `read_dst`
    // false it is only written.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            to.as_mut_ptr(),
            1,
            b.columns as isize,
            false,
            a.numbers.as_ptr(),
            a.column_step as isize,
            a.row_step as isize,
            b.numbers.as_ptr(),
            b.column_step as isize,
            b.row_step as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(0),
        );
    }
}

#[cfg(test)]
mod tests;
