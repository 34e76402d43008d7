//! SQL type names under a dialect, to Arrow types and back.
//!
//! | SQL | Spark | PostgreSQL |
//! | --- | --- | --- |
//! | `FLOAT` | 4 bytes | 8 bytes |
//! | `TIMESTAMP` | an instant: microseconds, UTC | without zone |
//! | `DECIMAL`, `NUMERIC` | (10, 0) | (38, 10) |
//! | `CHAR`, `VARCHAR(n)` | string | string |
//!
//! PostgreSQL's NUMERIC without precision has no bound; Arrow's decimals do. Ten digits behind the point leave room for the
//! product of two such numbers, whose scale is the sum of theirs. Length limits of CHAR and VARCHAR are not kept. JSON and UUID are text here.

use std::sync::Arc;

use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL128_MAX_SCALE, DataType, Field, Fields, IntervalUnit, TimeUnit,
};

use super::dialect::Dialect;
use crate::error::{Error, Kind, Result};

/// Types inside types deeper than this are refused.
const MAX_NESTING: usize = 64;

/// Precision and scale of PostgreSQL's NUMERIC without any.
pub(super) const UNBOUND_DECIMAL: (u32, u32) = (38, 10);

/// Names that look like a start of a type to suggest from.
const NAMES: &[&str] = &[
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "float",
    "real",
    "double",
    "decimal",
    "numeric",
    "boolean",
    "string",
    "text",
    "varchar",
    "char",
    "binary",
    "bytea",
    "date",
    "timestamp",
    "timestamp_ntz",
    "timestamp_ltz",
    "timestamptz",
    "interval",
    "array",
    "map",
    "struct",
    "uuid",
    "json",
    "jsonb",
    "integer",
    "long",
    "short",
    "byte",
    "time",
];

/// The whole of `text` as a type.
pub fn parse(text: &str, dialect: Dialect) -> Result<DataType> {
    let mut reader = TypeReader { text, at: 0, dialect, depth: 0 };
    let data_type = reader.data_type()?;
    let end = reader.at;
    reader.skip_blank();
    let rest = reader.rest();
    if rest.is_empty() {
        return Ok(data_type);
    }
    Err(Error::new(
        Kind::Syntax,
        format!("`{}` is not a type: nothing may follow `{}`", text.trim(), text[..end].trim()),
    )
    .at(text.len() - rest.len()))
}

/// A type that begins at byte `start` of `text`; returns it and the offset behind it.
pub(super) fn parse_at(text: &str, start: usize, dialect: Dialect) -> Result<(DataType, usize)> {
    let mut reader = TypeReader { text, at: start, dialect, depth: 0 };
    let data_type = reader.data_type()?;
    Ok((data_type, reader.at))
}

/// Spark's TIMESTAMP and PostgreSQL's TIMESTAMPTZ: an instant.
pub fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A reader of characters, not of tokens: to the tokenizer the end of `array<array<int>>` is a shift operator.
struct TypeReader<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
    depth: usize,
}

