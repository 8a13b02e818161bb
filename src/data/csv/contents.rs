//! What a file is that is no table, told by its first bytes.

/// A file is not a table: what it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is {what}, not a CSV table; {remedy}")]
pub struct NoTable {
    what: String,
    remedy: String,
}

impl NoTable {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

const EXPORT: &str = "export it as CSV first";
const UNPACK: &str = "unpack it first";
const PICTURE: &str = "a table holds the pixels of each image in a row";
const DOWNLOAD: &str = "is it what a failed download left? Get the file itself";

/// How files of other kinds begin: the bytes, what they are, what to do.
const BEGINNINGS: &[(&[u8], &str, &str)] = &[
    (b"PK\x03\x04", "a ZIP archive (as .zip, .xlsx and .npz are)", UNPACK),
    (b"PK\x05\x06", "an empty ZIP archive", UNPACK),
    (b"\x1f\x8b", "gzip data within gzip data", "unpack it once more"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data within compressed data", UNPACK),
    (b"BZh", "a bzip2 archive", "unpack it, or compress it by gzip or Zstandard"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it, or compress it by gzip or Zstandard"),
    (b"\x04\x22\x4d\x18", "an LZ4 archive", "unpack it, or compress it by gzip or Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"PAR1", "a Parquet file", EXPORT),
    (b"ARROW1", "an Arrow file", EXPORT),
    (b"FEA1", "a Feather file", EXPORT),
    (b"Obj\x01", "an Avro file", EXPORT),
    (b"ORC", "an ORC file", EXPORT),
    (b"\x89HDF", "an HDF5 file", EXPORT),
    (b"CDF\x01", "a NetCDF file", EXPORT),
    (b"\x93NUMPY", "a NumPy array", EXPORT),
    (b"SQLite format 3", "a SQLite database", EXPORT),
    (b"\xd0\xcf\x11\xe0", "an old Office document (as .xls is)", EXPORT),
    (b"%PDF", "a PDF document", EXPORT),
    (b"{\\rtf", "an RTF document", EXPORT),
    (b"\x89PNG", "a PNG picture", PICTURE),
    (b"\xff\xd8\xff", "a JPEG picture", PICTURE),
    (b"GIF8", "a GIF picture", PICTURE),
    (b"II*\x00", "a TIFF picture", PICTURE),
    (b"MM\x00*", "a TIFF picture", PICTURE),
    (b"\x00\x00\x08\x03", "an IDX file of images", "only `merge` reads it, as what it is"),
    (b"\x00\x00\x08\x01", "an IDX file of labels", "the file of images that lies beside it is read"),
    (b"\x7fELF", "a program", "give a table"),
    (b"\x08\x03\x12", "an ONNX model, it seems", "give a table"),
    (b"\x08\x07\x12", "an ONNX model, it seems", "give a table"),
    (b"\x08\x08\x12", "an ONNX model, it seems", "give a table"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself by `git lfs pull`"),
    (b"/annex/objects/", "a git-annex pointer", "fetch the file itself by `git annex get`"),
    (b"../.git/annex/objects/", "a git-annex pointer", "fetch the file itself by `git annex get`"),
    (b".git/annex/objects/", "a git-annex pointer", "fetch the file itself by `git annex get`"),
    (b"\xff\xfe\x00\x00", "UTF-32 text", "save it as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "save it as UTF-8"),
];

/// What a file is that begins so, unless it may be a table of text (in UTF-8, or in UTF-16 behind a mark).
pub(super) fn recognise(first: &[u8]) -> Option<NoTable> {
    let known = BEGINNINGS.iter().find(|(beginning, ..)| first.starts_with(beginning));
    if let Some((_, what, remedy)) = known {
        return Some(NoTable::new(*what, *remedy));
    }
    if [b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| first.starts_with(*mark)) {
        return None;
    }
    if first.get(257..262) == Some(b"ustar") {
        return Some(NoTable::new("a tar archive", UNPACK));
    }
    let text = first.trim_ascii_start();
    let opens = |byte: u8| text.first() == Some(&byte);
    let second = text.get(1..).and_then(|rest| rest.trim_ascii_start().first()).copied();
    if opens(b'<') {
        let lower = text[..text.len().min(512)].to_ascii_lowercase();
        let is_page = lower.windows(5).any(|part| part == b"<html" || part == b"<!doc");
        return Some(NoTable::new(if is_page { "a web page (HTML)" } else { "an XML document" }, DOWNLOAD));
    }
    if (opens(b'{') && matches!(second, Some(b'"' | b'}')))
        || (opens(b'[') && matches!(second, Some(b'{' | b'[' | b'"' | b'0'..=b'9')))
    {
        return Some(NoTable::new("JSON", EXPORT));
    }
    let sample = &first[..first.len().min(1024)];
    let is_odd = |byte: &&u8| **byte < b' ' && !matches!(**byte, b'\t' | b'\n' | b'\r' | b'\x1b');
    let odd = sample.iter().filter(is_odd).count();
    if sample.contains(&0) || 10 * odd > 3 * sample.len() {
        return Some(NoTable::new("binary data", "give a table of text"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_table_is_named_in_one_clean_line() {
        let mut tar = vec![b'a'; 257];
        tar.extend_from_slice(b"ustar\x0000");
        for (first, expected) in [
            (
                b"PK\x03\x04\x14\x00\x00".as_slice(),
                "it is a ZIP archive (as .zip, .xlsx and .npz are), not a CSV table; unpack it first",
            ),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n",
                "it is a Git LFS pointer, not a CSV table; fetch the file itself by `git lfs pull`",
            ),
            (
                b"\n<!DOCTYPE html><html>",
                "it is a web page (HTML), not a CSV table; is it what a failed download left? Get the file itself",
            ),
            (b"PAR1\x15\x04", "it is a Parquet file, not a CSV table; export it as CSV first"),
            (b"\x89PNG\r\n\x1a\n", "it is a PNG picture, not a CSV table; a table holds the pixels of each image in a row"),
            (b"{\"rows\": []}", "it is JSON, not a CSV table; export it as CSV first"),
            (b"label,\0pixel1", "it is binary data, not a CSV table; give a table of text"),
            (&[0; 64], "it is binary data, not a CSV table; give a table of text"),
            (&tar, "it is a tar archive, not a CSV table; unpack it first"),
        ] {
            let found = recognise(first).unwrap().to_string();
            assert_eq!(found, expected);
            assert_eq!(crate::quote::printable(&found), found);
        }
        for table in
            [b"label,pixel1\n0,1\n".as_slice(), b"", b"\xef\xbb\xbfa,b", b"\xff\xfea\0,\0", b"[label],b", b"\"<a>\",b", b"Bag,1"]
        {
            assert_eq!(recognise(table), None, "{table:?}");
        }
    }
}
