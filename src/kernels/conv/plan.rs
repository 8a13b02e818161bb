//! Where a convolution reads and writes: all index arithmetic, none of the floating-point kind.
//!
//! Both directions are the same *sweep*: every pixel that comes out is a sum over *runs*, contiguous stretches of a framed
//! image (one with zeros around it), each multiplied by as many rows of packed weights.
//!
//! - Forward, a run is one row of the kernel's window: kernel × inputs numbers side by side.
//! - The input gradient sweeps the framed output gradient. With stride s, input pixels fall into s² *phases* that see
//!   different taps of the kernel; with stride 1 there is one phase, and its runs are rows of the rotated kernel.

use super::ConvShape;
use crate::kernels::buffer::Plain;

/// Pixels that a group of images has at least, so that small images fill whole tiles and share what was loaded.
const GROUP_PIXELS: usize = 192;
/// The same where the machine multiplies tiles, whose sums are larger and cost more to leave and take up again.
const TILED_GROUP_PIXELS: usize = 384;

/// An image with zeros around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Rows without the zeros.
    pub height: usize,
    /// Columns without the zeros.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Rows and columns of zeros before the image.
    pub before: usize,
    /// Rows of zeros below the image.
    pub below: usize,
    /// Columns of zeros right of the image.
    pub right: usize,
    /// Pixels of zeros between the images.
    pub gap: usize,
}

impl Frame {
    /// Columns with the zeros.
    pub(crate) const fn columns(&self) -> usize {
        self.before + self.width + self.right
    }

    /// Rows with the zeros.
    pub(crate) const fn rows(&self) -> usize {
        self.before + self.height + self.below
    }

    /// Numbers in one framed image.
    pub(crate) const fn len(&self) -> usize {
        (self.rows() * self.columns() + self.gap) * self.channels
    }

    /// Whether there are no zeros around, so that the images can be read where they are.
    pub(crate) const fn is_bare(&self) -> bool {
        self.before == 0 && self.below == 0 && self.right == 0
    }

    /// Where each pixel of `images` framed images lies, image by image.
    pub(crate) fn places(&self, images: usize) -> Vec<usize> {
        let mut places = Vec::with_capacity(images * self.height * self.width);
        for image in 0..images {
            for row in 0..self.height {
                for column in 0..self.width {
                    places.push(image * self.len() + self.at(self.before + row, self.before + column));
                }
            }
        }
        places
    }

    /// Where the pixel at a row and column of the frame lies.
    const fn at(&self, row: usize, column: usize) -> usize {
        (row * self.columns() + column) * self.channels
    }

    /// Puts zeros around the images in `to`, and fills each row by `fill(image, row, numbers)`.
    #[inline(always)]
    pub(crate) fn fill<T: Plain + Default>(&self, images: usize, to: &mut [T], mut fill: impl FnMut(usize, usize, &mut [T])) {
        let line = self.columns() * self.channels;
        for (image, to) in to.chunks_exact_mut(self.len()).take(images).enumerate() {
            let (above, rest) = to.split_at_mut(self.before * line);
            let (inside, after) = rest.split_at_mut(self.height * line);
            above.fill(T::default());
            after.fill(T::default());
            for (row, to) in inside.chunks_exact_mut(line).enumerate() {
                let (left, rest) = to.split_at_mut(self.before * self.channels);
                let (numbers, right) = rest.split_at_mut(self.width * self.channels);
                left.fill(T::default());
                right.fill(T::default());
                fill(image, row, numbers);
            }
        }
        // A run that ends in half a word reads one number more, times zero: it must be a number.
        to[images * self.len()..].iter_mut().take(1).for_each(|after| *after = T::default());
    }
}

/// A contiguous stretch of a framed image that goes into a pixel's sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where it starts, counted from where the pixel's window starts.
    pub from: usize,
    /// Numbers.
    pub length: usize,
}

/// A pixel that comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pixel {
    /// Where its window starts in the group of framed images.
    pub from: usize,
    /// Where its channels start in the group of images that come out.
    pub to: usize,
}

