//! The plain reference: every layer as loops over `f64`, written from its definition.

use crate::nn::layers::dropout_mask;
use crate::nn::{Architecture, BatchNorm, FeatureShape, Layer, Pool};
use crate::seed::Seed;

/// Features of a batch.
#[derive(Clone)]
struct Features {
    shape: FeatureShape,
    values: Vec<f64>, // [N, …]
}

/// One pass of the reference.
struct Reference<'a> {
    tensors: std::slice::Iter<'a, Vec<f64>>,
    training: Option<Seed>,
    batch: usize,
    /// The running statistics after the pass, in the order of the layers.
    running: Vec<Vec<f64>>,
}

/// Logits, `[N, classes]`, and running statistics after the pass; in training mode if there is a seed.
pub fn run(
    architecture: &Architecture,
    tensors: &[Vec<f64>],
    pixels: &[f64],
    training: Option<Seed>,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let batch = pixels.len() / architecture.input.pixels();
    let area = architecture.input.height * architecture.input.width;
    let normalisation = &architecture.normalisation;
    let values = pixels.iter().enumerate().map(|(index, pixel)| {
        let channel = index / area % architecture.input.channels;
        (pixel / 255.0 - f64::from(normalisation.mean[channel])) / f64::from(normalisation.deviation[channel])
    });
    let input = Features { shape: architecture.shapes().unwrap()[0], values: values.collect() };
    let mut pass = Reference { tensors: tensors.iter(), training, batch, running: Vec::new() };
    let logits = pass.layers(&architecture.layers, "", input);
    (logits.values, pass.running)
}

