//! Pictures: PNG files from images, and images from PNG and JPEG files. It knows nothing of labels or of where files lie.

mod content;
mod decode;
mod exif;
mod jpeg;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail, ensure};
pub use content::Content;
pub use decode::{Decoded, decode};
use png::{BitDepth, ColorType, Encoder};

use super::ImageShape;

/// Space around the images of a [`grid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Each pixel of an image becomes a square of this side, at least 1.
    pub scale: usize,
    /// Pixels of the picture between images and around them.
    pub gap: usize,
    /// The shade of the gap.
    pub background: u8,
}

impl Default for Layout {
    fn default() -> Self {
        Self { scale: 2, gap: 4, background: 255 }
    }
}

/// The PNG file of one image, `[C, H, W]`, gray (1 channel) or RGB (3 channels), enlarged by a whole factor.
///
/// # Errors
/// When the image has another number of channels.
pub fn encode(shape: ImageShape, pixels: &[u8], scale: usize) -> Result<Vec<u8>> {
    grid(shape, &[vec![pixels]], Layout { scale, gap: 0, background: 0 })
}

/// The PNG file of many images, row below row. A row may be shorter than others; the rest of it is background.
///
/// # Errors
/// When the images have neither 1 nor 3 channels or there is nothing to show.
pub fn grid(shape: ImageShape, rows: &[Vec<&[u8]>], layout: Layout) -> Result<Vec<u8>> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    ensure!(columns > 0 && shape.pixels() > 0, "a picture of no images cannot be drawn");
    let color = match shape.channels {
        1 => ColorType::Grayscale,
        3 => ColorType::Rgb,
        channels => bail!("a picture has 1 channel (gray) or 3 (RGB), the images have {channels}"),
    };
    let scale = layout.scale.max(1);
    let (cell_width, cell_height) = (shape.width * scale + layout.gap, shape.height * scale + layout.gap);
    let (width, height) = (columns * cell_width + layout.gap, rows.len() * cell_height + layout.gap);
    let mut canvas = vec![layout.background; width * height * shape.channels]; // [height, width, C]
    for (row, images) in rows.iter().enumerate() {
        for (column, image) in images.iter().enumerate() {
            let (left, top) = (column * cell_width + layout.gap, row * cell_height + layout.gap);
            for y in 0..shape.height * scale {
                for x in 0..shape.width * scale {
                    for channel in 0..shape.channels {
                        let source = (channel * shape.height + y / scale) * shape.width + x / scale;
                        canvas[((top + y) * width + left + x) * shape.channels + channel] = image[source];
                    }
                }
            }
        }
    }
    let too_large = "a picture of this size is too large";
    let (width, height) = (u32::try_from(width).context(too_large)?, u32::try_from(height).context(too_large)?);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&canvas)?;
    writer.finish()?;
    Ok(bytes)
}
