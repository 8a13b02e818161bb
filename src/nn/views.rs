//! Averaging over views: a model may look at an image several times, mirrored and moved, and give the mean of what it says.

use serde::{Deserialize, Serialize};

use super::LayerError;
use crate::data::{ImageShape, View};

/// Views of an image whose class probabilities a model averages, all counting the same. Training and the figures of its epochs see single
/// images; every figure about the trained model, and the exported file, are of the mean. The moves are those of the CIFAR-10 speed runs
/// (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024). An image is mirrored first and moved then, so that an image and its
/// mirror image have the same views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Views {
    /// Also the image mirrored left to right. It helps a model that was trained on mirrored images
    /// (`augment: { flip: horizontal }`) and harms another.
    pub flip: bool,
    /// Also the image moved by so many pixels along its diagonal, once up and left, once down and right; black comes in. With `flip`, the
    /// mirrored image is moved as well. 0 moves nothing.
    pub shift: usize,
}

impl Views {
    /// Whether the image is seen once, as it is.
    pub fn is_single(&self) -> bool {
        *self == Self::default()
    }

    /// How many views there are.
    pub fn count(&self) -> usize {
        (if self.flip { 2 } else { 1 }) * (if self.shift > 0 { 3 } else { 1 })
    }

    /// The views; the first is the image as it is.
    pub fn list(&self) -> Vec<View> {
        let shift = self.shift.cast_signed();
        let moves: &[isize] = if shift > 0 { &[0, -shift, shift] } else { &[0] };
        let sides: &[bool] = if self.flip { &[false, true] } else { &[false] };
        let of_side = |&mirrored: &bool| moves.iter().map(move |&by| View { mirrored, down: by, right: by });
        sides.iter().flat_map(of_side).collect()
    }

    /// Checks that no view loses all of an image of `shape`.
    ///
    /// # Errors
    /// When the shift is not below height and width.
    pub fn check(&self, shape: ImageShape) -> Result<(), LayerError> {
        let side = shape.height.min(shape.width);
        if self.shift < side {
            return Ok(());
        }
        let message = format!("`shift: {}` moves images of {shape} out of sight: it must be below {side}", self.shift);
        Err(LayerError { place: "views".into(), message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Architecture, Layer, Normalisation};

    fn views(json: &str) -> Views {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn there_are_as_many_views_as_are_counted_and_no_two_are_alike() {
        for (json, count) in [("{}", 1), (r#"{"flip": true}"#, 2), (r#"{"shift": 2}"#, 3), (r#"{"flip": true, "shift": 1}"#, 6)] {
            let views = views(json);
            let mut list = views.list();
            assert_eq!((views.count(), list.len(), list[0]), (count, count, View::PLAIN), "{json}");
            assert_eq!(views.is_single(), count == 1);
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), count, "{json}");
        }
    }

    #[test]
    fn views_cost_their_number_and_leave_no_trace_where_there_is_one() {
        let layers: Vec<Layer> = serde_json::from_str(r#"[{"flatten": {}}, {"dense": {"units": 10}}]"#).unwrap();
        let normalisation = Normalisation { mean: vec![0.0], deviation: vec![1.0] };
        let single = Architecture { input: ImageShape::MNIST, classes: 10, normalisation, layers, views: Views::default() };
        let json = serde_json::to_string(&single).unwrap();
        assert!(!json.contains("views"), "{json}");
        assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), single);
        let averaged = Architecture { views: Views { flip: true, shift: 1 }, ..single.clone() };
        assert_eq!(averaged.flops().unwrap(), 6 * single.flops().unwrap());
        assert_eq!(serde_json::from_str::<Architecture>(&serde_json::to_string(&averaged).unwrap()).unwrap(), averaged);
        assert!(Architecture { views: Views { flip: false, shift: 28 }, ..single }.check().is_err());
    }

    #[test]
    fn a_shift_out_of_sight_is_an_error() {
        let shape = ImageShape { channels: 1, height: 9, width: 8 };
        assert!(views(r#"{"shift": 7}"#).check(shape).is_ok());
        insta::assert_snapshot!(views(r#"{"shift": 8}"#).check(shape).unwrap_err(), @"views: `shift: 8` moves images of 1×9×8 out of sight: it must be below 8");
    }
}
