//! Leaves out what nobody reads: fields of a [`GeodataNode`] and the layers behind them, or the whole node.

use std::collections::{HashMap, HashSet};

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::plan::GeodataNode;

/// What is read of the columns of a plan by the nodes above it.
#[derive(Debug, Clone)]
enum Read {
    Everything,
    /// By name of the column: the fields of its struct, or `None` where the column itself is read. Tables are left out:
    /// the columns in question have names of their own.
    Columns(HashMap<String, Option<HashSet<String>>>),
}

impl Read {
    fn nothing() -> Self {
        Read::Columns(HashMap::new())
    }

    fn add(&mut self, exprs: &[Expr]) -> Result<()> {
        let Read::Columns(columns) = self else { return Ok(()) };
        for expr in exprs {
            expr.apply(|part| {
                if let Some((column, field)) = field_access(part) {
                    if let Some(fields) = columns.entry(column.to_owned()).or_insert_with(|| Some(HashSet::new())) {
                        fields.insert(field.to_owned());
                    }
                    return Ok(TreeNodeRecursion::Jump);
                }
                match part {
                    Expr::Column(column) | Expr::OuterReferenceColumn(_, column) => {
                        columns.insert(column.name.clone(), None);
                    }
                    // What a subquery reads of its surroundings isn't looked at.
                    Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => {
                        return Ok(TreeNodeRecursion::Stop);
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(())
    }

    /// By field of the node's set, whether it's read; `None` if nothing is.
    fn wanted(&self, node: &GeodataNode) -> Option<Vec<bool>> {
        let fields = node.set().fields();
        match self {
            Read::Everything => Some(vec![true; fields.len()]),
            Read::Columns(columns) => match columns.get(node.column())? {
                None => Some(vec![true; fields.len()]),
                Some(read) => Some(fields.iter().map(|field| read.contains(field.name())).collect()),
            },
        }
    }
}

/// `column['field']`, as DataFusion writes it.
fn field_access(expr: &Expr) -> Option<(&str, &str)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    match call.args.as_slice() {
        [Expr::Column(column), Expr::Literal(field, _), ..] if call.func.name() == "get_field" => {
            Some((&column.name, field.try_as_str().flatten()?))
        }
        _ => None,
    }
}

/// The plan with its geodata nodes narrowed to the fields that are read.
///
/// # Errors
/// When a node cannot be put together again; a defect.
pub(crate) fn narrow(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !plan.exists(|node| Ok(GeodataNode::of(node).is_some()))? {
        return Ok(Transformed::no(plan));
    }
    narrow_below(plan, Read::Everything)
}

fn narrow_below(plan: LogicalPlan, read: Read) -> Result<Transformed<LogicalPlan>> {
    if let Some(node) = GeodataNode::of(&plan) {
        return narrow_node(node.clone(), read);
    }
    let exprs = plan.expressions();
    let has_subquery = exprs.iter().any(|expr| expr.exists(|part| Ok(is_subquery(part))).unwrap_or(true));
    let read = match &plan {
        _ if has_subquery => Read::Everything,
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) => {
            let mut read = Read::nothing();
            read.add(&exprs)?;
            read
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Join(_) => {
            let mut read = read;
            read.add(&exprs)?;
            read
        }
        _ => Read::Everything,
    };
    let narrowed = plan.map_children(|child| narrow_below(child, read.clone()))?;
    if narrowed.transformed { narrowed.map_data(LogicalPlan::recompute_schema) } else { Ok(narrowed) }
}

fn narrow_node(node: GeodataNode, mut read: Read) -> Result<Transformed<LogicalPlan>> {
    let wanted = read.wanted(&node);
    let changed = wanted.as_deref() != Some(node.wanted());
    let Some(wanted) = wanted else {
        let below = narrow_below(node.input().clone(), read)?;
        return Ok(Transformed::yes(below.data));
    };
    let exprs = datafusion::logical_expr::UserDefinedLogicalNodeCore::expressions(&node);
    read.add(&exprs)?;
    let below = narrow_below(node.input().clone(), read)?;
    if !changed && !below.transformed {
        return Ok(Transformed::no(node.into_plan()));
    }
    let node =
        datafusion::logical_expr::UserDefinedLogicalNodeCore::with_exprs_and_inputs(&node, exprs, vec![below.data])?;
    Ok(Transformed::yes(node.with_wanted(wanted).into_plan()))
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))
}
