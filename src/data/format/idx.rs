//! IDX files, the format of MNIST (LeCun, Cortes and Burges, 1998): a magic number that says the type and the number of
//! dimensions, each dimension as a big-endian 32-bit number, then the values.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::{ImageFormat, Images, Problems, ReadError, Request};
use crate::data::Label;
use crate::data::csv::parse_label;
use crate::data::open::{Compression, open};
use crate::fs;
use crate::progress::Progress;
use crate::quote;

/// The first bytes of a file of unsigned bytes; the number of dimensions follows.
pub(super) const MAGIC: [u8; 3] = [0, 0, 8];

/// Values that are read between two looks at whether to stop.
const PIECE: usize = 1 << 20;

/// A compressed file may hold so many values, whatever its own length.
const UNSUSPICIOUS: u64 = 1 << 30;

/// And beyond that so many for each of its bytes: images of pencil strokes on white reach a tenth of it.
const MOST_COMPRESSION: u64 = 200;

pub(super) struct Idx;

impl ImageFormat for Idx {
    fn files(&self, path: &Path) -> Result<Vec<PathBuf>> {
        Ok(vec![path.to_owned(), labels_beside(path)?])
    }

    fn labels(&self, path: &Path, progress: &dyn Progress) -> Result<Option<(Label, Label)>, ReadError> {
        let path = labels_beside(path)?;
        let labels = Array::head(open(&path)?, &path)?;
        if labels.dimensions.len() != 1 {
            return Ok(None);
        }
        let values = labels.read(&path, progress)?;
        Ok(values.iter().min().copied().zip(values.iter().max().copied()))
    }

    fn read(&self, path: &Path, request: &Request<'_>) -> Result<Images, ReadError> {
        let labels_path = labels_beside(path)?;
        let open = |path: &Path| Array::head(request.seen.open(path)?, path);
        let (images, labels) = (open(path)?, open(&labels_path)?);
        let shape = request.shape;
        let expected = [vec![shape.height, shape.width], vec![shape.channels, shape.height, shape.width]];
        let fits = images
            .dimensions
            .get(1..)
            .is_some_and(|dimensions| dimensions == expected[1] || (shape.channels == 1 && dimensions == expected[0]));
        let mut problems = Problems::default();
        if !fits {
            problems.push(path, format!("the dimensions {:?} are not those of N images of {shape}", images.dimensions));
        } else if images.dimensions[0] == 0 {
            problems.push(path, "the file holds no images");
        }
        if labels.dimensions.len() != 1 {
            problems.push(&labels_path, format!("the dimensions {:?} are not those of N labels", labels.dimensions));
        } else if fits && images.dimensions[0] != labels.dimensions[0] {
            let (images, labels) = (images.dimensions[0], labels.dimensions[0]);
            problems.push(&labels_path, format!("there are {labels} labels for {images} images"));
        }
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let values = labels.read(&labels_path, request.progress)?;
        let (labels, note) = meant(&values, request).map_err(|why| Problems::one(&labels_path, why))?;
        let told = note.into_iter().collect();
        let pixels = images.read(path, request.progress)?;
        Ok(Images { pixels, labels, told, ..Images::default() })
    }
}

/// The class of each label, and what a person should know about them. A label that is the name of a class means this class,
/// as in a table; any other counts from [`Request::first_label`].
fn meant(values: &[u8], request: &Request<'_>) -> Result<(Vec<Label>, Option<String>), String> {
    let classes = request.classes;
    let class = |value: u8| match request.first_label {
        0 => parse_label(value.to_string().as_bytes(), classes),
        first => value.checked_sub(first).filter(|&label| usize::from(label) < classes.len()),
    };
    let known: Vec<Option<Label>> = (0..=u8::MAX).map(class).collect();
    let (lowest, highest) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    let needed = if lowest == 0 { usize::from(highest) + 1 } else { usize::from(highest) };
    let mut labels = Vec::with_capacity(values.len());
    for (index, &value) in values.iter().enumerate() {
        let Some(label) = known[usize::from(value)] else {
            return Err(format!(
                "label {} is {value}, which is none of the {} classes ({}); the labels run from {lowest} to {highest}, so \
                 `classes` needs {needed} names, or may be left out",
                index + 1,
                classes.len(),
                quote::list(classes)
            ));
        };
        labels.push(label);
    }
    let by_number = request.first_label == 0 && lowest > 0 && !classes.iter().any(|class| class.parse::<Label>().is_ok());
    let note = by_number.then(|| {
        let first = quote::list(&classes[..1]);
        format!(
            "the labels run from {lowest} to {highest} and count from 0, so no image is of the first class, {first}; if they \
             count from 1, list {needed} classes"
        )
    });
    Ok((labels, note))
}

