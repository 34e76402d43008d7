//! The catalog's tables and how they came about: one migration after another, from version 1 on.
//!
//! What a snapshot shows is found through `commits` (transaction → number): a row is visible at commit N if the
//! transaction that added it committed at N or before, and the one that ended it did not.

use crate::error::{Error, ErrorKind, Result};
use crate::store::ColumnType::{Int, Text};
use crate::store::{BulkTable, Database, Mode, SqlValue, Tx, params};

/// One step from a schema version to the next.
pub(crate) struct Migration {
    pub(crate) version: i64,
    /// The oldest Tycho that may use a catalog of this version.
    pub(crate) oldest_binary: &'static str,
    pub(crate) statements: &'static [&'static str],
}

pub(crate) const BINARY_VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    oldest_binary: "0.1.0",
    statements: &[
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE migrations (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL, applied_by TEXT NOT NULL)",
        // The rows `commit` and `lease` are also the catalog's two locks.
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
        "INSERT INTO counters (name, value) VALUES ('commit', 0), ('lease', 0), ('transaction', 0), ('process', 0), \
         ('table', 0), ('file', 0), ('batch', 0)",
        "CREATE TABLE processes (id BIGINT PRIMARY KEY, boot_id TEXT NOT NULL, pid_namespace TEXT NOT NULL, \
         pid BIGINT NOT NULL, started BIGINT NOT NULL, counter BIGINT NOT NULL, fenced BIGINT NOT NULL)",
        "CREATE TABLE leases (process_id BIGINT NOT NULL, commit_number BIGINT NOT NULL, \
         PRIMARY KEY (process_id, commit_number))",
        // state: open, sealed, committed, undoing, aborted. WRITING is an open one with stagings.
        "CREATE TABLE transactions (id BIGINT PRIMARY KEY, process_id BIGINT NOT NULL, state TEXT NOT NULL, \
         base BIGINT NOT NULL, statement TEXT, user_name TEXT, explicit BIGINT NOT NULL, idempotency_key TEXT, \
         idempotency_hash TEXT, files_added BIGINT NOT NULL, files_removed BIGINT NOT NULL, \
         rows_added BIGINT NOT NULL, bytes_added BIGINT NOT NULL)",
        "CREATE UNIQUE INDEX transactions_idempotency_key ON transactions (idempotency_key) \
         WHERE state IN ('sealed', 'committed') AND idempotency_key IS NOT NULL",
        "CREATE INDEX transactions_unfinished ON transactions (state) WHERE state <> 'committed'",
        "CREATE TABLE stagings (transaction_id BIGINT NOT NULL, area TEXT NOT NULL, PRIMARY KEY (transaction_id, area))",
        "CREATE TABLE commits (number BIGINT PRIMARY KEY, transaction_id BIGINT NOT NULL UNIQUE, \
         committed_at BIGINT NOT NULL)",
        "CREATE TABLE databases (name TEXT NOT NULL, definition TEXT NOT NULL, added_by BIGINT NOT NULL, \
         ended_by BIGINT, PRIMARY KEY (name, added_by))",
        "CREATE INDEX databases_ended_by ON databases (ended_by) WHERE ended_by IS NOT NULL",
        "CREATE TABLE tables (id BIGINT NOT NULL, database_name TEXT NOT NULL, name TEXT NOT NULL, \
         definition TEXT NOT NULL, added_by BIGINT NOT NULL, ended_by BIGINT, PRIMARY KEY (id, added_by))",
        "CREATE INDEX tables_name ON tables (database_name, name)",
        "CREATE INDEX tables_added_by ON tables (added_by)",
        "CREATE INDEX tables_ended_by ON tables (ended_by) WHERE ended_by IS NOT NULL",
        // Two appends that register one new partition at once leave two rows of it: readers take either.
        "CREATE TABLE partitions (table_id BIGINT NOT NULL, folder TEXT NOT NULL, partition_values TEXT NOT NULL, \
         location TEXT, added_by BIGINT NOT NULL, ended_by BIGINT, PRIMARY KEY (table_id, folder, added_by))",
        "CREATE INDEX partitions_added_by ON partitions (added_by)",
        "CREATE INDEX partitions_ended_by ON partitions (ended_by) WHERE ended_by IS NOT NULL",
        // target: where the file is, canonical (`warehouse:…` below the warehouse), so that tables that overlap are seen.
        // statistics, sorted_by: JSON, one text a file. retired: 0, the number of the batch that condemned it, or -1 if it is
        // deleted and only remembered for a lease that still covers it.
        "CREATE TABLE files (id BIGINT PRIMARY KEY, table_id BIGINT NOT NULL, folder TEXT NOT NULL, \
         path TEXT NOT NULL, target TEXT NOT NULL, staged TEXT NOT NULL, size_bytes BIGINT NOT NULL, \
         row_count BIGINT NOT NULL, statistics TEXT NOT NULL, sorted_by TEXT NOT NULL, etag TEXT, \
         added_by BIGINT NOT NULL, ended_by BIGINT, given_up BIGINT NOT NULL, retired BIGINT NOT NULL)",
        "CREATE INDEX files_partition ON files (table_id, folder)",
        "CREATE INDEX files_added_by ON files (added_by)",
        "CREATE INDEX files_ended_by ON files (ended_by) WHERE ended_by IS NOT NULL",
        "CREATE INDEX files_target ON files (target)",
        "CREATE INDEX files_retired ON files (retired) WHERE retired <> 0",
        // Files of others that a transaction removes: in effect from its commit on. retired as in files; deleted_at is
        // the commit that was current when the file was deleted.
        "CREATE TABLE foreign_removals (transaction_id BIGINT NOT NULL, table_id BIGINT NOT NULL, folder TEXT NOT NULL, \
         path TEXT NOT NULL, target TEXT NOT NULL, size_bytes BIGINT NOT NULL, tag TEXT NOT NULL, \
         retired BIGINT NOT NULL, deleted_at BIGINT, PRIMARY KEY (transaction_id, table_id, path))",
        "CREATE INDEX foreign_removals_table ON foreign_removals (table_id)",
        // Live files of dropped external tables: foreign to whoever comes next, never deleted by us on our own account.
        "CREATE TABLE given_up (target TEXT NOT NULL, transaction_id BIGINT NOT NULL, \
         PRIMARY KEY (target, transaction_id))",
        "CREATE INDEX given_up_transaction ON given_up (transaction_id)",
        // What a transaction changes: intents while it is sealed, versions and conflicts once it is committed.
        // scope: partition (object = folder), table (a definition), name (object = what is claimed, table_id = 0).
        // kind: append, replace, register; drops = 1 where the partition's registration ends.
        "CREATE TABLE changes (transaction_id BIGINT NOT NULL, table_id BIGINT NOT NULL, scope TEXT NOT NULL, \
         object TEXT NOT NULL, kind TEXT NOT NULL, partition_values TEXT, drops BIGINT NOT NULL, \
         PRIMARY KEY (transaction_id, table_id, scope, object))",
        "CREATE INDEX changes_object ON changes (table_id, object)",
        // Scopes as predicates (JSON), so that partitions not yet there are covered; only while sealed.
        "CREATE TABLE scopes (transaction_id BIGINT NOT NULL, table_id BIGINT NOT NULL, predicate TEXT NOT NULL)",
        "CREATE INDEX scopes_transaction ON scopes (transaction_id)",
        "CREATE TABLE table_commits (transaction_id BIGINT NOT NULL, table_id BIGINT NOT NULL, \
         PRIMARY KEY (table_id, transaction_id))",
        "CREATE TABLE geodata_layers (set_name TEXT NOT NULL, name TEXT NOT NULL, definition TEXT NOT NULL, \
         added_by BIGINT NOT NULL, ended_by BIGINT, PRIMARY KEY (set_name, name, added_by))",
        "CREATE TABLE owned_locations (location TEXT PRIMARY KEY, catalog_id TEXT NOT NULL)",
    ],
}];

