//! How a table is written down: its encoding, and what stands between its columns; told by its first bytes.

use std::io::{self, BufReader, Read};

use super::contents::{self, NoTable};
use super::transcode::{Commas, Utf16};
use super::{Advice, BYTE_ORDER_MARK, Delimiter, Note, Setting};
use crate::quote::excerpt;

/// How a table is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    encoding: Encoding,
    delimiter: Delimiter, // never `Auto`
    /// Whether the delimiter was found, not given.
    is_found: bool,
    /// Bytes of UTF-8 text before the first row: a line such as `sep=;`, without its end.
    preface: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16 { little: bool },
}

impl Dialect {
    /// So many bytes of a table tell its dialect.
    pub const SAMPLE: usize = 1 << 16;

    /// Tells how a table is written down from its first bytes: [`Dialect::SAMPLE`] of them, or all there are.
    ///
    /// # Errors
    /// When it is not a table, but something else that can be told.
    pub fn of(first: &[u8], wanted: Delimiter) -> Result<Self, NoTable> {
        let encoding = encoding(first);
        if encoding == Encoding::Utf8
            && let Some(other) = contents::recognise(first.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first))
        {
            return Err(other);
        }
        let text = match encoding {
            Encoding::Utf8 => first.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first).to_vec(),
            Encoding::Utf16 { little } => utf16_sample(first, little),
        };
        if encoding != Encoding::Utf8
            && let Some(other) = contents::recognise(&text)
        {
            return Err(other);
        }
        let (preface, declared) = preface(&text)?;
        let found = declared.unwrap_or_else(|| most_frequent(&text[preface..]));
        let delimiter = if wanted == Delimiter::Auto { found } else { wanted };
        Ok(Self { encoding, delimiter, is_found: wanted == Delimiter::Auto, preface })
    }

    /// Whether this is the plain way: UTF-8 with commas.
    pub fn is_plain(&self) -> bool {
        self.encoding == Encoding::Utf8 && self.delimiter.byte() == b',' && self.preface == 0
    }

    /// Whether a row of such a table ends where `next` follows: the next two bytes as they lie on disk, or all there are.
    pub fn ends_row(&self, next: &[u8]) -> bool {
        let next = match (self.encoding, next) {
            (Encoding::Utf8, &[byte, ..])
            | (Encoding::Utf16 { little: true }, &[byte, 0])
            | (Encoding::Utf16 { little: false }, &[0, byte]) => byte,
            _ => return false,
        };
        matches!(next, b'\r' | b'\n')
    }

    /// The text of a table of this dialect, from its first byte on, as UTF-8 with commas; lines stay lines. A plain table is left as
    /// it is, with its byte order mark.
    pub fn normalise<'a>(&self, table: impl Read + Send + 'a) -> Box<dyn Read + Send + 'a> {
        if self.is_plain() {
            return Box::new(table);
        }
        let text: Box<dyn Read + Send + 'a> = match self.encoding {
            Encoding::Utf8 => Box::new(table),
            Encoding::Utf16 { little } => Box::new(Utf16::new(BufReader::with_capacity(1 << 16, table), little)),
        };
        let text = AfterPreface { text, left: self.preface, begun: false };
        match self.delimiter.byte() {
            b',' => Box::new(text),
            other => Box::new(Commas::new(BufReader::with_capacity(1 << 16, text), other)),
        }
    }

    /// What is to be told: one line if the table is not plain.
    pub fn notes(&self) -> Vec<Note> {
        let between = match self.delimiter {
            Delimiter::Auto | Delimiter::Comma => None,
            Delimiter::Semicolon => Some("semicolons"),
            Delimiter::Tab => Some("tabs"),
            Delimiter::Bar => Some("vertical bars"),
            Delimiter::Space => Some("spaces"),
        };
        let mut told = Vec::new();
        if let Encoding::Utf16 { .. } = self.encoding {
            told.push("the text is UTF-16".to_owned());
        }
        if let Some(between) = between.filter(|_| self.is_found) {
            told.push(format!("columns are separated by {between}"));
        }
        if self.preface > 0 {
            told.push("the first line says so and is no row".to_owned());
        }
        if told.is_empty() {
            return Vec::new();
        }
        let advice = between.filter(|_| self.is_found && self.preface == 0);
        let advice = advice.map(|_| Advice::new("if that is wrong", Setting::Delimiter(Delimiter::Comma)));
        vec![Note { text: told.join(", "), advice }]
    }
}

