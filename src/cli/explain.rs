//! `pipeline explain STAGE`: everything about one stage.

use super::exit::{Exit, Failure};
use super::load::{Source, stage_name};
use super::plan::{fate, why};
use super::text::{Cell, Paint, Style, Table, bytes, print};
use crate::engine::{self, EngineError, Outlook, PipelineLock, Plan, Record, RunOptions, Selection, SystemClock};
use crate::graph::StageId;

/// The arguments of `pipeline explain`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The stage
    #[arg(value_name = "STAGE", value_parser = stage_name)]
    stage: StageId,

    #[command(flatten)]
    source: Source,
}

/// Prints what is known of a stage.
pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let plan = arguments.source.load()?;
    let options = RunOptions { selection: Selection::Until(vec![arguments.stage.clone()]), ..RunOptions::default() };
    let forecast = engine::forecast(&plan, &options, &SystemClock::new())?;
    let outlook = forecast.outlook(&arguments.stage).expect("a selection up to a stage has that stage");
    let lock = PipelineLock::read(plan.artifacts()).map_err(EngineError::Corrupt)?;
    let record = lock.as_ref().and_then(|lock| lock.stages.get(&arguments.stage));
    print(&render(&plan, outlook, record, Paint::stdout()))?;
    Ok(Exit::Done)
}

fn render(plan: &Plan, outlook: &Outlook, record: Option<&Record>, paint: Paint) -> String {
    let (word, style) = fate(&outlook.fate);
    let heading = |text: &str| format!("\n{}\n", paint.text(Style::Bold, text));
    let mut text = format!("{} ({}): {}", paint.text(Style::Bold, &outlook.stage), outlook.kind, paint.text(style, word));
    let why = why(&outlook.fate);
    text += &if why.is_empty() { "\n".to_owned() } else { format!(" ({why})\n") };

    if let Some(parts) = &outlook.parts {
        text += &heading("what its key is made of");
        let mut table = Table::default();
        let mut row = |part: &str, value: String| table.row([Cell::new(format!("  {part}")).style(Style::Dim), Cell::new(value)]);
        row("kind", format!("{}, version {}", parts.kind, parts.version));
        for (path, value) in leaves(&parts.parameters) {
            row(&format!("parameter {path}"), value);
        }
        for input in plan.graph().inputs(&outlook.stage) {
            let digest = parts.inputs.get(input);
            row(&format!("input {input}"), digest.map_or("known when it has run".to_owned(), |digest| digest.short()));
        }
        for (path, digest) in &parts.files {
            row(&format!("file {path}"), digest.short());
        }
        row("seed", parts.seed.map_or("not used".to_owned(), |seed| seed.value().to_string()));
        row("key", outlook.key.map_or("known when its inputs are".to_owned(), |key| key.to_string()));
        text += &table.render(paint);
    }
    if let Some(record) = record {
        let is_this = outlook.key == Some(record.key);
        text += &heading(&match is_this {
            true => "its last result".to_owned(),
            false => format!("its last result, under another key ({})", record.key.short()),
        });
        let mut table = Table::default();
        for (file, content) in &record.files {
            let places = record.published.iter().filter(|(_, source)| *source == file).map(|(place, _)| place.as_str());
            let places: Vec<&str> = places.collect();
            table.row([
                Cell::new(format!("  {file}")),
                Cell::right(bytes(content.bytes)),
                Cell::new(content.blake3.short()).style(Style::Dim),
                Cell::new(if places.is_empty() { String::new() } else { format!("→ {}", places.join(", ")) }),
            ]);
        }
        text += &table.render(paint);
    }
    let names = |stages: Vec<&StageId>| match stages.is_empty() {
        true => "none".to_owned(),
        false => stages.iter().map(|stage| stage.as_str()).collect::<Vec<_>>().join(", "),
    };
    text += &heading("its place");
    let mut table = Table::default();
    if let Some((name, family)) = plan.family_of(&outlook.stage) {
        let family = family.iter().map(|stage| stage.as_str()).collect::<Vec<_>>().join(", ");
        table.row([Cell::new(format!("  seeds of `{name}`")).style(Style::Dim), Cell::new(family)]);
    }
    for (what, stages) in [
        ("reads", plan.graph().inputs(&outlook.stage)),
        ("is read by", plan.graph().dependents(&outlook.stage)),
        ("runs again if it changes", plan.graph().descendants(&outlook.stage)),
    ] {
        table.row([Cell::new(format!("  {what}")).style(Style::Dim), Cell::new(names(stages))]);
    }
    text + &table.render(paint)
}

/// The leaves of a JSON value, with their dotted paths. A list without objects in it is a leaf.
fn leaves(value: &serde_json::Value) -> Vec<(String, String)> {
    fn walk(path: &str, value: &serde_json::Value, found: &mut Vec<(String, String)>) {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            serde_json::Value::Object(map) if !map.is_empty() || path.is_empty() => {
                map.iter().for_each(|(name, value)| walk(&below(name), value, found));
            }
            serde_json::Value::Array(items) if items.iter().any(serde_json::Value::is_object) => {
                items.iter().enumerate().for_each(|(index, value)| walk(&below(&index.to_string()), value, found));
            }
            leaf => found.push((path.to_owned(), leaf.to_string())),
        }
    }
    let mut found = Vec::new();
    walk("", value, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::toy;

    #[test]
    fn a_stage_with_all_that_is_known_of_it() {
        let dir = tempfile::tempdir().unwrap();
        toy::run_toys(dir.path(), 0.75);
        let explain = |accuracy, name: &str| {
            let plan = toy::plan(dir.path(), accuracy);
            let forecast = engine::forecast(&plan, &RunOptions::default(), &SystemClock::new()).unwrap();
            let lock = PipelineLock::read(dir.path()).unwrap().unwrap();
            let stage: StageId = name.parse().unwrap();
            let record = &lock.stages[&stage];
            let text = render(&plan, forecast.outlook(&stage).unwrap(), Some(record), Paint::none());
            text.replace(&format!("({})", record.key.short()), "(KEY)")
        };
        insta::assert_snapshot!(explain(0.5, "basic"), @"
        basic (train): runs (parameter accuracy: 0.75 → 0.5)

        what its key is made of
          kind                                     train, version 3
          parameter accuracy                       0.5
          parameter optimizer.adamw.learning_rate  0.001
          input raw                                44bdad8ef70a
          seed                                     42
          key                                      1d07155d8b162b62ac6fc52c8d2417e6f5fcbb5ac8304233c7187f338a27f98d

        its last result, under another key (KEY)
          figures.json  61 B  bd9fa2f03943  → basic/metrics.json

        its place
          reads                     raw
          is read by                none
          runs again if it changes  none
        ");
        insta::assert_snapshot!(explain(0.5, "raw"), @"
        raw (fetch): cached

        what its key is made of
          kind  fetch, version 1
          seed  not used
          key   953fbe9a2ac2c804124f33764f7b07c682481a55e0540a2644d25aa89408c595

        its last result
          raw.txt  3 B  d4d4d19bd64b

        its place
          reads                     none
          is read by                basic
          runs again if it changes  basic
        ");
    }

    #[test]
    fn parameters_are_shown_by_path() {
        let value = serde_json::json!({ "epochs": 12, "units": [1, 2], "layers": [{ "relu": {} }, { "dense": { "units": 3 } }] });
        let leaves: Vec<String> = leaves(&value).into_iter().map(|(path, value)| format!("{path} = {value}")).collect();
        assert_eq!(leaves, ["epochs = 12", "units = [1,2]", "layers.0.relu = {}", "layers.1.dense.units = 3"]);
    }
}
