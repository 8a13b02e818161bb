//! `verify`: proves that the exported ONNX files do what the trained models do, and that they are good enough.
//!
//! Every file is checked for structure, loaded in tract, and run on the whole test part against Burn's own probabilities, by tract, or,
//! where tract is to run the first images only, by our kernels; an ensemble's graph also against the weighted mean of its members'
//! files. tract runs it in batches of several sizes. What scores files later, our kernels, is held against tract on the images that tract
//! ran, in fp32, and against fp32 in the lower precisions that are asked for. Then the gates are
//! applied to the figures of the *files*, not of the models they came from.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::foreign::{self, Foreign};
use super::model::{Model, Part};
use super::session::predict_all;
use crate::data::{DataSet, LabelledImages};
use crate::digest::Digest;
use crate::engine::{Context, Stage, StageError};
use crate::fs;
use crate::graph::{DataRef, ExportRef, StageId};
use crate::infer::{Agreement, Batch, Engine, Loaded, Model as Session, Precision, compare};
use crate::metrics::{Evaluation, Probabilities, evaluate};
use crate::progress::Progress;
use crate::units::{BatchSize, Count, NonNegative, Positive, Probability};

/// Options of the stage kind `verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyOptions {
    /// The exported files.
    pub export: ExportRef,
    /// The data they are verified on: its test part.
    pub data: DataRef,
    /// The largest difference of a probability that passes.
    #[serde(default = "tolerance")]
    pub tolerance: Positive,
    /// The smallest share of images with the same label that passes. Below 1 only because rounding may turn a tie.
    #[serde(default = "agreement")]
    pub agreement: Probability,
    /// Batches of these sizes must give what the whole gives.
    #[serde(default = "batch_sizes")]
    pub batch_sizes: Vec<BatchSize>,
    /// How many of the test images tract runs, the first ones; all of them unless given. tract is the reference, and slow. Burn and our
    /// kernels run all images in any case, and where the kernels do not cover a graph, tract does.
    #[serde(default)]
    pub tract_images: Option<Count>,
    /// What scoring in bf16 must keep of fp32; without it, bf16 is not verified.
    #[serde(default)]
    pub bf16: Option<LowerPrecision>,
    /// What scoring in int8 must keep of fp32; without it, int8 is not verified. The export must have measured ranges: `int8` there.
    #[serde(default)]
    pub int8: Option<LowerPrecision>,
    /// What a model must reach.
    #[serde(default)]
    pub gate: Option<Gate>,
}

/// What a lower precision must keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LowerPrecision {
    /// The smallest share of images with the label of fp32.
    pub agreement: Probability,
    /// The largest loss of accuracy.
    pub accuracy_loss: Probability,
}

impl VerifyOptions {
    /// The precisions that are measured beside fp32.
    pub(super) fn measured(&self) -> Vec<Precision> {
        let asked = [(Precision::Bf16, &self.bf16), (Precision::Int8, &self.int8)];
        asked.into_iter().filter(|(_, limits)| limits.is_some()).map(|(precision, _)| precision).collect()
    }
}

impl Default for LowerPrecision {
    fn default() -> Self {
        let probability = |value| Probability::new(value).expect("it is a probability");
        Self { agreement: probability(0.998), accuracy_loss: probability(0.001) }
    }
}

fn tolerance() -> Positive {
    Positive::new(1e-4).expect("1e-4 is in range")
}

fn agreement() -> Probability {
    Probability::new(0.9995).expect("0.9995 is in range")
}

fn batch_sizes() -> Vec<BatchSize> {
    [1, 2, 7, 64].map(|size| BatchSize::new(size).expect("these are batch sizes")).to_vec()
}

/// What a model must reach on the test part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// The model that must; every exported one unless given.
    pub model: Option<StageId>,
    /// The least accuracy.
    pub accuracy: Option<Probability>,
    /// The least macro-averaged F1 score: the mean over the classes that have test images or are predicted, as scikit-learn
    /// takes it.
    pub macro_f1: Option<Probability>,
    /// The least recall of any class that has test images.
    pub recall: Option<Probability>,
    /// The greatest log-loss.
    pub loss: Option<NonNegative>,
    /// The greatest expected calibration error.
    pub calibration_error: Option<Probability>,
}

/// The result, as `verification.json` holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Verification {
    /// The largest difference that passes.
    pub tolerance: f64,
    /// One entry for each file.
    pub models: Vec<Verified>,
    /// One entry for each gate and model.
    pub gates: Vec<GateResult>,
}

