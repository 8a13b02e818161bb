//! Runs that are cut off at every place, and go on: in the end, nobody can tell.

use super::*;
use crate::score::files::partial;

/// Stops the run after it has advanced so often: without a checkpoint, as a kill does, or with one.
struct Cut {
    left: AtomicUsize,
    hard: bool,
}

impl Progress for Cut {
    fn begin(&self, _what: &str, _total: u64, _unit: &str) {}
    fn advance(&self, _done: u64, _message: &str) {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_err() && self.hard {
            std::panic::resume_unwind(Box::new("cut off")); // and say nothing
        }
    }
    fn note(&self, _line: &str) {}
    fn warn(&self, _line: &str) {}
    fn interrupted(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0 && !self.hard
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Three tables, one of them compressed, with faults and quoted line feeds.
fn tables(workshop: &Workshop) -> Vec<Input> {
    let table = |rows, seed| Rows::new(rows, seed).table(true).replace("\"row, 5", "\"row\n5").replace("\"row, 7\"", "7,7");
    vec![
        workshop.write("a.csv", table(90, 1)),
        workshop.write("b.csv.gz", gzip(&table(120, 2))),
        workshop.write("c.csv", table(60, 3)),
    ]
}

fn request(workshop: &Workshop, resume: bool) -> Request<'_> {
    Request {
        on_error: OnError::Null,
        rejects: Some(workshop.path("rejects.csv")),
        resume,
        workers: Count::new(2).unwrap(),
        rows_per_batch: BatchSize::new(3).unwrap(),
        block_bytes: Count::new(2_000).unwrap(),
        checkpoint: std::time::Duration::ZERO,
        ..with_id(workshop.request(tables(workshop)))
    }
}

fn results(workshop: &Workshop) -> Vec<Vec<u8>> {
    ["out.csv", "out.csv.manifest.json", "rejects.csv"].map(|name| fs::read(&workshop.path(name)).unwrap()).to_vec()
}

/// Runs until it is cut off; whether it was.
fn cut(request: Request<'_>, after: usize, hard: bool) -> bool {
    let cut = Cut { left: AtomicUsize::new(after), hard };
    let run = std::panic::AssertUnwindSafe(|| score(request, &cut).is_err());
    std::panic::catch_unwind(run).unwrap_or(true)
}

#[test]
fn a_run_that_is_cut_off_anywhere_goes_on_to_the_same_bytes() {
    let workshop = Workshop::new();
    score(request(&workshop, false), &Silent).unwrap();
    let expected = results(&workshop);
    let mut cuts = 0;
    for hard in [true, false] {
        for step in [1, 2, 5, 11, 17] {
            ["out.csv", "out.csv.manifest.json", "rejects.csv"].iter().for_each(|name| fs::remove(&workshop.path(name)).unwrap());
            let mut resume = false;
            while cut(request(&workshop, resume), step, hard) {
                assert!(!workshop.path("out.csv").exists());
                // What a kill leaves of a line, and what was written after the last checkpoint.
                let ends = [(workshop.path("out.csv.journal"), "0123 {\"posi"), (partial(&workshop.path("out.csv")), "1,Bag,0.")];
                for (path, end) in ends {
                    fs::open_append(&path, false).unwrap().write_all(end.as_bytes()).unwrap();
                }
                (resume, cuts) = (true, cuts + 1);
                assert!(cuts < 1_000, "every run must come further than the one before");
            }
            assert!(results(&workshop) == expected, "{hard} {step}");
            let left = fs::entries(workshop.folder.path()).unwrap();
            assert!(!left.iter().any(|name| name.contains(".partial") || name.contains(".journal")), "{left:?}");
        }
    }
    assert!(cuts > 20, "{cuts}");
}

#[test]
fn a_run_that_was_killed_while_files_got_their_places_is_completed() {
    let workshop = Workshop::new();
    let journal = workshop.path("out.csv.journal");
    score(request(&workshop, false), &Silent).unwrap();
    let expected = results(&workshop);
    // The journal of a complete run, taken when its last checkpoint is in it.
    struct Keep(PathBuf, Mutex<Vec<u8>>);
    impl Progress for Keep {
        fn begin(&self, _what: &str, _total: u64, _unit: &str) {}
        fn advance(&self, _done: u64, _message: &str) {
            *self.1.lock().unwrap() = fs::read(&self.0).unwrap();
        }
        fn note(&self, _line: &str) {}
        fn warn(&self, _line: &str) {}
        fn interrupted(&self) -> bool {
            false
        }
    }
    let keep = Keep(journal.clone(), Mutex::default());
    score(request(&workshop, false), &keep).unwrap();
    let lines = keep.1.into_inner().unwrap();
    for placed in [&["rejects.csv"][..], &["rejects.csv", "out.csv"], &[]] {
        for name in ["out.csv", "rejects.csv"].iter().filter(|name| !placed.contains(name)) {
            fs::rename(&workshop.path(name), &partial(&workshop.path(name))).unwrap();
        }
        fs::remove(&workshop.path("out.csv.manifest.json")).unwrap();
        fs::write(&journal, &lines).unwrap();
        let summary = score(request(&workshop, true), &Silent).unwrap();
        assert_eq!(summary.resumed, summary.manifest.tally.scored, "nothing is scored again");
        assert!(results(&workshop) == expected, "{placed:?}");
    }
}

#[test]
fn a_run_goes_on_only_with_what_it_began_with() {
    let workshop = Workshop::new();
    let begin = || assert!(cut(request(&workshop, false), 20, false));
    let refused = |request: Request<'_>, expected: &str| {
        let error = score(request, &Silent).unwrap_err();
        let text = error.to_string().replace(workshop.folder.path().to_str().unwrap(), "DIR");
        assert!(text.contains(expected) && text.contains("leave out `--resume`"), "{text}");
        assert!(workshop.path("out.csv.journal").exists(), "the run can still go on with what it began with");
    };
    begin();
    refused(
        Request { top_k: Some(Count::new(2).unwrap()), ..request(&workshop, true) },
        "its option `top_k` was null, now it is 2",
    );
    refused(Request { rejects: None, ..request(&workshop, true) }, "its option `rejects` was true, now it is false");
    refused(
        Request { shard: Some(Shard::new(1, 2).unwrap()), ..request(&workshop, true) },
        "its option `shard` was null, now it is \"1/2\"",
    );
    let fewer = tables(&workshop).into_iter().take(2).collect();
    refused(Request { inputs: fewer, ..request(&workshop, true) }, "its input was `a.csv` of ");
    let other = Workshop::with_weights(5);
    refused(Request { model: &other.model, ..request(&workshop, true) }, "its model was ");

