//! PREPARE, EXECUTE and DEALLOCATE in SQL.

use sqlparser::tokenizer::Token;

use super::grammar;
use super::parser::Parser;
use super::statement::{Statement, StatementKind};
use crate::error::Result;

pub(super) fn prepare(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("prepare")?;
    let name = p.identifier("a statement's name")?;
    if p.accept_token(&Token::LParen) {
        // Types are found from the statement; what is written here is only checked.
        p.comma_separated(|p| p.sql_type())?;
        p.expect_token(&Token::RParen)?;
    }
    p.expect("as")?;
    let refused = ["prepare", "execute", "deallocate"];
    if p.at_end() || refused.iter().any(|k| p.is(k)) {
        return Err(p.unexpected("a statement to prepare"));
    }
    let start = p.position();
    let kind = grammar::statement(p)?;
    let statement = Statement { kind, text: p.taken(start).to_owned(), offset: start, parameters: p.parameters() };
    Ok(StatementKind::Prepare { name, statement: Box::new(statement) })
}

pub(super) fn execute(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("execute")?;
    if p.is("immediate") {
        return Err(super::unsupported::refuse_named(p, "EXECUTE IMMEDIATE"));
    }
    let name = p.identifier("a statement's name")?;
    let mut arguments = Vec::new();
    if p.accept_token(&Token::LParen) && !p.accept_token(&Token::RParen) {
        let start = p.index();
        let end = p.find(|p, n| *p.peek_at(n) == Token::RParen);
        arguments = p.parse_list(start, end, |reader| reader.parse_expr())?;
        p.set_index(end);
        p.expect_token(&Token::RParen)?;
    }
    Ok(StatementKind::Execute { name, arguments })
}

pub(super) fn deallocate(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("deallocate")?;
    p.accept("prepare");
    let name = if p.accept("all") { None } else { Some(p.identifier("a statement's name or ALL")?) };
    Ok(StatementKind::Deallocate { name })
}
