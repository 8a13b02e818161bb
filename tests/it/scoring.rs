//! `pipeline score` and `merge-shards` as a user runs them: exit codes, pipes, processes that are killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::workshop::Workshop;

const MODEL: &str = r#"
version: 1
seed: 3
stages:
  raw:      { fetch: { dataset: garments, dir: data, garments: { train: 120, test: 60 } } }
  merged:   { merge: { data: raw, train: "Fashion Train Data {1..6}.csv", test: "Fashion Test Data.csv" } }
  parts:    { split: { data: merged, validation: 0.25 } }
  net:      { train: { data: parts, model: { mlp: { units: [16] } }, epochs: 1 } }
  exported: { export: { models: [net] } }
"#;

/// A folder with a model, `net.onnx`, and a table, `x.csv`, of so many rows.
pub fn workshop(rows: usize) -> Workshop {
    let workshop = Workshop::with(MODEL);
    workshop.pipeline(&["run"]).expect(0);
    std::fs::copy(workshop.path("artifacts/net/model.onnx"), workshop.path("net.onnx")).unwrap();
    let names: Vec<String> = (1..=784).map(|n| format!("pixel{n}")).collect();
    let mut text = format!("label,{}\n", names.join(","));
    let mut random = 1_u32;
    for row in 0..rows {
        text += &(row % 10).to_string();
        for _ in 0..784 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text += &format!(",{}", random >> 24);
        }
        text.push('\n');
    }
    workshop.write("x.csv", text);
    workshop
}

pub const SCORE: [&str; 5] = ["score", "-m", "net.onnx", "-i", "x.csv"];

#[test]
fn exit_codes_of_scoring_are_those_published() {
    let workshop = workshop(300);
    let score = |more: &[&str]| workshop.pipeline(&[&SCORE[..], more].concat());
    score(&[]).expect(0).says("300 rows → predictions.csv");
    score(&["-o", "y.txt"]).expect(2).says("tells no format");
    score(&["--max-errors", "1"]).expect(2).says("have no meaning");
    score(&["--shard", "3/2"]).expect(2).says("no shard 3 of 2");
    score(&["--columns", "labels"]).expect(2).says("true_label");
    score(&["--top-k", "11"]).expect(2).says("knows 10 classes; ask for 10 at most");
    workshop.pipeline(&["score", "-m", "none.onnx", "-i", "x.csv"]).expect(2);
    workshop.pipeline(&["score", "-m", "x.csv", "-i", "x.csv"]).expect(5);

    let text = workshop.read("x.csv").replacen("\n", "\nx", 5).replacen("\nx", "\n", 1);
    workshop.write("bad.csv", text);
    let bad =
        |more: &[&str]| workshop.pipeline(&[&["score", "-m", "net.onnx", "-i", "bad.csv", "-o", "bad.jsonl"], more].concat());
    bad(&[]).expect(1).says("bad.csv`: row 2 (line 3), column 1 (`label`): ");
    bad(&["--on-error", "skip", "--max-errors", "3"]).expect(1).says("more than 3 rows").says("row 5");
    bad(&["--on-error", "skip", "--max-errors", "4", "--rejects", "r.csv"]).expect(0).says("296 rows → bad.jsonl, 4 rejected");
    assert_eq!(workshop.read("bad.jsonl").lines().count(), 296);
    assert_eq!(workshop.read("r.csv").lines().count(), 5);
    bad(&["--on-error", "null"]).expect(0);
    assert_eq!(workshop.read("bad.jsonl").lines().count(), 300);

    for shard in ["1", "2"] {
        score(&["-o", &format!("s{shard}.csv"), "--shard", &format!("{shard}/2")]).expect(0);
    }
    workshop.pipeline(&["merge-shards", "s1.csv", "-o", "all.csv"]).expect(2).says("1 is missing: 2/2");
    workshop.pipeline(&["merge-shards", "s2.csv", "s1.csv", "-o", "predictions2.csv"]).expect(0).says("300 rows of 2 shards");
    assert_eq!(workshop.read("predictions2.csv"), workshop.read("predictions.csv"));
    workshop.write("s2.csv", "label\n");
    workshop.pipeline(&["merge-shards", "s2.csv", "s1.csv", "-o", "all.csv"]).expect(5).says("`s2.csv` is not what");
}

#[test]
fn a_reader_of_the_standard_output_may_go_at_any_time() {
    let workshop = workshop(20_000);
    let mut child =
        workshop.command(&[&SCORE[..], &["-o", "-"]].concat()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("label,class,confidence,"), "{line}");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn the_standard_input_is_scored_as_a_file_is() {
    let workshop = workshop(100);
    workshop.pipeline(&SCORE).expect(0);
    let mut child = workshop
        .command(&["score", "-m", "net.onnx", "-i", "-", "-o", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let text = workshop.read("x.csv");
    let mut input = child.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), workshop.read("predictions.csv"));
}

#[test]
fn a_process_that_is_killed_goes_on_to_the_same_bytes() {
    kill(&workshop(12_000), 4);
}

/// Run by hand: `cargo test --release fifty_kills -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute"]
#[expect(clippy::print_stderr, reason = "its result is a figure")]
fn fifty_kills() {
    let runs = kill(&workshop(60_000), 50);
    eprintln!("50 kills in {runs} runs");
}

/// Kills runs in the midst until there were so many kills, and compares the files of every run that comes to its end with
/// those of one that was not interrupted. How many runs that took.
fn kill(workshop: &Workshop, kills: usize) -> usize {
    let arguments = [&SCORE[..], &["-o", "y.csv", "--rejects", "r.csv", "--on-error", "skip", "--resume"]].concat();
    let files = ["y.csv", "y.csv.manifest.json", "r.csv"];
    let start = std::time::Instant::now();
    workshop.pipeline(&arguments).expect(0);
    let whole = start.elapsed();
    let expected = files.map(|name| workshop.read(name));
    files.iter().for_each(|name| std::fs::remove_file(workshop.path(name)).unwrap());
    let (mut killed, mut runs, mut random) = (0, 0, 0x9e37_79b9_7f4a_7c15_u64);
    while killed < kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = whole.mul_f64(0.02 + (random >> 40) as f64 / (1_u64 << 24) as f64);
        let mut child = workshop.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        runs += 1;
        if has_ended(&mut child, wait) {
            assert!(child.wait().unwrap().success());
            assert_eq!(files.map(|name| workshop.read(name)), expected, "after {killed} kills");
            files.iter().for_each(|name| std::fs::remove_file(workshop.path(name)).unwrap());
        } else {
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
            killed += 1;
        }
    }
    workshop.pipeline(&arguments).expect(0);
    assert_eq!(files.map(|name| workshop.read(name)), expected, "after {killed} kills");
    runs
}

/// Whether a process ends within some time.
fn has_ended(child: &mut Child, within: Duration) -> bool {
    let end = std::time::Instant::now() + within;
    while std::time::Instant::now() < end {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}
