//! Files that are written: those that appear when they are complete, those that grow, and streams.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::place::{self, Place};
use super::{Lock, create_dir, partial, remove, rename};

/// Opens a file of the program's own for writing, and makes it where there is none: not through a link, so that nobody can
/// have another file written in its stead, and nothing but a plain file.
///
/// # Errors
/// The system's reason; what stands there instead.
pub(super) fn open_own(path: &Path, append: bool) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).append(append);
    loop {
        match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
        let meta = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // removed in between
            result => result?,
        };
        if !meta.is_file() {
            let what = if meta.is_symlink() { "a symbolic link" } else { "no plain file" };
            return Err(io::Error::other(format!("it is {what}, and nothing is written through that; move it away")));
        }
        match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // likewise
            Ok(file) if !is_at(&file, path) => {}
            result => return result,
        }
    }
}

/// Whether `file` is what stands at `path`, and no link leads there.
pub(super) fn is_at(file: &fs::File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        let same = |meta: fs::Metadata| file.metadata().is_ok_and(|file| place::id_of(&file) == place::id_of(&meta));
        fs::symlink_metadata(path).is_ok_and(same)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// A file that appears at its destination only when [`AtomicFile::commit`] is called; dropped before, it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    writer: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts a file that is to be at `path`, or where a link there leads; missing parent folders are made.
    ///
    /// # Errors
    /// Names the path and the system's reason. What is there must be a file: nothing can take the place of a device.
    pub fn create(path: &Path) -> Result<Self> {
        let context = || format!("cannot write `{}`", path.display());
        let path = match place::place(path).with_context(context)? {
            Place::File(path) => path,
            Place::Folder => bail!("{}: it is a folder", context()),
            Place::Stream(_) => bail!("{}: it is no plain file", context()),
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        create_dir(parent)?;
        let file = partial::create(parent).with_context(context)?;
        Ok(Self { writer: BufWriter::with_capacity(1 << 16, file), path })
    }

    /// Syncs what was written and renames it to its destination.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn commit(self) -> Result<()> {
        let context = || format!("cannot write `{}`", self.path.display());
        let file = self.writer.into_inner().map_err(io::IntoInnerError::into_error).with_context(context)?;
        file.as_file().sync_all().with_context(context)?;
        file.persist(&self.path).map_err(|error| error.error).with_context(context)?;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A file that grows under a name of its own until it is complete and gets its place, and that a later run may go on with.
#[derive(Debug)]
pub struct GrowingFile {
    file: fs::File,
    path: PathBuf,
}

impl GrowingFile {
    /// Begins the file at `path`, where there must be none; makes missing parent folders.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn begin(path: &Path) -> Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            create_dir(parent)?;
        }
        let file = OpenOptions::new().create_new(true).write(true).open(path);
        Self { file: file.with_context(|| format!("cannot write `{}`", path.display()))?, path: path.to_owned() }.hold()
    }

    /// Opens the file at `path`, cut off after `bytes` bytes, to write behind them; makes it and missing parent folders. No
    /// link is followed.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn after(path: &Path, bytes: u64) -> Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            create_dir(parent)?;
        }
        let context = || format!("cannot write `{}`", path.display());
        let mut file = Self { file: open_own(path, false).with_context(context)?, path: path.to_owned() }.hold()?;
        file.cut(bytes)?;
        Ok(file)
    }

    /// The file at `path` that `lock` is on, cut off after `bytes` bytes, to write behind them. The lock lasts as long.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn locked(lock: Lock, path: &Path, bytes: u64) -> Result<Self> {
        let mut file = Self { file: lock.file, path: path.to_owned() };
        file.cut(bytes)?;
        Ok(file)
    }

    /// Cuts the file off after `bytes` bytes, to write behind them.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn cut(&mut self, bytes: u64) -> Result<()> {
        let end = self.file.set_len(bytes).and_then(|()| self.file.seek(io::SeekFrom::End(0)));
        end.map(drop).with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    /// Locks the file as long as it is written, so that [`remove_abandoned()`] can tell.
    fn hold(self) -> Result<Self> {
        // Where a file system has no locks, nothing can be told.
        let is_free = !matches!(self.file.try_lock(), Err(fs::TryLockError::WouldBlock));
        ensure!(is_free && is_at(&self.file, &self.path), "`{}` is being written by another process", self.path.display());
        Ok(self)
    }

    /// Forces what was written to the disk.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    /// Syncs the file and renames it to its place.
    ///
    /// # Errors
    /// Names both paths and the system's reason.
    pub fn put(self, path: &Path) -> Result<()> {
        self.sync()?;
        rename(&self.path, path)
    }
}

