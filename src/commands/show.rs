//! SHOW: settings, databases, tables, partitions, columns, definitions, functions, geodata layers.

use std::collections::BTreeSet;

use tycho_catalog::{TableDefinition, TableKind};

use super::describe::type_text;
use super::{names, partitions, redact};
use crate::error::{Error, Kind, Result};
use crate::session::{Outcome, Rows, Session, Tag, shows_settings};
use crate::sql::statement::{Identifier, Show};

type Table = (Vec<&'static str>, Vec<Vec<Option<String>>>);

pub(crate) async fn run(session: &mut Session, show: &Show) -> Result<Outcome> {
    let (columns, rows) = if shows_settings(show) {
        return settings(session, show);
    } else {
        catalog(session, show).await?
    };
    Ok(Outcome { tag: Tag::Done("SHOW".to_owned()), rows: Some(Rows::from_text(&columns, rows)?) })
}

fn settings(session: &Session, show: &Show) -> Result<Outcome> {
    let settings = session.settings();
    let rows = match show {
        Show::Setting { name, position } => {
            let value = settings.show(name).map_err(|e| e.at(*position))?;
            let label = label(name);
            Rows::from_text(&[label.as_str()], vec![vec![Some(value)]])?
        }
        _ => {
            let rows = settings
                .all()
                .into_iter()
                .map(|(name, value, declaration)| {
                    let help = declaration.map_or("kept; without a meaning here", |d| d.help);
                    vec![Some(name), Some(value), Some(help.to_owned())]
                })
                .collect();
            Rows::from_text(&["name", "setting", "description"], rows)?
        }
    };
    Ok(Outcome { tag: Tag::Done("SHOW".to_owned()), rows: Some(rows) })
}

/// The label of a setting's column: its declared name.
pub(super) fn label(name: &str) -> String {
    crate::settings::find(name).map_or_else(|| name.to_owned(), |setting| setting.name.to_owned())
}

async fn catalog(session: &mut Session, show: &Show) -> Result<Table> {
    let view = session.view().await?;
    Ok(match show {
        Show::Databases { pattern } => {
            let names = view.databases().await?.into_iter().map(|d| d.name);
            let rows = names.filter(|n| like(n, pattern.as_deref())).map(|n| vec![Some(n)]).collect();
            (vec!["namespace"], rows)
        }
        Show::Tables { database, pattern } => {
            let database = known_database(session, &view, database.as_ref()).await?;
            let rows = view
                .tables(&database)
                .await?
                .into_iter()
                .filter(|t| like(&t.name, pattern.as_deref()))
                .map(|t| vec![Some(database.clone()), Some(t.name.clone()), Some("false".to_owned())])
                .collect();
            (vec!["namespace", "tableName", "isTemporary"], rows)
        }
        Show::Views { database, pattern } => {
            let database = known_database(session, &view, database.as_ref()).await?;
            let rows = view
                .tables(&database)
                .await?
                .into_iter()
                .filter(|t| t.kind == TableKind::View && like(&t.name, pattern.as_deref()))
                .map(|t| vec![Some(database.clone()), Some(t.name.clone()), Some("false".to_owned())])
                .collect();
            (vec!["namespace", "viewName", "isTemporary"], rows)
        }
        Show::Partitions { table, partition } => {
            let position = names::position(table);
            let definition = names::find_file_table(session, &view, table).await?;
            let folders = partitions::folders(&view, &definition, partition.as_ref(), position).await?;
            (vec!["partition"], folders.into_iter().map(|f| vec![Some(f)]).collect())
        }
        Show::Columns { table } => {
            let definition = names::find(session, &view, table).await?;
            (vec!["col_name"], definition.columns.iter().map(|c| vec![Some(c.name.clone())]).collect())
        }
        Show::CreateTable { table } => {
            let definition = names::find(session, &view, table).await?;
            (vec!["createtab_stmt"], vec![vec![Some(create_statement(session, &definition)?)]])
        }
        Show::Properties { table, key } => {
            let definition = names::find(session, &view, table).await?;
            let rows = definition
                .properties
                .iter()
                .filter(|(k, _)| key.as_ref().is_none_or(|key| key == *k))
                .map(|(k, v)| vec![Some(k.clone()), Some(shown_value(k, v))])
                .collect();
            (vec!["key", "value"], rows)
        }
        Show::Functions { pattern } => {
            let spark = session.engine.spark_functions().names();
            let state = &session.state;
            let names: BTreeSet<String> = state
                .scalar_functions()
                .keys()
                .chain(state.aggregate_functions().keys())
                .chain(state.window_functions().keys())
                .cloned()
                .chain(spark)
                .chain(std::iter::once("geodata".to_owned()))
                .collect();
            let rows = names.into_iter().filter(|n| like(n, pattern.as_deref())).map(|n| vec![Some(n)]).collect();
            (vec!["function"], rows)
        }
        Show::GeodataLayers => {
            let rows = view
                .geodata_layers()
                .await?
                .into_iter()
                .map(|layer| {
                    let fields: Vec<_> =
                        layer.fields.iter().map(|(name, t)| format!("{name} {}", type_text(t, None))).collect();
                    vec![Some(layer.set), Some(layer.name), Some(fields.join(", ")), Some(layer.sql)]
                })
                .collect();
            (vec!["set", "layer", "fields", "query"], rows)
        }
        Show::Setting { .. } | Show::AllSettings { .. } => {
            return Err(Error::new(Kind::Internal, "settings are shown without the catalog"));
        }
    })
}

async fn known_database(session: &Session, view: &tycho_catalog::View, named: Option<&Identifier>) -> Result<String> {
    let Some(named) = named else { return Ok(session.database().to_owned()) };
    let database = named.value.to_lowercase();
    if view.database(&database).await?.is_none() {
        let message = format!("database {database} does not exist");
        return Err(Error::new(Kind::UndefinedDatabase, message).at(named.position));
    }
    Ok(database)
}

/// Spark's patterns: `*` is any text, `|` separates alternatives, case does not count; SQL's `%` means `*` too.
fn like(name: &str, pattern: Option<&str>) -> bool {
    let Some(pattern) = pattern else { return true };
    let name = name.to_lowercase();
    pattern.to_lowercase().split('|').any(|alternative| {
        let parts: Vec<&str> = alternative.split(['*', '%']).collect();
        let [first, middle @ .., last] = parts.as_slice() else { return name == parts[0] };
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        for part in middle {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    })
}

fn shown_value(key: &str, value: &str) -> String {
    if redact::is_secret(key) { "*********(redacted)".to_owned() } else { value.to_owned() }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "\\'"))
}

