//! Opening files that may be compressed: plain, gzip or Zstandard, told apart by their first bytes. It knows nothing of
//! what the bytes mean.

use std::io::{self, BufRead, Read};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::fs;

/// Compressed files may hold so much, whatever their size.
const ALWAYS_HELD: u64 = 1 << 30;

/// Beyond that, they may hold so many times their size: far more than tables and images do, which shrink to a fifth or so.
const LARGEST_RATIO: u64 = 200;

/// Opens a file and decompresses it on the fly if it is compressed. What unpacks to far more than a file of its size holds is an error.
///
/// # Errors
/// Names the path and the system's reason.
pub fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    unpack(path, fs::open(path)?)
}

/// The content of the file at `path`, as [`open()`] gives it, from what reads the file as it is.
///
/// # Errors
/// Names the path and the system's reason.
pub(super) fn unpack(path: &Path, mut file: impl BufRead + Send + 'static) -> Result<Box<dyn Read + Send>> {
    let cannot_read = || format!("cannot read `{}`", path.display());
    let bytes = fs::stamp(path).map_or(0, |stamp| stamp.bytes);
    let is_compressed = file.fill_buf().map(Compression::of).with_context(cannot_read)?.is_some();
    let content = decompress(file).with_context(cannot_read)?;
    if !is_compressed {
        return Ok(content);
    }
    let most = ALWAYS_HELD.max(bytes.saturating_mul(LARGEST_RATIO));
    Ok(Box::new(Bounded { content, left: most, most }))
}

/// What `source` yields, decompressed if it is compressed: by [gzip](https://www.rfc-editor.org/rfc/rfc1952) (also several
/// members in a row) or by [Zstandard](https://www.rfc-editor.org/rfc/rfc8878) (also several frames, checksums checked).
/// Zeros behind the last gzip member are padding, as for `gzip`; anything else there is an error.
///
/// # Errors
/// Those of reading the first bytes. Errors of what is compressed say at which of its bytes they are.
pub fn decompress<'a>(mut source: impl BufRead + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let compression = Compression::of(source.fill_buf()?);
    let source = Counted { source, place: 0 };
    Ok(match compression {
        Some(Compression::Gzip) => Box::new(Gzip::new(source)),
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

/// A source that knows how much of it was taken.
struct Counted<R> {
    source: R,
    place: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.place += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.place += count as u64;
        self.source.consume(count);
    }
}

/// An error of compressed data, with its place; those of the source below stay as they are.
fn damage(error: io::Error, place: u64, what: &str) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            let text = format!("the {what} data ends too early, at byte {place}: the file is cut off");
            io::Error::new(io::ErrorKind::UnexpectedEof, text)
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            io::Error::new(io::ErrorKind::InvalidData, format!("the {what} data is damaged near byte {place}: {error}"))
        }
        _ => error,
    }
}

/// A reader of all gzip members of a source, one after another.
struct Gzip<R> {
    state: Member<R>,
}

enum Member<R> {
    Inside(Box<GzDecoder<Counted<R>>>),
    /// Behind one; the first has not begun if nothing was taken.
    Between(Counted<R>),
    /// Only while one becomes the other.
    Moving,
}

impl<R: BufRead> Gzip<R> {
    fn new(source: Counted<R>) -> Self {
        Self { state: Member::Between(source) }
    }

