//! A model at work: what its exported file says of many images.

use anyhow::Context;
use rayon::prelude::*;

use crate::engine::StageError;
use crate::infer::Model as Session;
use crate::metrics::Probabilities;
use crate::progress::{Interrupted, Progress};

/// Probabilities of all images in `pixels`, `[N, C, H, W]`, in batches across the threads; `[N, classes]`.
pub(super) fn predict_all(session: &Session, pixels: &[u8], progress: &dyn Progress) -> Result<Probabilities, StageError> {
    const BATCH: usize = 64;
    let (size, classes) = (session.interface().image.pixels(), session.interface().classes.len());
    let batches: Vec<Result<Probabilities, StageError>> = pixels
        .par_chunks(BATCH * size)
        .map(|pixels| match progress.interrupted() {
            true => Err(Interrupted.into()),
            false => Ok(session.predict(pixels)?.probabilities),
        })
        .collect();
    let mut all = Vec::with_capacity(pixels.len() / size * classes);
    for batch in batches {
        all.extend(batch?);
    }
    let shape = (pixels.len() / size, classes);
    Ok(Probabilities::from_shape_vec(shape, all).context("the model gave another number of probabilities than images")?)
}
