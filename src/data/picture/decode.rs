//! From a file to the pixels of an image of the shape that is wanted.

use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use png::{Decoder, Transformations};

use super::Content;
use super::exif::Orientation;
use super::jpeg;
use crate::data::ImageShape;

/// An image from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// `[C, H, W]`.
    pub pixels: Vec<u8>,
    /// Whether it was turned or mirrored, as its EXIF data ask for.
    pub turned: bool,
}

/// Pixels as a file stores them.
pub(super) struct Raster {
    /// Width and height.
    pub size: (usize, usize),
    /// 1 for gray, 2 with transparency, 3 for RGB, 4 with transparency.
    pub channels: usize,
    /// `[H, W, channels]`.
    pub samples: Vec<u8>,
    /// How it is to be turned.
    pub orientation: Orientation,
}

/// The pixels of a PNG or JPEG file as an image of `shape`.
///
/// Colour becomes gray by the luma weights of ITU-R BT.601, gray becomes colour by repetition; palettes and 16 bits become
/// 8 bits; what is transparent shows black. An image is turned and mirrored as its EXIF data say, so that it is as it is
/// shown; so much for its size, too. No more memory is used than the shape needs.
///
/// # Errors
/// When the bytes are neither, the image is damaged or has another size, or `shape` has neither 1 nor 3 channels.
pub fn decode(bytes: &[u8], shape: ImageShape) -> Result<Decoded> {
    ensure!(matches!(shape.channels, 1 | 3), "an image file gives 1 or 3 channels, not {}", shape.channels);
    let fits = |raster: &Raster| {
        let (width, height) = raster.orientation.shown(raster.size);
        ensure!(
            (width, height) == (shape.width, shape.height),
            "the image is {width} wide and {height} high, {} by {} are expected",
            shape.width,
            shape.height
        );
        Ok(())
    };
    let raster = match Content::of(bytes) {
        Content::Png => read_png(bytes, fits)?,
        Content::Jpeg => jpeg::read(bytes, fits)?,
        other => bail!("{}", other.refusal(bytes)),
    };
    let (plane, size) = (shape.height * shape.width, (shape.width, shape.height));
    let mut pixels = vec![0; shape.pixels()];
    for index in 0..plane {
        let (x, y) = raster.orientation.stored((index % shape.width, index / shape.width), size);
        let rgb = raster.colour(y * raster.size.0 + x)?;
        if shape.channels == 1 {
            pixels[index] = luma(rgb);
        } else {
            for (channel, value) in rgb.into_iter().enumerate() {
                pixels[channel * plane + index] = value;
            }
        }
    }
    Ok(Decoded { pixels, turned: !raster.orientation.is_upright() })
}

impl Raster {
    /// The colour at a place, transparency before black.
    fn colour(&self, place: usize) -> Result<[u8; 3]> {
        let sample = self.samples.get(place * self.channels..(place + 1) * self.channels).context("the image is too short")?;
        let (rgb, alpha) = match *sample {
            [gray] => ([gray; 3], 255),
            [gray, alpha] => ([gray; 3], alpha),
            [red, green, blue] => ([red, green, blue], 255),
            [red, green, blue, alpha] => ([red, green, blue], alpha),
            _ => bail!("an image of {} samples per pixel is unknown", sample.len()),
        };
        Ok(rgb.map(|value| ((u32::from(value) * u32::from(alpha) + 127) / 255) as u8))
    }
}

/// Reads a PNG image; `fits` is asked before there is memory for it.
fn read_png(bytes: &[u8], fits: impl Fn(&Raster) -> Result<()>) -> Result<Raster> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().context("the PNG file is damaged")?;
    let (width, height) = reader.info().size();
    let orientation = png_exif(bytes).map(Orientation::of).unwrap_or_default();
    let channels = reader.output_color_type().0.samples();
    let mut raster = Raster { size: (width as usize, height as usize), channels, samples: Vec::new(), orientation };
    fits(&raster)?;
    raster.samples = vec![0; reader.output_buffer_size().context("the image is too large")?];
    reader.next_frame(&mut raster.samples).context("the PNG file is damaged")?;
    Ok(raster)
}

/// The EXIF data of a PNG file. They may stand behind the image data (PNG 3, `eXIf`), where the decoder has no need to look.
fn png_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(8..)?;
    while let Some((&[a, b, c, d, ref name @ ..], after)) = rest.split_first_chunk::<8>() {
        let (content, after) = after.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize)?;
        if name == b"eXIf" {
            return Some(content);
        }
        rest = after.get(4..)?; // behind the checksum
    }
    None
}

/// The brightness of a colour, rounded; gray stays what it is.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue) + 500) / 1000) as u8
}
