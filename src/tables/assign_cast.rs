//! The casts behind store assignment, over whole arrays.
//!
//! Arrow casts where its rules are Spark's (integers, decimal scales); its lossy mode turns what does not fit into NULL, and a NULL
//! that was not there before is the error. The rest (doubles to decimals by their decimal digits, text, dates and
//! timestamps) is done here.

use std::sync::Arc;

use chrono::{Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::types::*;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, ListArray, MapArray, PrimitiveArray, StringBuilder, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use tycho_catalog::Value;

use super::array_value::value_at;
use super::assignment::type_name;
use super::text_value::{decimal_from_text, float_to_text, value_to_text};
use crate::error::{Error, Kind, Result};

const MICROS_A_DAY: i64 = 86_400_000_000;

/// The array cast to a column's type. `place` names column and table in errors: 22003 and 22008 for what does not fit. Only for
/// types that are assignable.
pub(super) fn assign(array: &ArrayRef, to: &DataType, place: &str) -> Result<ArrayRef> {
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    match (from, to) {
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (DataType::Dictionary(_, values), _) => assign(&plain_cast(array, values)?, to, place),
        (DataType::Float16, _) => assign(&plain_cast(array, &DataType::Float32)?, to, place),
        (DataType::Date64, _) => assign(&plain_cast(array, &DataType::Date32)?, to, place),
        (DataType::LargeUtf8 | DataType::Utf8View, DataType::Utf8)
        | (DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_), DataType::Binary) => {
            plain_cast(array, to)
        }
        (_, DataType::Utf8) => to_text(array, place),
        (DataType::Float32 | DataType::Float64, DataType::Decimal128(precision, scale)) => {
            float_to_decimal(array, *precision, *scale, place)
        }
        (DataType::Date32 | DataType::Timestamp(_, _), DataType::Date32 | DataType::Timestamp(_, _)) => {
            datetime(array, to, place)
        }
        (_, DataType::List(item)) => to_list(array, item, place),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let array = array.as_struct();
            let parts = array.columns().iter().zip(fields);
            let parts =
                parts.map(|(part, field)| assign(part, field.data_type(), place)).collect::<Result<Vec<_>>>()?;
            let nulls = array.nulls().cloned();
            let assigned = StructArray::try_new_with_length(fields.clone(), parts, nulls, array.len());
            Ok(Arc::new(assigned.map_err(|e| null_within(e, place))?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let array = array.as_map();
            let pairs: ArrayRef = Arc::new(array.entries().clone());
            let pairs = assign(&pairs, entries.data_type(), place)?.as_struct().clone();
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            let assigned = MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted);
            Ok(Arc::new(assigned.map_err(|e| null_within(e, place))?))
        }
        _ => checked_cast(array, to, place),
    }
}

fn null_within(error: ArrowError, place: &str) -> Error {
    Error::new(Kind::NotNullViolation, format!("NULL for a part of {place} that is NOT NULL")).with_source(error)
}

/// A cast that changes no value.
fn plain_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(array, to, &CastOptions { safe: false, ..Default::default() })?)
}

/// A cast by Arrow in which what does not fit becomes NULL, which is then found.
fn checked_cast(array: &ArrayRef, to: &DataType, place: &str) -> Result<ArrayRef> {
    let output = cast_with_options(array, to, &CastOptions { safe: true, ..Default::default() })?;
    if output.null_count() > array.logical_null_count() {
        let row = (0..array.len()).find(|row| output.is_null(*row) && !array.is_null(*row)).unwrap_or(0);
        return Err(does_not_fit(array, row, to, place));
    }
    Ok(output)
}

fn does_not_fit(array: &ArrayRef, row: usize, to: &DataType, place: &str) -> Error {
    let text = value_at(array, row).and_then(|value| value_to_text(&value));
    let value = text.map_or_else(|| "a value".to_owned(), |text| format!("the value {text}"));
    let kind = if to.is_temporal() { Kind::DatetimeOverflow } else { Kind::NumericOutOfRange };
    Error::new(kind, format!("{value} does not fit {place}, which is {}", type_name(to)))
}

/// By the shortest decimal digits that name the double, as `BigDecimal.valueOf` does, rounded half up: 1.005 is 1.01.
fn float_to_decimal(array: &ArrayRef, precision: u8, scale: i8, place: &str) -> Result<ArrayRef> {
    let wide = plain_cast(array, &DataType::Float64)?;
    let to = DataType::Decimal128(precision, scale);
    let convert = |(row, value): (usize, Option<f64>)| match value {
        None => Ok(None),
        Some(value) => decimal_from_text(&format!("{value:e}"), precision, scale)
            .map(Some)
            .ok_or_else(|| does_not_fit(array, row, &to, place)),
    };
    let decimals = wide.as_primitive::<Float64Type>().iter().enumerate().map(convert);
    let decimals = decimals.collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(decimals.with_precision_and_scale(precision, scale)?))
}