/// Pixels that see the same taps of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    /// Taps (row × kernel + column of the kernel) in the order of the packed weights.
    pub taps: Vec<usize>,
    /// What is summed; together `taps.len()` × channels of the frame.
    pub runs: Vec<Run>,
    /// The pixels of a full group of images, image by image.
    pub pixels: Vec<Pixel>,
    /// Pixels of one image.
    pub pixels_of_image: usize,
}

/// One direction of a convolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sweep {
    /// What is read.
    pub frame: Frame,
    /// Channels that come out.
    pub outputs: usize,
    /// Numbers of one image that comes out.
    pub output_image: usize,
    /// Images that are worked on together.
    pub group: usize,
    /// The pixels that come out; every one is in one phase.
    pub phases: Vec<Phase>,
}

impl Sweep {
    /// From images to what comes out.
    pub(crate) fn forward(shape: &ConvShape, per_word: usize) -> Self {
        Self::forward_in(shape, group(GROUP_PIXELS, shape, per_word))
    }

    /// From images to what comes out, in groups of `group` images.
    pub(crate) fn forward_in(shape: &ConvShape, group: usize) -> Self {
        let ConvShape { height, width, inputs, kernel, stride, padding, .. } = *shape;
        let frame = Frame { height, width, channels: inputs, before: padding, below: padding, right: padding, gap: 0 };
        let (rows, columns) = (shape.output_height(), shape.output_width());
        let mut pixels = Vec::with_capacity(group * rows * columns);
        for image in 0..group {
            for row in 0..rows {
                for column in 0..columns {
                    let from = image * frame.len() + frame.at(row * stride, column * stride);
                    pixels.push(Pixel { from, to: pixels.len() * shape.outputs });
                }
            }
        }
        let taps = (0..kernel * kernel).map(|tap| (tap, frame.at(tap / kernel, tap % kernel)));
        let phase = Phase::new(taps, inputs, pixels, rows * columns);
        Self { frame, outputs: shape.outputs, output_image: shape.output_image(), group, phases: vec![phase] }
    }

    /// From the gradient of what comes out to the gradient of the images.
    pub(crate) fn backward(shape: &ConvShape, per_word: usize) -> Self {
        Self::backward_in(shape, group(GROUP_PIXELS, shape, per_word))
    }

    /// The same in groups of `group` images.
    pub(crate) fn backward_in(shape: &ConvShape, group: usize) -> Self {
        let ConvShape { height, width, inputs, outputs, kernel, stride, padding, .. } = *shape;
        let (rows, columns) = (shape.output_height(), shape.output_width());
        // The window at row r covers input rows r·stride − padding + tap, so input row y is covered by
        // r = (y + padding − tap) / stride wherever that is whole. The frame makes room for r below zero and above rows − 1.
        let before = (kernel - 1 - padding).div_ceil(stride);
        let last = |size: usize, windows: usize| ((size - 1 + padding) / stride + 1).saturating_sub(windows);
        let frame = Frame {
            height: rows,
            width: columns,
            channels: outputs,
            before,
            below: last(height, rows),
            right: last(width, columns),
            gap: 0,
        };
        let mut phases = Vec::with_capacity(stride * stride);
        for phase_row in 0..stride.min(height) {
            for phase_column in 0..stride.min(width) {
                phases.push(Self::phase(shape, &frame, group, phase_row, phase_column));
            }
        }
        Self { frame, outputs: inputs, output_image: shape.input_image(), group, phases }
    }

