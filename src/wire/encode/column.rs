//! One column of a batch, opened for writing: its type is looked at once, its values are then read by row.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, StringArray, StringViewArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    Time64MicrosecondType, TimeUnit, i256,
};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::Result;
use crate::wire::types::{field_oid, oid};

/// An opened column.
pub(super) struct Column {
    nulls: Option<NullBuffer>,
    pub(super) values: Values,
}

/// Values by what they are on the wire, not by how Arrow holds them.
pub(super) enum Values {
    Null,
    Bool(BooleanArray),
    Int2(ScalarBuffer<i16>),
    Int4(ScalarBuffer<i32>),
    Int8(ScalarBuffer<i64>),
    Float4(ScalarBuffer<f32>),
    Float8(ScalarBuffer<f64>),
    /// With the scale.
    Numeric(ScalarBuffer<i128>, i8),
    WideNumeric(ScalarBuffer<i256>, i8),
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    /// Text that is JSON already.
    Json(StringArray),
    Bytes(BinaryArray),
    LargeBytes(LargeBinaryArray),
    BytesView(BinaryViewArray),
    FixedBytes(FixedSizeBinaryArray),
    Uuid(FixedSizeBinaryArray),
    /// Days since 1970-01-01.
    Date(ScalarBuffer<i32>),
    /// Microseconds since midnight.
    Time(ScalarBuffer<i64>),
    Timestamp(ScalarBuffer<i64>, TimeUnit),
    Instant(ScalarBuffer<i64>, TimeUnit),
    Interval(ScalarBuffer<IntervalMonthDayNano>),
    Duration(ScalarBuffer<i64>, TimeUnit),
    List(List),
    Struct(Vec<(String, Column)>),
    Map(Box<Map>),
}

pub(super) struct List {
    pub(super) ranges: Ranges,
    pub(super) elements: Box<Column>,
    /// Type of the innermost elements.
    pub(super) element_oid: u32,
}

/// Where in its elements the list of a row lies.
pub(super) enum Ranges {
    Small(OffsetBuffer<i32>),
    Large(OffsetBuffer<i64>),
    Fixed(usize),
}

