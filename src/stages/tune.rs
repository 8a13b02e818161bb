//! `tune`: searches parameters of a training by trials on the training part, each judged on the validation part.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::Quiet;
use crate::data::augment::Augmenter;
use crate::data::{DataSet, LabelledImages, Part};
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::StageId;
use crate::nn::Normalisation;
use crate::nn::accelerated::release_buffers;
use crate::train::{Chosen, EpochRecord, OnDivergence, Precision, TrainError, TrainOptions, TrainRequest, train};
use crate::tune::{Objective, OutOfStep, Outcome, Sample, Sampler, Study, StudySettings, Trial, TuneOptions, Tuned, Verdict};
use crate::units::Epochs;

/// The result, as `search.json` holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SearchRecord {
    /// How parameters were chosen.
    pub sampler: Sampler,
    /// Training images that each trial used.
    pub images: usize,
    /// All trials and the best.
    pub tuned: Tuned,
}

pub(super) struct TuneStage {
    /// With the precision of this machine.
    pub options: TuneOptions,
    /// The precision that was asked for.
    pub asked: Precision,
}

impl Stage for TuneStage {
    fn kind(&self) -> &'static str {
        "tune"
    }

    fn version(&self) -> u32 {
        2
    }

    fn parameters(&self) -> serde_json::Value {
        let mut parameters = super::parameters(&self.options);
        if self.options.search.is_finite() {
            // In a space with steps a combination could once be tried again.
            parameters["repeats"] = "never".into();
        }
        parameters
    }

    fn inputs(&self) -> Vec<StageId> {
        vec![self.options.data.stage().clone()]
    }

    fn is_seeded(&self) -> bool {
        true
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let options = &self.options;
        let data = DataSet::load(context.input(options.data.stage())?)?;
        let validation = data.required(Part::Validation)?;
        let images = self.sample(&data.train, context);

        let settings = StudySettings {
            search: options.search.clone(),
            sampler: options.sampler.clone(),
            pruner: options.pruner,
            objective: options.objective,
            seed: context.seed.child("search"),
        };
        self.asked.tell(context.progress);
        let mut study = Study::open(settings, &context.scratch.join("study"))?;
        if let Some(why) = study.lost() {
            let kept = study.trials().len();
            context.progress.warn(&format!("{why}; {kept} trials are kept, the search goes on from there"));
            clear_trials(context)?;
        }
        let mut run = || {
            study.run(options.trials, context.progress, |trial, report| {
                self.run_trial(trial, &data, &images, validation, context, report)
            })
        };
        let tuned = match run() {
            Err(StageError::Failed(error)) if error.is::<OutOfStep>() => {
                context.progress.warn(&format!("{error}; the trial starts again"));
                clear_trials(context)?;
                run()?
            }
            other => other?,
        };
        release_buffers();

        let shown: Vec<String> = tuned.best.parameters.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        context.progress.note(&format!("best, trial {}: {}", tuned.best.trial + 1, shown.join(", ")));
        fs::write_json(&context.out.join("parameters.json"), &tuned.best.parameters)?;
        let record = SearchRecord { sampler: options.sampler.clone(), images: images.len(), tuned };
        fs::write_json(&context.out.join("search.json"), &record)?;
        Ok(())
    }

    fn publish(&self, id: &StageId, _out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        Ok(vec![("search.json".into(), format!("{id}.json").into())])
    }
}

impl TuneStage {
    /// The training images that trials use: all, or a random choice in their original order.
    fn sample(&self, train: &LabelledImages, context: &Context<'_>) -> LabelledImages {
        let Some(sample) = self.options.sample else { return train.clone() };
        if let Sample::Images(count) = sample
            && count.get() > train.len()
        {
            context.progress.warn(&format!("`sample: {count}` is more than the {} training images; all are used", train.len()));
        }
        let mut rows: Vec<usize> = (0..train.len()).collect();
        rows.shuffle(&mut context.seed.child("sample").rng());
        rows.truncate(sample.of(train.len()));
        rows.sort_unstable();
        train.select(&rows)
    }

