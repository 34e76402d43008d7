//! A write transaction while it is open: what its statements ask for is gathered in memory, on top of its base commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::catalog::{Catalog, read_commit};
use crate::changes::{ChangeSet, Claim, DataChange, DefinitionChange, ForeignRemoval, PendingFile};
use crate::error::{Error, ErrorKind, Result};
use crate::lease::Lease;
use crate::model::*;
use crate::schema::{STAGINGS, take_numbers};
use crate::storage::Storage;
use crate::store::{Mode, SqlValue, params};
use crate::value::Predicate;
use crate::view::{Snapshot, View, no_table};

/// How long `begin` waits for another transaction that holds its idempotency key and is about to commit.
const KEY_WAIT: Duration = Duration::from_secs(10);

/// What a transaction is opened with.
#[derive(Clone, Default)]
pub struct Begin {
    /// Statement text with secrets replaced.
    pub statement: Option<String>,
    pub user: Option<String>,
    /// BEGIN … COMMIT or a job: conflicts are never resolved by sealing again.
    pub explicit: bool,
    /// The key and a hash of the bound statement.
    pub idempotency: Option<(String, String)>,
    /// The snapshot it starts from, for a block that has read already; `None`: the current one.
    pub base: Option<Snapshot>,
}

/// What an overwrite replaces.
#[derive(Debug, Clone, PartialEq)]
pub struct Overwrite {
    pub table: TableId,
    /// Partitions that are replaced whether or not they receive rows (static clause or static mode); `Predicate::Nothing`
    /// where only the partitions of `files` are (dynamic mode).
    pub scope: Predicate,
    /// Scope partitions that receive no row: stay registered and empty (`false`), or are dropped (`true`).
    pub drop_empty: bool,
    /// A fully static partition: registered even when no file goes there.
    pub register: Option<NewPartition>,
    pub files: Vec<NewFile>,
    /// Foreign files that were listed at OPEN in what is replaced; they are removed with the commit.
    pub foreign: Vec<ForeignFile>,
}

/// Partitions of a table that were read, and whether anything but files of this catalog was.
pub(crate) struct Read {
    pub(crate) table: TableId,
    pub(crate) predicate: Predicate,
    pub(crate) foreign: bool,
}

/// A write transaction: changes of one statement, or of all from BEGIN to COMMIT.
///
/// Dropped without `commit`, it is aborted (its staging is collected by `recover`, at once if it can be).
pub struct Transaction {
    pub(crate) catalog: Catalog,
    pub(crate) id: TransactionId,
    pub(crate) begin: Begin,
    pub(crate) lease: Arc<Lease>,
    pub(crate) changes: Arc<ChangeSet>,
    savepoints: Vec<(String, Arc<ChangeSet>)>,
    pub(crate) reads: Vec<Read>,
    repeated: Option<Commit>,
    /// Staging areas that were recorded.
    pub(crate) areas: Mutex<BTreeSet<String>>,
    /// Whether the catalog has the outcome; otherwise Drop aborts.
    pub(crate) finished: bool,
}

impl Catalog {
    /// Opens a write transaction: state OPEN, base commit recorded.
    pub async fn begin(&self, begin: Begin) -> Result<Transaction> {
        self.abort_dropped().await?;
        let repeated = match &begin.idempotency {
            Some((key, hash)) => self.used_key(key, hash).await?,
            None => None,
        };
        let lease = match &begin.base {
            Some(snapshot) => Arc::clone(&snapshot.lease),
            None => self.lease_current().await?,
        };
        let mut tx = self.begin_database(Mode::Write).await?;
        let id = take_numbers(&mut *tx, "transaction", 1).await?;
        let (key, hash) = begin.idempotency.clone().unzip();
        tx.execute(
            "INSERT INTO transactions (id, process_id, state, base, statement, user_name, explicit, idempotency_key, \
             idempotency_hash, files_added, files_removed, rows_added, bytes_added) \
             VALUES ($1, $2, 'open', $3, $4, $5, $6, $7, $8, 0, 0, 0, 0)",
            params![
                id,
                lease.process.id,
                lease.commit,
                begin.statement.clone(),
                begin.user.clone(),
                i64::from(begin.explicit),
                key,
                hash,
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(Transaction {
            catalog: self.clone(),
            id,
            begin,
            lease,
            changes: Arc::default(),
            savepoints: vec![],
            reads: vec![],
            repeated,
            areas: Mutex::default(),
            finished: false,
        })
    }

    /// The commit that used an idempotency key. One that is only SEALED is waited for; where that takes too long, SEALED
    /// finds it again.
    async fn used_key(&self, key: &str, hash: &str) -> Result<Option<Commit>> {
        let until = tokio::time::Instant::now() + KEY_WAIT;
        loop {
            let mut tx = self.begin_database(Mode::Read).await?;
            let mut rows = tx
                .query(
                    "SELECT id, state, idempotency_hash FROM transactions \
                     WHERE idempotency_key = $1 AND state IN ('sealed', 'committed')",
                    params![key],
                )
                .await?;
            let Some(row) = rows.first_mut() else { return Ok(None) };
            if row.text(2)? != hash {
                return Err(key_mismatch(key));
            }
            if row.text(1)? == "committed" {
                return read_commit(&mut *tx, row.int(0)?).await;
            }
            drop(tx);
            if tokio::time::Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) fn key_mismatch(key: &str) -> Error {
    Error::new(
        ErrorKind::IdempotencyMismatch,
        format!("the idempotency key `{key}` was used for another statement; use a new key"),
    )
}

fn exists(what: String) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("{what} exists already"))
}

fn missing(what: String) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what} does not exist"))
}

