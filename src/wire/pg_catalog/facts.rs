//! What the system tables are built from: plain data, read from a statement's view and session in one place.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tycho_catalog::{Database, TableDefinition, TableId, TableKind, TableTotals, View};

use super::definitions::{self, SystemTable};
use super::types;
use crate::engine::SessionFacts;
use crate::error::Result;
use crate::settings::{Scope, SettingKind};

/// OID of the only role.
pub const ROLE_OID: u32 = 10;
/// OID of the only database.
pub const DATABASE_OID: u32 = 5;
pub const PG_CATALOG_OID: u32 = 11;
pub const INFORMATION_SCHEMA_OID: u32 = 13207;

/// PostgreSQL gives OIDs from here on to what users make; tables get this plus their id in the catalog.
const FIRST_TABLE_OID: u32 = 16384;
/// Schemas have no id in the catalog: their OIDs are a hash of the name above this, below the sign bit of int4.
const FIRST_SCHEMA_OID: u32 = 0x2000_0000;
const SCHEMA_OIDS: u32 = 0x2000_0000;
/// pg_attrdef has an OID for each default; hashed from table and column above this.
const FIRST_DEFAULT_OID: u32 = 0x4000_0000;

/// The databases, tables and columns of one view, as PostgreSQL numbers them.
#[derive(Debug, Clone, Default)]
pub struct CatalogFacts {
    /// Sorted by name; without the system schemas.
    pub schemas: Vec<SchemaFact>,
    /// Sorted by schema and name; without the system tables.
    pub relations: Vec<RelationFact>,
    by_oid: HashMap<u32, usize>,
    by_name: HashMap<(String, String), usize>,
}

#[derive(Debug, Clone)]
pub struct SchemaFact {
    pub oid: u32,
    pub name: String,
    pub comment: Option<String>,
}

#[derive(Debug, Clone)]
pub struct RelationFact {
    pub oid: u32,
    pub schema: String,
    pub schema_oid: u32,
    pub name: String,
    /// `r` or `v`, as in pg_class.relkind.
    pub kind: &'static str,
    pub columns: Vec<ColumnFact>,
    pub comment: Option<String>,
    /// The query of a view.
    pub view: Option<String>,
    /// Rows and bytes, where a query asked for sizes.
    pub totals: Option<TableTotals>,
    pub table: TableId,
}

#[derive(Debug, Clone)]
pub struct ColumnFact {
    pub name: String,
    pub type_oid: u32,
    pub type_modifier: i32,
    pub not_null: bool,
    /// SQL text.
    pub default: Option<String>,
    pub comment: Option<String>,
}

impl CatalogFacts {
    /// Reads all definitions of a view; no table is opened.
    pub async fn load(view: &View) -> Result<CatalogFacts> {
        let databases = view.databases().await?;
        let mut tables = Vec::new();
        for database in &databases {
            tables.extend(view.tables(&database.name).await?);
        }
        Ok(CatalogFacts::new(&databases, &tables))
    }

    /// Adds rows and bytes of every table, for the functions that tell sizes.
    pub async fn load_totals(&mut self, view: &View) -> Result<()> {
        for relation in self.relations.iter_mut().filter(|r| r.kind == "r") {
            relation.totals = Some(view.totals(relation.table).await?);
        }
        Ok(())
    }

    pub fn new(databases: &[Database], tables: &[Arc<TableDefinition>]) -> CatalogFacts {
        let schemas = number_schemas(databases);
        let oids: HashMap<&str, u32> = schemas.iter().map(|s| (s.name.as_str(), s.oid)).collect();
        let mut relations: Vec<RelationFact> = tables
            .iter()
            .map(|table| relation(table, oids.get(table.database.as_str()).copied().unwrap_or(0)))
            .collect();
        relations.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        let by_oid = relations.iter().enumerate().map(|(at, r)| (r.oid, at)).collect();
        let by_name = relations.iter().enumerate().map(|(at, r)| ((r.schema.clone(), r.name.clone()), at)).collect();
        CatalogFacts { schemas, relations, by_oid, by_name }
    }

    pub fn relation(&self, oid: u32) -> Option<&RelationFact> {
        self.by_oid.get(&oid).map(|at| &self.relations[*at])
    }

    pub fn relation_by_name(&self, schema: &str, name: &str) -> Option<&RelationFact> {
        self.by_name.get(&(schema.to_owned(), name.to_owned())).map(|at| &self.relations[*at])
    }

    /// Name of a schema, system schemas included.
    pub fn schema_name(&self, oid: u32) -> Option<&str> {
        match oid {
            PG_CATALOG_OID => Some("pg_catalog"),
            INFORMATION_SCHEMA_OID => Some("information_schema"),
            _ => self.schemas.iter().find(|s| s.oid == oid).map(|s| s.name.as_str()),
        }
    }

