//! Text for people: colours, columns, durations, sizes and counts.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::quote::{printable, printable_json};

/// How a piece of text looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
    Cyan,
    /// What is wrong, in bold red.
    Fault,
    /// What frames a quoted line, in bold blue.
    Margin,
}

impl Style {
    /// All but [`Style::Plain`], each with its number in ANSI escapes.
    const CODES: [(Self, &'static str); 8] = [
        (Self::Bold, "1"),
        (Self::Dim, "2"),
        (Self::Green, "32"),
        (Self::Yellow, "33"),
        (Self::Red, "31"),
        (Self::Cyan, "36"),
        (Self::Fault, "1;31"),
        (Self::Margin, "1;34"),
    ];
}

/// What stands for the beginnings of styles until a text is printed: characters that Unicode will never give a meaning and
/// leaves to programs. So every escape character in a text that is to be printed is one from outside.
const BEGINNINGS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdee}';
/// What stands for the end of a style.
const END: char = '\u{fdef}';

/// A text as it is printed: styles become ANSI escapes where the output is `coloured`, and whatever else is invisible is
/// written out, so that nothing from a file, an argument or an error repaints the terminal.
pub(super) fn finished(text: &str, coloured: bool) -> String {
    if !coloured {
        return printable(text).into_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for piece in text.split_inclusive(|character: char| BEGINNINGS.contains(&character) || character == END) {
        let mark = piece.chars().next_back();
        let code = match mark {
            Some(END) => Some("0"),
            Some(mark) if BEGINNINGS.contains(&mark) => {
                Style::CODES.get(mark as usize - *BEGINNINGS.start() as usize).map(|(_, code)| *code)
            }
            _ => None,
        };
        match (code, mark) {
            (Some(code), Some(mark)) => {
                shown += &printable(&piece[..piece.len() - mark.len_utf8()]);
                shown += &format!("\x1b[{code}m");
            }
            _ => shown += &printable(piece),
        }
    }
    shown
}

/// Applies styles, or leaves them away where they would be in the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    coloured: bool,
}

impl Paint {
    /// For standard output.
    pub(super) fn stdout() -> Self {
        Self { coloured: io::stdout().is_terminal() && colours_are_wanted() }
    }

    /// For standard error.
    pub(super) fn stderr() -> Self {
        Self { coloured: io::stderr().is_terminal() && colours_are_wanted() }
    }

    /// Without any style.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { coloured: false }
    }

    /// Whether styles are applied.
    pub(super) fn is_coloured(self) -> bool {
        self.coloured
    }

    /// Text in a style.
    pub(super) fn text(self, style: Style, text: impl Display) -> String {
        match Style::CODES.iter().zip(BEGINNINGS).find(|((other, _), _)| *other == style) {
            Some((_, beginning)) if self.coloured => format!("{beginning}{text}{END}"),
            _ => text.to_string(),
        }
    }
}

/// As <https://no-color.org> has it: any text in `NO_COLOR` switches colours off.
fn colours_are_wanted() -> bool {
    let says = |name: &str| std::env::var_os(name).unwrap_or_default();
    says("NO_COLOR").is_empty() && says("TERM") != "dumb"
}

