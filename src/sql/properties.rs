//! `(key 'value', key = value, a.b.c=1)`: the lists behind OPTIONS, TBLPROPERTIES and DBPROPERTIES.

use sqlparser::tokenizer::Token;

use super::parser::Parser;
use crate::error::{Error, Kind, Result};

/// The list with its parentheses; keys as written, each once.
pub(super) fn list(p: &mut Parser<'_>) -> Result<Vec<(String, String)>> {
    let mut properties: Vec<(String, String)> = Vec::new();
    p.expect_token(&Token::LParen)?;
    if p.accept_token(&Token::RParen) {
        return Ok(properties);
    }
    loop {
        let place = p.position();
        let key = key(p)?;
        if properties.iter().any(|(k, _)| k.eq_ignore_ascii_case(&key)) {
            return Err(Error::new(Kind::Syntax, format!("`{key}` is given twice")).at(place));
        }
        p.accept_token(&Token::Eq);
        let value = value(p)?;
        properties.push((key, value));
        if !p.accept_token(&Token::Comma) {
            p.expect_token(&Token::RParen)?;
            return Ok(properties);
        }
    }
}

/// `(key, key)`.
pub(super) fn keys(p: &mut Parser<'_>) -> Result<Vec<String>> {
    p.expect_token(&Token::LParen)?;
    let keys = p.comma_separated(key)?;
    p.expect_token(&Token::RParen)?;
    Ok(keys)
}

/// A quoted key, or words joined by `.`, `-` and `:` without space.
pub(super) fn key(p: &mut Parser<'_>) -> Result<String> {
    if let Some(key) = p.accept_string() {
        return Ok(key);
    }
    let start = p.position();
    let mut key = String::new();
    while !p.at_end() && (key.is_empty() || p.position() == p.behind()) {
        let from = p.position();
        match p.peek() {
            Token::Word(w) => {
                key.push_str(&w.value);
                p.advance();
            }
            Token::Period | Token::Number(..) | Token::Minus | Token::Colon if !key.is_empty() => {
                p.advance();
                key.push_str(p.taken(from));
            }
            _ => break,
        }
    }
    if key.is_empty() { Err(p.unexpected("a key").at(start)) } else { Ok(key) }
}

/// A string, a number, or a bare word, as text.
pub(super) fn value(p: &mut Parser<'_>) -> Result<String> {
    if let Some(value) = p.accept_string() {
        return Ok(value);
    }
    let start = p.position();
    while !p.at_end() && (p.behind() <= start || p.position() == p.behind()) {
        match p.peek() {
            Token::Comma | Token::RParen | Token::LParen | Token::Eq | Token::SingleQuotedString(_) => break,
            _ => p.advance(),
        }
    }
    if p.behind() <= start {
        return Err(p.unexpected("a value"));
    }
    Ok(p.taken(start).to_owned())
}