fn database_claim(name: &str) -> String {
    format!("database {name}")
}

fn table_claim(table: &TableDefinition) -> String {
    format!("table {}.{}", table.database, table.name)
}

impl Transaction {
    pub fn id(&self) -> TransactionId {
        self.id
    }

    pub fn base(&self) -> CommitNumber {
        self.lease.commit
    }

    /// The base commit with the changes made so far.
    pub fn view(&self) -> View {
        View::of_transaction(self.lease.clone(), self.id, self.changes.clone())
    }

    /// For an idempotency key that was used: the commit that used it.
    pub fn repeated(&self) -> Option<&Commit> {
        self.repeated.as_ref()
    }

    fn change(&mut self) -> &mut ChangeSet {
        let changes = Arc::make_mut(&mut self.changes);
        changes.count += 1;
        changes
    }

    pub async fn create_database(&mut self, database: Database) -> Result<()> {
        if self.view().database(&database.name).await?.is_some() {
            return Err(exists(format!("database {}", database.name)));
        }
        self.put_database(database);
        Ok(())
    }

    pub async fn alter_database(&mut self, database: Database) -> Result<()> {
        if self.view().database(&database.name).await?.is_none() {
            return Err(missing(format!("database {}", database.name)));
        }
        self.put_database(database);
        Ok(())
    }

    fn put_database(&mut self, database: Database) {
        let changes = self.change();
        changes.claim(database_claim(&database.name), Claim::Exclusive);
        changes.databases.insert(database.name.clone(), Some(Arc::new(database)));
    }

    /// Fails with `InUse` while tables are in it.
    pub async fn drop_database(&mut self, name: &str) -> Result<()> {
        let view = self.view();
        if view.database(name).await?.is_none() {
            return Err(missing(format!("database {name}")));
        }
        let tables = view.tables(name).await?.len();
        if tables > 0 {
            return Err(Error::new(
                ErrorKind::InUse,
                format!("database {name} is not empty: it has {tables} tables; drop them first, or use CASCADE"),
            ));
        }
        let changes = self.change();
        changes.claim(database_claim(name), Claim::Exclusive);
        changes.databases.insert(name.to_owned(), None);
        Ok(())
    }

    /// Gives it an id; `AlreadyExists` if the name is taken in this view.
    pub async fn create_table(&mut self, mut table: TableDefinition) -> Result<Arc<TableDefinition>> {
        let view = self.view();
        if view.database(&table.database).await?.is_none() {
            return Err(missing(format!("database {}", table.database)));
        }
        if view.table(&table.database, &table.name).await?.is_some() {
            return Err(exists(format!("table {}", table.full_name())));
        }
        let mut tx = self.catalog.begin_database(Mode::WriteRelaxed).await?;
        table.id = take_numbers(&mut *tx, "table", 1).await?;
        tx.commit().await?;
        Ok(self.put_table(table, true))
    }

    /// A new definition under the same id (rename included).
    pub async fn alter_table(&mut self, table: TableDefinition) -> Result<Arc<TableDefinition>> {
        let view = self.view();
        let old = view.table_by_id(table.id).await?.ok_or_else(|| no_table(table.id))?;
        if (&old.database, &old.name) != (&table.database, &table.name) {
            if view.database(&table.database).await?.is_none() {
                return Err(missing(format!("database {}", table.database)));
            }
            if view.table(&table.database, &table.name).await?.is_some() {
                return Err(exists(format!("table {}", table.full_name())));
            }
            self.change().claim(table_claim(&old), Claim::Exclusive);
        }
        Ok(self.put_table(table, false))
    }

