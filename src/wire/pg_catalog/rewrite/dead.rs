//! Branches of CASE that no row can take.
//!
//! `CASE WHEN t.typtype = 'd' THEN (…) END` over `pg_type`: there are no domains, and `pg_type` is the same in every server of
//! ours. What such a branch holds (recursive, correlated subqueries) need not be planned then; it is left out by proof, not
//! by guess.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Select,
    SelectItem, SetExpr, VisitMut, VisitorMut,
};

use super::build;
use super::scope::{Scope, ident_text};
use crate::wire::pg_catalog::{concerns, definitions};

/// Removes them from a SELECT's own expressions.
pub fn remove_branches(select: &mut Select) {
    let mut remove = Remove { scope: Scope::of(select), depth: 0 };
    for item in &mut select.projection {
        let _ = item.visit(&mut remove);
    }
    let _ = select.selection.visit(&mut remove);
}

struct Remove {
    scope: Scope,
    depth: usize,
}

impl VisitorMut for Remove {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Case { operand: None, conditions, else_result, .. } = expr else { return ControlFlow::Continue(()) };
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let Some(first) = conditions.first().map(|branch| branch.result.clone()) else {
            return ControlFlow::Continue(());
        };
        conditions.retain(|branch| !self.is_never(&branch.condition));
        if conditions.is_empty() {
            let rest = else_result.take().map_or_else(build::null, |rest| *rest);
            let null =
                matches!(&rest, Expr::Value(value) if value.value == datafusion::sql::sqlparser::ast::Value::Null);
            // The column keeps the type that the branch gave it.
            *expr = match type_of(&first).filter(|_| null) {
                Some(data_type) => build::cast(rest, data_type),
                None => rest,
            };
        }
        ControlFlow::Continue(())
    }
}

impl Remove {
    fn is_never(&self, condition: &Expr) -> bool {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return false };
        let (Expr::CompoundIdentifier(parts), Some(text)) = (&**left, build::literal_text(right)) else { return false };
        let [.., relation, column] = parts.as_slice() else { return false };
        let table = self.scope.table(&ident_text(relation));
        table.is_some_and(|table| definitions::never_has(table, &ident_text(column), text))
    }
}

/// The type of an expression, where system columns tell it.
fn type_of(expr: &Expr) -> Option<DataType> {
    let column = |name: &str| match definitions::column_type_by_name(name)? {
        "oid" | "int8" => Some(DataType::BigInt(None)),
        "int4" => Some(DataType::Integer(None)),
        "int2" => Some(DataType::SmallInt(None)),
        "bool" => Some(DataType::Boolean),
        "name" | "text" => Some(DataType::Text),
        _ => None,
    };
    match expr {
        Expr::Identifier(ident) => column(&ident_text(ident)),
        Expr::CompoundIdentifier(parts) => column(&ident_text(parts.last()?)),
        Expr::Nested(inner) => type_of(inner),
        Expr::Cast { data_type, .. } => Some(data_type.clone()),
        Expr::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => type_of(expr),
                _ => None,
            },
            _ => None,
        },
        Expr::Function(function) if concerns::words(&function.name).pop()? == "array_agg" => {
            let FunctionArguments::List(list) = &function.args else { return None };
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(item)) = list.args.first()? else { return None };
            Some(DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(type_of(item)?), None)))
        }
        _ => None,
    }
}
