//! The cursor that our grammar is written on: tokens of one statement, with what to say when the next one does not fit.

use sqlparser::tokenizer::Token;

use super::dialect::Dialect;
use super::statement::{Identifier, ObjectName};
use super::tokens::{Piece, tokenize};
use super::types;
use crate::error::{Error, Kind, Result};
use crate::sql::statement::SqlType;

/// Words that no statement of ours takes for a name unless they are quoted: where one of them stands, the name was forgotten.
const NEVER_NAMES: &[&str] = &["select", "from", "where", "as", "with", "values", "using", "on", "set"];

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) dialect: Dialect,
    pieces: Vec<Piece>,
    index: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Result<Self> {
        Ok(Parser { text, dialect, pieces: tokenize(text, dialect)?, index: 0 })
    }

    pub(super) fn at_end(&self) -> bool {
        self.index >= self.pieces.len()
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn set_index(&mut self, index: usize) {
        self.index = index.min(self.pieces.len());
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(super) fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, n: usize) -> &Token {
        self.pieces.get(self.index + n).map_or(&Token::EOF, |p| &p.token)
    }

    /// Byte offset of the next token, or the end of the text.
    pub(super) fn position(&self) -> usize {
        self.pieces.get(self.index).map_or(self.text.len(), |p| p.start)
    }

    /// Byte offset behind the last token taken.
    pub(super) fn behind(&self) -> usize {
        self.index.checked_sub(1).and_then(|i| self.pieces.get(i)).map_or(0, |p| p.end)
    }

    pub(super) fn advance(&mut self) {
        self.index += 1;
    }

    /// The unquoted word `n` tokens ahead.
    pub(super) fn word_at(&self, n: usize) -> Option<&str> {
        match self.peek_at(n) {
            Token::Word(w) if w.quote_style.is_none() => Some(&w.value),
            _ => None,
        }
    }

    pub(super) fn is(&self, keyword: &str) -> bool {
        self.is_at(0, keyword)
    }

    pub(super) fn is_at(&self, n: usize, keyword: &str) -> bool {
        self.word_at(n).is_some_and(|w| w.eq_ignore_ascii_case(keyword))
    }

    /// Whether the next words are those of `keywords`, which are parted by spaces.
    pub(super) fn are(&self, keywords: &str) -> bool {
        keywords.split(' ').enumerate().all(|(n, k)| self.is_at(n, k))
    }

    /// Takes all of `keywords` or nothing.
    pub(super) fn accept(&mut self, keywords: &str) -> bool {
        let found = self.are(keywords);
        if found {
            self.index += keywords.split(' ').count();
        }
        found
    }

    /// Takes the first of these single words that fits.
    pub(super) fn accept_one<'k>(&mut self, keywords: &[&'k str]) -> Option<&'k str> {
        keywords.iter().copied().find(|k| self.accept(k))
    }

    pub(super) fn expect(&mut self, keywords: &str) -> Result<()> {
        if self.accept(keywords) { Ok(()) } else { Err(self.unexpected(&keywords.to_uppercase())) }
    }

    pub(super) fn accept_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        self.index += usize::from(found);
        found
    }

    pub(super) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.accept_token(token) { Ok(()) } else { Err(self.unexpected(&format!("`{token}`"))) }
    }

    pub(super) fn expect_end(&self) -> Result<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected("the end of the statement")) }
    }

    pub(super) fn if_exists(&mut self) -> bool {
        self.accept("if exists")
    }

    pub(super) fn if_not_exists(&mut self) -> bool {
        self.accept("if not exists")
    }

    /// A syntax error at the next token.
    pub(super) fn unexpected(&self, expected: &str) -> Error {
        let error = match self.pieces.get(self.index) {
            Some(p) => at_or_near(&self.text[p.start..p.end]).at(p.start),
            None => Error::new(Kind::Syntax, "syntax error at end of input").at(self.text.len()),
        };
        error.with_detail(format!("expected {expected}"))
    }

    pub(super) fn refuse(&self, message: impl Into<String>) -> Error {
        Error::new(Kind::FeatureNotSupported, message).at(self.position())
    }

    pub(super) fn identifier(&mut self, what: &str) -> Result<Identifier> {
        let position = self.position();
        let value = match self.peek() {
            Token::Word(w) if w.quote_style.is_some() && w.value.is_empty() => {
                return Err(Error::new(Kind::Syntax, "a quoted name is empty").at(position));
            }
            Token::Word(w) if w.quote_style.is_some() => w.value.clone(),
            Token::Word(w) if !NEVER_NAMES.iter().any(|n| w.value.eq_ignore_ascii_case(n)) => w.value.clone(),
            // Spark has no meaning of its own for "x" where a name must stand.
            Token::DoubleQuotedString(s) if !s.is_empty() => s.clone(),
            _ => return Err(self.unexpected(what)),
        };
        self.advance();
        Ok(Identifier { value, position })
    }

    /// `a`, `a.b` or `a.b.c`.
    pub(super) fn object_name(&mut self, what: &str) -> Result<ObjectName> {
        let mut parts = vec![self.identifier(what)?];
        while self.accept_token(&Token::Period) {
            parts.push(self.identifier("a name after `.`")?);
        }
        if parts.len() > 3 {
            return Err(Error::new(Kind::Syntax, "a name has at most three parts: catalog.database.table")
                .at(parts[3].position));
        }
        Ok(ObjectName { parts })
    }

    /// `(a, b, c)`, with the opening parenthesis still to come.
    pub(super) fn identifier_list(&mut self, what: &str) -> Result<Vec<Identifier>> {
        self.expect_token(&Token::LParen)?;
        let names = self.comma_separated(|p| p.identifier(what))?;
        self.expect_token(&Token::RParen)?;
        Ok(names)
    }

    pub(super) fn comma_separated<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.accept_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// A string literal of either dialect, if one comes next. `"x"` counts: only strings are allowed where this is asked.
    pub(super) fn accept_string(&mut self) -> Option<String> {
        let value = match self.peek() {
            Token::SingleQuotedString(s)
            | Token::DoubleQuotedString(s)
            | Token::EscapedStringLiteral(s)
            | Token::UnicodeStringLiteral(s) => s.clone(),
            Token::DollarQuotedString(s) => s.value.clone(),
            Token::Word(w) if w.quote_style == Some('"') => w.value.clone(),
            _ => return None,
        };
        self.advance();
        Some(value)
    }

    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        self.accept_string().ok_or_else(|| self.unexpected(what))
    }

    /// A type, at the next token.
    pub(super) fn sql_type(&mut self) -> Result<SqlType> {
        let position = self.position();
        if self.at_end() {
            return Err(self.unexpected("a type"));
        }
        let (data_type, end) = types::parse_at(self.text, position, self.dialect)?;
        while self.position() < end {
            self.advance();
        }
        Ok(SqlType { text: self.text[position..end].to_owned(), data_type, position })
    }

    /// The text of the tokens from `start` on that were taken.
    pub(super) fn taken(&self, start: usize) -> &'a str {
        self.text.get(start..self.behind()).unwrap_or_default()
    }

    /// The greatest n of the `$n` in the statement.
    pub(super) fn parameters(&self) -> usize {
        let number = |p: &Piece| match &p.token {
            Token::Placeholder(s) => s.strip_prefix('$').and_then(|n| n.parse().ok()),
            _ => None,
        };
        self.pieces.iter().filter_map(number).max().unwrap_or(0)
    }

    /// Index of the first token from here on, outside of parentheses, for which `stop` holds; the number of tokens if none does.
    pub(super) fn find(&self, stop: impl Fn(&Self, usize) -> bool) -> usize {
        let mut depth = 0usize;
        for i in self.index..self.pieces.len() {
            match self.pieces[i].token {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace if depth > 0 => depth -= 1,
                _ if depth == 0 && stop(self, i - self.index) => return i,
                _ => {}
            }
        }
        self.pieces.len()
    }
}

/// PostgreSQL's words for it.
pub(super) fn at_or_near(token: &str) -> Error {
    const SHOWN: usize = 60;
    let shown: String = token.chars().take(SHOWN).collect();
    Error::new(Kind::Syntax, format!("syntax error at or near \"{shown}\""))
}