    /// OID of a schema, system schemas included.
    pub fn schema_oid(&self, name: &str) -> Option<u32> {
        match name {
            "pg_catalog" => Some(PG_CATALOG_OID),
            "information_schema" => Some(INFORMATION_SCHEMA_OID),
            _ => self.schemas.iter().find(|s| s.name == name).map(|s| s.oid),
        }
    }
}

/// OID of the schema of a system table.
pub fn system_schema_oid(table: &SystemTable) -> u32 {
    if table.schema == definitions::SCHEMAS[0] { PG_CATALOG_OID } else { INFORMATION_SCHEMA_OID }
}

fn number_schemas(databases: &[Database]) -> Vec<SchemaFact> {
    let mut sorted: Vec<&Database> = databases.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut taken = HashSet::new();
    sorted
        .into_iter()
        .map(|database| {
            let mut oid = FIRST_SCHEMA_OID + hash(&[&database.name]) % SCHEMA_OIDS;
            while !taken.insert(oid) {
                oid = FIRST_SCHEMA_OID + (oid - FIRST_SCHEMA_OID + 1) % SCHEMA_OIDS;
            }
            SchemaFact { oid, name: database.name.clone(), comment: database.comment.clone() }
        })
        .collect()
}

fn relation(table: &TableDefinition, schema_oid: u32) -> RelationFact {
    let columns = table
        .columns
        .iter()
        .map(|column| {
            let (type_oid, type_modifier) = types::column_type(&column.data_type, column.sql_type.as_deref());
            ColumnFact {
                name: column.name.clone(),
                type_oid,
                type_modifier,
                not_null: !column.nullable,
                default: column.default.clone(),
                comment: column.comment.clone(),
            }
        })
        .collect();
    RelationFact {
        oid: table_oid(table.id),
        schema: table.database.clone(),
        schema_oid,
        name: table.name.clone(),
        kind: if table.kind == TableKind::View { "v" } else { "r" },
        columns,
        comment: table.comment.clone(),
        view: table.view.as_ref().map(|v| v.sql.clone()),
        totals: None,
        table: table.id,
    }
}

/// Table ids are never reused, so OIDs made of them are the same in every server and session.
fn table_oid(id: TableId) -> u32 {
    let room = i64::from(FIRST_SCHEMA_OID - FIRST_TABLE_OID);
    FIRST_TABLE_OID + u32::try_from(id.rem_euclid(room)).expect("less than 2^29")
}

/// OID of the pg_attrdef row of a column.
pub fn default_oid(relation: u32, column_number: usize) -> u32 {
    FIRST_DEFAULT_OID + hash(&[&relation.to_string(), &column_number.to_string()]) % FIRST_DEFAULT_OID
}

/// FNV-1a: the same in every build, unlike the standard library's hashes.
fn hash(words: &[&str]) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in words.iter().flat_map(|word| word.bytes().chain([0])) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash
}

/// What the functions and pg_settings say of the session.
#[derive(Debug, Clone, Default)]
pub struct SessionState {
    /// The current schema.
    pub schema: String,
    pub user: String,
    pub catalog_name: String,
    pub backend_id: i32,
    /// By lower-case name.
    pub settings: BTreeMap<String, SettingFact>,
}

/// One row of pg_settings.
#[derive(Debug, Clone, Default)]
pub struct SettingFact {
    pub name: String,
    pub value: String,
    pub unit: Option<String>,
    pub help: String,
    /// `bool`, `integer`, `string` or `enum`.
    pub kind: &'static str,
    /// `user`, `postmaster` or `internal`.
    pub context: &'static str,
    pub default: Option<String>,
    pub choices: Option<Vec<String>>,
    pub bounds: Option<(i64, i64)>,
}

impl From<&SessionFacts> for SessionState {
    fn from(session: &SessionFacts) -> SessionState {
        let settings = session.settings.all().into_iter().map(|(name, value, declared)| {
            let mut fact =
                SettingFact { name: name.clone(), value, kind: "string", context: "user", ..Default::default() };
            if let Some(setting) = declared {
                fact.unit = setting.unit.map(str::to_owned);
                fact.help = setting.help.to_owned();
                fact.default = Some(setting.default.to_owned());
                fact.context = match setting.scope {
                    Scope::Session => "user",
                    Scope::Process => "postmaster",
                    Scope::Fixed => "internal",
                };
                match setting.kind {
                    SettingKind::Bool => fact.kind = "bool",
                    SettingKind::Integer { min, max } => (fact.kind, fact.bounds) = ("integer", Some((min, max))),
                    SettingKind::Duration | SettingKind::Size => fact.kind = "integer",
                    SettingKind::Enum(choices) => {
                        fact.kind = "enum";
                        fact.choices = Some(choices.iter().map(|c| (*c).to_owned()).collect());
                    }
                    SettingKind::Text | SettingKind::TimeZone => {}
                }
            }
            (name.to_ascii_lowercase(), fact)
        });
        SessionState {
            schema: session.database.clone(),
            user: session.user.clone(),
            catalog_name: session.catalog_name.clone(),
            backend_id: session.backend_id,
            settings: settings.collect(),
        }
    }
}
