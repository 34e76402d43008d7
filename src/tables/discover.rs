//! What is at a location: the columns that its files have and the partition columns that its folders name.
//!
//! As in Spark: a Parquet, ORC or Avro table gets the schema of one file (the first by path; `mergeSchema` takes all Parquet
//! files), CSV the names of its first file's header or `_c0`, `_c1`, …, all STRING without `inferSchema`; CSV with it and JSON
//! read every file. Types of partition columns are the narrowest of INT, BIGINT, DOUBLE, DATE, TIMESTAMP and STRING that fits all
//! values. A column that is in files and folders is a partition column.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::Session;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::formats::Format;
use super::listing::{self, Root};
use super::{DEFAULT_PARTITION, TableContext, unescape};
use crate::error::{Error, Kind, Result};

/// What is found at a location when a table is created over it.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovered {
    /// Data columns, inferred from the files.
    pub schema: SchemaRef,
    /// Partition column names found in the folders (`dt=…`), with inferred types, in order.
    pub partition_columns: Vec<(String, DataType)>,
    pub files: u64,
}

/// Reads the schema of the files under a location (absolute URL, or `warehouse:`). An empty location is an error that says so.
pub async fn discover(
    provider: &str,
    location: &str,
    options: &BTreeMap<String, String>,
    context: &TableContext,
) -> Result<Discovered> {
    let format = Format::new(provider, options)?;
    let url = super::stores::resolve(location, context);
    let root = Root::open(&url, options, context)?;
    let mut files = listing::files_below(&root.store, &root.location.key).await?;
    if files.is_empty() {
        files = listing::folder_files(&root.store, &root.location.key).await?;
    }
    if files.is_empty() {
        return Err(Error::new(Kind::InvalidTableDefinition, format!("there are no {provider} files at {url}"))
            .with_hint("declare the columns, or correct the location"));
    }
    let partition_columns = partition_columns(&files, &root.location.key, &url)?;
    if partition_columns.is_empty() {
        // Without partition folders a table is what is directly in its folder.
        let direct: Vec<_> = files.iter().filter(|f| depth(f, &root.location.key) <= 1).cloned().collect();
        if direct.is_empty() {
            return Err(Error::new(
                Kind::InvalidTableDefinition,
                format!(
                    "the files at {url} are in subfolders that are not named column=value, such as {}",
                    files[0].location
                ),
            )
            .with_hint("name the folder that holds the files"));
        }
        files = direct;
    }
    let count = files.len() as u64;
    let session = SessionContext::new_with_config_rt(SessionConfig::new(), context.runtime.clone());
    let schema = file_schema(&format, &root.store, &files, &session.state()).await?;
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .filter(|f| !partition_columns.iter().any(|(name, _)| name.eq_ignore_ascii_case(f.name())))
        .map(|f| Field::new(f.name(), declared_type(f.data_type()), true))
        .collect();
    if let Some(twice) =
        (1..fields.len()).find(|i| fields[..*i].iter().any(|f| f.name().eq_ignore_ascii_case(fields[*i].name())))
    {
        return Err(Error::new(
            Kind::DuplicateColumn,
            format!("the files at {url} have the column `{}` twice", fields[twice].name()),
        )
        .with_hint("column names are compared without case; declare the columns"));
    }
    Ok(Discovered { schema: Arc::new(Schema::new(fields)), partition_columns, files: count })
}

fn depth(file: &ObjectMeta, root: &Path) -> usize {
    file.location.prefix_match(root).map_or(0, |parts| parts.count())
}

async fn file_schema(
    format: &Format,
    store: &Arc<dyn ObjectStore>,
    files: &[ObjectMeta],
    state: &dyn Session,
) -> Result<Schema> {
    let all = match format {
        Format::Parquet { merge_schema } => *merge_schema,
        Format::Csv(options) => options.infer_schema,
        Format::Json { .. } => true,
        Format::Avro | Format::Orc => false,
    };
    let files = if all { files } else { &files[..1] };
    let mut by_compression: Vec<(FileCompressionType, Vec<ObjectMeta>)> = Vec::new();
    for file in files {
        let compression = format.compression(file.location.as_ref())?;
        match by_compression.iter_mut().find(|(c, _)| *c == compression) {
            Some((_, files)) => files.push(file.clone()),
            None => by_compression.push((compression, vec![file.clone()])),
        }
    }
    let mut schemas = Vec::new();
    for (compression, files) in by_compression {
        let inference = format.inference(compression, state);
        let schema = inference.infer_schema(state, store, &files).await.map_err(|e| {
            let error = Error::from(e);
            let message = format!("the schema of {} cannot be read: {}", files[0].location, error.message);
            Error { message, ..error }
        })?;
        schemas.push(Schema::clone(&schema));
    }
    let schema = Schema::try_merge(schemas)?;
    Ok(match format {
        Format::Csv(options) => csv_schema(&schema, options.header, options.infer_schema),
        _ => schema,
    })
}

