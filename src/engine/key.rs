//! Stage keys, and the explanation of why a key is no longer what it was.
//!
//! [`KeyParts`] holds everything that a stage's output may depend on. Its canonical JSON is hashed to make the key, and
//! the same struct is walked, field by field, against that of the last run to name what changed; a field that is added
//! to the one cannot be forgotten in the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::{Digest, canonical_json};
use crate::graph::StageId;
use crate::seed::Seed;

/// Everything that decides what a stage writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyParts {
    /// The stage's name: outputs carry it, for example in `metrics.json`.
    pub stage: StageId,
    /// The kind, as in `train`.
    pub kind: String,
    /// The version of the kind's implementation.
    pub version: u32,
    /// The parameters that the stage consumes.
    pub parameters: Value,
    /// The output digest of each input.
    pub inputs: BTreeMap<StageId, Digest>,
    /// The digest of each file that it reads outside the cache, by its path below the folder that all of them share, so
    /// that the place of that folder does not count.
    pub files: BTreeMap<String, Digest>,
    /// The root seed; none for a stage that draws no random numbers.
    pub seed: Option<Seed>,
}

impl KeyParts {
    /// The key: BLAKE3 of the canonical JSON of all parts.
    pub fn key(&self) -> Digest {
        Digest::of_json(&serde_json::to_value(self).expect("all fields are plain data with text keys"))
    }

    /// What differs from the parts `old` of an earlier run. The inputs in `pending` have not been made yet: they are left
    /// out, and so are the files, which are known only when every input is there.
    pub fn changes_since(&self, old: &Self, pending: &BTreeSet<StageId>) -> Vec<Reason> {
        let Self { stage, kind, version, parameters, inputs, files, seed } = self;
        let mut reasons = Vec::new();
        if *stage != old.stage {
            reasons.push(Reason::NameChanged { old: old.stage.clone(), new: stage.clone() });
        }
        if *kind != old.kind {
            reasons.push(Reason::KindChanged { old: old.kind.clone(), new: kind.clone() });
        } else if *version != old.version {
            reasons.push(Reason::VersionChanged { kind: kind.clone(), old: old.version, new: *version });
        }
        compare_parameters("", Some(&old.parameters), Some(parameters), &mut reasons);
        for (input, old, new) in differences(&old.inputs, inputs) {
            if !pending.contains(input) {
                reasons.push(Reason::InputChanged { input: input.clone(), old, new });
            }
        }
        if pending.is_empty() {
            for (path, old, new) in differences(&old.files, files) {
                reasons.push(Reason::FileChanged { path: path.clone(), old, new });
            }
        }
        if *seed != old.seed {
            reasons.push(Reason::SeedChanged { old: old.seed.map(Seed::value), new: seed.map(Seed::value) });
        }
        reasons
    }
}

/// Why a stage must run. Carries the old and the new value where there are two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// `pipeline.lock` knows no earlier run of it.
    NeverRun,
    /// The stage had another name.
    NameChanged {
        /// Before.
        old: StageId,
        /// Now.
        new: StageId,
    },
    /// The stage was of another kind.
    KindChanged {
        /// Before.
        old: String,
        /// Now.
        new: String,
    },
    /// The program does this kind of work differently than before.
    VersionChanged {
        /// The kind.
        kind: String,
        /// Before.
        old: u32,
        /// Now.
        new: u32,
    },
    /// A parameter was changed, added (no `old`) or taken away (no `new`).
    ParameterChanged {
        /// Where it is, as in `optimizer.adamw.learning_rate`.
        path: String,
        /// Before.
        old: Option<Value>,
        /// Now.
        new: Option<Value>,
    },
    /// An input has other content than before, is new (no `old`) or is no longer read (no `new`).
    InputChanged {
        /// The stage that makes it.
        input: StageId,
        /// Before.
        old: Option<Digest>,
        /// Now.
        new: Option<Digest>,
    },
    /// A file outside the cache has other content than before, is new (no `old`) or is gone (no `new`).
    FileChanged {
        /// Its path below the folder that all files of the stage share.
        path: String,
        /// Before.
        old: Option<Digest>,
        /// Now.
        new: Option<Digest>,
    },
    /// The root seed was changed, or the stage came to need it or to do without.
    SeedChanged {
        /// Before.
        old: Option<u64>,
        /// Now.
        new: Option<u64>,
    },
    /// Nothing changed, but the cache holds no output.
    OutputMissing,
    /// The cached output is not what was put into the cache.
    OutputDamaged {
        /// What is wrong with it.
        what: String,
    },
    /// A file that the stage put outside the cache is missing or was changed.
    OutsideChanged {
        /// Its path.
        path: String,
        /// Whether there is no such file any more.
        missing: bool,
    },
    /// The cached output stood in for something that can be had by now.
    Superseded {
        /// What can be had.
        why: String,
    },
    /// An input must run first; if that gives the same bytes as before, this stage need not.
    UpstreamRuns {
        /// The stage that makes the input.
        input: StageId,
    },
    /// The user asked for it.
    Forced,
}

