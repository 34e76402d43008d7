//! Data files as the writer sees them: an encoder a format, behind one small trait.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::parquet::file::metadata::SortingColumn;
use tycho_catalog::{ColumnStatistics, TableDefinition};

use super::parquet_file::{ParquetFile, ParquetSettings, compression};
use crate::error::{Error, Kind, Result};

/// A file that is being written.
pub(super) trait FileEncoder: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Encoded bytes until now, with an estimate for those that are not in the file yet.
    fn size_bytes(&self) -> u64;
    /// Memory held for what is not in the file yet.
    fn memory_bytes(&self) -> usize;
    /// Moves what is held to the file.
    fn flush(&mut self) -> Result<()>;
    fn finish(self: Box<Self>) -> Result<FinishedFile>;
}

/// What is known of a file once it is whole.
pub(super) struct FinishedFile {
    pub rows: u64,
    /// Empty where the format has none.
    pub statistics: Vec<ColumnStatistics>,
}

/// What a sample of the rows showed.
#[derive(Default)]
pub(super) struct RowKind {
    /// Columns whose values hardly repeat; empty while nothing is known.
    pub mostly_distinct: Vec<bool>,
}

/// The format of a table's files with its options.
pub(super) enum FileFormat {
    Parquet(ParquetSettings),
    Csv { header: bool, delimiter: u8 },
    Json,
}

impl FileFormat {
    /// By the table's provider and options. `sorting_columns` go into Parquet's row groups.
    pub fn of(definition: &TableDefinition, sorting_columns: Vec<SortingColumn>) -> Result<FileFormat> {
        let codec = option(&definition.options, &["compression", "parquet.compression"])
            .or_else(|| option(&definition.properties, &["parquet.compression"]));
        match definition.provider.as_str() {
            "parquet" => Ok(FileFormat::Parquet(ParquetSettings {
                compression: compression(codec)?,
                columns: definition.data_columns().iter().map(|column| column.id).collect(),
                sorting_columns,
            })),
            provider @ ("csv" | "json") => {
                if codec.is_some_and(|codec| !["none", "uncompressed"].contains(&codec.to_ascii_lowercase().as_str())) {
                    return Err(refused(definition, "with compression", "write it without the option `compression`"));
                }
                if provider == "json" {
                    return Ok(FileFormat::Json);
                }
                if let Some(nested) = definition.data_columns().iter().find(|column| column.data_type.is_nested()) {
                    return Err(refused(
                        definition,
                        &format!("with the nested column `{}`", nested.name),
                        "use parquet",
                    ));
                }
                let header = option(&definition.options, &["header"]).is_some_and(|v| v.eq_ignore_ascii_case("true"));
                Ok(FileFormat::Csv { header, delimiter: delimiter(definition)? })
            }
            _ => Err(refused(definition, "at all", "create a parquet, csv or json table and insert into that")),
        }
    }

    pub fn extension(&self) -> &'static str {
        match self {
            FileFormat::Parquet(_) => "parquet",
            FileFormat::Csv { .. } => "csv",
            FileFormat::Json => "json",
        }
    }

    /// Opens a new file at the path, which must not exist. `metadata` goes into its footer, if it has one.
    pub fn create(
        &self,
        path: &Path,
        schema: &SchemaRef,
        metadata: &[(&str, String)],
        rows: &RowKind,
    ) -> Result<Box<dyn FileEncoder>> {
        Ok(match self {
            FileFormat::Parquet(settings) => Box::new(ParquetFile::create(path, schema, settings, metadata, rows)?),
            FileFormat::Csv { header, delimiter } => {
                let writer = csv::WriterBuilder::new().with_header(*header).with_delimiter(*delimiter);
                Box::new(TextFile::create(path, |file| Lines::Csv(Box::new(writer.build(file))))?)
            }
            FileFormat::Json => Box::new(TextFile::create(path, |file| Lines::Json(LineDelimitedWriter::new(file)))?),
        })
    }
}

fn refused(definition: &TableDefinition, how: &str, remedy: &str) -> Error {
    let text = format!("table {} cannot be written {how} as {}", definition.full_name(), definition.provider);
    Error::new(Kind::FeatureNotSupported, text).with_hint(remedy.to_owned())
}

fn option<'a>(options: &'a BTreeMap<String, String>, names: &[&str]) -> Option<&'a str> {
    let found = options.iter().find(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name)));
    found.map(|(_, value)| value.as_str())
}

fn delimiter(definition: &TableDefinition) -> Result<u8> {
    match option(&definition.options, &["sep", "delimiter"]) {
        None => Ok(b','),
        Some("\\t") => Ok(b'\t'),
        Some(text) if text.len() == 1 => Ok(text.as_bytes()[0]),
        Some(text) => Err(Error::new(
            Kind::InvalidParameterValue,
            format!("table {} has the delimiter `{text}`; one ASCII character can be written", definition.full_name()),
        )),
    }
}

/// A file that counts its bytes.
struct Counted {
    file: BufWriter<File>,
    bytes: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

enum Lines {
    Csv(Box<csv::Writer<Counted>>),
    Json(LineDelimitedWriter<Counted>),
}

/// A file of lines.
struct TextFile {
    lines: Lines,
    rows: u64,
    bytes: Arc<AtomicU64>,
}

impl TextFile {
    fn create(path: &Path, lines: impl FnOnce(Counted) -> Lines) -> Result<TextFile> {
        let bytes = Arc::new(AtomicU64::new(0));
        let file = BufWriter::with_capacity(1 << 18, File::create_new(path)?);
        Ok(TextFile { lines: lines(Counted { file, bytes: Arc::clone(&bytes) }), rows: 0, bytes })
    }
}

impl FileEncoder for TextFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.lines {
            Lines::Csv(writer) => writer.write(batch)?,
            Lines::Json(writer) => writer.write(batch)?,
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn size_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn memory_bytes(&self) -> usize {
        0
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<FinishedFile> {
        let mut file = match self.lines {
            Lines::Csv(writer) => (*writer).into_inner(),
            Lines::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
        };
        file.flush()?;
        Ok(FinishedFile { rows: self.rows, statistics: Vec::new() })
    }
}
