//! The figures of models, read from the `metrics.json` files in an artifacts folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::text::{Cell, Paint, Style, Table, duration, number};
use crate::engine::{EngineError, Happening};
use crate::engine::{PipelineLock, find_output, read_journal};
use crate::fs;

/// The name of the file, in the folder of a model.
const FILE_NAME: &str = "metrics.json";

/// The figures of one model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    /// The model.
    pub(super) model: String,
    /// The content of its `metrics.json`.
    pub(super) values: Value,
}

impl Figures {
    /// The number at a JSON pointer such as `/test/accuracy`.
    pub(super) fn number(&self, pointer: &str) -> Option<f64> {
        self.values.pointer(pointer).and_then(Value::as_f64)
    }

    fn read(place: &str, path: &Path) -> Result<Self> {
        let values: Value = fs::read_json(path)?;
        let folder = place.rsplit_once('/').map_or(place, |(folder, _)| folder);
        let model = values.get("model").and_then(Value::as_str).unwrap_or(folder).to_owned();
        Ok(Self { model, values })
    }
}

/// The figures of all models in an artifacts folder, the most accurate first. A folder with a `pipeline.lock` is asked for
/// what that names; one without, such as a delivered copy, for every `<model>/metrics.json`.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn current(artifacts: &Path) -> Result<Vec<Figures>> {
    let places = match PipelineLock::read(artifacts)? {
        Some(lock) => {
            let outdated = lock.outdated();
            let current = lock.stages.into_iter().filter(|(stage, _)| !outdated.contains_key(stage));
            current.flat_map(|(_, record)| record.published.into_keys()).collect()
        }
        None if artifacts.is_dir() => {
            fs::entries(artifacts)?.into_iter().map(|folder| format!("{folder}/{FILE_NAME}")).collect::<Vec<_>>()
        }
        None => Vec::new(),
    };
    let is_figures = |place: &&String| place.rsplit('/').next() == Some(FILE_NAME) && artifacts.join(place).is_file();
    let mut figures = Vec::new();
    for place in places.iter().filter(is_figures) {
        figures.push(Figures::read(place, &artifacts.join(place))?);
    }
    Ok(sorted(figures))
}

/// The figures of the latest run whose results were others than the present ones, as far as the cache still holds them,
/// and the time of that run in milliseconds since 1970; `None` if there was no such run.
///
/// # Errors
/// When the lock file or the journal cannot be read.
pub(super) fn previous(artifacts: &Path) -> Result<Option<(u64, Vec<Figures>)>, EngineError> {
    let Some(lock) = PipelineLock::read(artifacts).map_err(EngineError::Corrupt)? else { return Ok(None) };
    let mut places = BTreeMap::new();
    for (stage, record) in &lock.stages {
        for (place, file) in record.published.iter().filter(|(place, _)| place.rsplit('/').next() == Some(FILE_NAME)) {
            places.insert(stage.clone(), (place.clone(), PathBuf::from(file)));
        }
    }
    for entry in read_journal(artifacts)?.into_iter().rev() {
        let Happening::RunFinished { keys, .. } = entry.happening else { continue };
        let is_other = places.keys().any(|stage| keys.get(stage).is_some_and(|key| *key != lock.stages[stage].key));
        if !is_other {
            continue;
        }
        let mut figures = Vec::new();
        for (stage, (place, file)) in &places {
            let path = keys.get(stage).and_then(|key| find_output(artifacts, *key)).map(|folder| folder.join(file));
            if let Some(path) = path.filter(|path| path.is_file()) {
                figures.push(Figures::read(place, &path)?);
            }
        }
        return Ok(Some((entry.run, sorted(figures))));
    }
    Ok(None)
}

/// What is to be said beside the figures of results that were withdrawn; empty if there are none.
///
/// # Errors
/// When the lock file cannot be read.
pub(super) fn withdrawn(artifacts: &Path, paint: Paint) -> Result<String> {
    let line = PipelineLock::read(artifacts)?.and_then(|lock| lock.withdrawn());
    Ok(line.map_or_else(String::new, |line| format!("\n{}\n", paint.text(Style::Yellow, format!("! {line}")))))
}

