//! What a run leaves in the artifacts folder.

use super::*;

/// `raw` publishes two files, `a` one.
fn bench() -> Bench {
    let mut bench = Bench::new("raw:, a: raw");
    bench.toy("raw").publishes = vec![("text", "raw/text.txt".to_owned()), ("text", "labels.txt".to_owned())];
    bench.toy("a").publishes = vec![("text", "a/text.txt".to_owned())];
    bench.runs("raw a");
    bench
}

#[test]
fn published_files_are_listed_with_their_sums() {
    let bench = bench();
    assert_eq!(fs::read_text(&bench.artifact("a/text.txt")).unwrap(), "raw,a,");
    insta::assert_snapshot!(fs::read_text(&bench.artifact("SHA256SUMS")).unwrap(), @"
    b0b37490db19c46f59066377dc82253b607e0097b25674b7a4d8b3c17b9ae92f  a/text.txt
    1158b6f76e71ba87d86790fa8455bd948c638d39c4d07a17dc8e78935f860c2c  labels.txt
    1158b6f76e71ba87d86790fa8455bd948c638d39c4d07a17dc8e78935f860c2c  raw/text.txt
    ");
}

#[test]
fn missing_and_edited_files_are_put_back() {
    let mut bench = bench();
    fs::remove(&bench.artifact("labels.txt")).unwrap();
    fs::write(&bench.artifact("raw/text.txt"), "edited").unwrap();
    match &bench.forecast().outlooks[0].fate {
        Fate::Cached { restores, .. } => assert_eq!(restores, &["labels.txt", "raw/text.txt"]),
        other => panic!("{other:?}"),
    }
    bench.runs("");
    assert_eq!(bench.heard, ["restored labels.txt raw/text.txt of raw"]);
    for place in ["labels.txt", "raw/text.txt"] {
        assert_eq!(fs::read_text(&bench.artifact(place)).unwrap(), "raw,");
    }
    bench.runs("");
    assert!(bench.heard.is_empty());
}

#[test]
fn an_edit_of_a_published_file_does_not_reach_the_cache() {
    let bench = bench();
    fs::append_line(&bench.artifact("labels.txt"), "more").unwrap(); // in place, unlike a write
    assert_eq!(fs::read_text(&bench.artifact("labels.txt")).unwrap(), "raw,more\n");
    assert_eq!(bench.text("raw"), "raw,");
}

#[test]
fn a_failure_leaves_what_an_earlier_run_published() {
    let mut bench = bench();
    let sums = fs::read_text(&bench.artifact("SHA256SUMS")).unwrap();
    bench.toy("a").act = Act::Fail;
    bench.toy("a").suffix = "new".to_owned();
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Failed);
    assert_eq!(fs::read_text(&bench.artifact("a/text.txt")).unwrap(), "raw,a,");
    assert_eq!(fs::read_text(&bench.artifact("SHA256SUMS")).unwrap(), sums);
    assert_eq!(bench.lock().stages.len(), 2);
}

#[test]
fn two_stages_cannot_publish_to_one_place() {
    let mut bench = bench();
    bench.toy("a").publishes = vec![("text", "labels.txt".to_owned())];
    bench.toy("a").suffix = "new".to_owned();
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Failed);
    assert_eq!(bench.heard.last().unwrap(), "failed a: it publishes `labels.txt`, and so does stage `raw`");
}

#[test]
fn a_stage_cannot_publish_outside_or_over_the_engine() {
    for (place, expected) in [
        ("../x", "`../x` is not a path below its folder"),
        ("pipeline.lock", "stage `a` cannot publish to `pipeline.lock`: the name is taken by the engine"),
        (".cache/x", "stage `a` cannot publish to `.cache/x`: the name is taken by the engine"),
    ] {
        let mut bench = Bench::new("a:");
        bench.toy("a").publishes = vec![("text", place.to_owned())];
        assert_eq!(bench.try_run().unwrap().outcome, Outcome::Failed);
        assert_eq!(bench.heard.last().unwrap(), &format!("failed a: {expected}"));
    }
    let mut bench = Bench::new("a:");
    bench.toy("a").publishes = vec![("nothing", "x".to_owned())];
    bench.try_run().unwrap();
    assert_eq!(bench.heard.last().unwrap(), "failed a: stage `a` publishes `nothing`, which it has not made");
}

#[test]
fn what_no_stage_makes_any_more_is_left_and_named() {
    let mut bench = bench();
    bench.toys.pop();
    assert_eq!(bench.ran(), "");
    let path = bench.artifact("a/text.txt");
    assert_eq!(bench.heard, [format!("warning: no stage makes `{}` any more: left as it was by stage `a`", path.display())]);
    assert!(path.exists());
    assert!(!fs::read_text(&bench.artifact("SHA256SUMS")).unwrap().contains("a/text.txt"));
    bench.runs("");
    assert!(bench.heard.is_empty());
}

#[test]
fn the_lock_file_names_keys_parts_and_digests() {
    let mut bench = Bench::new("raw:");
    bench.toy("raw").publishes = vec![("text", "raw.txt".to_owned())];
    bench.runs("raw");
    insta::assert_snapshot!(fs::read_text(&bench.artifact("pipeline.lock")).unwrap(), @r#"
    {
      "version": 1,
      "pipeline": "toys",
      "seed": 42,
      "stages": {
        "raw": {
          "key": "a586a029a93837c9eb920affe740cd0fd10137551cb11ef6de43ab6b9bd018b5",
          "parts": {
            "stage": "raw",
            "kind": "toy",
            "version": 1,
            "parameters": {
              "suffix": "raw,"
            },
            "inputs": {},
            "files": {},
            "seed": null
          },
          "output": "48cf32bbf8bfb23ddb269a4ca923e1fe88bdc8e2937061622e1c02e13745be93",
          "files": {
            "text": {
              "bytes": 4,
              "blake3": "7157d70193df452345500fe7b1c4ff81fd8c63825dba847ca71eb4bd0f91cbc5"
            }
          },
          "published": {
            "raw.txt": "text"
          }
        }
      }
    }
    "#);
}

#[test]
fn a_run_says_how_much_memory_it_took_and_how_long() {
    let mut bench = Bench::new("raw:");
    let summary = bench.try_run().unwrap();
    assert!(summary.seconds >= 1.0); // the clock of the tests goes on by a second whenever it is asked
    assert_eq!(summary.peak_memory.is_some(), cfg!(target_os = "linux"));
}
