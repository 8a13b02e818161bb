//! From the first rows of a CSV file to the meaning of its columns.

use std::collections::HashMap;

use ::csv::ByteRecord;

use super::fault::{LayoutError, few, is_plain};
use super::header::{FirstRow, first_row};
use super::number::{is_number, whole};
use super::options::USUAL_LABEL;
use super::pattern::{self, Inferred};
use super::place::{Place, Profile, label_place};
use super::row::parse_label;
use super::{Advice, CsvOptions, Header, Note, PixelPattern, Setting};
use crate::data::{ImageShape, Label};
use crate::quote::excerpt;

/// Whether a file must have a label column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelColumn {
    /// It must: to train and test.
    Required,
    /// It may: to score.
    Optional,
}

/// What a table is to be read as.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// How its columns are to be understood.
    pub columns: &'a CsvOptions,
    /// The shape of the images.
    pub shape: ImageShape,
    /// The name of each class; its position is the label.
    pub classes: &'a [String],
    /// Whether there must be labels.
    pub label: LabelColumn,
    /// Columns to be passed through, by name.
    pub passthrough: &'a [String],
}

/// One column of a CSV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its place, counted from 0.
    pub index: usize,
    /// Its name in the header.
    pub name: String,
}

/// What each column of a CSV file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvLayout {
    pub(super) has_header: bool,
    pub(super) names: Vec<String>, // of every column
    pub(super) label: Option<usize>,
    pub(super) pixels: Vec<usize>, // the column of each pixel, [C, H, W]
    passed: Vec<Column>,
    notes: Vec<Note>,
    /// Whether the place of the label was told by what the first rows hold.
    is_guess: bool,
}

impl CsvLayout {
    /// Understands the columns of a file from its first record and some that follow.
    ///
    /// Columns to be passed through are found by name and reported by [`CsvLayout::passed`]. A column that is neither that nor label nor
    /// pixel nor ignored must be known to say nothing about images, as an index; every other is an error.
    ///
    /// # Errors
    /// Says which columns are missing, superfluous or named twice, or what can be understood in two ways.
    ///
    /// # Panics
    /// When there is no record.
    pub fn new(head: &[ByteRecord], wanted: &Wanted<'_>) -> Result<Self, LayoutError> {
        let first = head.first().expect("a table has a first record");
        let cells: Vec<String> = first.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
        let first_row = first_row(&cells, wanted);
        let note = note_on_first_row(first_row, &cells);
        let Wanted { columns: CsvOptions { label, ignore, .. }, .. } = wanted;
        let label = number_of(label, cells.len());
        let is_ignored = |index: usize| ignore.iter().any(|place| number_of(place, cells.len()) == Some(index));
        let left = (0..cells.len()).filter(|&index| label != Some(index) && !is_ignored(index)).collect();
        let mut layout = match first_row {
            FirstRow::Image | FirstRow::CountingImage => Self::by_place(None, label, left, head, wanted),
            FirstRow::Mangled => Self::by_place(Some(cells), label, left, head, wanted),
            FirstRow::Names | FirstRow::Numbers => Self::by_name(cells, head, wanted),
        }?;
        layout.notes.extend(note);
        Ok(layout)
    }

