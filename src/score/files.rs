//! The files of a run: where its outputs go, what it makes on the way, and what an earlier run may have left of that.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::input::STANDARD_INPUT;
use super::journal::Journal;
use super::manifest::Manifest;
use super::writer::REJECTS;
use super::{Input, Output, ScoreError, text};
use crate::fs::{self, Claim, GrowingFile, Place};
use crate::progress::Progress;

/// Where an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outlet {
    /// To a file that appears there when all is done. Links were followed.
    File(PathBuf),
    /// Through a device or a FIFO, as it comes.
    Stream(PathBuf),
}

impl Outlet {
    /// What is at the end of `path`.
    ///
    /// # Errors
    /// When that is a folder, or nothing can be there.
    pub(super) fn of(path: &Path) -> Result<Self, ScoreError> {
        match fs::place(path).with_context(|| format!("cannot write `{}`", path.display()))? {
            Place::File(place) => Ok(Self::File(place)),
            Place::Stream(path) => Ok(Self::Stream(path)),
            Place::Folder => Err(ScoreError::Invalid(format!("`{}` is a folder; name a file in it", path.display()))),
        }
    }

    /// The file, if it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(place) => Some(place),
            Self::Stream(_) => None,
        }
    }
}

/// Where a file is built that is to be at `place`.
pub(super) fn partial(place: &Path) -> PathBuf {
    beside(place, ".partial")
}

/// Where the journal of the run is that writes to `place`.
pub(super) fn journal_of(place: &Path) -> PathBuf {
    beside(place, ".journal")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Everything that a run reads and writes, for [`fs::guard()`].
pub fn claims(model: Option<&Path>, inputs: &[Input], output: &Output, rejects: Option<&Path>) -> Vec<Claim> {
    let mut claims: Vec<Claim> = model.into_iter().map(|path| Claim::read("the model", path)).collect();
    claims.extend(inputs.iter().filter_map(|input| match input {
        Input::File(path) => Some(Claim::read("the input", path)),
        Input::Stream(name, _) if name == STANDARD_INPUT => Some(Claim::read("the standard input", "/dev/stdin")),
        Input::Stream(..) => None,
    }));
    if let Output::File(path) = output {
        claims.extend(written("the predictions", path));
        if let Ok(Place::File(place)) = fs::place(path) {
            claims.push(Claim::written("the journal", journal_of(&place)));
            claims.extend(place_of_manifest(path).map(|place| Claim::written("the temporary file", partial_manifest(&place))));
            claims.push(Claim::written("the manifest", Manifest::path(path)));
        }
    }
    claims.extend(rejects.into_iter().flat_map(|path| written("the list of rejects", path)));
    claims
}

/// A file that is written, and what it is built as.
fn written(what: &str, path: &Path) -> Vec<Claim> {
    let mut claims = vec![Claim::written(what, path)];
    if let Ok(Place::File(place)) = fs::place(path) {
        claims.push(Claim::written("the temporary file", partial(&place)));
    }
    claims
}

/// Checks before anything is opened that no file of a run is written over another; see [`fs::guard()`].
///
/// # Errors
/// [`ScoreError::Invalid`] with the two that are one file, or the output that is a folder.
pub fn check_files(claims: &[Claim]) -> Result<(), ScoreError> {
    fs::guard(claims).map_err(|misplaced| ScoreError::Invalid(misplaced.to_string()))
}

/// What an earlier run has left that wrote to the same place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Earlier<'a> {
    /// Whether there was one that did not come to its end.
    pub(super) is_left: bool,
    /// Whether this run goes on with it.
    pub(super) goes_on: bool,
    /// Where its list of rejects was to be.
    pub(super) rejects_at: Option<&'a Path>,
}

/// Makes room for the files that a run makes before it is complete, and says which those are. `path` is where its user wants the
/// predictions, `place` where that leads, `list` where the list of rejects is to be.
///
/// # Errors
/// [`ScoreError::Invalid`] if a file of the user's stands there, or where the manifest goes there can be no file;
/// [`ScoreError::Held`] while another run writes it.
pub(super) fn make_room(
    path: &Path,
    place: &Path,
    list: Option<&Path>,
    journal: &Journal,
    earlier: Earlier<'_>,
) -> Result<Leftovers, ScoreError> {
    let Earlier { is_left, goes_on, rejects_at } = earlier;
    let (output, list) = (partial(place), list.map(partial));
    let room = || {
        let manifest = partial_manifest(&place_of_manifest(path)?);
        if !goes_on {
            clear(&output, |_| is_left)?;
            list.as_deref().map_or(Ok(()), |path| clear(path, is_list_of_rejects))?;
            // Where another list of rejects was begun, nothing but such a list is touched.
            if let Some(other) = rejects_at.map(partial).filter(|path| is_list_of_rejects(path)) {
                clear(&other, |_| true)?;
            }
        }
        clear(&manifest, |_| is_left)?;
        Ok(manifest)
    };
    let manifest = room().inspect_err(|_: &ScoreError| {
        if !is_left {
            journal.discard();
        }
    })?;
    let paths = [output, manifest].into_iter().chain(list).chain([journal.path().to_owned()]);
    Ok(Leftovers { paths: paths.collect(), are_kept: goes_on })
}