    /// The input pixels at rows `phase_row` + i·stride and columns `phase_column` + j·stride.
    fn phase(shape: &ConvShape, frame: &Frame, group: usize, phase_row: usize, phase_column: usize) -> Phase {
        let ConvShape { height, width, inputs, kernel, stride, padding, .. } = *shape;
        // Where the window of the phase's first pixel meets `tap`, in rows (or columns) of the frame.
        let meet = |first: usize, tap: usize| {
            let place = first + padding + frame.before * stride;
            place.checked_sub(tap).filter(|place| place % stride == 0).map(|place| place / stride)
        };
        let mut taps: Vec<(usize, usize)> = Vec::new();
        for row in (0..kernel).rev() {
            for column in (0..kernel).rev() {
                if let (Some(y), Some(x)) = (meet(phase_row, row), meet(phase_column, column)) {
                    taps.push((row * kernel + column, frame.at(y, x)));
                }
            }
        }
        let mut pixels = Vec::new();
        for image in 0..group {
            for row in (phase_row..height).step_by(stride) {
                for column in (phase_column..width).step_by(stride) {
                    let from = image * frame.len() + frame.at(row / stride, column / stride);
                    pixels.push(Pixel { from, to: ((image * height + row) * width + column) * inputs });
                }
            }
        }
        let of_image = pixels.len() / group;
        Phase::new(taps.into_iter(), frame.channels, pixels, of_image)
    }

    /// Numbers that a group of framed images takes, with room for a vector read at its very end.
    pub(crate) fn frames_len(&self) -> usize {
        self.group * self.frame.len() + 64
    }
}

impl Phase {
    /// Joins taps that lie side by side into runs.
    fn new(taps: impl Iterator<Item = (usize, usize)>, channels: usize, pixels: Vec<Pixel>, pixels_of_image: usize) -> Self {
        let mut phase = Self { taps: Vec::new(), runs: Vec::<Run>::new(), pixels, pixels_of_image };
        for (tap, from) in taps {
            phase.taps.push(tap);
            match phase.runs.last_mut() {
                Some(run) if run.from + run.length == from => run.length += channels,
                _ => phase.runs.push(Run { from, length: channels }),
            }
        }
        phase
    }

    /// A forward phase of `group` images with its pixels in the order of the 2×2 windows that they are pooled in: the four of a window
    /// follow each other and go to one place. Those in no window are left out.
    pub(crate) fn in_windows(&self, shape: &ConvShape, group: usize) -> Self {
        let (rows, columns) = (shape.output_height(), shape.output_width());
        let mut pixels = Vec::with_capacity(group * (rows / 2) * (columns / 2) * 4);
        for image in 0..group {
            for (row, column) in (0..rows / 2).flat_map(|row| (0..columns / 2).map(move |column| (2 * row, 2 * column))) {
                let to = pixels.len() / 4 * shape.outputs;
                let first = (image * rows + row) * columns + column;
                let window = [first, first + 1, first + columns, first + columns + 1];
                pixels.extend(window.map(|at| Pixel { from: self.pixels[at].from, to }));
            }
        }
        let pixels_of_image = pixels.len() / group;
        Self { pixels, pixels_of_image, ..self.clone() }
    }

    /// Numbers that go into a pixel's sum.
    pub(crate) fn depth(&self) -> usize {
        self.runs.iter().map(|run| run.length).sum()
    }

    /// Words that go into a pixel's sum, each with the indices of its numbers in the order of the runs. The last word of a run
    /// may lack its second.
    pub(crate) fn words(&self, per_word: usize) -> Vec<(usize, Option<usize>)> {
        let mut words = Vec::with_capacity(self.depth());
        let mut start = 0;
        for run in &self.runs {
            for number in (0..run.length).step_by(per_word) {
                words.push((start + number, (per_word > 1 && number + 1 < run.length).then_some(start + number + 1)));
            }
            start += run.length;
        }
        words
    }

    /// How far a pixel's window reaches when it is read in whole words.
    pub(crate) fn reach(&self, per_word: usize) -> usize {
        self.runs.iter().map(|run| run.from + run.length.next_multiple_of(per_word)).max().unwrap_or(0)
    }

    /// Whether every run is of whole words.
    pub(crate) fn is_whole(&self, per_word: usize) -> bool {
        self.runs.iter().all(|run| run.length.is_multiple_of(per_word))
    }
}

