//! What is made of the image before the first layer: a view of it, and the normalisation.

use super::{Builder, Map, MapStep, NotCovered, Value, unknown_attribute, widened};
use crate::data::View;
use crate::kernels::Number;

impl<N: Number> Builder<'_, N> {
    /// Black pixels on all sides of the image.
    pub(super) fn pad(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let not = |what: &str| NotCovered::new(node, what);
        let [image, pads] = node.input.as_slice() else { return Err(not("what it pads with is not 0")) };
        if unknown_attribute(node, &[]).is_some() || !matches!(self.input(node, image)?, Value::Image(View::PLAIN)) {
            return Err(not("it does more than to put 0 around the image"));
        }
        match self.graph.indices(pads).as_deref() {
            Some(&[0, 0, frame, a, 0, 0, b, c]) if frame >= 0 && [a, b, c] == [frame; 3] => {
                let frame = usize::try_from(frame).map_err(|_| not("its frame is too wide"))?;
                self.give(&[index], Value::Framed(frame));
                Ok(())
            }
            _ => Err(not("it does not put as much on every side of the image")),
        }
    }

    /// A view: as much as an image, cut out of the image or its frame, columns perhaps from right to left.
    pub(super) fn slice(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let not = |what: &str| NotCovered::new(node, what);
        let [source, starts, ends, axes, steps] = node.input.as_slice() else {
            return Err(not("it has not starts, ends, axes and steps"));
        };
        let frame = match self.input(node, source)? {
            Value::Image(View::PLAIN) => 0,
            Value::Framed(frame) => frame as i64,
            _ => return Err(not("it is not given the image")),
        };
        let list = |name: &str| self.graph.indices(name);
        let (Some(starts), Some(ends), Some(axes), Some(steps)) = (list(starts), list(ends), list(axes), list(steps)) else {
            return Err(not("its places are no constants"));
        };
        let (&[row, column], &[row_end, column_end], &[2, 3], &[1, step @ (1 | -1)]) =
            (starts.as_slice(), ends.as_slice(), axes.as_slice(), steps.as_slice())
        else {
            return Err(not("it does not take rows and columns side by side"));
        };
        let [_, height, width] = self.image.map(|size| size as i64);
        let (framed_height, framed_width) = (height + 2 * frame, width + 2 * frame);
        // The end of a way to the left, before column 0, is counted from the right edge.
        let column_end = if step < 0 && column_end < 0 { column_end + framed_width } else { column_end };
        let is_inside = row >= 0 && row_end <= framed_height && (0..framed_width).contains(&column) && column_end <= framed_width;
        if !is_inside || column_end < -1 || (row_end, column_end) != (row + height, column + step * width) {
            return Err(not("it does not cut out as much as an image"));
        }
        let right = if step < 0 { column - frame - width + 1 } else { frame - column };
        let view = View { mirrored: step < 0, down: (frame - row) as isize, right: right as isize };
        self.give(&[index], Value::Image(view));
        Ok(())
    }

    /// (pixel − mean) · scale.
    pub(super) fn normalisation(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let not = |what: &str| NotCovered::new(node, what);
        let (name, mean) = self.graph.beside_constant(node).ok_or_else(|| not("it subtracts no constant"))?;
        let next = self.graph.follower(index, &["Mul"]).ok_or_else(|| not("no multiplication follows it alone"))?;
        let (_, scale) = self.graph.beside_constant(self.at(next)).ok_or_else(|| not("what follows has no constant"))?;
        let Value::Image(view) = self.input(node, name)? else {
            return Err(not("it is not given the image"));
        };
        let [channels, height, width] = self.image;
        let (Some(mean), Some(scale)) = (widened(mean, channels, 2), widened(scale, channels, 2)) else {
            return Err(not("its constants are not those of the channels"));
        };
        let mut map = Map { is_image: true, ..self.map(height, width, channels) };
        self.pixels(self.at(next), view, [&mean, &scale], &mut map);
        if map.has_numbers {
            let shift = mean.iter().zip(&scale).map(|(mean, scale)| -mean * scale).collect();
            self.maps.push(MapStep::Image { view, scale, shift, to: map.id });
        }
        self.give(&[index, next], Value::Map(map));
        Ok(())
    }
}
