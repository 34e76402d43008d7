//! PostgreSQL's types for Arrow's and back: OIDs, sizes and modifiers as RowDescription and ParameterDescription tell them.
//!
//! OIDs are those of PostgreSQL 15's `pg_type.dat`; clients have them compiled in.

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use pgwire::messages::data::{FieldDescription, RowDescription};

use crate::error::{Error, Kind, Result};

/// OIDs of PostgreSQL's built-in types.
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const CHAR: u32 = 18;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const JSON: u32 = 114;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const UNKNOWN: u32 = 705;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const NUMERIC: u32 = 1700;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
}

/// (type, its array type, size in bytes or -1, name as error messages print it).
const TYPES: &[(u32, u32, i16, &str)] = &[
    (oid::BOOL, 1000, 1, "boolean"),
    (oid::BYTEA, 1001, -1, "bytea"),
    (oid::CHAR, 1002, 1, "\"char\""),
    (oid::NAME, 1003, 64, "name"),
    (oid::INT8, 1016, 8, "bigint"),
    (oid::INT2, 1005, 2, "smallint"),
    (oid::INT4, 1007, 4, "integer"),
    (oid::TEXT, 1009, -1, "text"),
    (oid::OID, 1028, 4, "oid"),
    (oid::JSON, 199, -1, "json"),
    (oid::FLOAT4, 1021, 4, "real"),
    (oid::FLOAT8, 1022, 8, "double precision"),
    (oid::BPCHAR, 1014, -1, "character"),
    (oid::VARCHAR, 1015, -1, "character varying"),
    (oid::DATE, 1182, 4, "date"),
    (oid::TIME, 1183, 8, "time without time zone"),
    (oid::TIMESTAMP, 1115, 8, "timestamp without time zone"),
    (oid::TIMESTAMPTZ, 1185, 8, "timestamp with time zone"),
    (oid::INTERVAL, 1187, 16, "interval"),
    (oid::NUMERIC, 1231, -1, "numeric"),
    (oid::UUID, 2951, 16, "uuid"),
    (oid::JSONB, 3807, -1, "jsonb"),
];

/// The array type whose elements have this type.
pub fn array_oid(element: u32) -> Option<u32> {
    TYPES.iter().find(|t| t.0 == element).map(|t| t.1)
}

/// The type of the elements of an array type; `None` if it is no array type.
pub fn element_oid(array: u32) -> Option<u32> {
    TYPES.iter().find(|t| t.1 == array).map(|t| t.0)
}

/// The type's name in messages.
pub fn name(oid: u32) -> &'static str {
    TYPES.iter().find(|t| t.0 == oid).map_or("unknown", |t| t.3)
}

/// Bytes of a value in memory as `pg_type.typlen` says; -1: variable.
fn size(oid: u32) -> i16 {
    TYPES.iter().find(|t| t.0 == oid).map_or(-1, |t| t.2)
}

/// The type that values of an Arrow type are sent as.
pub fn oid_of(data_type: &DataType) -> u32 {
    match data_type {
        DataType::Boolean => oid::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => oid::INT2,
        DataType::Int32 | DataType::UInt16 => oid::INT4,
        DataType::Int64 | DataType::UInt32 => oid::INT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => oid::NUMERIC,
        DataType::Float16 | DataType::Float32 => oid::FLOAT4,
        DataType::Float64 => oid::FLOAT8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => oid::BYTEA,
        DataType::Date32 | DataType::Date64 => oid::DATE,
        DataType::Time32(_) | DataType::Time64(_) => oid::TIME,
        DataType::Timestamp(_, None) => oid::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => oid::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => oid::INTERVAL,
        DataType::Struct(_) | DataType::Map(..) => oid::JSON,
        DataType::Dictionary(_, value) => oid_of(value),
        DataType::RunEndEncoded(_, values) => field_oid(values),
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _) => {
            let inner = field_oid(element);
            // A list of lists is PostgreSQL's array of two dimensions, which has the same type as one of one dimension.
            array_oid(inner).unwrap_or(inner)
        }
        _ => oid::TEXT,
    }
}

/// As [`oid_of`], minding Arrow's extension types for UUID and JSON.
pub fn field_oid(field: &Field) -> u32 {
    match (field.extension_type_name(), field.data_type()) {
        (Some("arrow.uuid"), DataType::FixedSizeBinary(16)) => oid::UUID,
        (Some("arrow.json"), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => oid::JSON,
        (_, data_type) => oid_of(data_type),
    }
}

/// `pg_attribute.atttypmod`: precision and scale of numerics (numeric.c, `make_numeric_typmod`), -1 for all else.
pub fn type_modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4,
        DataType::Dictionary(_, value) => type_modifier(value),
        DataType::RunEndEncoded(_, values) => type_modifier(values.data_type()),
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            type_modifier(element.data_type())
        }
        _ => -1,
    }
}

