//! The rows of a table, one after another, for a caller that reads it whole: in bounded memory, and with an account of what was
//! odd about them.

use std::io::{self, Read};

use ::csv::{ByteRecord, Position};
use memchr::memchr_iter;

use super::{BYTE_ORDER_MARK, HEAD_BYTES, HEAD_ROWS, LONGEST_ROW, first_record, head, is_open, last_record, read_record};

/// How much is read at once.
const CHUNK: usize = 1 << 18;

/// Reads the rows of a table in UTF-8 with commas. Blank lines before the first row and behind the last are none of its business.
pub struct Rows<R> {
    source: R,
    ahead: Vec<u8>,
    /// How much of `ahead` is dealt with.
    at: usize,
    at_end: bool,
    /// Records and line feeds before that.
    records: u64,
    lines: u64,
    blank_lines: u64,
    spanning: u64,
    first_spanning: Option<Extent>,
}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its number among all records, counted from 0.
    pub record: u64,
    /// Its first line, counted from 1.
    pub line: u64,
    /// Its last line.
    pub last_line: u64,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its bytes, without what ends it.
    pub bytes: &'a [u8],
    /// Where it is.
    pub extent: Extent,
}

/// Why there are no more rows.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The table cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A row has no end within [`LONGEST_ROW`].
    #[error("the row that begins on line {line} is longer than {} MiB; is there a quote that is never closed?", LONGEST_ROW >> 20)]
    TooLong {
        /// Its first line.
        line: u64,
    },
    /// The table ends within quotes.
    #[error(
        "a quote in the row that begins on line {line} is never closed; the row would go on to the end of the file (line {last_line})"
    )]
    Unclosed {
        /// The row's first line.
        line: u64,
        /// The file's last line.
        last_line: u64,
    },
}

impl Row<'_> {
    /// Reads its cells into `record`, with its place; `cell` is memory to work in.
    pub fn read(&self, record: &mut ByteRecord, cell: &mut Vec<u8>) {
        read_record(self.bytes, record, cell);
        let mut position = Position::new();
        position.set_line(self.extent.line).set_record(self.extent.record);
        record.set_position(Some(position));
    }
}

impl<R: Read> Rows<R> {
    /// Will read from `source`.
    pub fn new(source: R) -> Self {
        let ahead = Vec::new();
        Self { source, ahead, at: 0, at_end: false, records: 0, lines: 0, blank_lines: 0, spanning: 0, first_spanning: None }
    }

    /// The rows that tell the layout, which are still to be read; none of an empty table. To be called first.
    ///
    /// # Errors
    /// As [`Rows::next_row`].
    pub fn head(&mut self) -> Result<Vec<ByteRecord>, RowsError> {
        loop {
            let bytes = &self.ahead[..];
            let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
            let (length, records) = (bytes.len(), head(bytes, self.at_end));
            if self.at_end
                && first_record(bytes).is_none()
                && let Some(range) = last_record(bytes)
            {
                // What a first row tells that swallows the whole table would be wrong.
                self.check_closed(self.ahead.len() - length + range.start)?;
            }
            if self.at_end || records.len() >= HEAD_ROWS || (length >= HEAD_BYTES && !records.is_empty()) {
                return Ok(records);
            }
            self.read_more()?;
        }
    }

    /// The next row; `None` behind the last one.
    ///
    /// # Errors
    /// Says where a row is too long, or ends within quotes.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, RowsError> {
        if self.at == 0 && self.ahead.is_empty() {
            self.read_more()?;
        }
        if self.records == 0 && self.at == 0 && self.ahead.starts_with(BYTE_ORDER_MARK) {
            self.at = BYTE_ORDER_MARK.len();
        }
        let range = loop {
            let rest = &self.ahead[self.at..];
            if let Some(range) = first_record(rest) {
                break range;
            }
            if self.at_end {
                match last_record(rest) {
                    None => return Ok(None),
                    Some(range) => {
                        self.check_closed(range.start)?;
                        break range;
                    }
                }
            }
            self.read_more()?;
        };
        let (start, end) = (self.at + range.start, self.at + range.end);
        let between = &self.ahead[self.at..start];
        let feeds = line_feeds(between);
        // What ends the row before was dealt with, but for the second half of CRLF.
        let ends = between.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() as u64;
        let pairs = between.windows(2).filter(|pair| *pair == b"\r\n").count() as u64;
        let is_rest = self.at > 0 && self.ahead[self.at - 1] == b'\r' && between.first() == Some(&b'\n');
        if self.records > 0 {
            self.blank_lines += ends - pairs - u64::from(is_rest);
        }
        let line = self.lines + feeds + 1;
        let inside = line_feeds(&self.ahead[start..end]);
        let extent = Extent { record: self.records, line, last_line: line + inside };
        if inside > 0 {
            self.spanning += 1;
            self.first_spanning.get_or_insert(extent);
        }
        let behind = (end + 1).min(self.ahead.len());
        self.lines += feeds + inside + line_feeds(&self.ahead[end..behind]);
        self.records += 1;
        self.at = behind;
        Ok(Some(Row { bytes: &self.ahead[start..end], extent }))
    }

    fn check_closed(&self, start: usize) -> Result<(), RowsError> {
        let (before, rest) = self.ahead[self.at..].split_at(start);
        if !is_open(rest) {
            return Ok(());
        }
        let line = self.lines + line_feeds(before) + 1;
        let inside = line_feeds(rest.strip_suffix(b"\n").unwrap_or(rest));
        Err(RowsError::Unclosed { line, last_line: line + inside })
    }

    fn read_more(&mut self) -> Result<(), RowsError> {
        let left = self.ahead.len() - self.at;
        if left > LONGEST_ROW {
            return Err(RowsError::TooLong { line: self.lines + 1 });
        }
        if self.at > 1 {
            // The byte before stays: it may be half of a line's end.
            self.ahead.drain(..self.at - 1);
            self.at = 1;
        }
        let wanted = left.max(CHUNK) as u64;
        let found = (&mut self.source).take(wanted).read_to_end(&mut self.ahead)?;
        self.at_end = (found as u64) < wanted;
        Ok(())
    }

    /// What a user should know of the rows that were read, in sentences; `header` says whether the first record is one.
    pub fn oddities(&self, header: bool) -> Vec<String> {
        let mut told = Vec::new();
        match self.blank_lines {
            0 => {}
            1 => told.push("1 blank line is passed over".to_owned()),
            count => told.push(format!("{count} blank lines are passed over")),
        }
        if let Some(Extent { record, line, last_line }) = self.first_spanning {
            let first = match (record + u64::from(!header), record) {
                (_, 0) if header => "the header".to_owned(),
                (row, _) => format!("row {row}"),
            };
            let rows = if self.spanning == 1 { "1 row spans".to_owned() } else { format!("{} rows span", self.spanning) };
            told.push(format!("{rows} several lines, as quotes allow: the first is {first}, lines {line} to {last_line}"));
        }
        told
    }
}

