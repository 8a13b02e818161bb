//! Scoring from end to end, with a small model and tables made here.
#![cfg(test)]

use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

mod faults;
mod formats;
mod places;
mod resume;
mod shards;
mod spans;
mod speed;
mod steady;

use super::*;
use crate::data::Label;
use crate::data::pattern::Pattern;
use crate::digest::Digest;
use crate::fs;
use crate::infer::{Loaded, Precision, Predictions};
use crate::onnx::{encode, samples};
use crate::progress::{Progress, Silent};
use crate::units::{BatchSize, Count};

/// A model of four classes for images of 1×9×8, and a folder for tables.
struct Workshop {
    model: Loaded,
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        Self::with_weights(4)
    }

    fn with_weights(seed: u64) -> Self {
        let layers = r#"[{"conv": {"filters": 2}}, {"relu": {}}, {"global_avg_pool": {}}, {"dense": {"units": 4}}]"#;
        let mut architecture = samples::architecture(1, layers);
        architecture.normalisation.deviation = vec![0.05];
        let model = samples::model("net", &architecture, &samples::weights(&architecture, seed));
        Self { model: Loaded::from_bytes(&encode(&model)).unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Input {
        fs::write(&self.path(name), bytes).unwrap();
        Input::File(self.path(name))
    }

    fn request(&self, inputs: Vec<Input>) -> Request<'_> {
        Request::new(&self.model, inputs, Output::File(self.path("out.csv")))
    }

    /// Scores into `out.csv` and returns its text.
    fn score(&self, request: Request<'_>) -> Result<(String, ScoreSummary), ScoreError> {
        let summary = score(request, &Silent)?;
        Ok((fs::read_text(&self.path("out.csv")).unwrap(), summary))
    }

    /// The error of a request, which leaves no file of output.
    fn error(&self, request: Request<'_>) -> String {
        let error = score(request, &Silent).unwrap_err().to_string();
        assert!(!self.path("out.csv").exists() && !self.path("out.csv.manifest.json").exists(), "{error}");
        assert!(
            !fs::entries(self.folder.path()).unwrap().iter().any(|name| name.contains(".partial") || name.contains(".journal")),
            "{error}"
        );
        error.replace(self.folder.path().to_str().unwrap(), "DIR")
    }

    fn predict(&self, rows: &Rows) -> Predictions {
        self.model.ready(None, Precision::Fp32).unwrap().predict(&rows.pixels).unwrap()
    }
}

/// Some random images with labels.
struct Rows {
    pixels: Vec<u8>,
    labels: Vec<Label>,
}

const PIXELS: usize = 72;

impl Rows {
    fn new(count: usize, seed: u64) -> Self {
        let shape = crate::data::ImageShape { channels: 1, height: 9, width: 8 };
        Self { pixels: samples::pixels(shape, count, seed), labels: (0..count).map(|row| (row % 4) as Label).collect() }
    }

    /// A table with the columns label (if asked for), pixels, and `id`.
    fn table(&self, with_labels: bool) -> String {
        let pixels: Vec<String> = (1..=PIXELS).map(|n| format!("pixel{n}")).collect();
        let mut text = format!("{}{},id\n", if with_labels { "label," } else { "" }, pixels.join(","));
        for (row, image) in self.pixels.chunks(PIXELS).enumerate() {
            if with_labels {
                text += &format!("{},", self.labels[row]);
            }
            let cells: Vec<String> = image.iter().map(u8::to_string).collect();
            text += &format!("{},\"row, {row}\"\n", cells.join(","));
        }
        text
    }
}

