//! Texts of values: PostgreSQL's forms for tables and CSV, Hive's for `--output hive`, JSON's for `--output json`.

use std::fmt::Write;

use chrono::{DateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, Kind, Result};

/// Whose text forms are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Postgres,
    Hive,
    Json,
}

/// What the text of a value depends on, besides the value.
#[derive(Debug, Clone)]
pub struct Style {
    /// In which instants are shown: an IANA name or `+02:00`.
    pub time_zone: String,
}

/// Appends the value in `row` as text; NULL is the caller's (nested NULLs are written here).
pub fn write(array: &dyn Array, row: usize, form: Form, style: &Style, out: &mut String) -> Result<()> {
    Writer { form, style }.value(array, row, false, out)
}

struct Writer<'a> {
    form: Form,
    style: &'a Style,
}

impl Writer<'_> {
    /// `nested`: within a list, struct or map, where texts are quoted.
    fn value(&self, array: &dyn Array, row: usize, nested: bool, out: &mut String) -> Result<()> {
        use DataType::*;
        match array.data_type() {
            Null => out.push_str(self.null()),
            Boolean => {
                let on = array.as_boolean().value(row);
                out.push_str(match (self.form, on) {
                    (Form::Postgres, true) => "t",
                    (Form::Postgres, false) => "f",
                    (_, true) => "true",
                    (_, false) => "false",
                });
            }
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => self.plain(array, row, out)?,
            Float16 => self.float(f64::from(array.as_primitive::<Float16Type>().value(row).to_f32()), true, out),
            Float32 => self.float(f64::from(array.as_primitive::<Float32Type>().value(row)), true, out),
            Float64 => self.float(array.as_primitive::<Float64Type>().value(row), false, out),
            Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => self.plain(array, row, out)?,
            Utf8 => self.text(array.as_string::<i32>().value(row), nested, out),
            LargeUtf8 => self.text(array.as_string::<i64>().value(row), nested, out),
            Utf8View => self.text(array.as_string_view().value(row), nested, out),
            Binary => self.binary(array.as_binary::<i32>().value(row), out),
            LargeBinary => self.binary(array.as_binary::<i64>().value(row), out),
            BinaryView => self.binary(array.as_binary_view().value(row), out),
            FixedSizeBinary(_) => self.binary(array.as_fixed_size_binary().value(row), out),
            Date32 | Date64 | Time32(_) | Time64(_) => self.quoted_if_json(out, |out| self.plain(array, row, out))?,
            Timestamp(unit, zone) => {
                let shown = timestamp(array, row, *unit, zone.is_some(), self)?;
                self.text(&shown, nested && self.form == Form::Postgres, out);
            }
            Duration(_) | Interval(_) => {
                let mut text = String::new();
                self.plain(array, row, &mut text)?;
                self.text(&text, nested, out);
            }
            Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let key = dictionary.normalized_keys()[row];
                self.value_or_null(dictionary.values().as_ref(), key, nested, out)?;
            }
            List(_) => self.list(array.as_list::<i32>().value(row).as_ref(), out)?,
            LargeList(_) => self.list(array.as_list::<i64>().value(row).as_ref(), out)?,
            ListView(_) => self.list(array.as_list_view::<i32>().value(row).as_ref(), out)?,
            FixedSizeList(..) => self.list(array.as_fixed_size_list().value(row).as_ref(), out)?,
            Struct(_) => self.structure(array.as_struct(), row, out)?,
            Map(..) => self.map(&array.as_map().value(row), out)?,
            _ => self.plain(array, row, out)?,
        }
        Ok(())
    }

    fn null(&self) -> &'static str {
        if self.form == Form::Json { "null" } else { "NULL" }
    }

    fn value_or_null(&self, array: &dyn Array, row: usize, nested: bool, out: &mut String) -> Result<()> {
        if array.is_null(row) {
            out.push_str(if self.form == Form::Postgres { "NULL" } else { "null" });
            return Ok(());
        }
        self.value(array, row, nested, out)
    }

    /// As Arrow prints it; right for whole numbers, decimals, dates and times of day.
    fn plain(&self, array: &dyn Array, row: usize, out: &mut String) -> Result<()> {
        let options = FormatOptions::new().with_display_error(false);
        let formatter = ArrayFormatter::try_new(array, &options)?;
        write!(out, "{}", formatter.value(row))
            .map_err(|_| Error::new(Kind::DatetimeOverflow, "a value is out of the range that can be shown"))
    }

    /// The shortest digits that read back as the same number, in the exponent forms of PostgreSQL or Java.
    fn float(&self, value: f64, single: bool, out: &mut String) {
        if !value.is_finite() {
            let name = match (self.form, value.is_nan(), value > 0.0) {
                (_, true, _) => "NaN",
                (_, _, true) => "Infinity",
                _ => "-Infinity",
            };
            self.text(name, false, out);
            return;
        }
        // Whether `e` is used depends on the exponent: PostgreSQL from 1e+15 (1e+06 for single), Java from 1e7.
        let scientific = if single { format!("{:e}", value as f32) } else { format!("{value:e}") };
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let fixed = || if single { format!("{}", value as f32) } else { format!("{value}") };
        if self.form == Form::Postgres {
            let upper = if single { 6 } else { 15 };
            if value == 0.0 || (-4..upper).contains(&exponent) {
                out.push_str(&fixed());
            } else {
                let sign = if exponent < 0 { '-' } else { '+' };
                let _ = write!(out, "{digits}e{sign}{:02}", exponent.abs());
            }
            return;
        }
        if value == 0.0 || (-3..7).contains(&exponent) {
            let text = fixed();
            let whole = !text.contains('.');
            out.push_str(&text);
            out.push_str(if whole { ".0" } else { "" });
        } else {
            let fraction = if digits.contains('.') { "" } else { ".0" };
            let _ = write!(out, "{digits}{fraction}E{exponent}");
        }
    }

    fn text(&self, text: &str, nested: bool, out: &mut String) {
        match self.form {
            Form::Json => json_string(text, out),
            Form::Hive if nested => json_string(text, out),
            Form::Postgres if nested && needs_quotes(text) => {
                out.push('"');
                for c in text.chars() {
                    if c == '"' || c == '\\' {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
            _ => out.push_str(text),
        }
    }

    fn quoted_if_json(&self, out: &mut String, inner: impl FnOnce(&mut String) -> Result<()>) -> Result<()> {
        let quote = if self.form == Form::Json { "\"" } else { "" };
        out.push_str(quote);
        inner(out)?;
        out.push_str(quote);
        Ok(())
    }

    fn binary(&self, bytes: &[u8], out: &mut String) {
        if self.form == Form::Hive {
            out.push_str(&String::from_utf8_lossy(bytes));
            return;
        }
        let mut text = String::with_capacity(2 + bytes.len() * 2);
        text.push_str("\\x");
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        self.text(&text, false, out);
    }

    fn list(&self, items: &dyn Array, out: &mut String) -> Result<()> {
        let (open, close) = if self.form == Form::Postgres { ('{', '}') } else { ('[', ']') };
        out.push(open);
        for item in 0..items.len() {
            if item > 0 {
                out.push(',');
            }
            // PostgreSQL quotes an element that is itself a row or a map; a list in a list is a further dimension.
            let composite = matches!(items.data_type(), DataType::Struct(_) | DataType::Map(..));
            if self.form == Form::Postgres && composite && items.is_valid(item) {
                let mut inner = String::new();
                self.value(items, item, true, &mut inner)?;
                self.text(&inner, true, out);
            } else {
                self.value_or_null(items, item, true, out)?;
            }
        }
        out.push(close);
        Ok(())
    }

    fn structure(&self, rows: &StructArray, row: usize, out: &mut String) -> Result<()> {
        let postgres = self.form == Form::Postgres;
        out.push(if postgres { '(' } else { '{' });
        for (position, (column, name)) in rows.columns().iter().zip(rows.column_names()).enumerate() {
            if position > 0 {
                out.push(',');
            }
            if !postgres {
                json_string(name, out);
                out.push(':');
                self.value_or_null(column.as_ref(), row, true, out)?;
            } else if column.is_valid(row) {
                let mut inner = String::new();
                self.value(column.as_ref(), row, false, &mut inner)?;
                self.field(&inner, out);
            }
        }
        out.push(if postgres { ')' } else { '}' });
        Ok(())
    }

    /// A field of a PostgreSQL row: quotes are doubled, an empty text is quoted (nothing at all is NULL).
    fn field(&self, text: &str, out: &mut String) {
        let special = |c: char| matches!(c, '"' | '\\' | '(' | ')' | ',') || c.is_whitespace();
        if !text.is_empty() && !text.contains(special) {
            out.push_str(text);
            return;
        }
        out.push('"');
        out.push_str(&text.replace('\\', "\\\\").replace('"', "\"\""));
        out.push('"');
    }

    /// Maps are JSON objects everywhere: PostgreSQL has no type of its own for them.
    fn map(&self, entries: &StructArray, out: &mut String) -> Result<()> {
        let json = Writer { form: if self.form == Form::Postgres { Form::Json } else { self.form }, style: self.style };
        out.push('{');
        for entry in 0..entries.len() {
            if entry > 0 {
                out.push(',');
            }
            let mut key = String::new();
            Writer { form: Form::Hive, style: self.style }.value(entries.column(0).as_ref(), entry, false, &mut key)?;
            json_string(&key, out);
            out.push(':');
            json.value_or_null(entries.column(1).as_ref(), entry, true, out)?;
        }
        out.push('}');
        Ok(())
    }
}

fn json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether PostgreSQL's array form quotes an element.
fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.eq_ignore_ascii_case("null")
        || text.contains(|c: char| matches!(c, '{' | '}' | '"' | ',' | '\\') || c.is_whitespace())
}

/// `2001-01-05 06:30:00`, a fraction without trailing zeros, and for instants the offset PostgreSQL prints (`+02`).
fn timestamp(array: &dyn Array, row: usize, unit: TimeUnit, instant: bool, writer: &Writer<'_>) -> Result<String> {
    let (value, per_second) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1),
        TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000),
        TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000),
        TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000),
    };
    let (seconds, fraction) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let nanoseconds = (fraction * (1_000_000_000 / per_second)) as u32;
    let out_of_range = || Error::new(Kind::DatetimeOverflow, "a timestamp is out of the range that can be shown");
    let utc = DateTime::from_timestamp(seconds, nanoseconds).ok_or_else(out_of_range)?;
    let offset_seconds = if instant { offset_at(&writer.style.time_zone, &utc)? } else { 0 };
    let shifted = TimeDelta::try_seconds(offset_seconds.into()).and_then(|d| utc.naive_utc().checked_add_signed(d));
    let local = shifted.ok_or_else(out_of_range)?;
    let mut text = local.format("%Y-%m-%d %H:%M:%S").to_string();
    if nanoseconds > 0 {
        let digits = format!("{nanoseconds:09}");
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    if instant && writer.form != Form::Hive {
        text.push_str(&offset_text(offset_seconds));
    }
    Ok(text)
}

fn offset_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    match minutes % 60 {
        0 => format!("{sign}{:02}", minutes / 60),
        rest => format!("{sign}{:02}:{rest:02}", minutes / 60),
    }
}

/// Seconds east of Greenwich at that instant.
fn offset_at(zone: &str, utc: &DateTime<chrono::Utc>) -> Result<i32> {
    if let Ok(named) = zone.parse::<Tz>() {
        return Ok(named.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc());
    }
    let fixed: Option<i32> = zone.split_at_checked(1).and_then(|(sign, rest)| {
        let (hours, minutes) = rest.split_once(':')?;
        let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
        Some(if sign == "-" { -seconds } else { seconds })
    });
    fixed.ok_or_else(|| Error::new(Kind::InvalidParameterValue, format!("the time zone `{zone}` is not known")))
}
