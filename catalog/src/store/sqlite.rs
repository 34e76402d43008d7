//! The catalog in one SQLite file: the default, for warehouses on a local disk. Several processes of one machine share it
//! (WAL); a process has one connection that writes and a few that read, all used on blocking threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::types::{Value as SqliteValue, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{BulkTable, Database, Lock, Mode, Row, SqlValue, Tx};
use crate::error::{Error, ErrorKind, Result};

/// How many connections of one process read at once; more readers wait.
const READERS: usize = 4;
/// How long a statement waits for another process's write transaction. Catalog transactions take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
const STATEMENT_CACHE: usize = 128;

pub(crate) struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    readers: Arc<Semaphore>,
    writer: Arc<Semaphore>,
    idle_readers: Mutex<Vec<Connection>>,
    idle_writer: Mutex<Vec<Connection>>,
    statements: AtomicU64,
}

impl Sqlite {
    /// Opens the file, or makes it (mode 0600) and the folder that holds it.
    pub(crate) async fn open(path: &str, create: bool) -> Result<Sqlite> {
        let path = PathBuf::from(path);
        let shared = Arc::new(Shared {
            path: path.clone(),
            readers: Arc::new(Semaphore::new(READERS)),
            writer: Arc::new(Semaphore::new(1)),
            idle_readers: Mutex::default(),
            idle_writer: Mutex::default(),
            statements: AtomicU64::new(0),
        });
        let opened = shared.clone();
        blocking(move || {
            if create {
                make_file(&path)?;
            } else if !path.exists() {
                return Err(Error::new(ErrorKind::NotFound, format!("there is no catalog at {}", path.display())));
            }
            let writer = opened.connect()?;
            opened.idle_writer.lock().push(writer);
            Ok(())
        })
        .await?;
        Ok(Sqlite { shared })
    }
}

fn make_file(path: &Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, format!("cannot make the catalog file {}", path.display()))
            .with_source(error)
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(failed)?;
    Ok(())
}

impl Shared {
    fn connect(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(|e| self.error(e))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(|e| self.error(e))?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        let mode = self.enter_wal(&connection)?;
        if mode != "wal" {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{} is on a file system without shared memory; put the catalog on a local disk",
                    self.path.display()
                ),
            ));
        }
        connection.pragma_update(None, "synchronous", "FULL").map_err(|e| self.error(e))?;
        Ok(connection)
    }

    /// Two processes that make the file at once meet here, where SQLite does not wait by itself.
    fn enter_wal(&self, connection: &Connection) -> Result<String> {
        let start = std::time::Instant::now();
        loop {
            match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)) {
                Err(error)
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && start.elapsed() < BUSY_TIMEOUT =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                other => return other.map_err(|e| self.error(e)),
            }
        }
    }

    fn error(&self, error: rusqlite::Error) -> Error {
        let kind = match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly,
            ) => ErrorKind::Unavailable,
            Some(ErrorCode::ConstraintViolation) => ErrorKind::Conflict,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, format!("the catalog {}: {error}", self.path.display())).with_source(error)
    }
}

/// A connection and its place among those that may be open. Dropped amid a transaction, the connection closes, which
/// rolls back.
struct Lent {
    connection: Connection,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl Database for Sqlite {
    async fn begin(&self, mode: Mode) -> Result<Box<dyn Tx>> {
        let shared = self.shared.clone();
        let gate = if mode == Mode::Read { &shared.readers } else { &shared.writer };
        let permit = gate.clone().acquire_owned().await.expect("the semaphore is never closed");
        let lent = blocking({
            let shared = shared.clone();
            move || {
                let idle = if mode == Mode::Read { &shared.idle_readers } else { &shared.idle_writer };
                let kept = idle.lock().pop();
                let connection = match kept {
                    Some(connection) => connection,
                    None => shared.connect()?,
                };
                let start = match mode {
                    Mode::Read => "BEGIN DEFERRED",
                    Mode::Write => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
                    Mode::WriteRelaxed => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
                };
                connection.execute_batch(start).map_err(|e| shared.error(e))?;
                Ok(Lent { connection, _permit: permit })
            }
        })
        .await?;
        Ok(Box::new(SqliteTx { shared, mode, lent: Some(lent) }))
    }

    fn statements(&self) -> u64 {
        self.shared.statements.load(Ordering::Relaxed)
    }
}

struct SqliteTx {
    shared: Arc<Shared>,
    mode: Mode,
    lent: Option<Lent>,
}

impl SqliteTx {
    /// Runs `work` on a blocking thread with the connection. If the caller goes away meanwhile, the connection is closed
    /// when the work is done.
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.shared.statements.fetch_add(1, Ordering::Relaxed);
        let lent = self.lent.take().ok_or_else(|| {
            Error::new(ErrorKind::Internal, "a catalog transaction was used after one of its statements was cancelled")
        })?;
        let (lent, result) = blocking(move || {
            let result = work(&lent.connection);
            Ok((lent, result))
        })
        .await?;
        self.lent = Some(lent);
        result.map_err(|e| self.shared.error(e))
    }