/// An array of bytes: its head is read, its values follow in `rest`.
struct Array {
    dimensions: Vec<usize>,
    rest: Box<dyn Read + Send>,
}

impl Array {
    /// Reads the head of the file at `path` and checks that the file can hold what the head promises.
    fn head(mut rest: Box<dyn Read + Send>, path: &Path) -> Result<Self, ReadError> {
        let cannot_read = || format!("cannot read {}", quote::path(path));
        let mut head = Vec::new();
        rest.by_ref().take(4).read_to_end(&mut head).with_context(cannot_read)?;
        let rank = rank(&head).map_err(|why| Problems::one(path, why))?;
        rest.by_ref().take(4 * rank).read_to_end(&mut head).with_context(cannot_read)?;
        let dimensions = dimensions(&head, rank).map_err(|why| Problems::one(path, why))?;
        let stored = fs::stamp(path).map_or(0, |stamp| stamp.bytes);
        let plain = Compression::of(&fs::read_beginning(path, 4)?).is_none();
        check_size(&dimensions, head.len() as u64, stored, plain).map_err(|why| Problems::one(path, why))?;
        Ok(Self { dimensions, rest })
    }

    /// Reads the values: as many as the head says, no more and no less.
    fn read(mut self, path: &Path, progress: &dyn Progress) -> Result<Vec<u8>, ReadError> {
        let expected: usize = self.dimensions.iter().product(); // it was checked that it fits
        let cannot_read = || format!("cannot read {}", quote::path(path));
        let mut values = Vec::new();
        while values.len() < expected {
            progress.check()?;
            let piece = PIECE.min(expected - values.len());
            let before = values.len();
            self.rest.by_ref().take(piece as u64).read_to_end(&mut values).with_context(cannot_read)?;
            if values.len() < before + piece {
                return Err(Problems::one(path, does_not_fill(values.len() as u64, &self.dimensions)).into());
            }
        }
        let mut more = [0];
        if self.rest.read(&mut more).with_context(cannot_read)? > 0 {
            return Err(Problems::one(path, format!("it holds more values than its dimensions {:?} say", self.dimensions)).into());
        }
        Ok(values)
    }
}

/// The number of dimensions, from the first four bytes.
fn rank(head: &[u8]) -> Result<u64, String> {
    let &[a, b, kind, rank] = head else { return Err(too_short(head)) };
    if [a, b, kind] != MAGIC {
        return Err(format!("it begins with {a:02x} {b:02x} {kind:02x}, an IDX file of bytes begins with 00 00 08"));
    }
    Ok(rank.into())
}

fn dimensions(head: &[u8], rank: u64) -> Result<Vec<usize>, String> {
    let (numbers, _) = head[4..].as_chunks::<4>();
    if numbers.len() as u64 != rank {
        return Err(too_short(head));
    }
    Ok(numbers.iter().map(|&number| u32::from_be_bytes(number) as usize).collect())
}

fn too_short(head: &[u8]) -> String {
    format!("the file ends after {} bytes, within its header", head.len())
}

fn does_not_fill(values: u64, dimensions: &[usize]) -> String {
    format!("it holds {values} values, which do not fill its dimensions {dimensions:?}")
}

/// Checks that `stored` bytes on disk can be a head and the values of these dimensions.
fn check_size(dimensions: &[usize], head: u64, stored: u64, plain: bool) -> Result<(), String> {
    let values = dimensions.iter().try_fold(1_u64, |product, &dimension| product.checked_mul(dimension as u64));
    let values = values.filter(|&values| usize::try_from(values).is_ok());
    if plain && values != Some(stored.saturating_sub(head)) {
        return Err(does_not_fill(stored.saturating_sub(head), dimensions));
    }
    match values {
        Some(values) if plain || values <= UNSUSPICIOUS || values / MOST_COMPRESSION <= stored => Ok(()),
        _ => Err(format!(
            "its {stored} bytes cannot be images of the dimensions {dimensions:?}: none compress so well; if these are, unpack the \
             file first"
        )),
    }
}