    fn by_name(names: Vec<String>, head: &[ByteRecord], wanted: &Wanted<'_>) -> Result<Self, LayoutError> {
        let Wanted { columns, shape, passthrough, .. } = *wanted;
        check_names(&names)?;
        let label = place_of(&columns.label, &names);
        let passed = passed_through(passthrough, &names)?;
        // Whether a column is passed through has no say in what it is.
        let rest: Vec<usize> =
            (0..names.len()).filter(|&index| label != Some(index) && !columns.ignore.contains(&names[index])).collect();
        let named: Vec<&str> = rest.iter().map(|&index| names[index].as_str()).collect();
        let mut notes = Vec::new();
        let found = if named.iter().any(|name| columns.pixels.fits(name)) {
            Some(columns.pixels.clone())
        } else if columns.pixels == PixelPattern::usual() {
            inferred(&named, shape)?
        } else {
            None
        };
        let Some(pattern) = found else {
            if columns.pixels == PixelPattern::usual()
                && (label.is_some() || columns.label == USUAL_LABEL)
                && let Some(left) = counting_columns(&names, label, shape, wanted)?
            {
                let is_told = is_number(&names[left[0]]); // by what is said of the first row
                let text =
                    format!("the names of the columns ({}) only count them", few(&names[..names.len().min(4)], names.len()));
                let mut layout = Self::by_place(Some(names), label, left, head, wanted)?;
                layout.notes.extend((!is_told).then_some(Note { text, advice: None }));
                return Ok(layout);
            }
            let would_do =
                |pattern: &PixelPattern| !pattern.fits(&columns.label) && pixel_columns(&names, &rest, pattern, shape).is_ok();
            return Err(LayoutError::NoPixels {
                pattern: columns.pixels.clone(),
                columns: names.len(),
                example: names.iter().take(3).cloned().collect(),
                suggestion: pattern::likely(named.iter().copied()).filter(would_do),
            });
        };
        let pixels = pixel_columns(&names, &rest, &pattern, shape)?;
        if pattern != columns.pixels {
            let text = format!("the columns of the pixels are `{}`", excerpt(&pattern.to_string()));
            let advice = Advice::new("to make sure of that", Setting::Pixels(pattern.clone()));
            let can_be_set = is_plain(&pattern.to_string()) && !pattern.fits(&columns.label);
            notes.push(Note { text, advice: Some(advice).filter(|_| can_be_set) });
        }
        let mut layout = Self { has_header: true, names, label, pixels, passed, notes, is_guess: false };
        let others = layout.others(wanted);
        if label.is_none() && wanted.label == LabelColumn::Required {
            return Err(LayoutError::NoLabel { label: columns.label.clone(), header: true, others });
        }
        let unknown: Vec<String> = others.iter().filter(|name| !says_nothing(name)).cloned().collect();
        if !unknown.is_empty() {
            return Err(LayoutError::Unknown { names: unknown });
        }
        layout.notes.extend(others.iter().map(|name| passed_over(name)));
        if label.is_none() && columns.label != USUAL_LABEL {
            let text = format!("no column is called `{}`, so there are no labels", excerpt(&columns.label));
            layout.notes.push(Note { text, advice: None });
        }
        Ok(layout)
    }

    /// The names of the columns that are neither label nor pixel nor asked for.
    fn others(&self, wanted: &Wanted<'_>) -> Vec<String> {
        let mut is_used = vec![false; self.names.len()];
        self.pixels.iter().chain(&self.label).for_each(|&column| is_used[column] = true);
        let Wanted { columns, passthrough, .. } = wanted;
        let is_asked_for = |name: &String| passthrough.contains(name) || columns.ignore.contains(name);
        if columns.ignore.iter().any(|name| name == "*") {
            return Vec::new();
        }
        let others = self.names.iter().zip(is_used).filter(|(name, is_used)| !is_used && !is_asked_for(name));
        let mut others: Vec<String> = others.map(|(name, _)| name.clone()).collect();
        others.sort_by_key(|name| says_nothing(name)); // those that may mean something first
        others
    }

