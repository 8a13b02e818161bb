//! Images of different files that may be the same images: only their content tells, when they are there.
//!
//! That a model was trained on other files than those it is judged by says little: a file may be a copy, or a choice of rows, of another.
//! So a stage that judges a model by images reads those that the model has used as well, and compares them byte for byte.
//! A few that are the same are told: public data sets share some, and a figure moves by no more than their share. Copies of an image count
//! once, for blank images and the like may be in any data.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{Result, bail};

use super::lineage::Purpose;
use crate::data::{DataSet, LabelledImages, Part};
use crate::digest::Digest;
use crate::engine::Context;
use crate::graph::StageId;

/// Of the images that a figure is taken from, the largest share that the model may have used.
const MOST: f64 = 0.01;

/// Images that a model has used, and images of other files that it is judged by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Foreign {
    /// The model.
    pub model: StageId,
    /// The stage that used images: the model's own, or that of one which it comes from.
    pub by: StageId,
    /// What for.
    pub purpose: Purpose,
    /// The used images, by data and part.
    pub used: (StageId, Part),
    /// Those that it is judged by, likewise.
    pub judged: (StageId, Part),
}

/// The data that must be there for [`check`].
pub(super) fn inputs(foreign: &[Foreign]) -> impl Iterator<Item = &StageId> {
    foreign.iter().flat_map(|case| [&case.used.0, &case.judged.0])
}

/// Compares images by their content.
///
/// # Errors
/// When a model was trained on, or chosen by, more than very few of the images that it is judged by; names the stages, and says how many.
pub(super) fn check(foreign: &[Foreign], context: &Context<'_>) -> Result<()> {
    let mut wanted: BTreeMap<&StageId, BTreeSet<Part>> = BTreeMap::new();
    for (data, part) in foreign.iter().flat_map(|case| [&case.used, &case.judged]) {
        wanted.entry(data).or_default().insert(*part);
    }
    let mut found: BTreeMap<(StageId, Part), HashSet<Digest>> = BTreeMap::new();
    for (data, parts) in wanted {
        context.progress.check()?;
        let set = DataSet::load(context.input(data)?)?;
        for part in parts {
            found.insert((data.clone(), part), set.part(part).map(distinct).unwrap_or_default());
        }
    }
    for case in foreign {
        let (judged, used) = (&found[&case.judged], &found[&case.used]);
        let (count, all) = (judged.intersection(used).count(), judged.len());
        if count == 0 {
            continue;
        }
        let said = case.said(count, all);
        if count as f64 > MOST * all as f64 {
            bail!(
                "{said}; figures on them would not be those of a model that has not seen them: use other files for one of the two"
            );
        }
        context.progress.warn(&said);
    }
    Ok(())
}

impl Foreign {
    /// Whether the comparison for `other` is this one, whichever stage used the images.
    pub(super) fn asks_the_same_as(&self, other: &Self) -> bool {
        let Self { model, by: _, purpose, used, judged } = self;
        (model, purpose, used, judged) == (&other.model, &other.purpose, &other.used, &other.judged)
    }

    fn said(&self, count: usize, all: usize) -> String {
        let Self { model, by, purpose, used: (used, part), judged: (judged, judged_part) } = self;
        let who = if model == by { format!("`{model}`") } else { format!("`{model}` comes from `{by}`, which") };
        let how = match purpose {
            Purpose::Trained | Purpose::Refit => "trained on",
            Purpose::Chosen => "chosen by",
        };
        let (part, judged_part) = (super::named_part(*part), super::named_part(*judged_part));
        format!(
            "{who} was {how} the {part} of `{used}`, and {count} of the {all} different images of the {judged_part} of `{judged}` are among them"
        )
    }
}

/// Its images by their content, copies once.
fn distinct(images: &LabelledImages) -> HashSet<Digest> {
    (0..images.len()).map(|place| Digest::of_bytes(images.image(place))).collect()
}
