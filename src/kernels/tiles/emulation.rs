//! The tile instructions of AMX, as Intel's manual writes them down, on arrays.

use super::{Block, Kind, ROW, SIDE, Sums, WORDS};

/// Eight tiles.
pub(crate) struct Emulation([[[u32; WORDS]; SIDE]; 8]);

impl Emulation {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self([[[0; WORDS]; SIDE]; 8]))
    }

    /// # Safety
    /// As [`super::Session::multiply`].
    pub(super) unsafe fn multiply<K: Kind, const COLUMNS: usize>(&mut self, block: Block<'_>, sums: &mut Sums) {
        let tiles = [0, 1, 2, 3].map(|tile| (tile, COLUMNS * (tile / 2) + tile % 2)).into_iter();
        let tiles = tiles.filter(|(tile, _)| tile % 2 < COLUMNS);
        for (tile, place) in tiles.clone() {
            self.0[tile] = if block.resume { sums.0[place] } else { [[0; WORDS]; SIDE] };
        }
        for step in block.steps {
            // SAFETY: the caller vouches for the rows of every step.
            unsafe {
                self.load(4, block.a[0].add(step.a), block.a_step);
                self.load(6, block.b[0].add(step.b), block.b_step);
                if COLUMNS == 2 {
                    self.load(7, block.b[1].add(step.b), block.b_step);
                }
                self.load(5, block.a[1].add(step.a), block.a_step);
            }
            for (tile, _) in tiles.clone() {
                let (a, b) = (4 + tile / 2, 6 + tile % 2);
                if K::BYTES { self.dot_bytes(tile, a, b) } else { self.dot_halves(tile, a, b) }
            }
        }
        for (tile, place) in tiles {
            sums.0[place] = self.0[tile];
        }
    }

    /// `tileloadd`.
    ///
    /// # Safety
    /// 16 rows of 64 bytes, `step` apart, must be valid for reading.
    unsafe fn load(&mut self, tile: usize, from: *const u8, step: usize) {
        for (row, words) in self.0[tile].iter_mut().enumerate() {
            // SAFETY: the caller vouches for the row; an array of bytes may start anywhere.
            let bytes = unsafe { from.add(row * step).cast::<[u8; ROW]>().read() };
            for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
                *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
    }

    /// `tdpbf16ps`: two sums of fused products, of the first and of the second numbers of words, are added to each other and then to
    /// what there is. Subnormal numbers count, and come out, as zeros.
    fn dot_halves(&mut self, sums: usize, a: usize, b: usize) {
        let (a, b) = (self.0[a], self.0[b]);
        for (row, sums) in a.iter().zip(&mut self.0[sums]) {
            let mut parts = [[0.0f32; 2]; WORDS];
            for (word, column) in row.iter().zip(&b) {
                for (part, other) in parts.iter_mut().zip(column) {
                    for (half, part) in part.iter_mut().enumerate() {
                        let [x, y] = [*word, *other].map(|word| flushed(f32::from_bits((word >> (16 * half)) << 16)));
                        *part = flushed(x.mul_add(y, *part));
                    }
                }
            }
            for (sum, [even, odd]) in sums.iter_mut().zip(parts) {
                let both = flushed(even + odd);
                *sum = flushed(flushed(f32::from_bits(*sum)) + both).to_bits();
            }
        }
    }

    /// `tdpbusd`: products of four bytes, exact.
    fn dot_bytes(&mut self, sums: usize, a: usize, b: usize) {
        let (a, b) = (self.0[a], self.0[b]);
        for (row, sums) in a.iter().zip(&mut self.0[sums]) {
            for (word, column) in row.iter().zip(&b) {
                for (sum, other) in sums.iter_mut().zip(column) {
                    let products = word.to_le_bytes().into_iter().zip(other.to_le_bytes());
                    let products = products.map(|(x, y)| i32::from(x) * i32::from(y as i8));
                    *sum = products.fold(*sum, |sum, product| sum.wrapping_add(product as u32));
                }
            }
        }
    }
}

/// Zero, with its sign, for what is subnormal.
fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0.0f32.copysign(x) } else { x }
}
