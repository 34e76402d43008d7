//! The rows of the tables of `pg_catalog` that are not the same in every server.

use datafusion::arrow::array::RecordBatch;

use super::definitions::{self, SystemTable};
use super::facts::{self, CatalogFacts, DATABASE_OID, INFORMATION_SCHEMA_OID, PG_CATALOG_OID, ROLE_OID, SessionState};
use super::information;
use super::rows::{Cell, Rows};
use super::types;
use crate::error::Result;

/// What rows are made from.
pub struct Source<'a> {
    pub facts: &'a CatalogFacts,
    pub session: &'a SessionState,
}

/// The tables of `pg_catalog` that have rows of this server's own.
const FILLED: &[&str] = &[
    "pg_attrdef",
    "pg_attribute",
    "pg_authid",
    "pg_class",
    "pg_database",
    "pg_description",
    "pg_namespace",
    "pg_roles",
    "pg_settings",
    "pg_shadow",
    "pg_stat_activity",
    "pg_tables",
    "pg_user",
    "pg_views",
];

/// Whether a table can have no row in any server of ours.
pub fn is_always_empty(table: &SystemTable) -> bool {
    match table.schema {
        "pg_catalog" => definitions::static_rows(table.name).is_none() && !FILLED.contains(&table.name),
        _ => !information::FILLED.contains(&table.name),
    }
}

/// Whether the rows of a table depend on what the catalog holds.
pub fn needs_catalog(table: &SystemTable) -> bool {
    table.schema == "information_schema"
        || matches!(
            table.name,
            "pg_attrdef" | "pg_attribute" | "pg_class" | "pg_description" | "pg_namespace" | "pg_tables" | "pg_views"
        )
}

/// All rows of a system table.
pub fn build(table: &'static SystemTable, source: &Source<'_>) -> Result<RecordBatch> {
    let mut rows = Rows::new(table);
    if table.schema == "information_schema" {
        information::fill(table.name, &mut rows, source);
        return rows.finish();
    }
    match table.name {
        "pg_namespace" => namespaces(&mut rows, source),
        "pg_class" => classes(&mut rows, source),
        "pg_attribute" => attributes(&mut rows, source),
        "pg_attrdef" => defaults(&mut rows, source),
        "pg_description" => descriptions(&mut rows, source),
        "pg_database" => databases(&mut rows, source),
        "pg_roles" | "pg_authid" => roles(&mut rows, source, table.name == "pg_roles"),
        "pg_user" | "pg_shadow" => users(&mut rows, source),
        "pg_settings" => settings(&mut rows, source),
        "pg_stat_activity" => activity(&mut rows, source),
        "pg_tables" => table_list(&mut rows, source),
        "pg_views" => view_list(&mut rows, source),
        name => {
            if let Some(fixed) = definitions::static_rows(name) {
                fill_static(name, &mut rows, fixed);
            }
        }
    }
    rows.finish()
}

fn fill_static(name: &str, rows: &mut Rows, fixed: &definitions::StaticRows) {
    let owner = || Cell::from(ROLE_OID);
    match name {
        "pg_type" => rows.push_static(fixed, [("typowner", owner())]),
        "pg_proc" => {
            rows.push_static(fixed, [("proowner", owner()), ("procost", Cell::Float(1.0)), ("proparallel", "s".into())])
        }
        "pg_collation" => rows.push_static(fixed, [("collowner", owner())]),
        "pg_language" => rows.push_static(fixed, [("lanowner", owner())]),
        "pg_opclass" => rows.push_static(fixed, [("opcowner", owner())]),
        "pg_tablespace" => rows.push_static(fixed, [("spcowner", owner())]),
        _ => rows.push_static(fixed, []),
    }
}

fn namespaces(rows: &mut Rows, source: &Source<'_>) {
    let owner = || Cell::from(ROLE_OID);
    rows.push([("oid", PG_CATALOG_OID.into()), ("nspname", "pg_catalog".into()), ("nspowner", owner())]);
    rows.push([
        ("oid", INFORMATION_SCHEMA_OID.into()),
        ("nspname", "information_schema".into()),
        ("nspowner", owner()),
    ]);
    for schema in &source.facts.schemas {
        rows.push([("oid", schema.oid.into()), ("nspname", (&schema.name).into()), ("nspowner", owner())]);
    }
}

