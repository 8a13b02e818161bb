//! Lines, steps and points over two axes.

use maud::{Markup, html};

use super::super::limits;
use super::axis::{Scale, Unit};
use super::{Frame, colour, figure, legend, marker, px, svg, text_width};

/// A chart of one or more series.
pub(crate) struct LineChart<'a> {
    /// Its caption.
    pub(crate) title: &'a str,
    /// The horizontal axis.
    pub(crate) x: Axis<'a>,
    /// The vertical axis.
    pub(crate) y: Axis<'a>,
    /// What is drawn.
    pub(crate) series: Vec<Series<'a>>,
    /// A vertical line at a value of x, with its text.
    pub(crate) rule: Option<(f64, String)>,
    /// Its size.
    pub(crate) size: Size,
    /// Whether it shows a legend if it has several series; charts side by side may share [`line_legend`].
    pub(crate) has_legend: bool,
}

/// The size of a chart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// For two charts in a row.
    Normal,
    /// For three.
    Small,
}

/// An axis: its text and how values become places.
pub(crate) struct Axis<'a> {
    /// What it shows, with its unit.
    pub(crate) label: &'a str,
    /// How its numbers are written.
    pub(crate) unit: Unit,
    /// The kind of scale.
    pub(crate) kind: AxisKind,
    /// Values that it covers beside those of the series, so that charts side by side can be compared.
    pub(crate) covers: Vec<f64>,
}

/// The kind of scale of an axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AxisKind {
    /// Equal steps, widened to round numbers at both ends.
    Linear,
    /// Equal steps from the least to the greatest value.
    Tight,
    /// Equal steps, ticks at whole numbers only.
    Whole,
    /// Equal factors; values that are not above 0 are left out.
    Log,
}

/// Points that belong together.
pub(crate) struct Series<'a> {
    /// Its name in the legend.
    pub(crate) name: &'a str,
    /// Its colour and marker.
    pub(crate) slot: usize,
    /// How it is drawn.
    pub(crate) style: Style,
    /// The points, in order of x; those that are not finite are left out.
    pub(crate) points: Vec<(f64, f64)>,
}

/// How a series is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A line with markers.
    Solid,
    /// A dashed line with markers.
    Dashed,
    /// A thin line of steps without markers.
    Steps,
    /// Filled markers without a line.
    Points,
    /// Crosses without a line.
    Crosses,
}

/// Draws the chart; without any finite point, nothing.
pub(crate) fn line_chart(chart: &LineChart<'_>) -> Markup {
    let series: Vec<(&Series<'_>, Vec<(f64, f64)>)> = chart
        .series
        .iter()
        .map(|series| {
            let points: Vec<(f64, f64)> = series.points.iter().copied().filter(|point| chart.accepts(point)).collect();
            let most = if series.style.has_line() { limits::LINE_POINTS } else { limits::LOOSE_POINTS };
            (series, limits::spread(points.len(), most).map(|index| points[index]).collect())
        })
        .collect();
    let drawn = || series.iter().filter(|(_, points)| !points.is_empty());
    if drawn().next().is_none() {
        return html! {};
    }
    let all = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let (width, height, ticks) = match chart.size {
        Size::Normal => (460.0, 280.0, 7),
        Size::Small => (320.0, 220.0, 6),
    };
    let x = chart.x.scale(all().map(|point| point.0), ticks);
    let y = chart.y.scale(all().map(|point| point.1), 4);
    let left = 16.0 + y.ticks.iter().map(|tick| text_width(&tick.label)).fold(0.0, f64::max);
    let top = if chart.rule.is_some() { 20.0 } else { 8.0 };
    let frame = Frame { left, top, width: width - left - 16.0, height: height - top - 42.0 };
    let place = |point: &(f64, f64)| (frame.x(x.at(point.0)), frame.y(y.at(point.1)));

    let body = html! {
        (frame.y_axis(&y))
        (frame.x_axis(&x, chart.x.label, false))
        @if let Some((at, text)) = &chart.rule {
            @let at = frame.x(x.at(*at));
            @let anchor = if at > frame.x(0.5) { "end" } else { "start" };
            @let offset = if at > frame.x(0.5) { 5.0 } else { -5.0 };
            line.rule x1=(px(at)) x2=(px(at)) y1=(px(frame.top - 12.0)) y2=(px(frame.bottom())) {}
            text.note x=(px(at - offset)) y=(px(frame.top - 5.0)) text-anchor=(anchor) { (text) }
        }
        @for (series, points) in drawn() {
            g class=(colour(series.slot)) {
                @if points.len() > 1 && series.style.has_line() {
                    path class=(series.style.class()) d=(path(series.style, points.iter().map(place))) {}
                }
                @let hovered = if series.style.has_line() { limits::HOVER_POINTS } else { points.len() };
                @for point in limits::spread(points.len(), hovered).map(|index| &points[index]) {
                    @let (left, top) = place(point);
                    @let text = format!("{}: {} {}, {}", series.name, chart.x.label, chart.x.unit.text(point.0), chart.y.unit.text(point.1));
                    g.point { title { (text) } (series.style.point(series.slot, left, top, points.len())) }
                }
            }
        }
    };
    let description: Vec<String> = drawn().map(|(series, points)| describe(chart, series, points)).collect();
    let has_legend = chart.has_legend && drawn().count() > 1;
    let legend = if has_legend {
        line_legend(drawn().map(|(series, _)| *series))
    } else {
        html! {}
    };
    figure(chart.title, &legend, &svg(chart.title, &description.join("; "), width, height, &body))
}

/// The legend of some series, for several charts that share it.
pub(crate) fn line_legend<'a>(series: impl IntoIterator<Item = &'a Series<'a>>) -> Markup {
    let names: Vec<(Markup, &str)> = series.into_iter().map(|series| (series.swatch(), series.name)).collect();
    legend(&names)
}

