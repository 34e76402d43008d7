//! The catalog in PostgreSQL, for servers that share it or a warehouse at a URL. Its tables live in the schema `tycho`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::{BulkTable, ColumnType, Database, Lock, Mode, Row, SqlValue, Tx};
use crate::error::{Error, ErrorKind, Result};

/// How many connections one process has at most; more transactions wait.
const CONNECTIONS: usize = 8;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection keeps so many prepared statements.
const STATEMENT_CACHE: usize = 128;
/// Serialises those who make or migrate the schema.
const SCHEMA_LOCK: i64 = 0x7479_6368_6f00;

pub(crate) struct Postgres {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    connections: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    statements: AtomicU64,
}

struct Connection {
    client: Client,
    prepared: HashMap<String, Statement>,
}

/// A connection and its place among those that may be open.
struct Lent {
    connection: Connection,
    _permit: OwnedSemaphorePermit,
}

impl Postgres {
    pub(crate) async fn open(url: &str) -> Result<Postgres> {
        let mut config: Config = url.parse().map_err(|error| {
            Error::new(ErrorKind::Invalid, "the catalog's postgres:// URL cannot be read").with_source(error)
        })?;
        config.connect_timeout(CONNECT_TIMEOUT).application_name("tycho catalog");
        let shared = Shared {
            config,
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            idle: Mutex::default(),
            statements: AtomicU64::new(0),
        };
        let first = shared.connect().await?;
        shared.idle.lock().push(first);
        Ok(Postgres { shared: Arc::new(shared) })
    }
}

impl Shared {
    async fn connect(&self) -> Result<Connection> {
        let (client, connection) = self.config.connect(NoTls).await.map_err(error)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the catalog ended");
            }
        });
        client.batch_execute("SET search_path = tycho; SET synchronous_commit = on").await.map_err(error)?;
        let row = client.query_one("SHOW synchronous_commit", &[]).await.map_err(error)?;
        let setting: &str = row.get(0);
        if setting != "on" {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "the catalog's PostgreSQL has synchronous_commit = {setting}, so a commit could be lost; allow this \
                     role to set it to on"
                ),
            ));
        }
        Ok(Connection { client, prepared: HashMap::new() })
    }

    async fn lend(&self, mode: Mode) -> Result<Lent> {
        let permit = self.connections.clone().acquire_owned().await.expect("the semaphore is never closed");
        let start = match mode {
            Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Mode::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Mode::WriteRelaxed => "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off",
        };
        loop {
            let kept = self.idle.lock().pop();
            let fresh = kept.is_none();
            let connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            match connection.client.batch_execute(start).await {
                Ok(()) => return Ok(Lent { connection, _permit: permit }),
                // A kept connection may have died with its server; the next one, or a new one, may do.
                Err(_) if !fresh => {}
                Err(failed) => return Err(error(failed)),
            }
        }
    }
}