    fn put_table(&mut self, table: TableDefinition, created: bool) -> Arc<TableDefinition> {
        let table = Arc::new(table);
        let changes = self.change();
        changes.claim(database_claim(&table.database), Claim::Shared);
        changes.claim(table_claim(&table), Claim::Exclusive);
        let change = changes.tables.entry(table.id).or_default();
        change.definition = DefinitionChange::Set(table.clone());
        change.created |= created;
        table
    }

    /// Managed: its files end with the commit. External: they are given up.
    pub async fn drop_table(&mut self, table: TableId) -> Result<()> {
        let old = self.view().table_by_id(table).await?.ok_or_else(|| no_table(table))?;
        let changes = self.change();
        changes.claim(table_claim(&old), Claim::Exclusive);
        let change = changes.tables.entry(table).or_default();
        change.definition = DefinitionChange::Dropped(old);
        change.data.clear();
        if change.created {
            changes.tables.remove(&table);
        }
        Ok(())
    }

    /// Registers partitions that are not there yet; those that are keep their location.
    pub async fn register_partitions(&mut self, table: TableId, partitions: Vec<NewPartition>) -> Result<()> {
        self.root(table).await?;
        if !partitions.is_empty() {
            self.change().add_data(table, DataChange::Register(partitions));
        }
        Ok(())
    }

    /// By folder; the files of this catalog in them end, `foreign` ones are removed with the commit.
    pub async fn drop_partitions(
        &mut self,
        table: TableId,
        folders: Vec<String>,
        foreign: Vec<ForeignFile>,
    ) -> Result<()> {
        let foreign = self.removals(table, foreign).await?;
        if !folders.is_empty() || !foreign.is_empty() {
            let folders: BTreeSet<String> = folders.into_iter().collect();
            self.change().add_data(table, DataChange::Drop { folders, foreign });
        }
        Ok(())
    }

    /// Ends all files of the partitions that match; they stay registered.
    pub async fn truncate(&mut self, table: TableId, scope: Predicate, foreign: Vec<ForeignFile>) -> Result<()> {
        let foreign = self.removals(table, foreign).await?;
        self.change().add_data(table, DataChange::Truncate { scope, foreign });
        Ok(())
    }

    pub async fn append(&mut self, table: TableId, files: Vec<NewFile>) -> Result<()> {
        let files = self.pending(table, files).await?;
        if !files.is_empty() {
            self.change().add_data(table, DataChange::Append(files));
        }
        Ok(())
    }

    pub async fn overwrite(&mut self, overwrite: Overwrite) -> Result<()> {
        let Overwrite { table, scope, drop_empty, register, files, foreign } = overwrite;
        let files = self.pending(table, files).await?;
        let foreign = self.removals(table, foreign).await?;
        // Dynamic mode without rows replaces nothing.
        if scope != Predicate::Nothing || register.is_some() || !files.is_empty() || !foreign.is_empty() {
            let change = DataChange::Overwrite { scope, drop_empty, register, files, foreign };
            self.change().add_data(table, change);
        }
        Ok(())
    }

