//! Storage that loses bits: nothing is made from what is not as it was stored, and what is damaged is made again.

use super::*;

/// `raw → parts → a`, of which `a` publishes a file.
fn bench() -> Bench {
    let mut bench = Bench::new("raw:, parts: raw, a: parts");
    bench.toy("a").publishes = vec![("text", "a.txt".to_owned())];
    bench.runs("raw parts a");
    bench.runs("");
    bench
}

#[test]
fn nothing_is_made_from_an_input_that_has_lost_a_bit() {
    let mut bench = bench();
    bench.rot(&bench.output("parts").join("text"));
    bench.runs(""); // a cached output may rest on it no more and no less than before
    bench.toy("a").suffix = "A,".to_owned();
    assert_eq!(bench.ran(), "parts a");
    assert_eq!(bench.text("a"), "raw,parts,A,");
    bench.runs("");
}

#[test]
fn a_chain_of_damaged_inputs_is_made_again_from_its_beginning() {
    let mut bench = bench();
    bench.rot(&bench.output("raw").join("text"));
    bench.rot(&bench.output("parts").join("text"));
    bench.toy("a").suffix = "A,".to_owned();
    assert_eq!(bench.ran(), "raw parts a");
    assert_eq!(bench.text("a"), "raw,parts,A,");
}

#[test]
fn a_damaged_input_that_was_not_selected_is_an_error_with_a_way_out() {
    let mut bench = bench();
    bench.rot(&bench.output("parts").join("text"));
    bench.toy("a").suffix = "A,".to_owned();
    bench.options.selection = Selection::Single(vec!["a".parse().unwrap()]);
    let error = bench.try_run().unwrap_err();
    assert!(matches!(error, EngineError::Corrupt(_)), "{error}");
    insta::assert_snapshot!(error, @"stage `parts` was not selected, but what was selected needs its output, and its cached output is damaged: file `text` has other content than was stored; `pipeline cache verify` reads everything in the cache, and a run of `parts` makes it again");
    bench.options.selection = Selection::All;
    assert_eq!(bench.ran(), "parts a");
}

#[test]
fn a_published_file_that_has_lost_a_bit_is_put_back() {
    let mut bench = bench();
    bench.rot(&bench.artifact("a.txt"));
    bench.runs("");
    assert_eq!(bench.heard, ["restored a.txt of a"]);
    assert_eq!(fs::read_text(&bench.artifact("a.txt")).unwrap(), "raw,parts,a,");
}

#[test]
fn what_is_published_was_read_as_it_was_stored() {
    let mut bench = bench();
    bench.rot(&bench.output("a").join("text"));
    fs::remove(&bench.artifact("a.txt")).unwrap();
    assert_eq!(bench.ran(), "a"); // no forecast can know
    assert_eq!(fs::read_text(&bench.artifact("a.txt")).unwrap(), "raw,parts,a,");
    assert_eq!(bench.text("a"), "raw,parts,a,");
}

#[test]
fn a_damaged_output_is_mended_from_its_published_copy() {
    let mut bench = bench();
    let path = bench.output("a").join("text");
    fs::write(&path, "raw,parts,A,").unwrap();
    bench.runs("");
    let expected = format!("`{}` from `{}`", path.display(), bench.artifact("a.txt").display());
    assert_eq!(bench.heard, [format!("warning of a: what was damaged in the cache is mended: {expected}")]);
    assert_eq!(bench.text("a"), "raw,parts,a,");
    for file in [path, bench.artifact("a.txt")] {
        fs::write(&file, "raw,parts,A,").unwrap(); // both copies
    }
    bench.runs("a");
    assert_eq!(
        (bench.text("a"), fs::read_text(&bench.artifact("a.txt")).unwrap()),
        ("raw,parts,a,".into(), "raw,parts,a,".into())
    );
}

#[test]
fn a_changed_manifest_is_damage_like_any_other() {
    let mut bench = bench();
    let path = bench.output("parts").parent().unwrap().join("manifest.json");
    let text = fs::read_text(&path).unwrap();
    fs::write(&path, text.replacen("\"bytes\": 10", "\"bytes\": 11", 1)).unwrap();
    let damaged = verify(&bench.path("artifacts"), &bench.clock, &crate::progress::Silent).unwrap();
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].1, "its manifest `manifest.json` was changed");
    fs::rename(&damaged[0].2, path.parent().unwrap()).unwrap(); // as if nobody had verified
    assert_eq!(bench.why("parts"), "its cached output is damaged: its manifest `manifest.json` was changed");
    assert_eq!(bench.ran(), "parts");
    assert_eq!(bench.text("a"), "raw,parts,a,");
}

#[test]
fn a_lock_file_that_contradicts_itself_is_damaged() {
    let mut bench = bench();
    let path = bench.artifact("pipeline.lock");
    let text = fs::read_text(&path).unwrap();
    fs::write(&path, text.replacen("\"bytes\": 10", "\"bytes\": 11", 1)).unwrap();
    let error = bench.try_run().unwrap_err();
    assert!(matches!(error, EngineError::Corrupt(_)));
    assert!(error.to_string().contains("what it says of stage `parts` does not fit together"), "{error}");
    fs::remove(&path).unwrap();
    bench.runs("");
}

#[test]
fn under_locked_a_cached_output_must_be_the_one_of_the_lock_file() {
    let mut bench = Bench::new("raw:");
    bench.runs("raw");
    let lock = fs::read_text(&bench.artifact("pipeline.lock")).unwrap();
    bench.toy("raw").act = Act::Same;
    bench.options.force = true;
    bench.ran();
    fs::write(&bench.artifact("pipeline.lock"), lock).unwrap();
    (bench.options.force, bench.options.locked) = (false, true);
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Gate);
    assert!(bench.heard[0].contains("other bytes than `pipeline.lock` names"), "{:?}", bench.heard);
}
