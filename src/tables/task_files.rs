//! The files of one writer task: one is open at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::partition;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use tycho_catalog::{NewFile, NewPartition, Value};

use super::array_value::value_at;
use super::data_file::{FileEncoder, FileFormat, RowKind};
use super::hive_path::{DEFAULT_PARTITION, parse_folder, partition_folder, value_from_text, value_to_text};
use super::local_storage::{local_path, local_url};
use super::parquet_file::mostly_distinct;
use super::writer::Write;
use crate::error::{Error, Kind, Result};

/// Numbers files within this process. A transaction belongs to one process, so with its id a name is never used twice, whichever
/// statements and tables of the transaction write into one folder.
static NEXT_FILE: AtomicU64 = AtomicU64::new(0);

/// When the memory pool is used up, an open file is flushed from so many bytes on: smaller row groups would cost every reader.
const LEAST_FLUSH_BYTES: usize = 16 << 20;

/// Writes rows whose partitions come one after the other.
pub(super) struct TaskFiles {
    task: usize,
    write: Arc<Write>,
    staging: Option<PathBuf>,
    open: Option<OpenFile>,
    finished: Vec<NewFile>,
    rows: RowKind,
    reservation: MemoryReservation,
}

struct OpenFile {
    partition: NewPartition,
    encoder: Box<dyn FileEncoder>,
    staged: PathBuf,
    /// As `NewFile::path`.
    path: String,
}

impl TaskFiles {
    pub fn new(task: usize, write: Arc<Write>, context: &TaskContext) -> TaskFiles {
        let reservation = MemoryConsumer::new("open data file").register(context.memory_pool());
        TaskFiles {
            task,
            write,
            staging: None,
            open: None,
            finished: Vec::new(),
            rows: RowKind::default(),
            reservation,
        }
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.write.check_not_stopped()?;
        let data_columns = self.write.file_schema.fields().len();
        let (data, keys) = batch.columns().split_at(data_columns);
        let data = RecordBatch::try_new(Arc::clone(&self.write.file_schema), data.to_vec())?;
        if matches!(self.write.format, FileFormat::Parquet(_)) && self.rows.mostly_distinct.is_empty() {
            self.rows.mostly_distinct = mostly_distinct(&data).unwrap_or_default();
        }
        if keys.is_empty() {
            return self.write_partition(&[], &data);
        }
        for range in partition(keys)?.ranges() {
            let values = keys.iter().map(|key| value_at(key, range.start)).collect::<Option<Vec<_>>>();
            let values = values.ok_or_else(|| self.unnameable("a value"))?;
            self.write_partition(&values, &data.slice(range.start, range.len()))?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<Vec<NewFile>> {
        self.close()?;
        Ok(self.finished)
    }

    fn write_partition(&mut self, values: &[Value], rows: &RecordBatch) -> Result<()> {
        let columns = self.write.request.definition.partition_columns();
        let folder = partition_folder(columns, values);
        if self.open.as_ref().is_some_and(|open| open.partition.folder != folder) {
            self.close()?;
        }
        if self.open.is_none() {
            let partition = self.partition(folder, values)?;
            self.open = Some(self.create(partition)?);
        }
        let open = self.open.as_mut().expect("a file was opened where none was");
        open.encoder.write(rows)?;
        if self.reservation.try_resize(open.encoder.memory_bytes()).is_err() {
            if open.encoder.memory_bytes() >= LEAST_FLUSH_BYTES {
                open.encoder.flush()?;
            }
            self.reservation.resize(open.encoder.memory_bytes());
        }
        if open.encoder.size_bytes() >= self.write.request.target_file_bytes {
            self.close()?;
        }
        Ok(())
    }

    /// The partition of a folder; its values are those that the folder's name reads as.
    fn partition(&self, folder: String, values: &[Value]) -> Result<NewPartition> {
        let columns = self.write.request.definition.partition_columns();
        let texts = parse_folder(&folder).filter(|parts| parts.len() == columns.len());
        let texts = texts.ok_or_else(|| self.unnameable(&folder))?;
        let mut read = Vec::with_capacity(values.len());
        for ((column, value), (_, text)) in columns.iter().zip(values).zip(texts) {
            let from_name = value_from_text(&text, &column.data_type).ok_or_else(|| self.unnameable(&text))?;
            let is_same = match value {
                Value::Float(_) => true,
                Value::Text(text) if text.is_empty() || text == DEFAULT_PARTITION => from_name.is_null(),
                value => value_to_text(&from_name) == value_to_text(value) && !is_lossy(value),
            };
            if !is_same {
                return Err(self.unnameable(&text));
            }
            read.push(from_name);
        }
        let location = self.write.request.partition_locations.get(&folder).cloned();
        Ok(NewPartition { folder, values: read, location })
    }

    fn unnameable(&self, value: &str) -> Error {
        let table = self.write.request.definition.full_name();
        Error::new(Kind::InvalidText, format!("{value} cannot name a partition of table {table}"))
    }

    fn create(&mut self, partition: NewPartition) -> Result<OpenFile> {
        let request = &self.write.request;
        let (number, extension) = (NEXT_FILE.fetch_add(1, Ordering::Relaxed), self.write.format.extension());
        let name = format!(
            "part-{:05}-{number}-{}{}-{}.{extension}",
            self.task, request.catalog_id, request.incarnation, request.transaction
        );
        let root = match &self.staging {
            Some(root) => root.clone(),
            None => local_path(&request.staging)?,
        };
        let folder = root.join(&partition.folder);
        make_below(&root, &partition.folder).map_err(|e| {
            let text = format!("could not create the folder of partition `{}`: {e}", partition.folder);
            Error::new(Kind::Io, text).with_source(e)
        })?;
        let path = match &partition.location {
            Some(location) => format!("{}/{name}", location.trim_end_matches('/')),
            None if partition.folder.is_empty() => name.clone(),
            None => format!("{}/{name}", partition.folder),
        };
        let metadata = [
            ("tycho.table", request.definition.full_name()),
            ("tycho.partition", partition.folder.clone()),
            ("tycho.transaction", request.transaction.to_string()),
            ("tycho.catalog", format!("{}{}", request.catalog_id, request.incarnation)),
        ];
        let staged = folder.join(&name);
        let encoder = self.write.format.create(&staged, &self.write.file_schema, &metadata, &self.rows)?;
        self.staging = Some(root);
        Ok(OpenFile { partition, encoder, staged, path })
    }

    fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let finished = open.encoder.finish()?;
        self.reservation.free();
        let size_bytes = std::fs::metadata(&open.staged)?.len();
        let progress = &self.write.request.progress;
        progress.bytes_written.fetch_add(size_bytes, Ordering::Relaxed);
        progress.files_written.fetch_add(1, Ordering::Relaxed);
        self.finished.push(NewFile {
            partition: open.partition,
            path: open.path,
            staged: local_url(&open.staged)?,
            size_bytes,
            rows: finished.rows,
            statistics: finished.statistics,
            sorted_by: self.write.sorted_by.clone(),
        });
        Ok(())
    }
}

fn is_lossy(value: &Value) -> bool {
    matches!(value, Value::Binary(bytes) if std::str::from_utf8(bytes).is_err())
}

/// Makes a partition's folders below the staging area, but never the area itself: it is gone once it was abandoned.
fn make_below(root: &Path, folder: &str) -> std::io::Result<()> {
    let mut path = root.to_owned();
    for part in folder.split('/').filter(|part| !part.is_empty()) {
        path.push(part);
        match std::fs::create_dir(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    Ok(())
}
