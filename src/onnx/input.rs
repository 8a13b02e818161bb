//! The first nodes of a graph: the views of the image that its networks look at, and their normalisation. What several networks
//! need is made once.

use anyhow::Result;

use super::IMAGE;
use super::graph::Graph;
use crate::data::{ImageShape, View};
use crate::nn::{Architecture, Normalisation};

/// What has been made of the image so far, with the names of the values.
#[derive(Default)]
pub(super) struct Inputs {
    padded: Vec<(usize, String)>,
    seen: Vec<(View, String)>,
    constants: Vec<(Normalisation, [String; 2])>,
    normalised: Vec<(Normalisation, View, String)>,
}

impl Inputs {
    /// View `index` of the image, normalised as `architecture` does it: (pixel − 255 · mean) / (255 · deviation), by channel.
    /// Nodes that are not there yet are called after `name`.
    ///
    /// # Errors
    /// When a constant is not finite.
    pub(super) fn normalised(
        &mut self,
        graph: &mut Graph,
        name: &str,
        architecture: &Architecture,
        index: usize,
        view: View,
    ) -> Result<String> {
        let normalisation = &architecture.normalisation;
        if let Some((.., found)) = self.normalised.iter().find(|(other, seen, _)| other == normalisation && *seen == view) {
            return Ok(found.clone());
        }
        let pixels = self.seen(graph, name, architecture.input, index, view);
        let [mean, scale] = self.constants(graph, name, normalisation)?;
        let place = format!("{}/normalisation", prefix(name, index));
        let centred = graph.node("Sub", &format!("{place}.centred"), &[&pixels, &mean], vec![]);
        let output = graph.node("Mul", &place, &[&centred, &scale], vec![]);
        self.normalised.push((normalisation.clone(), view, output.clone()));
        Ok(output)
    }

    fn constants(&mut self, graph: &mut Graph, name: &str, normalisation: &Normalisation) -> Result<[String; 2]> {
        if let Some((_, found)) = self.constants.iter().find(|(other, _)| other == normalisation) {
            return Ok(found.clone());
        }
        let shape = [1, normalisation.mean.len(), 1, 1];
        let pixels = |values: &[f32]| values.iter().map(|&value| 255.0 * f64::from(value)).collect::<Vec<f64>>();
        let scale: Vec<f64> = pixels(&normalisation.deviation).iter().map(|deviation| 1.0 / deviation).collect();
        let mean = graph.constant(&format!("{name}/normalisation.mean"), &shape, &pixels(&normalisation.mean))?;
        let scale = graph.constant(&format!("{name}/normalisation.scale"), &shape, &scale)?;
        self.constants.push((normalisation.clone(), [mean.clone(), scale.clone()]));
        Ok([mean, scale])
    }

    /// The pixels of a view: cut out of the image, or of the image with a black frame around it, in columns from right to left
    /// where it is mirrored.
    fn seen(&mut self, graph: &mut Graph, name: &str, shape: ImageShape, index: usize, view: View) -> String {
        if view == View::PLAIN {
            return IMAGE.to_owned();
        }
        if let Some((_, found)) = self.seen.iter().find(|(other, _)| *other == view) {
            return found.clone();
        }
        let frame = view.down.unsigned_abs().max(view.right.unsigned_abs());
        let source = self.padded(graph, name, frame);
        let (height, width, frame) = (shape.height as i64, shape.width as i64, frame as i64);
        let (down, right) = (view.down as i64, view.right as i64);
        let first_row = frame - down;
        let (first_column, step) = if view.mirrored { (frame + right + width - 1, -1) } else { (frame - right, 1) };
        let end = first_column + step * width;
        // Backwards past column 0, where −1 would be the last column: ONNX counts a negative end from the right edge.
        let end = if end < 0 { -(width + 2 * frame) - 1 } else { end };
        let place = prefix(name, index);
        let starts = graph.indices(&format!("{place}.starts"), &[first_row, first_column]);
        let ends = graph.indices(&format!("{place}.ends"), &[first_row + height, end]);
        let axes = graph.indices(&format!("{place}.axes"), &[2, 3]);
        let steps = graph.indices(&format!("{place}.steps"), &[1, step]);
        let output = graph.node("Slice", &place, &[&source, &starts, &ends, &axes, &steps], vec![]);
        self.seen.push((view, output.clone()));
        output
    }

    /// The image with `frame` black pixels on every side.
    fn padded(&mut self, graph: &mut Graph, name: &str, frame: usize) -> String {
        if frame == 0 {
            return IMAGE.to_owned();
        }
        if let Some((_, found)) = self.padded.iter().find(|(other, _)| *other == frame) {
            return found.clone();
        }
        let place = format!("{name}/views.framed");
        let side = frame as i64;
        let pads = graph.indices(&format!("{place}.pads"), &[0, 0, side, side, 0, 0, side, side]);
        let output = graph.node("Pad", &place, &[IMAGE, &pads], vec![]);
        self.padded.push((frame, output.clone()));
        output
    }
}

/// What names of nodes begin with that belong to view `index` of the network `name`.
pub(super) fn prefix(name: &str, index: usize) -> String {
    if index == 0 { name.to_owned() } else { format!("{name}/view.{index}") }
}