/// As Spark prints values; instants in the time zone of their type.
fn to_text(array: &ArrayRef, place: &str) -> Result<ArrayRef> {
    let local;
    let array = match array.data_type() {
        DataType::Timestamp(_, Some(_)) => {
            local = datetime(array, &DataType::Timestamp(TimeUnit::Microsecond, None), place)?;
            &local
        }
        _ => array,
    };
    if value_at_supported(array.data_type()) {
        let mut text = StringBuilder::with_capacity(array.len(), array.len() * 8);
        let narrow = array.as_primitive_opt::<Float32Type>();
        for row in 0..array.len() {
            match (narrow, value_at(array, row)) {
                (Some(narrow), Some(Value::Float(wide))) => {
                    text.append_value(float_to_text(format!("{:e}", narrow.value(row)), wide));
                }
                (_, Some(Value::Binary(bytes))) => match std::str::from_utf8(&bytes) {
                    Ok(utf8) => text.append_value(utf8),
                    Err(_) => {
                        return Err(Error::new(Kind::InvalidText, format!("binary data for {place} is no UTF-8 text")));
                    }
                },
                (_, value) => text.append_option(value.and_then(|value| value_to_text(&value))),
            }
        }
        return Ok(Arc::new(text.finish()));
    }
    plain_cast(array, &DataType::Utf8)
}

fn value_at_supported(data_type: &DataType) -> bool {
    use DataType::*;
    !matches!(data_type, UInt64 | Decimal256(_, _) | Time32(_) | Time64(_) | Interval(_) | Duration(_) | Date64)
        && !data_type.is_nested()
}

fn to_list(array: &ArrayRef, item: &FieldRef, place: &str) -> Result<ArrayRef> {
    let lists = match array.data_type() {
        DataType::List(_) => Arc::clone(array),
        DataType::LargeList(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::ListView(inner)
        | DataType::LargeListView(inner) => plain_cast(array, &DataType::List(Arc::clone(inner)))?,
        _ => return checked_cast(array, &DataType::List(Arc::clone(item)), place),
    };
    let lists = lists.as_list::<i32>();
    let values = assign(lists.values(), item.data_type(), place)?;
    let assigned = ListArray::try_new(Arc::clone(item), lists.offsets().clone(), values, lists.nulls().cloned());
    Ok(Arc::new(assigned.map_err(|e| null_within(e, place))?))
}

/// Between dates and timestamps. A date is midnight, and a timestamp without zone is local, in the zone of the instant's type.
fn datetime(array: &ArrayRef, to: &DataType, place: &str) -> Result<ArrayRef> {
    let fail = |row| does_not_fit(array, row, to, place);
    let from_zone = zone_of(array.data_type())?;
    let to_zone = zone_of(to)?;
    let moves = matches!((&from_zone, &to_zone), (Some(_), None) | (None, Some(_)));
    let days_only = to == &DataType::Date32;
    let mut micros = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        let utc = match value_at(array, row) {
            Some(Value::Null) => {
                micros.push(None);
                continue;
            }
            Some(Value::Date(days)) => i64::from(days).checked_mul(MICROS_A_DAY),
            Some(Value::Timestamp(micros)) => Some(micros),
            _ => None,
        };
        let utc = utc.ok_or_else(|| fail(row))?;
        let moved = match (&from_zone, &to_zone) {
            (Some(zone), None) if moves => local_micros(utc, zone),
            (None, Some(zone)) if moves => instant_micros(utc, zone),
            _ => Some(utc),
        };
        micros.push(Some(moved.ok_or_else(|| fail(row))?));
    }
    if days_only {
        let days = micros.into_iter().enumerate().map(|(row, micros)| match micros {
            Some(micros) => i32::try_from(micros.div_euclid(MICROS_A_DAY)).map(Some).map_err(|_| fail(row)),
            None => Ok(None),
        });
        return Ok(Arc::new(days.collect::<Result<PrimitiveArray<Date32Type>>>()?));
    }
    let timestamps = TimestampMicrosecondArray::from(micros);
    match to {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => Ok(Arc::new(timestamps.with_timezone_opt(zone.clone()))),
        _ => {
            let timestamps: ArrayRef = Arc::new(timestamps.with_timezone_opt(match to {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            }));
            checked_cast(&timestamps, to, place)
        }
    }
}

fn zone_of(data_type: &DataType) -> Result<Option<Tz>> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => Ok(Some(zone.parse::<Tz>()?)),
        _ => Ok(None),
    }
}

fn local_micros(utc: i64, zone: &Tz) -> Option<i64> {
    let naive = chrono::DateTime::from_timestamp_micros(utc)?.naive_utc();
    utc.checked_add(i64::from(zone.offset_from_utc_datetime(&naive).fix().local_minus_utc()) * 1_000_000)
}

/// The earlier of two where clocks go back; where they go forward, the offset before the change holds.
fn instant_micros(local: i64, zone: &Tz) -> Option<i64> {
    let naive = chrono::DateTime::from_timestamp_micros(local)?.naive_utc();
    let offset = match zone.offset_from_local_datetime(&naive) {
        chrono::LocalResult::Single(offset) | chrono::LocalResult::Ambiguous(offset, _) => offset,
        chrono::LocalResult::None => zone.offset_from_utc_datetime(&(naive - chrono::TimeDelta::days(1))),
    };
    local.checked_sub(i64::from(offset.fix().local_minus_utc()) * 1_000_000)
}
