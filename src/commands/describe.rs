//! `DESCRIBE [EXTENDED] table [PARTITION …]`.

use datafusion::arrow::datatypes::DataType;
use tycho_catalog::{TableDefinition, TableKind, View, Writers};

use super::{names, partition_clause, redact};
use crate::error::{Error, Kind, Result};
use crate::session::{Outcome, Rows, Session, Tag};
use crate::sql::statement::{ObjectName, PartitionSpec};
use crate::sql::{Dialect, types};

type Row = Vec<Option<String>>;

fn row(name: impl Into<String>, value: impl Into<String>, comment: Option<String>) -> Row {
    vec![Some(name.into()), Some(value.into()), comment]
}

fn heading(text: &str) -> Row {
    row(text, "", Some(String::new()))
}

/// The declared type where it says more, else Spark's name of the stored one.
pub(crate) fn type_text(data_type: &DataType, declared: Option<&str>) -> String {
    declared.map_or_else(|| types::type_name(data_type, Dialect::Spark), str::to_lowercase)
}

pub(crate) async fn run(
    session: &mut Session,
    name: &ObjectName,
    extended: bool,
    partition: Option<&PartitionSpec>,
) -> Result<Outcome> {
    let view = session.view().await?;
    let table = names::find(session, &view, name).await?;
    let mut rows: Vec<Row> = table
        .columns
        .iter()
        .map(|c| row(&c.name, type_text(&c.data_type, c.sql_type.as_deref()), c.comment.clone()))
        .collect();
    if table.partition_columns > 0 {
        rows.push(heading("# Partition Information"));
        rows.push(row("# col_name", "data_type", Some("comment".to_owned())));
        for c in table.partition_columns() {
            rows.push(row(&c.name, type_text(&c.data_type, c.sql_type.as_deref()), c.comment.clone()));
        }
    }
    if let Some(spec) = partition {
        rows.extend(partition_rows(&view, &table, spec).await?);
    } else if extended {
        rows.extend(table_rows(session, &view, &table).await?);
    }
    let rows = Rows::from_text(&["col_name", "data_type", "comment"], rows)?;
    Ok(Outcome { tag: Tag::Done("DESCRIBE".to_owned()), rows: Some(rows) })
}

async fn table_rows(session: &Session, view: &View, table: &TableDefinition) -> Result<Vec<Row>> {
    let kind = match table.kind {
        TableKind::Managed => "MANAGED",
        TableKind::External => "EXTERNAL",
        TableKind::Remote => "REMOTE",
        TableKind::View => "VIEW",
    };
    let empty = || Some(String::new());
    let mut rows = vec![
        heading(""),
        heading("# Detailed Table Information"),
        row("Database", &table.database, empty()),
        row("Table", &table.name, empty()),
        row("Type", kind, empty()),
        row("Version", view.table_version(table.id).await?.to_string(), empty()),
    ];
    if let Some(comment) = &table.comment {
        rows.push(row("Comment", comment, empty()));
    }
    if let Some(definition) = &table.view {
        rows.push(row("View Text", &definition.sql, empty()));
        return Ok(rows);
    }
    let totals = view.totals(table.id).await?;
    rows.push(row("Provider", &table.provider, empty()));
    rows.push(row("Location", names::root(session, table)?, empty()));
    let writers = match table.writers {
        Writers::Tycho => "tycho",
        Writers::Shared => "shared: files of others are read too",
    };
    rows.push(row("Writers", writers, empty()));
    let counts = format!(
        "{} partitions, {} files, {} rows, {} bytes",
        totals.partitions, totals.files, totals.rows, totals.bytes
    );
    rows.push(row("Files of this catalog", counts, empty()));
    for (title, map) in [("Options", &table.options), ("Properties", &table.properties)] {
        if !map.is_empty() {
            let list: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{k}={}", if redact::is_secret(k) { "*********(redacted)" } else { v }))
                .collect();
            rows.push(row(title, format!("[{}]", list.join(",")), empty()));
        }
    }
    Ok(rows)
}

async fn partition_rows(view: &View, table: &TableDefinition, spec: &PartitionSpec) -> Result<Vec<Row>> {
    let values = partition_clause::full(table, spec)?;
    let statics: Vec<_> = values.into_iter().map(Some).collect();
    let predicate = partition_clause::predicate(&statics);
    let found = view.partitions(table.id, &predicate).await?;
    let Some(partition) = found.into_iter().find(|p| p.registered) else {
        let message = format!("table {} has no such partition", table.full_name());
        return Err(Error::new(Kind::UndefinedPartition, message).at(spec.position));
    };
    let files = view.files(table.id, &predicate).await?;
    let empty = || Some(String::new());
    let mut rows = vec![
        heading(""),
        heading("# Detailed Partition Information"),
        row("Partition Values", format!("[{}]", partition.folder.replace('/', ", ")), empty()),
        row("Version", partition.version.to_string(), empty()),
        row("Files", files.len().to_string(), empty()),
        row("Rows", files.iter().map(|f| f.rows).sum::<u64>().to_string(), empty()),
        row("Bytes", files.iter().map(|f| f.size_bytes).sum::<u64>().to_string(), empty()),
    ];
    if let Some(location) = partition.location {
        rows.push(row("Location", location, empty()));
    }
    Ok(rows)
}
