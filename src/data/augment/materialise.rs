//! The work of an `augment` stage: attach the augmentation to the data or make its copies, and draw the preview.

use rayon::prelude::*;

use super::{AugmentOptions, Augmenter};
use crate::data::picture::{self, Layout};
use crate::data::{DataError, DataSet, LabelledImages, Part};
use crate::progress::Progress;
use crate::seed::Seed;

/// Variants beside each original in the preview.
const VARIANTS: u64 = 9;

/// What [`augment`] makes.
#[derive(Clone, Debug)]
pub struct Augmented {
    /// The data with its augmentation, or with its copies.
    pub data: DataSet,
    /// The parts that are as they were.
    pub unchanged: Vec<Part>,
    /// A PNG file: originals on the left, variants on their right. None if no preview was asked for or
    /// the images are neither gray nor RGB.
    pub preview: Option<Vec<u8>>,
}

/// Does what an `augment` stage is asked to do.
///
/// Copies come after the originals, all first copies before all second ones; copy `n` is what epoch `n`, counted from 1,
/// would show.
///
/// # Errors
/// When the options make no sense for these images, or the work was interrupted.
pub fn augment(data: DataSet, options: &AugmentOptions, seed: Seed, progress: &dyn Progress) -> Result<Augmented, DataError> {
    let augmentation = options.augmentation();
    let augmenter = Augmenter::new(&augmentation, data.info.shape)?;
    let preview = preview(&data, &augmenter, options.preview, seed)?;
    let mut unchanged = Part::ALL.to_vec();
    let data = if options.copies == 0 {
        DataSet { augmentation: Some(augmentation), ..data }
    } else {
        unchanged.retain(|&part| part != Part::Train);
        let train = with_copies(&data.train, &augmenter, options.copies, seed, progress)?;
        DataSet { train, augmentation: None, ..data }
    };
    Ok(Augmented { data, unchanged, preview })
}

