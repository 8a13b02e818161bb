//! Rows as text: CSV ([RFC 4180](https://www.rfc-editor.org/rfc/rfc4180), lines ending in a line feed) and
//! [JSON Lines](https://jsonlines.org).

use std::io::Write;

use super::OutputFormat;
use super::columns::{Columns, Row, Value};

const INTO_MEMORY: &str = "writing to memory does not fail";

/// What comes before the first row: the names of the columns in CSV, nothing in the other formats.
pub(super) fn header(format: OutputFormat, columns: &Columns) -> Vec<u8> {
    let mut line = Vec::new();
    if format == OutputFormat::Csv {
        write_cells(&mut line, columns.list.iter().map(|column| column.name.as_bytes()));
    }
    line
}

/// Appends the line of a row.
pub(super) fn write_row(line: &mut Vec<u8>, format: OutputFormat, columns: &Columns, row: &Row<'_>, classes: &[String]) {
    match format {
        OutputFormat::Csv => write_csv(line, columns, row, classes),
        OutputFormat::Jsonl => write_json(line, columns, row, classes),
        OutputFormat::Parquet => unreachable!("Parquet is written column by column"),
    }
}

fn write_csv(line: &mut Vec<u8>, columns: &Columns, row: &Row<'_>, classes: &[String]) {
    let start = line.len();
    for (index, column) in columns.list.iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        match row.value(column.holds, classes) {
            Value::Whole(number) => write!(line, "{number}").expect(INTO_MEMORY),
            Value::Number(number) => write_number(line, number),
            Value::Text(text) => write_cell(line, text),
            Value::Nothing => {}
        }
    }
    end_line(line, start);
}

/// Ends the line that began at `start`. A single empty cell is quoted: a blank line would be no row.
fn end_line(line: &mut Vec<u8>, start: usize) {
    line.extend_from_slice(if line.len() == start { b"\"\"\n" } else { b"\n" });
}

fn write_json(line: &mut Vec<u8>, columns: &Columns, row: &Row<'_>, classes: &[String]) {
    let mut sign = b'{';
    for column in &columns.list {
        line.push(sign);
        sign = b',';
        write_string(line, &column.name);
        line.push(b':');
        match row.value(column.holds, classes) {
            Value::Whole(number) => write!(line, "{number}").expect(INTO_MEMORY),
            // JSON has no other numbers.
            Value::Number(number) if number.is_finite() => write_number(line, number),
            Value::Text(text) => write_string(line, &String::from_utf8_lossy(text)),
            Value::Number(_) | Value::Nothing => line.extend_from_slice(b"null"),
        }
    }
    line.extend_from_slice(b"}\n");
}

fn write_string(line: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(line, text).expect(INTO_MEMORY);
}

/// Appends the shortest text that reads back as the same number. Both forms have the shortest digits; the second is short
/// for small numbers too.
fn write_number(line: &mut Vec<u8>, number: f32) {
    if number >= 1e-4 || number == 0.0 { write!(line, "{number}") } else { write!(line, "{number:e}") }.expect(INTO_MEMORY);
}

