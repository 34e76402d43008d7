//! Between the catalog's values and DataFusion's: partition values, column bounds, and the statistics of files from which
//! DataFusion answers `count(*)`, orders joins and prunes.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit, i256};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use tycho_catalog::{Column, DataFile, Value};

use crate::error::{Error, Kind, Result};

/// A value of the catalog as a scalar of a column's type. A value that the type cannot hold is `DataCorrupted`.
pub fn scalar_from_value(value: &Value, data_type: &DataType) -> Result<ScalarValue> {
    let unfit = || {
        Error::new(Kind::DataCorrupted, format!("the value {value:?} in the catalog does not fit the type {data_type}"))
    };
    if value.is_null() {
        return Ok(ScalarValue::try_from(data_type)?);
    }
    if let DataType::Dictionary(key, inner) = data_type {
        return Ok(ScalarValue::Dictionary(key.clone(), Box::new(scalar_from_value(value, inner)?)));
    }
    Ok(match (value, data_type) {
        (Value::Boolean(b), DataType::Boolean) => ScalarValue::Boolean(Some(*b)),
        (Value::Int(i), DataType::Int8) => ScalarValue::Int8(Some(i8::try_from(*i).map_err(|_| unfit())?)),
        (Value::Int(i), DataType::Int16) => ScalarValue::Int16(Some(i16::try_from(*i).map_err(|_| unfit())?)),
        (Value::Int(i), DataType::Int32) => ScalarValue::Int32(Some(i32::try_from(*i).map_err(|_| unfit())?)),
        (Value::Int(i), DataType::Int64) => ScalarValue::Int64(Some(*i)),
        (Value::Int(i), DataType::UInt8) => ScalarValue::UInt8(Some(u8::try_from(*i).map_err(|_| unfit())?)),
        (Value::Int(i), DataType::UInt16) => ScalarValue::UInt16(Some(u16::try_from(*i).map_err(|_| unfit())?)),
        (Value::Int(i), DataType::UInt32) => ScalarValue::UInt32(Some(u32::try_from(*i).map_err(|_| unfit())?)),
        (Value::Int(i), DataType::UInt64) => ScalarValue::UInt64(Some(u64::try_from(*i).map_err(|_| unfit())?)),
        // A column that was widened from an integer type keeps the bounds of its older files.
        (Value::Int(i), DataType::Float64) => ScalarValue::Float64(Some(*i as f64)),
        (Value::Float(f), DataType::Float32) => ScalarValue::Float32(Some(*f as f32)),
        (Value::Float(f), DataType::Float64) => ScalarValue::Float64(Some(*f)),
        (Value::Decimal { unscaled, scale }, DataType::Decimal128(precision, wanted)) => {
            let unscaled = rescale(*unscaled, *scale, *wanted).ok_or_else(unfit)?;
            ScalarValue::Decimal128(Some(unscaled), *precision, *wanted)
        }
        (Value::Decimal { unscaled, scale }, DataType::Decimal256(precision, wanted)) => {
            let unscaled = rescale(*unscaled, *scale, *wanted).ok_or_else(unfit)?;
            ScalarValue::Decimal256(Some(i256::from_i128(unscaled)), *precision, *wanted)
        }
        (Value::Date(d), DataType::Date32) => ScalarValue::Date32(Some(*d)),
        (Value::Date(d), DataType::Date64) => ScalarValue::Date64(Some(i64::from(*d) * 86_400_000)),
        (Value::Timestamp(t), DataType::Timestamp(unit, zone)) => {
            let zone = zone.clone();
            match unit {
                TimeUnit::Second => ScalarValue::TimestampSecond(Some(t.div_euclid(1_000_000)), zone),
                TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(t.div_euclid(1_000)), zone),
                TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(*t), zone),
                TimeUnit::Nanosecond => {
                    ScalarValue::TimestampNanosecond(Some(t.checked_mul(1_000).ok_or_else(unfit)?), zone)
                }
            }
        }
        (Value::Text(s), DataType::Utf8) => ScalarValue::Utf8(Some(s.clone())),
        (Value::Text(s), DataType::LargeUtf8) => ScalarValue::LargeUtf8(Some(s.clone())),
        (Value::Text(s), DataType::Utf8View) => ScalarValue::Utf8View(Some(s.clone())),
        (Value::Binary(b), DataType::Binary) => ScalarValue::Binary(Some(b.clone())),
        (Value::Binary(b), DataType::LargeBinary) => ScalarValue::LargeBinary(Some(b.clone())),
        (Value::Binary(b), DataType::BinaryView) => ScalarValue::BinaryView(Some(b.clone())),
        (Value::Binary(b), DataType::FixedSizeBinary(size)) => ScalarValue::FixedSizeBinary(*size, Some(b.clone())),
        _ => return Err(unfit()),
    })
}

fn rescale(unscaled: i128, from: i8, to: i8) -> Option<i128> {
    let power = 10i128.checked_pow(u32::from(from.abs_diff(to)))?;
    if to >= from { unscaled.checked_mul(power) } else { (unscaled % power == 0).then(|| unscaled / power) }
}

