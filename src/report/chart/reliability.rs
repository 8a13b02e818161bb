//! A reliability diagram: confidence against accuracy, in bins, with the number of images in each
//! (Guo and others, "On calibration of modern neural networks", 2017).

use maud::{Markup, html};

use super::super::data::ReliabilityBin;
use super::super::format;
use super::axis::{Scale, Unit};
use super::{Frame, figure, legend, px, svg};

/// Draws the diagram; without images in any bin, nothing.
pub(crate) fn reliability_diagram(title: &str, bins: &[ReliabilityBin], calibration_error: f64) -> Markup {
    let usable =
        |bin: &&ReliabilityBin| bin.count > 0 && [bin.low, bin.high, bin.confidence, bin.accuracy].iter().all(|v| v.is_finite());
    let bins: Vec<&ReliabilityBin> = bins.iter().filter(usable).collect();
    let Some(most) = bins.iter().map(|bin| bin.count).max() else { return html! {} };
    let total: u64 = bins.iter().map(|bin| bin.count).sum();
    let (width, height) = (400.0, 400.0);
    let scale = Scale::between(0.0, 1.0, 5, Unit::Percent);
    let frame = Frame { left: 58.0, top: 8.0, width: 326.0, height: 260.0 };
    let histogram = Frame { top: frame.bottom() + 18.0, height: 60.0, ..frame };
    let body = html! {
        (frame.y_axis(&scale))
        @for bin in &bins {
            @let (x, wide) = span(&frame, &scale, bin);
            @let (accuracy, confidence) = (frame.y(scale.at(bin.accuracy)), frame.y(scale.at(bin.confidence)));
            g {
                title {
                    "confidence " (format::percent(bin.low)) " to " (format::percent(bin.high)) ": " (format::count(bin.count))
                    " images, mean confidence " (format::percent(bin.confidence)) ", accuracy " (format::percent(bin.accuracy))
                }
                rect.c0.bar x=(px(x)) y=(px(accuracy)) width=(px(wide)) height=(px(frame.bottom() - accuracy)) {}
                rect.gap x=(px(x)) y=(px(accuracy.min(confidence))) width=(px(wide)) height=(px((accuracy - confidence).abs())) {}
                rect.muted x=(px(x)) width=(px(wide)) y=(px(histogram.y(bin.count as f64 / most as f64)))
                    height=(px(bin.count as f64 / most as f64 * histogram.height)) {}
            }
        }
        line.ideal x1=(px(frame.left)) y1=(px(frame.bottom())) x2=(px(frame.right())) y2=(px(frame.top)) {}
        line.axis x1=(px(frame.left)) x2=(px(frame.right())) y1=(px(frame.bottom())) y2=(px(frame.bottom())) {}
        text.note x=(px(frame.left + 10.0)) y=(px(frame.top + 18.0)) { "ECE " (format::percent(calibration_error)) }
        (histogram.x_axis(&scale, "confidence", false))
        text.tick x=(px(histogram.left - 8.0)) y=(px(histogram.top + 8.0)) text-anchor="end" { (format::count(most)) }
        text.label x="12" y=(px(frame.y(0.5))) text-anchor="middle" transform={ "rotate(-90 12 " (px(frame.y(0.5))) ")" } { "accuracy" }
        text.label x="12" y=(px(histogram.y(0.5))) text-anchor="middle" transform={ "rotate(-90 12 " (px(histogram.y(0.5))) ")" } { "images" }
    };
    let swatches = [
        (html! { g.c0 { rect.bar x="4" y="2" width="20" height="8" {} } }, "accuracy"),
        (html! { rect.gap x="4" y="2" width="20" height="8" {} }, "gap to confidence"),
        (html! { path.ideal d="M1 6H27" {} }, "perfect calibration"),
    ];
    let description = format!(
        "{} images in {} bins, expected calibration error {}",
        format::count(total),
        bins.len(),
        format::percent(calibration_error)
    );
    figure(title, &legend(&swatches), &svg(title, &description, width, height, &body))
}

/// The left edge and the width of a bin's bar, with a hairline between neighbours.
fn span(frame: &Frame, scale: &Scale, bin: &ReliabilityBin) -> (f64, f64) {
    let (left, right) = (frame.x(scale.at(bin.low)), frame.x(scale.at(bin.high)));
    (left.min(right) + 0.5, ((right - left).abs() - 1.0).max(0.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::soundness::assert_sound;

    fn bin(count: u64, confidence: f64, accuracy: f64) -> ReliabilityBin {
        ReliabilityBin { low: 0.8, high: 0.9, count, confidence, accuracy }
    }

    #[test]
    fn empty_bins_are_left_out() {
        let draw = |bins: &[ReliabilityBin]| reliability_diagram("Reliability", bins, 0.02).into_string();
        assert_eq!(draw(&[]), "");
        assert_eq!(draw(&[bin(0, f64::NAN, f64::NAN)]), "");
        let markup = draw(&[bin(0, f64::NAN, f64::NAN), bin(1, 0.85, 1.0), bin(u64::MAX / 2, 0.85, 0.0)]);
        assert_sound(&markup);
        assert_eq!(markup.matches("class=\"muted\"").count(), 2);
    }

    #[test]
    fn the_calibration_error_is_written_out() {
        let markup = reliability_diagram("Reliability", &[bin(3, 0.85, 0.6)], 0.0213).into_string();
        assert!(markup.contains("ECE 2.13\u{202f}%"), "{markup}");
        assert!(markup.contains("3 images, mean confidence 85.00\u{202f}%, accuracy 60.00\u{202f}%"), "{markup}");
    }
}
