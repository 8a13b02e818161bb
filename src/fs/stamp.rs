//! Stamps: a cheap sign that a file may have changed.

use std::fs;
use std::path::Path;

/// What the system says of a file without reading it. Never part of a key; it only saves hashing a file again.
///
/// On Unix it holds the time of the last change of the inode, which every write, truncation, renaming, linking and setting
/// of times moves on, and which no program can set: a file that was replaced by one of the same length and time of
/// modification, or edited in place with its time put back, has another stamp.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// Length in bytes.
    pub bytes: u64,
    /// Modification time in nanoseconds since 1970.
    pub modified: i128,
    /// Time of the last change of the inode in nanoseconds since 1970; the modification time where the system has none.
    pub changed: i128,
    /// Inode number; 0 where the system has none.
    pub inode: u64,
    /// Number of the device that the file is on; 0 where the system has none.
    pub device: u64,
}

/// The stamp of a regular file, links followed; `None` where there is none.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(of(&meta))
}

#[cfg(unix)]
fn of(meta: &fs::Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Stamp {
        bytes: meta.len(),
        modified: nanoseconds(meta.mtime(), meta.mtime_nsec()),
        changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
        device: meta.dev(),
    }
}

#[cfg(not(unix))]
fn of(meta: &fs::Metadata) -> Stamp {
    let since = |time: std::time::SystemTime| match time.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => i128::try_from(after.as_nanos()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
    };
    let modified = meta.modified().map_or(0, since);
    Stamp { bytes: meta.len(), modified, changed: modified, inode: 0, device: 0 }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Gives a file the times of modification and access that `as_of` had.
    fn put_back(path: &Path, as_of: &fs::Metadata) {
        let times = fs::FileTimes::new().set_modified(as_of.modified().unwrap()).set_accessed(as_of.accessed().unwrap());
        fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
    }

    #[test]
    fn a_change_with_the_same_length_and_time_shows() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("x"), dir.path().join("y"));
        fs::write(&path, "1").unwrap();
        let (before, first) = (fs::metadata(&path).unwrap(), stamp(&path));
        std::thread::sleep(Duration::from_millis(20)); // times of files go on in steps of up to ten milliseconds
        fs::write(&path, "2").unwrap();
        put_back(&path, &before);
        let edited = stamp(&path);
        fs::write(&other, "3").unwrap();
        put_back(&other, &before);
        fs::rename(&other, &path).unwrap();
        let replaced = stamp(&path);
        assert!(first != edited && edited != replaced, "{first:?} {edited:?} {replaced:?}");
        assert!(
            [&first, &edited, &replaced].iter().all(|stamp| stamp.as_ref().unwrap().modified == first.as_ref().unwrap().modified)
        );
    }

    #[test]
    fn files_from_before_1970_are_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "1").unwrap();
        let past = std::time::UNIX_EPOCH - Duration::from_secs(1000);
        fs::File::options().write(true).open(&path).unwrap().set_times(fs::FileTimes::new().set_modified(past)).unwrap();
        assert_eq!(stamp(&path).unwrap().modified, -1_000_000_000_000);
    }
}
