//! Between Arrow arrays, Parquet statistics and the catalog's values.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::*;
use datafusion::parquet::data_type::ByteArray;
use datafusion::parquet::file::statistics::Statistics;
use tycho_catalog::Value;

/// One value of an array; `None` for types that a `Value` cannot hold (nested ones, intervals, times).
pub(super) fn value_at(array: &dyn Array, row: usize) -> Option<Value> {
    if array.is_null(row) {
        return Some(Value::Null);
    }
    Some(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => Value::Int(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Value::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Value::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => Value::Int(array.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => Value::Int(array.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => Value::Int(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => Value::Int(array.as_primitive::<UInt64Type>().value(row).try_into().ok()?),
        DataType::Float16 => Value::Float(array.as_primitive::<Float16Type>().value(row).to_f64()),
        DataType::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal32(_, scale) => {
            Value::Decimal { unscaled: array.as_primitive::<Decimal32Type>().value(row).into(), scale: *scale }
        }
        DataType::Decimal64(_, scale) => {
            Value::Decimal { unscaled: array.as_primitive::<Decimal64Type>().value(row).into(), scale: *scale }
        }
        DataType::Decimal128(_, scale) => {
            Value::Decimal { unscaled: array.as_primitive::<Decimal128Type>().value(row), scale: *scale }
        }
        DataType::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Second, _) => {
            Value::Timestamp(array.as_primitive::<TimestampSecondType>().value(row).checked_mul(1_000_000)?)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Value::Timestamp(array.as_primitive::<TimestampMillisecondType>().value(row).checked_mul(1000)?)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Value::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Value::Timestamp(array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1000))
        }
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Value::Text(array.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => Value::Text(array.as_string_view().value(row).to_owned()),
        DataType::Binary => Value::Binary(array.as_binary::<i32>().value(row).to_vec()),
        DataType::LargeBinary => Value::Binary(array.as_binary::<i64>().value(row).to_vec()),
        DataType::BinaryView => Value::Binary(array.as_binary_view().value(row).to_vec()),
        DataType::FixedSizeBinary(_) => Value::Binary(array.as_fixed_size_binary().value(row).to_vec()),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            return value_at(dictionary.values().as_ref(), dictionary.normalized_keys()[row]);
        }
        _ => return None,
    })
}

/// The least and greatest value of a column chunk by its statistics, each `None` where it is not known. Bounds of long text may
/// be cut, and are then below the least and above the greatest value.
pub(super) fn statistics_bounds(statistics: &Statistics, data_type: &DataType) -> (Option<Value>, Option<Value>) {
    fn both<T>(min: Option<T>, max: Option<T>, value: impl Fn(T) -> Option<Value>) -> (Option<Value>, Option<Value>) {
        (min.and_then(&value), max.and_then(&value))
    }
    match statistics {
        Statistics::Boolean(s) => both(s.min_opt(), s.max_opt(), |b| Some(Value::Boolean(*b))),
        Statistics::Int32(s) => both(s.min_opt(), s.max_opt(), |i| integer_bound((*i).into(), data_type)),
        Statistics::Int64(s) => both(s.min_opt(), s.max_opt(), |i| integer_bound(*i, data_type)),
        Statistics::Float(s) => both(s.min_opt(), s.max_opt(), |f| Some(Value::Float((*f).into()))),
        Statistics::Double(s) => both(s.min_opt(), s.max_opt(), |f| Some(Value::Float(*f))),
        Statistics::ByteArray(s) => both(s.min_opt(), s.max_opt(), |b| bytes_bound(b, data_type)),
        Statistics::FixedLenByteArray(s) => both(s.min_opt(), s.max_opt(), |b| bytes_bound(b, data_type)),
        Statistics::Int96(_) => (None, None),
    }
}

fn integer_bound(integer: i64, data_type: &DataType) -> Option<Value> {
    Some(match data_type {
        DataType::Date32 => Value::Date(i32::try_from(integer).ok()?),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Value::Timestamp(integer),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            Value::Decimal { unscaled: integer.into(), scale: *scale }
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Value::Int(integer),
        DataType::UInt8 | DataType::UInt16 => Value::Int(integer),
        // Parquet keeps the bits of a UINT32 in an INT32.
        DataType::UInt32 => Value::Int((integer as u32).into()),
        _ => return None,
    })
}

fn bytes_bound(bytes: &ByteArray, data_type: &DataType) -> Option<Value> {
    let bytes = bytes.data();
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            std::str::from_utf8(bytes).ok().map(|text| Value::Text(text.to_owned()))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(Value::Binary(bytes.to_vec())),
        // Big-endian two's complement of as many bytes as the precision needs.
        DataType::Decimal128(_, scale) if !bytes.is_empty() && bytes.len() <= 16 => {
            let fill = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
            let mut wide = [fill; 16];
            wide[16 - bytes.len()..].copy_from_slice(bytes);
            Some(Value::Decimal { unscaled: i128::from_be_bytes(wide), scale: *scale })
        }
        _ => None,
    }
}