    /// Begins the next member; `None` at the end of the source.
    fn begin(mut source: Counted<R>) -> io::Result<Member<R>> {
        let Some(&first) = source.fill_buf()?.first() else { return Ok(Member::Between(source)) };
        if first != 0 || source.place == 0 {
            if first != 0x1f {
                let text = format!("from byte {} on, the file holds something else behind the gzip data", source.place);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            return Ok(Member::Inside(Box::new(GzDecoder::new(source))));
        }
        loop {
            let zeros = source.fill_buf()?;
            if zeros.is_empty() {
                return Ok(Member::Between(source));
            }
            if let Some(other) = zeros.iter().position(|&byte| byte != 0) {
                let text =
                    format!("from byte {} on, the file holds something else behind the gzip data", source.place + other as u64);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            let count = zeros.len();
            source.consume(count);
        }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                Member::Inside(decoder) => match decoder.read(buffer) {
                    Ok(0) => match std::mem::replace(&mut self.state, Member::Moving) {
                        Member::Inside(decoder) => self.state = Member::Between(decoder.into_inner()),
                        other => self.state = other,
                    },
                    Ok(count) => return Ok(count),
                    Err(error) => return Err(damage(error, decoder.get_ref().place, "gzip")),
                },
                Member::Between(source) => {
                    if source.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    match std::mem::replace(&mut self.state, Member::Moving) {
                        Member::Between(source) => self.state = Self::begin(source)?,
                        other => self.state = other,
                    }
                }
                // A member that could not begin was an error already.
                Member::Moving => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}

/// Content of a length that has a bound.
struct Bounded<R> {
    content: R,
    left: u64,
    most: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => {
                self.left = left;
                Ok(count)
            }
            None => {
                let text = format!(
                    "it unpacks to more than {} MiB, which no file of its size should; unpack it first if it is meant so",
                    self.most >> 20
                );
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
        }
    }
}

/// A reader of all Zstandard frames of a source, one after another.
struct Zstandard<R> {
    source: Counted<R>,
    decoder: FrameDecoder,
    inside: bool, // a frame has begun and its end was not checked yet
}

impl<R: BufRead> Zstandard<R> {
    fn new(source: Counted<R>) -> Self {
        Self { source, decoder: FrameDecoder::new(), inside: false }
    }

    /// An error of the decoder, with its place.
    fn damage(&self, error: impl std::error::Error) -> io::Error {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        let mut is_end = false;
        let mut deepest = error.to_string();
        while let Some(error) = cause {
            is_end |= error.to_string() == "failed to fill whole buffer";
            deepest = error.to_string();
            cause = error.source();
        }
        let kind = if is_end { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
        damage(io::Error::new(kind, deepest), self.source.place, "Zstandard")
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
                        return Err(damage(io::ErrorKind::UnexpectedEof.into(), self.source.place, "Zstandard"));
                    }
                }
                Err(error) => return Err(self.damage(error)),
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
                let decoded = self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
                decoded.map_err(|error| self.damage(error))?;
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
    fn zeros_behind_gzip_data_are_padding_and_anything_else_is_an_error() {
        let whole = [gzip(b"one, "), gzip(b"two")].concat();
        for zeros in [1, 511, 200_000] {
            assert_eq!(read([whole.clone(), vec![0; zeros]].concat()).unwrap(), b"one, two");
        }
        let length = whole.len();
        for (behind, place) in
            [(b"garbage".as_slice(), length), (b"\0\0x", length + 2), (&[&[0, 0, 0][..], &gzip(b"more")].concat(), length + 3)]
        {
            let error = read([whole.as_slice(), behind].concat()).unwrap_err().to_string();
            assert_eq!(error, format!("from byte {place} on, the file holds something else behind the gzip data"));
        }
    }

    #[test]
    fn what_is_cut_off_says_where() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(|n| (n.wrapping_mul(n)).to_le_bytes()).collect();
        for (whole, name) in [(gzip(&text), "gzip"), (zstandard(&text), "Zstandard")] {
            for length in [5, whole.len() / 2, whole.len() - 1] {
                let error = read(whole[..length].to_vec()).unwrap_err().to_string();
                assert_eq!(error, format!("the {name} data ends too early, at byte {length}: the file is cut off"));
            }
        }
    }

    #[test]
    fn what_unpacks_to_far_more_than_its_size_is_an_error() {
        let mut bounded = Bounded { content: io::repeat(0), left: 5_000, most: 5_000 };
        let error = io::copy(&mut bounded, &mut io::sink()).unwrap_err().to_string();
        assert!(error.starts_with("it unpacks to more than"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = format!("{:#}", open(Path::new("nowhere/x.csv.gz")).err().unwrap());
        assert!(error.starts_with("cannot open `nowhere/x.csv.gz`"), "{error}");
    }
}
