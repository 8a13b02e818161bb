//! From what everything was made: seed, digests, versions, stages.

use maud::html;

use super::super::chart::flow::flow_chart;
use super::super::data::{Fact, ReportData};
use super::{Head, Section, digest, facts, table};

pub(super) fn section(data: &ReportData) -> Option<Section> {
    let provenance = data.provenance.as_ref()?;
    let fact = |name: &str, value: String| Fact { name: name.to_owned(), value };
    let mut all = vec![
        fact("Pipeline", data.pipeline.clone()),
        fact("Made by", data.generator.clone()),
        fact("Seed", provenance.seed.map_or_else(String::new, |seed| seed.to_string())),
    ];
    all.extend(provenance.facts.iter().cloned());
    all.retain(|fact| !fact.value.is_empty());
    let rows = html! {
        @for stage in &provenance.stages {
            tr {
                th scope="row" { (stage.name) }
                td.text { (stage.kind) }
                td.text { (stage.inputs.join(", ")) }
                td.text { (digest(&stage.key)) }
                td.text { (digest(&stage.output)) }
            }
        }
    };
    let body = html! {
        (facts(&all))
        @if !provenance.dataset_digest.is_empty() { p.legend-note { "Digest of the data: " code { (provenance.dataset_digest) } } }
        @if !provenance.stages.is_empty() {
            (flow_chart("Stages and what they read", &provenance.stages))
            (table(&[Head::Text("Stage"), Head::Text("Kind"), Head::Text("Reads"), Head::Text("Key"), Head::Text("Output")], &rows))
        }
    };
    Some(Section { id: "provenance", title: "Provenance", entries: Vec::new(), body })
}
