//! Values within values: lists as PostgreSQL's arrays, structs and maps as JSON.

use bytes::{BufMut, BytesMut};

use super::column::{Column, List, Values};
use super::datetime::{Zone, put_instant, put_timestamp, to_micros};
use super::{Unencodable, sized};

impl List {
    /// `{1,2,NULL}`, lists within lists as further dimensions (arrayfuncs.c, `array_out`).
    pub(super) fn write_text(&self, row: usize, zone: &mut Zone, out: &mut BytesMut) -> Result<(), Unencodable> {
        let nested = matches!(self.elements.values, Values::List(_));
        let mut element = BytesMut::new();
        out.put_u8(b'{');
        for (index, position) in self.ranges.of(row).enumerate() {
            if index > 0 {
                out.put_u8(b',');
            }
            if self.elements.is_null(position) {
                out.put_slice(b"NULL");
            } else if nested {
                self.elements.write_text(position, zone, out)?;
            } else {
                element.clear();
                self.elements.write_text(position, zone, &mut element)?;
                put_element(&element, out);
            }
        }
        out.put_u8(b'}');
        Ok(())
    }

    /// Number of dimensions, whether NULLs are possible, element type, (length, lower bound) of each dimension, then the
    /// elements with their lengths (`array_send`).
    pub(super) fn write_binary(&self, row: usize, zone: &mut Zone, out: &mut BytesMut) -> Result<(), Unencodable> {
        let mut dimensions = Vec::new();
        self.measure(row, 0, &mut dimensions)?;
        if dimensions.contains(&0) {
            dimensions.clear();
        }
        out.put_i32(dimensions.len() as i32);
        let flags_at = out.len();
        out.put_i32(0);
        out.put_u32(self.element_oid);
        for length in &dimensions {
            out.put_i32(i32::try_from(*length).map_err(|_| Unencodable::TooLong)?);
            out.put_i32(1);
        }
        let mut has_null = false;
        if !dimensions.is_empty() {
            self.put_elements(row, &mut has_null, zone, out)?;
        }
        out[flags_at..flags_at + 4].copy_from_slice(&i32::from(has_null).to_be_bytes());
        Ok(())
    }

    /// The length of each dimension; an array is a box, so all lists of one depth must have one length.
    fn measure(&self, row: usize, depth: usize, dimensions: &mut Vec<usize>) -> Result<(), Unencodable> {
        let range = self.ranges.of(row);
        match dimensions.get(depth) {
            Some(known) if *known != range.len() => return Err(Unencodable::Ragged),
            Some(_) => {}
            None => dimensions.push(range.len()),
        }
        if let Values::List(inner) = &self.elements.values {
            for position in range {
                if self.elements.is_null(position) {
                    return Err(Unencodable::Ragged);
                }
                inner.measure(position, depth + 1, dimensions)?;
            }
        }
        Ok(())
    }

    fn put_elements(
        &self,
        row: usize,
        has_null: &mut bool,
        zone: &mut Zone,
        out: &mut BytesMut,
    ) -> Result<(), Unencodable> {
        for position in self.ranges.of(row) {
            if let Values::List(inner) = &self.elements.values {
                inner.put_elements(position, has_null, zone, out)?;
            } else if self.elements.is_null(position) {
                *has_null = true;
                out.put_i32(-1);
            } else {
                sized(out, false, |out| self.elements.write_binary(position, zone, out))?;
            }
        }
        Ok(())
    }
}

/// An element within `{…}`, quoted where it could be misread.
fn put_element(element: &[u8], out: &mut BytesMut) {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t'..=b'\r');
    if !element.is_empty() && !element.eq_ignore_ascii_case(b"NULL") && !element.iter().any(special) {
        out.put_slice(element);
        return;
    }
    out.put_u8(b'"');
    for byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

impl Column {
    /// The value of a row as PostgreSQL's `to_json` writes it; NULL is `null`.
    pub(super) fn write_json(&self, row: usize, zone: &mut Zone, out: &mut BytesMut) -> Result<(), Unencodable> {
        if self.is_null(row) {
            out.put_slice(b"null");
            return Ok(());
        }
        match &self.values {
            Values::Bool(values) => out.put_slice(if values.value(row) { b"true" } else { b"false" }),
            Values::Int2(_) | Values::Int4(_) | Values::Int8(_) | Values::Numeric(..) | Values::WideNumeric(..) => {
                self.write_text(row, zone, out)?;
            }
            Values::Float4(values) if values[row].is_finite() => self.write_text(row, zone, out)?,
            Values::Float8(values) if values[row].is_finite() => self.write_text(row, zone, out)?,
            Values::Json(_) => out.put_slice(self.characters(row)),
            Values::Text(_) | Values::LargeText(_) | Values::TextView(_) => {
                put_json_string(self.characters(row), out);
            }
            Values::Timestamp(values, unit) => {
                let micros = to_micros(values[row], *unit).ok_or(Unencodable::OutOfRange("timestamp"))?;
                out.put_u8(b'"');
                put_timestamp(micros, b'T', out);
                out.put_u8(b'"');
            }
            Values::Instant(values, unit) => {
                let micros = to_micros(values[row], *unit).ok_or(Unencodable::OutOfRange("timestamp"))?;
                out.put_u8(b'"');
                put_instant(micros, b'T', zone, out)?;
                out.put_u8(b'"');
            }
            Values::List(list) => {
                out.put_u8(b'[');
                for (index, position) in list.ranges.of(row).enumerate() {
                    if index > 0 {
                        out.put_u8(b',');
                    }
                    list.elements.write_json(position, zone, out)?;
                }
                out.put_u8(b']');
            }
            Values::Struct(children) => {
                for (index, (name, child)) in children.iter().enumerate() {
                    out.put_u8(if index == 0 { b'{' } else { b',' });
                    put_json_string(name.as_bytes(), out);
                    out.put_u8(b':');
                    child.write_json(row, zone, out)?;
                }
                out.put_slice(if children.is_empty() { b"{}" } else { b"}" });
            }
            Values::Map(map) => {
                out.put_u8(b'{');
                for (index, position) in map.ranges.of(row).enumerate() {
                    if index > 0 {
                        out.put_u8(b',');
                    }
                    map.keys.write_json_key(position, zone, out)?;
                    out.put_u8(b':');
                    map.values.write_json(position, zone, out)?;
                }
                out.put_u8(b'}');
            }
            _ => self.write_json_key(row, zone, out)?,
        }
        Ok(())
    }

    /// The value's text as a JSON string, for keys and for types that JSON has not.
    fn write_json_key(&self, row: usize, zone: &mut Zone, out: &mut BytesMut) -> Result<(), Unencodable> {
        let mut text = BytesMut::new();
        self.write_text(row, zone, &mut text)?;
        put_json_string(&text, out);
        Ok(())
    }
}

/// A JSON string (json.c, `escape_json`).
fn put_json_string(text: &[u8], out: &mut BytesMut) {
    out.put_u8(b'"');
    for byte in text {
        match byte {
            b'"' => out.put_slice(b"\\\""),
            b'\\' => out.put_slice(b"\\\\"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            8 => out.put_slice(b"\\b"),
            12 => out.put_slice(b"\\f"),
            0..=31 => out.put_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.put_u8(*byte),
        }
    }
    out.put_u8(b'"');
}
