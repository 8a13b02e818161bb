//! A folder with one folder of PNG and JPEG files per class.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use rayon::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::listing::Listing;
use super::{ImageFormat, Images, Problems, ReadError, Request};
use crate::data::{Label, picture};
use crate::quote;

/// Images that are read side by side before their problems are looked at.
const IMAGES_BETWEEN_CHECKS: usize = 512;

/// The most bytes that the file of an image may have beside its pixels: text, profiles, previews.
const MOST_BESIDE_PIXELS: u64 = 16 << 20;

pub(super) struct Folder;

impl ImageFormat for Folder {
    fn files(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let listing = list(path)?;
        // What came to lie there since is told, too, and not taken for nothing new.
        if listing.problems.is_empty() {
            Ok(listing.classes.into_iter().flat_map(|(_, images)| images).collect())
        } else {
            Err(listing.problems.into())
        }
    }

    fn class_names(&self, path: &Path) -> Result<Option<Vec<String>>> {
        let names: Vec<String> = list(path)?.classes.into_iter().map(|(name, _)| name).collect();
        for (index, name) in names.iter().enumerate() {
            if let Some(other) = names[..index].iter().find(|other| look_alike(other, name)) {
                bail!(
                    "{}: the class folders `{}` and `{}` differ only in case or in how accents are encoded; move their files \
                     together, or name both in `classes` if they are two classes",
                    quote::path(path),
                    other.escape_default(),
                    name.escape_default()
                );
            }
        }
        Ok(Some(names))
    }

    fn read(&self, path: &Path, request: &Request<'_>) -> Result<Images, ReadError> {
        let listing = list(path)?;
        let notes = listing.notes(path);
        let mut problems = listing.problems;
        let mut files: Vec<(PathBuf, Label)> = Vec::new();
        let mut folders: Vec<Option<&str>> = vec![None; request.classes.len()];
        for (folder, images) in &listing.classes {
            match class_of(folder, request.classes) {
                Ok(label) => match folders[usize::from(label)].replace(folder) {
                    Some(other) => problems.push(
                        &path.join(folder),
                        format!("the folder `{}` is of this class, too; move their files together", other.escape_default()),
                    ),
                    None => files.extend(images.iter().cloned().map(|file| (file, label))),
                },
                Err(why) => problems.push(&path.join(folder), why),
            }
        }
        if problems.is_empty() && files.is_empty() {
            problems.push(path, "there are no PNG or JPEG files in the folders below");
        }
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let size = request.shape.pixels();
        let mut images = Images { pixels: vec![0; files.len() * size], told: notes, ..Images::default() };
        let mut turned = Vec::new();
        for (pixels, files) in images.pixels.chunks_mut(IMAGES_BETWEEN_CHECKS * size).zip(files.chunks(IMAGES_BETWEEN_CHECKS)) {
            let results: Vec<Result<bool, Problems>> = pixels
                .par_chunks_exact_mut(size)
                .zip(files)
                .map(|(pixels, (file, _))| {
                    if request.progress.interrupted() {
                        return Ok(false);
                    }
                    let image = read_image(file, request).map_err(|error| Problems::one(file, format!("{error:#}")))?;
                    pixels.copy_from_slice(&image.pixels);
                    Ok(image.turned)
                })
                .collect();
            request.progress.check()?;
            for (result, (file, _)) in results.into_iter().zip(files) {
                match result {
                    Ok(true) => turned.push(file),
                    Ok(false) => {}
                    Err(problem) => problems.extend(problem),
                }
            }
            if problems.is_full() {
                break;
            }
        }
        if let Some(first) = turned.first() {
            let count = turned.len();
            let first = quote::path(first.strip_prefix(path).unwrap_or(first));
            images.told.push(format!("images turned as their EXIF data say: {count}, such as {first}"));
        }
        images.labels = files.into_iter().map(|(_, label)| label).collect();
        if problems.is_empty() { Ok(images) } else { Err(problems.into()) }
    }
}

