//! The training itself, from top to bottom: [`train`].

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Tensor;
use serde_json::json;

use super::average::Average;
use super::batches::{Batch, Source};
use super::checkpoint::{Checkpoint, State};
use super::history::{EpochRecord, EpochTiming, should_stop, standing};
use super::loss::{Evaluation, correct, cross_entropy, distillation, evaluate};
use super::optimizer::Optimizer;
use super::pruning::Losses;
use super::request::{Chosen, Course, Divergence, Ending, OnEpoch, TrainError, TrainRequest, Trained, Transfer};
use super::schedule::{Position, learning_rate, plateau_rate};
use super::{OnDivergence, Precision, ScheduleOptions, Teaching};
use crate::data::{Label, LabelledImages};
use crate::digest::Digest;
use crate::nn::{Network, Parameter, WeightTensor, Weights, image_tensor};

/// Trains a network. The same request gives the same weights and history, to the bit, however often it is interrupted and
/// resumed from its checkpoint.
///
/// # Errors
/// Any [`TrainError`].
pub fn train(mut request: TrainRequest<'_>) -> Result<Trained, TrainError> {
    check(&request)?;
    let on_epoch = request.on_epoch.take();
    let mut training = Training::begin(request)?;
    match training.run(on_epoch) {
        Ok(ending) => training.finish(ending, None),
        Err(TrainError::Diverged(divergence)) if training.keeps_best() => training.finish(Ending::Diverged, Some(divergence)),
        Err(TrainError::Interrupted(interrupted)) => {
            training.save()?;
            Err(interrupted.into())
        }
        Err(error) => Err(error),
    }
}

fn check(request: &TrainRequest<'_>) -> Result<(), TrainError> {
    request.settings.check().map_err(TrainError::Settings)?;
    request.architecture.check()?;
    if request.train.is_empty() {
        return Err(TrainError::Settings("there are no training images".into()));
    }
    if let Some(teaching) = request.teaching {
        teaching.check(request.train.len(), request.architecture.classes).map_err(TrainError::Settings)?;
    }
    for (what, images) in [("training", Some(request.train)), ("validation", request.validation)] {
        let Some(images) = images else { continue };
        let (expected, classes) = (request.architecture.input, request.architecture.classes);
        if images.shape() != expected {
            let text = format!("the network takes images of {expected}, but the {what} images are of {}", images.shape());
            return Err(TrainError::Settings(text));
        }
        if let Some(label) = images.labels().iter().find(|&&label| usize::from(label) >= classes) {
            let text = format!("a {what} image has label {label}, but the network has {classes} classes, counted from 0");
            return Err(TrainError::Settings(text));
        }
    }
    Ok(())
}

/// A training under way.
struct Training<'a> {
    request: TrainRequest<'a>,
    parameters: Vec<Parameter>,
    checkpoint: Option<(PathBuf, Digest)>,
    source: Source<'a>,
    network: Option<Network>, // taken out while the optimiser has it
    optimizer: Optimizer,
    average: Option<Average>,
    best: Option<Vec<Vec<f32>>>,
    losses: Option<Losses>,
    state: State,
    transfer: Option<Transfer>,
    precision: Precision,
    /// The place of a batch normalisation to which an image gives one value of each channel, until it was told what that means.
    single_values: Option<String>,
    started: Instant,
}