fn classes(rows: &mut Rows, source: &Source<'_>) {
    for table in definitions::tables() {
        class(rows, table.oid, table.name, facts::system_schema_oid(table), table.kind, table.columns.len(), -1.0);
    }
    for relation in &source.facts.relations {
        let tuples = relation.totals.map_or(-1.0, |totals| totals.rows as f64);
        class(rows, relation.oid, &relation.name, relation.schema_oid, relation.kind, relation.columns.len(), tuples);
    }
}

fn class(rows: &mut Rows, oid: u32, name: &str, schema: u32, kind: &str, columns: usize, tuples: f64) {
    let is_table = kind == "r";
    rows.push([
        ("oid", oid.into()),
        ("relname", name.into()),
        ("relnamespace", schema.into()),
        ("relowner", ROLE_OID.into()),
        // 2 is `heap` in pg_am: what psql's \d+ takes for the usual kind of table and does not print.
        ("relam", if is_table { 2_i64.into() } else { 0_i64.into() }),
        ("relfilenode", if is_table { oid.into() } else { 0_i64.into() }),
        ("reltuples", Cell::Float(if is_table { tuples } else { 0.0 })),
        ("relpersistence", "p".into()),
        ("relkind", kind.into()),
        ("relnatts", columns.into()),
        ("relhasrules", (kind == "v").into()),
        ("relispopulated", true.into()),
        ("relreplident", if is_table { "d".into() } else { "n".into() }),
    ]);
}

fn attributes(rows: &mut Rows, source: &Source<'_>) {
    for table in definitions::tables() {
        for (at, (name, type_oid, not_null)) in table.column_types().enumerate() {
            attribute(rows, table.oid, at + 1, name, type_oid, -1, not_null, false);
        }
    }
    for relation in &source.facts.relations {
        for (at, column) in relation.columns.iter().enumerate() {
            let has_default = column.default.is_some();
            let (oid, modifier) = (column.type_oid, column.type_modifier);
            attribute(rows, relation.oid, at + 1, &column.name, oid, modifier, column.not_null, has_default);
        }
    }
}

#[allow(clippy::too_many_arguments)] // the columns of one pg_attribute row
fn attribute(
    rows: &mut Rows,
    relation: u32,
    number: usize,
    name: &str,
    type_oid: u32,
    modifier: i32,
    not_null: bool,
    has_default: bool,
) {
    let layout = types::by_oid(type_oid);
    let is_array = layout.is_some_and(|t| t.element != 0 && t.length == -1);
    rows.push([
        ("attrelid", relation.into()),
        ("attname", name.into()),
        ("atttypid", type_oid.into()),
        ("attstattarget", (-1_i64).into()),
        ("attlen", layout.map_or(-1, |t| t.length).into()),
        ("attnum", number.into()),
        ("attndims", i64::from(is_array).into()),
        ("attcacheoff", (-1_i64).into()),
        ("atttypmod", modifier.into()),
        ("attbyval", layout.is_some_and(|t| t.by_value).into()),
        ("attalign", layout.map_or("i", |t| t.align).into()),
        ("attstorage", layout.map_or("x", |t| t.storage).into()),
        ("attnotnull", not_null.into()),
        ("atthasdef", has_default.into()),
        ("attislocal", true.into()),
        ("attcollation", layout.map_or(0, |t| t.collation).into()),
    ]);
}

fn defaults(rows: &mut Rows, source: &Source<'_>) {
    for relation in &source.facts.relations {
        for (at, column) in relation.columns.iter().enumerate() {
            if let Some(default) = &column.default {
                rows.push([
                    ("oid", facts::default_oid(relation.oid, at + 1).into()),
                    ("adrelid", relation.oid.into()),
                    ("adnum", (at + 1).into()),
                    ("adbin", default.into()),
                ]);
            }
        }
    }
}

/// OID of `pg_class`, the class of what describes relations and their columns.
pub fn class_oid(name: &str) -> u32 {
    definitions::table("pg_catalog", name).map_or(0, |table| table.oid)
}

fn descriptions(rows: &mut Rows, source: &Source<'_>) {
    let mut push = |class: u32, object: u32, part: usize, text: &String| {
        rows.push([
            ("objoid", object.into()),
            ("classoid", class.into()),
            ("objsubid", part.into()),
            ("description", text.into()),
        ]);
    };
    for schema in &source.facts.schemas {
        if let Some(comment) = &schema.comment {
            push(class_oid("pg_namespace"), schema.oid, 0, comment);
        }
    }
    for relation in &source.facts.relations {
        if let Some(comment) = &relation.comment {
            push(class_oid("pg_class"), relation.oid, 0, comment);
        }
        for (at, column) in relation.columns.iter().enumerate() {
            if let Some(comment) = &column.comment {
                push(class_oid("pg_class"), relation.oid, at + 1, comment);
            }
        }
    }
}

