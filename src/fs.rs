//! Files: the one user of `std::fs`. Every error names its path; every write is atomic.
//!
//! A file that a user names is written where its links lead ([`place()`]), and not before [`guard()`] has found that nothing is
//! lost by it. A file of the program's own (a temporary one, a journal, a lock) is never opened through a link.

mod guard;
mod kind;
mod measured;
mod output;
mod partial;
mod place;
mod sealed;
mod stamp;

pub mod names;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::digest::{Digest, Digester};

pub use guard::{Claim, Guard, Misplaced, guard};
pub use kind::{Kind, canonical, ensure_file, is_link, kind, list};
pub use measured::{Measured, bytes_at};
pub use output::{AtomicFile, GrowingFile, append_line, is_plain, open_append, open_stream, remove_abandoned};
pub use partial::sweep;
pub use place::{Place, ignores_case, is_same, place};
pub use sealed::{read_sealed, write_sealed};
pub use stamp::{Stamp, stamp};

/// Opens a file for buffered reading.
///
/// # Errors
/// Names the path and the system's reason.
pub fn open(path: &Path) -> Result<BufReader<fs::File>> {
    let file = fs::File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

/// Reads a whole file.
///
/// # Errors
/// Names the path and the system's reason; also for a pipe or a device, which may have no end.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    ensure_file(path)?;
    fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Reads a whole file of at most `most` bytes; of a longer one, or of a device that never ends, no more than that is read.
///
/// # Errors
/// Names the path, and the system's reason; [`TooLong`].
pub fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>> {
    let context = || format!("cannot read `{}`", path.display());
    let file = fs::File::open(path).with_context(context)?;
    let told = file.metadata().with_context(context)?.len();
    let mut bytes = Vec::new();
    if told <= most {
        file.take(most + 1).read_to_end(&mut bytes).with_context(context)?;
    }
    let length = told.max(bytes.len() as u64);
    if length > most {
        return Err(TooLong { path: path.to_owned(), most }.into());
    }
    Ok(bytes)
}

/// A file is longer than anything of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is too long: {most} bytes are the most that are read of such a file", .path.display())]
pub struct TooLong {
    path: PathBuf,
    most: u64,
}

/// Reads the first `bytes` bytes of a file, or all it has.
///
/// # Errors
/// As [`read()`].
pub fn read_beginning(path: &Path, bytes: u64) -> Result<Vec<u8>> {
    ensure_file(path)?;
    let context = || format!("cannot read `{}`", path.display());
    let mut beginning = Vec::new();
    fs::File::open(path).with_context(context)?.take(bytes).read_to_end(&mut beginning).with_context(context)?;
    Ok(beginning)
}

/// Reads the last `bytes` bytes of a file.
///
/// # Errors
/// Names the path and the system's reason; also when the file is shorter.
pub fn read_end(path: &Path, bytes: u64) -> Result<Vec<u8>> {
    let context = || format!("cannot read `{}`", path.display());
    let mut file = fs::File::open(path).with_context(context)?;
    let back = i64::try_from(bytes).map_err(io::Error::other).with_context(context)?;
    file.seek(io::SeekFrom::End(-back)).with_context(context)?;
    let mut end = Vec::new();
    file.take(bytes).read_to_end(&mut end).with_context(context)?;
    Ok(end)
}

/// Reads a whole UTF-8 file.
///
/// # Errors
/// Names the path and the system's reason.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Reads a JSON file into `T`.
///
/// # Errors
/// Names the path; says where the JSON is wrong.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read(path)?).with_context(|| format!("`{}` is not as expected", path.display()))
}

/// Writes a file atomically: beside its destination, synced, then renamed over it.
///
/// # Errors
/// Names the path and the system's reason; the destination is then unchanged.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    write_with(path, |file| file.write_all(bytes.as_ref()))
}

/// Writes a value as indented JSON with a final line feed, atomically.
///
/// # Errors
/// As [`write()`].
pub fn write_json<T: serde::Serialize + ?Sized>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).with_context(|| format!("cannot write `{}` as JSON", path.display()))?;
    text.push('\n');
    write(path, text)
}

/// Writes a file atomically from what `fill` streams into it.
///
/// # Errors
/// As [`write()`]; an error of `fill` leaves the destination unchanged.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    fill(&mut file).with_context(|| format!("cannot write `{}`", path.display()))?;
    file.commit()
}

/// Makes a folder and those above it.
///
/// # Errors
/// Names the path and the system's reason.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make the folder `{}`", path.display()))
}

/// Forces a folder and everything below it to the disk, so that a rename after it survives a loss of power.
///
/// # Errors
/// Names the path and the system's reason.
pub fn sync_below(dir: &Path) -> Result<()> {
    for name in entries(dir)? {
        let path = dir.join(name);
        if path.is_dir() { sync_below(&path)? } else { sync(&path)? }
    }
    if cfg!(unix) { sync(dir) } else { Ok(()) } // elsewhere a folder cannot be opened
}

