//! Ensembles: soft voting over probabilities, P = Σ wᵢ·pᵢ / Σ wᵢ, and the weights of the vote. Pure functions; they know
//! nothing of models, files or stages.
//!
//! | file | about |
//! |---|---|
//! | `weights` | [`VoteWeights`]: weights that were checked |
//! | `choice` | [`WeightChoice`], [`TemperatureChoice`] and [`Voting`]: what the user may write about them |
//! | `fit` | [`fit_weights`]: the weights of least log-loss on validation data |
//! | `joint` | [`fit_weights_and_temperature`]: both together, where both are to be fitted |
//! | `temperature` | [`fit_temperature`] and [`temper`]: one number that calibrates the vote |
//!
//! A user who gives no weights gets equal ones. All checks end in an [`EnsembleError`] that says what to change.

mod choice;
mod fit;
mod joint;
mod temperature;
mod weights;

use ndarray::{Array2, ArrayView2};

pub use choice::{TemperatureChoice, Voting, WeightChoice};
pub use fit::{FittedWeights, fit_weights};
pub use joint::{FittedVote, fit_weights_and_temperature};
pub use temperature::{FittedTemperature, fit_temperature, temper};
pub use weights::VoteWeights;

use crate::metrics::{MetricsError, Probabilities, check_probabilities};

/// Why members cannot vote together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    /// There is nobody to vote.
    #[error("an ensemble needs at least one member")]
    NoMembers,
    /// Weights and members do not pair.
    #[error("there are {weights} weights but {members} members; give one weight for each member, in their order")]
    WeightCount {
        /// Number of weights.
        weights: usize,
        /// Number of members.
        members: usize,
    },
    /// A weight is negative or not finite.
    #[error("weight {index} is {value}; a weight is a finite number, 0 or above")]
    Weight {
        /// Which, from 0.
        index: usize,
        /// The number.
        value: f64,
    },
    /// Nobody's vote counts.
    #[error("all weights are 0; at least one member must count")]
    AllZero,
    /// Two members predict different images or classes.
    #[error(
        "member {member} has probabilities of {rows} images and {classes} classes, but member 0 of {first_rows} images and \
         {first_classes} classes"
    )]
    Shape {
        /// Which member, from 0.
        member: usize,
        /// Its number of images.
        rows: usize,
        /// Its number of classes.
        classes: usize,
        /// Number of images of member 0.
        first_rows: usize,
        /// Number of classes of member 0.
        first_classes: usize,
    },
    /// A member's probabilities, or the labels, are not usable.
    #[error("member {member}: {error}")]
    Member {
        /// Which member, from 0.
        member: usize,
        /// What is wrong.
        error: MetricsError,
    },
    /// The probabilities of the vote, or the labels, are not usable.
    #[error("the vote: {0}")]
    Vote(MetricsError),
    /// Two members have a different number of classes.
    #[error(
        "`{first}` knows {first_count} classes but `{other}` knows {other_count}; members of an ensemble must have the same \
         classes in the same order"
    )]
    ClassCount {
        /// The first member's name.
        first: String,
        /// Its number of classes.
        first_count: usize,
        /// The other member's name.
        other: String,
        /// Its number of classes.
        other_count: usize,
    },
    /// Two members have different classes.
    #[error(
        "class {class} is `{first_class}` for `{first}` but `{other_class}` for `{other}`; members of an ensemble must have \
         the same classes in the same order"
    )]
    ClassName {
        /// The index of the class.
        class: usize,
        /// The first member's name.
        first: String,
        /// Its name of the class.
        first_class: String,
        /// The other member's name.
        other: String,
        /// Its name of the class.
        other_class: String,
    },
}

