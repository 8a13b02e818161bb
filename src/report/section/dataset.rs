//! The data set: counts, statistics, samples, duplicates, augmentation.

use maud::{Markup, html};

use super::super::chart::axis::Unit;
use super::super::chart::bar::{BarChart, Bars, bar_chart};
use super::super::data::{AugmentationReport, DataReport, DuplicatesReport, ReportData};
use super::super::{format, limits};
use super::{Entry, Head, Section, facts, image, table};

/// Pixels of the longer side of a picture.
const SIDE: usize = 56;

pub(super) fn section(data: &ReportData) -> Option<Section> {
    let set = data.data.as_ref()?;
    let body = html! {
        p {
            (set.name) @if set.synthetic { " (synthetic: drawn by the program)" } ": images of " (set.shape) " in "
            (data.classes.len()) " classes."
        }
        (parts(data, set))
        @if let Some(duplicates) = set.duplicates { (duplicate_counts(duplicates)) }
        (samples(data, set))
        @if let Some(augmentation) = &set.augmentation { (augmented(augmentation)) }
    };
    let mut entries = Vec::new();
    if !set.samples.is_empty() || !set.means.is_empty() {
        entries.push(Entry { id: "samples".to_owned(), title: "Samples".to_owned() });
    }
    if set.augmentation.is_some() {
        entries.push(Entry { id: "augmentation".to_owned(), title: "Augmentation".to_owned() });
    }
    Some(Section { id: "data", title: "Data", entries, body })
}

fn parts(data: &ReportData, set: &DataReport) -> Markup {
    if set.parts.is_empty() {
        return html! {};
    }
    let rows = html! {
        @for part in &set.parts {
            @let counts = &part.class_counts;
            tr {
                th scope="row" { (part.name) }
                td { (format::count(counts.iter().sum())) }
                td { (counts.iter().min().map_or(format::DASH.to_owned(), |least| format::count(*least))) }
                td { (counts.iter().max().map_or(format::DASH.to_owned(), |most| format::count(*most))) }
                td { (format::fixed(part.pixel_mean, 2)) }
                td { (format::fixed(part.pixel_deviation, 2)) }
                td { (format::percent(part.zero_share)) }
            }
        }
    };
    let classes = set.parts.iter().map(|part| part.class_counts.len()).max().unwrap_or(0);
    let shown: Vec<usize> = limits::spread(classes, limits::class_rows(set.parts.len())).collect();
    let chart = BarChart {
        title: "Images of each class",
        label: "images",
        unit: Unit::Plain,
        categories: shown.iter().map(|&label| data.class_name(label).into_owned()).collect(),
        series: set
            .parts
            .iter()
            .enumerate()
            .map(|(slot, part)| Bars {
                name: &part.name,
                slot,
                values: shown.iter().map(|&label| part.class_counts.get(label).map_or(0.0, |&count| count as f64)).collect(),
            })
            .collect(),
    };
    html! {
        (table(&[Head::Text("Part"), Head::Number("Images"), Head::Number("Smallest class"), Head::Number("Largest class"), Head::Number("Pixel mean"), Head::Number("Pixel deviation"), Head::Number("Zero pixels")], &rows))
        (bar_chart(&chart))
        @if shown.len() < classes { p.legend-note { (shown.len()) " of " (format::count(classes as u64)) " classes, evenly spread over their labels." } }
    }
}

fn duplicate_counts(duplicates: DuplicatesReport) -> Markup {
    html! {
        p.legend-note {
            "Pixel for pixel, " (format::count(duplicates.train)) " training images repeat an earlier one, "
            (format::count(duplicates.conflicting)) " of them under another label; " (format::count(duplicates.overlap))
            " test images also occur in the training data."
        }
    }
}

fn samples(data: &ReportData, set: &DataReport) -> Markup {
    let classes = set.samples.iter().map(|row| row.label).chain(set.means.iter().map(|mean| mean.label));
    let mut labels: Vec<_> = classes.collect();
    labels.sort_unstable();
    labels.dedup();
    let Some(first) = set.samples.iter().flat_map(|row| &row.pictures).chain(set.means.iter().map(|mean| &mean.picture)).next()
    else {
        return html! {};
    };
    let classes = labels.len();
    let room = limits::pictures(first, SIDE, 1);
    labels.truncate(room.max(1));
    // The mean has room before samples have.
    let samples_of_class = (room / labels.len()).saturating_sub(usize::from(!set.means.is_empty()));
    let rows = html! {
        @for label in &labels {
            @let name = data.class_name(usize::from(*label));
            tr {
                th scope="row" { (name) }
                @if !set.means.is_empty() {
                    td.pictures { @for mean in set.means.iter().filter(|mean| mean.label == *label) { (image(&mean.picture, &format!("mean of {name}"), SIDE)) } }
                }
                @if samples_of_class > 0 && !set.samples.is_empty() {
                    td.pictures {
                        @for picture in set.samples.iter().filter(|row| row.label == *label).flat_map(|row| &row.pictures).take(samples_of_class) { (image(picture, &name, SIDE)) }
                    }
                }
            }
        }
    };
    let means = (!set.means.is_empty()).then_some(Head::Text("Mean"));
    let samples = (samples_of_class > 0 && !set.samples.is_empty()).then_some(Head::Text("Samples"));
    let head: Vec<Head<'_>> = [Some(Head::Text("Class")), means, samples].into_iter().flatten().collect();
    html! {
        h3 id="samples" { "Samples of each class" }
        div.gallery { (table(&head, &rows)) }
        @if labels.len() < classes { p.legend-note { "The first " (labels.len()) " of " (classes) " classes." } }
    }
}

fn augmented(augmentation: &AugmentationReport) -> Markup {
    let of_each = augmentation.examples.iter().map(|example| example.variants.len() + 1).max().unwrap_or(1);
    let room = augmentation.examples.first().map_or(0, |first| limits::pictures(&first.original, SIDE, 2));
    let rows = html! {
        @for example in augmentation.examples.iter().take((room / of_each).max(1)) {
            tr {
                td.pictures { (image(&example.original, "original", SIDE)) }
                td.pictures { @for variant in &example.variants { (image(variant, "augmented", SIDE)) } }
            }
        }
    };
    html! {
        h3 id="augmentation" { "Augmentation" }
        (facts(&augmentation.settings))
        @if !augmentation.examples.is_empty() { div.gallery { (table(&[Head::Text("Original"), Head::Text("What training may see")], &rows)) } }
    }
}
