//! Query bodies: what sqlparser does not read is taken off or rewritten in the tokens, the rest is sqlparser's.
//!
//! Working on tokens, not on text, keeps every line and column that sqlparser reports true to the statement's own text.

use sqlparser::ast::{self, Expr, OrderByExpr, SetExpr};
use sqlparser::parser::{Parser as SqlParser, ParserError};
use sqlparser::tokenizer::{Span, Token};

use super::dialect::SqlDialect;
use super::parser::{Parser, at_or_near};
use super::rewrite::{check_names, check_size, from_first, is_word, rewrite};
use super::statement::{Distribution, Query};
use super::tokens::{Piece, lower_first};
use crate::error::{Error, Kind, Result};

/// sqlparser's depth of expressions and subqueries.
const MAX_DEPTH: usize = 300;

impl Parser<'_> {
    /// Whether a query can begin here.
    pub(super) fn at_query(&self) -> bool {
        matches!(self.peek(), Token::LParen) || ["select", "with", "values", "table", "from"].iter().any(|k| self.is(k))
    }

    /// A query that reaches to the end of the statement.
    pub(super) fn query(&mut self) -> Result<Query> {
        let end = self.pieces().len();
        self.query_until(end, &[])
    }

    /// A query that ends before token `end`; `ctes` (`WITH …`) stand before it.
    pub(super) fn query_until(&mut self, end: usize, ctes: &[Piece]) -> Result<Query> {
        if !self.at_query() {
            return Err(self.unexpected("SELECT, VALUES, TABLE, FROM or WITH"));
        }
        let mut start = self.index();
        let mut end = end;
        // Hive's clauses count for the whole query, in parentheses too.
        while end > start + 1 && self.closes_at(start, end - 1) {
            start += 1;
            end -= 1;
        }
        let outer = end + (start - self.index());
        let (clauses, after, distribution) = self.distribution(start, end)?;
        let pieces = self.pieces();
        let mut own: Vec<Piece> = from_first(&pieces[start..clauses]);
        own.extend_from_slice(&pieces[after..end]);
        if !ctes.is_empty() {
            if own.first().is_some_and(|p| is_word(p, "with")) {
                return Err(self.refuse("WITH before INSERT and before its query: write one of them"));
            }
            own.splice(0..0, ctes.iter().cloned());
        }
        let body = parse_query(&own, self)?;
        if let Some((what, word)) = write_in(&body) {
            self.set_index(start);
            let place = self.find(|p, n| p.is_at(n, word));
            self.set_index(place);
            let error = self.refuse(format!("{what} is not supported"));
            return Err(error.with_hint("write CREATE TABLE … AS SELECT or INSERT … SELECT"));
        }
        self.set_index(outer);
        Ok(Query { body, distribution })
    }

    /// Whether the parenthesis at token `open` is closed at token `close`.
    fn closes_at(&self, open: usize, close: usize) -> bool {
        if self.pieces()[open].token != Token::LParen || self.pieces()[close].token != Token::RParen {
            return false;
        }
        let mut depth = 0usize;
        for (i, piece) in self.pieces()[open..=close].iter().enumerate() {
            match piece.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return open + i == close;
            }
        }
        false
    }

    /// DISTRIBUTE BY, SORT BY and CLUSTER BY in `start..end`: where they begin, where what follows them (LIMIT) begins, and
    /// what they say.
    pub(super) fn distribution(&mut self, start: usize, end: usize) -> Result<(usize, usize, Distribution)> {
        let saved = self.index();
        self.set_index(start);
        let clauses = self.find(Self::at_distribution).min(end);
        let mut distribution = Distribution::default();
        self.set_index(clauses);
        while self.index() < end && self.at_distribution(0) {
            self.distribution_clause(end, &mut distribution)?;
        }
        let after = if clauses < end { self.index() } else { end };
        self.set_index(saved);
        Ok((clauses, after, distribution))
    }

    fn at_distribution(&self, n: usize) -> bool {
        ["distribute", "sort", "cluster"].iter().any(|k| self.is_at(n, k)) && self.is_at(n + 1, "by")
    }

    /// One clause, which ends before token `end` or before the next.
    fn distribution_clause(&mut self, end: usize, distribution: &mut Distribution) -> Result<()> {
        const SET_OPERATIONS: &[&str] = &["union", "intersect", "except", "minus"];
        let place = self.position();
        let clause = self.word_at(0).unwrap_or_default().to_ascii_lowercase();
        let start = (self.index() + 2).min(end);
        self.set_index(start);
        let stop = self.find(|p, n| {
            let follows = ["limit", "offset", "window", "order"];
            p.at_distribution(n) || follows.iter().chain(SET_OPERATIONS).any(|k| p.is_at(n, k))
        });
        let stop = stop.min(end);
        self.set_index(stop);
        if SET_OPERATIONS.iter().any(|k| self.is(k)) {
            return Err(self.unexpected(&format!("the end of the query after {} BY", clause.to_uppercase())));
        }
        let distributed = !distribution.distribute_by.is_empty();
        let sorted = !distribution.sort_by.is_empty();
        let taken = match clause.as_str() {
            "sort" => sorted,
            "distribute" => distributed,
            _ => sorted || distributed,
        };
        if taken {
            let message = format!("{} BY cannot follow what was said before", clause.to_uppercase());
            return Err(Error::new(Kind::Syntax, message).at(place));
        }
        if clause == "sort" {
            distribution.sort_by = self.parse_list(start, stop, |p| p.parse_order_by_expr())?;
            return Ok(());
        }
        distribution.distribute_by = self.parse_list(start, stop, |p| p.parse_expr())?;
        if clause == "cluster" {
            distribution.sort_by = distribution.distribute_by.iter().cloned().map(ascending).collect();
        }
        Ok(())
    }

    /// One expression in the tokens up to `end`.
    pub(super) fn expression_until(&mut self, end: usize) -> Result<Expr> {
        let mut list = self.parse_list(self.index(), end, |p| p.parse_expr())?;
        let expression = list.pop().ok_or_else(|| self.unexpected("an expression"))?;
        if !list.is_empty() {
            return Err(self.unexpected("one expression"));
        }
        self.set_index(end);
        Ok(expression)
    }

    /// `a, b, c` in the tokens `start..end`, each read by sqlparser.
    pub(super) fn parse_list<T>(
        &self,
        start: usize,
        end: usize,
        read: impl FnMut(&mut SqlParser<'_>) -> Result<T, ParserError>,
    ) -> Result<Vec<T>> {
        let pieces = &self.pieces()[start.min(end)..end];
        let dialect = SqlDialect(self.dialect);
        let mut parser = reader(pieces, self, &dialect)?;
        let list = parser.parse_comma_separated(read).map_err(|e| self.error_of(e, end))?;
        self.finish(&mut parser, end)?;
        Ok(list)
    }

    fn finish(&self, parser: &mut SqlParser<'_>, end: usize) -> Result<()> {
        let next = parser.peek_token();
        if next.token == Token::EOF {
            return Ok(());
        }
        Err(self.error_at(next.span, end).with_detail("expected the end of the query"))
    }

    fn error_at(&self, span: Span, end: usize) -> Error {
        let place = |p: &&Piece| p.span.start == span.start && span.start.line > 0;
        match self.pieces().iter().find(place) {
            Some(p) => at_or_near(&self.text[p.start..p.end]).at(p.start),
            None => match self.pieces().get(end) {
                Some(p) => at_or_near(&self.text[p.start..p.end]).at(p.start),
                None => Error::new(Kind::Syntax, "syntax error at end of input").at(self.text.len()),
            },
        }
    }

    /// sqlparser's error in PostgreSQL's words. It has the place only as text: `… at Line: l, Column: c`.
    fn error_of(&self, error: ParserError, end: usize) -> Error {
        let message = match error {
            ParserError::RecursionLimitExceeded => return super::scan::too_deep(),
            ParserError::ParserError(m) | ParserError::TokenizerError(m) => m,
        };
        let (words, place) = match message.rsplit_once(" at Line: ") {
            Some((words, place)) => (words.to_owned(), place.split_once(", Column: ")),
            None => (message, None),
        };
        let number = |s: &str| s.trim().parse::<u64>().unwrap_or(0);
        let span = place.map_or(Span::empty(), |(l, c)| {
            let at = sqlparser::tokenizer::Location::new(number(l), number(c));
            at.span_to(at)
        });
        match words.strip_prefix("Expected: ") {
            Some(rest) => {
                let expected = rest.split(", found: ").next().unwrap_or(rest);
                self.error_at(span, end).with_detail(format!("expected {expected}"))
            }
            None => self.error_at(span, end).with_detail(lower_first(&words)),
        }
    }
}