/// One file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Verified {
    /// The model.
    pub model: StageId,
    /// The file as published.
    pub file: String,
    /// Its digest.
    pub digest: Digest,
    /// Against the trained model in Burn.
    pub against_burn: Agreement,
    /// An ensemble's graph against the weighted mean of its members' files.
    pub against_members: Option<Agreement>,
    /// The largest difference between a batch of that size and the whole.
    pub batches: Vec<(BatchSize, f32)>,
    /// Accuracy of the file on the test part.
    pub accuracy: f64,
    /// Our kernels against tract, both on the file; `None` where they do not cover its graph and tract scores it.
    pub kernels: Option<Agreement>,
    /// Our kernels in bf16 against fp32, where that was asked for.
    pub bf16: Option<Lower>,
    /// Our kernels in int8, likewise.
    pub int8: Option<Lower>,
    /// What is wrong; empty if it passed.
    pub problems: Vec<String>,
}

/// A file in a lower precision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lower {
    /// Against fp32.
    pub against_fp32: Agreement,
    /// Accuracy on the test part.
    pub accuracy: f64,
}

/// One gate on one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GateResult {
    /// The model.
    pub model: StageId,
    /// The metric.
    pub metric: String,
    /// What was asked: `≥ 0.94`.
    pub required: String,
    /// What the file reached.
    pub measured: f64,
    /// Whether that is enough.
    pub passed: bool,
}

/// The precisions that a published verification has measured of the file with this digest, all of which passed.
///
/// # Errors
/// When the file cannot be read, is no verification, or says nothing of that model.
pub fn measured(verification: &Path, model: Digest) -> Result<Vec<Precision>> {
    let name = verification.display();
    let found: Verification = fs::read_json(verification).with_context(|| {
        format!("`{name}` is no verification of this version; it is what a `verify` stage leaves in the folder of artifacts")
    })?;
    let verified = found.models.iter().find(|verified| verified.digest == model);
    let verified = verified.with_context(|| format!("`{name}` says nothing of this model; verify the file as it is now"))?;
    ensure!(verified.problems.is_empty(), "`{name}` says of this model: {}", verified.problems.join("; "));
    let lower = [(Precision::Bf16, &verified.bf16), (Precision::Int8, &verified.int8)];
    Ok(lower.into_iter().filter(|(_, lower)| lower.is_some()).map(|(precision, _)| precision).collect())
}

pub(super) struct VerifyStage {
    pub options: VerifyOptions,
    /// The models in the export.
    pub models: Vec<StageId>,
    /// Images that the models have used, which those of the test part must not be.
    pub foreign: Vec<Foreign>,
}

impl Stage for VerifyStage {
    fn kind(&self) -> &'static str {
        "verify"
    }

    fn version(&self) -> u32 {
        5
    }

    fn parameters(&self) -> serde_json::Value {
        super::parameters(&self.options)
    }

    fn inputs(&self) -> Vec<StageId> {
        let named = [self.options.export.stage(), self.options.data.stage()];
        super::unique(named.into_iter().chain(foreign::inputs(&self.foreign)))
    }

    fn run(&self, context: &Context<'_>) -> Result<(), StageError> {
        foreign::check(&self.foreign, context)?;
        let data = DataSet::load(context.input(self.options.data.stage())?)?;
        let test = data.test.as_ref().context("the data has no test part to verify on")?;
        let export = context.input(self.options.export.stage())?;
        let mut verification = Verification { tolerance: self.options.tolerance.get(), models: Vec::new(), gates: Vec::new() };
        context.progress.begin("verification", self.models.len() as u64, "models");

        let mut outputs: Vec<(StageId, Probabilities)> = Vec::new();
        for name in &self.models {
            context.progress.check()?;
            let model = Model::load(&export.join(name.as_str()))?;
            let file = export.join(name.as_str()).join("model.onnx");
            let (verified, probabilities, figures) = self.verify(&model, &file, test, &outputs, context.progress)?;
            context.progress.advance(outputs.len() as u64 + 1, &format!("{name}: accuracy {:.4}", figures.accuracy));
            context.progress.note(&summary(&verified));
            if outputs.is_empty() && !figures.absent_classes.is_empty() {
                let absent = crate::quote::list(&figures.absent_classes);
                context.progress.warn(&format!("the test part has no images of {absent}: no gate and no mean can speak of them"));
            }
            if let Some(gate) = self.options.gate.as_ref().filter(|gate| gate.model.as_ref().is_none_or(|only| only == name)) {
                verification.gates.extend(gate.apply(name, &figures));
            }
            verification.models.push(verified);
            outputs.push((name.clone(), probabilities));
        }
        fs::write_json(&context.out.join("verification.json"), &verification)?;
        let faults = verification.faults();
        if faults.is_empty() { Ok(()) } else { Err(StageError::Gate(faults.join("\n"))) }
    }

    fn publish(&self, id: &StageId, _out: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        Ok(vec![("verification.json".into(), format!("{id}.json").into())])
    }
}

