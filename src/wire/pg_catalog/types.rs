//! PostgreSQL's types: the OID and modifier of an Arrow type, and the names that `format_type` gives.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::arrow::datatypes::DataType;

use super::definitions;

pub const BOOL: u32 = 16;
pub const BYTEA: u32 = 17;
pub const INT8: u32 = 20;
pub const INT2: u32 = 21;
pub const INT4: u32 = 23;
pub const TEXT: u32 = 25;
pub const JSON: u32 = 114;
pub const FLOAT4: u32 = 700;
pub const FLOAT8: u32 = 701;
pub const BPCHAR: u32 = 1042;
pub const VARCHAR: u32 = 1043;
pub const DATE: u32 = 1082;
pub const TIME: u32 = 1083;
pub const TIMESTAMP: u32 = 1114;
pub const TIMESTAMPTZ: u32 = 1184;
pub const INTERVAL: u32 = 1186;
pub const NUMERIC: u32 = 1700;

/// One row of pg_type, as far as it decides names and layouts.
#[derive(Debug)]
pub struct Type {
    pub oid: u32,
    pub name: &'static str,
    /// Bytes, -1 for varying.
    pub length: i32,
    pub by_value: bool,
    pub align: &'static str,
    pub storage: &'static str,
    /// OID of the element type of an array, else 0.
    pub element: u32,
    /// OID of the array type with this element, else 0.
    pub array: u32,
    pub collation: u32,
}

static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| {
    let rows = definitions::static_rows("pg_type").expect("data/pg_type.tsv is read");
    let place = |name| rows.columns.iter().position(|c| *c == name).expect("data/pg_type.tsv has that column");
    let [oid, name, length, by_value, align, storage, element, array, collation] =
        ["oid", "typname", "typlen", "typbyval", "typalign", "typstorage", "typelem", "typarray", "typcollation"]
            .map(place);
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<i64>().ok()).unwrap_or(0);
    rows.rows
        .iter()
        .map(|row| Type {
            oid: number(row[oid]) as u32,
            name: row[name].unwrap_or_default(),
            length: number(row[length]) as i32,
            by_value: row[by_value] == Some("t"),
            align: row[align].unwrap_or_default(),
            storage: row[storage].unwrap_or_default(),
            element: number(row[element]) as u32,
            array: number(row[array]) as u32,
            collation: number(row[collation]) as u32,
        })
        .collect()
});

static BY_OID: LazyLock<HashMap<u32, &'static Type>> = LazyLock::new(|| TYPES.iter().map(|t| (t.oid, t)).collect());
static BY_NAME: LazyLock<HashMap<&'static str, u32>> =
    LazyLock::new(|| TYPES.iter().map(|t| (t.name, t.oid)).collect());

pub fn by_oid(oid: u32) -> Option<&'static Type> {
    BY_OID.get(&oid).copied()
}

/// OID of a type by its `typname`.
pub fn oid_by_name(name: &str) -> Option<u32> {
    BY_NAME.get(name).copied()
}

/// OID of the PostgreSQL type that values of an Arrow type are sent as. Structs and maps are `json`.
pub fn type_oid(data_type: &DataType) -> u32 {
    match data_type {
        DataType::Boolean => BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => INT2,
        DataType::Int32 | DataType::UInt16 => INT4,
        DataType::Int64 | DataType::UInt32 => INT8,
        DataType::UInt64 => NUMERIC,
        DataType::Float16 | DataType::Float32 => FLOAT4,
        DataType::Float64 => FLOAT8,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            NUMERIC
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => BYTEA,
        DataType::Date32 | DataType::Date64 => DATE,
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::Dictionary(_, value) => type_oid(value),
        DataType::RunEndEncoded(_, value) => type_oid(value.data_type()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => match type_oid(item.data_type()) {
            // PostgreSQL's arrays have any number of dimensions under one type.
            array if by_oid(array).is_some_and(|t| t.element != 0 && t.length == -1) => array,
            element => by_oid(element).map_or(TEXT, |t| t.array),
        },
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => JSON,
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => TEXT,
    }
}

/// The type modifier that says what the OID leaves open (precision and scale of numeric), -1 for none.
pub fn type_modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => numeric_modifier(*precision, *scale),
        DataType::Dictionary(_, value) => type_modifier(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            type_modifier(item.data_type())
        }
        _ => -1,
    }
}

