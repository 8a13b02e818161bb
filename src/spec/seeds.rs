//! `seeds: 3`: one stage of the file that stands for several, which differ in their seed alone.
//!
//! A stage's seed derives from its name. So `optimum` with `seeds: 3` is written out as the stages `optimum`, `optimum-2` and
//! `optimum-3`; the first keeps the name, and with it the seed and the key in the cache, that it has alone. Where a list names
//! `optimum` (`models: [basic, optimum]`), all of them are meant; a single name (`teacher: optimum`) means the first, which is
//! `optimum-1` wherever it is to be named alone.
//!
//! It is the tree that is changed, and a copy of a node keeps the place of its original: everything later treats the copies
//! like stages that are written in the file, and shows what is wrong where it is written.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use super::MOST_STAGES;
use super::node::{Key, Node, Value};
use super::parse::MOST_NODES;
use super::problem::{Place, Problems};
use super::references::{ReferenceUse, spot};
use super::scalar::Scalar;
use crate::graph::StageId;
use crate::units::Seeds;

/// The option that says how many.
const OPTION: &str = "seeds";

/// The stages of the file that stand for several.
pub(super) struct Families {
    /// Each with the names of the further ones.
    further: BTreeMap<StageId, Vec<StageId>>,
    /// The name in the file of each further one.
    entries: HashMap<StageId, StageId>,
    /// How many more nodes the tree may have; none once it would have had too many.
    room: Cell<Option<usize>>,
}

impl Families {
    /// The first of a family if `id` is its name with the number 1.
    fn first(&self, id: &StageId) -> Option<&StageId> {
        let entry = id.as_str().strip_suffix("-1")?.parse::<StageId>().ok()?;
        self.further.get_key_value(&entry).map(|(first, _)| first)
    }

    /// The names that stand behind `id` where a list names it.
    fn behind(&self, id: &StageId) -> &[StageId] {
        self.further.get(id).map_or(&[], Vec::as_slice)
    }

    /// Whether there is room for so many more nodes, which then are counted.
    fn grow(&self, nodes: usize) -> bool {
        self.room.set(self.room.get().and_then(|room| room.checked_sub(nodes)));
        self.room.get().is_some()
    }

    /// Whether lists grew too long, and were left as they are.
    pub fn is_over(&self) -> bool {
        self.room.get().is_none()
    }

    /// The name in the file that `id` comes from; its own for most.
    pub fn entry_of<'a>(&'a self, id: &'a StageId) -> &'a StageId {
        self.entries.get(id).unwrap_or(id)
    }
}

/// Puts behind every stage with several seeds its copies. A name that is taken is a problem; `None` means that there would be too
/// many stages or values, and that a problem says so.
pub(super) fn write_out(stages: &mut Vec<(Key, Node)>, problems: &mut Problems) -> Option<Families> {
    let (mut count, mut nodes) = (0, 0);
    for (key, node) in stages.iter() {
        let seeds = seeds(node);
        let copies = seeds.as_ref().map_or(1, |(seeds, _)| seeds.get());
        (count, nodes) = (count + copies, nodes + copies * node.size());
        let limit = if count > MOST_STAGES {
            format!("{MOST_STAGES} stages")
        } else if nodes > MOST_NODES {
            format!("{MOST_NODES} values")
        } else {
            continue;
        };
        let place = seeds.map_or_else(|| key.place.clone(), |(_, option)| option);
        problems.add(place, format!("there are more than {limit} up to here, those counted that `seeds` stands for"));
        return None;
    }
    let written = std::mem::take(stages);
    let by_name: HashMap<&str, &Key> = written.iter().map(|(key, _)| (key.text.as_str(), key)).collect();
    let mut families = BTreeMap::new();
    for (key, node) in &written {
        let Some((id, (seeds, option))) = key.text.parse::<StageId>().ok().zip(seeds(node)) else { continue };
        let mut further = Vec::new();
        for number in 1..=seeds.get() {
            let copy: StageId = match format!("{id}-{number}").parse() {
                Ok(copy) => copy,
                Err(message) => {
                    problems.add_with_help(key.place.clone(), message, "shorten it, so that a number can follow it");
                    break;
                }
            };
            match by_name.get(copy.as_str()) {
                Some(taken) => {
                    let message = format!(
                        "with {seeds} seeds, `{id}` stands for a stage `{copy}` too, which line {} has",
                        taken.place.line()
                    );
                    problems.add_with_help(option.clone(), message, "give one of them another name");
                }
                None if number == 1 => {}
                None => further.push(copy),
            }
        }
        families.insert(id, further);
    }
    let entries = families.iter().flat_map(|(entry, further)| further.iter().map(move |copy| (copy.clone(), entry.clone())));
    let families = Families { entries: entries.collect(), further: families, room: Cell::new(Some(MOST_NODES - nodes)) };
    for (key, node) in written {
        let further = key.text.parse().ok().map_or(&[][..], |id: StageId| families.behind(&id));
        let copy = |id: &StageId| (Key { text: id.to_string(), place: key.place.clone() }, node.clone());
        let copies: Vec<_> = further.iter().map(copy).collect();
        stages.push((key, node));
        stages.extend(copies);
    }
    Some(families)
}

