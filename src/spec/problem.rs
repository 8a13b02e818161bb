//! Problems with places: what is wrong in a text, where, and what to do about it.

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
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

    /// What no other place has: the text it is in, line and column.
    pub(super) fn identity(&self) -> (usize, usize, usize) {
        (Arc::as_ptr(&self.source) as usize, self.line, self.column)
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

/// The most problems that are kept and shown; of those behind them in the text only the number is told.
const MOST: usize = 100;
/// The most characters of a message or a help.
const LONGEST: usize = 2000;

/// What is wrong, in the order of the text: first the file, then the `-S` options. Each problem counts once, and the first hundred
/// are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    kept: Vec<Problem>,
    /// The fingerprints of the others.
    rest: HashSet<u64>,
}

impl Problems {
    /// No problems.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem at its place in the order, unless it is here already.
    pub fn push(&mut self, mut problem: Problem) {
        for text in [Some(&mut problem.message), problem.help.as_mut()].into_iter().flatten() {
            if text.len() > LONGEST {
                *text = excerpt_of(text, LONGEST);
            }
        }
        let order = problem.place.order();
        let start = self.kept.partition_point(|other| other.place.order() < order);
        let end = self.kept.partition_point(|other| other.place.order() <= order);
        if self.kept[start..end].iter().any(|other| other.message == problem.message) {
            return;
        }
        if end < MOST {
            self.kept.insert(end, problem);
        } else {
            self.rest.insert(problem.fingerprint());
        }
        if self.kept.len() > MOST {
            self.rest.extend(self.kept.pop().map(|last| last.fingerprint()));
        }
    }

    /// Adds all problems of others.
    pub(super) fn absorb(&mut self, others: Self) {
        self.rest.extend(others.rest);
        others.kept.into_iter().for_each(|problem| self.push(problem));
    }

    /// Whether as many are kept as are shown, so that advice for a further one is not worth its search.
    pub fn is_full(&self) -> bool {
        self.kept.len() >= MOST
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
        self.kept.is_empty()
    }

    /// The number of problems, those counted that are not kept.
    pub fn len(&self) -> usize {
        self.kept.len() + self.rest.len()
    }

    /// The problems that are kept, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> + DoubleEndedIterator {
        self.kept.iter()
    }

    /// `value` if there is no problem, else the problems.
    ///
    /// # Errors
    /// The problems themselves.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The problems that are kept as text for people, with an empty line between two, as [`Problem::render`] writes each; then how
    /// many more there are.
    pub fn render(&self, paint: &dyn Fn(Part, &str) -> String) -> String {
        let mut text = self.iter().map(|problem| problem.render(paint)).collect::<Vec<_>>().join("\n");
        match self.rest.len() {
            0 => {}
            1 => text.push_str("\nand 1 more\n"),
            more => {
                let _ = writeln!(text, "\nand {more} more");
            }
        }
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&|_, text| text.to_owned()))
    }
}

impl std::error::Error for Problems {}

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
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.place.order(), &self.message).hash(&mut hasher);
        hasher.finish()
    }

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
        let line = place.source.line(place.line);
        let is_long = line.chars().nth(WINDOW).is_some();
        let length = if is_long { line.chars().count() } else { WINDOW };
        let start = (place.column - 1).min(length);
        let from = if is_long { start.saturating_sub(WINDOW / 3) } else { 0 };
        let window: Vec<char> = line.chars().map(visible).skip(from).take(WINDOW).collect();
        let (start, to) = (if is_long { start } else { start.min(window.len()) }, from + window.len());
        let shown: String = [if from > 0 { "…" } else { "" }, &String::from_iter(&window)].concat();
        let shown = [shown.trim_end(), if is_long && to < length { "…" } else { "" }].concat();
        let indent = start - from + usize::from(from > 0);
        let carets = place.length.clamp(1, to.saturating_sub(start).max(1));

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
    fn the_first_hundred_are_kept_and_the_others_counted_once() {
        let file = Source::file("p.yaml", &"x\n".repeat(500));
        let mut problems = Problems::new();
        // From the end, so that what is kept is pushed out again.
        for line in (1..=500).rev().chain(1..=500) {
            problems.push(problem(&file, (line, 1, 1), None));
        }
        assert_eq!((problems.iter().len(), problems.len()), (100, 500));
        let last = problems.iter().next_back().unwrap().place.line();
        assert!(problems.is_full() && last == 100, "{last}");
        let text = problems.to_string();
        assert!(text.ends_with("100 | x\n    | ^\n\nand 400 more\n"), "{text}");
        let mut others = Problems::new();
        others.add(Place::new(&file, 1, 1, 1), "first of all");
        others.absorb(problems);
        assert_eq!((others.iter().len(), others.len()), (100, 501));
    }

    #[test]
    fn a_message_is_never_longer_than_a_screen() {
        let mut problems = Problems::new();
        problems.add(Place::new(&Source::file("p.yaml", "x"), 1, 1, 1), "a".repeat(1_000_000));
        assert!(problems.to_string().chars().count() < 3000);
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
