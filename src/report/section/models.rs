//! Every model on the part that it was measured on: confusion matrix, scores of each class, calibration, and its first filters.

use maud::{Markup, html};

use super::super::chart::heatmap::{Cell, HeatMap, Tone, heat_map};
use super::super::chart::reliability::reliability_diagram;
use super::super::confused::{most_confused, share_of_mistakes};
use super::super::data::{
    CalibrationReport, ClassScore, EvaluationReport, FiltersReport, ModelReport, Picture, ReportData, TemperatureReport,
};
use super::super::teaching::beside_teacher;
use super::super::{format, limits};
use super::{Entry, Head, Section, image, share_bar, table};
use crate::data::ImageShape;

pub(super) fn section(data: &ReportData) -> Option<Section> {
    if data.models.is_empty() {
        return None;
    }
    let shown = || data.models.iter().enumerate().take(limits::DETAILED);
    let body = html! {
        @if data.models.len() > limits::DETAILED {
            p.legend-note { "The first " (limits::DETAILED) " of " (data.models.len()) " models; the files of each lie in its own folder." }
        }
        @for (index, model) in shown() { (one(data, index, model)) }
    };
    let entries = shown().map(|(index, model)| Entry { id: anchor(index), title: model.name.clone() });
    Some(Section { id: "models", title: "Models", entries: entries.collect(), body })
}

fn anchor(index: usize) -> String {
    format!("model-{index}")
}

fn one(data: &ReportData, index: usize, model: &ModelReport) -> Markup {
    html! {
        article {
            h3 id=(anchor(index)) { (model.name) @if !model.members.is_empty() { " " span.badge { "ensemble" } } }
            @if !model.description.is_empty() { p { (model.description) } }
            @if !model.members.is_empty() {
                p {
                    "Weighted mean of its members' probabilities: "
                    @for (position, member) in model.members.iter().enumerate() {
                        @if position > 0 { ", " } (member.model) " × " (format::fixed(member.weight, 4))
                    }
                    "."
                }
            }
            @if model.views > 1 { p { "Mean of its probabilities over " (model.views) " views of an image, mirrored or moved." } }
            @if let Some(text) = beside_teacher(model) { p { (text) } }
            @if let Some(test) = &model.test { (evaluation(data, model, test)) }
            @if let Some(vote) = &model.temperature { (temperature(model, vote)) }
            @if let Some(filters) = &model.filters { (first_filters(data.models.len(), model, filters)) }
        }
    }
}

fn evaluation(data: &ReportData, model: &ModelReport, test: &EvaluationReport) -> Markup {
    html! {
        p {
            (format::capital(model.part.name())) " accuracy " strong { (format::percent(test.accuracy)) } ", loss " (format::fixed(test.loss, 4)) ", macro F1 "
            (format::fixed(test.macro_f1, 4)) ", expected calibration error " (format::percent(test.calibration_error))
            @for top in &test.top_k { ", top-" (top.k) " accuracy " (format::percent(top.accuracy)) }
            "."
        }
        div.charts.wide-first {
            (confusion(data, model, test))
            (reliability_diagram(&format!("Reliability of {}", model.name), &test.reliability, test.calibration_error))
        }
        (per_class(data, test))
        @if !test.classification_report.is_empty() && limits::has_room_for_reports(data.models.len(), &test.classification_report) {
            details { summary { "Classification report as text" } pre { (test.classification_report) } }
        }
    }
}

/// What the temperature of a vote does to its calibration.
fn temperature(model: &ModelReport, vote: &TemperatureReport) -> Markup {
    let row = |name: &str, measured: &CalibrationReport| {
        html! {
            tr {
                th scope="row" { (name) }
                td { (format::fixed(measured.loss, 4)) }
                td { (format::fixed(measured.brier, 4)) }
                td { (format::percent(measured.calibration_error)) }
            }
        }
    };
    let sentence = html! {
        "The probabilities P of the vote become P" sup { "1/T" } ", divided by their sum, with T = " (format::fixed(vote.value, 4))
        @if vote.fitted { ", fitted on validation data" } @else { ", as given" } ". Labels stay."
    };
    let rows = html! {
        @if let Some(before) = &vote.before { (row("without", before)) }
        @if let Some(after) = &vote.after { (row("with", after)) }
    };
    let head = [Head::Text("Temperature"), Head::Number("Loss"), Head::Number("Brier score"), Head::Number("ECE")];
    html! {
        h4 { "Temperature" }
        p { (sentence) }
        @if vote.before.is_some() || vote.after.is_some() { (table(&head, &rows)) }
        @if let Some(before) = &vote.before {
            (reliability_diagram(&format!("Reliability of {} without its temperature", model.name), &before.reliability, before.calibration_error))
        }
    }
}

