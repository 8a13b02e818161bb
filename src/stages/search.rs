//! What a search may come to, found out before it runs: whether each end of a range, and each choice, can be trained beside some
//! of the others. What lies between, and combinations of which only some can be, are left to the trials, which may fail.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::facts::DataFacts;
use crate::nn::{Architecture, ModelOptions, Normalisation};
use crate::train::{TrainOptions, TrainSettings};
use crate::tune::{Parameters, SearchSpace};

/// Combinations that are tried for one value before it is given the benefit of the doubt.
const MOST_TRIES_OF_A_VALUE: usize = 512;

/// What may still be tried of all searches of a pipeline, in kilobytes of options that are read: at first as many as take a fraction of a
/// second. What is beyond, the trials find out.
#[derive(Debug)]
pub(super) struct Tries(usize);

impl Default for Tries {
    fn default() -> Self {
        Self(4096)
    }
}

impl Tries {
    /// Takes what it costs to set so many parameters, one by one, in options of so many kilobytes, if as much is left.
    pub(super) fn take(&mut self, size: usize, parameters: usize) -> bool {
        let left = self.0.checked_sub(size.saturating_mul(parameters.max(1)));
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// The size of options in kilobytes, for [`Tries::take`].
pub(super) fn size(options: &TrainOptions) -> usize {
    serde_json::to_string(options).map_or(0, |text| text.len()) / 1024 + 1
}

/// What is known of a search before it runs.
#[derive(Debug, Default)]
pub(super) struct Foreseen {
    /// Combinations that can be trained; every extreme value that can be is in one of them, unless there are too many to look at.
    pub possible: Vec<Parameters>,
    /// What cannot be: a parameter, or nothing where it is the search as a whole, and why.
    pub problems: Vec<(Option<String>, String)>,
}

/// Tries the extremes of `space` on `base`, as long as there are `tries`. A training is possible if `can_be` has nothing against
/// it. Where something `is_told` of the base already, only paths and values are looked at, each by itself.
pub(super) fn foresee(
    space: &SearchSpace,
    base: &TrainOptions,
    is_told: bool,
    tries: &mut Tries,
    can_be: &dyn Fn(&TrainOptions) -> Result<(), String>,
) -> Foreseen {
    let size = size(base);
    let mut foresight = Foresight { space, base, size, can_be, tries, witnessed: BTreeSet::new(), foreseen: Foreseen::default() };
    let known = foresight.each_by_itself();
    if !is_told {
        foresight.all_together(&known);
    }
    foresight.foreseen
}

/// A parameter and its extreme values.
type Extremes<'a> = (&'a str, Rc<[serde_json::Value]>);

struct Foresight<'a> {
    space: &'a SearchSpace,
    base: &'a TrainOptions,
    size: usize,
    can_be: &'a dyn Fn(&TrainOptions) -> Result<(), String>,
    tries: &'a mut Tries,
    /// Values, by path, that a possible combination has.
    witnessed: BTreeSet<(String, String)>,
    foreseen: Foreseen,
}