/// The Arrow type that a parameter of a declared type is analysed as; `None`: the client leaves it to the statement.
///
/// A numeric without a modifier has no fixed scale; it becomes `Decimal128(38, 18)`.
pub fn declared_type(type_oid: u32) -> Result<Option<DataType>> {
    if let Some(element) = element_oid(type_oid) {
        let element = declared_type(element)?.unwrap_or(DataType::Utf8);
        return Ok(Some(DataType::List(Field::new_list_field(element, true).into())));
    }
    let data_type = match type_oid {
        0 | oid::UNKNOWN => return Ok(None),
        oid::BOOL => DataType::Boolean,
        oid::BYTEA => DataType::Binary,
        oid::INT2 => DataType::Int16,
        oid::INT4 => DataType::Int32,
        oid::INT8 | oid::OID => DataType::Int64,
        oid::FLOAT4 => DataType::Float32,
        oid::FLOAT8 => DataType::Float64,
        oid::NUMERIC => DataType::Decimal128(38, 18),
        oid::DATE => DataType::Date32,
        oid::TIME => DataType::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        oid::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        oid::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::CHAR | oid::JSON | oid::JSONB | oid::UUID => {
            DataType::Utf8
        }
        other => {
            return Err(Error::new(Kind::UndefinedObject, format!("type with OID {other} does not exist"))
                .with_hint("declare the parameter as text, or leave its type to the statement (OID 0)"));
        }
    };
    Ok(Some(data_type))
}

/// Text or binary, for one column or parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
}

impl Format {
    pub fn from_code(code: i16) -> Result<Format> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(Error::new(Kind::ProtocolViolation, format!("unsupported format code {other}"))),
        }
    }

    pub fn code(self) -> i16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }

    /// One format a column, from the codes of a Bind message: none (all text), one (for all), or one each.
    pub fn expand(codes: &[i16], columns: usize, what: &str) -> Result<Vec<Format>> {
        match codes {
            [] => Ok(vec![Format::Text; columns]),
            [one] => Ok(vec![Format::from_code(*one)?; columns]),
            each if each.len() == columns => each.iter().map(|code| Format::from_code(*code)).collect(),
            other => Err(Error::new(
                Kind::ProtocolViolation,
                format!("bind message has {} {what} formats but there are {columns} {what}s", other.len()),
            )),
        }
    }
}

/// RowDescription of a result; `formats` holds one format a column.
pub fn row_description(schema: &Schema, formats: &[Format]) -> RowDescription {
    let fields = schema.fields().iter().zip(formats).map(|(field, format)| {
        let type_id = field_oid(field);
        FieldDescription::new(
            field.name().replace('\0', ""),
            0,
            0,
            type_id,
            size(type_id),
            type_modifier(field.data_type()),
            format.code(),
        )
    });
    RowDescription::new(fields.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_postgresql() {
        assert_eq!(oid_of(&DataType::UInt64), oid::NUMERIC);
        assert_eq!(oid_of(&DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into())), oid::TEXT);
        let list = DataType::List(Field::new_list_field(DataType::Int32, true).into());
        assert_eq!(oid_of(&list), 1007);
        let nested = DataType::List(Field::new_list_field(list, true).into());
        assert_eq!(oid_of(&nested), 1007);
        let structs = DataType::List(Field::new_list_field(DataType::Struct(Default::default()), true).into());
        assert_eq!(oid_of(&structs), 199);
    }

    #[test]
    fn numeric_modifier_holds_precision_and_scale() {
        // SELECT atttypmod … numeric(10,2) is 655366; numeric(5,-2) is 329730 (PostgreSQL 15).
        assert_eq!(type_modifier(&DataType::Decimal128(10, 2)), 655_366);
        assert_eq!(type_modifier(&DataType::Decimal128(5, -2)), ((5 << 16) | 2046) + 4);
        assert_eq!(type_modifier(&DataType::Int64), -1);
    }

    #[test]
    fn format_codes_are_for_none_all_or_each() {
        assert_eq!(Format::expand(&[], 2, "column").unwrap(), [Format::Text; 2]);
        assert_eq!(Format::expand(&[1], 2, "column").unwrap(), [Format::Binary; 2]);
        assert_eq!(Format::expand(&[1, 0], 2, "column").unwrap(), [Format::Binary, Format::Text]);
        assert_eq!(Format::expand(&[1, 0, 0], 2, "column").unwrap_err().kind, Kind::ProtocolViolation);
        assert_eq!(Format::expand(&[7], 1, "column").unwrap_err().kind, Kind::ProtocolViolation);
    }

    #[test]
    fn declared_types_come_back() {
        for (type_oid, array, ..) in TYPES {
            assert!(declared_type(*type_oid).unwrap().is_some(), "{type_oid}");
            assert!(matches!(declared_type(*array).unwrap(), Some(DataType::List(_))), "{array}");
        }
        assert_eq!(declared_type(0).unwrap(), None);
        assert_eq!(declared_type(999_999).unwrap_err().sqlstate(), "42704");
    }
}
