//! A study: trials one after the other, each with parameters that the sampler suggests and the pruner may give up, every
//! step of it in a journal.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use serde_json::Value;

use super::journal::Journal;
use super::{
    Objective, Outcome, Parameters, Pruner, Report, Sampler, SearchSpace, Status, Trial, TrialRecord, Tuned, Verdict, importance,
};
use crate::digest::Digest;
use crate::progress::{Interrupted, Progress};
use crate::seed::Seed;
use crate::units::{Count, Epochs};

/// What a study's course depends on, besides the results of its trials.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudySettings {
    /// The parameters and their ranges.
    pub search: SearchSpace,
    /// How the next parameters are chosen.
    pub sampler: Sampler,
    /// Which trials are given up.
    pub pruner: Pruner,
    /// What is reported, and whether more or less of it is better.
    pub objective: Objective,
    /// Where randomness comes from.
    pub seed: Seed,
}

/// A trial went on from a checkpoint that is ahead of the journal, so that reports are missing. Without that checkpoint, it can
/// be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoint of trial {} is ahead of the journal", .trial + 1)]
pub struct OutOfStep {
    /// The trial, from 0.
    pub trial: usize,
}

/// A study with its journal.
#[derive(Debug)]
pub struct Study {
    settings: StudySettings,
    journal: Journal,
}

impl Study {
    /// Opens the study whose journal is in `folder`, or begins one there. The number of trials is not part of its settings: a
    /// study may be opened again for more.
    ///
    /// # Errors
    /// When the journal cannot be read or written. One that is damaged, or of other settings, or of trials that this version of
    /// the program would not try, is taken up as far as it is sound: see [`Study::lost`].
    pub fn open(settings: StudySettings, folder: &Path) -> Result<Self> {
        let json = serde_json::to_value(&settings).context("cannot write the settings of the search as JSON")?;
        let mut study = Self { journal: Journal::open(folder, Digest::of_json(&json))?, settings };
        let trials = &study.journal.trials;
        let is_other = |index: &usize| study.suggest(&trials[..*index]).as_ref() != Some(&trials[*index].parameters);
        if let Some(index) = (0..trials.len()).find(is_other) {
            let why = format!("`{}` has a trial {} that this version of the program would not try", folder.display(), index + 1);
            study.journal.cut(index, why)?;
        }
        Ok(study)
    }

    /// Why trials of an earlier run were not taken up, if some were not. Whatever else is left of trials that are not among
    /// [`Study::trials`] is then to be thrown away: checkpoints that are ahead of the journal would leave reports out.
    pub fn lost(&self) -> Option<&str> {
        self.journal.damage.as_deref()
    }

    /// The trials that have ended so far.
    pub fn trials(&self) -> &[TrialRecord] {
        &self.journal.trials
    }

    /// Runs trials until there are `trials` of them or every combination was tried, and says which was best.
    ///
    /// `objective` does what a trial is: it returns what the trial comes to, and after each epoch calls the function it is given
    /// with the number of epochs done and the value so far. When that returns [`Verdict::Stop`] it should end soon; its
    /// value no longer counts. Each trial should be a function of its parameters and, if it goes on from a checkpoint after an
    /// interruption, report the epochs that follow.
    ///
    /// # Errors
    /// Those of `objective`, [`Interrupted`] between two trials, a journal that cannot be written, and that no trial
    /// finished. What was journalled until then stays, and the study can be opened again.
    pub fn run<O: Into<Outcome>, E: From<anyhow::Error> + From<Interrupted>>(
        &mut self,
        trials: Count,
        progress: &dyn Progress,
        mut objective: impl FnMut(&Trial, &mut dyn FnMut(Epochs, f64) -> Verdict) -> Result<O, E>,
    ) -> Result<Tuned, E> {
        while self.journal.trials.len() < trials.get() {
            progress.check()?;
            let Some(parameters) = self.suggest(&self.journal.trials) else {
                let done = self.journal.trials.len();
                progress.warn(&format!("every combination was tried: the search ends after {done} of {trials} trials"));
                break;
            };
            let trial = Trial { trial: self.journal.trials.len(), parameters };
            let mut running = Running::new(self, progress);
            let outcome = match running.verdict {
                Verdict::Stop => Outcome::Value(f64::NAN),
                Verdict::Continue => objective(&trial, &mut |epoch, value| running.report(epoch, value))?.into(),
            };
            let (status, value, reason) = running.end(outcome)?;
            let reports = self.journal.reports.clone();
            let record = TrialRecord { trial: trial.trial, parameters: trial.parameters, status, value, reason, reports };
            self.journal.keep_trial(record)?;
            progress.note(&self.last_trial_in_words(trials));
        }
        Ok(self.outcome(trials)?)
    }