fn confusion(data: &ReportData, model: &ModelReport, test: &EvaluationReport) -> Markup {
    let shown = most_confused(&test.confusion, limits::matrix_classes(data.models.len()));
    let name = |label: usize| data.class_name(label);
    let row = |&truth: &usize| {
        let row = &test.confusion[truth];
        let total = row.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let cell = |&predicted: &usize| {
            let count = row.get(predicted).copied().unwrap_or(0);
            let share = if total == 0 { 0.0 } else { count as f64 / total as f64 };
            let is_right = truth == predicted;
            let title = format!(
                "{} predicted as {}: {} of {} ({})",
                name(truth),
                name(predicted),
                format::count(count),
                format::count(total),
                format::percent(share)
            );
            // Mistakes are few; the root makes them visible.
            let strength = if is_right { share } else { share.sqrt() };
            let tone = if is_right { Tone::Right } else { Tone::Wrong };
            Cell { text: count.to_string(), title, strength, tone }
        };
        shown.iter().map(cell).collect()
    };
    let chart = heat_map(&HeatMap {
        title: &format!("Confusion matrix of {}", model.name),
        description: &confusion_description(data, test),
        row_label: "true class",
        column_label: "predicted class",
        names: shown.iter().map(|&label| data.class_name(label).into_owned()).collect(),
        cells: shown.iter().map(row).collect(),
    });
    html! {
        @if !chart.0.is_empty() {
            div {
                (chart)
                p.legend-note {
                    "Counts of images. " span.swatch.right {} " right, " span.swatch.wrong {} " wrong; the colour follows the share of "
                    "the row, for mistakes its square root."
                    @if shown.len() < test.confusion.len() {
                        " Of " (format::count(test.confusion.len() as u64)) " classes the " (shown.len()) " that are taken for each other most often are shown"
                        @if let Some(share) = share_of_mistakes(&test.confusion, &shown) { ", between which " (format::percent(share)) " of all mistakes lie" }
                        "; the whole matrix is in " code { "confusion_matrix.csv" } "."
                    }
                }
            }
        }
    }
}

/// The most frequent mistake in words.
fn confusion_description(data: &ReportData, test: &EvaluationReport) -> String {
    let cells = test.confusion.iter().enumerate().flat_map(|(truth, row)| row.iter().enumerate().map(move |cell| (truth, cell)));
    let mistakes = cells.filter(|(truth, (predicted, count))| truth != predicted && **count > 0);
    match mistakes.max_by_key(|(truth, (predicted, count))| (**count, usize::MAX - truth, usize::MAX - predicted)) {
        Some((truth, (predicted, count))) => {
            let (truth, predicted) = (data.class_name(truth), data.class_name(predicted));
            format!("The most frequent mistake is {truth} predicted as {predicted}, {} times", format::count(*count))
        }
        None => "No mistakes".to_owned(),
    }
}

fn per_class(data: &ReportData, test: &EvaluationReport) -> Markup {
    if test.per_class.is_empty() {
        return html! {};
    }
    let most = limits::class_rows(data.models.len());
    let mut shown: Vec<(usize, &ClassScore)> = test.per_class.iter().enumerate().collect();
    if shown.len() > most {
        // Classes without images have no score that would mean anything.
        shown.sort_by(|a, b| (a.1.support == 0).cmp(&(b.1.support == 0)).then(a.1.f1.total_cmp(&b.1.f1)));
        shown.truncate(most);
    }
    let rows = html! {
        @for (label, score) in &shown {
            tr {
                th scope="row" { (data.class_name(*label)) }
                @for share in [score.precision, score.recall, score.f1] {
                    // Of a class without images nothing is known.
                    td { @if score.support > 0 { (share_bar(share)) } @else { "–" } }
                }
                td { (format::count(score.support)) }
            }
        }
    };
    let head =
        [Head::Text("Class"), Head::Number("Precision"), Head::Number("Recall"), Head::Number("F1"), Head::Number("Images")];
    html! {
        (table(&head, &rows))
        @if shown.len() < test.per_class.len() {
            p.legend-note {
                "The " (format::count(shown.len() as u64)) " classes of lowest F1 of " (format::count(test.per_class.len() as u64))
                "; all of them are in " code { "classification_report.txt" } "."
            }
        }
    }
}

