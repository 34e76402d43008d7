//! The SQL databases a catalog can live in, behind one small trait: one set of SQL statements, written with `$1`
//! parameters, serves both. Row locks and bulk loading are the two places where the stores differ.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};

/// What a transaction may do, and what its COMMIT promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Sees one state of the catalog from its first statement to its last.
    Read,
    /// Durable when COMMIT returns.
    Write,
    /// For leases and heartbeats: a power cut may forget it, which ends every process that it spoke of anyway.
    WriteRelaxed,
}

/// The rows of `counters` that serve as locks. Taken in this order, so that nobody waits in a circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lock {
    /// Held by whoever decides (SEALED), commits or fences.
    Commit,
    /// Shared by those who take leases, held alone by those who condemn files or fence.
    Lease,
}

impl Lock {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Lock::Commit => "commit",
            Lock::Lease => "lease",
        }
    }
}

/// One value that goes into a statement or comes out of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SqlValue {
    Null,
    Int(i64),
    Text(String),
}

impl From<i64> for SqlValue {
    fn from(value: i64) -> Self {
        SqlValue::Int(value)
    }
}

impl From<&str> for SqlValue {
    fn from(value: &str) -> Self {
        SqlValue::Text(value.to_owned())
    }
}

impl From<String> for SqlValue {
    fn from(value: String) -> Self {
        SqlValue::Text(value)
    }
}

impl<T: Into<SqlValue>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(SqlValue::Null, Into::into)
    }
}

/// One row of a query's result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row(pub(crate) Vec<SqlValue>);

impl Row {
    pub(crate) fn int(&self, at: usize) -> Result<i64> {
        self.optional_int(at)?.ok_or_else(|| self.unexpected(at, "a number"))
    }

    pub(crate) fn optional_int(&self, at: usize) -> Result<Option<i64>> {
        match &self.0[at] {
            SqlValue::Int(value) => Ok(Some(*value)),
            SqlValue::Null => Ok(None),
            SqlValue::Text(_) => Err(self.unexpected(at, "a number")),
        }
    }

    /// Moves the text out of the row, which spares a copy for large results.
    pub(crate) fn text(&mut self, at: usize) -> Result<String> {
        self.optional_text(at)?.ok_or_else(|| self.unexpected(at, "text"))
    }

    pub(crate) fn optional_text(&mut self, at: usize) -> Result<Option<String>> {
        match std::mem::replace(&mut self.0[at], SqlValue::Null) {
            SqlValue::Text(value) => Ok(Some(value)),
            SqlValue::Null => Ok(None),
            SqlValue::Int(_) => Err(self.unexpected(at, "text")),
        }
    }

    fn unexpected(&self, at: usize, wanted: &str) -> Error {
        Error::new(ErrorKind::Internal, format!("column {at} of a catalog row is not {wanted}; the catalog is damaged"))
    }
}

/// The columns that a bulk insert fills; the type of each decides how PostgreSQL is sent it.
#[derive(Debug)]
pub(crate) struct BulkTable {
    pub(crate) table: &'static str,
    pub(crate) columns: &'static [(&'static str, ColumnType)],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Int,
    Text,
}

/// A database that holds one catalog.
#[async_trait]
pub(crate) trait Database: Send + Sync {
    /// Waits for a connection, and for SQLite's write lock where `mode` writes.
    async fn begin(&self, mode: Mode) -> Result<Box<dyn Tx>>;
    /// How many statements were sent so far; a bulk insert counts as one.
    fn statements(&self) -> u64;
}

/// One database transaction; dropped without `commit` it is rolled back.
#[async_trait]
pub(crate) trait Tx: Send {
    /// Runs a statement and says how many rows it changed.
    async fn execute(&mut self, sql: &str, parameters: &[SqlValue]) -> Result<u64>;
    async fn query(&mut self, sql: &str, parameters: &[SqlValue]) -> Result<Vec<Row>>;
    async fn insert_many(&mut self, table: &'static BulkTable, rows: Vec<Vec<SqlValue>>) -> Result<()>;
    /// Locks a row of `counters` until the end of the transaction.
    async fn lock(&mut self, lock: Lock, exclusive: bool) -> Result<()>;
    /// Whether the catalog's tables are there. Locks out others who would make them, where `mode` was Write.
    async fn prepare_schema(&mut self, create: bool) -> Result<bool>;
    /// Fails with `OutcomeUnknown` if COMMIT was sent and no answer came.
    async fn commit(self: Box<Self>) -> Result<()>;
}

/// `$1, $2 …`, as many as there are values, from `first` on.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// Builds a parameter list from values of different types.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::store::SqlValue::from($value)),*] };
}
pub(crate) use params;
