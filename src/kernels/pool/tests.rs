//! Pooling against the plain reference.

use proptest::prelude::*;

use super::*;
use crate::kernels::reference::{assert_close, largest, numbers, wide, windows};

fn shapes() -> impl Strategy<Value = PoolShape> {
    (1..4usize, 1..10usize, 1..10usize, 1..20usize, 1..5usize, 1..4usize)
        .prop_map(|(batch, height, width, channels, size, stride)| PoolShape { batch, height, width, channels, size, stride })
}

proptest! {
    #[test]
    fn pools_equal_their_definition(shape in shapes()) {
        let x = numbers("x", shape.batch * shape.input_image());
        let exact = wide(&x);
        let windows = windows(&shape);
        prop_assert_eq!(windows.len(), shape.batch * shape.output_image());
        let gradient = numbers("gradient", windows.len());
        let share = 1.0 / (shape.size * shape.size) as f64;
        let (mut to_best, mut to_all) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (mut best, mut mean) = (Vec::new(), Vec::new());
        for (window, gradient) in windows.iter().zip(&gradient) {
            let first = largest(&exact, window);
            best.push(exact[first]);
            mean.push(window.iter().map(|index| exact[*index]).sum::<f64>() * share);
            to_best[first] += f64::from(*gradient);
            window.iter().for_each(|index| to_all[*index] += f64::from(*gradient) * share);
        }
        let mut y = vec![9.0; windows.len()];
        max_pool(shape, &x, &mut y);
        assert_close("largest", &y, &best, 0.0);
        avg_pool(shape, &x, &mut y);
        assert_close("mean", &y, &mean, 1e-6);
        let mut to = vec![9.0; x.len()];
        max_pool_backward(shape, &x, &gradient, &mut to);
        assert_close("gradient of largest", &to, &to_best, 1e-6);
        avg_pool_backward(shape, &gradient, &mut to);
        assert_close("gradient of mean", &to, &to_all, 1e-6);
    }

    #[test]
    fn global_pools_are_pools_of_one_window(batch in 1..4usize, size in 1..6usize, channels in 1..20usize) {
        let shape = PoolShape { batch, height: size, width: size, channels, size, stride: 1 };
        let (pixels, length) = (size * size, batch * channels);
        let x = numbers("x", shape.batch * shape.input_image());
        let gradient = numbers("gradient", length);
        let (mut whole, mut global) = (vec![9.0; length], vec![9.0; length]);
        let (mut to, mut to_global) = (vec![9.0; x.len()], vec![9.0; x.len()]);

        max_pool(shape, &x, &mut whole);
        global_max_pool(&x, pixels, channels, &mut global);
        prop_assert_eq!(&whole, &global);
        max_pool_backward(shape, &x, &gradient, &mut to);
        global_max_pool_backward(&x, &gradient, pixels, channels, &mut to_global);
        prop_assert_eq!(&to, &to_global);

        avg_pool(shape, &x, &mut whole);
        global_avg_pool(&x, pixels, channels, &mut global);
        prop_assert_eq!(&whole, &global);
        avg_pool_backward(shape, &gradient, &mut to);
        global_avg_pool_backward(&gradient, pixels, channels, &mut to_global);
        prop_assert_eq!(&to, &to_global);
    }
}
