//! Result rows as DataRow messages, written straight into the connection's write buffer.
//!
//! A batch is opened once ([`Column::open`]: one downcast a column), then rows are written cell by cell: the length is left
//! open, the value is written behind it, and the length is filled in. Text forms are those of PostgreSQL 15 with
//! `DateStyle = ISO`, `IntervalStyle = postgres`, `bytea_output = hex`; binary images are those of its `*send` functions.

mod binary;
mod column;
pub(super) mod datetime;
mod nested;
mod numeric;
mod text;

#[cfg(test)]
mod tests;

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};

use super::types::{Format, field_oid};
use crate::error::{Error, Kind, Result};
use column::Column;
use datetime::Zone;

/// Why a value has no form on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unencodable {
    /// Outside of what PostgreSQL's type can hold.
    OutOfRange(&'static str),
    /// A list of lists of different lengths has no binary image.
    Ragged,
    /// A value of 2 GiB or more.
    TooLong,
}

impl From<Unencodable> for Error {
    fn from(reason: Unencodable) -> Error {
        match reason {
            Unencodable::OutOfRange(what) => {
                Error::new(Kind::DatetimeOverflow, format!("{what} out of range for the PostgreSQL protocol"))
            }
            Unencodable::Ragged => Error::new(
                Kind::FeatureNotSupported,
                "lists of different lengths within a list have no binary form in the PostgreSQL protocol",
            )
            .with_hint("ask for the column in text format, or cast it to text"),
            Unencodable::TooLong => {
                Error::new(Kind::TooComplex, "a value is too long for the PostgreSQL protocol (2 GiB)")
            }
        }
    }
}

/// Encodes the batches of one result.
pub struct RowEncoder {
    schema: SchemaRef,
    formats: Vec<Format>,
    zone: Zone,
}

impl RowEncoder {
    /// `formats`: one a column. `zone`: in which instants are written as text.
    pub fn new(schema: SchemaRef, formats: Vec<Format>, zone: Zone) -> RowEncoder {
        RowEncoder { schema, formats, zone }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn formats(&self) -> &[Format] {
        &self.formats
    }

    /// Opens a batch for writing its rows.
    pub fn open(&self, batch: &RecordBatch) -> Result<OpenBatch> {
        let columns = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(array, field)| Column::open(array, field))
            .collect::<Result<Vec<_>, _>>()?;
        if columns.len() != self.formats.len() {
            return Err(Error::new(Kind::Internal, "a batch of the result has not the columns of its schema"));
        }
        Ok(OpenBatch { columns, rows: batch.num_rows(), next: 0 })
    }
}

/// A batch of which some rows were written.
pub struct OpenBatch {
    columns: Vec<Column>,
    rows: usize,
    next: usize,
}

impl OpenBatch {
    pub fn is_empty(&self) -> bool {
        self.next == self.rows
    }

    /// Writes rows until `most` are written, none is left, or `out` holds `bytes` or more; returns how many.
    pub fn write(&mut self, encoder: &mut RowEncoder, most: usize, bytes: usize, out: &mut BytesMut) -> Result<usize> {
        let first = self.next;
        let end = self.rows.min(self.next.saturating_add(most));
        while self.next < end && out.len() < bytes {
            let start = out.len();
            if let Err(reason) = self.write_row(encoder, out) {
                out.truncate(start);
                return Err(reason.into());
            }
            self.next += 1;
        }
        Ok(self.next - first)
    }

    fn write_row(&self, encoder: &mut RowEncoder, out: &mut BytesMut) -> Result<(), Unencodable> {
        out.put_u8(b'D');
        sized(out, true, |out| {
            // The count is 16 bits wide; more columns are refused with RowDescription.
            out.put_i16(self.columns.len() as i16);
            for (column, format) in self.columns.iter().zip(&encoder.formats) {
                if column.is_null(self.next) {
                    out.put_i32(-1);
                    continue;
                }
                sized(out, false, |out| match format {
                    Format::Text => column.write_text(self.next, &mut encoder.zone, out),
                    Format::Binary => column.write_binary(self.next, &mut encoder.zone, out),
                })?;
            }
            Ok(())
        })
    }
}

/// Writes an i32 length and behind it what `write` writes; `inclusive`: the length counts itself.
fn sized(
    out: &mut BytesMut,
    inclusive: bool,
    write: impl FnOnce(&mut BytesMut) -> Result<(), Unencodable>,
) -> Result<(), Unencodable> {
    let start = out.len();
    out.put_i32(0);
    write(out)?;
    let length = out.len() - start - if inclusive { 0 } else { 4 };
    let length = i32::try_from(length).map_err(|_| Unencodable::TooLong)?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// OIDs of a result's columns: two results with the same ones look the same to a client.
pub fn column_types(schema: &Schema) -> Vec<u32> {
    schema.fields().iter().map(|field| field_oid(field)).collect()
}