/// What the comparisons in an artifacts folder with a `pipeline.lock` say of recipes with several seeds.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn recipes(artifacts: &Path) -> Result<Vec<Value>> {
    let mut recipes = Vec::new();
    let Some(lock) = PipelineLock::read(artifacts)? else { return Ok(recipes) };
    let outdated = lock.outdated();
    for (_, record) in lock.stages.iter().filter(|(stage, _)| !outdated.contains_key(*stage)) {
        for (place, _) in record.published.iter().filter(|(_, file)| *file == "comparison.json") {
            let path = artifacts.join(place);
            let comparison: Value = if path.is_file() { fs::read_json(&path)? } else { Value::Null };
            recipes.extend(comparison["recipes"].as_array().cloned().unwrap_or_default());
        }
    }
    Ok(recipes)
}

/// One row per model, one per recipe with several seeds, and a warning if any model was measured on synthetic data.
pub(super) fn render(figures: &[Figures], recipes: &[Value], paint: Paint) -> String {
    let seeds = match recipes {
        [] => String::new(),
        recipes => format!("\n{}", seeds_table(recipes).render(paint)),
    };
    format!("{}{seeds}{}", table(figures).render(paint), warning(figures, paint))
}

fn seeds_table(recipes: &[Value]) -> Table {
    let mut table = Table::with_head(
        [Cell::new("over seeds")].into_iter().chain(["seeds", "validation accuracy", "test accuracy"].map(Cell::right)),
    );
    for recipe in recipes {
        let spread = |name: &str| {
            let number = |part: &str| recipe[name][part].as_f64();
            let text = number("mean").zip(number("deviation")).map(|(mean, deviation)| format!("{mean:.4} ± {deviation:.4}"));
            Cell::right(text.unwrap_or_else(|| "–".to_owned()))
        };
        table.row([
            Cell::new(recipe["recipe"].as_str().unwrap_or_default()),
            Cell::right(number(recipe["models"].as_array().map_or(0, Vec::len) as u64)),
            spread("validation_accuracy"),
            spread("test_accuracy").style(Style::Green),
        ]);
    }
    table
}

/// The line that must stand beside figures of synthetic data; empty if there are none.
pub(super) fn warning(figures: &[Figures], paint: Paint) -> String {
    let is_synthetic = |one: &&Figures| one.values.pointer("/dataset/synthetic") == Some(&Value::Bool(true));
    let models: Vec<&str> = figures.iter().filter(is_synthetic).map(|one| one.model.as_str()).collect();
    let whose = match models.len() {
        0 => return String::new(),
        number if number == figures.len() => "all of these figures are".to_owned(),
        _ => format!("the figures of {} are", models.join(", ")),
    };
    let text = format!("! SYNTHETIC DATA: {whose} from synthetic images, which the program drew itself");
    format!("\n{}\n", paint.text(Style::Yellow, text))
}

fn table(figures: &[Figures]) -> Table {
    let figure_names = ["accuracy", "macro F1", "loss", "parameters", "MFLOP/image", "epochs", "training", "images/s"];
    let mut table = Table::with_head([Cell::new("model")].into_iter().chain(figure_names.map(Cell::right)));
    for one in figures {
        let show =
            |pointer: &str, text: &dyn Fn(f64) -> String| Cell::right(one.number(pointer).map_or_else(|| "–".to_owned(), text));
        let whole = |value: f64| number(value.round() as u64);
        let four = |value: f64| format!("{value:.4}");
        table.row([
            Cell::new(&one.model),
            show("/test/accuracy", &four).style(Style::Green),
            show("/test/macro_f1", &four),
            show("/test/loss", &four),
            show("/parameters", &whole),
            show("/flops_per_image", &|value| format!("{:.1}", value / 1e6)),
            show("/train/epochs", &whole),
            show("/train/seconds", &duration),
            show("/train/images_per_second", &whole),
        ]);
    }
    table
}

