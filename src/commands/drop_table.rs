//! DROP TABLE and DROP VIEW.

use tycho_catalog::TableKind;

use super::names;
use crate::error::{Error, Kind, Result};
use crate::session::{Outcome, Session};
use crate::sql::Statement;
use crate::sql::statement::ObjectName;

pub(crate) async fn run(
    session: &mut Session,
    statement: &Statement,
    name: &ObjectName,
    if_exists: bool,
    view_wanted: bool,
) -> Result<Outcome> {
    let (database, table) = names::resolve(session, name)?;
    let what = if view_wanted { "view" } else { "table" };
    let mut write = session.open_write(statement).await?;
    let result = async {
        let view = write.transaction.view();
        let Some(definition) = view.table(&database, &table).await? else {
            if if_exists {
                return Ok(true);
            }
            let message = format!("{what} \"{name}\" does not exist");
            return Err(Error::new(Kind::UndefinedTable, message).at(names::position(name)));
        };
        if (definition.kind == TableKind::View) != view_wanted {
            let (is, remedy) = if view_wanted { ("table", "DROP TABLE") } else { ("view", "DROP VIEW") };
            let message = format!("\"{name}\" is a {is}, no {what}");
            return Err(Error::new(Kind::WrongObjectType, message).at(names::position(name)).with_hint(remedy));
        }
        write.transaction.drop_table(definition.id).await?;
        Ok(false)
    }
    .await;
    let (missing, _) = session.close_write(write, result).await?;
    if missing {
        session.notice(format!("{what} \"{name}\" does not exist, skipping"), None);
    }
    Ok(Outcome::done(if view_wanted { "DROP VIEW" } else { "DROP TABLE" }))
}