pub(crate) static FILES: BulkTable = BulkTable {
    table: "files",
    columns: &[
        ("id", Int),
        ("table_id", Int),
        ("folder", Text),
        ("path", Text),
        ("target", Text),
        ("staged", Text),
        ("size_bytes", Int),
        ("row_count", Int),
        ("statistics", Text),
        ("sorted_by", Text),
        ("added_by", Int),
        ("given_up", Int),
        ("retired", Int),
    ],
};

pub(crate) static PARTITIONS: BulkTable = BulkTable {
    table: "partitions",
    columns: &[("table_id", Int), ("folder", Text), ("partition_values", Text), ("location", Text), ("added_by", Int)],
};

pub(crate) static CHANGES: BulkTable = BulkTable {
    table: "changes",
    columns: &[
        ("transaction_id", Int),
        ("table_id", Int),
        ("scope", Text),
        ("object", Text),
        ("kind", Text),
        ("partition_values", Text),
        ("drops", Int),
    ],
};

pub(crate) static SCOPES: BulkTable =
    BulkTable { table: "scopes", columns: &[("transaction_id", Int), ("table_id", Int), ("predicate", Text)] };

pub(crate) static FOREIGN_REMOVALS: BulkTable = BulkTable {
    table: "foreign_removals",
    columns: &[
        ("transaction_id", Int),
        ("table_id", Int),
        ("folder", Text),
        ("path", Text),
        ("target", Text),
        ("size_bytes", Int),
        ("tag", Text),
        ("retired", Int),
    ],
};

