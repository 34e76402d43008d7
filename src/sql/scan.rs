//! Where a statement of a script ends: a byte scanner that knows the quotes and comments of both dialects, and nothing else.
//!
//! It looks at one statement only, so that a long script costs no more than its length, and never recurses.

use super::dialect::Dialect;
use crate::error::{Error, Kind, Result};

/// Parentheses and brackets deeper than this are refused, so that no recursive reader behind us runs out of stack.
const MAX_NESTING: usize = 128;

/// One statement's place: `start..end` is its text without surrounding comments, `next` the offset behind its `;`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) next: usize,
    /// A `;` was there.
    pub(super) terminated: bool,
}

/// The next statement at or after `offset`; `None` if only white space and comments are left.
pub(super) fn next_slice(text: &str, offset: usize, dialect: Dialect) -> Result<Option<Slice>> {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    let bytes = text.as_bytes();
    let mut first = None;
    let mut end = at;
    let mut depth = 0usize;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte == b';' {
            let start = first.unwrap_or(at);
            return Ok(Some(Slice { start, end: end.max(start), next: at + 1, terminated: true }));
        }
        if let Some(next) = blank(text, at, dialect)? {
            at = next;
            continue;
        }
        first.get_or_insert(at);
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > MAX_NESTING {
                    return Err(too_deep().at(at));
                }
                at += 1;
            }
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            _ => at = unit(text, at, dialect)?,
        }
        end = at;
    }
    Ok(first.map(|start| Slice { start, end, next: text.len(), terminated: false }))
}

pub(super) fn too_deep() -> Error {
    Error::new(Kind::TooComplex, format!("the statement nests deeper than {MAX_NESTING} levels"))
        .with_hint("write it with common table expressions, or split it")
}

pub(super) fn skip(text: &str, offset: usize, dialect: Dialect) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    while at < text.len() {
        if text.as_bytes()[at] == b';' {
            return at + 1;
        }
        let step = match blank(text, at, dialect) {
            Ok(Some(next)) => Ok(next),
            Ok(None) => unit(text, at, dialect),
            Err(e) => Err(e),
        };
        match step {
            Ok(next) => at = next,
            Err(_) => return text.len(),
        }
    }
    at
}

pub(super) fn is_complete(text: &str, dialect: Dialect) -> bool {
    let mut at = 0;
    let mut complete = true;
    while at < text.len() {
        if text.as_bytes()[at] == b';' {
            complete = true;
            at += 1;
            continue;
        }
        match blank(text, at, dialect) {
            Ok(Some(next)) => at = next,
            Ok(None) => match unit(text, at, dialect) {
                Ok(next) => {
                    complete = false;
                    at = next;
                }
                Err(_) => return false,
            },
            Err(_) => return false,
        }
    }
    complete
}

/// White space or a comment at `at`: the offset behind it.
fn blank(text: &str, at: usize, dialect: Dialect) -> Result<Option<usize>> {
    let bytes = text.as_bytes();
    match bytes[at] {
        b if b.is_ascii_whitespace() || b == 0x0b => Ok(Some(at + 1)),
        b'-' if bytes.get(at + 1) == Some(&b'-') => {
            // PostgreSQL ends a line comment at a carriage return too.
            let ends = |b: &u8| *b == b'\n' || (dialect == Dialect::Postgres && *b == b'\r');
            Ok(Some(bytes[at..].iter().position(ends).map_or(text.len(), |n| at + n + 1)))
        }
        b'/' if bytes.get(at + 1) == Some(&b'*') => {
            let mut depth = 0usize;
            let mut i = at;
            while i < bytes.len() {
                match (bytes[i], bytes.get(i + 1)) {
                    (b'/', Some(b'*')) => {
                        depth += 1;
                        i += 2;
                    }
                    (b'*', Some(b'/')) => {
                        depth -= 1;
                        i += 2;
                        if depth == 0 {
                            return Ok(Some(i));
                        }
                    }
                    _ => i += 1,
                }
            }
            Err(Error::new(Kind::Syntax, "unterminated /* comment").at(at))
        }
        _ => Ok(None),
    }
}

/// The smallest step that is safe: a whole quoted thing, a whole word, or one character.
fn unit(text: &str, at: usize, dialect: Dialect) -> Result<usize> {
    let bytes = text.as_bytes();
    match bytes[at] {
        b'\'' => quoted(text, at, at, b'\'', dialect == Dialect::Spark, "quoted string"),
        b'"' if dialect == Dialect::Spark => quoted(text, at, at, b'"', true, "quoted string"),
        b'"' => quoted(text, at, at, b'"', false, "quoted identifier"),
        b'`' => quoted(text, at, at, b'`', false, "quoted identifier"),
        b'$' => match dollar_tag(bytes, at) {
            Some(tag) => text[at + tag..]
                .find(&text[at..at + tag])
                .map(|n| at + n + 2 * tag)
                .ok_or_else(|| Error::new(Kind::Syntax, "unterminated dollar-quoted string").at(at)),
            None => Ok(at + 1),
        },
        b if is_word(b) => {
            let end = bytes[at..].iter().position(|b| !is_word(*b) && *b != b'$').map_or(text.len(), |n| at + n);
            let escaped = matches!(&bytes[at..end], b"e" | b"E");
            match bytes.get(end) {
                Some(b'\'') if escaped => quoted(text, end, at, b'\'', true, "quoted string"),
                _ => Ok(end),
            }
        }
        _ => Ok(at + 1),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn quoted(text: &str, at: usize, start: usize, quote: u8, backslash: bool, what: &str) -> Result<usize> {
    let bytes = text.as_bytes();
    let mut i = at + 1;
    while i < bytes.len() {
        if backslash && bytes[i] == b'\\' {
            i += 2;
        } else if bytes[i] != quote {
            i += 1;
        } else if bytes.get(i + 1) == Some(&quote) {
            i += 2;
        } else {
            return Ok(i + 1);
        }
    }
    Err(Error::new(Kind::Syntax, format!("unterminated {what}")).at(start))
}

/// Length of `$tag$` at `at`.
fn dollar_tag(bytes: &[u8], at: usize) -> Option<usize> {
    let mut i = at + 1;
    if bytes.get(i).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    while bytes.get(i).is_some_and(|b| is_word(*b)) {
        i += 1;
    }
    (bytes.get(i) == Some(&b'$')).then_some(i + 1 - at)
}
