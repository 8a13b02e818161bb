//! Files of every kind, good, turned and damaged.

use png::ColorType;
use proptest::prelude::*;

use super::*;

const GRAY: ImageShape = ImageShape { channels: 1, height: 2, width: 3 };
const COLOUR: ImageShape = ImageShape { channels: 3, height: 2, width: 3 };

/// The pixels of a file that is shown as it is stored.
fn pixels(bytes: &[u8], shape: ImageShape) -> Vec<u8> {
    let decoded = decode(bytes, shape).unwrap();
    assert!(!decoded.turned);
    decoded.pixels
}

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
        let expected: Vec<u8> = (0..shape.pixels()).map(|value| (value * 13) as u8).collect();
        assert_eq!(pixels(&encode(shape, &expected, 1).unwrap(), shape), expected, "{shape}");
    }
}

#[test]
fn every_kind_of_png_becomes_the_shape_asked_for() {
    let check = |color, depth, samples: &[u8], gray: [u8; 2]| {
        let bytes = png(color, depth, samples);
        assert_eq!(pixels(&bytes, GRAY)[..2], gray, "{color:?}");
        assert_eq!(pixels(&bytes, COLOUR).len(), COLOUR.pixels());
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
    let found = pixels(&png(ColorType::Rgb, BitDepth::Eight, &samples), COLOUR);
    assert_eq!(found[..7], [0, 1, 2, 3, 4, 5, 100]);
}

#[test]
fn a_grid_has_gaps_and_enlarged_images() {
    let (a, b) = ([1, 2, 3, 4, 5, 6], [7; 6]);
    let bytes = grid(GRAY, &[vec![&a, &b], vec![&b]], Layout { scale: 2, gap: 1, background: 99 }).unwrap();
    let shape = ImageShape { channels: 1, height: 11, width: 15 };
    let found = pixels(&bytes, shape);
    assert_eq!(found[..15], [99; 15]);
    assert_eq!(found[15..30], [99, 1, 1, 2, 2, 3, 3, 99, 7, 7, 7, 7, 7, 7, 99]);
    assert_eq!(found[6 * 15..7 * 15], [99, 7, 7, 7, 7, 7, 7, 99, 99, 99, 99, 99, 99, 99, 99]);
}

#[test]
fn wrong_pictures_are_named() {
    let error = |bytes: &[u8], shape| format!("{:#}", decode(bytes, shape).unwrap_err());
    let good = encode(GRAY, &[0; 6], 1).unwrap();
    insta::assert_snapshot!(error(&good, ImageShape::MNIST), @"the image is 3 wide and 2 high, 28 by 28 are expected");
    insta::assert_snapshot!(error(&good[..good.len() - 30], GRAY), @"the PNG file is damaged: unexpected end of file");
    insta::assert_snapshot!(error(b"GIF89a", GRAY), @"a GIF image, which is not read; convert it to PNG or JPEG, or move it away");
    insta::assert_snapshot!(grid(GRAY, &[], Layout::default()).unwrap_err(), @"a picture of no images cannot be drawn");
    let two = ImageShape { channels: 2, height: 1, width: 1 };
    insta::assert_snapshot!(encode(two, &[0; 2], 1).unwrap_err(), @"a picture has 1 channel (gray) or 3 (RGB), the images have 2");
}

/// 3 × 2 images: red, green and blue above white, gray and black.
const JPEG: &[u8] = include_bytes!("samples/colour.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("samples/progressive.jpg"); // its colours have half the resolution
const GRAY_JPEG: &[u8] = include_bytes!("samples/gray.jpg");
const CMYK: &[u8] = include_bytes!("samples/cmyk.jpg");

/// A JPEG file with EXIF data.
fn held(orientation: u16, little: bool) -> Vec<u8> {
    let segment = [b"Exif\0\0".as_slice(), &exif::tests::tiff(orientation, little)].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    [&JPEG[..2], &[0xff, 0xe1], &length, &segment, &JPEG[2..]].concat()
}

#[test]
fn jpeg_files_give_what_other_decoders_give() {
    let near = |found: &[u8], expected: &[u8]| {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= 2), "{found:?} is not near {expected:?}");
    };
    // By libjpeg-turbo.
    let gray = [81, 152, 37, 240, 120, 5];
    near(&pixels(JPEG, GRAY), &gray);
    near(&pixels(JPEG, COLOUR), &[251, 10, 9, 239, 120, 5, 8, 252, 10, 241, 120, 5, 10, 10, 251, 240, 120, 5]);
    near(&pixels(GRAY_JPEG, GRAY), &gray);
    near(&pixels(GRAY_JPEG, COLOUR), &gray.repeat(3));
    near(&pixels(PROGRESSIVE, GRAY)[..5], &gray[..5]);
}