    // A table of the same length with other content: noticed where it was read, of no matter behind.
    let original = fs::read(&workshop.path("a.csv")).unwrap();
    let changed = |place: usize| {
        let mut bytes = original.clone();
        let digit = bytes[place..].iter().position(u8::is_ascii_digit).unwrap() + place;
        bytes[digit] = if bytes[digit] == b'1' { b'2' } else { b'1' };
        let mut request = request(&workshop, true);
        fs::write(&workshop.path("a.csv"), bytes).unwrap();
        request.resume = true;
        request
    };
    refused(changed(2_000), "`DIR/a.csv` is not what it was when the run began");
    // The output as far as it was written.
    tables(&workshop);
    let built = partial(&workshop.path("out.csv"));
    let mut bytes = fs::read(&built).unwrap();
    bytes[100] ^= 1;
    fs::write(&built, bytes).unwrap();
    refused(request(&workshop, true), "out.csv.partial` is not what the run that is to go on wrote");

    score(request(&workshop, false), &Silent).unwrap();
    let expected = results(&workshop);
    score(request(&workshop, true), &Silent).unwrap();
    assert!(results(&workshop) == expected, "with nothing to go on with, a run begins with the first row");
}

#[test]
fn shards_go_on_too() {
    let workshop = Workshop::new();
    let text = Rows::new(3_000, 1).table(true);
    let request = |resume| Request {
        shard: Some(Shard::new(1, 2).unwrap()),
        inputs: vec![workshop.write("x.csv", &text)],
        block_bytes: Count::new(90_000).unwrap(),
        ..request(&workshop, resume)
    };
    score(request(false), &Silent).unwrap();
    let expected = results(&workshop);
    let mut cuts = 0;
    while cut(request(cuts > 0), 2, false) {
        cuts += 1;
    }
    assert!(cuts >= 2 && results(&workshop) == expected, "{cuts}");
}

#[test]
fn one_run_at_a_time_writes_a_file() {
    let workshop = Workshop::new();
    let lock = fs::try_lock(&workshop.path("out.csv.journal")).unwrap();
    let error = score(request(&workshop, false), &Silent).unwrap_err();
    assert!(matches!(error, ScoreError::Held(_)), "{error}");
    drop(lock);
    score(request(&workshop, false), &Silent).unwrap();
}