fn sync(path: &Path) -> Result<()> {
    let synced = fs::File::open(path).and_then(|file| file.sync_all());
    synced.with_context(|| format!("cannot sync `{}`", path.display()))
}

/// Removes a file or a folder with all it holds; nothing there is no error.
///
/// # Errors
/// Names the path and the system's reason.
pub fn remove(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes a folder if it is empty; one that is not, or is not there, is left as it is.
///
/// # Errors
/// Names the path and the system's reason.
pub fn remove_if_empty(dir: &Path) -> Result<()> {
    match fs::remove_dir(dir) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory
            ) =>
        {
            Err(error).with_context(|| format!("cannot remove `{}`", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Renames a file or folder; both paths must be on one file system.
///
/// # Errors
/// Names both paths and the system's reason.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot rename `{}` to `{}`", from.display(), to.display()))
}

/// Puts the file `from` at `to`, replacing what is there: by reflink or copy, never by a shared inode, so that editing one
/// leaves the other as it was.
///
/// # Errors
/// Names both paths and the system's reason.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = open(from)?;
    write_with(to, |file| io::copy(&mut source, file).map(drop))
        .with_context(|| format!("cannot copy `{}` to `{}`", from.display(), to.display()))
}

/// Copies the file `from` to `to` as [`copy()`] does, if its content has this digest; otherwise `to` is left as it was.
/// Says whether it had.
///
/// # Errors
/// Names both paths and the system's reason.
pub fn copy_checked(from: &Path, to: &Path, expected: Digest) -> Result<bool> {
    let mut source = open(from)?;
    let mut target = AtomicFile::create(to)?;
    let mut digester = Digester::default();
    loop {
        let piece = source.fill_buf().with_context(|| format!("cannot read `{}`", from.display()))?;
        if piece.is_empty() {
            break;
        }
        digester.update(piece);
        target.write_all(piece).with_context(|| format!("cannot write `{}`", to.display()))?;
        let length = piece.len();
        source.consume(length);
    }
    if digester.digest() != expected {
        return Ok(false);
    }
    target.commit().map(|()| true)
}

/// Puts the file `from` at `to` by a hard link where the file system allows it, else by copying. Only for files that
/// nobody edits: the objects of the cache.
///
/// # Errors
/// Names both paths and the system's reason.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    if fs::hard_link(from, to).is_ok() { Ok(()) } else { copy(from, to) }
}

/// The digest of a file's content.
///
/// # Errors
/// As [`read()`].
pub fn digest(path: &Path) -> Result<Digest> {
    ensure_file(path)?;
    let file = fs::File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    Digest::of_reader(file).with_context(|| format!("cannot read `{}`", path.display()))
}

/// All files below a folder, as paths relative to it, sorted.
///
/// # Errors
/// Names the path and the system's reason.
pub fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for name in entries(&dir.join(&folder))? {
            let relative = folder.join(name);
            if dir.join(&relative).is_dir() { folders.push(relative) } else { found.push(relative) }
        }
    }
    found.sort();
    Ok(found)
}

/// The names in a folder, sorted.
///
/// # Errors
/// Names the path and the system's reason.
pub fn entries(dir: &Path) -> Result<Vec<String>> {
    let context = || format!("cannot list the folder `{}`", dir.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(context)? {
        let name = entry.with_context(context)?.file_name();
        names.push(name.into_string().map_err(|name| anyhow!("`{}` is not a UTF-8 file name", name.display()))?);
    }
    names.sort();
    Ok(names)
}

/// A lock on a file that lasts as long as this value: one holder on the machine at a time.
#[derive(Debug)]
pub struct Lock {
    file: fs::File,
}

/// Takes the lock `path` if nobody holds it; `None` if somebody does.
///
/// # Errors
/// Names the path and the system's reason.
pub fn try_lock(path: &Path) -> Result<Option<Lock>> {
    let context = || format!("cannot lock `{}`", path.display());
    if let Some(parent) = path.parent() {
        create_dir(parent)?;
    }
    loop {
        let file = output::open_own(path, false).with_context(context)?;
        match file.try_lock() {
            // Its last holder may have removed it in between; the lock is then on a file that nobody else finds.
            Ok(()) if !output::is_at(&file, path) => {}
            Ok(()) => return Ok(Some(Lock { file })),
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error).with_context(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_no_litter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/model.onnx");
        write(&path, b"old").unwrap();
        let error = write_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(error.is_err());
        assert_eq!(read(&path).unwrap(), b"old");
        assert_eq!(files_below(dir.path()).unwrap(), [PathBuf::from("sub/model.onnx")]);
    }

    #[test]
    fn errors_name_the_path() {
        let error = format!("{:#}", read(Path::new("nowhere/x.csv")).unwrap_err());
        assert!(error.contains("nowhere/x.csv"), "{error}");
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = try_lock(&path).unwrap();
        assert!(first.is_some());
        assert!(try_lock(&path).unwrap().is_none());
        drop(first);
        assert!(try_lock(&path).unwrap().is_some());
    }
}