#[test]
fn an_image_is_turned_as_its_exif_data_say() {
    let upright = pixels(JPEG, GRAY);
    let tall = ImageShape { channels: 1, height: 3, width: 2 };
    for little in [true, false] {
        let turned = decode(&held(6, little), tall).unwrap();
        assert!(turned.turned);
        let [a, b, c, d, e, f] = upright[..] else { panic!("six pixels") };
        assert_eq!(turned.pixels, [d, a, e, b, f, c], "a quarter to the right");
    }
    assert_eq!(pixels(&held(1, true), GRAY), upright);
    let error = decode(&held(6, true), GRAY).unwrap_err().to_string();
    assert_eq!(error, "the image is 2 wide and 3 high, 3 by 2 are expected");
}

#[test]
fn a_png_image_is_turned_wherever_its_exif_data_stand() {
    let bytes = png(ColorType::Grayscale, BitDepth::Eight, &[1, 2, 3, 4, 5, 6]);
    let content = [b"eXIf".as_slice(), &exif::tests::tiff(6, false)].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&content);
    let length = (content.len() as u32 - 4).to_be_bytes();
    let chunk = [&length[..], &content, &sum.sum().to_be_bytes()].concat();
    // Behind the head of 8 + 25 bytes, and before the end of 12.
    for at in [33, bytes.len() - 12] {
        let held = [&bytes[..at], chunk.as_slice(), &bytes[at..]].concat();
        let turned = decode(&held, ImageShape { channels: 1, height: 3, width: 2 }).unwrap();
        assert_eq!((turned.pixels.as_slice(), turned.turned), ([4, 1, 5, 2, 6, 3].as_slice(), true), "at {at}");
    }
}

#[test]
fn jpeg_files_that_are_not_read_are_named() {
    let error = |bytes: &[u8]| format!("{:#}", decode(bytes, GRAY).unwrap_err());
    insta::assert_snapshot!(error(CMYK), @"a JPEG image in CMYK, the colours of print; convert it to RGB");
    for bytes in [JPEG, PROGRESSIVE, GRAY_JPEG] {
        for cut in 3..bytes.len() - 1 {
            assert!(decode(&bytes[..cut], GRAY).is_err(), "cut off after {cut} of {} bytes", bytes.len());
        }
    }
    insta::assert_snapshot!(error(&JPEG[..JPEG.len() - 20]), @"the JPEG file is damaged: it ends before its image does");
    insta::assert_snapshot!(error(&JPEG[..100]), @"the JPEG file is damaged: it ends within its head");
    insta::assert_snapshot!(error(&JPEG[..3]), @"the JPEG file is damaged: it holds no image data");
}

#[test]
fn a_size_that_is_not_the_shapes_is_refused_before_there_is_memory_for_it() {
    // The size in the frame's head becomes 65,535 by 65,535.
    let frame = JPEG.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let mut bomb = JPEG.to_vec();
    bomb[frame + 5..frame + 9].fill(0xff);
    let error = decode(&bomb, GRAY).unwrap_err().to_string();
    assert_eq!(error, "the image is 65535 wide and 65535 high, 3 by 2 are expected");
}

proptest! {
    #[test]
    fn damaged_files_never_panic(at in 0_usize..900, values in proptest::collection::vec(any::<u8>(), 1..8), which in 0_usize..4) {
        let mut bytes = [JPEG, PROGRESSIVE, GRAY_JPEG, CMYK][which].to_vec();
        let at = at % bytes.len();
        for (byte, value) in bytes[at..].iter_mut().zip(values) {
            *byte = value;
        }
        let _ = decode(&bytes, GRAY);
        let _ = decode(&bytes, COLOUR);
    }
}
