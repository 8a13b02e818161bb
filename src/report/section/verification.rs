//! Whether the exported files do what the trained models do, and what they were used for.

use maud::{Markup, html};

use super::super::data::{ReportData, ScoringReport, VerificationReport};
use super::super::format;
use super::{Entry, Head, Section, digest, table, verdict};

pub(super) fn section(data: &ReportData) -> Option<Section> {
    if data.verification.is_none() && data.scoring.is_empty() {
        return None;
    }
    let mut entries = Vec::new();
    if data.verification.is_some() {
        entries.push(Entry { id: "exported".to_owned(), title: "Exported files".to_owned() });
    }
    if !data.scoring.is_empty() {
        entries.push(Entry { id: "scored".to_owned(), title: "Scored files".to_owned() });
    }
    let body = html! {
        @if let Some(verification) = &data.verification { h3 id="exported" { "Exported files" } (exported(verification)) }
        @if !data.scoring.is_empty() { h3 id="scored" { "Scored files" } (scored(&data.scoring)) }
    };
    Some(Section { id: "verification", title: "Verification and scoring", entries, body })
}

fn exported(verification: &VerificationReport) -> Markup {
    let models = html! {
        @for model in &verification.models {
            tr {
                th scope="row" { (model.model) }
                td.text { code { (model.file) } }
                td { (format::count(model.rows)) }
                td { (format::significant(model.largest_difference, 2)) }
                td { (format::count(model.worst_row)) }
                td { (format::percent(model.label_agreement)) }
                td.text { (model.batch_sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")) }
                td.text { (verdict(model.problems.is_empty())) @for problem in &model.problems { span.under { (problem) } } }
            }
        }
    };
    let gates = html! {
        @for gate in &verification.gates {
            tr {
                th scope="row" { (gate.model) }
                td.text { (gate.metric) }
                td { (gate.required) }
                td { (format::significant(gate.measured, 4)) }
                td.text { (verdict(gate.passed)) }
            }
        }
    };
    html! {
        @if !verification.models.is_empty() {
            p { "Each exported file ran on the test part and was compared with the trained model, image by image." }
            (table(&[Head::Text("Model"), Head::Text("File"), Head::Number("Images"), Head::Number("Largest |Δp|"), Head::Number("at row"), Head::Number("Same label"), Head::Text("Batch sizes"), Head::Text("Result")], &models))
            p.legend-note { "Passed means |Δp| of at most " (format::significant(verification.tolerance, 2)) " for every probability." }
        }
        @if !verification.gates.is_empty() {
            h4 { "Gates" }
            (table(&[Head::Text("Model"), Head::Text("Metric"), Head::Number("Required"), Head::Number("Measured"), Head::Text("Result")], &gates))
        }
    }
}

fn scored(scoring: &[ScoringReport]) -> Markup {
    let rows = html! {
        @for score in scoring {
            tr {
                th scope="row" { (score.stage) }
                td.text { (score.model) }
                td.text { @for input in &score.inputs { code.line { (input) } } }
                td.text { code { (score.output) } }
                td { (format::count(score.rows)) }
                td { (score.accuracy.map_or(format::DASH.to_owned(), format::percent)) }
                td.text { (digest(&score.digest)) }
            }
        }
    };
    table(
        &[
            Head::Text("Stage"),
            Head::Text("Model"),
            Head::Text("Input"),
            Head::Text("Output"),
            Head::Number("Rows"),
            Head::Number("Accuracy"),
            Head::Text("Digest"),
        ],
        &rows,
    )
}