impl Reason {
    /// The input that it is about and what is said of it, if that can be said of several at once.
    fn input_and_verb(&self) -> Option<(&StageId, &'static str)> {
        match self {
            Self::InputChanged { input, old: Some(_), new: Some(_) } => Some((input, "changed")),
            Self::UpstreamRuns { input } => Some((input, "will change")),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |value: &Option<Value>| value.as_ref().map_or_else(|| "none".to_owned(), abbreviated);
        let number = |value: &Option<u64>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
        match self {
            Self::NeverRun => f.write_str("has not run yet"),
            Self::NameChanged { old, new } => write!(f, "name: {old} → {new}"),
            Self::KindChanged { old, new } => write!(f, "kind: {old} → {new}"),
            Self::VersionChanged { kind, old, new } => write!(f, "version of `{kind}`: {old} → {new}"),
            Self::ParameterChanged { path, old, new } => write!(f, "parameter {path}: {} → {}", short(old), short(new)),
            Self::InputChanged { input, old: None, .. } => write!(f, "new input `{input}`"),
            Self::InputChanged { input, new: None, .. } => write!(f, "no longer reads `{input}`"),
            Self::InputChanged { input, .. } => write!(f, "input `{input}` changed"),
            Self::FileChanged { path, old: None, .. } => write!(f, "new file `{path}`"),
            Self::FileChanged { path, new: None, .. } => write!(f, "no longer reads file `{path}`"),
            Self::FileChanged { path, .. } => write!(f, "file `{path}` changed"),
            Self::SeedChanged { old, new } => write!(f, "seed: {} → {}", number(old), number(new)),
            Self::OutputMissing => f.write_str("its output is not in the cache"),
            Self::OutputDamaged { what } => write!(f, "its cached output is damaged: {what}"),
            Self::OutsideChanged { path, missing: true } => write!(f, "its file `{path}` is missing"),
            Self::OutsideChanged { path, missing: false } => write!(f, "its file `{path}` was changed"),
            Self::Superseded { why } => f.write_str(why),
            Self::UpstreamRuns { input } => write!(f, "input `{input}` will change"),
            Self::Forced => f.write_str("forced"),
        }
    }
}

/// Reasons on one line, as in "parameter epochs: 12 → 14, inputs `a`, `b` will change". Of many inputs in a row, the first
/// three are named.
pub fn describe(reasons: &[Reason]) -> String {
    let texts = reasons.chunk_by(|a, b| a.input_and_verb().zip(b.input_and_verb()).is_some_and(|(a, b)| a.1 == b.1));
    let texts = texts.map(|group| match (group, group[0].input_and_verb()) {
        ([_, _, ..], Some((_, verb))) => {
            let names: Vec<String> =
                group.iter().filter_map(Reason::input_and_verb).map(|(input, _)| format!("`{input}`")).collect();
            match names.len() {
                ..=3 => format!("inputs {} {verb}", names.join(", ")),
                many => format!("inputs {} and {} more {verb}", names[..3].join(", "), many - 3),
            }
        }
        _ => group[0].to_string(),
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// Compares two JSON values and names every leaf that differs by its dotted path.
fn compare_parameters(path: &str, old: Option<&Value>, new: Option<&Value>, reasons: &mut Vec<Reason>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (old, new) {
        (Some(old), Some(new)) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                compare_parameters(&below(name), old.get(name), new.get(name), reasons);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare_parameters(&below(&index.to_string()), Some(old), Some(new), reasons);
            }
        }
        (old, new) => reasons.push(Reason::ParameterChanged { path: path.to_owned(), old: old.cloned(), new: new.cloned() }),
    }
}

/// The entries that differ between two maps, by key.
fn differences<'a, K: Ord, V: PartialEq + Clone>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> Vec<(&'a K, Option<V>, Option<V>)> {
    let keys: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    let pairs = keys.into_iter().map(|key| (key, old.get(key).cloned(), new.get(key).cloned()));
    pairs.filter(|(_, old, new)| old != new).collect()
}

/// A JSON value on one line, cut in the middle of the 60th character.
fn abbreviated(value: &Value) -> String {
    const LENGTH: usize = 60;
    let text = canonical_json(value);
    if text.chars().count() <= LENGTH { text } else { text.chars().take(LENGTH - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parts() -> KeyParts {
        KeyParts {
            stage: "basic".parse().unwrap(),
            kind: "train".to_owned(),
            version: 1,
            parameters: json!({ "epochs": 12, "optimizer": { "adamw": { "learning_rate": 0.001 } }, "units": [64, 32] }),
            inputs: BTreeMap::from([("parts".parse().unwrap(), Digest::of_bytes(b"data"))]),
            files: BTreeMap::from([("1.csv".to_owned(), Digest::of_bytes(b"rows"))]),
            seed: Some(Seed::new(42)),
        }
    }

    /// Changes one part; the key must change and the reasons must read `expected`.
    fn check(change: impl FnOnce(&mut KeyParts), expected: &[&str]) {
        let (old, mut new) = (parts(), parts());
        change(&mut new);
        let reasons: Vec<String> = new.changes_since(&old, &BTreeSet::new()).iter().map(Reason::to_string).collect();
        assert_eq!(reasons, expected);
        assert_eq!(new.key() != old.key(), !expected.is_empty(), "the key and its explanation disagree: {expected:?}");
    }

    #[test]
    fn every_part_changes_the_key_and_is_explained() {
        check(|_| {}, &[]);
        check(|parts| parts.stage = "other".parse().unwrap(), &["name: basic → other"]);
        check(|parts| parts.kind = "tune".to_owned(), &["kind: train → tune"]);
        check(|parts| parts.version = 2, &["version of `train`: 1 → 2"]);
        check(|parts| parts.parameters["epochs"] = json!(14), &["parameter epochs: 12 → 14"]);
        check(
            |parts| parts.parameters["optimizer"] = json!({ "sgd": { "learning_rate": 0.1 } }),
            &[
                r#"parameter optimizer.adamw: {"learning_rate":0.001} → none"#,
                r#"parameter optimizer.sgd: none → {"learning_rate":0.1}"#,
            ],
        );
        check(|parts| parts.parameters["units"][1] = json!(16), &["parameter units.1: 32 → 16"]);
        check(|parts| parts.parameters["units"] = json!([64]), &["parameter units: [64,32] → [64]"]);
        check(|parts| *parts.inputs.values_mut().next().unwrap() = Digest::of_bytes(b"other"), &["input `parts` changed"]);
        check(|parts| parts.inputs.clear(), &["no longer reads `parts`"]);
        check(|parts| parts.inputs.extend([("tuned".parse().unwrap(), Digest::of_bytes(b""))]), &["new input `tuned`"]);
        check(|parts| *parts.files.values_mut().next().unwrap() = Digest::of_bytes(b"other"), &["file `1.csv` changed"]);
        check(|parts| parts.files.clear(), &["no longer reads file `1.csv`"]);
        check(|parts| parts.files.extend([("2.csv".to_owned(), Digest::of_bytes(b""))]), &["new file `2.csv`"]);
        check(|parts| parts.seed = Some(Seed::new(7)), &["seed: 42 → 7"]);
        check(|parts| parts.seed = None, &["seed: 42 → none"]);
    }

    #[test]
    fn what_is_still_pending_is_not_called_changed() {
        let old = parts();
        let mut new = parts();
        new.inputs.clear();
        new.files.clear();
        assert_eq!(new.changes_since(&old, &BTreeSet::from(["parts".parse().unwrap()])), []);
    }

    #[test]
    fn order_and_spelling_of_parameters_do_not_count() {
        let mut new = parts();
        new.parameters =
            serde_json::from_str(r#"{ "units": [64, 32], "optimizer": { "adamw": { "learning_rate": 1e-3 } }, "epochs": 12 }"#)
                .unwrap();
        assert_eq!(new.key(), parts().key());
        assert_eq!(new.changes_since(&parts(), &BTreeSet::new()), []);
    }

    #[test]
    fn long_values_are_cut() {
        let reason = Reason::ParameterChanged { path: "layers".to_owned(), old: None, new: Some(json!("é".repeat(100))) };
        assert_eq!(reason.to_string(), format!("parameter layers: none → \"{}…", "é".repeat(58)));
    }

    #[test]
    fn inputs_in_a_row_are_named_together() {
        let digest = Some(Digest::of_bytes(b""));
        let changed = |name: &str| Reason::InputChanged { input: name.parse().unwrap(), old: digest, new: digest };
        let runs = |name: &str| Reason::UpstreamRuns { input: name.parse().unwrap() };
        for (reasons, expected) in [
            (vec![], ""),
            (vec![runs("a")], "input `a` will change"),
            (vec![runs("a"), runs("b")], "inputs `a`, `b` will change"),
            (vec![runs("a"), runs("b"), runs("c"), runs("d"), runs("e")], "inputs `a`, `b`, `c` and 2 more will change"),
            (
                vec![changed("a"), changed("b"), runs("c"), Reason::Forced],
                "inputs `a`, `b` changed, input `c` will change, forced",
            ),
        ] {
            assert_eq!(describe(&reasons), expected);
        }
    }

    #[test]
    fn reasons_survive_json() {
        let reason = Reason::InputChanged { input: "a".parse().unwrap(), old: None, new: Some(Digest::of_bytes(b"")) };
        let text = serde_json::to_string(&reason).unwrap();
        assert_eq!(serde_json::from_str::<Reason>(&text).unwrap(), reason);
    }
}
