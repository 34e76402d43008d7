//! PARTITION (…) against a table: which partition columns have a value, and which come from the rows.

use std::collections::HashSet;

use datafusion::arrow::datatypes::DataType;
use tycho_catalog::{Column, Comparison, Predicate, TableDefinition, Value};

use crate::error::{Error, Kind, Result};
use crate::sql::statement::{PartitionLiteral, PartitionSpec, PartitionTerm};
use crate::tables;

/// One entry a partition column, in table order: the value that the clause gives, or `None` for a dynamic one.
pub(crate) type Statics = Vec<Option<Value>>;

/// Reads the clause of an INSERT: every partition column is named, static ones come first in the table's order.
pub(crate) fn for_insert(table: &TableDefinition, spec: &PartitionSpec) -> Result<Statics> {
    let statics = any(table, spec)?;
    for column in table.partition_columns() {
        if !spec.columns.iter().any(|t| t.name.value.eq_ignore_ascii_case(&column.name)) {
            let names: Vec<_> = table.partition_columns().iter().map(|c| c.name.as_str()).collect();
            let message = format!(
                "the PARTITION clause leaves out {}; table {} is partitioned by {}",
                column.name,
                table.full_name(),
                names.join(", ")
            );
            return Err(Error::new(Kind::InvalidTableDefinition, message).at(spec.position));
        }
    }
    let first_dynamic = statics.iter().position(Option::is_none).unwrap_or(statics.len());
    if let Some(late) = statics.iter().skip(first_dynamic).position(Option::is_some) {
        let columns = table.partition_columns();
        let message = format!(
            "partition column {} has a value but {}, before it in the table, has none",
            columns[first_dynamic + late].name,
            columns[first_dynamic].name
        );
        return Err(Error::new(Kind::InvalidTableDefinition, message).at(spec.position));
    }
    Ok(statics)
}

/// Reads a clause that names any of the partition columns; those without a value are `None`.
pub(crate) fn any(table: &TableDefinition, spec: &PartitionSpec) -> Result<Statics> {
    let columns = table.partition_columns();
    let mut statics: Statics = vec![None; columns.len()];
    let mut seen = HashSet::new();
    for term in &spec.columns {
        let Some(index) = columns.iter().position(|c| c.name.eq_ignore_ascii_case(&term.name.value)) else {
            return Err(unknown_column(table, term));
        };
        if !seen.insert(index) {
            let message = format!("partition column {} is named twice", columns[index].name);
            return Err(Error::new(Kind::DuplicateColumn, message).at(term.name.position));
        }
        if let Some(literal) = &term.value {
            statics[index] = Some(value(literal, &columns[index]).map_err(|e| e.at(term.name.position))?);
        }
    }
    Ok(statics)
}

/// Reads a clause that names one whole partition: every partition column, each with a value.
pub(crate) fn full(table: &TableDefinition, spec: &PartitionSpec) -> Result<Vec<Value>> {
    let statics = any(table, spec)?;
    let missing: Vec<&str> = table
        .partition_columns()
        .iter()
        .zip(&statics)
        .filter(|(_, value)| value.is_none())
        .map(|(column, _)| column.name.as_str())
        .collect();
    if !missing.is_empty() {
        let message = format!("the PARTITION clause needs a value for {}", missing.join(", "));
        return Err(Error::new(Kind::InvalidTableDefinition, message).at(spec.position));
    }
    Ok(statics.into_iter().flatten().collect())
}

fn unknown_column(table: &TableDefinition, term: &PartitionTerm) -> Error {
    let names: Vec<_> = table.partition_columns().iter().map(|c| c.name.as_str()).collect();
    let message = if names.is_empty() {
        format!("table {} has no partition columns", table.full_name())
    } else {
        format!(
            "table {} has no partition column `{}`; it has {}",
            table.full_name(),
            term.name.value,
            names.join(", ")
        )
    };
    Error::new(Kind::UndefinedColumn, message).at(term.name.position)
}

/// The conditions that a clause's values make, for scopes and look-ups.
pub(crate) fn predicate(statics: &[Option<Value>]) -> Predicate {
    let mut terms: Vec<Predicate> = statics
        .iter()
        .enumerate()
        .filter_map(|(column, value)| {
            value.as_ref().map(|value| match value {
                Value::Null => Predicate::IsNull { column },
                value => Predicate::Compare { column, op: Comparison::Eq, value: value.clone() },
            })
        })
        .collect();
    match terms.len() {
        0 => Predicate::All,
        1 => terms.remove(0),
        _ => Predicate::And(terms),
    }
}

/// A value written in a clause is text that is cast to the column's type (OVERWRITE.md, clause rules).
fn value(literal: &PartitionLiteral, column: &Column) -> Result<Value> {
    let text = match literal {
        PartitionLiteral::Null => return Ok(Value::Null),
        PartitionLiteral::Text(text) if text.is_empty() => {
            let message = format!("the value of partition column {} is the empty string", column.name);
            return Err(Error::new(Kind::InvalidParameterValue, message).with_hint("NULL names the default partition"));
        }
        PartitionLiteral::Text(text) => text.clone(),
        PartitionLiteral::Number(text) => canonical_number(text),
        PartitionLiteral::Boolean(flag) => flag.to_string(),
        PartitionLiteral::Typed(name, text) => {
            let data_type = match name.as_str() {
                "DATE" => DataType::Date32,
                _ => column.data_type.clone(),
            };
            let value = tables::value_from_text(text, &data_type).ok_or_else(|| misfit(text, column))?;
            tables::value_to_text(&value).unwrap_or_default()
        }
    };
    tables::value_from_text(&text, &column.data_type).ok_or_else(|| misfit(&text, column))
}

fn misfit(text: &str, column: &Column) -> Error {
    let type_name = crate::sql::types::type_name(&column.data_type, crate::sql::Dialect::Spark);
    let message = format!("'{text}' is no value of partition column {}, which is {type_name}", column.name);
    Error::new(Kind::InvalidText, message)
}

/// `08` is the number 8, also where it becomes text (SPARK-41982).
fn canonical_number(text: &str) -> String {
    text.parse::<i128>().map_or_else(|_| text.to_owned(), |n| n.to_string())
}
