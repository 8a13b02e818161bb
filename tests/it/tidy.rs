//! The rules of the house that the compiler does not hold: who may import whom, who may touch files, where `unsafe` and
//! printing live, how long a file may get.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Modules of the crate root that every room may use.
const COMMON: &[&str] = &["digest", "fault", "fs", "panics", "progress", "quote", "seed", "units"];

/// Each room and the rooms it may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("graph", &[]),
    ("spec", &["graph"]),
    ("engine", &["graph"]),
    ("data", &["graph"]),
    ("kernels", &[]),
    ("metrics", &[]),
    ("nn", &["data", "kernels", "metrics"]),
    ("train", &["nn", "data", "metrics", "graph", "spec"]),
    ("tune", &["train", "nn", "graph"]),
    ("ensemble", &["metrics"]),
    ("onnx", &["nn", "data"]),
    ("infer", &["onnx", "kernels", "metrics", "data"]),
    ("score", &["infer", "data", "graph"]),
    ("report", &["metrics", "data"]),
    (
        "stages",
        &["spec", "graph", "engine", "data", "nn", "metrics", "train", "tune", "ensemble", "onnx", "infer", "score", "report"],
    ),
    ("cli", &["spec", "graph", "engine", "stages", "score", "infer", "metrics", "data", "onnx", "report"]),
];

struct Source {
    path: PathBuf,
    room: String,
    /// The lines of the program, without comments and without the unit tests at the end of the file.
    code: Vec<(usize, String)>,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let relative = path.strip_prefix(&root).unwrap().to_owned();
            let room = match relative.components().count() {
                1 => relative.file_stem().unwrap().to_str().unwrap().to_owned(),
                _ => relative.components().next().unwrap().as_os_str().to_str().unwrap().to_owned(),
            };
            let is_test = relative.components().any(|part| ["tests", "tests.rs"].contains(&part.as_os_str().to_str().unwrap()));
            let code = text
                .lines()
                .take(if is_test { 0 } else { usize::MAX })
                .enumerate()
                .take_while(|(_, line)| !line.starts_with("#[cfg(test)]") && !line.starts_with("#![cfg(test)]"))
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
                .map(|(index, line)| (index + 1, line.to_owned()))
                .collect();
            Source { path: relative, room, code, lines: text.lines().count() }
        })
        .collect()
}

/// Fails with one line for each place where `fault` says something.
fn check(fault: impl Fn(&Source, &str) -> Option<String>) {
    let mut faults = Vec::new();
    for source in sources() {
        for (number, line) in &source.code {
            if let Some(message) = fault(&source, line) {
                faults.push(format!("src/{}:{number}: {message}", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The rooms that a line names as `crate::room`.
fn rooms_named(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        .map(|(at, _)| line[at + 7..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>())
        .filter(|room| !room.is_empty())
        .collect()
}

#[test]
fn rooms_import_only_what_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    check(|source, line| {
        let mine = allowed.get(source.room.as_str()).copied().unwrap_or(&[]);
        let outside_rooms = source.room == "main" || source.room == "lib";
        rooms_named(line)
            .into_iter()
            .find(|room| {
                !outside_rooms && *room != source.room && !COMMON.contains(&room.as_str()) && !mine.contains(&room.as_str())
            })
            .map(|room| format!("`{}` may not import `{room}`", source.room))
    });
}

#[test]
fn the_rooms_have_no_circle() {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    while done.len() < ROOMS.len() {
        let next =
            ROOMS.iter().find(|(room, imports)| !done.contains(room) && imports.iter().all(|import| done.contains(import)));
        done.insert(next.expect("the rooms that are left import each other in a circle").0);
    }
}

#[test]
fn every_folder_of_src_is_a_known_room() {
    let known: BTreeSet<&str> =
        ROOMS.iter().map(|(room, _)| *room).chain(COMMON.iter().copied()).chain(["lib", "main"]).collect();
    for source in sources() {
        assert!(known.contains(source.room.as_str()), "`{}` is not in the table of rooms", source.room);
    }
}

#[test]
fn only_fs_touches_files() {
    check(|source, line| {
        (source.room != "fs" && (line.contains("std::fs") || line.contains("fs::File::") || line.contains("File::open(")))
            .then(|| "files are reached through `crate::fs` alone".to_owned())
    });
}

#[test]
fn only_the_command_line_prints() {
    let printing = ["println!(", "eprintln!(", "print!(", "eprint!("];
    check(|source, line| {
        (source.room != "cli" && printing.iter().any(|word| line.contains(word)))
            .then(|| "nothing below `cli` prints; report through `Progress` or return it".to_owned())
    });
}

#[test]
fn unsafe_code_lives_in_the_kernels() {
    check(|source, line| {
        let forms = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"];
        (source.room != "kernels" && forms.iter().any(|form| line.contains(form)))
            .then(|| "`unsafe` belongs to `kernels`".to_owned())
    });
}

#[test]
fn no_error_is_its_own_source() {
    // `{0:#}` tells all causes, and so does whoever prints the chain of causes.
    check(|_, line| {
        line.contains("#[from] anyhow::Error")
            .then(|| "the text would be told twice; write `impl From<anyhow::Error>`".to_owned())
    });
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["todo!(", "unimplemented!(", "dbg!("];
    check(|_, line| words.iter().find(|word| line.contains(*word)).map(|word| format!("`{word}…)` is unfinished work")));
}

#[test]
fn files_are_about_one_thing() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|source| source.lines > 600)
        .map(|source| format!("src/{} has {} lines", source.path.display(), source.lines))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    for source in sources() {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&source.path)).unwrap();
        assert!(text.starts_with("//! "), "src/{} does not begin with `//! `, saying what it is", source.path.display());
    }
}
