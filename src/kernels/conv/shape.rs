//! The shape of a convolution.

/// Sizes of a square-kernelled convolution over a batch of images `[N, H, W, C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels of an image.
    pub inputs: usize,
    /// Channels that come out.
    pub outputs: usize,
    /// Rows and columns of the kernel.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Zeros on every side of an image.
    pub padding: usize,
}

/// A convolution that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A size is zero.
    #[error("a convolution of no images, channels, rows, columns, kernel or stride: {0:?}")]
    Empty(ConvShape),
    /// Windows would lie wholly outside the image.
    #[error("a padding of {} is not smaller than the kernel of {}", .0.padding, .0.kernel)]
    Padding(ConvShape),
    /// The kernel does not fit.
    #[error("a kernel of {} does not fit an image of {} × {} with {} zeros around it", .0.kernel, .0.height, .0.width, .0.padding)]
    Kernel(ConvShape),
}

impl ConvShape {
    /// Checks that there is something to compute.
    ///
    /// # Errors
    /// When a size is zero, the padding is not smaller than the kernel, or the kernel larger than the padded image.
    pub fn check(self) -> Result<Self, ShapeError> {
        let Self { batch, height, width, inputs, outputs, kernel, stride, padding } = self;
        if [batch, height, width, inputs, outputs, kernel, stride].contains(&0) {
            return Err(ShapeError::Empty(self));
        }
        if padding >= kernel {
            return Err(ShapeError::Padding(self));
        }
        if height.min(width) + 2 * padding < kernel {
            return Err(ShapeError::Kernel(self));
        }
        Ok(self)
    }

    /// Rows that come out.
    pub const fn output_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Columns that come out.
    pub const fn output_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Numbers in one image that goes in.
    pub const fn input_image(&self) -> usize {
        self.height * self.width * self.inputs
    }

    /// Numbers in one image that comes out.
    pub const fn output_image(&self) -> usize {
        self.output_height() * self.output_width() * self.outputs
    }

    /// Numbers that go in.
    pub const fn input_len(&self) -> usize {
        self.batch * self.input_image()
    }

    /// Numbers that come out.
    pub const fn output_len(&self) -> usize {
        self.batch * self.output_image()
    }

    /// Weights, `[outputs, inputs, kernel, kernel]`.
    pub const fn weights_len(&self) -> usize {
        self.outputs * self.inputs * self.kernel * self.kernel
    }

    /// Operations of a forward pass: two for each multiply-add, padding included. Either gradient costs the same.
    pub const fn flops(&self) -> u64 {
        2 * (self.output_len() * self.inputs * self.kernel * self.kernel) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ConvShape = ConvShape { batch: 2, height: 7, width: 5, inputs: 3, outputs: 4, kernel: 3, stride: 2, padding: 1 };

    #[test]
    fn sizes_are_those_counted_by_hand() {
        let shape = SHAPE.check().unwrap();
        assert_eq!((shape.output_height(), shape.output_width()), (4, 3));
        assert_eq!((shape.input_len(), shape.output_len(), shape.weights_len()), (210, 96, 108));
        assert_eq!(shape.flops(), 2 * 96 * 27);
    }

    #[test]
    fn impossible_shapes_are_named() {
        let check = |shape: ConvShape, expected: &str| {
            let error = shape.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(ConvShape { stride: 0, ..SHAPE }, "no images");
        check(ConvShape { padding: 3, ..SHAPE }, "a padding of 3 is not smaller than the kernel of 3");
        check(ConvShape { kernel: 8, ..SHAPE }, "a kernel of 8 does not fit an image of 7 × 5 with 1 zeros");
    }
}
