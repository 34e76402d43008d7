//! EXPLAIN, in Spark's and in PostgreSQL's spelling.

use sqlparser::tokenizer::Token;

use super::grammar;
use super::parser::Parser;
use super::statement::{Explain, Statement, StatementKind};
use crate::error::Result;

pub(super) fn explain(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("explain")?;
    let mut explain = Heads { analyze: false, verbose: false, format: None };
    // `EXPLAIN (SELECT 1)` explains a query.
    let options = ["select", "with", "values", "table", "from"];
    if *p.peek() == Token::LParen && *p.peek_at(1) != Token::LParen && !options.iter().any(|k| p.is_at(1, k)) {
        parenthesized(p, &mut explain)?;
    } else {
        while let Some(word) = p.accept_one(&["analyze", "verbose", "extended", "formatted", "codegen", "cost"]) {
            match word {
                "analyze" => explain.analyze = true,
                "verbose" | "extended" => explain.verbose = true,
                "codegen" | "cost" => return Err(p.refuse(format!("EXPLAIN {} is not supported", word.to_uppercase()))),
                _ => {}
            }
        }
    }
    let start = p.position();
    if p.is("explain") || p.at_end() {
        return Err(p.unexpected("a statement to explain"));
    }
    let kind = grammar::statement(p)?;
    let statement = Statement { kind, text: p.taken(start).to_owned(), offset: start, parameters: p.parameters() };
    let Heads { analyze, verbose, format } = explain;
    Ok(StatementKind::Explain(Explain { statement: Box::new(statement), analyze, verbose, format }))
}

struct Heads {
    analyze: bool,
    verbose: bool,
    format: Option<String>,
}

/// PostgreSQL's `(ANALYZE, VERBOSE off, FORMAT json)`.
fn parenthesized(p: &mut Parser<'_>, explain: &mut Heads) -> Result<()> {
    p.expect_token(&Token::LParen)?;
    loop {
        let name = p.identifier("an option of EXPLAIN")?;
        let value = match p.peek() {
            Token::Comma | Token::RParen => None,
            Token::Number(n, _) => {
                let n = n.clone();
                p.advance();
                Some(n)
            }
            _ => Some(match p.accept_string() {
                Some(s) => s,
                None if p.accept("on") => "on".to_owned(),
                None => p.identifier("a value")?.value,
            }),
        };
        let on = !value.as_deref().is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "off" | "false" | "0"));
        match name.value.to_ascii_lowercase().as_str() {
            "analyze" => explain.analyze = on,
            "verbose" => explain.verbose = on,
            "format" => explain.format = Some(value.unwrap_or_default().to_ascii_lowercase()),
            "costs" | "buffers" | "timing" | "summary" | "settings" | "wal" | "memory" | "generic_plan"
            | "serialize" => {}
            _ => {
                let message = format!("EXPLAIN has no option `{}`; it has analyze, verbose and format", name.value);
                return Err(crate::error::Error::new(crate::error::Kind::Syntax, message).at(name.position));
            }
        }
        if !p.accept_token(&Token::Comma) {
            return p.expect_token(&Token::RParen);
        }
    }
}
