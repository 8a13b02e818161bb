//! Where rows come from: files and streams, decompressed on the fly, with a digest of their bytes as they are.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow};

use crate::data::csv::{Delimiter, Dialect, Note};
use crate::data::open::{Compression, decompress};
use crate::data::pattern::Pattern;
use crate::data::waiting::Waiting;
use crate::digest::{Digest, Digester, Tap};
use crate::fs::{self, Measured};
use crate::progress::Progress;

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

    /// Starts reading: of a file, no more than `length` bytes, and no fewer; `delimiter` says what stands between columns. A wait for a stream ends when `progress` is interrupted.
    pub(super) fn open(self, length: Option<u64>, delimiter: Delimiter, progress: &dyn Progress) -> Result<Opened<'_>> {
        let name = self.to_string();
        let cannot_read = || format!("cannot read {name}");
        let mut source: Box<dyn BufRead + Send + '_> = match self {
            Self::File(path) if path.is_file() || path.is_dir() || !path.exists() => Box::new(Measured::open(&path, length)?),
            Self::File(path) => {
                let open = move || fs::open(&path).map_err(io::Error::other);
                Box::new(BufReader::with_capacity(1 << 16, Waiting::new(open, progress).with_context(cannot_read)?))
            }
            Self::Stream(_, reader) => {
                Box::new(BufReader::with_capacity(1 << 16, Waiting::new(move || Ok(reader), progress).with_context(cannot_read)?))
            }
        };
        let compression = source.fill_buf().map(Compression::of).with_context(cannot_read)?;
        let watch = Watch::default();
        let mut content: Box<dyn BufRead + Send + '_> = match compression {
            Some(_) => {
                let watched = Tap { source, sink: watch.clone() };
                Box::new(BufReader::with_capacity(1 << 16, decompress(watched).with_context(cannot_read)?))
            }
            None => source,
        };
        let mut first = Vec::new();
        (&mut content).take(Dialect::SAMPLE as u64).read_to_end(&mut first).with_context(cannot_read)?;
        let dialect = Dialect::of(&first, delimiter).map_err(|other| anyhow!("{name}: {other}"))?;
        let whole = io::Cursor::new(first).chain(content);
        let (reader, is_watched) = if compression.is_none() && !dialect.is_plain() {
            // What is read is not what lies on disk, of which the digest is.
            (dialect.normalise(Tap { source: whole, sink: watch.clone() }), true)
        } else {
            (dialect.normalise(whole), compression.is_some())
        };
        let notes = dialect.notes();
        let dialect = compression.is_none().then_some(dialect);
        Ok(Opened { reader, watch: is_watched.then_some(watch), dialect, notes })
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
pub(super) struct Opened<'a> {
    /// Its content, decompressed, as UTF-8 with commas.
    pub(super) reader: Box<dyn Read + Send + 'a>,
    /// What is read of it as it lies on disk, if that is something else.
    pub(super) watch: Option<Watch>,
    /// How its text lies on disk; `None` if it is compressed.
    pub(super) dialect: Option<Dialect>,
    /// What was found about how it is written down.
    pub(super) notes: Vec<Note>,
}

/// What was read so far, as it lies on disk.
#[derive(Default)]
struct Seen {
    bytes: u64,
    digester: Digester,
}

/// Counts what is read of an input as it lies on disk, and digests it. Clones share what they have seen.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    /// How many bytes were read, as they lie on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.seen().bytes
    }

    /// The digest of the bytes that were read.
    pub(super) fn digest(&self) -> Digest {
        self.seen().digester.digest()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Watch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut seen = self.seen();
        seen.bytes += bytes.len() as u64;
        seen.digester.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
