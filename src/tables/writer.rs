//! The write of a query's rows into staged data files.
//!
//! Rows are distributed over tasks by their partition, arranged in each task (`arrangement`), and encoded into one open file a task,
//! a new one where the partition changes or the target size is reached. A task runs on a thread of its own that may block, so
//! that encoding does not hold up other sessions. Files are staged: nobody sees them until the transaction publishes them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::{CastOptions, SortOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::TaskContext;
use datafusion::parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as ColumnExpr;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning, SendableRecordBatchStream};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tycho_catalog::{Column, NewFile, SortColumn, TableDefinition};

use super::arrangement::{Arranger, RowOrder, slice_bytes};
use super::data_file::FileFormat;
use super::local_storage::{local_path, make_folders, sync_folders};
use super::parquet_file::leaf_index;
use super::task_files::TaskFiles;
use crate::error::{Error, Kind, Result};
use crate::session::Progress;

/// The rows of a table without partitions go to one file if they are no more than so many bytes (in memory, all tasks together).
const ONE_FILE_BYTES: usize = 16 << 20;

/// One write of rows into a file table.
pub struct WriteRequest {
    pub definition: Arc<TableDefinition>,
    /// Absolute URL of the table's root.
    pub root: String,
    pub transaction: i64,
    /// Catalog id and incarnation, for file names and metadata.
    pub catalog_id: String,
    pub incarnation: i64,
    /// Staging area, already recorded (`staging_area`).
    pub staging: String,
    /// SORT BY: indexes into the input's columns, descending, nulls first. Within each file, after the partition columns.
    pub sort_by: Vec<(usize, bool, bool)>,
    pub target_file_bytes: u64,
    /// Custom locations of partitions: folder → absolute URL.
    pub partition_locations: HashMap<String, String>,
    pub progress: Arc<Progress>,
}

/// What the tasks of one write share.
pub(super) struct Write {
    pub request: WriteRequest,
    pub format: FileFormat,
    pub sorted_by: Vec<SortColumn>,
    /// All columns, in table order.
    pub schema: SchemaRef,
    /// The columns in the files, with their field ids.
    pub file_schema: SchemaRef,
    order: RowOrder,
    /// Stops the tasks when the statement is canceled or one of them fails.
    pub stop: CancellationToken,
}

/// Writes the rows of `input` (data columns, then partition columns, in table order, already of the table's types) into staged
/// files. Dropping the future stops it; what was staged is abandoned with the transaction.
pub async fn write(
    input: Arc<dyn ExecutionPlan>,
    request: WriteRequest,
    task: Arc<TaskContext>,
) -> Result<Vec<NewFile>> {
    let write = Arc::new(Write::new(request, &input.schema())?);
    let _stop_when_dropped = write.stop.clone().drop_guard();
    make_staging(&write.request.staging).await?;
    let sources = sources(input, &write, &task).await?;
    let mut tasks = JoinSet::new();
    for (number, source) in sources.into_iter().enumerate() {
        let (write, task) = (Arc::clone(&write), Arc::clone(&task));
        let runtime = Handle::current();
        tasks.spawn_blocking(move || run_task(number, source, &write, task, &runtime));
    }
    let mut files = Vec::new();
    let mut failure: Option<Error> = None;
    // Every task is waited for, so that none still writes when the staging area is removed.
    while let Some(ended) = tasks.join_next().await {
        match ended.map_err(|e| Error::new(Kind::Internal, format!("a writer task died: {e}"))).flatten() {
            Ok(more) => files.extend(more),
            Err(error) => {
                write.stop.cancel();
                // The others end as canceled because of the first.
                if failure.as_ref().is_none_or(|first| first.kind == Kind::Canceled) {
                    failure = Some(error);
                }
            }
        }
    }
    match failure {
        Some(error) => Err(error),
        None => {
            files.sort_by(|a, b| (&a.partition.folder, &a.path).cmp(&(&b.partition.folder, &b.path)));
            Ok(files)
        }
    }
}

