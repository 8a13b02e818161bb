//! The memory of file digests: a file whose stamp ([`Stamp`]: length, times, inode, device) is as remembered is not read
//! again, unless it is to be read in any case.
//!
//! The memory only saves time. A file that changed within [`SETTLING`] before this memory was opened, or since, is
//! not remembered for later runs, because another change within one tick of the file system's clock could leave its stamp
//! as it is: git calls such entries racily clean.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::digest::Digest;
use crate::fs::{self, Stamp};

/// The coarsest modification times in use, those of FAT, count two seconds.
const SETTLING: Duration = Duration::from_secs(2);

/// Digests of files, remembered in a JSON file.
#[derive(Debug)]
pub struct Stamps {
    path: PathBuf,
    opened: Duration,
    entries: Mutex<BTreeMap<String, Remembered>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Remembered {
    stamp: Stamp,
    blake3: Option<Digest>,
    sha256: Option<String>,
    /// Whether this process has read the file itself.
    #[serde(skip)]
    read: bool,
}

impl Stamps {
    /// Opens the memory in the file `path` at the time `now`. One that is missing or unreadable is an empty one: then
    /// everything is hashed again.
    pub fn open(path: PathBuf, now: Duration) -> Self {
        let entries = fs::read_json(&path).unwrap_or_default();
        Self { path, opened: now, entries: Mutex::new(entries) }
    }

    /// The BLAKE3 digest of a file.
    ///
    /// # Errors
    /// When it is not a regular file; otherwise names the path and the system's reason.
    pub fn blake3(&self, path: &Path) -> Result<Digest> {
        self.digest(path, |_| true)
    }

    /// The BLAKE3 digest of a file that this process has read, now or before: what earlier processes remember does not count.
    ///
    /// # Errors
    /// As [`Stamps::blake3`].
    pub fn read(&self, path: &Path) -> Result<Digest> {
        self.digest(path, |known| known.read)
    }

    fn digest(&self, path: &Path, counts: impl FnOnce(&Remembered) -> bool) -> Result<Digest> {
        let stamp = fs::stamp(path);
        ensure!(stamp.is_some() || !path.exists(), "`{}` is not a regular file", path.display());
        if let Some(digest) = self.recall(path, stamp.as_ref()).filter(counts).and_then(|known| known.blake3) {
            return Ok(digest);
        }
        let digest = fs::digest(path)?;
        self.keep(path, stamp.filter(|stamp| self.is_settled(stamp)), |entry| {
            (entry.blake3, entry.read) = (Some(digest), true);
        });
        Ok(digest)
    }

    /// The SHA-256 digest of a file in lower-case hexadecimal digits.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn sha256(&self, path: &Path) -> Result<String> {
        let stamp = fs::stamp(path);
        if let Some(digest) = self.recall(path, stamp.as_ref()).and_then(|known| known.sha256) {
            return Ok(digest);
        }
        let digest = sha256_of(fs::open(path)?).with_context(|| format!("cannot read `{}`", path.display()))?;
        self.keep(path, stamp, |entry| entry.sha256 = Some(digest.clone()));
        Ok(digest)
    }

    /// Remembers the digest of a file that this process has just written and hashed.
    pub fn remember(&self, path: &Path, digest: Digest) {
        self.keep(path, fs::stamp(path), |entry| (entry.blake3, entry.read) = (Some(digest), true));
    }

    /// Writes the memory down, without the files that are gone, have changed, or have changed too lately to be sure of.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn save(&self) -> Result<()> {
        let mut entries = self.entries();
        let is_current = |path: &str, entry: &Remembered| fs::stamp(Path::new(path)).is_some_and(|stamp| stamp == entry.stamp);
        entries.retain(|path, entry| self.is_settled(&entry.stamp) && is_current(path, entry));
        let same = |written: &BTreeMap<String, Remembered>| {
            let facts = |entry: &Remembered| (entry.stamp.clone(), entry.blake3, entry.sha256.clone());
            written.len() == entries.len()
                && written.iter().zip(entries.iter()).all(|(a, b)| a.0 == b.0 && facts(a.1) == facts(b.1))
        };
        if fs::read_json(&self.path).is_ok_and(|written| same(&written)) {
            return Ok(());
        }
        fs::write_json(&self.path, &*entries)
    }

    fn recall(&self, path: &Path, stamp: Option<&Stamp>) -> Option<Remembered> {
        let entries = self.entries();
        entries.get(&name_of(path)).filter(|entry| Some(&entry.stamp) == stamp).cloned()
    }

    fn keep(&self, path: &Path, stamp: Option<Stamp>, set: impl FnOnce(&mut Remembered)) {
        let Some(stamp) = stamp else { return };
        let mut entries = self.entries();
        let fresh = Remembered { stamp: stamp.clone(), blake3: None, sha256: None, read: false };
        let entry = entries.entry(name_of(path)).or_insert_with(|| fresh.clone());
        if entry.stamp != stamp {
            *entry = fresh;
        }
        set(entry);
    }

    fn is_settled(&self, stamp: &Stamp) -> bool {
        let nanoseconds = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        stamp.changed.saturating_add(nanoseconds(SETTLING)) <= nanoseconds(self.opened)
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Remembered>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner) // every change of the map is a single call
    }
}

