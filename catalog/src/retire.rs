//! What happens to superseded files: condemned in one catalog transaction that locks out whoever takes a lease, deleted
//! through the storage, then forgotten. A batch that was condemned and not deleted is taken over by the next one.

use crate::catalog::{Catalog, read_current};
use crate::error::Result;
use crate::model::{CommitNumber, TableId};
use crate::schema::take_numbers;
use crate::storage::{RemovedFile, Storage};
use crate::store::{Lock, Mode, SqlValue, Tx, params};

/// Rows that no snapshot needs are looked for after so many commits.
const TIDY_EVERY: CommitNumber = 64;

/// Ids of files that may go: ended, of no given-up table, covered by no lease (or aged beyond `$1`), and not named by a row
/// that must stay.
const SUPERSEDED: &str = "SELECT f.id FROM files f JOIN commits a ON a.transaction_id = f.added_by \
     JOIN commits e ON e.transaction_id = f.ended_by \
     WHERE f.ended_by IS NOT NULL AND f.retired = 0 AND f.given_up = 0 AND ($2 = 0 OR f.table_id = $2) \
     AND (e.number <= $1 OR NOT EXISTS (SELECT 1 FROM leases l WHERE l.commit_number >= a.number \
     AND l.commit_number < e.number)) \
     AND NOT EXISTS (SELECT 1 FROM given_up g WHERE g.target = f.target) \
     AND NOT EXISTS (SELECT 1 FROM files o LEFT JOIN commits b ON b.transaction_id = o.added_by \
     LEFT JOIN commits h ON h.transaction_id = o.ended_by WHERE o.target = f.target AND o.id <> f.id \
     AND (h.number IS NULL OR (h.number > $1 AND EXISTS (SELECT 1 FROM leases l \
     WHERE l.commit_number >= b.number AND l.commit_number < h.number))))";

/// The same for files of others that a commit removed.
const REMOVED_FOREIGN: &str = "r.retired = 0 AND ($2 = 0 OR r.table_id = $2) \
     AND EXISTS (SELECT 1 FROM commits e WHERE e.transaction_id = r.transaction_id \
     AND (e.number <= $1 OR NOT EXISTS (SELECT 1 FROM leases l WHERE l.commit_number < e.number))) \
     AND NOT EXISTS (SELECT 1 FROM files o LEFT JOIN commits h ON h.transaction_id = o.ended_by \
     WHERE o.target = r.target AND h.number IS NULL)";

/// A row of `files` or its like is still covered by a lease.
const FILE_IS_LEASED: &str = "EXISTS (SELECT 1 FROM commits a, commits e, leases l \
     WHERE a.transaction_id = files.added_by AND e.transaction_id = files.ended_by \
     AND l.commit_number >= a.number AND l.commit_number < e.number)";

impl Catalog {
    /// Deletes what no lease holds, of one table or of all, and says which files went.
    pub(crate) async fn retire(&self, storage: &dyn Storage, table: Option<TableId>) -> Result<Vec<RemovedFile>> {
        self.release_idle().await?;
        self.fence_dead().await?;
        let scope: &[SqlValue] = params![self.aged_commit(), table.unwrap_or(0)];
        let mut tx = self.begin_database(Mode::Write).await?;
        tx.lock(Lock::Lease, true).await?;
        let current = read_current(&mut *tx).await?;
        self.note_current(current);
        let batch = take_numbers(&mut *tx, "batch", 1).await?;
        condemn(&mut *tx, batch, scope).await?;
        let doomed = doomed(self, &mut *tx, batch).await?;
        if doomed.is_empty() {
            drop(tx);
        } else {
            tx.commit().await?;
            storage.delete(&doomed).await?;
            self.forget(batch).await?;
        }
        if current % TIDY_EVERY == 0 {
            self.tidy().await?;
        }
        Ok(doomed)
    }

    /// What `retire` would delete.
    pub(crate) async fn retirable(&self, table: Option<TableId>) -> Result<Vec<RemovedFile>> {
        self.release_idle().await?;
        self.fence_dead().await?;
        let scope: &[SqlValue] = params![self.aged_commit(), table.unwrap_or(0)];
        let mut tx = self.begin_database(Mode::Read).await?;
        let files = format!("SELECT target, NULL FROM files WHERE id IN ({SUPERSEDED})");
        let foreign = format!("SELECT r.target, r.tag FROM foreign_removals r WHERE {REMOVED_FOREIGN}");
        let mut rows = tx.query(&files, scope).await?;
        rows.extend(tx.query(&foreign, scope).await?);
        rows.extend(
            tx.query(
                "SELECT target, NULL FROM files WHERE retired > 0 AND ($1 = 0 OR table_id = $1) UNION ALL \
                 SELECT target, tag FROM foreign_removals WHERE retired > 0 AND ($1 = 0 OR table_id = $1)",
                params![table.unwrap_or(0)],
            )
            .await?,
        );
        tx.commit().await?;
        rows.into_iter()
            .map(|mut row| Ok(RemovedFile { target: self.resolve(&row.text(0)?), tag: row.optional_text(1)? }))
            .collect()
    }

