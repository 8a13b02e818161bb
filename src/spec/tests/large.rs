//! Files that are large or hostile: the work on them is bounded, and told what it is bounded by. Work is counted, not timed.

use std::fmt::Write as _;

use super::super::suggest::DISTANCES;
use super::super::testing::{TestKind, read};
use super::*;

/// The problems of a file with these stages, and how many distances between names were measured to advise on them.
fn judge(stages: &str, options: &[&str]) -> (Problems, usize) {
    DISTANCES.set(0);
    let problems = read(&format!("version: 1\nstages:\n{stages}"), options).map(|_| ()).unwrap_err();
    (problems, DISTANCES.get())
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|number| format!("  {}\n", line(number))).collect()
}

#[test]
fn many_unknown_references_are_counted_and_few_get_advice() {
    let vote = |number: usize| {
        let models = (0..20).map(|other| format!("zz{number}x{other}")).collect::<Vec<_>>().join(", ");
        format!("s{number}: {{ vote: {{ models: [{models}], data: raw }} }}")
    };
    let (problems, distances) = judge(&lines(1900, vote), &[]);
    assert_eq!((problems.len(), problems.iter().len()), (1900 * 21, 100));
    assert!(distances <= 100 * 1900, "{distances}");
    assert!(problems.to_string().ends_with("and 39800 more\n"));
}

#[test]
fn many_unknown_keys_are_counted_and_few_get_advice() {
    let keys: String = (0..30_000).map(|number| format!("epohcs{number}: 1, ")).collect();
    let (problems, distances) = judge(&format!("  raw: {{ fetch: {{ {keys} }} }}\n"), &[]);
    assert_eq!((problems.len(), problems.iter().len()), (30_000, 100));
    assert!(distances <= 2 * 100 * 20, "{distances}");
}

#[test]
fn stages_and_values_are_limited_after_seeds_are_written_out() {
    let train = |number: usize| format!("s{number}: {{ train: {{ data: raw, model: basic, epochs: 1, seeds: 100 }} }}");
    let (problems, _) = judge(&lines(1000, train), &[]);
    let said = problems.to_string();
    assert!(problems.len() == 1 && said.starts_with("pipeline.yaml:23:"), "{said}");
    assert!(said.contains("there are more than 2000 stages up to here, those counted that `seeds` stands for"), "{said}");
    let layers = "relu, ".repeat(2000);
    let wide =
        |number: usize| format!("s{number}: {{ train: {{ data: raw, model: {{ layers: [{layers}] }}, epochs: 1, seeds: 90 }} }}");
    let (problems, _) = judge(&lines(1, wide), &[]);
    assert!(problems.to_string().contains("there are more than 100000 values up to here"), "{problems}");
    let names = "many, ".repeat(2000);
    let text = format!(
        "  raw: {{ fetch: {{}} }}\n  many: {{ train: {{ data: raw, model: basic, epochs: 1, seeds: 90 }} }}\n  all: {{ vote: {{ models: [{names}], data: raw }} }}\n"
    );
    let (problems, _) = judge(&text, &[]);
    assert!(
        problems.to_string().contains("lists that name stages with several seeds grow to more than 100000 values"),
        "{problems}"
    );
}

#[test]
fn a_file_has_a_largest_size() {
    let text = format!("version: 1\n#{}", "x".repeat(MOST_BYTES));
    let problems = read(&text, &[]).unwrap_err().to_string();
    assert!(problems.contains("the file has 1048588 bytes; 1048576 are the most"), "{problems}");
}

#[test]
fn marks_cost_what_they_hold() {
    // Sixty marks, one inside the other, around many values: each keeps a copy of all.
    let marks: String = (0..60).map(|number| format!("&m{number} [")).collect();
    let text = format!("version: {marks}{}{}\n", "1,".repeat(20_000), "]".repeat(60));
    let problems = read(&text, &[]).unwrap_err().to_string();
    assert!(problems.contains("there are more than 100000 values, counting those in aliases"), "{problems}");
}

#[test]
fn long_names_and_texts_stay_out_of_messages() {
    let long = "é".repeat(100_000);
    for text in [
        format!("  raw: {{ fetch: {{ {long}: 1 }} }}\n"),
        format!("  raw: {{ {long}: {{}} }}\n"),
        format!("  {long}: {{ fetch: {{}} }}\n"),
        format!("  raw: {{ fetch: {{ offline: \"{long}\" }} }}\n"),
        format!("  raw: {{ fetch: {{}} }}\n  x: {{ train: {{ data: {long}, model: basic, epochs: 1 }} }}\n"),
        format!("  raw: {{ fetch: {{ offline: *{long} }} }}\n"),
        format!("  raw: {{ fetch: {{ \"{long}\": 1, \"{long}\": 2 }} }}\n"),
        format!("  raw: {{ fetch: {{ offline: {} }} }}\n", "1".repeat(100_000)),
    ] {
        let (problems, _) = judge(&text, &[]);
        let said = problems.to_string();
        assert!(
            said.chars().count() < 2500,
            "{} characters: {}",
            said.chars().count(),
            said.chars().take(300).collect::<String>()
        );
    }
}

#[test]
fn absurd_options_of_the_command_line_are_refused() {
    let deep = format!("raw{}=1", ".a".repeat(60_000));
    assert!(deep.parse::<Override>().unwrap_err().contains("more than 64 levels"));
    let good = "  raw: { fetch: {} }\n";
    let (problems, _) = judge(good, &[format!("raw.values=[{}]", "1,".repeat(100_000)).as_str()]);
    assert!(problems.to_string().contains("more than 100000 values"), "{problems}");
    let many: Vec<String> = (0..2000).map(|number| format!("raw.shift=[{number}, 1]")).collect();
    let (problems, _) = judge(good, &many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(problems.to_string().contains("there are 2000 options `-S`; 1000 are the most"), "{problems}");
    let unknown: Vec<String> = (0..900).map(|number| format!("rwa{number}.x=1")).collect();
    let stages = lines(1900, |number| format!("raw{number}: {{ fetch: {{}} }}"));
    let (problems, distances) = judge(&stages, &unknown.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(problems.len() == 900 && distances <= 100 * 1900, "{}, {distances}", problems.len());
}

#[test]
fn a_long_circle_is_shown_in_part() {
    let stage = |number: usize| format!("s{number}: {{ report: {{ of: [s{}] }} }}", (number + 1) % 1500);
    let (problems, _) = judge(&lines(1500, stage), &[]);
    let said = problems.to_string();
    assert!(problems.len() == 1 && said.contains("→ … →") && said.len() < 1000, "{said}");
}

#[test]
fn references_of_long_lists_are_found_once_each() {
    let mut text = String::from("  raw: { fetch: {} }\n  a: { train: { data: raw, model: basic, epochs: 1, seeds: 2 } }\n");
    writeln!(text, "  both: {{ vote: {{ models: [{}], data: raw }} }}", "a, ".repeat(20_000)).unwrap();
    let spec: Spec<TestKind> = read(&format!("version: 1\nstages:\n{text}"), &[]).unwrap();
    assert_eq!(spec.stage(&id("both")).unwrap().references.len(), 40_001);
    assert_eq!(spec.graph.inputs(&id("both")).len(), 3);
}