/// The stage of the file that `name` would be a further seed of, with the number of its seeds: for `optimum-2` and also for
/// `optimum-9` the stage `optimum`, if it has several.
pub(super) fn family_of<'a>(name: &str, stages: &'a [(Key, Node)]) -> Option<(&'a str, Seeds)> {
    let (entry, number) = name.rsplit_once('-')?;
    number.parse::<u64>().ok()?;
    let (key, node) = stages.iter().find(|(key, _)| key.text == entry)?;
    Some((&key.text, seeds(node)?.0))
}

/// How many seeds the stage `node` asks for, if that is more than one, and where. What is not a number of seeds is found on
/// reading.
fn seeds(node: &Node) -> Option<(Seeds, Place)> {
    let Value::Mapping(kinds) = &node.value else { return None };
    let [(_, options)] = &kinds[..] else { return None };
    let (_, option) = options.get(OPTION)?;
    let (Scalar::Integer(number), _) = option.scalar()? else { return None };
    let seeds = Seeds::new(u64::try_from(number).ok()?).ok()?;
    (seeds > Seeds::ONE).then(|| (seeds, option.place.clone()))
}

/// In every list below `node`, puts behind the name of a stage with several seeds those of its copies, and everywhere its own name for
/// that with the number 1. `references` are those that were found in `node`: not every text that is like a name is one. Gives
/// whether anything was changed.
pub(super) fn name_all(node: &mut Node, references: &[ReferenceUse], families: &Families) -> bool {
    if families.further.is_empty() {
        return false;
    }
    let at = |reference: &ReferenceUse| (reference.place.identity(), reference.stage.clone());
    name_below(node, &references.iter().map(at).collect(), families)
}

/// References by their places.
type References = HashMap<(usize, usize, usize), StageId>;

fn name_below(node: &mut Node, references: &References, families: &Families) -> bool {
    match &mut node.value {
        Value::Scalar { .. } => {
            let Some((id, first)) = named(node, references).and_then(|id| Some((id, families.first(id)?))) else { return false };
            let (place, text) = (spot(id.as_str(), &node.place), first.to_string());
            *node = Node { place: place.first(text.len()), value: Value::Scalar { text, plain: true } };
            true
        }
        Value::Mapping(entries) => {
            entries.iter_mut().fold(false, |changed, (_, node)| name_below(node, references, families) || changed)
        }
        Value::List(nodes) => {
            let mut changed = false;
            for mut node in std::mem::take(nodes) {
                let further = named(&node, references).map_or(&[][..], |id| families.behind(id));
                let further = if families.grow(further.len()) { further } else { &[] };
                changed |= name_below(&mut node, references, families);
                let copy =
                    |id: &StageId| Node { place: node.place.clone(), value: Value::Scalar { text: id.to_string(), plain: true } };
                let copies: Vec<Node> = further.iter().map(copy).collect();
                changed |= !copies.is_empty();
                nodes.push(node);
                nodes.extend(copies);
            }
            changed
        }
    }
}

/// The stage that a scalar names, if it is one of `references`.
fn named<'a>(node: &Node, references: &'a References) -> Option<&'a StageId> {
    let (_, text) = node.scalar()?;
    references.get(&spot(text, &node.place).identity()).filter(|stage| stage.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestKind, problems, read};
    use super::*;
    use crate::spec::Spec;

    const TEXT: &str = r#"
version: 1
stages:
  raw:    { fetch: { pattern: [first] } }
  first:  { train: { data: raw, model: basic, epochs: 2, seeds: 3 } }
  second: { train: { data: raw, model: basic, epochs: 2, seeds: 1 } }
  both:   { vote: { models: [second, "first"], data: raw } }
  one:    { vote: { models: [second, first-1, "first-3"], data: raw } }