    fn give_back(&self, lent: Lent) {
        let idle = if self.mode == Mode::Read { &self.shared.idle_readers } else { &self.shared.idle_writer };
        idle.lock().push(lent.connection);
    }
}

#[async_trait]
impl Tx for SqliteTx {
    async fn execute(&mut self, sql: &str, parameters: &[SqlValue]) -> Result<u64> {
        let (sql, parameters) = (numbered(sql), to_sqlite(parameters.to_vec()));
        self.run(move |connection| Ok(connection.prepare_cached(&sql)?.execute(params_from_iter(parameters))? as u64))
            .await
    }

    async fn query(&mut self, sql: &str, parameters: &[SqlValue]) -> Result<Vec<Row>> {
        let (sql, parameters) = (numbered(sql), to_sqlite(parameters.to_vec()));
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let width = statement.column_count();
            let mut rows = statement.query(params_from_iter(parameters))?;
            let mut found = vec![];
            while let Some(row) = rows.next()? {
                let mut values = Vec::with_capacity(width);
                for at in 0..width {
                    values.push(match row.get_ref(at)? {
                        ValueRef::Null => SqlValue::Null,
                        ValueRef::Integer(value) => SqlValue::Int(value),
                        ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
                        other => {
                            return Err(rusqlite::Error::InvalidColumnType(at, sql.clone(), other.data_type()));
                        }
                    });
                }
                found.push(Row(values));
            }
            Ok(found)
        })
        .await
    }

    async fn insert_many(&mut self, table: &'static BulkTable, rows: Vec<Vec<SqlValue>>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        let marks = (1..=names.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({marks})", table.table, names.join(", "));
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            for row in rows {
                statement.execute(params_from_iter(to_sqlite(row)))?;
            }
            Ok(())
        })
        .await
    }

    async fn lock(&mut self, _: Lock, _: bool) -> Result<()> {
        // BEGIN IMMEDIATE holds the only write lock there is.
        Ok(())
    }

    async fn prepare_schema(&mut self, _: bool) -> Result<bool> {
        let found = self.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'", &[]).await?;
        Ok(!found.is_empty())
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        self.run(|connection| connection.execute_batch("COMMIT")).await.map_err(|error| match error.kind {
            // The log may or may not have reached the disk.
            ErrorKind::Unavailable => Error { kind: ErrorKind::OutcomeUnknown, ..error },
            _ => error,
        })?;
        if let Some(lent) = self.lent.take() {
            self.give_back(lent);
        }
        Ok(())
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take()
            && lent.connection.execute_batch("ROLLBACK").is_ok()
        {
            self.give_back(lent);
        }
    }
}

/// `$1` would be a *named* parameter of SQLite, numbered by first appearance; `?1` is what it says.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn to_sqlite(values: Vec<SqlValue>) -> Vec<SqliteValue> {
    values
        .into_iter()
        .map(|value| match value {
            SqlValue::Null => SqliteValue::Null,
            SqlValue::Int(value) => SqliteValue::Integer(value),
            SqlValue::Text(value) => SqliteValue::Text(value),
        })
        .collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new(ErrorKind::Internal, "the thread of a catalog statement ended").with_source(error)
    })?
}
