//! Where outputs go: never over what is read, through devices and links, and past what others have left.
#![cfg(unix)]

use std::os::unix::fs::{FileTypeExt, symlink};

use super::*;
use crate::score::journal::{Identity, Journal};

/// A table and a model in files, and a request for them.
fn workshop() -> (Workshop, Loaded) {
    let workshop = Workshop::new();
    workshop.write("x.csv", Rows::new(9, 1).table(true));
    let bytes = encode(workshop.model.proto());
    fs::write(&workshop.path("m.onnx"), bytes).unwrap();
    let model = Loaded::open(&workshop.path("m.onnx")).unwrap();
    (workshop, model)
}

fn request<'a>(workshop: &Workshop, model: &'a Loaded, output: &str, rejects: Option<&str>) -> Request<'a> {
    let inputs = vec![Input::File(workshop.path("x.csv"))];
    let request = Request::new(model, inputs, Output::File(workshop.path(output)));
    let on_error = if rejects.is_some() { OnError::Skip } else { OnError::Fail };
    Request { on_error, rejects: rejects.map(|name| workshop.path(name)), format: OutputFormat::Csv, ..with_id(request) }
}

/// All files of the folder with their content.
fn files(workshop: &Workshop) -> Vec<(String, Vec<u8>)> {
    let names = fs::entries(workshop.folder.path()).unwrap();
    names.into_iter().filter_map(|name| Some((name.clone(), fs::read(&workshop.path(&name)).ok()?))).collect()
}

#[test]
fn no_output_is_written_over_an_input_or_another_output() {
    let (workshop, model) = workshop();
    workshop.write("o.csv.manifest.json", "an input too");
    symlink("x.csv", workshop.path("link.csv")).unwrap();
    std::fs::hard_link(workshop.path("x.csv"), workshop.path("hard.csv")).unwrap();
    let before = files(&workshop);
    for (output, rejects) in [
        ("x.csv", None),
        ("./x.csv", None),
        ("none/../x.csv", None),
        ("link.csv", None),
        ("hard.csv", None),
        ("m.onnx", None),
        ("o.csv", Some("x.csv")),
        ("o.csv", Some("m.onnx")),
        ("o.csv", Some("o.csv")),
        ("o.csv", Some("./o.csv")),
        ("o.csv", Some("o.csv.partial")),
        ("o.csv", Some("o.csv.journal")),
        ("o.csv", Some("o.csv.manifest.json")),
        ("r.csv.partial", Some("r.csv")),
        ("new/o.csv", Some("new/../new/o.csv")),
    ] {
        let error = score(request(&workshop, &model, output, rejects), &Silent).unwrap_err();
        assert!(matches!(error, ScoreError::Invalid(_)), "{output} {rejects:?}: {error}");
        assert!(error.to_string().contains("are one file"), "{output} {rejects:?}: {error}");
        assert!(files(&workshop) == before, "{output} {rejects:?}");
    }
    // An input where the manifest would be.
    let inputs = vec![Input::File(workshop.path("o.csv.manifest.json"))];
    let error = score(Request { inputs, ..request(&workshop, &model, "o.csv", None) }, &Silent).unwrap_err();
    assert!(error.to_string().starts_with("the manifest `"), "{error}");
    assert!(files(&workshop) == before);
}

#[test]
fn merged_shards_are_not_written_over_a_shard_or_what_lies_beside_it() {
    let (workshop, model) = workshop();
    for index in 1..=2 {
        let shard = Some(Shard::new(index, 2).unwrap());
        let names = (format!("s{index}.csv"), format!("r{index}.csv"));
        score(Request { shard, ..request(&workshop, &model, &names.0, Some(&names.1)) }, &Silent).unwrap();
    }
    let before = files(&workshop);
    let shards = [workshop.path("s1.csv"), workshop.path("s2.csv")];
    for (output, rejects) in [
        ("s1.csv", "all.r.csv"),
        ("none/../s2.csv", "all.r.csv"),
        ("all.csv", "s1.csv"),
        ("all.csv", "r2.csv"),
        ("all.csv", "all.csv"),
        ("s1.csv.manifest.json", "all.r.csv"),
        ("all.csv", "s2.csv.manifest.json"),
    ] {
        let error = merge_shards(&shards, &workshop.path(output), Some(&workshop.path(rejects)), &Silent).unwrap_err();
        assert!(matches!(error, ScoreError::Invalid(_)), "{output} {rejects}: {error}");
        assert!(error.to_string().contains("are one file"), "{output} {rejects}: {error}");
        assert!(files(&workshop) == before, "{output} {rejects}");
    }
    for (output, expected) in [("/dev/null", "no plain file"), (workshop.folder.path().to_str().unwrap(), "is a folder")] {
        let error = merge_shards(&shards, Path::new(output), Some(&workshop.path("all.r.csv")), &Silent).unwrap_err();
        assert!(matches!(&error, ScoreError::Invalid(text) if text.contains(expected)), "{error}");
    }
    merge_shards(&shards, &workshop.path("all.csv"), Some(&workshop.path("all.r.csv")), &Silent).unwrap();
}

