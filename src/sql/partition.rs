//! `PARTITION (dt = '2018-03-05', hour)`.

use sqlparser::tokenizer::Token;

use super::parser::Parser;
use super::statement::{PartitionLiteral, PartitionSpec, PartitionTerm};
use crate::error::{Error, Kind, Result};

/// The clause, if its keyword comes next.
pub(super) fn optional(p: &mut Parser<'_>) -> Result<Option<PartitionSpec>> {
    if p.is("partition") { clause(p).map(Some) } else { Ok(None) }
}

/// The clause with its keyword. A column may be named once.
pub(super) fn clause(p: &mut Parser<'_>) -> Result<PartitionSpec> {
    let position = p.position();
    p.expect("partition")?;
    p.expect_token(&Token::LParen)?;
    let mut columns: Vec<PartitionTerm> = Vec::new();
    loop {
        let name = p.identifier("a partition column")?;
        if columns.iter().any(|c| c.name.value.eq_ignore_ascii_case(&name.value)) {
            let message = format!("partition column `{}` is named twice", name.value);
            return Err(Error::new(Kind::DuplicateColumn, message).at(name.position));
        }
        let value = match p.peek() {
            Token::Eq | Token::DoubleEq => {
                p.advance();
                Some(literal(p)?)
            }
            Token::Lt | Token::LtEq | Token::Gt | Token::GtEq | Token::Neq => {
                return Err(p.refuse("a PARTITION clause compares with `=` only"));
            }
            _ => None,
        };
        columns.push(PartitionTerm { name, value });
        if !p.accept_token(&Token::Comma) {
            break;
        }
    }
    p.expect_token(&Token::RParen)?;
    Ok(PartitionSpec { columns, position })
}

fn literal(p: &mut Parser<'_>) -> Result<PartitionLiteral> {
    if let Some(text) = p.accept_string() {
        return Ok(PartitionLiteral::Text(text));
    }
    if p.accept("null") {
        return Ok(PartitionLiteral::Null);
    }
    if let Some(word) = p.accept_one(&["true", "false"]) {
        return Ok(PartitionLiteral::Boolean(word == "true"));
    }
    if let Some(name) = p.accept_one(&["date", "timestamp_ntz", "timestamp_ltz", "timestamp"]) {
        return Ok(PartitionLiteral::Typed(name.to_uppercase(), p.string("a string")?));
    }
    let sign = if p.accept_token(&Token::Minus) {
        "-"
    } else {
        p.accept_token(&Token::Plus);
        ""
    };
    let Token::Number(number, _) = p.peek() else { return Err(p.unexpected("a literal value")) };
    let text = format!("{sign}{number}");
    p.advance();
    // Spark's `1S`, `1.5BD`: the type of a partition value is that of its column.
    let suffix = ["y", "s", "l", "f", "d", "bd"].iter().any(|k| p.is(k)) && p.position() == p.behind();
    if suffix {
        p.advance();
    }
    Ok(PartitionLiteral::Number(text))
}
