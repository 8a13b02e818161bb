//! Folding: a batch normalisation is a scale and a shift of each channel, and a convolution or dense layer can take both
//! into its weights and bias. Sums are in double precision; rounding to float32 happens once, when a constant is written.

/// y = scale · x + shift, by channel.
pub(super) struct Affine {
    pub(super) scale: Vec<f64>, // [C]
    pub(super) shift: Vec<f64>, // [C]
}

impl Affine {
    /// What a batch normalisation does at inference (Ioffe and Szegedy, 2015): γ · (x − μ) / √(σ² + ε) + β. All slices
    /// are `[C]`.
    pub(super) fn of_batch_norm(gamma: &[f32], beta: &[f32], mean: &[f32], variance: &[f32], epsilon: f64) -> Self {
        let scale: Vec<f64> = gamma
            .iter()
            .zip(variance)
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + epsilon).sqrt())
            .collect();
        let shift = scale
            .iter()
            .zip(beta.iter().zip(mean))
            .map(|(scale, (&beta, &mean))| f64::from(beta) - f64::from(mean) * scale)
            .collect();
        Self { scale, shift }
    }
}

/// A convolution or dense layer: weights and, if there is one, a bias for each output.
pub(super) struct Linear {
    pub(super) shape: Vec<usize>,
    pub(super) weight: Vec<f64>,
    pub(super) bias: Option<Vec<f64>>, // [outputs]
    outputs: Outputs,
}

/// Where a layer's outputs stand among the axes of its weights.
#[derive(Clone, Copy)]
pub(super) enum Outputs {
    /// First, as in a convolution's `[out, in, kernel, kernel]`.
    First,
    /// Last, as in a dense layer's `[in, out]`.
    Last,
}

impl Linear {
    pub(super) fn new(outputs: Outputs, shape: &[usize], weight: &[f32], bias: Option<&[f32]>) -> Self {
        let widen = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        Self { shape: shape.to_vec(), weight: widen(weight), bias: bias.map(widen), outputs }
    }

    /// Takes an affine map of the layer's outputs into the layer.
    pub(super) fn fold(&mut self, affine: &Affine) {
        let outputs = affine.scale.len();
        let share = self.weight.len() / outputs; // weights of one output
        for (index, weight) in self.weight.iter_mut().enumerate() {
            *weight *= affine.scale[match self.outputs {
                Outputs::First => index / share,
                Outputs::Last => index % outputs,
            }];
        }
        let bias = self.bias.get_or_insert_with(|| vec![0.0; outputs]);
        for ((bias, scale), shift) in bias.iter_mut().zip(&affine.scale).zip(&affine.shift) {
            *bias = *bias * scale + shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_layer_gives_what_the_layer_and_then_the_normalisation_give() {
        let affine = Affine::of_batch_norm(&[2.0, 0.5], &[1.0, -1.0], &[3.0, 0.0], &[3.0, 0.0], 1.0);
        assert_eq!((affine.scale.as_slice(), affine.shift.as_slice()), (&[1.0, 0.5][..], &[-2.0, -1.0][..]));

        let mut conv = Linear::new(Outputs::First, &[2, 2, 1, 1], &[1.0, 2.0, 3.0, 4.0], None);
        conv.fold(&affine);
        assert_eq!((conv.weight, conv.bias), (vec![1.0, 2.0, 1.5, 2.0], Some(vec![-2.0, -1.0])));

        let mut dense = Linear::new(Outputs::Last, &[2, 2], &[1.0, 2.0, 3.0, 4.0], Some(&[10.0, 20.0]));
        dense.fold(&affine);
        assert_eq!((dense.weight, dense.bias), (vec![1.0, 1.0, 3.0, 2.0], Some(vec![8.0, 9.0])));
    }
}
