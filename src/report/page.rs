//! The page around the sections: head, contents, banner, style. It knows no section by name.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::ReportData;
use super::section::{self, Section};

/// The style sheet: light and dark after the reader's system, and for print.
const STYLE: &str = include_str!("page.css");

/// Nothing may be loaded, whatever a class name may contain.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// The whole page.
pub(super) fn page(data: &ReportData) -> Markup {
    let sections = section::all(data);
    let title = if data.title.is_empty() { &data.pipeline } else { &data.title };
    let is_synthetic = data.data.as_ref().is_some_and(|data| data.synthetic);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(data.generator);
                title { (title) @if is_synthetic { " (synthetic data)" } }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                div.layout {
                    (contents(title, &sections, is_synthetic))
                    main id="content" {
                        @if is_synthetic { (banner()) }
                        (header(data, title))
                        @for section in &sections {
                            section id=(section.id) {
                                h2 { (section.title) }
                                (section.body)
                            }
                        }
                        footer { "Made by " (data.generator) ". This file is complete: it loads nothing." }
                    }
                }
            }
        }
    }
}

fn contents(title: &str, sections: &[Section], is_synthetic: bool) -> Markup {
    html! {
        nav aria-label="Contents" {
            a.home href="#content" { (title) }
            @if is_synthetic { p.badge.synthetic { "Synthetic data" } }
            ol {
                @for section in sections {
                    li {
                        a href={ "#" (section.id) } { (section.title) }
                        @if !section.entries.is_empty() {
                            ol { @for entry in &section.entries { li { a href={ "#" (entry.id) } { (entry.title) } } } }
                        }
                    }
                }
            }
        }
    }
}

fn banner() -> Markup {
    html! {
        div.banner role="note" {
            strong { "Synthetic data" }
            p {
                "Every image behind this report was drawn by the program. The figures show that the pipeline works; "
                "they say nothing about real photographs, and must not be compared with results on any real data set."
            }
        }
    }
}

fn header(data: &ReportData, title: &str) -> Markup {
    let mut about = Vec::new();
    if title != data.pipeline && !data.pipeline.is_empty() {
        about.push(format!("Pipeline {}", data.pipeline));
    }
    if let Some(set) = &data.data {
        about.push(format!("{}, {} classes, images of {}", set.name, data.classes.len(), set.shape));
    }
    if let Some(seed) = data.provenance.as_ref().and_then(|provenance| provenance.seed) {
        about.push(format!("Seed {seed}"));
    }
    html! {
        header {
            h1 { (title) }
            @if !about.is_empty() { p.about { (about.join(" · ")) } }
        }
    }
}
