//! The rules that make `geodata` look each row up once, and how an engine installs them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{AnalyzerRule, Optimizer, OptimizerConfig, OptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use super::extract::Extraction;
use super::function::{Geodata, geodata_function, set_name};
use super::layer::{LayerSet, Layers};
use super::narrow::narrow;
use super::plan::GeodataPlanner;

/// DataFusion's rule after which correlated calls have become plain ones, and before which nothing copies calls.
const EXTRACT_AFTER: &str = "decorrelate_lateral_join";

/// Installs `geodata` over these layers: the function, its rules, and a query planner for its node.
///
/// An engine with rules or a query planner of its own takes [`geodata_function`], [`analyzer_rule`],
/// [`optimizer_rules`] and [`GeodataPlanner`] instead.
pub fn register(mut builder: SessionStateBuilder, layers: Arc<dyn Layers>) -> SessionStateBuilder {
    builder.scalar_functions().get_or_insert_default().push(Arc::new(geodata_function(layers)));
    builder
        .with_analyzer_rule(analyzer_rule())
        .with_optimizer_rules(optimizer_rules())
        .with_query_planner(Arc::new(GeodataQueryPlanner))
}

/// Binds each call to the version of its set that is current when the statement is planned. To be added at the end of
/// the analyzer's rules.
pub fn analyzer_rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(BindGeodata)
}

/// DataFusion's optimizer rules with those of `geodata` in their places.
pub fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let place = rules.iter().position(|rule| rule.name() == EXTRACT_AFTER).map_or(0, |found| found + 1);
    rules.insert(place, Arc::new(ExtractGeodata));
    rules.push(Arc::new(NarrowGeodata));
    rules
}

/// Whether a call of `geodata` is anywhere in the plan, its subqueries included.
fn has_calls(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| Ok(geodata_call(part).is_some()))?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(found)
}

/// The call, and the function behind it, if the expression is a call of `geodata`.
pub(crate) fn geodata_call(expr: &Expr) -> Option<(&ScalarFunction, &Geodata)> {
    match expr {
        Expr::ScalarFunction(call) => Some((call, Geodata::of(&call.func)?)),
        _ => None,
    }
}

#[derive(Debug)]
struct BindGeodata;

impl AnalyzerRule for BindGeodata {
    fn name(&self) -> &str {
        "bind_geodata"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        if !has_calls(&plan)? {
            return Ok(plan);
        }
        // One answer a name, so that all calls of the statement see one version.
        let mut sets = HashMap::new();
        let bound = plan.transform_up_with_subqueries(|node| {
            node.map_expressions(|expr| expr.transform_up(|part| bind(part, &mut sets)))?
                .map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(bound.data)
    }
}

fn bind(expr: Expr, sets: &mut HashMap<Option<String>, Arc<LayerSet>>) -> Result<Transformed<Expr>> {
    let Some((call, function)) = geodata_call(&expr) else { return Ok(Transformed::no(expr)) };
    if function.bound_set().is_some() {
        return Ok(Transformed::no(expr));
    }
    let name = set_name(&call.args)?;
    let set = match sets.get(&name.map(str::to_owned)) {
        Some(set) => Arc::clone(set),
        None => {
            let set = function.set(name)?;
            sets.insert(name.map(str::to_owned), Arc::clone(&set));
            set
        }
    };
    Ok(Transformed::yes(Geodata::bind(set).call(call.args.clone())))
}

#[derive(Debug)]
struct ExtractGeodata;

impl OptimizerRule for ExtractGeodata {
    fn name(&self) -> &str {
        "extract_geodata"
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !has_calls(&plan)? {
            return Ok(Transformed::no(plan));
        }
        let names = config.alias_generator();
        Ok(Transformed::yes(Extraction::new(names).rewrite_whole(plan)?))
    }
}

#[derive(Debug)]
struct NarrowGeodata;

impl OptimizerRule for NarrowGeodata {
    fn name(&self) -> &str {
        "narrow_geodata"
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        narrow(plan)
    }
}

#[derive(Debug)]
struct GeodataQueryPlanner;

#[async_trait]
impl QueryPlanner for GeodataQueryPlanner {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(GeodataPlanner)]);
        planner.create_physical_plan(logical_plan, session).await
    }
}

impl fmt::Debug for dyn Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layers")
    }
}
