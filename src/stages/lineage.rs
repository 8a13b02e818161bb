//! Where the images of a part come from, and which images a model has used: as far as a plan tells before anything runs.
//!
//! Images are those of some files, or what one stage that divides them took of those. Two parts of one division are disjoint, or one
//! holds the other; two divisions of the same files are drawn independently of each other, and so share images. That different files hold
//! different images is only assumed here: whether they do is looked up in their content when the stage runs ([`super::foreign`]).

use crate::data::Part;
use crate::data::pattern::Patterns;
use crate::data::split::SplitOptions;
use crate::digest::Digest;
use crate::graph::StageId;

/// The images of a part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Images {
    /// The digest of the names of the files: lists of names may be long, and are compared often.
    files: Digest,
    share: Option<(Division, Share)>,
}

/// A division of the images of some files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Division {
    /// By this stage, which draws by a seed of its own.
    Split(StageId),
    /// Into folds, which are the same for all stages that ask for them so.
    Folds(Folding),
}

/// Folds of one data set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Folding {
    /// The stage that made the data set.
    of: StageId,
    count: usize,
    stratify: bool,
    /// The bits of the share that was set apart to test with.
    test: Option<u64>,
}

/// What of a division a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Share {
    Train,
    Validation,
    Test,
    /// One fold.
    Fold(usize),
    /// All folds but one.
    AllBut(usize),
}

/// What two parts have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// No image.
    Disjoint,
    /// At least an image, by their division.
    Overlap,
    /// Images of the same files, divided in two ways: it would be chance if there were none in both.
    Mixed,
    /// They are of different files; only their content tells.
    OtherFiles,
}

/// The parts of data that was divided.
pub(super) struct Divided {
    pub train: Images,
    pub validation: Images,
    pub test: Option<Images>,
}

impl Images {
    /// All images of the files that `patterns` name below the folder of the stage `base`, or of the working folder.
    pub(super) fn of_files(base: Option<&StageId>, patterns: &Patterns) -> Self {
        let mut names: Vec<String> = patterns.iter().map(|pattern| plain(&pattern.to_string())).collect();
        names.sort();
        let base = base.map_or("", StageId::as_str);
        Self { files: Digest::of_bytes(format!("{base}\n{}", names.join("\n")).as_bytes()), share: None }
    }

    /// Whether they are what a division took of their files.
    pub(super) fn is_divided(&self) -> bool {
        self.share.is_some()
    }

    /// Whether they are of the files that others are of.
    pub(super) fn are_of_files_of(&self, other: &Self) -> bool {
        self.files == other.files
    }

    /// The parts that the stage `by` makes of them, which are the training images of the data set `of`.
    pub(super) fn divided(&self, by: &StageId, options: &SplitOptions, of: &StageId) -> Divided {
        let (division, train, validation) = match options.folds {
            None => (Division::Split(by.clone()), Share::Train, Share::Validation),
            Some(folds) => {
                let (count, held_out) = (folds.count.get(), folds.held_out.get());
                let test = options.test.map(|share| share.get().to_bits());
                let folding = Folding { of: of.clone(), count, stratify: options.stratify, test };
                (Division::Folds(folding), Share::AllBut(held_out), Share::Fold(held_out))
            }
        };
        let part = |share| Self { files: self.files, share: Some((division.clone(), share)) };
        Divided { train: part(train), validation: part(validation), test: options.test.map(|_| part(Share::Test)) }
    }

    /// The fold that they are, of which folds.
    pub(super) fn fold(&self) -> Option<(&Folding, usize)> {
        match &self.share {
            Some((Division::Folds(folding), Share::Fold(number))) => Some((folding, *number)),
            _ => None,
        }
    }

    /// What they have in common with others.
    pub(super) fn relation(&self, other: &Self) -> Relation {
        if !self.are_of_files_of(other) {
            return Relation::OtherFiles;
        }
        let (Some((division, share)), Some((other_division, other_share))) = (&self.share, &other.share) else {
            return Relation::Overlap;
        };
        if division != other_division {
            return Relation::Mixed;
        }
        let folds = match division {
            Division::Folds(folding) => folding.count,
            Division::Split(_) => 0,
        };
        if share.meets(*other_share, folds) { Relation::Overlap } else { Relation::Disjoint }
    }
}

impl Folding {
    /// The stage that made the data set which the folds divide.
    pub(super) fn of(&self) -> &StageId {
        &self.of
    }
}

