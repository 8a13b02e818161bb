//! Rows over several lines, quotes that are not closed, and runs in which nothing could be scored.

use super::*;
use crate::score::block::Block;
use crate::score::circle::Circle;
use crate::score::parse::Parser;
use crate::score::reader::Expected;
use crate::score::run::rows_per_block;

/// Hears what a run says.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn begin(&self, _what: &str, _total: u64, _unit: &str) {}
    fn advance(&self, _done: u64, _message: &str) {}
    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(format!("note: {line}"));
    }
    fn warn(&self, line: &str) {
        self.0.lock().unwrap().push(format!("warning: {line}"));
    }
    fn interrupted(&self) -> bool {
        false
    }
}

/// Sixty rows; a quote before the label of row 4, and one before that of `closed`, if it is closed.
fn table(closed: Option<usize>) -> String {
    let mut lines: Vec<String> =
        Rows::new(60, 6).table(true).replace('"', "").lines().map(|line| line.replace("row, ", "")).collect();
    for row in [Some(4), closed].into_iter().flatten() {
        lines[row] = format!("\"{}", lines[row]);
    }
    lines.join("\n") + "\n"
}

fn run(
    workshop: &Workshop,
    table: &str,
    change: impl FnOnce(&mut Request<'_>),
) -> (Result<ScoreSummary, ScoreError>, Vec<String>) {
    let input = workshop.write("x.csv", table);
    let mut request = with_id(workshop.request(vec![input]));
    (request.on_error, request.rejects) = (OnError::Skip, Some(workshop.path("r.csv")));
    change(&mut request);
    let heard = Heard::default();
    let result = score(request, &heard);
    let said = heard.0.into_inner().unwrap();
    (result, said.iter().map(|line| line.replace(workshop.folder.path().to_str().unwrap(), "DIR")).collect())
}

#[test]
fn a_rejected_row_over_many_lines_is_told_with_its_extent() {
    let workshop = Workshop::new();
    for block_bytes in [300, 5_000, 1 << 20] {
        let (result, said) = run(&workshop, &table(Some(40)), |request| request.block_bytes = Count::new(block_bytes).unwrap());
        let tally = result.unwrap().manifest.tally;
        // Row 4 goes on to line 41, where the second quote stands.
        assert_eq!((tally.rows, tally.scored, tally.rejected, tally.rejected_lines), (24, 23, 1, 37));
        let expected =
            "warning: `DIR/x.csv`: one row was rejected, and it has 37 lines: row 4, lines 5 to 41; is a quote not closed?";
        assert_eq!(said, [expected], "{block_bytes}");
        let rejects = fs::read_text(&workshop.path("r.csv")).unwrap();
        assert!(rejects.contains("the row goes on to line 41 (37 lines): is a quote closed too late?"), "{rejects}");
        let manifest = fs::read_text(&workshop.path("out.csv.manifest.json")).unwrap();
        assert!(manifest.contains("\"rejected_lines\": 37"), "{manifest}");
    }
    let (result, _) = run(&workshop, &table(Some(40)), |request| (request.on_error, request.rejects) = (OnError::Fail, None));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("row 4 (line 5)") && error.contains("goes on to line 41"), "{error}");
}

#[test]
fn a_quote_that_is_never_closed_is_a_fault_of_its_row_even_if_the_cells_are_as_many() {
    let workshop = Workshop::new();
    let mut text = table(None).replace('"', "");
    let last_cell = text.lines().nth(57).unwrap().rfind(',').unwrap();
    let start: usize = text.lines().take(57).map(|line| line.len() + 1).sum();
    text.insert(start + last_cell + 1, '"'); // the passed cell of row 57 takes all that follows
    for block_bytes in [300, 1 << 20] {
        let (result, said) = run(&workshop, &text, |request| request.block_bytes = Count::new(block_bytes).unwrap());
        let tally = result.unwrap().manifest.tally;
        assert_eq!((tally.scored, tally.rejected, tally.rejected_lines), (56, 1, 4));
        assert!(said[0].contains("it has 4 lines: row 57, lines 58 to 61"), "{said:?}");
        let rejects = fs::read_text(&workshop.path("r.csv")).unwrap();
        assert!(rejects.contains("a quote in it is never closed: it goes on to the end of the table, line 61"), "{rejects}");
    }
    let (result, _) = run(&workshop, &format!("\"{}", table(None).replace('"', "")), |_| {});
    assert!(result.unwrap_err().to_string().contains("its first row has a quote that is never closed"));
}

#[test]
fn rows_with_line_breaks_that_are_kept_are_told_too() {
    let workshop = Workshop::new();
    let text = Rows::new(9, 1).table(true).replace("row, 2", "row\n2").replace("row, 5", "row\n\n5");
    let (result, said) = run(&workshop, &text, |_| {});
    assert_eq!(result.unwrap().manifest.tally.scored, 9);
    assert_eq!(said, ["note: 2 rows have line breaks within quotes (the first: `DIR/x.csv`, row 3, lines 4 to 5)"]);
}