fn sorted(mut figures: Vec<Figures>) -> Vec<Figures> {
    let accuracy = |one: &Figures| one.number("/test/accuracy").unwrap_or(f64::NEG_INFINITY);
    figures.sort_by(|a, b| accuracy(b).total_cmp(&accuracy(a)).then_with(|| a.model.cmp(&b.model)));
    figures
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::toy::run_toys;

    /// Writes `metrics.json` of a model.
    pub(in crate::cli) fn write(artifacts: &Path, model: &str, accuracy: f64) {
        let values = json!({
            "model": model, "dataset": { "name": "garments", "synthetic": accuracy < 0.9 }, "parameters": 421_642, "flops_per_image": 8_400_000,
            "train": { "epochs": 12, "seconds": 242.0, "images_per_second": 2480.4 },
            "test": { "accuracy": accuracy, "loss": 0.25, "macro_f1": accuracy },
        });
        fs::write_json(&artifacts.join(model).join(FILE_NAME), &values).unwrap();
    }

    #[test]
    fn the_figures_of_the_last_run_that_had_others_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let accuracies =
            |figures: &[Figures]| -> Vec<_> { figures.iter().map(|one| one.number("/test/accuracy").unwrap()).collect() };
        let before = || previous(dir.path()).unwrap().map(|(_, figures)| accuracies(&figures));
        assert_eq!(before(), None);
        run_toys(dir.path(), 0.7);
        assert_eq!(before(), None);
        run_toys(dir.path(), 0.8);
        run_toys(dir.path(), 0.9);
        run_toys(dir.path(), 0.9); // does nothing, so the run before it is not the one to compare with
        assert_eq!(accuracies(&current(dir.path()).unwrap()), [0.9]);
        assert_eq!(before(), Some(vec![0.8]));
    }

    #[test]
    fn a_folder_without_a_lock_file_is_searched() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "basic", 0.91);
        write(dir.path(), "advanced", 0.93);
        fs::write(&dir.path().join("labels.txt"), "a").unwrap();
        fs::write_json(&dir.path().join("odd/metrics.json"), &json!({})).unwrap();
        let recipe = json!({
            "recipe": "basic", "models": ["basic", "basic-2"],
            "validation_accuracy": { "runs": 2, "mean": 0.93125, "deviation": 0.0011 }, "test_accuracy": null,
        });
        let (models, recipes) = (current(dir.path()).unwrap(), recipes(dir.path()).unwrap());
        assert!(recipes.is_empty());
        insta::assert_snapshot!(render(&models, &[recipe], Paint::none()), @"
        model     accuracy  macro F1    loss  parameters  MFLOP/image  epochs    training  images/s
        advanced    0.9300    0.9300  0.2500     421,642          8.4      12  4 min 02 s     2,480
        basic       0.9100    0.9100  0.2500     421,642          8.4      12  4 min 02 s     2,480
        odd              –         –       –           –            –       –           –         –

        over seeds  seeds  validation accuracy  test accuracy
        basic           2      0.9313 ± 0.0011              –
        ");
        assert_eq!(current(&dir.path().join("nowhere")).unwrap(), []);
    }

    #[test]
    fn figures_of_synthetic_data_are_called_so() {
        let dir = tempfile::tempdir().unwrap();
        let said = || warning(&current(dir.path()).unwrap(), Paint::none());
        write(dir.path(), "real", 0.95);
        assert_eq!(said(), "");
        write(dir.path(), "drawn", 0.5);
        assert_eq!(said(), "\n! SYNTHETIC DATA: the figures of drawn are from synthetic images, which the program drew itself\n");
        fs::remove(&dir.path().join("real")).unwrap();
        assert_eq!(said(), "\n! SYNTHETIC DATA: all of these figures are from synthetic images, which the program drew itself\n");
    }
}
