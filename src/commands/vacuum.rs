//! VACUUM: finishes what dead processes left, and deletes superseded files that no lease holds.

use super::names;
use crate::error::Result;
use crate::session::Tag;
use crate::session::{Outcome, Rows, Session};
use crate::sql::statement::ObjectName;

pub(crate) async fn run(session: &mut Session, name: Option<&ObjectName>, dry_run: bool) -> Result<Outcome> {
    session.outside_block("VACUUM")?;
    let table = match name {
        Some(name) => {
            let view = session.view().await?;
            Some(names::find_file_table(session, &view, name).await?.id)
        }
        None => None,
    };
    let storage = session.engine.storage.clone();
    let removed = session.engine.catalog.vacuum(storage.as_ref(), table, dry_run).await?;
    if dry_run {
        let rows = removed.into_iter().map(|file| vec![Some(file.target)]).collect();
        return Ok(Outcome { tag: Tag::Done("VACUUM".to_owned()), rows: Some(Rows::from_text(&["file"], rows)?) });
    }
    if !removed.is_empty() {
        session.notice(format!("removed {} superseded files", removed.len()), None);
    }
    Ok(Outcome::done("VACUUM"))
}