impl Ranges {
    pub(super) fn of(&self, row: usize) -> std::ops::Range<usize> {
        match self {
            Ranges::Small(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Ranges::Large(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Ranges::Fixed(length) => row * length..(row + 1) * length,
        }
    }
}

pub(super) struct Map {
    pub(super) ranges: Ranges,
    pub(super) keys: Column,
    pub(super) values: Column,
}

impl Column {
    /// Looks at an array's type, once for all its rows.
    pub(super) fn open(array: &ArrayRef, field: &Field) -> Result<Column> {
        let array = plain(array)?;
        let nulls = array.nulls().cloned();
        let values = match (field_oid(field), array.data_type()) {
            (oid::UUID, DataType::FixedSizeBinary(16)) => Values::Uuid(array.as_fixed_size_binary().clone()),
            (oid::JSON, DataType::Utf8) => Values::Json(array.as_string().clone()),
            (oid::JSON, DataType::LargeUtf8 | DataType::Utf8View) => {
                Values::Json(cast(&array, &DataType::Utf8)?.as_string().clone())
            }
            _ => Values::open(&array)?,
        };
        Ok(Column { nulls, values })
    }

    #[inline]
    pub(super) fn is_null(&self, row: usize) -> bool {
        match &self.nulls {
            Some(nulls) => nulls.is_null(row),
            None => matches!(self.values, Values::Null),
        }
    }
}

impl Values {
    fn open(array: &ArrayRef) -> Result<Values> {
        Ok(match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Bool(array.as_boolean().clone()),
            DataType::Int16 => Values::Int2(buffer::<Int16Type>(array)),
            DataType::Int32 => Values::Int4(buffer::<Int32Type>(array)),
            DataType::Int64 => Values::Int8(buffer::<Int64Type>(array)),
            DataType::Float32 => Values::Float4(buffer::<Float32Type>(array)),
            DataType::Float64 => Values::Float8(buffer::<Float64Type>(array)),
            DataType::Decimal128(_, scale) => Values::Numeric(buffer::<Decimal128Type>(array), *scale),
            DataType::Decimal256(_, scale) => Values::WideNumeric(buffer::<Decimal256Type>(array), *scale),
            DataType::Utf8 => Values::Text(array.as_string().clone()),
            DataType::LargeUtf8 => Values::LargeText(array.as_string().clone()),
            DataType::Utf8View => Values::TextView(array.as_string_view().clone()),
            DataType::Binary => Values::Bytes(array.as_binary().clone()),
            DataType::LargeBinary => Values::LargeBytes(array.as_binary().clone()),
            DataType::BinaryView => Values::BytesView(array.as_binary_view().clone()),
            DataType::FixedSizeBinary(_) => Values::FixedBytes(array.as_fixed_size_binary().clone()),
            DataType::Date32 => Values::Date(buffer::<Date32Type>(array)),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(buffer::<Time64MicrosecondType>(array)),
            DataType::Timestamp(unit, None) => Values::Timestamp(integers(array), *unit),
            DataType::Timestamp(unit, Some(_)) => Values::Instant(integers(array), *unit),
            DataType::Duration(unit) => Values::Duration(integers(array), *unit),
            DataType::Interval(_) => Values::Interval(buffer::<IntervalMonthDayNanoType>(array)),
            DataType::List(element) => {
                let list = array.as_list::<i32>();
                Values::list(Ranges::Small(list.offsets().clone()), list.values(), element)?
            }
            DataType::LargeList(element) => {
                let list = array.as_list::<i64>();
                Values::list(Ranges::Large(list.offsets().clone()), list.values(), element)?
            }
            DataType::FixedSizeList(element, length) => {
                Values::list(Ranges::Fixed(*length as usize), array.as_fixed_size_list().values(), element)?
            }
            DataType::Struct(fields) => {
                let children = array.as_struct().columns().iter().zip(fields);
                let opened = children.map(|(child, field)| Ok((field.name().clone(), Column::open(child, field)?)));
                Values::Struct(opened.collect::<Result<_>>()?)
            }
            DataType::Map(entries, _) => {
                let map = array.as_map();
                let (keys, values) = match entries.data_type() {
                    DataType::Struct(fields) if fields.len() == 2 => (&fields[0], &fields[1]),
                    _ => return formatted(array),
                };
                Values::Map(Box::new(Map {
                    ranges: Ranges::Small(map.offsets().clone()),
                    keys: Column::open(map.keys(), keys)?,
                    values: Column::open(map.values(), values)?,
                }))
            }
            _ => formatted(array)?,
        })
    }

    fn list(ranges: Ranges, elements: &ArrayRef, field: &Field) -> Result<Values> {
        let elements = Box::new(Column::open(elements, field)?);
        let element_oid = match &elements.values {
            Values::List(inner) => inner.element_oid,
            _ => field_oid(field),
        };
        Ok(Values::List(List { ranges, elements, element_oid }))
    }
}

fn buffer<T: ArrowPrimitiveType>(array: &ArrayRef) -> ScalarBuffer<T::Native> {
    array.as_primitive::<T>().values().clone()
}

/// The 64-bit integers behind a timestamp or duration of any unit.
fn integers(array: &ArrayRef) -> ScalarBuffer<i64> {
    let data = array.to_data();
    ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
}

/// Brings an array to one of the types that [`Values::open`] knows: dictionaries and runs are unpacked, narrow types widened to
/// those of PostgreSQL.
fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    let target = match array.data_type() {
        DataType::Dictionary(_, value) => DataType::clone(value),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(TimeUnit::Nanosecond) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime) => {
            DataType::Interval(IntervalUnit::MonthDayNano)
        }
        DataType::ListView(element) => DataType::List(Arc::clone(element)),
        DataType::LargeListView(element) => DataType::LargeList(Arc::clone(element)),
        _ => return Ok(Arc::clone(array)),
    };
    // A dictionary may hold any of the other types.
    plain(&cast(array, &target)?)
}

fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, target, &options)?)
}

/// Types without a PostgreSQL counterpart (unions) as Arrow prints them.
fn formatted(array: &ArrayRef) -> Result<Values> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options)?;
    Ok(Values::Text((0..array.len()).map(|row| Some(formatter.value(row).to_string())).collect()))
}
