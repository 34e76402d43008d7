//! sqlparser's tokens with byte positions, and string literals read by our own rules.
//!
//! The tokenizer finds where a literal ends; what it contains is read here from the source text, because the dialects differ
//! (Spark: backslash escapes, `r'…'`; PostgreSQL: only doubled quotes) and because the tokenizer drops a few characters of
//! dollar-quoted strings.

use sqlparser::tokenizer::{Location, Span, Token, Tokenizer};

use super::dialect::{Dialect, SqlDialect};
use crate::error::{Error, Kind, Result};

/// A token and where it stands: `start..end` are bytes of the statement's text, `span` the same in sqlparser's lines and columns.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) span: Span,
}

/// Tokens of `text` without white space and comments.
pub(super) fn tokenize(text: &str, dialect: Dialect) -> Result<Vec<Piece>> {
    let sql_dialect = SqlDialect(dialect);
    let tokens = Tokenizer::new(&sql_dialect, text).tokenize_with_location().map_err(|e| {
        let position = Places::new(text).offset(e.location);
        Error::new(Kind::Syntax, lower_first(&e.message)).at(position)
    })?;
    let mut places = Places::new(text);
    let mut pieces: Vec<Piece> = Vec::with_capacity(tokens.len() / 2 + 1);
    for t in tokens {
        if matches!(t.token, Token::Whitespace(_)) {
            continue;
        }
        let start = places.offset(t.span.start);
        let end = places.offset(t.span.end);
        let mut piece = Piece { token: t.token, start, end, span: t.span };
        reread(&mut piece, text, dialect);
        if raw_string(pieces.last(), &piece, text) {
            let prefix = pieces.pop().expect("looked at above");
            piece.token = Token::SingleQuotedString(text[start + 1..end - 1].to_owned());
            piece.span.start = prefix.span.start;
            piece.start = prefix.start;
        }
        pieces.push(piece);
    }
    Ok(pieces)
}

/// Spark's `r'…'`: the string as it stands.
fn raw_string(before: Option<&Piece>, piece: &Piece, text: &str) -> bool {
    matches!(piece.token, Token::SingleQuotedString(_) | Token::DoubleQuotedString(_))
        && piece.end >= piece.start + 2
        && before.is_some_and(|p| p.end == piece.start && matches!(&text[p.start..p.end], "r" | "R"))
}

/// Byte offset of a place in `text` that sqlparser names by line and column.
pub(super) fn offset_of(text: &str, location: Location) -> usize {
    Places::new(text).offset(location)
}

/// Byte offsets of sqlparser's locations. Locations come in order, so one walk over the text serves all.
struct Places<'a> {
    text: &'a str,
    at: usize,
    line: u64,
    column: u64,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Places { text, at: 0, line: 1, column: 1 }
    }

    fn offset(&mut self, to: Location) -> usize {
        while (self.line, self.column) < (to.line, to.column) {
            let Some(c) = self.text[self.at..].chars().next() else { break };
            self.at += c.len_utf8();
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.at
    }
}

fn reread(piece: &mut Piece, text: &str, dialect: Dialect) {
    let source = &text[piece.start..piece.end];
    let inner = |from: usize| source.get(from..source.len().saturating_sub(1)).unwrap_or_default();
    match &mut piece.token {
        Token::SingleQuotedString(value) => *value = unescape(inner(1), '\'', dialect),
        Token::DoubleQuotedString(value) => *value = unescape(inner(1), '"', dialect),
        Token::NationalStringLiteral(_) => piece.token = Token::SingleQuotedString(unescape(inner(2), '\'', dialect)),
        Token::DollarQuotedString(quoted) => {
            let tag = quoted.tag.as_ref().map_or(0, String::len) + 2;
            if let Some(value) = source.get(tag..source.len().saturating_sub(tag)) {
                quoted.value = value.to_owned();
            }
        }
        _ => {}
    }
}

fn unescape(inner: &str, quote: char, dialect: Dialect) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == quote {
            // The only quote inside a literal is a doubled one.
            chars.next();
            out.push(quote);
        } else if c == '\\' && dialect == Dialect::Spark {
            backslash(&mut chars, &mut out);
        } else {
            out.push(c);
        }
    }
    out
}

/// What follows a backslash in a Spark string (SparkParserUtils.unescapeSQLString).
fn backslash(chars: &mut std::str::Chars<'_>, out: &mut String) {
    let rest = chars.as_str();
    let code = |digits: usize, radix: u32, from: usize| {
        let digits = rest.get(from..from + digits)?;
        if !digits.chars().all(|c| c.is_digit(radix)) {
            return None;
        }
        char::from_u32(u32::from_str_radix(digits, radix).ok()?)
    };
    let Some(c) = chars.next() else {
        out.push('\\');
        return;
    };
    let (value, more) = match c {
        'u' => (code(4, 16, 1), 4),
        'U' => (code(8, 16, 1), 8),
        '0' | '1' => (code(3, 8, 0), 2),
        _ => (None, 0),
    };
    if let Some(value) = value {
        out.push(value);
        for _ in 0..more {
            chars.next();
        }
        return;
    }
    match c {
        '0' => out.push('\0'),
        'b' => out.push('\u{8}'),
        'n' => out.push('\n'),
        'r' => out.push('\r'),
        't' => out.push('\t'),
        'Z' => out.push('\u{1a}'),
        // LIKE reads these two itself.
        '%' | '_' => out.extend(['\\', c]),
        other => out.push(other),
    }
}

pub(super) fn lower_first(message: &str) -> String {
    let mut chars = message.trim_end_matches('.').chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
