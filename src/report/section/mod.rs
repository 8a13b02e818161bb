//! The sections of the page, and the small parts they share. Each section is a pure function that gives nothing where the
//! data has nothing for it.

mod comparison;
mod dataset;
mod models;
mod pictures;
mod provenance;
mod summary;
mod training;
mod tuning;
mod verification;

use maud::{Markup, html};

use super::data::{Fact, Picture, ReportData};
use super::format;

/// A section of the page.
pub(super) struct Section {
    /// Its anchor.
    pub(super) id: &'static str,
    /// Its heading.
    pub(super) title: &'static str,
    /// Parts of it that the contents name.
    pub(super) entries: Vec<Entry>,
    /// What it shows.
    pub(super) body: Markup,
}

/// A part of a section that the contents name.
pub(super) struct Entry {
    /// Its anchor.
    pub(super) id: String,
    /// Its name.
    pub(super) title: String,
}

/// All sections that have something to show, in the order of the page.
pub(super) fn all(data: &ReportData) -> Vec<Section> {
    let sections = [
        summary::section(data),
        dataset::section(data),
        tuning::section(data),
        training::section(data),
        comparison::section(data),
        models::section(data),
        pictures::section(data),
        verification::section(data),
        provenance::section(data),
    ];
    sections.into_iter().flatten().collect()
}

/// The head of a table's column.
enum Head<'a> {
    /// Over text.
    Text(&'a str),
    /// Over numbers, which stand to the right.
    Number(&'a str),
}

/// A table that scrolls sideways where the screen is narrow.
fn table(head: &[Head<'_>], body: &Markup) -> Markup {
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        @for head in head {
                            @match head {
                                Head::Text(name) => { th.text scope="col" { (name) } }
                                Head::Number(name) => { th scope="col" { (name) } }
                            }
                        }
                    }
                }
                tbody { (body) }
            }
        }
    }
}

/// A picture, enlarged by a whole factor to at most `side` pixels or shrunk to them.
fn image(picture: &Picture, text: &str, side: usize) -> Markup {
    let shape = picture.shape();
    let longest = shape.height.max(shape.width);
    let scaled = |length: usize| if longest <= side { length * (side / longest) } else { (length * side / longest).max(1) };
    html! {
        img src=(picture.shown(side).data_uri()) alt=(text) title=(text) width=(scaled(shape.width)) height=(scaled(shape.height)) loading="lazy";
    }
}

/// Named values in a row.
fn facts(facts: &[Fact]) -> Markup {
    html! {
        @if !facts.is_empty() {
            dl.facts { @for fact in facts { div { dt { (fact.name) } dd { (fact.value) } } } }
        }
    }
}

/// A share as a number with four decimals, and under it a bar as long as that share of the cell.
fn share_bar(share: f64) -> Markup {
    let length = if share.is_finite() { share.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
    html! { span.share { span.fill style={ "width:" (format!("{length:.1}")) "%" } {} (format::fixed(share, 4)) } }
}

/// Whether something passed, in words and colour.
fn verdict(passed: bool) -> Markup {
    html! { @if passed { span.verdict.passed { "✓ passed" } } @else { span.verdict.failed { "✗ failed" } } }
}

/// The start of a digest, enough to tell two apart; the whole as a hover text.
fn digest(text: &str) -> Markup {
    html! {
        @if text.is_empty() { (format::DASH) }
        @else { code title=(text) { (text.chars().take(12).collect::<String>()) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;

    #[test]
    fn pictures_grow_by_whole_factors_and_shrink_to_fit() {
        let check = |height, width, expected: &str| {
            let shape = ImageShape { channels: 1, height, width };
            let picture = Picture::new(shape, vec![0; shape.pixels()]).unwrap();
            let markup = image(&picture, "a", 64).into_string();
            assert!(markup.contains(expected), "{height}×{width}: {markup}");
        };
        check(28, 28, "width=\"56\" height=\"56\"");
        check(64, 32, "width=\"32\" height=\"64\"");
        check(128, 64, "width=\"32\" height=\"64\"");
        check(1, 1000, "width=\"64\" height=\"1\"");
    }

    #[test]
    fn a_share_fills_its_part_of_the_bar() {
        assert!(share_bar(0.25).into_string().contains("width:25.0%"));
        assert!(share_bar(f64::NAN).into_string().contains("width:0.0%"));
        assert!(share_bar(7.0).into_string().contains("width:100.0%"));
    }
}
