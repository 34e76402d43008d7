//! Takes calls of `geodata` out of expressions and puts one [`GeodataNode`] below, shared by all that repeat the call.
//!
//! The plan is walked from the bottom. Each step returns the rewritten plan, which may have more columns than before, and
//! the calls those columns hold. Columns are carried up as long as a node above repeats a call, and projected away after.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Aggregate, Join, Projection, SubqueryAlias, Window};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use super::plan::GeodataNode;
use super::rules::geodata_call;

/// A column of a plan that holds what a call over the plan's columns would return.
#[derive(Debug, Clone)]
struct Computed {
    call: Expr,
    column: Column,
}

struct Rewritten {
    plan: LogicalPlan,
    computed: Vec<Computed>,
}

pub(crate) struct Extraction<'a> {
    names: &'a AliasGenerator,
}

impl<'a> Extraction<'a> {
    pub(crate) fn new(names: &'a AliasGenerator) -> Self {
        Self { names }
    }

    /// The plan with its calls extracted and its schema as it was.
    pub(crate) fn rewrite_whole(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        Ok(self.rewrite(plan, false)?.plan)
    }

    /// `repeated` says whether a node above has calls, which may be among those computed here.
    fn rewrite(&self, plan: LogicalPlan, repeated: bool) -> Result<Rewritten> {
        let plan = plan.map_subqueries(|subquery| Ok(Transformed::yes(self.rewrite_whole(subquery)?)))?.data;
        let schema = Arc::clone(plan.schema());
        let rewritten = match plan {
            LogicalPlan::Projection(projection) => self.rewrite_projection(projection, repeated)?,
            LogicalPlan::SubqueryAlias(alias) => self.rewrite_alias(alias, repeated)?,
            LogicalPlan::Join(join) => self.rewrite_join(join, repeated)?,
            LogicalPlan::Aggregate(aggregate) => self.rewrite_aggregate(aggregate)?,
            LogicalPlan::Window(window) => self.rewrite_window(window, repeated)?,
            LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Repartition(_) => {
                self.rewrite_pass_through(plan, repeated)?
            }
            other => {
                let plan = other.map_children(|child| Ok(Transformed::yes(self.rewrite_whole(child)?)))?.data;
                return Ok(Rewritten { plan, computed: Vec::new() });
            }
        };
        if repeated { Ok(rewritten) } else { restore_columns(rewritten.plan, &schema) }
    }

    /// Nodes that hand on the columns of their one input.
    fn rewrite_pass_through(&self, plan: LogicalPlan, repeated: bool) -> Result<Rewritten> {
        let input = plan.inputs()[0].clone();
        let (exprs, input) = self.rewrite_input(plan.expressions(), input, repeated)?;
        let plan = plan.with_new_exprs(exprs, vec![input.plan])?;
        Ok(Rewritten { plan, computed: input.computed })
    }