fn with_id(mut request: Request<'_>) -> Request<'_> {
    request.passthrough = vec!["id".to_owned()];
    request
}

#[test]
fn every_row_is_scored_in_order_with_its_label_and_what_is_passed() {
    let workshop = Workshop::new();
    let rows = Rows::new(150, 1);
    let found = workshop.predict(&rows);
    for with_labels in [true, false] {
        let input = workshop.write("x.csv", rows.table(with_labels));
        let (text, summary) = workshop.score(with_id(workshop.request(vec![input]))).unwrap();
        let mut lines = text.lines();
        let truth = if with_labels { ",true_label" } else { "" };
        assert_eq!(lines.next().unwrap(), format!("label,class,confidence,p_0,p_1,p_2,p_3{truth},id"));
        for (row, (line, label)) in lines.by_ref().zip(&found.labels).enumerate() {
            let record =
                csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes()).records().next().unwrap().unwrap();
            let numbers: Vec<f32> = record.iter().skip(2).take(5).map(|cell| cell.parse().unwrap()).collect();
            let expected = found.probabilities.row(row).to_vec();
            assert_eq!(record[0], label.to_string());
            assert_eq!(record[1], samples::metadata("net").classes[usize::from(*label)]);
            assert_eq!((numbers[0], &numbers[1..]), (expected[usize::from(*label)], &expected[..]));
            assert_eq!(record.iter().next_back().unwrap(), format!("row, {row}"));
            if with_labels {
                assert_eq!(record[7], rows.labels[row].to_string());
            }
        }
        let correct = found.labels.iter().zip(&rows.labels).filter(|(a, b)| a == b).count();
        assert!((1..150).contains(&correct), "the sample must hold right and wrong rows, not {correct}");
        assert_eq!(summary.manifest.accuracy, with_labels.then_some(correct as f64 / 150.0));
        assert_eq!(text.lines().count(), 151);
        let counts = (0..4).map(|class| found.labels.iter().filter(|&&label| label == class).count() as u64);
        assert_eq!(summary.manifest.tally.predicted, counts.collect::<Vec<_>>());
    }
}

#[test]
fn threads_batches_and_queues_do_not_change_a_byte() {
    let workshop = Workshop::new();
    let rows = Rows::new(97, 2);
    let run = |workers, rows_per_batch, block_bytes, blocks| {
        let mut request = with_id(workshop.request(vec![workshop.write("x.csv", rows.table(true))]));
        request.workers = Count::new(workers).unwrap();
        request.rows_per_batch = BatchSize::new(rows_per_batch).unwrap();
        request.block_bytes = Count::new(block_bytes).unwrap();
        request.blocks = Count::new(blocks).unwrap();
        let (text, summary) = workshop.score(request).unwrap();
        (text, summary.manifest, fs::read_text(&workshop.path("out.csv.manifest.json")).unwrap())
    };
    let expected = run(1, 97, 1 << 20, 1);
    for (workers, rows_per_batch, block_bytes, blocks) in
        [(1, 1, 1, 1), (4, 1, 300, 1), (4, 1, 1_000, 3), (5, 3, 2_000, 2), (2, 97, 5_000, 9), (3, 1000, 4_000, 2)]
    {
        assert!(
            run(workers, rows_per_batch, block_bytes, blocks) == expected,
            "{workers} {rows_per_batch} {block_bytes} {blocks}"
        );
    }
}

#[test]
fn the_manifest_accounts_for_everything() {
    let workshop = Workshop::new();
    let inputs = vec![workshop.write("a.csv", Rows::new(3, 1).table(true)), workshop.write("b.csv", Rows::new(2, 2).table(true))];
    let (text, summary) = workshop.score(with_id(workshop.request(inputs))).unwrap();
    let manifest: Manifest = fs::read_json(&workshop.path("out.csv.manifest.json")).unwrap();
    assert_eq!(manifest, summary.manifest);
    assert_eq!(manifest.model, ModelRecord { name: "net".to_owned(), digest: workshop.model.digest() });
    let input = |file: &str, rows| InputRecord { file: file.to_owned(), rows, digest: fs::digest(&workshop.path(file)).unwrap() };
    assert_eq!(manifest.inputs, [input("a.csv", 3), input("b.csv", 2)]);
    assert_eq!(manifest.output, OutputRecord { file: Some("out.csv".to_owned()), digest: Digest::of_bytes(text.as_bytes()) });
    let tally = &manifest.tally;
    assert_eq!((tally.rows, tally.scored, tally.rejected, tally.predicted.iter().sum::<u64>()), (5, 5, 0, 5));
    assert_eq!((manifest.classes, manifest.options.passthrough), (samples::metadata("net").classes, vec!["id".to_owned()]));
    assert!(summary.rows_per_second() > 0.0);
}

