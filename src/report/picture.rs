//! Pictures for the page: raw pixels in, PNG as a data URI out.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::data::ImageShape;

/// The pixels of one image, `[C, H, W]`, checked to fit its shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawPicture", into = "RawPicture")]
pub struct Picture {
    shape: ImageShape,
    pixels: Vec<u8>,
}

/// Why pixels do not make a picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// A picture without pixels.
    #[error("an image of {0} has no pixels")]
    Empty(ImageShape),
    /// The shape asks for another number of pixels.
    #[error("{pixels} pixels do not make an image of {shape}")]
    Count {
        /// The shape asked for.
        shape: ImageShape,
        /// The number of pixel values given.
        pixels: usize,
    },
    /// More rows or columns than a PNG file can have.
    #[error("an image of {0} is too large for a PNG file")]
    TooLarge(ImageShape),
}

impl Picture {
    /// Puts pixels `[C, H, W]` and their shape together.
    ///
    /// # Errors
    /// When they do not fit each other or the picture is empty or too large.
    pub fn new(shape: ImageShape, pixels: impl Into<Vec<u8>>) -> Result<Self, PictureError> {
        let pixels = pixels.into();
        if shape.channels == 0 || shape.height == 0 || shape.width == 0 {
            return Err(PictureError::Empty(shape));
        }
        const LARGEST: usize = 1 << 14;
        if shape.channels > LARGEST || shape.height > LARGEST || shape.width > LARGEST {
            return Err(PictureError::TooLarge(shape));
        }
        if pixels.len() != shape.pixels() {
            return Err(PictureError::Count { shape, pixels: pixels.len() });
        }
        Ok(Self { shape, pixels })
    }

    /// The shape.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// The picture for a place of `side` pixels: itself, or the mean of blocks of pixels where it is more than twice as large.
    pub(super) fn shown(&self, side: usize) -> Cow<'_, Self> {
        let ImageShape { channels, height, width } = self.shape;
        let factor = height.max(width).div_ceil(2 * side.max(1));
        if factor <= 1 {
            return Cow::Borrowed(self);
        }
        let shape = ImageShape { channels, height: height.div_ceil(factor), width: width.div_ceil(factor) };
        let mean = |channel: usize, top: usize, left: usize| {
            let (rows, columns) = (top * factor..height.min((top + 1) * factor), left * factor..width.min((left + 1) * factor));
            let count = rows.len() * columns.len();
            let at = |row: usize, column: usize| usize::from(self.pixels[(channel * height + row) * width + column]);
            let sum: usize =
                rows.flat_map(|row| columns.clone().map(move |column| (row, column))).map(|(row, column)| at(row, column)).sum();
            u8::try_from(sum / count).expect("a mean of bytes is a byte")
        };
        let places = (0..channels * shape.height * shape.width)
            .map(|at| (at / shape.width / shape.height, at / shape.width % shape.height, at % shape.width));
        let pixels = places.map(|(channel, row, column)| mean(channel, row, column)).collect();
        Cow::Owned(Self { shape, pixels })
    }

    /// At most so many bytes does [`Picture::data_uri`] have, but for rounding.
    pub(super) fn most_bytes(&self) -> usize {
        let ImageShape { channels, height, width } = self.shape;
        let samples = if matches!(channels, 3 | 4) { channels } else { 1 };
        samples * height * width * 4 / 3 + 150
    }

    /// The picture as a PNG file. One channel is gray, three are RGB and four RGBA; of any other number the mean is shown
    /// in gray.
    pub fn png(&self) -> Vec<u8> {
        let plane = self.shape.height * self.shape.width;
        let channels = self.shape.channels;
        let (color, interleaved) = match channels {
            1 => (png::ColorType::Grayscale, self.pixels.clone()),
            3 | 4 => {
                let color = if channels == 3 { png::ColorType::Rgb } else { png::ColorType::Rgba };
                let at = |index: usize| self.pixels[index % channels * plane + index / channels];
                (color, (0..plane * channels).map(at).collect())
            }
            _ => {
                let sum = |index: usize| (0..channels).map(|c| usize::from(self.pixels[c * plane + index])).sum::<usize>();
                let mean = |index| u8::try_from(sum(index) / channels).expect("a mean of bytes is a byte");
                (png::ColorType::Grayscale, (0..plane).map(mean).collect())
            }
        };
        encode(self.shape.width, self.shape.height, color, &interleaved)
    }

    /// The picture as a `data:image/png;base64,…` URI.
    pub fn data_uri(&self) -> String {
        format!("data:image/png;base64,{}", STANDARD.encode(self.png()))
    }
}

