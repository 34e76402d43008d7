//! CREATE DATABASE, DROP DATABASE, USE.

use tycho_catalog::Database;

use crate::error::{Error, Kind, Result};
use crate::session::{Outcome, Session};
use crate::sql::Statement;
use crate::sql::statement::{CreateDatabase, Identifier};

/// Names that mean something of the engine's own.
const RESERVED: [&str; 3] = ["tycho", "pg_catalog", "information_schema"];

pub(crate) async fn create(session: &mut Session, statement: &Statement, create: &CreateDatabase) -> Result<Outcome> {
    let name = create.name.value.to_lowercase();
    if RESERVED.contains(&name.as_str()) {
        let message = format!("database name {name} is reserved");
        return Err(Error::new(Kind::InvalidParameterValue, message).at(create.name.position));
    }
    let mut write = session.open_write(statement).await?;
    let result = async {
        if write.transaction.view().database(&name).await?.is_some() {
            if create.if_not_exists {
                return Ok(true);
            }
            let message = format!("database {name} already exists");
            return Err(Error::new(Kind::DuplicateDatabase, message).at(create.name.position));
        }
        let location = match &create.location {
            Some(location) => Some(crate::tables::absolute_url(location, Some(&session.engine.tables.warehouse))?),
            None => None,
        };
        let database = Database {
            name: name.clone(),
            comment: create.comment.clone(),
            location,
            properties: create.properties.iter().cloned().collect(),
        };
        write.transaction.create_database(database).await?;
        Ok(false)
    }
    .await;
    let (existed, _) = session.close_write(write, result).await?;
    if existed {
        session.notice(format!("database {name} already exists, skipping"), None);
    }
    Ok(Outcome::done("CREATE SCHEMA"))
}

pub(crate) async fn drop(
    session: &mut Session,
    statement: &Statement,
    name: &Identifier,
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome> {
    let database = name.value.to_lowercase();
    let mut write = session.open_write(statement).await?;
    let result = async {
        let view = write.transaction.view();
        if view.database(&database).await?.is_none() {
            if if_exists {
                return Ok(true);
            }
            let message = format!("database {database} does not exist");
            return Err(Error::new(Kind::UndefinedDatabase, message).at(name.position));
        }
        if database == "default" {
            return Err(Error::new(Kind::InvalidParameterValue, "database default cannot be dropped").at(name.position));
        }
        let tables = view.tables(&database).await?;
        if !tables.is_empty() && !cascade {
            let message = format!("database {database} is not empty: it holds {} tables", tables.len());
            return Err(Error::new(Kind::DependentObjects, message)
                .at(name.position)
                .with_hint("DROP DATABASE … CASCADE"));
        }
        for table in tables {
            write.transaction.drop_table(table.id).await?;
        }
        write.transaction.drop_database(&database).await?;
        Ok(false)
    }
    .await;
    let (missing, _) = session.close_write(write, result).await?;
    if missing {
        session.notice(format!("database {database} does not exist, skipping"), None);
    }
    Ok(Outcome::done("DROP SCHEMA"))
}

pub(crate) async fn use_database(session: &mut Session, name: &Identifier) -> Result<Outcome> {
    let database = name.value.to_lowercase();
    let view = session.view().await?;
    if view.database(&database).await?.is_none() {
        let message = format!("database {database} does not exist");
        return Err(Error::new(Kind::UndefinedDatabase, message)
            .at(name.position)
            .with_hint("SHOW DATABASES lists them"));
    }
    session.set_setting("search_path", &database)?;
    Ok(Outcome::done("USE"))
}
