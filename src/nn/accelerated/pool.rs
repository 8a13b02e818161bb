//! Pooling as operations.

use burn::backend::flex::FlexTensor;

use super::maps::{MapNumber, by_number, numbers, sizes};
use super::memory;
use super::operation::Operation;
use crate::kernels::{self, PoolShape};

/// Pooling of windows that stay inside the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// The largest of each window; else its mean.
    pub max: bool,
    /// Rows and columns of a window.
    pub size: usize,
    /// Step between windows.
    pub stride: usize,
}

impl Pooling {
    fn shape(self, [batch, height, width, channels]: [usize; 4]) -> PoolShape {
        PoolShape { batch, height, width, channels, size: self.size, stride: self.stride }
    }
}

impl Operation<1> for Pooling {
    type Saved = FlexTensor;

    fn forward(self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let x = x.to_contiguous();
        (by_number!(x, Self::forward_of(self, &x)), x)
    }

    fn backward(self, x: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(by_number!(x, Self::backward_of(self, &x, &gradient.to_contiguous())))]
    }
}

impl Pooling {
    fn forward_of<N: MapNumber>(self, x: &FlexTensor) -> FlexTensor {
        let shape = self.shape(sizes(x));
        memory::tensor::<N>([shape.batch, shape.rows(), shape.columns(), shape.channels], |y| {
            if self.max { kernels::max_pool(shape, numbers(x), y) } else { kernels::avg_pool(shape, numbers(x), y) }
        })
    }

    fn backward_of<N: MapNumber>(self, x: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let shape = self.shape(sizes(x));
        memory::tensor::<N>(sizes::<4>(x), |to| {
            if self.max {
                kernels::max_pool_backward(shape, numbers(x), numbers(gradient), to);
            } else {
                kernels::avg_pool_backward(shape, numbers(gradient), to);
            }
        })
    }
}

/// Pooling of whole maps: `[N, H, W, C]` → `[N, C]`, of float32 whatever the map is of.
#[derive(Clone, Copy, Debug)]
pub struct GlobalPool {
    /// The largest of each channel; else its mean.
    pub(super) max: bool,
}

impl Operation<1> for GlobalPool {
    type Saved = FlexTensor;

    fn forward(self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let x = x.to_contiguous();
        (by_number!(x, Self::forward_of(self, &x)), x)
    }

    fn backward(self, x: FlexTensor, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(by_number!(x, Self::backward_of(self, &x, &gradient.to_contiguous())))]
    }
}

impl GlobalPool {
    fn forward_of<N: MapNumber>(self, x: &FlexTensor) -> FlexTensor {
        let [batch, height, width, channels] = sizes(x);
        memory::tensor([batch, channels], |y| {
            let pool = if self.max { kernels::global_max_pool::<N> } else { kernels::global_avg_pool::<N> };
            pool(numbers(x), height * width, channels, y);
        })
    }

    fn backward_of<N: MapNumber>(self, x: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let [_, height, width, channels] = sizes::<4>(x);
        let pixels = height * width;
        memory::tensor::<N>(sizes::<4>(x), |to| {
            if self.max {
                kernels::global_max_pool_backward(numbers(x), numbers(gradient), pixels, channels, to);
            } else {
                kernels::global_avg_pool_backward(numbers(gradient), pixels, channels, to);
            }
        })
    }
}
