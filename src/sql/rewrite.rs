//! What is done to the tokens of a query before sqlparser reads them: literals that it does not know are put in its words,
//! FROM-first queries are turned round, and what would become too deep a tree is refused.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::dialect::Dialect;
use super::parser::at_or_near;
use super::tokens::Piece;
use crate::error::{Error, Kind, Result};

/// `1 + 1 + …` and `a UNION b UNION …` become trees as deep as they are long; longer ones are refused.
const MAX_CHAIN: usize = 4_000;
/// `array<array<…` within CAST.
const MAX_TYPE_DEPTH: usize = 64;
/// Where the items of a SELECT end.
const AFTER_ITEMS: &[&str] = &[
    "from",
    "lateral",
    "where",
    "group",
    "having",
    "window",
    "qualify",
    "order",
    "cluster",
    "distribute",
    "sort",
    "limit",
    "offset",
    "union",
    "intersect",
    "except",
    "minus",
];

pub(super) fn is_word(piece: &Piece, keyword: &str) -> bool {
    matches!(&piece.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(keyword))
}

/// Hive's `FROM t SELECT a WHERE …` as `SELECT a FROM t WHERE …`.
pub(super) fn from_first(pieces: &[Piece]) -> Vec<Piece> {
    if !pieces.first().is_some_and(|p| is_word(p, "from")) {
        return pieces.to_vec();
    }
    let at_top = |from: usize, stop: &dyn Fn(&Piece) -> bool| {
        let mut depth = 0usize;
        for (i, piece) in pieces.iter().enumerate().skip(from) {
            match piece.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ if depth == 0 && stop(piece) => return i,
                _ => {}
            }
        }
        pieces.len()
    };
    let select = at_top(1, &|p| is_word(p, "select"));
    let after = at_top(select + 1, &|p| AFTER_ITEMS.iter().any(|k| is_word(p, k)));
    if select == pieces.len() {
        return pieces.to_vec();
    }
    [&pieces[select..after], &pieces[..select], &pieces[after..]].concat()
}

/// The tokens of `FROM t` and those of `SELECT …` that stand apart in `FROM t INSERT … SELECT …`.
pub(super) fn join_from(from: &[Piece], rest: &[Piece]) -> Vec<Piece> {
    from_first(&[from, rest].concat())
}

/// sqlparser takes the keyword behind a forgotten name for the name: `SELECT a, FROM t`, `SELECT * FROM WHERE a`.
pub(super) fn check_names(pieces: &[Piece], text: &str) -> Result<()> {
    for (i, pair) in pieces.windows(2).enumerate() {
        let before_table = is_word(&pair[0], "from") || is_word(&pair[0], "join");
        let by = pieces.get(i + 2).is_some_and(|p| is_word(p, "by"));
        let clause = ["where", "having", "union", "from"].iter().any(|k| is_word(&pair[1], k))
            || (by && ["group", "order"].iter().any(|k| is_word(&pair[1], k)));
        let expected = if before_table && clause {
            "a table"
        } else if pair[0].token == Token::Comma && is_word(&pair[1], "from") {
            "an expression"
        } else {
            continue;
        };
        let place = &pair[1];
        return Err(at_or_near(&text[place.start..place.end])
            .at(place.start)
            .with_detail(format!("expected {expected}")));
    }
    Ok(())
}

/// Refuses what would become too deep a tree.
pub(super) fn check_size(pieces: &[Piece]) -> Result<()> {
    let mut chains = vec![0usize];
    let mut types = 0usize;
    for pair in pieces.windows(2) {
        let last = chains.last_mut().expect("never empty: closing pops only inner ones");
        match &pair[0].token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                *last += 1;
                chains.push(0);
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if chains.len() > 1 {
                    chains.pop();
                }
            }
            Token::Comma => *last = 0,
            Token::Word(w) if w.quote_style.is_none() => match w.keyword {
                Keyword::AND
                | Keyword::OR
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::COLLATE
                | Keyword::IS
                | Keyword::AT
                | Keyword::NOT
                | Keyword::LIKE
                | Keyword::BETWEEN
                | Keyword::DIV
                | Keyword::JOIN => *last += 1,
                Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP if pair[1].token == Token::Lt => types += 1,
                _ => {}
            },
            Token::Number(..) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) | Token::Word(_) => {}
            _ => *last += 1,
        }
        if chains.last().is_some_and(|n| *n > MAX_CHAIN) {
            let message = format!("an expression or a chain of set operations has more than {MAX_CHAIN} operators");
            return Err(Error::new(Kind::TooComplex, message)
                .at(pair[0].start)
                .with_hint("use IN (…), or split the statement"));
        }
        if types > MAX_TYPE_DEPTH {
            return Err(Error::new(Kind::TooComplex, format!("more than {MAX_TYPE_DEPTH} nested types in a query"))
                .at(pair[0].start));
        }
    }
    Ok(())
}

