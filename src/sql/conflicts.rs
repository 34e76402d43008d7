//! Error 42P21: a statement that is written for one dialect and read under the other.
//!
//! The rule: a statement is written for the *other* dialect if it uses a form that only that dialect has (in a PostgreSQL
//! session INSERT OVERWRITE, a PARTITION clause, DISTRIBUTE BY, SORT BY, CLUSTER BY, LATERAL VIEW, CREATE TABLE … USING or
//! STORED AS … AS SELECT; in a Spark session DISTINCT ON, FETCH FIRST). Its conflicts are then the constructs of the table in
//! `dialect` that change values and that the two dialects are made to read differently:
//!
//! - `/`, unless an operand is seen to be a fraction (`x / 2.0`, `CAST(x AS DOUBLE) / y`),
//! - `"x"` where a value stands (an alias behind AS is a name in both),
//! - `^`,
//! - a backslash in a plain string literal,
//! - TIMESTAMP, FLOAT and DECIMAL without precision in a cast or before a literal.
//!
//! A statement without a foreign form has no conflicts, whatever it holds: it is read under the session's dialect, as it says.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, BinaryOperator, DataType, Distinct, ExactNumberInfo, Expr, SetExpr, Spanned, TimezoneInfo, Value, Visit,
    Visitor,
};
use sqlparser::tokenizer::{Location, Token};

use super::bind::is_fractional;
use super::dialect::{ConflictRow, Dialect, conflict};
use super::statement::{InsertTarget, Query, Statement, StatementKind};
use super::tokens;
use crate::error::{Error, Kind};

/// A construct that the statement's own dialect and the session's read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// Byte offset in the statement's text.
    pub position: usize,
    /// What stands there, with both meanings.
    pub row: &'static ConflictRow,
    /// The form that only the other dialect has.
    pub foreign: &'static str,
    /// The session's dialect.
    pub dialect: Dialect,
}

impl Conflict {
    /// The error 42P21 for it.
    pub fn error(&self) -> Error {
        let ConflictRow { form, spark, postgres, instead, .. } = self.row;
        let message = format!(
            "`{form}` means different things in a statement with {}, which only {} has, and in this {} session",
            self.foreign,
            self.dialect.other(),
            self.dialect
        );
        Error::new(Kind::DialectConflict, message)
            .at(self.position)
            .with_detail(format!("in spark: {spark}; in postgres: {postgres}"))
            .with_hint(format!("write {instead}, or SET sql_dialect = {}", self.dialect.other()))
    }
}

/// The conflicts of `statement`, in the order of its text. To be asked before [`super::bind::bind`] changes its tree.
pub fn conflicts(statement: &Statement, dialect: Dialect) -> Vec<Conflict> {
    let Some(query) = query_of(&statement.kind) else { return Vec::new() };
    let Some(foreign) = foreign_form(&statement.kind, query, dialect) else { return Vec::new() };
    let mut finder = Finder { dialect, found: Vec::new() };
    let _ = query.body.visit(&mut finder);
    for expr in &query.distribution.distribute_by {
        let _ = expr.visit(&mut finder);
    }
    let mut found: Vec<Conflict> = Vec::new();
    for (form, location) in finder.found {
        if let Some(row) = conflict(form) {
            let position = tokens::offset_of(&statement.text, location);
            found.push(Conflict { position, row, foreign, dialect });
        }
    }
    if let (Some(row), Ok(pieces)) = (conflict(BACKSLASH), tokens::tokenize(&statement.text, dialect)) {
        for piece in pieces {
            let plain = matches!(piece.token, Token::SingleQuotedString(_));
            let source = &statement.text[piece.start..piece.end];
            if plain && source.starts_with('\'') && source.contains('\\') {
                found.push(Conflict { position: piece.start, row, foreign, dialect });
            }
        }
    }
    found.sort_by_key(|c| c.position);
    found
}

const BACKSLASH: &str = "'a\\nb'";