    /// Forgets a batch that was deleted. What a lease still covers is remembered, so that its reader gets an error that
    /// says why instead of a file that is not there.
    async fn forget(&self, batch: i64) -> Result<()> {
        let mut tx = self.begin_database(Mode::Write).await?;
        tx.lock(Lock::Lease, true).await?;
        let current = read_current(&mut *tx).await?;
        tx.execute(&format!("DELETE FROM files WHERE retired = $1 AND NOT {FILE_IS_LEASED}"), params![batch]).await?;
        tx.execute("UPDATE files SET retired = -1 WHERE retired = $1", params![batch]).await?;
        tx.execute(
            "DELETE FROM given_up WHERE target IN (SELECT target FROM foreign_removals WHERE retired = $1)",
            params![batch],
        )
        .await?;
        // A listing made before the deletion may be looked up after it.
        tx.execute(
            "UPDATE foreign_removals SET retired = -1, deleted_at = $2 WHERE retired = $1",
            params![batch, current],
        )
        .await?;
        tx.commit().await
    }

    /// Removes rows that no snapshot, lease or open transaction needs any more.
    pub(crate) async fn tidy(&self) -> Result<()> {
        let mut tx = self.begin_database(Mode::Write).await?;
        tx.lock(Lock::Commit, true).await?;
        tx.lock(Lock::Lease, true).await?;
        let current = read_current(&mut *tx).await?;
        let oldest = tx.query("SELECT min(commit_number) FROM leases", &[]).await?;
        let oldest = oldest.first().map(|row| row.optional_int(0)).transpose()?.flatten().unwrap_or(current);
        let floor = oldest.min(current);
        let ended = "ended_by IN (SELECT transaction_id FROM commits WHERE number <= $1)";
        for table in ["databases", "tables", "partitions", "geodata_layers"] {
            tx.execute(&format!("DELETE FROM {table} WHERE {ended}"), params![floor]).await?;
        }
        tx.execute(&format!("DELETE FROM files WHERE given_up = 1 AND {ended}"), params![floor]).await?;
        tx.execute(&format!("DELETE FROM files WHERE retired = -1 AND NOT {FILE_IS_LEASED}"), &[]).await?;
        tx.execute("DELETE FROM foreign_removals WHERE retired = -1 AND deleted_at < $1", params![floor]).await?;
        tx.execute(
            "DELETE FROM changes WHERE transaction_id IN (SELECT transaction_id FROM commits WHERE number <= $1) \
             AND (NOT EXISTS (SELECT 1 FROM tables t WHERE t.id = changes.table_id) \
             OR EXISTS (SELECT 1 FROM changes n JOIN commits c ON c.transaction_id = n.transaction_id \
             WHERE n.table_id = changes.table_id AND n.object = changes.object AND n.scope = changes.scope \
             AND c.number <= $1 AND c.number > \
             (SELECT o.number FROM commits o WHERE o.transaction_id = changes.transaction_id)))",
            params![floor],
        )
        .await?;
        tx.execute(
            "DELETE FROM transactions WHERE state = 'aborted' \
             AND NOT EXISTS (SELECT 1 FROM stagings s WHERE s.transaction_id = transactions.id)",
            &[],
        )
        .await?;
        tx.execute(
            "DELETE FROM processes WHERE fenced = 1 AND NOT EXISTS (SELECT 1 FROM transactions t \
             WHERE t.process_id = processes.id AND t.state IN ('open', 'sealed', 'undoing'))",
            &[],
        )
        .await?;
        tx.commit().await
    }
}

/// Takes over what earlier batches left, and condemns what may go.
async fn condemn(tx: &mut dyn Tx, batch: i64, scope: &[SqlValue]) -> Result<()> {
    let mut parameters = scope.to_vec();
    parameters.push(SqlValue::Int(batch));
    tx.execute("UPDATE files SET retired = $1 WHERE retired > 0", params![batch]).await?;
    tx.execute(&format!("UPDATE files SET retired = $3 WHERE id IN ({SUPERSEDED})"), &parameters).await?;
    tx.execute("UPDATE foreign_removals SET retired = $1 WHERE retired > 0", params![batch]).await?;
    let foreign = format!("UPDATE foreign_removals AS r SET retired = $3 WHERE {REMOVED_FOREIGN}");
    tx.execute(&foreign, &parameters).await?;
    Ok(())
}

async fn doomed(catalog: &Catalog, tx: &mut dyn Tx, batch: i64) -> Result<Vec<RemovedFile>> {
    let mut rows = tx.query("SELECT target, NULL FROM files WHERE retired = $1", params![batch]).await?;
    rows.extend(tx.query("SELECT target, tag FROM foreign_removals WHERE retired = $1", params![batch]).await?);
    rows.into_iter()
        .map(|mut row| Ok(RemovedFile { target: catalog.resolve(&row.text(0)?), tag: row.optional_text(1)? }))
        .collect()
}
