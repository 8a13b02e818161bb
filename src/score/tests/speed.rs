//! How fast tables are read and parsed, without a model.

use std::time::Instant;

use super::*;
use crate::data::ImageShape;
use crate::score::block::Block;
use crate::score::circle::Circle;
use crate::score::parse::Parser;
use crate::score::reader::Expected;

const SHAPE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

/// A table like those of Fashion-MNIST: half of the pixels are 0, the others anything.
fn table(rows: usize) -> String {
    let names: Vec<String> = (1..=784).map(|n| format!("pixel{n}")).collect();
    let mut text = format!("label,{}\n", names.join(","));
    let noise = samples::pixels(SHAPE, rows, 7);
    for (row, image) in noise.chunks(784).enumerate() {
        text += &(row % 10).to_string();
        for (column, &pixel) in image.iter().enumerate() {
            let is_garment = (7..21).contains(&(column % 28));
            text += &format!(",{}", if is_garment { pixel } else { 0 });
        }
        text.push('\n');
    }
    text
}

/// Reads and parses a file; the seconds, and the sum of all pixels, so that the work cannot be left out.
fn parse(path: &Path, workers: usize) -> (f64, u64, u64) {
    let classes: Vec<String> = (0..10).map(|class| format!("class {class}")).collect();
    let parser = Parser { classes: &classes, pixels: 784, on_error: OnError::Fail, text_for: None, lists_rejects: false };
    let columns = crate::data::csv::CsvOptions::default();
    let expected = Expected {
        columns: &columns,
        passthrough: &[],
        shape: SHAPE,
        classes: &classes,
        wording: crate::data::csv::in_yaml,
        needs_labels: true,
        block_bytes: 1 << 20,
        rows_per_batch: 64,
        rows_per_block: 1 << 14,
        shard: None,
        lengths: Vec::new(),
        progress: &Silent,
    };
    let (mut rows, mut rejected) = (0, 0);
    let start = Instant::now();
    let work = |block: &mut Block| {
        parser.parse(block);
        Ok(())
    };
    let mut sink = |block: &mut Block| {
        rows += block.parsed.images as u64;
        rejected += block.parsed.rejected.len() as u64;
        Ok(())
    };
    let circle = Circle { workers, blocks: 2 * workers + 2 };
    circle.run(vec![Input::File(path.to_owned())], expected, None, &work, &mut sink, &Silent).unwrap();
    (start.elapsed().as_secs_f64(), rows, rejected)
}

#[test]
fn a_table_like_those_of_fashion_mnist_is_plain_throughout() {
    let workshop = Workshop::new();
    workshop.write("x.csv", table(300));
    assert_eq!(
        {
            let (_, rows, rejected) = parse(&workshop.path("x.csv"), 2);
            (rows, rejected)
        },
        (300, 0)
    );
}

/// Run by hand: `cargo test --release speed_of_parsing -- --ignored --nocapture`. A table of one's own can be named in
/// `CSV`.
#[test]
#[ignore = "its result is a figure"]
#[expect(clippy::print_stderr, reason = "its result is a figure")]
fn speed_of_parsing() {
    let workshop = Workshop::new();
    let path = match std::env::var_os("CSV") {
        Some(path) => PathBuf::from(path),
        None => {
            workshop.write("x.csv", table(200_000));
            workshop.path("x.csv")
        }
    };
    let bytes = fs::stamp(&path).unwrap().bytes;
    for workers in [1, 2] {
        let mut seconds: Vec<f64> = (0..7).map(|_| parse(&path, workers).0).collect();
        seconds.sort_by(f64::total_cmp);
        let rate = bytes as f64 / 1e9 / seconds[3];
        eprintln!(
            "reader and {workers} workers: {rate:.2} GB/s of {bytes} bytes (median of 7, fastest {:.2})",
            bytes as f64 / 1e9 / seconds[0]
        );
    }
    // The share of each step on one thread.
    let text = fs::read(&path).unwrap();
    let timed = |name: &str, run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        eprintln!("{name}, one thread: {:.2} GB/s", bytes as f64 / 1e9 / start.elapsed().as_secs_f64());
    };
    timed("digest", &mut || {
        std::hint::black_box(Digest::of_bytes(&text));
    });
    let mut rows = Vec::new();
    timed("boundaries", &mut || {
        let mut at = 0;
        while let Some(range) = crate::data::csv::first_record(&text[at..]) {
            rows.push((at + range.start, at + range.end));
            at += range.end + 1;
        }
    });
    let mut record = csv::ByteRecord::new();
    crate::data::csv::reader(text.as_slice()).read_byte_record(&mut record).unwrap();
    let classes: Vec<String> = (0..10).map(|class| format!("class {class}")).collect();
    let wanted = crate::data::csv::Wanted {
        columns: &crate::data::csv::CsvOptions::default(),
        shape: SHAPE,
        classes: &classes,
        label: crate::data::csv::LabelColumn::Required,
        passthrough: &[],
    };
    let mut plain = crate::data::csv::CsvLayout::new(&[record.clone()], &wanted).unwrap().plain().unwrap();
    let (mut pixels, mut passed) = (vec![0; 784], crate::data::csv::Cells::default());
    timed("pixels", &mut || {
        for &(start, end) in &rows[1..] {
            assert!(plain.parse(&text[start..end], &classes, &mut pixels, &mut passed).is_some());
        }
    });
    timed("the `csv` crate alone", &mut || {
        let mut reader = crate::data::csv::reader(text.as_slice());
        while reader.read_byte_record(&mut record).unwrap() {}
    });
}

/// Run by hand: `cargo test --release speed_of_rejecting -- --ignored --nocapture`.
#[test]
#[ignore = "its result is a figure"]
#[expect(clippy::print_stderr, reason = "its result is a figure")]
fn speed_of_rejecting() {
    let workshop = Workshop::new();
    let header = Rows::new(1, 1).table(true);
    let good = header.lines().nth(1).unwrap().to_owned() + "\n";
    let header = header.lines().next().unwrap().to_owned() + "\n";
    for (name, bad) in [("x", "x\n"), ("1,2,3", "1,2,3\n"), ("quoted", "\"a\",b\n"), ("mixed", "x\n\"y\",1\n")] {
        let lines = bad.lines().count();
        let rows = 2_000_000 / lines;
        workshop.write("x.csv", format!("{header}{good}{}", bad.repeat(rows)));
        for format in [OutputFormat::Csv, OutputFormat::Jsonl, OutputFormat::Parquet] {
            for (on_error, rejects) in [(OnError::Skip, false), (OnError::Skip, true), (OnError::Null, true)] {
                let mut request = with_id(workshop.request(vec![Input::File(workshop.path("x.csv"))]));
                (request.format, request.on_error) = (format, on_error);
                request.rejects = rejects.then(|| workshop.path("r.csv"));
                let summary = score(request, &Silent).unwrap();
                let rate = summary.manifest.tally.rejected as f64 / summary.seconds / 1e6;
                eprintln!("{name}, {format:?}, {on_error:?}, listed: {rejects}: {rate:.2} million rejected rows a second");
            }
        }
    }
}
