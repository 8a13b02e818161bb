//! What a network computes, written as plainly as can be, in double precision: what lowering and tract are held to.
#![cfg(test)]

use ndarray::Array2;

use crate::data::ImageShape;
use crate::metrics::Probabilities;
use crate::nn::{Architecture, BatchNorm, FeatureShape, Layer, Weights};

/// The probabilities of images, `[N, classes]`, from their pixels, `[N, C, H, W]`.
pub(super) fn of_images(architecture: &Architecture, weights: &Weights, pixels: &[u8]) -> Probabilities {
    let images = pixels.chunks(architecture.input.pixels());
    let rows: Vec<f32> = images.flat_map(|image| probabilities(architecture, weights, image)).map(|p| p as f32).collect();
    Array2::from_shape_vec((rows.len() / architecture.classes, architecture.classes), rows).expect("whole rows")
}

/// The probabilities of one image, `[classes]`, from its pixels, `[C, H, W]`: the mean over its views.
fn probabilities(architecture: &Architecture, weights: &Weights, pixels: &[u8]) -> Vec<f64> {
    let ImageShape { height, width, .. } = architecture.input;
    let shift = architecture.views.shift as i64;
    let mut sides = vec![false];
    sides.extend(architecture.views.flip.then_some(true));
    let mut moves = vec![0];
    moves.extend([shift, -shift].into_iter().filter(|by| *by != 0));
    let mut sum = vec![0.0; architecture.classes];
    for (mirrored, by) in sides.iter().flat_map(|&mirrored| moves.iter().map(move |&by| (mirrored, by))) {
        let at = |index: usize| {
            let (row, column) = ((index / width % height) as i64 - by, (index % width) as i64 - by);
            if !(0..height as i64).contains(&row) || !(0..width as i64).contains(&column) {
                return 0;
            }
            let column = if mirrored { width as i64 - 1 - column } else { column };
            pixels[index / (height * width) * height * width + row as usize * width + column as usize]
        };
        let seen: Vec<u8> = (0..pixels.len()).map(at).collect();
        let found = of_view(architecture, weights, &seen);
        sum.iter_mut().zip(found).for_each(|(sum, p)| *sum += p / (sides.len() * moves.len()) as f64);
    }
    sum
}

