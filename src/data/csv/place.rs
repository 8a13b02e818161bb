//! Where the label is in a table that does not name it: in the first column or in the last, told by what the columns hold.

use super::number::{is_number, whole};
use super::row::parse_label;
use crate::data::Label;

/// What a column holds that may be the label, a pixel or a number of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    rows: usize,
    /// How many rows hold each label.
    labels: [usize; 256],
    /// How many rows hold what is no number at all.
    words: usize,
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
    /// Of the cells of a column.
    pub(super) fn of<'a>(cells: impl Iterator<Item = &'a [u8]>, classes: &[String]) -> Self {
        let mut profile = Self { rows: 0, labels: [0; 256], words: 0, largest: 0, counts: true };
        let mut before = None;
        for cell in cells {
            let number = whole(cell);
            profile.add(parse_label(cell, classes), number);
            profile.words += usize::from(!std::str::from_utf8(cell.trim_ascii()).is_ok_and(is_number));
            profile.counts &=
                number.is_some() && before.is_none_or(|before: Option<u32>| before.and_then(|b| b.checked_add(1)) == number);
            before = Some(number);
        }
        profile
    }

    /// Of numbers that were read as pixels or labels already; `labels` says which label a number is.
    pub(super) fn of_bytes(values: impl Iterator<Item = u8>, label: impl Fn(u8) -> Option<Label>) -> Self {
        let mut profile = Self { rows: 0, labels: [0; 256], words: 0, largest: 0, counts: false };
        values.for_each(|value| profile.add(label(value), Some(value.into())));
        profile
    }

    fn add(&mut self, label: Option<Label>, number: Option<u32>) {
        self.rows += 1;
        if let Some(label) = label {
            self.labels[usize::from(label)] += 1;
        }
        if let Some(number) = number {
            self.largest = self.largest.max(number);
        }
    }

    fn valid(&self) -> usize {
        self.labels.iter().sum()
    }

    /// Whether nearly all cells are labels; the few that are not will be found when rows are read.
    fn is_labels(&self) -> bool {
        10 * self.valid() >= 9 * self.rows
    }

    /// Whether nearly all cells are words, which no pixel is.
    fn is_words(&self) -> bool {
        self.rows > 0 && 10 * self.words >= 9 * self.rows
    }

    /// Whether no single label has nine of ten rows, as the corner of most pictures has.
    fn is_spread(&self) -> bool {
        10 * self.labels.iter().copied().max().unwrap_or(0) < 9 * self.valid()
    }

    /// Whether the column counts rows, further than labels can.
    pub(super) fn is_index(&self, classes: &[String]) -> bool {
        const LEAST: usize = 4;
        // Where each number is the name of a class, this many classes with one image each, in order, are none.
        const MANY: usize = 16;
        self.counts && self.rows >= LEAST && (self.valid() < self.rows || (is_any_number(classes) && self.rows >= MANY))
    }

    /// Whether the column counts rows, as labels might by chance.
    pub(super) fn counts(&self) -> bool {
        const LEAST: usize = 4;
        self.counts && self.rows >= LEAST
    }

    /// Whether the column may count rows, if something else says so.
    pub(super) fn may_count(&self) -> bool {
        self.counts
    }
}

/// Whether every number that a pixel may have is a label too.
fn is_any_number(classes: &[String]) -> bool {
    classes.len() == 256 && parse_label(b"255", classes) == Some(255) && parse_label(b"0", classes) == Some(0)
}

/// In which of two columns the label is.
///
/// Labels vary and are labels in every row; a pixel at the corner of a picture is mostly black and else anything. Where both
/// columns could be either, nothing is guessed. The first is the usual one: it is meant where nothing speaks for the last.
pub(super) fn label_place(first: &Profile, last: &Profile, classes: &[String]) -> Place {
    const BOTH: &str = "both hold labels in every row";
    const CONSTANT: &str = "nearly all rows of the first hold the same, and the last may hold labels";
    match (first.is_labels(), last.is_labels()) {
        (_, false) if last.is_words() && !first.is_words() => Place::Last,
        (true, false) => {
            // A pixel has more values than labels with a slip in them.
            let may_be_labels = usize::try_from(last.largest).is_ok_and(|largest| largest < 2 * classes.len());
            if !first.is_spread() && may_be_labels && last.rows > 1 { Place::Unclear(CONSTANT) } else { Place::First }
        }
        (false, true) if last.is_spread() => Place::Last,
        (false, _) => Place::First,
        (true, true) => match (first.is_spread(), last.is_spread()) {
            (false, true) => Place::Unclear(CONSTANT),
            (true, true) if is_any_number(classes) && first.largest < last.largest => Place::First,
            (true, true) => Place::Unclear(BOTH),
            (_, false) => Place::First,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(first: &str, last: &str, classes: usize) -> Place {
        let classes: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
        let of = |cells: &str| Profile::of(cells.split(',').map(str::as_bytes), &classes);
        label_place(&of(first), &of(last), &classes)
    }

    #[test]
    fn the_label_is_where_labels_are() {
        let unclear = |place| matches!(place, Place::Unclear(_));
        assert_eq!(place("0,1,2,9,3", "0,0,0,0,0", 10), Place::First, "a black corner");
        assert_eq!(place("0,1,2,9,3", "0,17,99,203,3", 10), Place::First, "a picture without a border");
        assert_eq!(place("0,1,2,9,11", "0,17,99,203,3", 10), Place::First, "a label with a slip");
        assert_eq!(place("99,17,240,203,3", "0,1,2,9,3", 10), Place::Last);
        assert_eq!(place("0,0,0,0,0", "0,0,0,0,0", 10), Place::First, "a single class");
        assert_eq!(place("4,4,4,4,4", "4,240,17,99,203", 10), Place::First, "a single class");
        assert!(unclear(place("0,0,0,0,0", "0,1,2,9,3", 10)));
        assert!(unclear(place("0,0,0,0,0", "1,2,3,1,3", 3)), "labels from 1");
        assert!(unclear(place("0,1,2,9,3", "4,2,2,1,0", 10)));
        assert_eq!(place("0,0,0", "cat,dog,cat", 2), Place::Last, "text is no pixel");
        assert_eq!(place("2,0", "2,4", 256), Place::First);
        assert_eq!(place("2,0,1", "200,4,90", 256), Place::First);
        assert!(unclear(place("200,4,90", "2,0,1", 256)));
        assert_eq!(place("3", "2", 10), Place::First);
    }
}
