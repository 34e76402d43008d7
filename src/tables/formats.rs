//! File formats: what may be said in OPTIONS of a file table, and the DataFusion source that reads each format.
//!
//! CSV follows Spark where the two differ: `header` is false by default, an empty unquoted value is NULL, `escape` is a
//! backslash by default, and without declared columns all are STRING unless `inferSchema` is true (integers are then
//! BIGINT). A value that does not fit its column is an error: that is Spark's `mode` FAILFAST, the only one here.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::config::{CsvOptions, TableParquetOptions};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::avro::AvroFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::physical_plan::{AvroSource, CsvSource, FileSource, JsonSource, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion_orc::OrcFormat;

use super::orc::OrcTableSource;
use crate::error::{Error, Kind, Result};

/// A file format with the options of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    Parquet {
        merge_schema: bool,
    },
    Csv(Box<CsvFormatOptions>),
    Json {
        /// A file is one array of objects (or one object), and not one object a line.
        multi_line: bool,
    },
    Avro,
    Orc,
}

/// Options of CSV, by Spark's names.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvFormatOptions {
    pub header: bool,
    pub separator: u8,
    pub quote: u8,
    pub escape: Option<u8>,
    pub comment: Option<u8>,
    pub terminator: Option<u8>,
    pub multi_line: bool,
    pub infer_schema: bool,
    /// A text that means NULL, beside the empty one.
    pub null_value: Option<String>,
}

/// Options that every provider of files takes: they say where the files are, or what only writing asks for.
const COMMON: &[&str] = &["path", "compression", "codec", "serialization.format", "mergeschema"];
const COMMON_PREFIXES: &[&str] = &["fs.", "aws.", "tycho."];
const CSV: &[&str] = &[
    "header",
    "sep",
    "delimiter",
    "quote",
    "escape",
    "nullvalue",
    "inferschema",
    "comment",
    "linesep",
    "multiline",
    "encoding",
    "charset",
    "mode",
    "enforceschema",
    "emptyvalue",
    "quoteall",
    "escapequotes",
    "dateformat",
    "ignoreleadingwhitespace",
    "ignoretrailingwhitespace",
];
const JSON: &[&str] = &["multiline", "encoding", "charset", "mode", "dateformat"];

/// What an option must say where only one meaning is supported.
const ONLY: &[(&str, &[&str])] = &[
    ("encoding", &["utf-8", "utf8"]),
    ("charset", &["utf-8", "utf8"]),
    ("mode", &["failfast"]),
    ("enforceschema", &["true"]),
    ("emptyvalue", &[""]),
    ("dateformat", &["yyyy-mm-dd"]),
    ("ignoreleadingwhitespace", &["false"]),
    ("ignoretrailingwhitespace", &["false"]),
];

impl Format {
    /// Reads the options of a table. An unknown one is an error that names the nearest.
    pub fn new(provider: &str, options: &BTreeMap<String, String>) -> Result<Format> {
        let known: &[&str] = match provider {
            "csv" => CSV,
            "json" => JSON,
            "parquet" | "orc" | "avro" => &[],
            _ => {
                return Err(Error::new(
                    Kind::FeatureNotSupported,
                    format!("`{provider}` is no file format; parquet, csv, json, orc and avro are"),
                ));
            }
        };
        let mut options: BTreeMap<String, &str> = options.iter().map(|(k, v)| (k.to_ascii_lowercase(), &**v)).collect();
        // How the table is overwritten, which is no matter of its format.
        options.remove("partitionoverwritemode");
        for (key, value) in &options {
            check_option(provider, known, key, value)?;
        }
        let flag = |name: &str| -> Result<bool> {
            match options.get(name).map(|v| v.to_ascii_lowercase()).as_deref() {
                None | Some("false") => Ok(false),
                Some("true") => Ok(true),
                Some(other) => Err(Error::new(
                    Kind::InvalidParameterValue,
                    format!("{provider} option `{name}` is `{other}`; it takes true or false"),
                )),
            }
        };
        Ok(match provider {
            "parquet" => Format::Parquet { merge_schema: flag("mergeschema")? },
            "json" => Format::Json { multi_line: flag("multiline")? },
            "avro" => Format::Avro,
            "orc" => Format::Orc,
            _ => {
                let byte = |names: &[&str]| -> Result<Option<u8>> {
                    match names.iter().find_map(|n| options.get(*n).map(|v| (*n, *v))) {
                        None => Ok(None),
                        Some((name, text)) => single_byte(name, text).map(Some),
                    }
                };
                let quote = byte(&["quote"])?.unwrap_or(b'"');
                let escape = byte(&["escape"])?.unwrap_or(b'\\');
                Format::Csv(Box::new(CsvFormatOptions {
                    header: flag("header")?,
                    separator: byte(&["sep", "delimiter"])?.unwrap_or(b','),
                    quote,
                    // Doubled quotes are understood in any case.
                    escape: (escape != quote && escape != 0).then_some(escape),
                    comment: byte(&["comment"])?.filter(|b| *b != 0),
                    terminator: match options.get("linesep").copied() {
                        None | Some("\n" | "\r\n" | "\\n" | "\\r\\n") => None,
                        Some(text) => Some(single_byte("linesep", text)?),
                    },
                    multi_line: flag("multiline")?,
                    infer_schema: flag("inferschema")?,
                    null_value: options.get("nullvalue").filter(|v| !v.is_empty()).map(|v| v.to_string()),
                }))
            }
        })
    }