    fn suggest(&self, trials: &[TrialRecord]) -> Option<Parameters> {
        let mut ranked: Vec<&TrialRecord> = trials.iter().collect();
        ranked.sort_by(|a, b| a.rank(self.settings.objective).total_cmp(&b.rank(self.settings.objective)));
        let tried: Vec<&Parameters> = ranked.iter().map(|record| &record.parameters).collect();
        self.settings.sampler.suggest(&self.settings.search, self.settings.seed, trials.len(), &tried)
    }

    /// What the pruner says after the last of `reports`.
    fn judge(&self, reports: &[Report]) -> Verdict {
        let Some(last) = reports.last() else { return Verdict::Continue };
        let cost = |report: &Report| self.settings.objective.cost(report.value);
        let same_epoch = |record: &TrialRecord| record.reports.iter().find(|report| report.epoch == last.epoch).map(cost);
        let finished = self.journal.trials.iter().filter(|record| record.status == Status::Finished);
        let costs: Vec<Option<f64>> = finished.map(same_epoch).collect();
        let least = reports.iter().map(cost).fold(f64::INFINITY, f64::min);
        self.settings.pruner.verdict(last.epoch, least, &costs)
    }

    fn best(&self, trials: &[TrialRecord]) -> Option<TrialRecord> {
        let finished = trials.iter().filter(|record| record.status == Status::Finished);
        let objective = self.settings.objective;
        finished.min_by(|a, b| a.cost(objective).total_cmp(&b.cost(objective))).cloned()
    }

    fn outcome(&self, trials: Count) -> Result<Tuned> {
        let trials = &self.journal.trials[..trials.get().min(self.journal.trials.len())];
        let objective = self.settings.objective;
        let best = self.best(trials).ok_or_else(|| anyhow!(without_result(objective, trials)))?;
        let importance = importance(&self.settings.search, objective, trials);
        Ok(Tuned { objective, best, trials: trials.to_vec(), importance })
    }

    fn last_trial_in_words(&self, trials: Count) -> String {
        let record = self.journal.trials.last().expect("a trial has ended");
        let objective = self.settings.objective;
        let mut text = format!("trial {} of {trials}: ", record.trial + 1);
        match (record.status, record.value, record.reports.last()) {
            (Status::Finished, Some(value), _) => _ = write!(text, "{objective} {value:.4}"),
            (Status::Pruned, Some(value), Some(last)) => {
                _ = write!(text, "given up at epoch {} with {objective} {value:.4}", last.epoch);
            }
            (Status::Failed, ..) => {
                _ = write!(text, "failed: {}", record.reason.as_deref().unwrap_or("its parameters do not fit"))
            }
            _ => text.push_str("diverged"),
        }
        if let Some(best) = self.best(&self.journal.trials) {
            _ = write!(text, ", best {:.4} in trial {}", best.value.unwrap_or(f64::NAN), best.trial + 1);
        }
        for (index, (path, value)) in record.parameters.iter().enumerate() {
            _ = write!(text, "{} {path} {}", if index == 0 { ";" } else { "," }, in_words(value));
        }
        text
    }
}