/// The first and last value of a series in words.
fn describe(chart: &LineChart<'_>, series: &Series<'_>, points: &[(f64, f64)]) -> String {
    let text = |point: Option<&(f64, f64)>| point.map_or(String::new(), |point| chart.y.unit.text(point.1));
    let (first, last) = (text(points.first()), text(points.last()));
    match points.len() {
        1 => format!("{}: {first}", series.name),
        _ => {
            let count = series.points.iter().filter(|point| chart.accepts(point)).count();
            format!("{}: {count} points from {first} to {last}", series.name)
        }
    }
}

fn path(style: Style, places: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (index, (x, y)) in places.enumerate() {
        let (x, y) = (px(x), px(y));
        path += &match (index, style) {
            (0, _) => format!("M{x} {y}"),
            (_, Style::Steps) => format!("H{x}V{y}"),
            _ => format!("L{x} {y}"),
        };
    }
    path
}

impl LineChart<'_> {
    /// Whether a point has a place.
    fn accepts(&self, point: &(f64, f64)) -> bool {
        self.x.accepts(point.0) && self.y.accepts(point.1)
    }
}

impl Axis<'_> {
    fn accepts(&self, value: f64) -> bool {
        value.is_finite() && value.abs() < 1e100 && (self.kind != AxisKind::Log || value > 0.0)
    }

    fn scale(&self, values: impl Iterator<Item = f64>, count: usize) -> Scale {
        let values = values.chain(self.covers.iter().copied());
        match self.kind {
            AxisKind::Linear => Scale::linear(values, count, self.unit),
            AxisKind::Tight => Scale::tight(values, count, self.unit),
            AxisKind::Whole => Scale::whole(values, count),
            AxisKind::Log => Scale::log(values),
        }
    }
}

impl Style {
    fn has_line(self) -> bool {
        matches!(self, Self::Solid | Self::Dashed | Self::Steps)
    }

    fn class(self) -> &'static str {
        match self {
            Self::Dashed => "line dashed",
            Self::Steps => "line thin",
            _ => "line",
        }
    }

    /// What is drawn at one of `count` points: visible markers where there is room, else only an area to point at.
    fn point(self, slot: usize, x: f64, y: f64, count: usize) -> Markup {
        html! {
            @match self {
                Self::Crosses => { (cross(x, y)) }
                Self::Points => { (marker(slot, x, y, 3.4)) }
                Self::Solid | Self::Dashed if count <= 40 => { (marker(slot, x, y, 2.4)) }
                _ => {}
            }
            circle.target cx=(px(x)) cy=(px(y)) r="7" {}
        }
    }
}

