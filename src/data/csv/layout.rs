//! From the first record of a CSV file to the meaning of its columns.

use std::collections::HashMap;
use std::fmt;

use ::csv::ByteRecord;

use super::{CsvOptions, Header, PixelPattern};
use crate::data::ImageShape;

/// Whether a file must have a label column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelColumn {
    /// It must: to train and test.
    Required,
    /// It may: to score.
    Optional,
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
}

impl CsvLayout {
    /// Understands the columns of a file from its first record.
    ///
    /// Columns in `passthrough` are found by name and reported by [`CsvLayout::passed`]; every other column that is
    /// neither label nor pixel nor in `options.ignore` is an error.
    ///
    /// # Errors
    /// Says which columns are missing, superfluous or named twice.
    pub fn new(
        first: &ByteRecord,
        options: &CsvOptions,
        shape: ImageShape,
        label: LabelColumn,
        passthrough: &[String],
    ) -> Result<Self, LayoutError> {
        let cells: Vec<String> = first.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
        let has_header = match options.header {
            Header::Yes => true,
            Header::No => false,
            Header::Auto => looks_like_header(&cells, options),
        };
        let layout = if has_header {
            Self::by_name(cells, options, shape, passthrough)
        } else {
            Self::by_place(cells.len(), options, shape, passthrough)
        }?;
        if layout.label.is_none() && label == LabelColumn::Required {
            return Err(LayoutError::NoLabel { label: options.label.clone(), header: has_header });
        }
        Ok(layout)
    }

    fn by_name(names: Vec<String>, options: &CsvOptions, shape: ImageShape, passthrough: &[String]) -> Result<Self, LayoutError> {
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            if let Some(first) = seen.insert(name, index) {
                return Err(LayoutError::Twice { name: name.clone(), first: first + 1, second: index + 1 });
            }
        }
        let mut numbered: Vec<(usize, usize)> = Vec::with_capacity(shape.pixels()); // (number, column)
        let mut label = None;
        let (mut unknown, mut passed) = (Vec::new(), Vec::new());
        for (index, name) in names.iter().enumerate() {
            if *name == options.label {
                label = Some(index);
            } else if let Some(number) = options.pixels.number(name) {
                numbered.push((number, index));
            } else if !options.ignore.contains(name) && !passthrough.contains(name) {
                unknown.push(name.clone());
            }
        }
        for name in passthrough {
            match seen.get(name.as_str()) {
                Some(&index) => passed.push(Column { index, name: name.clone() }),
                None => return Err(LayoutError::NoSuchColumn { name: name.clone() }),
            }
        }
        let pixels = pixel_columns(numbered, &names, &options.pixels, shape)?;
        if !unknown.is_empty() {
            return Err(LayoutError::Unknown { names: unknown });
        }
        Ok(Self { has_header: true, label, pixels, passed, names })
    }

    fn by_place(columns: usize, options: &CsvOptions, shape: ImageShape, passthrough: &[String]) -> Result<Self, LayoutError> {
        if let Some(name) = passthrough.first() {
            return Err(LayoutError::NoSuchColumn { name: name.clone() });
        }
        let labels = match columns.checked_sub(shape.pixels()) {
            Some(labels @ 0..=1) => labels,
            _ => return Err(LayoutError::Width { columns, shape }),
        };
        let names = (0..columns)
            .map(|index| if index < labels { options.label.clone() } else { options.pixels.name(index - labels + 1) })
            .collect();
        Ok(Self {
            has_header: false,
            names,
            label: (labels == 1).then_some(0),
            pixels: (labels..columns).collect(),
            passed: Vec::new(),
        })
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
        Some(format!("column {} is `{a}` in one and `{b}` in the other{rest}", index + 1))
    }
}

/// Whether a first record holds names: it names the label or a pixel, or fewer than half of its cells are numbers.
fn looks_like_header(cells: &[String], options: &CsvOptions) -> bool {
    let is_number = |cell: &&String| cell.parse::<f64>().is_ok();
    let named = cells.iter().any(|cell| *cell == options.label || (!is_number(&cell) && options.pixels.number(cell).is_some()));
    named || 2 * cells.iter().filter(is_number).count() < cells.len()
}

/// The column of each pixel in `[C, H, W]` order, from the numbers in the names.
fn pixel_columns(
    mut numbered: Vec<(usize, usize)>,
    names: &[String],
    pattern: &PixelPattern,
    shape: ImageShape,
) -> Result<Vec<usize>, LayoutError> {
    numbered.sort_unstable();
    let Some(&(first, _)) = numbered.first() else {
        return Err(LayoutError::NoPixels {
            pattern: pattern.to_string(),
            columns: names.len(),
            example: names.iter().take(3).cloned().collect(),
            suggestion: likely_pattern(names),
        });
    };
    let base = first.min(1);
    if numbered.len() > shape.pixels() {
        return Err(LayoutError::TooManyPixels { found: numbered.len(), shape });
    }
    let mut found = numbered.iter().map(|&(number, _)| number).peekable();
    let missing: Vec<String> = (base..base + shape.pixels())
        .filter(|number| found.next_if_eq(number).is_none())
        .map(|number| pattern.name(number))
        .collect();
    if missing.is_empty() {
        Ok(numbered.into_iter().map(|(_, column)| column).collect())
    } else {
        Err(LayoutError::MissingPixels { missing, shape })
    }
}

