//! Parquet files as Tycho writes them: field ids, what the file is in its metadata, statistics for the catalog.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{KeyValue, ParquetMetaData, SortingColumn};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::schema::types::ColumnPath;
use tycho_catalog::{ColumnId, ColumnStatistics, Value};

use super::array_value::statistics_bounds;
use super::data_file::{FileEncoder, FinishedFile, RowKind};
use crate::error::{Error, Kind, Result};

const ROWS_A_GROUP: usize = 1 << 20;
/// Dictionaries are decided on by so many rows, not less …
const SAMPLE_ROWS_LEAST: usize = 512;
/// … and not more.
const SAMPLE_ROWS_MOST: usize = 4096;
/// A dictionary pays where at most this part of the rows are distinct.
const DISTINCT_FOR_DICTIONARY: f64 = 0.5;

/// The codec that a table's options name (`compression`, `parquet.compression`); zstd at level 1 where they name none.
pub(super) fn compression(name: Option<&str>) -> Result<Compression> {
    Ok(match name.unwrap_or("zstd").to_ascii_lowercase().as_str() {
        "zstd" => Compression::ZSTD(ZstdLevel::try_new(1).map_err(parquet_error)?),
        "none" | "uncompressed" => Compression::UNCOMPRESSED,
        "snappy" => Compression::SNAPPY,
        "gzip" => Compression::GZIP(GzipLevel::default()),
        "brotli" => Compression::BROTLI(BrotliLevel::default()),
        "lz4" | "lz4_raw" | "lz4raw" => Compression::LZ4_RAW,
        other => {
            return Err(Error::new(Kind::InvalidParameterValue, format!("unknown Parquet compression `{other}`"))
                .with_hint("known are zstd, snappy, gzip, lz4, brotli and none"));
        }
    })
}

/// What all Parquet files of one write have in common.
pub(super) struct ParquetSettings {
    pub compression: Compression,
    /// Ids of the columns in the files, in order.
    pub columns: Vec<ColumnId>,
    pub sorting_columns: Vec<SortingColumn>,
}

/// The index of a file's leaf column for one of its columns that is not nested.
pub(super) fn leaf_index(schema: &SchemaRef, column: usize) -> Option<i32> {
    fn leaves(data_type: &DataType) -> i32 {
        match data_type {
            DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
            DataType::List(field) | DataType::Map(field, _) => leaves(field.data_type()),
            _ => 1,
        }
    }
    let before = schema.fields()[..column].iter().map(|field| leaves(field.data_type())).sum();
    (!schema.field(column).data_type().is_nested()).then_some(before)
}

/// One open Parquet file.
pub(super) struct ParquetFile {
    writer: ArrowWriter<File>,
    columns: Vec<ColumnId>,
    schema: SchemaRef,
    rows: u64,
    /// Columns in which a NaN was seen: Parquet's bounds leave it out, so they are no bounds then.
    with_nan: Vec<bool>,
}

impl ParquetFile {
    /// Opens a new file at the path. `metadata` are key-value pairs for its footer; `rows` says which columns a dictionary pays for.
    pub fn create(
        path: &Path,
        schema: &SchemaRef,
        settings: &ParquetSettings,
        metadata: &[(&str, String)],
        rows: &RowKind,
    ) -> Result<ParquetFile> {
        let file = File::create_new(path)?;
        let metadata = metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())).collect();
        let mut properties = WriterProperties::builder()
            .set_compression(settings.compression)
            .set_max_row_group_row_count(Some(ROWS_A_GROUP))
            // Nested columns are named as the format asks (`element`, `key_value`), which other readers expect.
            .set_coerce_types(true)
            .set_created_by(concat!("tycho version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(metadata));
        if !settings.sorting_columns.is_empty() {
            properties = properties.set_sorting_columns(Some(settings.sorting_columns.clone()));
        }
        for (field, distinct) in schema.fields().iter().zip(&rows.mostly_distinct) {
            if *distinct {
                let path = ColumnPath::new(vec![field.name().clone()]);
                properties = properties.set_column_dictionary_enabled(path, false);
            }
        }
        // The catalog knows the Arrow types; a copy of the schema in each small file would only cost.
        let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(schema), options).map_err(parquet_error)?;
        Ok(ParquetFile {
            writer,
            columns: settings.columns.clone(),
            schema: Arc::clone(schema),
            rows: 0,
            with_nan: vec![false; schema.fields().len()],
        })
    }
}

