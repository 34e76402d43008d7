//! ALTER TABLE.

use sqlparser::tokenizer::Token;

use super::parser::Parser;
use super::statement::{AlterTable, PartitionSpec, StatementKind};
use super::{create_table, partition, properties, unsupported};
use crate::error::Result;

pub(super) fn alter(p: &mut Parser<'_>) -> Result<StatementKind> {
    p.expect("alter")?;
    if !p.accept("table") {
        let known = [
            "database",
            "schema",
            "namespace",
            "view",
            "role",
            "user",
            "index",
            "sequence",
            "system",
            "function",
            "type",
        ];
        return Err(match known.iter().find(|k| p.is(k)) {
            Some(word) => unsupported::refuse_named(p, &format!("ALTER {}", word.to_uppercase())),
            None => p.unexpected("TABLE"),
        });
    }
    if p.is("if") || p.is("only") {
        return Err(unsupported::refuse_named(p, "ALTER TABLE IF EXISTS or ONLY"));
    }
    let name = p.object_name("a table's name")?;
    let action = action(p)?;
    Ok(StatementKind::AlterTable { name, action })
}

fn action(p: &mut Parser<'_>) -> Result<AlterTable> {
    if p.is("partition") {
        let partition = partition::clause(p)?;
        if p.is("rename") {
            return Err(unsupported::refuse_named(p, "ALTER TABLE … PARTITION … RENAME"));
        }
        p.expect("set location")?;
        return Ok(AlterTable::SetLocation { partition: Some(partition), location: p.string("a path")? });
    }
    if p.accept("add") {
        return add(p);
    }
    if p.accept("drop") {
        return drop(p);
    }
    if p.accept("recover partitions") {
        return Ok(AlterTable::RecoverPartitions);
    }
    if p.accept("rename to") {
        return Ok(AlterTable::RenameTo { name: p.object_name("the new name")? });
    }
    if p.is("rename") {
        return Err(unsupported::refuse_named(p, "ALTER TABLE … RENAME COLUMN"));
    }
    if p.accept("set tblproperties") {
        return Ok(AlterTable::SetProperties { properties: properties::list(p)? });
    }
    if p.accept("unset tblproperties") {
        let if_exists = p.if_exists();
        return Ok(AlterTable::UnsetProperties { keys: properties::keys(p)?, if_exists });
    }
    if p.accept("set location") {
        return Ok(AlterTable::SetLocation { partition: None, location: p.string("a path")? });
    }
    let refused =
        ["set", "alter", "change", "replace", "owner", "enable", "disable", "cluster", "partition", "attach", "detach"];
    Err(match refused.iter().find(|k| p.is(k)) {
        Some(word) => {
            let more = p.word_at(1).map(|w| format!(" {}", w.to_uppercase())).unwrap_or_default();
            unsupported::refuse_named(p, &format!("ALTER TABLE … {}{more}", word.to_uppercase()))
        }
        None => p.unexpected("ADD, DROP, RENAME TO, RECOVER PARTITIONS, SET, UNSET or PARTITION"),
    })
}

fn add(p: &mut Parser<'_>) -> Result<AlterTable> {
    let if_not_exists = p.if_not_exists();
    if p.is("partition") {
        let mut partitions: Vec<(PartitionSpec, Option<String>)> = Vec::new();
        while let Some(partition) = partition::optional(p)? {
            let location = if p.accept("location") { Some(p.string("a path")?) } else { None };
            partitions.push((partition, location));
            p.accept_token(&Token::Comma);
        }
        return Ok(AlterTable::AddPartitions { if_not_exists, partitions });
    }
    if if_not_exists {
        return Err(p.unexpected("PARTITION"));
    }
    if let Some(word) = ["constraint", "primary", "unique", "check", "foreign"].iter().find(|k| p.is(k)) {
        return Err(unsupported::refuse_named(p, &format!("ALTER TABLE … ADD {}", word.to_uppercase())));
    }
    let named = p.accept_one(&["columns", "column"]).is_some();
    if *p.peek() == Token::LParen {
        p.expect_token(&Token::LParen)?;
        let columns = p.comma_separated(new_column)?;
        p.expect_token(&Token::RParen)?;
        return Ok(AlterTable::AddColumns { columns });
    }
    if !named && !matches!(p.peek(), Token::Word(_)) {
        return Err(p.unexpected("PARTITION or COLUMNS"));
    }
    Ok(AlterTable::AddColumns { columns: p.comma_separated(new_column)? })
}

fn new_column(p: &mut Parser<'_>) -> Result<super::statement::ColumnDefinition> {
    let column = create_table::column(p)?;
    if p.is("first") || p.is("after") {
        return Err(p.refuse("a new column comes last: FIRST and AFTER are not supported"));
    }
    Ok(column)
}

fn drop(p: &mut Parser<'_>) -> Result<AlterTable> {
    let if_exists = p.if_exists();
    if !p.is("partition") {
        if ["column", "columns", "constraint"].iter().any(|k| p.is(k)) {
            let word = p.word_at(0).unwrap_or_default().to_uppercase();
            return Err(unsupported::refuse_named(p, &format!("ALTER TABLE … DROP {word}")));
        }
        return Err(p.unexpected("PARTITION"));
    }
    let mut partitions = vec![partition::clause(p)?];
    while p.accept_token(&Token::Comma) || p.is("partition") {
        partitions.push(partition::clause(p)?);
    }
    let purge = p.accept("purge");
    Ok(AlterTable::DropPartitions { if_exists, partitions, purge })
}
