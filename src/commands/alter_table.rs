//! ALTER TABLE: partitions, properties, name, location, new columns.

use tycho_catalog::{Column, TableDefinition, TableKind, View};

use super::{names, partitions};
use crate::error::{Error, Kind, Result};
use crate::session::{Outcome, Session, Write};
use crate::sql::Statement;
use crate::sql::statement::{AlterTable, ColumnDefinition, ObjectName, RepairMode};
use crate::sql::types;
use crate::tables;

pub(crate) async fn run(
    session: &mut Session,
    statement: &Statement,
    name: &ObjectName,
    action: &AlterTable,
) -> Result<Outcome> {
    let mut write = session.open_write(statement).await?;
    let result = apply(session, &mut write, name, action).await;
    session.close_write(write, result).await?;
    Ok(Outcome::done("ALTER TABLE"))
}

async fn apply(session: &Session, write: &mut Write, name: &ObjectName, action: &AlterTable) -> Result<()> {
    let view = write.transaction.view();
    let table = match action {
        AlterTable::RenameTo { .. } | AlterTable::SetProperties { .. } | AlterTable::UnsetProperties { .. } => {
            names::find(session, &view, name).await?
        }
        _ => names::find_file_table(session, &view, name).await?,
    };
    let mut changed = (*table).clone();
    match action {
        AlterTable::AddPartitions { if_not_exists, partitions } => {
            return partitions::add(session, write, &table, partitions, *if_not_exists).await;
        }
        AlterTable::DropPartitions { if_exists, partitions, .. } => {
            return partitions::drop(session, write, &table, partitions, *if_exists).await;
        }
        AlterTable::RecoverPartitions => {
            partitions::needs_partitions(&table, names::position(name))?;
            partitions::repair_table(session, write, &table, RepairMode::Add).await?;
            return Ok(());
        }
        AlterTable::RenameTo { name: new } => rename(session, &view, &mut changed, new).await?,
        AlterTable::SetProperties { properties } => changed.properties.extend(properties.iter().cloned()),
        AlterTable::UnsetProperties { keys, if_exists } => {
            for key in keys {
                if changed.properties.remove(key).is_none() && !if_exists {
                    let message = format!("table {} has no property {key}", table.full_name());
                    return Err(Error::new(Kind::UndefinedObject, message).at(names::position(name)));
                }
            }
        }
        AlterTable::SetLocation { partition: Some(_), .. } => {
            let message = "SET LOCATION of one partition is not offered; DROP it and ADD PARTITION … LOCATION";
            return Err(Error::new(Kind::FeatureNotSupported, message));
        }
        AlterTable::SetLocation { partition: None, location } => {
            if table.kind == TableKind::Managed {
                let message = format!("{} is a managed table, whose location is Tycho's", table.full_name());
                return Err(Error::new(Kind::WrongObjectType, message).at(names::position(name)));
            }
            if view.totals(table.id).await?.files > 0 {
                let message = format!("{} has files of its own at its location", table.full_name());
                return Err(Error::new(Kind::ObjectInUse, message)
                    .at(names::position(name))
                    .with_hint("CREATE EXTERNAL TABLE at the new location"));
            }
            changed.location = Some(tables::absolute_url(location, Some(&session.engine.tables.warehouse))?);
        }
        AlterTable::AddColumns { columns } => add_columns(&mut changed, columns)?,
    }
    write.transaction.alter_table(changed).await?;
    Ok(())
}

async fn rename(session: &Session, view: &View, table: &mut TableDefinition, new: &ObjectName) -> Result<()> {
    let (database, name) = match new.parts.len() {
        1 => (table.database.clone(), new.parts[0].value.to_lowercase()),
        _ => names::resolve(session, new)?,
    };
    if view.database(&database).await?.is_none() {
        let message = format!("database {database} does not exist");
        return Err(Error::new(Kind::UndefinedDatabase, message).at(names::position(new)));
    }
    if view.table(&database, &name).await?.is_some() {
        let message = format!("relation \"{database}.{name}\" already exists");
        return Err(Error::new(Kind::DuplicateTable, message).at(names::position(new)));
    }
    table.database = database;
    table.name = name;
    Ok(())
}

/// New columns come behind the data columns; files that lack them read NULL.
fn add_columns(table: &mut TableDefinition, columns: &[ColumnDefinition]) -> Result<()> {
    for definition in columns {
        if table.column(&definition.name.value).is_some() {
            let message = format!("table {} has a column {} already", table.full_name(), definition.name.value);
            return Err(Error::new(Kind::DuplicateColumn, message).at(definition.name.position));
        }
        if !definition.nullable {
            let message = format!("column {} cannot be NOT NULL: files in place lack it", definition.name.value);
            return Err(Error::new(Kind::InvalidTableDefinition, message).at(definition.name.position));
        }
        let column = Column {
            id: table.next_column_id,
            name: definition.name.value.clone(),
            data_type: definition.data_type.data_type.clone(),
            sql_type: types::declared_text(&definition.data_type),
            nullable: true,
            comment: definition.comment.clone(),
            default: definition.default.clone(),
        };
        table.next_column_id += 1;
        let at = table.columns.len() - table.partition_columns;
        table.columns.insert(at, column);
    }
    Ok(())
}