    /// Understands columns whose names say nothing, or that have none: perhaps an index, the label first or last, and the pixels. `label` is
    /// given, or among the columns that are `left`, in their order.
    fn by_place(
        names: Option<Vec<String>>,
        mut label: Option<usize>,
        mut left: Vec<usize>,
        head: &[ByteRecord],
        wanted: &Wanted<'_>,
    ) -> Result<Self, LayoutError> {
        let Wanted { columns: options, shape, classes, passthrough, .. } = *wanted;
        let has_header = names.is_some();
        let (width, rows) = (head[0].len(), &head[usize::from(has_header)..]);
        let cells = |column: usize| {
            let of_width = rows.iter().filter(move |row| row.len() == width);
            of_width.map(move |row| row.get(column).unwrap_or_default())
        };
        let profile = |column: usize| Profile::of(cells(column), classes);
        let surplus = |left: &[usize]| left.len().checked_sub(shape.pixels());
        let called = |column: usize| option_for(column, names.as_deref(), width);
        let mut notes = Vec::new();
        if let (Some(1..), Some(&last)) = (surplus(&left), left.last())
            && cells(last).next().is_some()
            && cells(last).all(|cell| cell.trim_ascii().is_empty())
        {
            left.pop();
            notes.push(Note { text: "the last column is empty and is passed over".to_owned(), advice: None });
        }
        let mut index = None;
        if let (Some(wide @ 1..), Some(&first)) = (surplus(&left), left.first()) {
            let first_column = profile(first);
            // With a label known, or two columns too many, whatever counts is an index.
            let spare = wide + usize::from(label.is_some());
            if first_column.is_index(classes) || (spare == 2 && first_column.counts()) {
                left.remove(0);
                index = Some(first);
                let advice = Advice::new("if it is the label", Setting::Label(called(first)));
                let text = "the first column counts the rows and is passed over".to_owned();
                notes.push(Note { text, advice: Some(advice).filter(|_| label.is_none()) });
            } else if spare == 1 && first_column.counts() && label.is_none() {
                let ignore = Setting::Ignore(vec!["first".to_owned()]);
                let advice = Advice::new("if it only counts the rows", ignore);
                let text = "the first column is taken for the label, though it counts up".to_owned();
                notes.push(Note { text, advice: Some(advice).filter(|_| !has_header) });
            }
        }
        let mut is_guess = false;
        if let (Some(1), None, [first, between @ .., last]) = (surplus(&left), label, left.as_slice()) {
            let numbers = between.iter().flat_map(|&column| cells(column).filter_map(whole));
            let brightest = numbers.max().unwrap_or(0);
            let (first_column, last_column) = (profile(*first), profile(*last));
            let place = match label_place(&first_column, &last_column, brightest, classes) {
                Place::Unclear(why) => {
                    return Err(LayoutError::UnclearLabel { why, first: called(*first), last: called(*last) });
                }
                Place::First => *first,
                Place::Last => {
                    let text = "the label is taken from the last column".to_owned();
                    let advice = Advice::new("if it is the first", Setting::Label(called(*first)));
                    notes.push(Note { text, advice: Some(advice) });
                    *last
                }
            };
            (label, is_guess) = (Some(place), !first_column.is_words() && !last_column.is_words());
            left.retain(|&column| column != place);
        }
        if left.len() != shape.pixels() {
            let told = if has_header { "the header only counts the columns" } else { "the file has no header" };
            let can_be_ignored = !has_header && options.ignore.is_empty();
            let is_one_too_many = can_be_ignored && left.len() == shape.pixels() + 1 + usize::from(label.is_none());
            return Err(LayoutError::Width { told, columns: left.len() + usize::from(label.is_some()), shape, is_one_too_many });
        }
        if label.is_none() && wanted.label == LabelColumn::Required {
            let (label, others) = (options.label.clone(), Vec::new());
            return Err(match index {
                Some(index) => LayoutError::OnlyIndex { index: called(index) },
                None => LayoutError::NoLabel { label, header: has_header, others },
            });
        }
        let label_name = if number_of(&options.label, width).is_some() { USUAL_LABEL } else { &options.label };
        let made_up = |column: usize| match left.binary_search(&column) {
            Ok(pixel) => options.pixels.name_of(pixel, [1; 3], shape),
            Err(_) if label == Some(column) => label_name.to_owned(),
            Err(_) => String::new(),
        };
        let passed = passed_through(passthrough, names.as_deref().unwrap_or_default())?;
        let names = names.unwrap_or_else(|| (0..width).map(made_up).collect());
        Ok(Self { has_header, names, label, pixels: left, passed, notes, is_guess })
    }

    /// Checks the place of the label, if the first rows told it, by what all rows hold; `labels` and `pixels`, `[N, C, H, W]`, are what was
    /// read.
    ///
    /// # Errors
    /// When all rows say otherwise than the first ones.
    pub fn check_label_place(&self, labels: &[Label], pixels: &[u8], classes: &[String]) -> Result<(), LayoutError> {
        let (Some(is_first), size) = (self.guess(), self.pixels.len()) else { return Ok(()) };
        // As numbers of the table, as the first rows were looked at.
        let mut numbers = [0; 256];
        let mut is_label = [false; 256];
        for (label, number) in numbers.iter_mut().enumerate() {
            let named = classes.get(label).and_then(|class| whole(class.as_bytes()));
            *number = named.and_then(|number| u8::try_from(number).ok()).unwrap_or(label as u8);
        }
        for (number, is_label) in is_label.iter_mut().enumerate() {
            *is_label = parse_label(number.to_string().as_bytes(), classes).is_some();
        }
        let label_column = Profile::of_bytes(labels.iter().map(|&label| numbers[usize::from(label)]), |_| true);
        let (other, between) = if is_first { (size - 1, 0..size - 1) } else { (0, 1..size) };
        let pixel_column =
            Profile::of_bytes(pixels.iter().skip(other).step_by(size).copied(), |value| is_label[usize::from(value)]);
        let brightest_of = |image: &[u8]| image[between.clone()].iter().copied().max();
        let brightest = pixels.chunks_exact(size).filter_map(brightest_of).max().unwrap_or(0);
        let (first, last) = if is_first { (label_column, pixel_column) } else { (pixel_column, label_column) };
        match label_place(&first, &last, brightest.into(), classes) {
            Place::First if is_first => Ok(()),
            Place::Last if !is_first => Ok(()),
            Place::Unclear(why) => Err(self.unclear_label(why)),
            _ => Err(self.unclear_label("the first rows say otherwise than all of them")),
        }
    }