fn sha256_of(mut reader: impl BufRead) -> std::io::Result<String> {
    let mut hasher = sha2::Sha256::new();
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(piece);
        let length = piece.len();
        reader.consume(length);
    }
}

fn name_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clock::{Clock, SystemClock};
    #[cfg(unix)]
    use crate::engine::tests::change_unseen;

    /// Hashes a file, gives the memory a false digest for it, and says whether the memory is believed when it is opened
    /// `later` than the file was written.
    fn is_believed(later: Duration) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let (file, memory) = (dir.path().join("x.csv"), dir.path().join("stamps.json"));
        fs::write(&file, "first").unwrap();
        let stamps = Stamps::open(memory.clone(), SystemClock::new().now() + later);
        assert_eq!(stamps.blake3(&file).unwrap(), Digest::of_bytes(b"first"));
        stamps.save().unwrap();
        let text = fs::read_text(&memory).unwrap();
        let (right, wrong) = (Digest::of_bytes(b"first").to_string(), Digest::of_bytes(b"wrong"));
        fs::write(&memory, text.replace(&right, &wrong.to_string())).unwrap();
        Stamps::open(memory, Duration::ZERO).blake3(&file).unwrap() == wrong
    }

    #[test]
    fn only_settled_files_are_remembered() {
        assert!(is_believed(Duration::from_secs(10)));
        assert!(!is_believed(Duration::from_secs(1)));
    }

    #[test]
    #[cfg(unix)]
    fn a_file_of_the_same_length_and_time_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (file, memory) = (dir.path().join("x.csv"), dir.path().join("stamps.json"));
        fs::write(&file, "first").unwrap();
        let later = SystemClock::new().now() + Duration::from_secs(10);
        let stamps = Stamps::open(memory.clone(), later);
        stamps.blake3(&file).unwrap();
        stamps.save().unwrap();
        change_unseen(&file, "other");
        assert_eq!(Stamps::open(memory, later).blake3(&file).unwrap(), Digest::of_bytes(b"other"));
    }

    #[test]
    fn what_earlier_processes_remember_does_not_count_as_read() {
        let dir = tempfile::tempdir().unwrap();
        let (file, memory) = (dir.path().join("x.csv"), dir.path().join("stamps.json"));
        fs::write(&file, "first").unwrap();
        let (right, wrong) = (Digest::of_bytes(b"first"), Digest::of_bytes(b"wrong"));
        let later = SystemClock::new().now() + Duration::from_secs(10);
        let stamps = Stamps::open(memory.clone(), later);
        stamps.remember(&file, wrong);
        assert_eq!(stamps.read(&file).unwrap(), wrong, "it has written the file itself");
        stamps.save().unwrap();
        let stamps = Stamps::open(memory, later);
        assert_eq!((stamps.blake3(&file).unwrap(), stamps.read(&file).unwrap()), (wrong, right));
        assert_eq!(stamps.blake3(&file).unwrap(), right);
    }

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let stamps = Stamps::open(dir.path().join("stamps.json"), Duration::ZERO);
        let error = stamps.blake3(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("is not a regular file"), "{error}");
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.csv");
        let stamps = Stamps::open(dir.path().join("stamps.json"), SystemClock::new().now() + Duration::from_secs(10));
        for text in ["first", "other", "longer than before"] {
            fs::write(&file, text).unwrap();
            assert_eq!(stamps.blake3(&file).unwrap(), Digest::of_bytes(text.as_bytes()));
        }
    }

    #[test]
    fn sha256_is_that_of_the_standard() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        fs::write(&file, "abc").unwrap();
        let stamps = Stamps::open(dir.path().join("stamps.json"), Duration::ZERO);
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-4, example 1
        assert_eq!(stamps.sha256(&file).unwrap(), expected);
    }

    #[test]
    fn an_unreadable_memory_is_an_empty_one_and_files_that_are_gone_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (file, memory) = (dir.path().join("x"), dir.path().join("stamps.json"));
        fs::write(&memory, "{ torn").unwrap();
        fs::write(&file, "abc").unwrap();
        let stamps = Stamps::open(memory.clone(), SystemClock::new().now() + Duration::from_secs(10));
        stamps.remember(&file, Digest::of_bytes(b"abc"));
        stamps.save().unwrap();
        assert!(fs::read_text(&memory).unwrap().contains("blake3"));
        fs::remove(&file).unwrap();
        stamps.save().unwrap();
        assert_eq!(fs::read_text(&memory).unwrap(), "{}\n");
    }
}
