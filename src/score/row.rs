//! One line of output, as bytes of CSV ([RFC 4180](https://www.rfc-editor.org/rfc/rfc4180), lines ending in a line feed).

use std::io::Write;

use crate::data::Label;
use crate::data::csv::CsvLayout;

/// The names of the classes, quoted where CSV needs it.
pub(super) struct Classes(Vec<Vec<u8>>);

impl Classes {
    pub(super) fn new(names: &[String]) -> Self {
        let quoted = |name: &String| {
            let mut cell = Vec::new();
            write_cell(&mut cell, name.as_bytes());
            cell
        };
        Self(names.iter().map(quoted).collect())
    }
}

/// The names of the columns that come before those that are passed through.
pub(super) fn own_columns(classes: usize, has_labels: bool) -> Vec<String> {
    let mut names = ["label", "class", "confidence"].map(str::to_owned).to_vec();
    names.extend((0..classes).map(|class| format!("p_{class}")));
    names.extend(has_labels.then(|| "true_label".to_owned()));
    names
}

/// The first line of the output for tables of this layout.
pub(super) fn header(classes: usize, layout: &CsvLayout) -> Vec<u8> {
    let mut line = own_columns(classes, layout.label().is_some()).join(",").into_bytes();
    for column in layout.passed() {
        line.push(b',');
        write_cell(&mut line, column.name.as_bytes());
    }
    line.push(b'\n');
    line
}

/// Appends the line of one image.
pub(super) fn write<'a>(
    line: &mut Vec<u8>,
    classes: &Classes,
    label: Label,
    probabilities: impl Iterator<Item = f32> + Clone,
    truth: Option<Label>,
    passed: impl Iterator<Item = &'a [u8]>,
) {
    const INTO_MEMORY: &str = "writing to memory does not fail";
    write!(line, "{label},").expect(INTO_MEMORY);
    line.extend_from_slice(&classes.0[usize::from(label)]);
    let confidence = probabilities.clone().nth(label.into());
    for probability in confidence.into_iter().chain(probabilities) {
        line.push(b',');
        // Both forms are the shortest digits that read back as the same number; the second is short for small ones too.
        if probability >= 1e-4 || probability == 0.0 { write!(line, "{probability}") } else { write!(line, "{probability:e}") }
            .expect(INTO_MEMORY);
    }
    if let Some(truth) = truth {
        write!(line, ",{truth}").expect(INTO_MEMORY);
    }
    for cell in passed {
        line.push(b',');
        write_cell(line, cell);
    }
    line.push(b'\n');
}

/// Appends a cell, in quotes if it holds what would end it.
fn write_cell(line: &mut Vec<u8>, cell: &[u8]) {
    if !cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        line.extend_from_slice(cell);
        return;
    }
    line.push(b'"');
    for &byte in cell {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_holds_the_prediction_the_truth_and_what_is_passed() {
        let classes = Classes::new(&["shirt".to_owned(), "shoe, \"left\"".to_owned()]);
        let mut line = Vec::new();
        let passed: [&[u8]; 2] = [b"a b", b"two\nlines"];
        write(&mut line, &classes, 1, [0.00003_f32, 0.75].into_iter(), Some(0), passed.into_iter());
        write(&mut line, &classes, 0, [1.0, 0.0].into_iter(), None, [].into_iter());
        let expected = "1,\"shoe, \"\"left\"\"\",0.75,3e-5,0.75,0,a b,\"two\nlines\"\n0,shirt,1,1,0\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn lines_read_back_as_they_were(
            probabilities in proptest::collection::vec(0.0_f32..=1.0, 2),
            small in 0.0_f32..1e-30,
            cells in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 3),
        ) {
            let classes = Classes::new(&["a".to_owned(), "b".to_owned(), "c".to_owned()]);
            let all = [probabilities[0], probabilities[1], small];
            let mut line = Vec::new();
            write(&mut line, &classes, 2, all.into_iter(), Some(7), cells.iter().map(Vec::as_slice));
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_slice());
            let record = reader.byte_records().next().unwrap().unwrap();
            let number = |index: usize| std::str::from_utf8(&record[index]).unwrap().parse::<f32>().unwrap();
            prop_assert_eq!([number(3), number(4), number(5)], all);
            prop_assert_eq!(number(2), small);
            prop_assert_eq!(&record[6], b"7");
            prop_assert_eq!(record.iter().skip(7).collect::<Vec<_>>(), cells);
        }
    }
}
