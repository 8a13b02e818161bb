//! The specification: the text of a `pipeline.yaml`, checked, with the place of everything in it. This room knows nothing of
//! running, and of stages only what [`Kind`] says.
//!
//! # From text to [`Spec`]
//!
//! 1. `parse` turns the text into a tree of nodes, each with its place. What YAML leaves open is settled there: keys are
//!    text and unique, tags are refused, aliases and `<<` are written out, depth and size are limited. The limits hold for the tree
//!    after the next two steps too, and with [`MOST_BYTES`] and [`MOST_STAGES`] they bound the work on any text.
//! 2. `overrides` puts the `-S path=value` of the command line into that tree. Their values are nodes too, with places in
//!    the option's text, so nothing after this step treats them differently.
//! 3. `seeds` writes out in that tree what a stage with several seeds stands for.
//! 4. `de` reads the tree into the options' own types by serde. It collects every problem where serde would stop at the
//!    first, and records each reference to a stage; how, its documentation says. `scalar` and `coerce` hold what a scalar
//!    means and where it is taken.
//! 5. `references` checks, when all stages are known, that every reference names another stage that makes what is needed,
//!    and that none wait for each other.
//!
//! Any problem on the way leaves no [`Spec`], but [`Problems`]: all of them, save that a text that is not YAML is not looked
//! at further, and that of the consequences of a problem nothing is said.
//!
//! # What is taken for what
//!
//! | written | is | because |
//! |---|---|---|
//! | `12`, `0x1f`, `1e-4` | numbers | YAML 1.2, core schema |
//! | `"12"`, `1_000`, `yes`, `12:30` | text | the same; where a number or a boolean is wanted, the advice says what to write |
//! | `12` where text is wanted | a problem | quotes say what is meant; nothing is guessed |
//! | `.inf`, `.nan` | a problem | no option means them, and JSON, of which keys of the cache are made, cannot hold them |
//! | `epochs:` without a value | a problem | it is more often forgotten than meant |
//! | `null`, `~` | none, for an option that may be left out | written out, it is meant |
//! | `cosine` for `cosine: {}` | the same | where all options of the choice have defaults |
//! | `*name`, `<<: *name` | a copy, a merged copy | so stages can share options; keys written out win |
//! | `!!str`, `---` twice, `? [a]` | problems | nothing here needs them |
//!
//! # What types must keep to
//!
//! Options are structs with `deny_unknown_fields` and externally tagged enums; `flatten` and `untagged` would lose places,
//! because serde then reads values into a buffer of its own. References are the newtypes of [`crate::graph`], known by their
//! names. A check of several fields together is a `TryFrom` of the plain struct: its text is shown at the struct's key.
//! Checks that need more than one stage come later, and add to [`Problems`] with places from [`Spec::place`].

mod access;
mod coerce;
mod de;
mod error;
mod node;
mod overrides;
mod parse;
mod problem;
mod reference;
mod references;
mod scalar;
mod schema;
mod seeds;
mod suggest;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::graph::{Graph, Product, StageId};
use crate::seed::Seed;
use node::{Node, Value};
use problem::Source;

pub use overrides::Override;
pub use problem::{Part, Place, Problem, Problems};
pub use reference::reference;
pub use references::ReferenceUse;
pub use schema::schema;

/// The most bytes of a file.
pub const MOST_BYTES: usize = 1 << 20;
/// The most stages of a pipeline, those counted that `seeds` stands for.
pub const MOST_STAGES: usize = 2000;
/// The most `-S` options.
const MOST_OVERRIDES: usize = 1000;

/// The kinds of stages, as an externally tagged enum: the key is the kind, its value the kind's options.
pub trait Kind: DeserializeOwned + JsonSchema {
    /// What a stage of this kind makes.
    fn product(&self) -> Product;

    /// The kind as written in the file: `train`.
    fn name(&self) -> &'static str;
}

/// A file without a problem, as far as that can be told from the file alone.
#[derive(Clone, Debug)]
pub struct Spec<K> {
    /// The pipeline's name; that of the file, without its extension, if none is given.
    pub name: String,
    /// The seed from which all others derive.
    pub seed: Seed,
    /// The folder for results, relative to the current folder.
    pub artifacts: PathBuf,
    /// In the order of the file; at least one.
    pub stages: Vec<StageSpec<K>>,
    /// The stages and what they read.
    pub graph: Graph,
    root: Node,
    /// Where each stage stands in `stages`, and among the entries of the tree.
    numbers: HashMap<StageId, usize>,
}

