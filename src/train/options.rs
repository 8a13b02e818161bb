//! The options of training: as a stage in `pipeline.yaml` ([`TrainOptions`]) and alone ([`TrainSettings`]). Both are made from
//! one list of fields, so that neither can drift from the other.

use serde::{Deserialize, Serialize};

use super::{AdamOptions, AdamwOptions, Clip, OptimizerOptions, Precision, PruneOptions, ScheduleOptions};
use crate::fault::{self, Fault};
use crate::graph::{DataRef, ModelRef, ParametersRef};
use crate::nn::{ModelOptions, Views};
use crate::units::{BatchSize, Count, Epochs, NonNegative, Positive, Probability, Seeds};

macro_rules! options {
    ($($(#[$meta:meta])* $field:ident: $type:ty,)*) => {
        /// How a network is trained, whatever its architecture and data.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct TrainSettings {
            $($(#[$meta])* pub $field: $type,)*
        }

        impl TrainSettings {
            /// The names of all settings.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            /// The same with the precision that this machine computes in.
            pub fn here(self) -> Self {
                Self { precision: self.precision.here(), ..self }
            }
        }

        impl Default for TrainSettings {
            fn default() -> Self {
                Self { $($field: defaults::$field(),)* }
            }
        }

        /// Options of the stage kind `train`, which makes a model.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct TrainOptions {
            /// The data to train on: its training part, with its validation part to watch.
            pub data: DataRef,
            /// The model: a preset with options, or layers one by one.
            pub model: ModelOptions,
            /// Views of an image over which the model averages; one, the image as it is, unless given.
            #[serde(default, skip_serializing_if = "Views::is_single")]
            pub views: Views,
            /// A search whose best parameters replace the options given here.
            #[serde(default)]
            pub params: Option<ParametersRef>,
            /// Whether to train a second time from the start, on the training and the validation part together, for as many
            /// epochs as the first training found best (all of them without `early_stopping`). Each epoch has the learning rates that it had
            /// in the first training: the schedule is kept and left early, not squeezed into fewer epochs. The figures on the
            /// validation part stay those of the first training, which had not seen it.
            #[serde(default)]
            pub refit: bool,
            /// A trained model whose weights this one starts from: those whose name and shape fit are taken, the rest is
            /// initialised (transfer learning).
            #[serde(default)]
            pub start_from: Option<ModelRef>,
            /// How many models are trained so, each with a seed of its own, 1 unless given: the stage `optimum` with 3 seeds stands for `optimum`,
            /// `optimum-2` and `optimum-3`, and where a list of models names `optimum`, all of them are meant; `optimum-1` is the first alone.
            #[serde(default = "defaults::seeds", skip_serializing)]
            pub seeds: Seeds,
            $($(#[$meta])* pub $field: $type,)*
        }

        /// Options of the stage kind `distill`, which makes a model that has learned from another.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct DistillOptions {
            /// The data to train on: its training part, with its validation part to watch.
            pub data: DataRef,
            /// The model: a preset with options, or layers one by one.
            pub model: ModelOptions,
            /// Views of an image over which the model averages; one, the image as it is, unless given.
            #[serde(default, skip_serializing_if = "Views::is_single")]
            pub views: Views,
            /// The model to learn from, a single one or an ensemble. It must not have been trained on images that the student is judged by.
            pub teacher: ModelRef,
            /// By what the logits of both are divided in the loss, so that the probabilities of wrong classes count for more; the
            /// loss is multiplied by its square, which keeps the size of gradients (Hinton and others, 2015).
            #[serde(default = "defaults::temperature")]
            pub temperature: Positive,
            /// The share of the loss that stays with the true labels.
            #[serde(default = "defaults::labels")]
            pub labels: Probability,
            /// In how many variants the teacher judges each training image, before the training. Epoch e learns from
            /// variant e mod `variants`, and of just this variant the teacher's probabilities: both see the same image
            /// (Beyer and others, 2022). As many as `epochs` unless given, and 1 where images are not varied from epoch to epoch.
            #[serde(default)]
            pub variants: Option<Count>,
            /// A trained model whose weights this one starts from, as for `train`: often a member of the teacher.
            #[serde(default)]
            pub start_from: Option<ModelRef>,
            /// How many models are trained so, each with a seed of its own, as for `train`; 1 unless given.
            #[serde(default = "defaults::seeds", skip_serializing)]
            pub seeds: Seeds,
            $($(#[$meta])* pub $field: $type,)*
        }

        impl DistillOptions {
            /// The same with the precision that this machine computes in.
            pub fn here(self) -> Self {
                Self { precision: self.precision.here(), ..self }
            }

            /// How the network is trained, whatever its architecture, data and teacher.
            pub fn settings(&self) -> TrainSettings {
                TrainSettings { $($field: self.$field.clone(),)* }
            }
        }

        impl TrainOptions {
            /// The same with the precision that this machine computes in.
            pub fn here(self) -> Self {
                Self { precision: self.precision.here(), ..self }
            }

            /// Options that train `model` on `data` in the manner of `settings`.
            pub fn new(data: DataRef, model: ModelOptions, settings: TrainSettings) -> Self {
                Self {
                    data,
                    model,
                    views: Views::default(),
                    params: None,
                    refit: false,
                    start_from: None,
                    seeds: Seeds::ONE,
                    $($field: settings.$field,)*
                }
            }

            /// How the network is trained, whatever its architecture and data.
            pub fn settings(&self) -> TrainSettings {
                TrainSettings { $($field: self.$field.clone(),)* }
            }
        }
    };
}

options! {
    /// Passes over the training data.
    #[serde(default = "defaults::epochs")]
    epochs: Epochs,
    /// Images in each step.
    #[serde(default = "defaults::batch_size")]
    batch_size: BatchSize,
    /// How gradients become new weights.
    #[serde(default = "defaults::optimizer")]
    optimizer: OptimizerOptions,
    /// How the learning rate changes.
    #[serde(default = "defaults::schedule")]
    schedule: ScheduleOptions,
    /// Epochs, or a part of one, in which the learning rate first rises from nothing to its peak; the schedule follows after.
    #[serde(default = "defaults::warm_up")]
    warm_up: NonNegative,
    /// Probability that the loss takes from the true class and spreads over all classes (Szegedy and others, 2016).
    #[serde(default = "defaults::label_smoothing")]
    label_smoothing: Probability,
    /// A limit on gradients.
    #[serde(default = "defaults::clip")]
    clip: Option<Clip>,
    /// An average of the weights over the steps, which becomes the model.
    #[serde(default = "defaults::average")]
    average: Option<AverageOptions>,
    /// Leaves images that are already learned out of an epoch at random, and lets the others count for more (Qin and others, 2024).
    #[serde(default = "defaults::prune")]
    prune: Option<PruneOptions>,
    /// When to stop before all epochs are done; needs validation data.
    #[serde(default = "defaults::early_stopping")]
    early_stopping: Option<EarlyStopping>,
    /// What maps of features and their gradients are computed in. Weights, their gradients and all sums are fp32 in any case. The result is
    /// kept as one of what it was computed in: on another kind of machine, `auto` may be another.
    #[serde(default = "defaults::precision")]
    precision: Precision,
    /// Epochs between two checkpoints. It decides what an interruption costs, never the result.
    #[serde(default = "defaults::checkpoint_every")]
    checkpoint_every: Epochs,
}

mod defaults {
    use super::*;

    pub fn epochs() -> Epochs {
        Epochs::new(10).expect("10 is a number of epochs")
    }
    pub fn batch_size() -> BatchSize {
        BatchSize::new(128).expect("128 is a batch size")
    }
    pub fn optimizer() -> OptimizerOptions {
        OptimizerOptions::Adamw(Default::default())
    }
    pub fn schedule() -> ScheduleOptions {
        ScheduleOptions::default()
    }
    pub fn warm_up() -> NonNegative {
        NonNegative::new(0.0).expect("0 is in range")
    }
    pub fn label_smoothing() -> Probability {
        Probability::new(0.0).expect("0 is in range")
    }
    pub fn clip() -> Option<Clip> {
        None
    }
    pub fn average() -> Option<AverageOptions> {
        None
    }
    pub fn prune() -> Option<PruneOptions> {
        None
    }
    pub fn early_stopping() -> Option<EarlyStopping> {
        None
    }
    pub fn seeds() -> Seeds {
        Seeds::ONE
    }
    pub fn temperature() -> Positive {
        Positive::new(1.0).expect("1 is above 0")
    }
    pub fn labels() -> Probability {
        Probability::new(0.0).expect("0 is in range")
    }
    pub fn precision() -> Precision {
        Precision::Fp32
    }
    pub fn checkpoint_every() -> Epochs {
        Epochs::new(1).expect("1 is a number of epochs")
    }
}

impl TrainSettings {
    /// The settings that the result of a training depends on, as JSON: all but `checkpoint_every`.
    pub fn parameters(&self) -> serde_json::Value {
        let mut settings = serde_json::to_value(self).expect("settings have a JSON form");
        settings.as_object_mut().expect("a struct is an object").shift_remove("checkpoint_every");
        settings
    }

    /// Checks what no single option can: that they make sense together.
    ///
    /// # Errors
    /// Says which options contradict each other and what to do.
    pub fn check(&self) -> Result<(), String> {
        fault::none(self.faults()).map_err(|fault| fault.to_string())
    }

    /// What contradicts each other in the settings.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let (warm_up, epochs) = (self.warm_up.get(), self.epochs.get());
        if warm_up > 0.0 && matches!(self.schedule, ScheduleOptions::OneCycle(_)) {
            let help = "leave out `warm_up`, or set `schedule.one_cycle.warm_up`";
            faults.push(Fault::new(&["warm_up"], "`one_cycle` rises to its peak by itself", help));
        } else if warm_up >= epochs as f64 {
            let message = format!("`warm_up` of {warm_up} epochs leaves nothing of the {epochs} `epochs`");
            faults.push(Fault::new(&["warm_up"], message, "make it shorter"));
        }
        if let OptimizerOptions::Sgd(sgd) = &self.optimizer
            && sgd.nesterov
            && sgd.momentum.get() == 0.0
        {
            let help = "set `nesterov: false` for plain gradient descent";
            faults.push(Fault::new(&["optimizer", "sgd", "momentum"], "`nesterov` needs a `momentum` above 0", help));
        }
        let mut below_one = |path: &[&str], value: Probability| {
            if value.get() >= 1.0 {
                let name = path.last().expect("a path has a part");
                faults.push(Fault::new(path, format!("`{name}` must be below 1, or nothing is ever learned"), ""));
            }
        };
        match &self.optimizer {
            OptimizerOptions::Adamw(AdamwOptions { beta_1, beta_2, .. }) => {
                below_one(&["optimizer", "adamw", "beta_1"], *beta_1);
                below_one(&["optimizer", "adamw", "beta_2"], *beta_2);
            }
            OptimizerOptions::Adam(AdamOptions { beta_1, beta_2, .. }) => {
                below_one(&["optimizer", "adam", "beta_1"], *beta_1);
                below_one(&["optimizer", "adam", "beta_2"], *beta_2);
            }
            OptimizerOptions::Sgd(sgd) => below_one(&["optimizer", "sgd", "momentum"], sgd.momentum),
            OptimizerOptions::Muon(muon) => below_one(&["optimizer", "muon", "momentum"], muon.momentum),
        }
        below_one(&["label_smoothing"], self.label_smoothing);
        let peak = self.optimizer.learning_rate();
        if let ScheduleOptions::Cosine(cosine) = &self.schedule
            && cosine.final_rate.get() > peak
        {
            let rate = cosine.final_rate;
            let message = format!("`final_rate` of {rate} is above the `learning_rate` of {peak} from which it falls");
            faults.push(Fault::new(&["schedule", "cosine", "final_rate"], message, ""));
        }
        faults
    }
}

/// An average of the weights over the steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AverageOptions {
    /// Exponential moving average of weights and running statistics (Polyak and Juditsky, 1992, in its usual form).
    Ema(EmaOptions),
}

/// Options of the exponential moving average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmaOptions {
    /// Share of the average that stays in each step. In early steps it is (1 + step) / (10 + step) if that is less, so
    /// that the first weights are soon forgotten.
    pub decay: Probability,
}

impl Default for EmaOptions {
    fn default() -> Self {
        Self { decay: Probability::new(0.999).expect("0.999 is in range") }
    }
}

/// When to stop before all epochs are done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// What is watched, on validation data.
    pub monitor: Monitor,
    /// Epochs without improvement that are borne.
    pub patience: Count,
    /// By how much the monitor must improve to count.
    pub min_delta: NonNegative,
    /// Whether the weights of the best epoch become the model; else those of the last.
    pub restore_best: bool,
    /// What becomes of a training that diverges after an epoch that `restore_best` would give back; `keep` unless given.
    #[serde(skip_serializing_if = "OnDivergence::is_keep")]
    pub on_divergence: OnDivergence,
}

/// What becomes of a training whose loss or weights leave the finite numbers after an epoch that could be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDivergence {
    /// It ends there with a warning, and the best epoch is kept.
    #[default]
    Keep,
    /// It fails.
    Fail,
}

