//! `distill`: one network that learns from another model what it says of the training images, rather than their labels
//! (Hinton, Vinyals and Dean, 2015). It makes a model as `train` does.
//!
//! The teacher judges the images before the training, each in all variants that the training will show, and never again: what it
//! said is kept beside the checkpoints, so that an interrupted stage does not ask it twice. It answers as its exported file would, and
//! in the precision that the student is trained in.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ndarray::Axis;
use serde_json::Value;

use super::foreign::{self, Foreign};
use super::learning::{self, Given, Learned, Learner};
use super::model::{Model, Part, Taught, ensure_classes};
use super::session::predict_all;
use super::{evaluation_files, export, predictions};
use crate::data::{DataSet, LabelledImages};
use crate::digest::Digest;
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::StageId;
use crate::infer::{self, Loaded, Model as Session};
use crate::metrics::Probabilities;
use crate::nn::Weights;
use crate::progress::Progress;
use crate::train::{DistillOptions, Precision, Teaching, variant_of};

pub(super) struct DistillStage {
    /// With the precision of this machine.
    pub options: DistillOptions,
    /// The precision that was asked for.
    pub asked: Precision,
    /// Images that teacher and start have used, which those that the student is judged by must not be.
    pub foreign: Vec<Foreign>,
}

impl Stage for DistillStage {
    fn kind(&self) -> &'static str {
        "distill"
    }

    fn version(&self) -> u32 {
        4
    }

    fn parameters(&self) -> Value {
        learning::parameters(&self.options)
    }

    fn inputs(&self) -> Vec<StageId> {
        let start = self.options.start_from.iter().map(|model| model.stage());
        super::unique(
            [self.options.data.stage(), self.options.teacher.stage()]
                .into_iter()
                .chain(start)
                .chain(foreign::inputs(&self.foreign)),
        )
    }

    fn is_seeded(&self) -> bool {
        true
    }

    fn measurements(&self) -> Vec<PathBuf> {
        evaluation_files::measurements()
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        foreign::check(&self.foreign, context)?;
        let data = DataSet::load(context.input(self.options.data.stage())?)?;
        let teacher = Model::load(context.input(self.options.teacher.stage())?)?;
        ensure_classes(&teacher, &data.info.classes)?;
        self.asked.tell(context.progress);
        let settings = self.options.settings();
        let learner = Learner::new(&self.options.model, self.options.views, &data, context)?;
        let said = self.ask(&teacher, &learner, &data.train, context)?;
        let teaching = Teaching::new(said, self.options.temperature, self.options.labels);
        let start = learning::start(self.options.start_from.as_ref(), context)?;
        let given = Given { initial: start.as_ref().map(Weights::tensors), teaching: Some(&teaching), course: None };
        let trained =
            learner.train("student", &settings, &data.train, data.validation.as_ref(), given).map_err(anyhow::Error::from)?;
        let validation = learner.measure(&trained.weights, Part::Validation)?;
        fs::write_json(&context.out.join("options.json"), &self.options)?;
        let images = data.train.len();
        let teacher = Some(Taught::by(&teacher.record));
        let (trained, settings) = (&trained, &settings);
        Ok(learner.finish(Learned { trained, first: None, lost_refit: None, settings, images, validation, teacher })?)
    }

    fn publish(&self, id: &StageId, out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        Ok(learning::publish(id, out))
    }
}

impl DistillStage {
    /// The teacher, ready to be asked: in bf16 if the student is trained in it, the machine has it and the kernels cover the graph.
    fn ready(&self, teacher: &Model) -> Result<Session> {
        let loaded = Loaded::from_bytes(&export::onnx_bytes(teacher)?)?;
        let half = match self.options.precision {
            Precision::Bf16 => loaded.ready(None, infer::Precision::Bf16).ok(),
            Precision::Fp32 | Precision::Auto => None,
        };
        match half.filter(|session| !session.is_emulated()) {
            Some(half) => Ok(half),
            None => loaded.ready(None, infer::Precision::Fp32),
        }
    }

    /// What the teacher says of every variant of the images, `[N, classes]` each.
    fn ask(
        &self,
        teacher: &Model,
        learner: &Learner<'_>,
        images: &LabelledImages,
        context: &Context<'_>,
    ) -> Result<Vec<Probabilities>, StageError> {
        let variants = match (self.options.variants, learner.augment()) {
            (Some(variants), _) => variants.get(),
            (None, Some(_)) => self.options.epochs.get(),
            (None, None) => 1,
        };
        let scratch = context.scratch.join("teacher");
        fs::create_dir(&scratch)?;
        let part = predictions::part_digest(images);
        let session = self.ready(teacher)?;
        context.progress.note(&format!("`{}` answers in {}", teacher.record.name, session.precision()));
        context.progress.begin("teacher", (variants * images.len()) as u64, "images");
        (0..variants)
            .map(|variant| {
                context.progress.check()?;
                let file = scratch.join(format!("{variant}.answers"));
                // The folder belongs to this key, and so to this teacher, these images and this seed.
                let about = Digest::of_bytes(format!("{part} {variant} {}", session.precision()).as_bytes());
                let kept = kept_answers(&file, about, images.len()).unwrap_or_else(|error| {
                    context.progress.warn(&format!("{error:#}; the teacher is asked again"));
                    None
                });
                let said = match kept {
                    Some(said) => said,
                    None => {
                        let shown = variant_of(images, learner.augment(), learner.seed(), variant);
                        let said = answers(&session, &shown, variant, context.progress)?;
                        fs::write_sealed(&file, &predictions::encode(&said, about)?)?;
                        said
                    }
                };
                context.progress.advance(((variant + 1) * images.len()) as u64, "");
                Ok(said)
            })
            .collect()
    }
}

/// What a teacher said before an interruption; `None` if it was not asked, or about something else.
fn kept_answers(file: &Path, about: Digest, images: usize) -> Result<Option<Probabilities>> {
    let Some(bytes) = fs::read_sealed(file)? else { return Ok(None) };
    Ok(predictions::decode(&bytes, file, about)?.filter(|said| said.nrows() == images))
}

/// What `session` says of images that are the variant numbered `variant`, which progress tells meanwhile.
fn answers(
    session: &Session,
    images: &LabelledImages,
    variant: usize,
    progress: &dyn Progress,
) -> Result<Probabilities, StageError> {
    const SLICE: usize = 2048;
    let mut all = Probabilities::zeros((0, session.interface().classes.len()));
    for pixels in images.pixels().chunks(SLICE * images.shape().pixels()) {
        let said = predict_all(session, pixels, progress)?;
        all.append(Axis(0), said.view()).map_err(anyhow::Error::from)?;
        progress.advance((variant * images.len() + all.nrows()) as u64, "");
    }
    Ok(all)
}
