//! ORC files as a source of table rows.
//!
//! `datafusion-orc`'s source reads the columns that a file has, in the file's order and types, and knows neither partition
//! columns nor projected expressions. This one puts the table's columns on top: by name without case, cast to the declared
//! types, NULL where a file lacks one. Remove when datafusion-orc does it (checked on 0.10).

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_orc::OrcSource;
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;

/// See the module.
#[derive(Debug, Clone)]
pub struct OrcTableSource {
    schema: TableSchema,
    projection: SplitProjection,
    batch_size: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
}

impl OrcTableSource {
    pub fn new(schema: TableSchema) -> Self {
        OrcTableSource {
            projection: SplitProjection::unprojected(&schema),
            schema,
            batch_size: None,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl FileSource for OrcTableSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let file_schema = self.schema.file_schema();
        let wanted = Arc::new(file_schema.project(&self.projection.file_indices)?);
        // Where only rows are counted, some column has to be read for their number.
        let read = if wanted.fields().is_empty() { file_schema.fields() } else { wanted.fields() };
        // The inner source looks its columns up by exact name, so every spelling that files use is asked for.
        let mut spellings: Vec<Field> = Vec::new();
        for field in read {
            for name in [field.name().clone(), field.name().to_lowercase(), field.name().to_uppercase()] {
                if !spellings.iter().any(|f| *f.name() == name) {
                    spellings.push(Field::clone(field).with_name(name));
                }
            }
        }
        let inner = OrcSource::new(TableSchema::from(Arc::new(Schema::new(spellings))));
        let inner = match self.batch_size {
            Some(size) => inner.with_batch_size(size),
            None => Arc::new(inner),
        };
        let opener =
            Arc::new(OrcTableOpener { inner: inner.create_file_opener(object_store, config, partition)?, wanted });
        ProjectionOpener::try_new(self.projection.clone(), opener, self.schema.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        &self.schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(OrcTableSource { batch_size: Some(batch_size), ..self.clone() })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "orc"
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.schema.file_schema(), &merged);
        Ok(Some(Arc::new(OrcTableSource { projection, ..self.clone() })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.projection.source.iter(), f)
    }
}

struct OrcTableOpener {
    inner: Arc<dyn FileOpener>,
    wanted: SchemaRef,
}

impl FileOpener for OrcTableOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let wanted = self.wanted.clone();
        let opening = self.inner.open(file)?;
        Ok(async move {
            let stream = opening.await?;
            Ok(stream.map(move |batch| conform(&batch?, &wanted)).boxed())
        }
        .boxed())
    }
}

/// A batch of a file as the columns that are wanted of it.
fn conform(batch: &RecordBatch, wanted: &SchemaRef) -> Result<RecordBatch> {
    let schema = batch.schema();
    let columns = wanted
        .fields()
        .iter()
        .map(|field| {
            let found = schema
                .fields()
                .iter()
                .position(|f| f.name() == field.name())
                .or_else(|| schema.fields().iter().position(|f| f.name().eq_ignore_ascii_case(field.name())));
            match found {
                Some(index) => Ok(cast(batch.column(index), field.data_type())?),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            }
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(wanted.clone(), columns, &options).map_err(DataFusionError::from)
}