#[test]
fn a_device_is_written_through_and_gets_no_files_beside_it() {
    let (workshop, model) = workshop();
    let before = files(&workshop);
    let null = PathBuf::from("/dev/null");
    let through = |resume| Request {
        output: Output::File(null.clone()),
        rejects: Some(null.clone()),
        resume,
        ..request(&workshop, &model, "", Some(""))
    };
    let summary = score(through(false), &Silent).unwrap();
    assert_eq!((summary.manifest.tally.scored, summary.manifest.output.file), (9, None));
    assert!(std::fs::metadata(&null).unwrap().file_type().is_char_device());
    assert!(files(&workshop) == before && !Path::new("/dev/null.manifest.json").exists());
    let error = score(through(true), &Silent).unwrap_err();
    assert!(matches!(&error, ScoreError::Invalid(text) if text.contains("cannot be gone on with")), "{error}");
}

#[test]
fn what_a_link_leads_to_is_replaced_and_the_link_stays() {
    let (workshop, model) = workshop();
    fs::create_dir(&workshop.path("far")).unwrap();
    fs::write(&workshop.path("far/old.csv"), "old").unwrap();
    for (link, target) in [("o.csv", "far/old.csv"), ("r.csv", "far/new.csv")] {
        symlink(target, workshop.path(link)).unwrap();
    }
    score(request(&workshop, &model, "o.csv", Some("r.csv")), &Silent).unwrap();
    score(request(&workshop, &model, "plain.csv", Some("plain.r.csv")), &Silent).unwrap();
    assert!(workshop.path("o.csv").is_symlink() && workshop.path("r.csv").is_symlink());
    assert_eq!(fs::read(&workshop.path("far/old.csv")).unwrap(), fs::read(&workshop.path("plain.csv")).unwrap());
    assert_eq!(fs::read(&workshop.path("far/new.csv")).unwrap(), fs::read(&workshop.path("plain.r.csv")).unwrap());
    assert_eq!(fs::entries(&workshop.path("far")).unwrap(), ["new.csv", "old.csv"]);
    assert!(workshop.path("o.csv.manifest.json").exists());
}

#[test]
fn temporary_files_are_not_written_through_planted_links() {
    let (workshop, model) = workshop();
    fs::write(&workshop.path("victim"), "precious").unwrap();
    for planted in ["o.csv.partial", "o.csv.journal", "r.csv.partial", "o.csv.manifest.part"] {
        symlink("victim", workshop.path(planted)).unwrap();
        let before = files(&workshop);
        let error = score(request(&workshop, &model, "o.csv", Some("r.csv")), &Silent).unwrap_err();
        assert!(matches!(&error, ScoreError::Invalid(text) if text.contains(planted)), "{planted}: {error}");
        assert!(files(&workshop) == before, "{planted}");
        fs::remove(&workshop.path(planted)).unwrap();
    }
}

#[test]
fn a_folder_as_an_output_is_refused_at_the_start() {
    let (workshop, model) = workshop();
    fs::create_dir(&workshop.path("sub")).unwrap();
    symlink("sub", workshop.path("link")).unwrap();
    for (output, rejects) in [("sub", None), ("link", None), ("new/", None), ("o.csv", Some("sub"))] {
        let error = score(request(&workshop, &model, output, rejects), &Silent).unwrap_err();
        assert!(matches!(&error, ScoreError::Invalid(text) if text.contains("is a folder")), "{output}: {error}");
    }
    fs::create_dir(&workshop.path("o.csv.manifest.json")).unwrap();
    let error = score(request(&workshop, &model, "o.csv", None), &Silent).unwrap_err();
    assert!(matches!(&error, ScoreError::Invalid(text) if text.contains("is a folder")), "{error}");
    assert!(!workshop.path("o.csv.journal").exists() && !workshop.path("o.csv.partial").exists());
}

#[test]
fn a_manifest_that_could_not_be_a_file_is_refused_at_the_start() {
    let (workshop, model) = workshop();
    symlink("/dev/null", workshop.path("o.csv.manifest.json")).unwrap();
    let before = files(&workshop);
    let error = score(request(&workshop, &model, "o.csv", None), &Never).unwrap_err();
    assert!(matches!(&error, ScoreError::Invalid(text) if text.contains("o.csv.manifest.json` is no plain file")), "{error}");
    assert!(files(&workshop) == before);
}