impl<'a> TypeReader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("--") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if let Some(body) = trimmed.strip_prefix("/*") {
                self.at += body.find("*/").map_or(trimmed.len(), |n| n + 4);
            } else {
                return;
            }
        }
    }

    fn peek_word(&mut self) -> Option<&'a str> {
        let before = self.at;
        self.skip_blank();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            self.at = before;
            return None;
        }
        let word = &rest[..end];
        self.at = before;
        Some(word)
    }

    fn take_word(&mut self, word: &str) {
        self.skip_blank();
        self.at += word.len();
    }

    fn accept_words(&mut self, words: &str) -> bool {
        let before = self.at;
        for word in words.split(' ') {
            match self.peek_word() {
                Some(found) if found.eq_ignore_ascii_case(word) => self.take_word(found),
                _ => {
                    self.at = before;
                    return false;
                }
            }
        }
        true
    }

    fn accept(&mut self, c: char) -> bool {
        let before = self.at;
        self.skip_blank();
        if self.rest().starts_with(c) {
            self.at += c.len_utf8();
            return true;
        }
        self.at = before;
        false
    }

    fn expect(&mut self, c: char) -> Result<()> {
        if self.accept(c) { Ok(()) } else { Err(self.unexpected(&format!("`{c}`"))) }
    }

    fn unexpected(&mut self, expected: &str) -> Error {
        self.skip_blank();
        let rest = self.rest();
        let error = match rest.chars().next() {
            None => Error::new(Kind::Syntax, "syntax error at end of input"),
            Some(c) => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                super::parser::at_or_near(&rest[..end.max(c.len_utf8())])
            }
        };
        error.at(self.at).with_detail(format!("expected {expected}"))
    }

    fn number(&mut self) -> Result<u32> {
        self.skip_blank();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(n) = rest[..end].parse() else { return Err(self.unexpected("a number")) };
        self.at += end;
        Ok(n)
    }

    /// `(n)`, `(n, m)` or nothing.
    fn arguments(&mut self) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        if self.accept('(') {
            numbers.push(self.number()?);
            while self.accept(',') {
                numbers.push(self.number()?);
            }
            self.expect(')')?;
        }
        Ok(numbers)
    }

    fn data_type(&mut self) -> Result<DataType> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(
                Error::new(Kind::TooComplex, format!("a type nests deeper than {MAX_NESTING} levels")).at(self.at)
            );
        }
        let mut data_type = self.named()?;
        while self.accept('[') {
            if !self.accept(']') {
                self.number()?;
                self.expect(']')?;
            }
            data_type = list(data_type);
        }
        self.depth -= 1;
        Ok(data_type)
    }

    fn named(&mut self) -> Result<DataType> {
        self.skip_blank();
        let start = self.at;
        // format_type and dumps write the schema.
        if self.accept_words("pg_catalog") && !self.accept('.') {
            self.at = start;
        }
        let Some(word) = self.peek_word() else { return Err(self.unexpected("a type")) };
        self.take_word(word);
        let name = word.to_ascii_lowercase();
        let spark = self.dialect == Dialect::Spark;
        Ok(match name.as_str() {
            "boolean" | "bool" => DataType::Boolean,
            "tinyint" | "byte" => DataType::Int8,
            "smallint" | "short" | "int2" => DataType::Int16,
            "int" | "integer" | "int4" => DataType::Int32,
            "bigint" | "long" | "int8" => DataType::Int64,
            "real" | "float4" => DataType::Float32,
            "float8" => DataType::Float64,
            "float" => match self.arguments()?.first() {
                Some(bits) if *bits <= 24 => DataType::Float32,
                Some(_) => DataType::Float64,
                None if spark => DataType::Float32,
                None => DataType::Float64,
            },
            "double" => {
                self.accept_words("precision");
                DataType::Float64
            }
            "decimal" | "dec" | "numeric" => self.decimal(start)?,
            "string" | "text" | "varchar" | "char" | "bpchar" | "character" | "name" | "uuid" | "json" | "jsonb" => {
                self.accept_words("varying");
                self.arguments()?;
                self.collation()?;
                DataType::Utf8
            }
            "binary" | "bytea" => DataType::Binary,
            "date" => DataType::Date32,
            "timestamp" => self.timestamp()?,
            "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
            "timestamp_ltz" | "timestamptz" => {
                self.arguments()?;
                instant()
            }
            "time" => {
                self.arguments()?;
                if self.accept_words("with time zone") {
                    return Err(unsupported("time with time zone").at(start));
                }
                self.accept_words("without time zone");
                DataType::Time64(TimeUnit::Microsecond)
            }
            "interval" => self.interval()?,
            "array" if self.accept('<') => {
                let element = self.data_type()?;
                self.expect('>')?;
                list(element)
            }
            "map" => {
                self.expect('<')?;
                let key = self.data_type()?;
                self.expect(',')?;
                let value = self.data_type()?;
                self.expect('>')?;
                map(key, value)
            }
            "struct" => self.structure()?,
            "void" | "unknown" => DataType::Null,
            "oid" => DataType::Int64,
            _ => return Err(unknown_type(word).at(start)),
        })
    }

    fn collation(&mut self) -> Result<()> {
        if self.accept_words("collate") {
            return Err(Error::new(Kind::FeatureNotSupported, "a column's collation cannot be chosen").at(self.at));
        }
        Ok(())
    }

    fn decimal(&mut self, start: usize) -> Result<DataType> {
        let (precision, scale) = match *self.arguments()?.as_slice() {
            [] if self.dialect == Dialect::Spark => (10, 0),
            [] => UNBOUND_DECIMAL,
            [p] => (p, 0),
            [p, s] => (p, s),
            _ => return Err(Error::new(Kind::Syntax, "decimal takes a precision and a scale").at(start)),
        };
        let most = u32::from(DECIMAL128_MAX_PRECISION);
        if precision == 0 || precision > most || scale > precision || scale > DECIMAL128_MAX_SCALE as u32 {
            let message =
                format!("decimal({precision}, {scale}) is out of range: precision 1 to {most}, scale 0 to precision");
            return Err(Error::new(Kind::InvalidParameterValue, message).at(start));
        }
        Ok(DataType::Decimal128(precision as u8, scale as i8))
    }

    fn timestamp(&mut self) -> Result<DataType> {
        self.arguments()?;
        let zone = self.accept_words("with time zone") || self.accept_words("with local time zone");
        let without = !zone && self.accept_words("without time zone");
        Ok(if zone || (self.dialect == Dialect::Spark && !without) {
            instant()
        } else {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        })
    }

    fn interval(&mut self) -> Result<DataType> {
        const FIELDS: &[&str] = &["year", "month", "day", "hour", "minute", "second"];
        if FIELDS.iter().any(|f| self.accept_words(f)) {
            self.arguments()?;
            if self.accept_words("to") && !FIELDS.iter().any(|f| self.accept_words(f)) {
                return Err(self.unexpected("YEAR, MONTH, DAY, HOUR, MINUTE or SECOND"));
            }
        }
        self.arguments()?;
        Ok(DataType::Interval(IntervalUnit::MonthDayNano))
    }

    fn structure(&mut self) -> Result<DataType> {
        self.expect('<')?;
        let mut fields: Vec<Field> = Vec::new();
        if self.accept('>') {
            return Ok(DataType::Struct(Fields::empty()));
        }
        loop {
            self.skip_blank();
            let start = self.at;
            let name = self.field_name()?;
            if fields.iter().any(|f| f.name().eq_ignore_ascii_case(&name)) {
                return Err(Error::new(Kind::DuplicateColumn, format!("field `{name}` is named twice")).at(start));
            }
            self.accept(':');
            let data_type = self.data_type()?;
            let nullable = !self.accept_words("not null");
            if self.accept_words("comment") {
                self.quoted('\'')?;
            }
            fields.push(Field::new(name, data_type, nullable));
            if self.accept('>') {
                return Ok(DataType::Struct(fields.into()));
            }
            self.expect(',')?;
        }
    }

    fn field_name(&mut self) -> Result<String> {
        let rest = self.rest();
        match rest.chars().next() {
            Some(quote @ ('`' | '"')) => self.quoted(quote),
            _ => match self.peek_word() {
                Some(word) => {
                    self.take_word(word);
                    Ok(word.to_owned())
                }
                None => Err(self.unexpected("a field's name")),
            },
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String> {
        self.expect(quote)?;
        let mut value = String::new();
        loop {
            let Some(end) = self.rest().find(quote) else { return Err(self.unexpected(&format!("`{quote}`"))) };
            value.push_str(&self.rest()[..end]);
            self.at += end + 1;
            if !self.rest().starts_with(quote) {
                return Ok(value);
            }
            value.push(quote);
            self.at += 1;
        }
    }
}

fn unsupported(name: &str) -> Error {
    Error::new(Kind::FeatureNotSupported, format!("type {name} is not supported"))
}

fn unknown_type(word: &str) -> Error {
    let error = Error::new(Kind::UndefinedObject, format!("type `{word}` does not exist"));
    match super::unsupported::nearest(word, NAMES) {
        Some(name) => error.with_hint(format!("did you mean `{name}`?")),
        None => error,
    }
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

fn map(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// The type's name as DESCRIBE (Spark, `bigint`, `array<string>`) or format_type (PostgreSQL, `integer`, `text[]`) prints it.
/// Types that only Spark has are named in its way in both.
pub fn type_name(data_type: &DataType, dialect: Dialect) -> String {
    let spark = dialect == Dialect::Spark;
    let pick = |in_spark: &str, in_postgres: &str| (if spark { in_spark } else { in_postgres }).to_owned();
    match data_type {
        DataType::Null => pick("void", "unknown"),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => pick("tinyint", "smallint"),
        DataType::Int16 | DataType::UInt8 => "smallint".into(),
        DataType::Int32 | DataType::UInt16 => pick("int", "integer"),
        DataType::Int64 | DataType::UInt32 => "bigint".into(),
        DataType::UInt64 => pick("decimal(20,0)", "numeric(20,0)"),
        DataType::Float16 | DataType::Float32 => pick("float", "real"),
        DataType::Float64 => pick("double", "double precision"),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            format!("{}({p},{s})", if spark { "decimal" } else { "numeric" })
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => pick("string", "text"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            pick("binary", "bytea")
        }
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(_, Some(_)) => pick("timestamp", "timestamp with time zone"),
        DataType::Timestamp(_, None) => pick("timestamp_ntz", "timestamp without time zone"),
        DataType::Time32(_) | DataType::Time64(_) => pick("time", "time without time zone"),
        DataType::Interval(_) | DataType::Duration(_) => "interval".into(),
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::ListView(f)
        | DataType::LargeListView(f)
        | DataType::FixedSizeList(f, _) => {
            let element = type_name(f.data_type(), dialect);
            if spark { format!("array<{element}>") } else { format!("{}[]", element.trim_end_matches("[]")) }
        }
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|f| format!("{}:{}", f.name(), type_name(f.data_type(), dialect))).collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(f) if f.len() == 2 => {
                format!("map<{},{}>", type_name(f[0].data_type(), dialect), type_name(f[1].data_type(), dialect))
            }
            other => type_name(other, dialect),
        },
        DataType::Dictionary(_, value) => type_name(value, dialect),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type(), dialect),
        DataType::Union(..) => pick("union", "record"),
    }
}

/// The type as it was declared, where that says more than the stored type (`VARCHAR(10)` is kept as text).
pub fn declared_text(sql_type: &super::statement::SqlType) -> Option<String> {
    let text = sql_type.text.trim();
    let upper = text.to_ascii_uppercase();
    let keeps =
        ["VARCHAR", "CHAR", "CHARACTER", "BPCHAR"].iter().any(|word| upper.starts_with(word)) && upper.contains('(');
    keeps.then(|| text.to_owned())
}
