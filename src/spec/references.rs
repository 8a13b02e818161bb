//! References between stages: found while options are read, checked when all stages are known.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use crate::graph::{ExportRef, ExportedModelRef, Graph, GraphError, Product, Reference as _, StageId, reference_needs};

use super::node::Key;
use super::problem::{Place, Problems};
use super::suggest::{list, nearest};

/// The most stages of a circle that are shown.
const SHOWN: usize = 20;

/// What a reference must be written as.
pub(super) const WANTED: &str = "the name of a stage";

/// A place where a stage names another one whose output it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceUse {
    /// The stage that is named.
    pub stage: StageId,
    /// What it must make; `None` for anything.
    pub needs: Option<Product>,
    /// The option that names it: `data`. Empty for a key of a mapping.
    pub option: String,
    /// Where the name stands.
    pub place: Place,
    /// Of an exported model, `exported/ensemble`: the model and where its name stands. It is no edge of the graph.
    pub model: Option<(StageId, Place)>,
}

/// Whether a newtype of this name refers to a stage.
pub(super) fn is_reference(name: &str) -> bool {
    name == ExportedModelRef::NAME || reference_needs(name).is_some()
}

/// The reference that the newtype called `name` makes of `text`; `None` if the text is no reference, which that type
/// itself will say when it is read.
pub(super) fn found(name: &str, text: &str, key: Option<&Key>, place: &Place) -> Option<ReferenceUse> {
    let option = key.map_or_else(String::new, |key| key.text.clone());
    let place = spot(text, place);
    if name == ExportedModelRef::NAME {
        let reference: ExportedModelRef = text.parse().ok()?;
        let stage = reference.export.stage().clone();
        let export = stage.as_str().len();
        let model = Some((reference.model, place.after(export + 1)));
        return Some(ReferenceUse { stage, needs: ExportRef::NEEDS, option, place: place.first(export), model });
    }
    Some(ReferenceUse { stage: text.parse().ok()?, needs: reference_needs(name)?, option, place, model: None })
}

/// Where the name `text` stands, which is the scalar at `place`: what is in quotes starts behind them.
pub(super) fn spot(text: &str, place: &Place) -> Place {
    let length = text.chars().count();
    if place.length() > length { place.after(1).first(length) } else { place.clone() }
}

/// A stage, as far as the check of references needs to know it.
pub(super) struct Referrer<'a> {
    pub id: &'a StageId,
    /// What it makes; `None` if its options could not be read.
    pub product: Option<Product>,
    /// Whether it is a further seed of another stage, which has said all that is wrong in both.
    pub is_copy: bool,
    pub references: &'a [ReferenceUse],
}