#[test]
fn compressed_files_and_streams_give_what_plain_files_give() {
    let workshop = Workshop::new();
    let table = Rows::new(70, 3).table(true);
    let (expected, _) = workshop.score(with_id(workshop.request(vec![workshop.write("x.csv", &table)]))).unwrap();

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(table.as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    let zstandard = ruzstd::encoding::compress_to_vec(table.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    for (name, bytes) in [("x.csv.gz", &gzip), ("x.csv.zst", &zstandard)] {
        let (text, summary) = workshop.score(with_id(workshop.request(vec![workshop.write(name, bytes)]))).unwrap();
        assert_eq!(text, expected, "{name}");
        assert_eq!(summary.manifest.inputs[0].digest, Digest::of_bytes(bytes), "{name}");
    }
    let stream = Input::Stream("standard input".to_owned(), Box::new(Cursor::new(gzip.clone())));
    let written = Shared::default();
    let request = Request::new(&workshop.model, vec![stream], Output::Stream(Box::new(written.clone())));
    let summary = score(with_id(request), &Silent).unwrap();
    assert_eq!(String::from_utf8(written.0.lock().unwrap().clone()).unwrap(), expected);
    assert_eq!((summary.manifest.inputs[0].rows, summary.manifest.output.file), (70, None));

    fs::remove(&workshop.path("out.csv")).unwrap();
    fs::remove(&workshop.path("out.csv.manifest.json")).unwrap();
    let cut = workshop.write("cut.csv.gz", &gzip[..gzip.len() - 20]);
    let error = workshop.error(with_id(workshop.request(vec![cut])));
    assert!(error.starts_with("cannot read `DIR/cut.csv.gz`: "), "{error}");
}

#[test]
fn tables_may_differ_in_order_of_columns_but_not_in_having_labels() {
    let workshop = Workshop::new();
    let rows = Rows::new(4, 5);
    let turned: String = rows
        .table(true)
        .lines()
        .map(|line| {
            let (label, rest) = line.split_once(',').unwrap();
            let (pixels, id) = rest.split_at(rest.find(",id").or(rest.find(",\"")).unwrap());
            format!("{},{pixels},{label}\n", &id[1..])
        })
        .collect();
    let inputs = vec![workshop.write("a.csv", rows.table(true)), workshop.write("b.csv", turned)];
    let (text, _) = workshop.score(with_id(workshop.request(inputs))).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1..5], lines[5..9]);

    fs::remove(&workshop.path("out.csv")).unwrap();
    fs::remove(&workshop.path("out.csv.manifest.json")).unwrap();
    let inputs = vec![workshop.write("a.csv", rows.table(true)), workshop.write("b.csv", rows.table(false))];
    let error = workshop.error(with_id(workshop.request(inputs)));
    assert_eq!(error, "`DIR/b.csv` has no label column, but `DIR/a.csv` has a label column; score them one by one");
}

#[test]
fn the_first_fault_is_named_by_file_row_and_column_whatever_the_threads() {
    let workshop = Workshop::new();
    let mut lines: Vec<String> = Rows::new(50, 6).table(true).lines().map(str::to_owned).collect();
    lines[21] = lines[1].replacen(',', ",x", 1); // row 21: the first pixel
    lines[41] = lines[1].replacen(',', ",y", 1); // row 41, which is not to be named
    let first = lines[1].split(',').nth(1).unwrap().to_owned();
    for (workers, rows_per_batch) in [(1, 64), (4, 1), (3, 7)] {
        let good = workshop.write("a.csv", Rows::new(9, 1).table(true));
        let bad = workshop.write("b.csv", lines.join("\n"));
        let mut request = with_id(workshop.request(vec![good, bad]));
        request.workers = Count::new(workers).unwrap();
        request.rows_per_batch = BatchSize::new(rows_per_batch).unwrap();
        request.block_bytes = Count::new(1_000 * rows_per_batch).unwrap();
        let expected = format!(
            "`DIR/b.csv`: row 21 (line 22), column 2 (`pixel1`): `x{first}` is not a pixel: a whole number from 0 to 255 is expected"
        );
        assert_eq!(workshop.error(request), expected);
    }
}

