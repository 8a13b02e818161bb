//! Where results go: the folder of artifacts, and what each stage publishes in it. Whatever would clash there is known
//! before anything runs.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::evaluation_files;
use super::super::kind::StageKind;
use super::Checker;
use crate::engine;
use crate::fs::{self, names};
use crate::graph::StageId;
use crate::quote::excerpt;
use crate::score::Manifest;
use crate::spec::{Kind as _, Problem, StageSpec};

/// A file that a stage may publish, below the folder of artifacts, and the option that names it.
struct Publication {
    place: String,
    option: &'static str,
}

/// Everything that a stage may publish.
fn publications(stage: &StageSpec<StageKind>) -> Vec<Publication> {
    let id = &stage.id;
    let own = |ending: &str| vec![Publication { place: format!("{id}{ending}"), option: "" }];
    let below =
        |names: &[&str]| names.iter().map(|name| Publication { place: format!("{id}/{name}"), option: "" }).collect::<Vec<_>>();
    match &stage.kind {
        StageKind::Fetch(_) | StageKind::Merge(_) | StageKind::Split(_) => Vec::new(),
        StageKind::Augment(_) => own(".png"),
        StageKind::Tune(_) | StageKind::Compare(_) | StageKind::Verify(_) => own(".json"),
        StageKind::Report(_) => own(".html"),
        StageKind::Train(_) | StageKind::Distill(_) => {
            let mut files = below(&evaluation_files::NAMES);
            files.extend(below(&["weights.safetensors"]));
            files
        }
        StageKind::Ensemble(_) => below(&evaluation_files::NAMES),
        StageKind::Export(options) => {
            let model = |model: &StageId| Publication { place: format!("{model}/model.onnx"), option: "models" };
            let labels = Publication { place: "labels.txt".to_owned(), option: "" };
            options.models.iter().map(|reference| model(reference.stage())).chain([labels]).collect()
        }
        StageKind::Score(options) => {
            let at = |path: &Path, option| Publication { place: normal(path), option };
            let manifest = at(&Manifest::path(&options.output), "output");
            let rejects = options.rejects.as_deref().map(|path| at(path, "rejects"));
            [at(&options.output, "output"), manifest].into_iter().chain(rejects).collect()
        }
    }
}

/// A path with `/` between its parts and without `.` among them.
fn normal(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// What is in the way of `place`: the same place, a file where it needs a folder, or a file in the folder that it would be.
fn rival<'a, T>(taken: &'a BTreeMap<String, T>, place: &str) -> Option<&'a T> {
    let mut above = place.match_indices('/').map(|(end, _)| &place[..end]).chain([place]);
    above.find_map(|place| taken.get(place)).or_else(|| {
        let inside = format!("{place}/");
        taken.range(inside.clone()..).next().filter(|(other, _)| other.starts_with(&inside)).map(|(_, rival)| rival)
    })
}

