//! How much is shown of what may be there without end: classes, models, pictures, points. A page stays below ten megabytes
//! whatever it is about; where something is left out, the page says so and names the file that has it.
//!
//! Each kind of content has a share of the page for all models together, so what is shown of each becomes less with their
//! number. The shares are rounded estimates of what a browser is given: a cell of a matrix takes some 200 bytes, a row
//! of scores 330, a point to hover at 230.

use super::Picture;

/// Models that have sections of their own.
pub(super) const DETAILED: usize = 60;
/// Cells of all confusion matrices together.
const CELLS: usize = 18_000;
/// The most classes of one matrix.
const MATRIX: usize = 30;
/// Rows of all tables of classes together.
const CLASS_ROWS: usize = 4_000;
/// Bytes of all classification reports together.
const REPORT_TEXT: usize = 500_000;
/// Models that are tested against each other in pairs.
pub(super) const PAIRED: usize = 40;
/// Rows of all tables of trials together, and values in them.
const TRIAL_VALUES: usize = 12_000;
/// Kernels of all models together.
const FILTERS: usize = 2_000;
/// Points of a line that have a hover text, and those that it goes through.
pub(super) const HOVER_POINTS: usize = 40;
/// See [`HOVER_POINTS`].
pub(super) const LINE_POINTS: usize = 400;
/// Points of a chart of points.
pub(super) const LOOSE_POINTS: usize = 600;
/// Bytes of all pictures of one kind.
const PICTURES: usize = 2_000_000;

/// How many models share what is shown of each.
fn of_each(models: usize) -> usize {
    models.clamp(1, DETAILED)
}

/// The most classes that the confusion matrix of each of `models` shows.
pub(super) fn matrix_classes(models: usize) -> usize {
    (CELLS / of_each(models)).isqrt().clamp(4, MATRIX)
}

/// The most rows of the table of classes of each of `models`.
pub(super) fn class_rows(models: usize) -> usize {
    (CLASS_ROWS / of_each(models)).max(5)
}

/// Whether the classification reports of `models`, as long as `text`, are shown.
pub(super) fn has_room_for_reports(models: usize, text: &str) -> bool {
    text.len().saturating_mul(of_each(models)) <= REPORT_TEXT
}

/// The most rows of the table of trials of each of `searches`, with so many `parameters`.
pub(super) fn trial_rows(searches: usize, parameters: usize) -> usize {
    (TRIAL_VALUES / searches.max(1) / (parameters + 4)).max(10)
}

/// The most kernels that are shown of each of `models`.
pub(super) fn filters(models: usize) -> usize {
    (FILTERS / of_each(models)).max(8)
}

/// How many pictures like `picture`, shown with `side` pixels, have room where `kinds` such lots share it.
pub(super) fn pictures(picture: &Picture, side: usize, kinds: usize) -> usize {
    PICTURES / kinds.max(1) / picture.shown(side).most_bytes()
}

/// The positions of `count` of `all` things, evenly spread, the first and the last among them.
pub(super) fn spread(all: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(all);
    (0..count).map(move |index| if count > 1 { index * (all - 1) / (count - 1) } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_each_falls_with_their_number() {
        assert_eq!([1, 4, 20, 31, 1000, 100_000].map(matrix_classes), [30, 30, 30, 24, 17, 17]);
        assert_eq!([0, 1, 31].map(class_rows), [4000, 4000, 129]);
        assert!(has_room_for_reports(4, &"x".repeat(1000)) && !has_room_for_reports(31, &"x".repeat(70_000)));
        assert_eq!((trial_rows(1, 4), trial_rows(100, 100)), (1500, 10));
    }

    #[test]
    fn places_are_spread_from_end_to_end() {
        assert_eq!(spread(10, 4).collect::<Vec<_>>(), [0, 3, 6, 9]);
        assert_eq!(spread(3, 40).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(5, 1).collect::<Vec<_>>(), [0]);
        assert_eq!(spread(0, 5).count(), 0);
    }
}
