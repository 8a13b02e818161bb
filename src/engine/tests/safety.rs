//! Crashes, damage, other runs, and files that change behind the engine's back.

use super::*;

#[test]
fn a_half_written_output_is_not_used() {
    let mut bench = Bench::new("raw:");
    bench.toy("raw").act = Act::Fail;
    bench.try_run().unwrap();
    assert!(!bench.artifact(".cache/objects").exists());
    // A crash leaves the output in the making behind; the next run sweeps it away.
    fs::write(&bench.artifact(".cache/building/left/files/half"), "half").unwrap();
    bench.toy("raw").act = Act::Join;
    bench.runs("raw");
    assert!(!bench.artifact(".cache/building/left").exists());
    assert_eq!(fs::entries(&bench.output("raw")).unwrap(), ["text"]);
}

#[test]
fn a_damaged_object_is_quarantined_named_and_made_again() {
    let mut bench = Bench::new("raw:, a: raw");
    bench.runs("raw a");
    fs::write(&bench.output("raw").join("text"), "RAW,").unwrap();
    assert_eq!(bench.why("raw"), "its cached output is damaged: file `text` has other content than was stored");
    assert_eq!(bench.ran(), "raw"); // `a` was made from the right bytes
    let key = bench.lock().stages[&"raw".parse::<StageId>().unwrap()].key;
    let quarantined = bench.artifact(&format!(".cache/quarantine/{key}-1"));
    assert_eq!(fs::read_text(&quarantined.join("files/text")).unwrap(), "RAW,");
    assert_eq!(bench.heard[1], format!("warning of raw: its damaged output is now in `{}`", quarantined.display()));
    assert_eq!(bench.text("raw"), "raw,");
    bench.runs("");
}

#[test]
fn damage_that_cannot_be_mended_is_an_outcome_of_its_own() {
    let mut bench = Bench::new("raw:");
    bench.runs("raw");
    fs::remove(&bench.output("raw").join("text")).unwrap();
    bench.toy("raw").act = Act::Fail;
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Corrupt);
    insta::assert_snapshot!(
        bench.heard.last().unwrap(),
        @"failed raw: its output in the cache was damaged, and it could not be made again: no luck; `pipeline cache verify` reads everything else in the cache"
    );
}

#[test]
fn an_output_that_is_gone_is_made_again() {
    let mut bench = Bench::new("raw:, a: raw");
    bench.runs("raw a");
    fs::remove(&bench.artifact(".cache")).unwrap();
    assert_eq!(bench.why("raw"), "its output is not in the cache");
    bench.runs("raw a");
}

#[test]
fn a_damaged_lock_file_is_named() {
    let mut bench = Bench::new("raw:");
    bench.runs("raw");
    let path = bench.artifact("pipeline.lock");
    fs::write(&path, "<<<<<<< HEAD\n").unwrap();
    let error = bench.try_run().unwrap_err();
    assert!(matches!(error, EngineError::Corrupt(_)));
    let text = error.to_string().replace(&path.display().to_string(), "pipeline.lock");
    insta::assert_snapshot!(text, @"`pipeline.lock` is damaged: restore it from version control, or delete it and run again: expected value at line 1 column 1");
    fs::remove(&path).unwrap();
    bench.runs(""); // what is in the cache is found without it
    assert_eq!(bench.lock().stages.len(), 1);
}

#[test]
fn files_outside_the_cache_are_vouched_for() {
    let mut bench = Bench::new("raw:, a: raw");
    let data = bench.path("data/x.csv");
    bench.toy("raw").outside = Some(data.clone());
    bench.runs("raw a");
    bench.runs("");
    fs::write(&data, "edited").unwrap();
    assert_eq!(bench.why("raw"), format!("its file `{}` was changed", data.display()));
    assert_eq!(bench.ran(), "raw");
    assert_eq!(fs::read_text(&data).unwrap(), "raw,");
    fs::remove(&data).unwrap();
    assert_eq!(bench.why("raw"), format!("its file `{}` is missing", data.display()));
    assert_eq!(bench.ran(), "raw");
    bench.runs("");
}

#[test]
fn what_stood_in_for_something_is_made_again_when_that_can_be_had() {
    let mut bench = Bench::new("raw:, a: raw");
    bench.runs("raw a");
    bench.runs("");
    bench.toy("raw").superseded = Some("the real thing is at hand");
    assert_eq!(bench.why("raw"), "the real thing is at hand");
    assert_eq!(bench.ran(), "raw");
}

