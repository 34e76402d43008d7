//! CREATE and DROP: databases and views; tables and geodata layers have files of their own.

use sqlparser::tokenizer::Token;

use super::parser::Parser;
use super::statement::{CreateDatabase, CreateView, Identifier, StatementKind};
use super::{create_table, geodata, properties, unsupported};
use crate::error::{Error, Kind, Result};

/// What CREATE and DROP know elsewhere and not here.
const ELSEWHERE: &[&str] = &[
    "index",
    "unique",
    "function",
    "procedure",
    "sequence",
    "type",
    "domain",
    "trigger",
    "extension",
    "role",
    "user",
    "group",
    "materialized",
    "aggregate",
    "cast",
    "collation",
    "publication",
    "subscription",
    "server",
    "foreign",
    "rule",
    "policy",
    "tablespace",
    "unlogged",
    "variable",
    "recursive",
    "language",
    "operator",
    "event",
    "statistics",
    "access",
    "text",
    "conversion",
    "owned",
];

pub(super) fn create(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("create")?;
    let replace_at = p.position();
    let or_replace = p.accept("or replace");
    if p.accept("geodata") {
        return geodata::create(p, or_replace);
    }
    let global = p.accept("global") || p.accept("local");
    let temporary = p.accept_one(&["temp", "temporary"]).is_some();
    if p.accept("view") {
        return view(p, or_replace, temporary);
    }
    if temporary && p.is("table") {
        return Err(
            unsupported::refuse_named(p, "CREATE TEMPORARY TABLE").with_hint("write CREATE TEMPORARY VIEW … AS")
        );
    }
    if !temporary && !global && (p.is("table") || p.are("external table")) {
        if or_replace {
            let error =
                Error::new(Kind::FeatureNotSupported, "CREATE OR REPLACE TABLE is not supported").at(replace_at);
            return Err(error.with_hint("write DROP TABLE IF EXISTS, then CREATE TABLE"));
        }
        return create_table::create_table(p);
    }
    if !temporary && !global && !or_replace && p.accept_one(&["database", "schema", "namespace"]).is_some() {
        return database(p);
    }
    Err(elsewhere(p, "CREATE", "DATABASE, SCHEMA, NAMESPACE, TABLE, EXTERNAL TABLE, VIEW or GEODATA LAYER"))
}

fn elsewhere(p: &Parser<'_>, verb: &str, expected: &str) -> Error {
    match p.word_at(0).map(str::to_ascii_lowercase) {
        Some(word) if ELSEWHERE.contains(&word.as_str()) => {
            unsupported::refuse_named(p, &format!("{verb} {}", word.to_uppercase()))
        }
        Some(word) => {
            let error = p.unexpected(expected);
            let names = ["database", "schema", "namespace", "table", "external", "view", "geodata", "temporary"];
            match unsupported::nearest(&word, &names) {
                Some(near) => error.with_hint(format!("did you mean {}?", near.to_uppercase())),
                None => error,
            }
        }
        None => p.unexpected(expected),
    }
}

/// A database's name: one part, or two whose first is the catalog.
fn database_name(p: &mut Parser<'_>) -> Result<Identifier> {
    let mut name = p.object_name("a database's name")?;
    if name.parts.len() > 1 {
        let message = "a database's name has one part";
        return Err(Error::new(Kind::FeatureNotSupported, message).at(name.parts[1].position));
    }
    Ok(name.parts.remove(0))
}

fn database(p: &mut Parser<'_>) -> Result<StatementKind> {
    let if_not_exists = p.if_not_exists();
    let name = database_name(p)?;
    let mut create = CreateDatabase { name, if_not_exists, comment: None, location: None, properties: Vec::new() };
    let mut seen: Vec<&str> = Vec::new();
    loop {
        let place = p.position();
        let clause = if p.accept("comment") {
            create.comment = Some(p.string("a comment's text")?);
            "COMMENT"
        } else if p.accept("location") {
            create.location = Some(p.string("a path")?);
            "LOCATION"
        } else if p.accept("with dbproperties") || p.accept("with properties") {
            create.properties = properties::list(p)?;
            "DBPROPERTIES"
        } else if p.is("authorization") {
            return Err(unsupported::refuse_named(p, "CREATE SCHEMA … AUTHORIZATION"));
        } else {
            return Ok(StatementKind::CreateDatabase(create));
        };
        once(&mut seen, clause, place)?;
    }
}