impl VerifyStage {
    /// One file against its model, and against the files that were verified before it.
    fn verify(
        &self,
        model: &Model,
        file: &Path,
        test: &LabelledImages,
        before: &[(StageId, Probabilities)],
        progress: &dyn Progress,
    ) -> Result<(Verified, Probabilities, Evaluation), StageError> {
        let name = &model.record.name;
        let loaded = Loaded::open(file).map_err(|error| StageError::Corrupt(format!("{error:#}")))?;
        let single = loaded.ready(None, Precision::Fp32)?;
        let kernels = match single.engine() {
            Engine::Kernels => Some(predict_all(&single, test.pixels(), progress)?),
            Engine::Tract => None,
        };
        let tract = loaded.optimise(loaded.fastest_batch())?;
        let limit = self.options.tract_images.map(Count::get).filter(|&limit| limit < test.len());
        let (reference, probabilities) = match (limit, &kernels) {
            (Some(limit), Some(kernels)) => {
                let first = &test.pixels()[..limit * test.shape().pixels()];
                (predict_all(&tract, first, progress)?, kernels.clone())
            }
            _ => {
                let all = predict_all(&tract, test.pixels(), progress)?;
                (all.clone(), all)
            }
        };
        let burn = model.predict(Part::Test, test, &super::Quiet(progress))?;
        let against_burn = compare(&burn, &probabilities)?;

        let members: Vec<ArrayView2<'_, f32>> = model
            .members
            .iter()
            .filter_map(|member| Some(before.iter().find(|(other, _)| *other == member.name)?.1.view()))
            .collect();
        let voted = match model.is_ensemble() && members.len() == model.members.len() {
            true => Some(model.vote(&members)?),
            false => None,
        };
        let against_members = voted.as_ref().map(|voted| compare(voted, &probabilities)).transpose()?;
        let free = loaded.optimise(Batch::Free)?;
        let batches = self
            .options
            .batch_sizes
            .iter()
            .map(|&size| Ok((size, batch_difference(&free, size, test, &probabilities)?)))
            .collect::<Result<Vec<_>>>()?;
        let classes = &model.record.data.classes;
        let figures = evaluate(test.labels(), probabilities.view(), classes).map_err(anyhow::Error::from)?;
        // The kernels' results for the images that tract ran.
        let kernels = kernels.map(|kernels| kernels.slice_move(ndarray::s![..reference.nrows(), ..]));
        let lower = |limits: &Option<LowerPrecision>, precision: Precision| -> Result<Option<Lower>, StageError> {
            if limits.is_none() {
                return Ok(None);
            }
            let found = predict_all(&loaded.ready(None, precision)?, test.pixels(), progress)?;
            let accuracy = evaluate(test.labels(), found.view(), classes).map_err(anyhow::Error::from)?.accuracy;
            Ok(Some(Lower { against_fp32: compare(&probabilities, &found)?, accuracy }))
        };
        let bf16 = lower(&self.options.bf16, Precision::Bf16)?;
        let int8 = lower(&self.options.int8, Precision::Int8)?;
        let mut verified = Verified {
            model: name.clone(),
            file: format!("{name}/model.onnx"),
            digest: single.digest(),
            against_burn,
            against_members,
            batches,
            accuracy: figures.accuracy,
            kernels: kernels.as_ref().map(|found| compare(&reference, found)).transpose()?,
            bf16,
            int8,
            problems: Vec::new(),
        };
        let expected = [
            Some(("the trained model", &burn, &probabilities, &verified.against_burn)),
            voted
                .as_ref()
                .zip(verified.against_members.as_ref())
                .map(|(voted, agreement)| ("the vote of its members", voted, &probabilities, agreement)),
            kernels
                .as_ref()
                .zip(verified.kernels.as_ref())
                .map(|(kernels, agreement)| ("tract where the kernels run it", &reference, kernels, agreement)),
        ];
        verified.problems = self.problems(&verified, expected.into_iter().flatten());
        Ok((verified, probabilities, figures))
    }

