//! A graph that is ready to run, and what it predicts.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use half::bf16;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{Tensor, TypedRunnableModel, tvec};

use super::program::Program;
use super::{Batch, Precision};
use crate::data::Label;
use crate::digest::Digest;
use crate::kernels::{ByteLevel, Level};
use crate::metrics::Probabilities;
use crate::onnx::Interface;

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// This program's own kernels.
    Kernels,
    /// tract: what verification takes as its reference.
    Tract,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernels => "kernels",
            Self::Tract => "tract",
        })
    }
}

/// A model that is ready to run, from as many threads as share it.
#[derive(Debug)]
pub struct Model {
    runner: Runner,
    interface: Interface,
    digest: Digest,
    /// Why tract stands in for the kernels, where it does.
    pub(super) refused: Option<String>,
}

#[derive(Debug)]
pub(super) enum Runner {
    Tract(Arc<TypedRunnableModel>, Batch),
    Single(Box<Program<f32>>),
    Half(Box<Program<bf16>>),
    Bytes(Box<Program<f32>>),
}

/// What a model says of `N` images.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// The class of each image, as the model's own output `label` has it.
    pub labels: Vec<Label>,
    /// The probabilities of all classes, `[N, classes]`.
    pub probabilities: Probabilities,
}

impl Model {
    pub(super) fn new(runner: Runner, interface: Interface, digest: Digest) -> Self {
        Self { runner, interface, digest, refused: None }
    }

    /// What the model takes and gives.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// What computes.
    pub fn engine(&self) -> Engine {
        match self.runner {
            Runner::Tract(..) => Engine::Tract,
            Runner::Single(_) | Runner::Half(_) | Runner::Bytes(_) => Engine::Kernels,
        }
    }

    /// Why tract computes although nothing but the kernels' refusal asked for it.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// In what.
    pub fn precision(&self) -> Precision {
        match self.runner {
            Runner::Tract(..) | Runner::Single(_) => Precision::Fp32,
            Runner::Half(_) => Precision::Bf16,
            Runner::Bytes(_) => Precision::Int8,
        }
    }

    /// Whether the machine lacks instructions for the precision.
    pub fn is_emulated(&self) -> bool {
        match self.precision() {
            Precision::Fp32 => false,
            Precision::Bf16 => Level::half().is_none(),
            Precision::Int8 => !ByteLevel::best().is_native(),
        }
    }

    /// Convolutions and dense layers that compute in fp32 although int8 was asked for, and why.
    pub fn in_fp32(&self) -> &[String] {
        match &self.runner {
            Runner::Bytes(program) => program.in_numbers(),
            _ => &[],
        }
    }

    /// The digest of the file it comes from.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Predicts images given as `pixels`, `[N, C, H, W]`, values 0–255. N may be any number, 0 included.
    ///
    /// # Errors
    /// When the pixels do not make whole images of the model's shape, tract fails, or a probability is not a finite number.
    pub fn predict(&self, pixels: &[u8]) -> Result<Predictions> {
        let shape = self.interface.image;
        ensure!(pixels.len().is_multiple_of(shape.pixels()), "{} pixels do not make whole images of {shape}", pixels.len());
        let (images, classes) = (pixels.len() / shape.pixels(), self.interface.classes.len());
        let mut labels = Vec::with_capacity(images);
        let mut probabilities = Vec::with_capacity(images * classes);
        match &self.runner {
            Runner::Tract(plan, batch) => {
                let batch = match batch {
                    Batch::Of(size) => size.get(),
                    Batch::Free => images.max(1),
                };
                for chunk in pixels.chunks(batch * shape.pixels()) {
                    self.run(plan, chunk, batch, &mut labels, &mut probabilities).context("a batch cannot be predicted")?;
                }
            }
            Runner::Single(program) => program.run(pixels, &mut labels, &mut probabilities),
            Runner::Half(program) => program.run(pixels, &mut labels, &mut probabilities),
            Runner::Bytes(program) => program.run(pixels, &mut labels, &mut probabilities),
        }
        ensure!(probabilities.iter().all(|p| p.is_finite()), "the model gives probabilities that are not finite numbers");
        let probabilities = Array2::from_shape_vec((images, classes), probabilities)
            .context("the model gave other probabilities than it should")?;
        Ok(Predictions { labels, probabilities })
    }