/// Why a search whose trials all failed has no result, with each reason once.
fn without_result(objective: Objective, trials: &[TrialRecord]) -> String {
    let mut text = format!("none of {} trials gave a finite {objective}", trials.len());
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for record in trials {
        let reason = match (record.status, &record.reason) {
            (Status::Failed, Some(reason)) => reason,
            (Status::Pruned, _) => "given up by the pruner",
            _ => "diverged",
        };
        match reasons.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    for (index, (reason, count)) in reasons.iter().take(MOST_REASONS).enumerate() {
        _ = write!(text, "{} {count} × {reason}", if index == 0 { ":" } else { "," });
    }
    if reasons.len() > MOST_REASONS {
        _ = write!(text, ", and {} more", reasons.len() - MOST_REASONS);
    }
    text + "; narrow the ranges, above all those of learning rates"
}

/// How many different reasons for failed trials are told.
const MOST_REASONS: usize = 5;

/// A value with at most four digits behind the first.
fn in_words(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() && number != 0.0 && number.abs() < 1e-3 => format!("{number:.3e}"),
        Some(number) if value.is_f64() => format!("{number:.4}"),
        _ => value.to_string(),
    }
}

/// The trial that is running.
struct Running<'a> {
    study: &'a mut Study,
    progress: &'a dyn Progress,
    verdict: Verdict,
    diverged: bool,
    /// Why the journal could not be written.
    failure: Option<anyhow::Error>,
}

impl<'a> Running<'a> {
    /// Takes up what the trial reported before an interruption. The verdict on it may have got lost.
    fn new(study: &'a mut Study, progress: &'a dyn Progress) -> Self {
        let reports = &study.journal.reports;
        let is_stopped = (1..=reports.len()).any(|count| study.judge(&reports[..count]) == Verdict::Stop);
        let verdict = if is_stopped { Verdict::Stop } else { Verdict::Continue };
        Self { study, progress, verdict, diverged: false, failure: None }
    }

    fn report(&mut self, epoch: Epochs, value: f64) -> Verdict {
        if self.verdict == Verdict::Stop {
            return Verdict::Stop;
        }
        self.diverged = !value.is_finite();
        if self.diverged {
            self.verdict = Verdict::Stop;
        } else if let Err(error) = self.keep(Report { epoch, value }) {
            self.failure = Some(error);
            self.verdict = Verdict::Stop;
        } else {
            let reports = &self.study.journal.reports;
            let until = reports.iter().take_while(|report| report.epoch <= epoch).count();
            self.verdict = self.study.judge(&reports[..until]);
        }
        self.verdict
    }

    /// Keeps a report, unless the same was kept before an interruption.
    fn keep(&mut self, report: Report) -> Result<()> {
        let journal = &mut self.study.journal;
        match journal.reports.iter().find(|known| known.epoch >= report.epoch) {
            Some(known) if *known == report => return Ok(()),
            None if report.epoch.get() > journal.reports.last().map_or(0, |last| last.epoch.get()) + 1 => {
                return Err(OutOfStep { trial: journal.trials.len() }.into());
            }
            Some(_) => self.progress.warn(&format!(
                "trial {} takes another course than before the interruption, from epoch {} on",
                journal.trials.len() + 1,
                report.epoch
            )),
            None => {}
        }
        journal.keep_report(report)
    }

