//! Parameters in binary format: what PostgreSQL's `*recv` functions read.

use bytes::Buf;
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;

use super::{decimal, list, utf8};
use crate::error::{Error, Kind, Result};
use crate::wire::encode::datetime::{EPOCH_DAYS, EPOCH_MICROS};
use crate::wire::types::{self, oid};

fn malformed(oid: u32) -> Error {
    Error::new(Kind::InvalidBinary, format!("incorrect binary data format for type {}", types::name(oid)))
}

fn fixed<const N: usize>(bytes: &[u8], oid: u32) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| malformed(oid))
}

pub(super) fn scalar(bytes: &[u8], type_oid: u32) -> Result<ScalarValue> {
    let out_of_range = |what: &str| Error::new(Kind::DatetimeOverflow, format!("{what} out of range"));
    Ok(match type_oid {
        oid::BOOL => ScalarValue::Boolean(Some(fixed::<1>(bytes, type_oid)?[0] != 0)),
        oid::INT2 => ScalarValue::Int16(Some(i16::from_be_bytes(fixed(bytes, type_oid)?))),
        oid::INT4 => ScalarValue::Int32(Some(i32::from_be_bytes(fixed(bytes, type_oid)?))),
        oid::INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(bytes, type_oid)?))),
        oid::OID => ScalarValue::Int64(Some(i64::from(u32::from_be_bytes(fixed(bytes, type_oid)?)))),
        oid::FLOAT4 => ScalarValue::Float32(Some(f32::from_be_bytes(fixed(bytes, type_oid)?))),
        oid::FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(bytes, type_oid)?))),
        oid::NUMERIC => numeric(bytes)?,
        oid::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        oid::DATE => {
            let days = i32::from_be_bytes(fixed(bytes, type_oid)?);
            if matches!(days, i32::MIN | i32::MAX) {
                return Err(infinite());
            }
            ScalarValue::Date32(Some(days.checked_add(EPOCH_DAYS).ok_or_else(|| out_of_range("date"))?))
        }
        oid::TIME => ScalarValue::Time64Microsecond(Some(i64::from_be_bytes(fixed(bytes, type_oid)?))),
        oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(fixed(bytes, type_oid)?);
            if matches!(micros, i64::MIN | i64::MAX) {
                return Err(infinite());
            }
            let micros = micros.checked_add(EPOCH_MICROS).ok_or_else(|| out_of_range("timestamp"))?;
            let zone = (type_oid == oid::TIMESTAMPTZ).then(|| "UTC".into());
            ScalarValue::TimestampMicrosecond(Some(micros), zone)
        }
        oid::INTERVAL => {
            let mut bytes = &fixed::<16>(bytes, type_oid)?[..];
            let nanoseconds = bytes.get_i64().checked_mul(1_000).ok_or_else(|| out_of_range("interval"))?;
            let (days, months) = (bytes.get_i32(), bytes.get_i32());
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanoseconds)))
        }
        oid::UUID => ScalarValue::Utf8(Some(uuid::Uuid::from_bytes(fixed(bytes, type_oid)?).to_string())),
        oid::JSONB => match bytes.split_first() {
            Some((1, json)) => ScalarValue::Utf8(Some(utf8(json)?.to_owned())),
            _ => return Err(malformed(type_oid)),
        },
        _ => ScalarValue::Utf8(Some(utf8(bytes)?.to_owned())),
    })
}

pub(super) fn infinite() -> Error {
    Error::new(Kind::DatetimeOverflow, "infinite dates and timestamps are not supported")
}

/// `numeric_recv`: the inverse of `encode::numeric::put_decimal_binary`.
fn numeric(mut bytes: &[u8]) -> Result<ScalarValue> {
    if bytes.len() < 8 {
        return Err(malformed(oid::NUMERIC));
    }
    let count = usize::from(bytes.get_u16());
    let weight = i32::from(bytes.get_i16());
    let sign = bytes.get_u16();
    let shown = usize::from(bytes.get_u16());
    if bytes.len() != count * 2 {
        return Err(malformed(oid::NUMERIC));
    }
    let mut digits = match sign {
        0x0000 => String::new(),
        0x4000 => "-".to_owned(),
        0xC000 | 0xD000 | 0xF000 => {
            return Err(Error::new(Kind::NumericOutOfRange, "NaN and infinite numerics are not supported"));
        }
        _ => return Err(malformed(oid::NUMERIC)),
    };
    let groups: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    if groups.iter().any(|group| *group > 9_999) {
        return Err(malformed(oid::NUMERIC));
    }
    // Groups left of the point, then as many digits right of it as are shown.
    let (first, last) = (weight.max(0), -(shown.div_ceil(4) as i32));
    if first > 32 || last < -32 {
        return Err(Error::new(Kind::NumericOutOfRange, "a numeric parameter has more than 76 digits"));
    }
    for position in (last..=first).rev() {
        let index = usize::try_from(weight - position).ok();
        let group = index.and_then(|index| groups.get(index)).copied().unwrap_or(0);
        digits.push_str(&format!("{group:04}"));
    }
    digits.truncate(digits.len() - (shown.div_ceil(4) * 4 - shown));
    let negative = digits.starts_with('-');
    let magnitude = digits.trim_start_matches('-').trim_start_matches('0');
    let magnitude = if magnitude.is_empty() { "0" } else { magnitude };
    decimal(&format!("{}{magnitude}", if negative { "-" } else { "" }), shown)
}

/// `array_recv`, of at most one dimension.
pub(super) fn array(mut bytes: &[u8], element: u32) -> Result<ScalarValue> {
    let broken = || Error::new(Kind::InvalidBinary, "incorrect binary data format for an array");
    if bytes.len() < 12 {
        return Err(broken());
    }
    let (dimensions, _has_null, declared) = (bytes.get_i32(), bytes.get_i32(), bytes.get_u32());
    if declared != element {
        return Err(Error::new(Kind::InvalidBinary, "binary array has another element type than its parameter"));
    }
    let count = match dimensions {
        0 => 0,
        1 if bytes.len() >= 8 => {
            let count = bytes.get_i32();
            bytes.advance(4);
            usize::try_from(count).map_err(|_| broken())?
        }
        1 => return Err(broken()),
        _ => return Err(several_dimensions()),
    };
    let mut values = Vec::new();
    for _ in 0..count {
        if bytes.len() < 4 {
            return Err(broken());
        }
        let length = bytes.get_i32();
        if length == -1 {
            let data_type = types::declared_type(element)?.unwrap_or(datafusion::arrow::datatypes::DataType::Utf8);
            values.push(ScalarValue::try_from(&data_type)?);
            continue;
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len()).ok_or_else(broken)?;
        values.push(scalar(&bytes[..length], element)?);
        bytes.advance(length);
    }
    if !bytes.is_empty() {
        return Err(broken());
    }
    list(values, element)
}

pub(super) fn several_dimensions() -> Error {
    Error::new(Kind::FeatureNotSupported, "array parameters of several dimensions are not supported")
}
