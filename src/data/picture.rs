//! Pictures: PNG files from images and images from PNG files. It knows nothing of labels or of where files lie.

use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use png::{BitDepth, ColorType, Decoder, Encoder, Transformations};

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

/// The pixels of a PNG file as an image of `shape`, `[C, H, W]`.
///
/// Colour becomes gray by the luma weights of ITU-R BT.601, gray becomes colour by repetition; palettes and 16 bits become
/// 8 bits; what is transparent shows black.
///
/// # Errors
/// When the bytes are no PNG, the size differs, or `shape` has neither 1 nor 3 channels.
pub fn decode(bytes: &[u8], shape: ImageShape) -> Result<Vec<u8>> {
    ensure!(matches!(shape.channels, 1 | 3), "a PNG file gives 1 or 3 channels, not {}", shape.channels);
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().context("not a PNG file")?;
    let (width, height) = reader.info().size();
    ensure!(
        (width as usize, height as usize) == (shape.width, shape.height),
        "the image is {width} wide and {height} high, {} by {} are expected",
        shape.width,
        shape.height
    );
    let mut samples = vec![0; reader.output_buffer_size().context("the image is too large")?];
    reader.next_frame(&mut samples).context("the PNG file is damaged")?;
    let (color, _) = reader.output_color_type();
    let plane = shape.height * shape.width;
    let mut pixels = vec![0; shape.pixels()];
    for (index, sample) in samples.chunks_exact(color.samples()).enumerate() {
        let (rgb, alpha) = match *sample {
            [gray] => ([gray; 3], 255),
            [gray, alpha] => ([gray; 3], alpha),
            [red, green, blue] => ([red, green, blue], 255),
            [red, green, blue, alpha] => ([red, green, blue], alpha),
            _ => bail!("a PNG file of {} samples per pixel is unknown", sample.len()),
        };
        let rgb = rgb.map(|value| ((u32::from(value) * u32::from(alpha) + 127) / 255) as u8);
        if shape.channels == 1 {
            pixels[index] = luma(rgb);
        } else {
            for (channel, value) in rgb.into_iter().enumerate() {
                pixels[channel * plane + index] = value;
            }
        }
    }
    Ok(pixels)
}

/// The brightness of a colour, rounded; gray stays what it is.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue) + 500) / 1000) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAY: ImageShape = ImageShape { channels: 1, height: 2, width: 3 };
    const COLOUR: ImageShape = ImageShape { channels: 3, height: 2, width: 3 };

    fn png(color: ColorType, depth: BitDepth, samples: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 3, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette(vec![0, 0, 0, 255, 0, 0]);
        }
        encoder.write_header().unwrap().write_image_data(samples).unwrap();
        bytes
    }

    #[test]
    fn an_image_survives_its_picture() {
        for shape in [GRAY, COLOUR] {
            let pixels: Vec<u8> = (0..shape.pixels()).map(|value| (value * 13) as u8).collect();
            assert_eq!(decode(&encode(shape, &pixels, 1).unwrap(), shape).unwrap(), pixels, "{shape}");
        }
    }

    #[test]
    fn every_kind_of_png_becomes_the_shape_asked_for() {
        let check = |color, depth, samples: &[u8], gray: [u8; 2]| {
            let bytes = png(color, depth, samples);
            assert_eq!(decode(&bytes, GRAY).unwrap()[..2], gray, "{color:?}");
            assert_eq!(decode(&bytes, COLOUR).unwrap().len(), COLOUR.pixels());
        };
        let repeat = |samples: &[u8]| samples.iter().copied().cycle().take(samples.len() * 3).collect::<Vec<_>>();
        check(ColorType::Grayscale, BitDepth::Eight, &[10, 20, 30, 40, 50, 60], [10, 20]);
        check(ColorType::Rgb, BitDepth::Eight, &repeat(&[255, 0, 0, 9, 9, 9]), [76, 9]);
        check(ColorType::Rgba, BitDepth::Eight, &repeat(&[255, 0, 0, 255, 200, 200, 200, 128]), [76, 100]);
        check(ColorType::GrayscaleAlpha, BitDepth::Eight, &repeat(&[80, 255, 80, 0]), [80, 0]);
        check(ColorType::Grayscale, BitDepth::Sixteen, &repeat(&[7, 255, 8, 0]), [7, 8]);
        check(ColorType::Indexed, BitDepth::Eight, &repeat(&[1, 0]), [76, 0]);
    }

    #[test]
    fn channels_go_to_their_planes() {
        let samples: Vec<u8> = (0..6).flat_map(|pixel| [pixel, 100 + pixel, 200 + pixel]).collect();
        let pixels = decode(&png(ColorType::Rgb, BitDepth::Eight, &samples), COLOUR).unwrap();
        assert_eq!(pixels[..7], [0, 1, 2, 3, 4, 5, 100]);
    }

    #[test]
    fn a_grid_has_gaps_and_enlarged_images() {
        let (a, b) = ([1, 2, 3, 4, 5, 6], [7; 6]);
        let bytes = grid(GRAY, &[vec![&a, &b], vec![&b]], Layout { scale: 2, gap: 1, background: 99 }).unwrap();
        let shape = ImageShape { channels: 1, height: 11, width: 15 };
        let pixels = decode(&bytes, shape).unwrap();
        assert_eq!(pixels[..15], [99; 15]);
        assert_eq!(pixels[15..30], [99, 1, 1, 2, 2, 3, 3, 99, 7, 7, 7, 7, 7, 7, 99]);
        assert_eq!(pixels[6 * 15..7 * 15], [99, 7, 7, 7, 7, 7, 7, 99, 99, 99, 99, 99, 99, 99, 99]);
    }

    #[test]
    fn wrong_pictures_are_named() {
        let error = |bytes: &[u8], shape| format!("{:#}", decode(bytes, shape).unwrap_err());
        let good = encode(GRAY, &[0; 6], 1).unwrap();
        insta::assert_snapshot!(error(&good, ImageShape::MNIST), @"the image is 3 wide and 2 high, 28 by 28 are expected");
        insta::assert_snapshot!(error(&good[..good.len() - 30], GRAY), @"the PNG file is damaged: unexpected end of file");
        insta::assert_snapshot!(error(b"GIF89a", GRAY), @"not a PNG file: Invalid PNG signature.");
        insta::assert_snapshot!(grid(GRAY, &[], Layout::default()).unwrap_err(), @"a picture of no images cannot be drawn");
        let two = ImageShape { channels: 2, height: 1, width: 1 };
        insta::assert_snapshot!(encode(two, &[0; 2], 1).unwrap_err(), @"a picture has 1 channel (gray) or 3 (RGB), the images have 2");
    }
}
