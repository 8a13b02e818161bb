//! Rows that cannot be scored: what becomes of them, what is said of them, and how many there may be.

use super::*;

/// A table of 60 rows with faults of every kind, and what is wrong with them: row, column, reason.
fn table() -> (String, Vec<[&'static str; 3]>) {
    let mut lines: Vec<String> = Rows::new(60, 6).table(true).lines().map(str::to_owned).collect();
    let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let change = |line: &str, column: usize, cell: &str| {
        let mut cells = cells(line);
        cells[column] = cell.to_owned();
        cells.join(",")
    };
    lines[3] = change(&lines[3], 2, "300");
    lines[4] = change(&lines[4], 2, " 7 "); // no fault
    lines[11] = change(&lines[11], 0, "Hat");
    lines[30] = cells(&lines[30])[..40].join(",");
    lines[31] += ",1";
    lines[59] = change(&lines[59], 72, "");
    let pixel = "is not a pixel: a whole number from 0 to 255 is expected";
    let label = "is not a label: a number from 0 to 3 or the name of a class is expected";
    let faults = vec![
        ["3", "pixel2", Box::leak(format!("`300` {pixel}").into_boxed_str())],
        ["11", "label", Box::leak(format!("`Hat` {label}").into_boxed_str())],
        ["30", "pixel40", "the row has 40 cells, 74 are expected"],
        ["31", "75", "the row has 75 cells, 74 are expected"],
        ["59", "pixel72", Box::leak(format!("an empty cell {pixel}").into_boxed_str())],
    ];
    (lines.join("\n") + "\n", faults)
}

fn rejects(workshop: &Workshop) -> Vec<[String; 4]> {
    let text = fs::read(&workshop.path("rejects.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_slice());
    assert_eq!(reader.headers().unwrap(), ["file", "row", "column", "reason"].as_slice());
    reader.deserialize().map(|record| record.unwrap()).collect()
}

fn request<'a>(workshop: &'a Workshop, table: &str, on_error: OnError) -> Request<'a> {
    let input = workshop.write("x.csv", table);
    Request { on_error, rejects: Some(workshop.path("rejects.csv")), ..with_id(workshop.request(vec![input])) }
}

#[test]
fn rows_that_cannot_be_scored_are_left_out_or_empty_and_listed() {
    let workshop = Workshop::new();
    let (table, faults) = table();
    let whole = workshop.score(with_id(workshop.request(vec![workshop.write("w.csv", Rows::new(60, 6).table(true))]))).unwrap().0;
    let whole: Vec<&str> = whole.lines().collect();
    for (workers, block_bytes) in [(1, 1 << 20), (3, 1_500)] {
        for on_error in [OnError::Skip, OnError::Null] {
            let mut request = request(&workshop, &table, on_error);
            request.workers = Count::new(workers).unwrap();
            request.block_bytes = Count::new(block_bytes).unwrap();
            let (text, summary) = workshop.score(request).unwrap();
            let tally = &summary.manifest.tally;
            assert_eq!((tally.rows, tally.scored, tally.rejected), (60, 55, 5));
            assert_eq!(tally.predicted.iter().sum::<u64>(), 55);
            let found: Vec<&str> = text.lines().collect();
            let rejected = |row: usize| faults.iter().any(|[number, ..]| *number == row.to_string());
            // The pixel of row 4 was changed, so its prediction may be another one.
            let expected: Vec<String> = (0..=60)
                .filter(|&row| on_error == OnError::Null || !rejected(row))
                .map(|row| match row {
                    // Of the row of 40 cells, none is left to be passed through.
                    30 if rejected(row) => ",,,,,,,,".to_owned(),
                    31 | 3 | 11 | 59 => format!(",,,,,,,,\"row, {}\"", row - 1),
                    _ => whole[row].to_owned(),
                })
                .collect();
            assert_eq!(found.len(), expected.len());
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!(found == expected || found.ends_with("\"row, 3\""), "{on_error:?} {index}: {found}, expected {expected}");
            }
            let listed: Vec<[String; 4]> =
                faults.iter().map(|[row, column, why]| ["x.csv", row, column, why].map(str::to_owned)).collect();
            assert_eq!(rejects(&workshop), listed);
            let digest = summary.manifest.rejects.unwrap();
            assert_eq!(digest.digest, fs::digest(&workshop.path("rejects.csv")).unwrap());
            assert_eq!(digest.file.as_deref(), Some("rejects.csv"));
        }
    }
}

#[test]
fn there_may_be_so_many_such_rows_and_no_more() {
    let workshop = Workshop::new();
    let (table, _) = table();
    for most in 0..7 {
        let result = score(Request { max_errors: Some(most), ..request(&workshop, &table, OnError::Skip) }, &Silent);
        assert_eq!(result.is_ok(), most >= 5, "{most}");
        if let Err(error) = result {
            let text = error.to_string().replace(workshop.folder.path().to_str().unwrap(), "DIR");
            let row = [3, 11, 30, 31, 59][most as usize];
            let rows = if most == 1 { "row" } else { "rows" };
            let expected = format!(
                "more than {most} {rows} cannot be scored; the first too many: `DIR/x.csv`: row {row} (line {}), ",
                row + 1
            );
            assert!(text.starts_with(&expected), "{text}");
            let rejects = String::from_utf8(fs::read(&workshop.path("rejects.csv")).unwrap()).unwrap();
            assert!(rejects.lines().any(|line| line.starts_with(&format!("x.csv,{row},"))), "{rejects}");
            assert_eq!(fs::entries(workshop.folder.path()).unwrap(), ["rejects.csv", "x.csv"]);
            fs::remove(&workshop.path("rejects.csv")).unwrap();
        }
    }
}

