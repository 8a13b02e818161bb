//! Pictures with what the models say of them: mistakes of two models side by side, and probabilities on samples.

use maud::{Markup, html};

use super::super::data::{ComparedPicture, MistakesReport, PredictedPicture, Prediction, PredictionsReport, ReportData};
use super::super::format::{self, counted};
use super::super::limits;
use super::{Entry, Section, image};
use crate::data::Label;

/// Pixels of the longer side of a picture.
const SIDE: usize = 84;

/// Classes whose probability is shown for each image.
const SHOWN: usize = 4;

pub(super) fn section(data: &ReportData) -> Option<Section> {
    let predictions = || data.predictions.iter().filter(|report| !report.pictures.is_empty());
    let mut entries: Vec<Entry> = data
        .mistakes
        .iter()
        .enumerate()
        .map(|(index, report)| Entry { id: mistakes_anchor(index), title: title(report) })
        .collect();
    if predictions().next().is_some() {
        entries.push(Entry { id: "predictions".to_owned(), title: "Predictions on samples".to_owned() });
    }
    if entries.is_empty() {
        return None;
    }
    let body = html! {
        @for (index, report) in data.mistakes.iter().enumerate() { (mistakes(data, index, report)) }
        @if predictions().next().is_some() {
            h3 id="predictions" { "Predictions on samples" }
            @for report in predictions() { (sample_predictions(data, report)) }
        }
    };
    Some(Section { id: "pictures", title: "Pictures", entries, body })
}

fn mistakes_anchor(index: usize) -> String {
    format!("mistakes-{index}")
}

fn title(report: &MistakesReport) -> String {
    if report.title.is_empty() { format!("{} against {}", report.first, report.second) } else { report.title.clone() }
}

fn mistakes(data: &ReportData, index: usize, report: &MistakesReport) -> Markup {
    let group = |first: bool, second: bool| {
        let is_in = |picture: &&ComparedPicture| {
            ((picture.first.label == picture.truth) == first) && ((picture.second.label == picture.truth) == second)
        };
        report.pictures.iter().filter(is_in).collect::<Vec<_>>()
    };
    let room = report.pictures.first().map_or(0, |first| limits::pictures(&first.picture, SIDE, 3 * data.mistakes.len()));
    let group = |first, second| {
        let mut pictures = group(first, second);
        pictures.truncate(room.max(1));
        pictures
    };
    let groups = [
        (format!("Wrong in {}, right in {}", report.first, report.second), report.corrected, group(false, true)),
        (format!("Right in {}, wrong in {}", report.first, report.second), report.introduced, group(true, false)),
        ("Wrong in both".to_owned(), report.shared, group(false, false)),
    ];
    html! {
        article {
            h3 id=(mistakes_anchor(index)) { (title(report)) }
            p {
                (report.first) ": " (counted(report.corrected.saturating_add(report.shared), "mistake")) "; " (report.second) ": "
                (counted(report.introduced.saturating_add(report.shared), "mistake")) "; shared by both: " (format::count(report.shared)) "."
            }
            @for (name, count, pictures) in &groups {
                @if *count > 0 || !pictures.is_empty() {
                    h4 { (name) " " span.count { (format::count(*count)) @if (pictures.len() as u64) < *count { ", " (pictures.len()) " shown" } } }
                    div.cards { @for picture in pictures { (compared(data, report, picture)) } }
                }
            }
        }
    }
}

fn compared(data: &ReportData, report: &MistakesReport, picture: &ComparedPicture) -> Markup {
    let truth = class(data, picture.truth);
    html! {
        div.card {
            (image(&picture.picture, &format!("test image {}: {truth}", picture.row), SIDE))
            dl {
                dt { "true" } dd { (truth) }
                dt { (report.first) } dd { (guess(data, picture.truth, picture.first)) }
                dt { (report.second) } dd { (guess(data, picture.truth, picture.second)) }
            }
        }
    }
}

fn guess(data: &ReportData, truth: Label, prediction: Prediction) -> Markup {
    let is_right = prediction.label == truth;
    let name = class(data, prediction.label);
    html! {
        span class=(if is_right { "guess right" } else { "guess wrong" }) {
            (if is_right { "✓ " } else { "✗ " }) (name) " " span.confidence { (rounded_percent(prediction.confidence)) }
        }
    }
}