/// The labels file that belongs to an images file: `images` becomes `labels`, `idx3` (or `idx4`) becomes `idx1`; compressed
/// or not.
fn labels_beside(images: &Path) -> Result<PathBuf> {
    let name = images.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains("images") {
        return Err(anyhow!(
            "{}: the name of an IDX file of images must hold `images`, so that its labels are found",
            quote::path(images)
        ));
    }
    let labels = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    let plain = [".gz", ".zst"].iter().find_map(|end| labels.strip_suffix(end)).unwrap_or(&labels);
    let candidates = [labels.clone(), plain.to_owned(), format!("{plain}.gz"), format!("{plain}.zst")];
    let mut candidates = candidates.iter().map(|name| images.with_file_name(name));
    candidates.find(|path| path.is_file()).with_context(|| {
        format!(
            "the labels of {} should be in {}, which is not there",
            quote::path(images),
            quote::path(&images.with_file_name(&labels))
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;
    use crate::progress::Silent;

    /// The bytes of an IDX file.
    pub fn bytes(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = [MAGIC.as_slice(), &[dimensions.len() as u8]].concat();
        bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    /// The values of a file, or what is wrong with it.
    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        crate::fs::write(&path, bytes).unwrap();
        let values = Array::head(open(&path).unwrap(), &path).and_then(|array| array.read(&path, &Silent));
        values.map_err(|error| match error {
            ReadError::Problems(problems, _) => problems.to_string().replace(&format!("{}: ", quote::path(&path)), ""),
            ReadError::Other(error) => error.to_string(),
        })
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn damaged_headers_are_explained() {
        let error = |bytes: &[u8]| read(bytes).unwrap_err();
        insta::assert_snapshot!(error(b""), @"the file ends after 0 bytes, within its header");
        insta::assert_snapshot!(error(&bytes(&[2, 3], &[])[..9]), @"the file ends after 9 bytes, within its header");
        insta::assert_snapshot!(error(&bytes(&[2, 3], &[1, 2, 3])), @"it holds 3 values, which do not fill its dimensions [2, 3]");
        insta::assert_snapshot!(error(&bytes(&[u32::MAX; 9], &[])), @"it holds 0 values, which do not fill its dimensions [4294967295, 4294967295, 4294967295, 4294967295, 4294967295, 4294967295, 4294967295, 4294967295, 4294967295]");
        insta::assert_snapshot!(error(b"label,pixel1"), @"it begins with 6c 61 62, an IDX file of bytes begins with 00 00 08");
        assert_eq!(read(&bytes(&[1, 2], &[7, 8])), Ok(vec![7, 8]));
    }

    #[test]
    fn a_packed_file_yields_what_its_head_says_no_more_and_no_less() {
        assert_eq!(read(&gzip(&bytes(&[1, 2], &[7, 8]))), Ok(vec![7, 8]));
        let error = |bytes: &[u8]| read(&gzip(bytes)).unwrap_err();
        insta::assert_snapshot!(error(&bytes(&[2, 3], &[1, 2, 3])), @"it holds 3 values, which do not fill its dimensions [2, 3]");
        insta::assert_snapshot!(error(&bytes(&[2], &[0; 5_000_000])), @"it holds more values than its dimensions [2] say");
        for dimensions in [vec![u32::MAX, 28, 28], vec![u32::MAX; 9]] {
            let why = error(&bytes(&dimensions, &[0; 100]));
            assert!(why.contains("none compress so well; if these are, unpack the file first"), "{why}");
        }
    }

    #[test]
    fn idx_labels_from_1_mean_what_labels_in_a_table_mean() {
        let check = |classes: &[&str], first_label, values: &[u8]| {
            let classes: Vec<String> = classes.iter().map(|&name| name.to_owned()).collect();
            let columns = crate::data::csv::CsvOptions::default();
            let shape = crate::data::ImageShape::MNIST;
            let seen = &crate::data::seen::Seen::default();
            meant(values, &Request { shape, classes: &classes, first_label, columns: &columns, progress: &Silent, seen })
        };
        assert_eq!(check(&["1", "2", "3", "4", "5"], 0, &[1, 5, 2]), Ok((vec![0, 4, 1], None)));
        assert_eq!(check(&["a", "b"], 0, &[0, 1]), Ok((vec![0, 1], None)));
        assert_eq!(check(&["a", "b"], 1, &[1, 2]), Ok((vec![0, 1], None)));
        let (labels, note) = check(&["a", "b", "c", "d", "e", "f"], 0, &[1, 5]).unwrap();
        assert_eq!(labels, [1, 5]);
        insta::assert_snapshot!(note.unwrap(), @"the labels run from 1 to 5 and count from 0, so no image is of the first class, `a`; if they count from 1, list 5 classes");
        insta::assert_snapshot!(check(&["a", "b"], 0, &[0, 1, 7]).unwrap_err(), @"label 3 is 7, which is none of the 2 classes (`a`, `b`); the labels run from 0 to 7, so `classes` needs 8 names, or may be left out");
        insta::assert_snapshot!(check(&["1", "2"], 0, &[0, 1]).unwrap_err(), @"label 1 is 0, which is none of the 2 classes (`1`, `2`); the labels run from 0 to 1, so `classes` needs 2 names, or may be left out");
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
