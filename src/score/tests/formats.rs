//! Every format of predictions, read back.

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;

use super::*;

/// Scores 150 rows, one of them bad, and keeps the place of the bad one.
fn request<'a>(workshop: &'a Workshop, name: &str, format: OutputFormat) -> Request<'a> {
    let table = Rows::new(150, 1).table(true).replacen("\"row, 99\"", "x,\"row, 99\"", 1);
    let input = workshop.write("x.csv", table);
    let request = Request::new(&workshop.model, vec![input], Output::File(workshop.path(name)));
    Request { format, on_error: OnError::Null, ..with_id(request) }
}

/// The cells of the CSV file that every format is compared with.
fn cells(workshop: &Workshop, change: &dyn Fn(&mut Request<'_>)) -> (Vec<String>, Vec<Vec<String>>) {
    let mut request = request(workshop, "out.csv", OutputFormat::Csv);
    change(&mut request);
    let (text, _) = workshop.score(request).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (names, reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect())
}

type Change = Box<dyn Fn(&mut Request<'_>)>;

fn changes() -> Vec<Change> {
    use OutputColumn::{Class, Confidence, Label, Probabilities, Row, TrueLabel};
    vec![
        Box::new(|_| {}),
        Box::new(|request| request.top_k = Some(Count::new(2).unwrap())),
        Box::new(|request| request.output_columns = vec![Row, Class]),
        Box::new(|request| {
            request.output_columns = vec![Row, TrueLabel, Label, Confidence, Probabilities];
            request.top_k = Some(Count::new(4).unwrap());
            request.passthrough.clear();
            request.columns.ignore = vec!["id".to_owned()];
        }),
    ]
}

fn is_text(name: &str) -> bool {
    ["class", "id"].contains(&name) || name.starts_with("top_")
}

#[test]
fn json_lines_hold_what_csv_holds() {
    let workshop = Workshop::new();
    for change in changes() {
        let (names, rows) = cells(&workshop, &*change);
        let mut request = request(&workshop, "out.jsonl", OutputFormat::Jsonl);
        change(&mut request);
        score(request, &Silent).unwrap();
        let text = fs::read_text(&workshop.path("out.jsonl")).unwrap();
        assert_eq!(text.lines().count(), rows.len());
        for (line, row) in text.lines().zip(&rows) {
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            assert_eq!(object.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
            for ((name, value), cell) in object.iter().zip(row) {
                match value {
                    serde_json::Value::Null => assert_eq!(cell, ""),
                    serde_json::Value::String(text) => assert!(is_text(name) && text == cell, "{name}: {text} {cell}"),
                    serde_json::Value::Number(number) => {
                        assert!(!is_text(name) && number.as_f64() == cell.parse().ok(), "{name}: {number} {cell}");
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }
}

#[test]
fn parquet_holds_what_csv_holds() {
    let workshop = Workshop::new();
    for change in changes() {
        let (names, rows) = cells(&workshop, &*change);
        let mut request = request(&workshop, "out.parquet", OutputFormat::Parquet);
        change(&mut request);
        let summary = score(request, &Silent).unwrap();
        let bytes = fs::read(&workshop.path("out.parquet")).unwrap();
        assert_eq!(summary.manifest.output.digest, Digest::of_bytes(&bytes));
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let mut count = 0;
        for (found, row) in reader.get_row_iter(None).unwrap().zip(&rows) {
            count += 1;
            let found = found.unwrap();
            assert_eq!(found.get_column_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
            for ((name, field), cell) in found.get_column_iter().zip(row) {
                match field {
                    Field::Null => assert_eq!(cell, ""),
                    Field::Str(text) => assert!(is_text(name) && text == cell, "{name}: {text} {cell}"),
                    Field::Long(number) => assert_eq!(number.to_string(), *cell, "{name}"),
                    Field::Float(number) => assert_eq!(Ok(*number), cell.parse(), "{name}"),
                    other => panic!("{name}: {other}"),
                }
            }
        }
        assert_eq!(count, rows.len());
    }
}

#[test]
fn parquet_has_the_same_bytes_whatever_the_threads_and_many_row_groups() {
    let workshop = Workshop::new();
    let line = Rows::new(1, 1).table(false).lines().nth(1).unwrap().to_owned() + "\n";
    let header = Rows::new(0, 1).table(false);
    let run = |workers, block_bytes| {
        let input = workshop.write("x.csv", header.clone() + &line.repeat(20_000));
        let request = Request::new(&workshop.model, vec![input], Output::File(workshop.path("out.parquet")));
        let mut request = Request { format: OutputFormat::Parquet, ..with_id(request) };
        request.workers = Count::new(workers).unwrap();
        request.block_bytes = Count::new(block_bytes).unwrap();
        score(request, &Silent).unwrap();
        fs::read(&workshop.path("out.parquet")).unwrap()
    };
    let bytes = run(1, 1 << 20);
    assert!(run(3, 9_999) == bytes);
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    assert_eq!((reader.num_row_groups(), reader.metadata().file_metadata().num_rows()), (2, 20_000));
}

#[test]
fn cells_that_are_no_text_are_a_fault_where_the_format_holds_text_alone() {
    let workshop = Workshop::new();
    let mut table = Rows::new(3, 1).table(true).into_bytes();
    let place = table.windows(6).position(|bytes| bytes == b"row, 1").unwrap();
    table[place] = 0xff;
    let run = |format, on_error| {
        let input = workshop.write("x.csv", &table);
        score(Request { format, on_error, ..with_id(workshop.request(vec![input])) }, &Silent)
    };
    assert_eq!(run(OutputFormat::Csv, OnError::Fail).unwrap().manifest.tally.scored, 3);
    for (format, name) in [(OutputFormat::Jsonl, "JSON Lines"), (OutputFormat::Parquet, "Parquet")] {
        let error = run(format, OnError::Fail).unwrap_err().to_string();
        let expected = format!("row 2 (line 3), column 74 (`id`): `\u{fffd}ow, 1` is not UTF-8 text, and {name} holds no other");
        assert!(error.ends_with(&expected), "{error}");
        assert_eq!(run(format, OnError::Null).unwrap().manifest.tally.rejected, 1);
    }
}

#[test]
fn the_true_label_can_only_be_asked_for_where_there_is_one() {
    let workshop = Workshop::new();
    let request = with_id(workshop.request(vec![workshop.write("x.csv", Rows::new(3, 1).table(false))]));
    let error = workshop.error(Request { output_columns: vec![OutputColumn::TrueLabel], ..request });
    assert!(error.contains("label"), "{error}");
}
