//! From one record to the pixels and the label of one image.

use ::csv::ByteRecord;

use super::CsvLayout;
use super::number::{is_number, whole};
use crate::data::Label;
use crate::quote::{excerpt, excerpt_of_bytes};

/// A cell that cannot be understood, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row} (line {line}), column {column}{}: {why}", called(.name))]
pub struct CellError {
    /// The row, counted from 1 without the header.
    pub row: u64,
    /// The line of the file on which the row begins, counted from 1; blank lines before it are taken as its own.
    pub line: u64,
    /// The column, counted from 1. Of a row of wrong length, the first column that is missing or superfluous.
    pub column: usize,
    /// The name of the column; empty beyond the last one.
    pub name: String,
    /// What the cell holds, shortened and without invisible characters; empty for a missing one.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl CsvLayout {
    /// Reads the image in `record` into `pixels`, `[C, H, W]`, and returns its label, if the file has labels.
    ///
    /// A label is the number of a class or its name. Where a class name is itself a number, only names count.
    ///
    /// # Errors
    /// The first cell that is not as it should be.
    ///
    /// # Panics
    /// When `pixels` is not as long as an image.
    pub fn parse_row(&self, record: &ByteRecord, classes: &[String], pixels: &mut [u8]) -> Result<Option<Label>, CellError> {
        assert_eq!(pixels.len(), self.pixels.len(), "the buffer must hold one image");
        if record.len() != self.names.len() {
            return Err(self.wrong_length(record));
        }
        for (pixel, &column) in pixels.iter_mut().zip(&self.pixels) {
            let cell = &record[column];
            *pixel = match parse_pixel(cell) {
                Some(value) => value,
                None => return Err(self.error(record, column, self.why_no_pixel(record, cell))),
            };
        }
        let Some(column) = self.label else { return Ok(None) };
        match parse_label(&record[column], classes) {
            Some(label) => Ok(Some(label)),
            None => Err(self.error(record, column, &format!("is not a label: {} is expected", expected_label(classes)))),
        }
    }

    fn why_no_pixel(&self, record: &ByteRecord, cell: &[u8]) -> &'static str {
        let text = std::str::from_utf8(cell.trim_ascii()).unwrap_or_default();
        if self.has_header && record.iter().zip(&self.names).all(|(cell, name)| cell.trim_ascii() == name.as_bytes()) {
            return "is not a pixel: the row repeats the header";
        }
        match text.parse::<f64>() {
            Ok(value) if (0.0..=1.0).contains(&value) && whole(cell).is_none() => {
                "is not a pixel: a whole number from 0 to 255 is expected; if the table holds fractions of 1, multiply them by 255 and round them first"
            }
            Ok(value) if (0.0..=255.0).contains(&value) && whole(cell).is_none() => {
                "is not a pixel: a whole number from 0 to 255 is expected; round fractions first"
            }
            Err(_) if is_number(text) => {
                "is not a pixel: a whole number from 0 to 255 is expected; write numbers without a decimal comma"
            }
            _ => "is not a pixel: a whole number from 0 to 255 is expected",
        }
    }

    fn wrong_length(&self, record: &ByteRecord) -> CellError {
        let (found, expected) = (record.len(), self.names.len());
        let column = found.min(expected);
        let mut error = self.error(record, column, "");
        error.why = format!("the row has {found} cells, {expected} are expected");
        error
    }

    /// The error that column `column` of `record`, counted from 0, is at fault: `why` follows what the cell holds.
    pub fn error(&self, record: &ByteRecord, column: usize, why: &str) -> CellError {
        let (line, index) = record.position().map_or((0, 0), |position| (position.line(), position.record()));
        let text = record.get(column).map(excerpt_of_bytes).unwrap_or_default();
        CellError {
            row: index + u64::from(!self.has_header),
            line,
            column: column + 1,
            name: self.names.get(column).cloned().unwrap_or_default(),
            why: if text.is_empty() { format!("an empty cell {why}") } else { format!("`{text}` {why}") },
            text,
        }
    }
}

fn called(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" (`{}`)", excerpt(name)) }
}