fn of_view(architecture: &Architecture, weights: &Weights, pixels: &[u8]) -> Vec<f64> {
    let shape = architecture.shapes().expect("the layers fit")[0];
    let area = pixels.len() / shape.channels();
    let normalisation = &architecture.normalisation;
    let normalised = pixels.iter().enumerate().map(|(index, &pixel)| {
        let (mean, deviation) = (normalisation.mean[index / area], normalisation.deviation[index / area]);
        (f64::from(pixel) / 255.0 - f64::from(mean)) / f64::from(deviation)
    });
    let (logits, _) = layers(&architecture.layers, "", normalised.collect(), shape, weights);
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn layers(
    list: &[Layer],
    prefix: &str,
    mut values: Vec<f64>,
    mut shape: FeatureShape,
    weights: &Weights,
) -> (Vec<f64>, FeatureShape) {
    for (index, layer) in list.iter().enumerate() {
        let place = format!("{prefix}{index}");
        let after = layer.output(shape, &place).expect("the layers fit");
        values = self::layer(layer, &place, values, shape, after, weights);
        assert_eq!(values.len(), after.len(), "{place}");
        shape = after;
    }
    (values, shape)
}

fn layer(layer: &Layer, place: &str, values: Vec<f64>, before: FeatureShape, after: FeatureShape, weights: &Weights) -> Vec<f64> {
    let bias = |has: bool| if has { tensor(weights, place, "bias") } else { vec![0.0; after.channels()] };
    let area = before.len() / before.channels();
    let mean = |window: &[f64]| window.iter().sum::<f64>() / window.len() as f64;
    let largest = |window: &[f64]| window.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match layer {
        Layer::Conv(options) => {
            let kernel = options.kernel.get();
            let filter = Filter {
                weight: tensor(weights, place, "weight"),
                bias: bias(options.bias),
                kernel,
                stride: options.stride.get(),
                pad: options.pad(),
            };
            filter.apply(&values, before, after)
        }
        Layer::Dense(options) => {
            let weight = tensor(weights, place, "weight"); // [in, out]
            let mut outputs = bias(options.bias);
            for (input, row) in values.iter().zip(weight.chunks(outputs.len())) {
                outputs.iter_mut().zip(row).for_each(|(output, weight)| *output += input * weight);
            }
            outputs
        }
        Layer::BatchNorm(options) => batch_norm(options, place, values, area, weights),
        Layer::Relu(_) => values.into_iter().map(|value| value.max(0.0)).collect(),
        Layer::Gelu(_) => values.into_iter().map(|value| 0.5 * value * (1.0 + libm::erf(value / 2.0_f64.sqrt()))).collect(),
        Layer::MaxPool(options) => pool(&values, before, after, options.size.get(), options.step(), largest),
        Layer::AvgPool(options) => pool(&values, before, after, options.size.get(), options.step(), mean),
        Layer::GlobalMaxPool(_) => values.chunks(area).map(largest).collect(),
        Layer::GlobalAvgPool(_) => values.chunks(area).map(mean).collect(),
        Layer::Dropout(_) | Layer::SpatialDropout(_) | Layer::Flatten(_) => values,
        Layer::Residual(options) => {
            let (inner, _) = layers(&options.layers, &format!("{place}.layers."), values.clone(), before, weights);
            let shortcut = match options.projection(before, after, place).expect("the shapes meet") {
                None => values,
                Some(stride) => {
                    let place = format!("{place}.shortcut");
                    let bias = vec![0.0; after.channels()];
                    let filter = Filter { weight: tensor(weights, &place, "weight"), bias, kernel: 1, stride, pad: 0 };
                    let projected = filter.apply(&values, before, after);
                    batch_norm(&BatchNorm::default(), &place, projected, after.len() / after.channels(), weights)
                }
            };
            inner.iter().zip(shortcut).map(|(inner, shortcut)| inner + shortcut).collect()
        }
    }
}

struct Filter {
    weight: Vec<f64>, // [out, in, kernel, kernel]
    bias: Vec<f64>,   // [out]
    kernel: usize,
    stride: usize,
    pad: usize,
}

impl Filter {
    fn apply(&self, values: &[f64], before: FeatureShape, after: FeatureShape) -> Vec<f64> {
        let (inputs, height, width) = sizes(before);
        let (outputs, rows, columns) = sizes(after);
        let mut result = Vec::new();
        for output in 0..outputs {
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                let mut sum = self.bias[output];
                for input in 0..inputs {
                    for (y, x) in (0..self.kernel).flat_map(|y| (0..self.kernel).map(move |x| (y, x))) {
                        let (from_y, from_x) = (row * self.stride + y, column * self.stride + x);
                        if (self.pad..height + self.pad).contains(&from_y) && (self.pad..width + self.pad).contains(&from_x) {
                            let value = values[(input * height + from_y - self.pad) * width + from_x - self.pad];
                            sum += value * self.weight[((output * inputs + input) * self.kernel + y) * self.kernel + x];
                        }
                    }
                }
                result.push(sum);
            }
        }
        result
    }
}

fn pool(
    values: &[f64],
    before: FeatureShape,
    after: FeatureShape,
    size: usize,
    step: usize,
    of: impl Fn(&[f64]) -> f64,
) -> Vec<f64> {
    let (channels, height, width) = sizes(before);
    let (_, rows, columns) = sizes(after);
    let mut result = Vec::new();
    for (channel, row) in (0..channels).flat_map(|channel| (0..rows).map(move |row| (channel, row))) {
        for column in 0..columns {
            let at = |y: usize, x: usize| values[(channel * height + row * step + y) * width + column * step + x];
            let window: Vec<f64> = (0..size).flat_map(|y| (0..size).map(move |x| at(y, x))).collect();
            result.push(of(&window));
        }
    }
    result
}

fn batch_norm(options: &BatchNorm, place: &str, values: Vec<f64>, area: usize, weights: &Weights) -> Vec<f64> {
    let [gamma, beta, mean, variance] =
        ["gamma", "beta", "running_mean", "running_variance"].map(|part| tensor(weights, place, part));
    let normal = |(index, value): (usize, f64)| {
        let channel = index / area;
        gamma[channel] * (value - mean[channel]) / (variance[channel] + options.epsilon.get()).sqrt() + beta[channel]
    };
    values.into_iter().enumerate().map(normal).collect()
}

fn sizes(shape: FeatureShape) -> (usize, usize, usize) {
    match shape {
        FeatureShape::Map { channels, height, width } => (channels, height, width),
        FeatureShape::Vector(size) => (size, 1, 1),
    }
}

fn tensor(weights: &Weights, place: &str, part: &str) -> Vec<f64> {
    let name = format!("{place}.{part}");
    weights.get(&name).unwrap_or_else(|| panic!("no `{name}`")).values.iter().map(|&value| f64::from(value)).collect()
}
