//! Predictions on disk: the class probabilities of one model for one part of the data, and which part that was.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::data::LabelledImages;
use crate::digest::Digest;
use crate::fs;
use crate::metrics::Probabilities;

/// Which images and labels predictions are for: the digest of both.
pub(super) fn part_digest(part: &LabelledImages) -> Digest {
    let pixels = Digest::of_bytes(part.pixels()).to_string();
    let labels = Digest::of_bytes(part.labels()).to_string();
    Digest::of_bytes(format!("{} {pixels} {labels}", part.shape()).as_bytes())
}

/// Writes probabilities, `[N, classes]`, with the digest of the part they are for.
pub(super) fn save(path: &Path, probabilities: &Probabilities, part: Digest) -> Result<()> {
    fs::write(path, encode(probabilities, part)?)
}

/// Probabilities, `[N, classes]`, with the digest of the part they are for, as bytes.
pub(super) fn encode(probabilities: &Probabilities, part: Digest) -> Result<Vec<u8>> {
    let bytes: Vec<u8> = probabilities.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, probabilities.shape().to_vec(), &bytes)?;
    let about = HashMap::from([("part".to_owned(), part.to_string())]);
    Ok(safetensors::serialize([("probabilities", view)], Some(about))?)
}

/// Reads the probabilities for `part` back; `None` if the file is not there or is for other images.
///
/// # Errors
/// When the file is damaged.
pub(super) fn load(path: &Path, part: Digest) -> Result<Option<Probabilities>> {
    if fs::stamp(path).is_none() {
        return Ok(None);
    }
    decode(&fs::read(path)?, path, part)
}

/// The probabilities for `part` in the content of the file `path`; `None` if it is for other images.
///
/// # Errors
/// When the content is not what [`encode`] made.
pub(super) fn decode(bytes: &[u8], path: &Path, part: Digest) -> Result<Option<Probabilities>> {
    let context = || format!("`{}` does not hold predictions", path.display());
    let (_, header) = SafeTensors::read_metadata(bytes).with_context(context)?;
    let stored = header.metadata().as_ref().and_then(|about| about.get("part")).ok_or_else(|| anyhow!(context()))?;
    if *stored != part.to_string() {
        return Ok(None);
    }
    let file = SafeTensors::deserialize(bytes).with_context(context)?;
    let view = file.tensor("probabilities").with_context(context)?;
    ensure!(view.dtype() == Dtype::F32 && view.shape().len() == 2, context());
    let values = view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Array2::from_shape_vec((view.shape()[0], view.shape()[1]), values).map(Some).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use ndarray::array;

    #[test]
    fn predictions_survive_their_file_and_are_bound_to_their_part() {
        let shape = ImageShape { channels: 1, height: 1, width: 2 };
        let part = LabelledImages::new(shape, vec![1, 2, 3, 4], vec![0, 1]).unwrap();
        let other = LabelledImages::new(shape, vec![1, 2, 3, 5], vec![0, 1]).unwrap();
        let relabelled = LabelledImages::new(shape, vec![1, 2, 3, 4], vec![1, 1]).unwrap();
        let probabilities = array![[0.25, 0.75], [1.0, 0.0]];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.safetensors");
        save(&path, &probabilities, part_digest(&part)).unwrap();
        assert_eq!(load(&path, part_digest(&part)).unwrap(), Some(probabilities));
        for wrong in [other, relabelled] {
            assert_eq!(load(&path, part_digest(&wrong)).unwrap(), None);
        }
        assert_eq!(load(&dir.path().join("validation.safetensors"), part_digest(&part)).unwrap(), None);
        fs::write(&path, b"junk").unwrap();
        let error = format!("{:#}", load(&path, part_digest(&part)).unwrap_err());
        assert!(error.contains("does not hold predictions"), "{error}");
    }
}
