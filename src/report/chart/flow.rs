//! A drawing of stages and what they read, from top to bottom.
//!
//! Layers by longest path, order within a layer by barycentres, long edges through empty places of the layers between
//! (after Sugiyama and others, "Methods for visual understanding of hierarchical system structures", 1981).

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::super::data::StageRecord;
use super::super::format;
use super::{figure, px, svg, text_width};

const ROW: f64 = 62.0;
const BOX_HEIGHT: f64 = 34.0;
const GAP: f64 = 18.0;

/// A place in a layer: of a stage, or of an edge that passes through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Stage(usize),
    Passage,
}

/// Draws the stages, which stand in the order in which they ran; an input that is no earlier stage is left out.
pub(crate) fn flow_chart(title: &str, stages: &[StageRecord]) -> Markup {
    if stages.is_empty() {
        return html! {};
    }
    let layout = layout(stages);
    let Layout { layers, edges } = &layout;
    let widths: Vec<Vec<f64>> =
        layers.iter().map(|layer| layer.iter().map(|place| place_width(*place, stages)).collect()).collect();
    let middles = middles(&layout, &widths);
    let ends = |layer: usize, place: usize| middles[layer][place] + widths[layer][place] / 2.0;
    let right = (0..layers.len()).flat_map(|layer| (0..layers[layer].len()).map(move |place| (layer, place)));
    let width = right.map(|(layer, place)| ends(layer, place)).fold(0.0, f64::max) + 4.0;
    let height = layers.len() as f64 * ROW - (ROW - BOX_HEIGHT) + 8.0;
    let top = |layer: usize| 4.0 + layer as f64 * ROW;
    let body = html! {
        @for edge in edges {
            @let (from, to) = (middles[edge.layer][edge.from], middles[edge.layer + 1][edge.to]);
            @let (start, end) = (top(edge.layer) + BOX_HEIGHT, top(edge.layer + 1));
            @let half = px((start + end) / 2.0);
            path.edge d={
                "M" (px(from)) " " (px(start)) "C" (px(from)) " " (half) " " (px(to)) " " (half) " " (px(to)) " " (px(end))
                @if layers[edge.layer + 1][edge.to] == Place::Passage { "v" (px(BOX_HEIGHT)) }
            } {}
        }
        @for (layer, places) in layers.iter().enumerate() {
            @for (place, (middle, width)) in places.iter().zip(middles[layer].iter().zip(&widths[layer])) {
                @if let Place::Stage(index) = place {
                    g {
                        title { (stages[*index].kind) " " (stages[*index].name) }
                        rect.stage x=(px(middle - width / 2.0)) y=(px(top(layer))) width=(px(*width)) height=(px(BOX_HEIGHT)) rx="5" {}
                        text.name x=(px(*middle)) y=(px(top(layer) + 15.0)) text-anchor="middle" { (label(&stages[*index].name)) }
                        text.tick x=(px(*middle)) y=(px(top(layer) + 28.0)) text-anchor="middle" { (label(&stages[*index].kind)) }
                    }
                }
            }
        }
    };
    let reads = |stage: &StageRecord| match stage.inputs.as_slice() {
        [] => format!("{} reads no other stage", stage.name),
        inputs => format!("{} reads {}", stage.name, inputs.join(", ")),
    };
    let description = stages.iter().map(reads).collect::<Vec<_>>().join("; ");
    figure(title, &html! {}, &svg(title, &description, width, height, &body))
}

/// An edge between neighbouring layers.
struct Edge {
    layer: usize,
    from: usize,
    to: usize,
}

/// The places of each layer and the edges between them, by their positions in the layers.
struct Layout {
    layers: Vec<Vec<Place>>,
    edges: Vec<Edge>,
}