/// Images in a group of `pixels` pixels; as many as fill words side by side.
fn group(pixels: usize, shape: &ConvShape, per_word: usize) -> usize {
    pixels.div_ceil(shape.output_height() * shape.output_width()).next_multiple_of(per_word).min(shape.batch)
}

/// Images in a group whose sums are in tiles.
pub(crate) fn tiled_group(shape: &ConvShape) -> usize {
    group(TILED_GROUP_PIXELS, shape, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ConvShape = ConvShape { batch: 1, height: 4, width: 4, inputs: 2, outputs: 3, kernel: 3, stride: 1, padding: 1 };

    #[test]
    fn rows_of_the_window_are_runs() {
        let sweep = Sweep::forward(&SHAPE, 1);
        assert_eq!(sweep.frame.len(), 6 * 6 * 2);
        assert_eq!(sweep.phases.len(), 1);
        let runs = [Run { from: 0, length: 6 }, Run { from: 12, length: 6 }, Run { from: 24, length: 6 }];
        assert_eq!(sweep.phases[0].runs, runs);
        assert_eq!(sweep.phases[0].depth(), 18);
        assert_eq!(sweep.phases[0].words(2)[2..4], [(4, Some(5)), (6, Some(7))]);
        assert_eq!(sweep.phases[0].pixels[5], Pixel { from: (6 + 1) * 2, to: 15 });
    }

    #[test]
    fn windows_are_four_pixels_that_go_to_one_place() {
        let shape = ConvShape { batch: 2, height: 5, ..SHAPE };
        let sweep = Sweep::forward(&shape, 1);
        let phase = sweep.phases[0].in_windows(&shape, sweep.group);
        assert_eq!((phase.pixels.len(), phase.pixels_of_image), (sweep.group * 4 * 4, 16));
        let froms = |range: std::ops::Range<usize>| phase.pixels[range].iter().map(|pixel| pixel.from).collect::<Vec<_>>();
        assert_eq!(froms(4..8), [4, 6, 16, 18]);
        assert_eq!(froms(8..10), [24, 26]);
        assert_eq!(froms(16..17), [sweep.frame.len()]);
        assert!(phase.pixels[4..8].iter().all(|pixel| pixel.to == 3));
    }

    #[test]
    fn the_gradient_of_stride_one_rotates_the_kernel() {
        let sweep = Sweep::backward(&SHAPE, 1);
        assert_eq!(sweep.phases.len(), 1);
        assert_eq!(sweep.phases[0].taps, [8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(sweep.phases[0].runs.len(), 3);
        assert_eq!(sweep.frame, Frame { height: 4, width: 4, channels: 3, before: 1, below: 1, right: 1, gap: 0 });
    }

    #[test]
    fn the_gradient_of_stride_two_has_four_phases_that_share_the_taps() {
        let sweep = Sweep::backward(&ConvShape { stride: 2, ..SHAPE }, 1);
        let mut taps: Vec<usize> = sweep.phases.iter().flat_map(|phase| phase.taps.clone()).collect();
        taps.sort_unstable();
        assert_eq!(taps, (0..9).collect::<Vec<_>>());
        let pixels: usize = sweep.phases.iter().map(|phase| phase.pixels_of_image).sum();
        assert_eq!(pixels, 16);
    }

    #[test]
    fn windows_stay_inside_their_frame() {
        for kernel in 1..=5 {
            for stride in 1..=3 {
                for padding in 0..kernel {
                    for size in 1..8 {
                        let shape = ConvShape { height: size, width: size + 1, kernel, stride, padding, ..SHAPE };
                        let Ok(shape) = shape.check() else { continue };
                        for sweep in [Sweep::forward(&shape, 1), Sweep::backward(&shape, 1)] {
                            for phase in &sweep.phases {
                                let last = phase.pixels.iter().map(|pixel| pixel.from).max().unwrap_or(0);
                                assert!(last + phase.reach(1) <= sweep.group * sweep.frame.len(), "{shape:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}