    fn rewrite_projection(&self, projection: Projection, repeated: bool) -> Result<Rewritten> {
        let names = NamePreserver::new_for_projection();
        let saved: Vec<_> = projection.expr.iter().map(|expr| names.save(expr)).collect();
        let input = Arc::unwrap_or_clone(projection.input);
        let (exprs, input) = self.rewrite_input(projection.expr, input, repeated)?;
        let mut exprs: Vec<Expr> = exprs.into_iter().zip(saved).map(|(expr, name)| name.restore(expr)).collect();
        let mut renamed = HashMap::new();
        for (expr, output) in exprs.iter().zip(projection.schema.columns()) {
            if let Expr::Column(column) = expr.clone().unalias() {
                renamed.entry(column).or_insert(output);
            }
        }
        if repeated {
            for computed in &input.computed {
                if !renamed.contains_key(&computed.column) && rename(&computed.call, &renamed)?.is_some() {
                    exprs.push(Expr::Column(computed.column.clone()));
                    renamed.insert(computed.column.clone(), computed.column.clone());
                }
            }
        }
        let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input.plan))?);
        Ok(Rewritten { plan, computed: rename_computed(&input.computed, &renamed)? })
    }

    fn rewrite_alias(&self, alias: SubqueryAlias, repeated: bool) -> Result<Rewritten> {
        let input = self.rewrite(Arc::unwrap_or_clone(alias.input), repeated)?;
        let before = input.plan.schema().columns();
        let alias = SubqueryAlias::try_new(Arc::new(input.plan), alias.alias)?;
        let renamed = before.into_iter().zip(alias.schema.columns()).collect();
        let computed = rename_computed(&input.computed, &renamed)?;
        Ok(Rewritten { plan: LogicalPlan::SubqueryAlias(alias), computed })
    }

    /// Calls in join conditions are computed below the side whose columns they read. Those that read both stay.
    fn rewrite_join(&self, join: Join, repeated: bool) -> Result<Rewritten> {
        let mut conditions: Vec<Expr> =
            join.on.iter().flat_map(|(left, right)| [left.clone(), right.clone()]).collect();
        conditions.extend(
            join.filter.as_ref().map(|filter| split_conjunction(filter)).unwrap_or_default().into_iter().cloned(),
        );
        let repeated_below = repeated || !calls_of(&conditions, &join.schema)?.is_empty();
        let mut left = self.rewrite(Arc::unwrap_or_clone(join.left), repeated_below)?;
        let mut right = self.rewrite(Arc::unwrap_or_clone(join.right), repeated_below)?;
        for side in [&mut left, &mut right] {
            self.compute(&mut conditions, side)?;
        }
        let filters = conditions.split_off(join.on.len() * 2);
        let mut sides = conditions.into_iter();
        let on = std::iter::from_fn(|| Some((sides.next()?, sides.next()?))).collect();
        let computed = computed_over_join(join.join_type, left.computed, right.computed);
        let join = Join::try_new(
            Arc::new(left.plan),
            Arc::new(right.plan),
            on,
            filters.into_iter().reduce(Expr::and),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?;
        Ok(Rewritten { plan: LogicalPlan::Join(join), computed })
    }

    fn rewrite_aggregate(&self, aggregate: Aggregate) -> Result<Rewritten> {
        let groups = aggregate.group_expr.len();
        let exprs = aggregate.group_expr.into_iter().chain(aggregate.aggr_expr).collect();
        let (exprs, input) = self.rewrite_input(exprs, Arc::unwrap_or_clone(aggregate.input), false)?;
        let mut group_exprs = self.distinctly_named(exprs);
        let aggregate_exprs = group_exprs.split_off(groups);
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input.plan), group_exprs, aggregate_exprs)?);
        // Replaced expressions have other names.
        let columns = plan.schema().columns();
        let plan = if columns == aggregate.schema.columns() {
            plan
        } else {
            let restored = columns
                .into_iter()
                .zip(aggregate.schema.iter())
                .map(|(now, (table, field))| Expr::Column(now).alias_qualified(table.cloned(), field.name()));
            LogicalPlan::Projection(Projection::try_new(restored.collect(), Arc::new(plan))?)
        };
        Ok(Rewritten { plan, computed: Vec::new() })
    }

    /// Two expressions may have become the same column, which a plan can't have twice.
    fn distinctly_named(&self, exprs: Vec<Expr>) -> Vec<Expr> {
        let mut seen = HashSet::new();
        exprs
            .into_iter()
            .map(|expr| {
                let is_new = seen.insert(expr.schema_name().to_string());
                if is_new { expr } else { expr.alias(self.names.next("__geodata")) }
            })
            .collect()
    }

    fn rewrite_window(&self, window: Window, repeated: bool) -> Result<Rewritten> {
        let before = window.input.schema().fields().len();
        let input = Arc::unwrap_or_clone(window.input);
        let (exprs, input) = self.rewrite_input(window.window_expr, input, repeated)?;
        let exprs = self.distinctly_named(exprs);
        let carried = input.plan.schema().columns();
        let plan = LogicalPlan::Window(Window::try_new(exprs, Arc::new(input.plan))?);
        let results = plan.schema().columns().split_off(carried.len());
        let mut renamed = false;
        let restored = results.into_iter().zip(window.schema.iter().skip(before)).map(|(now, (table, field))| {
            if now.relation.as_ref() == table && now.name == *field.name() {
                return Expr::Column(now);
            }
            renamed = true;
            Expr::Column(now).alias_qualified(table.cloned(), field.name())
        });
        let exprs: Vec<Expr> = carried.into_iter().map(Expr::Column).chain(restored).collect();
        let plan = if renamed { LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?) } else { plan };
        Ok(Rewritten { plan, computed: input.computed })
    }

    /// Rewrites the one input of a node with these expressions, and the expressions over it.
    fn rewrite_input(&self, exprs: Vec<Expr>, input: LogicalPlan, repeated: bool) -> Result<(Vec<Expr>, Rewritten)> {
        let repeated = repeated || !calls_of(&exprs, input.schema())?.is_empty();
        let mut input = self.rewrite(input, repeated)?;
        let mut exprs = exprs;
        self.compute(&mut exprs, &mut input)?;
        Ok((exprs, input))
    }

    /// Replaces the calls in `exprs` that read columns of `input` only, adding to `input` what it does not have yet.
    fn compute(&self, exprs: &mut [Expr], input: &mut Rewritten) -> Result<()> {
        loop {
            for expr in exprs.iter_mut() {
                *expr = replace_calls(std::mem::take(expr), &input.computed)?;
            }
            let calls = calls_of(exprs, input.plan.schema())?;
            // A call whose arguments hold another call comes after it.
            let innermost =
                calls.into_iter().find(|call| !has_nested_call(call) && reads_only(call, input.plan.schema()));
            let Some(call) = innermost else { return Ok(()) };
            let Some((function, geodata)) = geodata_call(&call) else { return Ok(()) };
            let Some(set) = geodata.bound_set() else { return Ok(()) };
            let name = self.names.next("__geodata");
            let below = std::mem::take(&mut input.plan);
            let node = GeodataNode::try_new(below, Arc::clone(set), function.args.clone(), name.clone())?;
            input.plan = node.into_plan();
            input.computed.push(Computed { call, column: Column::new_unqualified(name) });
        }
    }
}