#[test]
fn many_rejected_rows_over_several_lines_are_told_in_few_words() {
    let workshop = Workshop::new();
    let text = Rows::new(60, 1).table(true).replace("\"row, ", "1,\"row\n").replacen("1,\"row\n", "\"row\n", 1);
    for block_bytes in [300, 1_000, 1 << 20] {
        let (result, said) = run(&workshop, &text, |request| request.block_bytes = Count::new(block_bytes).unwrap());
        assert_eq!(result.unwrap().manifest.tally.rejected_lines, 118);
        assert_eq!(said.len(), 5 + 1 + 1, "{said:?}");
        assert!(said[4].contains("row 6, lines 12 to 13"), "{said:?}");
        assert_eq!(said[5], "warning: 59 rejected rows have 118 lines together");
    }
}

#[test]
fn many_rejected_rows_over_several_lines_take_no_more_time_than_on_one_line() {
    let workshop = Workshop::new();
    let seconds = |end: &str| {
        let row = format!("{}{end}\n", "1,".repeat(40));
        let text = Rows::new(1, 1).table(true) + &row.repeat(60_000);
        let start = std::time::Instant::now();
        let (result, _) = run(&workshop, &text, |request| request.rejects = None);
        assert_eq!(result.unwrap().manifest.tally.rejected, 60_000);
        start.elapsed().as_secs_f64()
    };
    let (spanning, plain) = (seconds("\"\n\""), seconds("\"n\""));
    assert!(spanning < 10.0 * plain + 1.0, "{spanning} s, and {plain} s without line feeds");
}

#[test]
fn a_run_that_scores_no_row_of_some_fails() {
    let workshop = Workshop::new();
    let text: String = Rows::new(60, 1)
        .table(true)
        .lines()
        .enumerate()
        .map(|(row, line)| if row == 0 { format!("{line}\n") } else { format!("{line},x\n") })
        .collect();
    for (format, on_error) in [
        (OutputFormat::Csv, OnError::Skip),
        (OutputFormat::Csv, OnError::Null),
        (OutputFormat::Jsonl, OnError::Skip),
        (OutputFormat::Parquet, OnError::Null),
    ] {
        let (result, _) = run(&workshop, &text, |request| (request.format, request.on_error) = (format, on_error));
        let error = result.unwrap_err();
        assert!(matches!(error, ScoreError::Failed(_)), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("none of the 60 rows could be scored; the first: `"), "{text}");
        assert!(text.contains("row 1 (line 2), column 75: the row has 75 cells, 74 are expected"), "{text}");
        assert_eq!(fs::entries(workshop.folder.path()).unwrap(), ["r.csv", "x.csv"], "the list says what to mend");
        assert_eq!(fs::read_text(&workshop.path("r.csv")).unwrap().lines().count(), 61);
    }
    // A shard may come upon bad rows alone; all of them together may not.
    for index in 1..=2 {
        let (result, said) = run(&workshop, &text, |request| {
            request.shard = Some(Shard::new(index, 2).unwrap());
            request.output = Output::File(workshop.path(&format!("s{index}.csv")));
            request.rejects = None;
        });
        result.unwrap();
        let expected = ["warning: none of the rows of this shard could be scored"];
        assert_eq!(said, &expected[..usize::from(index == 1)]);
    }
    let shards = [workshop.path("s1.csv"), workshop.path("s2.csv")];
    let error = merge_shards(&shards, &workshop.path("all.csv"), None, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "none of the 60 rows of all shards could be scored");
}

#[test]
fn a_table_of_bad_rows_needs_no_more_memory_than_one_of_good_rows() {
    let workshop = Workshop::new();
    let header = Rows::new(0, 1).table(true);
    let input = workshop.write("x.csv", header + &"x\n".repeat(500_000));
    let classes = samples::metadata("net").classes;
    let shape = workshop.model.interface().image;
    let parser =
        Parser { classes: &classes, pixels: shape.pixels(), on_error: OnError::Null, text_for: None, lists_rejects: true };
    let passed = ["id".to_owned()];
    let columns = crate::data::csv::CsvOptions::default();
    let expected = Expected {
        columns: &columns,
        passthrough: &passed,
        shape,
        classes: &classes,
        wording: crate::data::csv::in_yaml,
        needs_labels: true,
        block_bytes: 1 << 20,
        rows_per_batch: 64,
        rows_per_block: rows_per_block(1 << 20, 64),
        shard: None,
        lengths: Vec::new(),
        progress: &Silent,
    };
    let work = |block: &mut Block| {
        parser.parse(block);
        Ok(())
    };
    let (mut most, mut rejected) = (0, 0);
    let mut sink = |block: &mut Block| {
        rejected += block.parsed.rejected.len();
        most = most.max(block.memory());
        Ok(())
    };
    let circle = Circle { workers: 2, blocks: 6 };
    circle.run(vec![input], expected, None, &work, &mut sink, &Silent).unwrap();
    assert_eq!(rejected, 500_000);
    assert!(most < 6 << 20, "a block of 1 MiB holds {most} bytes");
}
