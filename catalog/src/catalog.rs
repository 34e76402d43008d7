//! An open catalog: where it is, who it is, and what is asked of it outside any snapshot.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::error::{Error, ErrorKind, Result};
use crate::lease::{Observations, Process};
use crate::model::{Commit, CommitNumber, TableId, TransactionId};
use crate::schema;
use crate::store::{Database, Mode, Row, Tx, params, postgres::Postgres, sqlite::Sqlite};

/// How many commits a process remembers the time of.
const SEEN_COMMITS: usize = 4096;

/// How a catalog is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// A process is taken for dead when its counter stood still for so long (`tycho.lease`).
    pub lease_ms: u64,
    /// Superseded files stay for a lease holder so long after the commit that ended them (`tycho.retire_after`).
    pub retire_after_ms: u64,
    /// URL (trailing slash) that `warehouse:` stands for.
    pub warehouse: String,
    /// Whether to make the catalog where there is none.
    pub create: bool,
}

/// A catalog: an open SQLite file or a PostgreSQL database, and this process's lease in it. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) database: Arc<dyn Database>,
    pub(crate) id: String,
    pub(crate) incarnation: i64,
    pub(crate) options: OpenOptions,
    pub(crate) runtime: Handle,
    /// This process as the catalog knows it; made anew after a fence.
    pub(crate) process: tokio::sync::Mutex<Option<Arc<Process>>>,
    pub(crate) observations: Mutex<Observations>,
    /// Commits in the order they were seen as the current one, with the time: how long ago an ended file was ended.
    pub(crate) seen_commits: Mutex<VecDeque<(CommitNumber, Instant)>>,
    /// Transactions that were dropped and not yet marked aborted.
    pub(crate) dropped: Mutex<Vec<TransactionId>>,
    /// Held while they are, so that whoever recovers meanwhile waits for it.
    pub(crate) giving_away: tokio::sync::Mutex<()>,
    pub(crate) heartbeat_started: AtomicBool,
}

impl Catalog {
    /// Opens `sqlite:PATH` or `postgres://…`, making or migrating its schema; starts the heartbeat of this process's lease
    /// at its first snapshot or transaction. Must be called within a Tokio runtime that lives as long as the catalog.
    pub async fn open(url: &str, mut options: OpenOptions) -> Result<Catalog> {
        let database: Arc<dyn Database> = if let Some(path) = url.strip_prefix("sqlite:") {
            Arc::new(Sqlite::open(path, options.create).await?)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Arc::new(Postgres::open(url).await?)
        } else {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a catalog is at `sqlite:PATH` or `postgres://…`, and this URL is neither",
            ));
        };
        if !options.warehouse.ends_with('/') {
            options.warehouse.push('/');
        }
        let meta = schema::prepare(&*database, options.create).await?;
        Ok(Catalog {
            inner: Arc::new(Inner {
                database,
                id: meta.id,
                incarnation: meta.incarnation,
                options,
                runtime: Handle::current(),
                process: tokio::sync::Mutex::default(),
                observations: Mutex::default(),
                seen_commits: Mutex::default(),
                dropped: Mutex::default(),
                giving_away: Default::default(),
                heartbeat_started: AtomicBool::new(false),
            }),
        })
    }

    /// 8 hex digits, part of every file name that this catalog writes.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Raised when the catalog is restored from a backup, so that two that came of one are told apart.
    pub fn incarnation(&self) -> i64 {
        self.inner.incarnation
    }

    /// How many SQL statements were sent to the catalog's database; a bulk insert counts as one.
    pub fn statements_sent(&self) -> u64 {
        self.inner.database.statements()
    }

    /// Newest first, at most `limit`; with a table, those that changed it.
    pub async fn commits(&self, table: Option<TableId>, limit: usize) -> Result<Vec<Commit>> {
        const COLUMNS: &str = "SELECT c.number, c.transaction_id, c.committed_at, t.statement, t.user_name, \
             t.files_added, t.files_removed, t.rows_added, t.bytes_added \
             FROM commits c JOIN transactions t ON t.id = c.transaction_id";
        let mut tx = self.begin_database(Mode::Read).await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = match table {
            None => tx.query(&format!("{COLUMNS} ORDER BY c.number DESC LIMIT $1"), params![limit]).await?,
            Some(table) => {
                let sql = format!(
                    "{COLUMNS} JOIN table_commits d ON d.transaction_id = c.transaction_id AND d.table_id = $1 \
                     ORDER BY c.number DESC LIMIT $2"
                );
                tx.query(&sql, params![table, limit]).await?
            }
        };
        tx.commit().await?;
        rows.into_iter().map(commit_from_row).collect()
    }

    /// The commit of a transaction, if it has committed: how a client whose reply was lost learns the outcome.
    pub async fn commit_of(&self, transaction: TransactionId) -> Result<Option<Commit>> {
        let mut tx = self.begin_database(Mode::Read).await?;
        let commit = read_commit(&mut *tx, transaction).await?;
        tx.commit().await?;
        Ok(commit)
    }

    /// The number of the last commit; 0 where there is none.
    pub async fn current_commit(&self) -> Result<CommitNumber> {
        let mut tx = self.begin_database(Mode::Read).await?;
        let current = read_current(&mut *tx).await?;
        tx.commit().await?;
        Ok(current)
    }

    /// The absolute URL behind a table location (`warehouse:…` is replaced).
    pub fn resolve(&self, location: &str) -> String {
        match location.strip_prefix("warehouse:") {
            Some(rest) => format!("{}{rest}", self.inner.options.warehouse),
            None => location.to_owned(),
        }
    }

    /// One spelling for each place: what lies below the warehouse starts with `warehouse:`.
    pub(crate) fn canonical(&self, location: &str) -> String {
        match location.strip_prefix(self.inner.options.warehouse.as_str()) {
            Some(rest) if !self.inner.options.warehouse.is_empty() => format!("warehouse:{rest}"),
            _ => location.to_owned(),
        }
    }

    /// Where a file is, canonical: `path` below the table's root, unless it is absolute itself.
    pub(crate) fn target(&self, root: &str, path: &str) -> String {
        if path.contains("://") || path.starts_with("warehouse:") {
            return self.canonical(path);
        }
        let mut root = self.canonical(root);
        if !root.ends_with('/') && !root.ends_with(':') {
            root.push('/');
        }
        root + path
    }

    /// The id of the catalog that was recorded as the owner of a location, if one was.
    pub async fn owner(&self, location: &str) -> Result<Option<String>> {
        let mut tx = self.begin_database(Mode::Read).await?;
        let location = self.canonical(location);
        let mut rows =
            tx.query("SELECT catalog_id FROM owned_locations WHERE location = $1", params![location]).await?;
        tx.commit().await?;
        rows.first_mut().map(|row| row.text(0)).transpose()
    }

    /// Whether this catalog recorded itself as the owner of a location.
    pub async fn owns(&self, location: &str) -> Result<bool> {
        Ok(self.owner(location).await?.is_some_and(|owner| owner == self.inner.id))
    }

    /// Records this catalog as the owner of a location, in place of any other (the caller has read `_tycho_owner`).
    pub async fn note_owner(&self, location: &str) -> Result<()> {
        let mut tx = self.begin_database(Mode::Write).await?;
        tx.execute(
            "INSERT INTO owned_locations (location, catalog_id) VALUES ($1, $2) \
             ON CONFLICT (location) DO UPDATE SET catalog_id = excluded.catalog_id",
            params![self.canonical(location), self.inner.id.as_str()],
        )
        .await?;
        tx.commit().await
    }

    /// Forgets who owns a location: ownership ends with DROP TABLE.
    pub async fn forget_owner(&self, location: &str) -> Result<()> {
        let mut tx = self.begin_database(Mode::Write).await?;
        tx.execute("DELETE FROM owned_locations WHERE location = $1", params![self.canonical(location)]).await?;
        tx.commit().await
    }

    pub(crate) async fn begin_database(&self, mode: Mode) -> Result<Box<dyn Tx>> {
        self.inner.database.begin(mode).await
    }

    /// Remembers when a commit was first seen as the current one.
    pub(crate) fn note_current(&self, current: CommitNumber) {
        let mut seen = self.inner.seen_commits.lock();
        if seen.back().is_none_or(|(last, _)| *last < current) {
            seen.push_back((current, Instant::now()));
            // Forgetting the oldest only makes what it knew look younger.
            if seen.len() > SEEN_COMMITS {
                seen.pop_front();
            }
        }
    }

    /// Commits up to this one are older than `tycho.retire_after` by this process's own clock.
    pub(crate) fn aged_commit(&self) -> CommitNumber {
        let age = Duration::from_millis(self.inner.options.retire_after_ms);
        let mut seen = self.inner.seen_commits.lock();
        let mut aged = 0;
        while let Some((number, since)) = seen.front().copied()
            && since.elapsed() >= age
        {
            aged = number;
            if seen.len() == 1 {
                break;
            }
            // The last aged one stays: it is the answer next time too.
            if seen.get(1).is_some_and(|(_, since)| since.elapsed() >= age) {
                seen.pop_front();
            } else {
                break;
            }
        }
        aged
    }
}