fn numeric_modifier(precision: u8, scale: i8) -> i32 {
    // make_numeric_typmod of PostgreSQL's numeric.c: the scale is an 11-bit two's complement number.
    ((i32::from(precision) << 16) | (i32::from(scale) & 0x7ff)) + 4
}

/// OID and modifier of a column: its declared SQL type says more than Arrow's for `VARCHAR(n)` and `CHAR(n)`.
pub fn column_type(data_type: &DataType, sql_type: Option<&str>) -> (u32, i32) {
    if let Some((word, rest)) = sql_type.and_then(|t| t.split_once('(')) {
        let length = rest.trim_end_matches(')').trim().parse::<i32>().ok();
        match (word.trim().to_ascii_lowercase().as_str(), length) {
            ("varchar", Some(length)) => return (VARCHAR, length + 4),
            ("char" | "character", Some(length)) => return (BPCHAR, length + 4),
            _ => {}
        }
    }
    (type_oid(data_type), type_modifier(data_type))
}

/// The name of a type as PostgreSQL's `format_type(oid, typmod)` spells it; `???` for an OID that is no type, `-` for 0.
pub fn format_type(oid: u32, modifier: Option<i32>) -> String {
    let Some(found) = by_oid(oid) else {
        return if oid == 0 { "-".to_owned() } else { "???".to_owned() };
    };
    if found.element != 0 && found.length == -1 && found.name.starts_with('_') {
        return format!("{}[]", format_type(found.element, modifier));
    }
    let modifier = modifier.filter(|m| *m >= 0);
    let with = |name: &str, detail: Option<String>| detail.map_or(name.to_owned(), |d| format!("{name}({d})"));
    match found.name {
        "bool" => "boolean".to_owned(),
        "int2" => "smallint".to_owned(),
        "int4" => "integer".to_owned(),
        "int8" => "bigint".to_owned(),
        "float4" => "real".to_owned(),
        "float8" => "double precision".to_owned(),
        "char" => "\"char\"".to_owned(),
        "bpchar" => with("character", modifier.map(|m| (m - 4).to_string())),
        "varchar" => with("character varying", modifier.map(|m| (m - 4).to_string())),
        "bit" => with("bit", modifier.map(|m| m.to_string())),
        "varbit" => with("bit varying", modifier.map(|m| m.to_string())),
        "numeric" => with("numeric", modifier.map(numeric_detail)),
        "time" => with("time", modifier.map(|m| m.to_string())) + " without time zone",
        "timetz" => with("time", modifier.map(|m| m.to_string())) + " with time zone",
        "timestamp" => with("timestamp", modifier.map(|m| m.to_string())) + " without time zone",
        "timestamptz" => with("timestamp", modifier.map(|m| m.to_string())) + " with time zone",
        name => name.to_owned(),
    }
}

fn numeric_detail(modifier: i32) -> String {
    let packed = modifier - 4;
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    format!("{},{scale}", (packed >> 16) & 0xffff)
}

/// OID of a type by any of its names: `int4`, `integer`, `pg_catalog.text`, `varchar(10)`, `int[]`.
pub fn parse_type(text: &str) -> Option<u32> {
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_prefix("pg_catalog.").unwrap_or(&lower);
    if let Some(element) = bare.strip_suffix("[]") {
        return parse_type(element).and_then(by_oid).map(|t| t.array).filter(|oid| *oid != 0);
    }
    if bare == "\"char\"" {
        return oid_by_name("char");
    }
    let name = match bare.find('(') {
        Some(open) => {
            let close = bare.find(')')?;
            format!("{}{}", bare[..open].trim_end(), &bare[close + 1..])
        }
        None => bare.to_owned(),
    };
    let name = match name.trim_matches('"') {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" | "float" => "float8",
        "character varying" => "varchar",
        "character" | "char" => "bpchar",
        "decimal" | "dec" => "numeric",
        "bit varying" => "varbit",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        other => other,
    };
    oid_by_name(name)
}
