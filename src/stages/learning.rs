//! What the stages that train one network share: the network, its trainings with their checkpoints, its figures, its files.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::evaluation_files::{self, First, TrainingFiles};
use super::model::{Member, Model, ModelRecord, Part, RecordedSeed, Taught, evaluate_part, save_member};
use super::{Quiet, predictions};
use crate::data::augment::Augmenter;
use crate::data::{DataSet, LabelledImages};
use crate::engine::Context;
use crate::fs;
use crate::graph::{ModelRef, StageId};
use crate::metrics::Evaluation;
use crate::nn::accelerated::release_buffers;
use crate::nn::{Architecture, ModelOptions, Normalisation, Views, WeightTensor, Weights, predict};
use crate::seed::Seed;
use crate::train::{Augment, Course, Divergence, Teaching, TrainError, TrainRequest, TrainSettings, Trained, train};

/// A network that is to be trained on some data.
pub(super) struct Learner<'a> {
    data: &'a DataSet,
    context: &'a Context<'a>,
    preset: &'static str,
    architecture: Architecture,
    augmenter: Option<Augmenter>,
}

/// What a training starts from and learns from, beside images and labels.
#[derive(Clone, Copy, Default)]
pub(super) struct Given<'a> {
    /// An earlier training whose course is taken.
    pub course: Option<Course<'a>>,
    /// Weights to start from, as far as they fit.
    pub initial: Option<&'a [WeightTensor]>,
    /// What a teacher says of the images.
    pub teaching: Option<&'a Teaching>,
}

/// A network that is trained, with what is to be said of it.
pub(super) struct Learned<'a> {
    /// The training that gave the weights.
    pub trained: &'a Trained,
    /// The training before it, if that is a refit.
    pub first: Option<First<'a>>,
    /// Where a refit left the finite numbers, so that `trained` is the training before it.
    pub lost_refit: Option<&'a Divergence>,
    /// The settings in force, tuned ones included.
    pub settings: &'a TrainSettings,
    /// Images that it was trained on.
    pub images: usize,
    /// Figures on the validation part, of a network that has not seen it.
    pub validation: Option<Evaluation>,
    /// The model that it learned from.
    pub teacher: Option<Taught>,
}

impl<'a> Learner<'a> {
    /// The network that `model` describes, for the images of `data`, which it judges in all `views`.
    pub(super) fn new(model: &ModelOptions, views: Views, data: &'a DataSet, context: &'a Context<'a>) -> Result<Self> {
        let normalisation = Normalisation::of(&data.train);
        let plain = model.build(data.info.shape, data.info.classes.len(), normalisation)?;
        let architecture = Architecture { views, ..plain };
        architecture.check()?;
        let augmentation = data.augmentation.as_ref();
        let augmenter = augmentation.map(|augmentation| Augmenter::new(augmentation, data.info.shape)).transpose()?;
        Ok(Self { data, context, preset: model.name(), architecture, augmenter })
    }

    /// What changes images in training, if anything does.
    pub(super) fn augment(&self) -> Option<&dyn Augment> {
        self.augmenter.as_ref().map(|augmenter| augmenter as _)
    }

    /// The seed of its trainings.
    pub(super) fn seed(&self) -> Seed {
        self.context.seed.child("training")
    }

    /// One training, with a scratch folder of its own, so that an interruption costs no more than a few steps.
    pub(super) fn train(
        &self,
        name: &str,
        settings: &TrainSettings,
        images: &LabelledImages,
        validation: Option<&LabelledImages>,
        given: Given<'_>,
    ) -> Result<Trained, TrainError> {
        let scratch = self.context.scratch.join(name);
        fs::create_dir(&scratch)?;
        let mut request = TrainRequest::new(&self.architecture, settings, images, self.seed());
        request.validation = validation;
        request.augment = self.augment();
        request.initial = given.initial;
        request.course = given.course;
        request.teaching = given.teaching;
        request.scratch = Some(&scratch);
        request.progress = self.context.progress;
        let trained = train(request)?;
        if let Some(transfer) = &trained.transfer {
            let (taken, all) = (transfer.taken.len(), transfer.taken.len() + transfer.initialised.len());
            let text = format!("{taken} of {all} parameters begin with given weights");
            match taken {
                0 => self.context.progress.warn(&format!("{text}: none has the name and the shape of one in `start_from`")),
                _ => self.context.progress.note(&text),
            }
        }
        Ok(trained)
    }

    /// The figures of the network with `weights` on a part, if there is one. The predictions are kept.
    pub(super) fn measure(&self, weights: &Weights, part: Part) -> Result<Option<Evaluation>> {
        let images = match part {
            Part::Validation => self.data.validation.as_ref(),
            Part::Test => self.data.test.as_ref(),
        };
        let Some(images) = images else { return Ok(None) };
        let predicted = predict(&self.architecture, weights, images, &Quiet(self.context.progress))?;
        evaluate_part(self.context.out, part, images, &predicted, &self.data.info.classes).map(Some)
    }

    /// Measures the network on the test part, and writes all files about it.
    pub(super) fn finish(&self, learned: Learned<'_>) -> Result<()> {
        let Learned { trained, first, lost_refit, settings, images, validation, teacher } = learned;
        let test = self.measure(&trained.weights, Part::Test)?;
        release_buffers();
        let Context { id, key, out, seed, root_seed, .. } = *self.context;
        // What it is judged by on the validation part, now and later, is the network that has not seen that part.
        let before_refit = first.as_ref().map(|first| &first.trained.weights);
        save_member(out, id, &self.architecture, &trained.weights, before_refit)?;
        let record = ModelRecord {
            name: id.clone(),
            key,
            seed: RecordedSeed { pipeline: root_seed, stage: Some(seed) },
            preset: self.preset.to_owned(),
            data: self.data.info.clone(),
            dataset: predictions::part_digest(&self.data.train),
            images,
            members: vec![Member { name: id.clone(), weight: 1.0 }],
            voting: String::new(),
            temperature: None,
            parameters: trained.weights.count(),
            flops_per_image: self.architecture.flops()?,
            validation,
            test,
            teacher,
            out_of_fold: None,
        };
        evaluation_files::write(
            out,
            &record,
            self.data,
            Some(&TrainingFiles { trained, settings, views: self.architecture.views, first: first.as_ref(), lost_refit }),
            &[],
        )
    }
}

/// The weights of the model to start from, if there is one.
pub(super) fn start(from: Option<&ModelRef>, context: &Context<'_>) -> Result<Option<Weights>> {
    let Some(from) = from else { return Ok(None) };
    let model = Model::load(context.input(from.stage())?)?;
    Ok(model.members.into_iter().next().map(|member| member.weights))
}

/// What of a stage's options its result depends on.
pub(super) fn parameters(options: &impl Serialize) -> Value {
    let mut parameters = super::parameters(options);
    if let Some(fields) = parameters.as_object_mut() {
        // How often a checkpoint is written does not change what is trained.
        fields.remove("checkpoint_every");
    }
    parameters
}

/// Where the files about a trained network go below the artifacts folder.
pub(super) fn publish(id: &StageId, out: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut files = evaluation_files::publish(id, out);
    let weights = PathBuf::from("members").join(id.as_str()).join("weights.safetensors");
    files.push((weights, PathBuf::from(id.as_str()).join("weights.safetensors")));
    files
}