pub(crate) static STAGINGS: BulkTable =
    BulkTable { table: "stagings", columns: &[("transaction_id", Int), ("area", Text)] };

/// What a catalog says of itself.
pub(crate) struct Meta {
    pub(crate) id: String,
    pub(crate) incarnation: i64,
}

/// Makes or migrates the schema, and refuses a catalog that asks for a newer binary.
pub(crate) async fn prepare(database: &dyn Database, create: bool) -> Result<Meta> {
    let mut tx = database.begin(Mode::Write).await?;
    let exists = tx.prepare_schema(create).await?;
    if !exists && !create {
        return Err(Error::new(ErrorKind::NotFound, "this database holds no catalog"));
    }
    let mut version = 0;
    if exists {
        version = meta(&mut *tx, "schema_version").await?.parse::<i64>().map_err(damaged)?;
        let oldest = meta(&mut *tx, "oldest_binary").await?;
        if parse_version(BINARY_VERSION) < parse_version(&oldest) {
            return Err(Error::new(
                ErrorKind::Incompatible,
                format!(
                    "the catalog has schema version {version}, which asks for Tycho {oldest} or newer; this is Tycho \
                     {BINARY_VERSION}"
                ),
            ));
        }
    }
    for migration in MIGRATIONS.iter().filter(|m| m.version > version) {
        for statement in migration.statements {
            tx.execute(statement, &[]).await?;
        }
        if migration.version == 1 {
            let id = format!("{:08x}", (uuid::Uuid::new_v4().as_u128() >> 96) as u32);
            set_meta(&mut *tx, "catalog_id", id).await?;
            set_meta(&mut *tx, "incarnation", "1".into()).await?;
        }
        set_meta(&mut *tx, "schema_version", migration.version.to_string()).await?;
        set_meta(&mut *tx, "oldest_binary", migration.oldest_binary.into()).await?;
        tx.execute(
            "INSERT INTO migrations (version, applied_at, applied_by) VALUES ($1, $2, $3)",
            params![migration.version, now_micros(), BINARY_VERSION],
        )
        .await?;
    }
    let id = meta(&mut *tx, "catalog_id").await?;
    let incarnation = meta(&mut *tx, "incarnation").await?.parse().map_err(damaged)?;
    tx.commit().await?;
    Ok(Meta { id, incarnation })
}

async fn meta(tx: &mut dyn Tx, name: &str) -> Result<String> {
    let mut rows = tx.query("SELECT value FROM meta WHERE name = $1", params![name]).await?;
    match rows.first_mut() {
        Some(row) => row.text(0),
        None => Err(Error::new(ErrorKind::Internal, format!("the catalog has no `{name}`; it is damaged"))),
    }
}

async fn set_meta(tx: &mut dyn Tx, name: &str, value: String) -> Result<()> {
    tx.execute(
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[SqlValue::from(name), SqlValue::Text(value)],
    )
    .await?;
    Ok(())
}

fn parse_version(text: &str) -> Vec<u64> {
    text.split(['.', '-', '+']).take(3).map(|part| part.parse().unwrap_or(0)).collect()
}

pub(crate) fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "the catalog holds a value that cannot be read; it is damaged").with_source(error)
}

/// The next `count` numbers of a counter; returns the first.
pub(crate) async fn take_numbers(tx: &mut dyn Tx, counter: &str, count: usize) -> Result<i64> {
    let count = count as i64;
    let rows = tx
        .query("UPDATE counters SET value = value + $1 WHERE name = $2 RETURNING value", params![count, counter])
        .await?;
    let last =
        rows.first().ok_or_else(|| Error::new(ErrorKind::Internal, format!("no counter `{counter}`")))?.int(0)?;
    Ok(last - count + 1)
}

/// Microseconds since 1970 UTC by this machine's clock.
pub(crate) fn now_micros() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}
