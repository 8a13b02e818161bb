//! Names of files in the making, so that those which a killed process has left behind can be told from anybody else's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

const PREFIX: &str = ".partial-";
const SUFFIX: &str = ".pipeline";
const RANDOM: usize = 12;

/// The folders that this process has written to.
static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A new file in `folder` that holds a lock on itself for as long as it is open. The first one in a folder finds the place
/// swept of what killed processes have left.
pub(super) fn create(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let is_first = SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
    if is_first {
        let _ = sweep(folder); // litter is no reason not to write
    }
    loop {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666)); // the umask applies
        }
        let file = builder.tempfile_in(folder)?;
        // A sweep may have met the file before it was locked. A file system without locks is worked on all the same.
        let is_swept = matches!(file.as_file().try_lock(), Err(fs::TryLockError::WouldBlock));
        if !is_swept && file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes the files in the making that lie in `folder` itself and that no process holds any more. A folder that is not
/// there has none. Returns how many there were.
///
/// # Errors
/// Names the path and the system's reason.
pub fn sweep(folder: &Path) -> Result<usize> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => return Ok(0),
        Err(error) => return Err(error).with_context(|| format!("cannot list the folder `{}`", folder.display())),
    };
    let mut swept = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file()); // no links
        if is_file
            && entry.file_name().to_str().is_some_and(is_ours)
            && let Some(_held) = abandoned(&path)
        {
            super::remove(&path)?;
            swept += 1;
        }
    }
    Ok(swept)
}

fn is_ours(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// The file, locked, if no process holds it; where a file system has no locks, nobody can know, and it stays.
fn abandoned(path: &Path) -> Option<fs::File> {
    let file = fs::File::options().write(true).open(path).ok()?; // a network file system locks only what is open for writing
    file.try_lock().ok().map(|()| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_killed_process_has_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let left = create(dir.path()).unwrap();
        let left = left.into_temp_path().keep().unwrap(); // closed, as by a kill
        let held = create(dir.path()).unwrap();
        let others = [".partial-notes", ".partial-abcdef", "x.partial", ".partial-abcdefghijkl.pipeline.txt"];
        for name in others {
            fs::write(dir.path().join(name), "mine").unwrap();
        }
        assert_eq!(sweep(dir.path()).unwrap(), 1);
        assert!(!left.exists() && held.path().exists());
        assert!(others.iter().all(|name| dir.path().join(name).exists()));
        assert_eq!(sweep(&dir.path().join("nowhere")).unwrap(), 0);
        // Another process finds its folder swept when it first writes there.
        let left = create(dir.path()).unwrap().into_temp_path().keep().unwrap();
        SWEPT.lock().unwrap().remove(dir.path());
        create(dir.path()).unwrap();
        assert!(!left.exists() && held.path().exists());
    }
}