impl Checker<'_> {
    /// The folder of artifacts must be one that can be made, and be no folder of something else.
    pub(super) fn artifacts(&mut self) {
        let folder = &self.spec.artifacts;
        let shown = excerpt(&folder.to_string_lossy());
        let found = if let Some((message, help)) = names::fault(folder, "") {
            Some((message, help))
        } else if names::is_root(folder) {
            Some((format!("`{shown}` is the whole file system"), "name a folder for results, as in `artifacts: artifacts`"))
        } else if let Some(obstacle) = names::obstacle(folder) {
            let obstacle = excerpt(&obstacle.to_string_lossy());
            Some((format!("there can be no folder at `{shown}`: `{obstacle}` is something else"), "name a folder"))
        } else {
            self.source_of(folder).map(|(stage, source)| {
                let source = excerpt(&source);
                (format!("results would lie among the data that stage `{stage}` takes from `{source}`"), "name another folder")
            })
        };
        if let Some((message, help)) = found {
            let place = self.spec.place_of("artifacts");
            self.problems.push(Problem { place, message: format!("`artifacts`: {message}"), help: Some(help.to_owned()) });
        }
    }

    /// The stage that reads all that is in `folder`, and the path by which it does.
    fn source_of(&self, folder: &Path) -> Option<(&StageId, String)> {
        self.spec.stages.iter().find_map(|stage| match &stage.kind {
            StageKind::Fetch(options) => {
                let mut folders = [options.dir.clone()].into_iter().chain(options.folders());
                folders.find(|source| fs::is_same(folder, source)).map(|source| (&stage.id, source.display().to_string()))
            }
            StageKind::Merge(options) if options.data.is_none() => {
                let patterns = options.train.iter().chain(options.test.iter().flat_map(|test| test.iter()));
                let mut folders = patterns.map(ToString::to_string).filter(|pattern| Path::new(pattern).is_dir());
                folders.find(|source| names::is_within(folder, Path::new(source))).map(|source| (&stage.id, source))
            }
            _ => None,
        })
    }

    /// No two stages may publish to one place, nor one where the other needs a folder, nor where the engine keeps its own
    /// files. Where the file system takes `A` and `a` for one name, so does this.
    pub(super) fn publications(&mut self) {
        let ignores_case = fs::ignores_case(&self.spec.artifacts);
        let folded = |place: &str| if ignores_case { place.to_lowercase() } else { place.to_owned() };
        let reserved: Vec<String> = engine::OWN_NAMES.iter().map(|name| folded(name)).collect();
        let mut taken: BTreeMap<String, (&StageSpec<StageKind>, String)> = BTreeMap::new();
        let mut faults: Vec<(&StageSpec<StageKind>, &str, String, &str)> = Vec::new();
        for stage in &self.spec.stages {
            let mut said = false;
            for Publication { place, option } in publications(stage) {
                let key = folded(&place);
                let mut add = |message: String, help| {
                    // One fault of a stage tells what to do about all.
                    if !std::mem::replace(&mut said, true) {
                        faults.push((stage, option, message, help));
                    }
                };
                let top = key.split('/').next().unwrap_or_default();
                if reserved.iter().any(|name| name == top) {
                    let name = place.split('/').next().unwrap_or_default();
                    let help = if option.is_empty() { "give the stage another name" } else { "write another name" };
                    add(format!("the program keeps its own `{name}` in the folder of artifacts"), help);
                    continue;
                }
                match rival(&taken, &key) {
                    // That a list names a model twice is told where it stands.
                    Some((other, _)) if other.id == stage.id && !matches!(stage.kind, StageKind::Score(_)) => {}
                    Some((other, _)) if other.id == stage.id => {
                        add(format!("`{}` would be two of its files", excerpt(&place)), "write another name");
                    }
                    Some((other, theirs)) => {
                        let (name, kind, place) = (&other.id, other.kind.name(), excerpt(&place));
                        let message = match *theirs == place {
                            true => format!("`{name}` ({kind}) writes `{place}` too"),
                            false => format!("it writes `{place}`, and `{name}` ({kind}) writes `{}`", excerpt(theirs)),
                        };
                        let are_exports = matches!((&stage.kind, &other.kind), (StageKind::Export(_), StageKind::Export(_)));
                        add(
                            message,
                            if are_exports { "export all models in one stage" } else { "give one of them another name" },
                        );
                    }
                    None => drop(taken.insert(key, (stage, place))),
                }
            }
        }
        for (stage, option, message, help) in faults {
            let place = if option.is_empty() { stage.place.clone() } else { self.spec.place(&stage.id, &[option]) };
            let message = format!("stage `{}`: {message}", stage.id);
            self.problems.push(Problem { place, message, help: Some(help.to_owned()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;
    use crate::stages;

    #[test]
    fn what_is_foreseen_is_what_stages_publish() {
        let text = r#"version: 1
stages:
  raw:      { fetch: { dataset: garments } }
  merged:   { merge: { data: raw, train: "*.csv", test: "x.csv" } }
  parts:    { split: { data: merged } }
  varied:   { augment: { data: parts } }
  tuned:    { tune: { data: parts, model: mlp, search: { batch_size: { choice: [64, 128] } } } }
  one:      { train: { data: parts, model: mlp } }
  student:  { distill: { data: varied, model: mlp, teacher: one } }
  vote:     { ensemble: { models: [one, student], data: parts } }
  compared: { compare: { models: [one, vote], data: parts } }
  exported: { export: { models: [one, vote] } }
  verified: { verify: { export: exported, data: parts } }
  scored:   { score: { model: exported/vote, input: x.csv, output: a/./b.csv, on_error: skip, rejects: r.csv } }
  page:     { report: { of: [compared] } }
"#;
        let spec = crate::spec::parse::<StageKind>("pipeline.yaml", text, &[]).unwrap();
        let (facts, problems) = super::super::check(&spec);
        assert!(problems.is_empty(), "{problems}");
        let out = tempfile::tempdir().unwrap();
        for name in evaluation_files::NAMES.iter().chain(&["preview.png"]) {
            fs::write(&out.path().join(name), "").unwrap();
        }
        for stage in &spec.stages {
            let places = |paths: Vec<PathBuf>| paths.iter().map(|path| normal(path)).collect::<BTreeSet<String>>();
            let bound = stages::bind(stage, &spec, &facts, None);
            let published = bound.publish(&stage.id, out.path()).unwrap();
            let foreseen: BTreeSet<String> = publications(stage).into_iter().map(|publication| publication.place).collect();
            assert_eq!(foreseen, places(published.into_iter().map(|(_, to)| to).collect()), "{}", stage.id);
        }
    }
    #[test]
    fn results_do_not_lie_among_the_data() {
        let is_refused = |artifacts: &str, dataset: &str| {
            let text = format!(
                "version: 1\nartifacts: {artifacts}\nstages:\n  raw: {{ fetch: {{ dataset: {dataset}, dir: no-such/data }} }}\n"
            );
            let (_, problems) = super::super::check(&crate::spec::parse::<StageKind>("p.yaml", &text, &[]).unwrap());
            problems.to_string().contains("results would lie among the data that stage `raw` takes from")
        };
        for dataset in ["garments", "fashion-mnist", "fashion-mnist, otherwise: garments"] {
            assert!(is_refused("no-such/data", dataset) && !is_refused("no-such/data/other", dataset), "{dataset}");
            let is_drawn = dataset.contains("garments");
            assert_eq!(is_refused("no-such/data/garments", dataset), is_drawn, "{dataset}");
        }
    }
}
