//! The report: measurements as plain data in, one self-contained HTML page or a model card out.
//!
//! [`render`] makes the page: text, tables, SVG plots and inline PNG pictures in one file that loads nothing, neither
//! script nor font nor image. [`render_markdown_card`] makes the `MODEL_CARD.md` of one model. Both are pure functions of
//! [`ReportData`]: the same data gives the same bytes, so nothing here knows the time, the machine, or how the figures
//! were made.

mod card;
mod chart;
mod confused;
mod data;
mod evaluation;
mod format;
mod limits;
mod page;
mod picture;
#[cfg(test)]
mod sample;
mod section;
#[cfg(test)]
mod soundness;
mod teaching;
mod temperature;
#[cfg(test)]
mod tests;

pub use card::render_markdown_card;
pub use data::*;

use crate::quote::printable;

/// The whole page as one HTML document.
///
/// Parts of `data` that are empty leave their sections out. All text is escaped, and what is invisible in it is written
/// out; numbers that are not finite are shown as a dash. The page stays below ten megabytes, whatever `data` holds.
pub fn render(data: &ReportData) -> String {
    printable(&page::page(data).into_string()).into_owned()
}