    /// Whether a file of this format may be compressed as a whole.
    pub fn compressible(&self) -> bool {
        matches!(self, Format::Csv(_) | Format::Json { .. })
    }

    /// The compression of a file, by the end of its name.
    pub fn compression(&self, path: &str) -> Result<FileCompressionType> {
        let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, e)| e);
        if !self.compressible() {
            return Ok(FileCompressionType::UNCOMPRESSED);
        }
        Ok(match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("gz" | "gzip") => FileCompressionType::GZIP,
            Some("bz2") => FileCompressionType::BZIP2,
            Some("xz") => FileCompressionType::XZ,
            Some("zst" | "zstd") => FileCompressionType::ZSTD,
            Some(other @ ("snappy" | "lz4" | "deflate" | "lzo")) => {
                return Err(Error::new(
                    Kind::FeatureNotSupported,
                    format!("file `{path}` is compressed with {other}; gz, bz2, xz and zst are read"),
                ));
            }
            _ => FileCompressionType::UNCOMPRESSED,
        })
    }

    /// What reads files of this format.
    pub fn source(&self, schema: TableSchema, state: &dyn Session) -> Arc<dyn FileSource> {
        match self {
            Format::Parquet { .. } => {
                Arc::new(ParquetSource::new(schema).with_table_parquet_options(parquet_options(state)))
            }
            Format::Csv(options) => Arc::new(CsvSource::new(schema).with_csv_options(options.to_datafusion())),
            Format::Json { multi_line } => Arc::new(JsonSource::new(schema).with_newline_delimited(!multi_line)),
            Format::Avro => Arc::new(AvroSource::new(schema)),
            Format::Orc => Arc::new(OrcTableSource::new(schema)),
        }
    }

    /// What infers schemas of files of this format. CSV with `inferSchema` and JSON read every record, as Spark does.
    pub(super) fn inference(&self, compression: FileCompressionType, state: &dyn Session) -> Arc<dyn FileFormat> {
        match self {
            Format::Parquet { .. } => {
                Arc::new(ParquetFormat::default().with_options(parquet_options(state)).with_force_view_types(false))
            }
            Format::Csv(options) => Arc::new(
                CsvFormat::default()
                    .with_options(options.to_datafusion())
                    .with_schema_infer_max_rec(if options.infer_schema { usize::MAX } else { 1 })
                    .with_file_compression_type(compression),
            ),
            Format::Json { multi_line } => Arc::new(
                JsonFormat::default()
                    .with_newline_delimited(!multi_line)
                    .with_schema_infer_max_rec(usize::MAX)
                    .with_file_compression_type(compression),
            ),
            Format::Avro => Arc::new(AvroFormat),
            Format::Orc => Arc::new(OrcFormat),
        }
    }
}

/// The session's Parquet options; INT96 timestamps (old Spark and Hive) are instants, read
/// in microseconds, since nanoseconds end in 2262.
fn parquet_options(state: &dyn Session) -> TableParquetOptions {
    let mut options =
        TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
    options.global.coerce_int96 = Some("us".to_owned());
    options.global.coerce_int96_tz = Some("UTC".to_owned());
    options
}

impl CsvFormatOptions {
    pub(super) fn to_datafusion(&self) -> CsvOptions {
        CsvOptions {
            has_header: Some(self.header),
            delimiter: self.separator,
            quote: self.quote,
            escape: self.escape,
            comment: self.comment,
            terminator: self.terminator,
            newlines_in_values: Some(self.multi_line),
            // Spark fills short rows with NULL.
            truncated_rows: Some(true),
            null_regex: self.null_value.as_ref().map(|text| format!("^({})?$", escape_regex(text))),
            ..Default::default()
        }
    }
}

