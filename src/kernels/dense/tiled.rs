//! A product of matrices of `f32` in tiles: numbers are rounded to `bf16`, sums are `f32`.

use half::bf16;
use rayon::prelude::*;

use super::Matrix;
use crate::kernels::buffer::Lease;
use crate::kernels::conv::{SweepTiles, TilePlan, TileWeights};
use crate::kernels::number::sealed::Number as _;
use crate::kernels::simd::{Level, pair};
use crate::kernels::tiles::{ROW, SIDE, Tiles};

/// Rows that one task multiplies.
const ROWS: usize = 2 * SIDE;
/// Numbers in a row of a tile.
const DEEP: usize = ROW / size_of::<bf16>();

/// `to` = a · b, by rows. Each number is summed by one thread in an order that depends on the sizes alone.
pub(super) fn product(tiles: Tiles, level: Level, a: Matrix<'_>, b: Matrix<'_>, to: &mut [f32]) {
    let apart = a.columns.next_multiple_of(DEEP);
    let plan = TilePlan::of_rows(ROWS, a.columns, apart * size_of::<bf16>(), size_of::<bf16>());
    let number = |row: usize, column: usize| {
        if row < b.rows { bf16::narrow(b.numbers[row * b.row_step + column * b.column_step]) } else { bf16::ZERO }
    };
    let weights = TileWeights::new(&plan, b.columns, |step, word, column| {
        let row = step * DEEP + 2 * word;
        pair(number(row, column), number(row + 1, column))
    });
    let of_task = plan.bytes(ROWS)[1] / size_of::<bf16>();
    let mut rows = Lease::<bf16>::new(a.rows.div_ceil(ROWS) * of_task);
    let bias = vec![0.0; b.columns.next_multiple_of(2 * SIDE)];
    let tasks = rows.as_mut_slice().par_chunks_mut(of_task).zip(to.par_chunks_mut(ROWS * b.columns));
    tasks.enumerate().for_each(|(task, (from, to))| {
        let images = to.len() / b.columns;
        from.fill(bf16::ZERO);
        // Neighbours in memory one after the other, whichever way the matrix lies.
        let first = task * ROWS * a.row_step;
        let mut place = |row: usize, column: usize| {
            from[row * apart + column] = bf16::narrow(a.numbers[first + row * a.row_step + column * a.column_step]);
        };
        match a.column_step {
            1 => (0..images).for_each(|row| (0..a.columns).for_each(|column| place(row, column))),
            _ => (0..a.columns).for_each(|column| (0..images).for_each(|row| place(row, column))),
        }
        let sweep =
            SweepTiles { tiles, plan: &plan, images, from, weights: &weights, bias: &bias, relu: false, to, channels: b.columns };
        bf16::run(level, sweep);
    });
}
