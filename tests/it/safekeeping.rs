//! What must never happen to files and results: whole runs whose inputs change, whose cache is damaged, whose folder cannot be
//! written, whose output nobody reads.

use std::process::Stdio;

use crate::workshop::{Workshop, files_below};

/// Nearly every kind of stage, on images of 4×4.
const TINY: &str = r#"
version: 1
name: tiny
seed: 3
stages:
  m: { merge: { train: data/train.csv, test: data/test.csv, image: { channels: 1, height: 4, width: 4 }, classes: [a, b] } }
  s: { split: { data: m, validation: 0.25 } }
  g: { augment: { data: s, flip: horizontal } }
  u: { tune: { data: g, model: mlp, trials: 3, train: { epochs: 2 }, search: { model.mlp.units.0: { int: { min: 4, max: 16 } }, optimizer.adamw.learning_rate: { log: { min: 0.001, max: 0.01 } } } } }
  n: { train: { data: g, model: { mlp: { units: [8] } }, epochs: 3, batch_size: 8, refit: true } }
  c: { train: { data: g, model: { basic: { filters: [4], units: 8 } }, epochs: 3, batch_size: 8 } }
  d: { distill: { data: g, teacher: c, model: { mlp: { units: [8] } }, epochs: 2, variants: 2 } }
  v: { ensemble: { models: [n, c], weights: validation, data: s } }
  p: { compare: { models: [n, c, v], data: s, robustness: { samples: 10, severities: [1] } } }
  e: { export: { models: [n, c, v] } }
  y: { verify: { export: e, data: s } }
  z: { score: { model: e/v, after: y, input: data/test.csv, output: z.csv } }
  r: { report: { of: [p, v, y, z] } }
"#;

/// Rows of images of two classes, told apart by where they are bright.
fn table(rows: u32, salt: u32) -> String {
    let header: Vec<String> = (1..=16).map(|number| format!("pixel{number}")).collect();
    let row = |row: u32| {
        let label = row % 2;
        let pixel = |place: u32| match place / 8 == label {
            true => 200 + (row * 7 + place * 3 + salt) % 50,
            false => (row * 5 + place * 11 + salt) % 50,
        };
        let pixels: Vec<String> = (0..16).map(|place| pixel(place).to_string()).collect();
        format!("{label},{}\n", pixels.join(","))
    };
    format!("label,{}\n{}", header.join(","), (0..rows).map(row).collect::<String>())
}

fn tiny() -> Workshop {
    let workshop = Workshop::with(TINY);
    workshop.write("data/train.csv", table(80, 1));
    workshop.write("data/test.csv", table(40, 2));
    workshop
}

#[test]
fn two_clean_runs_have_the_same_lock_file_and_sums_and_the_lock_holds_elsewhere() {
    let [first, second] = [tiny(), tiny()];
    first.pipeline(&["run"]).expect(0);
    second.pipeline(&["run", "-j", "3"]).expect(0);
    for file in ["pipeline.lock", "SHA256SUMS"] {
        assert_eq!(first.read(&format!("artifacts/{file}")), second.read(&format!("artifacts/{file}")), "{file}");
    }
    let lists = ["SHA256SUMS", "SHA256SUMS.measured"].map(|list| first.read(&format!("artifacts/{list}")));
    assert!(lists[0].contains("n/model.onnx") && lists[0].contains("z.csv") && !lists[0].contains("metrics.json"));
    assert!(lists[1].contains("n/metrics.json") && lists[1].contains("r.html"));

    let checkout = tiny();
    checkout.write("artifacts/pipeline.lock", first.read("artifacts/pipeline.lock"));
    checkout.pipeline(&["run", "--locked"]).expect(0);
    assert_eq!(checkout.read("artifacts/SHA256SUMS"), first.read("artifacts/SHA256SUMS"));
}

#[test]
fn after_a_partial_run_every_verb_tells_the_same_state() {
    let workshop = tiny();
    workshop.pipeline(&["run"]).expect(0);
    let lock = workshop.read("artifacts/pipeline.lock");
    workshop
        .pipeline(&["run", "-S", "c.epochs=2", "--until", "c"])
        .expect(0)
        .says("withdrawn, because they were made from an earlier");
    let files = ["c/metrics.json", "c/model.onnx", "v/metrics.json", "n/metrics.json"];
    let there = |workshop: &Workshop| files.map(|file| workshop.path(&format!("artifacts/{file}")).is_file());
    assert_eq!(there(&workshop), [true, false, false, true]);
    workshop.pipeline(&["metrics"]).expect(0).says("withdrawn");
    workshop.pipeline(&["status"]).expect(0).says("withdrawn");

    // Without the override, `status`, `explain` and `plan` say of each stage the same, and what they say comes about.
    let [status, plan] = ["status", "plan"].map(|verb| workshop.pipeline(&[verb]).expect(0).stdout);
    for stage in ["c", "v", "e", "n"] {
        let explained = workshop.pipeline(&["explain", stage]).expect(0).stdout;
        let line = |text: &str| text.lines().find(|line| line.split_whitespace().next() == Some(stage)).unwrap().to_owned();
        let key = explained.lines().find_map(|line| line.trim().strip_prefix("key")).unwrap().trim()[..12].to_owned();
        assert!(line(&status).contains("cached") && line(&plan).contains("cached"), "{status}{plan}");
        assert!(explained.lines().next().unwrap().contains("cached"), "{explained}");
        assert!(line(&status).contains(&key), "{key} is not in\n{status}");
        let puts_back =
            [line(&status), line(&plan), explained.lines().next().unwrap().to_owned()].map(|text| text.contains("puts back"));
        assert_eq!(puts_back, [stage != "n"; 3], "{stage}");
    }
    workshop.pipeline(&["run"]).expect(0).says("nothing to do");
    assert_eq!(there(&workshop), [true; 4]);
    assert_eq!(workshop.read("artifacts/pipeline.lock"), lock);
}