impl Series<'_> {
    fn swatch(&self) -> Markup {
        html! {
            g class=(colour(self.slot)) {
                @if self.style.has_line() { path class=(self.style.class()) d="M1 6H27" {} }
                @match self.style {
                    Style::Crosses => { (cross(14.0, 6.0)) }
                    Style::Steps => {}
                    _ => { (marker(self.slot, 14.0, 6.0, 3.0)) }
                }
            }
        }
    }
}

fn cross(x: f64, y: f64) -> Markup {
    html! { path.cross d={ "M" (px(x - 3.0)) " " (px(y - 3.0)) "l6 6m0-6l-6 6" } {} }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::soundness::assert_sound;

    fn chart(points: Vec<(f64, f64)>, kind: AxisKind) -> LineChart<'static> {
        LineChart {
            title: "Loss",
            x: Axis { label: "epoch", unit: Unit::Plain, kind: AxisKind::Whole, covers: vec![] },
            y: Axis { label: "loss", unit: Unit::Plain, kind, covers: vec![] },
            series: vec![Series { name: "train", slot: 0, style: Style::Solid, points }],
            rule: Some((1.0, "best".to_owned())),
            size: Size::Normal,
            has_legend: true,
        }
    }

    #[test]
    fn degenerate_series_give_finite_coordinates() {
        for points in [
            vec![(1.0, 0.5)],
            vec![(1.0, 0.5), (2.0, 0.5)],
            vec![(1.0, 0.0), (1.0, 0.0)],
            vec![(1.0, f64::NAN), (2.0, 0.3), (f64::INFINITY, 1.0)],
            vec![(1.0, 1e300), (2.0, -1e300), (3.0, 1.0)],
        ] {
            for kind in [AxisKind::Linear, AxisKind::Tight, AxisKind::Whole, AxisKind::Log] {
                assert_sound(&line_chart(&chart(points.clone(), kind)).into_string());
            }
        }
    }

    #[test]
    fn charts_that_cover_the_same_values_share_their_axis() {
        let ticks = |points, covers| {
            let mut chart = chart(points, AxisKind::Linear);
            chart.y.covers = covers;
            let markup = line_chart(&chart).into_string();
            markup
                .split("text-anchor=\"end\">")
                .skip(1)
                .map(|rest| rest[..rest.find('<').unwrap()].to_owned())
                .collect::<Vec<_>>()
        };
        let (low, high) = (vec![(1.0, 0.1), (2.0, 0.3)], vec![(1.0, 0.7), (2.0, 0.9)]);
        assert_ne!(ticks(low.clone(), vec![]), ticks(high.clone(), vec![]));
        assert_eq!(ticks(low, vec![0.1, 0.9]), ticks(high, vec![0.1, 0.9]));
    }

    #[test]
    fn nothing_finite_draws_nothing() {
        assert_eq!(line_chart(&chart(vec![(1.0, f64::NAN)], AxisKind::Linear)).into_string(), "");
        assert_eq!(line_chart(&chart(vec![(1.0, -1.0)], AxisKind::Log)).into_string(), "");
    }

    #[test]
    fn a_line_joins_its_points_and_steps_keep_the_last_value() {
        let places = [(0.0, 10.0), (5.0, 4.0), (9.5, 4.0)];
        assert_eq!(path(Style::Solid, places.into_iter()), "M0 10L5 4L9.5 4");
        assert_eq!(path(Style::Steps, places.into_iter()), "M0 10H5V4H9.5V4");
    }

    #[test]
    fn points_say_their_values_and_the_chart_describes_itself() {
        let markup = line_chart(&chart(vec![(1.0, 0.61234), (2.0, 0.25)], AxisKind::Linear)).into_string();
        assert!(markup.contains("<title>train: epoch 1, 0.6123</title>"), "{markup}");
        assert!(markup.contains("<desc>Loss. train: 2 points from 0.6123 to 0.25</desc>"), "{markup}");
        assert!(markup.contains(">best</text>"), "{markup}");
    }
}