/// One stage of a [`Spec`].
#[derive(Clone, Debug)]
pub struct StageSpec<K> {
    /// Its name.
    pub id: StageId,
    /// The name under which it stands in the file: its own, unless it is a further seed of that stage.
    pub entry: StageId,
    /// Its kind and options.
    pub kind: K,
    /// Where its name stands.
    pub place: Place,
    /// Every place where it names another stage.
    pub references: Vec<ReferenceUse>,
}

impl<K: Kind> Spec<K> {
    /// The stage called `id`.
    pub fn stage(&self, id: &StageId) -> Option<&StageSpec<K>> {
        self.numbers.get(id).map(|&number| &self.stages[number])
    }

    /// The names in the file that stand for several stages, each with all of them, itself first.
    pub fn families(&self) -> BTreeMap<StageId, Vec<StageId>> {
        let mut families: BTreeMap<StageId, Vec<StageId>> = BTreeMap::new();
        for stage in &self.stages {
            families.entry(stage.entry.clone()).or_default().push(stage.id.clone());
        }
        families.retain(|_, stages| stages.len() > 1);
        families
    }

    /// Where a key of the whole file stands; the beginning of the file if it is not there.
    pub fn place_of(&self, key: &str) -> Place {
        self.root.find(None, &[key]).clone()
    }

    /// Where an option of a stage stands, by the keys and positions in lists that lead to it: `["model", "basic",
    /// "channels", "0"]`. Of an option that is not written out, the place of the nearest one around it.
    pub fn place(&self, stage: &StageId, path: &[&str]) -> Place {
        let Some((stages, node)) = self.root.get("stages") else { return self.root.place.clone() };
        let number = self.numbers.get(stage).copied();
        let entry = number.and_then(|number| node.entries().get(number)).filter(|(key, _)| key.text == stage.as_str());
        let Some((key, node)) = entry else { return stages.place.clone() };
        let kind = number.map_or("", |number| self.stages[number].kind.name());
        let path: Vec<&str> = std::iter::once(kind).chain(path.iter().copied()).collect();
        node.find(Some(key), &path).clone()
    }
}

/// Reads and checks the text of the file known to the user as `file`, with `overrides` put in, the last of equals winning.
///
/// # Errors
/// All problems that can be found at once: if the text is not YAML, that alone.
pub fn parse<K: Kind>(file: &str, text: &str, overrides: &[Override]) -> Result<Spec<K>, Problems> {
    let mut problems = Problems::new();
    if text.len() > MOST_BYTES {
        let message = format!("the file has {} bytes; {MOST_BYTES} are the most that a pipeline may have", text.len());
        problems.add(Place::new(&Source::file(file, ""), 1, 1, 1), message);
        return Err(problems);
    }
    let Some(mut root) = parse::parse(&Source::file(file, text), text, &mut problems) else { return Err(problems) };
    if !matches!(root.value, Value::Mapping(_)) {
        let message = if root.is_blank() {
            "there is nothing in this file".to_owned()
        } else {
            format!("a pipeline is a mapping with the keys `version` and `stages`, not {}", root.describe())
        };
        problems.add_with_help(root.place, message, "start with `version: 1`");
        return Err(problems);
    }
    if overrides.len() > MOST_OVERRIDES {
        let message = format!("there are {} options `-S`; {MOST_OVERRIDES} are the most", overrides.len());
        problems.add_with_help(root.place, message, "write them into the file");
        return Err(problems);
    }
    let (seeds, others): (Vec<&Override>, Vec<&Override>) = overrides.iter().partition(|given| given.is_seeds());
    for given in seeds.into_iter().chain(others) {
        overrides::apply(&mut root, given, &["name", "seed", "artifacts"], &mut problems);
    }
    if root.size() > parse::MOST_NODES {
        problems.add(root.place, format!("there are more than {} values, those of `-S` counted", parse::MOST_NODES));
        return Err(problems);
    }
    let header: Option<Header> = de::read(&root, None, &mut problems, &mut Vec::new());
    for (key, help) in [("version", "add `version: 1`"), ("stages", "add the stages below `stages:`")] {
        if root.get(key).is_none() {
            problems.add_with_help(root.place.clone(), format!("`{key}` is missing"), help);
        }
    }
    let (stages, graph) = read_stages(&mut root, &mut problems);
    match (header, graph) {
        (Some(header), Some(graph)) if problems.is_empty() => {
            let stem = || Path::new(file).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            let name = header.name.unwrap_or_else(stem);
            let numbers = stages.iter().enumerate().map(|(number, stage)| (stage.id.clone(), number)).collect();
            Ok(Spec { name, seed: header.seed, artifacts: header.artifacts, stages, graph, root, numbers })
        }
        _ => Err(problems),
    }
}

