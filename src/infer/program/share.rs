//! Which buffers a program's steps read and write, and maps that are never needed at the same time in one buffer.

use super::MapStep;
use crate::kernels::Number;

/// Gives maps that are never needed at the same time the same buffer: puts buffers in place of maps, and returns their lengths.
/// `reads` and `writes` tell the maps of a step that are meant.
pub(super) fn share_buffers<N: Number>(
    steps: &mut [MapStep<N>],
    lengths: &[usize],
    reads: impl Fn(&mut MapStep<N>) -> [Option<&mut usize>; 2],
    writes: impl Fn(&mut MapStep<N>) -> Option<&mut usize>,
) -> Vec<usize> {
    let mut last_read = vec![0; lengths.len()];
    for (index, step) in steps.iter_mut().enumerate() {
        reads(step).into_iter().flatten().for_each(|id| last_read[*id] = index);
    }
    let mut buffers: Vec<usize> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut held = vec![usize::MAX; lengths.len()];
    for (index, step) in steps.iter_mut().enumerate() {
        let mut ended: Vec<usize> = Vec::new();
        for id in reads(step).into_iter().flatten() {
            if last_read[*id] == index && !ended.contains(&held[*id]) {
                ended.push(held[*id]);
            }
            *id = held[*id];
        }
        if let Some(id) = writes(step) {
            let length = lengths[*id];
            // The free buffer that is nearest in length, so that short maps do not lie in long buffers.
            let nearest = (0..free.len()).min_by_key(|&place| buffers[free[place]].abs_diff(length));
            let buffer = nearest.map_or_else(
                || {
                    buffers.push(0);
                    buffers.len() - 1
                },
                |place| free.swap_remove(place),
            );
            buffers[buffer] = buffers[buffer].max(length);
            held[*id] = buffer;
            *id = buffer;
        }
        free.extend(ended);
    }
    buffers
}

impl<N: Number> MapStep<N> {
    /// The maps of numbers that it reads.
    pub(super) fn reads(&mut self) -> [Option<&mut usize>; 2] {
        match self {
            Self::Image { .. }
            | Self::Pixels { .. }
            | Self::ConvBytes { .. }
            | Self::ConvNumbers { .. }
            | Self::FlattenBytes { .. } => [None, None],
            Self::Add { from: [a, b], .. } => [Some(a), Some(b)],
            Self::Conv { from, .. }
            | Self::ScaleShift { from, .. }
            | Self::Relu { from, .. }
            | Self::Gelu { from, .. }
            | Self::Pool { from, .. }
            | Self::GlobalPool { from, .. }
            | Self::Flatten { from, .. }
            | Self::FlattenByChannel { from, .. }
            | Self::Quantise { from, .. } => [Some(from), None],
        }
    }

    /// The map of numbers that it writes.
    pub(super) fn writes(&mut self) -> Option<&mut usize> {
        match self {
            Self::Image { to, .. }
            | Self::Conv { to, .. }
            | Self::ConvNumbers { to, .. }
            | Self::ScaleShift { to, .. }
            | Self::Relu { to, .. }
            | Self::Gelu { to, .. }
            | Self::Add { to, .. }
            | Self::Pool { to, .. } => Some(to),
            Self::GlobalPool { .. }
            | Self::Flatten { .. }
            | Self::FlattenByChannel { .. }
            | Self::Pixels { .. }
            | Self::Quantise { .. }
            | Self::ConvBytes { .. }
            | Self::FlattenBytes { .. } => None,
        }
    }

    /// The map of bytes that it reads.
    pub(super) fn reads_bytes(&mut self) -> [Option<&mut usize>; 2] {
        match self {
            Self::ConvBytes { from_bytes, .. } | Self::ConvNumbers { from_bytes, .. } | Self::FlattenBytes { from_bytes, .. } => {
                [Some(from_bytes), None]
            }
            _ => [None, None],
        }
    }

    /// The map of bytes that it writes.
    pub(super) fn writes_bytes(&mut self) -> Option<&mut usize> {
        match self {
            Self::Pixels { to_bytes, .. } | Self::Quantise { to_bytes, .. } | Self::ConvBytes { to_bytes, .. } => Some(to_bytes),
            _ => None,
        }
    }
}
