//! A model at work: what its exported file says of many images.

use anyhow::Context;
use rayon::prelude::*;

use crate::data::LabelledImages;
use crate::engine::StageError;
use crate::infer::Model as Session;
use crate::metrics::Probabilities;
use crate::progress::{Interrupted, Progress};

/// Probabilities of all images, in batches across the threads.
pub(super) fn predict_all(
    session: &Session,
    images: &LabelledImages,
    progress: &dyn Progress,
) -> Result<Probabilities, StageError> {
    const CHUNK: usize = 64;
    let size = images.shape().pixels();
    let chunks: Vec<Result<Probabilities, StageError>> = images
        .pixels()
        .par_chunks(CHUNK * size)
        .map(|pixels| match progress.interrupted() {
            true => Err(Interrupted.into()),
            false => Ok(session.predict(pixels)?.probabilities),
        })
        .collect();
    let mut all = Vec::with_capacity(images.len() * session.interface().classes.len());
    for chunk in chunks {
        all.extend(chunk?);
    }
    let shape = (images.len(), session.interface().classes.len());
    Ok(Probabilities::from_shape_vec(shape, all).context("the model gave another number of probabilities than images")?)
}
