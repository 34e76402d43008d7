//! What a statement reads: a snapshot, and in a transaction the transaction's own changes on top.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::changes::{ChangeSet, TableState};
use crate::error::{Error, ErrorKind, Result};
use crate::lease::Lease;
use crate::model::*;
use crate::schema::damaged;
use crate::store::{Mode, Row, SqlValue, Tx, params, placeholders};
use crate::value::Predicate;

/// How many values one `IN (…)` names.
pub(crate) const CHUNK: usize = 500;
/// Above so many names the whole table is read instead of looking each up.
pub(crate) const LOOKUP_LIMIT: usize = 4 * CHUNK;

/// `FROM table v …` with the rows that are visible at commit `$1`; aliases: v the row, a and e its first and last commit.
macro_rules! visible {
    ($columns:literal, $table:literal, $condition:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $table,
            " v JOIN commits a ON a.transaction_id = v.added_by ",
            "LEFT JOIN commits e ON e.transaction_id = v.ended_by ",
            "WHERE a.number <= $1 AND (e.number IS NULL OR e.number > $1) ",
            $condition
        )
    };
}

impl Catalog {
    /// The current snapshot, leased by this process until the last clone of it is dropped.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot { lease: self.lease_current().await? })
    }
}

/// The catalog as of one commit. Clones share one lease.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) lease: Arc<Lease>,
}

impl Snapshot {
    pub fn commit(&self) -> CommitNumber {
        self.lease.commit
    }
}

/// What a statement reads: a snapshot, and in a transaction its own changes on top. Cheap to clone; later changes of the
/// transaction do not show in a view taken before. A view of a transaction ends with the transaction.
#[derive(Clone)]
pub struct View {
    lease: Arc<Lease>,
    changes: Option<(TransactionId, Arc<ChangeSet>)>,
}

