//! The first word of a statement, and which file reads the rest.

use super::parser::Parser;
use super::statement::{Query, StatementKind};
use super::{alter, create, explain, geodata, insert, operators, prepare, set, show, transaction, unsupported};
use crate::error::Result;

/// A whole statement; the caller checks that nothing follows.
pub(super) fn statement(p: &mut Parser<'_>) -> Result<StatementKind> {
    let Some(first) = p.word_at(0).map(str::to_ascii_lowercase) else {
        return if p.at_query() { Ok(StatementKind::Query(p.query()?)) } else { Err(p.unexpected("a statement")) };
    };
    match first.as_str() {
        "with" | "from" if insert::follows(p) => insert::with_head(p),
        "select" | "with" | "values" | "table" | "from" => select(p).map(StatementKind::Query),
        "explain" => explain::explain(p),
        "create" => create::create(p),
        "drop" => create::drop(p),
        "alter" => alter::alter(p),
        "insert" => insert::insert(p, &[]),
        "msck" | "repair" => operators::repair(p),
        "truncate" => operators::truncate(p),
        "vacuum" => operators::vacuum(p),
        "use" => operators::use_database(p),
        "set" => set::set(p),
        "reset" => set::reset(p),
        "show" => show::show(p),
        "describe" | "desc" => show::describe(p),
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => {
            transaction::transaction(p)
        }
        "prepare" => prepare::prepare(p),
        "execute" => prepare::execute(p),
        "deallocate" => prepare::deallocate(p),
        "discard" => operators::discard(p),
        "listen" | "unlisten" | "cache" | "uncache" | "refresh" | "analyze" | "clear" => operators::without_effect(p),
        "geodata" => geodata::misplaced(p),
        _ => Err(unsupported::refuse(p)),
    }
}

fn select(p: &mut Parser<'_>) -> Result<Query> {
    p.query()
}