    /// Whether the label is in the first column, if only what the rows hold tells where it is.
    pub fn guess(&self) -> Option<bool> {
        let label = self.label.filter(|_| self.is_guess)?;
        self.pixels.first().map(|&pixel| label < pixel)
    }

    /// The error that the label may as well be at the other end of the pixels.
    pub fn unclear_label(&self, why: &'static str) -> LayoutError {
        let called = |column: usize| option_for(column, self.has_header.then_some(self.names.as_slice()), self.names.len());
        let ends = || self.pixels.iter().chain(&self.label).copied();
        LayoutError::UnclearLabel { why, first: called(ends().min().unwrap_or(0)), last: called(ends().max().unwrap_or(0)) }
    }

    /// Whether the first record held names and is not an image.
    pub fn has_header(&self) -> bool {
        self.has_header
    }

    /// How many columns a row has.
    pub fn columns(&self) -> usize {
        self.names.len()
    }

    /// The name of column `index`, counted from 0: as in the header, or made up from the options.
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// The column of the label, counted from 0.
    pub fn label(&self) -> Option<usize> {
        self.label
    }

    /// The columns to pass through, in the order in which they were asked for.
    pub fn passed(&self) -> &[Column] {
        &self.passed
    }

    /// What was decided without being asked for.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// How the columns of `other` differ from these: what parts of one data set may not do.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.has_header != other.has_header {
            let says = |layout: &Self| if layout.has_header { "has a header" } else { "has no header" };
            return Some(format!("one {}, the other {}", says(self), says(other)));
        }
        if self.names.len() != other.names.len() {
            return Some(format!("one has {} columns, the other {}", self.names.len(), other.names.len()));
        }
        let mut differing = self.names.iter().zip(&other.names).enumerate().filter(|(_, (a, b))| a != b);
        let (index, (a, b)) = differing.next()?;
        let rest = match differing.count() {
            0 => String::new(),
            more => format!(" ({} columns differ)", more + 1),
        };
        Some(format!("column {} is `{}` in one and `{}` in the other{rest}", index + 1, excerpt(a), excerpt(b)))
    }
}

/// The shape of gray images whose rows and columns the names in a header count, if they do.
pub fn shape_told(header: &ByteRecord) -> Option<ImageShape> {
    let names: Vec<String> = header.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
    let (height, width) = pattern::grid(names.iter().map(String::as_str))?;
    Some(ImageShape { channels: 1, height, width })
}

/// Names must be different, and text.
fn check_names(names: &[String]) -> Result<(), LayoutError> {
    let mut seen: HashMap<&str, usize> = HashMap::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        if name.chars().any(char::is_control) {
            return Err(LayoutError::ControlCharacters { column: index + 1, name: name.clone() });
        }
        // Columns without a name say nothing, however many there are.
        if let Some(first) = seen.insert(name, index)
            && !name.is_empty()
        {
            return Err(LayoutError::Twice { name: name.clone(), first: first + 1, second: index + 1 });
        }
    }
    Ok(())
}

/// The column that a text means: by its name, or else by its place.
fn place_of(text: &str, names: &[String]) -> Option<usize> {
    names.iter().position(|name| name == text).or_else(|| number_of(text, names.len()))
}

/// The column, counted from 0, that `first`, `last` or a number, counted from 1, means.
fn number_of(text: &str, columns: usize) -> Option<usize> {
    match text {
        "first" => (columns > 0).then_some(0),
        "last" => columns.checked_sub(1),
        number => number.parse::<usize>().ok()?.checked_sub(1).filter(|&index| index < columns),
    }
}

/// How options call a column: by its name, or else by its place.
fn option_for(column: usize, names: Option<&[String]>, width: usize) -> String {
    match names.map(|names| &names[column]).filter(|name| !name.is_empty() && is_plain(name)) {
        Some(name) => name.clone(),
        None if column == 0 => "first".to_owned(),
        None if column + 1 == width => "last".to_owned(),
        None => (column + 1).to_string(),
    }
}