fn layout(stages: &[StageRecord]) -> Layout {
    let index: BTreeMap<&str, usize> = stages.iter().enumerate().map(|(index, stage)| (stage.name.as_str(), index)).collect();
    let earlier = |stage: usize| {
        let inputs = stages[stage].inputs.iter().filter_map(|input| index.get(input.as_str()).copied());
        inputs.filter(move |input| *input < stage).collect::<Vec<usize>>()
    };
    let mut depth = vec![0; stages.len()];
    for stage in 0..stages.len() {
        depth[stage] = earlier(stage).into_iter().map(|input| depth[input] + 1).max().unwrap_or(0);
    }
    let count = depth.iter().max().map_or(0, |depth| depth + 1);
    let mut layers: Vec<Vec<Place>> = vec![Vec::new(); count];
    let mut position = vec![0; stages.len()];
    for stage in 0..stages.len() {
        position[stage] = layers[depth[stage]].len();
        layers[depth[stage]].push(Place::Stage(stage));
    }
    let mut edges = Vec::new();
    for stage in 0..stages.len() {
        for input in earlier(stage) {
            let mut from = position[input];
            for layer in depth[input]..depth[stage] {
                let to = if layer + 1 == depth[stage] {
                    position[stage]
                } else {
                    layers[layer + 1].push(Place::Passage);
                    layers[layer + 1].len() - 1
                };
                edges.push(Edge { layer, from, to });
                from = to;
            }
        }
    }
    let mut layout = Layout { layers, edges };
    for _ in 0..8 {
        for layer in 1..count {
            layout.sort(layer, layer - 1);
        }
        for layer in (0..count.saturating_sub(1)).rev() {
            layout.sort(layer, layer + 1);
        }
    }
    layout
}

impl Layout {
    /// Orders a layer by the mean place of each one's neighbours in the layer `by`; ties keep their order.
    fn sort(&mut self, layer: usize, by: usize) {
        let count = self.layers[layer].len();
        let middle = |position: usize, of: usize| (position as f64 + 0.5) / of as f64;
        let mut sums = vec![(0.0, 0.0); count];
        for edge in &self.edges {
            let (own, other) = if edge.layer == layer && by == layer + 1 {
                (edge.from, edge.to)
            } else if edge.layer == by && layer == by + 1 {
                (edge.to, edge.from)
            } else {
                continue;
            };
            sums[own].0 += middle(other, self.layers[by].len());
            sums[own].1 += 1.0;
        }
        let key =
            |position: usize| if sums[position].1 > 0.0 { sums[position].0 / sums[position].1 } else { middle(position, count) };
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|a, b| key(*a).total_cmp(&key(*b)));
        let mut new = vec![0; count];
        for (to, from) in order.iter().enumerate() {
            new[*from] = to;
        }
        self.layers[layer] = order.iter().map(|from| self.layers[layer][*from]).collect();
        for edge in &mut self.edges {
            if edge.layer == layer {
                edge.from = new[edge.from];
            } else if edge.layer + 1 == layer {
                edge.to = new[edge.to];
            }
        }
    }
}

/// The middle of every place, left to right: near the mean of its neighbours above and below, never overlapping.
fn middles(layout: &Layout, widths: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut middles: Vec<Vec<f64>> = widths.iter().map(|widths| apart(&vec![(0.0, 1.0); widths.len()], widths)).collect();
    for _ in 0..40 {
        for layer in 0..middles.len() {
            let mut sums = vec![(0.0, 0.0); middles[layer].len()];
            for edge in &layout.edges {
                let ends = [(edge.layer, edge.from), (edge.layer + 1, edge.to)];
                let of = |(layer, place): (usize, usize)| layout.layers[layer][place] == Place::Passage;
                // What passes several layers should pass them straight.
                let weight = if ends.into_iter().all(of) { 8.0 } else { 1.0 };
                for (own, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                    if own.0 == layer {
                        sums[own.1].0 += weight * middles[other.0][other.1];
                        sums[own.1].1 += weight;
                    }
                }
            }
            let wanted = |(place, (sum, weight)): (usize, (f64, f64))| {
                if weight > 0.0 { (sum / weight, weight) } else { (middles[layer][place], 1.0) }
            };
            let wanted: Vec<(f64, f64)> = sums.into_iter().enumerate().map(wanted).collect();
            middles[layer] = apart(&wanted, &widths[layer]);
        }
    }
    let edges = middles.iter().flatten().zip(widths.iter().flatten()).map(|(middle, width)| middle - width / 2.0);
    let left = edges.fold(f64::INFINITY, f64::min);
    middles.iter_mut().flatten().for_each(|middle| *middle += 4.0 - left);
    middles
}

