//! The store of outputs below `<artifacts>/.cache`: objects named by stage key, checked whenever they are used.
//!
//! ```text
//! objects/<key>/manifest.json   what the object holds: every file's length and digest
//! objects/<key>/files/…         the output of the stage
//! building/<key>/files/…        an output in the making; moved to objects/ by one rename when it is complete and synced
//! scratch/<key>/…               checkpoints of a stage that has not succeeded yet
//! quarantine/<key>-<n>/…        objects that turned out to be damaged
//! ```
//! It does not know what made an output, or why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::stamps::Stamps;
use crate::digest::Digest;
use crate::fs;
use crate::graph::StageId;

const MANIFEST: &str = "manifest.json";
const FILES: &str = "files";

/// Length and digest of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of the content.
    pub blake3: Digest,
}

/// What an object of the store holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The key under which it is stored.
    pub key: Digest,
    /// The stage that made it.
    pub stage: StageId,
    /// The kind of that stage.
    pub kind: String,
    /// Every file by its path, with `/` between the parts.
    pub files: BTreeMap<String, Content>,
    /// Those of the files that only hold measurements of the run that made them.
    pub measurements: BTreeSet<String>,
    /// The digest of all of the above, so that a manifest that was changed is told from one that was not. Manifests of
    /// earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<Digest>,
}

impl Manifest {
    /// The files that make up the result: all but the measurements.
    pub fn results(&self) -> BTreeMap<String, Content> {
        let counts = |name: &String| !self.measurements.contains(name);
        self.files.iter().filter(|(name, _)| counts(name)).map(|(name, content)| (name.clone(), *content)).collect()
    }

    /// The digest of the result: of the path, length and content of every file but the measurements.
    pub fn output(&self) -> Digest {
        Digest::of_json(&serde_json::to_value(self.results()).expect("a map with text keys is JSON"))
    }

    /// The length of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|content| content.bytes).fold(0, u64::saturating_add)
    }

    fn sealed(mut self) -> Self {
        self.seal = Some(self.digest());
        self
    }

    /// The digest of everything but the seal.
    fn digest(&self) -> Digest {
        let Self { key, stage, kind, files, measurements, seal: _ } = self;
        Digest::of_json(&serde_json::json!({
            "key": key, "stage": stage, "kind": kind, "files": files, "measurements": measurements,
        }))
    }

    /// What is wrong with the manifest of `key` by itself, if anything is. `output` is the digest of the result as it is
    /// known from elsewhere: it stands in for a seal.
    fn fault(&self, key: Digest, output: Option<Digest>) -> Option<String> {
        if self.key != key {
            return Some(format!("its manifest is that of {}", self.key.short()));
        }
        let is_whole = match (self.seal, output) {
            (Some(seal), _) => seal == self.digest(),
            (None, Some(output)) => output == self.output(),
            (None, None) => true,
        };
        let foreign = self.measurements.iter().find(|name| !self.files.contains_key(*name));
        match (is_whole, foreign) {
            (false, _) => Some(format!("its manifest `{MANIFEST}` was changed")),
            (true, Some(name)) => Some(format!("its manifest calls `{name}` a measurement and has no such file")),
            (true, None) => None,
        }
    }
}

/// A complete output in the store.
#[derive(Clone, Debug)]
pub struct Object {
    /// The folder with its files. Read only.
    pub files: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
}

/// What the store has under a key.
#[derive(Debug)]
pub enum Lookup {
    /// Nothing.
    Absent,
    /// An output that is as it was when it was stored.
    Found(Box<Object>),
    /// An output that is not; the text says what is wrong.
    Damaged(String),
}

