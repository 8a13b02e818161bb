//! JPEG images: baseline and progressive, gray and colour (ITU-T T.81). Decoded without special instructions of a machine,
//! so that the same file gives the same pixels everywhere.

use anyhow::{Context, Result, anyhow, bail, ensure};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::decode::Raster;
use super::exif::Orientation;

/// The largest side that the format can say.
const LARGEST_SIDE: usize = u16::MAX as usize;

/// Reads an image; `fits` is asked before there is memory for it.
pub(super) fn read(bytes: &[u8], fits: impl Fn(&Raster) -> Result<()>) -> Result<Raster> {
    let head = Head::of(bytes).context("the JPEG file is damaged")?;
    let options = DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_width(LARGEST_SIDE)
        .set_max_height(LARGEST_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let damaged = |error| anyhow!("the JPEG file cannot be read: {error}");
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    match decoder.input_colorspace() {
        Some(ColorSpace::Luma | ColorSpace::YCbCr | ColorSpace::RGB) => {}
        Some(ColorSpace::CMYK | ColorSpace::YCCK) => bail!("a JPEG image in CMYK, the colours of print; convert it to RGB"),
        other => bail!("a JPEG image with colours that are not known here ({other:?}); convert it to RGB"),
    }
    let size = decoder.dimensions().context("the JPEG file says no size")?;
    let orientation = head.exif.map(Orientation::of).unwrap_or_default();
    let mut raster = Raster { size, channels: 3, samples: Vec::new(), orientation };
    fits(&raster)?;
    ensure!(head.ends, "the JPEG file is damaged: it ends before its image does");
    raster.samples = decoder.decode().map_err(damaged)?;
    Ok(raster)
}

/// What stands before the image data, and whether they end.
struct Head<'a> {
    exif: Option<&'a [u8]>,
    ends: bool,
}

impl<'a> Head<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self> {
        let mut exif = None;
        let mut rest = bytes.get(2..).unwrap_or_default();
        loop {
            let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff)) else {
                bail!("it holds no image data")
            };
            let marker = rest[at + 1];
            rest = &rest[at + 2..];
            match marker {
                0xda => return Ok(Self { exif, ends: rest.windows(2).any(|pair| pair == [0xff, 0xd9]) }),
                0xd9 => bail!("it holds no image data"),
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let length = rest.first_chunk().map_or(0, |&bytes| usize::from(u16::from_be_bytes(bytes)));
            let Some(segment) = rest.get(2..length) else { bail!("it ends within its head") };
            if marker == 0xe1 && segment.starts_with(b"Exif\0\0") {
                exif = exif.or(Some(segment));
            }
            rest = &rest[length..];
        }
    }
}
