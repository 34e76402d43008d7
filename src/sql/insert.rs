//! INSERT: the head is ours, the source is a query.

use sqlparser::tokenizer::Token;

use super::parser::Parser;
use super::statement::{Identifier, Insert, InsertTarget, PartitionSpec, StatementKind};
use super::tokens::Piece;
use super::{partition, properties, query, rewrite, unsupported};
use crate::error::{Error, Kind, Result};

/// Whether an INSERT follows the WITH or FROM that the statement begins with.
pub(super) fn follows(p: &Parser<'_>) -> bool {
    p.find(|p, n| p.is_at(n, "insert") && (p.is_at(n + 1, "into") || p.is_at(n + 1, "overwrite"))) < p.pieces().len()
}

/// `WITH … INSERT …` and `FROM … INSERT …`.
pub(super) fn with_head(p: &mut Parser<'_>) -> Result<StatementKind> {
    let start = p.index();
    let at = p.find(|p, n| p.is_at(n, "insert") && (p.is_at(n + 1, "into") || p.is_at(n + 1, "overwrite")));
    let head: Vec<Piece> = p.pieces()[start..at].to_vec();
    p.set_index(at);
    insert(p, &head)
}

/// The statement from INSERT on; `head` are the tokens of a WITH or FROM before it.
pub(super) fn insert(p: &mut Parser<'_>, head: &[Piece]) -> Result<StatementKind> {
    p.expect("insert")?;
    let overwrite = match p.accept_one(&["overwrite", "into"]) {
        Some(word) => word == "overwrite",
        None => return Err(p.unexpected("INTO or OVERWRITE")),
    };
    let path_follows =
        |n: usize| !matches!(p.peek_at(n), Token::Word(w) if w.quote_style.is_none()) || p.is_at(n, "using");
    if (p.is("directory") && path_follows(1) && *p.peek_at(1) != Token::LParen) || p.are("local directory") {
        if !overwrite {
            return Err(p.unexpected("TABLE or a table's name: INSERT OVERWRITE writes a directory"));
        }
        return directory(p, head);
    }
    p.accept("table");
    let name = p.object_name("a table's name")?;
    if p.is("as") || (p.word_at(0).is_some() && !p.at_query() && !at_clause(p)) {
        return Err(unsupported::refuse_named(p, "an alias of the table of INSERT"));
    }
    let mut clauses = Clauses::default();
    while clauses.take(p)? {}
    refuse_clauses(p)?;
    if p.are("default values") {
        return Err(unsupported::refuse_named(p, "INSERT … DEFAULT VALUES"));
    }
    let source = source(p, head)?;
    let Clauses { partition, if_not_exists, by_name, columns, replace } = clauses;
    if replace.is_some() && !overwrite {
        let message = "REPLACE PARTITIONS belongs to INSERT OVERWRITE";
        return Err(Error::new(Kind::Syntax, message).at(name.parts[0].position));
    }
    Ok(StatementKind::Insert(Box::new(Insert {
        table: InsertTarget::Table(name),
        overwrite,
        partition,
        if_not_exists,
        by_name,
        columns: columns.unwrap_or_default(),
        replace_partitions: replace,
        source,
    })))
}

fn at_clause(p: &Parser<'_>) -> bool {
    ["partition", "by", "replace", "if", "default", "overriding", "on", "returning", "set"].iter().any(|k| p.is(k))
}

/// What may stand between the table and the query, in any order.
#[derive(Default)]
struct Clauses {
    partition: Option<PartitionSpec>,
    if_not_exists: bool,
    by_name: bool,
    columns: Option<Vec<Identifier>>,
    replace: Option<Vec<sqlparser::ast::Expr>>,
}

impl Clauses {
    /// Takes the next clause, if there is one.
    fn take(&mut self, p: &mut Parser<'_>) -> Result<bool> {
        let place = p.position();
        let twice = |is: bool, what: &str| {
            if is { Err(Error::new(Kind::Syntax, format!("{what} is given twice")).at(place)) } else { Ok(()) }
        };
        if p.is("partition") {
            twice(self.partition.is_some(), "PARTITION")?;
            self.partition = Some(partition::clause(p)?);
            self.if_not_exists = p.if_not_exists();
        } else if p.accept("by name") {
            twice(self.by_name, "BY NAME")?;
            self.by_name = true;
        } else if p.accept("replace partitions") {
            twice(self.replace.is_some(), "REPLACE PARTITIONS")?;
            self.replace = Some(conditions(p)?);
        } else if *p.peek() == Token::LParen && !query_in_parentheses(p) {
            twice(self.columns.is_some(), "the list of columns")?;
            let columns = p.identifier_list("a column's name")?;
            for (i, column) in columns.iter().enumerate() {
                if columns[..i].iter().any(|c| c.value.eq_ignore_ascii_case(&column.value)) {
                    let message = format!("column `{}` is named twice", column.value);
                    return Err(Error::new(Kind::DuplicateColumn, message).at(column.position));
                }
            }
            self.columns = Some(columns);
        } else {
            return Ok(false);
        }
        if self.by_name && self.columns.is_some() {
            return Err(Error::new(Kind::Syntax, "BY NAME and a list of columns exclude each other").at(place));
        }
        Ok(true)
    }
}

