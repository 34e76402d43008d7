//! Tables of what statements become, in both dialects, and what is said of those that do not parse.

mod bodies;
mod definitions;
mod fuzz;
mod manipulation;
mod sessions;
mod units;

use std::fmt::Write;

use super::statement::*;
use super::{next_statement, statement};
use crate::error::{Error, Result};

pub(super) const BOTH: [Dialect; 2] = [Dialect::Spark, Dialect::Postgres];

pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Statement> {
    let (statement, next) = next_statement(text, 0, dialect)?.expect("a statement");
    assert_eq!(next, text.len(), "one statement alone: {text}");
    Ok(statement)
}

/// `text` parses in both dialects and is `expected` in short.
pub(super) fn check(text: &str, expected: &str) {
    for dialect in BOTH {
        check_in(dialect, text, expected);
    }
}

pub(super) fn check_in(dialect: Dialect, text: &str, expected: &str) {
    match parse(text, dialect) {
        Ok(statement) => assert_eq!(short(&statement.kind), expected, "in {dialect}: {text}"),
        Err(e) => panic!("in {dialect}: {text}\n{}", shown(&e)),
    }
}

/// `text` fails in both dialects; `expected` is `SQLSTATE position message`, with the detail behind a `;`.
pub(super) fn fails(text: &str, expected: &str) {
    for dialect in BOTH {
        fails_in(dialect, text, expected);
    }
}

pub(super) fn fails_in(dialect: Dialect, text: &str, expected: &str) {
    match next_statement(text, 0, dialect) {
        Ok(statement) => panic!("in {dialect}: parsed {text}\n{statement:?}"),
        Err(e) => assert_eq!(shown(&e), expected, "in {dialect}: {text}"),
    }
}

pub(super) fn shown(e: &Error) -> String {
    let detail = e.detail.as_ref().map(|d| format!("; {d}")).unwrap_or_default();
    let place = e.position.map_or("-".to_owned(), |p| p.to_string());
    format!("{} {place} {}{detail}", e.sqlstate(), e.message)
}

fn name(name: &ObjectName) -> String {
    name.parts.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join(".")
}

fn names(list: &[Identifier]) -> String {
    list.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join(",")
}

fn flag(is: bool, word: &str) -> &str {
    if is { word } else { "" }
}

fn option(label: &str, value: &Option<impl ToString>) -> String {
    value.as_ref().map(|v| format!(" {label}={}", v.to_string())).unwrap_or_default()
}

