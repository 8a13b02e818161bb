//! The figures that matter most, and all models in one table.

use maud::{Markup, html};

use super::super::chart::interval::{Estimate, interval_chart};
use super::super::data::{EvaluationReport, Interval, ModelReport, ReportData};
use super::super::{format, limits};
use super::{Head, Section, table, verdict};

pub(super) fn section(data: &ReportData) -> Option<Section> {
    if data.models.is_empty() {
        return None;
    }
    let estimates: Vec<Estimate<'_>> = data
        .models
        .iter()
        .enumerate()
        .filter_map(|(slot, model)| {
            let test = model.test.as_ref()?;
            Some(Estimate { name: &model.name, slot, value: test.accuracy, interval: test.accuracy_interval })
        })
        .collect();
    let body = html! {
        (headline(data))
        (interval_chart(&format!("{} accuracy with 95 % intervals", format::capital(data.measured_on())), "accuracy", &estimates))
        (models_table(data))
    };
    Some(Section { id: "summary", title: "Summary", entries: Vec::new(), body })
}

fn headline(data: &ReportData) -> Markup {
    let tested = || data.models.iter().filter_map(|model| model.test.as_ref().map(|test| (model, test)));
    let best = tested()
        .filter(|(_, test)| test.accuracy.is_finite())
        .reduce(|best, next| if next.1.accuracy > best.1.accuracy { next } else { best });
    let selected = data.comparison.as_ref().map(|comparison| comparison.selected.as_str());
    let chosen =
        tested().find(|(model, _)| Some(model.name.as_str()) == selected && best.is_none_or(|best| best.0.name != model.name));
    html! {
        div.tiles {
            @if let Some((model, test)) = best { (accuracy_tile(&format!("Best {} accuracy", model.part.name()), model, test)) }
            @if let Some((model, test)) = chosen { (accuracy_tile("Selected model", model, test)) }
            @if let Some((model, test)) = best {
                @let (wrong, rows) = mistakes(test);
                @if rows > 0 { (tile("Mistakes of the best", &format::count(wrong), html! { "of " (format::count(rows)) " " (model.part.name()) " images" })) }
            }
            @if let Some(verification) = &data.verification {
                @let failed = verification.models.iter().filter(|model| !model.problems.is_empty()).count()
                    + verification.gates.iter().filter(|gate| !gate.passed).count();
                @let checks = verification.models.len() + verification.gates.len();
                (tile(
                    "Verification",
                    &format!("{} / {checks}", checks - failed),
                    html! { "checks " (verdict(failed == 0)) },
                ))
            }
        }
    }
}

fn accuracy_tile(label: &str, model: &ModelReport, test: &EvaluationReport) -> Markup {
    tile(
        label,
        &format::percent(test.accuracy),
        html! {
            span.name { (model.name) }
            @if let Some(Interval { low, high }) = test.accuracy_interval {
                br; "95 % interval " (format::fixed(low * 100.0, 2)) "–" (format::fixed(high * 100.0, 2))
            }
        },
    )
}

fn tile(label: &str, value: &str, note: Markup) -> Markup {
    html! { div.tile { p.label { (label) } p.value { (value) } p.note { (note) } } }
}

/// Wrong predictions and all predictions, from the confusion matrix.
fn mistakes(test: &EvaluationReport) -> (u64, u64) {
    let mut counts = (0, 0);
    for (truth, row) in test.confusion.iter().enumerate() {
        for (predicted, count) in row.iter().enumerate() {
            counts.0 += if truth == predicted { 0 } else { *count };
            counts.1 += count;
        }
    }
    counts
}

/// A measure of the models' table.
struct Measure {
    value: fn(&EvaluationReport) -> f64,
    text: fn(f64) -> String,
    more_is_better: bool,
}

/// The measures of the models' table, in the order of its columns.
const MEASURES: [Measure; 4] = [
    Measure { value: |test| test.accuracy, text: format::percent, more_is_better: true },
    Measure { value: |test| test.loss, text: |loss| format::fixed(loss, 4), more_is_better: false },
    Measure { value: |test| test.macro_f1, text: |f1| format::fixed(f1, 4), more_is_better: true },
    Measure { value: |test| test.calibration_error, text: format::percent, more_is_better: false },
];