fn escape_regex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn single_byte(name: &str, text: &str) -> Result<u8> {
    match text {
        "" => Ok(0),
        "\\t" => Ok(b'\t'),
        "\\\\" => Ok(b'\\'),
        "\\u0001" | "\\001" => Ok(1),
        "\\0" | "\\u0000" => Ok(0),
        _ if text.len() == 1 => Ok(text.as_bytes()[0]),
        _ => Err(Error::new(
            Kind::InvalidParameterValue,
            format!("csv option `{name}` is `{text}`; it takes one ASCII character"),
        )),
    }
}

fn check_option(provider: &str, known: &[&str], key: &str, value: &str) -> Result<()> {
    let own_prefix = format!("{provider}.");
    if COMMON_PREFIXES.iter().any(|p| key.starts_with(p)) || key.starts_with(&own_prefix) {
        return Ok(());
    }
    if !known.contains(&key) && !COMMON.contains(&key) {
        let near = known
            .iter()
            .chain(COMMON)
            .map(|name| (levenshtein(name, key), *name))
            .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
            .min();
        let error = Error::new(Kind::InvalidParameterValue, format!("option `{key}` is not known for {provider}"));
        return Err(match near {
            Some((_, name)) => error.with_hint(format!("did you mean `{name}`?")),
            None if known.is_empty() => error,
            None => error.with_hint(format!("{provider} takes {}", known.join(", "))),
        });
    }
    match ONLY.iter().find(|(name, _)| *name == key) {
        Some((_, allowed)) if !allowed.contains(&value.to_ascii_lowercase().as_str()) => Err(Error::new(
            Kind::FeatureNotSupported,
            format!("{provider} option `{key}` is `{value}`; only `{}` is supported", allowed[0]),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(provider: &str, pairs: &[(&str, &str)]) -> Result<Format> {
        Format::new(provider, &pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    fn csv(pairs: &[(&str, &str)]) -> CsvFormatOptions {
        match format("csv", pairs).unwrap() {
            Format::Csv(options) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn csv_options_by_sparks_names() {
        let plain = csv(&[]);
        assert!(!plain.header && !plain.infer_schema);
        assert_eq!((plain.separator, plain.quote, plain.escape), (b',', b'"', Some(b'\\')));
        let told = csv(&[("Header", "TRUE"), ("sep", "\\t"), ("escape", "\""), ("nullValue", "N.A"), ("fs.x", "y")]);
        assert!(told.header);
        assert_eq!((told.separator, told.escape), (b'\t', None));
        assert_eq!(told.to_datafusion().null_regex.as_deref(), Some("^(N\\.A)?$"));
    }

    #[test]
    fn wrong_options_are_named() {
        for (provider, key, value, kind, words) in [
            ("csv", "heder", "true", Kind::InvalidParameterValue, "did you mean `header`?"),
            ("csv", "header", "yes", Kind::InvalidParameterValue, ""),
            ("csv", "sep", "||", Kind::InvalidParameterValue, ""),
            ("csv", "mode", "PERMISSIVE", Kind::FeatureNotSupported, ""),
            ("parquet", "header", "true", Kind::InvalidParameterValue, ""),
            ("delta", "x", "true", Kind::FeatureNotSupported, ""),
        ] {
            let error = format(provider, &[(key, value)]).unwrap_err();
            assert_eq!(error.kind, kind, "{provider} {key}");
            assert!(error.hint.as_deref().unwrap_or("").contains(words), "{:?}", error.hint);
        }
        assert_eq!(format("parquet", &[("mergeSchema", "true")]).unwrap(), Format::Parquet { merge_schema: true });
    }

    #[test]
    fn compression_goes_by_the_name() {
        let json = format("json", &[]).unwrap();
        assert_eq!(json.compression("a.b/x.json.GZ").unwrap(), FileCompressionType::GZIP);
        assert_eq!(json.compression("a.gz/x.json").unwrap(), FileCompressionType::UNCOMPRESSED);
        assert!(json.compression("x.json.lz4").unwrap_err().message.contains("lz4"));
        assert_eq!(format("orc", &[]).unwrap().compression("x.gz").unwrap(), FileCompressionType::UNCOMPRESSED);
    }
}