fn sample_predictions(data: &ReportData, report: &PredictionsReport) -> Markup {
    html! {
        h4 { (report.model) }
        @let room = report.pictures.first().map_or(0, |first| limits::pictures(&first.picture, SIDE, data.predictions.len()));
        div.cards.wide { @for picture in report.pictures.iter().take(room.max(1)) { (predicted(data, picture)) } }
    }
}

fn predicted(data: &ReportData, picture: &PredictedPicture) -> Markup {
    let mut order: Vec<usize> = (0..picture.probabilities.len()).collect();
    // Stable: of equally probable classes the first comes first, as in the models.
    order.sort_by(|a, b| picture.probabilities[*b].total_cmp(&picture.probabilities[*a]));
    let text = match picture.truth {
        Some(truth) => format!("image {}: {}", picture.row, class(data, truth)),
        None => format!("image {}", picture.row),
    };
    html! {
        div.card {
            (image(&picture.picture, &text, SIDE))
            div.bars {
                @if let Some(truth) = picture.truth { p.truth { span.confidence { "true " } (class(data, truth)) } }
                @for label in order.iter().take(SHOWN) {
                    @let probability = picture.probabilities[*label];
                    @let is_truth = picture.truth.is_some_and(|truth| usize::from(truth) == *label);
                    div class=(if is_truth { "probability right" } else { "probability" }) {
                        span.name { (data.class_name(*label)) }
                        span.track { span.fill style={ "width:" (length(probability)) "%" } {} }
                        span.number { (rounded_percent(probability)) }
                    }
                }
            }
        }
    }
}

fn class(data: &ReportData, label: Label) -> String {
    data.class_name(usize::from(label)).into_owned()
}

fn length(probability: f32) -> String {
    let share = if probability.is_finite() { probability.clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.1}", share * 100.0)
}

fn rounded_percent(probability: f32) -> String {
    format!("{}\u{202f}%", format::fixed(f64::from(probability) * 100.0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::report::Picture;

    fn picture() -> Picture {
        Picture::new(ImageShape { channels: 1, height: 1, width: 1 }, [7]).unwrap()
    }

    #[test]
    fn pictures_are_grouped_by_who_is_wrong() {
        let prediction = |label| Prediction { label, confidence: 0.75 };
        let compared = |row, first, second| ComparedPicture {
            row,
            picture: picture(),
            truth: 0,
            first: prediction(first),
            second: prediction(second),
        };
        let report = MistakesReport {
            first: "basic".to_owned(),
            second: "vote".to_owned(),
            corrected: 9,
            shared: 1,
            pictures: vec![compared(11, 1, 0), compared(22, 1, 1)],
            ..Default::default()
        };
        let data = ReportData { classes: vec!["Bag".to_owned(), "Coat".to_owned()], ..Default::default() };
        let markup = mistakes(&data, 0, &report).into_string();
        let place = |text: &str| markup.find(text).unwrap_or_else(|| panic!("{text} is not in {markup}"));
        assert!(place("Wrong in basic, right in vote") < place("test image 11: Bag"));
        assert!(place("test image 11: Bag") < place("Wrong in both"));
        assert!(place("Wrong in both") < place("test image 22: Bag"));
        assert!(markup.contains("basic: 10 mistakes; vote: 1 mistake; shared by both: 1."), "{markup}");
        assert!(markup.contains("9, 1 shown") && !markup.contains("Right in basic"), "{markup}");
    }

    #[test]
    fn the_most_probable_classes_come_first() {
        let data = ReportData { classes: (0..6).map(|class| format!("c{class}")).collect(), ..Default::default() };
        let probabilities = vec![0.1, 0.4, 0.1, 0.3, f32::NEG_INFINITY, 0.1];
        let markup =
            predicted(&data, &PredictedPicture { row: 0, picture: picture(), truth: Some(3), probabilities }).into_string();
        let names: Vec<&str> = markup.split("class=\"name\">").skip(1).map(|rest| &rest[..2]).collect();
        assert_eq!(names, ["c1", "c3", "c0", "c2"]);
        assert_eq!(markup.matches("probability right").count(), 1);
    }
}