fn list(path: &Path) -> Result<Listing> {
    ensure!(path.is_dir(), "{} is not a folder; images are read from a folder with one folder per class", quote::path(path));
    let listing = Listing::of(path)?;
    if listing.classes.is_empty() {
        let passed = listing.passed();
        let holds = if passed.is_empty() { String::new() } else { format!(" but files ({passed})") };
        bail!(
            "{} has no folders in it{holds}; images are read from a folder with one folder per class, and other files by their \
             own names or a pattern such as `*.csv`",
            quote::path(path)
        );
    }
    Ok(listing)
}

fn read_image(file: &Path, request: &Request<'_>) -> Result<picture::Decoded> {
    let shape = request.shape;
    // Two bytes for each of four samples are the most that a format stores for a pixel.
    let most = MOST_BESIDE_PIXELS + 8 * (shape.height * shape.width) as u64;
    picture::decode(&request.seen.read(file, most)?, shape)
}

/// The label of a class folder. A class may have a name that a folder cannot have (`T-shirt/top`), and accents may be
/// encoded in another way than in the list of classes.
fn class_of(folder: &str, classes: &[String]) -> Result<Label, String> {
    let same = |a: &str, b: &str| a.nfc().eq(b.nfc());
    let exact = || classes.iter().position(|class| class == folder);
    let near = || classes.iter().position(|class| same(class, folder) || same(&file_name(class), folder));
    if let Some(label) = exact().or_else(near).and_then(|index| Label::try_from(index).ok()) {
        return Ok(label);
    }
    Err(match classes.iter().find(|class| look_alike(class, folder) || look_alike(&file_name(class), folder)) {
        Some(class) => format!("the folder is not named like a class; did you mean `{}`?", quote::excerpt(class)),
        None => format!("the folder is not named like a class: {}", quote::list(classes)),
    })
}

/// The name of a class as a folder can have it.
fn file_name(class: &str) -> String {
    class.replace('/', "_")
}

/// Whether two names are one to a person's eye.
fn look_alike(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.nfkc().collect::<String>().to_lowercase();
    plain(a) == plain(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_find_their_class_however_accents_are_encoded() {
        let classes = ["Coat", "T-shirt/top", "Caf\u{e9}", "a/b", "a_b"].map(str::to_owned);
        assert_eq!(class_of("Coat", &classes), Ok(0));
        assert_eq!(class_of("T-shirt_top", &classes), Ok(1));
        assert_eq!(class_of("Cafe\u{301}", &classes), Ok(2));
        assert_eq!(class_of("a_b", &classes), Ok(4), "the exact name comes first");
        assert_eq!(class_of("coat", &classes), Err("the folder is not named like a class; did you mean `Coat`?".to_owned()));
        let error = class_of("Bag", &classes).unwrap_err();
        assert_eq!(error, "the folder is not named like a class: `Coat`, `T-shirt/top`, `Café`, `a/b`, `a_b`");
    }

    #[test]
    fn class_folders_that_look_the_same_are_not_two_classes_in_silence() {
        let error = |names: [&str; 2]| {
            let dir = tempfile::tempdir().unwrap();
            for name in names {
                crate::fs::create_dir(&dir.path().join(name)).unwrap();
            }
            Folder.class_names(dir.path()).unwrap_err().to_string().replace(dir.path().to_str().unwrap(), "DIR")
        };
        insta::assert_snapshot!(error(["Cat", "cat"]), @"`DIR`: the class folders `Cat` and `cat` differ only in case or in how accents are encoded; move their files together, or name both in `classes` if they are two classes");
        insta::assert_snapshot!(error(["Caf\u{e9}", "Cafe\u{301}"]), @r"`DIR`: the class folders `Cafe\u{301}` and `Caf\u{e9}` differ only in case or in how accents are encoded; move their files together, or name both in `classes` if they are two classes");
    }
}
