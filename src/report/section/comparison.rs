//! How the models rank, how robust they are, and which differences are more than chance.

use std::collections::HashMap;

use maud::{Markup, html};

use super::super::chart::axis::Unit;
use super::super::chart::line::{Axis, AxisKind, LineChart, Series, Size, Style, line_chart, line_legend};
use super::super::data::{ComparisonReport, Interval, PairTest, ReportData, SpreadReport};
use super::super::{format, limits};
use super::{Entry, Head, Section, table};

/// A p-value below this is called significant.
const LEVEL: f64 = 0.05;

pub(super) fn section(data: &ReportData) -> Option<Section> {
    let comparison = data.comparison.as_ref()?;
    let parts = [
        ("ranking", "Ranking", ranking(comparison)),
        ("recipes", "Over seeds", recipes(comparison)),
        ("robustness", "Robustness", robustness(data, comparison)),
        ("significance", "Significance", significance(comparison)),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|(_, _, body)| !body.0.is_empty()).collect();
    if parts.is_empty() {
        return None;
    }
    let body = html! { @for (id, title, body) in &parts { h3 id=(id) { (title) } (body) } };
    let entries = parts.iter().map(|(id, title, _)| Entry { id: (*id).to_owned(), title: (*title).to_owned() }).collect();
    Some(Section { id: "comparison", title: "Comparison", entries, body })
}

fn ranking(comparison: &ComparisonReport) -> Markup {
    let rows = html! {
        @for (index, model) in comparison.ranking.iter().enumerate() {
            tr.highlight[model.model == comparison.selected] {
                td.text { (index + 1) }
                th scope="row" { (model.model) @if model.model == comparison.selected { " " span.badge.selected { "selected" } } }
                td { (format::percent(model.accuracy)) }
                td { (model.robustness.map_or(format::DASH.to_owned(), format::percent)) }
                td { (format::fixed(model.score, 4)) }
            }
        }
    };
    html! {
        @if !comparison.selected.is_empty() {
            p { "Selected: " strong { (comparison.selected) } @if !comparison.reason.is_empty() { ". " (comparison.reason) } }
        }
        @if !comparison.ranking.is_empty() { (table(&[Head::Text("Rank"), Head::Text("Model"), Head::Number("Clean accuracy"), Head::Number("Perturbed accuracy"), Head::Number("Score")], &rows)) }
    }
}

fn recipes(comparison: &ComparisonReport) -> Markup {
    if comparison.recipes.is_empty() {
        return html! {};
    }
    let rows = html! {
        @for recipe in &comparison.recipes {
            tr title=(recipe.models.join(", ")) {
                th scope="row" { (recipe.recipe) }
                td { (recipe.models.len()) }
                td { (spread(&recipe.validation_accuracy)) }
                td { (recipe.test_accuracy.as_ref().map_or(format::DASH.to_owned(), spread)) }
            }
        }
    };
    html! {
        (table(&[Head::Text("Recipe"), Head::Number("Seeds"), Head::Number("Validation accuracy"), Head::Number("Test accuracy")], &rows))
        p.legend-note {
            "Mean ± sample standard deviation over trainings that differ in their seed alone, in percent. What a recipe is worth is "
            "its mean; the best of its seeds was lucky."
        }
    }
}

/// `93.12 ± 0.11`, in percent.
fn spread(spread: &SpreadReport) -> String {
    format!("{} ± {}", format::fixed(spread.mean * 100.0, 2), format::fixed(spread.deviation * 100.0, 2))
}