impl<'a> Training<'a> {
    /// A training at its start, or where its checkpoint stands.
    fn begin(request: TrainRequest<'a>) -> Result<Self, TrainError> {
        let (architecture, settings) = (request.architecture, request.settings);
        let started = (request.clock)();
        let parameters = architecture.parameters()?;
        let checkpoint = request.scratch.map(|dir| (dir.join("checkpoint.safetensors"), fingerprint(&request)));
        let restored = match &checkpoint {
            // A checkpoint that cannot be used costs time, not correctness: the same training starts again.
            Some((path, training)) => Checkpoint::load(path, *training, &parameters).unwrap_or_else(|error| {
                request.progress.warn(&format!("{error:#}; the training starts again"));
                None
            }),
            None => None,
        };
        if settings.early_stopping.is_some() && request.validation.is_none() {
            request.progress.warn("there is no validation data, so `early_stopping` has no effect");
        }

        let (start, transfer) = initial_weights(&request)?;
        let mut optimizer = Optimizer::new(&settings.optimizer, settings.clip, architecture)?;
        let restored = restored.unwrap_or_else(|| Checkpoint {
            state: State::default(),
            weights: start.into_values(),
            average: None,
            best: None,
            losses: settings.prune.is_some().then(|| Losses::unknown(request.train.len())),
            optimizer: Vec::new(),
        });
        if !restored.optimizer.is_empty() {
            optimizer = optimizer.with_state(restored.optimizer)?;
        }
        let average = settings.average.as_ref().map(|options| {
            let values = restored.average.unwrap_or_else(|| restored.weights.clone());
            Average::new(options, restored.state.average_steps, values)
        });
        let mut network = Network::from_weights(architecture, &Weights::from_values(architecture, restored.weights)?)?;
        let precision = settings.precision.here();
        if precision == Precision::Bf16 {
            network = network.in_half();
        }
        Ok(Self {
            parameters,
            checkpoint,
            source: Source {
                images: request.train,
                augment: request.augment,
                batch_size: settings.batch_size.get(),
                seed: request.seed,
                teaching: request.teaching,
            },
            network: Some(network.train()),
            optimizer,
            average,
            best: restored.best,
            losses: restored.losses,
            state: restored.state,
            transfer,
            precision,
            single_values: architecture.single_values()?,
            started,
            request,
        })
    }

    /// Epoch after epoch, until there is a reason to end.
    fn run(&mut self, mut on_epoch: Option<OnEpoch<'_>>) -> Result<Ending, TrainError> {
        let (settings, epochs) = (self.request.settings, self.epochs());
        let mut told = |record: &EpochRecord| on_epoch.as_mut().map_or(ControlFlow::Continue(()), |tell| tell(record));
        let total = epochs.saturating_mul(self.request.train.len());
        self.request.progress.begin("training", total as u64, "images");
        if self.state.history.iter().any(|record| told(record).is_break()) {
            return Ok(Ending::Caller);
        }
        loop {
            if self.state.epoch >= epochs {
                return Ok(Ending::Completed);
            }
            if settings.early_stopping.as_ref().is_some_and(|options| should_stop(&self.state.history, options)) {
                return Ok(Ending::EarlyStopping);
            }
            self.learn_epoch()?;
            self.close_epoch()?;
            if self.state.epoch.is_multiple_of(settings.checkpoint_every.get()) || self.state.epoch == epochs {
                self.save()?;
            }
            if told(&self.state.history[self.state.epoch - 1]).is_break() {
                return Ok(Ending::Caller);
            }
        }
    }

    /// After how many epochs it ends.
    fn epochs(&self) -> usize {
        let all = self.request.settings.epochs.get();
        self.request.course.map_or(all, |course| course.epochs.get().min(all))
    }

    /// Learns from the batches of the current epoch that are not yet learned.
    fn learn_epoch(&mut self) -> Result<(), TrainError> {
        let (clock, already) = (self.request.clock, self.state.epoch_seconds);
        let began = clock();
        let source = Source { ..self.source };
        let weights = self.weights();
        let of_epoch = source.batches_of(&weights);
        source.stream(self.state.epoch, self.state.batch, &weights, |batches| {
            for batch in batches {
                self.request.progress.check()?;
                self.step(batch, of_epoch)?;
                self.state.epoch_seconds = already + (clock() - began).as_secs_f64();
                self.report_step(of_epoch);
            }
            Ok(())
        })
    }

    /// What each training image counts for in the current epoch.
    fn weights(&self) -> Vec<f32> {
        let settings = self.request.settings;
        match (&settings.prune, &self.losses) {
            (Some(options), Some(losses)) => {
                options.weights(&losses.before, self.state.epoch, settings.epochs.get(), self.request.seed.child("prune"))
            }
            _ => vec![1.0; self.request.train.len()],
        }
    }

