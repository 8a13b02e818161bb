//! What ends a graph: softmax, the temperature of a vote, the label.

use super::{Builder, NotCovered, Value, VectorStep, integer};
use crate::kernels::Number;

impl<N: Number> Builder<'_, N> {
    pub(super) fn softmax(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let (from, length) = self.vector_input(node, &node.input[0])?;
        if !matches!(integer(node, "axis", -1), 1 | -1) {
            return Err(NotCovered::new(node, "it does not run over the classes"));
        }
        let (to, value) = self.plain(length);
        self.vectors.push(VectorStep::Softmax { from, to });
        self.give(&[index], value);
        Ok(())
    }

    /// softmax(ln(max(x, least)) · power).
    pub(super) fn temperature(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        let not = || NotCovered::new(node, "a maximum that is no part of a temperature");
        let number = |index: usize| match self.graph.beside_constant(self.at(index)) {
            Some((input, (_, values))) if values.len() == 1 => Some((input, values[0])),
            _ => None,
        };
        let (input, least) = number(index).filter(|(_, least)| *least > 0.0).ok_or_else(not)?;
        let logarithm = self.graph.follower(index, &["Log"]).ok_or_else(not)?;
        let scaled = self.graph.follower(logarithm, &["Mul"]).ok_or_else(not)?;
        let (_, power) = number(scaled).ok_or_else(not)?;
        let softmax = self.graph.follower(scaled, &["Softmax"]).ok_or_else(not)?;
        if !matches!(integer(self.at(softmax), "axis", -1), 1 | -1) {
            return Err(not());
        }
        let (from, length) = self.vector_input(node, input)?;
        let (to, value) = self.plain(length);
        self.vectors.push(VectorStep::Temperature { least, power, from, to });
        self.give(&[index, logarithm, scaled, softmax], value);
        Ok(())
    }

    /// The position of the first of the largest.
    pub(super) fn label(&mut self, index: usize) -> Result<(), NotCovered> {
        let node = self.at(index);
        if integer(node, "select_last_index", 0) != 0 || integer(node, "axis", 0) != 1 || integer(node, "keepdims", 1) != 0 {
            return Err(NotCovered::new(node, "it gives not the first of the largest of each row"));
        }
        let (buffer, length) = self.vector_input(node, &node.input[0])?;
        self.give(&[index], Value::Label { buffer, length });
        Ok(())
    }
}