    /// The root of a file table that exists in this view.
    async fn root(&self, table: TableId) -> Result<String> {
        let definition = self.view().table_by_id(table).await?.ok_or_else(|| no_table(table))?;
        definition.location.clone().ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("{} has no location, so it has no files", definition.full_name()))
        })
    }

    async fn pending(&self, table: TableId, files: Vec<NewFile>) -> Result<Vec<PendingFile>> {
        let root = self.root(table).await?;
        let target = |file: &NewFile| self.catalog.target(&root, &file.path);
        Ok(files.into_iter().map(|file| PendingFile { target: target(&file), file }).collect())
    }

    async fn removals(&self, table: TableId, files: Vec<ForeignFile>) -> Result<Vec<ForeignRemoval>> {
        let root = self.root(table).await?;
        let target = |file: &ForeignFile| self.catalog.target(&root, &file.path);
        Ok(files.into_iter().map(|file| ForeignRemoval { target: target(&file), file }).collect())
    }

    pub async fn put_geodata_layer(&mut self, layer: GeodataLayer) -> Result<()> {
        let key = (layer.set.clone(), layer.name.clone());
        let changes = self.change();
        changes.claim(format!("geodata layer {}.{}", key.0, key.1), Claim::Exclusive);
        changes.geodata_layers.insert(key, Some(Arc::new(layer)));
        Ok(())
    }

    pub async fn drop_geodata_layer(&mut self, set: &str, name: &str) -> Result<()> {
        let layers = self.view().geodata_layers().await?;
        if !layers.iter().any(|layer| layer.set == set && layer.name == name) {
            return Err(missing(format!("geodata layer {set}.{name}")));
        }
        let changes = self.change();
        changes.claim(format!("geodata layer {set}.{name}"), Claim::Exclusive);
        changes.geodata_layers.insert((set.to_owned(), name.to_owned()), None);
        Ok(())
    }

    /// Marks a place to roll back to. A name that is there already is hidden until the new one is released.
    pub fn savepoint(&mut self, name: &str) {
        self.savepoints.push((name.to_owned(), self.changes.clone()));
    }

    /// Forgets the savepoint and those after it; the changes stay.
    pub fn release(&mut self, name: &str) -> Result<()> {
        let at = self.savepoint_at(name)?;
        self.savepoints.truncate(at);
        Ok(())
    }

    /// Undoes what was changed since the savepoint, and forgets those after it; the savepoint itself stays.
    pub fn rollback_to(&mut self, name: &str) -> Result<()> {
        let at = self.savepoint_at(name)?;
        self.savepoints.truncate(at + 1);
        self.changes = self.savepoints[at].1.clone();
        Ok(())
    }

    fn savepoint_at(&self, name: &str) -> Result<usize> {
        self.savepoints
            .iter()
            .rposition(|(n, _)| n == name)
            .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("there is no savepoint `{name}`")))
    }

    /// How many changes were made and not rolled back: the same number as before means that nothing changed.
    pub fn changes_made(&self) -> usize {
        self.changes.count
    }

    /// Notes what the transaction read: partitions of a table that may match. `foreign`: files that are not of this
    /// catalog, a remote table, a topic: then a conflict is never resolved by sealing again.
    pub fn note_read(&mut self, table: TableId, predicate: Predicate, foreign: bool) {
        self.reads.push(Read { table, predicate, foreign });
    }

    /// Records staging areas durably, before anything is written there.
    pub async fn record_staging(&self, staging: &[String]) -> Result<()> {
        let areas: BTreeSet<&String> = staging.iter().collect();
        self.areas.lock().extend(staging.iter().cloned());
        let mut tx = self.catalog.begin_database(Mode::Write).await?;
        // Locks the row against whoever would abort it, and finds out whether somebody did.
        let open = tx
            .execute("UPDATE transactions SET state = 'open' WHERE id = $1 AND state = 'open'", params![self.id])
            .await?;
        if open == 0 {
            return Err(fenced(self.id));
        }
        let known = tx.query("SELECT area FROM stagings WHERE transaction_id = $1", params![self.id]).await?;
        let known: BTreeSet<String> = known.into_iter().map(|mut row| row.text(0)).collect::<Result<_>>()?;
        let rows = areas
            .into_iter()
            .filter(|area| !known.contains(*area))
            .map(|area| vec![SqlValue::Int(self.id), SqlValue::from(area.as_str())])
            .collect();
        tx.insert_many(&STAGINGS, rows).await?;
        tx.commit().await
    }

    pub async fn abort(mut self, storage: &dyn Storage) -> Result<()> {
        self.abort_now(storage).await
    }
}

impl Transaction {
    pub(crate) async fn abort_now(&mut self, storage: &dyn Storage) -> Result<()> {
        let areas = std::mem::take(&mut *self.areas.lock());
        self.catalog.abort_transaction(self.id, areas, storage).await?;
        self.finished = true;
        self.lease.release().await
    }
}

pub(crate) fn fenced(transaction: TransactionId) -> Error {
    Error::new(
        ErrorKind::Fenced,
        format!("transaction {transaction} was aborted: the lease of this process ran out (tycho.lease); run it again"),
    )
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.catalog.inner.dropped.lock().push(self.id);
        let catalog = self.catalog.clone();
        self.catalog.inner.runtime.spawn(async move {
            if let Err(error) = catalog.abort_dropped().await {
                tracing::warn!(%error, "a dropped transaction could not be marked aborted; it is when its lease runs out");
            }
        });
    }
}

/// What a commit did. A transaction without changes makes no commit: `commit` is then its base.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    pub commit: CommitNumber,
    pub files_added: u64,
    pub files_removed: u64,
    /// Partitions that changed, by table.
    pub partitions: BTreeMap<TableId, Vec<String>>,
}
