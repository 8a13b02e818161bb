//! Splitting: parts of the training images are set apart, to choose by or to test with.
//!
//! Within every class (or among all images, where nobody asked for strata) the order is shuffled by the seed and the
//! first ones are taken. How many of each class follows the largest remainder method (Hamilton), so that parts have the
//! exact size asked for and every class its share within one image. Within a part, images keep their order.
//!
//! Every class keeps at least one image to train on: what that takes from a class's share, others give. A fold goes without
//! such an image.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataSet, Label, LabelledImages, Part};
use crate::fault::{self, Fault};
use crate::graph::DataRef;
use crate::quote;
use crate::seed::Seed;
use crate::units::{Count, Fraction, counted};

/// The options of a `split` stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitOptions {
    /// The data whose training images are split.
    pub data: DataRef,
    /// The share of the training images that is set apart to choose by: 0.2 unless `folds` are asked for.
    #[serde(default)]
    pub validation: Option<Fraction>,
    /// The share of the training images that is set apart to test with. Only for data without a test part.
    #[serde(default)]
    pub test: Option<Fraction>,
    /// Whether every class gives the same share. In any case, every class keeps at least one image to train on.
    #[serde(default = "yes")]
    pub stratify: bool,
    /// Cross-validation in place of `validation`: one of several equal folds is set apart.
    #[serde(default)]
    pub folds: Option<Folds>,
}

fn yes() -> bool {
    true
}

/// One fold of a cross-validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Folds {
    /// How many folds there are, at least 2.
    pub count: Count,
    /// The fold that is set apart, from 1 to `count`. All stages that divide a data set into as many folds get the same ones.
    #[serde(rename = "use")]
    pub held_out: Count,
}

/// The share of the validation part where nobody says another.
const VALIDATION: f64 = 0.2;

/// What [`split`] makes.
#[derive(Clone, Debug)]
pub struct Split {
    /// The data in its new parts.
    pub data: DataSet,
    /// The parts that are as they were.
    pub unchanged: Vec<Part>,
    /// What a person should know, one sentence each.
    pub notes: Vec<String>,
}

impl SplitOptions {
    /// What does not go together.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Some(Folds { count, held_out }) = self.folds {
            if self.validation.is_some() {
                let message = "`folds` and `validation` both set a validation part apart";
                faults.push(Fault::new(&["validation"], message, "leave one of them out"));
            }
            if count.get() < 2 {
                let message = format!("`folds` cannot have a `count` of {count}: what is set apart would be everything");
                faults.push(Fault::new(&["folds", "count"], message, "make it at least 2"));
            }
            if held_out > count {
                let message = format!("`folds` cannot `use: {held_out}`: there are {count}");
                faults.push(Fault::new(&["folds", "use"], message, format!("name one from 1 to {count}")));
            }
        }
        let (test, validation) = (self.test.map_or(0.0, Fraction::get), self.validation_share());
        if test + validation >= 1.0 {
            let message = format!("a validation part of {validation} and a test part of {test} leave nothing to train on");
            faults.push(Fault::new(&["test"], message, "make them less than 1 together"));
        }
        faults
    }

    /// The share of all training images that becomes the validation part; with folds, of those that are not test images.
    fn validation_share(&self) -> f64 {
        match self.folds {
            Some(_) => 0.0,
            None => self.validation.map_or(VALIDATION, Fraction::get),
        }
    }
}