/// Spark's names and types of CSV columns.
fn csv_schema(schema: &Schema, header: bool, infer: bool) -> Schema {
    let fields = schema.fields().iter().enumerate().map(|(i, field)| {
        let name = match header && !field.name().is_empty() {
            true => field.name().trim_start_matches('\u{feff}').to_owned(),
            false => format!("_c{i}"),
        };
        Field::new(name, if infer { field.data_type().clone() } else { DataType::Utf8 }, true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// The type that a column is declared with: what SQL has a name for.
fn declared_type(data_type: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| Arc::new(Field::new(field.name(), declared_type(field.data_type()), true));
    match data_type {
        DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, value) => declared_type(value),
        DataType::RunEndEncoded(_, value) => declared_type(value.data_type()),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::List(f) | DataType::LargeList(f) | DataType::ListView(f) | DataType::LargeListView(f) => {
            DataType::List(inner(f))
        }
        DataType::FixedSizeList(f, _) => DataType::List(inner(f)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Fields>()),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                // Keys are never NULL.
                let key = Field::new(pair[0].name(), declared_type(pair[0].data_type()), false);
                let fields: Fields = vec![Arc::new(key), inner(&pair[1])].into();
                DataType::Map(Arc::new(Field::new(entries.name(), DataType::Struct(fields), false)), *sorted)
            }
            _ => data_type.clone(),
        },
        other => other.clone(),
    }
}

/// Names and types of the partition columns that the folders of the files name.
fn partition_columns(files: &[ObjectMeta], root: &Path, url: &str) -> Result<Vec<(String, DataType)>> {
    let mut names: Option<Vec<String>> = None;
    let mut types: Vec<Option<DataType>> = Vec::new();
    for file in files {
        let Some(parts) = file.location.prefix_match(root) else { continue };
        let mut parts: Vec<String> = parts.map(|p| p.as_ref().to_owned()).collect();
        parts.pop();
        let pairs: Vec<(&str, &str)> = parts.iter().map_while(|p| p.split_once('=')).collect();
        let found: Vec<String> = pairs.iter().map(|(name, _)| unescape(name)).collect();
        match &names {
            None => {
                types = vec![None; found.len()];
                names = Some(found);
            }
            Some(names) if *names == found => {}
            Some(names) => {
                return Err(Error::new(
                    Kind::InvalidTableDefinition,
                    format!(
                        "folders at {url} name different partition columns: ({}) and ({}), as of {}",
                        names.join(", "),
                        found.join(", "),
                        file.location
                    ),
                )
                .with_hint("name the folder of one table"));
            }
        }
        for (known, (_, text)) in types.iter_mut().zip(&pairs) {
            if let Some(found) = value_type(&unescape(text)) {
                *known = Some(match known.take() {
                    None => found,
                    Some(known) => wider(known, found),
                });
            }
        }
    }
    let names = names.unwrap_or_default();
    Ok(names.into_iter().zip(types).map(|(name, t)| (name, t.unwrap_or(DataType::Utf8))).collect())
}

/// The type that Spark takes a partition value for; `None` for NULL.
fn value_type(text: &str) -> Option<DataType> {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let plain_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    Some(match text {
        DEFAULT_PARTITION => return None,
        _ if text.parse::<i32>().is_ok() => DataType::Int32,
        _ if text.parse::<i64>().is_ok() => DataType::Int64,
        _ if plain_number && text.parse::<f64>().is_ok() => DataType::Float64,
        _ if text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() => DataType::Date32,
        _ if ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
            .iter()
            .any(|format| NaiveDateTime::parse_from_str(text, format).is_ok()) =>
        {
            timestamp
        }
        _ => DataType::Utf8,
    })
}

fn wider(a: DataType, b: DataType) -> DataType {
    let rank = |t: &DataType| [DataType::Int32, DataType::Int64, DataType::Float64].iter().position(|n| n == t);
    match (rank(&a), rank(&b)) {
        _ if a == b => a,
        (Some(x), Some(y)) => {
            if x > y {
                a
            } else {
                b
            }
        }
        _ => match (&a, &b) {
            (DataType::Date32, DataType::Timestamp(..)) => b,
            (DataType::Timestamp(..), DataType::Date32) => a,
            _ => DataType::Utf8,
        },
    }
}
