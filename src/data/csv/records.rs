//! Where records begin and end, without looking into their cells: by the rules of the `csv` crate, at the speed of
//! `memchr`.
//!
//! A record ends at a carriage return or a line feed outside quotes; quotes count only at the beginning of a cell, and
//! doubled ones stay inside. Blank lines are no records.

use std::ops::Range;

use ::csv::ByteRecord;
use memchr::{memchr, memchr3};

/// The byte order mark of UTF-8, which may stand before the first record.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The longest row there can be: 64 MiB. Memory does not grow with the file even if a quote in it is never closed.
pub const LONGEST_ROW: usize = 1 << 26;

/// The most rows that tell the layout of a table.
pub const HEAD_ROWS: usize = 64;

/// They lie within so many bytes of it, or there is only the first.
pub const HEAD_BYTES: usize = 1 << 20;

/// The rows that tell the layout of a table: the first records in `bytes`, which begin behind a byte order mark. None if not even the first
/// is whole. As long as `bytes` hold [`HEAD_ROWS`] records, [`HEAD_BYTES`], or all there is, the answer does not depend on how many
/// more they hold.
pub fn head(bytes: &[u8], at_end: bool) -> Vec<ByteRecord> {
    let (mut records, mut cell) = (Vec::new(), Vec::new());
    let mut at = 0;
    while records.len() < HEAD_ROWS {
        let rest = &bytes[at.min(bytes.len())..];
        let Some(range) = first_record(rest).or_else(|| last_record(rest).filter(|_| at_end)) else { break };
        if at + range.end > HEAD_BYTES && !records.is_empty() {
            break;
        }
        let mut record = ByteRecord::new();
        read_record(&rest[range.clone()], &mut record, &mut cell);
        records.push(record);
        at += range.end + 1;
    }
    records
}

/// Reads a record, without what ends it, as the `csv` crate would, which needs a reader and its buffer for each. `cell` is memory to
/// work in.
pub fn read_record(row: &[u8], record: &mut ByteRecord, cell: &mut Vec<u8>) {
    record.clear();
    let find = |byte, from: usize| memchr(byte, &row[from..]).map_or(row.len(), |distance| from + distance);
    let mut at = 0;
    loop {
        cell.clear();
        if row.get(at) == Some(&b'"') {
            at += 1;
            loop {
                let quote = find(b'"', at);
                cell.extend_from_slice(&row[at..quote]);
                at = (quote + 1).min(row.len());
                if row.get(at) != Some(&b'"') {
                    break;
                }
                cell.push(b'"'); // a doubled quote stands for one
                at += 1;
            }
        }
        let end = find(b',', at);
        cell.extend_from_slice(&row[at..end]);
        record.push_field(cell);
        if end == row.len() {
            return;
        }
        at = end + 1;
    }
}

/// The first record in `bytes`, without what ends it; `None` if its end is not there.
///
/// `bytes` begin where a record may begin. What follows the byte after the record is the place to go on from.
pub fn first_record(bytes: &[u8]) -> Option<Range<usize>> {
    let start = first_of_record(bytes);
    Some(start..end_of_record(bytes, start)?)
}

/// The last record of a file, which nothing need end; `None` if only blank lines are left.
pub fn last_record(bytes: &[u8]) -> Option<Range<usize>> {
    let start = first_of_record(bytes);
    (start < bytes.len()).then(|| start..end_of_record(bytes, start).unwrap_or(bytes.len()))
}

/// Whether a record has a quote that nothing closes.
pub fn is_open(record: &[u8]) -> bool {
    let mut at = 0;
    while let Some(distance) = memchr(b'"', &record[at..]) {
        let found = at + distance;
        at = found + 1;
        if found > 0 && record[found - 1] != b',' {
            continue; // it does not begin a cell, and stands for itself
        }
        loop {
            let Some(distance) = memchr(b'"', &record[at..]) else { return true };
            at += distance + 1;
            if record.get(at) != Some(&b'"') {
                break;
            }
            at += 1; // a doubled quote stands for one
        }
    }
    false
}

fn first_of_record(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len())
}