/// Checks that every reference names another stage that makes what is needed, and that no stages wait for each other.
/// `None` if a problem was found.
pub(super) fn check(stages: &[Referrer<'_>], problems: &mut Problems) -> Option<Graph> {
    let by_id: HashMap<&StageId, &Referrer<'_>> = stages.iter().map(|stage| (stage.id, stage)).collect();
    let exported: HashMap<&StageId, OnceCell<HashSet<&StageId>>> =
        stages.iter().map(|stage| (stage.id, OnceCell::new())).collect();
    let mut nodes = Vec::with_capacity(stages.len());
    for stage in stages {
        let mut inputs = Vec::new();
        for reference in stage.references {
            match by_id.get(&reference.stage) {
                _ if reference.stage == *stage.id => {
                    problems.add(reference.place.clone(), format!("stage `{}` reads itself", stage.id));
                }
                Some(_) if stage.is_copy => inputs.push(reference.stage.clone()),
                None if stage.is_copy => {}
                None => unknown(stages, stage.id, reference, problems),
                Some(target) => {
                    inputs.push(reference.stage.clone());
                    check_product(stages, stage.id, reference, target, problems);
                    check_model(&by_id, &exported[target.id], reference, target, problems);
                }
            }
        }
        nodes.push((stage.id.clone(), inputs));
    }
    match Graph::new(nodes) {
        Ok(graph) => Some(graph),
        Err(GraphError::Cycles(circles)) => {
            for circle in circles {
                cycle(&by_id, &circle, problems);
            }
            None
        }
        Err(GraphError::Duplicate(_) | GraphError::Unknown { .. }) => {
            unreachable!("keys of a mapping are unique, and only edges between stages were given")
        }
    }
}

/// Names of the other stages that make what is needed; also of those of which it is not known, if `or_unknown`.
fn candidates<'a>(stages: &'a [Referrer<'_>], asker: &StageId, needs: Option<Product>, or_unknown: bool) -> Vec<&'a str> {
    let fits = |makes: Option<Product>| needs.is_none() || makes.map_or(or_unknown, |makes| Some(makes) == needs);
    stages.iter().filter(|stage| stage.id != asker && fits(stage.product)).map(|stage| stage.id.as_str()).collect()
}

/// ``did you mean `parts`?`` or ``data is made by `merged`, `parts` `` or what kind of stage is missing.
fn suggestion(stages: &[Referrer<'_>], asker: &StageId, reference: &ReferenceUse) -> Option<String> {
    let near = nearest(reference.stage.as_str(), candidates(stages, asker, reference.needs, true));
    let candidates = candidates(stages, asker, reference.needs, false);
    match (near, reference.needs) {
        (Some(near), _) => Some(format!("did you mean `{near}`?")),
        (None, _) if candidates.is_empty() => reference.needs.map(|needs| format!("no other stage makes {needs}")),
        (None, Some(needs)) => Some(format!("{needs} can come from {}", list(&candidates))),
        (None, None) => Some(format!("the others are {}", list(&candidates))),
    }
}

fn unknown(stages: &[Referrer<'_>], asker: &StageId, reference: &ReferenceUse, problems: &mut Problems) {
    let message = format!("stage `{asker}` reads `{}`, which no stage makes", reference.stage);
    let help = if problems.is_full() { None } else { suggestion(stages, asker, reference) };
    problems.push(super::Problem { place: reference.place.clone(), message, help });
}

fn check_product(
    stages: &[Referrer<'_>],
    asker: &StageId,
    reference: &ReferenceUse,
    target: &Referrer<'_>,
    problems: &mut Problems,
) {
    let (Some(needs), Some(makes)) = (reference.needs, target.product) else { return };
    if needs != makes {
        let need = match reference.option.as_str() {
            "" => format!("{needs} is needed here"),
            option => format!("`{option}` needs {needs}"),
        };
        let message = format!("stage `{asker}` reads `{}`, which makes {makes}, but {need}", reference.stage);
        let help = if problems.is_full() { None } else { suggestion(stages, asker, reference) };
        problems.push(super::Problem { place: reference.place.clone(), message, help });
    }
}

/// The model in `exported/model` must be one that the export names. Which these are, is found once for each export.
fn check_model<'a>(
    by_id: &HashMap<&StageId, &Referrer<'_>>,
    exported: &OnceCell<HashSet<&'a StageId>>,
    reference: &ReferenceUse,
    export: &Referrer<'a>,
    problems: &mut Problems,
) {
    let (Some((model, place)), Some(Product::Export)) = (&reference.model, export.product) else { return };
    let is_model = |id: &StageId| by_id.get(id).is_none_or(|stage| stage.product.is_none_or(|makes| makes == Product::Model));
    let models = || export.references.iter().map(|reference| &reference.stage).filter(|id| is_model(id));
    if !exported.get_or_init(|| models().collect()).contains(model) {
        let names: Vec<&str> = if problems.is_full() { Vec::new() } else { models().map(StageId::as_str).collect() };
        let help = super::suggest::did_you_mean(model.as_str(), &names, "it exports");
        let message = format!("stage `{}` does not export `{model}`", export.id);
        problems.push(super::Problem { place: place.clone(), message, help });
    }
}

fn cycle(by_id: &HashMap<&StageId, &Referrer<'_>>, circle: &[StageId], problems: &mut Problems) {
    let (Some(first), Some(last)) = (circle.first(), circle.last()) else { return };
    let edge = by_id[first].references.iter().find(|reference| reference.stage == *last);
    let place = &edge.expect("in a circle the first stage reads the last").place;
    let mut path: Vec<String> = circle.iter().chain([first]).map(|id| format!("`{id}`")).collect();
    if path.len() > SHOWN {
        drop(path.splice(SHOWN / 2..path.len() - SHOWN / 2, ["…".to_owned()]));
    }
    let message = format!("stages wait for each other: {}", path.join(" → "));
    problems.add_with_help(place.clone(), message, format!("`{first}` cannot read `{last}`, which needs it"));
}