/// A statement that makes the table again, without its rows.
fn create_statement(session: &Session, table: &TableDefinition) -> Result<String> {
    let column = |c: &tycho_catalog::Column| {
        let mut text = format!("  {} {}", c.name, type_text(&c.data_type, c.sql_type.as_deref()).to_uppercase());
        if !c.nullable {
            text.push_str(" NOT NULL");
        }
        if let Some(default) = &c.default {
            text.push_str(&format!(" DEFAULT {default}"));
        }
        if let Some(comment) = &c.comment {
            text.push_str(&format!(" COMMENT {}", quoted(comment)));
        }
        text
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    if let Some(view) = &table.view {
        let names: Vec<String> = table.columns.iter().map(|c| format!("  {}", c.name)).collect();
        return Ok(format!("CREATE VIEW {} (\n{})\nAS {}", table.full_name(), names.join(",\n"), view.sql));
    }
    let external = if table.kind == TableKind::External { "EXTERNAL " } else { "" };
    let mut text =
        format!("CREATE {external}TABLE {} (\n{})\nUSING {}", table.full_name(), columns.join(",\n"), table.provider);
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        let list: Vec<String> =
            map.iter().map(|(k, v)| format!("  {} = {}", quoted(k), quoted(&shown_value(k, v)))).collect();
        format!("(\n{})", list.join(",\n"))
    };
    if !table.options.is_empty() {
        text.push_str(&format!("\nOPTIONS {}", pairs(&table.options)));
    }
    if table.partition_columns > 0 {
        let names: Vec<&str> = table.partition_columns().iter().map(|c| c.name.as_str()).collect();
        text.push_str(&format!("\nPARTITIONED BY ({})", names.join(", ")));
    }
    if let Some(comment) = &table.comment {
        text.push_str(&format!("\nCOMMENT {}", quoted(comment)));
    }
    if table.kind == TableKind::External {
        text.push_str(&format!("\nLOCATION {}", quoted(&names::root(session, table)?)));
    }
    if !table.properties.is_empty() {
        text.push_str(&format!("\nTBLPROPERTIES {}", pairs(&table.properties)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn patterns_are_sparks() {
        let rows = [
            ("flights", Some("fl*"), true),
            ("flights", Some("*ghts"), true),
            ("flights", Some("f*g*s"), true),
            ("flights", Some("FLIGHTS"), true),
            ("flights", Some("a|fl%"), true),
            ("flights", Some("fl"), false),
            ("flights", None, true),
        ];
        for (name, pattern, expect) in rows {
            assert_eq!(like(name, pattern), expect, "{name} like {pattern:?}");
        }
    }
}