/// A clause may be given once.
pub(super) fn once<'k>(seen: &mut Vec<&'k str>, clause: &'k str, place: usize) -> Result<()> {
    if seen.contains(&clause) {
        return Err(Error::new(Kind::Syntax, format!("{clause} is given twice")).at(place));
    }
    seen.push(clause);
    Ok(())
}

fn view(p: &mut Parser<'_>, or_replace: bool, temporary: bool) -> Result<StatementKind> {
    let if_not_exists = p.if_not_exists();
    if if_not_exists && or_replace {
        return Err(Error::new(Kind::Syntax, "OR REPLACE and IF NOT EXISTS exclude each other").at(p.behind()));
    }
    let name = p.object_name("a view's name")?;
    let mut columns: Vec<Identifier> = Vec::new();
    if p.accept_token(&Token::LParen) {
        columns = p.comma_separated(|p| {
            let column = p.identifier("a column's name")?;
            if p.accept("comment") {
                p.string("a comment's text")?;
            }
            Ok(column)
        })?;
        p.expect_token(&Token::RParen)?;
        for (i, column) in columns.iter().enumerate() {
            if columns[..i].iter().any(|c| c.value.eq_ignore_ascii_case(&column.value)) {
                let message = format!("column `{}` is named twice", column.value);
                return Err(Error::new(Kind::DuplicateColumn, message).at(column.position));
            }
        }
    }
    let mut comment = None;
    let mut seen = Vec::new();
    loop {
        let place = p.position();
        let clause = if p.accept("comment") {
            comment = Some(p.string("a comment's text")?);
            "COMMENT"
        } else if p.is("tblproperties") {
            return Err(unsupported::refuse_named(p, "CREATE VIEW … TBLPROPERTIES"));
        } else if p.is("using") {
            return Err(
                unsupported::refuse_named(p, "CREATE VIEW … USING").with_hint("write CREATE EXTERNAL TABLE … USING")
            );
        } else {
            break;
        };
        once(&mut seen, clause, place)?;
    }
    p.expect("as")?;
    let start = p.position();
    let query = p.query()?;
    let sql = p.taken(start).to_owned();
    Ok(StatementKind::CreateView(Box::new(CreateView {
        name,
        or_replace,
        if_not_exists,
        temporary,
        columns,
        comment,
        query,
        sql,
    })))
}

pub(super) fn drop(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("drop")?;
    if p.accept("geodata") {
        return geodata::drop(p);
    }
    if p.accept_one(&["database", "schema", "namespace"]).is_some() {
        let if_exists = p.if_exists();
        let name = database_name(p)?;
        let cascade = p.accept("cascade");
        if !cascade {
            p.accept("restrict");
        }
        return Ok(StatementKind::DropDatabase { name, if_exists, cascade });
    }
    if p.accept("table") {
        let if_exists = p.if_exists();
        let name = p.object_name("a table's name")?;
        one_only(p, "DROP TABLE")?;
        let purge = p.accept("purge");
        behaviour(p)?;
        return Ok(StatementKind::DropTable { name, if_exists, purge });
    }
    if p.accept("view") {
        let if_exists = p.if_exists();
        let name = p.object_name("a view's name")?;
        one_only(p, "DROP VIEW")?;
        behaviour(p)?;
        return Ok(StatementKind::DropView { name, if_exists });
    }
    Err(elsewhere(p, "DROP", "DATABASE, SCHEMA, NAMESPACE, TABLE, VIEW or GEODATA LAYER"))
}

fn one_only(p: &Parser<'_>, what: &str) -> Result<()> {
    if *p.peek() == Token::Comma {
        return Err(p.refuse(format!("{what} takes one name")).with_hint("write one statement for each"));
    }
    Ok(())
}

/// PostgreSQL's RESTRICT is what happens anyway; CASCADE is not.
fn behaviour(p: &mut Parser<'_>) -> Result<()> {
    if p.is("cascade") {
        return Err(p.refuse("CASCADE is not supported here").with_hint("drop what depends on it first"));
    }
    p.accept("restrict");
    Ok(())
}