    /// One batch of the `of_epoch` of this epoch: forward, loss, backward, new weights.
    fn step(&mut self, batch: Batch, of_epoch: usize) -> Result<(), TrainError> {
        let Batch { indices, weights, pixels, labels, taught } = batch;
        let rate = self.learning_rate(of_epoch);
        if labels.len() == 1
            && let Some(place) = self.single_values.take()
        {
            self.request.progress.warn(&format!(
                "a batch of one image gives the batch normalisation of {place} one value of each channel, so that nothing before it \
                 learns from that batch and its running statistics suffer; choose another `batch_size` ({} images in batches of {})",
                self.request.train.len(),
                self.request.settings.batch_size
            ));
        }
        let mut network = self.network.take().expect("put back after every step");

        let images = image_tensor(pixels, self.request.architecture.input); // [N, H, W, C]
        let logits = network.forward_training(images, self.request.seed.child("dropout").index(self.state.steps as u64)); // [N, classes]
        let loss = self.loss(logits.clone(), &labels, taught, &weights); // [1]
        let loss_value = f64::from(loss.clone().into_scalar::<f32>());
        if !loss_value.is_finite() {
            self.network = Some(network);
            return Err(self.diverged("the loss"));
        }
        let logits = logits.without_autodiff().try_into_vec_as::<f32>().expect("float32 tensors in main memory can be read");
        let network = self.optimizer.step(rate, network, loss.backward());
        if let Some(average) = &mut self.average {
            average.update(&network.values());
        }

        self.network = Some(network);
        if let Some(losses) = &mut self.losses {
            losses.update(&indices, &logits, &labels);
        }
        self.state.steps += 1;
        self.state.batch += 1;
        self.state.seen += labels.len();
        self.state.loss += loss_value * labels.len() as f64;
        for (&weight, correct) in weights.iter().zip(correct(&logits, &labels)) {
            self.state.weight += f64::from(weight);
            self.state.correct += if correct { f64::from(weight) } else { 0.0 };
        }
        self.state.learning_rate = rate;
        Ok(())
    }

    /// How far `logits`, `[N, classes]`, are from the labels and from what the teacher says; each image counts by its weight; `[1]`.
    fn loss(&self, logits: Tensor<2>, labels: &[Label], taught: Vec<f32>, weights: &[f32]) -> Tensor<1> {
        let by_labels = |logits| cross_entropy(logits, labels, self.request.settings.label_smoothing.get(), weights);
        let Some(teaching) = self.request.teaching else { return by_labels(logits) };
        let by_teacher = |logits| distillation(logits, taught, teaching.temperature, weights);
        match teaching.labels {
            0.0 => by_teacher(logits),
            share => by_teacher(logits.clone()).mul_scalar(1.0 - share) + by_labels(logits).mul_scalar(share),
        }
    }

    /// The learning rate of the next step, in an epoch of `of_epoch` batches. A schedule counts epochs and parts of them: what is
    /// left out of an epoch makes its steps longer.
    fn learning_rate(&self, of_epoch: usize) -> f64 {
        let settings = self.request.settings;
        let mut peak = settings.optimizer.learning_rate();
        if let ScheduleOptions::ReduceOnPlateau(options) = &settings.schedule {
            peak = plateau_rate(options, peak, &watched(&self.request, &self.state.history));
        }
        let steps_per_epoch = self.source.batches();
        let step = self.state.epoch * steps_per_epoch + self.state.batch * steps_per_epoch / of_epoch;
        let at = Position { step, steps: settings.epochs.get().saturating_mul(steps_per_epoch), steps_per_epoch };
        learning_rate(&settings.schedule, peak, settings.warm_up.get(), at)
    }

    /// Watches the validation data and writes the epoch down.
    fn close_epoch(&mut self) -> Result<(), TrainError> {
        let values = self.model_values();
        if values.iter().flatten().any(|value| !value.is_finite()) {
            return Err(self.diverged("a weight"));
        }
        let evaluation = self.watch(&values)?;
        if evaluation.is_some_and(|evaluation| !evaluation.loss.is_finite()) {
            return Err(self.diverged("the validation loss"));
        }
        let state = &mut self.state;
        state.epoch += 1;
        state.history.push(EpochRecord {
            epoch: state.epoch,
            loss: state.loss / state.weight,
            accuracy: state.correct / state.weight,
            validation_loss: evaluation.map(|evaluation| evaluation.loss),
            validation_accuracy: evaluation.map(|evaluation| evaluation.accuracy),
            learning_rate: state.learning_rate,
        });
        let (seconds, seen) = (state.epoch_seconds, state.seen);
        state.timings.push(EpochTiming { epoch: state.epoch, seconds, images_per_second: seen as f64 / seconds.max(1e-9) });
        state.learned += seen;
        (state.batch, state.seen, state.epoch_seconds) = (0, 0, 0.0);
        (state.weight, state.loss, state.correct) = (0.0, 0.0, 0.0);
        if let Some(losses) = &mut self.losses {
            losses.close_epoch();
        }
        if self.best_epoch() == Some(self.state.epoch) {
            self.best = Some(values);
        }
        self.report_epoch();
        Ok(())
    }

