//! Prepared statements: what the protocol's Parse analyses, and SQL's PREPARE, EXECUTE, DEALLOCATE.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_plan::collect;
use datafusion::sql::sqlparser::ast::Expr;

use crate::error::{Error, Kind, Result};
use crate::session::planner::Planned;
use crate::session::rows::labelled;
use crate::session::{Outcome, Prepared, Session};
use crate::sql::statement::{Identifier, Query, Show};
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
                let planned = plan(session, &insert.source, &statement, declared).await?;
                parameter_types = types(&planned, &statement, declared)?;
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