fn databases(rows: &mut Rows, source: &Source<'_>) {
    rows.push([
        ("oid", DATABASE_OID.into()),
        ("datname", (&source.session.catalog_name).into()),
        ("datdba", ROLE_OID.into()),
        ("encoding", 6_i64.into()),
        ("datlocprovider", "c".into()),
        ("datallowconn", true.into()),
        ("datconnlimit", (-1_i64).into()),
        ("dattablespace", 1663_i64.into()),
        // Text compares by its bytes.
        ("datcollate", "C.UTF-8".into()),
        ("datctype", "C.UTF-8".into()),
    ]);
}

fn roles(rows: &mut Rows, source: &Source<'_>, masked: bool) {
    rows.push([
        ("oid", ROLE_OID.into()),
        ("rolname", (&source.session.user).into()),
        ("rolsuper", true.into()),
        ("rolinherit", true.into()),
        ("rolcreaterole", true.into()),
        ("rolcreatedb", true.into()),
        ("rolcanlogin", true.into()),
        ("rolreplication", false.into()),
        ("rolbypassrls", true.into()),
        ("rolconnlimit", (-1_i64).into()),
        ("rolpassword", if masked { "********".into() } else { Cell::Null }),
    ]);
}

fn users(rows: &mut Rows, source: &Source<'_>) {
    rows.push([
        ("usename", (&source.session.user).into()),
        ("usesysid", ROLE_OID.into()),
        ("usecreatedb", true.into()),
        ("usesuper", true.into()),
        ("userepl", false.into()),
        ("usebypassrls", true.into()),
    ]);
}

fn settings(rows: &mut Rows, source: &Source<'_>) {
    for setting in source.session.settings.values() {
        let changed = setting.default.as_ref().is_some_and(|default| *default != setting.value);
        rows.push([
            ("name", (&setting.name).into()),
            ("setting", (&setting.value).into()),
            ("unit", setting.unit.clone().into()),
            ("category", "Tycho".into()),
            ("short_desc", (&setting.help).into()),
            ("context", setting.context.into()),
            ("vartype", setting.kind.into()),
            ("source", if changed { "session" } else { "default" }.into()),
            ("min_val", setting.bounds.map(|(min, _)| min.to_string()).into()),
            ("max_val", setting.bounds.map(|(_, max)| max.to_string()).into()),
            ("enumvals", setting.choices.clone().into()),
            ("boot_val", setting.default.clone().into()),
            ("reset_val", setting.default.clone().into()),
            ("pending_restart", false.into()),
        ]);
    }
}

fn activity(rows: &mut Rows, source: &Source<'_>) {
    let application = source.session.settings.get("application_name").map(|s| s.value.clone());
    rows.push([
        ("datid", DATABASE_OID.into()),
        ("datname", (&source.session.catalog_name).into()),
        ("pid", source.session.backend_id.into()),
        ("usesysid", ROLE_OID.into()),
        ("usename", (&source.session.user).into()),
        ("application_name", application.into()),
        ("state", "active".into()),
        ("backend_type", "client backend".into()),
    ]);
}

fn table_list(rows: &mut Rows, source: &Source<'_>) {
    let mut push = |schema: &str, name: &str| {
        rows.push([
            ("schemaname", schema.into()),
            ("tablename", name.into()),
            ("tableowner", (&source.session.user).into()),
            ("hasindexes", false.into()),
            ("hasrules", false.into()),
            ("hastriggers", false.into()),
            ("rowsecurity", false.into()),
        ]);
    };
    for table in definitions::tables().iter().filter(|t| t.kind == "r") {
        push(table.schema, table.name);
    }
    for relation in source.facts.relations.iter().filter(|r| r.kind == "r") {
        push(&relation.schema, &relation.name);
    }
}

fn view_list(rows: &mut Rows, source: &Source<'_>) {
    for relation in source.facts.relations.iter().filter(|r| r.kind == "v") {
        rows.push([
            ("schemaname", (&relation.schema).into()),
            ("viewname", (&relation.name).into()),
            ("viewowner", (&source.session.user).into()),
            ("definition", relation.view.clone().into()),
        ]);
    }
}
