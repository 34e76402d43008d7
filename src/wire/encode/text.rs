//! Values in text format: what PostgreSQL's `*out` functions write.

use bytes::{BufMut, BytesMut};

use super::Unencodable;
use super::column::{Column, Values};
use super::datetime::{Zone, put_date, put_instant, put_interval, put_time, put_timestamp, to_micros};
use super::numeric::{put_decimal, put_float4, put_float8};

impl Column {
    /// Writes the value of a row (not NULL) in text format, without its length.
    pub(super) fn write_text(&self, row: usize, zone: &mut Zone, out: &mut BytesMut) -> Result<(), Unencodable> {
        match &self.values {
            Values::Null => {}
            Values::Bool(values) => out.put_u8(if values.value(row) { b't' } else { b'f' }),
            Values::Int2(values) => put_integer(values[row], out),
            Values::Int4(values) => put_integer(values[row], out),
            Values::Int8(values) => put_integer(values[row], out),
            Values::Float4(values) => put_float4(values[row], out),
            Values::Float8(values) => put_float8(values[row], out),
            Values::Numeric(values, scale) => put_decimal(itoa::Buffer::new().format(values[row]), *scale, out),
            Values::WideNumeric(values, scale) => put_decimal(&values[row].to_string(), *scale, out),
            Values::Uuid(values) => put_uuid(values.value(row), out),
            Values::Date(values) => put_date(values[row], out),
            Values::Time(values) => put_time(values[row], out),
            Values::Timestamp(values, unit) => {
                let micros = to_micros(values[row], *unit).ok_or(Unencodable::OutOfRange("timestamp"))?;
                put_timestamp(micros, b' ', out);
            }
            Values::Instant(values, unit) => {
                let micros = to_micros(values[row], *unit).ok_or(Unencodable::OutOfRange("timestamp"))?;
                put_instant(micros, b' ', zone, out)?;
            }
            Values::Interval(values) => {
                let interval = values[row];
                put_interval(interval.months, interval.days, interval.nanoseconds.div_euclid(1_000), out);
            }
            Values::Duration(values, unit) => {
                let micros = to_micros(values[row], *unit).ok_or(Unencodable::OutOfRange("interval"))?;
                put_interval(0, 0, micros, out);
            }
            Values::List(list) => list.write_text(row, zone, out)?,
            Values::Struct(_) | Values::Map(_) => self.write_json(row, zone, out)?,
            Values::Text(_) | Values::LargeText(_) | Values::TextView(_) | Values::Json(_) => {
                out.put_slice(self.characters(row));
            }
            Values::Bytes(_) | Values::LargeBytes(_) | Values::BytesView(_) | Values::FixedBytes(_) => {
                put_bytea(self.octets(row), out);
            }
        }
        Ok(())
    }

    /// The UTF-8 of a text column's value; empty for others.
    pub(super) fn characters(&self, row: usize) -> &[u8] {
        match &self.values {
            Values::Text(values) | Values::Json(values) => values.value(row).as_bytes(),
            Values::LargeText(values) => values.value(row).as_bytes(),
            Values::TextView(values) => values.value(row).as_bytes(),
            _ => &[],
        }
    }

    /// The bytes of a binary column's value; empty for others.
    pub(super) fn octets(&self, row: usize) -> &[u8] {
        match &self.values {
            Values::Bytes(values) => values.value(row),
            Values::LargeBytes(values) => values.value(row),
            Values::BytesView(values) => values.value(row),
            Values::FixedBytes(values) | Values::Uuid(values) => values.value(row),
            _ => &[],
        }
    }
}

fn put_integer(value: impl itoa::Integer, out: &mut BytesMut) {
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn put_hex(bytes: &[u8], out: &mut BytesMut) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// `\x` and two hex digits a byte.
fn put_bytea(bytes: &[u8], out: &mut BytesMut) {
    out.put_slice(b"\\x");
    put_hex(bytes, out);
}

fn put_uuid(bytes: &[u8], out: &mut BytesMut) {
    for (index, part) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if index > 0 {
            out.put_u8(b'-');
        }
        put_hex(&bytes[part], out);
    }
}