impl Write {
    fn new(request: WriteRequest, input: &Schema) -> Result<Write> {
        let definition = &request.definition;
        let mut fields: Vec<Field> = definition.columns.iter().map(field).collect();
        // Columns behind the table's are there to sort by, and are not written.
        fields.extend(input.fields().iter().skip(definition.columns.len()).map(|f| f.as_ref().clone()));
        let columns = definition.columns.len();
        let schema = Arc::new(Schema::new(fields));
        let file_schema = Arc::new(Schema::new(definition.data_columns().iter().map(field).collect::<Vec<_>>()));
        if file_schema.fields().is_empty() {
            return Err(Error::new(
                Kind::InvalidTableDefinition,
                format!("table {} has only partition columns, so there is nothing to write", definition.full_name()),
            ));
        }
        let mut order = RowOrder { partition: (file_schema.fields().len()..columns).collect(), sort: Vec::new() };
        let (mut sorted_by, mut sorting_columns, mut hidden) = (Vec::new(), Vec::new(), false);
        for (index, descending, nulls_first) in request.sort_by.iter().copied() {
            let Some(column) = definition.columns.get(index) else {
                if index < schema.fields().len() {
                    order.sort.push((index, SortOptions { descending, nulls_first }));
                    // What comes after a column that is not in the file is no order of the file's own.
                    hidden = true;
                    continue;
                }
                return Err(Error::new(Kind::Internal, format!("SORT BY names column {index}, which is not there")));
            };
            // Within a file, a partition column has one value.
            if index >= file_schema.fields().len() {
                continue;
            }
            order.sort.push((index, SortOptions { descending, nulls_first }));
            if hidden {
                continue;
            }
            sorted_by.push(SortColumn { column: column.id, descending, nulls_first });
            if let Some(column_idx) = leaf_index(&file_schema, index)
                && sorting_columns.len() + 1 == sorted_by.len()
            {
                sorting_columns.push(SortingColumn { column_idx, descending, nulls_first });
            }
        }
        let format = FileFormat::of(definition, sorting_columns)?;
        let stop = CancellationToken::new();
        Ok(Write { format, sorted_by, schema, file_schema, order, stop, request })
    }

    pub fn check_not_stopped(&self) -> Result<()> {
        if self.stop.is_cancelled() { Err(canceled()) } else { Ok(()) }
    }
}

fn field(column: &Column) -> Field {
    let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), column.id.to_string());
    Field::new(&column.name, column.data_type.clone(), column.nullable).with_metadata(HashMap::from([id]))
}

fn canceled() -> Error {
    Error::new(Kind::Canceled, "the write was canceled")
}

/// Makes the staging area and the table's root, durably. Tasks make only folders below it: after it was removed they fail.
async fn make_staging(staging: &str) -> Result<()> {
    let folder = local_path(staging)?;
    let made = tokio::task::spawn_blocking(move || {
        let mut changed = BTreeSet::new();
        make_folders(&folder, &mut changed).map_err(|e| {
            let text = format!("could not create the staging area `{}`: {e}", folder.display());
            Error::new(Kind::Io, text).with_source(e)
        })?;
        Ok(sync_folders(&changed)?)
    });
    made.await.map_err(|e| Error::new(Kind::Internal, format!("creating the staging area was stopped: {e}")))?
}

/// The rows of one task: batches that were read already, then streams, one after the other.
#[derive(Default)]
struct Source {
    head: VecDeque<RecordBatch>,
    tail: VecDeque<SendableRecordBatchStream>,
}

impl Source {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(batch) = self.head.pop_front() {
            return Ok(Some(batch));
        }
        while let Some(stream) = self.tail.front_mut() {
            match stream.next().await {
                Some(batch) => return Ok(Some(batch?)),
                None => self.tail.pop_front(),
            };
        }
        Ok(None)
    }

    /// Reads ahead until so many bytes are in memory or all is read.
    async fn read_ahead(mut self, bytes: usize) -> Result<(Source, usize)> {
        let (mut read, mut held) = (VecDeque::new(), 0);
        while held <= bytes {
            match self.next().await? {
                Some(batch) => {
                    held += slice_bytes(&batch)?;
                    read.push_back(batch);
                }
                None => break,
            }
        }
        Ok((Source { head: read, tail: self.tail }, held))
    }
}

