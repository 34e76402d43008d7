//! The physical scan of a file table: DataFusion's own file scan, with what EXPLAIN says of pruning and errors that name the
//! file that is gone.

use std::any::Any;
use std::fmt::{self, Formatter};
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::{DataSource, OpenArgs};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayFormatType, Partitioning, SortOrderPushdownResult};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use object_store::{ObjectStore, ObjectStoreExt};

use crate::error::{Error, Kind};

/// What EXPLAIN says of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanFacts {
    /// `database.name`.
    pub table: String,
    /// Partitions and files that are read, of how many.
    pub partitions: (u64, u64),
    pub files: (u64, u64),
}

impl fmt::Display for ScanFacts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ((partitions, of_partitions), (files, of_files)) = (self.partitions, self.files);
        write!(f, "table={}, partitions={partitions}/{of_partitions}, files={files}/{of_files}", self.table)
    }
}

/// A scan of files of one object store, one format and one compression. Plain data: readers and stores are made when it is
/// opened.
#[derive(Debug, Clone)]
pub struct FileScan {
    config: FileScanConfig,
    facts: ScanFacts,
}

impl FileScan {
    pub fn new(config: FileScanConfig, facts: ScanFacts) -> FileScan {
        FileScan { config, facts }
    }

    /// What the inner scan made of itself, again with the facts.
    fn again(&self, source: Arc<dyn DataSource>) -> Arc<dyn DataSource> {
        match source.downcast_ref::<FileScanConfig>() {
            Some(config) => Arc::new(FileScan { config: config.clone(), facts: self.facts.clone() }),
            None => source,
        }
    }

    /// The scan of one partition alone, with the readers that Parquet needs.
    fn openable(&self, partition: usize, context: &TaskContext) -> Result<FileScanConfig> {
        let config = &self.config;
        let mut source = config.file_source.clone();
        if let Some(parquet) = source.downcast_ref::<ParquetSource>() {
            let runtime = context.runtime_env();
            let store = runtime.object_store(&config.object_store_url)?;
            let cache = runtime.cache_manager.get_file_metadata_cache();
            let factory = ReaderFactory { inner: CachedParquetFileReaderFactory::new(store.clone(), cache), store };
            source = Arc::new(parquet.clone().with_parquet_file_reader_factory(Arc::new(factory)));
        }
        let groups = config.file_groups.iter().enumerate().map(|(index, group)| match index == partition {
            true => group.clone(),
            false => FileGroup::default(),
        });
        Ok(FileScanConfigBuilder::new(config.object_store_url.clone(), source)
            .with_file_groups(groups.collect())
            .with_limit(config.limit)
            .with_output_ordering(config.output_ordering.clone())
            .with_preserve_order(config.preserve_order)
            .with_file_compression_type(config.file_compression_type)
            .with_batch_size(config.batch_size)
            .with_expr_adapter(config.expr_adapter_factory.clone())
            .build())
    }
}

impl DataSource for FileScan {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.open_with_args(OpenArgs::new(partition, context))
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        let stream = self.openable(args.partition, &args.context)?.open_with_args(args)?;
        let schema = stream.schema();
        let table = self.facts.table.clone();
        let store_url = self.config.object_store_url.as_str().to_owned();
        let stream = stream.map(move |batch| batch.map_err(|e| explain(e, &table, &store_url)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn fmt_as(&self, t: DisplayFormatType, f: &mut Formatter) -> fmt::Result {
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "{}, ", self.facts)?,
            DisplayFormatType::TreeRender => {
                let ((partitions, of_partitions), (files, of_files)) = (self.facts.partitions, self.facts.files);
                writeln!(f, "table={}", self.facts.table)?;
                writeln!(f, "partitions={partitions}/{of_partitions}")?;
                writeln!(f, "pruned to={files}/{of_files}")?;
            }
        }
        self.config.fmt_as(t, f)
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        repartition_file_min_size: usize,
        output_ordering: Option<LexOrdering>,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        let source = self.config.repartitioned(target_partitions, repartition_file_min_size, output_ordering)?;
        Ok(source.map(|s| self.again(s)))
    }

    fn output_partitioning(&self) -> Partitioning {
        self.config.output_partitioning()
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        self.config.eq_properties()
    }

    fn scheduling_type(&self) -> SchedulingType {
        self.config.scheduling_type()
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        self.config.partition_statistics(partition)
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        self.config.with_fetch(limit).map(|s| self.again(s))
    }

    fn fetch(&self) -> Option<usize> {
        self.config.fetch()
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.config.metrics()
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(self.config.try_swapping_with_projection(projection)?.map(|s| self.again(s)))
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        let pushed = self.config.try_pushdown_filters(filters, config)?;
        Ok(FilterPushdownPropagation {
            filters: pushed.filters,
            updated_node: pushed.updated_node.map(|s| self.again(s)),
        })
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn DataSource>>> {
        self.config.try_pushdown_sort(order)?.try_map(|s| Ok(self.again(s)))
    }

    fn with_preserve_order(&self, preserve_order: bool) -> Option<Arc<dyn DataSource>> {
        DataSource::with_preserve_order(&self.config, preserve_order).map(|s| self.again(s))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.config.apply_expressions(f)
    }

    fn create_sibling_state(&self, config: &ConfigOptions) -> Option<Arc<dyn Any + Send + Sync>> {
        self.config.create_sibling_state(config)
    }
}

/// A file that is not there any more becomes an error that says which, and what to do.
fn explain(error: DataFusionError, table: &str, store_url: &str) -> DataFusionError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let Some(object_store::Error::NotFound { path, .. }) = current.downcast_ref() {
            return missing_file(path, table, store_url).with_source(error).into();
        }
        cause = match current.downcast_ref::<Arc<DataFusionError>>() {
            Some(shared) => Some(&**shared),
            None => current.source(),
        };
    }
    error
}

fn missing_file(path: &str, table: &str, store_url: &str) -> Error {
    let url = match store_url.split_once("://") {
        Some((scheme, bucket)) if scheme.starts_with("s3") => format!("s3://{bucket}{path}"),
        // Local stores name the file by its path on disk.
        _ => format!("file:///{}", path.trim_start_matches('/')),
    };
    Error::new(Kind::FileMissing, format!("file {url} of table {table} is gone: another program removed it")).with_hint(
        format!("MSCK REPAIR TABLE {table} SYNC PARTITIONS or REFRESH TABLE {table} takes up what is there now"),
    )
}

/// Makes readers that keep the cause when a file's footer cannot be read; DataFusion's own turns it into text.
#[derive(Debug)]
struct ReaderFactory {
    inner: CachedParquetFileReaderFactory,
    store: Arc<dyn ObjectStore>,
}

impl ParquetFileReaderFactory for ReaderFactory {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let location = file.object_meta.location.clone();
        let inner = self.inner.create_reader(partition, file, metadata_size_hint, metrics)?;
        Ok(Box::new(Reader { inner, store: self.store.clone(), location }))
    }
}

struct Reader {
    inner: Box<dyn AsyncFileReader + Send>,
    store: Arc<dyn ObjectStore>,
    location: object_store::path::Path,
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<bytes::Bytes, ParquetError>> {
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<bytes::Bytes>, ParquetError>> {
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            match self.inner.get_metadata(options).await {
                Ok(metadata) => Ok(metadata),
                Err(error) => match self.store.head(&self.location).await {
                    Err(gone @ object_store::Error::NotFound { .. }) => Err(ParquetError::External(Box::new(gone))),
                    _ => Err(error),
                },
            }
        }
        .boxed()
    }
}