/// Does what a `split` stage is asked to do.
///
/// # Errors
/// When the options do not go together, the data has such a part already, a part would be empty, or a class would have no
/// image left to train on.
pub fn split(data: DataSet, options: &SplitOptions, seed: Seed) -> Result<Split> {
    fault::none(options.faults())?;
    ensure!(data.validation.is_none(), "the data set `{}` has a validation part already", data.info.name);
    ensure!(
        data.test.is_none() || options.test.is_none(),
        "the data set `{}` has a test part already; leave out `test`",
        data.info.name
    );
    let mut pool = Pool::new(&data.train, data.info.classes.len(), options.stratify, seed);
    let all = data.train.len();
    let test = options.test.map(|share| pool.take(Part::Test, share.get())).transpose()?;
    let validation = match options.folds {
        Some(folds) => pool.take_fold(folds),
        None => pool.take(Part::Validation, options.validation_share())?,
    };
    let train = pool.strata.concat();
    let part = |part: Part, mut places: Vec<usize>| -> Result<LabelledImages> {
        ensure!(!places.is_empty(), "the {} part of {} would be empty", part.name(), counted(all, "image"));
        places.sort_unstable();
        Ok(data.train.select(&places))
    };
    let unchanged = if data.test.is_some() { vec![Part::Test] } else { Vec::new() };
    let validation = Some(part(Part::Validation, validation)?);
    let test = match test {
        Some(places) => Some(part(Part::Test, places)?),
        None => data.test.clone(),
    };
    let train = part(Part::Train, train)?;
    let mut made = Split { data: DataSet { train, validation, test, ..data }, unchanged, notes: Vec::new() };
    made.notes = [Part::Validation, Part::Test].into_iter().filter_map(|part| made.lacking(part)).collect();
    Ok(made)
}

impl Split {
    /// The classes of which a part that was set apart has no images although there are some to train on.
    fn lacking(&self, part: Part) -> Option<String> {
        let data = &self.data;
        let images = data.part(part).filter(|_| !self.unchanged.contains(&part))?;
        let [train, counts] = [&data.train, images].map(|images| images.class_counts(data.info.classes.len()));
        let lacking =
            data.info.classes.iter().zip(train.iter().zip(&counts)).filter(|(_, (train, count))| **train > 0 && **count == 0);
        let names: Vec<&str> = lacking.map(|(class, _)| class.as_str()).collect();
        (!names.is_empty()).then(|| {
            let (part, names) = (part.name(), quote::list(&names));
            format!("the {part} part has no images of {names}: there are few, and every class keeps one to train on")
        })
    }
}

/// The classes of a split on disk that have images in a part that was set apart and none to train on, which [`split`] does
/// not allow. Reads labels alone.
///
/// # Errors
/// When a file is missing or damaged; names it.
pub fn untrained_classes(dir: &Path, options: &SplitOptions) -> Result<Vec<String>> {
    let classes = DataSet::load_info(dir)?.classes;
    let counts = |part: Part| -> Result<Vec<usize>> {
        let mut counts = vec![0; classes.len()];
        for label in DataSet::load_labels(dir, part)?.unwrap_or_default() {
            *counts.get_mut(usize::from(label)).context("a label is of no class")? += 1;
        }
        Ok(counts)
    };
    let (train, validation, test) = (counts(Part::Train)?, counts(Part::Validation)?, counts(Part::Test)?);
    let set_apart = |class: usize| validation[class] > 0 || (options.test.is_some() && test[class] > 0);
    let untrained = (0..classes.len()).filter(|&class| set_apart(class) && train[class] == 0);
    Ok(untrained.map(|class| classes[class].clone()).collect())
}

/// Images that are not set apart: at first all of them.
struct Pool<'a> {
    labels: &'a [Label],
    /// The places of the images of each class, or of all, in an order that the seed decides.
    strata: Vec<Vec<usize>>,
    /// How many images of each class there are.
    left: Vec<usize>,
}

impl<'a> Pool<'a> {
    fn new(images: &'a LabelledImages, classes: usize, stratify: bool, seed: Seed) -> Self {
        let mut strata = vec![Vec::new(); if stratify { classes } else { 1 }];
        for (place, &label) in images.labels().iter().enumerate() {
            strata[if stratify { usize::from(label) } else { 0 }].push(place);
        }
        for (index, stratum) in strata.iter_mut().enumerate() {
            stratum.shuffle(&mut seed.index(index as u64).rng());
        }
        Self { labels: images.labels(), strata, left: images.class_counts(classes) }
    }