/// Does not let anything be scored.
struct Never;

impl Progress for Never {
    fn begin(&self, what: &str, _total: u64, _unit: &str) {
        panic!("{what} began");
    }
    fn advance(&self, _done: u64, _message: &str) {}
    fn note(&self, _line: &str) {}
    fn warn(&self, _line: &str) {}
    fn interrupted(&self) -> bool {
        false
    }
}

/// What an earlier run into `o.csv` was, with another list of rejects.
fn identity(workshop: &Workshop, model: &Loaded) -> Identity {
    Identity {
        model: model.digest(),
        options: request(workshop, model, "o.csv", Some("r.csv")).settings(&model.ready(None, Precision::Fp32).unwrap()),
        rejects: true,
        rejects_at: Some(workshop.path("other.csv").to_str().unwrap().to_owned()),
        shard: None,
        inputs: Vec::new(),
    }
}

#[test]
fn what_a_killed_run_has_left_is_removed_by_the_next_one() {
    let (workshop, model) = workshop();
    score(request(&workshop, &model, "o.csv", Some("r.csv")), &Silent).unwrap();
    let expected = files(&workshop);
    let identity = identity(&workshop, &model);
    Journal::open(&workshop.path("o.csv"), &identity, false).unwrap().journal.begin(&identity).unwrap();
    let left = [
        ("o.csv.partial", "label,class"),
        ("o.csv.manifest.part", "{"),
        ("r.csv.partial", "file,row"),
        ("other.csv.partial", "file,row,column,reason\nx.csv,1,pixel1,bad\n"),
    ];
    for (name, text) in left {
        fs::write(&workshop.path(name), text).unwrap();
    }
    score(request(&workshop, &model, "o.csv", Some("r.csv")), &Silent).unwrap();
    assert!(files(&workshop) == expected, "{:?}", fs::entries(workshop.folder.path()));
}

#[test]
fn a_run_that_is_killed_before_it_begins_does_not_hide_what_was_left() {
    let (workshop, model) = workshop();
    let (place, journal, identity) = (workshop.path("o.csv"), workshop.path("o.csv.journal"), identity(&workshop, &model));
    let mut earlier = Journal::open(&place, &identity, false).unwrap().journal;
    earlier.begin(&identity).unwrap();
    let first_line = fs::read(&journal).unwrap();
    earlier.write(&"how far it has come").unwrap();
    drop(earlier);
    fs::write(&workshop.path("o.csv.partial"), "label,class").unwrap();
    for _ in 0..2 {
        let killed = Journal::open(&place, &identity, false).unwrap();
        assert!(killed.is_left && killed.checkpoint.is_none());
        drop(killed);
        assert_eq!(fs::read(&journal).unwrap(), first_line);
        let (_, is_left) = Journal::open_afresh(&place).unwrap();
        assert!(is_left);
        assert_eq!(fs::read(&journal).unwrap(), first_line);
    }
    score(request(&workshop, &model, "o.csv", None), &Silent).unwrap();
    assert_eq!(fs::entries(workshop.folder.path()).unwrap(), ["m.onnx", "o.csv", "o.csv.manifest.json", "x.csv"]);
}

#[test]
fn a_file_of_the_users_own_is_not_taken_for_what_a_run_has_left() {
    let (workshop, model) = workshop();
    for mine in ["o.csv.partial", "o.csv.journal", "r.csv.partial", "o.csv.manifest.part"] {
        fs::write(&workshop.path(mine), "my own notes\n").unwrap();
        let before = files(&workshop);
        let error = score(request(&workshop, &model, "o.csv", Some("r.csv")), &Silent).unwrap_err();
        assert!(matches!(&error, ScoreError::Invalid(text) if text.contains(mine) && text.contains("move it away")), "{error}");
        assert!(files(&workshop) == before, "{mine}");
        fs::remove(&workshop.path(mine)).unwrap();
    }
}

#[test]
fn a_list_of_rejects_that_another_run_writes_is_left_alone() {
    let (workshop, model) = workshop();
    let held = fs::GrowingFile::begin(&workshop.path("r.csv.partial")).unwrap();
    let error = score(request(&workshop, &model, "o.csv", Some("r.csv")), &Silent).unwrap_err();
    assert!(matches!(error, ScoreError::Held(_)), "{error}");
    drop(held);
    score(request(&workshop, &model, "o.csv", Some("r.csv")), &Silent).unwrap();
}
