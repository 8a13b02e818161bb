//! Trainings from end to end: interrupted and resumed, stopped, diverging, learned by heart.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicIsize, Ordering};

use rand::RngExt;

use super::*;
use crate::data::ImageShape;
use crate::fs;
use crate::metrics::Probabilities;
use crate::nn::{Architecture, ModelOptions, Normalisation};
use crate::progress::{Progress, Silent};
use crate::seed::Seed;
use crate::train::{Augment, TrainSettings};
use crate::units::{Epochs, Positive, Probability};

const SHAPE: ImageShape = ImageShape { channels: 1, height: 8, width: 8 };
const CLASSES: usize = 4;

/// Noisy images of which the label's quadrant is brighter by `contrast`.
fn quadrants(count: usize, contrast: u8, seed: u64) -> LabelledImages {
    let mut rng = Seed::new(seed).rng();
    let labels: Vec<u8> = (0..count).map(|index| (index % CLASSES) as u8).collect();
    let mut pixels = Vec::new();
    for &label in &labels {
        for position in 0..SHAPE.pixels() {
            let quadrant = 2 * (position / 8 / 4) + position % 8 / 4;
            let light = if quadrant == usize::from(label) { contrast } else { 0 };
            pixels.push(light + rng.random_range(0..100));
        }
    }
    LabelledImages::new(SHAPE, pixels, labels).unwrap()
}

fn architecture(model: &str) -> Architecture {
    let model: ModelOptions = serde_json::from_str(model).unwrap();
    model.build(SHAPE, CLASSES, Normalisation { mean: vec![0.3], deviation: vec![0.2] }).unwrap()
}

fn settings(text: &str) -> TrainSettings {
    serde_json::from_str(text).unwrap()
}

/// Interrupts at the check after `left` others; writes down warnings and notes.
struct Watcher {
    left: AtomicIsize,
    warnings: Mutex<Vec<String>>,
    notes: Mutex<Vec<String>>,
}

impl Watcher {
    fn new(left: isize) -> Self {
        Self { left: AtomicIsize::new(left), warnings: Mutex::default(), notes: Mutex::default() }
    }

    fn last_note(&self) -> String {
        self.notes.lock().unwrap().last().cloned().unwrap_or_default()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap().clone()
    }
}

impl Progress for Watcher {
    fn begin(&self, _what: &str, _total: u64, _unit: &str) {}
    fn advance(&self, _done: u64, _message: &str) {}
    fn note(&self, line: &str) {
        self.notes.lock().unwrap().push(line.to_owned());
    }
    fn warn(&self, line: &str) {
        self.warnings.lock().unwrap().push(line.to_owned());
    }
    fn interrupted(&self) -> bool {
        self.left.fetch_sub(1, Ordering::Relaxed) <= 0
    }
}

struct Mirror;

impl Augment for Mirror {
    fn apply(&self, seed: Seed, epoch: u64, sample: u64, source: &[u8], target: &mut [u8]) {
        target.copy_from_slice(source);
        if seed.index(epoch).index(sample).rng().random() {
            target.iter_mut().for_each(|pixel| *pixel = pixel.saturating_add(20));
        }
    }
}

