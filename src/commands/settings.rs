//! SET, RESET, DISCARD.

use crate::error::Result;
use crate::session::{Outcome, Session};
use crate::sql::statement::Set;

pub(crate) fn set(session: &mut Session, set: &Set) -> Result<Outcome> {
    match set {
        Set::Value { name, value, position, .. } => {
            session.set_setting(name, value).map_err(|e| e.at(*position))?;
            Ok(Outcome::done("SET"))
        }
        Set::Default { name, position } => {
            session.facts.settings.reset(name).map_err(|e| e.at(*position))?;
            session.settings_changed(name);
            Ok(Outcome::done("RESET"))
        }
        Set::ResetAll => {
            session.facts.settings.reset_all();
            session.settings_changed("");
            Ok(Outcome::done("RESET"))
        }
        Set::Transaction { read_only } => {
            let value = if *read_only { "on" } else { "off" };
            session.set_setting("default_transaction_read_only", value)?;
            Ok(Outcome::done("SET"))
        }
    }
}

/// DISCARD ALL: the session as it was at its start.
pub(crate) async fn discard(session: &mut Session) -> Result<Outcome> {
    session.outside_block("DISCARD ALL")?;
    session.prepared.clear();
    session.facts.settings.reset_all();
    session.settings_changed("");
    session.facts.database = first_of_search_path(session.facts.settings.text("search_path"));
    Ok(Outcome::done("DISCARD ALL"))
}

/// The database that a search path means: its first entry that is no placeholder; `default` if there is none.
pub(crate) fn first_of_search_path(path: &str) -> String {
    path.split(',')
        .map(|entry| entry.trim().trim_matches('"').to_lowercase())
        .find(|entry| !entry.is_empty() && entry != "$user" && entry != "public")
        .unwrap_or_else(|| "default".to_owned())
}
