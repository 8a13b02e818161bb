//! The registry of stage kinds. A new kind is a variant here and a file in this folder; the compiler lists the rest.

use serde::{Deserialize, Serialize};

use super::compare::CompareOptions;
use super::ensemble::EnsembleOptions;
use super::export::ExportOptions;
use super::report::ReportOptions;
use super::verify::VerifyOptions;
use crate::data::augment::AugmentOptions;
use crate::data::fetch::FetchOptions;
use crate::data::merge::MergeOptions;
use crate::data::split::SplitOptions;
use crate::graph::Product;
use crate::score::ScoreOptions;
use crate::train::{DistillOptions, TrainOptions};
use crate::tune::TuneOptions;

/// A stage as written in `pipeline.yaml`: the key is the kind, the value its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// Finds, downloads or draws raw files.
    Fetch(FetchOptions),
    /// Reads raw files, however many, into one set of labelled images.
    Merge(MergeOptions),
    /// Divides the training images into training and validation part.
    Split(SplitOptions),
    /// Says how training images are varied.
    Augment(AugmentOptions),
    /// Searches for good parameters of a training.
    Tune(TuneOptions),
    /// Trains a model.
    Train(TrainOptions),
    /// Trains a model on what another says of the images: often one that is much smaller than its teacher.
    Distill(DistillOptions),
    /// Ranks models by accuracy and robustness and selects one.
    Compare(CompareOptions),
    /// Lets models vote.
    Ensemble(EnsembleOptions),
    /// Writes models as ONNX files.
    Export(ExportOptions),
    /// Checks that the ONNX files do what the models do, and that they are good enough.
    Verify(VerifyOptions),
    /// Scores CSV files in batch.
    Score(ScoreOptions),
    /// Puts everything on one page.
    Report(ReportOptions),
}

impl crate::spec::Kind for StageKind {
    fn name(&self) -> &'static str {
        match self {
            Self::Fetch(_) => "fetch",
            Self::Merge(_) => "merge",
            Self::Split(_) => "split",
            Self::Augment(_) => "augment",
            Self::Tune(_) => "tune",
            Self::Train(_) => "train",
            Self::Distill(_) => "distill",
            Self::Compare(_) => "compare",
            Self::Ensemble(_) => "ensemble",
            Self::Export(_) => "export",
            Self::Verify(_) => "verify",
            Self::Score(_) => "score",
            Self::Report(_) => "report",
        }
    }

    fn product(&self) -> Product {
        match self {
            Self::Fetch(_) => Product::Files,
            Self::Merge(_) | Self::Split(_) | Self::Augment(_) => Product::Data,
            Self::Tune(_) => Product::Parameters,
            Self::Train(_) | Self::Distill(_) | Self::Ensemble(_) => Product::Model,
            Self::Compare(_) => Product::Comparison,
            Self::Export(_) => Product::Export,
            Self::Verify(_) => Product::Verification,
            Self::Score(_) => Product::Scores,
            Self::Report(_) => Product::Report,
        }
    }
}