#[test]
fn every_preset_learns_one_batch_by_heart() {
    let images = quadrants(16, 40, 1);
    let check = |model: &str, settings_text: &str| {
        let (architecture, settings) = (architecture(model), settings(settings_text));
        let trained = train(TrainRequest::new(&architecture, &settings, &images, Seed::new(1))).unwrap();
        let last = trained.history.last().unwrap();
        assert!(last.loss < 0.1 && last.accuracy == 1.0, "{model}: {last:?}");
        assert!(trained.history[0].loss > 0.5, "{model}: {:?}", trained.history[0]);
        assert_eq!((trained.ending, trained.chosen, trained.steps), (Ending::Completed, Chosen::Last, settings.epochs.get()));
    };
    let adam = r#"{"epochs": 60, "batch_size": 16, "optimizer": {"adam": {"learning_rate": 0.02}}}"#;
    check(r#"{"mlp": {"units": [16, 8], "dropout": 0}}"#, adam);
    check(r#"{"basic": {"filters": [4, 8], "units": 16, "dropout": 0}}"#, adam);
    check(r#"{"advanced": {"filters": [4, 8], "units": 16, "dropout": 0, "spatial_dropout": 0}}"#, adam);
    check(r#"{"optimum": {"filters": [4, 8], "dropout": 0}}"#, adam);
    check(r#"{"layers": [{"flatten": {}}, {"dense": {"units": 8}}, {"gelu": {}}, {"dense": {"units": 4}}]}"#, adam);
    let sgd =
        r#"{"epochs": 60, "batch_size": 16, "optimizer": {"sgd": {"learning_rate": 0.1}}, "clip": {"norm": 1}, "warm_up": 5}"#;
    check(r#"{"optimum": {"filters": [4, 8], "dropout": 0}}"#, sgd);
}

/// A training in which everything that has a state takes part.
const EVERYTHING: &str = r#"{"epochs": 4, "batch_size": 8, "optimizer": {"adamw": {"learning_rate": 0.01}}, "schedule": {"reduce_on_plateau":
    {"patience": 1}}, "warm_up": 0.5, "label_smoothing": 0.1, "clip": {"norm": 1.0}, "average": {"ema": {"decay": 0.9}},
    "early_stopping": {"patience": 3, "monitor": "accuracy"}, "checkpoint_every": 2, "prune": {"ratio": RATIO, "until": 0.75}}"#;

#[test]
fn an_interrupted_training_ends_in_the_same_bytes() {
    interrupt_everywhere("0", |whole| whole.steps == 16 && whole.history[3].loss < whole.history[0].loss);
    interrupt_everywhere("0.9", |whole| (8..16).contains(&whole.steps)); // the first and the last of four epochs have all images
}

fn interrupt_everywhere(ratio: &str, is_expected: fn(&Trained) -> bool) {
    let (images, watched) = (quadrants(30, 30, 1), quadrants(70, 30, 2));
    let architecture = architecture(r#"{"advanced": {"filters": [3, 4], "units": 6}}"#);
    let settings = settings(&EVERYTHING.replace("RATIO", ratio));
    let run = |scratch: Option<&Path>, progress: &dyn Progress| {
        train(TrainRequest {
            validation: Some(&watched),
            augment: Some(&Mirror),
            scratch,
            progress,
            ..TrainRequest::new(&architecture, &settings, &images, Seed::new(7))
        })
    };
    let whole = run(None, &Silent).unwrap();
    assert_eq!((whole.history.len(), whole.timings.len()), (4, 4));
    assert!(is_expected(&whole), "{ratio}: {} steps, {:?}", whole.steps, whole.history);
    assert_ne!(whole.weights, whole.last);

    // Each epoch has four checks in learning and two in watching, so that every kind of place is interrupted.
    for pieces in [2, 3, 4, 5, 7] {
        let dir = tempfile::tempdir().unwrap();
        let mut interruptions = 0;
        let trained = loop {
            let progress = Watcher::new(pieces);
            match run(Some(dir.path()), &progress) {
                Ok(trained) => break trained,
                Err(TrainError::Interrupted(_)) => interruptions += 1,
                Err(error) => panic!("{error}"),
            }
            assert_eq!(progress.warnings(), [""; 0]);
            assert!(interruptions < 100, "pieces of {pieces} never end");
        };
        assert!(interruptions >= 2, "{pieces}: {interruptions}");
        assert_eq!(trained.weights, whole.weights, "{pieces}");
        assert_eq!(trained.last, whole.last, "{pieces}");
        assert_eq!(trained.history, whole.history, "{pieces}");
        assert_eq!((trained.best_epoch, trained.chosen, trained.ending), (whole.best_epoch, whole.chosen, whole.ending));
    }
}

/// A teacher that is as sure of `labels` as `share` says.
fn teacher(labels: &[u8], share: f32) -> Probabilities {
    let other = (1.0 - share) / (CLASSES - 1) as f32;
    let told = |(row, class): (usize, usize)| if usize::from(labels[row]) == class { share } else { other };
    Probabilities::from_shape_fn((labels.len(), CLASSES), told)
}

fn teaching(variants: Vec<Probabilities>, temperature: f64, labels: f64) -> Teaching {
    Teaching::new(variants, Positive::new(temperature).unwrap(), Probability::new(labels).unwrap())
}

#[test]
fn a_student_learns_what_its_teacher_says_and_not_the_labels() {
    let honest = quadrants(64, 60, 1);
    let watched = quadrants(64, 60, 2);
    let wrong: Vec<u8> = honest.labels().iter().map(|label| (label + 1) % 4).collect();
    let images = LabelledImages::new(SHAPE, honest.pixels(), wrong).unwrap();
    let architecture = architecture(r#"{"mlp": {"units": [16], "dropout": 0}}"#);
    let settings = settings(r#"{"epochs": 30, "batch_size": 16, "optimizer": {"adam": {"learning_rate": 0.01}}}"#);
    let accuracy = |temperature: f64, labels: f64| {
        let teaching = teaching(vec![teacher(honest.labels(), 0.9)], temperature, labels);
        let request = TrainRequest::new(&architecture, &settings, &images, Seed::new(1));
        let trained = train(TrainRequest { validation: Some(&watched), teaching: Some(&teaching), ..request }).unwrap();
        trained.history.last().unwrap().validation_accuracy.unwrap()
    };
    for (temperature, labels) in [(1.0, 0.0), (3.0, 0.0), (1.0, 0.2)] {
        assert!(accuracy(temperature, labels) > 0.9, "{temperature}, {labels}: {}", accuracy(temperature, labels));
    }
    assert!(accuracy(1.0, 0.9) < 0.2, "with most of the loss on wrong labels, they are what is learned");
}

#[test]
fn an_interrupted_student_ends_in_the_same_bytes_and_goes_on_with_no_other_teacher() {
    let images = quadrants(30, 30, 1);
    let architecture = architecture(r#"{"basic": {"filters": [3, 4], "units": 6}}"#);
    let settings = settings(r#"{"epochs": 4, "batch_size": 8, "label_smoothing": 0.1}"#);
    let two = |share| teaching(vec![teacher(images.labels(), share), teacher(images.labels(), 0.6)], 2.0, 0.3);
    let run = |teaching: &Teaching, scratch: Option<&Path>, progress: &dyn Progress| {
        let request = TrainRequest::new(&architecture, &settings, &images, Seed::new(7));
        train(TrainRequest { augment: Some(&Mirror), teaching: Some(teaching), scratch, progress, ..request })
    };
    let whole = run(&two(0.9), None, &Silent).unwrap();
    assert_ne!(whole.weights, run(&two(0.8), None, &Silent).unwrap().weights);
    let dir = tempfile::tempdir().unwrap();
    for interruption in 0.. {
        let progress = Watcher::new(3);
        match run(&two(0.9), Some(dir.path()), &progress) {
            Ok(trained) => {
                assert!(interruption >= 4);
                assert_eq!((trained.weights, trained.history), (whole.weights, whole.history));
                break;
            }
            Err(TrainError::Interrupted(_)) => assert_eq!(progress.warnings(), [""; 0]),
            Err(error) => panic!("{error}"),
        }
    }
    let progress = Watcher::new(1000);
    run(&two(0.8), Some(dir.path()), &progress).unwrap();
    assert!(progress.warnings()[0].contains("it belongs to another training"), "{:?}", progress.warnings());
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let images = quadrants(20, 30, 1);
    let architecture = architecture(r#"{"mlp": {"units": [6]}}"#);
    let settings = settings(r#"{"epochs": 2, "batch_size": 8}"#);
    let weights = |seed| train(TrainRequest::new(&architecture, &settings, &images, Seed::new(seed))).unwrap().weights;
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
}

#[test]
fn an_unusable_checkpoint_is_told_and_the_training_starts_again() {
    let images = quadrants(20, 30, 1);
    let architecture = architecture(r#"{"mlp": {"units": [6]}}"#);
    let settings = settings(r#"{"epochs": 2, "batch_size": 8}"#);
    let dir = tempfile::tempdir().unwrap();
    let run = |seed, left| {
        let progress = Watcher::new(left);
        let request = TrainRequest::new(&architecture, &settings, &images, Seed::new(seed));
        let result = train(TrainRequest { scratch: Some(dir.path()), progress: &progress, ..request });
        (result, progress.warnings().join("\n"))
    };
    assert!(matches!(run(1, 2), (Err(TrainError::Interrupted(_)), _)));
    let (other, warning) = run(2, 1000);
    assert!(warning.contains("checkpoint.safetensors`: it belongs to another training; the training starts again"), "{warning}");
    fs::write(&dir.path().join("checkpoint.safetensors"), b"junk").unwrap();
    let (again, warning) = run(2, 1000);
    assert!(warning.contains("cannot go on from the checkpoint"), "{warning}");
    assert_eq!(other.unwrap().weights, again.unwrap().weights);
    let (third, warning) = run(2, 0);
    assert_eq!((third.unwrap().history.len(), warning.as_str()), (2, ""), "a finished training is not done again");
}

#[test]
fn early_stopping_gives_back_the_best_epoch() {
    let images = quadrants(16, 40, 1);
    // Labels of the watched images are wrong, so that learning makes the watched loss rise.
    let honest = quadrants(16, 40, 2);
    let wrong: Vec<u8> = honest.labels().iter().map(|label| (label + 1) % 4).collect();
    let watched = LabelledImages::new(SHAPE, honest.pixels(), wrong).unwrap();
    let architecture = architecture(r#"{"mlp": {"units": [8], "dropout": 0}}"#);
    let run = |restore: bool| {
        let text =
            format!(r#"{{"epochs": 50, "batch_size": 8, "early_stopping": {{"patience": 3, "restore_best": {restore}}}}}"#);
        let settings = settings(&text);
        let request = TrainRequest::new(&architecture, &settings, &images, Seed::new(1));
        train(TrainRequest { validation: Some(&watched), ..request }).unwrap()
    };
    let best = run(true);
    let epoch = best.best_epoch.unwrap();
    assert_eq!((best.ending, best.chosen, best.history.len()), (Ending::EarlyStopping, Chosen::Best, epoch + 3));
    let network = Network::from_weights(&architecture, &best.weights).unwrap();
    let again = evaluate(&network.predict(watched.pixels(), &Silent).unwrap(), watched.labels());
    assert_eq!(Some(again.loss), best.history[epoch - 1].validation_loss);
    let last = run(false);
    assert_eq!((last.chosen, &last.weights), (Chosen::Last, &last.last));
    assert_eq!(last.last, best.last);
}

#[test]
fn the_caller_hears_every_epoch_and_may_stop() {
    let images = quadrants(16, 40, 1);
    let architecture = architecture(r#"{"mlp": {"units": [4]}}"#);
    let settings = settings(r#"{"epochs": 9, "batch_size": 8}"#);
    let dir = tempfile::tempdir().unwrap();
    let run = |left: isize| {
        let mut heard = Vec::new();
        let mut listen = |record: &EpochRecord| {
            heard.push(record.epoch);
            if record.epoch == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let progress = Watcher::new(left);
        let request = TrainRequest::new(&architecture, &settings, &images, Seed::new(1));
        let on_epoch: Option<OnEpoch<'_>> = Some(&mut listen);
        let result = train(TrainRequest { on_epoch, progress: &progress, scratch: Some(dir.path()), ..request });
        (result, heard)
    };
    let (interrupted, heard) = run(5);
    assert!(matches!(interrupted, Err(TrainError::Interrupted(_))));
    assert_eq!(heard, [1, 2]);
    let (stopped, heard) = run(100);
    let stopped = stopped.unwrap();
    assert_eq!((stopped.ending, stopped.history.len(), stopped.steps), (Ending::Caller, 3, 6));
    assert_eq!(heard, [1, 2, 3]);
}

#[test]
fn weights_are_taken_over_where_name_and_shape_fit() {
    let images = quadrants(16, 40, 1);
    let (small, large) = (architecture(r#"{"mlp": {"units": [4, 5]}}"#), architecture(r#"{"mlp": {"units": [4, 7]}}"#));
    let given = Weights::initial(&small, Seed::new(99)).unwrap();
    let tiny = settings(r#"{"epochs": 1, "optimizer": {"sgd": {"learning_rate": 1e-12}}}"#);
    let request = TrainRequest::new(&large, &tiny, &images, Seed::new(1));
    let trained = train(TrainRequest { initial: Some(given.tensors()), ..request }).unwrap();
    let transfer = trained.transfer.unwrap();
    assert_eq!(transfer.taken, ["1.weight", "1.bias", "7.bias"]);
    assert_eq!(transfer.initialised, ["4.weight", "4.bias", "7.weight"]);
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near(&trained.weights.get("1.weight").unwrap().values, &given.get("1.weight").unwrap().values));
    assert!(train(TrainRequest::new(&large, &tiny, &images, Seed::new(1))).unwrap().transfer.is_none());
}

#[test]
fn what_cannot_be_trained_is_said() {
    let images = quadrants(16, 40, 1);
    let network = architecture(r#"{"mlp": {"units": [4]}}"#);
    let error = |settings_text: &str, images: &LabelledImages| {
        let settings = settings(settings_text);
        train(TrainRequest::new(&network, &settings, images, Seed::new(1))).unwrap_err().to_string()
    };
    let wild = r#"{"batch_size": 8, "optimizer": {"sgd": {"learning_rate": 1e30}}}"#;
    insta::assert_snapshot!(error(wild, &images), @"the training diverged: the loss is not a finite number in epoch 1, step 2 (learning rate 1e30); try a lower `learning_rate`, a longer `warm_up`, or `clip: { norm: 1.0 }`");
    insta::assert_snapshot!(error(r#"{"epochs": 1, "batch_size": 16, "optimizer": {"sgd": {"learning_rate": 1e39}}}"#, &images), @"the training diverged: a weight is not a finite number in epoch 1, step 1 (learning rate 1e39); try a lower `learning_rate`, a longer `warm_up`, or `clip: { norm: 1.0 }`");
    insta::assert_snapshot!(error(r#"{"epochs": 1, "warm_up": 1}"#, &images), @"`warm_up` of 1 epochs leaves nothing of the 1 `epochs`; make it shorter");
    insta::assert_snapshot!(error("{}", &images.select(&[])), @"there are no training images");
    let foreign = teaching(vec![teacher(&[0, 1], 0.5)], 1.0, 0.0);
    let defaults = TrainSettings::default();
    let request = TrainRequest::new(&network, &defaults, &images, Seed::new(1));
    let refused = train(TrainRequest { teaching: Some(&foreign), ..request }).unwrap_err().to_string();
    insta::assert_snapshot!(refused, @"the teacher's probabilities are for 2 images of 4 classes, but there are 16 of 4");
    insta::assert_snapshot!(error("{}", &LabelledImages::new(ImageShape::MNIST, vec![0; 784], vec![0]).unwrap()), @"the network takes images of 1×8×8, but the training images are of 1×28×28");
    insta::assert_snapshot!(error("{}", &LabelledImages::new(SHAPE, vec![0; 64], vec![4]).unwrap()), @"a training image has label 4, but the network has 4 classes, counted from 0");
}

#[test]
fn early_stopping_without_validation_is_told() {
    let images = quadrants(8, 40, 1);
    let architecture = architecture(r#"{"mlp": {"units": [4]}}"#);
    let settings = settings(r#"{"epochs": 1, "early_stopping": {}}"#);
    let progress = Watcher::new(1000);
    let trained =
        train(TrainRequest { progress: &progress, ..TrainRequest::new(&architecture, &settings, &images, Seed::new(1)) });
    assert_eq!(trained.unwrap().chosen, Chosen::Last);
    assert_eq!(progress.warnings(), ["there is no validation data, so `early_stopping` has no effect"]);
}

/// A training whose weights shrink in its first epochs, while learning rate × weight decay is below 2, and then grow beyond all bounds.
const LATE_DIVERGENCE: &str = r#"{"epochs": 16, "batch_size": 8, "warm_up": 15.5, "optimizer": {"adamw": {"learning_rate": 0.02,
    "weight_decay": 1000}}, "early_stopping": {"patience": 20, "restore_best": RESTORE, "on_divergence": "WHAT"}}"#;

#[test]
fn a_training_that_diverges_late_keeps_its_best_epoch_and_says_so() {
    let (images, watched) = (quadrants(32, 60, 1), quadrants(32, 60, 2));
    let architecture =
        architecture(r#"{"layers": [{"flatten": {}}, {"dense": {"units": 8}}, {"relu": {}}, {"dense": {"units": 4}}]}"#);
    let run = |restore: bool, what: &str, scratch: Option<&Path>, progress: &dyn Progress| {
        let settings = settings(&LATE_DIVERGENCE.replace("RESTORE", &restore.to_string()).replace("WHAT", what));
        let request = TrainRequest::new(&architecture, &settings, &images, Seed::new(1));
        train(TrainRequest { validation: Some(&watched), scratch, progress, ..request })
    };
    let progress = Watcher::new(isize::MAX);
    let kept = run(true, "keep", None, &progress).unwrap();
    let (best, divergence) = (kept.best_epoch.unwrap(), kept.divergence.unwrap());
    assert_eq!((kept.ending, kept.chosen), (Ending::Diverged, Chosen::Best));
    assert!(best < divergence.epoch && divergence.epoch == kept.history.len() + 1, "{best} {divergence}");
    assert!(kept.weights.tensors().iter().all(|tensor| tensor.values.iter().all(|value| value.is_finite())));
    let network = Network::from_weights(&architecture, &kept.weights).unwrap();
    let again = evaluate(&network.predict(watched.pixels(), &Silent).unwrap(), watched.labels());
    assert_eq!(Some(again.loss), kept.history[best - 1].validation_loss);
    let warning = progress.warnings().join("\n");
    assert!(
        warning.contains("the training diverged: ") && warning.contains(&format!("best epoch, {best}, are kept")),
        "{warning}"
    );

    for (restore, what) in [(true, "fail"), (false, "keep")] {
        assert!(matches!(run(restore, what, None, &Silent), Err(TrainError::Diverged(_))), "{restore} {what}");
    }
    // Interrupted anywhere, it ends the same.
    let dir = tempfile::tempdir().unwrap();
    let trained = loop {
        match run(true, "keep", Some(dir.path()), &Watcher::new(3)) {
            Err(TrainError::Interrupted(_)) => {}
            other => break other.unwrap(),
        }
    };
    assert_eq!((trained.weights, trained.history, trained.divergence), (kept.weights, kept.history, kept.divergence));
}

#[test]
fn a_training_that_diverges_at_once_has_nothing_to_keep() {
    let images = quadrants(16, 60, 1);
    let architecture = architecture(r#"{"mlp": {"units": [8]}}"#);
    let settings =
        settings(r#"{"epochs": 3, "batch_size": 4, "optimizer": {"sgd": {"learning_rate": 1e30}}, "early_stopping": {}}"#);
    let request = TrainRequest::new(&architecture, &settings, &images, Seed::new(1));
    let error = train(TrainRequest { validation: Some(&images), ..request }).unwrap_err();
    assert!(matches!(error, TrainError::Diverged(Divergence { epoch: 1, .. })), "{error}");
}

#[test]
fn an_early_stop_is_told() {
    let images = quadrants(16, 40, 1);
    let wrong: Vec<u8> = images.labels().iter().map(|label| (label + 1) % 4).collect();
    let watched = LabelledImages::new(SHAPE, images.pixels(), wrong).unwrap();
    let architecture = architecture(r#"{"mlp": {"units": [8], "dropout": 0}}"#);
    let told = |restore: bool| {
        let settings = settings(&format!(
            r#"{{"epochs": 50, "batch_size": 8, "early_stopping": {{"patience": 3, "restore_best": {restore}}}}}"#
        ));
        let progress = Watcher::new(isize::MAX);
        let request = TrainRequest::new(&architecture, &settings, &images, Seed::new(1));
        let trained = train(TrainRequest { validation: Some(&watched), progress: &progress, ..request }).unwrap();
        (trained.best_epoch.unwrap(), trained.history.len(), progress.last_note())
    };
    let (best, done, note) = told(true);
    assert_eq!(
        note,
        format!(
            "stopped early, after epoch {done} of 50: nothing better since epoch {best}; the weights of epoch {best} are kept"
        )
    );
    assert!(told(false).2.ends_with(&format!("the weights of epoch {done} are kept")));
}

#[test]
fn a_training_in_the_course_of_another_has_its_learning_rates_and_ends_where_it_was_best() {
    let images = quadrants(32, 40, 1);
    let architecture = architecture(r#"{"mlp": {"units": [6]}}"#);
    let check = |more: &str| {
        let settings = settings(&format!(r#"{{"epochs": 8, "batch_size": 8, "prune": {{"until": 0.5}}, {more}}}"#));
        let watched = quadrants(32, 0, 3);
        let request = TrainRequest::new(&architecture, &settings, &images, Seed::new(1));
        let first = train(TrainRequest { validation: Some(&watched), ..request }).unwrap();
        let run = |scratch: Option<&Path>, progress: &dyn Progress| {
            let course = Some(Course { epochs: Epochs::new(3).unwrap(), history: &first.history });
            let request = TrainRequest::new(&architecture, &settings, &images, Seed::new(1));
            train(TrainRequest { course, scratch, progress, ..request })
        };
        let second = run(None, &Silent).unwrap();
        let rates = |trained: &Trained| trained.history.iter().map(|epoch| epoch.learning_rate).collect::<Vec<_>>();
        assert_eq!(rates(&second), rates(&first)[..3], "{more}");
        // The same images and rates: it is the first training, left early.
        assert_eq!(
            second.history.iter().map(|epoch| epoch.loss).collect::<Vec<_>>(),
            first.history[..3].iter().map(|epoch| epoch.loss).collect::<Vec<_>>()
        );
        let dir = tempfile::tempdir().unwrap();
        let resumed = loop {
            match run(Some(dir.path()), &Watcher::new(3)) {
                Err(TrainError::Interrupted(_)) => {}
                other => break other.unwrap(),
            }
        };
        assert_eq!(resumed.weights, second.weights, "{more}");
    };
    check(r#""warm_up": 5, "schedule": {"cosine": {}}"#);
    check(r#""schedule": {"one_cycle": {}}"#);
    check(r#""schedule": {"reduce_on_plateau": {"patience": 1, "factor": 0.1}}"#);
}

#[test]
fn a_batch_normalisation_of_single_values_is_told() {
    let architecture = architecture(
        r#"{"layers": [{"flatten": {}}, {"dense": {"units": 4}}, {"batch_norm": {}}, {"relu": {}}, {"dense": {"units": 4}}]}"#,
    );
    let warnings = |count: usize, batch_size: usize| {
        let settings = settings(&format!(r#"{{"epochs": 2, "batch_size": {batch_size}}}"#));
        let (images, progress) = (quadrants(count, 40, 1), Watcher::new(isize::MAX));
        train(TrainRequest { progress: &progress, ..TrainRequest::new(&architecture, &settings, &images, Seed::new(1)) })
            .unwrap();
        progress.warnings()
    };
    assert_eq!(warnings(16, 8), [""; 0]);
    for (count, batch_size) in [(17, 8), (5, 1)] {
        let warnings = warnings(count, batch_size);
        assert!(warnings.len() == 1 && warnings[0].contains("batch normalisation of layer 2"), "{warnings:?}");
    }
}