fn line_feeds(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::csv::reader;

    /// A source that gives few bytes at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(3);
            self.0.read(&mut buffer[..count])
        }
    }

    type Found = (Vec<Vec<Vec<u8>>>, Vec<String>);

    fn read(text: &[u8]) -> Result<Found, String> {
        let mut rows = Rows::new(Slow(text));
        let head = rows.head().map_err(|error| error.to_string())?;
        let mut found: Vec<Vec<Vec<u8>>> = Vec::new();
        let (mut record, mut cell) = (ByteRecord::new(), Vec::new());
        while let Some(row) = rows.next_row().map_err(|error| error.to_string())? {
            row.read(&mut record, &mut cell);
            found.push(record.iter().map(<[u8]>::to_vec).collect());
        }
        let head: Vec<Vec<Vec<u8>>> = head.iter().map(|record| record.iter().map(<[u8]>::to_vec).collect()).collect();
        assert_eq!(head, found[..head.len()]);
        Ok((found, rows.oddities(true)))
    }

    #[test]
    fn blank_lines_and_rows_of_several_lines_are_counted() {
        let odd = |text: &str| read(text.as_bytes()).unwrap().1;
        for plain in ["a,b\n1,2\n", "a,b\r\n1,2\r\n", "a,b\r1,2", "\u{feff}a,b\n1,2\n\n\n", ""] {
            assert_eq!(odd(plain), [""; 0], "{plain:?}");
        }
        assert_eq!(odd("\na,b\r\n\r\n1,2\r\n3,4\n\n\n5,6\n"), ["3 blank lines are passed over"]);
        let told = "1 row spans several lines, as quotes allow: the first is row 2, lines 4 to 5";
        assert_eq!(odd("a,b\n\n1,2\n3,\"x\ny\"\n"), ["1 blank line is passed over", told]);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_an_error_with_its_extent() {
        let error = read(b"a,b\n1,2\n3,\"x\n5,6\n7,8\n").unwrap_err();
        assert_eq!(
            error,
            "a quote in the row that begins on line 3 is never closed; the row would go on to the end of the file (line 5)"
        );
        for (text, lines) in [("\"a,b\n1,2\n3,4\n", (1, 3)), ("\u{feff}\n\na,\"b\n1,2", (3, 4))] {
            let error = Rows::new(text.as_bytes()).head().unwrap_err();
            assert!(matches!(error, RowsError::Unclosed { line, last_line } if (line, last_line) == lines), "{error}");
        }
        let endless = io::Cursor::new(b"a,b\n1,\"").chain(io::repeat(b'x'));
        let mut rows = Rows::new(endless);
        rows.head().unwrap();
        rows.next_row().unwrap();
        let error = rows.next_row().unwrap_err().to_string();
        assert_eq!(error, "the row that begins on line 2 is longer than 64 MiB; is there a quote that is never closed?");
    }

    proptest! {
        #[test]
        fn rows_are_those_of_the_csv_crate(text in "\u{feff}?([ab0,\"\r\n]|\r\n|,\"|\",|\u{feff}){0,60}") {
            let expected: Vec<Vec<Vec<u8>>> =
                reader(text.as_bytes()).byte_records().map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect()).collect();
            match read(text.as_bytes()) {
                Ok((found, _)) => prop_assert_eq!(found, expected),
                Err(error) => prop_assert!(error.contains("never closed") && text.contains('"'), "{}", error),
            }
        }
    }
}