fn with_copies(
    originals: &LabelledImages,
    augmenter: &Augmenter,
    copies: usize,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<LabelledImages, DataError> {
    progress.begin("varied copies", (copies * originals.len()) as u64, "images");
    let size = originals.shape().pixels();
    let mut pixels = originals.pixels().to_vec();
    for copy in 1..=copies {
        progress.check()?;
        let begin = pixels.len();
        pixels.resize(begin + originals.pixels().len(), 0);
        pixels[begin..]
            .par_chunks_exact_mut(size)
            .zip(originals.pixels().par_chunks_exact(size))
            .enumerate()
            .for_each(|(sample, (target, source))| augmenter.apply(seed, copy as u64, sample as u64, source, target));
        progress.advance((copy * originals.len()) as u64, "");
    }
    Ok(LabelledImages::new(originals.shape(), pixels, originals.labels().repeat(copies + 1))?)
}

/// Some originals, of every class in turn, each beside its first variants.
fn preview(data: &DataSet, augmenter: &Augmenter, images: usize, seed: Seed) -> anyhow::Result<Option<Vec<u8>>> {
    let shown = one_of_each_class_in_turn(&data.train, data.info.classes.len(), images);
    if shown.is_empty() || !matches!(data.info.shape.channels, 1 | 3) {
        return Ok(None);
    }
    let size = data.info.shape.pixels();
    let varied: Vec<Vec<u8>> = shown
        .iter()
        .flat_map(|&sample| (1..=VARIANTS).map(move |epoch| (sample, epoch)))
        .map(|(sample, epoch)| {
            let mut target = vec![0; size];
            augmenter.apply(seed, epoch, sample as u64, data.train.image(sample), &mut target);
            target
        })
        .collect();
    let rows: Vec<Vec<&[u8]>> = shown
        .iter()
        .zip(varied.chunks(VARIANTS as usize))
        .map(|(&sample, variants)| std::iter::once(data.train.image(sample)).chain(variants.iter().map(Vec::as_slice)).collect())
        .collect();
    picture::grid(data.info.shape, &rows, Layout::default()).map(Some)
}

/// The places of `count` images: the first of every class, then the second of every class, and so on.
fn one_of_each_class_in_turn(images: &LabelledImages, classes: usize, count: usize) -> Vec<usize> {
    let mut seen = vec![0_usize; classes];
    let mut order: Vec<(usize, usize)> = Vec::new(); // (how many of its class came before, place)
    for (place, &label) in images.labels().iter().enumerate() {
        let before = &mut seen[usize::from(label)];
        if *before < count {
            order.push((*before, place));
        }
        *before += 1;
    }
    order.sort_by_key(|&(before, place)| (before, images.labels()[place]));
    order.into_iter().take(count).map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataInfo, ImageShape};
    use crate::progress::{Interrupted, Silent};

    fn data() -> DataSet {
        let shape = ImageShape { channels: 1, height: 4, width: 4 };
        let train = LabelledImages::new(shape, (0..80).collect::<Vec<u8>>(), vec![1, 1, 0, 2, 0]).unwrap();
        let info = DataInfo { name: "t".into(), synthetic: false, shape, classes: ["a", "b", "c"].map(String::from).into() };
        DataSet { info, validation: Some(train.select(&[0])), test: None, train, augmentation: None }
    }

    fn options(text: &str) -> AugmentOptions {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn on_the_fly_leaves_every_image_as_it_was() {
        let options = options(r#"{"data": "x", "flip": "horizontal", "preview": 0}"#);
        let made = augment(data(), &options, Seed::new(1), &Silent).unwrap();
        assert_eq!(made.data, DataSet { augmentation: Some(options.augmentation()), ..data() });
        assert_eq!(made.unchanged, Part::ALL);
        assert!(made.preview.is_none());
    }

    #[test]
    fn copies_are_what_the_epochs_would_show() {
        let options = options(r#"{"data": "x", "shift": 2, "copies": 2}"#);
        let made = augment(data(), &options, Seed::new(1), &Silent).unwrap();
        let (train, original) = (&made.data.train, data().train);
        assert_eq!((train.len(), made.data.augmentation), (15, None));
        assert_eq!(made.unchanged, [Part::Validation, Part::Test]);
        assert_eq!(train.labels(), original.labels().repeat(3));
        assert_eq!(&train.pixels()[..80], original.pixels());
        let augmenter = Augmenter::new(&options.augmentation(), original.shape()).unwrap();
        let mut expected = [0; 16];
        augmenter.apply(Seed::new(1), 2, 3, original.image(3), &mut expected);
        assert_eq!(train.image(10 + 3), expected);
    }

    #[test]
    fn the_preview_shows_each_class_in_turn() {
        assert_eq!(one_of_each_class_in_turn(&data().train, 3, 4), [2, 0, 3, 4]);
        assert_eq!(one_of_each_class_in_turn(&data().train, 3, 99).len(), 5);
        let made = augment(data(), &options(r#"{"data": "x", "shift": 1, "preview": 2}"#), Seed::new(1), &Silent).unwrap();
        let shape = ImageShape { channels: 1, height: 2 * 12 + 4, width: 10 * 12 + 4 };
        assert!(picture::decode(&made.preview.unwrap(), shape).is_ok());
    }

    #[test]
    fn making_copies_can_be_interrupted() {
        struct Stop;
        impl Progress for Stop {
            fn begin(&self, _: &str, _: u64, _: &str) {}
            fn advance(&self, _: u64, _: &str) {}
            fn note(&self, _: &str) {}
            fn warn(&self, _: &str) {}
            fn interrupted(&self) -> bool {
                true
            }
        }
        let result = augment(data(), &options(r#"{"data": "x", "copies": 1}"#), Seed::new(1), &Stop);
        assert!(matches!(result, Err(DataError::Interrupted(Interrupted))));
    }
}
