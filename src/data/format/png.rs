//! A folder with one folder of PNG files per class.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::{ImageFormat, Images, Problems, ReadError, Request};
use crate::data::pattern::natural_order;
use crate::data::{Label, picture};
use crate::fs;

/// Images that are read between two looks at whether to stop.
const IMAGES_BETWEEN_CHECKS: usize = 512;

pub(super) struct Png;

impl ImageFormat for Png {
    fn files(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for class in class_folders(path)? {
            files.extend(pictures(&path.join(class))?);
        }
        Ok(files)
    }

    fn class_names(&self, path: &Path) -> Result<Option<Vec<String>>> {
        class_folders(path).map(Some)
    }

    fn read(&self, path: &Path, request: &Request<'_>) -> Result<Images, ReadError> {
        let mut problems = Problems::default();
        let mut files: Vec<(PathBuf, Label)> = Vec::new();
        for folder in class_folders(path)? {
            let label = request.classes.iter().position(|class| *class == folder || file_name(class) == folder);
            match label.map(Label::try_from) {
                Some(Ok(label)) => files.extend(pictures(&path.join(&folder))?.into_iter().map(|file| (file, label))),
                _ => problems
                    .push(&path.join(&folder), format!("the folder is not named like a class: {}", request.classes.join(", "))),
            }
        }
        if problems.is_empty() && files.is_empty() {
            problems.push(path, "there are no PNG files in the folders below");
        }
        let size = request.shape.pixels();
        let mut images = Images { pixels: vec![0; files.len() * size], labels: Vec::new(), ..Images::default() };
        for (pixels, files) in images.pixels.chunks_mut(IMAGES_BETWEEN_CHECKS * size).zip(files.chunks(IMAGES_BETWEEN_CHECKS)) {
            request.progress.check()?;
            if problems.is_full() {
                break;
            }
            let results: Vec<Result<(), Problems>> = pixels
                .par_chunks_exact_mut(size)
                .zip(files)
                .map(|(pixels, (file, _))| {
                    let image = request.seen.read(file).and_then(|bytes| picture::decode(&bytes, request.shape));
                    image.map(|image| pixels.copy_from_slice(&image)).map_err(|error| Problems::one(file, format!("{error:#}")))
                })
                .collect();
            results.into_iter().filter_map(Result::err).for_each(|problem| problems.extend(problem));
        }
        images.labels = files.into_iter().map(|(_, label)| label).collect();
        if problems.is_empty() { Ok(images) } else { Err(problems.into()) }
    }
}

/// The name of a class as a folder can have it: a class may be called `T-shirt/top`.
fn file_name(class: &str) -> String {
    class.replace('/', "_")
}

/// The folders in a folder, in natural order.
fn class_folders(path: &Path) -> Result<Vec<String>> {
    ensure!(path.is_dir(), "`{}` is not a folder; PNG files are read from a folder with one folder per class", path.display());
    let mut names = fs::entries(path)?;
    names.retain(|name| !name.starts_with('.') && path.join(name).is_dir());
    names.sort_by(|a, b| natural_order(a, b));
    Ok(names)
}

/// The PNG files in a folder, in natural order.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut names = fs::entries(folder)?;
    names.retain(|name| !name.starts_with('.') && name.to_ascii_lowercase().ends_with(".png"));
    names.sort_by(|a, b| natural_order(a, b));
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}
