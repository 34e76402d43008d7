//! A file table as DataFusion sees it: the catalog's list of files, pruned, as one scan.
//!
//! The list is the catalog's, with sizes, row counts and column bounds, so that planning reads no storage. Only tables that
//! others write too are listed, and of those only the partitions that are left after pruning.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, ScalarValue, Statistics};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, cast, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use object_store::ObjectMeta;
use tycho_catalog::{DataFile, ForeignFile, Partition, TableDefinition, TableTotals, View, Writers};

use super::TableContext;
use super::column_mapping::ColumnMapping;
use super::formats::Format;
use super::listing;
use super::ordering;
use super::pruning;
use super::scan::{FileScan, ScanFacts};
use super::statistics::{file_statistics, scalar_from_value, unknown_statistics};
use super::stores::{self, Location};
use crate::error::{Error, Kind, Result};

/// The provider of a file table as of a view. Partitions and files are asked of the view when it is scanned; no I/O here.
pub fn file_table(
    definition: Arc<TableDefinition>,
    view: View,
    context: TableContext,
) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(FileTable { reader: FileReader::new(definition, context)?, view }))
}

/// A file table as of a view.
struct FileTable {
    reader: FileReader,
    view: View,
}

impl fmt::Debug for FileTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileTable").field("table", &self.reader.definition.full_name()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        self.reader.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        let schema = &self.reader.partition_schema;
        Ok(filters
            .iter()
            .map(|filter| match pruning::is_partition_filter(filter, schema) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Inexact,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        Ok(self.plan(state, projection, filters, limit).await?)
    }
}

impl FileTable {
    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let reader = &self.reader;
        let definition = &reader.definition;
        let (by_partition, by_row): (Vec<Expr>, Vec<Expr>) =
            filters.iter().cloned().partition(|f| pruning::is_partition_filter(f, &reader.partition_schema));
        let predicate = pruning::predicate(&by_partition, &reader.partition_schema);
        let partitions = match definition.partition_columns {
            0 => vec![listing::whole_table()],
            _ => self.view.partitions(definition.id, &predicate).await?,
        };
        let partitions = pruning::matching_partitions(partitions, &by_partition, &reader.partition_schema, state)?;
        let kept: HashSet<&str> = partitions.iter().map(|p| p.folder.as_str()).collect();
        let mut files = self.view.files(definition.id, &predicate).await?;
        files.retain(|f| kept.contains(f.partition.as_str()));
        let foreign = match definition.writers {
            Writers::Tycho => vec![],
            Writers::Shared => self.foreign_files(&partitions, &mut files, &predicate).await?,
        };
        let mut totals = self.view.totals(definition.id).await?;
        if definition.partition_columns == 0 {
            totals.partitions = 1;
        }
        reader.scan(state, projection, &by_row, limit, FileList { partitions, files, foreign, totals })
    }

    /// Lists the folders of the partitions: what is there and foreign is added, and files of ours that others removed are
    /// left out. A file that is gone because a later commit of ours ended it is an error: this snapshot can't be read any more.
    async fn foreign_files(
        &self,
        partitions: &[Partition],
        files: &mut Vec<DataFile>,
        predicate: &tycho_catalog::Predicate,
    ) -> Result<Vec<(ForeignFile, ObjectMeta)>> {
        let definition = &self.reader.definition;
        let listed = listing::files_of_partitions(definition, partitions, &self.reader.context).await?;
        let metas: HashMap<&str, &ObjectMeta> = listed.iter().map(|l| (l.file.path.as_str(), &l.meta)).collect();
        let foreign = self.view.foreign(definition.id, listed.iter().map(|l| l.file.clone()).collect()).await?;
        let gone: Vec<&DataFile> =
            files.iter().filter(|f| f.staged.is_none() && !metas.contains_key(f.path.as_str())).collect();
        if !gone.is_empty() {
            let now = View::from(self.view.catalog().snapshot().await?);
            let live: HashSet<String> =
                now.files(definition.id, predicate).await?.into_iter().map(|f| f.path).collect();
            if let Some(ended) = gone.iter().find(|f| !live.contains(&f.path)) {
                return Err(Error::new(
                    Kind::SnapshotTooOld,
                    format!(
                        "file {} of table {} was replaced by a later commit and is gone",
                        ended.path,
                        definition.full_name()
                    ),
                )
                .with_hint("run the statement again"));
            }
            tracing::warn!(
                table = definition.full_name(),
                files = gone.len(),
                first = gone[0].path,
                "files of this catalog were removed by another program and are left out; REFRESH TABLE records that"
            );
            let gone: HashSet<String> = gone.into_iter().map(|f| f.path.clone()).collect();
            files.retain(|f| f.staged.is_some() || !gone.contains(&f.path));
        }
        foreign
            .into_iter()
            .map(|file| match metas.get(file.path.as_str()) {
                Some(meta) => {
                    let meta = (*meta).clone();
                    Ok((file, meta))
                }
                None => Err(Error::new(Kind::Internal, format!("file {} was not listed", file.path))),
            })
            .collect()
    }
}