    /// The status and value of the trial, and why it failed if it did, given what the objective returned.
    fn end(self, outcome: Outcome) -> Result<(Status, Option<f64>, Option<String>)> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        let value = match outcome {
            Outcome::Impossible(reason) => return Ok((Status::Failed, None, Some(reason))),
            Outcome::Value(value) => value,
        };
        if self.diverged || (self.verdict == Verdict::Continue && !value.is_finite()) {
            return Ok((Status::Diverged, None, None));
        }
        if self.verdict == Verdict::Continue {
            return Ok((Status::Finished, Some(value), None));
        }
        let objective = self.study.settings.objective;
        let reports = self.study.journal.reports.iter().map(|report| report.value);
        Ok((Status::Pruned, reports.min_by(|a, b| objective.cost(*a).total_cmp(&objective.cost(*b))), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs;
    use crate::progress::Silent;
    use crate::tune::MedianOptions;
    use serde_json::json;

    const EPOCHS: u64 = 4;

    fn count(value: u64) -> Count {
        Count::new(value).unwrap()
    }

    fn settings() -> StudySettings {
        let search = json!({"rate": {"log": {"min": 1e-4, "max": 1.0}}, "units": {"choice": [32, 64, 128]}});
        StudySettings {
            search: serde_json::from_value(search).unwrap(),
            sampler: Sampler::default(),
            pruner: Pruner::Median(MedianOptions { warmup_epochs: 1, startup_trials: count(3) }),
            objective: Objective::Accuracy,
            seed: Seed::new(3),
        }
    }

    /// The accuracy after an epoch: best at a rate of 0.01 and 128 units, no number above a rate of 0.2.
    fn accuracy(parameters: &Parameters, epoch: u64) -> f64 {
        let rate = parameters["rate"].as_f64().unwrap();
        if rate > 0.2 && epoch > 1 {
            return f64::NAN;
        }
        let units = parameters["units"].as_f64().unwrap() / 1280.0;
        0.5 + units - 0.1 * (libm::log10(rate) + 2.0).abs() + 0.05 * epoch as f64
    }

    /// Runs a study of 10 trials and lets it be interrupted after `most` epochs altogether. After an interruption a trial goes
    /// on from its last epoch if `checkpoints`, else from its first.
    fn run(folder: &Path, most: usize, checkpoints: bool) -> Result<Tuned> {
        let mut left = most;
        let mut study = Study::open(settings(), folder)?;
        let (interrupted, done) = (study.trials().len(), study.journal.reports.len() as u64);
        study.run(count(10), &Silent, |trial, report| {
            let first = if checkpoints && trial.trial == interrupted { done + 1 } else { 1 };
            for epoch in first..=EPOCHS {
                if left == 0 {
                    return Err(Interrupted.into());
                }
                left -= 1;
                if report(Epochs::new(epoch).unwrap(), accuracy(&trial.parameters, epoch)) == Verdict::Stop {
                    return Ok(0.0);
                }
            }
            Ok(accuracy(&trial.parameters, EPOCHS))
        })
    }

    fn uninterrupted() -> Tuned {
        run(tempfile::tempdir().unwrap().path(), usize::MAX, true).unwrap()
    }

    #[test]
    fn trials_end_in_every_way_and_the_best_finished_one_wins() {
        let tuned = uninterrupted();
        let of = |status| tuned.trials.iter().filter(|trial| trial.status == status).collect::<Vec<_>>();
        let (finished, pruned, diverged) = (of(Status::Finished), of(Status::Pruned), of(Status::Diverged));
        assert!(!finished.is_empty() && !pruned.is_empty() && !diverged.is_empty(), "{:#?}", tuned.trials);
        assert!(finished.iter().all(|trial| trial.reports.len() == EPOCHS as usize && trial.value <= tuned.best.value));
        assert!(pruned.iter().all(|trial| trial.reports.len() < EPOCHS as usize || trial.value < tuned.best.value));
        assert!(pruned.iter().all(|trial| trial.value == trial.reports.last().map(|report| report.value)));
        assert!(diverged.iter().all(|trial| trial.value.is_none() && trial.reports.len() == 1));
        assert_eq!(tuned.trials.iter().map(|trial| trial.trial).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn an_interrupted_study_ends_like_an_uninterrupted_one() {
        let expected = uninterrupted();
        let epochs: usize = expected.trials.iter().map(|trial| trial.reports.len()).sum();
        for checkpoints in [true, false] {
            for most in (0..epochs).step_by(7) {
                let folder = tempfile::tempdir().unwrap();
                let error = run(folder.path(), most, checkpoints).unwrap_err();
                assert!(error.is::<Interrupted>(), "{error:#}");
                assert_eq!(run(folder.path(), usize::MAX, checkpoints).unwrap(), expected, "interrupted after {most} epochs");
            }
        }
    }

    #[test]
    fn a_verdict_that_was_lost_in_a_crash_is_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let expected = run(folder.path(), usize::MAX, true).unwrap();
        let journal = folder.path().join("trials.jsonl");
        let text = fs::read_text(&journal).unwrap();
        let pruned = text.find("\"status\":\"pruned\"").unwrap();
        let line = text[..pruned].rfind('\n').unwrap() + 1;
        fs::write(&journal, &text[..line]).unwrap();
        assert_eq!(run(folder.path(), usize::MAX, true).unwrap(), expected);
        assert_eq!(fs::read_text(&journal).unwrap(), text);
    }

    #[test]
    fn a_study_can_be_opened_again_for_more_trials() {
        let folder = tempfile::tempdir().unwrap();
        let run = |trials| -> Tuned {
            let mut study = Study::open(settings(), folder.path()).unwrap();
            study.run::<_, anyhow::Error>(count(trials), &Silent, |trial, _| Ok(accuracy(&trial.parameters, 1))).unwrap()
        };
        let five = run(5);
        assert_eq!(five.trials[..], run(8).trials[..5]);
        assert_eq!(run(5), five);
    }

    #[test]
    fn another_search_does_not_take_up_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), 3, true).unwrap_err();
        let others = StudySettings { seed: Seed::new(12), ..settings() };
        let study = Study::open(others, folder.path()).unwrap();
        assert!(study.lost().is_some() && study.trials().is_empty());
    }