/// A whole number from 0 to 255, however it is written, perhaps with white space around it.
fn parse_pixel(cell: &[u8]) -> Option<u8> {
    let digit = |byte: u8| byte.wrapping_sub(b'0');
    match *cell {
        [a] if digit(a) < 10 => Some(digit(a)),
        [a, b] if digit(a) < 10 && digit(b) < 10 => Some(digit(a) * 10 + digit(b)),
        [a, b, c] if digit(a) < 10 && digit(b) < 10 && digit(c) < 10 => {
            u8::try_from(u16::from(digit(a)) * 100 + u16::from(digit(b)) * 10 + u16::from(digit(c))).ok()
        }
        _ => u8::try_from(whole(cell)?).ok(),
    }
}

/// The label that a cell names: a class, or the number of one. Where names of classes are numbers, a number is such a name, however
/// it is written.
pub(in crate::data) fn parse_label(cell: &[u8], classes: &[String]) -> Option<Label> {
    let text = std::str::from_utf8(cell.trim_ascii()).ok()?;
    if let Some(index) = classes.iter().position(|class| class == text) {
        return Label::try_from(index).ok();
    }
    let number = whole(cell)?;
    if !numbers_are_names(classes) {
        return Label::try_from(number).ok().filter(|label| usize::from(*label) < classes.len());
    }
    let mut named = classes.iter().enumerate().filter(|(_, class)| whole(class.as_bytes()) == Some(number));
    match (named.next(), named.next()) {
        (Some((index, _)), None) => Label::try_from(index).ok(),
        _ => None,
    }
}

fn numbers_are_names(classes: &[String]) -> bool {
    classes.iter().any(|class| class.parse::<Label>().is_ok())
}

