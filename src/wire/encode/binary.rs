//! Values in binary format: what PostgreSQL's `*send` functions write, all in network byte order.

use bytes::{BufMut, BytesMut};

use super::Unencodable;
use super::column::{Column, Values};
use super::datetime::{EPOCH_DAYS, EPOCH_MICROS, Zone, to_micros};
use super::numeric::put_decimal_binary;

impl Column {
    /// Writes the value of a row (not NULL) in binary format, without its length.
    pub(super) fn write_binary(&self, row: usize, zone: &mut Zone, out: &mut BytesMut) -> Result<(), Unencodable> {
        match &self.values {
            Values::Null => {}
            Values::Bool(values) => out.put_u8(u8::from(values.value(row))),
            Values::Int2(values) => out.put_i16(values[row]),
            Values::Int4(values) => out.put_i32(values[row]),
            Values::Int8(values) => out.put_i64(values[row]),
            Values::Float4(values) => out.put_f32(values[row]),
            Values::Float8(values) => out.put_f64(values[row]),
            Values::Numeric(values, scale) => {
                put_decimal_binary(itoa::Buffer::new().format(values[row]), *scale, out);
            }
            Values::WideNumeric(values, scale) => put_decimal_binary(&values[row].to_string(), *scale, out),
            Values::Date(values) => {
                let days = values[row].checked_sub(EPOCH_DAYS).ok_or(Unencodable::OutOfRange("date"))?;
                out.put_i32(days);
            }
            Values::Time(values) => out.put_i64(values[row]),
            Values::Timestamp(values, unit) | Values::Instant(values, unit) => {
                let micros = to_micros(values[row], *unit).and_then(|micros| micros.checked_sub(EPOCH_MICROS));
                out.put_i64(micros.ok_or(Unencodable::OutOfRange("timestamp"))?);
            }
            Values::Interval(values) => {
                let interval = values[row];
                put_interval(interval.nanoseconds.div_euclid(1_000), interval.days, interval.months, out);
            }
            Values::Duration(values, unit) => {
                let micros = to_micros(values[row], *unit).ok_or(Unencodable::OutOfRange("interval"))?;
                put_interval(micros, 0, 0, out);
            }
            Values::List(list) => list.write_binary(row, zone, out)?,
            // The binary image of json is its text.
            Values::Struct(_) | Values::Map(_) => self.write_json(row, zone, out)?,
            Values::Text(_) | Values::LargeText(_) | Values::TextView(_) | Values::Json(_) => {
                out.put_slice(self.characters(row));
            }
            Values::Bytes(_)
            | Values::LargeBytes(_)
            | Values::BytesView(_)
            | Values::FixedBytes(_)
            | Values::Uuid(_) => out.put_slice(self.octets(row)),
        }
        Ok(())
    }
}

fn put_interval(micros: i64, days: i32, months: i32, out: &mut BytesMut) {
    out.put_i64(micros);
    out.put_i32(days);
    out.put_i32(months);
}
