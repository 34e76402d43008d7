//! One JSON object a line. A label that repeats gets its position behind it, since readers of JSON keep only one of two.

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;

use super::Sink;
use super::value::{self, Form, Style};
use crate::error::Result;

pub(super) struct JsonSink {
    style: Style,
    /// Labels as JSON texts, with the colon.
    keys: Vec<String>,
}

impl JsonSink {
    pub(super) fn new(style: Style, schema: SchemaRef) -> JsonSink {
        let mut seen = std::collections::HashSet::new();
        let keys = schema.fields().iter().enumerate().map(|(position, field)| {
            let mut label = field.name().clone();
            while !seen.insert(label.clone()) {
                label = format!("{label}_{}", position + 1);
            }
            format!("{}:", serde_json::Value::String(label))
        });
        JsonSink { keys: keys.collect(), style }
    }
}

impl Sink for JsonSink {
    fn begin(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            text.clear();
            for (position, (column, key)) in batch.columns().iter().zip(&self.keys).enumerate() {
                text.push(if position == 0 { '{' } else { ',' });
                text.push_str(key);
                match column.is_valid(row) {
                    true => value::write(column.as_ref(), row, Form::Json, &self.style, &mut text)?,
                    false => text.push_str("null"),
                }
            }
            text.push_str(if batch.num_columns() == 0 { "{}\n" } else { "}\n" });
            out.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }

    fn finish(&mut self, _rows: u64, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}
