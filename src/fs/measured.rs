//! Files that may change while they are read.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};

/// A file that is read to the length that it had when the work began: what is added to it later is not read, and if it ends
/// before, reading fails. What is no plain file is read to its end.
#[derive(Debug)]
pub struct Measured {
    source: BufReader<fs::File>,
    left: Option<u64>,
    length: u64,
}

impl Measured {
    /// Opens a file that had `length` bytes when the work began; as many as it has now unless that is known.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn open(path: &Path, length: Option<u64>) -> Result<Self> {
        let file = fs::File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
        let now = file.metadata().ok().filter(fs::Metadata::is_file).map(|meta| meta.len());
        let length = now.and(length.or(now));
        Ok(Self { source: BufReader::with_capacity(1 << 16, file), left: length, length: length.unwrap_or(0) })
    }

    fn room(&self, wanted: usize) -> usize {
        self.left.map_or(wanted, |left| usize::try_from(left).map_or(wanted, |left| left.min(wanted)))
    }

    /// Counts what was read, and fails where the file ended too early.
    fn count(&mut self, bytes: usize, is_end: bool) -> io::Result<()> {
        let Some(left) = &mut self.left else { return Ok(()) };
        if is_end && *left > 0 {
            let (read, length) = (self.length - *left, self.length);
            let text = format!("it has become shorter while it was read: it had {length} bytes, and ends after {read}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        *left -= bytes as u64;
        Ok(())
    }
}

impl Read for Measured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..room])?;
        self.count(count, count == 0)?;
        Ok(count)
    }
}

impl BufRead for Measured {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == Some(0) {
            return Ok(&[]);
        }
        let is_end = self.source.fill_buf()?.is_empty();
        self.count(0, is_end)?;
        let left = self.left;
        let found = self.source.fill_buf()?;
        let room = left.map_or(found.len(), |left| usize::try_from(left).map_or(found.len(), |left| left.min(found.len())));
        Ok(&found[..room])
    }

    fn consume(&mut self, count: usize) {
        self.source.consume(count);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(count as u64);
        }
    }
}

/// The bytes of a file from a place on: `most` of them, or all there are.
///
/// # Errors
/// Names the path and the system's reason.
pub fn bytes_at(path: &Path, place: u64, most: u64) -> Result<Vec<u8>> {
    let read = || {
        let mut file = fs::File::open(path)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(place))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error: io::Error| anyhow::Error::new(error).context(format!("cannot read `{}`", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_to_the_length_that_it_had() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "0123456789").unwrap();
        let by_read = |length| {
            let mut text = String::new();
            Measured::open(&path, length).unwrap().read_to_string(&mut text).map(|_| text)
        };
        let by_lines = |length| Measured::open(&path, length).unwrap().lines().collect::<io::Result<String>>();
        for length in [None, Some(10), Some(7)] {
            let expected = &"0123456789"[..length.unwrap_or(10) as usize];
            assert_eq!(by_read(length).unwrap(), expected);
            assert_eq!(by_lines(length).unwrap(), expected);
        }
        for error in [by_read(Some(11)).unwrap_err(), by_lines(Some(11)).unwrap_err()] {
            let expected = "it has become shorter while it was read: it had 11 bytes, and ends after 10";
            assert_eq!(error.to_string(), expected);
        }
        assert_eq!(bytes_at(&path, 7, 2).unwrap(), b"78");
        assert_eq!(bytes_at(&path, 9, 2).unwrap(), b"9");
        assert_eq!(bytes_at(&path, 10, 2).unwrap(), b"");
    }
}