#[test]
#[cfg(unix)]
fn complete_artifacts_that_cannot_be_written_are_complete() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let workshop = tiny();
    workshop.pipeline(&["run", "--until", "s"]).expect(0);
    let is_root = workshop.path("data").metadata().unwrap().uid() == 0;
    let binary = workshop.path("pipeline");
    std::fs::copy(workshop.command(&[]).get_program(), &binary).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&binary);
        command.args(arguments).current_dir(workshop.path("")).env("NO_COLOR", "1");
        if is_root {
            command.uid(65_534).gid(65_534); // to whom permissions apply
        }
        command.output().unwrap()
    };
    let mut folders = vec![workshop.path("")];
    let set = |path: &std::path::Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else if path != binary {
                set(&path, 0o444)
            }
        }
        set(&folder, 0o555);
    }
    let (same, more) = (run(&["run", "--until", "s"]), run(&["run", "--until", "g"]));
    let mut folders = vec![workshop.path("")];
    while let Some(folder) = folders.pop() {
        set(&folder, 0o755); // so that it can be removed
        folders.extend(std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()));
    }
    let text = String::from_utf8_lossy(&same.stdout).into_owned();
    assert!(same.status.success() && text.contains("nothing to do"), "{text}{}", String::from_utf8_lossy(&same.stderr));
    let text = String::from_utf8_lossy(&more.stderr).into_owned();
    assert!(more.status.code() == Some(1) && text.contains("stage `g` must run"), "{text}");
}

#[test]
#[cfg(unix)]
fn a_limit_of_file_sizes_is_an_error_and_the_next_run_goes_on() {
    let workshop = tiny();
    let binary = workshop.command(&[]).get_program().to_owned();
    let limited = |blocks: &str| {
        let script = format!("ulimit -f {blocks}; exec \"$0\" run");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]).arg(&binary).current_dir(workshop.path("")).env("NO_COLOR", "1").output().unwrap()
    };
    for blocks in ["0", "1", "8"] {
        let output = limited(blocks);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{blocks} blocks: {:?}\n{text}", output.status);
        assert!(text.contains("too large") || text.contains("too big"), "{text}");
    }
    workshop.pipeline(&["run"]).expect(0);
    let partial = files_below(&workshop.path("artifacts")).into_iter().find(|path| path.to_string_lossy().contains(".partial-"));
    assert_eq!(partial, None);
}

#[test]
#[cfg(unix)]
fn an_output_that_nobody_reads_ends_nothing() {
    let workshop = tiny();
    let mut child = workshop.command(&["run", "--until", "s"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    for arguments in [&["plan"][..], &["status"], &["explain", "c"], &["schema"], &["--help"], &["cache", "ls"]] {
        let mut child = workshop.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_cache_that_is_not_there_is_not_a_cache_in_order() {
    let workshop = tiny();
    for verb in ["ls", "verify", "gc"] {
        workshop.pipeline(&["cache", verb, "--artifacts", "nowhere"]).expect(2).says("there is no cache in `nowhere`");
        assert!(!workshop.path("nowhere").exists(), "looking makes nothing");
    }
}

#[test]
fn no_error_tells_its_text_twice() {
    let workshop = tiny();
    workshop.write("data/train.csv", "label,pixel1\n0,1\n");
    let merge = workshop.pipeline(&["run"]).expect(1).stdout;
    workshop.write("data/train.csv", table(80, 1));
    workshop.pipeline(&["run", "--until", "e"]).expect(0);
    workshop.write("empty.csv", "");
    let score = workshop.pipeline(&["score", "-m", "artifacts/v/model.onnx", "-i", "empty.csv", "-o", "x.csv"]).text();
    workshop.write("broken.onnx", "broken");
    let model = workshop.pipeline(&["score", "-m", "broken.onnx", "-i", "empty.csv", "-o", "x.csv"]).text();
    let fetched = "version: 1\nstages:\n  a: { fetch: { dataset: fashion-mnist, dir: nowhere, offline: true } }\n";
    workshop.write("no-data.yaml", fetched);
    let fetch = workshop.pipeline(&["run", "no-data.yaml"]).expect(1).text();
    for text in [merge, score, model, fetch] {
        for line in text.lines() {
            let parts: Vec<&str> = line.split(": ").filter(|part| part.len() > 12).collect();
            let again = parts.iter().enumerate().find(|(place, part)| parts[..*place].contains(part));
            assert_eq!(again, None, "{text}");
        }
    }
}
