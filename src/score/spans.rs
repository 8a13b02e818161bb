//! Rows that go over several lines. A quote that is closed too late makes one row of thousands, so they are told.

use super::block::{Block, Table};
use super::parse::{Parser, Span};

/// So many rejected rows are told one by one.
const TOLD: usize = 5;

/// The rows over several lines that a run has met.
#[derive(Debug, Default)]
pub(super) struct Spans {
    rejected: usize,
    rejected_lines: u64,
    kept: u64,
    first_kept: Option<String>,
    lines: Vec<String>,
}

impl Spans {
    /// Notes those of a block.
    pub(super) fn note(&mut self, block: &Block, table: &Table) {
        let spans = &block.parsed.rejected_spans;
        // Where a row lies takes a look at all lines of the block before it.
        for &index in spans.iter().take(TOLD.saturating_sub(self.rejected)) {
            let Span { row, first_line, last_line } = Parser::span(block, index);
            let count = last_line - first_line + 1;
            self.lines.push(format!(
                "{}: one row was rejected, and it has {count} lines: row {row}, lines {first_line} to {last_line}; is a quote not \
                 closed?",
                table.name
            ));
        }
        self.rejected += spans.len();
        self.rejected_lines += block.parsed.rejected_lines;
        self.kept += block.parsed.kept_spans;
        if let (None, Some(Span { row, first_line, last_line })) = (&self.first_kept, block.parsed.first_kept_span) {
            self.first_kept = Some(format!("{}, row {row}, lines {first_line} to {last_line}", table.name));
        }
    }

    /// What is to be said of rejected rows since this was asked last.
    pub(super) fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// What is to be said of all rejected rows in the end, if not each was told.
    pub(super) fn last_warning(&self) -> Option<String> {
        let Self { rejected, rejected_lines, .. } = self;
        (*rejected > TOLD).then(|| format!("{rejected} rejected rows have {rejected_lines} lines together"))
    }

    /// What is to be said of rows that were not rejected.
    pub(super) fn remark(&self) -> Option<String> {
        let (kept, first) = (self.kept, self.first_kept.as_ref()?);
        let rows = if kept == 1 { "1 row has".to_owned() } else { format!("{kept} rows have") };
        Some(format!("{rows} line breaks within quotes (the first: {first})"))
    }
}
