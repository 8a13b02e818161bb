//! Why the columns of a CSV file make no sense.

use super::{Advice, Advised, PixelPattern, Setting};
use crate::data::ImageShape;
use crate::quote::excerpt;

/// Why the columns of a CSV file make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A name stands above two columns.
    #[error("two columns are called `{}`: column {first} and column {second}", excerpt(.name))]
    Twice {
        /// The name.
        name: String,
        /// The first column, counted from 1.
        first: usize,
        /// The second column, counted from 1.
        second: usize,
    },
    /// The name of a column holds control characters.
    #[error("the name of column {column} holds control characters: `{}`; {}", excerpt(.name), control_remedy(.name))]
    ControlCharacters {
        /// The column, counted from 1.
        column: usize,
        /// Its name.
        name: String,
    },
    /// There is no label column, and there must be.
    #[error("{}", no_label(.label, *.header, .others))]
    NoLabel {
        /// The name it should have.
        label: String,
        /// Whether the file has a header.
        header: bool,
        /// The columns that it could be: neither pixels nor asked for.
        others: Vec<String>,
    },
    /// No column is named as pixels are.
    #[error("none of the {columns} columns ({}) is called `{}`", few(.example, *.columns), excerpt(&.pattern.to_string()))]
    NoPixels {
        /// The names pixels should have.
        pattern: PixelPattern,
        /// How many columns there are.
        columns: usize,
        /// The names of the first few.
        example: Vec<String>,
        /// The names that most columns do have.
        suggestion: Option<PixelPattern>,
    },
    /// Some pixels have no column.
    #[error("{} missing: a {shape} image has {} pixel columns", are(.missing), .shape.pixels())]
    MissingPixels {
        /// The names of the columns that should be there.
        missing: Vec<String>,
        /// The shape of the images.
        shape: ImageShape,
    },
    /// There are more pixel columns than an image has pixels.
    #[error("{found} pixel columns are more than the {} pixels of a {shape} image; is the shape of the images as it is said?", .shape.pixels())]
    TooManyPixels {
        /// How many there are.
        found: usize,
        /// The shape of the images.
        shape: ImageShape,
    },
    /// The names of the columns count the rows and columns of another image.
    #[error("the names of the columns tell images of {height} rows and {width} columns, not {shape}")]
    OtherGrid {
        /// The rows they tell.
        height: usize,
        /// The columns they tell.
        width: usize,
        /// The shape of the images.
        shape: ImageShape,
    },
    /// The names of the pixels can be understood in several ways.
    #[error("which columns are the pixels, and in which order, can be understood in {} ways", .patterns.len())]
    UnclearPixels {
        /// The ways.
        patterns: Vec<PixelPattern>,
    },
    /// Nothing tells whether the first or the last column holds the label.
    #[error("the label can be in the first column or in the last: {}", .why)]
    UnclearLabel {
        /// What speaks for both.
        why: &'static str,
        /// How options call the first column that may be the label.
        first: String,
        /// How they call the last.
        last: String,
    },
    /// There must be labels, and what could hold them counts the rows.
    #[error("the file has no labels: its first column counts the rows, and all others are pixels")]
    OnlyIndex {
        /// How options call it.
        index: String,
    },
    /// Columns that nobody asked for.
    #[error("{} neither the label nor a pixel", are(.names))]
    Unknown {
        /// Their names.
        names: Vec<String>,
    },
    /// A column that is to be passed through is not there.
    #[error("there is no column `{}` to pass through", excerpt(.name))]
    NoSuchColumn {
        /// Its name.
        name: String,
    },
    /// Where no names tell the pixels, the number of columns must be that of an image, or one more.
    #[error("{}, and {columns} columns are neither the {} pixels of a {shape} image nor a label and these pixels", .told, .shape.pixels())]
    Width {
        /// What the first row tells.
        told: &'static str,
        /// How many columns may be label or pixels.
        columns: usize,
        /// The shape of the images.
        shape: ImageShape,
        /// Whether it is one column too many, which `ignore` can take out by its place.
        is_one_too_many: bool,
    },
}

impl Advised for LayoutError {
    fn said(&self) -> String {
        self.to_string()
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NoLabel { header: true, others, .. } => match others.first().filter(|name| is_plain(name)) {
                Some(name) => vec![Advice::new("if that is the label", Setting::Label(name.clone()))],
                None => Vec::new(),
            },
            Self::NoPixels { pattern, suggestion, .. } => match suggestion {
                Some(likely) if likely != pattern => {
                    vec![Advice::new("if these are the pixels", Setting::Pixels(likely.clone()))]
                }
                _ => Vec::new(),
            },
            Self::UnclearPixels { patterns } => {
                let one = |pattern: &PixelPattern| Advice::new("to settle it", Setting::Pixels(pattern.clone()));
                patterns.iter().filter(|pattern| is_plain(&pattern.to_string())).map(one).take(2).collect()
            }
            Self::UnclearLabel { first, last, .. } => {
                let one =
                    |place: &str, name: &str| Advice::new(format!("if it is in the {place}"), Setting::Label(name.to_owned()));
                vec![one("first", first), one("last", last)]
            }
            Self::Unknown { names } => {
                const MOST: usize = 5;
                let can_be_named = names.len() <= MOST && names.iter().all(|name| is_plain(name));
                let names = if can_be_named { names.clone() } else { vec!["*".to_owned()] };
                vec![Advice::new("to pass over what is neither", Setting::Ignore(names))]
            }
            Self::OnlyIndex { index } => vec![Advice::new("if it is the label", Setting::Label(index.clone()))],
            Self::Width { is_one_too_many: true, .. } => {
                let one = |place: &str| Advice::new(format!("to pass over the {place}"), Setting::Ignore(vec![place.to_owned()]));
                vec![one("first"), one("last")]
            }
            _ => Vec::new(),
        }
    }
}

/// Whether a name can be written into a message as it is.
pub(super) fn is_plain(name: &str) -> bool {
    excerpt(name) == name
}

fn control_remedy(name: &str) -> &'static str {
    match name.contains(['\n', '\r']) {
        true => "it goes on to another line: is a quote in the header closed too late?",
        false => "write the header as plain text",
    }
}

fn no_label(label: &str, header: bool, others: &[String]) -> String {
    match (header, others) {
        (false, _) => "the file has no header, and no column beside the pixels that could hold the label".to_owned(),
        (true, []) => format!("no column is called `{}`, and there is no other that could hold the label", excerpt(label)),
        (true, others) => format!("no column is called `{}`, but there is {}", excerpt(label), few(others, others.len())),
    }
}

const SHOWN: usize = 5;

/// "`a`, `b` and 3 more": the first few of so many names.
pub(super) fn few(names: &[String], all: usize) -> String {
    let one = |name: &String| if name.is_empty() { "one without a name".to_owned() } else { format!("`{}`", excerpt(name)) };
    let shown: Vec<String> = names.iter().take(SHOWN).map(one).collect();
    match all.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// "`a`, `b` are".
fn are(names: &[String]) -> String {
    format!("{} {}", few(names, names.len()), if names.len() == 1 { "is" } else { "are" })
}
