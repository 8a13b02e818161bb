//! Shards: together they are one run, and only what belongs together is merged.

use super::*;

/// Two tables with faults, of more parts than there are shards.
fn tables(workshop: &Workshop) -> Vec<Input> {
    let table = |rows, seed| {
        let text = Rows::new(rows, seed).table(true);
        let faults = |(index, line): (usize, &str)| if index % 700 == 699 { format!("{line},1\n") } else { format!("{line}\n") };
        text.lines().enumerate().map(faults).collect::<String>()
    };
    vec![workshop.write("a.csv", table(2_500, 1)), workshop.write("b.csv", table(1_700, 2))]
}

fn request<'a>(workshop: &'a Workshop, name: &str, shard: Option<(u32, u32)>) -> Request<'a> {
    let output = Output::File(workshop.path(&format!("{name}.csv")));
    let request = Request::new(&workshop.model, tables(workshop), output);
    Request {
        on_error: OnError::Skip,
        rejects: Some(workshop.path(&format!("{name}.rejects.csv"))),
        shard: shard.map(|(index, count)| Shard::new(index, count).unwrap()),
        ..with_id(request)
    }
}

fn merge(workshop: &Workshop, shards: &[&str]) -> Result<Manifest, ScoreError> {
    let shards: Vec<PathBuf> = shards.iter().map(|name| workshop.path(&format!("{name}.csv"))).collect();
    merge_shards(&shards, &workshop.path("all.csv"), Some(&workshop.path("all.rejects.csv")), &Silent)
}

fn all(workshop: &Workshop) -> [Vec<u8>; 3] {
    ["all.csv", "all.rejects.csv", "all.csv.manifest.json"].map(|name| fs::read(&workshop.path(name)).unwrap())
}

#[test]
fn merged_shards_have_the_bytes_of_one_run() {
    let workshop = Workshop::new();
    score(request(&workshop, "all", None), &Silent).unwrap();
    let expected = all(&workshop);
    for format in [OutputFormat::Csv, OutputFormat::Jsonl] {
        for on_error in [OnError::Skip, OnError::Null] {
            score(Request { format, on_error, ..request(&workshop, "all", None) }, &Silent).unwrap();
            let expected = all(&workshop);
            for count in [1, 2, 3, 7] {
                let names: Vec<String> = (1..=count).rev().map(|index| format!("part{index}")).collect();
                for (name, index) in names.iter().zip((1..=count).rev()) {
                    let mut request = Request { format, on_error, ..request(&workshop, name, Some((index, count))) };
                    request.block_bytes = Count::new(50_000 + 7_000 * u64::from(index)).unwrap();
                    score(request, &Silent).unwrap();
                }
                fs::remove(&workshop.path("all.csv")).unwrap();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let manifest = merge(&workshop, &names).unwrap();
                assert!(all(&workshop) == expected, "{format:?} {on_error:?} {count}");
                assert_eq!((manifest.tally.rows, manifest.tally.rejected), (4_200, 5));
            }
        }
    }
    score(request(&workshop, "all", None), &Silent).unwrap();
    assert!(all(&workshop) == expected);
}

#[test]
fn shards_that_do_not_belong_together_are_refused() {
    let workshop = Workshop::new();
    for index in 1..=3 {
        score(request(&workshop, &format!("s{index}"), Some((index, 3))), &Silent).unwrap();
    }
    score(request(&workshop, "half", Some((2, 2))), &Silent).unwrap();
    score(request(&workshop, "whole", None), &Silent).unwrap();
    score(Request { on_error: OnError::Null, ..request(&workshop, "other", Some((2, 3))) }, &Silent).unwrap();
    fs::copy(&workshop.path("s3.csv"), &workshop.path("s4.csv")).unwrap();
    fs::copy(&workshop.path("s3.csv.manifest.json"), &workshop.path("s4.csv.manifest.json")).unwrap();

    let check = |shards: &[&str], expected: &str| {
        let error = merge(&workshop, shards).unwrap_err();
        let text = error.to_string().replace(workshop.folder.path().to_str().unwrap(), "DIR");
        assert!(matches!(error, ScoreError::Invalid(_)), "{text}");
        assert_eq!(text, expected);
        assert!(!workshop.path("all.csv").exists());
    };
    check(&["s1", "s3"], "of 3 shards, 1 is missing: 2/3");
    check(&["s1", "s3", "s4"], "`DIR/s3.csv` and `DIR/s4.csv` are the same shard: 3/3");
    check(&["s1", "half"], "`DIR/s1.csv` and `DIR/half.csv` do not belong together: they differ in the number of shards");
    check(&["s1", "other", "s3"], "`DIR/s1.csv` and `DIR/other.csv` do not belong together: they differ in their options");
    check(&["whole"], "`DIR/whole.csv` is no shard: it holds all rows");
    let paths = ["s1", "s2", "s3"].map(|name| workshop.path(&format!("{name}.csv")));
    let error = merge_shards(&paths, &workshop.path("all.csv"), None, &Silent).unwrap_err();
    assert!(error.to_string().contains("say with `--rejects`"), "{error}");

    let mut bytes = fs::read(&workshop.path("s2.csv")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&workshop.path("s2.csv"), bytes).unwrap();
    let error = merge(&workshop, &["s1", "s2", "s3"]).unwrap_err();
    assert!(matches!(&error, ScoreError::Damaged(text) if text.contains("s2.csv` is not what")), "{error}");
    assert!(!workshop.path("all.csv").exists() && !workshop.path("all.csv.manifest.json").exists());

    let whole = fs::read_text(&workshop.path("s2.csv.manifest.json")).unwrap();
    fs::write(&workshop.path("s2.csv.manifest.json"), &whole[..whole.len() / 2]).unwrap();
    let error = merge(&workshop, &["s1", "s2", "s3"]).unwrap_err();
    assert!(matches!(&error, ScoreError::Damaged(text) if text.contains("s2.csv.manifest.json` is damaged")), "{error}");
    fs::remove(&workshop.path("s2.csv.manifest.json")).unwrap();
    let error = merge(&workshop, &["s1", "s2", "s3"]).unwrap_err();
    assert!(matches!(&error, ScoreError::Failed(_)), "{error}");
    assert!(error.to_string().contains("that of `") && error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn what_all_shards_reject_counts_together() {
    let workshop = Workshop::new();
    for index in 1..=2 {
        let name = format!("s{index}");
        score(Request { max_errors: Some(4), ..request(&workshop, &name, Some((index, 2))) }, &Silent).unwrap();
    }
    let error = merge(&workshop, &["s1", "s2"]).unwrap_err().to_string();
    assert_eq!(error, "5 rows of all shards cannot be scored, and at most 4 may");
}

#[test]
fn a_merge_that_was_killed_in_the_first_line_of_its_journal_blocks_nothing() {
    let workshop = Workshop::new();
    for index in 1..=2 {
        score(request(&workshop, &format!("s{index}"), Some((index, 2))), &Silent).unwrap();
    }
    merge(&workshop, &["s1", "s2"]).unwrap();
    let expected = all(&workshop);
    let digest = Digest::of_bytes(b"s1");
    let line = format!("{digest} [\"{digest}\",\"{digest}\"]\n");
    for length in [10, 64, 65, 66, 90, line.len() - 1] {
        fs::write(&workshop.path("all.csv.journal"), &line[..length]).unwrap();
        merge(&workshop, &["s1", "s2"]).unwrap();
        assert!(all(&workshop) == expected && !workshop.path("all.csv.journal").exists(), "{length}");
    }
}
