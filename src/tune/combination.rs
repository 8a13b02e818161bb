//! Combinations: which parameters of a space belong together, and which sets of them are still to be tried.
//!
//! A parameter below a choice is conditional: `optimizer.sgd.momentum` means something only where `optimizer` is chosen to be
//! `sgd`. Where another alternative is chosen it is inactive and no part of the set, so that two sets that differ in nothing else are one.

use rand::RngExt;
use serde_json::Value;

use super::Parameters;
use super::space::{Choices, Range, SearchSpace};
use crate::seed::Rng;

impl SearchSpace {
    /// `parameters` without those that are inactive.
    pub fn active(&self, parameters: Parameters) -> Parameters {
        let mut active = Parameters::new();
        // In the order of paths a choice comes before what is below it.
        for (path, value) in parameters {
            if self.is_active(&path, &active) {
                active.insert(path, value);
            }
        }
        active
    }

    /// Whether the parameter at `path` means something beside those `chosen`: no choice above it has chosen another of its alternatives.
    pub fn is_active(&self, path: &str, chosen: &Parameters) -> bool {
        self.above(path).all(|(above, range)| {
            let next = path[above.len() + 1..].split('.').next().unwrap_or_default();
            match (range, chosen.get(above)) {
                (Range::Choice(choices), Some(value)) => {
                    names(value, next) || !choices.values().iter().any(|other| names(other, next))
                }
                _ => true,
            }
        })
    }

    /// The parameters above `path` with their ranges: those whose path it goes on.
    pub fn above(&self, path: &str) -> impl Iterator<Item = (&str, &Range)> {
        let ends = path.match_indices('.').map(|(end, _)| end);
        ends.filter_map(|end| self.get(&path[..end]))
    }

    /// Whether it has a limited number of combinations: whole numbers and choices alone.
    pub fn is_finite(&self) -> bool {
        self.iter().all(|(_, range)| range.count().is_some())
    }

    /// A set of parameters that is not among `tried`, and the first from a random one on; `None` if all were tried, which only a
    /// space of whole numbers and choices can come to.
    pub(super) fn untried(&self, tried: &[&Parameters], rng: &mut Rng) -> Option<Parameters> {
        let ranges: Vec<(&str, &Range)> = self.iter().collect();
        self.complete(&ranges, &mut Parameters::new(), tried, rng)
    }

    /// Completes `chosen` with values of `ranges` to a set that is not among `tried`, all of which begin with `chosen`.
    fn complete(
        &self,
        ranges: &[(&str, &Range)],
        chosen: &mut Parameters,
        tried: &[&Parameters],
        rng: &mut Rng,
    ) -> Option<Parameters> {
        let Some(((path, range), rest)) = ranges.split_first() else {
            return tried.is_empty().then(|| chosen.clone());
        };
        if !self.is_active(path, chosen) {
            return self.complete(rest, chosen, tried, rng);
        }
        let count = range.count();
        let first = count.map_or(0, |count| rng.random_range(0..count));
        // Of numbers without steps, one draw is one that was not tried.
        for index in 0..count.unwrap_or(1) {
            let value = match count {
                Some(count) => range.nth((first + index) % count),
                None => range.at(rng.random()),
            };
            let same: Vec<&Parameters> = tried.iter().copied().filter(|tried| tried.get(*path) == Some(&value)).collect();
            chosen.insert((*path).to_owned(), value);
            let found = self.complete(rest, chosen, &same, rng);
            chosen.remove(*path);
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

impl Range {
    /// How many values it has; `None` for numbers without steps.
    fn count(&self) -> Option<usize> {
        match self {
            Self::Int(range) => Some(range.cells()),
            Self::Choice(choices) => Some(choices.count()),
            Self::Float(_) | Self::Log(_) => None,
        }
    }
}

impl Choices {
    /// All of them.
    fn values(&self) -> &[Value] {
        &self.0
    }
}

/// Whether `value` chooses the alternative `name`: `sgd`, or `{ sgd: { … } }`.
fn names(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Object(fields) => fields.contains_key(name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use serde_json::json;

    fn space(json: Value) -> SearchSpace {
        serde_json::from_value(json).unwrap()
    }

    fn parameters(json: Value) -> Parameters {
        serde_json::from_value(json).unwrap()
    }

    fn conditional() -> SearchSpace {
        space(json!({
            "optimizer": {"choice": ["sgd", {"adam": {"beta_1": 0.8}}]},
            "optimizer.adam.beta_2": {"choice": [0.9, 0.99]},
            "optimizer.sgd.momentum": {"choice": [0.5, 0.9]},
            "early_stopping": {"choice": [{"patience": 2}, {"patience": 4}]},
            "early_stopping.min_delta": {"choice": [0.1]},
        }))
    }

    #[test]
    fn what_is_below_another_alternative_is_inactive() {
        let check = |optimizer: Value, expected: &[&str]| {
            let all = parameters(json!({
                "optimizer": optimizer, "optimizer.adam.beta_2": 0.9, "optimizer.sgd.momentum": 0.5,
                "early_stopping": {"patience": 2}, "early_stopping.min_delta": 0.1,
            }));
            let active = conditional().active(all);
            assert_eq!(active.keys().collect::<Vec<_>>(), expected);
        };
        let stopping = ["early_stopping", "early_stopping.min_delta", "optimizer"];
        check(json!("sgd"), &[&stopping[..], &["optimizer.sgd.momentum"]].concat());
        check(json!({"adam": {"beta_1": 0.8}}), &[&stopping[..], &["optimizer.adam.beta_2"]].concat());
    }

    #[test]
    fn every_combination_is_found_once_and_then_none() {
        let space = conditional();
        let mut tried: Vec<Parameters> = Vec::new();
        let mut rng = Seed::new(1).rng();
        while let Some(next) = space.untried(&tried.iter().collect::<Vec<_>>(), &mut rng) {
            assert!(!tried.contains(&next));
            assert_eq!(space.active(next.clone()), next);
            tried.push(next);
        }
        assert_eq!(tried.len(), 2 * (2 + 2));
    }

    #[test]
    fn numbers_without_steps_never_end() {
        let space = space(json!({"a": {"choice": [1]}, "b": {"float": {"min": 0.0, "max": 1.0}}}));
        let mut rng = Seed::new(1).rng();
        let first = space.untried(&[], &mut rng).unwrap();
        assert_ne!(space.untried(&[&first], &mut rng).unwrap(), first);
    }

    #[test]
    fn a_wide_range_is_not_walked_through() {
        let space = space(json!({"a": {"int": {"min": 0, "max": 9007199254740992u64}}}));
        let mut rng = Seed::new(1).rng();
        let first = space.untried(&[], &mut rng).unwrap();
        assert_ne!(space.untried(&[&first], &mut rng).unwrap(), first);
    }
}
