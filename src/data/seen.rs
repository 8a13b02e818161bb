//! Files with their digests as they were read, so that what was made of them can be told to be of them: a file may be
//! replaced between any two looks at it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use super::open::unpack;
use crate::digest::{Digest, Digester, Tap};
use crate::fs;

/// Opens files and keeps the digests of what is read of them. Clones share what they have seen.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<BTreeMap<PathBuf, File>>>);

enum File {
    /// It was read to its end.
    Read(Digest),
    /// It was let go of, perhaps before its end.
    Left(Box<Open>),
}

type Open = Tap<Box<dyn BufRead + Send>, Digester>;

impl Seen {
    /// Opens a file and decompresses it on the fly, as [`super::open::open`] does.
    pub(super) fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>> {
        let open = Open { source: Box::new(fs::open(path)?), sink: Digester::default() };
        let watched = Watched { open: Some(Box::new(open)), path: path.to_owned(), seen: self.clone() };
        unpack(path, watched)
    }

    /// Reads a whole file of at most `most` bytes as it is.
    pub(super) fn read(&self, path: &Path, most: u64) -> Result<Vec<u8>> {
        let bytes = fs::read_at_most(path, most)?;
        self.locked().insert(path.to_owned(), File::Read(Digest::of_bytes(&bytes)));
        Ok(bytes)
    }

    /// The digest of a file that was read, and of what may be left of it (a compressed stream can end before its file does);
    /// `None` for a file that was not.
    pub(super) fn digest(&self, path: &Path) -> Result<Option<Digest>> {
        let Some(file) = self.locked().remove(path) else { return Ok(None) };
        let digest = match file {
            File::Read(digest) => digest,
            File::Left(mut open) => {
                io::copy(&mut open, &mut io::sink()).with_context(|| format!("cannot read `{}`", path.display()))?;
                open.sink.digest()
            }
        };
        self.locked().insert(path.to_owned(), File::Read(digest));
        Ok(Some(digest))
    }

    /// How many files were opened.
    pub(super) fn len(&self) -> usize {
        self.locked().len()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<PathBuf, File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // every change of the map is a single call
    }
}

/// A file that is being read; when it is let go of, what is left of it goes back to [`Seen`].
struct Watched {
    open: Option<Box<Open>>,
    path: PathBuf,
    seen: Seen,
}

impl Watched {
    fn open(&mut self) -> &mut Open {
        self.open.as_mut().expect("it is taken only when this is dropped")
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.open().read(buffer)
    }
}

impl BufRead for Watched {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.open().fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.open().consume(count);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.seen.locked().insert(std::mem::take(&mut self.path), File::Left(open));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_digest_is_of_the_whole_file_as_it_was_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, packed, folder) = (dir.path().join("x"), dir.path().join("x.gz"), dir.path().join("y"));
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(&plain, &text).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&text).unwrap();
        let bytes = encoder.finish().unwrap();
        fs::write(&packed, &bytes).unwrap();
        let seen = Seen::default();
        for (path, expected) in [(&plain, Digest::of_bytes(&text)), (&packed, Digest::of_bytes(&bytes))] {
            let mut reader = seen.open(path).unwrap();
            let mut first = [0; 10];
            reader.read_exact(&mut first).unwrap();
            assert_eq!(first, text[..10]);
            fs::write(path, "replaced").unwrap();
            drop(reader);
            assert_eq!(seen.digest(path).unwrap(), Some(expected));
            assert_eq!(seen.digest(path).unwrap(), Some(expected));
        }
        assert_eq!(seen.read(&plain, 8).unwrap(), b"replaced");
        assert_eq!(seen.digest(&plain).unwrap(), Some(Digest::of_bytes(b"replaced")));
        assert_eq!((seen.digest(&folder).unwrap(), seen.len()), (None, 2));
    }
}