    #[test]
    fn trials_that_would_now_be_others_are_run_again() {
        let folder = tempfile::tempdir().unwrap();
        let expected = run(folder.path(), usize::MAX, true).unwrap();
        let json = serde_json::to_value(settings()).unwrap();
        let mut journal = Journal::open(folder.path(), Digest::of_json(&json)).unwrap();
        let mut other = journal.trials[2].clone();
        journal.cut(2, String::new()).unwrap();
        other.parameters.insert("units".to_owned(), json!(1));
        journal.keep_trial(other).unwrap();
        let study = Study::open(settings(), folder.path()).unwrap();
        assert!(study.lost().unwrap().contains("has a trial 3 that"), "{:?}", study.lost());
        assert_eq!(study.trials().len(), 2);
        assert_eq!(run(folder.path(), usize::MAX, true).unwrap(), expected);
    }

    #[test]
    fn a_trial_that_leaves_reports_out_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut study = Study::open(settings(), folder.path()).unwrap();
        let error = study
            .run::<_, anyhow::Error>(count(1), &Silent, |_, report| {
                report(Epochs::new(2).unwrap(), 0.5);
                Ok(0.5)
            })
            .unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&OutOfStep { trial: 0 }));
        assert!(study.trials().is_empty());
    }

    #[test]
    fn a_study_without_a_finished_trial_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut study = Study::open(settings(), folder.path()).unwrap();
        let error = study.run::<_, anyhow::Error>(count(3), &Silent, |_, _| Ok(f64::NAN)).unwrap_err();
        insta::assert_snapshot!(error, @"none of 3 trials gave a finite accuracy: 3 × diverged; narrow the ranges, above all those of learning rates");
    }

    /// Writes down what it is told.
    #[derive(Default)]
    struct Notes(std::sync::Mutex<Vec<String>>);

    impl Notes {
        fn told(&self) -> String {
            self.0.lock().unwrap().join("\n")
        }
    }

    impl Progress for Notes {
        fn begin(&self, _: &str, _: u64, _: &str) {}
        fn advance(&self, _: u64, _: &str) {}
        fn note(&self, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }
        fn warn(&self, line: &str) {
            self.note(line);
        }
        fn interrupted(&self) -> bool {
            false
        }
    }

    #[test]
    fn every_trial_is_told_in_a_line() {
        let notes = Notes::default();
        let folder = tempfile::tempdir().unwrap();
        let mut interrupted = Study::open(settings(), folder.path()).unwrap();
        let report_one = |_: &Trial, report: &mut dyn FnMut(Epochs, f64) -> Verdict| {
            report(Epochs::new(1).unwrap(), 0.25);
            Err::<f64, _>(anyhow!("stopped"))
        };
        interrupted.run::<_, anyhow::Error>(count(1), &Silent, report_one).unwrap_err();
        let mut study = Study::open(settings(), folder.path()).unwrap();
        let objective = |trial: &Trial, report: &mut dyn FnMut(Epochs, f64) -> Verdict| {
            report(Epochs::new(1).unwrap(), 0.5);
            Ok(if trial.trial == 1 { f64::INFINITY } else { 0.75 })
        };
        study.run::<_, anyhow::Error>(count(2), &notes, objective).unwrap();
        insta::assert_snapshot!(notes.told(), @"
        trial 1 takes another course than before the interruption, from epoch 1 on
        trial 1 of 2: accuracy 0.7500, best 0.7500 in trial 1; rate 0.8703, units 128
        trial 2 of 2: diverged, best 0.7500 in trial 1; rate 0.0052, units 32
        ");
    }

    fn small(folder: &Path) -> Study {
        let search = serde_json::from_value(json!({"units": {"choice": [32, 64]}, "rate": {"choice": [0.1, 0.2]}})).unwrap();
        Study::open(StudySettings { search, ..settings() }, folder).unwrap()
    }

    #[test]
    fn a_search_that_has_tried_every_combination_ends_and_says_so() {
        let (folder, notes) = (tempfile::tempdir().unwrap(), Notes::default());
        let run = |notes: &Notes, trials: u64| {
            small(folder.path())
                .run::<_, anyhow::Error>(count(trials), notes, |trial, _| Ok(accuracy(&trial.parameters, 1)))
                .unwrap()
        };
        let tuned = run(&notes, 9);
        assert_eq!(tuned.trials.len(), 4);
        assert!(notes.told().ends_with("every combination was tried: the search ends after 4 of 9 trials"), "{}", notes.told());
        assert_eq!(run(&Notes::default(), 9), tuned);
        let notes = Notes::default();
        assert_eq!((run(&notes, 4), notes.told()), (tuned, String::new()), "who asks for four gets four");
    }

    #[test]
    fn a_trial_that_cannot_be_is_a_failed_trial() {
        let (folder, notes) = (tempfile::tempdir().unwrap(), Notes::default());
        let objective = |trial: &Trial, _: &mut dyn FnMut(Epochs, f64) -> Verdict| -> Result<Outcome> {
            Ok(match trial.parameters["units"].as_u64() {
                Some(32) => Outcome::Impossible("32 units are too few".to_owned()),
                _ => Outcome::Value(0.5),
            })
        };
        let tuned = small(folder.path()).run(count(4), &notes, objective).unwrap();
        let failed: Vec<&TrialRecord> = tuned.trials.iter().filter(|trial| trial.status == Status::Failed).collect();
        assert_eq!((failed.len(), failed[0].value, failed[0].reason.as_deref()), (2, None, Some("32 units are too few")));
        assert!(notes.told().contains(": failed: 32 units are too few"), "{}", notes.told());
        assert_eq!(tuned.best.parameters["units"], 64);
        // The journal knows: nothing is tried again.
        let again = small(folder.path()).run::<f64, anyhow::Error>(count(4), &Silent, |_, _| panic!("tried again")).unwrap();
        assert_eq!(again, tuned);
    }

    #[test]
    fn a_search_of_which_every_trial_fails_tells_the_reasons_and_tries_none_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut tried = 0;
        let mut run = || {
            small(folder.path()).run::<_, anyhow::Error>(count(4), &Silent, |trial, _| {
                tried += 1;
                Ok(match trial.parameters["units"].as_u64() {
                    Some(32) => Outcome::Impossible("32 units are too few".to_owned()),
                    _ => Outcome::Value(f64::NAN),
                })
            })
        };
        let (first, second) = (run().unwrap_err().to_string(), run().unwrap_err().to_string());
        assert!(first.starts_with("none of 4 trials gave a finite accuracy: 2 × "), "{first}");
        assert!(first.contains("2 × 32 units are too few") && first.contains("2 × diverged"), "{first}");
        assert_eq!((second, tried), (first, 4));
    }
}
