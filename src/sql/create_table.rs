//! CREATE [EXTERNAL] TABLE: its clauses come in any order, each once.

use sqlparser::tokenizer::Token;

use super::create::once;
use super::dialect::Dialect;
use super::parser::Parser;
use super::statement::{ColumnDefinition, CreateTable, PartitionColumn, StatementKind};
use super::{properties, types, unsupported};
use crate::error::{Error, Kind, Result};

pub(super) fn create_table(p: &mut Parser<'_>) -> Result<StatementKind> {
    let external = p.accept("external");
    p.expect("table")?;
    let if_not_exists = p.if_not_exists();
    let name = p.object_name("a table's name")?;
    if p.is("like") {
        return Err(unsupported::refuse_named(p, "CREATE TABLE … LIKE"));
    }
    let mut table = CreateTable {
        name,
        external,
        if_not_exists,
        provider: None,
        hive_format: false,
        columns: Vec::new(),
        partitioned_by: Vec::new(),
        location: None,
        options: Vec::new(),
        properties: Vec::new(),
        comment: None,
        as_query: None,
        clustered: false,
    };
    if *p.peek() == Token::LParen && !query_in_parentheses(p) {
        table.columns = columns(p)?;
    }
    let mut seen = Vec::new();
    while !p.at_end() && table.as_query.is_none() {
        let place = p.position();
        let Some(name) = clause(p, &mut table)? else { break };
        once(&mut seen, name, place)?;
    }
    refuse_same_names(&table)?;
    // USING and STORED AS are Spark's forms, and so are the types in them, in any session.
    if table.provider.is_some() {
        let columns = table.columns.iter_mut().map(|c| &mut c.data_type);
        let partitions = table.partitioned_by.iter_mut().filter_map(|c| c.data_type.as_mut());
        for sql_type in columns.chain(partitions) {
            if let Ok(data_type) = types::parse(&sql_type.text, Dialect::Spark) {
                sql_type.data_type = data_type;
            }
        }
    }
    Ok(StatementKind::CreateTable(Box::new(table)))
}

fn query_in_parentheses(p: &Parser<'_>) -> bool {
    ["select", "with", "values", "from"].iter().any(|k| p.is_at(1, k)) || *p.peek_at(1) == Token::LParen
}