#[test]
fn a_stage_that_vouches_for_what_is_not_so_fails() {
    struct Liar(Toy);
    impl Stage for Liar {
        fn kind(&self) -> &'static str {
            "liar"
        }
        fn version(&self) -> u32 {
            1
        }
        fn parameters(&self) -> serde_json::Value {
            json!({})
        }
        fn inputs(&self) -> Vec<StageId> {
            Vec::new()
        }
        fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
            self.0.run(context)?;
            fs::write(self.0.outside.as_ref().unwrap(), "changed at once")?;
            Ok(())
        }
    }
    let mut bench = Bench::new("raw:");
    let data = bench.path("x.csv");
    bench.toy("raw").outside = Some(data.clone());
    let liar = PlannedStage { id: "raw".parse().unwrap(), stage: Box::new(Liar(bench.toys.remove(0))) };
    let plan = Plan::new("toys", Seed::new(1), bench.path("artifacts"), vec![liar]).unwrap();
    let listener = Listener::default();
    let summary = run(&plan, &bench.options, &listener, &bench.clock, &Cancel::new()).unwrap();
    assert_eq!(summary.outcome, Outcome::Failed);
    let expected = format!("failed raw: it lists in `outside.json` what is not so: its file `{}` was changed", data.display());
    assert_eq!(listener.heard.into_inner().unwrap()[1], expected);
}

#[test]
fn a_stage_that_makes_other_bytes_from_the_same_is_named() {
    let mut bench = Bench::new("raw:");
    bench.toy("raw").act = Act::Vary(Arc::default());
    bench.toy("raw").suffix = "vary".to_owned();
    bench.runs("raw");
    bench.options.force = true;
    bench.runs("raw");
    insta::assert_snapshot!(
        bench.heard[1],
        @"warning of raw: everything it depends on is as before, but it made other bytes than before (first in `text`)"
    );
}

#[test]
fn one_run_at_a_time() {
    let mut bench = Bench::new("raw:");
    let held = fs::try_lock(&bench.artifact(".cache/lock")).unwrap();
    let error = bench.try_run().unwrap_err();
    assert!(matches!(error, EngineError::Held { .. }));
    let text = error.to_string().replace(&bench.path("").display().to_string(), "");
    insta::assert_snapshot!(text, @"another run holds the lock of `artifacts`: wait for it to end, or give this one another `artifacts` folder");
    drop(held);
    bench.runs("raw");
}

#[test]
fn locked_makes_nothing_that_the_lock_file_does_not_name() {
    let mut bench = Bench::new("raw:, a: raw");
    bench.options.locked = true;
    insta::assert_snapshot!(bench.try_run().unwrap_err(), @"
    the results would not be those that `pipeline.lock` names:
      there is no such file
    ");
    bench.options.locked = false;
    bench.runs("raw a");
    bench.options.locked = true;
    bench.runs("");
    fs::remove(&bench.artifact(".cache/objects")).unwrap();
    bench.runs("raw a"); // computed again, and found to be as the lock file says
    bench.toy("raw").suffix = "x".to_owned();
    insta::assert_snapshot!(bench.try_run().unwrap_err(), @r#"
    the results would not be those that `pipeline.lock` names:
      raw: parameter suffix: "raw," → "x"
    "#);
    bench.toy("raw").suffix = "raw,".to_owned();
    let before = fs::read_text(&bench.artifact("pipeline.lock")).unwrap();
    fs::remove(&bench.artifact(".cache/objects")).unwrap();
    bench.toy("raw").act = Act::Same;
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Gate);
    assert_eq!(fs::read_text(&bench.artifact("pipeline.lock")).unwrap(), before);
}

#[test]
fn the_cache_can_be_listed_checked_and_cleaned() {
    let mut bench = Bench::new("raw:, a: raw");
    bench.runs("raw a");
    bench.toy("a").suffix = "other".to_owned();
    bench.runs("a");
    let artifacts = bench.path("artifacts");
    let listed = list(&artifacts).unwrap();
    let text: Vec<_> = listed.iter().map(|one| (one.manifest.as_ref().unwrap().stage.to_string(), one.is_current)).collect();
    assert_eq!(text, [("a".to_owned(), true), ("a".to_owned(), false), ("raw".to_owned(), true)]);
    let progress = crate::progress::Silent;
    assert_eq!(verify(&artifacts, &bench.clock, &progress).unwrap(), []);
    let cleaned = clean(&artifacts).unwrap();
    assert_eq!(cleaned, Cleaned { objects: 1, bytes: 6, ..Cleaned::default() });
    bench.runs("");
    // Damage that keeps the stamp is what only `verify` sees.
    fs::write(&bench.output("raw").join("text"), "RAW,").unwrap();
    let damaged = verify(&artifacts, &bench.clock, &progress).unwrap();
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].1, "file `text` has other content than was stored");
    assert_eq!(clean(&artifacts).unwrap(), Cleaned { quarantined: 1, ..Cleaned::default() });
    assert_eq!(bench.ran(), "raw");
}
