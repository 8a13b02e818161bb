//! What is said of faulty files, word for word.

use super::super::Override;
use super::super::testing::{GOOD, problems, read};

/// The first line of every problem.
fn headlines(all: &[String]) -> String {
    let is_headline = |line: &&str| line.starts_with("pipeline.yaml:") || line.starts_with("-S ") && !line.starts_with("-S |");
    all.iter().flat_map(|problems| problems.lines().filter(is_headline)).collect::<Vec<_>>().join("\n")
}

#[test]
fn all_problems_at_once() {
    let text = r#"
version: 2
sead: 7
name: 12
stages:
  raw: { fetch: { ofline: yes, shift: [1, 300] } }
  1st: fetch
  first:
    train:
      data: rav
      model: { bassic: { channels: [8, x] } }
      epochs: 0
      epochs: 3
      dropout: 1.5
  second:
    trian: { data: raw }
  third: { train: { model: { basic: { channels: [8, x], activation: tanh } }, shedule: cosine } }
"#;
    insta::assert_snapshot!(read(text, &[]).unwrap_err(), @r#"
    pipeline.yaml:2:10: `version`: 2 is not known; this program reads version 1
      |
    2 | version: 2
      |          ^

    pipeline.yaml:3:1: `sead` is not known; did you mean `seed`?
      |
    3 | sead: 7
      | ^^^^

    pipeline.yaml:4:7: `name` needs text, not the number 12; if you mean text, put it in quotes: "12"
      |
    4 | name: 12
      |       ^^

    pipeline.yaml:6:19: `ofline` is not known in `fetch`; did you mean `offline`?
      |
    6 |   raw: { fetch: { ofline: yes, shift: [1, 300] } }
      |                   ^^^^^^

    pipeline.yaml:6:43: `shift`: 300 is out of range: it is too large
      |
    6 |   raw: { fetch: { ofline: yes, shift: [1, 300] } }
      |                                           ^^^

    pipeline.yaml:7:3: `1st` is not a stage name: use a letter, then letters, digits, `_` or `-`
      |
    7 |   1st: fetch
      |   ^^^

    pipeline.yaml:10:13: stage `first` reads `rav`, which no stage makes; did you mean `raw`?
       |
    10 |       data: rav
       |             ^^^

    pipeline.yaml:11:16: `model` cannot be `bassic`; did you mean `basic`?
       |
    11 |       model: { bassic: { channels: [8, x] } }
       |                ^^^^^^

    pipeline.yaml:12:15: `epochs`: 0 is out of range: a number of epochs must be at least 1
       |
    12 |       epochs: 0
       |               ^

    pipeline.yaml:13:7: `epochs` is given twice; it is first on line 12; remove one
       |
    13 |       epochs: 3
       |       ^^^^^^

    pipeline.yaml:14:16: `dropout`: 1.5 is out of range: a probability is between 0 and 1
       |
    14 |       dropout: 1.5
       |                ^^^

    pipeline.yaml:16:5: `second` cannot be `trian`; did you mean `train`?
       |
    16 |     trian: { data: raw }
       |     ^^^^^

    pipeline.yaml:17:12: `data`, `epochs` are missing in `train`
       |
    17 |   third: { train: { model: { basic: { channels: [8, x], activation: tanh } }, shedule: cosine } }
       |            ^^^^^

    pipeline.yaml:17:53: `channels` needs a whole number, not the text `x`
       |
    17 |   third: { train: { model: { basic: { channels: [8, x], activation: tanh } }, shedule: cosine } }
       |                                                     ^

    pipeline.yaml:17:69: `activation` cannot be `tanh`; it can be `relu`, `gelu`
       |
    17 |   third: { train: { model: { basic: { channels: [8, x], activation: tanh } }, shedule: cosine } }
       |                                                                     ^^^^

    pipeline.yaml:17:79: `shedule` is not known in `train`; did you mean `schedule`?
       |
    17 |   third: { train: { model: { basic: { channels: [8, x], activation: tanh } }, shedule: cosine } }
       |                                                                               ^^^^^^^
    "#);
}

#[test]
fn scalars_are_what_yaml_says() {
    let options = [
        "epochs: \"12\"",
        "epochs: 1_000",
        "epochs: 12.0",
        "epochs: 1.5",
        "epochs: -3",
        "epochs: 99999999999999999999999999999999999999999",
        "epochs: twelve",
        "epochs:",
        "epochs: null",
        "epochs: [12]",
        "epochs: 3, clip: .inf",
        "epochs: 3, clip: .nan",
        "epochs: 3, clip: 1e40",
        "epochs: 3, clip: true",
        "epochs: 3, clip: '1'",
        "epochs: 3, dropout: .inf",
        "epochs: 3, dropout:",
    ];
    let all: Vec<String> = options
        .iter()
        .map(|options| problems(&format!("  raw: fetch\n  a: {{ train: {{ data: raw, model: basic, {options} }} }}"), &[]))
        .collect();
    insta::assert_snapshot!(headlines(&all), @r"
    pipeline.yaml:4:50: `epochs` needs a whole number, not the text `12`; remove the quotes
    pipeline.yaml:4:50: `epochs` needs a whole number, not the text `1_000`; write 1000
    pipeline.yaml:4:50: `epochs` needs a whole number, not the number 12.0; write 12
    pipeline.yaml:4:50: `epochs` needs a whole number, not the number 1.5
    pipeline.yaml:4:50: `epochs`: -3 is out of range: it must not be negative
    pipeline.yaml:4:50: `epochs`: 99999999999999999999999999999999999999999 is out of range: it is too large
    pipeline.yaml:4:50: `epochs` needs a whole number, not the text `twelve`
    pipeline.yaml:4:42: `epochs` has no value; give a whole number
    pipeline.yaml:4:50: `epochs` needs a whole number, not `null`
    pipeline.yaml:4:42: `epochs` needs a whole number, not a list
    pipeline.yaml:4:59: `clip`: .inf is out of range: a finite number is needed
    pipeline.yaml:4:59: `clip`: .nan is out of range: a finite number is needed
    pipeline.yaml:4:59: `clip`: 1e40 is out of range: a finite number is needed
    pipeline.yaml:4:59: `clip` needs a number, not `true`
    pipeline.yaml:4:59: `clip` needs a number, not the text `1`; remove the quotes
    pipeline.yaml:4:62: `dropout`: .inf is out of range: a finite number is needed
    pipeline.yaml:4:53: `dropout` has no value; give a number
    ");
    let all: Vec<String> = [
        "offline: yes",
        "offline: \"true\"",
        "offline: 1",
        "offline: maybe",
        "pattern: 12",
        "pattern: {}",
        "shift: [1]",
        "shift: 1",
        "values: [.inf]",
    ]
    .iter()
    .map(|options| problems(&format!("  raw: {{ fetch: {{ {options} }} }}"), &[]))
    .collect();
    insta::assert_snapshot!(headlines(&all), @r"
    pipeline.yaml:3:28: `offline` needs `true` or `false`, not the text `yes`; write `true`
    pipeline.yaml:3:28: `offline` needs `true` or `false`, not the text `true`; remove the quotes
    pipeline.yaml:3:28: `offline` needs `true` or `false`, not the number 1; write `true`
    pipeline.yaml:3:28: `offline` needs `true` or `false`, not the text `maybe`
    pipeline.yaml:3:28: `pattern` needs a pattern or a list of patterns, not the number 12
    pipeline.yaml:3:19: `pattern` needs a pattern or a list of patterns, not a mapping
    pipeline.yaml:3:19: `shift` needs a list of 2, and this list has 1
    pipeline.yaml:3:26: `shift` needs a list of 2, not the number 1
    pipeline.yaml:3:28: `values`: .inf is out of range: a finite number is needed
    ");
    let good = problems("  raw: fetch\n  a: { train: { data: raw, model: basic, epochs: 3, clip: 1, dropout: null } }", &[]);
    assert!(good.contains("no problem") && good.contains("clip: 1.0") && good.contains("dropout: None"), "{good}");
}

#[test]
fn choices() {
    let stages = [
        "{ train: { data: raw, model: basic, epochs: 3, schedule: step } }",
        "{ train: { data: raw, model: basic, epochs: 3, schedule: { step: { every: 2 } } } }",
        "{ train: { data: raw, model: basic, epochs: 3, schedule: { constant: {} } } }",
        "{ train: { data: raw, model: basic, epochs: 3, schedule: { cosine: } } }",
        "{ train: { data: raw, model: basic, epochs: 3, schedule: {} } }",
        "{ train: { data: raw, model: basic, epochs: 3, schedule: { cosine: {}, step: {} } } }",
        "{ train: { data: raw, model: layers, epochs: 3 } }",
        "{ train: { data: raw, model: { layers: [dense, flaten, { dense: { unit: 3 } }] }, epochs: 3 } }",
        "train",
        "12",
        "",
        "{ train: { data: raw, model: basic }, epochs: 3 }",
    ];
    let all: Vec<String> = stages.iter().map(|stage| problems(&format!("  raw: fetch\n  a: {stage}"), &[])).collect();
    insta::assert_snapshot!(headlines(&all), @r"
    pipeline.yaml:4:63: `every`, `factor` are missing in `step`; write `step: { every: …, factor: … }`
    pipeline.yaml:4:65: `factor` is missing in `step`
    pipeline.yaml:4:65: `constant` has no options; write just `constant`
    pipeline.yaml:4:65: `cosine` has no value; give options in the form `{ key: value }`, or `{}` where all have defaults
    pipeline.yaml:4:53: `schedule` needs exactly one choice and has none; choose one of `constant`, `cosine`, `step`
    pipeline.yaml:4:53: `schedule` needs exactly one choice and has `cosine`, `step`; choose one of `constant`, `cosine`, `step`
    pipeline.yaml:4:35: `layers` needs a list; write `layers: …`
    pipeline.yaml:4:46: `units` is missing in `dense`; write `dense: { units: … }`
    pipeline.yaml:4:53: `layers` cannot be `flaten`; did you mean `flatten`?
    pipeline.yaml:4:72: `unit` is not known in `dense`; did you mean `units`?
    pipeline.yaml:4:6: `data`, `model`, `epochs` are missing in `train`; write `train: { data: …, model: …, epochs: … }`
    pipeline.yaml:4:6: `a` cannot be `12`; it can be `fetch`, `train`, `vote`, `export`, `score`, `report`
    pipeline.yaml:4:3: `a` has no value; give one of `fetch`, `train`, `vote`, `export`, `score`, `report`
    pipeline.yaml:4:8: `epochs` is missing in `train`
    pipeline.yaml:4:44: `epochs` stands beside `train`; if it belongs in `train`, indent it further
    ");
}

#[test]
fn consequences_are_not_reported() {
    // `min` cannot be read, so whether it is below `max` cannot be said; `data` is there, under a wrong name.
    let text = "  raw: fetch
  a: { train: { dat: raw, model: basic, epochs: 3, search: { x: { min: one, max: -1 }, y: { min: 3, max: 2 } } } }";
    insta::assert_snapshot!(problems(text, &[]), @r"
    pipeline.yaml:4:17: `dat` is not known in `train`; did you mean `data`?
      |
    4 |   a: { train: { dat: raw, model: basic, epochs: 3, search: { x: { min: one, max: -1 }, y: { min: 3, max: 2 } } } }
      |                 ^^^

    pipeline.yaml:4:72: `min` needs a number, not the text `one`
      |
    4 |   a: { train: { dat: raw, model: basic, epochs: 3, search: { x: { min: one, max: -1 }, y: { min: 3, max: 2 } } } }
      |                                                                        ^^^

    pipeline.yaml:4:88: `y`: `min` 3 is not below `max` 2
      |
    4 |   a: { train: { dat: raw, model: basic, epochs: 3, search: { x: { min: one, max: -1 }, y: { min: 3, max: 2 } } } }
      |                                                                                        ^
    ");
}

#[test]
fn slips_of_form() {
    let all: Vec<String> = [
        "",
        "[1]",
        "version: 1",
        "stages: { raw: fetch }",
        "version: 1\nstages:\n",
        "version: 1\nstages: {}\n",
        "version: 1\nstages: [raw]\n",
        "version: 1\nname:\nstages: { raw: { fetch: { offline:true } } }\n",
        "version: one\nstages: { raw: { fetch: } }\n",
    ]
    .iter()
    .map(|text| read(text, &[]).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(headlines(&all), @r"
    pipeline.yaml:1:1: there is nothing in this file; start with `version: 1`
    pipeline.yaml:1:1: a pipeline is a mapping with the keys `version` and `stages`, not a list; start with `version: 1`
    pipeline.yaml:1:1: `stages` is missing; add the stages below `stages:`
    pipeline.yaml:1:1: `version` is missing; add `version: 1`
    pipeline.yaml:2:1: `stages` needs stages in the form `name: { kind: options }`, and has none
    pipeline.yaml:2:1: `stages` needs stages in the form `name: { kind: options }`, and has none
    pipeline.yaml:2:1: `stages` needs stages in the form `name: { kind: options }`, and is a list
    pipeline.yaml:2:1: `name` has no value; give text
    pipeline.yaml:3:27: `offline:true` is not known in `fetch`; put a blank after the `:`, as in `offline: true`
    pipeline.yaml:1:10: `version` needs a whole number, not the text `one`
    pipeline.yaml:2:18: `fetch` has no value; give options in the form `{ key: value }`, or `{}` where all have defaults
    ");
}

#[test]
fn references_are_checked() {
    let text = "  raw: fetch
  a: { train: { data: raw, model: basic, epochs: 3 } }
  b: { train: { data: a, model: basic, epochs: 3 } }
  vote: { vote: { models: [a, cc, vote, 'bb'], data: rwa } }
  exported: { export: { models: [a, b] } }
  s1: { score: { model: exported/vote } }
  s2: { score: { model: \"exported/bb\", after: nothing_near } }
  s3: { score: { model: exported } }
  s4: { score: { model: vote/a } }
  s5: { score: { model: 1a/b, after: [] } }";
    insta::assert_snapshot!(problems(text, &[]), @r#"
    pipeline.yaml:5:23: stage `b` reads `a`, which makes a model, but `data` needs data; data can come from `raw`
      |
    5 |   b: { train: { data: a, model: basic, epochs: 3 } }
      |                       ^

    pipeline.yaml:6:31: stage `vote` reads `cc`, which no stage makes; a model can come from `a`, `b`
      |
    6 |   vote: { vote: { models: [a, cc, vote, 'bb'], data: rwa } }
      |                               ^^

    pipeline.yaml:6:35: stage `vote` reads itself
      |
    6 |   vote: { vote: { models: [a, cc, vote, 'bb'], data: rwa } }
      |                                   ^^^^

    pipeline.yaml:6:42: stage `vote` reads `bb`, which no stage makes; did you mean `b`?
      |
    6 |   vote: { vote: { models: [a, cc, vote, 'bb'], data: rwa } }
      |                                          ^^

    pipeline.yaml:6:54: stage `vote` reads `rwa`, which no stage makes; did you mean `raw`?
      |
    6 |   vote: { vote: { models: [a, cc, vote, 'bb'], data: rwa } }
      |                                                      ^^^

    pipeline.yaml:8:34: stage `exported` does not export `vote`; it exports `a`, `b`
      |
    8 |   s1: { score: { model: exported/vote } }
      |                                  ^^^^

    pipeline.yaml:9:35: stage `exported` does not export `bb`; did you mean `b`?
      |
    9 |   s2: { score: { model: "exported/bb", after: nothing_near } }
      |                                   ^^

    pipeline.yaml:9:47: stage `s2` reads `nothing_near`, which no stage makes; the others are `raw`, `a`, `b`, `vote`, `exported`, `s1`, `s3`, `s4`, `s5`
      |
    9 |   s2: { score: { model: "exported/bb", after: nothing_near } }
      |                                               ^^^^^^^^^^^^

    pipeline.yaml:10:25: `model`: `exported` does not name an exported model: write `export stage/model`, as in `exported/ensemble`
       |
    10 |   s3: { score: { model: exported } }
       |                         ^^^^^^^^

    pipeline.yaml:11:25: stage `s4` reads `vote`, which makes a model, but `model` needs an export; an export can come from `exported`
       |
    11 |   s4: { score: { model: vote/a } }
       |                         ^^^^

    pipeline.yaml:12:25: `model`: `1a` is not a stage name: use a letter, then letters, digits, `_` or `-`
       |
    12 |   s5: { score: { model: 1a/b, after: [] } }
       |                         ^^^^

    pipeline.yaml:12:31: `after` needs the name of a stage, not a list
       |
    12 |   s5: { score: { model: 1a/b, after: [] } }
       |                               ^^^^^
    "#);
}

#[test]
fn circles_are_shown() {
    let text = "  raw: fetch
  a: { vote: { models: [c], data: raw } }
  b: { vote: { models: [a], data: raw } }
  c: { vote: { models: [a, b], data: raw } }";
    insta::assert_snapshot!(problems(text, &[]), @r"
    pipeline.yaml:4:25: stages wait for each other: `a` → `c` → `a`; `a` cannot read `c`, which needs it
      |
    4 |   a: { vote: { models: [c], data: raw } }
      |                         ^
    ");
}

#[test]
fn faulty_options_of_the_command_line() {
    let all: Vec<String> = [
        "sed=7",
        "stages=7",
        "firts.epochs=7",
        "first=7",
        "first.epoch=7",
        "first.epochs=x",
        "first.epochs=",
        "first.epochs=[",
        "first.epochs.x=1",
        "raw.shift.2=1",
        "first.model.basic.chanels=1",
        "first.data=fisrt",
    ]
    .iter()
    .map(|option| read(GOOD, &[option]).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(headlines(&all), @r"
    -S sed=7: there is no key and no stage `sed`; did you mean `seed`?
    -S stages=7: there is no key and no stage `stages`; known are `raw`, `more`, `first`, `second`, `both`, `exported`, `scored`, `report`, `name`, `seed`, `artifacts`
    -S firts.epochs=7: there is no stage `firts`; did you mean `first`?
    -S first=7: `first` is a stage; name one of its options: `first.option=value`
    -S first.epoch=7: `epoch` is not known in `train`; did you mean `epochs`?
    -S first.epochs=x: `epochs` needs a whole number, not the text `x`
    -S first.epochs=: a value is missing after the `=`
    -S first.epochs=[: this is not YAML: unclosed bracket '['; look for a missing `}`, `]` or `,`
    -S first.epochs.x=1: there is no `x` in the number 12
    -S raw.shift.2=1: there is no `2` in a list of 2, counted from 0
    -S first.model.basic.chanels=1: `chanels` is not known in `basic`; did you mean `channels`?
    -S first.data=fisrt: stage `first` reads `fisrt`, which no stage makes; data can come from `raw`, `more`
    ");
    for bad in ["", "epochs", "=1", "a..b=1", ".a=1"] {
        let error = bad.parse::<Override>().unwrap_err();
        assert!(error.contains("is not of the form `path.to.param=value`"), "{error}");
    }
}
