//! Checkpoints: everything a training needs to go on and end in the same bytes as if it had never stopped.
//!
//! A checkpoint is one safetensors file, written atomically. Tensors: `weights/<name>`, `average/<name>` and `best/<name>`
//! for every parameter (the latter two if there are any), `losses/before` and `losses/now` of every training image (if images
//! are left out by them), and `optimizer`, the bytes of Burn's optimiser state. Metadata: `state`, a JSON text, and `digest`,
//! the hash of all the rest. Order, augmentation and dropout need no state: they are
//! drawn from seeds that epoch and step determine.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::pruning::Losses;
use super::{EpochRecord, EpochTiming};
use crate::digest::Digest;
use crate::fs;
use crate::nn::Parameter;

/// Where a training stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Epochs that are finished.
    pub epoch: usize,
    /// Batches that are learned, of all epochs.
    pub steps: usize,
    /// Images that are learned from in finished epochs, each time.
    pub learned: usize,
    /// Batches of the current epoch that are learned.
    pub batch: usize,
    /// Images of these batches.
    pub seen: usize,
    /// What these images count for.
    pub weight: f64,
    /// Sum of their losses, each counted by its weight.
    pub loss: f64,
    /// Sum of the weights of those whose label was right.
    pub correct: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Steps that the average has taken in.
    pub average_steps: u64,
    /// The figures of the finished epochs.
    pub history: Vec<EpochRecord>,
    /// How long they took.
    pub timings: Vec<EpochTiming>,
    /// Seconds of learning in the current epoch.
    pub epoch_seconds: f64,
    /// Seconds of the whole training.
    pub seconds: f64,
}

/// A state with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where the training stands.
    pub state: State,
    /// Values of every parameter, in the order of the architecture.
    pub weights: Vec<Vec<f32>>,
    /// Those of the average.
    pub average: Option<Vec<Vec<f32>>>,
    /// Those of the best epoch.
    pub best: Option<Vec<Vec<f32>>>,
    /// The last loss of every training image, where images are left out by it.
    pub losses: Option<Losses>,
    /// The optimiser's state.
    pub optimizer: Vec<u8>,
}

/// What the metadata holds as JSON.
#[derive(Serialize, Deserialize)]
struct Header {
    /// Names the training: its architecture, settings, seed and data.
    training: Digest,
    state: State,
}

