//! Charts: small pure functions from plain numbers to SVG.
//!
//! Colours come from the page's style sheet by class (`c0` … `c7`), so that a chart follows the reader's light or dark
//! theme. Every series also differs by its marker or its place, every chart has a title and a description for screen
//! readers, and every mark has its exact value as a hover text. Coordinates are always finite.

pub(crate) mod axis;
pub(crate) mod bar;
pub(crate) mod flow;
pub(crate) mod heatmap;
pub(crate) mod interval;
pub(crate) mod line;
pub(crate) mod reliability;

use maud::{Markup, html};

use axis::Scale;

/// Colours in the palette; further series start again from the first.
const COLOURS: usize = 8;

/// The class that gives a series its colour.
fn colour(slot: usize) -> String {
    format!("c{}", slot % COLOURS)
}

/// A coordinate with a tenth of a pixel, without a needless `.0`.
fn px(value: f64) -> String {
    debug_assert!(value.is_finite(), "coordinates are finite");
    let tenths = (value * 10.0).round() as i64;
    if tenths % 10 == 0 { (tenths / 10).to_string() } else { format!("{:.1}", tenths as f64 / 10.0) }
}

/// Width that a text takes at the charts' font size, in pixels. An estimate: fonts differ.
fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.1
}

/// The rectangle of a chart in which values are drawn.
#[derive(Clone, Copy)]
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Frame {
    /// The horizontal place of a share of the width.
    fn x(&self, share: f64) -> f64 {
        self.left + share * self.width
    }

    /// The vertical place of a share of the height, counted from below.
    fn y(&self, share: f64) -> f64 {
        self.top + (1.0 - share) * self.height
    }

    fn right(&self) -> f64 {
        self.left + self.width
    }

    fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Grid lines and labels of a horizontal axis below the frame.
    fn x_axis(&self, scale: &Scale, label: &str, grid: bool) -> Markup {
        html! {
            @for tick in &scale.ticks {
                @let x = px(self.x(tick.at));
                @if grid { line class="grid" x1=(x) x2=(x) y1=(px(self.top)) y2=(px(self.bottom())) {} }
                text class="tick" x=(x) y=(px(self.bottom() + 16.0)) text-anchor="middle" { (tick.label) }
            }
            line class="axis" x1=(px(self.left)) x2=(px(self.right())) y1=(px(self.bottom())) y2=(px(self.bottom())) {}
            text class="label" x=(px(self.x(0.5))) y=(px(self.bottom() + 34.0)) text-anchor="middle" { (label) }
        }
    }

    /// Grid lines and labels of a vertical axis left of the frame.
    fn y_axis(&self, scale: &Scale) -> Markup {
        html! {
            @for tick in &scale.ticks {
                @let y = self.y(tick.at);
                line class="grid" x1=(px(self.left)) x2=(px(self.right())) y1=(px(y)) y2=(px(y)) {}
                text class="tick" x=(px(self.left - 8.0)) y=(px(y + 4.0)) text-anchor="end" { (tick.label) }
            }
        }
    }
}

/// The SVG element of a chart: scalable, named and described.
fn svg(title: &str, description: &str, width: f64, height: f64, body: &Markup) -> Markup {
    html! {
        svg.chart viewBox={ "0 0 " (px(width)) " " (px(height)) } style={ "max-width:" (px(width * 1.25)) "px" }
            role="img" aria-label={ (title) ". " (description) } {
            desc { (title) ". " (description) }
            (body)
        }
    }
}

/// A chart with its caption, and a legend where there is something to tell apart.
fn figure(title: &str, legend: &Markup, svg: &Markup) -> Markup {
    html! {
        figure.chart {
            figcaption { (title) }
            (legend)
            (svg)
        }
    }
}

/// A series' marker at a place: the shape changes with the slot, so that colour is not needed to tell series apart.
fn marker(slot: usize, x: f64, y: f64, size: f64) -> Markup {
    let side = size * 0.9;
    html! {
        @match slot % 4 {
            0 => { circle.mark cx=(px(x)) cy=(px(y)) r=(px(size)) {} }
            1 => { rect.mark x=(px(x - side)) y=(px(y - side)) width=(px(2.0 * side)) height=(px(2.0 * side)) {} }
            2 => { path.mark d={ "M" (px(x)) " " (px(y - size * 1.2)) "l" (px(size * 1.2)) " " (px(size * 2.1)) "h" (px(-size * 2.4)) "z" } {} }
            _ => { path.mark d={ "M" (px(x)) " " (px(y - size * 1.3)) "l" (px(size * 1.3)) " " (px(size * 1.3)) "l" (px(-size * 1.3)) " " (px(size * 1.3)) "l" (px(-size * 1.3)) " " (px(-size * 1.3)) "z" } {} }
        }
    }
}

/// A legend of swatches and names.
fn legend(entries: &[(Markup, &str)]) -> Markup {
    html! {
        ul.legend {
            @for (swatch, name) in entries {
                li { svg.swatch viewBox="0 0 28 12" width="28" height="12" aria-hidden="true" { (swatch) } (name) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short() {
        for (value, expected) in [(0.0, "0"), (12.04, "12"), (12.06, "12.1"), (-0.04, "0"), (-3.25, "-3.3")] {
            assert_eq!(px(value), expected);
        }
    }

    #[test]
    fn neighbouring_series_differ_by_more_than_colour() {
        let shapes: Vec<String> = (0..4).map(|slot| marker(slot, 0.0, 0.0, 3.0).into_string()).collect();
        for (index, shape) in shapes.iter().enumerate() {
            assert!(!shapes[..index].contains(shape), "{shape}");
        }
    }
}
