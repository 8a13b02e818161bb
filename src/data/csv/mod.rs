//! CSV tables of images: one image per row, one column per pixel, perhaps a label.
//!
//! | step | done by |
//! |---|---|
//! | is it a table, in which encoding, with which delimiter? | [`Dialect`], from the first bytes |
//! | the text as UTF-8 with commas | [`Dialect::normalise`]; a plain table is left as it is |
//! | which column is the label, which are the pixels? | [`CsvLayout`], from the first rows ([`head()`]) |
//! | a row's label and pixels | [`CsvLayout::parse_row`]; [`PlainRows`] is the quick way |
//!
//! Whatever is guessed is told by a [`Note`], with the option that settles it; what could be meant in two ways is refused.
//! Faults and notes name options as [`Setting`]s, which the caller puts in a user's words ([`Advised`]). The module knows
//! nothing of files, of compression, or of how many rows there are.

mod advice;
mod contents;
mod dialect;
mod fault;
mod header;
mod layout;
mod number;
mod options;
mod pattern;
mod place;
mod plain;
mod records;
mod row;
mod rows;
mod transcode;

#[cfg(test)]
use std::io::Read;

pub use advice::{Advice, Advised, Note, Setting, Wording, in_yaml};
pub use contents::NoTable;
pub use dialect::Dialect;
pub use fault::LayoutError;
pub use layout::{Column, CsvLayout, LabelColumn, Wanted, shape_told};
pub use options::{CsvOptions, Delimiter, Header};
pub use pattern::PixelPattern;
pub use plain::{Cells, PlainRows};
pub use records::{BYTE_ORDER_MARK, HEAD_BYTES, HEAD_ROWS, LONGEST_ROW, first_record, head, is_open, last_record, read_record};
pub use row::CellError;
pub(in crate::data) use row::parse_label;
pub use rows::{Row, Rows, RowsError};

/// The reader of the `csv` crate, whose records this module's are: the first record is data like the others, records may differ in
/// length, a byte order mark, CRLF and blank lines are passed over.
#[cfg(test)]
pub fn reader<R: Read>(source: R) -> ::csv::Reader<R> {
    ::csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(1 << 17).from_reader(source)
}