impl From<Snapshot> for View {
    fn from(snapshot: Snapshot) -> View {
        View { lease: snapshot.lease, changes: None }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableTotals {
    pub partitions: u64,
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl View {
    pub(crate) fn of_transaction(lease: Arc<Lease>, transaction: TransactionId, changes: Arc<ChangeSet>) -> View {
        View { lease, changes: Some((transaction, changes)) }
    }

    pub fn catalog(&self) -> &Catalog {
        &self.lease.catalog
    }

    /// Whether a transaction's own changes lie on top of the snapshot.
    pub fn has_changes(&self) -> bool {
        self.changes.is_some()
    }

    pub fn commit(&self) -> CommitNumber {
        self.lease.commit
    }

    pub(crate) fn overlay(&self) -> Option<&ChangeSet> {
        self.changes.as_ref().map(|(_, changes)| &**changes)
    }

    /// A read transaction in which the lease still holds.
    pub(crate) async fn read(&self) -> Result<Box<dyn Tx>> {
        let mut tx = self.lease.catalog.begin_database(Mode::Read).await?;
        self.lease.check(&mut *tx).await?;
        Ok(tx)
    }

    /// All databases, sorted by name.
    pub async fn databases(&self) -> Result<Vec<Database>> {
        let mut tx = self.read().await?;
        let rows = tx.query(visible!("v.definition", "databases", ""), params![self.commit()]).await?;
        tx.commit().await?;
        let mut found = BTreeMap::new();
        for mut row in rows {
            let database: Database = from_json(&row.text(0)?)?;
            found.insert(database.name.clone(), database);
        }
        for (name, change) in self.overlay().iter().flat_map(|c| &c.databases) {
            match change {
                Some(database) => found.insert(name.clone(), (**database).clone()),
                None => found.remove(name),
            };
        }
        Ok(found.into_values().collect())
    }

    pub async fn database(&self, name: &str) -> Result<Option<Database>> {
        if let Some(change) = self.overlay().and_then(|c| c.databases.get(name)) {
            return Ok(change.as_deref().cloned());
        }
        let mut tx = self.read().await?;
        let mut rows =
            tx.query(visible!("v.definition", "databases", "AND v.name = $2"), params![self.commit(), name]).await?;
        tx.commit().await?;
        rows.first_mut().map(|row| from_json(&row.text(0)?)).transpose()
    }

    /// All tables and views of a database, sorted by name.
    pub async fn tables(&self, database: &str) -> Result<Vec<Arc<TableDefinition>>> {
        let mut tx = self.read().await?;
        let rows = tx
            .query(visible!("v.definition", "tables", "AND v.database_name = $2"), params![self.commit(), database])
            .await?;
        tx.commit().await?;
        let mut found: BTreeMap<TableId, Arc<TableDefinition>> = BTreeMap::new();
        for mut row in rows {
            let definition: TableDefinition = from_json(&row.text(0)?)?;
            found.insert(definition.id, Arc::new(definition));
        }
        for id in self.overlay().iter().flat_map(|c| c.tables.keys()) {
            match self.overlay().and_then(|c| c.definition(*id)) {
                Some(Some(definition)) if definition.database == database => {
                    found.insert(*id, definition);
                }
                Some(_) => {
                    found.remove(id);
                }
                None => {}
            }
        }
        let mut tables: Vec<_> = found.into_values().collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tables)
    }

    pub async fn table(&self, database: &str, name: &str) -> Result<Option<Arc<TableDefinition>>> {
        if let Some(changes) = self.overlay() {
            let ours = changes.tables.keys().filter_map(|id| changes.definition(*id).flatten());
            if let Some(definition) = ours.into_iter().find(|d| d.database == database && d.name == name) {
                return Ok(Some(definition));
            }
        }
        let mut tx = self.read().await?;
        let mut rows = tx
            .query(
                visible!("v.definition", "tables", "AND v.database_name = $2 AND v.name = $3"),
                params![self.commit(), database, name],
            )
            .await?;
        tx.commit().await?;
        let Some(row) = rows.first_mut() else { return Ok(None) };
        let definition: TableDefinition = from_json(&row.text(0)?)?;
        // Renamed or dropped by this transaction: the name is free.
        let changed = self.overlay().is_some_and(|c| c.definition(definition.id).is_some());
        Ok((!changed).then(|| Arc::new(definition)))
    }

    /// The definition of a table by its id.
    pub async fn table_by_id(&self, table: TableId) -> Result<Option<Arc<TableDefinition>>> {
        if let Some(change) = self.overlay().and_then(|c| c.definition(table)) {
            return Ok(change);
        }
        let mut tx = self.read().await?;
        let mut rows =
            tx.query(visible!("v.definition", "tables", "AND v.id = $2"), params![self.commit(), table]).await?;
        tx.commit().await?;
        rows.first_mut().map(|row| Ok(Arc::new(from_json(&row.text(0)?)?))).transpose()
    }

    /// The number of the last commit that changed the table (definition or data).
    pub async fn table_version(&self, table: TableId) -> Result<CommitNumber> {
        let mut tx = self.read().await?;
        let rows = tx
            .query(
                "SELECT max(c.number) FROM table_commits t JOIN commits c ON c.transaction_id = t.transaction_id \
                 WHERE t.table_id = $1 AND c.number <= $2",
                params![table, self.commit()],
            )
            .await?;
        tx.commit().await?;
        Ok(rows.first().map(|row| row.optional_int(0)).transpose()?.flatten().unwrap_or(self.commit()))
    }

    /// Partitions that may match, registered or only holding files, sorted by folder. A file table without partition
    /// columns has exactly one.
    pub async fn partitions(&self, table: TableId, predicate: &Predicate) -> Result<Vec<Partition>> {
        let mut tx = self.read().await?;
        let mut state =
            TableState { partitions: self.base_partitions(&mut *tx, table, predicate).await?, files: vec![] };
        let version = format!(
            "SELECT d.object, max(c.number) FROM changes d JOIN commits c ON c.transaction_id = d.transaction_id \
             WHERE d.table_id = $1 AND d.scope = 'partition' AND c.number <= $2 {} GROUP BY d.object",
            if state.partitions.len() == 1 { "AND d.object = $3" } else { "" }
        );
        let mut parameters = vec![SqlValue::Int(table), SqlValue::Int(self.commit())];
        if let (1, Some(folder)) = (state.partitions.len(), state.partitions.keys().next()) {
            parameters.push(SqlValue::from(folder.as_str()));
        }
        if !state.partitions.is_empty() {
            for mut row in tx.query(&version, &parameters).await? {
                let number = row.int(1)?;
                if let Some(partition) = state.partitions.get_mut(&row.text(0)?) {
                    partition.version = number;
                }
            }
        }
        tx.commit().await?;
        if let Some((transaction, changes)) = &self.changes {
            state.apply(changes.data(table), self.commit(), *transaction);
            state.filter(predicate);
        }
        if state.partitions.is_empty() && *predicate != Predicate::Nothing {
            state.partitions.extend(self.only_partition(table).await?);
        }
        Ok(state.partitions.into_values().collect())
    }

    /// The one partition of a file table without partition columns, before anything was written there.
    async fn only_partition(&self, table: TableId) -> Result<Option<(String, Partition)>> {
        let definition = self.table_by_id(table).await?;
        let whole = definition
            .is_some_and(|d| d.partition_columns == 0 && matches!(d.kind, TableKind::Managed | TableKind::External));
        if !whole {
            return Ok(None);
        }
        let version = self.table_version(table).await?;
        let folder = String::new();
        let partition = Partition { folder: folder.clone(), values: vec![], location: None, version, registered: true };
        Ok(Some((folder, partition)))
    }

    /// (all registered partitions, all files, all rows, all bytes) of a table: for EXPLAIN, DESCRIBE and statistics.
    pub async fn totals(&self, table: TableId) -> Result<TableTotals> {
        if self.overlay().is_some_and(|c| !c.data(table).is_empty()) {
            let files = self.files(table, &Predicate::All).await?;
            return Ok(TableTotals {
                partitions: self.partitions(table, &Predicate::All).await?.len() as u64,
                files: files.len() as u64,
                rows: files.iter().map(|f| f.rows).sum(),
                bytes: files.iter().map(|f| f.size_bytes).sum(),
            });
        }
        let mut tx = self.read().await?;
        let parameters: &[SqlValue] = params![self.commit(), table];
        let partitions =
            tx.query(visible!("count(DISTINCT v.folder)", "partitions", "AND v.table_id = $2"), parameters).await?;
        let files = tx
            .query(
                visible!(
                    "count(*), CAST(sum(v.row_count) AS BIGINT), CAST(sum(v.size_bytes) AS BIGINT)",
                    "files",
                    "AND v.table_id = $2"
                ),
                parameters,
            )
            .await?;
        tx.commit().await?;
        let number = |rows: &[Row], at| -> Result<u64> {
            Ok(rows.first().map(|row| row.optional_int(at)).transpose()?.flatten().unwrap_or(0) as u64)
        };
        Ok(TableTotals {
            partitions: number(&partitions, 0)?,
            files: number(&files, 0)?,
            rows: number(&files, 1)?,
            bytes: number(&files, 2)?,
        })
    }

    /// Live files of this catalog in partitions that may match, sorted by partition and path. Foreign files are not here.
    /// Fails with `SnapshotTooOld` where one of them was already deleted.
    pub async fn files(&self, table: TableId, predicate: &Predicate) -> Result<Vec<DataFile>> {
        let mut tx = self.read().await?;
        let partitions = self.base_partitions(&mut *tx, table, predicate).await?;
        let files = self.base_files(&mut *tx, table, predicate, &partitions).await?;
        tx.commit().await?;
        let mut state = TableState { partitions, files };
        if let Some((transaction, changes)) = &self.changes {
            state.apply(changes.data(table), self.commit(), *transaction);
            state.filter(predicate);
        }
        state.files.sort_by(|a, b| (&a.partition, &a.path).cmp(&(&b.partition, &b.path)));
        Ok(state.files)
    }

    async fn base_partitions(
        &self,
        tx: &mut dyn Tx,
        table: TableId,
        predicate: &Predicate,
    ) -> Result<BTreeMap<String, Partition>> {
        let mut found = BTreeMap::new();
        if *predicate == Predicate::Nothing {
            return Ok(found);
        }
        let rows = tx
            .query(
                visible!("v.folder, v.partition_values, v.location, a.number", "partitions", "AND v.table_id = $2"),
                params![self.commit(), table],
            )
            .await?;
        for mut row in rows {
            let values: Vec<crate::Value> = from_json(&row.text(1)?)?;
            if predicate.may_match(&values) {
                let (folder, location) = (row.text(0)?, row.optional_text(2)?);
                let partition =
                    Partition { folder: folder.clone(), values, location, version: row.int(3)?, registered: true };
                found.insert(folder, partition);
            }
        }
        Ok(found)
    }

    async fn base_files(
        &self,
        tx: &mut dyn Tx,
        table: TableId,
        predicate: &Predicate,
        partitions: &BTreeMap<String, Partition>,
    ) -> Result<Vec<DataFile>> {
        const WANTED: &str = visible!(
            "v.folder, v.path, v.size_bytes, v.row_count, v.statistics, v.sorted_by, v.etag, v.added_by, v.retired",
            "files",
            "AND v.table_id = $2"
        );
        let mut parameters = vec![SqlValue::Int(self.commit()), SqlValue::Int(table)];
        let mut rows = vec![];
        if *predicate == Predicate::All || partitions.len() > LOOKUP_LIMIT {
            rows = tx.query(WANTED, &parameters).await?;
        } else {
            let folders: Vec<&String> = partitions.keys().collect();
            for chunk in folders.chunks(CHUNK) {
                parameters.truncate(2);
                parameters.extend(chunk.iter().map(|folder| SqlValue::from(folder.as_str())));
                let sql = format!("{WANTED} AND v.folder IN ({})", placeholders(3, chunk.len()));
                rows.extend(tx.query(&sql, &parameters).await?);
            }
        }
        let mut files = Vec::with_capacity(rows.len());
        for mut row in rows {
            let partition = row.text(0)?;
            if !partitions.contains_key(&partition) {
                continue;
            }
            if row.int(8)? != 0 {
                return Err(too_old(self.commit()));
            }
            files.push(DataFile {
                partition,
                path: row.text(1)?,
                size_bytes: row.int(2)? as u64,
                rows: row.int(3)? as u64,
                statistics: from_json(&row.text(4)?)?,
                sorted_by: from_json(&row.text(5)?)?,
                etag: row.optional_text(6)?,
                added_by: row.int(7)?,
                staged: None,
            });
        }
        Ok(files)
    }

    /// All layers, sorted by set and name.
    pub async fn geodata_layers(&self) -> Result<Vec<GeodataLayer>> {
        let mut tx = self.read().await?;
        let rows = tx.query(visible!("v.definition", "geodata_layers", ""), params![self.commit()]).await?;
        tx.commit().await?;
        let mut found = BTreeMap::new();
        for mut row in rows {
            let layer: GeodataLayer = from_json(&row.text(0)?)?;
            found.insert((layer.set.clone(), layer.name.clone()), layer);
        }
        for (key, change) in self.overlay().iter().flat_map(|c| &c.geodata_layers) {
            match change {
                Some(layer) => found.insert(key.clone(), (**layer).clone()),
                None => found.remove(key),
            };
        }
        Ok(found.into_values().collect())
    }
}

pub(crate) fn no_table(table: TableId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no table with id {table} in this snapshot"))
}

fn too_old(commit: CommitNumber) -> Error {
    Error::new(
        ErrorKind::SnapshotTooOld,
        format!("files of commit {commit} were deleted after tycho.retire_after; run the statement again"),
    )
}

pub(crate) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(damaged)
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::Internal, "a value cannot be written into the catalog").with_source(error)
    })
}
