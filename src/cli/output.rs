//! How rows leave the command line: one sink a format, all over the same texts of values ([`value`]).

mod json;
mod parquet;
mod table;
mod text;
pub mod value;

#[cfg(test)]
mod tests;

use clap::ValueEnum;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;

use crate::error::Result;

/// What `--output` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, as psql prints them
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a line
    Json,
    /// A Parquet file
    Parquet,
    /// Tabs, NULL, `[1,2]`, `{"a":1}`: as the spark-sql command line prints
    Hive,
}

/// Whether a row is printed as a block of lines, one a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expanded {
    /// When the columns side by side are wider than the terminal.
    #[default]
    Auto,
    On,
    Off,
}

/// How rows are laid out.
#[derive(Debug, Clone)]
pub struct Layout {
    pub format: Format,
    pub expanded: Expanded,
    /// Columns of the terminal; `None` if the output is none.
    pub width: Option<usize>,
    pub values: value::Style,
}

/// Turns the batches of one result into bytes. Appends to `out`, which the caller empties; holds a bounded number of rows.
pub trait Sink: Send {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<()>;
    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()>;
    /// `rows`: how many there were.
    fn finish(&mut self, rows: u64, out: &mut Vec<u8>) -> Result<()>;
}

/// The sink of a result with this schema.
pub fn sink(layout: &Layout, schema: SchemaRef) -> Result<Box<dyn Sink>> {
    Ok(match layout.format {
        Format::Table => Box::new(table::TableSink::new(layout.clone(), schema)),
        Format::Csv => Box::new(text::CsvSink::new(layout.values.clone(), schema)),
        Format::Hive => Box::new(text::HiveSink::new(layout.values.clone())),
        Format::Json => Box::new(json::JsonSink::new(layout.values.clone(), schema)),
        Format::Parquet => Box::new(parquet::ParquetSink::new(schema)?),
    })
}
