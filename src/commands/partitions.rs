//! Partitions of a file table: ADD, DROP, MSCK REPAIR, TRUNCATE, SHOW PARTITIONS.

use std::collections::HashSet;

use tycho_catalog::{NewPartition, Partition, Predicate, TableDefinition, TableKind, Value, View, Writers};

use super::insert::foreign_files;
use super::{names, partition_clause};
use crate::error::{Error, Kind, Result};
use crate::session::{Outcome, Session, Write};
use crate::sql::Statement;
use crate::sql::statement::{ObjectName, PartitionSpec, RepairMode};
use crate::tables;

pub(super) fn needs_partitions(table: &TableDefinition, position: usize) -> Result<()> {
    if table.partition_columns == 0 {
        let message = format!("table {} has no partition columns", table.full_name());
        return Err(Error::new(Kind::InvalidTableDefinition, message).at(position));
    }
    Ok(())
}

pub(super) async fn add(
    session: &Session,
    write: &mut Write,
    table: &TableDefinition,
    partitions: &[(PartitionSpec, Option<String>)],
    if_not_exists: bool,
) -> Result<()> {
    let mut new = Vec::new();
    let mut named = HashSet::new();
    for (spec, location) in partitions {
        needs_partitions(table, spec.position)?;
        let values = partition_clause::full(table, spec)?;
        let folder = tables::partition_folder(table.partition_columns(), &values);
        let found = matching(&write.transaction.view(), table, &values).await?;
        if found.iter().any(|p| p.registered) || !named.insert(folder.clone()) {
            if if_not_exists {
                continue;
            }
            let message = format!("partition {folder} of {} already exists", table.full_name());
            return Err(Error::new(Kind::DuplicateObject, message).at(spec.position));
        }
        let location = match location {
            Some(text) => Some(tables::absolute_url(text, Some(&session.engine.tables.warehouse))?),
            None => None,
        };
        new.push(NewPartition { folder, values, location });
    }
    write.transaction.register_partitions(table.id, new).await?;
    Ok(())
}

async fn matching(view: &View, table: &TableDefinition, values: &[Value]) -> Result<Vec<Partition>> {
    let statics: Vec<_> = values.iter().cloned().map(Some).collect();
    Ok(view.partitions(table.id, &partition_clause::predicate(&statics)).await?)
}

pub(super) async fn drop(
    session: &Session,
    write: &mut Write,
    table: &TableDefinition,
    specs: &[PartitionSpec],
    if_exists: bool,
) -> Result<()> {
    for spec in specs {
        needs_partitions(table, spec.position)?;
        let statics = partition_clause::any(table, spec)?;
        let predicate = partition_clause::predicate(&statics);
        let view = write.transaction.view();
        let found = view.partitions(table.id, &predicate).await?;
        let registered: Vec<String> = found.into_iter().filter(|p| p.registered).map(|p| p.folder).collect();
        if registered.is_empty() {
            if if_exists {
                continue;
            }
            let message = format!("table {} has no such partition", table.full_name());
            return Err(Error::new(Kind::UndefinedPartition, message).at(spec.position));
        }
        // The files of an external table stay in place when a partition is dropped, as in Spark; a managed table's go.
        let foreign = match table.kind {
            TableKind::Managed => foreign_files(session, table, &view, &predicate).await?,
            _ => Vec::new(),
        };
        write.transaction.drop_partitions(table.id, registered, foreign).await?;
    }
    Ok(())
}

/// MSCK REPAIR TABLE: registers folders in place, or drops partitions whose folder is gone.
pub(crate) async fn repair(
    session: &mut Session,
    statement: &Statement,
    name: &ObjectName,
    mode: RepairMode,
) -> Result<Outcome> {
    let mut write = session.open_write(statement).await?;
    let result = async {
        let view = write.transaction.view();
        let table = names::find_file_table(session, &view, name).await?;
        needs_partitions(&table, names::position(name))?;
        repair_table(session, &mut write, &table, mode).await
    }
    .await;
    let ((added, dropped), _) = session.close_write(write, result).await?;
    session.notice(format!("registered {added} partitions, dropped {dropped}"), None);
    Ok(Outcome::done("MSCK"))
}

