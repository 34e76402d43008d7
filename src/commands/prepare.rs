//! Prepared statements: what the protocol's Parse analyses, and SQL's PREPARE, EXECUTE, DEALLOCATE.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_plan::collect;
use datafusion::sql::sqlparser::ast::{Expr, SelectItem, SetExpr, Value};

use super::names;
use crate::error::{Error, Kind, Result};
use crate::session::planner::Planned;
use crate::session::rows::labelled;
use crate::session::{Outcome, Prepared, Session};
use crate::sql::statement::{Identifier, Insert, InsertTarget, Query, Show};
use crate::sql::{Statement, StatementKind};

/// Analyses a statement: types of its parameters, columns of its result. Nothing runs.
pub(crate) async fn analyse(
    session: &mut Session,
    statement: Statement,
    declared: &[Option<DataType>],
) -> Result<Prepared> {
    let mut parameter_types: Vec<DataType> = Vec::new();
    let columns = match &statement.kind {
        StatementKind::Query(query) => {
            let planned = plan(session, query, &statement, declared).await?;
            parameter_types = types(&planned, &statement, declared)?;
            Some(labelled(planned.plan.schema().as_arrow(), &planned.labels))
        }
        StatementKind::Insert(insert) => {
            if statement.parameters > 0 {
                let declared = from_target(session, insert, declared).await?;
                let planned = plan(session, &insert.source, &statement, &declared).await?;
                parameter_types = types(&planned, &statement, &declared)?;
            }
            None
        }
        StatementKind::Explain(_) => Some(text_columns(&["QUERY PLAN"])),
        StatementKind::Show(show) => Some(show_columns(show)),
        StatementKind::Describe { .. } => Some(text_columns(&["col_name", "data_type", "comment"])),
        StatementKind::Execute { name, .. } => {
            session.prepared.get(&name.value.to_lowercase()).and_then(|p| p.columns.clone())
        }
        StatementKind::Vacuum { dry_run: true, .. } => Some(text_columns(&["file"])),
        _ => None,
    };
    while parameter_types.len() < statement.parameters {
        let declared = declared.get(parameter_types.len()).cloned().flatten();
        parameter_types.push(declared.unwrap_or(DataType::Utf8));
    }
    Ok(Prepared { statement, parameter_types, columns })
}

/// Parameters that stand alone where a column of the table is given take that column's type.
async fn from_target(
    session: &mut Session,
    insert: &Insert,
    declared: &[Option<DataType>],
) -> Result<Vec<Option<DataType>>> {
    let mut types = declared.to_vec();
    let InsertTarget::Table(name) = &insert.table else { return Ok(types) };
    let view = session.view().await?;
    let table = names::find_file_table(session, &view, name).await?;
    let fixed = |column: &str| {
        insert.partition.as_ref().is_some_and(|clause| {
            clause.columns.iter().any(|t| t.value.is_some() && t.name.value.eq_ignore_ascii_case(column))
        })
    };
    let wanted: Vec<DataType> = if insert.columns.is_empty() {
        table.columns.iter().filter(|c| !fixed(&c.name)).map(|c| c.data_type.clone()).collect()
    } else {
        let named =
            insert.columns.iter().map(|c| table.column(&c.value).map_or(DataType::Utf8, |c| c.data_type.clone()));
        named.collect()
    };
    let mut note = |expr: &Expr, at: usize| {
        let (Expr::Value(value), Some(data_type)) = (expr, wanted.get(at)) else { return };
        let Value::Placeholder(name) = &value.value else { return };
        let Some(index) = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).filter(|n| *n > 0) else {
            return;
        };
        if types.len() < index {
            types.resize(index, None);
        }
        types[index - 1].get_or_insert_with(|| data_type.clone());
    };
    match insert.source.body.body.as_ref() {
        SetExpr::Values(values) => {
            for row in &values.rows {
                row.iter().enumerate().for_each(|(at, expr)| note(expr, at));
            }
        }
        SetExpr::Select(select) => {
            for (at, item) in select.projection.iter().enumerate() {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    note(expr, at);
                }
            }
        }
        _ => {}
    }
    Ok(types)
}

async fn plan(
    session: &mut Session,
    query: &Query,
    statement: &Statement,
    declared: &[Option<DataType>],
) -> Result<Planned> {
    let view = session.view().await?;
    session.cancellable(session.plan(query, &view, &statement.text, declared)).await
}

/// One type a parameter: what the client declared, else what the plan infers, else text.
fn types(planned: &Planned, statement: &Statement, declared: &[Option<DataType>]) -> Result<Vec<DataType>> {
    let inferred: HashMap<String, Option<DataType>> = planned.plan.get_parameter_types()?;
    Ok((1..=statement.parameters)
        .map(|n| {
            let declared = declared.get(n - 1).cloned().flatten();
            declared.or_else(|| inferred.get(&format!("${n}")).cloned().flatten()).unwrap_or(DataType::Utf8)
        })
        .collect())
}