/// What a scan is made of, after partitions were pruned.
pub(super) struct FileList {
    pub partitions: Vec<Partition>,
    pub files: Vec<DataFile>,
    pub foreign: Vec<(ForeignFile, ObjectMeta)>,
    /// Of the whole table.
    pub totals: TableTotals,
}

/// Everything of a file table but its files.
pub(super) struct FileReader {
    definition: Arc<TableDefinition>,
    context: TableContext,
    format: Format,
    /// Absolute URL of the root, with a trailing slash.
    root: String,
    schema: TableSchema,
    partition_schema: SchemaRef,
}

/// A file with what is needed to place it in a scan.
struct ScanFile {
    file: PartitionedFile,
    store: ObjectStoreUrl,
    compression: FileCompressionType,
    /// Written by this catalog.
    ours: bool,
}

impl FileReader {
    pub fn new(definition: Arc<TableDefinition>, context: TableContext) -> Result<FileReader> {
        let format = Format::new(&definition.provider, &definition.options)?;
        let location = definition.location.as_ref().ok_or_else(|| {
            Error::new(
                Kind::WrongObjectType,
                format!("{} has no location; it is no table of files", definition.full_name()),
            )
        })?;
        let root = stores::with_slash(&stores::resolve(location, &context));
        let field = |column: &tycho_catalog::Column| -> FieldRef {
            // Nobody holds others to NOT NULL, and DataFusion would drop `IS NOT NULL` on the strength of it.
            let nullable = column.nullable || definition.writers == Writers::Shared;
            Arc::new(Field::new(&column.name, in_memory_type(&column.data_type, &format), nullable))
        };
        let data: Vec<FieldRef> = definition.data_columns().iter().map(field).collect();
        let partition: Vec<FieldRef> = definition
            .partition_columns()
            .iter()
            .map(|c| Arc::new(Field::clone(&field(c)).with_nullable(true)))
            .collect();
        let partition_schema = Arc::new(Schema::new(partition.clone()));
        let schema = TableSchema::builder(Arc::new(Schema::new(data))).with_table_partition_cols(partition).build();
        Ok(FileReader { definition, context, format, root, schema, partition_schema })
    }