/// Appends a line of cells.
pub(super) fn write_cells<'a>(line: &mut Vec<u8>, cells: impl IntoIterator<Item = &'a [u8]>) {
    let start = line.len();
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        write_cell(line, cell);
    }
    end_line(line, start);
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
    use crate::data::csv::{Cells, CsvOptions};
    use crate::score::columns::Prediction;
    use crate::score::{OnError, OutputColumn, Settings};
    use crate::units::Count;

    fn settings(output_columns: &[OutputColumn], top_k: Option<u64>, passed: &[&str]) -> Settings {
        Settings {
            columns: CsvOptions::default(),
            passthrough: passed.iter().map(|name| (*name).to_owned()).collect(),
            format: OutputFormat::Csv,
            output_columns: output_columns.to_vec(),
            top_k: top_k.map(|count| Count::new(count).unwrap()),
            on_error: OnError::Null,
            max_errors: None,
            engine: crate::infer::Engine::Kernels,
            precision: crate::infer::Precision::Fp32,
        }
    }

    fn classes() -> Vec<String> {
        ["shirt", "shoe, \"left\"", "hat"].map(str::to_owned).to_vec()
    }

    fn line(
        format: OutputFormat,
        columns: &Columns,
        probabilities: Option<&[f32]>,
        truth: Option<u8>,
        passed: &[&[u8]],
    ) -> Vec<u8> {
        let mut cells = Cells::default();
        passed.iter().for_each(|cell| cells.push(cell));
        let mut ranks = Vec::new();
        columns.rank(probabilities.unwrap_or_default(), &mut ranks);
        let label = probabilities.map_or(0, |all| (0..all.len()).rev().max_by(|&a, &b| all[a].total_cmp(&all[b])).unwrap());
        let prediction = probabilities.map(|probabilities| Prediction { label: label as _, probabilities, ranks: &ranks });
        let row = Row { number: 7, truth, prediction, passed: &cells, first_passed: 0 };
        let mut line = Vec::new();
        write_row(&mut line, format, columns, &row, &classes());
        line
    }

    #[test]
    fn a_line_holds_the_prediction_the_truth_and_what_is_passed() {
        let columns = Columns::new(&settings(&[], None, &["a", "b"]), 3, true);
        assert_eq!(header(OutputFormat::Csv, &columns), b"label,class,confidence,p_0,p_1,p_2,true_label,a,b\n");
        let found = |format, probabilities, truth| {
            String::from_utf8(line(format, &columns, probabilities, truth, &[b"a b", b"two\nlines"])).unwrap()
        };
        let probabilities = Some(&[0.00003, 0.75, 0.0][..]);
        let expected = "1,\"shoe, \"\"left\"\"\",0.75,3e-5,0.75,0,0,a b,\"two\nlines\"\n";
        assert_eq!(found(OutputFormat::Csv, probabilities, Some(0)), expected);
        assert_eq!(found(OutputFormat::Csv, None, None), ",,,,,,,a b,\"two\nlines\"\n");
        let expected = r#"{"label":1,"class":"shoe, \"left\"","confidence":0.75,"p_0":3e-5,"p_1":0.75,"p_2":0,"true_label":0,"a":"a b","b":"two\nlines"}"#;
        assert_eq!(found(OutputFormat::Jsonl, probabilities, Some(0)).trim_end(), expected);
        let expected = r#"{"label":null,"class":null,"confidence":null,"p_0":null,"p_1":null,"p_2":null,"true_label":null,"a":"a b","b":"two\nlines"}"#;
        assert_eq!(found(OutputFormat::Jsonl, None, None).trim_end(), expected);
    }

    #[test]
    fn columns_can_be_chosen_and_the_first_classes_named() {
        let columns = Columns::new(&settings(&[OutputColumn::Probabilities, OutputColumn::Row], Some(2), &[]), 3, true);
        assert_eq!(header(OutputFormat::Csv, &columns), b"top_1,p_top_1,top_2,p_top_2,row\n");
        let found = line(OutputFormat::Csv, &columns, Some(&[0.25, 0.5, 0.25]), None, &[]);
        assert_eq!(String::from_utf8(found).unwrap(), "\"shoe, \"\"left\"\"\",0.5,shirt,0.25,7\n");
    }

    #[test]
    fn a_single_empty_cell_is_no_blank_line() {
        let columns = Columns::new(&settings(&[OutputColumn::Label], None, &[]), 3, false);
        assert_eq!(line(OutputFormat::Csv, &columns, None, None, &[]), b"\"\"\n");
    }

    proptest! {
        #[test]
        fn lines_read_back_as_they_were(
            probabilities in proptest::collection::vec(0.0_f32..=1.0, 2),
            small in 0.0_f32..1e-30,
            cells in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 3),
        ) {
            let columns = Columns::new(&settings(&[OutputColumn::Probabilities, OutputColumn::TrueLabel], None, &["a", "b", "c"]), 3, true);
            let all = [probabilities[0], probabilities[1], small];
            let passed: Vec<&[u8]> = cells.iter().map(Vec::as_slice).collect();
            let line = line(OutputFormat::Csv, &columns, Some(&all), Some(7), &passed);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_slice());
            let record = reader.byte_records().next().unwrap().unwrap();
            let number = |index: usize| std::str::from_utf8(&record[index]).unwrap().parse::<f32>().unwrap();
            prop_assert_eq!([number(0), number(1), number(2)], all);
            prop_assert_eq!(&record[3], b"7");
            prop_assert_eq!(record.iter().skip(4).collect::<Vec<_>>(), cells);
        }
    }
}
