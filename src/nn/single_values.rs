//! Batch normalisations that a batch of one image gives nothing to normalise.

use super::architecture::{Architecture, Layer};
use super::{FeatureShape, LayerError};

impl Architecture {
    /// The place of the first batch normalisation to which an image gives one value of each channel: after a map of 1×1 or in a
    /// vector. In a batch of one image such a value is its own mean: what comes out is the shift alone, no gradient goes in, and the
    /// running variance takes in a 0.
    ///
    /// # Errors
    /// The first layer that does not fit what comes before it.
    pub fn single_values(&self) -> Result<Option<String>, LayerError> {
        for (index, (layer, before)) in self.layers.iter().zip(self.shapes()?).enumerate() {
            if let Some(place) = layer.single_values(before, &index.to_string())? {
                return Ok(Some(format!("layer {place}")));
            }
        }
        Ok(None)
    }
}

impl Layer {
    fn single_values(&self, before: FeatureShape, place: &str) -> Result<Option<String>, LayerError> {
        match self {
            Self::BatchNorm(_) => Ok(is_single(before).then(|| place.to_owned())),
            Self::Residual(block) => {
                let mut shape = before;
                for (index, layer) in block.layers.iter().enumerate() {
                    let place = format!("{place}.layers.{index}");
                    if let Some(place) = layer.single_values(shape, &place)? {
                        return Ok(Some(place));
                    }
                    shape = layer.output(shape, &place)?;
                }
                let is_projected = block.projection(before, shape, place)?.is_some();
                Ok((is_projected && is_single(shape)).then(|| format!("{place}.shortcut")))
            }
            _ => Ok(None),
        }
    }
}

fn is_single(shape: FeatureShape) -> bool {
    shape.len() == shape.channels()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::nn::{Normalisation, Views};

    #[test]
    fn a_batch_normalisation_of_one_value_per_image_is_found() {
        let check = |layers: &str, expected: Option<&str>| {
            let network = Architecture {
                input: ImageShape { channels: 1, height: 4, width: 4 },
                classes: 2,
                normalisation: Normalisation { mean: vec![0.0], deviation: vec![1.0] },
                layers: serde_json::from_str(layers).unwrap(),
                views: Views::default(),
            };
            assert_eq!(network.single_values().unwrap().as_deref(), expected, "{layers}");
        };
        check(r#"[{"conv": {"filters": 2}}, {"batch_norm": {}}, {"flatten": {}}, {"dense": {"units": 2}}]"#, None);
        check(r#"[{"flatten": {}}, {"dense": {"units": 2}}, {"batch_norm": {}}]"#, Some("layer 2"));
        check(r#"[{"conv": {"filters": 2, "kernel": 4, "padding": "valid"}}, {"batch_norm": {}}]"#, Some("layer 1"));
        check(
            r#"[{"max_pool": {}}, {"residual": {"layers": [{"conv": {"filters": 2, "stride": 2}}, {"batch_norm": {}}]}}]"#,
            Some("layer 1.layers.1"),
        );
        check(
            r#"[{"max_pool": {}}, {"residual": {"layers": [{"batch_norm": {}}, {"conv": {"filters": 2, "stride": 2}}]}}]"#,
            Some("layer 1.shortcut"),
        );
    }
}