/// The weighted mean of the members' probabilities: `[N, classes]` each → `[N, classes]`. Sums are taken in 64 bits, in the
/// order of the members, and rounded once.
///
/// # Errors
/// When there are no members, not as many weights, or a member's probabilities are of another shape or no distributions.
pub fn vote(members: &[ArrayView2<'_, f32>], weights: &VoteWeights) -> Result<Probabilities, EnsembleError> {
    check_members(members)?;
    if weights.len() != members.len() {
        return Err(EnsembleError::WeightCount { weights: weights.len(), members: members.len() });
    }
    let mut sum = Array2::<f64>::zeros(members[0].dim());
    for (member, share) in members.iter().zip(weights.shares()) {
        sum.zip_mut_with(member, |sum, &p| *sum += share * f64::from(p));
    }
    Ok(sum.mapv(|p| p as f32))
}

/// Checks that all members know the same classes in the same order; `members` are names with their classes.
///
/// # Errors
/// The first member that differs from the first one, and where.
pub fn check_class_lists(members: &[(&str, &[String])]) -> Result<(), EnsembleError> {
    let [(first, expected), others @ ..] = members else { return Err(EnsembleError::NoMembers) };
    for (other, classes) in others {
        let names = || ((*first).to_owned(), (*other).to_owned());
        if classes.len() != expected.len() {
            let (first, other) = names();
            return Err(EnsembleError::ClassCount { first, first_count: expected.len(), other, other_count: classes.len() });
        }
        if let Some(class) = (0..classes.len()).find(|&class| classes[class] != expected[class]) {
            let (first, other) = names();
            let (first_class, other_class) = (expected[class].clone(), classes[class].clone());
            return Err(EnsembleError::ClassName { class, first, first_class, other, other_class });
        }
    }
    Ok(())
}

fn check_members(members: &[ArrayView2<'_, f32>]) -> Result<(), EnsembleError> {
    let Some(first) = members.first() else { return Err(EnsembleError::NoMembers) };
    for (member, probabilities) in members.iter().enumerate() {
        let ((rows, classes), (first_rows, first_classes)) = (probabilities.dim(), first.dim());
        if (rows, classes) != (first_rows, first_classes) {
            return Err(EnsembleError::Shape { member, rows, classes, first_rows, first_classes });
        }
        check_probabilities(*probabilities).map_err(|error| EnsembleError::Member { member, error })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn votes_are_weighted_means() {
        let (a, b) = (array![[1.0, 0.0], [0.5, 0.5]], array![[0.0, 1.0], [0.25, 0.75]]);
        let vote = |weights: [f64; 2]| vote(&[a.view(), b.view()], &VoteWeights::new(weights.to_vec()).unwrap()).unwrap();
        assert_eq!(vote([1.0, 1.0]), array![[0.5, 0.5], [0.375, 0.625]]);
        assert_eq!(vote([3.0, 1.0]), array![[0.75, 0.25], [0.4375, 0.5625]]);
        assert_eq!(vote([0.0, 1.0]), b);
        assert_eq!(vote([f64::MAX, f64::MAX]), vote([1.0, 1.0]));
    }

    #[test]
    fn members_that_do_not_fit_are_named() {
        let (a, b) = (array![[0.5, 0.5]], array![[0.5, 0.25, 0.25]]);
        let weights = |count| VoteWeights::equal(count).unwrap();
        let says = |members: &[ArrayView2<'_, f32>], count| vote(members, &weights(count)).unwrap_err().to_string();
        insta::assert_snapshot!(says(&[], 1), @"an ensemble needs at least one member");
        insta::assert_snapshot!(says(&[a.view()], 2), @"there are 2 weights but 1 members; give one weight for each member, in their order");
        insta::assert_snapshot!(says(&[a.view(), b.view()], 2), @"member 1 has probabilities of 1 images and 3 classes, but member 0 of 1 images and 2 classes");
        insta::assert_snapshot!(says(&[a.view(), array![[0.5, f32::NAN]].view()], 2), @"member 1: row 0, class 1: NaN is not a finite number; the model has diverged or its input was not finite");
    }

    #[test]
    fn class_lists_must_agree_in_names_and_order() {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let (basic, same, short, swapped) = (list(&["cat", "dog"]), list(&["cat", "dog"]), list(&["cat"]), list(&["dog", "cat"]));
        let check = |other: &[String]| check_class_lists(&[("basic", &basic), ("same", &same), ("other", other)]);
        assert_eq!(check(&same), Ok(()));
        insta::assert_snapshot!(check(&short).unwrap_err(), @"`basic` knows 2 classes but `other` knows 1; members of an ensemble must have the same classes in the same order");
        insta::assert_snapshot!(check(&swapped).unwrap_err(), @"class 0 is `cat` for `basic` but `dog` for `other`; members of an ensemble must have the same classes in the same order");
        assert_eq!(check_class_lists(&[]), Err(EnsembleError::NoMembers));
    }

    proptest! {
        #[test]
        fn every_row_of_a_vote_sums_to_1_and_lies_between_its_members(
            members in proptest::collection::vec(proptest::collection::vec(0.01f32..1.0, 4 * 3), 1..5),
            weights in proptest::collection::vec(0.0f64..10.0, 4),
        ) {
            let members: Vec<Probabilities> = members.into_iter().map(|values| fit::tests::distributions(values, 3)).collect();
            let views: Vec<_> = members.iter().map(|member| member.view()).collect();
            let mut weights = weights[..members.len()].to_vec();
            weights[0] += 0.1;
            let voted = vote(&views, &VoteWeights::new(weights).unwrap()).unwrap();
            prop_assert!(voted.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-6));
            for ((row, class), &p) in voted.indexed_iter() {
                let of_members = || members.iter().map(|member| member[(row, class)]);
                let (low, high) = (of_members().fold(1.0, f32::min), of_members().fold(0.0, f32::max));
                prop_assert!(p >= low - 1e-6 && p <= high + 1e-6);
            }
        }
    }
}
