//! Problems with places: what is wrong in a text, where, and what to do about it.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::quote::{excerpt_of, is_invisible};

/// A text that was read: the file, or one `-S path=value` of the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file by the name under which the user knows it, and its lines.
    File { name: String, lines: Vec<String> },
    /// The text after `-S`.
    Override { text: String },
}

impl Source {
    pub(super) fn file(name: &str, text: &str) -> Arc<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // As YAML breaks lines: a carriage return alone is a break too.
        let lines = text.replace("\r\n", "\n").split(['\n', '\r']).map(str::to_owned).collect();
        Arc::new(Self::File { name: name.to_owned(), lines })
    }

    fn line(&self, number: usize) -> &str {
        match self {
            Self::File { lines, .. } => number.checked_sub(1).and_then(|index| lines.get(index)).map_or("", String::as_str),
            Self::Override { text } => text,
        }
    }
}

/// A stretch of a line in the file, or in a `-S` of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) source: Arc<Source>,
    line: usize,
    column: usize,
    length: usize,
}

impl Place {
    /// `line` and `column` count from 1, columns and `length` in characters. What reaches over the end of the line is
    /// shown up to there.
    pub(super) fn new(source: &Arc<Source>, line: usize, column: usize, length: usize) -> Self {
        Self { source: Arc::clone(source), line, column, length }
    }

    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column, counted from 1 in characters.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The number of characters; it may reach over the end of the line.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Compares as the text is read: the file before the options of the command line.
    fn order(&self) -> (&str, usize, usize, usize) {
        let text = match &*self.source {
            Source::File { .. } => "",
            Source::Override { text } => text,
        };
        (text, self.line, self.column, self.length)
    }

    /// The first `length` characters of this place.
    pub(super) fn first(&self, length: usize) -> Self {
        Self { length, ..self.clone() }
    }

    /// This place without its first `length` characters.
    pub(super) fn after(&self, length: usize) -> Self {
        Self { column: self.column + length, length: self.length.saturating_sub(length), ..self.clone() }
    }
}

/// `pipeline.yaml:31:14`, or `-S advanced.epochs=x`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.source {
            Source::File { name, .. } => write!(f, "{name}:{}:{}", self.line, self.column),
            Source::Override { text } => write!(f, "-S {}", excerpt_of(text, WINDOW)),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong, without a full stop: ``stage `vote` reads `cnn_d`, which no stage makes``.
    pub message: String,
    /// What to do, to be read after a semicolon: ``did you mean `cnn_c`?``
    pub help: Option<String>,
}

/// Everything that is wrong, in the order of the text: first the file, then the `-S` options. Each problem is held once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// No problems.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem at its place in the order, unless it is here already.
    pub fn push(&mut self, problem: Problem) {
        let order = problem.place.order();
        let start = self.0.partition_point(|other| other.place.order() < order);
        let end = self.0.partition_point(|other| other.place.order() <= order);
        if !self.0[start..end].contains(&problem) {
            self.0.insert(end, problem);
        }
    }

    /// Adds a problem that has no advice beyond its message.
    pub fn add(&mut self, place: Place, message: impl Into<String>) {
        self.push(Problem { place, message: message.into(), help: None });
    }

    /// Adds a problem and what to do about it.
    pub fn add_with_help(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.push(Problem { place, message: message.into(), help: Some(help.into()) });
    }

    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of problems.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The problems in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }

    /// `value` if there is no problem, else the problems.
    ///
    /// # Errors
    /// The problems themselves.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// All problems as text for people, with an empty line between two, as [`Problem::render`] writes each.
    pub fn render(&self, paint: &dyn Fn(Part, &str) -> String) -> String {
        self.iter().map(|problem| problem.render(paint)).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&|_, text| text.to_owned()))
    }
}

impl std::error::Error for Problems {}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What a piece of a rendered problem is, so that it can be set off from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Where: `pipeline.yaml:31:14`.
    Place,
    /// What is wrong.
    Message,
    /// What to do.
    Help,
    /// The number of the source line and what frames it.
    Margin,
    /// The carets.
    Mark,
}

/// The most characters of a source line that are shown.
const WINDOW: usize = 120;