/// The encoding that a byte order mark tells, or zero bytes where UTF-16 has them in nearly every character.
fn encoding(first: &[u8]) -> Encoding {
    match first {
        [0xff, 0xfe, 0, 0, ..] => Encoding::Utf8, // UTF-32, which is not read
        [0xff, 0xfe, ..] => Encoding::Utf16 { little: true },
        [0xfe, 0xff, ..] => Encoding::Utf16 { little: false },
        _ => {
            let (pairs, _) = first[..first.len().min(256)].as_chunks::<2>();
            let is_text = |byte: u8| byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r');
            let count = |fits: &dyn Fn(u8, u8) -> bool| pairs.iter().filter(|[a, b]| fits(*a, *b)).count();
            let nearly_all = |count: usize| pairs.len() >= 4 && 10 * count > 9 * pairs.len();
            if nearly_all(count(&|a, b| is_text(a) && b == 0)) {
                Encoding::Utf16 { little: true }
            } else if nearly_all(count(&|a, b| a == 0 && is_text(b))) {
                Encoding::Utf16 { little: false }
            } else {
                Encoding::Utf8
            }
        }
    }
}

/// The beginning of a UTF-16 text in UTF-8, without its mark. What is broken is found when it is read.
fn utf16_sample(first: &[u8], little: bool) -> Vec<u8> {
    let (pairs, _) = first.as_chunks::<2>();
    let units = pairs.iter().map(|&pair| if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) });
    let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.trim_start_matches('\u{feff}').as_bytes().to_vec()
}

/// The length of a first line such as `sep=;`, as spreadsheets write it, and what it declares.
fn preface(text: &[u8]) -> Result<(usize, Option<Delimiter>), NoTable> {
    let line = text.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let inside = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    match inside.split_at_checked(4) {
        Some((word, &[byte])) if word.eq_ignore_ascii_case(b"sep=") => {
            match Delimiter::ALL.into_iter().find(|delimiter| delimiter.byte() == byte) {
                Some(delimiter) => Ok((line.len(), Some(delimiter))),
                None => {
                    let shown = excerpt(&String::from_utf8_lossy(&[byte]));
                    Err(NoTable::new(format!("a table whose columns are separated by `{shown}`"), "write it with commas"))
                }
            }
        }
        _ => Ok((0, None)),
    }
}

/// What stands most often between the cells of the first row. Spaces only count where nothing else does, and one by one.
fn most_frequent(text: &[u8]) -> Delimiter {
    let mut counts = [0_usize; Delimiter::ALL.len()];
    let (mut quoted, mut begins_cell) = (false, true);
    let mut doubled_spaces = false;
    let start = text.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(text.len());
    for &byte in &text[start..] {
        if quoted {
            // A doubled quote ends and begins again.
            (quoted, begins_cell) = (byte != b'"', byte == b'"');
            continue;
        }
        match byte {
            b'"' if begins_cell => quoted = true,
            b'\r' | b'\n' => break,
            _ => {}
        }
        let found = Delimiter::ALL.iter().position(|delimiter| delimiter.byte() == byte);
        doubled_spaces |= begins_cell && byte == b' ';
        begins_cell = found.is_some();
        if let Some(found) = found {
            counts[found] += 1;
        }
    }
    if counts[0] > 0
        && let Some(delimiter) = beside_decimal_commas(&text[start..])
    {
        return delimiter;
    }
    let [others @ .., spaces] = counts;
    let mut best = Delimiter::Comma;
    let mut most = 0;
    for (delimiter, count) in Delimiter::ALL.into_iter().zip(others) {
        if count > most {
            (best, most) = (delimiter, count);
        }
    }
    if most == 0 && spaces > 0 && !doubled_spaces { Delimiter::Space } else { best }
}

/// What stands between the cells of the first row, if these are numbers with a decimal comma. Between commas they would be none.
fn beside_decimal_commas(text: &[u8]) -> Option<Delimiter> {
    let line = text.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let is_number_with_comma = |cell: &[u8]| {
        let cell = cell.trim_ascii();
        let (before, after) = match cell.iter().position(|&byte| byte == b',') {
            Some(comma) => (&cell[..comma], &cell[comma + 1..]),
            None => (cell, b"0".as_slice()),
        };
        let are_digits = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        are_digits(before.strip_prefix(b"-").unwrap_or(before)) && are_digits(after)
    };
    let parts = |delimiter: Delimiter| line.split(move |&byte| byte == delimiter.byte());
    let with_commas = [Delimiter::Semicolon, Delimiter::Tab, Delimiter::Bar];
    // What is at the end of a line may be followed by a delimiter.
    let fits = |&delimiter: &Delimiter| {
        let is_empty = parts(delimiter).next_back().is_some_and(|last| last.trim_ascii().is_empty());
        let cells = parts(delimiter).count() - usize::from(is_empty);
        cells > 1 && parts(delimiter).take(cells).all(is_number_with_comma)
    };
    with_commas.into_iter().find(fits)
}

/// A text without its byte order mark and its preface.
struct AfterPreface<R> {
    text: R,
    left: usize,
    begun: bool,
}