    /// Trains once with a trial's parameters; gives the objective's value for the model that training chose. Every trial
    /// has the same seed: what differs is the parameters. One that diverges late is no candidate, even if its best epoch is kept: another
    /// seed may diverge sooner.
    fn run_trial(
        &self,
        trial: &Trial,
        data: &DataSet,
        images: &LabelledImages,
        validation: &LabelledImages,
        context: &Context<'_>,
        report: &mut dyn FnMut(Epochs, f64) -> Verdict,
    ) -> Result<Outcome, StageError> {
        let base = TrainOptions::new(self.options.data.clone(), self.options.model.clone(), self.options.train.clone());
        let options = match base.with_parameters(&trial.parameters) {
            Ok(options) => options,
            Err(error) => return Ok(Outcome::Impossible(error.to_string())),
        };
        let mut settings = options.settings();
        if let Some(early_stopping) = &mut settings.early_stopping {
            early_stopping.on_divergence = OnDivergence::Fail;
        }
        let normalisation = Normalisation::of(&data.train);
        let architecture = match options.model.build(data.info.shape, data.info.classes.len(), normalisation) {
            Ok(architecture) => architecture,
            Err(error) => return Ok(Outcome::Impossible(error.to_string())),
        };
        let augmenter =
            data.augmentation.as_ref().map(|augmentation| Augmenter::new(augmentation, data.info.shape)).transpose()?;
        let scratch = context.scratch.join(format!("trial-{}", trial.trial));
        fs::create_dir(&scratch)?;
        let objective = self.options.objective;
        let mut on_epoch = |epoch: &EpochRecord| {
            let value = value_of(objective, epoch).unwrap_or(f64::NAN);
            let epochs = Epochs::new(epoch.epoch as u64).expect("epochs are counted from 1");
            match report(epochs, value) {
                Verdict::Continue => ControlFlow::Continue(()),
                Verdict::Stop => ControlFlow::Break(()),
            }
        };
        let quiet = Quiet(context.progress);
        let mut request = TrainRequest::new(&architecture, &settings, images, context.seed.child("training"));
        request.validation = Some(validation);
        request.augment = augmenter.as_ref().map(|augmenter| augmenter as _);
        request.scratch = Some(&scratch);
        request.progress = &quiet;
        request.on_epoch = Some(&mut on_epoch);
        let outcome = match train(request) {
            Ok(trained) => {
                // The figure of the weights that the training chose.
                let chosen = match trained.chosen {
                    Chosen::Best => trained.history.iter().find(|epoch| Some(epoch.epoch) == trained.best_epoch),
                    Chosen::Average | Chosen::Last => trained.history.last(),
                };
                chosen.and_then(|epoch| value_of(objective, epoch)).context("the training has no validation figures")?.into()
            }
            // Hopeless or impossible parameters are a result, not a failure.
            Err(TrainError::Diverged(_)) => Outcome::Value(f64::NAN),
            Err(error @ (TrainError::Settings(_) | TrainError::Layer(_))) => Outcome::Impossible(error.to_string()),
            Err(other) => return Err(anyhow::Error::from(other).into()),
        };
        fs::remove(&scratch)?;
        Ok(outcome)
    }
}

/// Removes the checkpoints of trials.
fn clear_trials(context: &Context<'_>) -> Result<()> {
    let names = fs::entries(context.scratch)?.into_iter().filter(|name| name.starts_with("trial-"));
    names.into_iter().try_for_each(|name| fs::remove(&context.scratch.join(name)))
}

fn value_of(objective: Objective, epoch: &EpochRecord) -> Option<f64> {
    match objective {
        Objective::Accuracy => epoch.validation_accuracy,
        Objective::Loss => epoch.validation_loss,
    }
}
