//! Training: the loop, optimisers, schedules, early stopping, weight averaging, checkpoints and history. It knows nothing of
//! the graph of stages beyond the references in its options, and nothing of where images come from.

mod average;
mod batches;
mod checkpoint;
mod history;
mod loss;
mod optimizer;
mod options;
mod overlay;
mod precision;
mod pruning;
mod request;
mod run;
mod schedule;
mod teaching;

pub use batches::Augment;
pub use history::{EpochRecord, EpochTiming, history_csv};
pub use loss::{Evaluation, evaluate};
pub use optimizer::{AdamOptions, AdamwOptions, Clip, MuonOptions, OptimizerOptions, SgdOptions};
pub use options::{
    AverageOptions, DistillOptions, EarlyStopping, EmaOptions, Monitor, OnDivergence, TrainOptions, TrainSettings,
};
pub use overlay::OverlayError;
pub use precision::Precision;
pub use pruning::PruneOptions;
pub use request::{Chosen, Course, Divergence, Ending, OnEpoch, TrainError, TrainRequest, Trained, Transfer};
pub use run::train;
pub use schedule::{
    CosineOptions, ExponentialOptions, OneCycleOptions, OneCycleShape, PlateauOptions, ScheduleOptions, StepOptions,
};
pub use teaching::{Teaching, variant_of};