impl<'a> Foresight<'a> {
    /// Checks that every parameter exists and may have its extreme values, where something above it in the search does not choose
    /// otherwise. Gives those for which this is so.
    fn each_by_itself(&mut self) -> Vec<Extremes<'a>> {
        let mut known: Vec<Extremes<'a>> = Vec::new();
        for (path, range) in self.space.iter() {
            let above = self.space.above(path).map(|(above, _)| known.iter().find(|(known, _)| *known == above).cloned());
            let Some(above) = above.collect::<Option<Vec<Extremes<'_>>>>() else {
                continue; // a consequence of what is wrong above
            };
            let values: Rc<[_]> = range.extremes().into();
            match values.iter().find_map(|value| self.misfit(path, value, &above)) {
                Some(error) => self.foreseen.problems.push((Some(path.to_owned()), error)),
                None => known.push((path, values)),
            }
        }
        known
    }

    /// Why `value` cannot stand at `path` whatever is chosen `above`; nothing if it can.
    fn misfit(&mut self, path: &str, value: &serde_json::Value, above: &[Extremes<'_>]) -> Option<String> {
        let mut first = None;
        for number in 0..combinations(above).min(MOST_TRIES_OF_A_VALUE) {
            if !self.may_try(above.len() + 1) {
                return None;
            }
            let mut parameters = combination(above, number);
            if !self.space.is_active(path, &parameters) {
                continue;
            }
            parameters.insert(path.to_owned(), value.clone());
            match self.base.with_parameters(&parameters) {
                Ok(_) => return None,
                Err(error) => _ = first.get_or_insert(error.to_string()),
            }
        }
        Some(first.unwrap_or_else(|| format!("nothing that is searched above `{path}` ever has it")))
    }

    /// Looks for a combination that can be trained for each extreme value of the `known` parameters.
    fn all_together(&mut self, known: &[Extremes<'a>]) {
        if known.is_empty() {
            return;
        }
        // Most searches are done with after as many combinations as the longest list of choices has.
        for round in 0..known.iter().map(|(_, values)| values.len()).max().unwrap_or(0) {
            if !self.may_try(known.len()) {
                return;
            }
            let parameters =
                known.iter().map(|(path, values)| ((*path).to_owned(), values[round % values.len()].clone())).collect();
            _ = self.attempt(parameters);
        }
        let mut impossible = Vec::new();
        for (path, values) in known {
            // What is chosen above varies soonest.
            let is_above = |other: &str| path.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
            let mut others: Vec<Extremes<'_>> = known.iter().filter(|(other, _)| other != path).cloned().collect();
            others.sort_by_key(|(other, _)| !is_above(other));
            let error = values.iter().find_map(|value| Some((value, self.never(path, value, &others)?)));
            impossible.extend(error.map(|(value, error)| (*path, value, error)));
        }
        if !self.foreseen.possible.is_empty() || impossible.is_empty() {
            let told =
                |(path, value, error): (&str, &serde_json::Value, String)| (Some(path.to_owned()), beside(path, value, &error));
            self.foreseen.problems.extend(impossible.into_iter().map(told));
            return;
        }
        // Nothing can be: whose fault is it?
        let alone = |(path, value, _): &(&str, &serde_json::Value, String)| {
            if self.space.above(path).next().is_some() || !self.may_try(1) {
                return None;
            }
            let error = self.judge(&Parameters::from([((*path).to_owned(), (*value).clone())])).err()?;
            Some((Some((*path).to_owned()), beside(path, value, &error)))
        };
        let mut told: Vec<_> = impossible.iter().filter_map(alone).collect();
        if told.is_empty() {
            told.push((None, format!("no combination of these can be trained: {}", impossible[0].2)));
        }
        self.foreseen.problems.extend(told);
    }

    /// Why no combination in which `path` has `value`, beside any of `others`, can be trained; nothing if one can, or if they are too many
    /// to tell.
    fn never(&mut self, path: &str, value: &serde_json::Value, others: &[Extremes<'_>]) -> Option<String> {
        if self.witnessed.contains(&(path.to_owned(), value.to_string())) {
            return None;
        }
        let is_in = |parameters: &Parameters| parameters.get(path) == Some(value);
        let all = combinations(others);
        let (mut first, mut tries) = (None, 0);
        // All at their first, all at their last, and then the rest.
        for number in [0, all - 1].into_iter().chain(1..all.saturating_sub(1)) {
            tries += 1;
            if tries > MOST_TRIES_OF_A_VALUE || !self.may_try(others.len() + 1) {
                return None;
            }
            let mut parameters = combination(others, number);
            parameters.insert(path.to_owned(), value.clone());
            if !is_in(&self.space.active(parameters.clone())) {
                continue;
            }
            match self.attempt(parameters) {
                Ok(()) => return None,
                Err(error) => _ = first.get_or_insert(error),
            }
        }
        first
    }

    /// Judges a combination and keeps it if it can be trained.
    fn attempt(&mut self, parameters: Parameters) -> Result<(), String> {
        let active = self.space.active(parameters);
        self.judge(&active)?;
        self.witnessed.extend(active.iter().map(|(path, value)| (path.clone(), value.to_string())));
        self.foreseen.possible.push(active);
        Ok(())
    }

    /// Whether a combination of so many parameters may still be tried, which is counted.
    fn may_try(&mut self, parameters: usize) -> bool {
        self.tries.take(self.size, parameters)
    }

    fn judge(&self, parameters: &Parameters) -> Result<(), String> {
        let options = self.base.with_parameters(parameters).map_err(|error| error.to_string())?;
        (self.can_be)(&options)
    }
}

/// How many combinations of one value each there are.
fn combinations(of: &[Extremes<'_>]) -> usize {
    of.iter().fold(1, |all: usize, (_, values)| all.saturating_mul(values.len()))
}

/// The combination numbered `number`; those of the first parameter vary soonest.
fn combination(of: &[Extremes<'_>], mut number: usize) -> Parameters {
    let mut parameters = Parameters::new();
    for (path, values) in of {
        parameters.insert((*path).to_owned(), values[number % values.len()].clone());
        number /= values.len();
    }
    parameters
}

fn beside(path: &str, value: &serde_json::Value, error: &str) -> String {
    format!("`{path}` cannot be {value} beside the rest: {error}")
}

/// What is against training so on images that `data` tells of.
pub(super) fn against(model: &ModelOptions, settings: &TrainSettings, data: &DataFacts) -> Result<(), String> {
    settings.check()?;
    let Some(architecture) = build(model, data)? else { return Ok(()) };
    lone_images(&architecture, settings)
}

/// The network for images that `data` tells of; `None` where only the labels will tell how many classes there are: then the training itself
/// finds out whether the last layer fits.
pub(super) fn build(model: &ModelOptions, data: &DataFacts) -> Result<Option<Architecture>, String> {
    let built = match &data.classes {
        None => model.fits(data.shape).map(|()| None),
        Some(classes) => {
            let channels = data.shape.channels;
            let normalisation = Normalisation { mean: vec![0.0; channels], deviation: vec![1.0; channels] };
            model.build(data.shape, classes.len(), normalisation).map(Some)
        }
    };
    built.map_err(|error| format!("the model does not fit images of {}: {error}", data.shape))
}

/// Batches of one image leave a batch normalisation after maps of 1×1 nothing to normalise.
pub(super) fn lone_images(architecture: &Architecture, settings: &TrainSettings) -> Result<(), String> {
    match architecture.single_values() {
        Ok(Some(place)) if settings.batch_size.get() == 1 => Err(format!(
            "a `batch_size` of 1 gives the batch normalisation of {place} one value of each channel, so that nothing before it learns; \
             make it 2 at least"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// What is foreseen of `space` for a training with `settings`, without looking at the model.
    fn foreseen(settings: Value, space: Value) -> Foreseen {
        let mut json = json!({"data": "parts", "model": {"mlp": {}}});
        json.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let base: TrainOptions = serde_json::from_value(json).unwrap();
        foresee(&serde_json::from_value(space).unwrap(), &base, false, &mut Tries::default(), &|options| {
            options.settings().check()
        })
    }

    #[test]
    fn a_search_too_large_to_look_at_is_left_to_its_trials() {
        let base: TrainOptions = serde_json::from_value(json!({"data": "parts", "model": {"mlp": {}}})).unwrap();
        let choices: Vec<u64> = (1..=10_000).collect();
        let space = serde_json::from_value(json!({"epochs": {"choice": choices}, "warm_up": {"choice": [0, 3]}})).unwrap();
        let mut tries = Tries(100);
        let foreseen = foresee(&space, &base, false, &mut tries, &|options| options.settings().check());
        assert!(foreseen.problems.is_empty() && !tries.take(size(&base), 1), "{foreseen:?} {tries:?}");
    }

    #[test]
    fn long_options_and_many_parameters_leave_fewer_tries() {
        let mut tries = Tries(100);
        assert!(tries.take(10, 9) && !tries.take(10, 2) && tries.take(10, 0) && !tries.take(1, 1));
        let of = |layers: usize| {
            let layers = vec![json!({"dense": {"units": 4}}); layers];
            let options = json!({"data": "parts", "model": {"layers": layers}});
            size(&serde_json::from_value(options).unwrap())
        };
        assert!(of(1) < 4 && of(10_000) > 100);
    }

    fn problems(settings: Value, space: Value) -> String {
        let told = |(path, error): (Option<String>, String)| format!("{}: {error}", path.as_deref().unwrap_or("search"));
        foreseen(settings, space).problems.into_iter().map(told).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_extreme_that_can_never_be_is_told_before_the_search() {
        insta::assert_snapshot!(problems(json!({"warm_up": 2}), json!({"epochs": {"int": {"min": 1, "max": 9}}, "batch_size": {"choice": [8, 9]}})), @"epochs: `epochs` cannot be 1 beside the rest: `warm_up` of 2 epochs leaves nothing of the 1 `epochs`; make it shorter");
        insta::assert_snapshot!(problems(json!({}), json!({"epochs": {"int": {"min": 1, "max": 9}}, "warm_up": {"choice": [2, 3]}})), @"epochs: `epochs` cannot be 1 beside the rest: `warm_up` of 2 epochs leaves nothing of the 1 `epochs`; make it shorter");
        insta::assert_snapshot!(problems(json!({}), json!({"schedule": {"choice": ["constant", "one_cycle"]}, "warm_up": {"float": {"min": 0.5, "max": 1.0}}})), @r#"schedule: `schedule` cannot be "one_cycle" beside the rest: `one_cycle` rises to its peak by itself; leave out `warm_up`, or set `schedule.one_cycle.warm_up`"#);
        insta::assert_snapshot!(problems(json!({}), json!({"epochs": {"int": {"min": 1, "max": 2}}, "warm_up": {"choice": [3, 4]}})), @"search: no combination of these can be trained: `warm_up` of 3 epochs leaves nothing of the 1 `epochs`; make it shorter");
        insta::assert_snapshot!(problems(json!({"warm_up": 2}), json!({"epochs": {"int": {"min": 1, "max": 2}}, "batch_size": {"choice": [8, 9]}})), @"epochs: `epochs` cannot be 1 beside the rest: `warm_up` of 2 epochs leaves nothing of the 1 `epochs`; make it shorter");
    }

    #[test]
    fn combinations_of_which_some_can_be_are_left_to_the_trials() {
        let foreseen = foreseen(json!({}), json!({"epochs": {"int": {"min": 2, "max": 9}}, "warm_up": {"choice": [0, 3]}}));
        assert!(foreseen.problems.is_empty(), "{foreseen:?}");
        assert!(
            foreseen.possible.iter().all(|parameters| parameters["epochs"] == 9 || parameters["warm_up"] == 0),
            "{foreseen:?}"
        );
        for (path, value) in [("epochs", json!(2)), ("epochs", json!(9)), ("warm_up", json!(0)), ("warm_up", json!(3))] {
            assert!(foreseen.possible.iter().any(|parameters| parameters[path] == value), "{path} {value} {foreseen:?}");
        }
    }

    #[test]
    fn what_is_below_a_choice_is_tried_where_it_is_chosen() {
        let of = |more: Value| {
            let mut space = json!({"optimizer": {"choice": ["sgd", "adamw"]}, "schedule": {"choice": ["constant", "cosine"]}});
            space.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            problems(json!({}), space)
        };
        assert_eq!(of(json!({"optimizer.sgd.momentum": {"float": {"min": 0.5, "max": 0.9}}})), "");
        assert_eq!(of(json!({"schedule.cosine.final_rate": {"float": {"min": 0.0, "max": 0.0001}}})), "");
        insta::assert_snapshot!(of(json!({"optimizer.sgd.momentum": {"float": {"min": 0.0, "max": 0.9}}})), @"optimizer.sgd.momentum: `optimizer.sgd.momentum` cannot be 0.0 beside the rest: `nesterov` needs a `momentum` above 0; set `nesterov: false` for plain gradient descent");
        insta::assert_snapshot!(of(json!({"optimizer.sgd.momentun": {"float": {"min": 0.5, "max": 0.9}}})), @"optimizer.sgd.momentun: there is no parameter `optimizer.sgd.momentun`: `optimizer.sgd` has no `momentun`; did you mean `momentum`?");
        insta::assert_snapshot!(of(json!({"optimizer.muon.momentum": {"float": {"min": 0.5, "max": 0.9}}})), @"optimizer.muon.momentum: there is no parameter `optimizer.muon.momentum`: `optimizer` has no `muon`; it has `sgd`");
    }

    #[test]
    fn one_wrong_path_is_one_problem() {
        insta::assert_snapshot!(problems(json!({}), json!({"optimiser": {"choice": ["sgd", "adam"]}, "optimiser.sgd.momentum": {"choice": [0.5]}, "epochs": {"choice": [1, 2]}})), @"optimiser: there is no parameter `optimiser`: a training has no `optimiser`; did you mean `optimizer`?");
    }
}
