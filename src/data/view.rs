//! A view of an image: the image mirrored, moved, or both.

use super::ImageShape;

/// What an image becomes when it is mirrored left to right, if it is, and then moved by whole pixels. Pixels that come in
/// are 0; those that go out are lost. The size stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct View {
    /// Whether left and right change places.
    pub mirrored: bool,
    /// By how many rows it moves down.
    pub down: isize,
    /// By how many columns it moves right.
    pub right: isize,
}

impl View {
    /// The image as it is.
    pub const PLAIN: Self = Self { mirrored: false, down: 0, right: 0 };

    /// Appends the view of `image`, `[C, H, W]`, to `pixels`.
    ///
    /// # Panics
    /// When `image` is not of `shape`.
    pub fn push(self, image: &[u8], shape: ImageShape, pixels: &mut Vec<u8>) {
        let start = pixels.len();
        pixels.resize(start + image.len(), 0);
        self.write(image, shape, &mut pixels[start..]);
    }

    /// Writes the view of `image` to `pixels`; both are `[C, H, W]`.
    ///
    /// # Panics
    /// When one of them is not of `shape`.
    pub fn write(self, image: &[u8], shape: ImageShape, pixels: &mut [u8]) {
        let ImageShape { height, width, .. } = shape;
        assert_eq!((image.len(), pixels.len()), (shape.pixels(), shape.pixels()), "both images are of the shape");
        if self == Self::PLAIN {
            pixels.copy_from_slice(image);
            return;
        }
        pixels.fill(0);
        // Columns of the view that show something, and where in the (mirrored) image they come from.
        let (columns, first) = overlap(width, self.right);
        for (plane, pixels) in image.chunks_exact(height * width).zip(pixels.chunks_exact_mut(height * width)) {
            for (row, target) in pixels.chunks_exact_mut(width).enumerate() {
                let Some(source) = row.checked_add_signed(-self.down).filter(|&source| source < height) else { continue };
                let source = &plane[source * width..][..width];
                let target = &mut target[columns.clone()];
                if self.mirrored {
                    let end = width - first;
                    target.iter_mut().zip(source[..end].iter().rev()).for_each(|(target, source)| *target = *source);
                } else {
                    target.copy_from_slice(&source[first..][..target.len()]);
                }
            }
        }
    }
}

/// Which places of a line of `size` are filled when it moves by `by`, and the place that the first of them had.
fn overlap(size: usize, by: isize) -> (std::ops::Range<usize>, usize) {
    let distance = by.unsigned_abs().min(size);
    if by < 0 { (0..size - distance, distance) } else { (distance..size, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_of_a_view_is_the_one_that_its_definition_names() {
        let shape = ImageShape { channels: 2, height: 3, width: 4 };
        let image: Vec<u8> = (1..=24).collect();
        for mirrored in [false, true] {
            for down in -4..=4 {
                for right in -5..=5 {
                    let view = View { mirrored, down, right };
                    let mut found = vec![99];
                    view.push(&image, shape, &mut found);
                    for (place, &pixel) in found[1..].iter().enumerate() {
                        let (channel, row, column) = (place / 12, (place / 4 % 3) as isize - down, (place % 4) as isize - right);
                        let inside = (0..3).contains(&row) && (0..4).contains(&column);
                        let column = if mirrored { 3 - column } else { column };
                        let expected = if inside { image[(channel as isize * 12 + row * 4 + column) as usize] } else { 0 };
                        assert_eq!(pixel, expected, "{view:?} at {place}");
                    }
                    assert_eq!((found.len(), found[0]), (25, 99), "{view:?}");
                }
            }
        }
    }
}
