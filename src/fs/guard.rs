//! The guard before a command that writes where its user says: no output may be one of its inputs, or another output.

use std::fmt;
use std::path::{Path, PathBuf};

use super::place::{Identity, Place, place};

/// A file that a command is going to read or write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    what: String,
    path: PathBuf,
    is_written: bool,
}

impl Claim {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file that is read; `what` is what messages call it: "the model".
    pub fn read(what: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { what: what.into(), path: path.into(), is_written: false }
    }

    /// A file that is written, or that is made on the way and removed.
    pub fn written(what: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { what: what.into(), path: path.into(), is_written: true }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.what, self.path.display())
    }
}

/// Why a command must not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// What is written would destroy what is read.
    #[error("{written} would overwrite {read}: they are one file; write to another")]
    Overwrites {
        /// What is written.
        written: Claim,
        /// What is read.
        read: Claim,
    },
    /// Two things are to be written to one file.
    #[error("{first} and {second} are one file; write them to two")]
    Twice {
        /// The one.
        first: Claim,
        /// The other.
        second: Claim,
    },
    /// A file is to be where a folder is.
    #[error("{0} is a folder; name a file in it")]
    Folder(Claim),
    /// Its path leads nowhere.
    #[error("{0}: {1}")]
    Nowhere(Claim, String),
}

/// Checks all files that a command is going to read and write, the derived and the temporary ones too, before it opens any:
/// no file that is written may be another one of them, under whatever name, and none may be a folder.
///
/// Files that are there are the same if device and inode are; those that are not there yet, if folder and name are. A
/// character device or a socket may be anything at once, as `/dev/null` may: writing to it destroys nothing.
///
/// # Errors
/// The first pair that is one file, or the first file that cannot be one.
pub fn guard(claims: &[Claim]) -> Result<(), Misplaced> {
    let mut guard = Guard::over(claims.iter().filter(|claim| !claim.is_written).cloned());
    claims.iter().filter(|claim| claim.is_written).try_for_each(|claim| guard.admit(claim))
}

/// What [`guard()`] does, one file that is written after another.
#[derive(Debug, Default)]
pub struct Guard {
    known: Vec<(Claim, Identity)>,
}

impl Guard {
    /// A guard over files that are read.
    pub fn over(read: impl IntoIterator<Item = Claim>) -> Self {
        // What cannot be looked at cannot be read either: that is for the reader to say.
        let identified = |claim: Claim| Identity::of(&claim.path).ok().map(|identity| (claim, identity));
        let plain = read.into_iter().filter(|claim| !keeps_nothing(&claim.path));
        Self { known: plain.filter_map(identified).collect() }
    }

    /// Lets a file be written, and guards it from then on.
    ///
    /// # Errors
    /// As [`guard()`].
    pub fn admit(&mut self, claim: &Claim) -> Result<(), Misplaced> {
        let nowhere = |error: std::io::Error| Misplaced::Nowhere(claim.clone(), error.to_string());
        if place(&claim.path).map_err(nowhere)? == Place::Folder {
            return Err(Misplaced::Folder(claim.clone()));
        }
        if keeps_nothing(&claim.path) {
            return Ok(());
        }
        let identity = Identity::of(&claim.path).map_err(nowhere)?;
        if let Some((other, _)) = self.known.iter().find(|(_, known)| *known == identity) {
            return Err(match other.is_written {
                true => Misplaced::Twice { first: other.clone(), second: claim.clone() },
                false => Misplaced::Overwrites { written: claim.clone(), read: other.clone() },
            });
        }
        self.known.push((claim.clone(), identity));
        Ok(())
    }
}

/// Whether what is written there takes the place of nothing.
#[cfg(unix)]
fn keeps_nothing(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = std::fs::metadata(path).map(|meta| meta.file_type());
    kind.is_ok_and(|kind| kind.is_char_device() || kind.is_socket())
}

#[cfg(not(unix))]
fn keeps_nothing(_path: &Path) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_output_is_an_input_or_another_output_under_whatever_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("x.csv"), "").unwrap();
        fs::create_dir(path("sub")).unwrap();
        fs::hard_link(path("x.csv"), path("hard.csv")).unwrap();
        std::os::unix::fs::symlink("x.csv", path("link.csv")).unwrap();
        let check = |written: &[&str]| {
            let claims = written.iter().map(|name| Claim::written("the output", path(name)));
            let claims: Vec<Claim> = claims.chain([Claim::read("the input", path("x.csv"))]).collect();
            guard(&claims).map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
        };
        for same in ["x.csv", "./x.csv", "sub/../x.csv", "no/../x.csv", "hard.csv", "link.csv"] {
            let expected =
                format!("the output `DIR/{same}` would overwrite the input `DIR/x.csv`: they are one file; write to another");
            assert_eq!(check(&[same]), Err(expected), "{same}");
        }
        let twice = "the output `DIR/o.csv` and the output `DIR/sub/../o.csv` are one file; write them to two";
        assert_eq!(check(&["o.csv", "sub/../o.csv"]), Err(twice.to_owned()));
        assert_eq!(check(&["sub"]), Err("the output `DIR/sub` is a folder; name a file in it".to_owned()));
        assert_eq!(check(&["o.csv/"]), Err("the output `DIR/o.csv/` is a folder; name a file in it".to_owned()));
        assert_eq!(check(&["o.csv", "r.csv"]), Ok(()));
    }

    #[test]
    fn a_character_device_or_a_socket_may_be_anything_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _open = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [Path::new("/dev/null"), &socket] {
            let claims = [Claim::read("the input", path), Claim::written("a", path), Claim::written("b", path)];
            assert_eq!(guard(&claims), Ok(()), "{}", path.display());
        }
    }

    #[test]
    fn a_thing_may_be_read_twice() {
        let claims = [Claim::read("a", "/etc/passwd"), Claim::read("b", "/etc/passwd")];
        assert_eq!(guard(&claims), Ok(()));
    }
}
