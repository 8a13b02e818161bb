//! Grouped horizontal bars: one group for each category, one bar for each series.

use maud::{Markup, html};

use super::super::format;
use super::axis::{Scale, Unit};
use super::{Frame, colour, figure, legend, px, svg, text_width};

/// A chart of grouped bars.
pub(crate) struct BarChart<'a> {
    /// Its caption.
    pub(crate) title: &'a str,
    /// What the bars' lengths show.
    pub(crate) label: &'a str,
    /// How values are written.
    pub(crate) unit: Unit,
    /// The name of each group.
    pub(crate) categories: Vec<String>,
    /// The bars of each group, in the same order everywhere.
    pub(crate) series: Vec<Bars<'a>>,
}

/// The bars of one series, one for each category.
pub(crate) struct Bars<'a> {
    /// Its name in the legend.
    pub(crate) name: &'a str,
    /// Its colour.
    pub(crate) slot: usize,
    /// The lengths; missing, negative and not finite ones are drawn as nothing.
    pub(crate) values: Vec<f64>,
}

/// Draws the chart; without categories or series, nothing.
pub(crate) fn bar_chart(chart: &BarChart<'_>) -> Markup {
    if chart.categories.is_empty() || chart.series.is_empty() {
        return html! {};
    }
    let thickness = if chart.series.len() == 1 { 14.0 } else { 7.0 };
    let group = chart.series.len() as f64 * thickness + 9.0;
    let labels: Vec<String> = chart.categories.iter().map(|name| format::shortened(name, 26)).collect();
    let left = 14.0 + labels.iter().map(|label| text_width(label)).fold(0.0, f64::max);
    let values = || chart.series.iter().flat_map(|series| series.values.iter().copied());
    let scale = Scale::linear(values().filter(|value| *value >= 0.0).chain([0.0]), 5, chart.unit);
    let width = 460.0;
    let frame = Frame { left, top: 4.0, width: width - left - 24.0, height: group * chart.categories.len() as f64 };
    let body = html! {
        (frame.x_axis(&scale, chart.label, true))
        @for (row, (category, label)) in chart.categories.iter().zip(&labels).enumerate() {
            @let top = frame.top + row as f64 * group;
            text.name x=(px(left - 8.0)) y=(px(top + group / 2.0 + 4.0)) text-anchor="end" { (label) }
            @for (index, series) in chart.series.iter().enumerate() {
                @let value = series.values.get(row).copied().unwrap_or(0.0);
                g class=(colour(series.slot)) {
                    title { (category) ", " (series.name) ": " (chart.unit.text(value)) }
                    rect.bar x=(px(left)) y=(px(top + 4.5 + index as f64 * thickness)) height=(px(thickness - 1.0))
                        width=(px(frame.x(scale.at(value)) - left)) {}
                }
            }
        }
    };
    let names: Vec<(Markup, &str)> = chart.series.iter().map(|series| (swatch(series.slot), series.name)).collect();
    let legend = if names.len() > 1 {
        legend(&names)
    } else {
        html! {}
    };
    let description = format!("Bars of {} for {} categories", chart.label, chart.categories.len());
    figure(chart.title, &legend, &svg(chart.title, &description, width, frame.bottom() + 42.0, &body))
}

fn swatch(slot: usize) -> Markup {
    html! { g class=(colour(slot)) { rect.bar x="4" y="2" width="20" height="8" {} } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::soundness::assert_sound;

    fn chart(values: Vec<f64>) -> Markup {
        bar_chart(&BarChart {
            title: "Images",
            label: "images",
            unit: Unit::Plain,
            categories: vec!["Bag".to_owned(), "T-shirt & \"top\" <1>".to_owned()],
            series: vec![Bars { name: "train", slot: 0, values }],
        })
    }

    #[test]
    fn degenerate_values_give_finite_bars() {
        for values in [vec![], vec![0.0, 0.0], vec![f64::NAN, f64::INFINITY], vec![-3.0, 2.0], vec![1e300, 1.0]] {
            let markup = chart(values).into_string();
            assert_sound(&markup);
            assert!(!markup.contains("width=\"-"), "{markup}");
        }
    }

    #[test]
    fn a_bar_is_as_long_as_its_share_of_the_axis() {
        let markup = chart(vec![50.0, 100.0]).into_string();
        let widths: Vec<f64> =
            markup.split(" width=\"").skip(1).map(|rest| rest[..rest.find('"').unwrap()].parse().unwrap()).collect();
        assert!((widths[1] / widths[0] - 2.0).abs() < 0.01, "{widths:?}");
        assert!(markup.contains("<title>T-shirt &amp; &quot;top&quot; &lt;1&gt;, train: 100</title>"), "{markup}");
    }
}