impl Measure {
    /// The best finite value of all models.
    fn best(&self, models: &[ModelReport]) -> Option<f64> {
        let values = models.iter().filter_map(|model| model.test.as_ref()).map(self.value).filter(|value| value.is_finite());
        values.reduce(if self.more_is_better { f64::max } else { f64::min })
    }
}

fn models_table(data: &ReportData) -> Markup {
    let best = MEASURES.each_ref().map(|measure| measure.best(&data.models));
    let selected = data.comparison.as_ref().map(|comparison| comparison.selected.as_str());
    let body = html! {
        @for (index, model) in data.models.iter().enumerate() {
            tr {
                th scope="row" {
                    @if index < limits::DETAILED { a href={ "#model-" (index) } { (model.name) } } @else { (model.name) }
                    @if !model.members.is_empty() { " " span.badge { "ensemble" } }
                    @if Some(model.name.as_str()) == selected { " " span.badge.selected { "selected" } }
                }
                @for (measure, best) in MEASURES.iter().zip(best) {
                    @match &model.test {
                        Some(test) => {
                            @let value = (measure.value)(test);
                            td.best[best == Some(value)] { ((measure.text)(value)) }
                        }
                        None => { td { (format::DASH) } }
                    }
                }
                td { (format::count(model.parameters)) }
                td { (format::magnitude(model.flops_per_image, "FLOP")) }
                td { @if let Some(training) = &model.training { (format::seconds(training.seconds)) } @else { (format::DASH) } }
                td { @if let Some(training) = &model.training { (format::fixed(training.images_per_second, 0)) } @else { (format::DASH) } }
            }
        }
    };
    html! {
        h3 { "Models" }
        (table(&[Head::Text("Model"), Head::Number("Accuracy"), Head::Number("Loss"), Head::Number("Macro F1"), Head::Number("ECE"), Head::Number("Parameters"), Head::Number("Per image"), Head::Number("Training"), Head::Number("Images/s")], &body))
        p.legend-note {
            "On the " (data.measured_on()) " part. Bold marks the best of a column. ECE is the expected calibration error, 15 bins; "
            "a multiply-add counts as two FLOP."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_what_lies_beside_the_diagonal() {
        let test = EvaluationReport { confusion: vec![vec![5, 1], vec![2, 7]], ..Default::default() };
        assert_eq!(mistakes(&test), (3, 15));
        assert_eq!(mistakes(&EvaluationReport::default()), (0, 0));
    }

    #[test]
    fn the_best_of_a_column_may_be_the_least() {
        let model = |accuracy, loss| ModelReport {
            test: Some(EvaluationReport { accuracy, loss, ..Default::default() }),
            ..Default::default()
        };
        let models = [model(0.9, 0.3), model(0.8, 0.2), model(f64::NAN, f64::NAN), ModelReport::default()];
        assert_eq!(MEASURES.each_ref().map(|measure| measure.best(&models))[..2], [Some(0.9), Some(0.2)]);
        assert_eq!(MEASURES[0].best(&models[2..]), None);
    }

    #[test]
    fn the_selected_model_has_a_tile_of_its_own_only_if_another_is_better() {
        let model = |name: &str, accuracy| ModelReport {
            name: name.to_owned(),
            test: Some(EvaluationReport { accuracy, ..Default::default() }),
            ..Default::default()
        };
        let mut data = ReportData { models: vec![model("basic", 0.91), model("vote", 0.94)], ..Default::default() };
        let tiles = |data: &ReportData| headline(data).into_string().replace('\u{202f}', " ");
        assert!(tiles(&data).contains("94.00 %") && !tiles(&data).contains("Selected model"));
        data.comparison = Some(Default::default());
        data.comparison.as_mut().unwrap().selected = "basic".to_owned();
        assert!(tiles(&data).contains("Selected model") && tiles(&data).contains("91.00 %"));
        data.comparison.as_mut().unwrap().selected = "vote".to_owned();
        assert!(!tiles(&data).contains("Selected model"));
    }
}