fn robustness(data: &ReportData, comparison: &ComparisonReport) -> Markup {
    let mut perturbations: Vec<&str> = Vec::new();
    let mut models: Vec<&str> = Vec::new();
    for curve in &comparison.robustness {
        if !perturbations.contains(&curve.perturbation.as_str()) {
            perturbations.push(&curve.perturbation);
        }
        if !models.contains(&curve.model.as_str()) {
            models.push(&curve.model);
        }
    }
    if perturbations.is_empty() {
        return html! {};
    }
    let curves = |perturbation: &str| -> Vec<Series<'_>> {
        let of = comparison.robustness.iter().filter(|curve| curve.perturbation == perturbation);
        of.map(|curve| Series {
            name: &curve.model,
            slot: data.model_slot(&curve.model),
            style: Style::Solid,
            points: curve.points.iter().map(|point| (point.severity, point.accuracy)).collect(),
        })
        .collect()
    };
    let rows = html! {
        @for model in &models {
            tr {
                th scope="row" { (model) }
                @for perturbation in &perturbations {
                    @let mean = mean_accuracy(comparison, model, perturbation);
                    td.tint style={ "--tint:" (format!("{:.0}", (1.0 - mean.unwrap_or(1.0)).clamp(0.0, 1.0).sqrt() * 60.0)) "%" } { (mean.map_or(format::DASH.to_owned(), format::percent)) }
                }
            }
        }
    };
    let head: Vec<Head<'_>> =
        [Head::Text("Model")].into_iter().chain(perturbations.iter().map(|name| Head::Number(name))).collect();
    let accuracies: Vec<f64> = comparison.robustness.iter().flat_map(|curve| &curve.points).map(|point| point.accuracy).collect();
    let names: Vec<Series<'_>> =
        models.iter().map(|name| Series { name, slot: data.model_slot(name), style: Style::Solid, points: Vec::new() }).collect();
    html! {
        @if models.len() > 1 { (line_legend(&names)) }
        div.charts.small {
            @for perturbation in &perturbations {
                (line_chart(&LineChart {
                    title: perturbation,
                    x: Axis { label: "severity", unit: Unit::Plain, kind: AxisKind::Tight, covers: Vec::new() },
                    y: Axis { label: "accuracy", unit: Unit::Percent, kind: AxisKind::Linear, covers: accuracies.clone() },
                    series: curves(perturbation),
                    rule: None,
                    size: Size::Small,
                    has_legend: false,
                }))
            }
        }
        (table(&head, &rows))
        p.legend-note { "Mean accuracy over all severities above 0. The stronger the colour, the more mistakes." }
    }
}

/// The mean over the severities above 0; `None` if nothing finite was measured.
fn mean_accuracy(comparison: &ComparisonReport, model: &str, perturbation: &str) -> Option<f64> {
    let curves = comparison.robustness.iter().filter(|curve| curve.model == model && curve.perturbation == perturbation);
    let points = curves.flat_map(|curve| &curve.points).filter(|point| point.severity > 0.0 && point.accuracy.is_finite());
    let (sum, count) = points.fold((0.0, 0), |(sum, count), point| (sum + point.accuracy, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// A test seen from the side of one of its models.
struct Seen<'a> {
    test: &'a PairTest,
    difference: f64,
    only_own: u64,
    only_other: u64,
}

fn seen<'a>(tests: &HashMap<(&str, &str), &'a PairTest>, own: &str, other: &str) -> Option<Seen<'a>> {
    if let Some(test) = tests.get(&(own, other)) {
        return Some(Seen { test, difference: test.difference, only_own: test.only_first, only_other: test.only_second });
    }
    let test = tests.get(&(other, own))?;
    Some(Seen { test, difference: -test.difference, only_own: test.only_second, only_other: test.only_first })
}

fn significance(comparison: &ComparisonReport) -> Markup {
    let mut models: Vec<&str> = Vec::new();
    for name in comparison.significance.iter().flat_map(|test| [&test.first, &test.second]) {
        if !models.contains(&name.as_str()) {
            models.push(name);
        }
    }
    if models.is_empty() {
        return html! {};
    }
    let all = models.len();
    if all > limits::PAIRED {
        let rank = |name: &str| comparison.ranking.iter().position(|ranked| ranked.model == name).unwrap_or(usize::MAX);
        models.sort_by_key(|name| rank(name));
        models.truncate(limits::PAIRED);
    }
    let tests: HashMap<(&str, &str), &PairTest> =
        comparison.significance.iter().map(|test| ((test.first.as_str(), test.second.as_str()), test)).collect();
    let rows = html! {
        @for own in &models {
            tr {
                th scope="row" { (own) }
                @for other in &models {
                    @match seen(&tests, own, other) {
                        Some(seen) if own != other => { (significance_cell(&seen, own, other)) }
                        _ => { td.empty { } }
                    }
                }
            }
        }
    };
    let head: Vec<Head<'_>> = [Head::Text("")].into_iter().chain(models.iter().map(|name| Head::Number(name))).collect();
    html! {
        div.matrix { (table(&head, &rows)) }
        p.legend-note {
            "Accuracy of the row's model minus that of the column's in percentage points, with the p-value of McNemar's test. "
            "Coloured and marked with * where p < " (LEVEL) ". The p-values are not adjusted for the number of tests."
            @if models.len() < all { " Of " (all) " models the first " (models.len()) " of the ranking are shown." }
        }
    }
}