/// The folder of all objects.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in the folder `root`, which need not exist.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The object under `key`, after comparing its files with its manifest, and the manifest with its seal, or else with the
    /// digest `output` of the result, where that is known. Files whose stamp is known are not read.
    ///
    /// # Errors
    /// When a file cannot be read for another reason than that it is not there.
    pub fn look_up(&self, key: Digest, output: Option<Digest>, stamps: &Stamps) -> Result<Lookup> {
        let folder = self.object(key);
        if !folder.exists() {
            return Ok(Lookup::Absent);
        }
        let manifest: Manifest = match fs::read_json(&folder.join(MANIFEST)) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Lookup::Damaged(format!("{error:#}"))),
        };
        let object = Object { files: folder.join(FILES), manifest };
        Ok(match find_damage(key, output, &object, stamps)? {
            Some(damage) => Lookup::Damaged(damage),
            None => Lookup::Found(Box::new(object)),
        })
    }

    /// Whether the object under `key` has this file, as far as its stamp tells.
    pub fn holds(&self, key: Digest, file: &str, content: Content, stamps: &Stamps) -> bool {
        let path = self.object(key).join(FILES).join(file);
        fs::stamp(&path).is_some_and(|stamp| stamp.bytes == content.bytes)
            && stamps.blake3(&path).is_ok_and(|digest| digest == content.blake3)
    }

    /// Reads every file of the object under `key`, so that the next look at it rests on nothing that is merely remembered.
    ///
    /// # Errors
    /// When a file cannot be read for another reason than that it is not there.
    pub fn read(&self, key: Digest, stamps: &Stamps) -> Result<()> {
        let files = self.object(key).join(FILES);
        if files.is_dir() {
            for relative in fs::files_below(&files)? {
                stamps.read(&files.join(relative))?;
            }
        }
        Ok(())
    }

    /// The files of the object under `key` that are missing or not as they were stored, with their places; `None` if more than
    /// that is wrong with it. `output` is the digest of the result, as in [`Store::look_up`].
    ///
    /// # Errors
    /// When a file cannot be read for another reason than that it is not there.
    pub fn damaged_files(&self, key: Digest, output: Digest, stamps: &Stamps) -> Result<Option<Vec<(String, PathBuf, Content)>>> {
        let Ok(manifest) = self.manifest(key) else { return Ok(None) };
        if manifest.fault(key, Some(output)).is_some() {
            return Ok(None);
        }
        let files = self.object(key).join(FILES);
        let mut damaged = Vec::new();
        for (name, content) in manifest.files {
            let path = files.join(&name);
            let is_whole =
                fs::stamp(&path).is_some_and(|stamp| stamp.bytes == content.bytes) && stamps.read(&path)? == content.blake3;
            if !is_whole {
                damaged.push((name, path, content));
            }
        }
        Ok(Some(damaged))
    }

    /// Starts the output under `key`: an empty folder to fill, in place of any that was left behind.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn begin(&self, key: Digest) -> Result<PathBuf> {
        let folder = self.building(key);
        fs::remove(&folder)?;
        let files = folder.join(FILES);
        fs::create_dir(&files)?;
        Ok(files)
    }

    /// Lists and hashes the output in the making under `key`.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn describe(&self, key: Digest, stage: &StageId, kind: &str, measurements: &[PathBuf]) -> Result<Manifest> {
        let files = self.building(key).join(FILES);
        let mut contents = BTreeMap::new();
        for relative in fs::files_below(&files)? {
            let path = files.join(&relative);
            let bytes = fs::stamp(&path).with_context(|| format!("`{}` is not a file", path.display()))?.bytes;
            contents.insert(slashed(&relative)?, Content { bytes, blake3: fs::digest(&path)? });
        }
        let mut measured = BTreeSet::new();
        for path in measurements {
            let name = slashed(path)?;
            if contents.contains_key(&name) {
                measured.insert(name);
            }
        }
        let (stage, kind) = (stage.clone(), kind.to_owned());
        Ok(Manifest { key, stage, kind, files: contents, measurements: measured, seal: None }.sealed())
    }

    /// Puts the output in the making into the store, in place of any that is there: complete or not at all.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn install(&self, manifest: Manifest, stamps: &Stamps) -> Result<Object> {
        let (building, folder) = (self.building(manifest.key), self.object(manifest.key));
        fs::write_json(&building.join(MANIFEST), &manifest)?;
        fs::sync_below(&building)?;
        fs::create_dir(&self.root.join("objects"))?;
        if folder.exists() {
            self.remove(manifest.key)?;
        }
        fs::rename(&building, &folder)?;
        let files = folder.join(FILES);
        for (path, content) in &manifest.files {
            stamps.remember(&files.join(path), content.blake3);
        }
        Ok(Object { files, manifest })
    }

    /// Throws away the output in the making under `key`.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn abandon(&self, key: Digest) -> Result<()> {
        fs::remove(&self.building(key))
    }

    /// Throws away every output in the making: what a crash has left. Only for the holder of the lock.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn sweep(&self) -> Result<()> {
        fs::remove(&self.root.join("building"))
    }

    /// The scratch folder of `key`, made if it is missing.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn scratch(&self, key: Digest) -> Result<PathBuf> {
        let folder = self.scratch_folder(key);
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Removes the scratch folder of `key`.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn clear_scratch(&self, key: Digest) -> Result<()> {
        fs::remove(&self.scratch_folder(key))
    }

    /// Moves the object under `key` out of the way and says where to.
    ///
    /// # Errors
    /// Names the paths and the system's reason.
    pub fn quarantine(&self, key: Digest) -> Result<PathBuf> {
        let folder = self.root.join("quarantine");
        fs::create_dir(&folder)?;
        let mut number = 1;
        let free = loop {
            let candidate = folder.join(format!("{key}-{number}"));
            if !candidate.exists() {
                break candidate;
            }
            number += 1;
        };
        fs::rename(&self.object(key), &free)?;
        Ok(free)
    }

    /// The keys of all objects, sorted.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn keys(&self) -> Result<Vec<Digest>> {
        self.keys_in("objects")
    }

    /// The keys of all scratch folders, sorted: stages that were interrupted or failed.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn scratch_keys(&self) -> Result<Vec<Digest>> {
        self.keys_in("scratch")
    }

    /// The names of what is in quarantine, sorted.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn quarantined(&self) -> Result<Vec<String>> {
        let folder = self.root.join("quarantine");
        if folder.exists() { fs::entries(&folder) } else { Ok(Vec::new()) }
    }

    /// The manifest of the object under `key`, without a look at its files.
    ///
    /// # Errors
    /// When there is no such object, or its manifest is not readable.
    pub fn manifest(&self, key: Digest) -> Result<Manifest> {
        fs::read_json(&self.object(key).join(MANIFEST))
    }

    /// The folder with the files of the object under `key`, if there is one.
    pub fn find(&self, key: Digest) -> Option<PathBuf> {
        Some(self.object(key).join(FILES)).filter(|folder| folder.is_dir())
    }

    /// Removes the object under `key`.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn remove(&self, key: Digest) -> Result<()> {
        // Away by a rename first: a removal that is cut short must not leave half an object.
        let doomed = self.root.join("building").join(format!("{key}-removed"));
        fs::remove(&doomed)?;
        fs::create_dir(&self.root.join("building"))?;
        fs::rename(&self.object(key), &doomed)?;
        fs::remove(&doomed)
    }

    /// Removes everything in quarantine.
    ///
    /// # Errors
    /// Names the path and the system's reason.
    pub fn clear_quarantine(&self) -> Result<()> {
        fs::remove(&self.root.join("quarantine"))
    }

    fn keys_in(&self, folder: &str) -> Result<Vec<Digest>> {
        let folder = self.root.join(folder);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        Ok(fs::entries(&folder)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn object(&self, key: Digest) -> PathBuf {
        self.root.join("objects").join(key.to_string())
    }

    fn building(&self, key: Digest) -> PathBuf {
        self.root.join("building").join(key.to_string())
    }

    fn scratch_folder(&self, key: Digest) -> PathBuf {
        self.root.join("scratch").join(key.to_string())
    }
}

/// What is wrong with an object, if anything is.
fn find_damage(key: Digest, output: Option<Digest>, object: &Object, stamps: &Stamps) -> Result<Option<String>> {
    let Object { files, manifest } = object;
    if let Some(fault) = manifest.fault(key, output) {
        return Ok(Some(fault));
    }
    let mut present = BTreeSet::new();
    if files.is_dir() {
        for relative in fs::files_below(files)? {
            present.insert(slashed(&relative)?);
        }
    }
    if let Some(missing) = manifest.files.keys().find(|name| !present.contains(*name)) {
        return Ok(Some(format!("file `{missing}` is missing")));
    }
    if let Some(extra) = present.iter().find(|name| !manifest.files.contains_key(*name)) {
        return Ok(Some(format!("file `{extra}` does not belong to it")));
    }
    for (name, content) in &manifest.files {
        let path = files.join(name);
        let bytes = fs::stamp(&path).map(|stamp| stamp.bytes);
        if bytes != Some(content.bytes) {
            let bytes = bytes.map_or_else(|| "an unknown number of".to_owned(), |bytes| bytes.to_string());
            return Ok(Some(format!("file `{name}` has {bytes} bytes, and {} were stored", content.bytes)));
        }
        // Before anything is called damaged, it is looked at itself.
        if stamps.blake3(&path)? != content.blake3 && stamps.read(&path)? != content.blake3 {
            return Ok(Some(format!("file `{name}` has other content than was stored")));
        }
    }
    Ok(None)
}

/// A relative path with `/` between its parts, whatever the system uses.
///
/// # Errors
/// When the path is absolute, leads upwards or is not UTF-8.
pub(super) fn slashed(path: &Path) -> Result<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => {
                parts.push(name.to_str().with_context(|| format!("`{}` is not a UTF-8 path", path.display()))?);
            }
            std::path::Component::CurDir => {}
            _ => anyhow::bail!("`{}` is not a path below its folder", path.display()),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A store with one object of two files, damaged by `damage` in the object's folder.
    fn look_up_after(damage: impl FnOnce(&Path)) -> Lookup {
        let dir = tempfile::tempdir().unwrap();
        let (store, key) = (Store::new(dir.path().to_owned()), Digest::of_bytes(b"key"));
        let stamps = Stamps::open(dir.path().join("stamps.json"), Duration::ZERO);
        let files = store.begin(key).unwrap();
        fs::write(&files.join("a.txt"), "a").unwrap();
        fs::write(&files.join("sub.d/b.txt"), "b").unwrap();
        fs::write(&files.join("sub/c.txt"), "c").unwrap();
        let manifest = store.describe(key, &"stage".parse().unwrap(), "kind", &[]).unwrap();
        store.install(manifest, &stamps).unwrap();
        damage(&store.object(key));
        store.look_up(key, None, &stamps).unwrap()
    }

    fn check(damage: impl FnOnce(&Path), expected: &str) {
        match look_up_after(damage) {
            Lookup::Damaged(text) => assert!(text.contains(expected), "{text}"),
            other => panic!("expected damage, not {other:?}"),
        }
    }

    #[test]
    fn every_damage_is_seen() {
        assert!(matches!(look_up_after(|_| ()), Lookup::Found(_)));
        assert!(matches!(look_up_after(|folder| fs::remove(folder).unwrap()), Lookup::Absent));
        check(|folder| fs::remove(&folder.join(MANIFEST)).unwrap(), "cannot read");
        check(|folder| fs::write(&folder.join(MANIFEST), "{}").unwrap(), "is not as expected");
        check(|folder| fs::remove(&folder.join("files/a.txt")).unwrap(), "file `a.txt` is missing");
        check(|folder| fs::remove(&folder.join(FILES)).unwrap(), "file `a.txt` is missing");
        check(|folder| fs::write(&folder.join("files/a.txt"), "longer").unwrap(), "file `a.txt` has 6 bytes, and 1 were stored");
        check(|folder| fs::write(&folder.join("files/new"), "").unwrap(), "file `new` does not belong to it");
        check(|folder| fs::write(&folder.join("files/sub/c.txt"), "x").unwrap(), "file `sub/c.txt` has other content");
        check(
            |folder| {
                let text = fs::read_text(&folder.join(MANIFEST)).unwrap();
                let other = Digest::of_bytes(b"other").to_string();
                fs::write(&folder.join(MANIFEST), text.replacen(&Digest::of_bytes(b"key").to_string(), &other, 1)).unwrap();
            },
            "its manifest is that of",
        );
    }

    /// What is wrong with an object whose manifest was changed by replacing text; its seal is taken off first if `unsealed`.
    fn fault_after(unsealed: bool, from: &str, to: &str) -> Option<String> {
        let output = {
            let content = |bytes: u64, text: &[u8]| Content { bytes, blake3: Digest::of_bytes(text) };
            let files: BTreeMap<&str, Content> =
                [("a.txt", content(1, b"a")), ("sub.d/b.txt", content(1, b"b")), ("sub/c.txt", content(1, b"c"))].into();
            Digest::of_json(&serde_json::to_value(files).unwrap())
        };
        let dir = tempfile::tempdir().unwrap();
        let (store, key) = (Store::new(dir.path().to_owned()), Digest::of_bytes(b"key"));
        let stamps = Stamps::open(dir.path().join("stamps.json"), Duration::ZERO);
        let files = store.begin(key).unwrap();
        for (name, text) in [("a.txt", "a"), ("sub.d/b.txt", "b"), ("sub/c.txt", "c")] {
            fs::write(&files.join(name), text).unwrap();
        }
        let manifest = store.describe(key, &"stage".parse().unwrap(), "kind", &[]).unwrap();
        store.install(manifest, &stamps).unwrap();
        let path = store.object(key).join(MANIFEST);
        let mut value: serde_json::Value = fs::read_json(&path).unwrap();
        if unsealed {
            value.as_object_mut().unwrap().remove("seal").unwrap();
        }
        let text = serde_json::to_string_pretty(&value).unwrap();
        assert!(from.is_empty() || text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        match store.look_up(key, Some(output), &stamps).unwrap() {
            Lookup::Damaged(what) => Some(what),
            Lookup::Found(_) => None,
            Lookup::Absent => panic!("it is there"),
        }
    }

    #[test]
    fn a_changed_manifest_is_seen_with_and_without_a_seal() {
        assert_eq!([false, true].map(|unsealed| fault_after(unsealed, "", "")), [None, None]);
        for unsealed in [false, true] {
            for (from, to) in [("\"bytes\": 1", "\"bytes\": 2"), ("\"measurements\": []", "\"measurements\": [\"a.txt\"]")] {
                let fault = fault_after(unsealed, from, to);
                assert_eq!(fault.as_deref(), Some("its manifest `manifest.json` was changed"), "{from}, {unsealed}");
            }
        }
        let fault = fault_after(false, "\"kind\": \"kind\"", "\"kind\": \"kinds\"");
        assert!(fault.is_some(), "the seal covers everything");
    }

    #[test]
    fn paths_below_a_folder_only() {
        assert_eq!(slashed(Path::new("./a/b.txt")).unwrap(), "a/b.txt");
        assert!(slashed(Path::new("../a")).is_err());
        assert!(slashed(Path::new("/a")).is_err());
    }
}