pub(super) async fn repair_table(
    session: &Session,
    write: &mut Write,
    table: &TableDefinition,
    mode: RepairMode,
) -> Result<(usize, usize)> {
    let view = write.transaction.view();
    let registered = view.partitions(table.id, &Predicate::All).await?;
    let known: HashSet<&str> = registered.iter().filter(|p| p.registered).map(|p| p.folder.as_str()).collect();
    let folders = session.cancellable(tables::partition_folders(table, &session.engine.tables)).await?;
    let in_place: HashSet<&str> = folders.iter().map(|p| p.folder.as_str()).collect();
    let mut gone = Vec::new();
    if mode != RepairMode::Add {
        gone.extend(
            registered
                .iter()
                .filter(|p| p.registered && p.location.is_none() && !in_place.contains(p.folder.as_str()))
                .map(|p| p.folder.clone()),
        );
    }
    let mut new = Vec::new();
    if mode != RepairMode::Drop {
        new.extend(folders.iter().filter(|p| !known.contains(p.folder.as_str())).cloned());
    }
    let counts = (new.len(), gone.len());
    if !new.is_empty() {
        if table.writers == Writers::Tycho {
            // Somebody else put these folders there: from now on the table is read with what they write.
            let mut shared = table.clone();
            shared.writers = Writers::Shared;
            write.transaction.alter_table(shared).await?;
        }
        write.transaction.register_partitions(table.id, new).await?;
    }
    if !gone.is_empty() {
        write.transaction.drop_partitions(table.id, gone, Vec::new()).await?;
    }
    Ok(counts)
}

/// TRUNCATE TABLE [PARTITION]: ends the files, keeps the partitions.
pub(crate) async fn truncate(
    session: &mut Session,
    statement: &Statement,
    name: &ObjectName,
    partition: Option<&PartitionSpec>,
) -> Result<Outcome> {
    let mut write = session.open_write(statement).await?;
    let result = async {
        let view = write.transaction.view();
        let table = names::find_file_table(session, &view, name).await?;
        if table.kind == TableKind::External {
            let message = format!("{} is an external table, which TRUNCATE refuses", table.full_name());
            return Err(Error::new(Kind::WrongObjectType, message)
                .at(names::position(name))
                .with_hint("INSERT OVERWRITE it with no rows"));
        }
        let scope = match partition {
            None => Predicate::All,
            Some(spec) => {
                needs_partitions(&table, spec.position)?;
                let statics = partition_clause::any(&table, spec)?;
                let scope = partition_clause::predicate(&statics);
                let whole = statics.iter().all(Option::is_some);
                if whole && !view.partitions(table.id, &scope).await?.iter().any(|p| p.registered) {
                    let message = format!("table {} has no such partition", table.full_name());
                    return Err(Error::new(Kind::UndefinedPartition, message).at(spec.position));
                }
                scope
            }
        };
        let foreign = foreign_files(session, &table, &view, &scope).await?;
        write.transaction.truncate(table.id, scope, foreign).await?;
        Ok(())
    }
    .await;
    session.close_write(write, result).await?;
    Ok(Outcome::done("TRUNCATE TABLE"))
}

/// The folders of the registered partitions that a clause names, or of all.
pub(crate) async fn folders(
    view: &View,
    table: &TableDefinition,
    spec: Option<&PartitionSpec>,
    position: usize,
) -> Result<Vec<String>> {
    needs_partitions(table, position)?;
    let predicate = match spec {
        Some(spec) => partition_clause::predicate(&partition_clause::any(table, spec)?),
        None => Predicate::All,
    };
    let found = view.partitions(table.id, &predicate).await?;
    Ok(found.into_iter().filter(|p| p.registered).map(|p| p.folder).collect())
}