#[test]
fn what_cannot_be_scored_is_named() {
    let workshop = Workshop::new();
    let table = Rows::new(2, 1).table(true);
    let check = |inputs: Vec<Input>, passthrough: &[&str], expected: &str| {
        let mut request = workshop.request(inputs);
        request.passthrough = passthrough.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(workshop.error(request), expected);
    };
    check(vec![workshop.write("x.csv", "")], &[], "`DIR/x.csv` is empty");
    let missing = format!("{:#}", fs::open(Path::new("DIR/none.csv")).unwrap_err());
    check(vec![Input::File(workshop.path("none.csv"))], &[], &missing);
    let unknown = r#"`DIR/x.csv`: `shop` is neither the label nor a pixel; to pass over what is neither, set `columns: { ignore: ["shop"] }`"#;
    check(vec![workshop.write("x.csv", table.replacen(",id\n", ",shop\n", 1))], &[], unknown);
    check(vec![workshop.write("x.csv", &table)], &["id", "shop"], "`DIR/x.csv`: there is no column `shop` to pass through");
    let taken = "the column `class` cannot be passed through: predictions have a column of that name; leave it out, or ask for \
                 other columns of the output";
    check(vec![workshop.write("x.csv", &table)], &["class"], taken);
    let twice = "the column `id` is to be passed through twice; name each once";
    check(vec![workshop.write("x.csv", &table)], &["id", "id"], twice);
    check(vec![], &[], "there is nothing to score");
}

#[test]
fn a_table_without_rows_gives_a_header() {
    let workshop = Workshop::new();
    let (text, summary) =
        workshop.score(with_id(workshop.request(vec![workshop.write("x.csv", Rows::new(0, 1).table(true))]))).unwrap();
    assert_eq!(text, "label,class,confidence,p_0,p_1,p_2,p_3,true_label,id\n");
    assert_eq!((summary.manifest.tally.rows, summary.manifest.accuracy), (0, None));
}

#[test]
fn memory_is_bounded_by_the_batches_and_not_by_the_table() {
    const ROWS: usize = 20_000;
    let workshop = Workshop::new();
    let line = Rows::new(1, 1).table(false).lines().nth(1).unwrap().split(",\"").next().unwrap().to_owned() + "\n";
    let (given, taken, lead) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let source = Endless { line: line.clone().into_bytes(), rows: ROWS, left: Vec::new(), given: Arc::clone(&given) };
    let target = Counting { given, taken: Arc::clone(&taken), lead: Arc::clone(&lead), row: line.len() };
    let stream = Input::Stream("a long stream".to_owned(), Box::new(source));
    let mut request = Request::new(&workshop.model, vec![stream], Output::Stream(Box::new(target)));
    request.rows_per_batch = BatchSize::new(8).unwrap();
    request.block_bytes = Count::new(4_000).unwrap();
    request.blocks = Count::new(5).unwrap();
    request.workers = Count::new(3).unwrap();
    let summary = score(request, &Silent).unwrap();
    assert_eq!((summary.manifest.tally.rows, taken.load(Ordering::SeqCst)), (ROWS as u64, ROWS + 1));
    // The reader's own buffer, and the blocks.
    let bound = (1 << 16) + 5 * 4_000 + 4_000 + line.len();
    let lead = lead.load(Ordering::SeqCst);
    assert!(lead <= bound && ROWS * line.len() > 5 * bound, "{lead} bytes were read ahead; {bound} are allowed");
}