fn expected_label(classes: &[String]) -> String {
    if numbers_are_names(classes) && !classes.iter().enumerate().all(|(index, class)| *class == index.to_string()) {
        return "the name of a class".to_owned();
    }
    let names = if classes.iter().all(|class| is_number(class)) { "" } else { " or the name of a class" };
    format!("a number from 0 to {}{names}", classes.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::ImageShape;
    use crate::data::csv::{CsvOptions, LabelColumn, Wanted, reader};

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 1, width: 3 };

    fn classes() -> Vec<String> {
        ["Dress", "Bag", "Coat"].map(str::to_owned).to_vec()
    }

    type Row = (Option<Label>, [u8; 3]);

    /// Every image of a CSV text, or the first error.
    fn parse(text: &[u8]) -> Result<Vec<Row>, CellError> {
        let mut reader = reader(text);
        let mut record = ByteRecord::new();
        assert!(reader.read_byte_record(&mut record).unwrap());
        let options = CsvOptions::default();
        let classes = classes();
        let wanted =
            Wanted { columns: &options, shape: SHAPE, classes: &classes, label: LabelColumn::Optional, passthrough: &[] };
        let layout = CsvLayout::new(std::slice::from_ref(&record), &wanted).unwrap();
        let mut rows = Vec::new();
        let mut has_row = !layout.has_header() || reader.read_byte_record(&mut record).unwrap();
        while has_row {
            let mut pixels = [0; 3];
            let label = layout.parse_row(&record, &classes, &mut pixels)?;
            rows.push((label, pixels));
            has_row = reader.read_byte_record(&mut record).unwrap();
        }
        Ok(rows)
    }

    #[test]
    fn all_spellings_of_a_table_give_the_same_images() {
        let expected = Ok(vec![(Some(1), [0, 7, 255]), (Some(2), [10, 0, 99])]);
        for text in [
            "label,pixel1,pixel2,pixel3\n1,0,7,255\n2,10,0,99\n",
            "label,pixel1,pixel2,pixel3\r\n1,0,7,255\r\n2,10,0,99\r\n\r\n",
            "\u{feff}label,pixel1,pixel2,pixel3\n1,0,7,255\n2,10,0,99",
            "\"label\",\"pixel1\",\"pixel2\",\"pixel3\"\n\"1\",0,\"7\",255\n2,10,0,99\n\n\n",
            "\u{feff}\"label\",pixel1,pixel2,pixel3\n1,0,7,255\n2,10,0,99",
            "pixel2,label,pixel1,pixel3\n7,Bag,0,255\n0,Coat,10,99\n",
            "1,0,7,255\n2, 10 ,000,0099\n",
            "Bag,0,7,255\nCoat,10,0,99\n",
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(parse(b"pixel0,pixel1,pixel2\n0,7,255\n"), Ok(vec![(None, [0, 7, 255])]));
    }

    #[test]
    fn a_bad_cell_is_named_with_row_line_column_and_text() {
        let error = |row: &str| {
            let text = format!("label,pixel1,pixel2,pixel3\n0,1,2,3\n{row}\n");
            parse(text.as_bytes()).unwrap_err().to_string()
        };
        insta::assert_snapshot!(error("0,1,256,3"), @"row 2 (line 3), column 3 (`pixel2`): `256` is not a pixel: a whole number from 0 to 255 is expected");
        insta::assert_snapshot!(error("0,-1,2,3"), @"row 2 (line 3), column 2 (`pixel1`): `-1` is not a pixel: a whole number from 0 to 255 is expected");
        insta::assert_snapshot!(error("0,1,2,3.7"), @"row 2 (line 3), column 4 (`pixel3`): `3.7` is not a pixel: a whole number from 0 to 255 is expected; round fractions first");
        insta::assert_snapshot!(error("0,1,2,0.7"), @"row 2 (line 3), column 4 (`pixel3`): `0.7` is not a pixel: a whole number from 0 to 255 is expected; if the table holds fractions of 1, multiply them by 255 and round them first");
        insta::assert_snapshot!(error("label,pixel1,pixel2,pixel3"), @"row 2 (line 3), column 2 (`pixel1`): `pixel1` is not a pixel: the row repeats the header");
        insta::assert_snapshot!(error("0,\u{1b}[31m,2,3"), @r"row 2 (line 3), column 2 (`pixel1`): `\u{1b}[31m` is not a pixel: a whole number from 0 to 255 is expected");
        insta::assert_snapshot!(error("0,1,\"2,0\",3"), @"row 2 (line 3), column 3 (`pixel2`): `2,0` is not a pixel: a whole number from 0 to 255 is expected; write numbers without a decimal comma");
        insta::assert_snapshot!(error("0,1,,3"), @"row 2 (line 3), column 3 (`pixel2`): an empty cell is not a pixel: a whole number from 0 to 255 is expected");
        insta::assert_snapshot!(error("3,1,2,3"), @"row 2 (line 3), column 1 (`label`): `3` is not a label: a number from 0 to 2 or the name of a class is expected");
        insta::assert_snapshot!(error("Hat,1,2,3"), @"row 2 (line 3), column 1 (`label`): `Hat` is not a label: a number from 0 to 2 or the name of a class is expected");
        insta::assert_snapshot!(error("0,1,2"), @"row 2 (line 3), column 4 (`pixel3`): the row has 3 cells, 4 are expected");
        insta::assert_snapshot!(error("0,1,2,3,4"), @"row 2 (line 3), column 5: the row has 5 cells, 4 are expected");
        assert_eq!(parse(b"0,9,2,200\n0,1,2,x\n").unwrap_err().row, 2, "rows count from 1 without a header too");
    }

    #[test]
    fn numbers_that_are_class_names_mean_these_classes() {
        let classes = ["1", "7"].map(str::to_owned);
        assert_eq!(parse_label(b"7", &classes), Some(1));
        assert_eq!(parse_label(b"1", &classes), Some(0));
        assert_eq!(parse_label(b"0", &classes), None);
        assert_eq!(parse_label(b"7.0", &classes), Some(1));
        assert_eq!(parse_label(b"7", &["7.0", "07", "x"].map(str::to_owned)), None, "two names are this number");
    }

    #[test]
    fn labels_and_pixels_are_whole_numbers_however_they_are_written() {
        let text = b"label,pixel1,pixel2,pixel3\n1.0,2.36e+02,0.000e+00,12.0\n+2,007,1e1,-0.0\n";
        assert_eq!(parse(text), Ok(vec![(Some(1), [236, 0, 12]), (Some(2), [7, 10, 0])]));
    }

    proptest! {
        #[test]
        fn pixels_parse_exactly_when_they_are_bytes(text in "[ +-]?[0-9]{0,4}[. ]?") {
            let expected = text.trim().parse::<f64>().ok().filter(|value| (0.0..=255.0).contains(value)).map(|value| value as u8);
            prop_assert_eq!(parse_pixel(text.as_bytes()), expected);
        }

        #[test]
        fn rows_never_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = [b"label,pixel1,pixel2,pixel3\n".as_slice(), &text].concat();
            let _ = parse(&text);
        }
    }
}
