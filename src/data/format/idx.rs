//! IDX files, the format of MNIST (LeCun, Cortes and Burges, 1998): a magic number that says the type and the number of
//! dimensions, each dimension as a big-endian 32-bit number, then the values.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::{ImageFormat, Images, Problems, ReadError, Request};

/// The first bytes of a file of unsigned bytes; the number of dimensions follows.
pub(super) const MAGIC: [u8; 3] = [0, 0, 8];

pub(super) struct Idx;

impl ImageFormat for Idx {
    fn files(&self, path: &Path) -> Result<Vec<PathBuf>> {
        Ok(vec![path.to_owned(), labels_beside(path)?])
    }

    fn read(&self, path: &Path, request: &Request<'_>) -> Result<Images, ReadError> {
        let labels_path = labels_beside(path)?;
        let (images, labels) = (read(path, request)?, read(&labels_path, request)?);
        request.progress.check()?;
        let shape = request.shape;
        let expected = [vec![shape.height, shape.width], vec![shape.channels, shape.height, shape.width]];
        let fits = images
            .dimensions
            .get(1..)
            .is_some_and(|dimensions| dimensions == expected[1] || (shape.channels == 1 && dimensions == expected[0]));
        let mut problems = Problems::default();
        if !fits {
            problems.push(path, format!("the dimensions {:?} are not those of N images of {shape}", images.dimensions));
        }
        if labels.dimensions.len() != 1 {
            problems.push(&labels_path, format!("the dimensions {:?} are not those of N labels", labels.dimensions));
        } else if fits && images.dimensions[0] != labels.dimensions[0] {
            let (images, labels) = (images.dimensions[0], labels.dimensions[0]);
            problems.push(&labels_path, format!("there are {labels} labels for {images} images"));
        } else if labels.values.is_empty() {
            problems.push(path, "the file holds no images");
        }
        for (index, label) in labels.values.iter().enumerate() {
            if usize::from(*label) >= request.classes.len() {
                let last = request.classes.len().saturating_sub(1);
                problems.push(&labels_path, format!("label {} is {label}, a number from 0 to {last} is expected", index + 1));
            }
        }
        if problems.is_empty() {
            Ok(Images { pixels: images.values, labels: labels.values, ..Images::default() })
        } else {
            Err(problems.into())
        }
    }
}

/// An array of bytes.
struct Array {
    dimensions: Vec<usize>,
    values: Vec<u8>,
}

fn read(path: &Path, request: &Request<'_>) -> Result<Array, ReadError> {
    let mut bytes = Vec::new();
    request.seen.open(path)?.read_to_end(&mut bytes).with_context(|| format!("cannot read `{}`", path.display()))?;
    parse(&bytes).map_err(|why| Problems::one(path, why).into())
}

fn parse(bytes: &[u8]) -> Result<Array, String> {
    let too_short = || format!("the file ends after {} bytes, within its header", bytes.len());
    let Some((&[a, b, kind, rank], mut rest)) = bytes.split_first_chunk() else { return Err(too_short()) };
    if [a, b, kind] != MAGIC {
        return Err(format!("it begins with {a:02x} {b:02x} {kind:02x}, an IDX file of bytes begins with 00 00 08"));
    }
    let mut dimensions = Vec::new();
    for _ in 0..rank {
        let Some((dimension, after)) = rest.split_first_chunk() else { return Err(too_short()) };
        dimensions.push(u32::from_be_bytes(*dimension) as usize);
        rest = after;
    }
    let expected = dimensions.iter().try_fold(1_usize, |product, &dimension| product.checked_mul(dimension));
    if expected != Some(rest.len()) {
        return Err(format!("it holds {} values, which do not fill its dimensions {dimensions:?}", rest.len()));
    }
    Ok(Array { dimensions, values: rest.to_vec() })
}

/// The labels file that belongs to an images file: `images` becomes `labels`, `idx3` (or `idx4`) becomes `idx1`; compressed
/// or not.
fn labels_beside(images: &Path) -> Result<PathBuf> {
    let name = images.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains("images") {
        return Err(anyhow!(
            "`{}`: the name of an IDX file of images must hold `images`, so that its labels are found",
            images.display()
        ));
    }
    let labels = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    let plain = [".gz", ".zst"].iter().find_map(|end| labels.strip_suffix(end)).unwrap_or(&labels);
    let candidates = [labels.clone(), plain.to_owned(), format!("{plain}.gz"), format!("{plain}.zst")];
    let mut candidates = candidates.iter().map(|name| images.with_file_name(name));
    candidates.find(|path| path.is_file()).with_context(|| {
        format!(
            "the labels of `{}` should be in `{}`, which is not there",
            images.display(),
            images.with_file_name(&labels).display()
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The bytes of an IDX file.
    pub fn bytes(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = [MAGIC.as_slice(), &[dimensions.len() as u8]].concat();
        bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    #[test]
    fn damaged_headers_are_explained() {
        let error = |bytes: &[u8]| parse(bytes).err().unwrap();
        insta::assert_snapshot!(error(b""), @"the file ends after 0 bytes, within its header");
        insta::assert_snapshot!(error(&bytes(&[2, 3], &[])[..9]), @"the file ends after 9 bytes, within its header");
        insta::assert_snapshot!(error(&bytes(&[2, 3], &[1, 2, 3])), @"it holds 3 values, which do not fill its dimensions [2, 3]");
        insta::assert_snapshot!(error(&bytes(&[u32::MAX; 9], &[])), @"it holds 0 values, which do not fill its dimensions [4294967295, 4294967295, 4294967295, 4294967295, 4294967295, 4294967295, 4294967295, 4294967295, 4294967295]");
        insta::assert_snapshot!(error(b"label,pixel1"), @"it begins with 6c 61 62, an IDX file of bytes begins with 00 00 08");
        assert_eq!(parse(&bytes(&[1, 2], &[7, 8])).unwrap().values, [7, 8]);
    }

    #[test]
    fn labels_are_found_beside_their_images() {
        let dir = tempfile::tempdir().unwrap();
        let check = |images: &str, labels: &str| {
            let path = dir.path().join(labels);
            crate::fs::write(&path, b"").unwrap();
            assert_eq!(labels_beside(&dir.path().join(images)).unwrap(), path);
            crate::fs::remove(&path).unwrap();
        };
        check("train-images-idx3-ubyte", "train-labels-idx1-ubyte");
        check("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz");
        check("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte");
        check("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte.gz");
        let error = |name| labels_beside(Path::new(name)).unwrap_err().to_string();
        insta::assert_snapshot!(error("x/train-images-idx3-ubyte"), @"the labels of `x/train-images-idx3-ubyte` should be in `x/train-labels-idx1-ubyte`, which is not there");
        insta::assert_snapshot!(error("x/train.idx"), @"`x/train.idx`: the name of an IDX file of images must hold `images`, so that its labels are found");
    }
}
