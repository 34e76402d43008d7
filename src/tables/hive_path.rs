//! Folder names of partitions: Hive's escaping, and values as text in the way that Spark writes and reads them.
//!
//! A partition's key is its folder text, so this codec decides which rows share a partition and what other engines read
//! from the path. It follows Spark's `ExternalCatalogUtils.escapePathName` and its casts between text and values.
//! Timestamps in folder names are in UTC.

use datafusion::arrow::datatypes::DataType;
use tycho_catalog::{Column, Value};

use super::text_value::{float_to_text, value_from_trimmed};

/// The folder value of NULL (and of the empty string, which no folder can be named by).
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// `dt=2018-03-05/hour=7` from column names (in their declared case) and values, escaped as Hive does; NULL and '' are
/// `__HIVE_DEFAULT_PARTITION__`.
pub fn partition_folder(columns: &[Column], values: &[Value]) -> String {
    let mut folder = String::new();
    for (column, value) in columns.iter().zip(values) {
        if !folder.is_empty() {
            folder.push('/');
        }
        escape_into(&column.name, &mut folder);
        folder.push('=');
        match typed_text(value, &column.data_type) {
            Some(text) if !text.is_empty() => escape_into(&text, &mut folder),
            _ => folder.push_str(DEFAULT_PARTITION),
        }
    }
    folder
}

/// The (column name, value text) pairs of a folder path, unescaped, or `None` where a part is not `name=value`. The value
/// text of NULL is `__HIVE_DEFAULT_PARTITION__`.
pub fn parse_folder(folder: &str) -> Option<Vec<(String, String)>> {
    let parts = folder.split('/').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            (!name.is_empty()).then(|| (unescape(name), unescape(value)))
        })
        .collect()
}

/// A value from text (of a folder name or a PARTITION clause), cast to a type as Spark casts text; `None` if it does not fit.
/// The name of the default partition is NULL in every type.
pub fn value_from_text(text: &str, data_type: &DataType) -> Option<Value> {
    if text == DEFAULT_PARTITION {
        return Some(Value::Null);
    }
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Value::Text(text.to_owned())),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            Some(Value::Binary(text.as_bytes().to_vec()))
        }
        DataType::Dictionary(_, values) => value_from_text(text, values),
        other => value_from_trimmed(text.trim_matches(|c: char| c <= ' ' || c == '\x7f'), other),
    }
}

/// The canonical text of a value, as folder names and SHOW PARTITIONS write it (unescaped); `None` for NULL.
pub fn value_to_text(value: &Value) -> Option<String> {
    super::text_value::value_to_text(value)
}

/// As `value_to_text`, with the digits of a FLOAT where the column is one (a `Value` holds it widened to a DOUBLE).
fn typed_text(value: &Value, data_type: &DataType) -> Option<String> {
    match (value, data_type) {
        (Value::Float(wide), DataType::Float32 | DataType::Float16) => {
            let narrow = *wide as f32;
            Some(float_to_text(format!("{narrow:e}"), narrow.into()))
        }
        _ => value_to_text(value),
    }
}

fn escape_into(text: &str, out: &mut String) {
    for character in text.chars() {
        let special = character.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(character);
        if special {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            let code = character as usize;
            out.push('%');
            out.push(HEX[code >> 4].into());
            out.push(HEX[code & 15].into());
        } else {
            out.push(character);
        }
    }
}

/// Text with Hive's escapes (`%XX`) in it.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_into(text, &mut out);
    out
}

/// The text behind Hive's escapes. A `%` that two hex digits do not follow stays as it is.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = rest.as_bytes().get(at + 1..at + 3).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        match code.and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 3..];
            }
            None => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    fn column(name: &str, data_type: DataType) -> Column {
        Column { id: 1, name: name.into(), data_type, sql_type: None, nullable: true, comment: None, default: None }
    }

    fn folder(name: &str, data_type: DataType, value: Value) -> String {
        partition_folder(&[column(name, data_type)], &[value])
    }

    #[test]
    fn folders_are_named_as_hive_names_them() {
        let text = |t: &str| folder("p", DataType::Utf8, Value::Text(t.into()));
        assert_eq!(text("2018-03-05"), "p=2018-03-05");
        assert_eq!(text("a b"), "p=a b");
        assert_eq!(text("Zürich"), "p=Zürich");
        assert_eq!(text("\"#%'*/:=?\\{[]^\u{7f}\n\u{1}"), "p=%22%23%25%27%2A%2F%3A%3D%3F%5C%7B%5B%5D%5E%7F%0A%01");
        assert_eq!(text("}|~<>&+$!,;@"), "p=}|~<>&+$!,;@");
        assert_eq!(text(""), "p=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder("p", DataType::Int32, Value::Null), "p=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder("EventType", DataType::Utf8, Value::Text("click".into())), "EventType=click");
        assert_eq!(folder("a=b/c", DataType::Int32, Value::Int(7)), "a%3Db%2Fc=7");
        assert_eq!(folder("f", DataType::Float32, Value::Float(0.1_f32.into())), "f=0.1");
        assert_eq!(
            folder("t", DataType::Timestamp(TimeUnit::Microsecond, None), Value::Timestamp(1_520_208_000_500_000)),
            "t=2018-03-05 00%3A00%3A00.5"
        );
        let two = [column("dt", DataType::Date32), column("hour", DataType::Int32)];
        assert_eq!(partition_folder(&two, &[Value::Date(17595), Value::Int(7)]), "dt=2018-03-05/hour=7");
        assert_eq!(partition_folder(&[], &[]), "");
    }

    #[test]
    fn folders_parse_to_what_they_were_made_from() {
        let text = "\"#%'*/:=?\\{[]^\u{7f}\n\u{1}Zürich 100%";
        let made = folder("a=b", DataType::Utf8, Value::Text(text.into()));
        assert_eq!(parse_folder(&made), Some(vec![("a=b".to_owned(), text.to_owned())]));
        assert_eq!(
            parse_folder("dt=2018-03-05/hour=7/"),
            Some(vec![("dt".into(), "2018-03-05".into()), ("hour".into(), "7".into())])
        );
        assert_eq!(parse_folder("p=a=b"), Some(vec![("p".into(), "a=b".into())]));
        assert_eq!(parse_folder("p="), Some(vec![("p".into(), String::new())]));
        assert_eq!(parse_folder("p=%zz%4"), Some(vec![("p".into(), "%zz%4".into())]));
        assert_eq!(parse_folder("p=%é"), Some(vec![("p".into(), "%é".into())]));
        assert_eq!(parse_folder("plain"), None);
        assert_eq!(parse_folder("=x"), None);
        assert_eq!(parse_folder(""), Some(vec![]));
    }

    #[test]
    fn the_default_partition_reads_as_null() {
        for data_type in [DataType::Utf8, DataType::Int32, DataType::Date32] {
            assert_eq!(value_from_text(DEFAULT_PARTITION, &data_type), Some(Value::Null));
        }
        assert_eq!(value_to_text(&Value::Null), None);
        assert_eq!(value_from_text(" x ", &DataType::Utf8), Some(Value::Text(" x ".into())));
    }
}