#[test]
fn a_broken_file_is_fatal_whatever_is_to_be_done_about_rows() {
    let workshop = Workshop::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(Rows::new(60, 6).table(true).as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    for on_error in [OnError::Skip, OnError::Null] {
        let input = workshop.write("x.csv.gz", &gzip[..gzip.len() / 2]);
        let request = Request { on_error, ..with_id(workshop.request(vec![input])) };
        assert!(workshop.error(request).starts_with("cannot read `DIR/x.csv.gz`: "));
    }
}

#[test]
fn every_spelling_of_a_table_gives_the_same_predictions_and_the_true_places() {
    let workshop = Workshop::new();
    let table = Rows::new(9, 2).table(true);
    let (expected, _) = workshop.score(with_id(workshop.request(vec![workshop.write("x.csv", &table)]))).unwrap();
    let quoted: String = table.lines().map(|line| format!("\"{}\n", line.replacen(',', "\",", 1))).collect();
    for (name, text) in [
        ("CRLF", table.replace('\n', "\r\n")),
        ("CR", table.replace('\n', "\r")),
        ("blank lines", table.replace('\n', "\n\r\n\n")),
        ("byte order mark", format!("\u{feff}{table}")),
        ("quotes", quoted),
        ("no line feed at the end", table.trim_end().to_owned()),
    ] {
        for block_bytes in [64, 700, 1 << 20] {
            let mut request = with_id(workshop.request(vec![workshop.write("x.csv", &text)]));
            request.block_bytes = Count::new(block_bytes).unwrap();
            assert!(workshop.score(request).unwrap().0 == expected, "{name} {block_bytes}");
        }
    }
    fs::remove(&workshop.path("out.csv")).unwrap();
    fs::remove(&workshop.path("out.csv.manifest.json")).unwrap();
    let broken =
        table.replace("\"row, 7\"\n", "\"row\n\n7\",\n").replace('\n', "\r\n").replace("\"row, 2\"\r\n", "\"row, 2\"\r\n\r\n");
    for block_bytes in [64, 700, 1 << 20] {
        let mut request = with_id(workshop.request(vec![workshop.write("x.csv", &broken)]));
        request.block_bytes = Count::new(block_bytes).unwrap();
        let error = workshop.error(request);
        assert_eq!(
            error,
            "`DIR/x.csv`: row 8 (line 10), column 75: the row has 75 cells, 74 are expected; \
             the row goes on to line 12 (3 lines): is a quote closed too late?"
        );
    }
}

#[test]
fn options_without_meaning_are_refused() {
    let workshop = Workshop::new();
    let table = Rows::new(2, 1).table(true);
    let check = |change: &dyn Fn(&mut Request<'_>), expected: &str| {
        let mut request = with_id(workshop.request(vec![workshop.write("x.csv", &table)]));
        change(&mut request);
        let error = score(request, &Silent).unwrap_err();
        assert!(matches!(error, ScoreError::Invalid(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fs::entries(workshop.folder.path()).unwrap(), ["x.csv"]);
    };
    check(&|request| request.max_errors = Some(3), "`--rejects` and `--max-errors` have no meaning");
    check(&|request| request.top_k = Some(Count::new(5).unwrap()), "the model knows 4 classes");
    check(&|request| request.output_columns = vec![OutputColumn::Row; 2], "asked for twice");
    check(&|request| request.passthrough = vec!["p_3".to_owned()], "predictions have a column of that name");
    let parquet_shard = |request: &mut Request<'_>| {
        (request.shard, request.format) = (Some(Shard::new(1, 2).unwrap()), OutputFormat::Parquet);
    };
    check(&parquet_shard, "CSV or JSON Lines");
    let same_file = |request: &mut Request<'_>| {
        (request.on_error, request.rejects) = (OnError::Skip, Some(workshop.path("out.csv")));
    };
    check(&same_file, "are one file");
    let to_stream = |request: &mut Request<'_>| {
        (request.resume, request.output) = (true, Output::Stream(Box::new(Shared::default())));
    };
    check(&to_stream, "cannot be gone on with");
    let from_stream = |request: &mut Request<'_>| {
        (request.resume, request.inputs) = (true, vec![Input::Stream("pipe".to_owned(), Box::new(io::empty()))]);
    };
    check(&from_stream, "cannot be read again");
}

#[test]
fn a_fault_is_told_while_the_stream_goes_on() {
    /// Some bytes, and the end only much later.
    struct Slow(Cursor<Vec<u8>>, std::time::Duration);
    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            if count == 0 {
                std::thread::sleep(self.1);
            }
            Ok(count)
        }
    }
    let workshop = Workshop::new();
    let table = Rows::new(1_000, 1).table(true).replacen("\n", "\nx", 3).replacen("\nx", "\n", 2);
    let wait = std::time::Duration::from_secs(30);
    let stream = Input::Stream("a stream".to_owned(), Box::new(Slow(Cursor::new(table.into_bytes()), wait)));
    let mut request = with_id(workshop.request(vec![stream]));
    request.block_bytes = Count::new(10_000).unwrap();
    let start = std::time::Instant::now();
    let error = workshop.error(request);
    assert!(error.starts_with("a stream: row 3 (line 4), column 1 (`label`): "), "{error}");
    assert!(start.elapsed() < wait / 2, "it took {:?}", start.elapsed());
}