    /// What is wrong with a file, given what it was compared with: its name, its probabilities, those found, and their agreement.
    fn problems<'a>(
        &self,
        verified: &Verified,
        compared: impl Iterator<Item = (&'static str, &'a Probabilities, &'a Probabilities, &'a Agreement)>,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let tolerance = self.options.tolerance.get();
        for (other, expected, found, agreement) in compared {
            if f64::from(agreement.largest_difference) > tolerance {
                let row = agreement.worst_row;
                problems.push(format!(
                    "differs from {other} by {:.2e} (tolerance {tolerance:.0e}), most in row {row}: {} against {}",
                    agreement.largest_difference,
                    row_text(expected, row),
                    row_text(found, row)
                ));
            }
            if agreement.label_agreement() < self.options.agreement.get() {
                let row = agreement.first_other_label.unwrap_or(agreement.worst_row);
                problems.push(format!(
                    "gives the label of {other} for {:.4} of the images (needed {}), first another in row {row}: {} against {}",
                    agreement.label_agreement(),
                    self.options.agreement,
                    row_text(expected, row),
                    row_text(found, row)
                ));
            }
            if f64::from(agreement.largest_sum_error) > tolerance {
                problems.push(format!("gives probabilities that miss a sum of 1 by {:.2e}", agreement.largest_sum_error));
            }
        }
        for (size, difference) in &verified.batches {
            if f64::from(*difference) > tolerance {
                problems.push(format!("gives other probabilities in batches of {size}: they differ by {difference:.2e}"));
            }
        }
        let lower = [("bf16", &self.options.bf16, &verified.bf16), ("int8", &self.options.int8, &verified.int8)];
        for (precision, limits, lower) in lower {
            if let (Some(limits), Some(lower)) = (limits, lower) {
                problems.extend(limits.problems(precision, verified.accuracy, lower));
            }
        }
        problems
    }
}

impl LowerPrecision {
    fn problems(&self, precision: &str, accuracy: f64, found: &Lower) -> Vec<String> {
        let mut problems = Vec::new();
        let agreement = found.against_fp32.label_agreement();
        if agreement < self.agreement.get() {
            let needed = self.agreement;
            problems.push(format!("gives the label of fp32 for {agreement:.4} of the images in {precision} (needed {needed})"));
        }
        let loss = accuracy - found.accuracy;
        if loss > self.accuracy_loss.get() {
            let most = self.accuracy_loss;
            problems.push(format!("loses {loss:.4} of accuracy in {precision} (at most {most}): {:.4}", found.accuracy));
        }
        problems
    }
}

/// How far a batch of `size` images, run at once through the graph as the file declares it, is from the whole.
fn batch_difference(session: &Session, size: BatchSize, images: &LabelledImages, whole: &Probabilities) -> Result<f32> {
    let count = size.get().min(images.len());
    let batch = session.predict(&images.pixels()[..count * images.shape().pixels()])?.probabilities;
    let expected = whole.slice(ndarray::s![..count, ..]).to_owned();
    Ok(compare(&expected, &batch)?.largest_difference)
}

fn row_text(probabilities: &Probabilities, row: usize) -> String {
    let values: Vec<String> = probabilities.row(row).iter().map(|p| format!("{p:.5}")).collect();
    format!("[{}]", values.join(" "))
}

fn summary(verified: &Verified) -> String {
    let agreement = &verified.against_burn;
    let lower = |name: &str, lower: &Option<Lower>| match lower {
        Some(lower) => format!(", {name} {} other labels", lower.against_fp32.rows - lower.against_fp32.same_labels),
        None => String::new(),
    };
    format!(
        "{}: {} images, largest |Δp| {:.1e}, {} other labels; {}{}{}{}",
        verified.file,
        agreement.rows,
        agreement.largest_difference,
        agreement.rows - agreement.same_labels,
        match &verified.kernels {
            Some(kernels) if kernels.rows < agreement.rows => {
                format!("kernels {:.1e} on {} of them", kernels.largest_difference, kernels.rows)
            }
            Some(kernels) => format!("kernels {:.1e}", kernels.largest_difference),
            None => "by tract".to_owned(),
        },
        lower("bf16", &verified.bf16),
        lower("int8", &verified.int8),
        if verified.problems.is_empty() { "" } else { ", FAILED" }
    )
}