    /// Prunes files, groups the rest, and makes the plan.
    pub fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
        list: FileList,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let of_files = list.totals.files + list.foreign.len() as u64;
        let of_partitions = list.totals.partitions.max(list.partitions.len() as u64);
        let kept_partitions = list.partitions.len() as u64;
        let sorted_by = ordering::common_prefix(&list.files, list.foreign.len());
        let mut files = self.scan_files(list)?;
        let statistics: Vec<Arc<Statistics>> =
            files.iter().map(|f| f.file.statistics.clone().unwrap_or_else(|| Arc::new(self.unknown()))).collect();
        let mut keep =
            pruning::files_that_may_match(&statistics, filters, self.schema.table_schema(), state)?.into_iter();
        files.retain(|_| keep.next().unwrap_or(true));
        if let Some(limit) = limit.filter(|_| filters.is_empty()) {
            enough_files(&mut files, limit);
        }
        let facts = ScanFacts {
            table: self.definition.full_name(),
            partitions: (kept_partitions, of_partitions),
            files: (files.len() as u64, of_files),
        };
        let sorted_by = ordering::sort_expressions(&sorted_by, &self.definition, self.schema.table_schema());
        let mut units: Vec<Vec<ScanFile>> = Vec::new();
        for file in files {
            match units.iter_mut().find(|unit| unit[0].same_scan(&file)) {
                Some(unit) => unit.push(file),
                None => units.push(vec![file]),
            }
        }
        if units.is_empty() {
            units.push(vec![]);
        }
        let ordering = sorted_by.filter(|_| units.len() == 1);
        let mut plans = units
            .into_iter()
            .map(|unit| self.unit(state, projection, limit, unit, &facts, ordering.as_ref()))
            .collect::<Result<Vec<_>>>()?;
        Ok(if plans.len() == 1 { plans.remove(0) } else { UnionExec::try_new(plans)? })
    }

    fn unknown(&self) -> Statistics {
        Statistics::new_unknown(self.schema.table_schema())
    }

    fn scan_files(&self, list: FileList) -> Result<Vec<ScanFile>> {
        let mut stores: HashMap<Option<String>, ObjectStoreUrl> = HashMap::new();
        let mut partition_values: HashMap<&str, Vec<ScalarValue>> = HashMap::new();
        for partition in &list.partitions {
            let values = self.partition_schema.fields().iter().zip(&partition.values);
            let values = values.map(|(f, v)| scalar_from_value(v, f.data_type())).collect::<Result<Vec<_>>>()?;
            partition_values.insert(&partition.folder, values);
        }
        let values_of = |folder: &str| {
            partition_values.get(folder).ok_or_else(|| {
                Error::new(
                    Kind::Internal,
                    format!("table {} has a file in the unknown partition `{folder}`", self.definition.full_name()),
                )
            })
        };
        let mut place = |path: &str, meta: ObjectMeta, ours: bool, values: &[ScalarValue], statistics| {
            let url = stores::join(&self.root, path);
            let location = Location::parse(&url)?;
            let store = match stores.get(&location.bucket) {
                Some(store) => store.clone(),
                None => {
                    let (store, _) = stores::object_store_for(&url, &self.definition.options, &self.context)?;
                    stores.insert(location.bucket.clone(), store.clone());
                    store
                }
            };
            let mut file = PartitionedFile::new_from_meta(ObjectMeta { location: location.key, ..meta })
                .with_partition_values(values.to_vec());
            file.statistics = Some(statistics);
            Ok::<_, Error>(ScanFile { file, store, compression: self.format.compression(path)?, ours })
        };
        let table_schema = self.schema.table_schema();
        let data_columns = self.definition.data_columns();
        let mut files = Vec::with_capacity(list.files.len() + list.foreign.len());
        for file in &list.files {
            let values = values_of(&file.partition)?;
            let statistics = match self.reads_text_first() {
                false => file_statistics(file, data_columns, values, table_schema)?,
                true => unknown_statistics(data_columns.len(), values, file.size_bytes),
            };
            let meta = ObjectMeta {
                location: Default::default(),
                // Our files never change under a name: any constant keeps cached footers valid.
                last_modified: DateTime::UNIX_EPOCH,
                size: file.size_bytes,
                e_tag: file.etag.clone(),
                version: None,
            };
            let path = file.staged.as_deref().unwrap_or(&file.path);
            files.push(place(path, meta, true, values, statistics)?);
        }
        for (file, meta) in list.foreign {
            let values = values_of(&file.partition)?;
            let statistics = unknown_statistics(data_columns.len(), values, file.size_bytes);
            files.push(place(&file.path, meta, false, values, statistics)?);
        }
        Ok(files)
    }

    /// The scan of files of one store, compression and origin.
    fn unit(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        files: Vec<ScanFile>,
        facts: &ScanFacts,
        ordering: Option<&datafusion::physical_expr::LexOrdering>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (store, compression, ours) = match files.first() {
            Some(first) => (first.store.clone(), first.compression, first.ours),
            None => (ObjectStoreUrl::local_filesystem(), FileCompressionType::UNCOMPRESSED, true),
        };
        let schema = self.read_schema();
        let table_schema = schema.table_schema().clone();
        let files: Vec<PartitionedFile> = files.into_iter().map(|f| f.file).collect();
        let statistics = total_statistics(files.iter(), &table_schema)?;
        let target = state.config().target_partitions().max(1);
        let sorted = ordering.and_then(|o| Some((o, ordering::sorted_groups(&files, o, &table_schema, target)?)));
        let (groups, source, ordering) = match sorted {
            Some((ordering, groups)) => {
                let schema = ordering::without_nulls(&schema, ordering, &statistics);
                (groups, self.format.source(schema, state), vec![ordering.clone()])
            }
            None => (FileGroup::new(files).split_files(target), self.format.source(schema, state), vec![]),
        };
        let mut groups = groups
            .into_iter()
            .map(|group| {
                let statistics = total_statistics(group.iter(), &table_schema)?;
                Ok(group.with_statistics(Arc::new(statistics)))
            })
            .collect::<Result<Vec<_>>>()?;
        if groups.is_empty() {
            // A scan of nothing, which still says what was pruned.
            groups.push(FileGroup::default());
        }
        let mut builder = FileScanConfigBuilder::new(store, source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_file_compression_type(compression)
            .with_limit(limit)
            .with_output_ordering(ordering)
            .with_projection_indices(projection.cloned())?;
        if let Format::Parquet { .. } = self.format {
            let mapping = match ours {
                true => ColumnMapping::by_id(self.definition.data_columns()),
                false => ColumnMapping::by_name(),
            };
            builder = builder.with_expr_adapter(Some(Arc::new(mapping)));
        }
        let scan = DataSourceExec::from_data_source(FileScan::new(builder.build(), facts.clone()));
        self.typed(state, scan, projection)
    }

    /// Whether values are read as text first, because a text of the table's own means NULL, which the reader can't know.
    fn reads_text_first(&self) -> bool {
        self.null_text().is_some()
    }

    fn null_text(&self) -> Option<&str> {
        match &self.format {
            Format::Csv(options) => options.null_value.as_deref(),
            _ => None,
        }
    }

    fn read_schema(&self) -> TableSchema {
        if !self.reads_text_first() {
            return self.schema.clone();
        }
        let text = self.schema.file_schema().fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, true));
        TableSchema::builder(Arc::new(Schema::new(text.collect::<Vec<_>>())))
            .with_table_partition_cols(self.schema.table_partition_cols().clone())
            .build()
    }

    /// Turns text into the table's types, NULL text first.
    fn typed(
        &self,
        state: &dyn Session,
        scan: Arc<dyn ExecutionPlan>,
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(null_text) = self.null_text() else { return Ok(scan) };
        let wanted = match projection {
            Some(indices) => Arc::new(self.schema.table_schema().project(indices)?),
            None => self.schema.table_schema().clone(),
        };
        let input = DFSchema::try_from(scan.schema())?;
        let expressions = wanted
            .fields()
            .iter()
            .map(|field| {
                let column = Expr::Column(datafusion::common::Column::from_name(field.name()));
                let is_partition = self.partition_schema.column_with_name(field.name()).is_some();
                let expression = match is_partition {
                    true => column,
                    false => cast(nullif(column, lit(null_text)), field.data_type().clone()),
                };
                Ok((state.create_physical_expr(expression, &input)?, field.name().clone()))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(expressions, scan)?))
    }
}