fn pairs(label: &str, list: &[(String, String)]) -> String {
    if list.is_empty() {
        return String::new();
    }
    format!(" {label}[{}]", list.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "))
}

fn spec(spec: &PartitionSpec) -> String {
    let term = |t: &PartitionTerm| match &t.value {
        Some(value) => format!("{}={value:?}", t.name.value),
        None => t.name.value.clone(),
    };
    format!("({})", spec.columns.iter().map(term).collect::<Vec<_>>().join(","))
}

fn partition(partition: &Option<PartitionSpec>) -> String {
    partition.as_ref().map(|p| format!(" partition{}", spec(p))).unwrap_or_default()
}

pub(super) fn query(query: &Query) -> String {
    let mut out = query.body.to_string();
    let list = |items: Vec<String>| items.join(",");
    let distribution = &query.distribution;
    if !distribution.distribute_by.is_empty() {
        write!(out, " |distribute {}", list(distribution.distribute_by.iter().map(ToString::to_string).collect()))
            .unwrap();
    }
    if !distribution.sort_by.is_empty() {
        write!(out, " |sort {}", list(distribution.sort_by.iter().map(ToString::to_string).collect())).unwrap();
    }
    out
}

fn columns(list: &[ColumnDefinition]) -> String {
    let column = |c: &ColumnDefinition| {
        format!(
            "{} {}{}{}{}",
            c.name.value,
            c.data_type.text,
            flag(!c.nullable, " not null"),
            option("default", &c.default),
            option("comment", &c.comment)
        )
    };
    list.iter().map(column).collect::<Vec<_>>().join(", ")
}

fn table(t: &CreateTable) -> String {
    let mut out = format!(
        "create{} table{} {}",
        flag(t.external, " external"),
        flag(t.if_not_exists, " if-not-exists"),
        name(&t.name)
    );
    if !t.columns.is_empty() {
        write!(out, " ({})", columns(&t.columns)).unwrap();
    }
    out += &option(if t.hive_format { "stored-as" } else { "using" }, &t.provider);
    if !t.partitioned_by.is_empty() {
        let column = |c: &PartitionColumn| match &c.data_type {
            Some(data_type) => format!("{} {}", c.name.value, data_type.text),
            None => c.name.value.clone(),
        };
        write!(out, " by({})", t.partitioned_by.iter().map(column).collect::<Vec<_>>().join(", ")).unwrap();
    }
    out += flag(t.clustered, " clustered");
    out += &option("location", &t.location);
    out += &pairs("options", &t.options);
    out += &pairs("properties", &t.properties);
    out += &option("comment", &t.comment);
    out + &t.as_query.as_ref().map(|q| format!(" as {}", query(q))).unwrap_or_default()
}

fn insert(i: &Insert) -> String {
    let target = match &i.table {
        InsertTarget::Table(table) => name(table),
        InsertTarget::Directory { path, provider, options } => {
            format!("directory {path}{}{}", option("using", provider), pairs("options", options))
        }
    };
    let columns = if i.columns.is_empty() { String::new() } else { format!(" ({})", names(&i.columns)) };
    let replace = i
        .replace_partitions
        .as_ref()
        .map(|list| format!(" replace({})", list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
    format!(
        "insert{} {target}{}{}{}{columns}{}: {}",
        flag(i.overwrite, " overwrite"),
        partition(&i.partition),
        flag(i.if_not_exists, " if-not-exists"),
        flag(i.by_name, " by-name"),
        replace.unwrap_or_default(),
        query(&i.source)
    )
}

fn alter(action: &AlterTable) -> String {
    match action {
        AlterTable::AddPartitions { if_not_exists, partitions } => {
            let list = partitions.iter().map(|(p, l)| spec(p) + &option("location", l)).collect::<Vec<_>>();
            format!("add{} {}", flag(*if_not_exists, " if-not-exists"), list.join(" "))
        }
        AlterTable::DropPartitions { if_exists, partitions, purge } => {
            let list = partitions.iter().map(spec).collect::<Vec<_>>();
            format!("drop{}{} {}", flag(*if_exists, " if-exists"), flag(*purge, " purge"), list.join(" "))
        }
        AlterTable::RecoverPartitions => "recover".into(),
        AlterTable::RenameTo { name: to } => format!("rename {}", name(to)),
        AlterTable::SetProperties { properties } => format!("set{}", pairs("properties", properties)),
        AlterTable::UnsetProperties { keys, if_exists } => {
            format!("unset{} {}", flag(*if_exists, " if-exists"), keys.join(","))
        }
        AlterTable::SetLocation { partition: of, location } => format!("location{} {location}", partition(of)),
        AlterTable::AddColumns { columns: list } => format!("columns ({})", columns(list)),
    }
}

fn show(show: &Show) -> String {
    let of = |database: &Option<Identifier>| option("in", &database.as_ref().map(|d| d.value.clone()));
    match show {
        Show::Setting { name, .. } => format!("setting {name}"),
        Show::AllSettings { verbose } => format!("settings{}", flag(*verbose, " verbose")),
        Show::Databases { pattern } => format!("databases{}", option("like", pattern)),
        Show::Tables { database, pattern } => format!("tables{}{}", of(database), option("like", pattern)),
        Show::Views { database, pattern } => format!("views{}{}", of(database), option("like", pattern)),
        Show::Partitions { table, partition: p } => format!("partitions {}{}", name(table), partition(p)),
        Show::Columns { table } => format!("columns {}", name(table)),
        Show::CreateTable { table } => format!("create {}", name(table)),
        Show::Properties { table, key } => format!("properties {}{}", name(table), option("key", key)),
        Show::Functions { pattern } => format!("functions{}", option("like", pattern)),
        Show::GeodataLayers => "layers".into(),
    }
}

fn set(set: &Set) -> String {
    match set {
        Set::Value { name, value, local, .. } => format!("set{} {name}={value}", flag(*local, " local")),
        Set::Default { name, .. } => format!("default {name}"),
        Set::ResetAll => "reset all".into(),
        Set::Transaction { read_only } => format!("transaction{}", flag(*read_only, " read-only")),
    }
}

/// A statement in one line.
pub(super) fn short(kind: &StatementKind) -> String {
    use StatementKind as K;
    match kind {
        K::Empty => "empty".into(),
        K::Query(q) => query(q),
        K::Explain(e) => format!(
            "explain{}{}{}: {}",
            flag(e.analyze, " analyze"),
            flag(e.verbose, " verbose"),
            option("format", &e.format),
            short(&e.statement.kind)
        ),
        K::CreateDatabase(d) => format!(
            "create database{} {}{}{}{}",
            flag(d.if_not_exists, " if-not-exists"),
            d.name.value,
            option("comment", &d.comment),
            option("location", &d.location),
            pairs("properties", &d.properties)
        ),
        K::DropDatabase { name, if_exists, cascade } => {
            format!("drop database{} {}{}", flag(*if_exists, " if-exists"), name.value, flag(*cascade, " cascade"))
        }
        K::CreateTable(t) => table(t),
        K::CreateView(v) => format!(
            "create{}{} view{} {} ({}){}: {} <{}>",
            flag(v.or_replace, " or-replace"),
            flag(v.temporary, " temporary"),
            flag(v.if_not_exists, " if-not-exists"),
            name(&v.name),
            names(&v.columns),
            option("comment", &v.comment),
            query(&v.query),
            v.sql
        ),
        K::DropTable { name: n, if_exists, purge } => {
            format!("drop table{} {}{}", flag(*if_exists, " if-exists"), name(n), flag(*purge, " purge"))
        }
        K::DropView { name: n, if_exists } => format!("drop view{} {}", flag(*if_exists, " if-exists"), name(n)),
        K::AlterTable { name: n, action } => format!("alter {} {}", name(n), alter(action)),
        K::RepairTable { name: n, mode } => format!("repair {} {mode:?}", name(n)),
        K::Insert(i) => insert(i),
        K::Truncate { name: n, partition: p } => format!("truncate {}{}", name(n), partition(p)),
        K::Vacuum { name: n, dry_run } => {
            format!("vacuum{}{}", option("table", &n.as_ref().map(name)), flag(*dry_run, " dry-run"))
        }
        K::Use { database } => format!("use {}", database.value),
        K::Set(s) => set(s),
        K::Show(s) => format!("show {}", show(s)),
        K::Describe { name: n, extended, partition: p } => {
            format!("describe{} {}{}", flag(*extended, " extended"), name(n), partition(p))
        }
        K::CreateGeodataLayer(l) => format!(
            "create{} layer{} {}{} ({}) {}: {} <{}>",
            flag(l.or_replace, " or-replace"),
            flag(l.if_not_exists, " if-not-exists"),
            l.name.value,
            option("in", &l.set.as_ref().map(|s| s.value.clone())),
            names(&l.fields),
            l.geometry.value,
            query(&l.query),
            l.sql
        ),
        K::DropGeodataLayer { name, set, if_exists } => format!(
            "drop layer{} {}{}",
            flag(*if_exists, " if-exists"),
            name.value,
            option("in", &set.as_ref().map(|s| s.value.clone()))
        ),
        K::Begin { read_only } => format!("begin{}", flag(*read_only, " read-only")),
        K::Commit => "commit".into(),
        K::Rollback => "rollback".into(),
        K::Savepoint { name } => format!("savepoint {}", name.value),
        K::ReleaseSavepoint { name } => format!("release {}", name.value),
        K::RollbackTo { name } => format!("rollback to {}", name.value),
        K::Prepare { name, statement } => {
            format!("prepare {} ${} {}", name.value, statement.parameters, short(&statement.kind))
        }
        K::Execute { name, arguments } => {
            format!(
                "execute {}({})",
                name.value,
                arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            )
        }
        K::Deallocate { name } => format!("deallocate{}", option("name", &name.as_ref().map(|n| n.value.clone()))),
        K::Discard => "discard".into(),
        K::NoEffect { tag, notice } => format!("no effect {tag}{}", flag(notice.is_some(), " (notice)")),
    }
}

/// Keeps the module `statement` in sight of the tests below.
pub(super) type Kind = statement::StatementKind;
