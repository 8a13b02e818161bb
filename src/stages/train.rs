//! `train`: one network, trained on the training part, watched on the validation part, measured once on the test part.
//!
//! With `refit`, it is trained a second time from the start, on both parts together and for as many epochs as the first
//! training found best; the figures on the validation part are those of the first training, which had not seen it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::evaluation_files::{self, TrainingFiles};
use super::model::{Member, Model, ModelRecord, Part, evaluate_part, save_member};
use super::{Quiet, predictions};
use crate::data::augment::Augmenter;
use crate::data::{DataSet, LabelledImages};
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::StageId;
use crate::metrics::Evaluation;
use crate::nn::{Architecture, Normalisation, WeightTensor, Weights, predict};
use crate::train::{TrainOptions, TrainRequest, TrainSettings, Trained, train};
use crate::units::Epochs;

pub(super) struct TrainStage(pub TrainOptions);

impl Stage for TrainStage {
    fn kind(&self) -> &'static str {
        "train"
    }

    fn version(&self) -> u32 {
        2
    }

    fn parameters(&self) -> Value {
        let mut parameters = super::parameters(&self.0);
        if let Some(fields) = parameters.as_object_mut() {
            // How often a checkpoint is written does not change what is trained.
            fields.remove("checkpoint_every");
        }
        parameters
    }

    fn inputs(&self) -> Vec<StageId> {
        let others = self.0.params.iter().map(|params| params.stage()).chain(self.0.start_from.iter().map(|model| model.stage()));
        super::unique([self.0.data.stage()].into_iter().chain(others))
    }

    fn is_seeded(&self) -> bool {
        true
    }

    fn measurements(&self) -> Vec<PathBuf> {
        evaluation_files::measurements()
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        let data = DataSet::load(context.input(self.0.data.stage())?)?;
        let options = match &self.0.params {
            None => self.0.clone(),
            Some(params) => {
                let best: BTreeMap<String, Value> = fs::read_json(&context.input(params.stage())?.join("parameters.json"))?;
                let shown: Vec<String> = best.iter().map(|(path, value)| format!("{path} = {value}")).collect();
                context.progress.note(&format!("tuned: {}", shown.join(", ")));
                self.0.with_parameters(&best).context("the tuned parameters do not fit this stage")?
            }
        };
        let settings = options.settings();
        let normalisation = Normalisation::of(&data.train);
        let plain = options.model.build(data.info.shape, data.info.classes.len(), normalisation).map_err(anyhow::Error::from)?;
        let architecture = Architecture { views: options.views, ..plain };
        architecture.check().map_err(anyhow::Error::from)?;

        let start = match &options.start_from {
            Some(model) => Some(Model::load(context.input(model.stage())?)?),
            None => None,
        };
        let initial = start.as_ref().and_then(|model| model.members.first()).map(|member| member.weights.tensors());
        let augmentation = data.augmentation.as_ref();
        let augmenter = augmentation.map(|augmentation| Augmenter::new(augmentation, data.info.shape)).transpose()?;
        let training = Training { architecture: &architecture, augmenter, initial, context };
        let first = training.run("first", &settings, &data.train, data.validation.as_ref())?;
        let mut images = data.train.len();
        let classes = &data.info.classes;
        let mut validation = None;
        if let Some(part) = &data.validation {
            validation = Some(measure(&architecture, &first.weights, Part::Validation, part, classes, context)?);
        }
        let trained = match &data.validation {
            Some(part) if options.refit => {
                let both = data.train.concat(part)?;
                images = both.len();
                let settings =
                    TrainSettings { epochs: refit_epochs(&settings, &first), early_stopping: None, ..settings.clone() };
                context.progress.note(&format!("again on {images} images, {} epochs", settings.epochs));
                training.run("refit", &settings, &both, None)?
            }
            _ => first,
        };
        let mut test: Option<Evaluation> = None;
        if let Some(part) = &data.test {
            test = Some(measure(&architecture, &trained.weights, Part::Test, part, classes, context)?);
        }

        save_member(context.out, context.id, &architecture, &trained.weights)?;
        let record = ModelRecord {
            name: context.id.clone(),
            key: context.key,
            preset: options.model.name().to_owned(),
            data: data.info.clone(),
            dataset: predictions::part_digest(&data.train),
            images,
            members: vec![Member { name: context.id.clone(), weight: 1.0 }],
            voting: String::new(),
            temperature: None,
            parameters: trained.weights.count(),
            flops_per_image: architecture.flops().map_err(anyhow::Error::from)?,
            validation,
            test,
        };
        fs::write_json(&context.out.join("options.json"), &options)?;
        evaluation_files::write(
            context.out,
            &record,
            &data,
            Some(&TrainingFiles { trained: &trained, settings: &options.settings(), views: options.views }),
            &[],
        )?;
        Ok(())
    }

    fn publish(&self, id: &StageId, out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let mut files = evaluation_files::publish(id, out);
        let weights = PathBuf::from("members").join(id.as_str()).join("weights.safetensors");
        files.push((weights, PathBuf::from(id.as_str()).join("weights.safetensors")));
        Ok(files)
    }
}

/// What the trainings of one stage share.
struct Training<'a> {
    architecture: &'a Architecture,
    augmenter: Option<Augmenter>,
    initial: Option<&'a [WeightTensor]>,
    context: &'a Context<'a>,
}

impl Training<'_> {
    /// One training, with a scratch folder of its own, so that an interruption costs no more than a few steps.
    fn run(
        &self,
        name: &str,
        settings: &TrainSettings,
        images: &LabelledImages,
        validation: Option<&LabelledImages>,
    ) -> Result<Trained> {
        let scratch = self.context.scratch.join(name);
        fs::create_dir(&scratch)?;
        let mut request = TrainRequest::new(self.architecture, settings, images, self.context.seed.child("training"));
        request.validation = validation;
        request.augment = self.augmenter.as_ref().map(|augmenter| augmenter as _);
        request.initial = self.initial;
        request.scratch = Some(&scratch);
        request.progress = self.context.progress;
        let trained = train(request)?;
        if let Some(transfer) = &trained.transfer {
            let (taken, all) = (transfer.taken.len(), transfer.taken.len() + transfer.initialised.len());
            self.context.progress.note(&format!("{taken} of {all} parameters begin with given weights"));
        }
        Ok(trained)
    }
}

/// The figures of a network on one part, whose predictions are kept.
fn measure(
    architecture: &Architecture,
    weights: &Weights,
    part: Part,
    images: &LabelledImages,
    classes: &[String],
    context: &Context<'_>,
) -> Result<Evaluation> {
    let predicted = predict(architecture, weights, images, &Quiet(context.progress))?;
    evaluate_part(context.out, part, images, &predicted, classes)
}

/// As many epochs as were best when there was something to watch.
fn refit_epochs(settings: &TrainSettings, first: &Trained) -> Epochs {
    let best = first.best_epoch.filter(|_| settings.early_stopping.is_some());
    best.and_then(|epoch| Epochs::new(epoch as u64).ok()).unwrap_or(settings.epochs)
}
