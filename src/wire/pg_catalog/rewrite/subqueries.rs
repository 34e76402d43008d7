//! Scalar and ARRAY subqueries in the shapes that DataFusion can plan.
//!
//! DataFusion turns a correlated scalar subquery into a join, if it is an aggregate and its correlated conditions are
//! `inner column = outer expression`. So
//! - a subquery without aggregate becomes `single_value(array_agg(…))`, which fails on a second row, as PostgreSQL does;
//! - a condition on outer columns alone moves out, around the subquery: `CASE WHEN condition THEN (…) END`;
//! - another use of an outer column that a condition says to equal an inner one is replaced by the inner one;
//! - in a SELECT that can give no row, subqueries are never run, and a scalar subquery that can give no row is NULL;
//! - a branch of CASE that asks for a value which an unchanging table does not have goes ([`dead`]).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, Expr, FunctionArguments, Ident, LambdaFunction,
    LambdaFunctionParameter, LambdaSyntax, OneOrManyWithParens, OrderBy, OrderByExpr, OrderByKind, Query, Select,
    SelectItem, SetExpr, TableFactor, Value, Values, VisitMut, VisitorMut,
};

use super::build;
use super::dead;
use super::scope::{self, References, Scope};

pub fn rewrite(query: &mut Query) {
    let _ = query.visit(&mut Subqueries);
}

struct Subqueries;

impl VisitorMut for Subqueries {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        dead::remove_branches(select);
        nullify_if_empty(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("array") => {
                if let FunctionArguments::Subquery(query) = &mut function.args {
                    if let SetExpr::Select(select) = &mut *query.body {
                        nullify_if_empty(select);
                    }
                    *expr = array(std::mem::replace(&mut **query, empty_query()));
                }
            }
            _ => {}
        }
        if let Expr::Subquery(query) = expr
            && let SetExpr::Select(select) = &*query.body
            && query.with.is_none()
            && select.having.is_none()
            && scope::is_provably_empty(select)
            && !aggregates(select)
        {
            *expr = build::null();
        }
        if let Expr::Subquery(query) = expr
            && let Some(rewritten) = scalar(query)
        {
            *expr = rewritten;
        }
        ControlFlow::Continue(())
    }
}

/// In a SELECT that gives no row, what its subqueries would give does not matter.
fn nullify_if_empty(select: &mut Select) {
    if !scope::is_provably_empty(select) || aggregates(select) {
        return;
    }
    let mut nullify = Nullify { depth: 0 };
    for item in &mut select.projection {
        let _ = item.visit(&mut nullify);
    }
    let _ = select.selection.visit(&mut nullify);
}

/// Something to leave in place of a query that is moved.
fn empty_query() -> Query {
    let body = SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() });
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// Replaces the subqueries of a SELECT that never gives a row.
struct Nullify {
    depth: usize,
}

impl VisitorMut for Nullify {
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
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Subquery(_) => *expr = build::cast(build::null(), DataType::Text),
            Expr::Function(function) if matches!(function.args, FunctionArguments::Subquery(_)) => {
                let list = DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(DataType::Text), None));
                *expr = build::cast(build::null(), list);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "max",
    "min",
    "string_agg",
    "sum",
];

fn is_aggregate(expr: &Expr) -> bool {
    References::of(expr).functions.iter().any(|name| AGGREGATES.contains(&name.as_str()))
}

fn aggregates(select: &Select) -> bool {
    select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => is_aggregate(expr),
        _ => false,
    })
}

/// `ARRAY(SELECT …)` as an expression over a scalar subquery, or over an array where it selects from one.
fn array(mut query: Query) -> Expr {
    if let Some(transformed) = transform(&query) {
        return transformed;
    }
    let order = take_order(&mut query);
    let SetExpr::Select(select) = &mut *query.body else { return Expr::Subquery(Box::new(query)) };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_mut_slice()
    else {
        return Expr::Subquery(Box::new(query));
    };
    let order = order.into_iter().map(|mut by| {
        // An ordinal: there is one column.
        if matches!(&by.expr, Expr::Value(value) if matches!(value.value, Value::Number(..))) {
            by.expr = expr.clone();
        }
        by
    });
    let collected = build::ordered_call("array_agg", vec![expr.clone()], order.collect());
    select.projection = vec![SelectItem::UnnamedExpr(build::call("array_or_empty", vec![collected]))];
    Expr::Subquery(Box::new(query))
}

fn take_order(query: &mut Query) -> Vec<OrderByExpr> {
    match query.order_by.take() {
        Some(order) => match order.kind {
            OrderByKind::Expressions(expressions) => expressions,
            kind => {
                query.order_by = Some(OrderBy { kind, interpolate: order.interpolate });
                Vec::new()
            }
        },
        None => Vec::new(),
    }
}

