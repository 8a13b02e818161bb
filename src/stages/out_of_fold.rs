//! Out-of-fold judgement: where networks were trained on folds of one data set, each image of it is judged by those networks that were
//! not trained on it, and so all images give figures that are honest (stacking on cross-validated predictions: Wolpert, 1992).

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use ndarray::Axis;

use super::model::{Model, Part};
use crate::data::{self, DataSet, LabelledImages};
use crate::engine::Context;
use crate::graph::StageId;
use crate::metrics::Probabilities;
use crate::progress::Progress;

/// Which networks judge which folds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OutOfFold {
    /// For each fold, data that has it as its validation part.
    pub folds: Vec<StageId>,
    /// For each network, the places in `folds` of those that it may judge.
    pub judges: BTreeMap<StageId, Vec<usize>>,
    /// The networks by recipe: those that stand together differ in their fold or seed alone.
    pub recipes: Vec<Vec<StageId>>,
    /// Data with the test part, where that part was set apart together with the folds.
    pub test: Option<StageId>,
}

/// Images with those, of several networks or models, that have not seen them, by their places.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub images: LabelledImages,
    pub judges: Vec<usize>,
}

impl OutOfFold {
    /// The data that must be there to judge.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &StageId> {
        self.folds.iter().chain(&self.test)
    }

    /// The images of every fold.
    pub(super) fn images(&self, context: &Context<'_>) -> Result<Vec<LabelledImages>> {
        let fold = |data: &StageId| Ok(DataSet::load(context.input(data)?)?.required(data::Part::Validation)?.clone());
        self.folds.iter().map(fold).collect()
    }

    /// The images to measure with.
    pub(super) fn test_images(&self, context: &Context<'_>) -> Result<Option<LabelledImages>> {
        let Some(data) = &self.test else { return Ok(None) };
        Ok(DataSet::load(context.input(data)?)?.test)
    }

    /// The images of `folds` with their judges among the networks `names`; without images that none of these may judge.
    pub(super) fn groups(&self, names: &[&StageId], folds: &[LabelledImages]) -> Vec<Group> {
        let judges = |place: usize| -> Vec<usize> {
            let may_judge = |name: &StageId| self.judges.get(name).is_some_and(|folds| folds.contains(&place));
            (0..names.len()).filter(|&network| may_judge(names[network])).collect()
        };
        let groups = folds.iter().enumerate().map(|(place, images)| Group { images: images.clone(), judges: judges(place) });
        groups.filter(|group| !group.judges.is_empty()).collect()
    }

    /// The images that a model is judged by, with its networks that may judge them and count in its vote.
    pub(super) fn groups_of(&self, model: &Model, folds: &[LabelledImages]) -> Result<Vec<Group>> {
        let counting: Vec<usize> = (0..model.members.len()).filter(|&member| model.members[member].weight > 0.0).collect();
        let names: Vec<&StageId> = counting.iter().map(|&member| &model.members[member].name).collect();
        let mut groups = self.groups(&names, folds);
        groups.iter_mut().flat_map(|group| &mut group.judges).for_each(|judge| *judge = counting[*judge]);
        ensure!(!groups.is_empty(), "no image was out of the folds that `{}` was trained on", model.record.name);
        Ok(groups)
    }
}

/// What a model says of all images of `groups`, each by the networks that have not seen it: as it said when it was made, if it was asked
/// this then.
pub(super) fn predictions(model: &Model, groups: &[Group], progress: &dyn Progress) -> Result<(LabelledImages, Probabilities)> {
    let images = all_images(groups)?;
    let said = match model.stored(Part::Validation, &images)? {
        Some(said) => said,
        None => joined(groups.iter().map(|group| model.predict_by(&group.judges, &group.images, progress)))?,
    };
    Ok((images, said))
}

/// The images of all groups in one.
pub(super) fn all_images(groups: &[Group]) -> Result<LabelledImages> {
    let mut all = groups.iter().map(|group| &group.images);
    let first = all.next().expect("there is a group").clone();
    all.try_fold(first, |before, images| before.concat(images))
}

/// Probabilities one below the other.
pub(super) fn joined(parts: impl IntoIterator<Item = Result<Probabilities>>) -> Result<Probabilities> {
    let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    Ok(ndarray::concatenate(Axis(0), &views)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;

    #[test]
    fn every_image_goes_to_the_networks_that_may_judge_it() {
        let id = |name: &str| name.parse::<StageId>().unwrap();
        let names = ["a", "b", "c"].map(id);
        let plan = OutOfFold {
            folds: ["one", "two", "three"].map(id).to_vec(),
            judges: BTreeMap::from([(id("a"), vec![0]), (id("b"), vec![1]), (id("c"), vec![1])]),
            ..OutOfFold::default()
        };
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let folds: Vec<LabelledImages> =
            (0..3_u8).map(|fold| LabelledImages::new(shape, vec![fold; 2], vec![fold; 2]).unwrap()).collect();
        let groups = plan.groups(&names.each_ref(), &folds);
        let found: Vec<(&[u8], &[usize])> = groups.iter().map(|group| (group.images.labels(), &group.judges[..])).collect();
        assert_eq!(found, [(&[0_u8, 0][..], &[0][..]), (&[1, 1], &[1, 2])], "nobody may judge the third fold");
        assert_eq!(all_images(&groups).unwrap().labels(), [0, 0, 1, 1]);
    }
}