fn first_filters(models: usize, model: &ModelReport, filters: &FiltersReport) -> Markup {
    let pictures = filter_pictures(filters);
    let most = limits::filters(models);
    html! {
        @if !pictures.is_empty() {
            h4 { "First-layer filters" }
            p.legend-note {
                (pictures.len()) " kernels of " (filters.height) " × " (filters.width) " in layer " (filters.layer) " of " (model.name) ". "
                @if filters.channels == 3 { "Red, green and blue are the weights of the three channels; gray is zero." }
                @else { "Blue is negative, white zero, orange positive" @if filters.channels != 1 { " (mean over the channels)" } "." }
            }
            @if pictures.len() > most { p.legend-note { "The first " (most) " are shown." } }
            div.filters {
                @for (index, picture) in pictures.iter().enumerate().take(most) { (image(picture, &format!("filter {index}"), 42)) }
            }
        }
    }
}

/// Each kernel as a picture, on a scale common to all; none if the weights do not fit their shape.
fn filter_pictures(filters: &FiltersReport) -> Vec<Picture> {
    let shape = ImageShape { channels: 3, height: filters.height, width: filters.width };
    let plane = filters.height * filters.width;
    let size = filters.channels * plane;
    if size == 0 || !filters.weights.len().is_multiple_of(size) {
        return Vec::new();
    }
    let finite = |weight: f32| if weight.is_finite() { weight } else { 0.0 };
    let kernels: Vec<Vec<f32>> = filters
        .weights
        .chunks_exact(size)
        .map(|kernel| match filters.channels {
            3 => kernel.iter().copied().map(finite).collect(),
            channels => (0..plane)
                .map(|pixel| (0..channels).map(|c| finite(kernel[c * plane + pixel])).sum::<f32>() / channels as f32)
                .collect(),
        })
        .collect();
    let largest = kernels.iter().flatten().fold(0.0, |largest: f32, weight| largest.max(weight.abs())).max(f32::MIN_POSITIVE);
    let picture = |kernel: &Vec<f32>| {
        let pixels = match filters.channels {
            3 => kernel.iter().map(|weight| (127.5 + 127.5 * weight / largest) as u8).collect(),
            _ => (0..3)
                .flat_map(|channel| kernel.iter().map(move |weight| diverging(weight / largest)[channel]))
                .collect::<Vec<u8>>(),
        };
        Picture::new(shape, pixels).ok()
    };
    kernels.iter().filter_map(picture).collect()
}

/// A colour for −1 (blue) over 0 (white) to 1 (orange).
fn diverging(value: f32) -> [u8; 3] {
    const NEGATIVE: [f32; 3] = [0.0, 92.0, 175.0];
    const ZERO: [f32; 3] = [246.0, 246.0, 246.0];
    const POSITIVE: [f32; 3] = [213.0, 94.0, 0.0];
    let end = if value < 0.0 { NEGATIVE } else { POSITIVE };
    let share = value.abs().min(1.0);
    std::array::from_fn(|channel| (ZERO[channel] + (end[channel] - ZERO[channel]) * share).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_weights_are_white_and_extremes_are_coloured() {
        assert_eq!(diverging(0.0), [246, 246, 246]);
        assert_eq!(diverging(-1.0), [0, 92, 175]);
        assert_eq!(diverging(3.0), [213, 94, 0]);
    }

    #[test]
    fn filters_need_weights_that_fit() {
        let filters =
            |channels, weights: Vec<f32>| FiltersReport { layer: "0".to_owned(), channels, height: 1, width: 2, weights };
        assert_eq!(filter_pictures(&filters(1, vec![0.5, -0.5, f32::NAN, 0.0])).len(), 2);
        assert_eq!(filter_pictures(&filters(2, vec![0.0; 8])).len(), 2);
        assert_eq!(filter_pictures(&filters(3, vec![0.0; 6])).len(), 1);
        assert!(filter_pictures(&filters(1, vec![0.5; 3])).is_empty());
        assert!(filter_pictures(&filters(0, vec![])).is_empty());
    }

    #[test]
    fn the_most_frequent_mistake_is_named() {
        let data = ReportData { classes: vec!["Bag".to_owned(), "Coat".to_owned()], ..Default::default() };
        let test = |confusion| EvaluationReport { confusion, ..Default::default() };
        let check = |confusion, expected: &str| assert_eq!(confusion_description(&data, &test(confusion)), expected);
        check(vec![vec![5, 1], vec![2, 7]], "The most frequent mistake is Coat predicted as Bag, 2 times");
        check(vec![vec![5, 0], vec![0, 7]], "No mistakes");
        // A matrix larger than the list of classes still has names.
        check(vec![vec![0, 0, 3]], "The most frequent mistake is Bag predicted as class 2, 3 times");
    }
}