#[test]
fn a_wish_to_stop_is_heard_and_leaves_what_can_be_gone_on_with() {
    struct Impatient(AtomicBool);
    impl Progress for Impatient {
        fn begin(&self, _what: &str, _total: u64, _unit: &str) {}
        fn advance(&self, _done: u64, _message: &str) {
            self.0.store(true, Ordering::SeqCst);
        }
        fn note(&self, _line: &str) {}
        fn warn(&self, _line: &str) {}
        fn interrupted(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }
    let workshop = Workshop::new();
    let request = |resume| {
        let input = workshop.write("x.csv", Rows::new(9_000, 1).table(true));
        Request { resume, ..with_id(workshop.request(vec![input])) }
    };
    let error = score(request(false), &Impatient(AtomicBool::new(false))).unwrap_err();
    assert!(matches!(error, ScoreError::Interrupted(_)), "{error}");
    assert_eq!(fs::entries(workshop.folder.path()).unwrap(), ["out.csv.journal", "out.csv.partial", "x.csv"]);
    let (text, summary) = workshop.score(request(true)).unwrap();
    assert!(summary.resumed > 0);
    let (expected, _) = workshop.score(request(false)).unwrap();
    assert!(text == expected);
    assert_eq!(fs::entries(workshop.folder.path()).unwrap(), ["out.csv", "out.csv.manifest.json", "x.csv"]);
}

#[test]
fn a_stream_that_cannot_be_written_is_an_error() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let workshop = Workshop::new();
    let input = workshop.write("x.csv", Rows::new(500, 1).table(true));
    let request = with_id(Request::new(&workshop.model, vec![input], Output::Stream(Box::new(Closed))));
    let ScoreError::Failed(error) = score(request, &Silent).unwrap_err() else { panic!("it failed") };
    assert!(format!("{error:#}").starts_with("cannot write the predictions: "), "{error:#}");
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    assert_eq!(kind, Some(io::ErrorKind::BrokenPipe), "so that the command line can tell");
}

#[test]
fn patterns_name_files_and_the_standard_input() {
    let workshop = Workshop::new();
    for name in ["x10.csv", "x2.csv"] {
        workshop.write(name, "");
    }
    let patterns: Vec<Pattern> = ["x*.csv", "-"].iter().map(|text| text.parse().unwrap()).collect();
    let inputs = Input::resolve(&patterns, workshop.folder.path()).unwrap();
    let names: Vec<String> =
        inputs.iter().map(|input| input.to_string().replace(workshop.folder.path().to_str().unwrap(), "DIR")).collect();
    assert_eq!(names, ["`DIR/x2.csv`", "`DIR/x10.csv`", "standard input"]);
    let error = Input::resolve(&["y*.csv".parse().unwrap()], workshop.folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("nothing matches `"), "{error}");
}

/// A stream whose bytes can be looked at from outside.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same row many times.
struct Endless {
    line: Vec<u8>,
    rows: usize,
    left: Vec<u8>,
    given: Arc<AtomicUsize>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() && self.rows > 0 {
            self.rows -= 1;
            self.left.clone_from(&self.line);
        }
        let count = self.left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.left[..count]);
        self.left.drain(..count);
        self.given.fetch_add(count, Ordering::SeqCst);
        Ok(count)
    }
}

/// Counts the lines it is given, and how far the reading end is ahead.
struct Counting {
    given: Arc<AtomicUsize>,
    taken: Arc<AtomicUsize>,
    lead: Arc<AtomicUsize>,
    row: usize,
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.taken.load(Ordering::SeqCst).saturating_sub(1) * self.row;
        self.lead.fetch_max(self.given.load(Ordering::SeqCst) - written, Ordering::SeqCst);
        self.taken.fetch_add(bytes.iter().filter(|&&byte| byte == b'\n').count(), Ordering::SeqCst);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
