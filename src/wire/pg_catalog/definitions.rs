//! The columns of PostgreSQL 15's system tables, and the rows of those that say the same in every server.
//!
//! `data/tables.txt` (one line a table: schema, OID, kind, name, `column:type`, `!` for NOT NULL) and `data/*.tsv` were
//! read off a PostgreSQL 15 server's own catalog: clients join and compare these numbers, so they have to be its numbers.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};

use super::types;

/// The schemas of system tables.
pub const SCHEMAS: &[&str] = &["pg_catalog", "information_schema"];

/// A table of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub struct SystemTable {
    pub schema: &'static str,
    pub oid: u32,
    /// `r` for tables, `v` for views.
    pub kind: &'static str,
    pub name: &'static str,
    pub columns: Vec<SystemColumn>,
    /// The same columns in Arrow's types.
    pub arrow: SchemaRef,
}

#[derive(Debug)]
pub struct SystemColumn {
    pub name: &'static str,
    /// PostgreSQL's type name (`oid`, `_text`).
    pub type_name: &'static str,
    pub not_null: bool,
}

struct Definitions {
    tables: Vec<SystemTable>,
    by_name: HashMap<(&'static str, &'static str), usize>,
    by_oid: HashMap<u32, usize>,
}

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(|| {
    let tables: Vec<SystemTable> = include_str!("data/tables.txt").lines().map(parse_table).collect();
    let by_name = tables.iter().enumerate().map(|(at, table)| ((table.schema, table.name), at)).collect();
    let by_oid = tables.iter().enumerate().map(|(at, table)| (table.oid, at)).collect();
    Definitions { tables, by_name, by_oid }
});

fn parse_table(line: &'static str) -> SystemTable {
    let mut words = line.split(' ');
    let mut word = || words.next().expect("data/tables.txt has four words before the columns");
    let (schema, oid, kind, name) = (word(), word(), word(), word());
    let columns: Vec<SystemColumn> = words
        .map(|column| {
            let (name, type_name) = column.split_once(':').expect("data/tables.txt says a type for each column");
            let not_null = type_name.ends_with('!');
            SystemColumn { name, type_name: type_name.trim_end_matches('!'), not_null }
        })
        .collect();
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(c.name, arrow_type(c.type_name), !c.not_null)).collect();
    SystemTable {
        schema,
        oid: oid.parse().expect("data/tables.txt has OIDs in its second column"),
        kind,
        name,
        columns,
        arrow: Arc::new(Schema::new(fields)),
    }
}

/// Arrow's type for a column of a system table. OIDs and what PostgreSQL stores as one (`regproc`) are 64-bit integers, so
/// that they join and compare with each other and with any integer.
fn arrow_type(type_name: &str) -> DataType {
    let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
    match type_name {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" | "oid" | "regproc" | "regtype" | "xid" => DataType::Int64,
        "float4" => DataType::Float32,
        "float8" | "numeric" => DataType::Float64,
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "interval" => DataType::Interval(IntervalUnit::MonthDayNano),
        "bytea" => DataType::Binary,
        "_oid" | "oidvector" | "_regtype" => list(DataType::Int64),
        "_int2" | "int2vector" => list(DataType::Int16),
        "_float4" | "_float8" => list(DataType::Float64),
        "_bool" => list(DataType::Boolean),
        array if array.starts_with('_') => list(DataType::Utf8),
        _ => DataType::Utf8,
    }
}

/// All system tables.
pub fn tables() -> &'static [SystemTable] {
    &DEFINITIONS.tables
}

/// A system table by its lower-case name.
pub fn table(schema: &str, name: &str) -> Option<&'static SystemTable> {
    DEFINITIONS.by_name.get(&(schema, name)).map(|at| &DEFINITIONS.tables[*at])
}

pub fn table_by_oid(oid: u32) -> Option<&'static SystemTable> {
    DEFINITIONS.by_oid.get(&oid).map(|at| &DEFINITIONS.tables[*at])
}