fn query_of(kind: &StatementKind) -> Option<&Query> {
    match kind {
        StatementKind::Query(query) => Some(query),
        StatementKind::Insert(insert) => Some(&insert.source),
        StatementKind::CreateTable(table) => table.as_query.as_ref(),
        StatementKind::CreateView(view) => Some(&view.query),
        StatementKind::CreateGeodataLayer(layer) => Some(&layer.query),
        StatementKind::Explain(explain) => query_of(&explain.statement.kind),
        StatementKind::Prepare { statement, .. } => query_of(&statement.kind),
        _ => None,
    }
}

/// A form in the statement that `dialect` does not have and the other does.
fn foreign_form(kind: &StatementKind, query: &Query, dialect: Dialect) -> Option<&'static str> {
    if dialect == Dialect::Postgres {
        match kind {
            StatementKind::Explain(explain) => return foreign_form(&explain.statement.kind, query, dialect),
            StatementKind::Prepare { statement, .. } => return foreign_form(&statement.kind, query, dialect),
            StatementKind::Insert(insert) => {
                if matches!(insert.table, InsertTarget::Directory { .. }) {
                    return Some("INSERT OVERWRITE DIRECTORY");
                }
                if insert.overwrite {
                    return Some("INSERT OVERWRITE");
                }
                if insert.partition.is_some() {
                    return Some("PARTITION (…)");
                }
            }
            StatementKind::CreateTable(table) if table.provider.is_some() => {
                return Some(if table.hive_format { "STORED AS" } else { "USING" });
            }
            _ => {}
        }
        if !query.distribution.distribute_by.is_empty() {
            return Some("DISTRIBUTE BY");
        }
        if !query.distribution.sort_by.is_empty() {
            return Some("SORT BY");
        }
    }
    let mut forms = Forms { dialect, found: None };
    let _ = query.body.visit(&mut forms);
    forms.found
}

struct Forms {
    dialect: Dialect,
    found: Option<&'static str>,
}

impl Visitor for Forms {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        if self.dialect == Dialect::Spark && query.fetch.is_some() {
            self.found = Some("FETCH FIRST");
            return ControlFlow::Break(());
        }
        if let SetExpr::Select(select) = query.body.as_ref() {
            self.found = match self.dialect {
                Dialect::Spark if matches!(select.distinct, Some(Distinct::On(_))) => Some("DISTINCT ON"),
                Dialect::Postgres if !select.lateral_views.is_empty() => Some("LATERAL VIEW"),
                Dialect::Postgres if !select.distribute_by.is_empty() => Some("DISTRIBUTE BY"),
                Dialect::Postgres if !select.sort_by.is_empty() => Some("SORT BY"),
                Dialect::Postgres if !select.cluster_by.is_empty() => Some("CLUSTER BY"),
                _ => None,
            };
            if self.found.is_some() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

struct Finder {
    dialect: Dialect,
    found: Vec<(&'static str, Location)>,
}

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let form = match expr {
            Expr::BinaryOp { left, op: BinaryOperator::Divide, right }
                if !is_fractional(left) && !is_fractional(right) =>
            {
                Some("a / b")
            }
            Expr::BinaryOp { op: BinaryOperator::PGExp | BinaryOperator::BitwiseXor, .. } => Some("a ^ b"),
            Expr::Identifier(name) if self.dialect == Dialect::Postgres && name.quote_style == Some('"') => {
                Some("\"x\"")
            }
            Expr::Value(value) if matches!(value.value, Value::DoubleQuotedString(_)) => Some("\"x\""),
            Expr::Cast { data_type, .. } => type_form(data_type),
            Expr::TypedString(typed) => type_form(&typed.data_type),
            _ => None,
        };
        if let Some(form) = form {
            self.found.push((form, expr.span().start));
        }
        ControlFlow::Continue(())
    }
}

fn type_form(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Timestamp(_, TimezoneInfo::None) => Some("TIMESTAMP"),
        DataType::Float(ExactNumberInfo::None) => Some("FLOAT"),
        DataType::Decimal(ExactNumberInfo::None) | DataType::Numeric(ExactNumberInfo::None) => Some("DECIMAL"),
        _ => None,
    }
}
