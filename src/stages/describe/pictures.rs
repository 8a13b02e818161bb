//! Pictures for the page: which test images two models get wrong, and what one model says of sample images.

use anyhow::Result;
use ndarray::ArrayView1;

use crate::data::{Label, LabelledImages};
use crate::metrics::{Probabilities, argmax};
use crate::progress::Progress;
use crate::report::{ComparedPicture, MistakesReport, Picture, PredictedPicture, Prediction, PredictionsReport};
use crate::stages::model::{Model, Part};

/// How many images of each group (corrected, introduced, shared) are shown.
const SHOWN_OF_GROUP: usize = 12;

/// How many sample images are shown with their probabilities.
const SAMPLES: usize = 12;

/// The mistakes of two models on the test part, side by side.
pub(in crate::stages) fn mistakes(
    first: &Model,
    second: &Model,
    test: &LabelledImages,
    progress: &dyn Progress,
) -> Result<MistakesReport> {
    let before = first.predictions(Part::Test, test, progress)?;
    let after = second.predictions(Part::Test, test, progress)?;
    let groups = group(test.labels(), &before, &after);
    let mut pictures = Vec::new();
    for rows in [&groups.corrected, &groups.introduced, &groups.shared] {
        for &row in spread(rows, SHOWN_OF_GROUP).iter() {
            pictures.push(ComparedPicture {
                row: row as u64,
                picture: picture(test, row)?,
                truth: test.labels()[row],
                first: prediction(before.row(row)),
                second: prediction(after.row(row)),
            });
        }
    }
    let (one, other) = (&first.record.name, &second.record.name);
    Ok(MistakesReport {
        title: format!("{one} against {other}"),
        first: one.to_string(),
        second: other.to_string(),
        corrected: groups.corrected.len() as u64,
        introduced: groups.introduced.len() as u64,
        shared: groups.shared.len() as u64,
        pictures,
    })
}

/// What a model says of test images: evenly spread ones, so that every class and difficulty has a chance.
pub(in crate::stages) fn predictions(model: &Model, test: &LabelledImages, progress: &dyn Progress) -> Result<PredictionsReport> {
    let predicted = model.predictions(Part::Test, test, progress)?;
    let rows: Vec<usize> = (0..test.len()).collect();
    let pictures = spread(&rows, SAMPLES)
        .into_iter()
        .map(|row| {
            Ok(PredictedPicture {
                row: row as u64,
                picture: picture(test, row)?,
                truth: Some(test.labels()[row]),
                probabilities: predicted.row(row).to_vec(),
            })
        })
        .collect::<Result<_>>()?;
    Ok(PredictionsReport { model: model.record.name.to_string(), pictures })
}

/// Rows by who is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct Groups {
    /// Only the first model.
    corrected: Vec<usize>,
    /// Only the second.
    introduced: Vec<usize>,
    /// Both.
    shared: Vec<usize>,
}

fn group(labels: &[Label], first: &Probabilities, second: &Probabilities) -> Groups {
    let mut groups = Groups::default();
    for (row, &label) in labels.iter().enumerate() {
        let wrong = |predicted: &Probabilities| argmax(predicted.row(row)) != usize::from(label);
        match (wrong(first), wrong(second)) {
            (true, false) => groups.corrected.push(row),
            (false, true) => groups.introduced.push(row),
            (true, true) => groups.shared.push(row),
            (false, false) => {}
        }
    }
    groups
}

/// At most `count` of `rows`, evenly spread.
fn spread(rows: &[usize], count: usize) -> Vec<usize> {
    let shown = rows.len().min(count);
    (0..shown).map(|index| rows[index * rows.len() / shown]).collect()
}

/// One image of a part as a picture.
pub(super) fn picture(images: &LabelledImages, row: usize) -> Result<Picture> {
    Ok(Picture::new(images.shape(), images.image(row))?)
}

fn prediction(row: ArrayView1<'_, f32>) -> Prediction {
    let label = argmax(row);
    Prediction { label: label as Label, confidence: row[label] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn rows_are_grouped_by_who_is_wrong() {
        let first = array![[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]];
        let second = array![[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]];
        let groups = group(&[0, 1, 1, 0], &first, &second);
        assert_eq!(groups, Groups { corrected: vec![1], introduced: vec![2], shared: vec![3] });
    }

    #[test]
    fn a_spread_covers_the_whole_and_keeps_short_lists() {
        assert_eq!(spread(&[3, 5], 4), [3, 5]);
        assert_eq!(spread(&(0..100).collect::<Vec<_>>(), 4), [0, 25, 50, 75]);
        assert!(spread(&[], 4).is_empty());
    }
}
