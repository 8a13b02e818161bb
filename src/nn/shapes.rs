//! The shapes of features, and the windows that lie in them. Every size is checked where it arises, so that what is computed from
//! sizes that were checked fits into a number.

use crate::data::ImageShape;

/// The most numbers in the features of one image.
pub const MOST_VALUES: usize = ImageShape::MOST_PIXELS;
/// The most weights of one layer: an ONNX file holds no more than 2 GiB.
pub const MOST_WEIGHTS: usize = 1 << 29;

/// The shape of the features between two layers, without the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureShape {
    /// `[C, H, W]`.
    Map {
        /// Channels.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// `[D]`.
    Vector(usize),
}

impl FeatureShape {
    /// Values in it.
    pub const fn len(&self) -> usize {
        match *self {
            Self::Map { channels, height, width } => channels * height * width,
            Self::Vector(size) => size,
        }
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels of a map, or the length of a vector: what a batch normalisation normalises.
    pub const fn channels(&self) -> usize {
        match *self {
            Self::Map { channels, .. } => channels,
            Self::Vector(size) => size,
        }
    }

    /// Whether there are no more values than [`MOST_VALUES`].
    pub fn is_bounded(&self) -> bool {
        match *self {
            Self::Map { channels, height, width } => volume([channels, height, width]),
            Self::Vector(size) => Some(size),
        }
        .is_some_and(|values| values <= MOST_VALUES)
    }
}

impl std::fmt::Display for FeatureShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Map { channels, height, width } => write!(f, "{channels}×{height}×{width}"),
            Self::Vector(size) => write!(f, "{size}"),
        }
    }
}

/// The product of sizes, if it fits into a number.
pub fn volume(sizes: impl IntoIterator<Item = usize>) -> Option<usize> {
    sizes.into_iter().try_fold(1_usize, usize::checked_mul)
}

/// A layer that does not fit what comes before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct LayerError {
    /// Where: `layer 3`, `layer 3.layers.0` inside a residual block, `normalisation`.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Windows along one side of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Rows or columns of a window.
    pub size: usize,
    /// From one of its rows to the next: 1, or more where it is dilated.
    pub dilation: usize,
    /// From one window to the next.
    pub step: usize,
    /// Zeros before and behind.
    pub padding: [usize; 2],
}

/// Windows that do not fit a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A size is zero.
    #[error("has a window, a step or a dilation of 0")]
    Empty,
    /// The window is too large.
    #[error("has a window of {0}, larger than the feature map")]
    Size(usize),
    /// The step leads far beyond the map.
    #[error("has a step of {0}, far larger than the feature map")]
    Step(usize),
    /// A window would lie in the padding alone.
    #[error("has a padding of {0}, not smaller than its window")]
    Padding(usize),
}

impl Windows {
    /// How many there are along a side of `side` rows or columns.
    ///
    /// # Errors
    /// When there are none, one would see nothing of the map, or the step is longer than the padded side and a window.
    pub fn count(self, side: usize) -> Result<usize, WindowError> {
        let Self { size, dilation, step, padding: [before, behind] } = self;
        if [size, dilation, step].contains(&0) {
            return Err(WindowError::Empty);
        }
        let extent = (size - 1).checked_mul(dilation).and_then(|extent| extent.checked_add(1)).ok_or(WindowError::Size(size))?;
        if before.max(behind) >= extent {
            return Err(WindowError::Padding(before.max(behind)));
        }
        let padded = side.checked_add(before).and_then(|sum| sum.checked_add(behind)).ok_or(WindowError::Size(size))?;
        let rest = padded.checked_sub(extent).ok_or(WindowError::Size(size))?;
        if step > padded.saturating_add(extent) {
            return Err(WindowError::Step(step));
        }
        Ok(rest / step + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted_or_do_not_fit() {
        let plain = Windows { size: 3, dilation: 1, step: 1, padding: [0, 0] };
        assert_eq!(plain.count(5), Ok(3));
        assert_eq!(Windows { padding: [1, 1], step: 2, ..plain }.count(5), Ok(3));
        assert_eq!(Windows { dilation: 2, ..plain }.count(5), Ok(1));
        assert_eq!(Windows { size: 1, step: 2, ..plain }.count(1), Ok(1));
        let most = usize::MAX;
        for (windows, error) in [
            (Windows { size: 6, ..plain }, WindowError::Size(6)),
            (Windows { size: most, ..plain }, WindowError::Size(most)),
            (Windows { size: most, dilation: most, ..plain }, WindowError::Size(most)),
            (Windows { dilation: most, ..plain }, WindowError::Size(3)),
            (Windows { step: 9, ..plain }, WindowError::Step(9)),
            (Windows { step: most, ..plain }, WindowError::Step(most)),
            (Windows { step: 0, ..plain }, WindowError::Empty),
            (Windows { padding: [0, 3], ..plain }, WindowError::Padding(3)),
            (Windows { size: most, padding: [most - 1, most - 1], ..plain }, WindowError::Size(most)),
        ] {
            assert_eq!(windows.count(5), Err(error), "{windows:?}");
        }
    }

    #[test]
    fn shapes_whose_product_does_not_fit_are_not_bounded() {
        let map = |channels, height, width| FeatureShape::Map { channels, height, width };
        assert!(map(1, 1 << 13, 1 << 13).is_bounded() && FeatureShape::Vector(MOST_VALUES).is_bounded());
        assert!(!map(1, 1 << 32, 1 << 32).is_bounded() && !map(2, 1 << 13, 1 << 13).is_bounded());
        assert!(!FeatureShape::Vector(MOST_VALUES + 1).is_bounded());
    }
}
