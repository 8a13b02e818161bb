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
mod pruning;
mod run;
mod schedule;
mod teaching;

pub use batches::Augment;
pub use history::{EpochRecord, EpochTiming, history_csv};
pub use loss::{Evaluation, evaluate};
pub use optimizer::{AdamOptions, AdamwOptions, Clip, MuonOptions, OptimizerOptions, SgdOptions};
pub use options::{AverageOptions, DistillOptions, EarlyStopping, EmaOptions, Monitor, Precision, TrainOptions, TrainSettings};
pub use overlay::OverlayError;
pub use pruning::PruneOptions;
pub use run::{Chosen, Ending, OnEpoch, TrainError, TrainRequest, Trained, Transfer, train};
pub use schedule::{
    CosineOptions, ExponentialOptions, OneCycleOptions, OneCycleShape, PlateauOptions, ScheduleOptions, StepOptions,
};
pub use teaching::{Teaching, variant_of};
