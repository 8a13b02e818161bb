//! Searches for good parameters: progress, importance, every trial.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::super::chart::axis::Unit;
use super::super::chart::bar::{BarChart, Bars, bar_chart};
use super::super::chart::line::{Axis, AxisKind, LineChart, Series, Size, Style, line_chart};
use super::super::data::{ReportData, TrialReport, TrialStatus, TuningReport};
use super::super::format::{self, counted};
use super::super::limits;
use super::{Entry, Head, Section, table};

pub(super) fn section(data: &ReportData) -> Option<Section> {
    if data.tuning.is_empty() {
        return None;
    }
    let body = html! {
        @for (index, search) in data.tuning.iter().enumerate() {
            article {
                @if data.tuning.len() > 1 { h3 id=(anchor(index)) { (search.stage) } }
                (one(search, data.tuning.len()))
            }
        }
    };
    let entry = |(index, search): (usize, &TuningReport)| Entry { id: anchor(index), title: search.stage.clone() };
    let entries = if data.tuning.len() > 1 { data.tuning.iter().enumerate().map(entry).collect() } else { Vec::new() };
    Some(Section { id: "tuning", title: "Tuning", entries, body })
}

fn anchor(index: usize) -> String {
    format!("tuning-{index}")
}

fn one(search: &TuningReport, searches: usize) -> Markup {
    let of = |status| search.trials.iter().filter(|trial| trial.status == status).count();
    let best = best(search);
    html! {
        p {
            (counted(search.trials.len() as u64, "trial")) " of stage " code { (search.stage) } ", chosen by " (search.sampler) " for the "
            @if search.maximise { "highest " } @else { "lowest " } (search.objective) ": "
            (of(TrialStatus::Complete)) " complete, " (of(TrialStatus::Pruned)) " pruned, " (of(TrialStatus::Failed)) " failed."
            @if let Some((trial, value)) = best { " The best is trial " (trial.number) " with " strong { (unit(search).text(value)) } "." }
        }
        div.charts { (progress(search)) (importance(search)) }
        (slices(search))
        (trials_table(search, best.map(|(trial, _)| trial.number), limits::trial_rows(searches, paths(search).len())))
    }
}

/// Accuracies are shown as percentages.
fn unit(search: &TuningReport) -> Unit {
    if search.objective.contains("accuracy") { Unit::Percent } else { Unit::Plain }
}

/// The best complete trial; of equals the first.
fn best(search: &TuningReport) -> Option<(&TrialReport, f64)> {
    complete(search).reduce(|best, next| if is_better(search, next.1, best.1) { next } else { best })
}

fn is_better(search: &TuningReport, value: f64, than: f64) -> bool {
    if search.maximise { value > than } else { value < than }
}

fn complete(search: &TuningReport) -> impl Iterator<Item = (&TrialReport, f64)> {
    let trials = search.trials.iter().filter(|trial| trial.status == TrialStatus::Complete);
    trials.filter_map(|trial| trial.value.filter(|value| value.is_finite()).map(|value| (trial, value)))
}

fn points(search: &TuningReport, status: TrialStatus, x: impl Fn(&TrialReport) -> Option<f64>) -> Vec<(f64, f64)> {
    search.trials.iter().filter(|trial| trial.status == status).filter_map(|trial| Some((x(trial)?, trial.value?))).collect()
}

fn progress(search: &TuningReport) -> Markup {
    let number = |trial: &TrialReport| Some(trial.number as f64);
    let mut best_so_far: Vec<(f64, f64)> = Vec::new();
    for (trial, value) in complete(search) {
        let best = best_so_far.last().map_or(value, |last| if is_better(search, value, last.1) { value } else { last.1 });
        best_so_far.push((trial.number as f64, best));
    }
    line_chart(&LineChart {
        title: "Value of each trial",
        x: Axis { label: "trial", unit: Unit::Plain, kind: AxisKind::Whole, covers: Vec::new() },
        y: Axis { label: &search.objective, unit: unit(search), kind: AxisKind::Linear, covers: Vec::new() },
        series: vec![
            Series { name: "best so far", slot: 2, style: Style::Steps, points: best_so_far },
            Series { name: "complete", slot: 0, style: Style::Points, points: points(search, TrialStatus::Complete, number) },
            Series { name: "pruned", slot: 1, style: Style::Crosses, points: points(search, TrialStatus::Pruned, number) },
        ],
        rule: None,
        size: Size::Normal,
        has_legend: true,
    })
}

fn importance(search: &TuningReport) -> Markup {
    let label = if search.importance_method.is_empty() { "importance" } else { &search.importance_method };
    bar_chart(&BarChart {
        title: "Importance of each parameter",
        label,
        unit: Unit::Plain,
        categories: search.importance.iter().map(|importance| importance.parameter.clone()).collect(),
        series: vec![Bars {
            name: "importance",
            slot: 0,
            values: search.importance.iter().map(|importance| importance.value).collect(),
        }],
    })
}

fn paths(search: &TuningReport) -> BTreeSet<&str> {
    search.trials.iter().flat_map(|trial| trial.parameters.keys().map(String::as_str)).collect()
}