impl Write for GrowingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether `path` is a plain file and no link to one; `None` where nothing is.
pub fn is_plain(path: &Path) -> Option<bool> {
    fs::symlink_metadata(path).ok().map(|meta| meta.is_file())
}

/// Removes what a [`GrowingFile`] of an earlier process has left at `path`; `false` while a process still writes it.
///
/// # Errors
/// Names the path and the system's reason.
pub fn remove_abandoned(path: &Path) -> Result<bool> {
    let context = || format!("cannot remove `{}`", path.display());
    let file = OpenOptions::new().write(true).open(path).with_context(context)?;
    if matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) || !is_at(&file, path) {
        return Ok(false);
    }
    fs::remove_file(path).with_context(context)?;
    Ok(true)
}

/// Opens a [`Place::Stream`] to write through it. Waits for a reader where the stream is a FIFO that has none.
///
/// # Errors
/// Names the path and the system's reason.
pub fn open_stream(path: &Path) -> Result<fs::File> {
    // At its end, in case it is an open descriptor of a file.
    OpenOptions::new().append(true).open(path).with_context(|| format!("cannot write `{}`", path.display()))
}

/// Appends a line to a file of the program's own and syncs it; makes the file if it is missing.
///
/// # Errors
/// Names the path and the system's reason.
pub fn append_line(path: &Path, line: &str) -> Result<()> {
    let context = || format!("cannot append to `{}`", path.display());
    let mut file = open_own(path, true).with_context(context)?;
    file.write_all(format!("{line}\n").as_bytes()).with_context(context)?;
    file.sync_data().with_context(context)
}

/// Opens a file of the program's own for writing at its end, emptied first if it is to be `fresh`; makes it and missing parent
/// folders. For what must survive an interruption half done.
///
/// # Errors
/// Names the path and the system's reason.
pub fn open_append(path: &Path, fresh: bool) -> Result<fs::File> {
    if let Some(parent) = path.parent() {
        create_dir(parent)?;
    }
    if fresh {
        remove(path)?;
    }
    open_own(path, true).with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::{read, try_lock, write};
    use super::*;

    #[test]
    fn what_is_complete_replaces_what_a_link_leads_to_and_the_link_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        fs::write(path("sub/file"), "old").unwrap();
        symlink("sub/file", path("link")).unwrap();
        symlink("sub/none", path("dangling")).unwrap();
        for (link, target) in [("link", "sub/file"), ("dangling", "sub/none")] {
            write(&path(link), "new").unwrap();
            assert!(path(link).is_symlink());
            assert_eq!(read(&path(target)).unwrap(), b"new");
        }
        for (no_file, expected) in [(path("sub"), "is a folder"), (PathBuf::from("/dev/null"), "no plain file")] {
            let error = format!("{:#}", write(&no_file, "new").unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_file_of_the_programs_own_that_is_removed_meanwhile_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        drop(open_own(&path, false).unwrap());
                        remove(&path).unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn files_of_the_programs_own_are_never_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, planted) = (dir.path().join("victim"), dir.path().join("planted"));
        fs::write(&victim, "precious").unwrap();
        symlink("victim", &planted).unwrap();
        let refused = |result: Result<()>| {
            let error = format!("{:#}", result.unwrap_err());
            assert!(error.contains("planted`"), "{error}");
            assert_eq!(fs::read(&victim).unwrap(), b"precious");
        };
        refused(GrowingFile::begin(&planted).map(drop));
        refused(GrowingFile::after(&planted, 0).map(drop));
        refused(append_line(&planted, "line"));
        refused(open_append(&planted, false).map(drop));
        refused(try_lock(&planted).map(drop));
        open_append(&planted, true).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious", "a link that is removed leaves what it led to");
    }
}
