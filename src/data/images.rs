//! Labelled images: pixels of one byte in one block, labels beside them, class names.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The shape of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "WrittenShape")]
#[schemars(with = "WrittenShape")]
pub struct ImageShape {
    /// Colour channels: 1 for gray, 3 for RGB.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

/// The shape of one image.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(rename = "ImageShape", deny_unknown_fields)]
struct WrittenShape {
    /// Colour channels: 1 for gray, 3 for RGB.
    #[schemars(range(min = 1))]
    channels: usize,
    /// Rows of pixels.
    #[schemars(range(min = 1))]
    height: usize,
    /// Columns of pixels.
    #[schemars(range(min = 1))]
    width: usize,
}

impl TryFrom<WrittenShape> for ImageShape {
    type Error = String;

    fn try_from(written: WrittenShape) -> Result<Self, String> {
        // A size of 0 is told with its place by the check of the pipeline.
        Self::bounded(written.channels, written.height, written.width)
    }
}

impl ImageShape {
    /// Gray images of 28 × 28 pixels, as in MNIST and Fashion-MNIST.
    pub const MNIST: Self = Self { channels: 1, height: 28, width: 28 };
    /// The most values in one image: 8192 × 8192 gray pixels.
    pub const MOST_PIXELS: usize = 1 << 26;

    /// Checks sizes that come from outside. Of a shape that was checked, [`Self::pixels`] fits into a number.
    ///
    /// # Errors
    /// When a size is 0, or there are more values than [`Self::MOST_PIXELS`].
    pub fn new(channels: usize, height: usize, width: usize) -> Result<Self, String> {
        let shape = Self::bounded(channels, height, width)?;
        let sizes = [("channels", channels), ("height", height), ("width", width)];
        if let Some((name, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(format!("images of {shape} hold nothing: `{name}` must be at least 1"));
        }
        Ok(shape)
    }

    fn bounded(channels: usize, height: usize, width: usize) -> Result<Self, String> {
        let shape = Self { channels, height, width };
        let pixels = channels.checked_mul(height).and_then(|pixels| pixels.checked_mul(width));
        match pixels {
            Some(pixels) if pixels <= Self::MOST_PIXELS => Ok(shape),
            _ => Err(format!("images of {shape} are too large: {} values are the most", Self::MOST_PIXELS)),
        }
    }

    /// Values in one image.
    pub const fn pixels(&self) -> usize {
        self.channels * self.height * self.width
    }
}

impl std::fmt::Display for ImageShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}×{}", self.channels, self.height, self.width)
    }
}

/// The index of a class, 0 up to the number of classes − 1.
pub type Label = u8;

/// `N` images with their labels. Cloning shares the pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledImages {
    shape: ImageShape,
    pixels: Arc<[u8]>,    // [N, C, H, W]
    labels: Arc<[Label]>, // [N]
}

impl LabelledImages {
    /// Puts images and labels together. `pixels` is `[N, C, H, W]`, `labels` is `[N]`.
    ///
    /// # Errors
    /// When the numbers of pixels and labels do not fit each other.
    pub fn new(shape: ImageShape, pixels: impl Into<Arc<[u8]>>, labels: impl Into<Arc<[Label]>>) -> Result<Self> {
        let (pixels, labels) = (pixels.into(), labels.into());
        ensure!(
            pixels.len() == labels.len() * shape.pixels(),
            "{} pixels do not make {} images of {shape}",
            pixels.len(),
            labels.len()
        );
        Ok(Self { shape, pixels, labels })
    }

    /// How many images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The shape of each image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// All pixels, `[N, C, H, W]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels, `[N]`.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The pixels of image `index`, `[C, H, W]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.shape.pixels();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The images at `indices`, in that order.
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.shape.pixels());
        for &index in indices {
            pixels.extend_from_slice(self.image(index));
        }
        let labels: Vec<Label> = indices.iter().map(|&index| self.labels[index]).collect();
        Self { shape: self.shape, pixels: pixels.into(), labels: labels.into() }
    }

    /// These images followed by others of the same shape.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn concat(&self, other: &Self) -> Result<Self> {
        ensure!(self.shape == other.shape, "images of {} and {} cannot be put together", self.shape, other.shape);
        Self::new(self.shape, [self.pixels(), other.pixels()].concat(), [self.labels(), other.labels()].concat())
    }

    /// How many images each of `classes` classes has.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in self.labels.iter() {
            counts[usize::from(label)] += 1;
        }
        counts
    }
}

/// What a data set is, beside its pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataInfo {
    /// Its name: `fashion-mnist`, or `garments` for the synthetic one.
    pub name: String,
    /// Whether the images were drawn by the program. Said wherever results appear.
    pub synthetic: bool,
    /// The shape of every image.
    pub shape: ImageShape,
    /// The name of each class; its position is the label.
    pub classes: Vec<String>,
}