impl Gate {
    /// Every condition of the gate against the figures of one model.
    fn apply(&self, model: &StageId, figures: &Evaluation) -> Vec<GateResult> {
        let at_least = [
            ("accuracy", self.accuracy, figures.accuracy),
            ("macro F1", self.macro_f1, figures.macro_f1),
            ("recall of every class", self.recall, figures.least_recall()),
        ];
        let at_most = [
            ("loss", self.loss.map(NonNegative::get), figures.loss),
            ("calibration error", self.calibration_error.map(Probability::get), figures.calibration_error),
        ];
        let result = |metric: &str, required: String, measured: f64, passed: bool| GateResult {
            model: model.clone(),
            metric: metric.to_owned(),
            required,
            measured,
            passed,
        };
        let least = at_least.into_iter().filter_map(|(metric, limit, measured)| {
            let limit = limit?.get();
            Some(result(metric, format!("≥ {limit}"), measured, measured >= limit))
        });
        let most = at_most.into_iter().filter_map(|(metric, limit, measured)| {
            let limit = limit?;
            Some(result(metric, format!("≤ {limit}"), measured, measured <= limit))
        });
        least.chain(most).collect()
    }
}

impl Verification {
    /// A line for everything that did not pass.
    fn faults(&self) -> Vec<String> {
        let files =
            self.models.iter().flat_map(|model| model.problems.iter().map(move |problem| format!("`{}` {problem}", model.file)));
        let gates = self.gates.iter().filter(|gate| !gate.passed).map(|gate| {
            format!(
                "`{}` does not pass its gate: {} is {:.4}, but must be {}",
                gate.model, gate.metric, gate.measured, gate.required
            )
        });
        files.chain(gates).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn figures() -> Evaluation {
        let probabilities = array![[0.75, 0.25], [0.25, 0.75], [0.75, 0.25], [0.75, 0.25]];
        evaluate(&[0, 1, 0, 1], probabilities.view(), &["a".to_owned(), "b".to_owned()]).unwrap()
    }

    #[test]
    fn gates_compare_in_the_right_direction() {
        let check = |gate: &str, expected: &[(&str, bool)]| {
            let gate: Gate = serde_json::from_str(gate).unwrap();
            let results = gate.apply(&"basic".parse().unwrap(), &figures());
            let found: Vec<(&str, bool)> = results.iter().map(|result| (result.metric.as_str(), result.passed)).collect();
            assert_eq!(found, expected);
        };
        check("{}", &[]);
        check(r#"{"accuracy": 0.75}"#, &[("accuracy", true)]);
        check(r#"{"accuracy": 0.76}"#, &[("accuracy", false)]);
        check(r#"{"recall": 0.5, "macro_f1": 0.9}"#, &[("macro F1", false), ("recall of every class", true)]);
        check(r#"{"recall": 0.51}"#, &[("recall of every class", false)]);
        check(r#"{"loss": 0.1, "calibration_error": 0.5}"#, &[("loss", false), ("calibration error", true)]);
    }

    #[test]
    fn a_precision_that_loses_too_much_is_told() {
        let fp32 = array![[0.75, 0.25], [0.25, 0.75], [0.75, 0.25], [0.75, 0.25]];
        let found = array![[0.75, 0.25], [0.25, 0.75], [0.25, 0.75], [0.75, 0.25]];
        let lower = Lower { against_fp32: compare(&fp32, &found).unwrap(), accuracy: 0.5 };
        let limits = |text: &str| serde_json::from_str::<LowerPrecision>(text).unwrap();
        let problems = limits("{}").problems("bf16", 0.75, &lower).join("\n");
        insta::assert_snapshot!(problems, @r"
        gives the label of fp32 for 0.7500 of the images in bf16 (needed 0.998)
        loses 0.2500 of accuracy in bf16 (at most 0.001): 0.5000
        ");
        assert!(limits(r#"{"agreement": 0.75, "accuracy_loss": 0.25}"#).problems("bf16", 0.75, &lower).is_empty());
    }

    #[test]
    fn a_failed_gate_is_told_with_its_figures() {
        let gate = Gate { accuracy: Some(Probability::new(0.94).unwrap()), ..Gate::default() };
        let gates = gate.apply(&"ensemble".parse().unwrap(), &figures());
        let verification = Verification { tolerance: 1e-4, models: Vec::new(), gates };
        insta::assert_snapshot!(verification.faults().join("\n"), @"`ensemble` does not pass its gate: accuracy is 0.7500, but must be ≥ 0.94");
    }
}