impl Checkpoint {
    /// Writes the checkpoint of the training `training`, whose parameters are `parameters`.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&self, path: &Path, training: Digest, parameters: &[Parameter]) -> Result<()> {
        let header = serde_json::to_string(&Header { training, state: self.state.clone() })?;
        let groups = [("weights", Some(&self.weights)), ("average", self.average.as_ref()), ("best", self.best.as_ref())];
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (group, values) in groups {
            for (parameter, values) in parameters.iter().zip(values.into_iter().flatten()) {
                tensors.push((format!("{group}/{}", parameter.name), Dtype::F32, parameter.shape.clone(), bytes_of(values)));
            }
        }
        if let Some(Losses { before, now }) = &self.losses {
            for (name, values) in [("losses/before", before), ("losses/now", now)] {
                tensors.push((name.to_owned(), Dtype::F32, vec![values.len()], bytes_of(values)));
            }
        }
        tensors.push(("optimizer".to_owned(), Dtype::U8, vec![self.optimizer.len()], self.optimizer.clone()));
        let digest = digest(&header, tensors.iter().map(|(name, _, _, bytes)| (name.as_str(), bytes.as_slice())));
        let views = tensors.iter().map(|(name, kind, shape, bytes)| Ok((name, TensorView::new(*kind, shape.clone(), bytes)?)));
        let views = views.collect::<Result<Vec<_>>>()?;
        let metadata = HashMap::from([("state".to_owned(), header), ("digest".to_owned(), digest.to_string())]);
        fs::write(path, safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads the checkpoint of the training `training`; `None` if there is no file.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or belongs to another training; names it.
    pub fn load(path: &Path, training: Digest, parameters: &[Parameter]) -> Result<Option<Self>> {
        if fs::stamp(path).is_none() {
            return Ok(None);
        }
        let checkpoint = Self::parse(&fs::read(path)?, training, parameters);
        checkpoint.map(Some).with_context(|| format!("cannot go on from the checkpoint `{}`", path.display()))
    }

    fn parse(bytes: &[u8], training: Digest, parameters: &[Parameter]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let metadata = metadata.metadata().as_ref().ok_or_else(|| anyhow!("it has no metadata"))?;
        let entry = |name: &str| metadata.get(name).ok_or_else(|| anyhow!("its metadata has no `{name}`"));
        let text = entry("state")?;
        let views = file.tensors();
        let found = digest(text, views.iter().map(|(name, view)| (name.as_str(), view.data())));
        ensure!(found.to_string() == *entry("digest")?, "it is damaged: its content does not have the digest it names");
        let header: Header = serde_json::from_str(text).context("its state is not as expected")?;
        ensure!(header.training == training, "it belongs to another training");

        let floats = |name: &str| -> Result<Vec<f32>> {
            Ok(file.tensor(name)?.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
        };
        let group = |group: &str| -> Result<Vec<Vec<f32>>> {
            parameters.iter().map(|parameter| floats(&format!("{group}/{}", parameter.name))).collect()
        };
        let losses = || Ok::<_, anyhow::Error>(Losses { before: floats("losses/before")?, now: floats("losses/now")? });
        let has = |group: &str| views.iter().any(|(name, _)| name.starts_with(&format!("{group}/")));
        Ok(Self {
            state: header.state,
            weights: group("weights")?,
            average: has("average").then(|| group("average")).transpose()?,
            best: has("best").then(|| group("best")).transpose()?,
            losses: has("losses").then(losses).transpose()?,
            optimizer: file.tensor("optimizer")?.data().to_vec(),
        })
    }
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The digest of a header and tensors, whatever their order.
fn digest<'a>(header: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> Digest {
    let mut lines: Vec<String> = tensors.map(|(name, bytes)| format!("{name} {}\n", Digest::of_bytes(bytes))).collect();
    lines.sort();
    Digest::of_bytes(format!("{header}\n{}", lines.concat()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ParameterKind;

    fn parameters() -> Vec<Parameter> {
        let parameter =
            |name: &str, shape: &[usize]| Parameter { name: name.into(), kind: ParameterKind::Bias, shape: shape.to_vec() };
        vec![parameter("0.weight", &[2, 2]), parameter("0.bias", &[2])]
    }

    fn checkpoint() -> Checkpoint {
        let record = EpochRecord {
            epoch: 1,
            loss: 0.1 + 0.2,
            accuracy: 1.0 / 3.0,
            validation_loss: None,
            validation_accuracy: Some(1.0),
            learning_rate: 1e-300,
        };
        Checkpoint {
            state: State { epoch: 1, batch: 7, loss: 1.0 / 7.0, history: vec![record], ..State::default() },
            weights: vec![vec![0.1, -0.2, f32::MIN_POSITIVE, 3e38], vec![0.0, -0.0]],
            average: Some(vec![vec![1.0; 4], vec![2.0; 2]]),
            best: None,
            losses: Some(Losses { before: vec![f32::INFINITY; 3], now: vec![0.5, f32::INFINITY, 1e-9] }),
            optimizer: vec![1, 2, 3],
        }
    }

    #[test]
    fn a_checkpoint_survives_its_file_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint.safetensors");
        let training = Digest::of_bytes(b"this training");
        assert_eq!(Checkpoint::load(&path, training, &parameters()).unwrap(), None);
        checkpoint().save(&path, training, &parameters()).unwrap();
        assert_eq!(Checkpoint::load(&path, training, &parameters()).unwrap(), Some(checkpoint()));
    }

    #[test]
    fn damage_and_foreign_checkpoints_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint.safetensors");
        let training = Digest::of_bytes(b"this training");
        checkpoint().save(&path, training, &parameters()).unwrap();
        let whole = fs::read(&path).unwrap();
        let check = |bytes: &[u8], training: Digest, expected: &str| {
            fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", Checkpoint::load(&path, training, &parameters()).unwrap_err());
            assert!(error.contains("checkpoint.safetensors") && error.contains(expected), "{error}");
        };
        check(&whole, Digest::of_bytes(b"another"), "it belongs to another training");
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        check(&flipped, training, "it is damaged");
        check(&whole[..whole.len() - 1], training, "cannot go on from the checkpoint");
    }
}