/// Reads options from JSON as they would be read from the file: a bare name chooses, and what is wrong is said in the same words.
///
/// # Errors
/// The first problem, as one line.
pub fn read_json<T: DeserializeOwned + JsonSchema>(json: &serde_json::Value) -> Result<T, String> {
    let place = Place::new(&Source::file("", ""), 1, 1, 1);
    let mut problems = Problems::new();
    de::read(&Node::from_json(json, &place), None, &mut problems, &mut Vec::new()).ok_or_else(|| {
        let first = problems.iter().next().map(|Problem { message, help, .. }| match help {
            Some(help) => format!("{message}; {help}"),
            None => message.clone(),
        });
        first.unwrap_or_else(|| "it cannot be read".to_owned())
    })
}

/// The stages that can be read, and their graph if all can.
fn read_stages<K: Kind>(root: &mut Node, problems: &mut Problems) -> (Vec<StageSpec<K>>, Option<Graph>) {
    let Some(place) = root.get("stages").map(|(key, _)| key.place.clone()) else { return (Vec::new(), None) };
    let Some(stages) = root.get_mut("stages") else { return (Vec::new(), None) };
    let found = match &stages.value {
        Value::Mapping(entries) if !entries.is_empty() => None,
        Value::Mapping(_) => Some("has none".to_owned()),
        _ if stages.is_blank() => Some("has none".to_owned()),
        _ => Some(format!("is {}", stages.describe())),
    };
    if let Some(found) = found {
        problems.add(place, format!("`stages` needs stages in the form `name: {{ kind: options }}`, and {found}"));
        return (Vec::new(), None);
    }
    let Value::Mapping(entries) = &mut stages.value else { return (Vec::new(), None) };
    let Some(families) = seeds::write_out(entries, problems) else { return (Vec::new(), None) };
    let mut read = Vec::with_capacity(entries.len());
    for (key, node) in entries {
        let id = key.text.parse::<StageId>().map_err(|message| problems.add(key.place.clone(), message));
        let mut references = Vec::new();
        let mut kind: Option<K> = de::read(node, Some(key), problems, &mut references);
        if seeds::name_all(node, &references, &families) {
            references.clear();
            kind = de::read(node, Some(key), problems, &mut references);
        }
        if let Ok(id) = id {
            read.push((families.entry_of(&id).clone(), id, kind, &*key, references));
        }
    }
    if families.is_over() {
        let message = format!("lists that name stages with several seeds grow to more than {} values", parse::MOST_NODES);
        problems.add_with_help(place, message, "give fewer seeds, or name fewer stages");
        return (Vec::new(), None);
    }
    let referrers: Vec<_> = read
        .iter()
        .map(|(entry, id, kind, _, references)| references::Referrer {
            id,
            product: kind.as_ref().map(Kind::product),
            is_copy: entry != id,
            references,
        })
        .collect();
    let graph = references::check(&referrers, problems);
    let stages = read.into_iter().filter_map(|(entry, id, kind, key, references)| {
        Some(StageSpec { id, entry, kind: kind?, place: key.place.clone(), references })
    });
    (stages.collect(), graph)
}

/// One file, one pipeline.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Header {
    /// The version of this format: 1.
    #[schemars(required, schema_with = "schema::version")]
    #[allow(dead_code, reason = "reading it is the check")]
    version: Option<Version>,
    /// What the pipeline is called; by default as its file, without the extension.
    name: Option<String>,
    /// The seed from which all random choices derive: the same seed gives the same bytes.
    #[serde(default = "default_seed")]
    seed: Seed,
    /// The folder for results.
    #[serde(default = "default_artifacts")]
    artifacts: PathBuf,
    #[schemars(skip)]
    #[allow(dead_code, reason = "read by itself, stage by stage")]
    stages: Option<IgnoredAny>,
}

fn default_seed() -> Seed {
    Seed::new(0)
}

fn default_artifacts() -> PathBuf {
    PathBuf::from("artifacts")
}

/// A version of the format that this program reads.
struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(serde::de::Error::custom(format!("{other} is not known; this program reads version 1"))),
        }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