fn significance_cell(seen: &Seen<'_>, own: &str, other: &str) -> Markup {
    let is_significant = seen.test.p_value < LEVEL;
    let class = match (is_significant, seen.difference >= 0.0) {
        (true, true) => "better",
        (true, false) => "worse",
        (false, _) => "even",
    };
    let mut title = format!(
        "only {own} right: {}, only {other} right: {}; McNemar, {}",
        format::count(seen.only_own),
        format::count(seen.only_other),
        seen.test.method
    );
    if let Some(Interval { low, high }) = seen.test.interval {
        let (low, high) = if seen.test.first == own { (low, high) } else { (-high, -low) };
        title += &format!("; 95 % interval {} to {}", format::points(low), format::points(high));
    }
    html! {
        td class=(class) title=(title) {
            (format::points(seen.difference)) @if is_significant { "*" }
            span.under { "p " @if seen.test.p_value >= 0.001 { "= " } (format::p_value(seen.test.p_value)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(p_value: f64) -> ComparisonReport {
        let test = PairTest {
            first: "basic".to_owned(),
            second: "vote".to_owned(),
            only_first: 10,
            only_second: 40,
            difference: -0.003,
            interval: Some(Interval { low: -0.004, high: -0.002 }),
            p_value,
            method: "exact".to_owned(),
        };
        ComparisonReport { significance: vec![test], ..Default::default() }
    }

    #[test]
    fn a_test_is_mirrored_for_the_other_model() {
        let markup = significance(&comparison(0.0004)).into_string().replace('\u{202f}', " ");
        assert!(markup.contains("<td class=\"worse\" title=\"only basic right: 10, only vote right: 40; McNemar, exact; 95 % interval −0.40 to −0.20\">−0.30*<span class=\"under\">p &lt; 0.001"), "{markup}");
        assert!(markup.contains("<td class=\"better\" title=\"only vote right: 40, only basic right: 10; McNemar, exact; 95 % interval +0.20 to +0.40\">+0.30*"), "{markup}");
    }

    #[test]
    fn what_may_be_chance_is_not_marked() {
        let markup = significance(&comparison(0.2)).into_string();
        assert!(markup.contains("class=\"even\"") && !markup.contains("*<span") && markup.contains("p = 0.200"), "{markup}");
    }

    #[test]
    fn recipes_are_shown_with_their_deviation() {
        use super::super::super::data::RecipeReport;
        let recipe = RecipeReport {
            recipe: "basic".to_owned(),
            models: vec!["basic".to_owned(), "basic-2".to_owned()],
            validation_accuracy: SpreadReport { mean: 0.9313, deviation: 0.0011 },
            test_accuracy: None,
        };
        assert_eq!(recipes(&ComparisonReport::default()).into_string(), "");
        let markup = recipes(&ComparisonReport { recipes: vec![recipe], ..Default::default() }).into_string();
        assert!(markup.contains("title=\"basic, basic-2\"") && markup.contains("93.13 ± 0.11"), "{markup}");
    }

    #[test]
    fn clean_images_do_not_count_as_perturbed() {
        use super::super::super::data::{RobustnessPoint, RobustnessReport};
        let point = |severity, accuracy| RobustnessPoint { severity, accuracy };
        let robustness = vec![RobustnessReport {
            model: "basic".to_owned(),
            perturbation: "blur".to_owned(),
            points: vec![point(0.0, 0.9), point(1.0, 0.6), point(2.0, 0.4), point(3.0, f64::NAN)],
        }];
        let comparison = ComparisonReport { robustness, ..Default::default() };
        assert_eq!(mean_accuracy(&comparison, "basic", "blur"), Some(0.5));
        assert_eq!(mean_accuracy(&comparison, "basic", "noise"), None);
    }
}