    /// Sets a share of all images apart: from each stratum in proportion to how many it has, as far as every class keeps
    /// one image.
    fn take(&mut self, part: Part, share: f64) -> Result<Vec<usize>> {
        let all: usize = self.left.iter().sum();
        if all == 0 {
            return Ok(Vec::new());
        }
        let total = ((share * self.labels.len() as f64).round() as usize).min(all);
        let room: Vec<usize> = self.strata.iter().map(|stratum| self.room(stratum)).collect();
        let mut counts: Vec<usize> = self.strata.iter().map(|stratum| stratum.len() * total / all).collect();
        let mut by_remainder: Vec<usize> = (0..self.strata.len()).collect();
        by_remainder.sort_by_key(|&index| (std::cmp::Reverse(self.strata[index].len() * total % all), index));
        let missing = total - counts.iter().sum::<usize>();
        for &index in by_remainder.iter().take(missing) {
            counts[index] += 1;
        }
        for (count, &room) in counts.iter_mut().zip(&room) {
            *count = room.min(*count);
        }
        let mut missing = total - counts.iter().sum::<usize>();
        while missing > 0 {
            let before = missing;
            for &index in &by_remainder {
                if missing > 0 && counts[index] < room[index] {
                    counts[index] += 1;
                    missing -= 1;
                }
            }
            if missing == before {
                return Err(self.too_few(part, share, total, room.iter().sum()));
            }
        }
        Ok((0..counts.len()).flat_map(|stratum| self.draw(stratum, counts[stratum])).collect())
    }

    /// How many images of a stratum may be taken.
    fn room(&self, stratum: &[usize]) -> usize {
        let mut seen = vec![false; self.left.len()];
        stratum.iter().for_each(|&place| seen[usize::from(self.labels[place])] = true);
        stratum.len() - seen.into_iter().filter(|&seen| seen).count()
    }

    /// Takes `count` images off the front of a stratum, but no class's last one.
    fn draw(&mut self, stratum: usize, count: usize) -> Vec<usize> {
        let mut drawn = Vec::with_capacity(count);
        let (labels, left) = (self.labels, &mut self.left);
        self.strata[stratum].retain(|&place| {
            let left = &mut left[usize::from(labels[place])];
            let taken = drawn.len() < count && *left > 1;
            if taken {
                *left -= 1;
                drawn.push(place);
            }
            !taken
        });
        drawn
    }

    /// Deals all images out to the folds in turn, stratum after stratum, and takes one fold, but no class's last image.
    fn take_fold(&mut self, folds: Folds) -> Vec<usize> {
        let (mut dealt, mut fold) = (0, Vec::new());
        let (labels, left) = (self.labels, &mut self.left);
        for stratum in &mut self.strata {
            stratum.retain(|&place| {
                let left = &mut left[usize::from(labels[place])];
                let taken = dealt % folds.count.get() + 1 == folds.held_out.get() && *left > 1;
                dealt += 1;
                if taken {
                    *left -= 1;
                    fold.push(place);
                }
                !taken
            });
        }
        fold
    }