/// A PNG file of 8-bit samples, `[H, W, C]`.
fn encode(width: usize, height: usize, color: png::ColorType, samples: &[u8]) -> Vec<u8> {
    let side = |length: usize| u32::try_from(length).expect("a picture's sides are checked when it is made");
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(width), side(height));
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().expect("a header of non-zero sides is written to memory");
    writer.write_image_data(samples).expect("the samples fit the header");
    writer.finish().expect("the file is complete");
    bytes
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPicture {
    shape: ImageShape,
    pixels: Vec<u8>,
}

impl TryFrom<RawPicture> for Picture {
    type Error = PictureError;

    fn try_from(raw: RawPicture) -> Result<Self, PictureError> {
        Self::new(raw.shape, raw.pixels)
    }
}

impl From<Picture> for RawPicture {
    fn from(picture: Picture) -> Self {
        Self { shape: picture.shape, pixels: picture.pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(picture: &Picture) -> (png::ColorType, Vec<u8>) {
        let bytes = picture.png();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        pixels.truncate(info.buffer_size());
        (info.color_type, pixels)
    }

    #[test]
    fn channels_become_interleaved_colours() {
        let shape = |channels| ImageShape { channels, height: 1, width: 2 };
        let check = |channels, pixels: &[u8], color, expected: &[u8]| {
            let picture = Picture::new(shape(channels), pixels).unwrap();
            assert_eq!(decoded(&picture), (color, expected.to_vec()), "{channels} channels");
        };
        check(1, &[7, 9], png::ColorType::Grayscale, &[7, 9]);
        check(2, &[0, 10, 100, 255], png::ColorType::Grayscale, &[50, 132]);
        check(3, &[1, 2, 3, 4, 5, 6], png::ColorType::Rgb, &[1, 3, 5, 2, 4, 6]);
        check(4, &[1, 2, 3, 4, 5, 6, 7, 8], png::ColorType::Rgba, &[1, 3, 5, 7, 2, 4, 6, 8]);
    }

    #[test]
    fn what_does_not_fit_is_no_picture() {
        let shape = ImageShape { channels: 1, height: 2, width: 2 };
        insta::assert_snapshot!(Picture::new(shape, [0; 3]).unwrap_err(), @"3 pixels do not make an image of 1×2×2");
        let empty = ImageShape { channels: 1, height: 0, width: 2 };
        insta::assert_snapshot!(Picture::new(empty, []).unwrap_err(), @"an image of 1×0×2 has no pixels");
        let wide = ImageShape { channels: 1, height: 1, width: 1 << 40 };
        insta::assert_snapshot!(Picture::new(wide, []).unwrap_err(), @"an image of 1×1×1099511627776 is too large for a PNG file");
    }

    #[test]
    fn reading_checks_the_shape() {
        let picture = Picture::new(ImageShape { channels: 1, height: 1, width: 2 }, [1, 2]).unwrap();
        let text = serde_json::to_string(&picture).unwrap();
        assert_eq!(serde_json::from_str::<Picture>(&text).unwrap(), picture);
        let error = serde_json::from_str::<Picture>(&text.replace("[1,2]", "[1]")).unwrap_err().to_string();
        assert!(error.contains("1 pixels do not make an image of 1×1×2"), "{error}");
    }
}
