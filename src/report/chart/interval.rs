//! Values with their intervals, one row each, on one common axis.

use maud::{Markup, html};

use super::super::data::Interval;
use super::super::format;
use super::axis::{Scale, Unit};
use super::{Frame, colour, figure, marker, px, svg, text_width};

/// One row of the chart.
pub(crate) struct Estimate<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its colour and marker.
    pub(crate) slot: usize,
    /// The value.
    pub(crate) value: f64,
    /// The interval around it.
    pub(crate) interval: Option<Interval>,
}

/// Draws the rows; those whose value is not finite are left out, and without any nothing is drawn.
pub(crate) fn interval_chart(title: &str, label: &str, rows: &[Estimate<'_>]) -> Markup {
    let rows: Vec<&Estimate<'_>> = rows.iter().filter(|row| row.value.is_finite()).collect();
    if rows.is_empty() {
        return html! {};
    }
    let names: Vec<String> = rows.iter().map(|row| format::shortened(row.name, 24)).collect();
    let left = 14.0 + names.iter().map(|name| text_width(name)).fold(0.0, f64::max);
    let values = rows.iter().flat_map(|row| [Some(row.value), row.interval.map(|i| i.low), row.interval.map(|i| i.high)]);
    let scale = Scale::linear(values.flatten(), 6, Unit::Percent);
    let (width, step) = (620.0, 30.0);
    let frame = Frame { left, top: 6.0, width: width - left - 78.0, height: step * rows.len() as f64 };
    let body = html! {
        (frame.x_axis(&scale, label, true))
        @for (index, (row, name)) in rows.iter().zip(&names).enumerate() {
            @let y = frame.top + (index as f64 + 0.5) * step;
            text.name x=(px(left - 8.0)) y=(px(y + 4.0)) text-anchor="end" { (name) }
            g class=(colour(row.slot)) {
                title { (row.name) ": " (text(row)) }
                @if let Some(interval) = row.interval {
                    @let (low, high) = (px(frame.x(scale.at(interval.low))), px(frame.x(scale.at(interval.high))));
                    path.whisker d={ "M" (low) " " (px(y)) "H" (high) "M" (low) " " (px(y - 4.0)) "v8M" (high) " " (px(y - 4.0)) "v8" } {}
                }
                (marker(row.slot, frame.x(scale.at(row.value)), y, 4.5))
                rect.target x=(px(frame.left)) y=(px(y - step / 2.0)) width=(px(frame.width)) height=(px(step)) {}
            }
            text.name x=(px(frame.right() + 12.0)) y=(px(y + 4.0)) { (format::percent(row.value)) }
        }
    };
    let description: Vec<String> = rows.iter().map(|row| format!("{}: {}", row.name, text(row))).collect();
    figure(title, &html! {}, &svg(title, &description.join("; "), width, frame.bottom() + 42.0, &body))
}

fn text(row: &Estimate<'_>) -> String {
    match row.interval {
        Some(Interval { low, high }) => {
            format!("{} ({} to {})", format::percent(row.value), format::percent(low), format::percent(high))
        }
        None => format::percent(row.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::soundness::assert_sound;

    #[test]
    fn degenerate_intervals_stay_on_the_plot() {
        let row = |value, low, high| Estimate { name: "basic", slot: 0, value, interval: Some(Interval { low, high }) };
        for row in [row(0.9, 0.9, 0.9), row(0.9, f64::NAN, f64::INFINITY), row(0.0, 0.0, 0.0)] {
            assert_sound(&interval_chart("Accuracy", "accuracy", &[row]).into_string());
        }
        assert_eq!(interval_chart("Accuracy", "accuracy", &[row(f64::NAN, 0.0, 1.0)]).into_string(), "");
    }

    #[test]
    fn a_row_says_its_interval() {
        let row = Estimate { name: "basic", slot: 0, value: 0.9, interval: Some(Interval { low: 0.89, high: 0.91 }) };
        let markup = interval_chart("Accuracy", "accuracy", &[row]).into_string().replace('\u{202f}', " ");
        assert!(markup.contains("<title>basic: 90.00 % (89.00 % to 91.00 %)</title>"), "{markup}");
    }
}
