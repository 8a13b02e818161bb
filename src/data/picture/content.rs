//! What a file holds, told by its first bytes, whatever its name says.

use crate::quote;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A PNG image.
    Png,
    /// A JPEG image.
    Jpeg,
    /// An image in a format that is not read: its name.
    Foreign(&'static str),
    /// Nothing at all.
    Empty,
    /// Anything else.
    Other,
}

/// First bytes and the format that begins with them.
const BEGINNINGS: [(&[u8], &str); 16] = [
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\x01\0", "ICO"),
    (b"8BPS", "Photoshop"),
    (b"qoif", "QOI"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"SIMPLE  =", "FITS"),
];

impl Content {
    /// So many first bytes are enough to tell.
    pub const BYTES: u64 = 64;

    /// Told by the first bytes of a file.
    pub fn of(first: &[u8]) -> Self {
        if first.is_empty() {
            return Self::Empty;
        }
        if first.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Self::Png;
        }
        if first.starts_with(b"\xff\xd8\xff") {
            return Self::Jpeg;
        }
        if let Some((_, name)) = BEGINNINGS.iter().find(|(beginning, _)| first.starts_with(beginning)) {
            return Self::Foreign(name);
        }
        match (first.get(..4), first.get(4..8), first.get(8..12)) {
            (Some(b"RIFF"), _, Some(b"WEBP")) => Self::Foreign("WebP"),
            (_, Some(b"ftyp"), Some(b"avif" | b"avis")) => Self::Foreign("AVIF"),
            (_, Some(b"ftyp"), Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1")) => {
                Self::Foreign("HEIC")
            }
            (Some([b'P', b'1'..=b'7', end, _]), ..) if end.is_ascii_whitespace() => Self::Foreign("Netpbm"),
            _ => Self::Other,
        }
    }

    /// Whether it is an image that can be read.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Png | Self::Jpeg)
    }

    /// Why a file that begins with `first` is not read as an image, and what to do.
    pub fn refusal(self, first: &[u8]) -> String {
        match self {
            Self::Empty => "the file is empty".to_owned(),
            Self::Foreign(name) => format!("a {name} image, which is not read; convert it to PNG or JPEG, or move it away"),
            _ if first.starts_with(b"version https://git-lfs") => {
                "it stands for a file that Git LFS has not fetched yet; run `git lfs pull`".to_owned()
            }
            _ => {
                let beginning = quote::excerpt_of_bytes(&first[..first.len().min(16)]);
                format!("neither a PNG nor a JPEG image: it begins with `{beginning}`")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content() {
        let check = |first: &[u8], expected| assert_eq!(Content::of(first), expected, "{first:?}");
        check(b"\x89PNG\r\n\x1a\n....", Content::Png);
        check(b"\xff\xd8\xff\xe0..", Content::Jpeg);
        check(b"RIFF....WEBPVP8 ", Content::Foreign("WebP"));
        check(b"\0\0\0\x18ftypheic", Content::Foreign("HEIC"));
        check(b"\0\0\0\x18ftypmp42", Content::Other);
        check(b"P5 4 4 255\n", Content::Foreign("Netpbm"));
        check(b"P5", Content::Other);
        check(b"label,pixel1", Content::Other);
        check(b"", Content::Empty);
    }

    #[test]
    fn what_is_not_read_is_explained() {
        let error = |first: &[u8]| Content::of(first).refusal(first);
        insta::assert_snapshot!(error(b"GIF89a..."), @"a GIF image, which is not read; convert it to PNG or JPEG, or move it away");
        insta::assert_snapshot!(error(b""), @"the file is empty");
        insta::assert_snapshot!(error(b"version https://git-lfs.github.com/spec/v1"), @"it stands for a file that Git LFS has not fetched yet; run `git lfs pull`");
        insta::assert_snapshot!(error(b"no \x1b[31mpicture, and much more"), @r"neither a PNG nor a JPEG image: it begins with `no \u{1b}[31mpicture,`");
    }
}
