//! Opening files that may be compressed: plain, gzip or Zstandard, told apart by their first bytes. It knows nothing of
//! what the bytes mean.

use std::io::{self, BufRead, Read};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::fs;

/// Opens a file and decompresses it on the fly if it is compressed.
///
/// # Errors
/// Names the path and the system's reason.
pub fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    decompress(fs::open(path)?).with_context(|| format!("cannot read `{}`", path.display()))
}

/// What `source` yields, decompressed if it is compressed: by [gzip](https://www.rfc-editor.org/rfc/rfc1952) (also several
/// members in a row) or by [Zstandard](https://www.rfc-editor.org/rfc/rfc8878) (also several frames, checksums checked).
///
/// # Errors
/// Those of reading the first bytes.
pub fn decompress(mut source: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    Ok(match Compression::of(source.fill_buf()?) {
        Some(Compression::Gzip) => Box::new(MultiGzDecoder::new(source)),
        Some(Compression::Zstandard) => Box::new(Zstandard::new(source)),
        None => Box::new(source),
    })
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// By gzip.
    Gzip,
    /// By Zstandard.
    Zstandard,
}

impl Compression {
    /// Told by the first bytes of a file; `None` if it is plain.
    pub fn of(first: &[u8]) -> Option<Self> {
        match *first {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstandard),
            _ => None,
        }
    }
}

/// A reader of all Zstandard frames of a source, one after another.
struct Zstandard<R> {
    source: R,
    decoder: FrameDecoder,
    inside: bool, // a frame has begun and its end was not checked yet
}

impl<R: BufRead> Zstandard<R> {
    fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new(), inside: false }
    }

    /// Begins the next frame, passing over skippable ones; `false` at the end of the source.
    fn begin_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.inside = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                    if skipped < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.inside = false;
        match self.decoder.get_checksum_from_data() {
            Some(checksum) if self.decoder.get_calculated_checksum() != Some(checksum) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the Zstandard checksum does not fit: the file is damaged"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Zstandard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.inside && !self.begin_frame()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1)).map_err(io::Error::other)?;
            }
            match self.decoder.read(buffer)? {
                0 => self.end_frame()?,
                count => return Ok(count),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression as Level;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstandard(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    fn read(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        decompress(io::Cursor::new(bytes))?.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn compression_is_told_by_content_and_parts_in_a_row_are_all_read() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(|n| (n.wrapping_mul(n)).to_le_bytes()).collect();
        assert_eq!(read(text.clone()).unwrap(), text);
        assert_eq!(read(gzip(&text)).unwrap(), text);
        assert_eq!(read(zstandard(&text)).unwrap(), text);
        assert_eq!(read([gzip(b"one, "), gzip(b"two")].concat()).unwrap(), b"one, two");
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9].to_vec();
        assert_eq!(read([skippable.clone(), zstandard(b"one, "), skippable, zstandard(b"two")].concat()).unwrap(), b"one, two");
        assert_eq!(read(Vec::new()).unwrap(), b"");
    }

    #[test]
    fn damaged_files_are_errors() {
        let text = vec![7; 10_000];
        for whole in [gzip(&text), zstandard(&text)] {
            let short = whole[..whole.len() - 3].to_vec();
            assert!(read(short).is_err(), "a file that ends too early");
            let mut changed = whole.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert!(read(changed).is_err(), "a checksum that does not fit");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = format!("{:#}", open(Path::new("nowhere/x.csv.gz")).err().unwrap());
        assert!(error.starts_with("cannot open `nowhere/x.csv.gz`"), "{error}");
    }
}
