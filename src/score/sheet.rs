//! A file or stream of output: counts and digests what is written, and gets its place when it is complete.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::ScoreError;
use super::files::partial;
use super::journal::Written;
use crate::digest::Digester;
use crate::fs::{self, GrowingFile};

/// An output that is being written.
#[derive(Debug)]
pub(super) struct Sheet {
    target: Target,
    bytes: u64,
    digester: Digester,
}

enum Target {
    /// The file as it grows, and its place.
    File(GrowingFile, PathBuf),
    /// What errors call it, and the stream.
    Stream(String, Box<dyn Write + Send>),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_, path) => write!(f, "File({})", path.display()),
            Self::Stream(name, _) => write!(f, "Stream({name})"),
        }
    }
}

impl Sheet {
    /// Writes to a stream that errors call by `name`.
    pub(super) fn stream(name: impl Into<String>, stream: Box<dyn Write + Send>) -> Self {
        Self { target: Target::Stream(name.into(), stream), bytes: 0, digester: Digester::default() }
    }

    /// Begins the file that is to be at `place`.
    pub(super) fn file(place: &Path) -> Result<Self> {
        let file = GrowingFile::begin(&partial(place))?;
        Ok(Self { target: Target::File(file, place.to_owned()), bytes: 0, digester: Digester::default() })
    }

    /// Goes on with the file that is to be at `path`, behind all links, and of which `written` is there. It may have got its place already,
    /// when the run was killed in its last moment.
    ///
    /// # Errors
    /// [`ScoreError::Damaged`] if the file is not as it was.
    pub(super) fn go_on(path: &Path, written: &Written) -> Result<Self, ScoreError> {
        let partial = partial(path);
        let found = if fs::stamp(&partial).is_some() { partial.as_path() } else { path };
        let mut digester = Digester::default();
        let bytes = io::copy(&mut fs::open(found)?.take(written.bytes), &mut digester)
            .with_context(|| format!("cannot read `{}`", found.display()))?;
        if bytes != written.bytes || digester.digest() != written.digest {
            let name = found.display();
            let text = format!("`{name}` is not what the run that is to go on wrote; leave out `--resume` to begin afresh");
            return Err(ScoreError::Damaged(text));
        }
        if found == path {
            fs::rename(path, &partial)?;
        }
        let file = GrowingFile::after(&partial, bytes)?;
        Ok(Self { target: Target::File(file, path.to_owned()), bytes, digester })
    }

    /// Appends bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).with_context(|| self.writing())
    }

    /// What errors of writing begin with.
    pub(super) fn writing(&self) -> String {
        match &self.target {
            Target::File(_, path) => format!("cannot write `{}`", path.display()),
            Target::Stream(name, _) => format!("cannot write {name}"),
        }
    }

    /// How much was written.
    pub(super) fn written(&self) -> Written {
        Written { bytes: self.bytes, digest: self.digester.digest() }
    }

    /// The name of the file, without folders; `None` for a stream.
    pub(super) fn file_name(&self) -> Option<String> {
        match &self.target {
            Target::File(_, path) => Some(path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()),
            Target::Stream(..) => None,
        }
    }

    /// Forces what was written to the disk, or through the stream.
    pub(super) fn sync(&mut self) -> Result<()> {
        let context = self.writing();
        match &mut self.target {
            Target::File(file, _) => file.sync(),
            Target::Stream(_, stream) => stream.flush().context(context),
        }
    }

    /// Gives the file its place.
    pub(super) fn place(mut self) -> Result<()> {
        self.sync()?;
        match self.target {
            Target::File(file, path) => file.put(&path),
            Target::Stream(..) => Ok(()),
        }
    }
}

impl Write for Sheet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.target {
            Target::File(file, _) => file.write(bytes)?,
            Target::Stream(_, stream) => stream.write(bytes)?,
        };
        self.bytes += count as u64;
        self.digester.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::File(file, _) => file.flush(),
            Target::Stream(_, stream) => stream.flush(),
        }
    }
}