    /// Runs up to `batch` images in a batch of just that size, and appends what comes out for them.
    fn run(
        &self,
        plan: &Arc<TypedRunnableModel>,
        pixels: &[u8],
        batch: usize,
        labels: &mut Vec<Label>,
        probabilities: &mut Vec<f32>,
    ) -> Result<()> {
        let shape = self.interface.image;
        let images = pixels.len() / shape.pixels();
        let mut input = Tensor::zero::<f32>(&[batch, shape.channels, shape.height, shape.width])?;
        for (value, &pixel) in input.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.iter_mut().zip(pixels) {
            *value = f32::from(pixel);
        }
        let outputs = plan.run(tvec![input.into()])?;
        let [label, probability] = outputs.as_slice() else {
            bail!("it gives {} outputs instead of two", outputs.len());
        };
        let classes = self.interface.classes.len();
        if label.shape() != [batch] || probability.shape() != [batch, classes] {
            bail!("it gives outputs of shapes {:?} and {:?}", label.shape(), probability.shape());
        }
        for &label in &label.try_as_plain_ram()?.as_slice::<i64>()?[..images] {
            let label = Label::try_from(label).ok().filter(|&label| usize::from(label) < classes);
            labels.push(label.context("it gives a label that is no class")?);
        }
        probabilities.extend_from_slice(&probability.try_as_plain_ram()?.as_slice::<f32>()?[..images * classes]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Loaded, compare, reference};
    use super::*;
    use crate::nn::Weights;
    use crate::onnx::{Member, encode, ensemble, samples};
    use crate::units::{BatchSize, Temperature};

    fn of(size: u64) -> Batch {
        Batch::Of(BatchSize::new(size).unwrap())
    }

    fn load(bytes: &[u8], batch: Batch) -> Model {
        Loaded::from_bytes(bytes).unwrap().optimise(batch).unwrap()
    }

    #[test]
    fn every_kind_of_layer_gives_what_it_should_at_every_batch_size() {
        for (name, architecture) in samples::architectures() {
            let weights = samples::weights(&architecture, 3);
            let bytes = encode(&samples::model(name, &architecture, &weights));
            let pixels = samples::pixels(architecture.input, 7, 5);
            let expected = reference::of_images(&architecture, &weights, &pixels);
            for batch in [Batch::Free, of(1), of(2), of(7), of(64)] {
                let found = load(&bytes, batch).predict(&pixels).unwrap();
                let agreement = compare(&found.probabilities, &expected).unwrap();
                assert!(agreement.largest_difference < 2e-6, "{name} {batch:?}: {agreement:?}");
                assert!(agreement.largest_sum_error < 1e-6, "{name} {batch:?}: {agreement:?}");
                assert_eq!(agreement.same_labels, 7, "{name} {batch:?}");
                for (row, &label) in found.probabilities.outer_iter().zip(&found.labels) {
                    assert!(row.iter().all(|&p| p <= row[usize::from(label)]), "{name} {batch:?}: {row} {label}");
                }
            }
        }
    }

    #[test]
    fn an_image_gets_the_same_bits_whatever_is_predicted_with_it() {
        for (name, architecture) in samples::architectures() {
            let bytes = encode(&samples::model(name, &architecture, &samples::weights(&architecture, 3)));
            let size = architecture.input.pixels();
            let pixels = samples::pixels(architecture.input, 70, 5);
            for batch in [of(1), of(7), of(64)] {
                let model = load(&bytes, batch);
                let together = model.predict(&pixels).unwrap();
                for first in [1, 3, 65] {
                    let later = model.predict(&pixels[first * size..]).unwrap();
                    assert_eq!(later.labels, together.labels[first..], "{name} {batch:?} from {first}");
                    let rows = together.probabilities.slice(ndarray::s![first.., ..]);
                    assert_eq!(later.probabilities, rows, "{name} {batch:?} from {first}");
                }
            }
        }
    }

    #[test]
    fn an_ensemble_gives_the_weighted_mean_of_its_members() {
        let layers = [
            r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#,
            r#"[{"conv": {"filters": 3}}, {"gelu": {}}, {"global_max_pool": {}}, {"dense": {"units": 4}}]"#,
            r#"[{"conv": {"filters": 3}}, {"batch_norm": {}}, {"global_avg_pool": {}}, {"dense": {"units": 4}}]"#,
        ];
        let mut architectures = layers.map(|layers| samples::architecture(1, layers));
        architectures[2].normalisation.mean = vec![0.6];
        let weights = [0, 1, 2].map(|index| samples::weights(&architectures[index], index as u64));
        let members: Vec<Member<'_>> = ["a", "b", "c"]
            .into_iter()
            .zip(architectures.iter().zip(&weights))
            .map(|(name, (architecture, weights))| Member { name, architecture, weights })
            .collect();
        let pixels = samples::pixels(architectures[0].input, 20, 5);
        let each: Vec<Probabilities> =
            members.iter().map(|member| reference::of_images(member.architecture, member.weights, &pixels)).collect();
        for votes in [[1.0, 1.0, 1.0], [0.5, 0.0, 1.5], [0.0, 0.0, 0.25], [3.0, 1.0, 0.0]] {
            let sum: f32 = votes.iter().sum();
            let mean = (&each[0] * votes[0] + &each[1] * votes[1] + &each[2] * votes[2]) / sum;
            let bytes = encode(&ensemble(&members, &votes, Temperature::ONE, &samples::metadata("ensemble")).unwrap());
            let found = load(&bytes, Batch::Free).predict(&pixels).unwrap();
            let agreement = compare(&found.probabilities, &mean).unwrap();
            assert!(agreement.largest_difference < 1e-6 && agreement.same_labels == 20, "{votes:?}: {agreement:?}");
        }
    }

    #[test]
    fn equal_probabilities_give_the_first_class() {
        let architecture = samples::architecture(1, r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#);
        let mut tensors = samples::weights(&architecture, 1).tensors().to_vec();
        tensors.iter_mut().for_each(|tensor| tensor.values.fill(0.0));
        tensors[1].values = vec![0.0, 1.0, 1.0, 0.0];
        let bytes = encode(&samples::model("even", &architecture, &Weights::new(&architecture, tensors).unwrap()));
        let found = load(&bytes, of(2)).predict(&samples::pixels(architecture.input, 3, 1)).unwrap();
        assert_eq!(found.labels, [1, 1, 1]);
    }

    #[test]
    fn threads_share_a_model() {
        let (name, architecture) = samples::architectures().remove(2);
        let bytes = encode(&samples::model(name, &architecture, &samples::weights(&architecture, 3)));
        let model = load(&bytes, of(4));
        let pixels = samples::pixels(architecture.input, 50, 5);
        let alone = model.predict(&pixels).unwrap();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| model.predict(&pixels).unwrap())).collect();
            threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), alone));
        });
    }

    #[test]
    fn any_number_of_whole_images_will_do() {
        let architecture = samples::architecture(1, r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#);
        let bytes = encode(&samples::model("net", &architecture, &samples::weights(&architecture, 1)));
        for batch in [Batch::Free, of(3)] {
            let model = load(&bytes, batch);
            assert_eq!(model.predict(&[]).unwrap().probabilities.dim(), (0, 4));
            let error = model.predict(&[0; 100]).unwrap_err().to_string();
            assert_eq!(error, "100 pixels do not make whole images of 1×9×8");
        }
    }
}
