//! The quick way through a row as nearly all rows are: pixels of one to three digits, one after another.
//!
//! Nothing is decided here: a row that is not plain in every respect is left to [`CsvLayout::parse_row`], which alone
//! knows what is allowed beside that, and what to say of the rest.

use memchr::memchr;

use super::row::parse_label;
use super::{Column, CsvLayout};
use crate::data::Label;

/// Cells of many rows in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    /// Forgets all cells and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets all but the first `count` cells.
    pub fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// Appends a cell.
    pub fn push(&mut self, cell: &[u8]) {
        self.bytes.extend_from_slice(cell);
        self.ends.push(self.bytes.len());
    }

    /// The cell at `index`, in the order in which they were appended.
    ///
    /// # Panics
    /// When there are not that many.
    pub fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// Appends the cell that begins at `at` in `row`, without its quotes; the place where it ends.
    fn take(&mut self, row: &[u8], mut at: usize) -> usize {
        let find = |byte, from: usize| memchr(byte, &row[from..]).map_or(row.len(), |distance| from + distance);
        if row.get(at) == Some(&b'"') {
            at += 1;
            loop {
                let quote = find(b'"', at);
                self.bytes.extend_from_slice(&row[at..quote]);
                at = (quote + 1).min(row.len());
                if row.get(at) != Some(&b'"') {
                    break;
                }
                self.bytes.push(b'"');
                at += 1;
            }
        }
        let end = find(b',', at);
        self.push(&row[at..end]);
        end
    }
}

/// What is at which place in a plain row.
#[derive(Clone, Debug)]
pub struct PlainRows {
    before: usize,        // columns before the first pixel
    after: usize,         // columns after the last pixel
    label: Option<usize>, // among the columns that are no pixels
    passed: Vec<usize>,   // likewise
    cells: Cells,         // of one row: the columns that are no pixels
}

impl CsvLayout {
    /// The quick way for tables of this layout; `None` if the pixels do not stand side by side in their order, or one of
    /// them is to be passed through.
    pub fn plain(&self) -> Option<PlainRows> {
        let (&first, &last) = (self.pixels.first()?, self.pixels.last()?);
        let in_order = self.pixels.iter().copied().eq(first..=last);
        let other = |column: usize| match column {
            _ if column < first => Some(column),
            _ if column > last => Some(column - self.pixels.len()),
            _ => None,
        };
        let passed = self.passed().iter().map(|Column { index, .. }| other(*index)).collect::<Option<_>>()?;
        let label = self.label.and_then(other);
        let plain = PlainRows { before: first, after: self.names.len() - last - 1, label, passed, cells: Cells::default() };
        in_order.then_some(plain)
    }
}

impl PlainRows {
    /// Reads a row, without what ends it, as [`CsvLayout::parse_row`] would: its pixels into `pixels`, the cells to be
    /// passed through to the end of `passed`; its label. `None` if the row is not plain; `passed` is then unchanged.
    pub fn parse(&mut self, row: &[u8], classes: &[String], pixels: &mut [u8], passed: &mut Cells) -> Option<Option<Label>> {
        self.cells.clear();
        let mut at = 0;
        for _ in 0..self.before {
            at = self.cells.take(row, at);
            if at >= row.len() {
                return None;
            }
            at += 1; // behind the comma
        }
        at = parse_pixels(row, at, pixels)?;
        for _ in 0..self.after {
            // The place behind the row stands for a comma that is missing.
            if at >= row.len() {
                return None;
            }
            at = self.cells.take(row, at + 1);
        }
        if at != row.len() {
            return None;
        }
        let label = match self.label {
            Some(index) => Some(parse_label(self.cells.get(index), classes)?),
            None => None,
        };
        for &index in &self.passed {
            passed.push(self.cells.get(index));
        }
        Some(label)
    }
}

/// Reads cells of one to three digits from `at` on, one for each of `pixels`, each at most 255; the place where the last one
/// ends. `None` if one is different or missing.
///
/// Commas are found 64 bytes at a time and become bits of a word, so that nothing but the next bit decides where a cell
/// ends, and no branch depends on how long the numbers are.
fn parse_pixels(row: &[u8], at: usize, pixels: &mut [u8]) -> Option<usize> {
    let mut left = pixels.iter_mut();
    let Some(mut pixel) = left.next() else { return Some(at) };
    let mut start = at;
    let mut faults = 0;
    let mut base = at;
    while base <= row.len() {
        let mut commas = match row[base..].first_chunk::<64>() {
            Some(bytes) => commas(bytes),
            None => {
                let mut last = [0; 64];
                last[..row.len() - base].copy_from_slice(&row[base..]);
                last[row.len() - base] = b','; // the end of the row ends its last cell
                commas(&last)
            }
        };
        while commas != 0 {
            let end = base + commas.trailing_zeros() as usize;
            commas &= commas - 1;
            let four = match row[..end].last_chunk::<4>() {
                Some(&bytes) => u32::from_le_bytes(bytes),
                None => row[..end].iter().fold(0, |word, &byte| word >> 8 | u32::from(byte) << 24),
            };
            let length = end - start;
            start = end + 1;
            faults |= u32::from(length.wrapping_sub(1) > 2);
            // The cell's own bytes, the last one on top; each is then below 10 if it was a digit.
            let digits = (four ^ 0x3030_3030) & u32::MAX.wrapping_shl(32_u32.wrapping_sub(8 * length as u32));
            faults |= (digits | digits.wrapping_add(0x7676_7676)) & 0x8080_8080;
            let value = (digits >> 8 & 0xff) * 100 + (digits >> 16 & 0xff) * 10 + (digits >> 24);
            faults |= value >> 8;
            *pixel = value as u8;
            match left.next() {
                Some(next) => pixel = next,
                None => return (faults == 0).then_some(end),
            }
        }
        base += 64;
    }
    None
}

/// A bit for each comma, the first byte's lowest.
fn commas(bytes: &[u8; 64]) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().enumerate().fold(0, |bits, (index, &word)| {
        let zero_at_commas = u64::from_le_bytes(word) ^ u64::from_le_bytes([b','; 8]);
        let high_at_commas = !(((zero_at_commas & LOW) + LOW) | zero_at_commas | LOW);
        // The product gathers the eight high bits in the highest byte.
        bits | ((high_at_commas >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * index)
    })
}

#[cfg(test)]
mod tests;