impl Reference<'_> {
    fn take(&mut self) -> Vec<f64> {
        self.tensors.next().unwrap().clone()
    }

    fn layers(&mut self, layers: &[Layer], place: &str, mut features: Features) -> Features {
        for (index, layer) in layers.iter().enumerate() {
            features = self.layer(layer, &format!("{place}{index}"), features);
        }
        features
    }

    fn layer(&mut self, layer: &Layer, place: &str, x: Features) -> Features {
        let shape = layer.output(x.shape, place).unwrap();
        let values = match layer {
            Layer::Conv(conv) => {
                let weight = self.take();
                let bias = if conv.bias { self.take() } else { vec![0.0; conv.filters.get()] };
                convolution(&x, shape, &weight, &bias, (conv.kernel.get(), conv.stride.get(), conv.pad()))
            }
            Layer::Dense(dense) => {
                let weight = self.take();
                let bias = if dense.bias { self.take() } else { vec![0.0; dense.units.get()] };
                let outputs = shape.len();
                let rows = x.values.chunks_exact(x.shape.len());
                let output = |row: &[f64], unit| row.iter().enumerate().map(|(i, v)| v * weight[i * outputs + unit]).sum::<f64>();
                rows.flat_map(|row| (0..outputs).map(|unit| output(row, unit) + bias[unit]).collect::<Vec<_>>()).collect()
            }
            Layer::BatchNorm(norm) => self.batch_norm(norm, &x),
            Layer::Relu(_) => x.values.iter().map(|value| value.max(0.0)).collect(),
            Layer::Gelu(_) => x.values.iter().map(|v| 0.5 * v * (1.0 + libm::erf(v / std::f64::consts::SQRT_2))).collect(),
            Layer::MaxPool(pool) => pooled(&x, shape, pool, |window| window.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            Layer::AvgPool(pool) => pooled(&x, shape, pool, |window| window.iter().sum::<f64>() / window.len() as f64),
            Layer::GlobalMaxPool(_) => planes(&x).map(|plane| plane.iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect(),
            Layer::GlobalAvgPool(_) => planes(&x).map(|plane| plane.iter().sum::<f64>() / plane.len() as f64).collect(),
            Layer::Flatten(_) => x.values,
            Layer::Dropout(dropout) => self.dropped(x, dropout.rate.get(), place, |shape| shape.len()),
            Layer::SpatialDropout(dropout) => self.dropped(x, dropout.rate.get(), place, |shape| shape.channels()),
            Layer::Residual(residual) => {
                let branch = self.layers(&residual.layers, &format!("{place}.layers."), x.clone());
                let shortcut = match residual.projection(x.shape, shape, place).unwrap() {
                    None => x,
                    Some(stride) => {
                        let (weight, zeros) = (self.take(), vec![0.0; shape.channels()]);
                        let values = convolution(&x, shape, &weight, &zeros, (1, stride, 0));
                        let projected = Features { shape, values };
                        Features { shape, values: self.batch_norm(&BatchNorm::default(), &projected) }
                    }
                };
                branch.values.iter().zip(&shortcut.values).map(|(a, b)| a + b).collect()
            }
        };
        Features { shape, values }
    }

    fn batch_norm(&mut self, norm: &BatchNorm, x: &Features) -> Vec<f64> {
        let (gamma, beta, mut mean, mut variance) = (self.take(), self.take(), self.take(), self.take());
        let channels = gamma.len();
        let area = x.shape.len() / channels;
        let channel_of = |index: usize| index / area % channels;
        if self.training.is_some() {
            let count = (x.values.len() / channels) as f64;
            let sum = |channel, f: &dyn Fn(f64) -> f64| -> f64 {
                x.values.iter().enumerate().filter(|(index, _)| channel_of(*index) == channel).map(|(_, &v)| f(v)).sum()
            };
            let momentum = norm.momentum.get();
            let (mut new_mean, mut new_variance) = (mean.clone(), variance.clone());
            for channel in 0..channels {
                mean[channel] = sum(channel, &|v| v) / count;
                variance[channel] = sum(channel, &|v| (v - mean[channel]).powi(2)) / count;
                new_mean[channel] += momentum * (mean[channel] - new_mean[channel]);
                new_variance[channel] += momentum * (variance[channel] - new_variance[channel]);
            }
            self.running.extend([new_mean, new_variance]);
        }
        let normalise = |(index, value): (usize, &f64)| {
            let channel = channel_of(index);
            (value - mean[channel]) / (variance[channel] + norm.epsilon.get()).sqrt() * gamma[channel] + beta[channel]
        };
        x.values.iter().enumerate().map(normalise).collect()
    }

    fn dropped(&self, x: Features, rate: f64, place: &str, columns: fn(FeatureShape) -> usize) -> Vec<f64> {
        let Some(seed) = self.training else { return x.values };
        let columns = columns(x.shape);
        let mask = dropout_mask(seed.child(place), rate, self.batch, columns);
        let repeat = x.shape.len() / columns;
        x.values.iter().enumerate().map(|(index, value)| value * f64::from(mask[index / repeat])).collect()
    }
}

fn map(shape: FeatureShape) -> (usize, usize, usize) {
    match shape {
        FeatureShape::Map { channels, height, width } => (channels, height, width),
        FeatureShape::Vector(_) => panic!("not a feature map"),
    }
}

fn planes(x: &Features) -> impl Iterator<Item = &[f64]> {
    let (_, height, width) = map(x.shape);
    x.values.chunks_exact(height * width)
}

fn convolution(x: &Features, after: FeatureShape, weight: &[f64], bias: &[f64], options: (usize, usize, usize)) -> Vec<f64> {
    let (kernel, stride, pad) = options;
    let ((inputs, height, width), (outputs, rows, columns)) = (map(x.shape), map(after));
    let mut values = Vec::new();
    for image in x.values.chunks_exact(x.shape.len()) {
        let pixel = |channel, row: usize, column: usize| {
            let inside = (pad..height + pad).contains(&row) && (pad..width + pad).contains(&column);
            if inside { image[(channel * height + row - pad) * width + column - pad] } else { 0.0 }
        };
        for (output, row, column) in positions(outputs, rows, columns) {
            let mut sum = bias[output];
            for (input, i, j) in positions(inputs, kernel, kernel) {
                sum += weight[((output * inputs + input) * kernel + i) * kernel + j]
                    * pixel(input, row * stride + i, column * stride + j);
            }
            values.push(sum);
        }
    }
    values
}

fn pooled(x: &Features, after: FeatureShape, pool: &Pool, reduce: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let ((_, _, width), (_, rows, columns)) = (map(x.shape), map(after));
    let mut values = Vec::new();
    for plane in planes(x) {
        for (_, row, column) in positions(1, rows, columns) {
            let at = |i, j| plane[(row * pool.step() + i) * width + column * pool.step() + j];
            let window: Vec<f64> = positions(1, pool.size.get(), pool.size.get()).map(|(_, i, j)| at(i, j)).collect();
            values.push(reduce(&window));
        }
    }
    values
}

fn positions(channels: usize, rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..channels).flat_map(move |c| (0..rows).flat_map(move |r| (0..columns).map(move |k| (c, r, k))))
}