/// The places nearest to the wanted ones, by weighted squares, that keep their order and do not overlap: isotonic
/// regression by pooling adjacent violators.
fn apart(wanted: &[(f64, f64)], widths: &[f64]) -> Vec<f64> {
    let mut offsets = Vec::with_capacity(widths.len());
    let mut right = 0.0;
    for width in widths {
        offsets.push(right + width / 2.0);
        right += width + GAP;
    }
    let mut pools: Vec<(f64, f64, usize)> = Vec::new(); // mean, weight, members
    for ((middle, weight), offset) in wanted.iter().zip(&offsets) {
        let mut pool = (middle - offset, *weight, 1);
        while let Some(last) = pools.pop_if(|last| last.0 >= pool.0) {
            let weight = last.1 + pool.1;
            pool = ((last.0 * last.1 + pool.0 * pool.1) / weight, weight, last.2 + pool.2);
        }
        pools.push(pool);
    }
    let means = pools.into_iter().flat_map(|(mean, _, members)| std::iter::repeat_n(mean, members));
    means.zip(offsets).map(|(mean, offset)| mean + offset).collect()
}

fn label(text: &str) -> String {
    format::shortened(text, 22)
}

fn place_width(place: Place, stages: &[StageRecord]) -> f64 {
    match place {
        Place::Passage => 6.0,
        Place::Stage(index) => {
            let stage = &stages[index];
            text_width(&label(&stage.name)).max(text_width(&label(&stage.kind))) + 26.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::soundness::assert_sound;

    fn stages(text: &str) -> Vec<StageRecord> {
        let stage = |line: &str| {
            let (name, inputs) = line.trim().split_once(':').unwrap();
            let inputs = inputs.split_whitespace().map(str::to_owned).collect();
            StageRecord { name: name.to_owned(), kind: "kind".to_owned(), inputs, key: String::new(), output: String::new() }
        };
        text.split(',').map(stage).collect()
    }

    /// The layers as text; `|` stands for a passing edge.
    fn layers(text: &str) -> Vec<String> {
        let stages = stages(text);
        let name = |place: &Place| match place {
            Place::Stage(index) => stages[*index].name.clone(),
            Place::Passage => "|".to_owned(),
        };
        layout(&stages).layers.iter().map(|layer| layer.iter().map(name).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn stages_stand_below_what_they_read() {
        assert_eq!(layers("a:, b: a, c: a, d: b c"), ["a", "b c", "d"]);
        assert_eq!(layers("a:, b: a, c: a b"), ["a", "b |", "c"]);
    }

    #[test]
    fn crossing_edges_are_untangled() {
        assert_eq!(layers("a:, b:, c: b, d: a"), ["a b", "d c"]);
    }

    #[test]
    fn places_do_not_overlap_and_stay_as_near_as_they_can() {
        let check = |wanted: &[f64], widths: &[f64], expected: &[f64]| {
            let wanted: Vec<(f64, f64)> = wanted.iter().map(|wanted| (*wanted, 1.0)).collect();
            assert_eq!(apart(&wanted, widths), expected, "{wanted:?}");
        };
        check(&[0.0, 100.0], &[10.0, 10.0], &[0.0, 100.0]);
        check(&[50.0, 50.0], &[10.0, 10.0], &[50.0 - (10.0 + GAP) / 2.0, 50.0 + (10.0 + GAP) / 2.0]);
        check(&[7.0], &[3.0], &[7.0]);
        check(&[], &[], &[]);
    }

    #[test]
    fn an_edge_through_several_layers_runs_straight() {
        let stages = stages("a:, b: a, c: b, d: c, e: d a");
        let layout = layout(&stages);
        let widths: Vec<Vec<f64>> =
            layout.layers.iter().map(|layer| layer.iter().map(|place| place_width(*place, &stages)).collect()).collect();
        let middles = middles(&layout, &widths);
        let passages =
            layout.layers.iter().zip(&middles).filter_map(|(layer, middles)| {
                layer.iter().position(|place| *place == Place::Passage).map(|place| middles[place])
            });
        let passages: Vec<f64> = passages.collect();
        assert_eq!(passages.len(), 3);
        assert!(passages.iter().all(|middle| (middle - passages[0]).abs() < 1.0), "{passages:?}");
    }

    #[test]
    fn unknown_inputs_and_circles_are_left_out() {
        assert_eq!(layers("a: b nowhere, b: a a"), ["a", "b"]);
        assert_sound(&flow_chart("Stages", &stages("a: a nowhere")).into_string());
        assert_eq!(flow_chart("Stages", &[]).into_string(), "");
    }

    #[test]
    fn every_edge_joins_places_that_exist() {
        let layout = layout(&stages("a:, b: a, c: b, d: c a, e: a b c d, f: e a"));
        for edge in &layout.edges {
            assert!(edge.from < layout.layers[edge.layer].len() && edge.to < layout.layers[edge.layer + 1].len());
        }
        assert_eq!(layout.edges.len(), 22, "one for each layer that an input is above its reader");
    }
}
