//! SET and RESET, in the forms of both dialects.

use sqlparser::tokenizer::Token;

use super::parser::Parser;
use super::properties;
use super::statement::{Set, Show, StatementKind};
use super::transaction;
use crate::error::{Error, Kind, Result};

pub(super) fn set(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("set")?;
    if p.at_end() {
        return Ok(StatementKind::Show(Show::AllSettings { verbose: false }));
    }
    if *p.peek() == Token::Minus && p.is_at(1, "v") {
        p.set_index(p.index() + 2);
        return Ok(StatementKind::Show(Show::AllSettings { verbose: true }));
    }
    if p.accept("transaction") || p.accept("session characteristics as transaction") {
        let read_only = transaction::options(p)?;
        return Ok(StatementKind::Set(Set::Transaction { read_only }));
    }
    // A setting may be called `local` or `session`.
    let named =
        |p: &Parser<'_>| !matches!(p.peek_at(1), Token::Eq) && !p.is_at(1, "to") && !matches!(p.peek_at(1), Token::EOF);
    let local = named(p) && p.accept("local");
    if !local && named(p) {
        p.accept("session");
    }
    let position = p.position();
    if p.accept("time zone") {
        if p.accept("local") || p.accept("default") {
            return Ok(default("timezone", position));
        }
        return Ok(value("timezone", time_zone(p)?, local, position));
    }
    if p.accept("names") {
        let encoding = if p.accept("default") { "utf8".to_owned() } else { single(p)? };
        return Ok(value("client_encoding", encoding, local, position));
    }
    if p.accept("session authorization") || p.accept("authorization") {
        if p.accept("default") {
            return Ok(default("session_authorization", position));
        }
        return Ok(value("session_authorization", single(p)?, local, position));
    }
    if p.is("role") && *p.peek_at(1) != Token::Eq && !p.at_end() {
        p.advance();
        return Ok(value("role", single(p)?, local, position));
    }
    let name = properties::key(p)?;
    if p.at_end() {
        return Ok(StatementKind::Show(Show::Setting { name, position }));
    }
    if !p.accept_token(&Token::Eq) && !p.accept("to") {
        return Err(p.unexpected("`=` or TO"));
    }
    if p.accept("default") {
        p.expect_end()?;
        return Ok(default(&name, position));
    }
    Ok(value(&name, values(p)?, local, position))
}

fn default(name: &str, position: usize) -> StatementKind {
    StatementKind::Set(Set::Default { name: name.to_owned(), position })
}

fn value(name: &str, value: String, local: bool, position: usize) -> StatementKind {
    StatementKind::Set(Set::Value { name: name.to_owned(), value, local, position })
}

/// The rest of the statement: literals and names parted by commas, joined by `, `; what is neither (Spark takes all up to the
/// end: `SET a = /x/y z`) as it stands.
fn values(p: &mut Parser<'_>) -> Result<String> {
    if p.at_end() {
        // Spark: SET k = (nothing) is the empty value.
        return Ok(String::new());
    }
    let start = p.position();
    let mut list = Vec::new();
    let saved = p.index();
    loop {
        match p.accept_string() {
            Some(s) => list.push(s),
            None => list.push(properties::value(p)?),
        }
        if !p.accept_token(&Token::Comma) {
            break;
        }
    }
    if p.at_end() {
        return Ok(list.join(", "));
    }
    p.set_index(saved);
    while !p.at_end() {
        p.advance();
    }
    Ok(p.taken(start).to_owned())
}

fn single(p: &mut Parser<'_>) -> Result<String> {
    match p.accept_string() {
        Some(s) => Ok(s),
        None => Ok(p.identifier("a value")?.value),
    }
}

/// A name, an offset in hours, or `INTERVAL '…' HOUR TO MINUTE`.
fn time_zone(p: &mut Parser<'_>) -> Result<String> {
    if let Some(zone) = p.accept_string() {
        return Ok(zone);
    }
    if p.accept("interval") {
        let zone = p.string("an interval")?;
        p.accept("hour to minute");
        p.accept("hour");
        return Ok(zone);
    }
    let position = p.position();
    let negative = p.accept_token(&Token::Minus);
    if !negative {
        p.accept_token(&Token::Plus);
    }
    match p.peek() {
        Token::Number(n, _) => {
            let hours: f64 = n.parse().unwrap_or(f64::NAN);
            if !(0.0..=18.0).contains(&hours) {
                return Err(Error::new(Kind::InvalidParameterValue, format!("time zone offset {n} is out of range"))
                    .at(position));
            }
            p.advance();
            let minutes = (hours * 60.0).round() as i64;
            Ok(format!("{}{:02}:{:02}", if negative { '-' } else { '+' }, minutes / 60, minutes % 60))
        }
        _ if negative => Err(p.unexpected("a number of hours")),
        _ => properties::value(p),
    }
}

pub(super) fn reset(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("reset")?;
    if p.at_end() || p.accept("all") {
        return Ok(StatementKind::Set(Set::ResetAll));
    }
    let position = p.position();
    if p.accept("time zone") {
        return Ok(default("timezone", position));
    }
    if p.accept("session authorization") {
        return Ok(default("session_authorization", position));
    }
    let name = properties::key(p)?;
    Ok(default(&name, position))
}
