//! The reader from the outside: what a file means.

mod faults;
mod large;
mod properties;

use serde_json::json;

use super::testing::{GOOD, OneOrMany, TestKind, read};
use super::*;
use crate::graph::StageId;

fn id(name: &str) -> StageId {
    name.parse().unwrap()
}

#[test]
fn a_good_file() {
    let spec = read(GOOD, &[]).unwrap();
    assert_eq!((spec.name.as_str(), spec.seed, spec.artifacts.as_path()), ("garments", Seed::new(42), Path::new("out")));
    let names: Vec<&str> = spec.stages.iter().map(|stage| stage.id.as_str()).collect();
    assert_eq!(names, ["raw", "more", "first", "second", "both", "exported", "scored", "report"]);
    let TestKind::Fetch(raw) = &spec.stages[0].kind else { panic!("{:?}", spec.stages[0]) };
    assert_eq!(raw.pattern, OneOrMany(vec!["a*.csv".into(), "b.csv".into()]));
    assert_eq!(raw.shift, [2, 3]);
    assert_eq!(json!(raw.values), json!([1, -2, 0.5, "yes", true, null, { "a": "b" }]));
    let TestKind::Train(second) = &spec.stage(&id("second")).unwrap().kind else { panic!() };
    assert_eq!(
        json!(second),
        json!({
            "data": "raw", "model": { "layers": ["flatten", { "dense": { "units": 10 } }] }, "epochs": 12,
            "schedule": { "step": { "every": 3, "factor": 0.5 } }, "dropout": 0.0, "clip": 0.0,
            "search": { "model.mlp.dropout": { "min": 0.0, "max": 1.0 } },
        })
    );
    assert_eq!(spec.graph.inputs(&id("scored")), [&id("exported")]);
    assert_eq!(spec.graph.inputs(&id("both")), [&id("first"), &id("second"), &id("raw")]);
}

#[test]
fn what_is_not_said_has_a_default() {
    let spec = parse::<TestKind>("some/where.yaml", "version: 1\nstages: { raw: fetch }", &[]).unwrap();
    assert_eq!((spec.name.as_str(), spec.seed, spec.artifacts.as_path()), ("where", Seed::new(0), Path::new("artifacts")));
}

#[test]
fn places_of_options() {
    let spec = read(GOOD, &["first.epochs=3"]).unwrap();
    let place = |stage, path: &[&str]| spec.place(&id(stage), path).to_string();
    assert_eq!(spec.stage(&id("first")).unwrap().place.to_string(), "pipeline.yaml:9:3");
    for (stage, path, expected) in [
        ("raw", &["shift", "1"][..], "pipeline.yaml:7:58"),
        ("raw", &["shift"], "pipeline.yaml:7:47"),
        ("raw", &["offline"], "pipeline.yaml:7:10"),
        ("more", &["offline"], "pipeline.yaml:8:9"),
        ("first", &["epochs"], "-S first.epochs=3"),
        ("first", &["model", "basic", "channels"], "pipeline.yaml:12:14"),
        ("second", &["schedule", "step", "factor"], "pipeline.yaml:20:45"),
        ("second", &["data"], "pipeline.yaml:11:13"),
        ("nobody", &["data"], "pipeline.yaml:6:1"),
    ] {
        assert_eq!(place(stage, path), expected, "{stage} {path:?}");
    }
}

#[test]
fn options_of_the_command_line() {
    let spec = read(
        GOOD,
        &[
            "seed=7",
            "seed=8",
            "first.epochs=3",
            "first.model.basic.channels=[1, 2]",
            "first.search.model.mlp.dropout.max=2",
            "second.model.layers.1.dense.units=5",
            "second.schedule=cosine",
            "more.offline=true",
            "more.pattern=a=b",
        ],
    )
    .unwrap();
    let kind = |name| json!(spec.stage(&id(name)).unwrap().kind);
    assert_eq!(spec.seed, Seed::new(8));
    assert_eq!(kind("first")["train"]["epochs"], 3);
    assert_eq!(kind("first")["train"]["model"], json!({ "basic": { "channels": [1, 2], "activation": "relu" } }));
    assert_eq!(kind("first")["train"]["search"], json!({ "model.mlp.dropout": { "min": 0.0, "max": 2.0 } }));
    assert_eq!(kind("second")["train"]["model"]["layers"][1]["dense"]["units"], 5);
    assert_eq!(kind("second")["train"]["epochs"], 12, "what is merged is a copy");
    assert_eq!(kind("second")["train"]["schedule"], json!({ "cosine": { "final_rate": null } }));
    assert_eq!(kind("more")["fetch"]["offline"], true);
    assert_eq!(kind("more")["fetch"]["pattern"], json!(["a=b"]));
}

#[test]
fn problems_found_later_take_their_place_among_the_others() {
    let spec = read(GOOD, &[]).unwrap();
    let mut problems = Problems::new();
    problems.add(spec.place(&id("second"), &["dropout"]), "that is no dropout");
    problems.add_with_help(spec.place(&id("first"), &["model"]), "this model does not fit", "take another");
    insta::assert_snapshot!(problems.or(spec).map(|_| ()).unwrap_err(), @r"
    pipeline.yaml:12:14: this model does not fit; take another
       |
    12 |       model: basic
       |              ^^^^^

    pipeline.yaml:21:16: that is no dropout
       |
    21 |       dropout: 0
       |                ^
    ");
}
