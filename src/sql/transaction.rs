//! BEGIN, COMMIT, ROLLBACK and savepoints.

use sqlparser::tokenizer::Token;

use super::parser::Parser;
use super::statement::StatementKind;
use super::unsupported;
use crate::error::Result;

pub(super) fn transaction(p: &mut Parser<'_>) -> Result<StatementKind> {
    if p.accept("start") {
        p.expect("transaction")?;
        return Ok(StatementKind::Begin { read_only: options(p)? });
    }
    if p.accept("begin") {
        p.accept_one(&["work", "transaction"]);
        return Ok(StatementKind::Begin { read_only: options(p)? });
    }
    if p.accept("savepoint") {
        return Ok(StatementKind::Savepoint { name: p.identifier("a savepoint's name")? });
    }
    if p.accept("release") {
        p.accept("savepoint");
        return Ok(StatementKind::ReleaseSavepoint { name: p.identifier("a savepoint's name")? });
    }
    if p.accept_one(&["commit", "end"]).is_some() {
        two_phase(p, "COMMIT PREPARED")?;
        p.accept_one(&["work", "transaction"]);
        chain(p)?;
        return Ok(StatementKind::Commit);
    }
    if p.accept_one(&["rollback", "abort"]).is_none() {
        return Err(p.unexpected("ROLLBACK"));
    }
    two_phase(p, "ROLLBACK PREPARED")?;
    if p.is("table") {
        return Err(unsupported::refuse_named(p, "ROLLBACK TABLE"));
    }
    p.accept_one(&["work", "transaction"]);
    if p.accept("to") {
        p.accept("savepoint");
        return Ok(StatementKind::RollbackTo { name: p.identifier("a savepoint's name")? });
    }
    chain(p)?;
    Ok(StatementKind::Rollback)
}

fn two_phase(p: &Parser<'_>, what: &str) -> Result<()> {
    if p.is("prepared") { Err(unsupported::refuse_named(p, what)) } else { Ok(()) }
}

fn chain(p: &mut Parser<'_>) -> Result<()> {
    if p.accept("and no chain") {
        return Ok(());
    }
    if p.are("and chain") { Err(unsupported::refuse_named(p, "AND CHAIN")) } else { Ok(()) }
}

/// `ISOLATION LEVEL …, READ ONLY, NOT DEFERRABLE`: whether it is read only. Every isolation level is served by a stronger one
/// or the same: a transaction reads one snapshot.
pub(super) fn options(p: &mut Parser<'_>) -> Result<bool> {
    let mut read_only = false;
    while !p.at_end() {
        if p.accept("isolation level") {
            let levels = ["serializable", "repeatable read", "read committed", "read uncommitted"];
            if !levels.iter().any(|l| p.accept(l)) {
                return Err(p.unexpected("SERIALIZABLE, REPEATABLE READ, READ COMMITTED or READ UNCOMMITTED"));
            }
        } else if p.accept("read only") {
            read_only = true;
        } else if p.accept("read write") {
            read_only = false;
        } else if p.is("snapshot") {
            return Err(unsupported::refuse_named(p, "SET TRANSACTION SNAPSHOT"));
        } else if !p.accept("not deferrable") && !p.accept("deferrable") {
            return Err(p.unexpected("ISOLATION LEVEL, READ ONLY, READ WRITE or DEFERRABLE"));
        }
        p.accept_token(&Token::Comma);
    }
    Ok(read_only)
}