fn text_columns(names: &[&str]) -> SchemaRef {
    let fields: Vec<Field> = names.iter().map(|n| Field::new(*n, DataType::Utf8, true)).collect();
    Arc::new(Schema::new(fields))
}

fn show_columns(show: &Show) -> SchemaRef {
    match show {
        Show::Setting { name, .. } => {
            let label = super::show::label(name);
            text_columns(&[label.as_str()])
        }
        Show::AllSettings { .. } => text_columns(&["name", "setting", "description"]),
        Show::Databases { .. } => text_columns(&["namespace"]),
        Show::Tables { .. } => text_columns(&["namespace", "tableName", "isTemporary"]),
        Show::Views { .. } => text_columns(&["namespace", "viewName", "isTemporary"]),
        Show::Partitions { .. } => text_columns(&["partition"]),
        Show::Columns { .. } => text_columns(&["col_name"]),
        Show::CreateTable { .. } => text_columns(&["createtab_stmt"]),
        Show::Properties { .. } => text_columns(&["key", "value"]),
        Show::Functions { .. } => text_columns(&["function"]),
        Show::GeodataLayers => text_columns(&["set", "layer", "fields", "query"]),
    }
}

/// PREPARE name AS statement.
pub(crate) async fn prepare(session: &mut Session, name: &Identifier, statement: &Statement) -> Result<Outcome> {
    let key = name.value.to_lowercase();
    if session.prepared.contains_key(&key) {
        let message = format!("prepared statement \"{key}\" already exists");
        return Err(Error::new(Kind::DuplicatePreparedStatement, message).at(name.position));
    }
    let prepared = analyse(session, statement.clone(), &[]).await?;
    session.prepared.insert(key, Arc::new(prepared));
    Ok(Outcome::done("PREPARE"))
}

/// EXECUTE name (arguments): the arguments are constant expressions.
pub(crate) async fn execute(session: &mut Session, name: &Identifier, arguments: &[Expr]) -> Result<Outcome> {
    let key = name.value.to_lowercase();
    let prepared = session.prepared.get(&key).cloned().ok_or_else(|| unknown(&key).at(name.position))?;
    if arguments.len() != prepared.parameter_types.len() {
        let message = format!(
            "prepared statement \"{key}\" takes {} parameters, {} are given",
            prepared.parameter_types.len(),
            arguments.len()
        );
        return Err(Error::new(Kind::Syntax, message).at(name.position));
    }
    let mut values = Vec::with_capacity(arguments.len());
    for (argument, data_type) in arguments.iter().zip(&prepared.parameter_types) {
        values.push(constant(session, argument, data_type).await?);
    }
    Box::pin(session.execute(&prepared, values)).await
}

/// The value of an expression without columns, as a SELECT of it gives it.
async fn constant(session: &mut Session, expression: &Expr, data_type: &DataType) -> Result<ScalarValue> {
    let text = format!("SELECT {expression}");
    let Some((statement, _)) = session.parse(&text, 0)? else {
        return Err(Error::new(Kind::Syntax, "an argument of EXECUTE is empty"));
    };
    let StatementKind::Query(query) = &statement.kind else {
        return Err(Error::new(Kind::Syntax, "an argument of EXECUTE is no expression"));
    };
    let view = session.view().await?;
    let planned = session.plan(query, &view, &text, &[]).await?;
    let state = session.statement_state();
    let physical = state.create_physical_plan(&planned.plan).await?;
    let batches = collect(physical, state.task_ctx()).await?;
    let value = match batches.iter().find(|b| b.num_rows() == 1) {
        Some(batch) => ScalarValue::try_from_array(batch.column(0), 0)?,
        None => return Err(Error::new(Kind::CardinalityViolation, "an argument of EXECUTE is not one value")),
    };
    Ok(value.cast_to(data_type)?)
}

pub(crate) fn deallocate(session: &mut Session, name: Option<&Identifier>) -> Result<Outcome> {
    match name {
        None => {
            session.prepared.clear();
            Ok(Outcome::done("DEALLOCATE ALL"))
        }
        Some(name) => {
            let key = name.value.to_lowercase();
            session.prepared.remove(&key).ok_or_else(|| unknown(&key).at(name.position))?;
            Ok(Outcome::done("DEALLOCATE"))
        }
    }
}

fn unknown(name: &str) -> Error {
    Error::new(Kind::InvalidStatementName, format!("prepared statement \"{name}\" does not exist"))
}
