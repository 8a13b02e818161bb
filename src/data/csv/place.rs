//! Where the label is in a table that does not name it: in the first column or in the last, told by what the columns hold.

use super::number::{is_number, whole};
use super::row::parse_label;

/// What a column holds that may be the label, a pixel or a number of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    rows: usize,
    /// How many rows hold a label.
    labels: usize,
    /// How many rows hold a word: neither a number nor nothing.
    words: usize,
    /// How many rows hold a whole number, and how many each of those that a pixel may be.
    numbers: usize,
    values: [usize; 256],
    largest: u32,
    /// Whether each number is one more than the one before.
    counts: bool,
}

/// Where the label is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Last,
    /// In either; why that cannot be told.
    Unclear(&'static str),
}

impl Profile {
    fn empty(counts: bool) -> Self {
        Self { rows: 0, labels: 0, words: 0, numbers: 0, values: [0; 256], largest: 0, counts }
    }

    /// Of the cells of a column.
    pub(super) fn of<'a>(cells: impl Iterator<Item = &'a [u8]>, classes: &[String]) -> Self {
        let mut profile = Self::empty(true);
        let mut before = None;
        for cell in cells {
            let number = whole(cell);
            profile.add(parse_label(cell, classes).is_some(), number);
            let text = cell.trim_ascii();
            profile.words += usize::from(!text.is_empty() && !std::str::from_utf8(text).is_ok_and(is_number));
            profile.counts &=
                number.is_some() && before.is_none_or(|before: Option<u32>| before.and_then(|b| b.checked_add(1)) == number);
            before = Some(number);
        }
        profile
    }

    /// Of numbers that were read as pixels or labels already; `is_label` says which of them are labels.
    pub(super) fn of_bytes(values: impl Iterator<Item = u8>, is_label: impl Fn(u8) -> bool) -> Self {
        let mut profile = Self::empty(false);
        values.for_each(|value| profile.add(is_label(value), Some(value.into())));
        profile
    }

    fn add(&mut self, is_label: bool, number: Option<u32>) {
        self.rows += 1;
        self.labels += usize::from(is_label);
        if let Some(number) = number {
            self.numbers += 1;
            self.largest = self.largest.max(number);
            if let Some(count) = usize::try_from(number).ok().and_then(|number| self.values.get_mut(number)) {
                *count += 1;
            }
        }
    }

    fn are_nearly_all(&self, count: usize) -> bool {
        self.rows > 0 && 10 * count >= 9 * self.rows
    }

    /// Whether nearly all cells are words, which no pixel is.
    pub(super) fn is_words(&self) -> bool {
        self.are_nearly_all(self.words)
    }

    /// Whether the cells may be labels: nearly all are, the few that are not will be found when rows are read, or all are so small
    /// that they may be labels that count otherwise.
    fn may_be_labels(&self, classes: &[String]) -> bool {
        let below = |limit: usize| usize::try_from(self.largest).is_ok_and(|largest| largest < limit);
        match is_any_number(classes) {
            true => self.are_nearly_all(self.numbers) && below(BRIGHT as usize),
            false => self.are_nearly_all(self.labels) || (self.are_nearly_all(self.numbers) && below(2 * classes.len())),
        }
    }

    /// Whether no single number has nine of ten rows, as one has at the corner of most pictures and in tables sorted by class.
    fn is_spread(&self) -> bool {
        !self.are_nearly_all(self.values.iter().copied().max().unwrap_or(0))
    }

    /// Whether nearly all cells are 0, as at the corner of most pictures.
    fn is_black(&self) -> bool {
        self.are_nearly_all(self.values[0])
    }

    /// Whether the column counts rows, further than labels can.
    pub(super) fn is_index(&self, classes: &[String]) -> bool {
        const LEAST: usize = 4;
        // Where each number is the name of a class, this many classes with one image each, in order, are none.
        const MANY: usize = 16;
        self.counts && self.rows >= LEAST && (self.labels < self.rows || (is_any_number(classes) && self.rows >= MANY))
    }

    /// Whether the column counts rows, as labels might by chance.
    pub(super) fn counts(&self) -> bool {
        self.counts && self.rows > 1
    }
}

/// Pixels are as bright in any picture that is not dark as a whole. Classes that nobody names are fewer.
const BRIGHT: u32 = 128;

/// Whether every number that a pixel may have is a label too, as it is where nobody names the classes.
fn is_any_number(classes: &[String]) -> bool {
    classes.len() == 256 && parse_label(b"255", classes) == Some(255) && parse_label(b"0", classes) == Some(0)
}

