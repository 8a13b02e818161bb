//! Where a path leads: links followed, files told from devices, and whether two paths are one file.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// More links than that in a row are taken for a circle, as Linux does.
const MOST_LINKS: usize = 40;

/// What is at the end of a path to which something is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, or nothing yet. The path is that behind the last link: what is renamed to it leaves the link as it is.
    File(PathBuf),
    /// A device, a FIFO, a socket or an open descriptor: nothing can be renamed to it, so bytes are written through it.
    Stream(PathBuf),
    /// A folder.
    Folder,
}

/// What is at the end of `path`, whether it is there already or not.
///
/// # Errors
/// When links run in a circle or a folder above cannot be looked into.
pub fn place(path: &Path) -> io::Result<Place> {
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Ok(Place::Folder);
    }
    let mut end = path.to_owned();
    for _ in 0..MOST_LINKS {
        if is_descriptor(&end) {
            return Ok(Place::Stream(path.to_owned()));
        }
        match fs::symlink_metadata(&end) {
            Ok(meta) if meta.is_symlink() => end = beside(&end, &fs::read_link(&end)?),
            Ok(meta) if meta.is_dir() => return Ok(Place::Folder),
            Ok(meta) if meta.is_file() => return Ok(Place::File(end)),
            Ok(_) => return Ok(Place::Stream(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::File(end)),
            Err(error) => return Err(error),
        }
    }
    Err(circle())
}

/// Whether two paths are one file, whatever their spelling; also where the file is not there yet.
pub fn is_same(one: &Path, other: &Path) -> bool {
    Identity::of(one).is_ok_and(|one| Identity::of(other).is_ok_and(|other| one == other))
}

/// Whether a path names a descriptor that the process has open, as `/dev/stdout` does on Linux by way of `/proc`.
fn is_descriptor(path: &Path) -> bool {
    cfg!(target_os = "linux") && folder_of(path).canonicalize().is_ok_and(|folder| folder.starts_with("/proc"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `target` as a link at `link` means it.
fn beside(link: &Path, target: &Path) -> PathBuf {
    match link.parent() {
        Some(folder) => folder.join(target),
        None => target.to_owned(),
    }
}

fn circle() -> io::Error {
    io::Error::other("too many symbolic links in a row")
}

/// What makes a file that is there the same file under every name: device and inode, so that hard links count too.
#[cfg(unix)]
pub(super) type FileId = (u64, u64);

/// What makes a file that is there the same file under every name.
#[cfg(not(unix))]
pub(super) type FileId = PathBuf;

#[cfg(unix)]
pub(super) fn id_of(meta: &fs::Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt;
    (meta.dev(), meta.ino())
}

#[cfg(unix)]
fn id_at(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|meta| id_of(&meta))
}

#[cfg(not(unix))]
fn id_at(path: &Path) -> io::Result<FileId> {
    path.canonicalize()
}

/// What a path means.
#[derive(Clone, Debug)]
pub(super) enum Identity {
    /// A file that is there.
    Found(FileId),
    /// A file that could be made: the deepest folder that is there, and the names from there on.
    Absent { folder: PathBuf, id: FileId, names: Vec<OsString> },
}

impl Identity {
    /// What `path` means now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        if let Ok(id) = id_at(path) {
            return Ok(Self::Found(id));
        }
        let mut path = std::path::absolute(path)?;
        for _ in 0..MOST_LINKS {
            let (folder, names) = split(&path)?;
            let whole = names.iter().fold(folder.clone(), |path, name| path.join(name));
            if let Ok(id) = id_at(&whole) {
                return Ok(Self::Found(id));
            }
            match fs::read_link(&whole) {
                Ok(target) => path = beside(&whole, &target),
                Err(_) => {
                    let id = id_at(&folder)?;
                    return Ok(Self::Absent { folder, id, names });
                }
            }
        }
        Err(circle())
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Found(one), Self::Found(other)) => one == other,
            (Self::Absent { folder, id, names }, Self::Absent { id: other_id, names: others, .. }) => {
                let alike = || names.iter().map(folded).eq(others.iter().map(folded));
                id == other_id && (names == others || (alike() && ignores_case(folder)))
            }
            _ => false,
        }
    }
}

fn folded(name: &OsString) -> String {
    name.to_string_lossy().to_lowercase()
}

