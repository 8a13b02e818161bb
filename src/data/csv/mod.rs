//! CSV tables of images: one image per row, one column per pixel, perhaps a label.
//!
//! The first record decides the [`CsvLayout`]: which column is the label, which are the pixels and in what order. Every
//! following record is then parsed on its own by [`CsvLayout::parse_row`], so that a caller may stream a file of any
//! length. The module knows nothing of files, of compression, or of how many rows there are.

mod layout;
mod plain;
mod records;
mod row;

use std::fmt;
use std::io::Read;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::quote::excerpt;

pub use layout::{Column, CsvLayout, LabelColumn, LayoutError};
pub use plain::{Cells, PlainRows};
pub use records::{BYTE_ORDER_MARK, first_record, is_open, last_record};
pub use row::CellError;

/// How the columns of a CSV file are to be understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvOptions {
    /// The name of the column that holds the label.
    pub label: String,
    /// The names of the pixel columns, with `{n}` where the number stands. Numbers count from 0 or 1, through the
    /// channels, then the rows, then the columns of the image.
    pub pixels: PixelPattern,
    /// Whether the first row holds the names of the columns. Without names, the columns are the label, if there is one
    /// more column than pixels, and then the pixels.
    pub header: Header,
    /// Other columns that may be there and are passed over.
    pub ignore: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            label: "label".to_owned(),
            pixels: PixelPattern { prefix: "pixel".to_owned(), suffix: String::new() },
            header: Header::Auto,
            ignore: Vec::new(),
        }
    }
}

impl CsvOptions {
    /// What contradicts itself: a label that is called like a pixel.
    pub fn faults(&self) -> Vec<Fault> {
        let is_pixel = self.pixels.number(&self.label).is_some();
        let fault = || {
            let message = format!("`{}` is the label's name, and by `{}` that of a pixel", excerpt(&self.label), self.pixels);
            Fault::new(&["label"], message, "name the label's column, or give the pixels another pattern")
        };
        is_pixel.then(fault).into_iter().collect()
    }
}

/// Whether the first row of a CSV file holds the names of its columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// It does if the label or a pixel column is named there, or if few of its cells are numbers.
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It does not: the first row is an image.
    No,
}

/// The names of numbered columns: `pixel{n}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^[^{}]*\{n\}[^{}]*$"))]
pub struct PixelPattern {
    prefix: String,
    suffix: String,
}

impl PixelPattern {
    /// The number in a column name that fits this pattern.
    pub fn number(&self, name: &str) -> Option<usize> {
        let digits = name.strip_prefix(self.prefix.as_str())?.strip_suffix(self.suffix.as_str())?;
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { digits.parse().ok() } else { None }
    }

    /// The name of column `number`.
    pub fn name(&self, number: usize) -> String {
        format!("{}{number}{}", self.prefix, self.suffix)
    }
}

impl TryFrom<String> for PixelPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once("{n}") {
            Some((prefix, suffix)) if !suffix.contains("{n}") => {
                Ok(Self { prefix: prefix.to_owned(), suffix: suffix.to_owned() })
            }
            _ => Err(format!(
                "`{}` does not say where the number of the pixel stands: write `{{n}}` once, as in `pixel{{n}}`",
                excerpt(&text)
            )),
        }
    }
}

impl From<PixelPattern> for String {
    fn from(pattern: PixelPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for PixelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{n}}{}", self.prefix, self.suffix)
    }
}

/// A reader of records as this module wants them: the first record is data like the others, records may differ in length
/// (so that [`CsvLayout::parse_row`] can say which), a byte order mark, CRLF and blank lines are passed over.
pub fn reader<R: Read>(source: R) -> ::csv::Reader<R> {
    ::csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(1 << 17).from_reader(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_pattern_finds_numbers_and_must_hold_one_place_for_them() {
        let pattern: PixelPattern = serde_json::from_str(r#""px{n}_gray""#).unwrap();
        assert_eq!(pattern.number("px17_gray"), Some(17));
        assert_eq!(pattern.name(17), "px17_gray");
        for other in ["px_gray", "px+1_gray", "px17", "17_gray", "px99999999999999999999999_gray"] {
            assert_eq!(pattern.number(other), None, "{other}");
        }
        for bad in ["pixel", "p{n}{n}"] {
            let error = PixelPattern::try_from(bad.to_owned()).unwrap_err();
            assert!(error.contains("write `{n}` once"), "{error}");
        }
    }

    #[test]
    fn options_have_the_defaults_of_fashion_mnist() {
        let options: CsvOptions = serde_json::from_str("{}").unwrap();
        assert_eq!(options, CsvOptions::default());
        assert_eq!(
            serde_json::to_string(&options).unwrap(),
            r#"{"label":"label","pixels":"pixel{n}","header":"auto","ignore":[]}"#
        );
        assert!(serde_json::from_str::<CsvOptions>(r#"{"labels": "x"}"#).is_err());
    }
}