/// In which of two columns the label is; `brightest` is the largest number in the columns between them, which are pixels.
///
/// Words are labels. Among numbers, labels vary, are labels in every row, and are far fewer than the levels of a pixel; a pixel at the
/// corner of a picture is mostly black and else anything. In a table that is sorted by class, or has one class, labels do not vary either.
/// Where both columns could be either, nothing is guessed.
pub(super) fn label_place(first: &Profile, last: &Profile, brightest: u32, classes: &[String]) -> Place {
    match (first.is_words(), last.is_words()) {
        (true, false) => return Place::First,
        (false, true) => return Place::Last,
        _ => {}
    }
    // A column whose numbers go about as far as those of the pixels may be one of these.
    let stands_out = |column: &Profile| column.largest > brightest || column.largest.saturating_mul(2) <= brightest;
    match (first.may_be_labels(classes), last.may_be_labels(classes)) {
        (true, false) if stands_out(first) && (!first.is_black() || last.largest >= BRIGHT) => Place::First,
        (false, true) if stands_out(last) && last.is_spread() => Place::Last,
        (true, true) if stands_out(first) && last.is_black() && !first.is_black() => Place::First,
        // There is no label: the first row will say so.
        (false, false) if !is_any_number(classes) => Place::First,
        _ => Place::Unclear(match (first.is_spread(), last.is_spread()) {
            (true, true) => "both may hold labels",
            (false, true) => "nearly all rows of the first hold the same, and the last may hold labels",
            (true, false) => "nearly all rows of the last hold the same, and the first may hold pixels",
            (false, false) => "nearly all rows of each hold the same",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(count: usize) -> Vec<String> {
        (0..count).map(|class| class.to_string()).collect()
    }

    /// The place of the label in a table of 8-bit pictures.
    fn place(first: &str, last: &str, classes: usize) -> Place {
        among(first, last, 255, &named(classes))
    }

    fn among(first: &str, last: &str, brightest: u32, classes: &[String]) -> Place {
        let of = |cells: &str| Profile::of(cells.split(',').map(str::as_bytes), classes);
        label_place(&of(first), &of(last), brightest, classes)
    }

    fn unclear(place: Place) -> bool {
        matches!(place, Place::Unclear(_))
    }

    #[test]
    fn the_label_is_where_labels_are() {
        assert_eq!(place("0,1,2,9,3", "0,0,0,0,0", 10), Place::First, "a black corner");
        assert_eq!(place("0,1,2,9,3", "0,17,99,203,3", 10), Place::First, "a picture without a border");
        assert_eq!(place("0,1,2,9,11", "0,17,99,203,3", 10), Place::First, "a label with a slip");
        assert_eq!(place("99,17,240,203,3", "0,1,2,9,3", 10), Place::Last);
        assert_eq!(place("4,4,4,4,4", "4,240,17,99,203", 10), Place::First, "a single class");
        assert!(unclear(place("0,0,0,0,0", "0,1,2,9,3", 10)));
        assert!(unclear(place("0,1,2,9,3", "4,2,2,1,0", 10)));
        assert_eq!(place("4711,17,99,203", "12,980,77,4", 3), Place::First, "there is no label");
    }

    #[test]
    fn a_table_of_one_class_is_not_understood_by_a_black_corner() {
        assert!(unclear(place("0,0,0,0", "0,0,0,0", 10)));
        assert!(unclear(place("0,0,0,0", "2,2,2,2", 10)), "one class, last");
        assert_eq!(place("2,2,2,2", "0,0,0,0", 10), Place::First, "no corner is like that");
        assert!(unclear(place("0", "0", 10)) && unclear(place("3", "2", 10)), "one row");
        assert_eq!(place("3", "0", 10), Place::First);
        assert!(unclear(place("155,3,240,17", "0,0,0,0", 10)), "sorted by class, last; or no labels of these classes");
        assert!(unclear(place("0,0,0,0", "12,3,15,4", 3)), "a list of too few classes, last");
        assert!(unclear(place("1,7,1,3", "2,2,2,2", 10)), "a dark corner, one class, last");
    }

    #[test]
    fn labels_that_count_from_1_are_no_reason_to_take_a_pixel_for_the_label() {
        assert!(unclear(place("1,2,3,1,3", "0,1,0,0,1", 3)));
        assert!(unclear(place("0,0,0,0,0", "1,2,3,1,3", 3)));
        assert!(unclear(place("0,1,0,0,1", "1,2,3,1,3", 3)));
    }

    #[test]
    fn in_pictures_of_few_levels_a_pixel_may_look_like_a_label() {
        assert!(unclear(among("0,1,1,0", "0,0,0,0", 1, &named(2))), "black and white, sorted by class, last");
        assert!(unclear(among("1,1,1,1", "0,0,0,0", 1, &named(2))), "likewise, on white");
        assert!(unclear(among("3,9,0,7", "0,0,0,0", 16, &named(10))));
        assert_eq!(among("3,9,0,7", "0,0,0,0", 1, &named(10)), Place::First, "no pixel is like that");
    }

    #[test]
    fn words_tell_the_place_whatever_the_numbers_look_like() {
        let classes = ["cat", "dog"].map(str::to_owned);
        for numbers in ["0,0,0", "0,1,0", "17,99,240"] {
            assert_eq!(among(numbers, "cat,dog,cat", 255, &classes), Place::Last);
            assert_eq!(among("dog,dog,dog", numbers, 255, &classes), Place::First);
        }
        assert_eq!(among("0,0,0", "Cat,Dog,Cat", 255, &classes), Place::Last, "so that the words are named as unknown");
    }

    #[test]
    fn where_nobody_names_the_classes_bright_pixels_are_no_labels() {
        assert_eq!(place("2,0,1", "200,4,90", 256), Place::First);
        assert_eq!(place("200,4,90", "2,0,1", 256), Place::Last);
        assert_eq!(place("5,0,1,9", "0,0,0,0", 256), Place::First);
        assert!(unclear(place("2,0", "2,4", 256)));
        assert!(unclear(among("12,3,16,0", "29,3,17,0", 16, &named(256))), "sixteen levels and thirty classes, last");
        assert!(unclear(place("200,4,90", "190,7,3", 256)));
        assert!(unclear(place("255,255,255", "0,0,0", 256)), "a white corner and one class, last");
    }
}