fn error(error: tokio_postgres::Error) -> Error {
    let kind = match error.code() {
        None => ErrorKind::Unavailable,
        Some(&SqlState::UNIQUE_VIOLATION | &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => {
            ErrorKind::Conflict
        }
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => ErrorKind::Unavailable,
        Some(code) => match &code.code()[..2] {
            // Connection, authorisation, resources, intervention.
            "08" | "28" | "3D" | "53" | "57" | "25" => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        },
    };
    let cause = || std::error::Error::source(&error).map_or_else(|| error.to_string(), |s| format!("{error}: {s}"));
    let text = error.as_db_error().map_or_else(cause, |e| e.message().to_owned());
    Error::new(kind, format!("the catalog's PostgreSQL: {text}")).with_source(error)
}

#[async_trait]
impl Database for Postgres {
    async fn begin(&self, mode: Mode) -> Result<Box<dyn Tx>> {
        let lent = self.shared.lend(mode).await?;
        Ok(Box::new(PostgresTx { shared: self.shared.clone(), lent: Some(lent) }))
    }

    fn statements(&self) -> u64 {
        self.shared.statements.load(Ordering::Relaxed)
    }
}

struct PostgresTx {
    shared: Arc<Shared>,
    lent: Option<Lent>,
}

impl PostgresTx {
    fn connection(&mut self) -> &mut Connection {
        self.shared.statements.fetch_add(1, Ordering::Relaxed);
        &mut self.lent.as_mut().expect("a transaction has its connection until it ends").connection
    }
}

impl Connection {
    async fn prepare(&mut self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await.map_err(error)?;
        if self.prepared.len() < STATEMENT_CACHE {
            self.prepared.insert(sql.to_owned(), statement.clone());
        }
        Ok(statement)
    }
}

#[async_trait]
impl Tx for PostgresTx {
    async fn execute(&mut self, sql: &str, parameters: &[SqlValue]) -> Result<u64> {
        let connection = self.connection();
        if parameters.is_empty() {
            // DDL cannot be prepared usefully; the simple protocol takes everything.
            let statement = connection.client.prepare(sql).await.map_err(error)?;
            return connection.client.execute(&statement, &[]).await.map_err(error);
        }
        let statement = connection.prepare(sql).await?;
        connection.client.execute(&statement, &as_parameters(parameters)).await.map_err(error)
    }

    async fn query(&mut self, sql: &str, parameters: &[SqlValue]) -> Result<Vec<Row>> {
        let connection = self.connection();
        let statement = connection.prepare(sql).await?;
        let rows = connection.client.query(&statement, &as_parameters(parameters)).await.map_err(error)?;
        rows.iter().map(from_postgres).collect()
    }

    async fn insert_many(&mut self, table: &'static BulkTable, rows: Vec<Vec<SqlValue>>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        let arrays: Vec<String> = table
            .columns
            .iter()
            .enumerate()
            .map(|(at, (_, kind))| {
                format!("${}::{}[]", at + 1, if *kind == ColumnType::Int { "bigint" } else { "text" })
            })
            .collect();
        let sql =
            format!("INSERT INTO {} ({}) SELECT * FROM unnest({})", table.table, names.join(", "), arrays.join(", "));
        let mut columns: Vec<Array> = table.columns.iter().map(|(_, kind)| Array::new(*kind, rows.len())).collect();
        for row in rows {
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value)?;
            }
        }
        let connection = self.connection();
        let statement = connection.prepare(&sql).await?;
        let parameters: Vec<&(dyn ToSql + Sync)> = columns.iter().map(Array::as_parameter).collect();
        connection.client.execute(&statement, &parameters).await.map_err(error)?;
        Ok(())
    }

    async fn lock(&mut self, lock: Lock, exclusive: bool) -> Result<()> {
        let strength = if exclusive { "UPDATE" } else { "SHARE" };
        let sql = format!("SELECT 1 FROM counters WHERE name = '{}' FOR {strength}", lock.name());
        self.connection().client.batch_execute(&sql).await.map_err(error)
    }

    async fn prepare_schema(&mut self, create: bool) -> Result<bool> {
        let lock = format!("SELECT pg_advisory_xact_lock({SCHEMA_LOCK})");
        self.connection().client.batch_execute(&lock).await.map_err(error)?;
        if create {
            let sql = "CREATE SCHEMA IF NOT EXISTS tycho";
            self.connection().client.batch_execute(sql).await.map_err(error)?;
        }
        let sql = "SELECT CAST(count(*) AS BIGINT) FROM pg_catalog.pg_tables WHERE schemaname = 'tycho' \
                   AND tablename = 'meta'";
        let rows = self.query(sql, &[]).await?;
        rows.first().map_or(Ok(false), |row| Ok(row.int(0)? > 0))
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        self.connection().client.batch_execute("COMMIT").await.map_err(|failed| match error(failed) {
            failed if failed.kind == ErrorKind::Unavailable => Error { kind: ErrorKind::OutcomeUnknown, ..failed },
            failed => failed,
        })?;
        if let Some(lent) = self.lent.take() {
            self.shared.idle.lock().push(lent.connection);
        }
        Ok(())
    }
}

impl Drop for PostgresTx {
    fn drop(&mut self) {
        let Some(lent) = self.lent.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let shared = self.shared.clone();
        runtime.spawn(async move {
            if lent.connection.client.batch_execute("ROLLBACK").await.is_ok() {
                shared.idle.lock().push(lent.connection);
            }
        });
    }
}

fn as_parameters(values: &[SqlValue]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn from_postgres(row: &tokio_postgres::Row) -> Result<Row> {
    let value = |at: usize, kind: &Type| -> Result<SqlValue> {
        Ok(match *kind {
            Type::INT8 => SqlValue::from(row.try_get::<_, Option<i64>>(at).map_err(error)?),
            Type::INT4 => SqlValue::from(row.try_get::<_, Option<i32>>(at).map_err(error)?.map(i64::from)),
            _ => SqlValue::from(row.try_get::<_, Option<String>>(at).map_err(error)?),
        })
    };
    let values = row.columns().iter().enumerate().map(|(at, column)| value(at, column.type_()));
    Ok(Row(values.collect::<Result<_>>()?))
}

impl ToSql for SqlValue {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, kind) {
            (SqlValue::Null, _) => Ok(IsNull::Yes),
            (SqlValue::Int(value), &Type::INT4) => i32::try_from(*value)?.to_sql(kind, out),
            (SqlValue::Int(value), _) => value.to_sql(kind, out),
            (SqlValue::Text(value), _) => value.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::INT4 | Type::TEXT | Type::VARCHAR)
    }

    to_sql_checked!();
}

/// One column of a bulk insert.
enum Array {
    Int(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
}

impl Array {
    fn new(kind: ColumnType, rows: usize) -> Array {
        match kind {
            ColumnType::Int => Array::Int(Vec::with_capacity(rows)),
            ColumnType::Text => Array::Text(Vec::with_capacity(rows)),
        }
    }

    fn push(&mut self, value: SqlValue) -> Result<()> {
        match (self, value) {
            (Array::Int(column), SqlValue::Int(value)) => column.push(Some(value)),
            (Array::Int(column), SqlValue::Null) => column.push(None),
            (Array::Text(column), SqlValue::Text(value)) => column.push(Some(value)),
            (Array::Text(column), SqlValue::Null) => column.push(None),
            _ => return Err(Error::new(ErrorKind::Internal, "a bulk insert holds a value of another type")),
        }
        Ok(())
    }

    fn as_parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Array::Int(column) => column,
            Array::Text(column) => column,
        }
    }
}
