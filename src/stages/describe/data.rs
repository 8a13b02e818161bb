//! Data for the page: counts, pixel statistics, samples, means, duplicates, augmentation.

use anyhow::Result;

use super::models::facts;
use super::pictures::picture;
use crate::data::augment::Augmenter;
use crate::data::merge::MergeReport;
use crate::data::{DataSet, Label, LabelledImages};
use crate::report::{
    AugmentationReport, AugmentedPicture, ClassPicture, ClassPictures, DataReport, DuplicatesReport, PartReport, Picture,
};
use crate::seed::Seed;

/// Sample images of each class.
const SAMPLES_PER_CLASS: usize = 8;

/// Images shown with variants, and variants of each.
const AUGMENTED: usize = 5;
const VARIANTS: usize = 8;

/// Everything the page says about the data.
pub(in crate::stages) fn describe(data: &DataSet, merge: Option<&MergeReport>) -> Result<DataReport> {
    let classes = data.info.classes.len();
    let parts = [("train", Some(&data.train)), ("validation", data.validation.as_ref()), ("test", data.test.as_ref())];
    Ok(DataReport {
        name: data.info.name.clone(),
        synthetic: data.info.synthetic,
        shape: data.info.shape,
        parts: parts.into_iter().filter_map(|(name, part)| Some(statistics(name, part?, classes))).collect(),
        samples: samples(&data.train, classes)?,
        means: means(&data.train, classes)?,
        duplicates: merge.map(|merge| DuplicatesReport {
            train: merge.duplicates.images as u64,
            conflicting: merge.duplicates.conflicting as u64,
            overlap: merge.overlap.as_ref().map_or(0, |overlap| overlap.images as u64),
        }),
        augmentation: augmentation(data)?,
    })
}

fn statistics(name: &str, part: &LabelledImages, classes: usize) -> PartReport {
    // A histogram of byte values gives every statistic exactly.
    let mut histogram = [0u64; 256];
    for &pixel in part.pixels() {
        histogram[usize::from(pixel)] += 1;
    }
    let count = part.pixels().len().max(1) as f64;
    let moment = |power: i32| {
        (0u16..256).zip(histogram).map(|(value, count)| f64::from(value).powi(power) * count as f64).sum::<f64>() / count
    };
    let mean = moment(1);
    PartReport {
        name: name.to_owned(),
        class_counts: part.class_counts(classes).into_iter().map(|count| count as u64).collect(),
        pixel_mean: mean,
        pixel_deviation: (moment(2) - mean * mean).max(0.0).sqrt(),
        zero_share: histogram[0] as f64 / count,
    }
}

fn samples(part: &LabelledImages, classes: usize) -> Result<Vec<ClassPictures>> {
    (0..classes)
        .map(|class| {
            let rows = (0..part.len()).filter(|&row| usize::from(part.labels()[row]) == class).take(SAMPLES_PER_CLASS);
            let pictures = rows.map(|row| picture(part, row)).collect::<Result<_>>()?;
            Ok(ClassPictures { label: class as Label, pictures })
        })
        .collect()
}

fn means(part: &LabelledImages, classes: usize) -> Result<Vec<ClassPicture>> {
    let size = part.shape().pixels();
    let mut sums = vec![vec![0u64; size]; classes];
    for row in 0..part.len() {
        for (sum, &pixel) in sums[usize::from(part.labels()[row])].iter_mut().zip(part.image(row)) {
            *sum += u64::from(pixel);
        }
    }
    let counts = part.class_counts(classes);
    (0..classes)
        .filter(|&class| counts[class] > 0)
        .map(|class| {
            let pixels: Vec<u8> = sums[class].iter().map(|sum| (sum / counts[class] as u64) as u8).collect();
            Ok(ClassPicture { label: class as Label, picture: Picture::new(part.shape(), pixels)? })
        })
        .collect()
}

fn augmentation(data: &DataSet) -> Result<Option<AugmentationReport>> {
    let Some(augmentation) = &data.augmentation else { return Ok(None) };
    let augmenter = Augmenter::new(augmentation, data.info.shape)?;
    let mut examples = Vec::new();
    for row in 0..data.train.len().min(AUGMENTED) {
        let mut variants = Vec::new();
        for epoch in 0..VARIANTS {
            let mut pixels = vec![0; data.info.shape.pixels()];
            augmenter.apply(Seed::new(0), epoch as u64, row as u64, data.train.image(row), &mut pixels);
            variants.push(Picture::new(data.info.shape, pixels)?);
        }
        examples.push(AugmentedPicture { original: picture(&data.train, row)?, variants });
    }
    Ok(Some(AugmentationReport { settings: facts(&serde_json::to_value(augmentation)?), examples }))
}