impl ScanFile {
    /// Whether both can be read by one scan. Origin matters to Parquet only, where it says how columns are matched; and a
    /// scan of one origin keeps exact row counts.
    fn same_scan(&self, other: &ScanFile) -> bool {
        self.ours == other.ours && self.store == other.store && self.compression == other.compression
    }
}

/// The type in memory of a column: Parquet's text and bytes are read as views, which copies nothing out of the file's pages.
/// The table's schema says so, and the planner sees no other.
fn in_memory_type(data_type: &DataType, format: &Format) -> DataType {
    match (data_type, format) {
        (DataType::Utf8 | DataType::LargeUtf8, Format::Parquet { .. }) => DataType::Utf8View,
        (DataType::Binary | DataType::LargeBinary, Format::Parquet { .. }) => DataType::BinaryView,
        (other, _) => other.clone(),
    }
}

/// Drops files behind those whose exact row counts reach a limit.
fn enough_files(files: &mut Vec<ScanFile>, limit: usize) {
    let mut rows = 0usize;
    let mut needed = 0;
    for file in files.iter() {
        if rows >= limit {
            break;
        }
        needed += 1;
        let known = file.file.statistics.as_ref().and_then(|s| match s.num_rows {
            datafusion::common::stats::Precision::Exact(rows) => Some(rows),
            _ => None,
        });
        rows = rows.saturating_add(known.unwrap_or(0));
    }
    files.truncate(needed);
}

fn total_statistics<'a>(files: impl Iterator<Item = &'a PartitionedFile>, schema: &SchemaRef) -> Result<Statistics> {
    let all: Vec<&Statistics> = files.filter_map(|f| f.statistics.as_deref()).collect();
    if all.is_empty() {
        let nothing = Statistics::new_unknown(schema);
        return Ok(nothing.with_num_rows(datafusion::common::stats::Precision::Exact(0)));
    }
    Ok(Statistics::try_merge_iter(all, schema)?)
}
