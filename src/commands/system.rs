//! The schema `tycho`: what the engine knows, as tables.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use tycho_catalog::{Predicate, TableDefinition, TableKind, View};

use super::redact;
use crate::engine::{Engine, SessionFacts};
use crate::error::Result;
use crate::settings::Scope;

/// Tables of the schema, for hints and listings.
pub const TABLES: [&str; 4] = ["commits", "files", "partitions", "settings"];

/// A table of the schema `tycho` as of a view; `None` if there is none of that name.
pub(crate) async fn table(
    engine: &Engine,
    view: &View,
    facts: &SessionFacts,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>> {
    let batch = match name {
        "settings" => settings(facts)?,
        "commits" => commits(engine).await?,
        "partitions" => partitions(view).await?,
        "files" => files(view).await?,
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
}

fn text<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn numbers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn settings(facts: &SessionFacts) -> Result<RecordBatch> {
    let all = facts.settings.all();
    let scope = |s: Scope| match s {
        Scope::Session => "session",
        Scope::Process => "process",
        Scope::Fixed => "fixed",
    };
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("name", text(all.iter().map(|s| &s.0)), false),
        ("value", text(all.iter().map(|s| &s.1)), false),
        ("unit", Arc::new(all.iter().map(|s| s.2.and_then(|d| d.unit)).collect::<StringArray>()) as ArrayRef, true),
        (
            "default_value",
            Arc::new(all.iter().map(|s| s.2.map(|d| d.default)).collect::<StringArray>()) as ArrayRef,
            true,
        ),
        ("scope", text(all.iter().map(|s| s.2.map_or("session", |d| scope(d.scope)))), false),
        ("help", Arc::new(all.iter().map(|s| s.2.map(|d| d.help)).collect::<StringArray>()) as ArrayRef, true),
    ])?)
}

/// The newest commits are what one looks for; older ones stay in the catalog.
const MAX_COMMITS: usize = 10_000;

async fn commits(engine: &Engine) -> Result<RecordBatch> {
    let commits = engine.catalog.commits(None, MAX_COMMITS).await?;
    let at = TimestampMicrosecondArray::from_iter_values(commits.iter().map(|c| c.committed_at)).with_timezone("UTC");
    let statements = commits.iter().map(|c| c.statement.as_deref().map(redact::statement)).collect::<StringArray>();
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("version", numbers(commits.iter().map(|c| c.number)), false),
        ("transaction", numbers(commits.iter().map(|c| c.transaction)), false),
        ("committed_at", Arc::new(at) as ArrayRef, false),
        ("user", Arc::new(commits.iter().map(|c| c.user.as_deref()).collect::<StringArray>()) as ArrayRef, true),
        ("statement", Arc::new(statements) as ArrayRef, true),
        ("files_added", numbers(commits.iter().map(|c| c.files_added)), false),
        ("files_removed", numbers(commits.iter().map(|c| c.files_removed)), false),
        ("rows_added", numbers(commits.iter().map(|c| c.rows_added)), false),
        ("bytes_added", numbers(commits.iter().map(|c| c.bytes_added)), false),
    ])?)
}

async fn file_tables(view: &View) -> Result<Vec<Arc<TableDefinition>>> {
    let mut found = Vec::new();
    for database in view.databases().await? {
        let tables = view.tables(&database.name).await?;
        found.extend(tables.into_iter().filter(|t| matches!(t.kind, TableKind::Managed | TableKind::External)));
    }
    Ok(found)
}

async fn partitions(view: &View) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for table in file_tables(view).await? {
        let files = view.files(table.id, &Predicate::All).await?;
        let mut sums = std::collections::HashMap::<String, (i64, i64, i64)>::new();
        for file in files {
            let sum = sums.entry(file.partition).or_default();
            sum.0 += 1;
            sum.1 += file.rows as i64;
            sum.2 += file.size_bytes as i64;
        }
        for partition in view.partitions(table.id, &Predicate::All).await? {
            let sum = sums.get(&partition.folder).copied().unwrap_or_default();
            rows.push((Arc::clone(&table), partition, sum));
        }
    }
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("database", text(rows.iter().map(|r| &r.0.database)), false),
        ("table", text(rows.iter().map(|r| &r.0.name)), false),
        ("partition", text(rows.iter().map(|r| &r.1.folder)), false),
        ("version", numbers(rows.iter().map(|r| r.1.version)), false),
        ("files", numbers(rows.iter().map(|r| r.2.0)), false),
        ("rows", numbers(rows.iter().map(|r| r.2.1)), false),
        ("bytes", numbers(rows.iter().map(|r| r.2.2)), false),
    ])?)
}

async fn files(view: &View) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for table in file_tables(view).await? {
        for file in view.files(table.id, &Predicate::All).await? {
            rows.push((Arc::clone(&table), file));
        }
    }
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("database", text(rows.iter().map(|r| &r.0.database)), false),
        ("table", text(rows.iter().map(|r| &r.0.name)), false),
        ("partition", text(rows.iter().map(|r| &r.1.partition)), false),
        ("path", text(rows.iter().map(|r| &r.1.path)), false),
        ("bytes", numbers(rows.iter().map(|r| r.1.size_bytes as i64)), false),
        ("rows", numbers(rows.iter().map(|r| r.1.rows as i64)), false),
        ("transaction", numbers(rows.iter().map(|r| r.1.added_by)), false),
    ])?)
}