/// A scalar as a value of the catalog. What the catalog has no value for (lists, intervals, times of day, decimals beyond 38
/// digits) is `Value::Null`, which in a bound means unknown. Timestamps finer than microseconds are cut downwards.
pub fn value_from_scalar(scalar: &ScalarValue) -> Value {
    if scalar.is_null() {
        return Value::Null;
    }
    match scalar {
        ScalarValue::Boolean(Some(b)) => Value::Boolean(*b),
        ScalarValue::Int8(Some(i)) => Value::Int(i64::from(*i)),
        ScalarValue::Int16(Some(i)) => Value::Int(i64::from(*i)),
        ScalarValue::Int32(Some(i)) => Value::Int(i64::from(*i)),
        ScalarValue::Int64(Some(i)) => Value::Int(*i),
        ScalarValue::UInt8(Some(i)) => Value::Int(i64::from(*i)),
        ScalarValue::UInt16(Some(i)) => Value::Int(i64::from(*i)),
        ScalarValue::UInt32(Some(i)) => Value::Int(i64::from(*i)),
        ScalarValue::UInt64(Some(i)) => i64::try_from(*i).map_or(Value::Null, Value::Int),
        ScalarValue::Float32(Some(f)) => Value::Float(f64::from(*f)),
        ScalarValue::Float64(Some(f)) => Value::Float(*f),
        ScalarValue::Decimal32(Some(d), _, scale) => Value::Decimal { unscaled: i128::from(*d), scale: *scale },
        ScalarValue::Decimal64(Some(d), _, scale) => Value::Decimal { unscaled: i128::from(*d), scale: *scale },
        ScalarValue::Decimal128(Some(d), _, scale) => Value::Decimal { unscaled: *d, scale: *scale },
        ScalarValue::Decimal256(Some(d), _, scale) => {
            d.to_i128().map_or(Value::Null, |unscaled| Value::Decimal { unscaled, scale: *scale })
        }
        ScalarValue::Date32(Some(d)) => Value::Date(*d),
        ScalarValue::Date64(Some(ms)) => i32::try_from(ms.div_euclid(86_400_000)).map_or(Value::Null, Value::Date),
        ScalarValue::TimestampSecond(Some(t), _) => t.checked_mul(1_000_000).map_or(Value::Null, Value::Timestamp),
        ScalarValue::TimestampMillisecond(Some(t), _) => t.checked_mul(1_000).map_or(Value::Null, Value::Timestamp),
        ScalarValue::TimestampMicrosecond(Some(t), _) => Value::Timestamp(*t),
        ScalarValue::TimestampNanosecond(Some(t), _) => Value::Timestamp(t.div_euclid(1_000)),
        ScalarValue::Utf8(Some(s)) | ScalarValue::LargeUtf8(Some(s)) | ScalarValue::Utf8View(Some(s)) => {
            Value::Text(s.clone())
        }
        ScalarValue::Binary(Some(b))
        | ScalarValue::LargeBinary(Some(b))
        | ScalarValue::BinaryView(Some(b))
        | ScalarValue::FixedSizeBinary(_, Some(b)) => Value::Binary(b.clone()),
        ScalarValue::Dictionary(_, inner) => value_from_scalar(inner),
        _ => Value::Null,
    }
}

/// DataFusion's statistics of one file over a table's schema (data columns, then partition columns). Row and NULL counts are
/// exact. Bounds are exact where nothing shortens them; those of text, bytes and floating point numbers are bounds only,
/// because a writer may cut long ones, and NaN and the signs of zero have no place in them.
pub fn file_statistics(
    file: &DataFile,
    columns: &[Column],
    partition_values: &[ScalarValue],
    schema: &SchemaRef,
) -> Result<Arc<Statistics>> {
    let rows = usize::try_from(file.rows).unwrap_or(usize::MAX);
    let mut all = Vec::with_capacity(schema.fields().len());
    for (column, field) in columns.iter().zip(schema.fields()) {
        let mut statistics = ColumnStatistics::new_unknown();
        if let Some(known) = file.statistics.iter().find(|s| s.column == column.id) {
            if let Some(nulls) = known.nulls {
                statistics.null_count = Precision::Exact(usize::try_from(nulls).unwrap_or(usize::MAX));
            }
            statistics.min_value = bound(known.min.as_ref(), field.data_type());
            statistics.max_value = bound(known.max.as_ref(), field.data_type());
        }
        all.push(statistics);
    }
    all.extend(partition_values.iter().map(|value| constant(value, rows)));
    Ok(Arc::new(Statistics {
        num_rows: Precision::Exact(rows),
        total_byte_size: Precision::Inexact(usize::try_from(file.size_bytes).unwrap_or(usize::MAX)),
        column_statistics: all,
    }))
}

