//! What lies at a path: a file, a folder, or something that cannot be read to its end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

/// What lies at a path. Links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with an end.
    File,
    /// A folder.
    Folder,
    /// Nothing, or a link to nothing.
    Nothing,
    /// Something that has no length and may have no end: what it is.
    Special(&'static str),
}

impl Kind {
    fn of(meta: &fs::Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt;
            let kind = meta.file_type();
            if kind.is_fifo() {
                return Self::Special("a pipe");
            }
            if kind.is_socket() {
                return Self::Special("a socket");
            }
            if kind.is_char_device() || kind.is_block_device() {
                return Self::Special("a device");
            }
        }
        if meta.is_dir() { Self::Folder } else { Self::File }
    }
}

/// What lies at a path.
///
/// # Errors
/// Names the path and the system's reason, also for links in a circle.
pub fn kind(path: &Path) -> Result<Kind> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Kind::of(&meta)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kind::Nothing),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Checks that what is to be read whole is a file with an end. Nothing there is for whoever opens it to tell.
///
/// # Errors
/// Names the path and says what it is.
pub fn ensure_file(path: &Path) -> Result<()> {
    match kind(path)? {
        Kind::File | Kind::Nothing => Ok(()),
        Kind::Folder => bail!("`{}` is a folder, not a file", path.display()),
        Kind::Special(what) => bail!("`{}` is {what}, not a file with an end; copy what it yields into a file", path.display()),
    }
}

/// The names in a folder with what each is, sorted. A link that cannot be followed is [`Kind::Nothing`].
///
/// # Errors
/// Names the path and the system's reason.
pub fn list(dir: &Path) -> Result<Vec<(String, Kind)>> {
    let context = || format!("cannot list the folder `{}`", dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name().into_string().map_err(|name| anyhow!("`{}` is not a UTF-8 file name", name.display()))?;
        let kind = match entry.file_type().with_context(context)? {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Folder,
            _ => fs::metadata(entry.path()).map_or(Kind::Nothing, |meta| Kind::of(&meta)),
        };
        found.push((name, kind));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// Whether a symbolic link lies at `path`, wherever it leads.
pub fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink())
}

/// The one path of what lies at `path`, however links lead there.
///
/// # Errors
/// Names the path and the system's reason.
pub fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("cannot read `{}`", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_folders_devices_and_broken_links_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        crate::fs::write(&at("file"), b"").unwrap();
        crate::fs::create_dir(&at("folder")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        symlink("nowhere", at("broken")).unwrap();
        symlink("folder", at("link")).unwrap();
        symlink("circle", at("circle")).unwrap();
        let found = list(dir.path()).unwrap();
        let expected = [
            ("broken", Kind::Nothing),
            ("circle", Kind::Nothing),
            ("file", Kind::File),
            ("folder", Kind::Folder),
            ("link", Kind::Folder),
            ("zero", Kind::Special("a device")),
        ];
        assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind)));
        assert!(ensure_file(&at("file")).is_ok() && ensure_file(&at("nothing")).is_ok());
        let error = |name| ensure_file(&at(name)).unwrap_err().to_string().replace(dir.path().to_str().unwrap(), "DIR");
        assert_eq!(error("zero"), "`DIR/zero` is a device, not a file with an end; copy what it yields into a file");
        assert_eq!(error("link"), "`DIR/link` is a folder, not a file");
        assert!(is_link(&at("broken")) && is_link(&at("link")) && !is_link(&at("file")) && !is_link(&at("nothing")));
        assert_eq!(canonical(&at("link")).unwrap(), canonical(&at("folder")).unwrap());
    }
}
