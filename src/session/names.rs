//! What DataFusion's planner asks while it plans one statement: tables as of the statement's view, functions of its dialect.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, TableReference, plan_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion_spark::planner::SparkFunctionPlanner;

use crate::sql::Dialect;

/// The functions that one dialect adds to DataFusion's own, or sets in their place.
pub struct FunctionSet {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
}

impl FunctionSet {
    /// Apache Spark's, from the `datafusion-spark` crate, under their names and aliases.
    pub fn spark() -> FunctionSet {
        let mut set = FunctionSet { scalar: HashMap::new(), aggregate: HashMap::new(), window: HashMap::new() };
        for function in datafusion_spark::all_default_scalar_functions() {
            for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
                set.scalar.insert(name.to_owned(), Arc::clone(&function));
            }
        }
        for function in datafusion_spark::all_default_aggregate_functions() {
            for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
                set.aggregate.insert(name.to_owned(), Arc::clone(&function));
            }
        }
        for function in datafusion_spark::all_default_window_functions() {
            for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
                set.window.insert(name.to_owned(), Arc::clone(&function));
            }
        }
        set
    }

    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.scalar.keys().chain(self.aggregate.keys()).chain(self.window.keys()).cloned()
    }
}

/// A statement's names. Tables were loaded before planning, since the planner cannot wait.
pub struct StatementNames<'a> {
    pub state: &'a SessionState,
    pub dialect: Dialect,
    pub spark: &'a FunctionSet,
    /// By (database, table), both lower case.
    pub tables: HashMap<(String, String), Arc<dyn TableSource>>,
    /// Functions bound to this statement (`geodata`, `pg_table_is_visible` …), by lower-case name.
    pub bound: BTreeMap<String, Arc<ScalarUDF>>,
    pub current_database: String,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl<'a> StatementNames<'a> {
    pub fn new(state: &'a SessionState, dialect: Dialect, spark: &'a FunctionSet, current_database: String) -> Self {
        let mut planners = state.expr_planners().to_vec();
        if dialect == Dialect::Spark {
            planners.insert(0, Arc::new(SparkFunctionPlanner));
        }
        StatementNames {
            state,
            dialect,
            spark,
            tables: HashMap::new(),
            bound: BTreeMap::new(),
            current_database,
            planners,
        }
    }

    /// The database and table that a reference means; the current database where none is named.
    pub fn key(&self, name: &TableReference) -> (String, String) {
        let database = name.schema().unwrap_or(&self.current_database).to_lowercase();
        (database, name.table().to_lowercase())
    }
}

impl ContextProvider for StatementNames<'_> {
    fn get_table_source(&self, name: TableReference) -> DataFusionResult<Arc<dyn TableSource>> {
        self.tables.get(&self.key(&name)).cloned().ok_or_else(|| plan_datafusion_err!("table '{name}' not found"))
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> DataFusionResult<Arc<dyn TableSource>> {
        let function = self
            .state
            .table_functions()
            .get(name)
            .cloned()
            .ok_or_else(|| plan_datafusion_err!("Invalid function '{name}'"))?;
        let context = SimplifyContext::builder().with_config_options(Arc::clone(self.state.config_options())).build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let args = args
            .into_iter()
            .map(|arg| simplifier.coerce(arg, &schema).and_then(|e| simplifier.simplify(e)))
            .collect::<DataFusionResult<Vec<_>>>()?;
        let arguments = datafusion::catalog::TableFunctionArgs::new(&args, self.state);
        Ok(provider_as_source(function.create_table_provider_with_args(arguments)?))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DataFusionResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        None
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if let Some(function) = self.bound.get(name) {
            return Some(Arc::clone(function));
        }
        pick(self.dialect, &self.spark.scalar, self.state.scalar_functions(), name)
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        pick(self.dialect, &self.spark.aggregate, self.state.aggregate_functions(), name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        pick(self.dialect, &self.spark.window, self.state.window_functions(), name)
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().chain(self.spark.scalar.keys()).chain(self.bound.keys()).cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().chain(self.spark.aggregate.keys()).cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().chain(self.spark.window.keys()).cloned().collect()
    }
}

/// A name that both know means the session's dialect; a name that one knows is open to both.
fn pick<F: ?Sized>(
    dialect: Dialect,
    spark: &HashMap<String, Arc<F>>,
    general: &HashMap<String, Arc<F>>,
    name: &str,
) -> Option<Arc<F>> {
    let (first, second) = match dialect {
        Dialect::Spark => (spark, general),
        Dialect::Postgres => (general, spark),
    };
    first.get(name).or_else(|| second.get(name)).cloned()
}
