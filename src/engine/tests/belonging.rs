//! Published files belong together: what was made from a result that is no longer there is withdrawn until it is made anew or
//! that result comes back.

use super::*;

/// `basic → vote → page`, and `other`, each with a published file; `vote` reads both models.
fn bench() -> Bench {
    let mut bench = Bench::new("basic:, other:, vote: basic other, page: vote");
    for name in ["basic", "other", "vote", "page"] {
        bench.toy(name).publishes = vec![("text", format!("{name}/text.txt"))];
    }
    // As `train` and `export` do, two stages publish into one folder.
    bench.toy("vote").publishes.push(("text", "basic/vote.txt".to_owned()));
    bench.runs("basic other vote page");
    bench
}

/// The published files, in order.
fn published(bench: &Bench) -> String {
    let files = fs::files_below(&bench.path("artifacts")).unwrap();
    let names = files.iter().map(|path| path.to_str().unwrap()).filter(|name| name.ends_with(".txt"));
    names.collect::<Vec<_>>().join(" ")
}

/// The files that SHA256SUMS lists, in order.
fn listed(bench: &Bench) -> String {
    let sums = fs::read_text(&bench.artifact("SHA256SUMS")).unwrap();
    sums.lines().map(|line| &line[66..]).collect::<Vec<_>>().join(" ")
}

const ALL: &str = "basic/text.txt basic/vote.txt other/text.txt page/text.txt vote/text.txt";

fn until(name: &str) -> Selection {
    Selection::Until(vec![name.parse().unwrap()])
}

