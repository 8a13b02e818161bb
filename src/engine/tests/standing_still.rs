//! Files outside the cache that do not stand still: what is stored under a key was read as the key describes it.

use super::*;

/// `alone` reads a file of its own.
fn bench() -> (Bench, PathBuf) {
    let mut bench = Bench::new("alone:, after: alone");
    let path = bench.path("data/x.csv");
    fs::write(&path, "one,").unwrap();
    bench.toy("alone").reads = vec![path.clone()];
    (bench, path)
}

#[test]
#[cfg(unix)]
fn a_file_that_was_replaced_by_one_of_the_same_length_and_time_runs_its_stage() {
    let (mut bench, path) = bench();
    bench.runs("alone after");
    bench.runs("");
    change_unseen(&path, "two,");
    assert_eq!(bench.why("alone"), "file `x.csv` changed");
    bench.runs("alone after");
    assert_eq!(bench.text("after"), "two,alone,after,");
}

#[test]
fn a_memory_that_is_wrong_does_not_get_into_a_key() {
    let (mut bench, path) = bench();
    bench.runs("alone after");
    bench.rot(&path); // from here on the memory holds the digest of what was there before
    bench.runs("");
    bench.toy("alone").suffix = "new,".to_owned();
    assert_eq!(bench.ran(), "alone after");
    let key = bench.lock().stages[&"alone".parse::<StageId>().unwrap()].parts.files["x.csv"];
    assert_eq!(key, crate::digest::Digest::of_bytes(b"one-"));
    assert_eq!(bench.text("alone"), "one-new,");
}

#[test]
fn what_was_made_of_a_file_that_changed_meanwhile_is_thrown_away() {
    let (mut bench, path) = bench();
    bench.toy("alone").act = Act::Replace("two,");
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Failed);
    let said = bench.heard[1].replace(&path.display().to_string(), "x.csv");
    insta::assert_snapshot!(said, @"failed alone: `x.csv` changed while it was read, so what was made of it is thrown away; run again when it is left alone");
    assert!(!bench.artifact(".cache/objects").exists());
    bench.toy("alone").act = Act::Join;
    bench.runs("alone after");
    assert_eq!(bench.text("alone"), "two,alone,");
}

#[test]
fn what_a_stage_says_it_has_read_is_held_against_its_key() {
    let (mut bench, path) = bench();
    bench.toy("alone").act = Act::Claim("two,");
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Failed);
    assert!(bench.heard[1].contains("changed while it was read"), "{:?}", bench.heard);
    bench.toy("alone").act = Act::Claim("one,");
    bench.runs("alone after");
    assert!(path.exists());
}

#[test]
fn what_is_no_regular_file_is_refused_before_it_is_read() {
    let (mut bench, path) = bench();
    fs::remove(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(bench.why("alone").ends_with("is not a regular file"), "{}", bench.why("alone"));
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Failed);
}