/// Divides the input among tasks: a table's partition is in one task, and a small write without partitions is one task.
async fn sources(input: Arc<dyn ExecutionPlan>, write: &Write, task: &Arc<TaskContext>) -> Result<Vec<Source>> {
    let tasks = task.session_config().target_partitions().max(1);
    let input: Arc<dyn ExecutionPlan> = if write.order.partition.is_empty() || tasks == 1 {
        input
    } else {
        let schema = input.schema();
        let key =
            |index: &usize| -> Arc<dyn PhysicalExpr> { Arc::new(ColumnExpr::new(schema.field(*index).name(), *index)) };
        let keys = write.order.partition.iter().map(key).collect();
        Arc::new(RepartitionExec::try_new(input, Partitioning::Hash(keys, tasks))?)
    };
    let streams = input.output_partitioning().partition_count();
    let mut sources: Vec<Source> = (0..tasks.min(streams)).map(|_| Source::default()).collect();
    for stream in 0..streams {
        sources[stream % tasks].tail.push_back(input.execute(stream, Arc::clone(task))?);
    }
    if !write.order.partition.is_empty() || sources.len() == 1 {
        return Ok(sources);
    }
    let share = ONE_FILE_BYTES / sources.len();
    let mut ahead = JoinSet::new();
    for (number, source) in sources.into_iter().enumerate() {
        ahead.spawn(async move { source.read_ahead(share).await.map(|read| (number, read)) });
    }
    let mut read = Vec::new();
    while let Some(ended) = ahead.join_next().await {
        read.push(ended.map_err(|e| Error::new(Kind::Internal, format!("a reader task died: {e}"))).flatten()?);
    }
    read.sort_by_key(|(number, _)| *number);
    let small = read.iter().all(|(_, (_, bytes))| *bytes <= share);
    let sources = read.into_iter().map(|(_, (source, _))| source);
    if !small {
        return Ok(sources.collect());
    }
    let mut all = Source::default();
    for source in sources {
        all.head.extend(source.head);
        all.tail.extend(source.tail);
    }
    Ok(vec![all])
}

/// One task, from its rows to its files. Called on a thread that may block.
fn run_task(
    number: usize,
    mut source: Source,
    write: &Arc<Write>,
    task: Arc<TaskContext>,
    runtime: &Handle,
) -> Result<Vec<NewFile>> {
    let mut files = TaskFiles::new(number, Arc::clone(write), &task);
    let mut arranger = match write.order.is_empty() {
        true => None,
        false => Some(Arranger::new(Arc::clone(&write.schema), write.order.clone(), task)?),
    };
    let next = |source: &mut Source| {
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = write.stop.cancelled() => Err(canceled()),
                batch = source.next() => batch,
            }
        })
    };
    while let Some(batch) = next(&mut source)? {
        write.request.progress.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        let batch = conform(&batch, &write.schema)?;
        match &mut arranger {
            Some(arranger) => arranger.push(batch)?,
            None => files.write(&batch)?,
        }
    }
    drop(source);
    if let Some(arranger) = arranger {
        arranger.finish(runtime, |batch| files.write(&batch))?;
    }
    files.finish()
}

/// The batch with exactly the table's types: views of text and dictionaries become plain.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        let (from, to) = (column.data_type(), field.data_type());
        if from == to {
            return Ok(Arc::clone(column));
        }
        if !same_but_for_encoding(from, to) {
            let text = format!("column `{}` of the query is {from} and the table's is {to}", field.name());
            return Err(Error::new(Kind::Internal, text));
        }
        Ok(cast_with_options(column, to, &CastOptions { safe: false, ..Default::default() })?)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    if columns.len() != schema.fields().len() {
        let (given, wanted) = (batch.num_columns(), schema.fields().len());
        return Err(Error::new(Kind::Internal, format!("a write of {wanted} columns got {given}")));
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn same_but_for_encoding(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Dictionary(_, values), to) => values.as_ref() == to || same_but_for_encoding(values, to),
        (Utf8 | LargeUtf8 | Utf8View, Utf8) | (Binary | LargeBinary | BinaryView, Binary) => true,
        (Null, _) => true,
        // Field names and nullability within nested types may differ.
        (List(from), List(to)) => {
            from.data_type() == to.data_type() || same_but_for_encoding(from.data_type(), to.data_type())
        }
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(f, t)| {
                    f.name() == t.name()
                        && (f.data_type() == t.data_type() || same_but_for_encoding(f.data_type(), t.data_type()))
                })
        }
        _ => false,
    }
}