    /// Loss and accuracy of the model, were it finished now.
    fn watch(&self, values: &[Vec<f32>]) -> Result<Option<Evaluation>, TrainError> {
        let Some(images) = self.request.validation.filter(|images| !images.is_empty()) else { return Ok(None) };
        let architecture = self.request.architecture;
        let network = Network::from_weights(architecture, &Weights::from_values(architecture, values.to_vec())?)?;
        let probabilities = network.predict(images.pixels(), self.request.progress)?;
        Ok(Some(evaluate(&probabilities, images.labels())))
    }

    /// What the model would be now: the average if there is one, else the newest weights.
    fn model_values(&self) -> Vec<Vec<f32>> {
        self.average.as_ref().map_or_else(|| self.last_values(), |average| average.values.clone())
    }

    fn last_values(&self) -> Vec<Vec<f32>> {
        self.network.as_ref().expect("put back after every step").values()
    }

    fn best_epoch(&self) -> Option<usize> {
        let options = self.request.settings.early_stopping.clone().unwrap_or_default();
        standing(&self.state.history, options.monitor, options.min_delta.get()).best
    }

    fn save(&self) -> Result<(), TrainError> {
        let Some((path, training)) = &self.checkpoint else { return Ok(()) };
        let mut state = self.state.clone();
        state.average_steps = self.average.as_ref().map_or(0, |average| average.steps);
        state.seconds = self.seconds();
        let checkpoint = Checkpoint {
            state,
            weights: self.last_values(),
            average: self.average.as_ref().map(|average| average.values.clone()),
            best: self.best.clone(),
            losses: self.losses.clone(),
            optimizer: self.optimizer.to_bytes()?,
        };
        Ok(checkpoint.save(path, *training, &self.parameters)?)
    }

    fn seconds(&self) -> f64 {
        self.state.seconds + ((self.request.clock)() - self.started).as_secs_f64()
    }

    /// Whether the best epoch's weights become the model.
    fn restores_best(&self) -> bool {
        self.request.settings.early_stopping.as_ref().is_some_and(|options| options.restore_best)
    }

    /// Whether a training that diverges now still has a model.
    fn keeps_best(&self) -> bool {
        let options = self.request.settings.early_stopping.as_ref();
        self.best.is_some() && self.restores_best() && options.is_some_and(|options| options.on_divergence == OnDivergence::Keep)
    }

    fn finish(self, ending: Ending, divergence: Option<Divergence>) -> Result<Trained, TrainError> {
        self.report_ending(ending, divergence);
        let architecture = self.request.architecture;
        let (chosen, values) = match &self.best {
            Some(best) if self.restores_best() => (Chosen::Best, best.clone()),
            _ if self.average.is_some() => (Chosen::Average, self.model_values()),
            _ => (Chosen::Last, self.last_values()),
        };
        let learning: f64 = self.state.timings.iter().map(|timing| timing.seconds).sum();
        Ok(Trained {
            weights: Weights::from_values(architecture, values)?,
            chosen,
            last: Weights::from_values(architecture, self.last_values())?,
            best_epoch: self.best_epoch(),
            ending,
            divergence,
            precision: self.precision,
            steps: self.state.steps,
            seconds: self.seconds(),
            images_per_second: self.state.learned as f64 / learning.max(1e-9),
            history: self.state.history,
            timings: self.state.timings,
            transfer: self.transfer,
        })
    }

    fn diverged(&self, what: &'static str) -> TrainError {
        let (epoch, step) = (self.state.epoch + 1, (self.state.batch + 1).min(self.source.batches()));
        TrainError::Diverged(Divergence { what, epoch, step, learning_rate: self.state.learning_rate })
    }