/// One clause behind the columns: its name, or `None` if none is here.
fn clause(p: &mut Parser<'_>, table: &mut CreateTable) -> Result<Option<&'static str>> {
    if p.accept("using") {
        table.provider = Some(provider(p)?);
        return Ok(Some("USING or STORED AS"));
    }
    if p.accept("stored as") {
        if p.is("inputformat") {
            return Err(
                unsupported::refuse_named(p, "STORED AS INPUTFORMAT").with_hint("write STORED AS PARQUET, or USING")
            );
        }
        table.provider = Some(provider(p)?);
        table.hive_format = true;
        return Ok(Some("USING or STORED AS"));
    }
    if p.accept("options") {
        table.options = properties::list(p)?;
        return Ok(Some("OPTIONS"));
    }
    if p.accept("tblproperties") {
        table.properties = properties::list(p)?;
        return Ok(Some("TBLPROPERTIES"));
    }
    if p.accept("partitioned by") {
        table.partitioned_by = partition_columns(p)?;
        return Ok(Some("PARTITIONED BY"));
    }
    if p.accept("clustered by") {
        clustered(p)?;
        table.clustered = true;
        return Ok(Some("CLUSTERED BY"));
    }
    if p.accept("comment") {
        table.comment = Some(p.string("a comment's text")?);
        return Ok(Some("COMMENT"));
    }
    if p.accept("location") {
        table.location = Some(p.string("a path")?);
        return Ok(Some("LOCATION"));
    }
    if p.accept("as") || p.at_query() {
        table.as_query = Some(as_query(p)?);
        return Ok(Some("AS"));
    }
    let refused = [
        ("row format", "ROW FORMAT"),
        ("stored by", "STORED BY"),
        ("skewed by", "SKEWED BY"),
        ("cluster by", "CREATE TABLE … CLUSTER BY"),
        ("inherits", "INHERITS"),
        ("partition of", "PARTITION OF"),
        ("partition by", "PostgreSQL's PARTITION BY"),
        ("tablespace", "TABLESPACE"),
        ("with", "CREATE TABLE … WITH"),
        ("like", "CREATE TABLE … LIKE"),
    ];
    match refused.iter().find(|(words, _)| p.are(words)) {
        Some((_, name)) => Err(unsupported::refuse_named(p, name)),
        None => Err(p.unexpected(
            "USING, STORED AS, OPTIONS, PARTITIONED BY, CLUSTERED BY, COMMENT, LOCATION, TBLPROPERTIES or AS",
        )),
    }
}

/// PostgreSQL's `WITH [NO] DATA` may stand at the end.
fn as_query(p: &mut Parser<'_>) -> Result<super::statement::Query> {
    let end = p.find(|p, n| {
        p.is_at(n, "with") && (p.is_at(n + 1, "data") || (p.is_at(n + 1, "no") && p.is_at(n + 2, "data")))
    });
    let query = p.query_until(end, &[])?;
    if p.are("with no data") {
        return Err(unsupported::refuse_named(p, "WITH NO DATA").with_hint("write LIMIT 0"));
    }
    p.accept("with data");
    Ok(query)
}

/// A word, or a class name of Spark's (`org.apache.spark.sql.parquet`), in lower case.
fn provider(p: &mut Parser<'_>) -> Result<String> {
    if let Some(name) = p.accept_string() {
        return Ok(name.to_lowercase());
    }
    let mut name = p.identifier("a format or a provider")?.value;
    while p.accept_token(&Token::Period) {
        name.push('.');
        name.push_str(&p.identifier("a name after `.`")?.value);
    }
    Ok(name.to_lowercase())
}

fn columns(p: &mut Parser<'_>) -> Result<Vec<ColumnDefinition>> {
    p.expect_token(&Token::LParen)?;
    let columns = p.comma_separated(|p| {
        let refused = ["constraint", "check", "exclude"].iter().find(|k| p.is(k)).copied();
        let refused = refused.or_else(|| ["primary key", "foreign key"].iter().find(|k| p.are(k)).copied());
        match refused {
            Some(words) => Err(constraint(p, words)),
            None if p.is("unique") && *p.peek_at(1) == Token::LParen => Err(constraint(p, "unique")),
            None => column(p),
        }
    })?;
    p.expect_token(&Token::RParen)?;
    Ok(columns)
}

fn constraint(p: &Parser<'_>, words: &str) -> Error {
    unsupported::refuse_named(p, &words.to_uppercase())
        .with_hint("constraints other than NOT NULL are not kept: leave it out")
}

/// `name type [NOT NULL] [DEFAULT e] [COMMENT 's']`.
pub(super) fn column(p: &mut Parser<'_>) -> Result<ColumnDefinition> {
    let name = p.identifier("a column's name")?;
    p.accept_token(&Token::Colon);
    let data_type = p.sql_type()?;
    let mut column = ColumnDefinition { name, data_type, nullable: true, comment: None, default: None };
    let mut seen = Vec::new();
    loop {
        let place = p.position();
        let clause = if p.accept("not null") {
            column.nullable = false;
            "NULL or NOT NULL"
        } else if p.accept("null") {
            "NULL or NOT NULL"
        } else if p.accept("comment") {
            column.comment = Some(p.string("a comment's text")?);
            "COMMENT"
        } else if p.accept("default") {
            column.default = Some(default(p)?);
            "DEFAULT"
        } else if let Some(words) =
            ["primary key", "unique", "references", "check", "constraint", "generated", "collate"]
                .iter()
                .find(|k| p.are(k))
        {
            return Err(constraint(p, words));
        } else {
            return Ok(column);
        };
        once(&mut seen, clause, place)?;
    }
}

/// The text of an expression, once sqlparser has read it.
fn default(p: &mut Parser<'_>) -> Result<String> {
    let start = p.position();
    let end = p.find(|p, n| {
        matches!(p.peek_at(n), Token::Comma | Token::RParen)
            || p.is_at(n, "comment")
            || (n > 0 && (p.is_at(n, "not") && p.is_at(n + 1, "null") || p.is_at(n, "null")))
            || ["primary", "unique", "references", "check", "constraint", "generated"].iter().any(|k| p.is_at(n, k))
    });
    p.expression_until(end)?;
    Ok(p.taken(start).to_owned())
}

/// Names of declared columns, or typed columns, or (Hive) both.
fn partition_columns(p: &mut Parser<'_>) -> Result<Vec<PartitionColumn>> {
    p.expect_token(&Token::LParen)?;
    let columns = p.comma_separated(|p| {
        let name = p.identifier("a partition column")?;
        match p.peek() {
            Token::Comma | Token::RParen => return Ok(PartitionColumn { name, data_type: None, comment: None }),
            Token::LParen => {
                let message = format!("partitioning by a transform (`{}(…)`) is not supported", name.value);
                return Err(Error::new(Kind::FeatureNotSupported, message)
                    .at(name.position)
                    .with_hint("add a column that holds its value"));
            }
            _ => {}
        }
        p.accept_token(&Token::Colon);
        let data_type = Some(p.sql_type()?);
        p.accept("not null");
        let comment = if p.accept("comment") { Some(p.string("a comment's text")?) } else { None };
        Ok(PartitionColumn { name, data_type, comment })
    })?;
    p.expect_token(&Token::RParen)?;
    Ok(columns)
}

/// `(a, b) [SORTED BY (c ASC)] INTO n BUCKETS`.
fn clustered(p: &mut Parser<'_>) -> Result<()> {
    p.identifier_list("a column to cluster by")?;
    if p.accept("sorted by") {
        p.expect_token(&Token::LParen)?;
        p.comma_separated(|p| {
            p.identifier("a column to sort by")?;
            p.accept_one(&["asc", "desc"]);
            Ok(())
        })?;
        p.expect_token(&Token::RParen)?;
    }
    p.expect("into")?;
    match p.peek() {
        Token::Number(n, _) if n.parse::<u32>().is_ok_and(|n| n > 0) => p.advance(),
        _ => return Err(p.unexpected("a number of buckets")),
    }
    p.expect("buckets")
}

fn refuse_same_names(table: &CreateTable) -> Result<()> {
    let declared = table.columns.iter().map(|c| &c.name);
    let typed = table.partitioned_by.iter().filter(|c| c.data_type.is_some()).map(|c| &c.name);
    let mut names: Vec<String> = Vec::new();
    for name in declared.chain(typed) {
        let lower = name.value.to_lowercase();
        if names.contains(&lower) {
            let message = format!("column `{}` is named twice", name.value);
            return Err(Error::new(Kind::DuplicateColumn, message).at(name.position));
        }
        names.push(lower);
    }
    for (i, column) in table.partitioned_by.iter().enumerate() {
        if table.partitioned_by[..i].iter().any(|c| c.name.value.eq_ignore_ascii_case(&column.name.value)) {
            let message = format!("partition column `{}` is named twice", column.name.value);
            return Err(Error::new(Kind::DuplicateColumn, message).at(column.name.position));
        }
    }
    Ok(())
}