/// One field of a [`Table`].
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// Text on one line, from the left.
    pub(super) fn new(text: impl Display) -> Self {
        let text = printable(&text.to_string()).replace(['\n', '\t'], " ");
        Self { text, style: Style::Plain, right: false }
    }

    /// A figure, from the right.
    pub(super) fn right(text: impl Display) -> Self {
        Self { right: true, ..Self::new(text) }
    }

    /// The same in a style.
    pub(super) fn style(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

/// Rows of fields in columns that are as wide as they need to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with a first row in bold.
    pub(super) fn with_head(head: impl IntoIterator<Item = Cell>) -> Self {
        Self { rows: vec![head.into_iter().map(|cell| cell.style(Style::Bold)).collect()] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The rows as lines, two blanks between columns and none at the end of a line.
    pub(super) fn render(&self, paint: Paint) -> String {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |place| place + 1);
            for (place, cell) in row[..last].iter().enumerate() {
                let blanks = " ".repeat(widths[place] - cell.text.chars().count());
                let shown = paint.text(cell.style, &cell.text);
                let gap = if place + 1 < last { "  " } else { "" };
                match (cell.right, place + 1 < last) {
                    (true, _) => text.push_str(&[&blanks, &*shown, gap].concat()),
                    (false, true) => text.push_str(&[&*shown, &blanks, gap].concat()),
                    (false, false) => text.push_str(&shown),
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Seconds as people say them: `12 ms`, `0.2 s`, `4.2 s`, `7 min 02 s`, `1 h 02 min`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64; // a float cast saturates
    match whole {
        _ if seconds < 0.0995 => format!("{:.0} ms", seconds * 1000.0),
        _ if seconds < 59.95 => format!("{seconds:.1} s"),
        ..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// A length in decimal units: `12 B`, `3.4 kB`, `1.2 GB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let mut value = count as f64 / 1000.0;
    if count < 1000 {
        return format!("{count} B");
    }
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A whole number in groups of three: `1,234,567`.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: `1 stage`, `3 stages`.
pub(super) fn count(value: usize, noun: &str) -> String {
    format!("{} {noun}{}", number(value as u64), if value == 1 { "" } else { "s" })
}

/// A moment, in milliseconds since 1970-01-01 00:00 UTC, as `2026-03-14 15:09 UTC`.
pub(super) fn moment(milliseconds: u64) -> String {
    let minutes = milliseconds / 60_000;
    let (days, minute) = (minutes / 1440, minutes % 1440);
    // Days to a date of the Gregorian calendar: Howard Hinnant, "chrono-compatible low-level date algorithms" (2013).
    let day = days + 719_468;
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day_of_month:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}

/// A value as JSON on one line.
///
/// # Errors
/// When the value has no JSON form.
pub(super) fn json_line(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(format!("{}\n", printable_json(&serde_json::to_string(value)?)))
}

/// A value as indented JSON.
///
/// # Errors
/// When the value has no JSON form.
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(format!("{}\n", printable_json(&serde_json::to_string_pretty(value)?)))
}

/// Writes to standard output. That nobody listens any more is not an error: there is nobody to tell.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let text = finished(text, Paint::stdout().coloured);
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error, if that is possible; there is no other place for it.
pub(super) fn complain(line: &str) {
    let line = finished(line, Paint::stderr().coloured);
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_styles_reach_the_terminal() {
        let paint = Paint { coloured: true };
        let text = format!("{} \x1b[31mred\u{9b}0m\u{202e}\u{fdee}\n", paint.text(Style::Fault, "a\x1b]0;title\x07"));
        assert_eq!(finished(&text, true), "\x1b[1;31ma\\u{1b}]0;title\\u{7}\x1b[0m \\u{1b}[31mred\\u{9b}0m\\u{202e}\u{fdee}\n");
        let nested = paint.text(Style::Bold, format!("a {} b", paint.text(Style::Green, "c")));
        assert_eq!(finished(&nested, true), "\x1b[1ma \x1b[32mc\x1b[0m b\x1b[0m");
        assert_eq!(finished("\x1b[2J", false), "\\u{1b}[2J");
        assert_eq!(Cell::new("a\nb\x1b").text, "a b\\u{1b}");
    }

    #[test]
    fn durations() {
        let texts = [0.0, 0.0994, 0.0996, 4.24, 59.94, 59.96, 61.0, 3599.4, 3600.0, 36_000.0].map(duration);
        let expected =
            ["0 ms", "99 ms", "0.1 s", "4.2 s", "59.9 s", "1 min 00 s", "1 min 01 s", "59 min 59 s", "1 h 00 min", "10 h 00 min"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn sizes_and_numbers() {
        let texts = [0, 999, 1000, 999_949, 999_950, 1_234_567_890, u64::MAX].map(bytes);
        assert_eq!(texts, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "1.2 GB", "18446.7 PB"]);
        assert_eq!([0, 12, 123, 1234, 1_234_567].map(number), ["0", "12", "123", "1,234", "1,234,567"]);
        assert_eq!([count(0, "stage"), count(1, "stage"), count(2, "stage")], ["0 stages", "1 stage", "2 stages"]);
    }

    #[test]
    fn moments() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_799, "2000-02-29 23:59 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_773_500_940, "2026-03-14 15:09 UTC"),
            (4_107_542_399, "2100-02-28 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(moment(seconds * 1000), expected);
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        let mut table = Table::with_head([Cell::new("stage"), Cell::right("seconds"), Cell::new("why")]);
        table.row([Cell::new("raw"), Cell::right("4.2"), Cell::new("")]);
        table.row([Cell::new("ensemble"), Cell::right("12.0"), Cell::new("→ forced")]);
        assert_eq!(table.render(Paint::none()), "stage     seconds  why\nraw           4.2\nensemble     12.0  → forced\n");
        let coloured = finished(&table.render(Paint { coloured: true }), true);
        assert!(coloured.starts_with("\x1b[1mstage\x1b[0m     \x1b[1mseconds\x1b[0m  \x1b[1mwhy\x1b[0m\n"), "{coloured:?}");
    }
}
