//! Tables of other dialects as UTF-8 text with commas, on the fly. Line ends stay as they are, so that lines keep their numbers.

use std::io::{self, BufRead, Read};

use super::LONGEST_ROW;

/// Text with another delimiter, with commas in its place. A cell that holds a comma itself is put in quotes.
pub(super) struct Commas<R> {
    source: R,
    delimiter: u8,
    state: State,
    /// The cell that has begun, as it is written.
    cell: Vec<u8>,
    /// Whether it holds a comma outside quotes.
    needs_quotes: bool,
    ready: Vec<u8>,
    given: usize,
    at_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte of a cell.
    Begins,
    /// In text without quotes, or behind the quote that ended the quoted part.
    Plain,
    Quoted,
    /// Behind a quote in quoted text, which ends it unless another follows.
    Quote,
}

impl<R: BufRead> Commas<R> {
    pub(super) fn new(source: R, delimiter: u8) -> Self {
        let (cell, ready) = (Vec::new(), Vec::new());
        Self { source, delimiter, state: State::Begins, cell, needs_quotes: false, ready, given: 0, at_end: false }
    }

    /// Makes more text ready, unless the source has ended.
    fn advance(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.given = 0;
        let Self { source, delimiter, state, cell, needs_quotes, ready, at_end, .. } = self;
        let bytes = source.fill_buf()?;
        let count = bytes.len();
        for &byte in bytes {
            if *state == State::Quoted {
                if byte == b'"' {
                    *state = State::Quote;
                }
                cell.push(byte);
                continue;
            }
            let is_doubled = *state == State::Quote && byte == b'"';
            if is_doubled || (*state == State::Begins && byte == b'"') {
                *state = State::Quoted;
                cell.push(byte);
            } else if byte == *delimiter || matches!(byte, b'\r' | b'\n') {
                end_cell(cell, needs_quotes, ready);
                ready.push(if byte == *delimiter { b',' } else { byte });
                *state = State::Begins;
            } else {
                *needs_quotes |= byte == b',';
                *state = State::Plain;
                cell.push(byte);
            }
        }
        source.consume(count);
        if count == 0 {
            end_cell(cell, needs_quotes, ready);
            *at_end = true;
        }
        if cell.len() > LONGEST_ROW {
            let text = format!("a cell is longer than {} MiB; is there a quote that is never closed?", LONGEST_ROW >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(())
    }
}

/// Writes a cell to `ready`, in quotes if need be.
fn end_cell(cell: &mut Vec<u8>, needs_quotes: &mut bool, ready: &mut Vec<u8>) {
    if *needs_quotes {
        ready.push(b'"');
        let (quoted, rest) = match cell.strip_prefix(b"\"") {
            Some(inside) => inside.split_at(end_of_quoted(inside)),
            None => (&[][..], cell.as_slice()),
        };
        ready.extend_from_slice(quoted); // its quotes are doubled already
        let rest = if cell.starts_with(b"\"") { rest.get(1..).unwrap_or_default() } else { rest };
        for &byte in rest {
            ready.extend_from_slice(if byte == b'"' { b"\"\"" } else { std::slice::from_ref(&byte) });
        }
        ready.push(b'"');
    } else {
        ready.extend_from_slice(cell);
    }
    cell.clear();
    *needs_quotes = false;
}

/// The place of the quote that ends quoted text.
fn end_of_quoted(inside: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = inside.get(at) {
        match (byte, inside.get(at + 1)) {
            (b'"', Some(b'"')) => at += 2,
            (b'"', _) => return at,
            _ => at += 1,
        }
    }
    inside.len()
}

impl<R: BufRead> Read for Commas<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() && !self.at_end {
            self.advance()?;
        }
        Ok(give(&self.ready, &mut self.given, buffer))
    }
}

/// UTF-16 text as UTF-8.
pub(super) struct Utf16<R> {
    source: R,
    little: bool,
    /// The first half of a pair, if it was read.
    surrogate: Option<u16>,
    /// Bytes read, for errors.
    place: u64,
    ready: Vec<u8>,
    given: usize,
    at_end: bool,
}

impl<R: BufRead> Utf16<R> {
    pub(super) fn new(source: R, little: bool) -> Self {
        Self { source, little, surrogate: None, place: 0, ready: Vec::new(), given: 0, at_end: false }
    }