"#;

    fn inputs(spec: &Spec<TestKind>, stage: &str) -> Vec<String> {
        spec.graph.inputs(&stage.parse().unwrap()).into_iter().map(StageId::to_string).collect()
    }

    #[test]
    fn a_stage_with_seeds_is_several_and_lists_name_them_all() {
        let spec = read(TEXT, &["first.epochs=5"]).unwrap();
        let names: Vec<&str> = spec.stages.iter().map(|stage| stage.id.as_str()).collect();
        assert_eq!(names, ["raw", "first", "first-2", "first-3", "second", "both", "one"]);
        assert_eq!(inputs(&spec, "both"), ["second", "first", "first-2", "first-3", "raw"]);
        assert_eq!(inputs(&spec, "one"), ["second", "first", "first-3", "raw"]);
        assert_eq!(inputs(&spec, "first-3"), ["raw"]);
        for copy in &spec.stages[1..4] {
            let TestKind::Train(options) = &copy.kind else { panic!("{copy:?}") };
            assert_eq!((options.epochs.get(), copy.entry.as_str()), (5, "first"));
        }
        let TestKind::Vote(vote) = &spec.stages[5].kind else { panic!() };
        let voters: Vec<String> = vote.models.iter().map(ToString::to_string).collect();
        assert_eq!(voters, ["second", "first", "first-2", "first-3"]);
        let families = spec.families();
        assert_eq!(families.len(), 1);
        assert_eq!(families[&"first".parse::<StageId>().unwrap()].len(), 3);
        // A text that is no reference stays as it is.
        let TestKind::Fetch(raw) = &spec.stages[0].kind else { panic!() };
        assert_eq!(raw.pattern.0, ["first"]);
    }

    #[test]
    fn an_override_of_one_seed_is_told_how_to_change_them_all() {
        let given = ["first-2.epochs=5", "first-1.epochs=5", "second-2.epochs=5"];
        insta::assert_snapshot!(read(TEXT, &given).unwrap_err(), @"
        -S first-1.epochs=5: `first-1` has no options of its own: the 3 seeds of `first` differ in their seed alone; write `first.epochs=…`, which changes them all, or give the file another stage beside `first`
           |
        -S | first-1.epochs=5
           | ^^^^^^^

        -S first-2.epochs=5: `first-2` has no options of its own: the 3 seeds of `first` differ in their seed alone; write `first.epochs=…`, which changes them all, or give the file another stage beside `first`
           |
        -S | first-2.epochs=5
           | ^^^^^^^

        -S second-2.epochs=5: there is no stage `second-2`; did you mean `second`?
           |
        -S | second-2.epochs=5
           | ^^^^^^^^
        ");
        let later = read(TEXT, &["second-2.epochs=5", "second.seeds=2"]).unwrap_err().to_string();
        assert!(later.contains("write `second.epochs=…`") && read(TEXT, &["second.epochs=5"]).is_ok(), "{later}");
    }

    #[test]
    fn copies_stand_where_their_original_stands() {
        let spec = read(TEXT, &[]).unwrap();
        let place = |stage: &str, path: &[&str]| spec.place(&stage.parse().unwrap(), path).to_string();
        assert_eq!(place("first-2", &["epochs"]), place("first", &["epochs"]));
        assert_eq!(place("one", &["models", "1"]), "pipeline.yaml:8:38");
        assert_eq!(place("both", &["models", "3"]), place("both", &["models", "1"]));
        assert_eq!(spec.stage(&"first-3".parse().unwrap()).unwrap().place.to_string(), "pipeline.yaml:5:3");
    }

    #[test]
    fn faults_are_told_once_and_where_they_are_written() {
        let text = r#"
  raw:     { fetch: {} }
  first:   { train: { data: raw, model: basic, epochs: 2, seeds: 3 } }
  first-3: { fetch: {} }
  lost:    { train: { data: rav, model: basic, epochs: 2, seeds: 2 } }
  wrong:   { train: { data: raw, model: basic, epochs: 0, seeds: 2 } }
  many:    { train: { data: raw, model: basic, epochs: 1, seeds: 101 } }
  found:   { fetch: { seeds: 2 } }
  itself:  { vote: { models: [first-2, second-2], data: raw } }
"#;
        insta::assert_snapshot!(problems(text, &[]), @"
        pipeline.yaml:5:66: with 3 seeds, `first` stands for a stage `first-3` too, which line 6 has; give one of them another name
          |
        5 |   first:   { train: { data: raw, model: basic, epochs: 2, seeds: 3 } }
          |                                                                  ^

        pipeline.yaml:7:29: stage `lost` reads `rav`, which no stage makes; did you mean `raw`?
          |
        7 |   lost:    { train: { data: rav, model: basic, epochs: 2, seeds: 2 } }
          |                             ^^^

        pipeline.yaml:8:56: `epochs`: 0 is out of range: a number of epochs must be at least 1
          |
        8 |   wrong:   { train: { data: raw, model: basic, epochs: 0, seeds: 2 } }
          |                                                        ^

        pipeline.yaml:9:66: `seeds`: 101 is out of range: a number of seeds is at most 100
          |
        9 |   many:    { train: { data: raw, model: basic, epochs: 1, seeds: 101 } }
          |                                                                  ^^^

        pipeline.yaml:10:23: `seeds` is not known in `fetch`; known here are `pattern`, `offline`, `shift`, `values`
           |
        10 |   found:   { fetch: { seeds: 2 } }
           |                       ^^^^^

        pipeline.yaml:11:40: stage `itself` reads `second-2`, which no stage makes; a model can come from `first`, `first-2`, `lost`, `lost-2`
           |
        11 |   itself:  { vote: { models: [first-2, second-2], data: raw } }
           |                                        ^^^^^^^^
        ");
    }
}