/// Statistics of a file of which only the partition is known.
pub fn unknown_statistics(data_columns: usize, partition_values: &[ScalarValue], size_bytes: u64) -> Arc<Statistics> {
    let mut all = vec![ColumnStatistics::new_unknown(); data_columns];
    all.extend(partition_values.iter().map(|value| {
        let mut statistics = constant(value, 0);
        if value.is_null() {
            statistics.null_count = Precision::Absent;
        }
        statistics
    }));
    Arc::new(Statistics {
        num_rows: Precision::Absent,
        total_byte_size: Precision::Inexact(usize::try_from(size_bytes).unwrap_or(usize::MAX)),
        column_statistics: all,
    })
}

/// DataFusion's own `PartitionedFile::with_statistics` takes no partition value for NULL, and would count none.
fn constant(value: &ScalarValue, rows: usize) -> ColumnStatistics {
    let statistics = ColumnStatistics::new_unknown();
    if value.is_null() {
        return statistics.with_null_count(Precision::Exact(rows)).with_distinct_count(Precision::Exact(0));
    }
    statistics
        .with_null_count(Precision::Exact(0))
        .with_min_value(Precision::Exact(value.clone()))
        .with_max_value(Precision::Exact(value.clone()))
        .with_distinct_count(Precision::Exact(1))
}

fn bound(value: Option<&Value>, data_type: &DataType) -> Precision<ScalarValue> {
    // A value that no longer fits the column's type is no bound of it; and a catalog value, in microseconds, is none for
    // nanoseconds.
    let scalar = match (value, data_type) {
        (None | Some(Value::Null), _) | (_, DataType::Timestamp(TimeUnit::Nanosecond, _)) => None,
        (Some(Value::Float(f)), _) if f.is_nan() => None,
        (Some(value), _) => scalar_from_value(value, data_type).ok(),
    };
    match scalar {
        None => Precision::Absent,
        Some(scalar) => match data_type {
            DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, _) => Precision::Exact(scalar),
            _ => Precision::Inexact(scalar),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{Field, Schema};

    #[test]
    fn values_survive_the_way_there_and_back() {
        for (value, data_type) in [
            (Value::Int(-7), DataType::Int16),
            (Value::Int(7), DataType::UInt64),
            (Value::Boolean(true), DataType::Boolean),
            (Value::Float(1.5), DataType::Float64),
            (Value::Decimal { unscaled: 12345, scale: 2 }, DataType::Decimal128(10, 2)),
            (Value::Date(-1), DataType::Date32),
            (Value::Timestamp(-1_500_000), DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            (Value::Timestamp(2_000_000), DataType::Timestamp(TimeUnit::Nanosecond, None)),
            (Value::Text("é".into()), DataType::Utf8View),
            (Value::Binary(vec![0, 255]), DataType::Binary),
            (Value::Null, DataType::Utf8),
        ] {
            let scalar = scalar_from_value(&value, &data_type).unwrap();
            assert_eq!(scalar.data_type(), data_type);
            assert_eq!(value_from_scalar(&scalar), value);
        }
        let widened = scalar_from_value(&Value::Decimal { unscaled: 5, scale: 0 }, &DataType::Decimal128(10, 2));
        assert_eq!(widened.unwrap(), ScalarValue::Decimal128(Some(500), 10, 2));
        assert_eq!(scalar_from_value(&Value::Int(300), &DataType::Int8).unwrap_err().kind, Kind::DataCorrupted);
        assert_eq!(scalar_from_value(&Value::Int(3), &DataType::Utf8).unwrap_err().kind, Kind::DataCorrupted);
    }

    #[test]
    fn null_partitions_count_their_rows_as_null() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("s", DataType::Utf8, true),
            Field::new("p", DataType::Int32, true),
        ]));
        let column = |id, name: &str, data_type| Column {
            id,
            name: name.into(),
            data_type,
            sql_type: None,
            nullable: true,
            comment: None,
            default: None,
        };
        let columns = [column(1, "a", DataType::Int64), column(2, "s", DataType::Utf8)];
        let known = |column, min, max| tycho_catalog::ColumnStatistics { column, min, max, nulls: Some(2) };
        let file = DataFile {
            partition: "p=__HIVE_DEFAULT_PARTITION__".into(),
            path: "x".into(),
            size_bytes: 10,
            rows: 5,
            statistics: vec![
                known(1, Some(Value::Int(1)), Some(Value::Int(9))),
                known(2, Some(Value::Text("a".into())), None),
            ],
            sorted_by: vec![],
            etag: None,
            added_by: 1,
            staged: None,
        };
        let statistics = file_statistics(&file, &columns, &[ScalarValue::Int32(None)], &schema).unwrap();
        assert_eq!(statistics.num_rows, Precision::Exact(5));
        assert_eq!(statistics.column_statistics[0].max_value, Precision::Exact(ScalarValue::Int64(Some(9))));
        assert_eq!(statistics.column_statistics[1].min_value, Precision::Inexact(ScalarValue::Utf8(Some("a".into()))));
        assert_eq!(statistics.column_statistics[2].null_count, Precision::Exact(5));
        assert_eq!(statistics.column_statistics[2].min_value, Precision::Absent);
    }
}