/// As [`make_room()`], of a run that makes no file but a list of rejects, if that.
///
/// # Errors
/// As [`make_room()`].
pub(super) fn room_for_list(list: Option<&Path>) -> Result<Leftovers, ScoreError> {
    let list = list.map(partial);
    list.as_deref().map_or(Ok(()), |path| clear(path, is_list_of_rejects))?;
    Ok(Leftovers { paths: list.into_iter().collect(), are_kept: false })
}

/// Makes sure that nothing stands where a run builds a file: removes what an earlier run has left there. Only what `is_ours`
/// is; anything else is a file of the user's.
fn clear(path: &Path, is_ours: impl FnOnce(&Path) -> bool) -> Result<(), ScoreError> {
    match fs::is_plain(path) {
        None => Ok(()),
        Some(true) if is_ours(path) => match fs::remove_abandoned(path)? {
            true => Ok(()),
            false => Err(ScoreError::Held(path.display().to_string())),
        },
        Some(_) => Err(ScoreError::Invalid(format!(
            "`{}` is there already, and no interrupted run has left it; move it away, or write to another file",
            path.display()
        ))),
    }
}

/// Whether a file is a list of rejects, or the beginning of one.
fn is_list_of_rejects(path: &Path) -> bool {
    let mut header = Vec::new();
    text::write_cells(&mut header, REJECTS);
    let mut found = Vec::new();
    let read = fs::open(path).and_then(|file| Ok(file.take(header.len() as u64).read_to_end(&mut found)?));
    read.is_ok() && header.starts_with(&found)
}

/// Writes the manifest of `output` beside it, by way of a temporary file that a later run knows as such.
pub(super) fn write_manifest(output: &Path, manifest: &Manifest) -> Result<()> {
    let place = place_of_manifest(output)?;
    let mut json = serde_json::to_string_pretty(manifest).context("the manifest cannot be written as JSON")?;
    json.push('\n');
    let mut file = GrowingFile::begin(&partial_manifest(&place))?;
    file.write_all(json.as_bytes()).with_context(|| format!("cannot write `{}`", place.display()))?;
    file.put(&place)
}

/// Where the manifest of `output` is to be, behind all links.
///
/// # Errors
/// [`ScoreError::Invalid`] when there can be no file.
fn place_of_manifest(output: &Path) -> Result<PathBuf, ScoreError> {
    let path = Manifest::path(output);
    match Outlet::of(&path)? {
        Outlet::File(place) => Ok(place),
        Outlet::Stream(_) => {
            let text = "is no plain file, and the manifest is to be there; move it away, or write to another file";
            Err(ScoreError::Invalid(format!("`{}` {text}", path.display())))
        }
    }
}

/// Where a manifest is built that is to be at `place`. The name is no longer than that, so that what can be called so in the end
/// can be built.
fn partial_manifest(place: &Path) -> PathBuf {
    place.with_extension("part")
}

/// Opens a stream to write through it. A FIFO waits for its reader, and a wish to stop ends the wait.
pub(super) fn open_stream(path: &Path, progress: &dyn Progress) -> Result<Box<dyn Write + Send>, ScoreError> {
    let (send, receive) = channel();
    let wanted = path.to_owned();
    // Not joined: where nobody ever reads, it waits until the program ends.
    thread::spawn(move || drop(send.send(fs::open_stream(&wanted))));
    loop {
        progress.check()?;
        match receive.recv_timeout(Duration::from_millis(100)) {
            Ok(opened) => return Ok(Box::new(opened?)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(anyhow!("cannot open `{}`", path.display()).into()),
        }
    }
}

/// What a run leaves when it does not come to its end: nothing, unless another run can go on with it.
pub(super) struct Leftovers {
    pub(super) paths: Vec<PathBuf>,
    pub(super) are_kept: bool,
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        if !self.are_kept {
            // What cannot be removed is harmless: the next run removes it.
            self.paths.iter().for_each(|path| drop(fs::remove(path)));
        }
    }
}
