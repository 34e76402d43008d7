//! From a name as written to a database and a table.

use std::sync::Arc;

use tycho_catalog::{TableDefinition, TableKind, View};

use crate::error::{Error, Kind, Result};
use crate::session::Session;
use crate::session::planner::near_name;
use crate::sql::statement::ObjectName;

/// The database and the table that a name means, both in lower case.
pub(crate) fn resolve(session: &Session, name: &ObjectName) -> Result<(String, String)> {
    let parts: Vec<String> = name.parts.iter().map(|p| p.value.to_lowercase()).collect();
    match parts.as_slice() {
        [table] => Ok((session.database().to_owned(), table.clone())),
        [database, table] => Ok((database.clone(), table.clone())),
        [catalog, database, table] if *catalog == session.facts.catalog_name || catalog == "spark_catalog" => {
            Ok((database.clone(), table.clone()))
        }
        _ => {
            let message = format!("`{name}` names another catalog; a table is named database.table");
            Err(Error::new(Kind::FeatureNotSupported, message).at(position(name)))
        }
    }
}

pub(crate) fn position(name: &ObjectName) -> usize {
    name.parts.first().map_or(0, |p| p.position)
}

/// The definition of a table or view, or the error that names it and its near names.
pub(crate) async fn find(session: &Session, view: &View, name: &ObjectName) -> Result<Arc<TableDefinition>> {
    let (database, table) = resolve(session, name)?;
    if let Some(definition) = view.table(&database, &table).await? {
        return Ok(definition);
    }
    let error = Error::new(Kind::UndefinedTable, format!("relation \"{name}\" does not exist")).at(position(name));
    if view.database(&database).await?.is_none() {
        return Err(error.with_hint(format!("there is no database {database}; SHOW DATABASES lists them")));
    }
    let tables = view.tables(&database).await?;
    Err(match near_name(&table, tables.iter().map(|t| t.name.as_str())) {
        Some(near) => error.with_hint(format!("did you mean {near}?")),
        None => error.with_hint(format!("SHOW TABLES IN {database} lists its tables")),
    })
}

/// As `find`, for what must be a file table.
pub(crate) async fn find_file_table(session: &Session, view: &View, name: &ObjectName) -> Result<Arc<TableDefinition>> {
    let definition = find(session, view, name).await?;
    match definition.kind {
        TableKind::Managed | TableKind::External => Ok(definition),
        TableKind::View => {
            Err(Error::new(Kind::WrongObjectType, format!("{} is a view", definition.full_name())).at(position(name)))
        }
        TableKind::Remote => Err(Error::new(
            Kind::FeatureNotSupported,
            format!("{} is a remote table ({})", definition.full_name(), definition.provider),
        )
        .at(position(name))),
    }
}

/// Where a table's files are, as an absolute URL with a trailing slash.
pub(crate) fn root(session: &Session, definition: &TableDefinition) -> Result<String> {
    let location = definition
        .location
        .as_deref()
        .ok_or_else(|| Error::new(Kind::DataCorrupted, format!("table {} has no location", definition.full_name())))?;
    Ok(session.engine.catalog.resolve(location))
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, part) in self.parts.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(&part.value)?;
        }
        Ok(())
    }
}