/// Whether the name of a column says that it tells nothing about images: it has none, or is an index or a number for each row.
fn says_nothing(name: &str) -> bool {
    let pandas = name.strip_prefix("Unnamed: ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    name.is_empty() || pandas || ["index", "level_0", "id"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn passed_over(name: &str) -> Note {
    if name.is_empty() {
        return Note { text: "a column without a name is passed over".to_owned(), advice: None };
    }
    let advice = Advice::new("to copy it to the output", Setting::PassThrough(name.to_owned()));
    Note { text: format!("the column `{}` is passed over", excerpt(name)), advice: Some(advice) }
}

fn note_on_first_row(first_row: FirstRow, cells: &[String]) -> Option<Note> {
    let shown = few(&cells[..cells.len().min(4)], cells.len());
    match first_row {
        FirstRow::Image | FirstRow::Names => None,
        FirstRow::CountingImage => Some(Note {
            text: format!("the first row ({shown}) counts up and is taken for an image"),
            advice: Some(Advice::new("if it holds the names of the columns", Setting::Header(Header::Yes))),
        }),
        FirstRow::Numbers => Some(Note {
            text: format!("the first row ({shown}) counts the columns and is taken for their names"),
            advice: Some(Advice::new("if it is an image", Setting::Header(Header::No))),
        }),
        FirstRow::Mangled => {
            let text = format!("the first row ({shown}) seems to be an image that was once taken for names; it is passed over");
            Some(Note { text, advice: None })
        }
    }
}

/// The pattern that the names of all pixels follow, where options say nothing about it.
fn inferred(names: &[&str], shape: ImageShape) -> Result<Option<PixelPattern>, LayoutError> {
    match pattern::infer(names.iter().copied(), shape) {
        Inferred::Pattern(pattern) => Ok(Some(pattern)),
        Inferred::Unclear(patterns) => Err(LayoutError::UnclearPixels { patterns }),
        Inferred::OtherGrid { height, width } => Err(LayoutError::OtherGrid { height, width, shape }),
        Inferred::Nothing => Ok(None),
    }
}

/// The columns to pass through, by their names.
fn passed_through(wanted: &[String], names: &[String]) -> Result<Vec<Column>, LayoutError> {
    let find = |name: &String| match names.iter().position(|other| other == name) {
        Some(index) => Ok(Column { index, name: name.clone() }),
        None => Err(LayoutError::NoSuchColumn { name: name.clone() }),
    };
    wanted.iter().map(find).collect()
}

/// The columns whose names only count them, if these are enough for all pixels; without the label, if that is known. They may count from any
/// number, as what follows the label does.
fn counting_columns(
    names: &[String],
    label: Option<usize>,
    shape: ImageShape,
    wanted: &Wanted<'_>,
) -> Result<Option<Vec<usize>>, LayoutError> {
    let Wanted { columns: CsvOptions { ignore, .. }, passthrough, .. } = wanted;
    let rest: Vec<usize> = (0..names.len()).filter(|&index| !ignore.contains(&names[index])).collect();
    let counting = pattern::counting(&rest.iter().map(|&index| names[index].as_str()).collect::<Vec<_>>());
    let mut left: Vec<usize> = counting.into_iter().map(|place| rest[place]).collect();
    let mut is_known = vec![false; names.len()];
    left.iter().chain(&label).for_each(|&column| is_known[column] = true);
    left.retain(|&column| label != Some(column));
    let is_asked_for = |name: &String| passthrough.contains(name) || ignore.iter().any(|ignored| ignored == "*");
    let others = rest.iter().filter(|&&column| !is_known[column]).map(|&column| &names[column]);
    let others: Vec<String> = others.filter(|name| !is_asked_for(name) && !says_nothing(name)).cloned().collect();
    match left.len() >= shape.pixels() {
        false => Ok(None),
        true if others.is_empty() => Ok(Some(left)),
        true => Err(LayoutError::Unknown { names: others }),
    }
}

/// The column of each pixel in `[C, H, W]` order, from the numbers in the names; the pixels are among the `columns`.
fn pixel_columns(
    names: &[String],
    columns: &[usize],
    pattern: &PixelPattern,
    shape: ImageShape,
) -> Result<Vec<usize>, LayoutError> {
    let mut places: Vec<_> = columns.iter().filter_map(|&column| Some((pattern.read(&names[column])?, column))).collect();
    places.sort_unstable();
    if places.len() > shape.pixels() {
        return Err(LayoutError::TooManyPixels { found: places.len(), shape });
    }
    let base = std::array::from_fn(|axis| places.iter().map(|(place, _)| place[axis]).min().unwrap_or(0).min(1));
    let mut found = places.iter().map(|(place, _)| pattern.name(*place)).peekable();
    let missing: Vec<String> = (0..shape.pixels())
        .map(|pixel| pattern.name_of(pixel, base, shape))
        .filter(|name| found.next_if_eq(name).is_none())
        .collect();
    if missing.is_empty() {
        Ok(places.into_iter().map(|(_, column)| column).collect())
    } else {
        Err(LayoutError::MissingPixels { missing, shape })
    }
}

#[cfg(test)]
mod tests;
