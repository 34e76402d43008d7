//! The node of a logical plan that looks points up, and its way into a physical plan.
//!
//! A node of its own, rather than a projection with a function call: DataFusion merges projections, pushes filters
//! through them and lets scans evaluate them, and each time copies the call. It does none of that to a foreign node.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::Field;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::exec::GeodataExec;
use super::layer::LayerSet;

/// Appends one column to its input: the struct that a call of `geodata` returns.
#[derive(Debug, Clone)]
pub struct GeodataNode {
    input: Arc<LogicalPlan>,
    set: Arc<LayerSet>,
    /// The arguments as in the call; the third, the name of the set, if there.
    args: Vec<Expr>,
    column: String,
    wanted: Vec<bool>,
    schema: DFSchemaRef,
}

impl GeodataNode {
    /// `column` is the name of the new column, which must be new to the whole plan.
    ///
    /// # Errors
    /// When `input` has such a column already.
    pub(crate) fn try_new(input: LogicalPlan, set: Arc<LayerSet>, args: Vec<Expr>, column: String) -> Result<Self> {
        let wanted = vec![true; set.fields().len()];
        let schema = Self::schema_over(&input, &set, &column)?;
        Ok(Self { input: Arc::new(input), set, args, column, wanted, schema })
    }

    fn schema_over(input: &LogicalPlan, set: &LayerSet, column: &str) -> Result<DFSchemaRef> {
        let mut fields: Vec<_> =
            input.schema().iter().map(|(table, field)| (table.cloned(), Arc::clone(field))).collect();
        fields.push((None, Arc::new(Field::new(column, set.data_type(), true))));
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(Arc::new(schema.with_functional_dependencies(input.schema().functional_dependencies().clone())?))
    }

    /// The input of the lookup.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// The version of the set that is looked into.
    pub fn set(&self) -> &Arc<LayerSet> {
        &self.set
    }

    /// The name of the column that holds the struct.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// Which fields of the struct are read above; the others come out NULL.
    pub fn wanted(&self) -> &[bool] {
        &self.wanted
    }

    pub(crate) fn with_wanted(self, wanted: Vec<bool>) -> Self {
        Self { wanted, ..self }
    }

    pub(crate) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The node of a plan, if it's one of these.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }

    fn identity(&self) -> (&LogicalPlan, *const LayerSet, &[Expr], &str, &[bool]) {
        (&self.input, Arc::as_ptr(&self.set), &self.args, &self.column, &self.wanted)
    }
}

impl PartialEq for GeodataNode {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for GeodataNode {}

impl Hash for GeodataNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl PartialOrd for GeodataNode {
    /// Column names are unique in a plan, so that they alone order its nodes.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.column.cmp(&other.column) {
            Ordering::Equal if self != other => None,
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for GeodataNode {
    fn name(&self) -> &str {
        "Geodata"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.args.clone()
    }

    /// Filters on other columns go below, so that fewer rows are looked up.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.column.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let args: Vec<String> = self.args.iter().map(ToString::to_string).collect();
        let fields: Vec<&str> = wanted_names(&self.set, &self.wanted);
        write!(f, "Geodata: geodata({}) AS {}, fields=[{}]", args.join(", "), self.column, fields.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return internal_err!("a geodata node has one input");
        };
        let mut changed = Self::try_new(input, Arc::clone(&self.set), exprs, self.column.clone())?;
        changed.wanted.clone_from(&self.wanted);
        Ok(changed)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|column| *column < inputs).collect()])
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}

/// The names of the fields that are wanted.
pub(crate) fn wanted_names<'a>(set: &'a LayerSet, wanted: &[bool]) -> Vec<&'a str> {
    set.fields().iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(field, _)| field.name().as_str()).collect()
}

/// Turns [`GeodataNode`] into [`GeodataExec`]. For engines with a query planner of their own; [`super::register`] installs one.
#[derive(Debug, Default, Clone, Copy)]
pub struct GeodataPlanner;

#[async_trait]
impl ExtensionPlanner for GeodataPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        planning_ctx: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<GeodataNode>() else { return Ok(None) };
        let ([input], [lon, lat, ..]) = (physical_inputs, node.args.as_slice()) else {
            return internal_err!("a geodata node has one input and two coordinates");
        };
        let schema = node.input.schema();
        let lon = planner.create_physical_expr(lon, schema, session, planning_ctx)?;
        let lat = planner.create_physical_expr(lat, schema, session, planning_ctx)?;
        let exec = GeodataExec::try_new(
            Arc::clone(input),
            Arc::clone(&node.set),
            [lon, lat],
            node.column.clone(),
            node.wanted.clone(),
        )?;
        Ok(Some(Arc::new(exec)))
    }
}
