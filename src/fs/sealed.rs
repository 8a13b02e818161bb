//! Sealed files: content behind its digest, for what a process leaves for the next one to go on with. What comes back is what
//! was written, or an error.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::digest::Digest;

/// Digits of a digest.
const DIGITS: usize = 64;

/// Writes a file atomically that holds `bytes` and their digest.
///
/// # Errors
/// As [`super::write()`].
pub fn write_sealed(path: &Path, bytes: &[u8]) -> Result<()> {
    super::write_with(path, |file| {
        file.write_all(Digest::of_bytes(bytes).to_string().as_bytes())?;
        file.write_all(b"\n")?;
        file.write_all(bytes)
    })
}

/// Reads back what [`write_sealed`] wrote; `None` if there is no file.
///
/// # Errors
/// When the file is damaged or cannot be read; names it.
pub fn read_sealed(path: &Path) -> Result<Option<Vec<u8>>> {
    if super::stamp(path).is_none() {
        return Ok(None);
    }
    let mut bytes = super::read(path)?;
    let content = bytes.get(DIGITS + 1..).with_context(|| damaged(path))?;
    let seal = format!("{}\n", Digest::of_bytes(content));
    if bytes[..=DIGITS] != *seal.as_bytes() {
        bail!(damaged(path));
    }
    bytes.drain(..=DIGITS);
    Ok(Some(bytes))
}

fn damaged(path: &Path) -> String {
    format!("`{}` is damaged: its content does not have the digest that it begins with", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_byte_and_every_missing_end_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert_eq!(read_sealed(&path).unwrap(), None);
        write_sealed(&path, b"content").unwrap();
        assert_eq!(read_sealed(&path).unwrap().as_deref(), Some(&b"content"[..]));
        let whole = super::super::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 4;
            super::super::write(&path, &bytes).unwrap();
            assert!(read_sealed(&path).is_err(), "byte {place}");
            super::super::write(&path, &whole[..place]).unwrap();
            let error = read_sealed(&path).unwrap_err().to_string();
            assert!(error.contains("is damaged"), "{error}");
        }
    }
}