/// `x`, ascending, as CLUSTER BY sorts.
fn ascending(expr: Expr) -> OrderByExpr {
    OrderByExpr { expr, options: ast::OrderByOptions { asc: None, nulls_first: None }, with_fill: None }
}

/// Reads `pieces`, which come from `parser`'s text, as one query.
pub(super) fn parse_query(pieces: &[Piece], parser: &Parser<'_>) -> Result<Box<ast::Query>> {
    let dialect = SqlDialect(parser.dialect);
    let end = pieces.last().map_or(0, |last| {
        parser.pieces().iter().position(|p| p.start == last.start).map_or(parser.pieces().len(), |i| i + 1)
    });
    let mut reader = reader(pieces, parser, &dialect)?;
    let body = reader.parse_query().map_err(|e| parser.error_of(e, end))?;
    parser.finish(&mut reader, end)?;
    Ok(body)
}

fn reader<'d>(pieces: &[Piece], parser: &Parser<'_>, dialect: &'d SqlDialect) -> Result<SqlParser<'d>> {
    check_size(pieces)?;
    check_names(pieces, parser.text)?;
    let tokens = rewrite(pieces, parser.text, parser.dialect);
    Ok(SqlParser::new(dialect).with_recursion_limit(MAX_DEPTH).with_tokens_with_locations(tokens))
}

/// sqlparser lets `WITH … DELETE` and `SELECT … INTO t` through as queries: what the query does beside reading, and its word.
fn write_in(query: &ast::Query) -> Option<(&'static str, &'static str)> {
    Some(match query.body.as_ref() {
        SetExpr::Insert(_) => ("INSERT after WITH", "insert"),
        SetExpr::Update(_) => ("UPDATE", "update"),
        SetExpr::Delete(_) => ("DELETE", "delete"),
        SetExpr::Merge(_) => ("MERGE", "merge"),
        SetExpr::Select(select) if select.into.is_some() => ("SELECT INTO", "into"),
        _ => return None,
    })
}
