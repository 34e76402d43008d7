//! Which columns a SELECT's own FROM gives, as far as the text tells.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinOperator, Query, Select, TableFactor, TableWithJoins, Visit, Visitor,
};
use std::ops::ControlFlow;

use crate::wire::pg_catalog::concerns;
use crate::wire::pg_catalog::definitions::{self, SystemTable};
use crate::wire::pg_catalog::tables;

/// The relations of one FROM clause.
#[derive(Debug, Default)]
pub struct Scope {
    /// Alias (or name) and, for system tables, the definition.
    relations: Vec<(String, Option<&'static SystemTable>)>,
    /// A relation whose columns the text does not tell is there: unqualified names may be its.
    open: bool,
}

pub fn ident_text(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

impl Scope {
    pub fn of(select: &Select) -> Scope {
        let mut scope = Scope::default();
        for from in &select.from {
            scope.add_joins(from);
        }
        scope
    }

    fn add_joins(&mut self, from: &TableWithJoins) {
        self.add(&from.relation);
        for join in &from.joins {
            self.add(&join.relation);
        }
    }

    fn add(&mut self, factor: &TableFactor) {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let words = concerns::words(name);
                let table = match words.as_slice() {
                    [schema, name] | [_, schema, name] => definitions::table(schema, name),
                    _ => None,
                };
                let own = words.last().cloned().unwrap_or_default();
                let alias_columns = alias.as_ref().is_some_and(|a| !a.columns.is_empty());
                let alias = alias.as_ref().map_or(own, |a| ident_text(&a.name));
                self.open |= table.is_none() || alias_columns;
                self.relations.push((alias, table.filter(|_| !alias_columns)));
            }
            TableFactor::NestedJoin { table_with_joins, .. } => self.add_joins(table_with_joins),
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. } => {
                self.open = true;
                self.relations.extend(alias.as_ref().map(|a| (ident_text(&a.name), None)));
            }
            _ => self.open = true,
        }
    }

    /// The system table behind an alias.
    pub fn table(&self, alias: &str) -> Option<&'static SystemTable> {
        self.relations.iter().find(|(name, _)| name == alias).and_then(|(_, table)| *table)
    }

    /// Whether a column reference is one of this FROM's.
    pub fn owns(&self, parts: &[Ident]) -> bool {
        match parts {
            [column] => {
                let column = ident_text(column);
                self.open
                    || self.relations.iter().any(|(name, table)| {
                        *name == column || table.is_some_and(|t| t.columns.iter().any(|c| c.name == column))
                    })
            }
            [.., relation, _] => {
                let relation = ident_text(relation);
                self.relations.iter().any(|(name, _)| *name == relation)
            }
            [] => false,
        }
    }
}

/// Whether a SELECT can give no row, whatever the catalog holds: one of the tables that it joins inwardly has none. A
/// SELECT with aggregates is not asked: it has a row without any.
pub fn is_provably_empty(select: &Select) -> bool {
    select.from.iter().any(is_empty_join)
}

fn is_empty_join(from: &TableWithJoins) -> bool {
    let mut empty = is_empty_factor(&from.relation);
    for join in &from.joins {
        let right = is_empty_factor(&join.relation);
        empty = match &join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => empty || right,
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => empty,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => right,
            _ => empty && right,
        };
    }
    empty
}

fn is_empty_factor(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } => {
            let words = concerns::words(name);
            match words.as_slice() {
                [schema, name] | [_, schema, name] => {
                    definitions::table(schema, name).is_some_and(tables::is_always_empty)
                }
                _ => false,
            }
        }
        TableFactor::NestedJoin { table_with_joins, .. } => is_empty_join(table_with_joins),
        _ => false,
    }
}

/// Column references of an expression outside nested queries, and whether there are nested queries.
#[derive(Debug, Default)]
pub struct References {
    pub columns: Vec<Vec<Ident>>,
    pub queries: bool,
    pub functions: HashSet<String>,
    depth: usize,
}

impl References {
    pub fn of(expr: &Expr) -> References {
        let mut references = References::default();
        let _ = expr.visit(&mut references);
        references
    }
}

impl Visitor for References {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        self.queries = true;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.depth == 0 {
            match expr {
                Expr::Identifier(ident) => self.columns.push(vec![ident.clone()]),
                Expr::CompoundIdentifier(parts) => self.columns.push(parts.clone()),
                Expr::Function(function) => self.functions.extend(concerns::words(&function.name).pop()),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}
