//! `-S path.to.param=value`: parameters given on the command line, put into the tree before it is checked, so that they are
//! checked as if they stood in the file. Their places are those in the text after `-S`.

use std::str::FromStr;
use std::sync::Arc;

use super::node::{Key, Node, Value};
use super::parse::{MOST_LEVELS, parse};
use super::problem::{Place, Problem, Problems, Source};
use super::seeds::family_of;
use super::suggest::did_you_mean;
use crate::quote::excerpt;

/// A parameter and its value, as written after `-S`.
///
/// `seed=7` sets a key of the whole file; `advanced.epochs=3` an option of the stage `advanced`, at any depth:
/// `advanced.optimizer.adamw.learning_rate=1e-3`, `advanced.model.basic.channels.0=16`. The value is YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override(String);

impl FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((path, _)) if path.split('.').count() > MOST_LEVELS => {
                Err(format!("`{}` leads through more than {MOST_LEVELS} levels", excerpt(path)))
            }
            Some((path, _)) if !path.is_empty() && path.split('.').all(|name| !name.trim().is_empty()) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!("`{}` is not of the form `path.to.param=value`, as in `advanced.epochs=3`", excerpt(text))),
        }
    }
}

impl Override {
    /// Whether it says how many seeds a stage has. Such come first, whatever their order: which names stand for further seeds follows from them.
    pub(super) fn is_seeds(&self) -> bool {
        self.0.split_once('=').is_some_and(|(path, _)| path.split('.').count() == 2 && path.ends_with(".seeds"))
    }
}

/// One name of a path and where it stands.
struct Step<'a> {
    name: &'a str,
    place: Place,
}

impl Step<'_> {
    fn key(&self) -> Key {
        Key { text: self.name.to_owned(), place: self.place.clone() }
    }
}

/// Puts the value into the file's tree. `keys` are those of the file that take a value.
pub(super) fn apply(root: &mut Node, Override(text): &Override, keys: &[&str], problems: &mut Problems) {
    let source = Arc::new(Source::Override { text: text.clone() });
    let (path, value) = text.split_once('=').expect("checked when it was made");
    let start = path.chars().count() + 1;
    // Blanks in place of the path make the parser count columns as in the whole text.
    let Some(value) = parse(&source, &format!("{}{value}", " ".repeat(start)), problems) else { return };
    if value.is_blank() {
        problems.add(Place::new(&source, 1, start, 1), "a value is missing after the `=`");
        return;
    }
    let mut column = 1;
    let steps: Vec<Step<'_>> = path
        .split('.')
        .map(|name| {
            let length = name.chars().count();
            let place = Place::new(&source, 1, column, length);
            column += length + 1;
            Step { name, place }
        })
        .collect();
    let (first, rest) = steps.split_first().expect("a split text has a part");
    let Value::Mapping(entries) = &mut root.value else { return };
    if rest.is_empty() && keys.contains(&first.name) {
        return set(root, &steps, value, problems);
    }
    let stages = entries.iter_mut().find(|(key, _)| key.text == "stages").map(|(_, node)| &mut node.value);
    let Some(Value::Mapping(stages)) = stages else { return };
    if let Some((_, node)) = stages.iter_mut().find(|(key, _)| key.text == first.name) {
        if rest.is_empty() {
            let help = format!("name one of its options: `{}.option=value`", excerpt(first.name));
            problems.add_with_help(first.place.clone(), format!("`{}` is a stage", excerpt(first.name)), help);
        } else if let Some(options) = options(node) {
            set(options, rest, value, problems);
        }
        return;
    }
    let advises = !problems.is_full();
    problems.push(unknown(first, &path[first.name.len()..], rest.is_empty(), stages, keys, advises));
}

/// Says that no stage is called as `first` says, and what may have been meant if it `advises`; `option` is the path behind it.
fn unknown(first: &Step<'_>, option: &str, is_alone: bool, stages: &[(Key, Node)], keys: &[&str], advises: bool) -> Problem {
    let place = first.place.clone();
    if let Some((entry, seeds)) = family_of(first.name, stages) {
        let message =
            format!("`{}` has no options of its own: the {seeds} seeds of `{entry}` differ in their seed alone", first.name);
        let option = if is_alone { ".option".to_owned() } else { excerpt(option) };
        let help = format!("write `{entry}{option}=…`, which changes them all, or give the file another stage beside `{entry}`");
        return Problem { place, message, help: Some(help) };
    }
    let mut known: Vec<&str> = stages.iter().map(|(key, _)| key.text.as_str()).collect();
    let message = if is_alone {
        known.extend(keys);
        format!("there is no key and no stage `{}`", excerpt(first.name))
    } else {
        format!("there is no stage `{}`", excerpt(first.name))
    };
    let help = if advises { did_you_mean(first.name, &known, "known are") } else { None };
    Problem { place, message, help }
}

/// The node of a stage's options; `None` if the stage is not of the form `kind: options`, which is a problem of the file.
fn options(stage: &mut Node) -> Option<&mut Node> {
    let kind = stage.scalar().map(|(_, text)| text.to_owned());
    if let Some(kind) = kind {
        open(stage, kind);
    }
    match &mut stage.value {
        Value::Mapping(entries) => match &mut entries[..] {
            [(_, options)] => {
                if options.is_blank() {
                    options.value = Value::Mapping(Vec::new());
                }
                Some(options)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Turns the bare name of a choice, `cosine`, into one with options, `cosine: {}`.
fn open(node: &mut Node, name: String) {
    let place = node.place.clone();
    let options = Node { place: place.clone(), value: Value::Mapping(Vec::new()) };
    node.value = Value::Mapping(vec![(Key { text: name, place }, options)]);
}

/// Sets what `steps` lead to from `node`. Keys that are missing are made; whether they are known is found on reading.
fn set(node: &mut Node, steps: &[Step<'_>], value: Node, problems: &mut Problems) {
    let Some((step, rest)) = steps.split_first() else {
        *node = value;
        return;
    };
    let fail = |problems: &mut Problems, found: &str| {
        problems.add(step.place.clone(), format!("there is no `{}` in {found}", excerpt(step.name)));
    };
    match &mut node.value {
        Value::Mapping(entries) => {
            // A key may itself hold dots, as those of a search space do: the longest that exists is meant.
            let whole = steps.iter().map(|step| step.name).collect::<Vec<_>>().join(".");
            let begins = |key: &str| whole.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            let existing = entries.iter().enumerate().filter(|(_, (key, _))| begins(&key.text));
            let existing = existing.map(|(index, (key, _))| (index, key.text.split('.').count())).max_by_key(|found| found.1);
            let (index, count) = existing.unwrap_or_else(|| {
                entries.push((step.key(), Node { place: step.place.clone(), value: Value::Mapping(Vec::new()) }));
                (entries.len() - 1, 1)
            });
            set(&mut entries[index].1, &steps[count..], value, problems);
        }
        Value::List(nodes) => {
            let length = nodes.len();
            match step.name.parse::<usize>().ok().and_then(|index| nodes.get_mut(index)) {
                Some(node) => set(node, rest, value, problems),
                None => fail(problems, &format!("a list of {length}, counted from 0")),
            }
        }
        Value::Scalar { text, .. } if text == step.name => {
            let name = text.clone();
            open(node, name);
            set(node, steps, value, problems);
        }
        Value::Scalar { text, plain: true } if text.is_empty() => {
            node.value = Value::Mapping(Vec::new());
            set(node, steps, value, problems);
        }
        Value::Scalar { .. } => {
            let found = node.describe();
            fail(problems, &found);
        }
    }
}