/// Projects what was added away again.
fn restore_columns(plan: LogicalPlan, schema: &DFSchema) -> Result<Rewritten> {
    let plan = if plan.schema().columns() == schema.columns() {
        plan
    } else {
        let columns = schema.columns().into_iter().map(Expr::Column).collect();
        LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?)
    };
    Ok(Rewritten { plan, computed: Vec::new() })
}

fn rename_computed(computed: &[Computed], renamed: &HashMap<Column, Column>) -> Result<Vec<Computed>> {
    let mut all = Vec::new();
    for Computed { call, column } in computed {
        if let (Some(call), Some(column)) = (rename(call, renamed)?, renamed.get(column)) {
            all.push(Computed { call, column: column.clone() });
        }
    }
    Ok(all)
}

/// The expression over the renamed columns; `None` if one of its columns is gone.
fn rename(expr: &Expr, renamed: &HashMap<Column, Column>) -> Result<Option<Expr>> {
    let mut complete = true;
    let expr = expr.clone().transform_up(|part| match part {
        Expr::Column(column) => match renamed.get(&column) {
            Some(now) => Ok(Transformed::yes(Expr::Column(now.clone()))),
            None => {
                complete = false;
                Ok(Transformed::no(Expr::Column(column)))
            }
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(complete.then_some(expr.data))
}

/// What both sides computed, as far as it is true of the join's rows.
///
/// Where an outer join fills a side with NULL the struct is NULL too, as is a call over NULL arguments; a call whose
/// arguments turn NULL into a number would not be.
fn computed_over_join(join_type: JoinType, mut left: Vec<Computed>, mut right: Vec<Computed>) -> Vec<Computed> {
    let strict = |computed: &Computed| match geodata_call(&computed.call) {
        Some((call, _)) => call.args.iter().take(2).any(is_strict),
        None => false,
    };
    match join_type {
        JoinType::Inner => {}
        JoinType::Left => right.retain(strict),
        JoinType::Right => left.retain(strict),
        JoinType::Full => {
            left.retain(strict);
            right.retain(strict);
        }
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => right.clear(),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => left.clear(),
    }
    left.append(&mut right);
    left
}

/// Whether the expression is NULL where all columns are.
fn is_strict(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => is_strict(&cast.expr),
        Expr::Negative(inner) => is_strict(inner),
        _ => false,
    }
}

fn replace_calls(expr: Expr, computed: &[Computed]) -> Result<Expr> {
    if computed.is_empty() {
        return Ok(expr);
    }
    let replaced = expr.transform_up(|part| {
        if geodata_call(&part).is_none() {
            return Ok(Transformed::no(part));
        }
        Ok(match computed.iter().find(|computed| computed.call == part) {
            Some(found) => Transformed::yes(Expr::Column(found.column.clone())),
            None => Transformed::no(part),
        })
    })?;
    Ok(replaced.data)
}

/// The calls in a node's expressions that may be computed below it, over an input with this schema.
fn calls_of(exprs: &[Expr], schema: &DFSchema) -> Result<Vec<Expr>> {
    let mut calls = Vec::new();
    for expr in exprs {
        // The order of conditions joined by AND at the top is the optimizer's, not the user's.
        for condition in split_conjunction(expr) {
            collect_calls(condition, false, schema, &mut calls)?;
        }
    }
    Ok(calls)
}

/// `conditional` says whether the expression is evaluated for some rows only. A call there may be computed for all rows only
/// if that can't fail.
fn collect_calls(expr: &Expr, conditional: bool, schema: &DFSchema, calls: &mut Vec<Expr>) -> Result<()> {
    if let Some((call, function)) = geodata_call(expr) {
        let safe = !conditional || call.args.iter().all(|arg| cannot_fail(arg, schema));
        if safe && function.bound_set().is_some() && is_extractable(expr)? {
            calls.push(expr.clone());
        }
    }
    let (always, sometimes): (Vec<&Expr>, Vec<&Expr>) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => (vec![left], vec![right]),
        Expr::Case(case) => {
            let whens = case.when_then_expr.iter().flat_map(|(when, then)| [when.as_ref(), then.as_ref()]);
            (case.expr.as_deref().into_iter().collect(), whens.chain(case.else_expr.as_deref()).collect())
        }
        Expr::ScalarFunction(call) => match call.func.conditional_arguments(&call.args) {
            Some((always, sometimes)) => (always, sometimes),
            None => (call.args.iter().collect(), Vec::new()),
        },
        other => {
            let mut children = Vec::new();
            other.apply_children(|child| {
                children.push(child);
                Ok(TreeNodeRecursion::Continue)
            })?;
            (children, Vec::new())
        }
    };
    always.into_iter().try_for_each(|child| collect_calls(child, conditional, schema, calls))?;
    sometimes.into_iter().try_for_each(|child| collect_calls(child, true, schema, calls))
}

/// Calls over constants are computed once anyhow; volatile ones differ with each use; others cannot be moved.
fn is_extractable(call: &Expr) -> Result<bool> {
    if call.column_refs().is_empty() || call.is_volatile() {
        return Ok(false);
    }
    let bound_to_place = call.exists(|part| {
        Ok(matches!(
            part,
            Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Unnest(_)
                | Expr::LambdaVariable(_)
        ))
    })?;
    Ok(!bound_to_place)
}

fn cannot_fail(arg: &Expr, schema: &DFSchema) -> bool {
    match arg {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Cast(cast) => {
            let widens = *cast.field.data_type() == DataType::Float64
                && cast.expr.get_type(schema).is_ok_and(|from| from.is_numeric());
            widens && cannot_fail(&cast.expr, schema)
        }
        _ => false,
    }
}

fn has_nested_call(call: &Expr) -> bool {
    let Expr::ScalarFunction(call) = call else { return false };
    call.args.iter().any(|arg| arg.exists(|part| Ok(geodata_call(part).is_some())).unwrap_or(false))
}

fn reads_only(expr: &Expr, schema: &DFSchema) -> bool {
    expr.column_refs().into_iter().all(|column| schema.has_column(column))
}
