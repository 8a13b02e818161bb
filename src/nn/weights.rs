//! Weights as plain data: named tensors in the order of [`Architecture::parameters`], kept in a safetensors file.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Architecture, Parameter};
use crate::fs;

/// One named tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightTensor {
    /// The name, as in [`super::Parameter::name`].
    pub name: String,
    /// The shape.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Vec<f32>,
}

/// All parameters of a network, trained ones and running statistics, in the order of [`Architecture::parameters`].
#[derive(Clone, Debug, PartialEq)]
pub struct Weights(Vec<WeightTensor>);

impl Weights {
    /// Checks that the tensors are those of `architecture`, in its order and of its shapes.
    ///
    /// # Errors
    /// Names the first tensor that is missing, superfluous or of another shape.
    pub fn new(architecture: &Architecture, tensors: Vec<WeightTensor>) -> Result<Self> {
        Self::check(architecture, &tensors)?;
        Ok(Self(tensors))
    }

    /// Checks that `tensors` are those of `architecture`, as [`Weights::new`] does.
    ///
    /// # Errors
    /// Names the first tensor that is missing, superfluous or of another shape.
    pub fn check(architecture: &Architecture, tensors: &[WeightTensor]) -> Result<()> {
        let expected = architecture.parameters()?;
        for (parameter, tensor) in expected.iter().zip(tensors) {
            ensure!(
                parameter.name == tensor.name && parameter.shape == tensor.shape,
                "the weights hold `{}` of shape {:?} where the architecture has `{}` of shape {:?}",
                tensor.name,
                tensor.shape,
                parameter.name,
                parameter.shape
            );
            ensure!(
                tensor.values.len() == tensor.shape.iter().product::<usize>(),
                "`{}` holds {} values, which do not fill its shape {:?}",
                tensor.name,
                tensor.values.len(),
                tensor.shape
            );
        }
        ensure!(
            expected.len() == tensors.len(),
            "the weights hold {} tensors, the architecture has {}",
            tensors.len(),
            expected.len()
        );
        Ok(())
    }

    /// Weights from the values of each parameter, in the order of `architecture`.
    ///
    /// # Errors
    /// As [`Weights::new`].
    pub fn from_values(architecture: &Architecture, values: Vec<Vec<f32>>) -> Result<Self> {
        let parameters = architecture.parameters()?;
        ensure!(parameters.len() == values.len(), "{} tensors do not make {} parameters", values.len(), parameters.len());
        let tensor =
            |(parameter, values): (Parameter, Vec<f32>)| WeightTensor { name: parameter.name, shape: parameter.shape, values };
        Self::new(architecture, parameters.into_iter().zip(values).map(tensor).collect())
    }

    /// The values of each parameter, in the order of the architecture.
    pub fn into_values(self) -> Vec<Vec<f32>> {
        self.0.into_iter().map(|tensor| tensor.values).collect()
    }

    /// The tensors, in the order of the architecture.
    pub fn tensors(&self) -> &[WeightTensor] {
        &self.0
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&WeightTensor> {
        self.0.iter().find(|tensor| tensor.name == name)
    }

    /// How many numbers there are, running statistics included.
    pub fn count(&self) -> usize {
        self.0.iter().map(|tensor| tensor.values.len()).sum()
    }

    /// Writes a safetensors file.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes: Vec<Vec<u8>> =
            self.0.iter().map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
        let views = self
            .0
            .iter()
            .zip(&bytes)
            .map(|(tensor, bytes)| Ok((tensor.name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>>>()?;
        fs::write(path, safetensors::serialize(views, None)?)
    }

    /// Reads a safetensors file that fits `architecture`.
    ///
    /// # Errors
    /// When the file cannot be read, is not safetensors, or does not fit; names the file and the tensor.
    pub fn load(path: &Path, architecture: &Architecture) -> Result<Self> {
        let bytes = fs::read(path)?;
        let context = || format!("`{}` does not hold the weights of this network", path.display());
        let file = SafeTensors::deserialize(&bytes).with_context(context)?;
        let mut tensors = Vec::new();
        for parameter in architecture.parameters()? {
            let view = file.tensor(&parameter.name).with_context(context)?;
            ensure!(view.dtype() == Dtype::F32, "`{}` in `{}` is not float32", parameter.name, path.display());
            let values = view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            tensors.push(WeightTensor { name: parameter.name, shape: view.shape().to_vec(), values });
        }
        Self::new(architecture, tensors).with_context(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::nn::{Normalisation, Views};

    #[test]
    fn weights_survive_their_file_and_misfits_are_named() {
        let architecture = Architecture {
            input: ImageShape { channels: 1, height: 2, width: 2 },
            classes: 3,
            normalisation: Normalisation { mean: vec![0.0], deviation: vec![1.0] },
            layers: serde_json::from_str(r#"[{"flatten": {}}, {"dense": {"units": 3}}]"#).unwrap(),
            views: Views::default(),
        };
        let tensors = |units: usize| {
            vec![
                WeightTensor {
                    name: "1.weight".into(),
                    shape: vec![4, units],
                    values: (0..4 * units).map(|v| v as f32).collect(),
                },
                WeightTensor { name: "1.bias".into(), shape: vec![units], values: vec![0.5; units] },
            ]
        };
        let weights = Weights::new(&architecture, tensors(3)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        weights.save(&path).unwrap();
        assert_eq!(Weights::load(&path, &architecture).unwrap(), weights);

        let error = Weights::new(&architecture, tensors(4)).unwrap_err().to_string();
        assert!(error.contains("`1.weight` of shape [4, 4]"), "{error}");
        fs::write(&path, b"junk").unwrap();
        let error = format!("{:#}", Weights::load(&path, &architecture).unwrap_err());
        assert!(error.contains("weights.safetensors"), "{error}");
    }
}