/// Reads `counters.commit`.
pub(crate) async fn read_current(tx: &mut dyn Tx) -> Result<CommitNumber> {
    let rows = tx.query("SELECT value FROM counters WHERE name = 'commit'", &[]).await?;
    rows.first().ok_or_else(|| Error::new(ErrorKind::Internal, "the catalog has no commit counter"))?.int(0)
}

pub(crate) async fn read_commit(tx: &mut dyn Tx, transaction: TransactionId) -> Result<Option<Commit>> {
    let rows = tx
        .query(
            "SELECT c.number, c.transaction_id, c.committed_at, t.statement, t.user_name, t.files_added, \
             t.files_removed, t.rows_added, t.bytes_added \
             FROM commits c JOIN transactions t ON t.id = c.transaction_id WHERE c.transaction_id = $1",
            params![transaction],
        )
        .await?;
    rows.into_iter().next().map(commit_from_row).transpose()
}

fn commit_from_row(mut row: Row) -> Result<Commit> {
    Ok(Commit {
        number: row.int(0)?,
        transaction: row.int(1)?,
        committed_at: row.int(2)?,
        statement: row.optional_text(3)?,
        user: row.optional_text(4)?,
        files_added: row.int(5)?,
        files_removed: row.int(6)?,
        rows_added: row.int(7)?,
        bytes_added: row.int(8)?,
    })
}

/// The partitions that a commit changed, by table.
pub(crate) async fn read_changed_partitions(
    tx: &mut dyn Tx,
    transaction: TransactionId,
) -> Result<BTreeMap<TableId, Vec<String>>> {
    let mut changed: BTreeMap<TableId, Vec<String>> = BTreeMap::new();
    let rows = tx
        .query(
            "SELECT table_id, object FROM changes WHERE transaction_id = $1 AND scope = 'partition'",
            params![transaction],
        )
        .await?;
    for mut row in rows {
        changed.entry(row.int(0)?).or_default().push(row.text(1)?);
    }
    changed.values_mut().for_each(|folders| folders.sort());
    Ok(changed)
}