/// `ARRAY(SELECT f(x) FROM unnest(a) AS x)` is `array_transform(a, x -> f(x))`.
fn transform(query: &Query) -> Option<Expr> {
    let SetExpr::Select(select) = &*query.body else { return None };
    if query.order_by.is_some() || select.selection.is_some() {
        return None;
    }
    let [from] = select.from.as_slice() else { return None };
    let TableFactor::UNNEST { array_exprs, alias: Some(alias), .. } = &from.relation else { return None };
    let ([array], [column]) = (array_exprs.as_slice(), alias.columns.as_slice()) else { return None };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_slice() else {
        return None;
    };
    if matches!(expr, Expr::Identifier(ident) if ident.value == column.name.value) {
        return Some(build::call("array_or_empty", vec![array.clone()]));
    }
    let lambda = Expr::Lambda(LambdaFunction {
        params: OneOrManyWithParens::One(LambdaFunctionParameter { name: column.name.clone(), data_type: None }),
        body: Box::new(expr.clone()),
        syntax: LambdaSyntax::Arrow,
    });
    Some(build::call("array_or_empty", vec![build::call("array_transform", vec![array.clone(), lambda])]))
}

/// What a correlated scalar subquery is replaced by; `None` to leave it as it is.
fn scalar(query: &mut Query) -> Option<Expr> {
    if query.with.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        return None;
    }
    let SetExpr::Select(select) = &mut *query.body else { return None };
    if select.from.is_empty() || select.having.is_some() || select.distinct.is_some() {
        return None;
    }
    let scope = Scope::of(select);
    let is_outer = |parts: &[Ident]| !scope.owns(parts);
    let [SelectItem::UnnamedExpr(result) | SelectItem::ExprWithAlias { expr: result, .. }] =
        select.projection.as_mut_slice()
    else {
        return None;
    };
    let conditions = select.selection.as_ref().map(conjuncts).unwrap_or_default();
    let outer_count = |expr: &Expr| References::of(expr).columns.iter().filter(|parts| is_outer(parts)).count();
    if conditions.iter().chain([&*result]).all(|expr| outer_count(expr) == 0) {
        return None;
    }
    let mut hoisted: Vec<Expr> = Vec::new();
    let mut kept = Vec::new();
    let mut equal: Vec<(Vec<Ident>, Expr)> = Vec::new();
    for condition in conditions {
        let references = References::of(&condition);
        let outer = references.columns.iter().filter(|parts| is_outer(parts)).count();
        if outer > 0 && outer == references.columns.len() && !references.queries {
            hoisted.push(condition);
        } else {
            equal.extend(equality(&condition, &is_outer));
            kept.push(condition);
        }
    }
    for condition in kept.iter_mut().filter(|condition| equality(condition, &is_outer).is_none()) {
        substitute(condition, &equal);
    }
    substitute(result, &equal);
    if !is_aggregate(result) && !is_collected(result) {
        *result = build::call("single_value", vec![build::call("array_agg", vec![result.clone()])]);
    }
    select.selection = kept.into_iter().reduce(build::and);
    let subquery = Expr::Subquery(Box::new(query.clone()));
    Some(match hoisted.into_iter().reduce(build::and) {
        Some(condition) => build::case_when(condition, subquery),
        None => subquery,
    })
}

fn is_collected(expr: &Expr) -> bool {
    References::of(expr).functions.contains("single_value")
}

/// The conditions that AND joins.
fn conjuncts(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        Expr::Nested(inner) if matches!(**inner, Expr::BinaryOp { op: BinaryOperator::And, .. }) => conjuncts(inner),
        other => vec![other.clone()],
    }
}

fn column(expr: &Expr) -> Option<Vec<Ident>> {
    match expr {
        Expr::Identifier(ident) => Some(vec![ident.clone()]),
        Expr::CompoundIdentifier(parts) => Some(parts.clone()),
        _ => None,
    }
}

/// The outer and the inner column that a condition says to be equal.
fn equality(condition: &Expr, is_outer: &impl Fn(&[Ident]) -> bool) -> Option<(Vec<Ident>, Expr)> {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return None };
    let (left_column, right_column) = (column(left)?, column(right)?);
    match (is_outer(&left_column), is_outer(&right_column)) {
        (true, false) => Some((left_column, (**right).clone())),
        (false, true) => Some((right_column, (**left).clone())),
        _ => None,
    }
}

fn substitute(expr: &mut Expr, equal: &[(Vec<Ident>, Expr)]) {
    struct Substitute<'a> {
        equal: &'a [(Vec<Ident>, Expr)],
        depth: usize,
    }
    impl VisitorMut for Substitute<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let found = column(expr).filter(|_| self.depth == 0);
            if let Some(inner) = found.and_then(|c| self.equal.iter().find(|(outer, _)| *outer == c)) {
                *expr = inner.1.clone();
            }
            ControlFlow::Continue(())
        }
    }
    let _ = expr.visit(&mut Substitute { equal, depth: 0 });
}
