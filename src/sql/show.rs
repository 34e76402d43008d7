//! SHOW and DESCRIBE.

use sqlparser::tokenizer::Token;

use super::parser::Parser;
use super::statement::{Identifier, ObjectName, Show, StatementKind};
use super::{partition, properties, unsupported};
use crate::error::Result;

pub(super) fn show(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("show")?;
    let position = p.position();
    let show = if p.accept("databases") || p.accept("schemas") || p.accept("namespaces") {
        if p.is("in") || p.is("from") {
            return Err(unsupported::refuse_named(p, "SHOW DATABASES IN a catalog"));
        }
        Show::Databases { pattern: pattern(p)? }
    } else if p.accept("tables") {
        Show::Tables { database: database(p)?, pattern: pattern(p)? }
    } else if p.accept("views") {
        Show::Views { database: database(p)?, pattern: pattern(p)? }
    } else if p.are("table extended") {
        return Err(unsupported::refuse_named(p, "SHOW TABLE EXTENDED"));
    } else if p.accept("partitions") {
        Show::Partitions { table: p.object_name("a table's name")?, partition: partition::optional(p)? }
    } else if p.accept("columns") {
        Show::Columns { table: of_table(p)? }
    } else if p.accept("create table") {
        let table = p.object_name("a table's name")?;
        p.accept("as serde");
        Show::CreateTable { table }
    } else if p.accept("tblproperties") {
        let table = p.object_name("a table's name")?;
        let key = if p.accept_token(&Token::LParen) {
            let key = properties::key(p)?;
            p.expect_token(&Token::RParen)?;
            Some(key)
        } else {
            None
        };
        Show::Properties { table, key }
    } else if ["functions", "user functions", "system functions", "all functions"].iter().any(|k| p.accept(k)) {
        if p.accept("in") || p.accept("from") {
            p.identifier("a database's name")?;
        }
        // Spark takes a name without quotes here.
        let pattern = match pattern(p)? {
            None if !p.at_end() => Some(p.identifier("a pattern")?.value),
            pattern => pattern,
        };
        Show::Functions { pattern }
    } else if p.accept("geodata layers") {
        Show::GeodataLayers
    } else {
        return setting(p, position);
    };
    Ok(StatementKind::Show(show))
}

fn setting(p: &mut Parser<'_>, position: usize) -> Result<StatementKind> {
    let words = [
        ("time zone", "timezone"),
        ("transaction isolation level", "transaction_isolation"),
        ("session authorization", "session_authorization"),
    ];
    if p.accept("all") {
        return Ok(StatementKind::Show(Show::AllSettings { verbose: false }));
    }
    if let Some((_, name)) = words.iter().find(|(words, _)| p.accept(words)) {
        return Ok(StatementKind::Show(Show::Setting { name: (*name).to_owned(), position }));
    }
    if p.are("current namespace")
        || p.are("current schema")
        || p.are("catalogs")
        || p.are("locks")
        || p.are("variables")
    {
        let what = format!("SHOW {}", p.word_at(0).unwrap_or_default().to_uppercase());
        return Err(unsupported::refuse_named(p, &what));
    }
    if p.at_end() {
        return Err(p.unexpected(
            "a setting, or TABLES, DATABASES, PARTITIONS, COLUMNS, FUNCTIONS, CREATE TABLE, TBLPROPERTIES",
        ));
    }
    let name = properties::key(p)?;
    if !p.at_end() {
        let names = [
            "tables",
            "databases",
            "schemas",
            "partitions",
            "columns",
            "functions",
            "views",
            "tblproperties",
            "create",
        ];
        let error = p.unexpected("the end of the statement");
        return Err(match unsupported::nearest(&name, &names) {
            Some(near) => error.with_hint(format!("did you mean SHOW {}?", near.to_uppercase())),
            None => error,
        });
    }
    Ok(StatementKind::Show(Show::Setting { name, position }))
}

fn database(p: &mut Parser<'_>) -> Result<Option<Identifier>> {
    if p.accept_one(&["in", "from"]).is_none() {
        return Ok(None);
    }
    p.identifier("a database's name").map(Some)
}

/// `[LIKE] 'pattern'`.
fn pattern(p: &mut Parser<'_>) -> Result<Option<String>> {
    if p.accept("like") { p.string("a pattern").map(Some) } else { Ok(p.accept_string()) }
}

/// `IN t`, `FROM t`, `IN t IN db`.
fn of_table(p: &mut Parser<'_>) -> Result<ObjectName> {
    if p.accept_one(&["in", "from"]).is_none() {
        return Err(p.unexpected("IN or FROM and a table's name"));
    }
    let mut table = p.object_name("a table's name")?;
    if let Some(database) = database(p)?
        && table.parts.len() == 1
    {
        table.parts.insert(0, database);
    }
    Ok(table)
}

pub(super) fn describe(p: &mut Parser<'_>) -> Result<StatementKind> {
    if p.accept_one(&["describe", "desc"]).is_none() {
        return Err(p.unexpected("DESCRIBE"));
    }
    let other = ["database", "schema", "namespace", "function", "query"];
    if let Some(word) = other.iter().find(|k| p.is(k) && matches!(p.peek_at(1), Token::Word(_))) {
        return Err(unsupported::refuse_named(p, &format!("DESCRIBE {}", word.to_uppercase())));
    }
    if p.at_query() && !p.is("table") {
        return Err(unsupported::refuse_named(p, "DESCRIBE of a query"));
    }
    if matches!(p.peek_at(1), Token::Word(_)) {
        p.accept("table");
    }
    // A table may be called `extended`.
    let extended = matches!(p.peek_at(1), Token::Word(_))
        && !p.is_at(1, "partition")
        && p.accept_one(&["extended", "formatted"]).is_some();
    let name = p.object_name("a table's name")?;
    let partition = partition::optional(p)?;
    if matches!(p.peek(), Token::Word(_)) {
        return Err(unsupported::refuse_named(p, "DESCRIBE of a column"));
    }
    Ok(StatementKind::Describe { name, extended, partition })
}
