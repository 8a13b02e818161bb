//! What names of files and folders must be like, and what stands where a folder is to be: questions that can be asked
//! before anything is written.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::quote::excerpt;

/// The most bytes of one name on the file systems in use.
pub const LONGEST_NAME: usize = 255;

/// The most bytes of a path, with room for names below it (Linux takes 4,096).
const LONGEST_PATH: usize = 3000;

/// What is wrong with the text of `path` and what to do, if it cannot be the path of a file or folder beside which another
/// stands that is called the same with `ending` after it.
pub fn fault(path: &Path, ending: &str) -> Option<(String, &'static str)> {
    let text = path.to_string_lossy();
    if text.is_empty() {
        return Some(("an empty text names no file or folder".to_owned(), "write a path"));
    }
    if text.contains(char::is_control) {
        return Some((format!("`{}` has control characters", excerpt(&text)), "write it without them"));
    }
    let most = LONGEST_NAME - ending.len();
    let longest = path.components().map(|part| part.as_os_str().len()).max().unwrap_or(0);
    if longest > most {
        let message = format!("`{}` has a name of {longest} bytes, and file systems take {most} here", excerpt(&text));
        return Some((message, "shorten it"));
    }
    let length = path.as_os_str().len();
    (length > LONGEST_PATH)
        .then(|| (format!("`{}` has {length} bytes; at most {LONGEST_PATH} are taken", excerpt(&text)), "shorten it"))
}

/// Whether `path` leads to the top of the file system.
pub fn is_root(path: &Path) -> bool {
    let mut depth = 0_usize;
    for part in path.components() {
        match part {
            Component::RootDir | Component::Prefix(_) | Component::CurDir => {}
            Component::ParentDir => depth = depth.saturating_sub(1),
            Component::Normal(_) => depth += 1,
        }
    }
    path.is_absolute() && depth == 0 || fs::canonicalize(path).is_ok_and(|path| path.parent().is_none())
}

/// What stands at `path` or above it and is no folder, so that there can be no folder at `path`.
pub fn obstacle(path: &Path) -> Option<PathBuf> {
    for place in path.ancestors().filter(|place| !place.as_os_str().is_empty()) {
        match fs::metadata(place) {
            Ok(found) => return (!found.is_dir()).then(|| place.to_owned()),
            // A link that leads nowhere.
            Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(place).is_ok() => {
                return Some(place.to_owned());
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Whether `path` is `folder`, or lies below it, once links and `..` are resolved as far as there is something.
pub fn is_within(path: &Path, folder: &Path) -> bool {
    resolved(path).starts_with(resolved(folder))
}

/// `path` from the root, with everything resolved that is there, and `..` taken away from what is not.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                found.pop();
            }
            part => found.push(part),
        }
        if let Ok(real) = fs::canonicalize(&found) {
            found = real;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_system_takes_are_known_by_their_text() {
        let check = |text: &str, ending: &str| fault(Path::new(text), ending).map(|(message, help)| format!("{message}; {help}"));
        assert_eq!(check("a/b.csv", ".manifest.json"), None);
        assert_eq!(check(&"x".repeat(255), ""), None);
        insta::assert_snapshot!(check("", "").unwrap(), @"an empty text names no file or folder; write a path");
        insta::assert_snapshot!(check("a\0b", "").unwrap(), @r"`a\u{0}b` has control characters; write it without them");
        assert!(check(&format!("a/{}/b", "x".repeat(256)), "").unwrap().contains("a name of 256 bytes"));
        assert!(check(&"x".repeat(250), ".manifest.json").unwrap().contains("file systems take 241 here"));
        assert!(check(&"ab/".repeat(1001), "").unwrap().contains("has 3003 bytes"));
    }

    #[test]
    fn the_top_of_the_file_system_is_known_however_it_is_written() {
        for (path, expected) in
            [("/", true), ("//", true), ("/tmp/..", true), ("/../.", true), ("/tmp", false), ("a", false), (".", false)]
        {
            assert_eq!(is_root(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(obstacle(&file), Some(file.clone()));
        assert_eq!(obstacle(&file.join("a/b")), Some(file.clone()));
        assert_eq!(obstacle(&dir.path().join("a/b")), None);
        assert_eq!(obstacle(dir.path()), None);
        #[cfg(unix)]
        {
            let link = dir.path().join("link");
            std::os::unix::fs::symlink(dir.path().join("nowhere"), &link).unwrap();
            assert_eq!(obstacle(&link.join("a")), Some(link));
        }
    }

    #[test]
    fn what_lies_in_a_folder_is_known_by_where_it_leads() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("data")).unwrap();
        assert!(is_within(&at("new/../data/./new"), &at("data")));
        assert!(is_within(&at("data/new/newer"), &at("data")) && !is_within(&at("data-2"), &at("data")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("data"), at("link")).unwrap();
            assert!(is_within(&at("link/new"), &at("data")) && is_within(&at("data/new"), &at("link")));
        }
    }
}
