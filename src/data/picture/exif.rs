//! How a camera was held, from the EXIF data of a picture (Exif 2.32, section 4.6.4; a small TIFF file).

/// How a stored picture is to be turned to be seen upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    /// Whether rows and columns change places, before anything else.
    transpose: bool,
    /// Whether it is mirrored left to right then.
    mirror: bool,
    /// Whether it is mirrored top to bottom then.
    flip: bool,
}

/// The tag of the orientation.
const TAG: u16 = 0x0112;

impl Orientation {
    /// From a TIFF header and its first directory; as stored where they do not say, or nonsense.
    pub(super) fn of(tiff: &[u8]) -> Self {
        Self::numbered(tag(tiff.strip_prefix(b"Exif\0\0").unwrap_or(tiff)).unwrap_or(1))
    }

    fn numbered(number: u16) -> Self {
        let (transpose, mirror, flip) = match number {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { transpose, mirror, flip }
    }

    /// Whether a picture is shown as it is stored.
    pub(super) fn is_upright(self) -> bool {
        self == Self::default()
    }

    /// The size as shown of a picture that is stored with `size`, (width, height).
    pub(super) fn shown(self, (width, height): (usize, usize)) -> (usize, usize) {
        if self.transpose { (height, width) } else { (width, height) }
    }

    /// The stored place (x, y) of what is shown at (x, y) of a picture of `size` as shown.
    pub(super) fn stored(self, (x, y): (usize, usize), (width, height): (usize, usize)) -> (usize, usize) {
        let x = if self.mirror { width - 1 - x } else { x };
        let y = if self.flip { height - 1 - y } else { y };
        if self.transpose { (y, x) } else { (x, y) }
    }
}

/// The value of the orientation tag.
fn tag(tiff: &[u8]) -> Option<u16> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let bytes = tiff.get(4..8)?.try_into().ok()?;
    let directory = if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) } as usize;
    let entries = usize::from(short(directory)?);
    let entry = (0..entries).map(|index| directory + 2 + 12 * index).find(|&entry| short(entry) == Some(TAG))?;
    short(entry + 8)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A TIFF header with an orientation.
    pub fn tiff(orientation: u16, little: bool) -> Vec<u8> {
        let short = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let long = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let mut bytes = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
        bytes.extend(long(8));
        bytes.extend(short(1));
        bytes.extend([short(TAG), short(3)].concat());
        bytes.extend(long(1));
        bytes.extend([short(orientation), short(0)].concat());
        bytes.extend(long(0));
        bytes
    }

    #[test]
    fn orientations_are_read_in_both_byte_orders() {
        for (number, little) in [(6, true), (6, false), (3, true)] {
            assert_eq!(Orientation::of(&tiff(number, little)), Orientation::numbered(number));
            assert_eq!(Orientation::of(&[b"Exif\0\0".as_slice(), &tiff(number, little)].concat()), Orientation::numbered(number));
        }
        for nonsense in [&tiff(9, true)[..], &tiff(6, true)[..19], b"II*\0\xff\xff\xff\xff", b"", b"JFIF"] {
            assert!(Orientation::of(nonsense).is_upright());
        }
    }

    #[test]
    fn what_is_shown_is_found_where_it_is_stored() {
        // The first row of a picture of 3 × 2 as stored, letters in reading order: abc/def.
        let shown = |number: u16| {
            let orientation = Orientation::numbered(number);
            let size = orientation.shown((3, 2));
            let letter = |x, y| {
                let (x, y) = orientation.stored((x, y), size);
                char::from(b"abcdef"[3 * y + x])
            };
            let rows: Vec<String> = (0..size.1).map(|y| (0..size.0).map(|x| letter(x, y)).collect()).collect();
            rows.join("/")
        };
        let all: Vec<String> = (1..=8).map(shown).collect();
        assert_eq!(all, ["abc/def", "cba/fed", "fed/cba", "def/abc", "ad/be/cf", "da/eb/fc", "fc/eb/da", "cf/be/ad"]);
    }
}