impl Share {
    /// Whether another part of the same division, of so many folds, holds some of the same images.
    fn meets(self, other: Self, folds: usize) -> bool {
        match (self, other) {
            (Self::Fold(one), Self::AllBut(left_out)) | (Self::AllBut(left_out), Self::Fold(one)) => one != left_out,
            (Self::AllBut(one), Self::AllBut(other)) => one == other || folds > 2,
            _ => self == other,
        }
    }
}

/// A pattern without what does not change where it leads.
fn plain(pattern: &str) -> String {
    let parts = pattern.split('/').enumerate().filter(|(place, part)| *part != "." && (*place == 0 || !part.is_empty()));
    parts.map(|(_, part)| part).collect::<Vec<_>>().join("/")
}

/// What images were used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// Weights were trained on them: no figure on them says how good the model is.
    Trained,
    /// As [`Purpose::Trained`], by a `refit`.
    Refit,
    /// Something was chosen by figures on them: when to stop, parameters, the weights of a vote. That is what validation parts are for;
    /// a test part must not have been used so.
    Chosen,
}

/// One use of images.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Use {
    /// The stage that used them.
    pub by: StageId,
    /// What for.
    pub purpose: Purpose,
    /// Which images.
    pub images: Images,
    /// The data that it used.
    pub data: StageId,
    /// The part of the data.
    pub part: Part,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> StageId {
        name.parse().unwrap()
    }

    fn files(base: Option<&str>, patterns: &str) -> Images {
        Images::of_files(base.map(id).as_ref(), &serde_json::from_str(patterns).unwrap())
    }

    fn split(by: &str, options: &str) -> Divided {
        let options = serde_json::from_str(&format!(r#"{{"data": "raw" {options}}}"#)).unwrap();
        files(None, r#""x.csv""#).divided(&id(by), &options, &id("raw"))
    }

    #[test]
    fn files_are_the_same_by_what_their_names_lead_to() {
        let same = |one, other| files(None, one).relation(&files(None, other)) == Relation::Overlap;
        assert!(same(r#""a.csv""#, r#"["./a.csv"]"#) && same(r#"["d/a.csv", "b.csv"]"#, r#"["b.csv", "d//./a.csv"]"#));
        assert!(!same(r#""a.csv""#, r#""/a.csv""#) && !same(r#""a.csv""#, r#"["a.csv", "b.csv"]"#));
        assert_eq!(files(None, r#""a.csv""#).relation(&files(Some("raw"), r#""a.csv""#)), Relation::OtherFiles);
    }

    #[test]
    fn parts_of_one_split_are_disjoint_and_two_splits_mix() {
        let (one, two) = (split("one", r#", "test": 0.2"#), split("two", r#", "test": 0.2"#));
        let (train, validation, test) = (&one.train, &one.validation, one.test.as_ref().unwrap());
        for (a, b) in [(train, validation), (validation, test), (test, train)] {
            assert_eq!((a.relation(b), b.relation(a)), (Relation::Disjoint, Relation::Disjoint));
            assert_eq!((a.relation(a), a.relation(&two.train)), (Relation::Overlap, Relation::Mixed));
            assert_eq!(a.relation(&files(None, r#""x.csv""#)), Relation::Overlap, "the whole holds its parts");
        }
    }

    #[test]
    fn folds_are_known_apart_by_their_numbers() {
        let fold = |count: usize, held_out: usize, more: &str| {
            split(&format!("fold{held_out}"), &format!(r#", "folds": {{"count": {count}, "use": {held_out}}} {more}"#))
        };
        let (first, second) = (fold(3, 1, ""), fold(3, 2, ""));
        assert_eq!(first.validation.relation(&second.validation), Relation::Disjoint);
        assert_eq!(first.validation.relation(&second.train), Relation::Overlap);
        assert_eq!(first.train.relation(&second.train), Relation::Overlap);
        assert_eq!(first.validation.relation(&first.train), Relation::Disjoint);
        assert_eq!(fold(2, 1, "").train.relation(&fold(2, 2, "").train), Relation::Disjoint);
        assert_eq!(first.validation.relation(&fold(4, 2, "").validation), Relation::Mixed);
        assert_eq!(first.validation.relation(&fold(3, 2, r#", "stratify": false"#).validation), Relation::Mixed);
        assert_eq!(first.validation.fold().map(|(folding, number)| (folding.of().as_str(), number)), Some(("raw", 1)));
        let tested = fold(3, 1, r#", "test": 0.2"#);
        assert_eq!(tested.test.unwrap().relation(&fold(3, 2, r#", "test": 0.2"#).train), Relation::Disjoint);
    }
}
