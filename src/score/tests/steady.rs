//! Tables that change while they are read.

use super::*;

/// Changes a file when the run has come so far.
struct Meddler<F> {
    change: F,
    after: AtomicUsize,
    said: Mutex<Vec<String>>,
}

impl<F: Fn() + Sync> Progress for Meddler<F> {
    fn begin(&self, _what: &str, _total: u64, _unit: &str) {}
    fn advance(&self, _done: u64, _message: &str) {
        if self.after.fetch_sub(1, Ordering::SeqCst) == 1 {
            (self.change)();
        }
    }
    fn note(&self, _line: &str) {}
    fn warn(&self, line: &str) {
        self.said.lock().unwrap().push(line.to_owned());
    }
    fn interrupted(&self) -> bool {
        false
    }
}

fn open(path: &Path) -> std::fs::File {
    std::fs::OpenOptions::new().append(true).open(path).unwrap()
}

/// Scores `x.csv` of 3,000 rows, in small blocks, while `change` is done to it.
fn run(
    workshop: &Workshop,
    table: impl AsRef<[u8]>,
    change: impl Fn(&Path) + Sync,
    more: impl FnOnce(&mut Request<'_>),
) -> (Result<ScoreSummary, ScoreError>, Vec<String>) {
    let mut request = with_id(workshop.request(vec![workshop.write("x.csv", table)]));
    request.block_bytes = Count::new(10_000).unwrap();
    request.blocks = Count::new(3).unwrap();
    more(&mut request);
    let path = workshop.path("x.csv");
    let meddler = Meddler { change: || change(&path), after: AtomicUsize::new(5), said: Mutex::default() };
    let result = score(request, &meddler);
    let said = meddler.said.into_inner().unwrap();
    (result, said.iter().map(|line| line.replace(workshop.folder.path().to_str().unwrap(), "DIR")).collect())
}

#[test]
fn a_table_that_shrinks_while_it_is_read_is_an_error() {
    let workshop = Workshop::new();
    let table = Rows::new(3_000, 1).table(true);
    let half = table[..table.len() / 2].rfind('\n').unwrap() as u64 + 1;
    for shard in [None, Some(Shard::new(1, 2).unwrap())] {
        let (result, _) = run(&workshop, &table, |path| open(path).set_len(half).unwrap(), |request| request.shard = shard);
        let error = result.unwrap_err().to_string();
        let expected = format!("it has become shorter while it was read: it had {} bytes, and ends after {half}", table.len());
        assert!(error.contains(&expected) && error.contains("x.csv"), "{error}");
        assert!(!workshop.path("out.csv").exists());
        fs::remove(&workshop.path("out.csv.partial")).unwrap();
        fs::remove(&workshop.path("out.csv.journal")).unwrap();
    }
}

#[test]
fn of_several_tables_each_must_be_what_it_was_when_the_run_began() {
    let workshop = Workshop::new();
    let table = Rows::new(300, 1).table(true);
    workshop.write("y.csv", &table);
    let later = workshop.path("y.csv");
    let half = table[..table.len() / 2].rfind('\n').unwrap() as u64 + 1;
    let (result, _) = run(
        &workshop,
        Rows::new(3_000, 1).table(true),
        |_| open(&later).set_len(half).unwrap(),
        |request| request.inputs.push(Input::File(later.clone())),
    );
    let error = result.unwrap_err().to_string();
    assert!(error.contains("y.csv") && error.contains("it has become shorter"), "{error}");
}

#[test]
fn a_table_that_grows_while_it_is_read_is_read_to_the_length_that_it_had() {
    let workshop = Workshop::new();
    let table = Rows::new(3_000, 1).table(true);
    let (expected, _) = workshop.score(with_id(workshop.request(vec![workshop.write("x.csv", &table)]))).unwrap();
    let more = table.lines().nth(1).unwrap().to_owned() + "\n";
    let append = |path: &Path, text: &str| open(path).write_all(text.as_bytes()).unwrap();

    let (result, said) = run(&workshop, &table, |path| append(path, &more), |_| {});
    assert_eq!(result.unwrap().manifest.tally.rows, 3_000);
    let (before, after) = (table.len(), table.len() + more.len());
    let told =
        format!("`DIR/x.csv` has grown from {before} to {after} bytes since the run began: only the first {before} were read");
    assert_eq!(said, [told]);
    assert!(fs::read_text(&workshop.path("out.csv")).unwrap() == expected);

    // The last row was whole, though nothing ended it yet.
    let (result, _) = run(&workshop, table.trim_end(), |path| append(path, &format!("\n{more}")), |_| {});
    assert_eq!(result.unwrap().manifest.tally.rows, 3_000);

    // The last row was still being written: what would be read of it is another row.
    let cut = &table[..table.trim_end().len() - 5];
    let (result, said) = run(&workshop, cut, |path| append(path, &table[cut.len()..]), |_| {});
    let summary = result.unwrap();
    assert_eq!((summary.manifest.tally.rows, summary.manifest.tally.rejected), (2_999, 0));
    assert_eq!(summary.manifest.inputs[0].digest, Digest::of_bytes(cut.as_bytes()));
    assert!(said[0].ends_with("were read; the row that was being written there was left out"), "{said:?}");
}

#[test]
fn a_row_that_is_still_being_written_is_left_out_however_the_text_is_written_down() {
    type Written = fn(&str) -> Vec<u8>;
    let semicolons: Written = |text| text.replace(',', ";").into_bytes();
    let little: Written = |text| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Written = |text| text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let workshop = Workshop::new();
    let table = Rows::new(3_000, 1).table(true);
    let (whole, cut) = (table.trim_end(), &table[..table.trim_end().len() - 5]);
    for (name, written) in [("semicolons", semicolons), ("little endian", little), ("big endian", big)] {
        // With the row's last bytes still to come, and with all of them there and only the line feed to come.
        for (there, rows) in [(cut, 2_999), (whole, 3_000)] {
            let (all, bytes) = (written(&table), written(there));
            let append = |path: &Path| open(path).write_all(&all[bytes.len()..]).unwrap();
            let (result, said) = run(&workshop, &bytes, append, |_| {});
            let tally = result.unwrap().manifest.tally;
            assert_eq!((tally.rows, tally.rejected), (rows, 0), "{name}");
            let is_left_out = said.iter().any(|line| line.ends_with("the row that was being written there was left out"));
            assert_eq!(is_left_out, rows == 2_999, "{name}: {said:?}");
        }
    }
}