#[test]
fn after_a_partial_run_only_what_belongs_to_the_new_result_is_there() {
    let mut bench = bench();
    assert_eq!((published(&bench).as_str(), listed(&bench).as_str()), (ALL, ALL));
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.options.selection = until("basic");
    bench.runs("basic");
    insta::assert_snapshot!(bench.heard.join("\n"), @"
    started basic
    warning: withdrawn, because they were made from an earlier result of `basic`: the files of `page`, `vote`; running these stages, or going back to the earlier parameters, brings them back
    ");
    let rest = "basic/text.txt other/text.txt";
    assert_eq!((published(&bench).as_str(), listed(&bench).as_str()), (rest, rest));
    assert!(!bench.artifact("vote").exists(), "no empty folders");

    // Back to the earlier parameter: everything stands in its place again, and nothing is run.
    bench.toy("basic").suffix = "basic,".to_owned();
    bench.options.selection = Selection::All;
    bench.runs("");
    assert_eq!((published(&bench).as_str(), listed(&bench).as_str()), (ALL, ALL));
    assert_eq!(fs::read_text(&bench.artifact("basic/text.txt")).unwrap(), "basic,");
    bench.runs("");
    assert!(bench.heard.is_empty());
}

#[test]
fn a_failed_run_leaves_nothing_that_does_not_belong_together() {
    let mut bench = bench();
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.toy("vote").act = Act::Fail;
    assert_eq!(bench.try_run().unwrap().outcome, Outcome::Failed);
    assert_eq!(published(&bench), "basic/text.txt other/text.txt");
    bench.toy("vote").act = Act::Join;
    bench.runs("vote page");
    assert_eq!(published(&bench), ALL);
}

#[test]
fn an_interrupted_run_leaves_nothing_that_does_not_belong_together() {
    let mut bench = bench();
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.toy("vote").act = Act::Checkpoint;
    let summary = bench.try_run_with(Listener { stop_at: Some("vote"), ..Listener::default() }).unwrap();
    assert_eq!(summary.outcome, Outcome::Interrupted(Signal::Interrupt));
    assert_eq!((published(&bench), listed(&bench)), ("basic/text.txt other/text.txt".to_owned(), published(&bench)));
}

#[test]
fn a_result_with_the_same_bytes_withdraws_nothing() {
    let mut bench = bench();
    bench.toy("basic").version = 2;
    bench.options.selection = until("basic");
    bench.runs("basic");
    assert_eq!(published(&bench), ALL);
}

#[test]
fn a_single_stage_is_made_from_what_is_published_beside_it() {
    let mut bench = bench();
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.runs("basic vote page");
    // Back to the first `basic`, which lies in the cache; only `vote` is asked for.
    bench.toy("basic").suffix = "basic,".to_owned();
    bench.toy("vote").suffix = "VOTE,".to_owned();
    bench.options.selection = Selection::Single(vec!["vote".parse().unwrap()]);
    bench.runs("vote");
    assert_eq!(fs::read_text(&bench.artifact("vote/text.txt")).unwrap(), "basic,other,VOTE,");
    assert_eq!(fs::read_text(&bench.artifact("basic/text.txt")).unwrap(), "basic,");
    assert_eq!(published(&bench), "basic/text.txt basic/vote.txt other/text.txt vote/text.txt");
}

#[test]
fn an_edited_file_is_not_withdrawn_but_named() {
    let mut bench = bench();
    fs::write(&bench.artifact("page/text.txt"), "edited").unwrap();
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.options.selection = until("basic");
    bench.runs("basic");
    let said = bench.heard[1].replace(&bench.artifact("").display().to_string(), "");
    insta::assert_snapshot!(said, @"warning: made from an earlier result, but were edited since: `page/text.txt`; left as they are, and not listed in `SHA256SUMS`");
    assert_eq!(fs::read_text(&bench.artifact("page/text.txt")).unwrap(), "edited");
    assert!(!listed(&bench).contains("page"));
}

#[test]
fn what_cannot_come_back_is_not_withdrawn() {
    let mut bench = bench();
    std::fs::remove_dir_all(bench.artifact(".cache/objects")).unwrap();
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.options.selection = until("basic");
    bench.runs("basic");
    assert!(bench.heard[1].contains("the cache does not hold them"), "{:?}", bench.heard);
    assert_eq!(published(&bench), ALL);
    assert_eq!(listed(&bench), "basic/text.txt other/text.txt");
}

#[test]
#[cfg(unix)]
fn a_folder_or_a_link_in_the_place_of_a_published_file_is_left() {
    let mut bench = bench();
    let (page, vote) = (bench.artifact("page/text.txt"), bench.artifact("vote/text.txt"));
    fs::remove(&page).unwrap();
    fs::write(&page.join("mine"), "mine").unwrap();
    fs::remove(&vote).unwrap();
    std::os::unix::fs::symlink(bench.path("elsewhere"), &vote).unwrap();
    fs::write(&bench.path("elsewhere"), "basic,other,vote,").unwrap();
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.options.selection = until("basic");
    bench.runs("basic");
    assert!(page.join("mine").is_file() && vote.is_symlink() && bench.path("elsewhere").is_file());
    assert!(bench.heard[1].contains("page/text.txt") && bench.heard[1].contains("vote/text.txt"), "{:?}", bench.heard);
}

#[test]
fn going_back_in_a_partial_run_brings_everything_back() {
    let mut bench = bench();
    bench.options.selection = until("basic");
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.runs("basic");
    bench.toy("basic").suffix = "basic,".to_owned();
    bench.runs("");
    assert_eq!((published(&bench).as_str(), listed(&bench).as_str()), (ALL, ALL));
}

#[test]
fn a_kill_before_the_lock_file_is_written_leaves_no_mixture() {
    let mut bench = bench();
    let lock = fs::read(&bench.artifact("pipeline.lock")).unwrap();
    bench.options.selection = until("basic");
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.runs("basic");
    fs::write(&bench.artifact("pipeline.lock"), lock).unwrap();
    fs::remove(&bench.artifact("basic/text.txt")).unwrap();
    bench.options.selection = Selection::Single(vec!["vote".parse().unwrap()]);
    assert_eq!(bench.ran(), "vote");
    assert_eq!(fs::read_text(&bench.artifact("basic/text.txt")).unwrap(), "BASIC,");
    assert_eq!(fs::read_text(&bench.artifact("vote/text.txt")).unwrap(), "BASIC,other,vote,");
    assert_eq!(published(&bench), "basic/text.txt basic/vote.txt other/text.txt vote/text.txt");
}

#[test]
fn a_run_that_lacks_an_input_touches_nothing() {
    let mut bench = bench();
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.runs("basic vote page");
    bench.toy("basic").suffix = "basic,".to_owned();
    let other = bench.output("other");
    std::fs::remove_dir_all(other.parent().unwrap()).unwrap();
    bench.options.selection = Selection::Single(vec!["vote".parse().unwrap()]);
    let state = |bench: &Bench| (fs::read(&bench.artifact("pipeline.lock")).unwrap(), published(bench), listed(bench));
    let before = state(&bench);
    assert!(matches!(bench.try_run(), Err(EngineError::NotReady { .. })));
    assert!(before == state(&bench), "the folder is as it was");
}

#[test]
fn an_edited_result_of_another_stage_is_left_out_of_the_sums_and_named() {
    let mut bench = bench();
    fs::write(&bench.artifact("page/text.txt"), "edited").unwrap();
    bench.options.selection = until("other");
    bench.runs("");
    assert_eq!(listed(&bench), ALL.replace("page/text.txt ", ""));
    assert!(bench.heard.iter().any(|line| line.contains("`page/text.txt`: edited since")), "{:?}", bench.heard);
}

#[test]
fn a_mixture_that_an_earlier_version_has_left_is_cleared_up() {
    let mut bench = bench();
    let vote = fs::read(&bench.artifact("vote/text.txt")).unwrap();
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.options.selection = until("basic");
    bench.runs("basic");
    fs::write(&bench.artifact("vote/text.txt"), vote).unwrap();
    bench.options.selection = until("other");
    bench.runs("");
    assert_eq!(published(&bench), "basic/text.txt other/text.txt");
}

#[test]
fn what_depends_on_what_is_outdated_is_outdated() {
    let bench = bench();
    let mut lock = bench.lock();
    assert!(lock.outdated().is_empty() && lock.withdrawn().is_none());
    let id = |name: &str| name.parse::<StageId>().unwrap();
    lock.stages.get_mut(&id("other")).unwrap().output = crate::digest::Digest::of_bytes(b"new");
    let found: Vec<String> = lock.outdated().iter().map(|(stage, inputs)| format!("{stage} by {}", inputs[0])).collect();
    assert_eq!(found, ["page by vote", "vote by other"]);
}

#[test]
fn what_a_kill_has_left_is_removed_and_nothing_else() {
    let mut bench = bench();
    let ours =
        [".partial-abcdefghijkl.pipeline", "basic/.partial-ABCDEFGHIJKL.pipeline", ".cache/.partial-abcdefghijkl.pipeline"];
    let theirs = [".partial-mine", "basic/.partial-notes1", "mine/.partial-abcdefghijkl.pipeline"];
    for name in ours.iter().chain(&theirs) {
        fs::write(&bench.artifact(name), "left").unwrap();
    }
    bench.runs("");
    assert!(ours.iter().all(|name| !bench.artifact(name).exists()));
    assert!(theirs.iter().all(|name| bench.artifact(name).exists()));
    // A kill between the last steps of a stage leaves its scratch folder.
    let key = bench.lock().stages[&"basic".parse::<StageId>().unwrap()].key;
    fs::write(&bench.artifact(&format!(".cache/scratch/{key}/checkpoint")), "left").unwrap();
    bench.runs("");
    assert_eq!(fs::entries(&bench.artifact(".cache/scratch")).unwrap(), [""; 0]);
    bench.toy("basic").act = Act::Litter;
    bench.toy("basic").suffix = "BASIC,".to_owned();
    bench.runs("basic vote page");
    assert_eq!(fs::entries(&bench.artifact(".cache/scratch")).unwrap(), [""; 0]);
}
