//! Weights of a vote that were checked.

use serde::{Deserialize, Serialize};

use super::EnsembleError;

/// One weight for each member: at least one, finite, 0 or above, not all 0. In JSON and YAML a list of numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct VoteWeights(Vec<f64>);

impl VoteWeights {
    /// Checks weights as a user may give them; they need not sum to 1.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn new(weights: Vec<f64>) -> Result<Self, EnsembleError> {
        if weights.is_empty() {
            return Err(EnsembleError::NoMembers);
        }
        if let Some(index) = weights.iter().position(|&weight| !weight.is_finite() || weight < 0.0) {
            return Err(EnsembleError::Weight { index, value: weights[index] });
        }
        if weights.iter().all(|&weight| weight == 0.0) {
            return Err(EnsembleError::AllZero);
        }
        Ok(Self(weights))
    }

    /// The same weight for each of `members`.
    ///
    /// # Errors
    /// When there are no members.
    pub fn equal(members: usize) -> Result<Self, EnsembleError> {
        Self::new(vec![1.0; members])
    }

    /// The weights as they were given.
    pub fn get(&self) -> &[f64] {
        &self.0
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The weights divided by their sum.
    pub fn shares(&self) -> Vec<f64> {
        // By the largest first, so that the sum of the largest numbers is finite.
        let largest = self.0.iter().copied().fold(0.0, f64::max);
        let sum: f64 = self.0.iter().map(|weight| weight / largest).sum();
        self.0.iter().map(|weight| weight / largest / sum).collect()
    }
}

impl TryFrom<Vec<f64>> for VoteWeights {
    type Error = EnsembleError;

    fn try_from(weights: Vec<f64>) -> Result<Self, EnsembleError> {
        Self::new(weights)
    }
}

impl From<VoteWeights> for Vec<f64> {
    fn from(weights: VoteWeights) -> Self {
        weights.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_checked() {
        let says = |weights: &[f64]| VoteWeights::new(weights.to_vec()).unwrap_err().to_string();
        insta::assert_snapshot!(says(&[]), @"an ensemble needs at least one member");
        insta::assert_snapshot!(says(&[1.0, -0.5]), @"weight 1 is -0.5; a weight is a finite number, 0 or above");
        insta::assert_snapshot!(says(&[f64::NAN]), @"weight 0 is NaN; a weight is a finite number, 0 or above");
        insta::assert_snapshot!(says(&[f64::INFINITY]), @"weight 0 is inf; a weight is a finite number, 0 or above");
        insta::assert_snapshot!(says(&[0.0, 0.0]), @"all weights are 0; at least one member must count");
        assert!(VoteWeights::equal(0).is_err());
    }

    #[test]
    fn shares_sum_to_1() {
        let shares = |weights: &[f64]| VoteWeights::new(weights.to_vec()).unwrap().shares();
        assert_eq!(shares(&[2.0, 6.0]), [0.25, 0.75]);
        assert_eq!(shares(&[f64::MAX, 0.0, f64::MAX]), [0.5, 0.0, 0.5]);
        assert_eq!(VoteWeights::equal(4).unwrap().shares(), [0.25; 4]);
    }

    #[test]
    fn reading_checks_too() {
        assert_eq!(serde_json::from_str::<VoteWeights>("[1, 2.5]").unwrap().get(), [1.0, 2.5]);
        assert!(serde_json::from_str::<VoteWeights>("[1, -1]").is_err());
        assert_eq!(serde_json::to_string(&VoteWeights::equal(2).unwrap()).unwrap(), "[1.0,1.0]");
    }
}