/// The objective over each numeric parameter; over a wide range on a logarithmic axis.
fn slices(search: &TuningReport) -> Markup {
    let slice = |path: &str| {
        let x = |trial: &TrialReport| trial.parameters.get(path).and_then(serde_json::Value::as_f64);
        let values: Vec<f64> = search.trials.iter().filter_map(x).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // One value says nothing, and text has no place on an axis.
        if most <= least || values.len() < search.trials.len() {
            return html! {};
        }
        let kind = if least > 0.0 && most / least >= 20.0 { AxisKind::Log } else { AxisKind::Tight };
        line_chart(&LineChart {
            title: path,
            x: Axis { label: path, unit: Unit::Plain, kind, covers: Vec::new() },
            y: Axis { label: &search.objective, unit: unit(search), kind: AxisKind::Linear, covers: Vec::new() },
            series: vec![
                Series { name: "complete", slot: 0, style: Style::Points, points: points(search, TrialStatus::Complete, x) },
                Series { name: "pruned", slot: 1, style: Style::Crosses, points: points(search, TrialStatus::Pruned, x) },
            ],
            rule: None,
            size: Size::Small,
            has_legend: false,
        })
    };
    let charts: Vec<Markup> = paths(search).into_iter().map(slice).filter(|chart| !chart.0.is_empty()).collect();
    html! {
        @if !charts.is_empty() {
            h4 { "Each parameter against the " (search.objective) }
            p.legend-note { "Filled: complete trials; crosses: pruned ones." }
            div.charts.small { @for chart in charts { (chart) } }
        }
    }
}

fn trials_table(search: &TuningReport, best: Option<u64>, most: usize) -> Markup {
    let paths = paths(search);
    let is_text =
        |path: &str| search.trials.iter().any(|trial| trial.parameters.get(path).is_some_and(|value| !value.is_number()));
    let fixed = [Head::Text("Trial"), Head::Text("Status"), Head::Number(&search.objective), Head::Number("Epochs")];
    let head: Vec<Head<'_>> = fixed
        .into_iter()
        .chain(paths.iter().map(|path| if is_text(path) { Head::Text(path) } else { Head::Number(path) }))
        .collect();
    let mut shown: Vec<&TrialReport> = search.trials.iter().collect();
    if shown.len() > most {
        let cost = |trial: &TrialReport| match (trial.status, trial.value) {
            (TrialStatus::Complete, Some(value)) if search.maximise => -value,
            (TrialStatus::Complete, Some(value)) => value,
            _ => f64::INFINITY,
        };
        shown.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        shown.truncate(most);
        shown.sort_by_key(|trial| trial.number);
    }
    let rows = html! {
        @for trial in &shown {
            tr.highlight[Some(trial.number) == best] {
                th scope="row" { (trial.number) }
                td.text { (status(trial.status)) @if let Some(reason) = &trial.reason { " " (reason) } }
                td { (trial.value.map_or(format::DASH.to_owned(), |value| unit(search).text(value))) }
                td { (format::count(trial.epochs)) }
                @for path in &paths { td.text[is_text(path)] { (trial.parameters.get(*path).map_or(format::DASH.to_owned(), format::json)) } }
            }
        }
    };
    html! { details open[search.trials.len() <= 30] { summary { @if shown.len() < search.trials.len() { "The best " (shown.len()) " trials" } @else { "All trials" } } (table(&head, &rows)) } }
}

fn status(status: TrialStatus) -> Markup {
    html! {
        @match status {
            TrialStatus::Complete => { "complete" }
            TrialStatus::Pruned => { span.badge { "pruned" } }
            TrialStatus::Failed => { span.badge.failed { "failed" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(values: &[(TrialStatus, Option<f64>)], maximise: bool) -> TuningReport {
        let trial = |(number, (status, value)): (usize, &(TrialStatus, Option<f64>))| TrialReport {
            number: number as u64,
            status: *status,
            value: *value,
            epochs: 1,
            parameters: [("rate".to_owned(), serde_json::json!(0.1))].into(),
            reason: None,
        };
        TuningReport {
            stage: "tuned".to_owned(),
            sampler: "tpe".to_owned(),
            objective: "validation accuracy".to_owned(),
            maximise,
            trials: values.iter().enumerate().map(trial).collect(),
            importance: Vec::new(),
            importance_method: String::new(),
        }
    }

    #[test]
    fn the_best_trial_is_complete_and_finite() {
        use TrialStatus::{Complete, Failed, Pruned};
        let check = |values: &[(TrialStatus, Option<f64>)], maximise, expected| {
            let search = search(values, maximise);
            assert_eq!(best(&search).map(|(trial, _)| trial.number), expected, "{values:?}");
        };
        check(&[(Complete, Some(0.8)), (Complete, Some(0.9)), (Pruned, Some(0.99))], true, Some(1));
        check(&[(Complete, Some(0.8)), (Complete, Some(0.9))], false, Some(0));
        check(&[(Complete, Some(0.9)), (Complete, Some(0.9))], true, Some(0));
        check(&[(Complete, Some(f64::NAN)), (Failed, None)], true, None);
    }

    #[test]
    fn pruned_trials_are_marked() {
        let markup = one(&search(&[(TrialStatus::Complete, Some(0.8)), (TrialStatus::Pruned, Some(0.5))], true), 1).into_string();
        assert!(markup.contains("<span class=\"badge\">pruned</span>") && markup.contains("1 pruned"), "{markup}");
        assert!(markup.contains("class=\"cross\""), "{markup}");
    }
}