/// Rows that never change: names of the columns that are given, and the values as text (`None`: NULL).
#[derive(Debug)]
pub struct StaticRows {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Option<&'static str>>>,
}

static STATIC_ROWS: LazyLock<HashMap<&'static str, StaticRows>> = LazyLock::new(|| {
    HashMap::from([
        ("pg_am", parse_rows(include_str!("data/pg_am.tsv"))),
        ("pg_cast", parse_rows(include_str!("data/pg_cast.tsv"))),
        ("pg_collation", parse_rows(include_str!("data/pg_collation.tsv"))),
        ("pg_language", parse_rows(include_str!("data/pg_language.tsv"))),
        ("pg_opclass", parse_rows(include_str!("data/pg_opclass.tsv"))),
        ("pg_proc", parse_rows(include_str!("data/pg_proc.tsv"))),
        ("pg_range", parse_rows(include_str!("data/pg_range.tsv"))),
        ("pg_tablespace", parse_rows(include_str!("data/pg_tablespace.tsv"))),
        ("pg_type", parse_rows(include_str!("data/pg_type.tsv"))),
    ])
});

fn parse_rows(text: &'static str) -> StaticRows {
    let mut lines = text.lines();
    let columns = lines.next().unwrap_or_default().split('\t').collect();
    let value = |text: &'static str| (text != "\\N").then_some(text);
    StaticRows { columns, rows: lines.map(|line| line.split('\t').map(value).collect()).collect() }
}

/// The unchanging rows of a table of `pg_catalog`.
pub fn static_rows(name: &str) -> Option<&'static StaticRows> {
    STATIC_ROWS.get(name)
}

/// Whether no row of a table has this text in a column: told of unchanging tables only.
pub fn never_has(table: &SystemTable, column: &str, text: &str) -> bool {
    let Some(rows) = static_rows(table.name).filter(|_| table.schema == SCHEMAS[0]) else { return false };
    let place = rows.columns.iter().position(|name| *name == column);
    place.is_some_and(|at| rows.rows.iter().all(|row| row[at] != Some(text)))
}

/// PostgreSQL's type of the system column of this name, where all that have the name agree.
pub fn column_type_by_name(column: &str) -> Option<&'static str> {
    let mut types = tables().iter().flat_map(|t| &t.columns).filter(|c| c.name == column).map(|c| c.type_name);
    let first = types.next()?;
    types.all(|other| other == first).then_some(first)
}

/// What is known of one of PostgreSQL's functions.
#[derive(Debug)]
pub struct Procedure {
    pub oid: u32,
    pub name: &'static str,
    pub returns_set: bool,
    pub result: u32,
    pub arguments: Vec<u32>,
}

static PROCEDURES: LazyLock<Vec<Procedure>> = LazyLock::new(|| {
    let rows = &STATIC_ROWS["pg_proc"];
    let place = |name| rows.columns.iter().position(|c| *c == name).expect("data/pg_proc.tsv has that column");
    let (oid, name, set, result, arguments) =
        (place("oid"), place("proname"), place("proretset"), place("prorettype"), place("proargtypes"));
    let number = |text: Option<&str>| text.and_then(|t| t.parse().ok()).unwrap_or(0);
    rows.rows
        .iter()
        .map(|row| Procedure {
            oid: number(row[oid]),
            name: row[name].unwrap_or_default(),
            returns_set: row[set] == Some("t"),
            result: number(row[result]),
            arguments: row[arguments].unwrap_or_default().split_whitespace().map(|t| number(Some(t))).collect(),
        })
        .collect()
});

pub fn procedures() -> &'static [Procedure] {
    &PROCEDURES
}

impl SystemTable {
    /// OID, modifier and nullability of each column's type, in order.
    pub fn column_types(&self) -> impl Iterator<Item = (&'static str, u32, bool)> + '_ {
        self.columns.iter().map(|c| (c.name, types::oid_by_name(c.type_name).unwrap_or(types::TEXT), c.not_null))
    }
}