impl FileEncoder for ParquetFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for (column, seen) in batch.columns().iter().zip(&mut self.with_nan) {
            *seen = *seen || has_nan(column);
        }
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(parquet_error)
    }

    fn size_bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    fn memory_bytes(&self) -> usize {
        self.writer.memory_size()
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(parquet_error)
    }

    fn finish(mut self: Box<Self>) -> Result<FinishedFile> {
        let metadata = self.writer.finish().map_err(parquet_error)?;
        let statistics = self
            .columns
            .iter()
            .enumerate()
            .filter_map(|(index, id)| {
                let leaf = leaf_index(&self.schema, index)? as usize;
                Some(column_statistics(
                    &metadata,
                    leaf,
                    *id,
                    self.schema.field(index).data_type(),
                    self.with_nan[index],
                ))
            })
            .collect();
        Ok(FinishedFile { rows: self.rows, statistics })
    }
}

/// A full disk stays a full disk behind Parquet's error.
fn parquet_error(error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(io) => (*io).into(),
            Err(source) => Error::new(Kind::Internal, format!("could not write a Parquet file: {source}")),
        },
        other => Error::new(Kind::Internal, format!("could not write a Parquet file: {other}")).with_source(other),
    }
}

/// The statistics of one column over all row groups. A bound is only given if it holds for every row.
fn column_statistics(
    metadata: &ParquetMetaData,
    leaf: usize,
    column: ColumnId,
    data_type: &DataType,
    with_nan: bool,
) -> ColumnStatistics {
    let (mut min, mut max): (Option<Value>, Option<Value>) = (None, None);
    let mut nulls = Some(0);
    let mut bounded = !with_nan;
    for group in metadata.row_groups() {
        let Some(statistics) = group.column(leaf).statistics() else {
            (nulls, bounded) = (None, false);
            continue;
        };
        let group_nulls = statistics.null_count_opt();
        nulls = nulls.zip(group_nulls).map(|(sum, more)| sum + more);
        if group_nulls == Some(group.num_rows() as u64) {
            continue;
        }
        match statistics_bounds(statistics, data_type) {
            (Some(low), Some(high)) => {
                let lower = min.as_ref().is_none_or(|min| low.compare(min).is_some_and(|order| order.is_lt()));
                let higher = max.as_ref().is_none_or(|max| high.compare(max).is_some_and(|order| order.is_gt()));
                min = if lower { Some(low) } else { min };
                max = if higher { Some(high) } else { max };
            }
            _ => bounded = false,
        }
    }
    ColumnStatistics { column, min: min.filter(|_| bounded), max: max.filter(|_| bounded), nulls }
}

fn has_nan(array: &ArrayRef) -> bool {
    match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().values().iter().any(|value| value.is_nan()),
        DataType::Float64 => array.as_primitive::<Float64Type>().values().iter().any(|value| value.is_nan()),
        _ => false,
    }
}

/// Which columns of a sample hold mostly distinct values; `None` if the sample is too small to say. (A dictionary that is
/// given up after a megabyte costs more time than encoding the values.)
pub(super) fn mostly_distinct(batch: &RecordBatch) -> Option<Vec<bool>> {
    let rows = batch.num_rows().min(SAMPLE_ROWS_MOST);
    if rows < SAMPLE_ROWS_LEAST {
        return None;
    }
    let sample = batch.slice(0, rows);
    Some(sample.columns().iter().map(is_mostly_distinct).collect())
}

fn is_mostly_distinct(column: &ArrayRef) -> bool {
    let distinct = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().collect::<HashSet<_>>().len(),
        DataType::Binary => column.as_binary::<i32>().iter().collect::<HashSet<_>>().len(),
        data_type => match data_type.primitive_width() {
            Some(width) => {
                let data = column.to_data();
                let values = &data.buffers()[0].as_slice()[data.offset() * width..(data.offset() + data.len()) * width];
                values.chunks_exact(width).collect::<HashSet<_>>().len()
            }
            None => return false,
        },
    };
    distinct as f64 > column.len() as f64 * DISTINCT_FOR_DICTIONARY
}