impl OnDivergence {
    fn is_keep(&self) -> bool {
        *self == Self::Keep
    }
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self {
            monitor: Monitor::Loss,
            patience: Count::new(5).expect("5 is a count"),
            min_delta: NonNegative::new(0.0).expect("0 is in range"),
            restore_best: true,
            on_divergence: OnDivergence::default(),
        }
    }
}

/// A figure on validation data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// Cross entropy; less is better.
    #[default]
    Loss,
    /// Share of right labels; more is better.
    Accuracy,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> TrainOptions {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_stage_and_bare_settings_have_the_same_defaults_and_fields() {
        let defaults: TrainSettings = serde_json::from_str("{}").unwrap();
        assert_eq!(defaults, TrainSettings::default());
        let stage = options(r#"{"data": "parts", "model": {"mlp": {}}}"#);
        assert_eq!(stage.settings(), defaults);
        assert!(stage.views.is_single() && !serde_json::to_string(&stage).unwrap().contains("views"));
        assert_eq!(TrainOptions::new(stage.data.clone(), stage.model.clone(), defaults), stage);
    }

    #[test]
    fn the_result_depends_on_every_setting_but_checkpoints() {
        let parameters = |text: &str| serde_json::from_str::<TrainSettings>(text).unwrap().parameters();
        assert_eq!(parameters("{}"), parameters(r#"{"checkpoint_every": 3}"#));
        assert_ne!(parameters("{}"), parameters(r#"{"warm_up": 0.5}"#));
        assert_eq!(parameters("{}").as_object().unwrap().len() + 1, TrainSettings::NAMES.len());
    }

    #[test]
    fn options_survive_json() {
        let text = r#"{"data": "parts", "model": {"layers": [{"flatten": {}}, {"dense": {"units": 10}}]}, "params": "tuned", "refit": true,
            "views": {"flip": true, "shift": 1},
            "epochs": 3, "batch_size": 64, "optimizer": {"sgd": {"learning_rate": 0.1}}, "schedule": {"one_cycle": {"shape": "cosine"}},
            "label_smoothing": 0.1, "clip": {"norm": 1.0}, "average": {"ema": {"decay": 0.99}}, "prune": {"ratio": 0.25},
            "early_stopping": {"monitor": "accuracy"}, "precision": "bf16"}"#;
        let parsed = options(text);
        assert_eq!(parsed.clip, Some(Clip::Norm(crate::units::Positive::new(1.0).unwrap())));
        assert_eq!(options(&serde_json::to_string(&parsed).unwrap()), parsed);
    }

    #[test]
    fn contradictions_are_named() {
        let check = |text: &str| serde_json::from_str::<TrainSettings>(text).unwrap().check();
        assert_eq!(check("{}"), Ok(()));
        assert_eq!(check(r#"{"warm_up": 0.5, "schedule": {"cosine": {}}}"#), Ok(()));
        insta::assert_snapshot!(check(r#"{"warm_up": 1, "schedule": {"one_cycle": {}}}"#).unwrap_err(), @"`one_cycle` rises to its peak by itself; leave out `warm_up`, or set `schedule.one_cycle.warm_up`");
        insta::assert_snapshot!(check(r#"{"warm_up": 3, "epochs": 3}"#).unwrap_err(), @"`warm_up` of 3 epochs leaves nothing of the 3 `epochs`; make it shorter");
        insta::assert_snapshot!(check(r#"{"optimizer": {"adam": {"beta_2": 1}}}"#).unwrap_err(), @"`beta_2` must be below 1, or nothing is ever learned");
        insta::assert_snapshot!(check(r#"{"label_smoothing": 1}"#).unwrap_err(), @"`label_smoothing` must be below 1, or nothing is ever learned");
        insta::assert_snapshot!(check(r#"{"schedule": {"cosine": {"final_rate": 0.1}}}"#).unwrap_err(), @"`final_rate` of 0.1 is above the `learning_rate` of 0.001 from which it falls");
        insta::assert_snapshot!(check(r#"{"optimizer": {"sgd": {"momentum": 0}}}"#).unwrap_err(), @"`nesterov` needs a `momentum` above 0; set `nesterov: false` for plain gradient descent");
    }
}
