//! Statements of those who run the tables: MSCK REPAIR, TRUNCATE, VACUUM, USE, DISCARD, and those that do nothing here.

use super::parser::Parser;
use super::statement::{RepairMode, StatementKind};
use super::{partition, unsupported};
use crate::error::Result;

/// `MSCK [REPAIR] TABLE t [ADD | DROP | SYNC PARTITIONS]`, `REPAIR TABLE t …`.
pub(super) fn repair(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.accept("msck");
    p.accept("repair");
    p.expect("table")?;
    let name = p.object_name("a table's name")?;
    let mode = match p.accept_one(&["add", "drop", "sync"]) {
        Some(word) => {
            p.expect("partitions")?;
            match word {
                "drop" => RepairMode::Drop,
                "sync" => RepairMode::Sync,
                _ => RepairMode::Add,
            }
        }
        None => RepairMode::Add,
    };
    Ok(StatementKind::RepairTable { name, mode })
}

pub(super) fn truncate(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("truncate")?;
    p.accept("table");
    let name = p.object_name("a table's name")?;
    let partition = partition::optional(p)?;
    if *p.peek() == sqlparser::tokenizer::Token::Comma {
        return Err(p.refuse("TRUNCATE takes one table").with_hint("write one statement for each"));
    }
    if p.is("restart") || p.is("cascade") {
        return Err(unsupported::refuse_named(p, "TRUNCATE … RESTART IDENTITY or CASCADE"));
    }
    p.accept("continue identity");
    p.accept("restrict");
    Ok(StatementKind::Truncate { name, partition })
}

pub(super) fn vacuum(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("vacuum")?;
    if *p.peek() == sqlparser::tokenizer::Token::LParen || ["full", "freeze", "verbose"].iter().any(|k| p.is(k)) {
        return Err(p.refuse("VACUUM has no options but DRY RUN"));
    }
    let name = if p.at_end() || p.are("dry run") { None } else { Some(p.object_name("a table's name")?) };
    if p.is("retain") {
        return Err(unsupported::refuse_named(p, "VACUUM … RETAIN").with_hint("set tycho.history"));
    }
    let dry_run = p.accept("dry run");
    Ok(StatementKind::Vacuum { name, dry_run })
}

pub(super) fn use_database(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("use")?;
    if matches!(p.peek_at(1), sqlparser::tokenizer::Token::Word(_)) {
        p.accept_one(&["database", "schema", "namespace"]);
    }
    let database = p.identifier("a database's name")?;
    Ok(StatementKind::Use { database })
}

pub(super) fn discard(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("discard")?;
    if p.accept("all") {
        return Ok(StatementKind::Discard);
    }
    match p.accept_one(&["plans", "sequences", "temporary", "temp"]) {
        Some(word) => Ok(no_effect(format!("DISCARD {}", word.to_uppercase()), None)),
        None => Err(p.unexpected("ALL, PLANS, SEQUENCES or TEMPORARY")),
    }
}

fn no_effect(tag: String, notice: Option<&str>) -> StatementKind {
    StatementKind::NoEffect { tag, notice: notice.map(str::to_owned) }
}

/// LISTEN, CACHE TABLE and their like.
pub(super) fn without_effect(p: &mut Parser<'_>) -> Result<StatementKind> {
    if p.accept("listen") {
        p.identifier("a channel")?;
        return Ok(no_effect("LISTEN".into(), Some("nothing is ever notified here")));
    }
    if p.accept("unlisten") {
        if !p.accept_token(&sqlparser::tokenizer::Token::Mul) {
            p.identifier("a channel or `*`")?;
        }
        return Ok(no_effect("UNLISTEN".into(), None));
    }
    if p.accept("clear cache") {
        return Ok(no_effect("CLEAR CACHE".into(), Some("tables are not cached: there is nothing to clear")));
    }
    if p.accept("uncache table") {
        p.if_exists();
        p.object_name("a table's name")?;
        return Ok(no_effect("UNCACHE TABLE".into(), Some("tables are not cached: there is nothing to let go")));
    }
    if p.accept("cache") {
        return cache(p);
    }
    if p.accept("refresh") {
        if p.is("materialized") || p.is("function") {
            return Err(unsupported::refuse_named(p, "REFRESH of anything but a table"));
        }
        p.accept("table");
        if p.accept_string().is_none() {
            p.object_name("a table's name or a path")?;
        }
        return Ok(no_effect(
            "REFRESH TABLE".into(),
            Some("every statement reads the catalog's latest commit: nothing to refresh"),
        ));
    }
    analyze(p)
}

fn cache(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.accept("lazy");
    p.expect("table")?;
    p.object_name("a table's name")?;
    if p.accept("options") {
        super::properties::list(p)?;
    }
    if p.is("as") || p.at_query() {
        return Err(unsupported::refuse_named(p, "CACHE TABLE … AS").with_hint("write CREATE TEMPORARY VIEW … AS"));
    }
    Ok(no_effect("CACHE TABLE".into(), Some("tables are not cached: the statement does nothing")))
}

/// Spark's ANALYZE TABLE … COMPUTE STATISTICS and PostgreSQL's ANALYZE t (columns).
fn analyze(p: &mut Parser<'_>) -> Result<StatementKind> {
    const NOTICE: &str = "statistics are kept with every commit: there is nothing to compute";
    if !p.accept("analyze") {
        return Err(p.unexpected("ANALYZE"));
    }
    p.accept("verbose");
    if p.at_end() {
        return Ok(no_effect("ANALYZE".into(), Some(NOTICE)));
    }
    if p.accept("tables") {
        if p.accept_one(&["in", "from"]).is_some() {
            p.identifier("a database's name")?;
        }
    } else {
        p.accept("table");
        p.object_name("a table's name")?;
        if *p.peek() == sqlparser::tokenizer::Token::LParen {
            p.identifier_list("a column's name")?;
        }
        partition::optional(p)?;
    }
    if p.accept("compute statistics") && !p.accept("noscan") && !p.accept("for all columns") && p.accept("for columns")
    {
        p.comma_separated(|p| p.identifier("a column's name"))?;
    }
    Ok(no_effect("ANALYZE".into(), Some(NOTICE)))
}