    fn advance(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.given = 0;
        let bytes = self.source.fill_buf()?;
        if bytes.is_empty() {
            self.at_end = true;
            return if self.surrogate.is_some() { Err(broken(self.place)) } else { Ok(()) };
        }
        if let &[byte] = bytes {
            // Half a unit at the end of what the source has ready.
            self.source.consume(1);
            let mut second = [0];
            if let Err(error) = self.source.read_exact(&mut second) {
                return Err(if error.kind() == io::ErrorKind::UnexpectedEof { broken(self.place) } else { error });
            }
            return self.push([byte, second[0]]);
        }
        let pairs: Vec<[u8; 2]> = bytes.as_chunks::<2>().0.to_vec();
        self.source.consume(2 * pairs.len());
        pairs.into_iter().try_for_each(|pair| self.push(pair))
    }

    fn push(&mut self, pair: [u8; 2]) -> io::Result<()> {
        let unit = if self.little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) };
        if let Ok(byte @ 0..=0x7f) = u8::try_from(unit)
            && self.surrogate.is_none()
        {
            self.ready.push(byte);
        } else if matches!(unit, 0xd800..=0xdbff) && self.surrogate.is_none() {
            self.surrogate = Some(unit);
        } else {
            let mut decoded = char::decode_utf16(self.surrogate.take().into_iter().chain([unit]));
            match (decoded.next(), decoded.next()) {
                (Some(Ok(character)), None) => {
                    self.ready.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(broken(self.place)),
            }
        }
        self.place += 2;
        Ok(())
    }
}

fn broken(place: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("byte {place} begins no character of UTF-16: the file is damaged or cut off"),
    )
}

impl<R: BufRead> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() && !self.at_end {
            self.advance()?;
        }
        Ok(give(&self.ready, &mut self.given, buffer))
    }
}

fn give(ready: &[u8], given: &mut usize, buffer: &mut [u8]) -> usize {
    let count = (ready.len() - *given).min(buffer.len());
    buffer[..count].copy_from_slice(&ready[*given..*given + count]);
    *given += count;
    count
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;
    use crate::data::csv::reader;

    fn commas(text: &[u8], capacity: usize) -> Vec<u8> {
        let mut found = Vec::new();
        Commas::new(BufReader::with_capacity(capacity, text), b';').read_to_end(&mut found).unwrap();
        found
    }

    fn records(text: &[u8], delimiter: u8) -> Vec<Vec<Vec<u8>>> {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text);
        reader.byte_records().map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect()).collect()
    }

    #[test]
    fn cells_that_hold_commas_are_quoted() {
        assert_eq!(commas(b"a;b,c;\"d;\"\"e\",f\"\n;\r\n\"x", 7), b"a,\"b,c\",\"d;\"\"e,f\"\"\"\n,\r\n\"x");
    }

    #[test]
    fn broken_utf16_is_an_error_with_its_place() {
        let read = |bytes: &[u8]| {
            let mut text = String::new();
            Utf16::new(BufReader::with_capacity(3, bytes), true)
                .read_to_string(&mut text)
                .map(|_| text)
                .map_err(|error| error.to_string())
        };
        let units = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        assert_eq!(read(&units("Größe 😀,€\n")).unwrap(), "Größe 😀,€\n");
        let lone = [units("ab"), vec![0x3d, 0xd8], units("c")].concat();
        for (bytes, place) in [(&units("abc")[..5], 4), (&lone[..6], 6), (&lone[..], 6), (&[0x00, 0xdc][..], 0)] {
            let error = read(bytes).unwrap_err();
            assert!(error.starts_with(&format!("byte {place} begins no character")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_text_with_commas_holds_the_same_records(text in "([ab,;\"\r\n]|\r\n|;\"|\";){0,60}", capacity in 1_usize..9) {
            let found = commas(text.as_bytes(), capacity);
            prop_assert_eq!(records(&found, b','), records(text.as_bytes(), b';'), "{:?}", String::from_utf8_lossy(&found));
            prop_assert!(reader(found.as_slice()).byte_records().all(|record| record.is_ok()));
        }
    }
}