    fn too_few(&self, part: Part, share: f64, total: usize, most: usize) -> anyhow::Error {
        let (name, all) = (part.name(), self.labels.len());
        let classes = self.left.iter().filter(|&&left| left > 0).count();
        let largest = (100 * most / all) as f64 / 100.0; // rounded down
        let help = if largest > 0.0 { format!("`{name}: {largest}` can be had") } else { "merge more images".to_owned() };
        anyhow!(
            "a {name} part of {share} is {total} of {all} images, but at most {most} can be set apart, for each of the {classes} \
             classes keeps one to train on; {help}"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::{DataInfo, ImageShape};

    /// Images whose two bytes are their place, so that parts show which images they hold.
    fn data(labels: &[u8]) -> DataSet {
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        let pixels: Vec<u8> = (0..labels.len()).flat_map(|place| (place as u16).to_be_bytes()).collect();
        let train = LabelledImages::new(shape, pixels, labels).unwrap();
        let info = DataInfo { name: "t".into(), synthetic: false, shape, classes: ["a", "b", "c"].map(String::from).into() };
        DataSet { info, train, validation: None, test: None, augmentation: None }
    }

    fn options(text: &str) -> SplitOptions {
        serde_json::from_str(&format!(r#"{{"data": "x", {text}}}"#)).unwrap()
    }

    fn places(images: &LabelledImages) -> Vec<u16> {
        images.pixels().as_chunks::<2>().0.iter().map(|&bytes| u16::from_be_bytes(bytes)).collect()
    }

    const LABELS: [u8; 20] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2];

    #[test]
    fn every_class_gives_its_share_and_all_images_are_kept_in_order() {
        let made = split(data(&LABELS), &options(r#""validation": 0.2, "test": 0.3"#), Seed::new(1)).unwrap();
        let [train, validation, test] = Part::ALL.map(|part| made.data.part(part).unwrap());
        assert_eq!(test.class_counts(3), [3, 2, 1]);
        assert_eq!(validation.class_counts(3), [2, 1, 1], "4 of the 14 that are left: 2, 1.43 and 0.57");
        assert_eq!(train.len(), 10);
        let mut all: Vec<u16> = [train, validation, test].into_iter().flat_map(places).collect();
        assert!([train, validation, test].iter().all(|part| places(part).is_sorted()));
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<u16>>());
    }

    #[test]
    fn the_seed_decides_and_a_test_part_is_handed_on() {
        let validation = |seed| {
            let mut data = data(&LABELS);
            data.test = Some(data.train.clone());
            let made = split(data.clone(), &options(r#""validation": 0.5"#), Seed::new(seed)).unwrap();
            assert_eq!((made.data.test, made.unchanged), (data.test, vec![Part::Test]));
            places(&made.data.validation.unwrap())
        };
        assert_eq!(validation(1), validation(1));
        assert_ne!(validation(1), validation(2));
    }

    #[test]
    fn the_default_is_a_fifth() {
        let made = split(data(&LABELS), &serde_json::from_str(r#"{"data": "x"}"#).unwrap(), Seed::new(1)).unwrap();
        assert_eq!(made.data.validation.unwrap().len(), 4);
    }

    #[test]
    fn folds_cover_everything_once_and_are_balanced() {
        let mut all = Vec::new();
        for held_out in 1..=3 {
            let options = options(&format!(r#""folds": {{"count": 3, "use": {held_out}}}"#));
            let made = split(data(&LABELS), &options, Seed::new(1)).unwrap();
            let validation = made.data.validation.unwrap();
            let counts = validation.class_counts(3);
            assert!((3..=4).contains(&counts[0]) && (2..=3).contains(&counts[1]) && counts[2] == 1, "{counts:?}");
            assert!((6..=7).contains(&validation.len()));
            assert_eq!(made.data.train.len() + validation.len(), 20);
            all.extend(places(&validation));
        }
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<u16>>());
    }

    #[test]
    fn a_class_keeps_its_only_image_to_train_on_and_its_absence_is_told() {
        let rare: Vec<u8> = [vec![0; 20], vec![1; 20], vec![2]].concat();
        let splits = [
            r#""validation": 0.6"#,
            r#""validation": 0.6, "stratify": false"#,
            r#""validation": 0.3, "test": 0.3"#,
            r#""folds": {"count": 5, "use": 1}"#,
            r#""folds": {"count": 2, "use": 1}, "stratify": false"#,
        ];
        for (text, seed) in splits.into_iter().flat_map(|text| (0..30).map(move |seed| (text, seed))) {
            let made = split(data(&rare), &options(text), Seed::new(seed)).unwrap();
            assert_eq!(made.data.train.class_counts(3)[2], 1, "{text}, seed {seed}");
            let told = "the validation part has no images of `c`: there are few, and every class keeps one to train on";
            assert_eq!(made.notes[0], told, "{text}, seed {seed}");
        }
        let made = split(data(&rare), &options(splits[0]), Seed::new(1)).unwrap();
        assert_eq!(made.data.validation.unwrap().len(), 25, "the part has the size asked for: others give more");
    }

    #[test]
    fn a_split_that_left_a_class_without_training_images_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let options = options(r#""validation": 0.2"#);
        let good = split(data(&LABELS), &options, Seed::new(1)).unwrap().data;
        good.save(dir.path()).unwrap();
        assert!(untrained_classes(dir.path(), &options).unwrap().is_empty());
        let first: Vec<usize> = (0..good.train.len()).filter(|&place| good.train.labels()[place] != 1).collect();
        DataSet { train: good.train.select(&first), ..good }.save(dir.path()).unwrap();
        assert_eq!(untrained_classes(dir.path(), &options).unwrap(), ["b"]);
    }

    #[test]
    fn what_cannot_be_split_is_named() {
        let error = |data: DataSet, text| split(data, &options(text), Seed::new(1)).unwrap_err().to_string();
        let few = || data(&[0, 1]);
        insta::assert_snapshot!(error(few(), r#""validation": 0.5, "folds": {"count": 3, "use": 1}"#), @"`folds` and `validation` both set a validation part apart; leave one of them out");
        insta::assert_snapshot!(error(few(), r#""folds": {"count": 3, "use": 4}"#), @"`folds` cannot `use: 4`: there are 3; name one from 1 to 3");
        insta::assert_snapshot!(error(few(), r#""folds": {"count": 1, "use": 1}"#), @"`folds` cannot have a `count` of 1: what is set apart would be everything; make it at least 2");
        insta::assert_snapshot!(error(few(), r#""validation": 0.5, "test": 0.5"#), @"a validation part of 0.5 and a test part of 0.5 leave nothing to train on; make them less than 1 together");
        insta::assert_snapshot!(error(few(), r#""validation": 0.1"#), @"the validation part of 2 images would be empty");
        insta::assert_snapshot!(error(few(), r#""validation": 0.9"#), @"a validation part of 0.9 is 2 of 2 images, but at most 0 can be set apart, for each of the 2 classes keeps one to train on; merge more images");
        let most = data(&LABELS);
        insta::assert_snapshot!(error(most, r#""validation": 0.9"#), @"a validation part of 0.9 is 18 of 20 images, but at most 17 can be set apart, for each of the 3 classes keeps one to train on; `validation: 0.85` can be had");
        let whole = || DataSet { test: Some(few().train), ..few() };
        insta::assert_snapshot!(error(whole(), r#""test": 0.5"#), @"the data set `t` has a test part already; leave out `test`");
        let again = DataSet { validation: Some(few().train), ..few() };
        insta::assert_snapshot!(error(again, r#""validation": 0.5"#), @"the data set `t` has a validation part already");
    }

    proptest! {
        #[test]
        fn shares_are_exact_within_one_image(labels in proptest::collection::vec(0_u8..3, 10..200), share in 0.1_f64..0.9, stratify: bool) {
            let all = labels.len();
            let text = format!(r#""validation": {share}, "stratify": {stratify}"#);
            let data = data(&labels);
            let counts = data.train.class_counts(3);
            let wanted = (share * all as f64).round() as usize;
            let classes = counts.iter().filter(|&&count| count > 0).count();
            let made = match split(data, &options(&text), Seed::new(9)) {
                Ok(made) => made,
                Err(error) => {
                    prop_assert!(wanted > all - classes, "{error}");
                    return Ok(());
                }
            };
            let validation = made.data.validation.unwrap();
            prop_assert_eq!(validation.len(), wanted);
            for (left, count) in made.data.train.class_counts(3).into_iter().zip(&counts) {
                prop_assert!(left > 0 || *count == 0);
            }
            let is_rare = |&count: &usize| count > 0 && count * (all - wanted) < all;
            if stratify && !counts.iter().any(is_rare) {
                for (taken, count) in validation.class_counts(3).into_iter().zip(counts) {
                    prop_assert!((taken as f64 - count as f64 * validation.len() as f64 / all as f64).abs() < 1.0);
                }
            }
        }

        #[test]
        fn folds_leave_every_class_something(labels in proptest::collection::vec(0_u8..3, 10..60), count in 2_usize..8, stratify: bool, seed: u64) {
            let present = data(&labels).train.class_counts(3);
            for held_out in 1..=count {
                let text = format!(r#""folds": {{"count": {count}, "use": {held_out}}}, "stratify": {stratify}"#);
                let made = match split(data(&labels), &options(&text), Seed::new(seed)) {
                    Ok(made) => made,
                    Err(error) => {
                        prop_assert!(error.to_string().contains("the validation part"), "{error}");
                        continue;
                    }
                };
                let left = made.data.train.class_counts(3);
                prop_assert!(left.iter().zip(&present).all(|(left, present)| *left > 0 || *present == 0));
            }
        }
    }
}