/// Tokens for sqlparser: Spark's literals and PostgreSQL's adjacent strings, which it does not read, become what it does.
pub(super) fn rewrite(pieces: &[Piece], text: &str, dialect: Dialect) -> Vec<TokenWithSpan> {
    let mut tokens: Vec<TokenWithSpan> = Vec::with_capacity(pieces.len() + 8);
    let mut i = 0;
    while let Some(piece) = pieces.get(i) {
        let span = piece.span;
        let add = |token: Token| TokenWithSpan { token, span };
        i += 1;
        match &piece.token {
            Token::Number(number, long) => {
                let suffix = pieces.get(i).filter(|p| p.start == piece.end).and_then(number_suffix);
                let to = if *long { Some("BIGINT") } else { suffix };
                i += usize::from(suffix.is_some() && !*long);
                let Some(to) = to else {
                    tokens.push(add(piece.token.clone()));
                    continue;
                };
                let literal = Token::SingleQuotedString(number.clone());
                let parts = [word("CAST"), Token::LParen, literal, word("AS"), word(to)];
                tokens.extend(parts.into_iter().map(add));
                if to == "DECIMAL" {
                    let digits = number.chars().filter(char::is_ascii_digit).count().max(1);
                    let scale = number.split_once('.').map_or(0, |(_, f)| f.len());
                    let parts = [
                        Token::LParen,
                        Token::Number(digits.to_string(), false),
                        Token::Comma,
                        Token::Number(scale.to_string(), false),
                        Token::RParen,
                    ];
                    tokens.extend(parts.into_iter().map(add));
                }
                tokens.push(add(Token::RParen));
            }
            Token::SingleQuotedString(s) => {
                let mut value = s.clone();
                let mut behind = piece.end;
                while let Some(next) = pieces.get(i) {
                    let joined = match dialect {
                        Dialect::Spark => true,
                        Dialect::Postgres => text[behind..next.start].contains('\n'),
                    };
                    let Token::SingleQuotedString(more) = &next.token else { break };
                    if !joined {
                        break;
                    }
                    value.push_str(more);
                    behind = next.end;
                    i += 1;
                }
                tokens.push(add(Token::SingleQuotedString(value)));
            }
            Token::Word(w)
                if w.keyword == Keyword::TABLE
                    && w.quote_style.is_none()
                    && begins_query(tokens.last())
                    && matches!(pieces.get(i).map(|p| &p.token), Some(Token::Word(_))) =>
            {
                tokens.extend([word("SELECT"), Token::Mul, word("FROM")].into_iter().map(add));
            }
            // sqlparser's PostgreSQL takes `array(` for the begin of a subquery.
            Token::Word(w) if dialect == Dialect::Postgres && is_array_function(w, &pieces[i..]) => {
                let name = w.value.to_lowercase();
                tokens.push(add(Token::Word(Word {
                    value: name,
                    quote_style: Some('"'),
                    keyword: Keyword::NoKeyword,
                })));
            }
            other => tokens.push(add(other.clone())),
        }
    }
    tokens
}

/// `array(` with values behind it, not a query.
fn is_array_function(word: &Word, behind: &[Piece]) -> bool {
    word.keyword == Keyword::ARRAY
        && word.quote_style.is_none()
        && behind.first().is_some_and(|p| p.token == Token::LParen)
        && !behind.get(1).is_some_and(|p| ["select", "with", "values", "table"].iter().any(|k| is_word(p, k)))
        && behind.get(1).is_none_or(|p| p.token != Token::LParen)
}

/// Whether a `TABLE t` after `last` is a query.
fn begins_query(last: Option<&TokenWithSpan>) -> bool {
    match last.map(|t| &t.token) {
        None | Some(Token::LParen) => true,
        Some(Token::Word(w)) => {
            matches!(w.keyword, Keyword::UNION | Keyword::ALL | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS)
        }
        _ => false,
    }
}

fn word(value: &str) -> Token {
    Token::Word(Word {
        value: value.to_owned(),
        quote_style: None,
        keyword: match value {
            "CAST" => Keyword::CAST,
            "AS" => Keyword::AS,
            "SELECT" => Keyword::SELECT,
            "FROM" => Keyword::FROM,
            "DOUBLE" => Keyword::DOUBLE,
            "REAL" => Keyword::REAL,
            "TINYINT" => Keyword::TINYINT,
            "SMALLINT" => Keyword::SMALLINT,
            "BIGINT" => Keyword::BIGINT,
            "DECIMAL" => Keyword::DECIMAL,
            _ => Keyword::NoKeyword,
        },
    })
}

/// Spark's `1.5D`, `1S`, …: the type that the letters behind a number name.
fn number_suffix(piece: &Piece) -> Option<&'static str> {
    let Token::Word(w) = &piece.token else { return None };
    if w.quote_style.is_some() {
        return None;
    }
    Some(match w.value.to_ascii_uppercase().as_str() {
        "D" => "DOUBLE",
        "F" => "REAL",
        "Y" => "TINYINT",
        "S" => "SMALLINT",
        "L" => "BIGINT",
        "BD" => "DECIMAL",
        _ => return None,
    })
}
