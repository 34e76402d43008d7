//! Parameters of a Bind message as scalar values.
//!
//! A parameter is read by the type its client sends it as (the one ParameterDescription told it), then cast to the type that
//! the statement was analysed with.

mod binary;
mod interval;
mod text;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::encode::datetime::Zone;
use super::types::{self, Format, element_oid};
use crate::error::{Error, Kind, Result};

/// Reads one parameter. `None`: NULL. `oid`: the type it is sent as; `target`: the type the statement wants; `zone`: in which
/// times without an offset are meant.
pub(super) fn parameter(
    bytes: Option<&[u8]>,
    format: Format,
    oid: u32,
    target: &DataType,
    zone: &mut Zone,
) -> Result<ScalarValue> {
    let null = || ScalarValue::try_from(target).map_err(Error::from);
    let Some(bytes) = bytes else {
        return null();
    };
    let value = match (format, element_oid(oid)) {
        (Format::Text, None) => text::scalar(utf8(bytes)?, oid, zone)?,
        (Format::Text, Some(element)) => text::array(utf8(bytes)?, element, zone)?,
        (Format::Binary, None) => binary::scalar(bytes, oid)?,
        (Format::Binary, Some(element)) => binary::array(bytes, element)?,
    };
    if &value.data_type() == target {
        return Ok(value);
    }
    if value.is_null() {
        return null();
    }
    let cast = value.cast_to(target).map_err(|e| {
        let error = Error::from(e);
        // Arrow calls both a text that is no number and a number that does not fit a cast error.
        let numbers = value.data_type().is_numeric() && target.is_numeric();
        let kind = if numbers { Kind::NumericOutOfRange } else { Kind::InvalidText };
        Error::new(kind, format!("a parameter of type {} does not fit {target}: {}", types::name(oid), error.message))
    })?;
    // Arrow's default casts give NULL for what does not fit.
    if cast.is_null() {
        let text = format!("a parameter of type {} is out of range for {target}", types::name(oid));
        return Err(Error::new(Kind::NumericOutOfRange, text));
    }
    Ok(cast)
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::new(Kind::InvalidEncoding, "invalid byte sequence for encoding \"UTF8\""))?;
    if text.contains('\0') {
        return Err(Error::new(Kind::InvalidEncoding, "invalid byte sequence for encoding \"UTF8\": 0x00"));
    }
    Ok(text)
}

/// A list of scalars of one type; of `element` where there are none.
fn list(mut values: Vec<ScalarValue>, element: u32) -> Result<ScalarValue> {
    let declared = types::declared_type(element)?.unwrap_or(DataType::Utf8);
    if matches!(declared, DataType::Decimal128(..)) {
        // Numerics are read with the scale they were written with; a list has one.
        for value in &mut values {
            *value = if value.is_null() { ScalarValue::try_from(&declared)? } else { value.cast_to(&declared)? };
        }
    }
    Ok(ScalarValue::List(ScalarValue::new_list(&values, &declared, true)))
}

/// A decimal of the digits (with sign) and scale: 128 bits wide if it fits, else 256.
fn decimal(digits: &str, scale: usize) -> Result<ScalarValue> {
    use datafusion::arrow::datatypes::i256;
    let too_wide = || {
        Error::new(Kind::NumericOutOfRange, "a numeric parameter has more than 76 digits")
            .with_hint("send it as text and cast it in the statement")
    };
    let count = digits.bytes().filter(u8::is_ascii_digit).count().max(scale).max(1);
    let scale = i8::try_from(scale).map_err(|_| too_wide())?;
    if count <= 38
        && let Ok(value) = digits.parse::<i128>()
    {
        // The precision is the most there is, so that a cast never has to drop digits it could keep.
        return Ok(ScalarValue::Decimal128(Some(value), 38, scale));
    }
    if count > 76 {
        return Err(too_wide());
    }
    let value = i256::from_string(digits).ok_or_else(too_wide)?;
    Ok(ScalarValue::Decimal256(Some(value), 76, scale))
}

#[cfg(test)]
mod tests;
