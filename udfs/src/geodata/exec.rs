//! The physical node that looks points up, batch by batch.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter_pushdown::{ChildFilterDescription, FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use super::function::coordinates;
use super::layer::LayerSet;
use super::plan::wanted_names;

/// Appends the struct of a set's fields to each batch of its input.
///
/// Its state is two expressions, a column name, the wanted fields, and the set.
#[derive(Debug, Clone)]
pub struct GeodataExec {
    input: Arc<dyn ExecutionPlan>,
    lookup: Lookup,
    column: String,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

#[derive(Debug, Clone)]
struct Lookup {
    set: Arc<LayerSet>,
    coordinates: [Arc<dyn PhysicalExpr>; 2],
    wanted: Vec<bool>,
    schema: SchemaRef,
}

impl Lookup {
    fn append(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let [lon, lat] = &self.coordinates;
        let lon = coordinates(&lon.evaluate(batch)?, rows)?;
        let lat = coordinates(&lat.evaluate(batch)?, rows)?;
        let found: ArrayRef = Arc::new(self.set.lookup(&lon, &lat, &self.wanted)?);
        let columns = batch.columns().iter().cloned().chain([found]).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

impl GeodataExec {
    /// `coordinates` are longitude and latitude over the input's columns, as Float64; `wanted` is by field of the set.
    ///
    /// # Errors
    /// When the input's properties cannot be carried over.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        set: Arc<LayerSet>,
        coordinates: [Arc<dyn PhysicalExpr>; 2],
        column: String,
        wanted: Vec<bool>,
    ) -> Result<Self> {
        let input_schema = input.schema();
        let fields = input_schema.fields().iter().cloned();
        let fields: Vec<_> = fields.chain([Arc::new(Field::new(&column, set.data_type(), true))]).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, input_schema.metadata().clone()));
        // The input's columns keep their positions, so that what is known of them stays true.
        let below = input.properties();
        let mut equivalence = EquivalenceProperties::new_with_orderings(
            Arc::clone(&schema),
            below.eq_properties.oeq_class().iter().cloned(),
        );
        equivalence.add_equivalence_group(below.eq_properties.eq_group().clone())?;
        let properties =
            PlanProperties::new(equivalence, below.partitioning.clone(), below.emission_type, below.boundedness);
        let lookup = Lookup { set, coordinates, wanted, schema };
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, lookup, column, properties: Arc::new(properties), metrics })
    }

    /// The version of the set that is looked into.
    pub fn set(&self) -> &Arc<LayerSet> {
        &self.lookup.set
    }

    /// Longitude and latitude, over the input's columns.
    pub fn coordinates(&self) -> &[Arc<dyn PhysicalExpr>; 2] {
        &self.lookup.coordinates
    }

    /// The name of the column that is appended.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// Which fields of the set are looked up.
    pub fn wanted(&self) -> &[bool] {
        &self.lookup.wanted
    }
}

impl DisplayAs for GeodataExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let fields = wanted_names(&self.lookup.set, &self.lookup.wanted).join(", ");
        let [lon, lat] = &self.lookup.coordinates;
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "GeodataExec: lon={lon}, lat={lat}, column={}, fields=[{fields}]", self.column)
            }
            DisplayFormatType::TreeRender => write!(f, "lon={lon}\nlat={lat}\nfields={fields}"),
        }
    }
}

impl ExecutionPlan for GeodataExec {
    fn name(&self) -> &str {
        "GeodataExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let [lon, lat] = &self.lookup.coordinates;
        match f(lon)? {
            TreeNodeRecursion::Stop => Ok(TreeNodeRecursion::Stop),
            _ => f(lat),
        }
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("GeodataExec has one input");
        };
        if let ChildrenPropertiesMode::Keep = options.children_properties {
            return Ok(Arc::new(Self { input, metrics: ExecutionPlanMetricsSet::new(), ..Self::clone(&self) }));
        }
        let Lookup { set, coordinates, wanted, .. } = self.lookup.clone();
        Ok(Arc::new(Self::try_new(input, set, coordinates, self.column.clone(), wanted)?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let rows_looked_up: Count = MetricBuilder::new(&self.metrics).counter("rows_looked_up", partition);
        let lookup = self.lookup.clone();
        let batches = input.map(move |batch| {
            let batch = batch?;
            let timer = baseline.elapsed_compute().timer();
            rows_looked_up.add(batch.num_rows());
            let appended = lookup.append(&batch);
            timer.done();
            appended.record_output(&baseline)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.lookup.schema), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        input_stats: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = input_stats[0].as_ref().clone();
        statistics.column_statistics.push(ColumnStatistics::new_unknown());
        // The size of the new column is not known.
        statistics.total_byte_size = datafusion::common::stats::Precision::Absent;
        Ok(Arc::new(statistics))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    /// Filters that do not read the struct go on to the input, so that fewer rows are looked up.
    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let below = (0..self.input.schema().fields().len()).collect();
        let child = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, below, &self.input)?;
        Ok(FilterDescription::new().with_child(child))
    }
}
