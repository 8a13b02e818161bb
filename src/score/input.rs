//! Where rows come from: files and streams, decompressed on the fly, with a digest of their bytes as they are.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::data::open::{Compression, decompress};
use crate::data::pattern::Pattern;
use crate::digest::{Digest, Digester};
use crate::fs::{self, Measured};

/// What the standard input is called.
pub(super) const STANDARD_INPUT: &str = "standard input";

/// A table to be scored.
pub enum Input {
    /// A file, plain or compressed.
    File(PathBuf),
    /// A stream under a name, plain or compressed.
    Stream(String, Box<dyn Read + Send>),
}

impl Input {
    /// The standard input.
    pub fn standard_input() -> Self {
        Self::Stream(STANDARD_INPUT.to_owned(), Box::new(io::stdin()))
    }

    /// What patterns name, pattern by pattern, relative to `base`; `-` is the standard input.
    ///
    /// # Errors
    /// Names what is missing, as [`Pattern::resolve`] does.
    pub fn resolve<'a>(patterns: impl IntoIterator<Item = &'a Pattern>, base: &Path) -> Result<Vec<Self>> {
        let mut inputs = Vec::new();
        for pattern in patterns {
            if pattern.to_string() == "-" {
                inputs.push(Self::standard_input());
            } else {
                inputs.extend(pattern.resolve(base)?.into_iter().map(Self::File));
            }
        }
        Ok(inputs)
    }

    /// Its length in bytes, as it lies on disk, if that is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        match self {
            Self::File(path) => Some(fs::stamp(path)?.bytes),
            Self::Stream(..) => None,
        }
    }

    /// Whether it can be read but once: it is a stream, a FIFO or a device.
    pub(super) fn is_stream(&self) -> bool {
        match self {
            Self::File(path) => matches!(fs::place(path), Ok(fs::Place::Stream(_))),
            Self::Stream(..) => true,
        }
    }

    /// Where it is, if it is a file.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stream(..) => None,
        }
    }

    /// Its name without folders, which differ between machines.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            Self::Stream(name, _) => name.clone(),
        }
    }

    /// Starts reading. Of a file, no more than `length` bytes, and no fewer.
    pub(super) fn open(self, length: Option<u64>) -> Result<Opened> {
        let (mut source, context): (Box<dyn BufRead + Send>, String) = match self {
            Self::File(path) => (Box::new(Measured::open(&path, length)?), format!("cannot read `{}`", path.display())),
            Self::Stream(name, reader) => (Box::new(BufReader::with_capacity(1 << 16, reader)), format!("cannot read {name}")),
        };
        let compression = source.fill_buf().map(Compression::of).with_context(|| context.clone())?;
        if compression.is_none() {
            return Ok(Opened { reader: Box::new(source), watch: None });
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        let reader = decompress(Watched { source, seen: Arc::clone(&seen) }).context(context)?;
        Ok(Opened { reader, watch: Some(Watch(seen)) })
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "`{}`", path.display()),
            Self::Stream(name, _) => f.write_str(name),
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({self})")
    }
}

/// An input that is being read.
pub(super) struct Opened {
    /// Its content, decompressed.
    pub(super) reader: Box<dyn Read + Send>,
    /// What is read of it before decompression, if it is compressed.
    pub(super) watch: Option<Watch>,
}

/// What was read so far, before decompression.
#[derive(Default)]
struct Seen {
    bytes: u64,
    digester: Digester,
}

/// Counts what is read of a compressed input, and digests it.
pub(super) struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    /// How many bytes were read, as they lie on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// The digest of the bytes that were read.
    pub(super) fn digest(&self) -> Digest {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).digester.digest()
    }
}

struct Watched {
    source: Box<dyn BufRead + Send>,
    seen: Arc<Mutex<Seen>>,
}

impl Watched {
    fn note(&mut self, bytes: &[u8]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.bytes += bytes.len() as u64;
        seen.digester.update(bytes);
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.note(&buffer[..count]);
        Ok(count)
    }
}

impl BufRead for Watched {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if let Ok(buffer) = self.source.fill_buf() {
            // What is consumed lies in the buffer, so that this reads nothing.
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.bytes += count as u64;
            seen.digester.update(&buffer[..count.min(buffer.len())]);
        }
        self.source.consume(count);
    }
}