    fn report_step(&self, of_epoch: usize) {
        let State { epoch, batch, weight, loss, .. } = self.state;
        let images = self.request.train.len();
        let done = epoch * images + batch * images / of_epoch;
        let message = format!("epoch {}/{}, loss {:.4}", epoch + 1, self.epochs(), loss / weight);
        self.request.progress.advance(done as u64, &message);
    }

    fn report_epoch(&self) {
        let (Some(record), Some(timing)) = (self.state.history.last(), self.state.timings.last()) else { return };
        let mut line = format!("epoch {}/{}: ", record.epoch, self.epochs());
        line.push_str(&format!("loss {:.4}, accuracy {:.4}", record.loss, record.accuracy));
        if let (Some(loss), Some(accuracy)) = (record.validation_loss, record.validation_accuracy) {
            line.push_str(&format!(", validation loss {loss:.4}, accuracy {accuracy:.4}"));
        }
        line.push_str(&format!(", {:.0} images/s", timing.images_per_second));
        self.request.progress.note(&line);
    }

    /// Says why a training ended before all its epochs, and what is kept of it.
    fn report_ending(&self, ending: Ending, divergence: Option<Divergence>) {
        let (done, epochs, best) = (self.state.epoch, self.epochs(), self.best_epoch().unwrap_or(self.state.epoch));
        if let Some(divergence) = divergence {
            self.request.progress.warn(&format!(
                "the training diverged: {divergence}; it ends here, and the weights of its best epoch, {best}, are kept"
            ));
        } else if ending == Ending::EarlyStopping {
            let kept = if self.restores_best() { best } else { done };
            self.request.progress.note(&format!(
                "stopped early, after epoch {done} of {epochs}: nothing better since epoch {best}; the weights of epoch {kept} are kept"
            ));
        }
    }
}

/// What a plateau shows in, one figure for each finished epoch: the validation loss, or without validation data the training loss; in
/// a training that takes the course of another, that one's.
fn watched(request: &TrainRequest<'_>, own: &[EpochRecord]) -> Vec<f64> {
    let history = match &request.course {
        Some(Course { history, .. }) => &history[..own.len().min(history.len())],
        None => own,
    };
    history.iter().map(|record| record.validation_loss.unwrap_or(record.loss)).collect()
}

/// The weights to start from, and what of them was given.
fn initial_weights(request: &TrainRequest<'_>) -> Result<(Weights, Option<Transfer>), TrainError> {
    let fresh = Weights::initial(request.architecture, request.seed.child("weights"))?;
    let Some(given) = request.initial else { return Ok((fresh, None)) };
    let mut transfer = Transfer { taken: Vec::new(), initialised: Vec::new() };
    let tensors = fresh.tensors().iter().map(|tensor| {
        match given.iter().find(|given| given.name == tensor.name && given.shape == tensor.shape) {
            Some(given) => {
                transfer.taken.push(tensor.name.clone());
                given.clone()
            }
            None => {
                transfer.initialised.push(tensor.name.clone());
                tensor.clone()
            }
        }
    });
    let weights = Weights::new(request.architecture, tensors.collect())?;
    Ok((weights, Some(transfer)))
}

/// Names a training by what decides its result, except for the augmentation, which has no name of its own.
fn fingerprint(request: &TrainRequest<'_>) -> Digest {
    let images = |images: &LabelledImages| json!([Digest::of_bytes(images.pixels()), Digest::of_bytes(images.labels())]);
    let initial = request.initial.map(|tensors| {
        let digest = |tensor: &WeightTensor| {
            let bytes: Vec<u8> = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            json!([tensor.name, tensor.shape, Digest::of_bytes(&bytes)])
        };
        tensors.iter().map(digest).collect::<Vec<_>>()
    });
    let mut training = json!({
        "architecture": request.architecture,
        "settings": request.settings.parameters(),
        "seed": request.seed,
        "train": images(request.train),
        "validation": request.validation.map(images),
        "initial": initial,
        "augmented": request.augment.is_some(),
        "teaching": request.teaching.map(Teaching::digest),
    });
    if let Some(course) = &request.course {
        training["course"] = json!({ "epochs": course.epochs, "history": course.history });
    }
    Digest::of_json(&training)
}

#[cfg(test)]
mod tests;