/// The place of the byte that ends the record that begins at `start`.
fn end_of_record(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let found = at + memchr3(b'"', b'\n', b'\r', &bytes[at..])?;
        if bytes[found] != b'"' {
            return Some(found);
        }
        let begins_cell = found == start || bytes[found - 1] == b',';
        at = if begins_cell { after_quotes(bytes, found + 1)? } else { found + 1 };
    }
}

/// The place after the quote that ends quoted text; `at` is within it. `None` if that cannot be told yet.
fn after_quotes(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr(b'"', &bytes[at..])? + 1;
        if *bytes.get(at)? != b'"' {
            return Some(at);
        }
        at += 1; // a doubled quote stands for one
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::csv::reader;

    /// All records of a file, each parsed on its own after a blank line.
    fn split(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let mut rest = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut records = Vec::new();
        while let Some(range) = first_record(rest).or_else(|| last_record(rest)) {
            let alone = [b"\n", &rest[range.clone()]].concat();
            let mut found = parse(&alone);
            assert_eq!(found.len(), 1, "{:?}", String::from_utf8_lossy(&rest[range.clone()]));
            records.append(&mut found);
            rest = rest.get(range.end + 1..).unwrap_or_default();
        }
        records
    }

    fn parse(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
        reader(text).byte_records().map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect()).collect()
    }

    #[test]
    fn the_head_does_not_depend_on_what_follows() {
        let text: String = (0..100).map(|row| format!("{row},\"a\nb\"\n")).collect();
        let all = head(text.as_bytes(), true);
        assert_eq!(all.len(), HEAD_ROWS);
        assert_eq!(&all[63][0], b"63");
        let enough = text.match_indices(",\"a\nb\"\n").nth(63).unwrap().0 + 7;
        assert_eq!(head(&text.as_bytes()[..enough], false), all);
        assert_eq!(head(b"a,b\nc", false).len(), 1);
        assert_eq!(head(b"a,b\nc", true).len(), 2);
        let long = format!("{0}\n{0}\n", "0".repeat(HEAD_BYTES));
        assert_eq!(head(long.as_bytes(), true).len(), 1);
    }

    #[test]
    fn quotes_count_at_the_beginning_of_a_cell_alone() {
        assert_eq!(first_record(b"\r\n\na,\"b\n\"\"c\",d\ne"), Some(3..14));
        assert_eq!(first_record(b"a\"b\nc\"\n"), Some(0..3));
        assert_eq!(first_record(b"a,\"b"), None);
        assert_eq!(first_record(b"a,\"b\""), None, "another quote may follow");
        assert_eq!(last_record(b"a,\"b\n"), Some(0..5));
        assert_eq!(last_record(b"\n\r\n"), None);
    }

    #[test]
    fn a_quote_that_nothing_closes_is_found() {
        for open in ["\"", "a,\"b", "\"a\"\"", "\"a\",\"b\n1,2\n", "a,\"\"\""] {
            assert!(is_open(open.as_bytes()), "{open}");
        }
        for closed in ["", "a", "a\"b", "\"a\"", "\"a\"\"\"", "a,\"\"", "\"a\n\",b\""] {
            assert!(!is_open(closed.as_bytes()), "{closed}");
        }
    }

    proptest! {
        #[test]
        fn records_are_those_of_the_csv_crate(text in "\u{feff}?([ab0,\"\r\n]|\r\n|,\"|\",|\u{feff}){0,60}") {
            prop_assert_eq!(split(text.as_bytes()), parse(text.as_bytes()));
        }

        #[test]
        fn cells_are_those_of_the_csv_crate(text in "([ab0,\"\r\n]|\"\"|,\"|\",){0,40}") {
            let bytes = text.as_bytes();
            if let Some(range) = first_record(bytes).or_else(|| last_record(bytes)) {
                let (mut found, mut cell) = (ByteRecord::new(), Vec::new());
                read_record(&bytes[range.clone()], &mut found, &mut cell);
                let expected = reader(&bytes[range]).byte_records().next().unwrap().unwrap();
                prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
            }
        }
    }
}