impl Problem {
    /// The place, the message and the help on one line; then the source line and carets under the exact spot. Of a very
    /// long line only the part around the spot is shown. Every piece goes through `paint`.
    ///
    /// ```text
    /// pipeline.yaml:31:14: stage `vote` reads `cnn_d`, which no stage makes; did you mean `cnn_c`?
    ///    |
    /// 31 |     models: [cnn_d]
    ///    |              ^^^^^
    /// ```
    pub fn render(&self, paint: &dyn Fn(Part, &str) -> String) -> String {
        let place = &self.place;
        let line: Vec<char> = place.source.line(place.line).chars().map(visible).collect();
        let start = (place.column - 1).min(line.len());
        let from = if line.len() > WINDOW { start.saturating_sub(WINDOW / 3) } else { 0 };
        let to = line.len().min(from + WINDOW);
        let shown: String = [if from > 0 { "…" } else { "" }, &String::from_iter(&line[from..to])].concat();
        let shown = [shown.trim_end(), if to < line.len() { "…" } else { "" }].concat();
        let indent = start - from + usize::from(from > 0);
        let carets = place.length.clamp(1, (to - start).max(1));

        let number = match &*place.source {
            Source::File { .. } => place.line.to_string(),
            Source::Override { .. } => "-S".to_owned(),
        };
        let margin = number.len();
        let bar = paint(Part::Margin, "|");
        let mut text = format!("{}: {}", paint(Part::Place, &place.to_string()), paint(Part::Message, &self.message));
        if let Some(help) = &self.help {
            let _ = write!(text, "; {}", paint(Part::Help, help));
        }
        let _ = writeln!(text, "\n{:margin$} {bar}", "");
        let _ = writeln!(text, "{} {}", paint(Part::Margin, &number), format!("{bar} {shown}").trim_end());
        let _ = writeln!(text, "{:margin$} {bar} {:indent$}{}", "", "", paint(Part::Mark, &"^".repeat(carets)));
        text
    }
}

/// A character as one column of a terminal: tabs as blanks, what shows nothing as the sign for an unknown character.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        character if is_invisible(character) => '\u{fffd}',
        character => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(source: &Arc<Source>, (line, column, length): (usize, usize, usize), help: Option<&str>) -> Problem {
        let place = Place::new(source, line, column, length);
        Problem { place, message: "`epoch` is not known".to_owned(), help: help.map(str::to_owned) }
    }

    #[test]
    fn caret_and_help() {
        let file = Source::file("p.yaml", "version: 1\n\tepoch: 3\n");
        let mut problems = Problems::new();
        problems.push(problem(&file, (2, 2, 5), Some("did you mean `epochs`?")));
        problems.push(problem(&file, (1, 10, 1), None));
        problems.push(problem(&file, (2, 2, 5), Some("did you mean `epochs`?")));
        assert_eq!(problems.len(), 2, "the same problem twice is one problem");
        insta::assert_snapshot!(problems, @r"
        p.yaml:1:10: `epoch` is not known
          |
        1 | version: 1
          |          ^

        p.yaml:2:2: `epoch` is not known; did you mean `epochs`?
          |
        2 |  epoch: 3
          |  ^^^^^
        ");
    }

    #[test]
    fn places_of_the_command_line_come_after_the_file() {
        let option = Arc::new(Source::Override { text: "a.epoch=3".to_owned() });
        let mut problems = Problems::new();
        problems.push(problem(&option, (1, 3, 5), None));
        problems.push(problem(&Source::file("z.yaml", "x"), (1, 1, 1), None));
        insta::assert_snapshot!(problems, @r"
        z.yaml:1:1: `epoch` is not known
          |
        1 | x
          | ^

        -S a.epoch=3: `epoch` is not known
           |
        -S | a.epoch=3
           |   ^^^^^
        ");
    }

    #[test]
    fn long_lines_are_shown_around_the_spot_and_ends_are_clipped() {
        let file = Source::file("p.yaml", &format!("{} here {}", "a".repeat(200), "b".repeat(200)));
        insta::assert_snapshot!(problem(&file, (1, 202, 4), None).render(&|_, text| text.to_owned()), @r"
        p.yaml:1:202: `epoch` is not known
          |
        1 | …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa here bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…
          |                                          ^^^^
        ");
        insta::assert_snapshot!(problem(&Source::file("p.yaml", "ab"), (1, 2, 99), None).render(&|_, text| text.to_owned()), @r"
        p.yaml:1:2: `epoch` is not known
          |
        1 | ab
          |  ^
        ");
        insta::assert_snapshot!(problem(&Source::file("p.yaml", ""), (1, 1, 0), None).render(&|_, text| text.to_owned()), @r"
        p.yaml:1:1: `epoch` is not known
          |
        1 |
          | ^
        ");
    }

    #[test]
    fn every_part_can_be_set_off() {
        let problem = problem(&Source::file("p.yaml", "epoch"), (1, 1, 5), Some("remove it"));
        let shown = problem.render(&|part, text| format!("<{part:?} {text}>"));
        assert!(shown.contains("<Mark ^^^^^>") && shown.contains("<Help remove it>"), "{shown}");
    }
}
