//! Aligned columns as psql prints them. Rows are laid out in chunks, so that a long result holds little memory; the first
//! chunk's widths are the least widths of the later ones.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, Table, TableComponent, Width};
use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;

use super::value::{self, Form};
use super::{Expanded, Layout, Sink};
use crate::error::Result;

/// Rows that are held to align them.
const CHUNK_ROWS: usize = 10_000;

pub(super) struct TableSink {
    layout: Layout,
    schema: SchemaRef,
    rows: Vec<Vec<String>>,
    /// Of the chunks printed so far, without padding.
    widths: Vec<u16>,
    /// Decided by the first chunk.
    expanded: Option<bool>,
    printed: u64,
}

impl TableSink {
    pub(super) fn new(layout: Layout, schema: SchemaRef) -> TableSink {
        TableSink { layout, schema, rows: Vec::new(), widths: Vec::new(), expanded: None, printed: 0 }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        let rows = std::mem::take(&mut self.rows);
        let count = rows.len() as u64;
        let mut table = self.aligned(&rows);
        let widths = table.column_max_content_widths();
        let expanded = *self.expanded.get_or_insert_with(|| match (self.layout.expanded, self.layout.width) {
            (Expanded::On, _) => true,
            (Expanded::Off, _) | (_, None) => false,
            // Each column has a space on both sides, and a bar between it and the next.
            (Expanded::Auto, Some(terminal)) => {
                widths.iter().map(|w| usize::from(*w) + 3).sum::<usize>() > terminal + 1
            }
        });
        if expanded {
            self.expand(&rows, out);
        } else {
            if self.widths.is_empty() {
                self.widths = widths;
            } else {
                let least = self.widths.iter().map(|w| ColumnConstraint::LowerBoundary(Width::Fixed(w + 2)));
                table.set_constraints(least);
            }
            let first = self.printed == 0;
            // The heading takes two lines, and more if a name has line breaks.
            let heading = 1 + self.schema.fields().iter().map(|f| f.name().lines().count().max(1)).max().unwrap_or(1);
            for line in table.lines().skip(if first { 0 } else { heading }) {
                out.extend_from_slice(line.trim_end().as_bytes());
                out.push(b'\n');
            }
        }
        self.printed += count;
    }

    fn aligned(&self, rows: &[Vec<String>]) -> Table {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_style(TableComponent::VerticalLines, '|');
        table.set_style(TableComponent::HeaderLines, '-');
        table.set_style(TableComponent::MiddleHeaderIntersections, '+');
        table.set_header(self.schema.fields().iter().map(|f| Cell::new(f.name()).set_alignment(CellAlignment::Center)));
        for (column, field) in self.schema.fields().iter().enumerate() {
            if field.data_type().is_numeric()
                && let Some(column) = table.column_mut(column)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for row in rows {
            table.add_row(row);
        }
        table
    }

    fn expand(&self, rows: &[Vec<String>], out: &mut Vec<u8>) {
        let names: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
        for (position, row) in rows.iter().enumerate() {
            let title = format!("-[ RECORD {} ]", self.printed + position as u64 + 1);
            let length = width.max(title.len()) + 3;
            out.extend_from_slice(format!("{title:-<length$}\n").as_bytes());
            for (name, value) in names.iter().zip(row) {
                for (number, line) in value.split('\n').enumerate() {
                    let name = if number == 0 { name } else { "" };
                    out.extend_from_slice(format!("{name:<width$} | {line}").trim_end().as_bytes());
                    out.push(b'\n');
                }
            }
        }
    }
}

impl Sink for TableSink {
    fn begin(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        for row in 0..batch.num_rows() {
            let mut texts = Vec::with_capacity(batch.num_columns());
            for column in batch.columns() {
                let mut text = String::new();
                if column.is_valid(row) {
                    value::write(column.as_ref(), row, Form::Postgres, &self.layout.values, &mut text)?;
                }
                // A tab's width depends on where it stands, and other control characters disturb the terminal.
                let visible = |c: char| c == '\n' || !c.is_control();
                texts.push(if text.contains(|c| !visible(c)) { escaped(&text) } else { text });
            }
            self.rows.push(texts);
            if self.rows.len() == CHUNK_ROWS {
                self.flush(out);
            }
        }
        Ok(())
    }

    fn finish(&mut self, rows: u64, out: &mut Vec<u8>) -> Result<()> {
        if !self.rows.is_empty() || self.printed == 0 {
            self.flush(out);
        }
        out.extend_from_slice(format!("({rows} row{})\n\n", if rows == 1 { "" } else { "s" }).as_bytes());
        Ok(())
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push('\n'),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}