fn query_in_parentheses(p: &Parser<'_>) -> bool {
    let mut n = 1;
    while *p.peek_at(n) == Token::LParen {
        n += 1;
    }
    ["select", "with", "values", "table", "from"].iter().any(|k| p.is_at(n, k))
        && !matches!(p.peek_at(n + 1), Token::Comma | Token::RParen)
}

/// `(dt = '…', hour IN (…))`, behind REPLACE PARTITIONS.
fn conditions(p: &mut Parser<'_>) -> Result<Vec<sqlparser::ast::Expr>> {
    p.expect_token(&Token::LParen)?;
    let start = p.index();
    let end = p.find(|p, n| *p.peek_at(n) == Token::RParen);
    if end == start {
        return Err(p.unexpected("a condition on a partition column"));
    }
    let conditions = p.parse_list(start, end, |reader| reader.parse_expr())?;
    p.set_index(end);
    p.expect_token(&Token::RParen)?;
    Ok(conditions)
}

fn refuse_clauses(p: &Parser<'_>) -> Result<()> {
    let refused = [
        ("replace where", "INSERT INTO … REPLACE WHERE"),
        ("replace using", "INSERT INTO … REPLACE USING"),
        ("overriding", "OVERRIDING"),
        ("set", "INSERT … SET"),
        ("on conflict", "ON CONFLICT"),
        ("returning", "RETURNING"),
    ];
    match refused.iter().find(|(words, _)| p.are(words)) {
        Some((_, name)) => Err(unsupported::refuse_named(p, name)),
        None => Ok(()),
    }
}

/// The query, with the WITH or FROM of the statement's beginning put into its place.
fn source(p: &mut Parser<'_>, head: &[Piece]) -> Result<super::statement::Query> {
    let end = p.find(|p, n| p.is_at(n, "returning") || (p.is_at(n, "on") && p.is_at(n + 1, "conflict")));
    if end < p.pieces().len() {
        p.set_index(end);
        refuse_clauses(p)?;
    }
    let from = head.first().is_some_and(|h| p.text[h.start..h.end].eq_ignore_ascii_case("from"));
    if !from {
        return p.query_until(end, head);
    }
    if !p.is("select") {
        return Err(p.unexpected("SELECT"));
    }
    let next = p.find(|p, n| n > 0 && p.is_at(n, "insert") && (p.is_at(n + 1, "into") || p.is_at(n + 1, "overwrite")));
    if next < p.pieces().len() {
        p.set_index(next);
        return Err(
            unsupported::refuse_named(p, "several INSERTs behind one FROM").with_hint("write one statement for each")
        );
    }
    let (clauses, after, distribution) = p.distribution(p.index(), end)?;
    let mut own = rewrite::join_from(head, &p.pieces()[p.index()..clauses]);
    own.extend_from_slice(&p.pieces()[after..end]);
    let body = query::parse_query(&own, p)?;
    p.set_index(end);
    Ok(super::statement::Query { body, distribution })
}

/// `DIRECTORY 'path' [USING p] [OPTIONS (…)]`, `DIRECTORY USING p OPTIONS (path '…')`, `DIRECTORY 'path' STORED AS f`.
fn directory(p: &mut Parser<'_>, head: &[Piece]) -> Result<StatementKind> {
    p.accept("local");
    p.expect("directory")?;
    let mut path = p.accept_string();
    let mut provider = None;
    let mut options = Vec::new();
    if p.accept("using") || p.accept("stored as") {
        provider = Some(p.identifier("a format")?.value.to_lowercase());
    }
    if p.are("row format") {
        return Err(unsupported::refuse_named(p, "ROW FORMAT"));
    }
    if p.accept("options") {
        options = properties::list(p)?;
    }
    if path.is_none() {
        let place = options.iter().position(|(k, _)| k.eq_ignore_ascii_case("path"));
        path = place.map(|i| options.remove(i).1);
    }
    let path = path.ok_or_else(|| p.unexpected("the path of the directory"))?;
    let source = source(p, head)?;
    Ok(StatementKind::Insert(Box::new(Insert {
        table: InsertTarget::Directory { path, provider, options },
        overwrite: true,
        partition: None,
        if_not_exists: false,
        by_name: false,
        columns: Vec::new(),
        replace_partitions: None,
        source,
    })))
}