/// The pattern that most of the names follow, if they end in numbers.
fn likely_pattern(names: &[String]) -> Option<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for name in names {
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        if prefix.len() < name.len() {
            *counts.entry(prefix).or_default() += 1;
        }
    }
    let (prefix, count) = counts.into_iter().max()?;
    (2 * count > names.len()).then(|| format!("{prefix}{{n}}"))
}

/// Why the columns of a CSV file make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A name stands above two columns.
    #[error("two columns are called `{name}`: column {first} and column {second}")]
    Twice {
        /// The name.
        name: String,
        /// The first column, counted from 1.
        first: usize,
        /// The second column, counted from 1.
        second: usize,
    },
    /// There is no label column, and there must be.
    #[error("{}", no_label(.label, *.header))]
    NoLabel {
        /// The name it should have.
        label: String,
        /// Whether the file has a header.
        header: bool,
    },
    /// No column is named as pixels are.
    #[error("{}", no_pixels(.pattern, *.columns, .example, .suggestion.as_deref()))]
    NoPixels {
        /// The names pixels should have.
        pattern: String,
        /// How many columns there are.
        columns: usize,
        /// The names of the first few.
        example: Vec<String>,
        /// The names that most columns do have.
        suggestion: Option<String>,
    },
    /// Some pixels have no column.
    #[error("{} missing: a {shape} image has {} pixel columns", few(.missing), .shape.pixels())]
    MissingPixels {
        /// The names of the columns that should be there.
        missing: Vec<String>,
        /// The shape of the images.
        shape: ImageShape,
    },
    /// There are more pixel columns than an image has pixels.
    #[error("{found} pixel columns are more than the {} pixels of a {shape} image; is `image` declared as it is?", .shape.pixels())]
    TooManyPixels {
        /// How many there are.
        found: usize,
        /// The shape of the images.
        shape: ImageShape,
    },
    /// Columns that nobody asked for.
    #[error("{} neither the label nor a pixel; if that is as it should be, add to `columns`: `ignore: [{}]`", few(.names), .names.join(", "))]
    Unknown {
        /// Their names.
        names: Vec<String>,
    },
    /// A column that is to be passed through is not there.
    #[error("there is no column `{name}` to pass through")]
    NoSuchColumn {
        /// Its name.
        name: String,
    },
    /// Without a header, the number of columns must be that of an image, or one more.
    #[error("the file has no header, and its {columns} columns are neither the {} pixels of a {shape} image nor a label and these pixels", .shape.pixels())]
    Width {
        /// How many there are.
        columns: usize,
        /// The shape of the images.
        shape: ImageShape,
    },
}

fn no_label(label: &str, header: bool) -> String {
    if header {
        format!("no column is called `{label}`; name the label column by `columns: {{ label: … }}`")
    } else {
        "the file has no header and no more columns than pixels, so it has no labels".to_owned()
    }
}

fn no_pixels(pattern: &str, columns: usize, example: &[String], suggestion: Option<&str>) -> String {
    let example: Vec<String> = example.iter().map(|name| format!("`{name}`")).collect();
    let help = match suggestion {
        Some(suggestion) => format!("did you mean `columns: {{ pixels: \"{suggestion}\" }}`?"),
        None => "name the pixel columns by `columns: { pixels: … }`".to_owned(),
    };
    format!("none of the {columns} columns ({}, …) is called `{pattern}`; {help}", example.join(", "))
}

