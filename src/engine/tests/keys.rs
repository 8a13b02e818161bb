//! Each part of a stage's key: what a change of it makes run, and what it does not.

use super::*;

/// `raw → parts → a, b → vote`, and one that stands alone.
fn bench() -> Bench {
    let mut bench = Bench::new("raw:, parts: raw, a: parts, b: parts, vote: a b, alone:");
    bench.runs("raw parts a b vote alone");
    bench.runs("");
    bench
}

#[test]
fn a_second_run_does_nothing() {
    let bench = bench();
    assert_eq!(bench.text("vote"), "raw,parts,a,raw,parts,b,vote,");
    assert!(!bench.forecast().has_work());
}

#[test]
fn a_parameter_runs_its_stage_and_what_depends_on_it() {
    let mut bench = bench();
    bench.toy("a").suffix = "A,".to_owned();
    assert_eq!(bench.why("a"), r#"parameter suffix: "a," → "A,""#);
    assert_eq!(bench.why("vote"), "input `a` will change");
    assert_eq!(bench.why("b"), "");
    bench.runs("a vote");
    assert_eq!(bench.text("vote"), "raw,parts,A,raw,parts,b,vote,");
    bench.runs("");
}

#[test]
fn going_back_to_an_earlier_parameter_costs_nothing() {
    let mut bench = bench();
    bench.toy("a").suffix = "A,".to_owned();
    bench.runs("a vote");
    bench.toy("a").suffix = "a,".to_owned();
    bench.runs("");
    assert_eq!(bench.text("vote"), "raw,parts,a,raw,parts,b,vote,");
}

#[test]
fn a_version_runs_its_stage() {
    let mut bench = bench();
    bench.toy("b").version = 2;
    assert_eq!(bench.why("b"), "version of `toy`: 1 → 2");
    assert_eq!(bench.ran(), "b"); // its bytes are as before, so `vote` need not run
}

#[test]
fn a_kind_runs_its_stage() {
    let mut bench = bench();
    bench.toy("b").kind = "other";
    assert_eq!(bench.why("b"), "kind: toy → other");
    assert_eq!(bench.ran(), "b");
}

#[test]
fn a_name_runs_its_stage_and_what_depends_on_it() {
    let mut bench = bench();
    let name: StageId = "c".parse().unwrap();
    bench.toy("b").id = name.clone();
    bench.toy("vote").inputs[1] = name;
    assert_eq!(bench.why("c"), "has not run yet");
    assert_eq!(bench.why("vote"), "no longer reads `b`, input `c` will change");
    bench.runs("c vote");
}

#[test]
fn an_input_more_or_less_runs_the_stage() {
    let mut bench = bench();
    bench.toy("vote").inputs.pop();
    assert_eq!(bench.why("vote"), "no longer reads `b`");
    bench.runs("vote");
    bench.toy("vote").inputs.push("alone".parse().unwrap());
    assert_eq!(bench.why("vote"), "new input `alone`");
    bench.runs("vote");
}

#[test]
fn the_seed_runs_only_what_draws_random_numbers() {
    let mut bench = bench();
    bench.toy("b").seeded = true;
    assert_eq!(bench.why("b"), "seed: none → 42");
    bench.runs("b vote");
    bench.seed = 7;
    assert_eq!(bench.why("b"), "seed: 42 → 7");
    bench.runs("b vote");
}

#[test]
fn a_file_that_is_read_runs_its_stage_by_content_and_not_by_place() {
    let mut bench = bench();
    let (here, there) = (bench.path("here/x.csv"), bench.path("there/x.csv"));
    fs::write(&here, "1,2,").unwrap();
    fs::write(&there, "1,2,").unwrap();
    bench.toy("alone").reads = vec![here.clone()];
    assert_eq!(bench.why("alone"), "new file `x.csv`");
    bench.runs("alone");
    bench.toy("alone").reads = vec![there.clone()];
    bench.runs("");
    fs::write(&there, "1,3,").unwrap();
    assert_eq!(bench.why("alone"), "file `x.csv` changed");
    bench.runs("alone");
    assert_eq!(bench.text("alone"), "1,3,alone,");
}

#[test]
fn a_file_that_cannot_be_found_is_foretold() {
    let mut bench = bench();
    bench.toy("alone").reads = vec![bench.path("nowhere.csv")];
    let why = bench.why("alone");
    assert!(why.contains("cannot open") && why.contains("nowhere.csv"), "{why}");
    let summary = bench.try_run().unwrap();
    assert_eq!(summary.outcome, Outcome::Failed);
    assert_eq!(names_where(&summary, |status| matches!(status, Status::Failed(_))), "alone");
}

#[test]
fn order_of_stages_and_place_of_the_folder_do_not_count() {
    let mut bench = bench();
    let before = fs::read_text(&bench.artifact("pipeline.lock")).unwrap();
    bench.toys.reverse();
    bench.runs("");
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    fs::rename(bench.dir.path(), &moved).unwrap();
    let plan = |bench: &Bench| {
        let stages = bench.plan();
        assert_eq!(stages.graph().len(), 6);
        let stage = |toy: &Toy| PlannedStage { id: toy.id.clone(), stage: Box::new(toy.clone()) };
        Plan::new("toys", Seed::new(42), moved.join("artifacts"), bench.toys.iter().map(stage).collect()).unwrap()
    };
    let summary = run(&plan(&bench), &bench.options, &Deaf, &bench.clock, &Cancel::new()).unwrap();
    assert_eq!((summary.outcome, summary.ran()), (Outcome::Done, 0));
    assert_eq!(fs::read_text(&moved.join("artifacts/pipeline.lock")).unwrap(), before);
}

#[test]
fn the_same_bytes_again_stop_the_change() {
    let mut bench = bench();
    bench.toy("parts").act = Act::Same;
    bench.toy("parts").suffix = "x".to_owned();
    bench.runs("parts a b vote");
    bench.toy("parts").suffix = "y".to_owned();
    let forecast = bench.forecast();
    let fate = |name: &str| forecast.outlook(&name.parse().unwrap()).unwrap().fate.clone();
    assert!(matches!(fate("parts"), Fate::Runs { .. }));
    assert!(matches!(fate("a"), Fate::Depends { .. }));
    assert!(matches!(fate("vote"), Fate::Depends { .. }));
    assert_eq!(bench.ran(), "parts");
    assert_eq!(bench.heard, ["started parts", "unchanged parts"]);
}

#[test]
fn measurements_do_not_count() {
    let mut bench = bench();
    bench.toy("parts").act = Act::Vary(Arc::default());
    bench.toy("parts").suffix = "x".to_owned();
    bench.runs("parts a b vote");
    let before = fs::read_text(&bench.artifact("pipeline.lock")).unwrap();
    assert!(!before.contains("seconds"));
    bench.options.selection = Selection::Single(vec!["parts".parse().unwrap()]);
    bench.options.force = true;
    assert_eq!(bench.ran(), "parts");
    assert_eq!(bench.heard, ["started parts", "unchanged parts"]);
    assert_eq!(fs::read_text(&bench.output("parts").join("seconds")).unwrap(), "1");
    assert_eq!(fs::read_text(&bench.artifact("pipeline.lock")).unwrap(), before);
    (bench.options.selection, bench.options.force) = (Selection::All, false);
    bench.runs("");
}
