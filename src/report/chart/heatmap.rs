//! A table of coloured cells, such as a confusion matrix.

use maud::{Markup, html};

use super::super::format;
use super::{figure, px, svg, text_width};

/// A chart of coloured cells.
pub(crate) struct HeatMap<'a> {
    /// Its caption.
    pub(crate) title: &'a str,
    /// What it shows, for those who cannot see it.
    pub(crate) description: &'a str,
    /// What the rows are.
    pub(crate) row_label: &'a str,
    /// What the columns are.
    pub(crate) column_label: &'a str,
    /// The name of each row and of each column.
    pub(crate) names: Vec<String>,
    /// The cells, row by row; a missing one is left empty, and so is one without colour where its text has no room.
    pub(crate) cells: Vec<Vec<Cell>>,
}

/// One cell.
pub(crate) struct Cell {
    /// What stands in it, where there is room.
    pub(crate) text: String,
    /// Its hover text.
    pub(crate) title: String,
    /// How strongly it is coloured, 0 to 1.
    pub(crate) strength: f64,
    /// Which colour.
    pub(crate) tone: Tone,
}

/// The meaning of a cell's colour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Right,
    /// As it should not be.
    Wrong,
}

/// Draws the chart; without names, nothing.
pub(crate) fn heat_map(chart: &HeatMap<'_>) -> Markup {
    let count = chart.names.len();
    if count == 0 {
        return html! {};
    }
    let side = (480.0 / count as f64).clamp(6.0, 46.0);
    let has_text = side >= 26.0;
    let has_names = side >= 11.0;
    let names: Vec<String> = chart.names.iter().map(|name| format::shortened(name, 18)).collect();
    let label_width = if has_names { names.iter().map(|name| text_width(name)).fold(0.0, f64::max) } else { 0.0 };
    let (left, top) = (label_width + 34.0, label_width * 0.72 + 36.0);
    let size = side * count as f64;
    // The last column's slanted name leans out to the right.
    let (width, height) = (left + size + label_width * 0.72 + 12.0, top + size + 6.0);
    let body = html! {
        text.label x=(px(left + size / 2.0)) y="14" text-anchor="middle" { (chart.column_label) }
        text.label x="14" y=(px(top + size / 2.0)) text-anchor="middle" transform={ "rotate(-90 14 " (px(top + size / 2.0)) ")" } { (chart.row_label) }
        @if has_names {
            @for (index, name) in names.iter().enumerate() {
                @let middle = (index as f64 + 0.5) * side;
                text.name x=(px(left - 8.0)) y=(px(top + middle + 4.0)) text-anchor="end" { (name) }
                @let (x, y) = (px(left + middle), px(top - 8.0));
                text.name x=(x) y=(y) transform={ "rotate(-45 " (x) " " (y) ")" } { (name) }
            }
        }
        rect.back x=(px(left)) y=(px(top)) width=(px(size)) height=(px(size)) {}
        @for (row, cells) in chart.cells.iter().take(count).enumerate() {
            @for (column, cell) in cells.iter().take(count).enumerate().filter(|(_, cell)| has_text || cell.strength() > 0.0) {
                @let (x, y) = (left + column as f64 * side, top + row as f64 * side);
                g.cell {
                    title { (cell.title) }
                    rect class=(cell.tone.class()) x=(px(x)) y=(px(y)) width=(px(side)) height=(px(side)) fill-opacity=(cell.opacity()) {}
                    @if has_text {
                        text class=(cell.ink()) x=(px(x + side / 2.0)) y=(px(y + side / 2.0 + 4.0)) text-anchor="middle" { (cell.text) }
                    }
                }
            }
        }
        rect.outline x=(px(left)) y=(px(top)) width=(px(size)) height=(px(size)) {}
    };
    figure(chart.title, &html! {}, &svg(chart.title, chart.description, width, height, &body))
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
        }
    }
}

impl Cell {
    fn strength(&self) -> f64 {
        if self.strength.is_finite() { self.strength.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn opacity(&self) -> String {
        format!("{:.2}", self.strength())
    }

    /// The class of the text: on a strong colour it takes the colour of the ground.
    fn ink(&self) -> &'static str {
        match (self.strength() > 0.5, self.text == "0") {
            (true, _) => "value on-strong",
            (false, true) => "value faint",
            (false, false) => "value",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::soundness::assert_sound;

    fn cell(strength: f64) -> Cell {
        Cell { text: "5".to_owned(), title: "5 images".to_owned(), strength, tone: Tone::Right }
    }

    fn chart(names: usize, cells: Vec<Vec<Cell>>) -> String {
        heat_map(&HeatMap {
            title: "Confusion",
            description: "Counts",
            row_label: "true",
            column_label: "predicted",
            names: (0..names).map(|index| format!("class {index}")).collect(),
            cells,
        })
        .into_string()
    }

    #[test]
    fn strange_cells_stay_on_the_plot() {
        for strength in [f64::NAN, -1.0, 7.0, f64::INFINITY] {
            let markup = chart(1, vec![vec![cell(strength)]]);
            assert_sound(&markup);
            assert!(markup.contains("fill-opacity=\"0.00\"") || markup.contains("fill-opacity=\"1.00\""), "{markup}");
        }
        // More cells than names, and fewer: only what has a name is drawn.
        let markup = chart(1, vec![vec![cell(1.0), cell(1.0)], vec![cell(1.0)]]);
        assert_eq!(markup.matches("<g class=\"cell\">").count(), 1);
        assert_sound(&chart(3, vec![]));
        assert_eq!(chart(0, vec![]), "");
    }

    #[test]
    fn many_classes_leave_the_text_to_the_hover_title() {
        let cells = || (0..100).map(|_| (0..100).map(|_| cell(0.5)).collect()).collect();
        let markup = chart(100, cells());
        assert_sound(&markup);
        assert!(!markup.contains("class=\"value") && markup.contains("<title>5 images</title>"));
    }
}
