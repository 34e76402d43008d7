//! CREATE VIEW: the query's text with what it was written under.

use tycho_catalog::{Column, TableDefinition, TableKind, ViewDefinition, Writers};

use super::names;
use crate::error::{Error, Kind, Result};
use crate::session::planner::remembered_settings;
use crate::session::{Outcome, Session};
use crate::sql::Statement;
use crate::sql::statement::CreateView;

pub(crate) async fn create(session: &mut Session, statement: &Statement, create: &CreateView) -> Result<Outcome> {
    if create.temporary {
        let message = "temporary views are not kept; CREATE VIEW without TEMPORARY";
        return Err(Error::new(Kind::FeatureNotSupported, message));
    }
    let (database, name) = names::resolve(session, &create.name)?;
    let position = names::position(&create.name);
    let mut write = session.open_write(statement).await?;
    let result = async {
        let view = write.transaction.view();
        if view.database(&database).await?.is_none() {
            return Err(Error::new(Kind::UndefinedDatabase, format!("database {database} does not exist")).at(position));
        }
        let existing = view.table(&database, &name).await?;
        if let Some(existing) = &existing {
            if existing.kind != TableKind::View {
                return Err(
                    Error::new(Kind::WrongObjectType, format!("\"{}\" is a table, no view", create.name)).at(position)
                );
            }
            if create.if_not_exists {
                return Ok(true);
            }
            if !create.or_replace {
                let message = format!("relation \"{}\" already exists", create.name);
                return Err(Error::new(Kind::DuplicateTable, message).at(position));
            }
        }
        let planned = session.plan(&create.query, &view, &statement.text, &[]).await?;
        let fields = planned.plan.schema().fields();
        if !create.columns.is_empty() && create.columns.len() != fields.len() {
            let message = format!("the view names {} columns, its query gives {}", create.columns.len(), fields.len());
            return Err(Error::new(Kind::InvalidTableDefinition, message).at(position));
        }
        let mut columns: Vec<Column> = Vec::with_capacity(fields.len());
        for (index, (label, field)) in planned.labels.iter().zip(fields.iter()).enumerate() {
            let name = create.columns.get(index).map_or_else(|| label.clone(), |c| c.value.clone());
            if columns.iter().any(|c| c.name.eq_ignore_ascii_case(&name)) {
                let message = format!("column {name} is there twice; name the columns with AS");
                return Err(Error::new(Kind::DuplicateColumn, message).at(position));
            }
            columns.push(Column {
                id: index as i32 + 1,
                name,
                data_type: field.data_type().clone(),
                sql_type: None,
                nullable: true,
                comment: None,
                default: None,
            });
        }
        let definition = TableDefinition {
            id: existing.as_ref().map_or(0, |e| e.id),
            database: database.clone(),
            name: name.clone(),
            kind: TableKind::View,
            provider: String::new(),
            location: None,
            next_column_id: columns.len() as i32 + 1,
            columns,
            partition_columns: 0,
            options: Default::default(),
            properties: Default::default(),
            comment: create.comment.clone(),
            hive_format: false,
            view: Some(ViewDefinition {
                sql: create.sql.clone(),
                settings: remembered_settings(&session.facts, session.settings().dialect()),
            }),
            writers: Writers::Tycho,
        };
        match existing {
            Some(_) => write.transaction.alter_table(definition).await?,
            None => write.transaction.create_table(definition).await?,
        };
        Ok(false)
    }
    .await;
    let (existed, _) = session.close_write(write, result).await?;
    if existed {
        session.notice(format!("relation \"{}\" already exists, skipping", create.name), None);
    }
    Ok(Outcome::done("CREATE VIEW"))
}