/// The deepest folder of an absolute path that is there, in its canonical form, and the names that follow. `..` behind a
/// name that is not there takes that name back, for a missing folder is made before a file in it is.
fn split(path: &Path) -> io::Result<(PathBuf, Vec<OsString>)> {
    let mut folder = PathBuf::new();
    let mut names: Vec<OsString> = Vec::new();
    for component in path.components() {
        match component {
            Component::ParentDir if !names.is_empty() => drop(names.pop()),
            Component::Normal(name) if !names.is_empty() || !folder.join(name).is_dir() => names.push(name.to_owned()),
            other => folder = folder.join(other).canonicalize()?,
        }
    }
    Ok((folder, names))
}

/// Whether names in a folder mean the same in capitals and in small letters: asked of a name that is there, in the folder, its
/// own or one above it. Where there is no such folder yet, it is the deepest one above it that is asked.
pub fn ignores_case(folder: &Path) -> bool {
    let Ok((folder, _)) = std::path::absolute(folder).and_then(|path| split(&path)) else { return false };
    let below = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let asked = below.chain(folder.ancestors().map(Path::to_owned)).find_map(|path| {
        let name = path.file_name()?.to_str()?;
        let swapped: String =
            name.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect();
        (swapped != name).then(|| (path.with_file_name(swapped), path.clone()))
    });
    asked.is_some_and(|(swapped, path)| {
        // Two names that are both listed are two entries, even if they are links to one file.
        let is_listed = || fs::read_dir(folder_of(&path)).into_iter().flatten().flatten().any(|entry| entry.path() == swapped);
        matches!((id_at(&swapped), id_at(&path)), (Ok(one), Ok(other)) if one == other) && !is_listed()
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_leads_to_a_file_a_stream_or_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        fs::write(path("file"), "").unwrap();
        for (link, target) in [("link", "file"), ("new", "sub/none"), ("second", "link"), ("null", "/dev/null"), ("dir", "sub")] {
            symlink(target, path(link)).unwrap();
        }
        let file = |name: &str| Place::File(path(name));
        assert_eq!(place(&path("none")).unwrap(), file("none"));
        assert_eq!(place(&path("second")).unwrap(), file("file"));
        assert_eq!(place(&path("new")).unwrap(), file("sub/none"), "also where nothing is yet");
        assert_eq!(place(&path("null")).unwrap(), Place::Stream(path("null")));
        for folder in ["sub", "dir", "sub/", "none/", "sub/..", "."] {
            assert_eq!(place(&path(folder)).unwrap(), Place::Folder, "{folder}");
        }
        assert_eq!(place(Path::new("")).unwrap(), Place::Folder);
        symlink("b", path("a")).unwrap();
        symlink("a", path("b")).unwrap();
        assert!(place(&path("a")).unwrap_err().to_string().contains("links"));
    }

    #[test]
    fn one_file_is_known_under_every_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        fs::write(path("x"), "").unwrap();
        fs::write(path("sub/y"), "").unwrap();
        fs::hard_link(path("x"), path("hard")).unwrap();
        for (link, target) in [("link", "x"), ("dir", "sub"), ("dangling", "sub/new"), ("again", "dangling")] {
            symlink(target, path(link)).unwrap();
        }
        for (one, other) in [
            ("x", "./x"),
            ("x", "sub/../x"),
            ("x", "none/../x"),
            ("x", "sub/none/../../x"),
            ("x", "hard"),
            ("x", "link"),
            ("sub/y", "dir/y"),
            ("new", "none/../new"),
            ("sub/new", "dir/new"),
            ("sub/new", "dangling"),
            ("again", "dir/new"),
            ("none/new", "none/./more/../new"),
        ] {
            assert!(is_same(&path(one), &path(other)), "{one} {other}");
            assert!(is_same(&path(other), &path(one)), "{one} {other}");
        }
        for (one, other) in [("x", "sub/y"), ("new", "sub/new"), ("new", "New"), ("x", "new"), ("none/new", "new")] {
            assert!(!is_same(&path(one), &path(other)), "{one} {other}");
        }
    }

    #[test]
    fn a_link_to_a_name_in_small_letters_is_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("art")).unwrap();
        symlink("art", path("ART")).unwrap();
        for folder in ["art", "ART", "ART/new/newer", "art/none/.."] {
            assert!(!ignores_case(&path(folder)), "{folder}");
        }
    }
}
