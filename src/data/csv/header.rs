//! Whether the first row of a table holds the names of its columns or an image.

use std::collections::HashMap;

use super::number::{is_number, whole};
use super::options::Header;
use super::row::parse_label;
use super::{CsvOptions, Wanted};

/// What the first row of a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstRow {
    /// An image.
    Image,
    /// An image, most likely, though its few numbers count up as names might.
    CountingImage,
    /// The names of the columns.
    Names,
    /// The names of the columns: numbers that count them, or places of pixels.
    Numbers,
    /// An image whose cells were once taken for names, and made different: `0`, `0.1`, `0.2`.
    Mangled,
}

/// Fewer numbers than these are no header: rows of very small images may well hold them.
const LEAST: usize = 4;

/// What the first row is, by its cells.
pub(super) fn first_row(cells: &[String], wanted: &Wanted<'_>) -> FirstRow {
    let CsvOptions { header, label, pixels, .. } = wanted.columns;
    match header {
        Header::Yes => return FirstRow::Names,
        Header::No => return FirstRow::Image,
        Header::Auto => {}
    }
    let numbers: Vec<&str> = cells.iter().map(String::as_str).filter(|cell| is_number(cell)).collect();
    // A number names no column here: the label's is its place, and of pixels it may be the value.
    let names_something = |cell: &String| !is_number(cell) && (cell == label || pixels.fits(cell));
    if cells.iter().any(names_something) || 2 * numbers.len() < cells.len() {
        return FirstRow::Names;
    }
    let is_class = |cell: &String| !is_number(cell) && parse_label(cell.as_bytes(), wanted.classes).is_some();
    if cells.iter().any(is_class) {
        return FirstRow::Image;
    }
    if numbers.len() < LEAST {
        let counts = numbers.len() > 1 && numbers.len() == cells.len() && count(&numbers);
        return if counts { FirstRow::CountingImage } else { FirstRow::Image };
    }
    if count(&numbers) || are_places(&numbers) {
        return FirstRow::Numbers;
    }
    if are_mangled(&numbers) { FirstRow::Mangled } else { FirstRow::Image }
}

/// Whether numbers go up one by one, from 0 or 1: `0`, `1`, `2` or `0.0`, `1.0`, `2.0`.
fn count(numbers: &[&str]) -> bool {
    let base = numbers.first().and_then(|first| whole(first.as_bytes()));
    let follows = |(index, number): (usize, &&str)| {
        let expected = base.and_then(|base| base.checked_add(u32::try_from(index).ok()?));
        whole(number.as_bytes()) == expected && expected.is_some()
    };
    base.is_some_and(|base| base <= 1) && numbers.iter().enumerate().all(follows)
}

/// Whether numbers are rows and columns of a grid, the columns faster: `0.0`, `0.1`, `1.0`, `1.1`.
fn are_places(numbers: &[&str]) -> bool {
    let place = |number: &&str| -> Option<(u32, u32)> {
        let (row, column) = number.split_once('.')?;
        Some((row.parse().ok()?, column.parse().ok()?))
    };
    let Some(places) = numbers.iter().map(place).collect::<Option<Vec<_>>>() else { return false };
    let (Some(&(top, left)), Some(&(bottom, right))) = (places.first(), places.last()) else { return false };
    if top > 1 || left > 1 || bottom <= top || right <= left {
        return false;
    }
    places.into_iter().eq((top..=bottom).flat_map(|row| (left..=right).map(move |column| (row, column))))
}

/// Whether cells are numbers of which the second `0` is written `0.1`, the third `0.2`: so are names made different that occur again.
fn are_mangled(numbers: &[&str]) -> bool {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut repeats = 0;
    for number in numbers {
        let (value, time) = number.split_once('.').unwrap_or((number, "0"));
        let times = seen.entry(value).or_default();
        if value.parse::<u8>().is_err() || time.parse() != Ok(*times) || (*times == 0) == number.contains('.') {
            return false;
        }
        repeats += usize::from(*times > 0);
        *times += 1;
    }
    repeats > 0
}

#[cfg(test)]
mod tests {
    use super::super::LabelColumn;
    use super::*;
    use crate::data::ImageShape;

    fn of(cells: &str, options: &str) -> FirstRow {
        let cells: Vec<String> = cells.split(',').map(str::to_owned).collect();
        let classes = ["Bag", "Coat", "Dress"].map(str::to_owned);
        let wanted = Wanted {
            columns: &serde_json::from_str(options).unwrap(),
            shape: ImageShape { channels: 1, height: 2, width: 2 },
            classes: &classes,
            label: LabelColumn::Required,
            passthrough: &[],
        };
        first_row(&cells, &wanted)
    }

    #[test]
    fn numbers_that_count_columns_are_a_header() {
        for (cells, expected) in [
            ("label,pixel1,pixel2", FirstRow::Names),
            ("label,0,1,2,3", FirstRow::Names),
            ("a,b,c,1,2", FirstRow::Names),
            ("0,1,2,3", FirstRow::Numbers),
            ("1,2,3,4,5", FirstRow::Numbers),
            (",0,1,2,3", FirstRow::Numbers),
            ("0.0,1.0,2.0,3.0", FirstRow::Numbers),
            ("0.0,0.1,1.0,1.1", FirstRow::Numbers),
            ("y,1,2,3,4", FirstRow::Numbers),
            ("6,0,0.1,0.2,255,0.3,255.1", FirstRow::Mangled),
            ("9,0,0,255,12", FirstRow::Image),
            ("Bag,0,1,2,3", FirstRow::Image),
            ("Bag,0,0,255,12", FirstRow::Image),
            ("0,1,2", FirstRow::CountingImage),
            ("0,2,1", FirstRow::Image),
            ("2,3,4,5", FirstRow::Image),
            ("0,1,2,4", FirstRow::Image),
            ("0.5,0.25,0.1,0.3", FirstRow::Image),
            ("0.0,1.0,0.0,3.0", FirstRow::Image),
            ("0,0.0,0.1,0.2", FirstRow::Image),
        ] {
            assert_eq!(of(cells, "{}"), expected, "{cells}");
        }
        assert_eq!(of("3,1,200,100,9", r#"{"label": 1}"#), FirstRow::Image, "a place is no name");
        assert_eq!(of("0,1,2,3,4", r#"{"label": "0"}"#), FirstRow::Numbers);
    }
}