impl<R: Read> Read for AfterPreface<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.begun = true;
            let mut first = Vec::new();
            (&mut self.text).take((BYTE_ORDER_MARK.len() + self.left) as u64).read_to_end(&mut first)?;
            let skipped = self.left + if first.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
            // What was read and is no part of them is given first; it is shorter than a mark, and so than any buffer in use here.
            let rest = first.get(skipped..).unwrap_or_default();
            if !rest.is_empty() {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                debug_assert_eq!(count, rest.len(), "buffers hold more than a mark");
                return Ok(count);
            }
        }
        self.text.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    }

    /// The text of a table as it is read, and what is told.
    fn read(bytes: &[u8]) -> (String, String) {
        let dialect = Dialect::of(&bytes[..bytes.len().min(Dialect::SAMPLE)], Delimiter::Auto).unwrap();
        let mut text = String::new();
        dialect.normalise(io::Cursor::new(bytes.to_vec())).read_to_string(&mut text).unwrap();
        (text, dialect.notes().into_iter().map(|note| note.text).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn delimiters_and_encodings_are_told_and_read() {
        let plain = "label,pixel1\r\n0,7\r\n";
        for (bytes, told) in [
            (plain.as_bytes().to_vec(), ""),
            (plain.replace(',', ";").into_bytes(), "columns are separated by semicolons"),
            (plain.replace(',', "\t").into_bytes(), "columns are separated by tabs"),
            (plain.replace(',', "|").into_bytes(), "columns are separated by vertical bars"),
            (plain.replace(',', " ").into_bytes(), "columns are separated by spaces"),
            (format!("\u{feff}{}", plain.replace(',', ";")).into_bytes(), "columns are separated by semicolons"),
            (utf16(&format!("\u{feff}{plain}"), true), "the text is UTF-16"),
            (utf16(&format!("\u{feff}{plain}"), false), "the text is UTF-16"),
            (utf16(plain, true), "the text is UTF-16"),
            (utf16(plain, false), "the text is UTF-16"),
            (utf16(&format!("\u{feff}{}", plain.replace(',', "\t")), true), "the text is UTF-16, columns are separated by tabs"),
        ] {
            assert_eq!(read(&bytes), (plain.to_owned(), told.to_owned()));
        }
        let with_preface = "columns are separated by semicolons, the first line says so and is no row";
        for preface in ["sep=;", "SEP=;", "\"sep=;\""] {
            let text = format!("\u{feff}{preface}\r\n{}", plain.replace(',', ";"));
            assert_eq!(read(text.as_bytes()), (format!("\r\n{plain}"), with_preface.to_owned()));
            assert_eq!(read(&utf16(&text, true)).0, format!("\r\n{plain}"));
        }
        assert_eq!(read(b"sep=,\n1,2\n").0, "\n1,2\n");
        assert_eq!(read(b"\xef\xbb\xbfa,b\n").0, "\u{feff}a,b\n", "a plain table is left as it is");
        assert_eq!(read(b"").0, "");
        assert_eq!(read(b";").0, ",");
        assert_eq!(read(b"a").0, "a");
    }

    #[test]
    fn a_delimiter_counts_outside_quotes_alone() {
        assert_eq!(most_frequent(b"\"a;b;c\",d"), Delimiter::Comma);
        assert_eq!(most_frequent(b"\"a,\"\",b\";c;d"), Delimiter::Semicolon);
        assert_eq!(most_frequent(b"the label,the pixel"), Delimiter::Comma);
        assert_eq!(most_frequent(b"one  two three"), Delimiter::Comma);
        assert_eq!(most_frequent(b"\n\na;b\nc,d,e,f"), Delimiter::Semicolon);
    }

    #[test]
    fn a_decimal_comma_stands_within_a_number() {
        for (row, expected) in [
            ("1;77,0;202,0\n", Delimiter::Semicolon),
            ("1,0;77,0;-2,5;\r\n", Delimiter::Semicolon),
            ("1\t77,0\t202,0", Delimiter::Tab),
            ("1|77,0|202,0", Delimiter::Bar),
            ("1,77;0,202;0", Delimiter::Semicolon),
            ("1,77,202", Delimiter::Comma),
            ("1,\t77,\t202", Delimiter::Comma),
            ("a;b,c,d;e", Delimiter::Comma),
            ("1,2,3;", Delimiter::Comma),
            ("12,5", Delimiter::Comma),
        ] {
            assert_eq!(most_frequent(row.as_bytes()), expected, "{row}");
        }
    }

    #[test]
    fn what_is_given_comes_before_what_is_found() {
        let dialect = Dialect::of(b"a;b,c;d\n", Delimiter::Comma).unwrap();
        assert!(dialect.is_plain() && dialect.notes().is_empty());
        let error = Dialect::of(b"sep=^\na^b\n", Delimiter::Auto).unwrap_err().to_string();
        assert!(error.contains("separated by `^`"), "{error}");
    }
}