/// "`a`, `b` are", with at most five names.
fn few(names: &[String]) -> String {
    struct Few<'a>(&'a [String]);
    impl fmt::Display for Few<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            const SHOWN: usize = 5;
            for (index, name) in self.0.iter().take(SHOWN).enumerate() {
                write!(f, "{}`{name}`", if index == 0 { "" } else { ", " })?;
            }
            if self.0.len() > SHOWN {
                write!(f, " and {} more", self.0.len() - SHOWN)?;
            }
            f.write_str(if self.0.len() == 1 { " is" } else { " are" })
        }
    }
    Few(names).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 2, width: 2 };

    fn layout(first: &str, options: &str, passthrough: &[&str]) -> Result<CsvLayout, LayoutError> {
        let record = ByteRecord::from(first.split(',').collect::<Vec<_>>());
        let options = serde_json::from_str(options).unwrap();
        let passthrough: Vec<String> = passthrough.iter().map(|name| (*name).to_owned()).collect();
        CsvLayout::new(&record, &options, SHAPE, LabelColumn::Required, &passthrough)
    }

    fn check(first: &str, options: &str, label: Option<usize>, pixels: [usize; 4]) {
        let layout = layout(first, options, &[]).unwrap();
        assert_eq!((layout.label, layout.pixels.as_slice()), (label, &pixels[..]), "{first}");
    }

    #[test]
    fn columns_are_found_by_name_in_any_order_or_by_place() {
        check("label,pixel1,pixel2,pixel3,pixel4", "{}", Some(0), [1, 2, 3, 4]);
        check("pixel0,pixel1,pixel2,pixel3,label", "{}", Some(4), [0, 1, 2, 3]);
        check("pixel4,pixel3,label,pixel1,pixel2", "{}", Some(2), [3, 4, 1, 0]);
        check("id,y,p1,p2,p3,p4", r#"{"label": "y", "pixels": "p{n}", "ignore": ["id"]}"#, Some(1), [2, 3, 4, 5]);
        check("9,0,0,255,12", "{}", Some(0), [1, 2, 3, 4]);
        check("Bag,0,0,255,12", "{}", Some(0), [1, 2, 3, 4]);
        check("label,0,1,2,3", r#"{"pixels": "{n}"}"#, Some(0), [1, 2, 3, 4]);
    }

    #[test]
    fn a_header_can_be_forced() {
        assert!(layout("9,0,0,255,12", r#"{"header": "yes"}"#, &[]).is_err());
        assert!(!layout("a,b,c,d,e", r#"{"header": "no"}"#, &[]).unwrap().has_header());
    }

    #[test]
    fn a_label_may_be_missing_only_where_it_is_optional() {
        let record = ByteRecord::from(vec!["pixel1", "pixel2", "pixel3", "pixel4"]);
        let new = |label| CsvLayout::new(&record, &CsvOptions::default(), SHAPE, label, &[]);
        assert_eq!(new(LabelColumn::Optional).unwrap().label(), None);
        insta::assert_snapshot!(new(LabelColumn::Required).unwrap_err(), @"no column is called `label`; name the label column by `columns: { label: … }`");
        insta::assert_snapshot!(layout("1,2,3,4", "{}", &[]).unwrap_err(), @"the file has no header and no more columns than pixels, so it has no labels");
    }

    #[test]
    fn passed_columns_keep_the_order_asked_for() {
        let found = layout("id,label,shop,pixel1,pixel2,pixel3,pixel4", "{}", &["shop", "id"]).unwrap();
        let names: Vec<_> = found.passed().iter().map(|column| (column.index, column.name.as_str())).collect();
        assert_eq!(names, [(2, "shop"), (0, "id")]);
        insta::assert_snapshot!(layout("label,pixel1,pixel2,pixel3,pixel4", "{}", &["id"]).unwrap_err(), @"there is no column `id` to pass through");
    }

    #[test]
    fn what_is_wrong_with_the_columns_is_said_in_full() {
        let error = |first| layout(first, "{}", &[]).unwrap_err().to_string();
        insta::assert_snapshot!(error("label,p1,p2,p3,p4"), @r#"none of the 5 columns (`label`, `p1`, `p2`, …) is called `pixel{n}`; did you mean `columns: { pixels: "p{n}" }`?"#);
        insta::assert_snapshot!(error("label,a,b,c,d"), @"none of the 5 columns (`label`, `a`, `b`, …) is called `pixel{n}`; name the pixel columns by `columns: { pixels: … }`");
        insta::assert_snapshot!(error("label,pixel1,pixel2,pixel4"), @"`pixel3` is missing: a 1×2×2 image has 4 pixel columns");
        insta::assert_snapshot!(error("label,pixel1,pixel2,pixel3,pixel4,pixel5"), @"5 pixel columns are more than the 4 pixels of a 1×2×2 image; is `image` declared as it is?");
        insta::assert_snapshot!(error("label,pixel1,pixel2,pixel3,pixel4,pixel4"), @"two columns are called `pixel4`: column 5 and column 6");
        insta::assert_snapshot!(error("label,pixel1,pixel2,pixel3,pixel4,id"), @"`id` is neither the label nor a pixel; if that is as it should be, add to `columns`: `ignore: [id]`");
        insta::assert_snapshot!(error("1,2,3"), @"the file has no header, and its 3 columns are neither the 4 pixels of a 1×2×2 image nor a label and these pixels");
    }

    #[test]
    fn differing_columns_are_named() {
        let difference = |a, b| layout(a, "{}", &[]).unwrap().difference(&layout(b, "{}", &[]).unwrap());
        assert_eq!(difference("1,2,3,4,5", "6,7,8,9,0"), None);
        insta::assert_snapshot!(difference("1,2,3,4,5", "label,pixel1,pixel2,pixel3,pixel4").unwrap(), @"one has no header, the other has a header");
        insta::assert_snapshot!(
            difference("label,pixel1,pixel2,pixel3,pixel4", "label,pixel2,pixel1,pixel3,pixel4").unwrap(), @"column 2 is `pixel1` in one and `pixel2` in the other (2 columns differ)");
    }
}
