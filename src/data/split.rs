//! Splitting: parts of the training images are set apart, to choose by or to test with.
//!
//! Within every class (or among all images, where nobody asked for strata) the order is shuffled by the seed and the
//! first ones are taken. How many of each class follows the largest remainder method (Hamilton), so that parts have the
//! exact size asked for and every class its share within one image. Within a part, images keep their order.

use anyhow::{Result, ensure};
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataSet, LabelledImages, Part};
use crate::fault::{self, Fault};
use crate::graph::DataRef;
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
    /// Whether every class gives the same share.
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
/// When the options do not go together, the data has such a part already, or a part would be empty.
pub fn split(data: DataSet, options: &SplitOptions, seed: Seed) -> Result<Split> {
    fault::none(options.faults())?;
    ensure!(data.validation.is_none(), "the data set `{}` has a validation part already", data.info.name);
    ensure!(
        data.test.is_none() || options.test.is_none(),
        "the data set `{}` has a test part already; leave out `test`",
        data.info.name
    );
    let mut strata = shuffled_strata(&data.train, data.info.classes.len(), options.stratify, seed);
    let all = data.train.len();
    let test = options.test.map(|share| take(&mut strata, share.get() * all as f64));
    let validation = match options.folds {
        Some(folds) => take_fold(&mut strata, folds),
        None => take(&mut strata, options.validation_share() * all as f64),
    };
    let train = strata.concat();
    let part = |name: &str, mut places: Vec<usize>| -> Result<LabelledImages> {
        ensure!(!places.is_empty(), "the {name} part of {} would be empty", counted(all, "image"));
        places.sort_unstable();
        Ok(data.train.select(&places))
    };
    let unchanged = if data.test.is_some() { vec![Part::Test] } else { Vec::new() };
    let validation = Some(part("validation", validation)?);
    let test = match test {
        Some(places) => Some(part("test", places)?),
        None => data.test.clone(),
    };
    let train = part("train", train)?;
    Ok(Split { data: DataSet { train, validation, test, ..data }, unchanged })
}

/// The places of the images of each class, or of all, in an order that the seed decides.
fn shuffled_strata(images: &LabelledImages, classes: usize, stratify: bool, seed: Seed) -> Vec<Vec<usize>> {
    let mut strata = vec![Vec::new(); if stratify { classes } else { 1 }];
    for (place, &label) in images.labels().iter().enumerate() {
        strata[if stratify { usize::from(label) } else { 0 }].push(place);
    }
    for (index, stratum) in strata.iter_mut().enumerate() {
        stratum.shuffle(&mut seed.index(index as u64).rng());
    }
    strata
}

/// Takes `wanted` images (rounded) off the front of the strata, from each in proportion to how many it has.
fn take(strata: &mut [Vec<usize>], wanted: f64) -> Vec<usize> {
    let all: usize = strata.iter().map(Vec::len).sum();
    if all == 0 {
        return Vec::new();
    }
    let total = (wanted.round() as usize).min(all);
    let mut counts: Vec<usize> = strata.iter().map(|stratum| stratum.len() * total / all).collect();
    let mut by_remainder: Vec<usize> = (0..strata.len()).collect();
    by_remainder.sort_by_key(|&index| (std::cmp::Reverse(strata[index].len() * total % all), index));
    let missing = total - counts.iter().sum::<usize>();
    for &index in by_remainder.iter().take(missing) {
        counts[index] += 1;
    }
    strata.iter_mut().zip(counts).flat_map(|(stratum, count)| stratum.drain(..count)).collect()
}

/// Deals all images out to the folds in turn, stratum after stratum, and takes one fold.
fn take_fold(strata: &mut [Vec<usize>], folds: Folds) -> Vec<usize> {
    let (mut dealt, mut fold) = (0, Vec::new());
    for stratum in strata {
        stratum.retain(|&place| {
            let held_out = dealt % folds.count.get() + 1 == folds.held_out.get();
            dealt += 1;
            if held_out {
                fold.push(place);
            }
            !held_out
        });
    }
    fold
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
    fn what_cannot_be_split_is_named() {
        let error = |data: DataSet, text| split(data, &options(text), Seed::new(1)).unwrap_err().to_string();
        let few = || data(&[0, 1]);
        insta::assert_snapshot!(error(few(), r#""validation": 0.5, "folds": {"count": 3, "use": 1}"#), @"`folds` and `validation` both set a validation part apart; leave one of them out");
        insta::assert_snapshot!(error(few(), r#""folds": {"count": 3, "use": 4}"#), @"`folds` cannot `use: 4`: there are 3; name one from 1 to 3");
        insta::assert_snapshot!(error(few(), r#""folds": {"count": 1, "use": 1}"#), @"`folds` cannot have a `count` of 1: what is set apart would be everything; make it at least 2");
        insta::assert_snapshot!(error(few(), r#""validation": 0.5, "test": 0.5"#), @"a validation part of 0.5 and a test part of 0.5 leave nothing to train on; make them less than 1 together");
        insta::assert_snapshot!(error(few(), r#""validation": 0.1"#), @"the validation part of 2 images would be empty");
        insta::assert_snapshot!(error(few(), r#""validation": 0.9"#), @"the train part of 2 images would be empty");
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
            let made = split(data, &options(&text), Seed::new(9)).unwrap();
            let validation = made.data.validation.unwrap();
            prop_assert_eq!(validation.len(), (share * all as f64).round() as usize);
            if stratify {
                for (taken, count) in validation.class_counts(3).into_iter().zip(counts) {
                    prop_assert!((taken as f64 - count as f64 * validation.len() as f64 / all as f64).abs() < 1.0);
                }
            }
        }
    }
}
