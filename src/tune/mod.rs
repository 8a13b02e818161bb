//! Tuning: the search for good parameters by trial. It knows nothing of the graph of stages beyond the references in its
//! options, and nothing of training: what a trial does is a closure of the caller.
//!
//! | file | about |
//! |---|---|
//! | `options` | [`TuneOptions`]: what the user may write |
//! | `space` | [`SearchSpace`]: which parameters, and their ranges |
//! | `combination` | which parameters belong together, and which sets of them are untried |
//! | `sampler`, `parzen` | [`Sampler`]: what to try next, at random or by TPE |
//! | `pruner` | [`Pruner`]: which trials are hopeless |
//! | `journal` | every epoch and trial on disk, so that an interrupted study goes on |
//! | `trial` | [`TrialRecord`]: what a trial tried, reported and ended as |
//! | `study` | [`Study`]: the loop that joins them |
//! | `importance` | [`importance()`]: which parameters mattered |
//!
//! Trials run one after the other, since each uses all cores. What trial n tries depends on the seed, n and the results of
//! the trials before it, and on nothing else: a resumed study ends like an uninterrupted one.
//!
//! The estimator is small and written here, because the crates that offer it do not serve: `optimizer` 1.0 draws by a
//! counter of calls, so that a resumed study takes another course, and moves draws beyond a range onto its ends, which then
//! are tried far too often; `tpe` 0.3 is sound, but knows neither whole numbers nor logarithmic ranges and switches on
//! the generators of `rand` that the operating system seeds, which nothing here may use.

mod combination;
mod importance;
mod journal;
mod options;
mod parzen;
mod pruner;
mod sampler;
mod space;
mod study;
mod trial;

pub use importance::{Importance, importance};
pub use options::{Objective, Sample, TuneOptions};
pub use pruner::{MedianOptions, Pruner, Verdict};
pub use sampler::{Sampler, TpeOptions};
pub use space::{Choices, FloatRange, IntRange, LogRange, Range, SearchSpace};
pub use study::{OutOfStep, Study, StudySettings};
pub use trial::{Outcome, Report, Status, Trial, TrialRecord, Tuned};

/// A value for each parameter path, such as `optimizer.adamw.learning_rate`.
pub type Parameters = std::collections::BTreeMap<String, serde_json::Value>;
