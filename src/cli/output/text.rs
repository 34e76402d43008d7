//! Lines of separated values: CSV as PostgreSQL's COPY writes it, and what the spark-sql command line prints.

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;

use super::Sink;
use super::value::{self, Form, Style};
use crate::error::Result;

/// RFC 4180 with a header. NULL is nothing at all, an empty text is `""`, so that they can be told apart.
pub(super) struct CsvSink {
    style: Style,
    schema: SchemaRef,
}

impl CsvSink {
    pub(super) fn new(style: Style, schema: SchemaRef) -> CsvSink {
        CsvSink { style, schema }
    }
}

impl Sink for CsvSink {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<()> {
        for (position, field) in self.schema.fields().iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            quoted(field.name(), out);
        }
        out.push(b'\n');
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            for (position, column) in batch.columns().iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                if column.is_valid(row) {
                    text.clear();
                    value::write(column.as_ref(), row, Form::Postgres, &self.style, &mut text)?;
                    quoted(&text, out);
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }

    fn finish(&mut self, _rows: u64, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

/// No header, tabs between, NULL as `NULL`.
pub(super) struct HiveSink {
    style: Style,
}

impl HiveSink {
    pub(super) fn new(style: Style) -> HiveSink {
        HiveSink { style }
    }
}

impl Sink for HiveSink {
    fn begin(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            text.clear();
            for (position, column) in batch.columns().iter().enumerate() {
                if position > 0 {
                    text.push('\t');
                }
                match column.is_valid(row) {
                    true => value::write(column.as_ref(), row, Form::Hive, &self.style, &mut text)?,
                    false => text.push_str("NULL"),
                }
            }
            text.push('\n');
            out.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }

    fn finish(&mut self, _rows: u64, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}
