//! From SEALED to the end: files are published, one catalog transaction commits, and staging areas go. Everything here can
//! be done by any process at any time, again and again: the owner and whoever rolls it forward run the same code.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::catalog::{Catalog, read_changed_partitions};
use crate::error::{Error, ErrorKind, Result};
use crate::model::*;
use crate::schema::{now_micros, take_numbers};
use crate::seal::{Attempt, conflict};
use crate::storage::{Published, RemovedFile, StagedFile, Storage};
use crate::store::{Lock, Mode, Tx, params};
use crate::transaction::{Committed, Transaction};

/// How long a transaction waits for others that are SEALED where it writes.
const INTENT_WAIT: Duration = Duration::from_secs(120);
/// Pauses between attempts to finish what is SEALED, where the storage or the catalog fails.
const RETRY_PAUSES_MS: [u64; 4] = [20, 100, 500, 2000];

/// How a SEALED transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    /// Staged files were lost; everything was undone.
    Aborted,
}

impl Transaction {
    /// SEALED → published → COMMITTED → retired. Once this is called the future must be driven to its end (spawn it);
    /// an error is either from before SEALED (`Conflict`, `Fenced` …: nothing happened, the transaction is aborted) or
    /// says that the outcome is unknown.
    pub async fn commit(mut self, storage: &dyn Storage) -> Result<Committed> {
        if let Some(commit) = self.repeated().cloned() {
            self.abort_now(storage).await?;
            return self.catalog.committed(&commit).await;
        }
        if self.changes.is_empty() {
            let commit = self.base();
            self.abort_now(storage).await?;
            return Ok(Committed { commit, files_added: 0, files_removed: 0, partitions: BTreeMap::new() });
        }
        match self.decide(storage).await {
            Ok(None) => {}
            Ok(Some(commit)) => {
                self.abort_now(storage).await?;
                return self.catalog.committed(&commit).await;
            }
            Err(error) if error.kind == ErrorKind::OutcomeUnknown => return Err(error),
            Err(error) => {
                if let Err(failed) = self.abort_now(storage).await {
                    tracing::warn!(error = %failed, transaction = self.id, "what it staged is left to recovery");
                }
                return Err(error);
            }
        }
        let outcome = self.catalog.finish(self.id, storage).await;
        if let Err(error) = self.lease.release().await {
            tracing::warn!(%error, "a lease could not be released; it ends with this process");
        }
        // An error leaves it to Drop, which gives the transaction away to whoever recovers.
        let outcome = outcome.map_err(|error| {
            Error::new(
                ErrorKind::OutcomeUnknown,
                format!(
                    "transaction {} is decided but could not be finished; it is rolled forward later: {error}",
                    self.id
                ),
            )
            .with_source(error)
        })?;
        self.finished = true;
        if outcome == Outcome::Aborted {
            return Err(Error::new(
                ErrorKind::Storage,
                format!("the storage lost files that transaction {} had staged; nothing was changed", self.id),
            ));
        }
        let catalog = self.catalog.clone();
        if let Err(error) = catalog.retire(storage, None).await {
            tracing::warn!(%error, "superseded files stay until the next commit or VACUUM");
        }
        let commit = catalog.commit_of(self.id).await.ok().flatten();
        match commit {
            Some(commit) => catalog.committed(&commit).await,
            None => Err(Error::new(
                ErrorKind::OutcomeUnknown,
                format!("transaction {} has committed, but the catalog cannot be asked for its number", self.id),
            )),
        }
    }

    /// Syncs and seals, waiting for others as needed. Returns the earlier commit where the idempotency key was used.
    async fn decide(&self, storage: &dyn Storage) -> Result<Option<Commit>> {
        let staged = self.staged_files();
        if !staged.is_empty() {
            storage.sync(&staged).await?;
        }
        let until = tokio::time::Instant::now() + INTENT_WAIT;
        let mut pause = Duration::from_millis(2);
        let mut failures = 0;
        loop {
            let blockers = match self.try_seal().await {
                Ok(Attempt::Sealed | Attempt::Committed) => return Ok(None),
                Ok(Attempt::Repeated(commit)) => return Ok(Some(commit)),
                Ok(Attempt::Blocked(blockers)) => blockers,
                Err(error) if matches!(error.kind, ErrorKind::OutcomeUnknown | ErrorKind::Unavailable) => {
                    // Sealing again finds out whether it was sealed.
                    let Some(ms) = RETRY_PAUSES_MS.get(failures) else {
                        return Err(Error { kind: ErrorKind::OutcomeUnknown, ..error });
                    };
                    failures += 1;
                    tokio::time::sleep(Duration::from_millis(*ms)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.catalog.fence_dead().await?;
            let orphans = self.catalog.orphans(&blockers).await?;
            if orphans.is_empty() {
                if tokio::time::Instant::now() >= until {
                    return Err(conflict(format!(
                        "transaction {} holds what this one writes and does not finish",
                        blockers.first().copied().unwrap_or_default()
                    )));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(250));
            }
            for orphan in orphans {
                self.catalog.finish(orphan, storage).await?;
            }
        }
    }
}

/// COMMITTED: in one catalog transaction with the caller's, which holds `Lock::Commit`. `false` if it was not SEALED.
pub(crate) async fn commit_sealed(tx: &mut dyn Tx, transaction: TransactionId) -> Result<bool> {
    let sealed = tx
        .execute("UPDATE transactions SET state = 'committed' WHERE id = $1 AND state = 'sealed'", params![transaction])
        .await?;
    if sealed == 0 {
        return Ok(false);
    }
    tx.execute("DELETE FROM scopes WHERE transaction_id = $1", params![transaction]).await?;
    let number = take_numbers(tx, "commit", 1).await?;
    tx.execute(
        "INSERT INTO commits (number, transaction_id, committed_at) VALUES ($1, $2, $3)",
        params![number, transaction, now_micros()],
    )
    .await?;
    Ok(true)
}

impl Catalog {
    /// Brings a SEALED or UNDOING transaction to its end, trying again where the storage or the catalog fails.
    pub(crate) async fn finish(&self, id: TransactionId, storage: &dyn Storage) -> Result<Outcome> {
        let mut pauses = RETRY_PAUSES_MS.iter();
        loop {
            match self.roll_forward(id, storage).await {
                Ok(outcome) => {
                    if let Err(error) = self.abandon(id, BTreeSet::new(), storage).await {
                        tracing::warn!(%error, transaction = id, "its staging area is left to recovery");
                    }
                    return Ok(outcome);
                }
                Err(error) => match pauses.next() {
                    Some(ms) => {
                        tracing::warn!(%error, transaction = id, "a decided transaction is tried again");
                        tokio::time::sleep(Duration::from_millis(*ms)).await;
                    }
                    None => return Err(error),
                },
            }
        }
    }

    async fn roll_forward(&self, id: TransactionId, storage: &dyn Storage) -> Result<Outcome> {
        loop {
            match self.state(id).await?.as_deref() {
                Some("committed") => return Ok(Outcome::Committed),
                Some("sealed") => {}
                Some("undoing") => return self.undo(id, storage).await,
                Some("open") => {
                    return Err(Error::new(ErrorKind::Internal, format!("transaction {id} has not been decided")));
                }
                // One whose row is gone was aborted long ago.
                _ => return Ok(Outcome::Aborted),
            }
            let files = self.files_of(id).await?;
            let published = if files.is_empty() { vec![] } else { storage.publish(&files).await? };
            let mut tx = self.begin_database(Mode::Write).await?;
            tx.lock(Lock::Commit, true).await?;
            if published.contains(&Published::Lost) {
                // If it is no longer sealed, somebody else has finished it and what is gone was retired since.
                tx.execute("UPDATE transactions SET state = 'undoing' WHERE id = $1 AND state = 'sealed'", params![id])
                    .await?;
            } else {
                commit_sealed(&mut *tx, id).await?;
            }
            tx.commit().await?;
        }
    }

    async fn state(&self, id: TransactionId) -> Result<Option<String>> {
        let mut tx = self.begin_database(Mode::Read).await?;
        let mut rows = tx.query("SELECT state FROM transactions WHERE id = $1", params![id]).await?;
        tx.commit().await?;
        rows.first_mut().map(|row| row.text(0)).transpose()
    }

    async fn files_of(&self, id: TransactionId) -> Result<Vec<StagedFile>> {
        let mut tx = self.begin_database(Mode::Read).await?;
        let rows = tx
            .query("SELECT staged, target, size_bytes FROM files WHERE added_by = $1 ORDER BY id", params![id])
            .await?;
        tx.commit().await?;
        rows.into_iter()
            .map(|mut row| {
                let size_bytes = row.int(2)? as u64;
                Ok(StagedFile { staged: row.text(0)?, target: self.resolve(&row.text(1)?), size_bytes })
            })
            .collect()
    }

    /// UNDOING: uploads are abandoned, then objects deleted, then the rows go and it is ABORTED.
    async fn undo(&self, id: TransactionId, storage: &dyn Storage) -> Result<Outcome> {
        storage.abandon(&self.staging_areas(id).await?).await?;
        let mut tx = self.begin_database(Mode::Read).await?;
        let rows = tx
            .query(
                "SELECT f.target FROM files f WHERE f.added_by = $1 AND NOT EXISTS \
                 (SELECT 1 FROM files o WHERE o.target = f.target AND o.added_by <> $1 AND o.ended_by IS NULL)",
                params![id],
            )
            .await?;
        tx.commit().await?;
        let mut published = vec![];
        for mut row in rows {
            published.push(RemovedFile { target: self.resolve(&row.text(0)?), tag: None });
        }
        storage.delete(&published).await?;
        let mut tx = self.begin_database(Mode::Write).await?;
        tx.lock(Lock::Commit, true).await?;
        let undone = tx
            .execute("UPDATE transactions SET state = 'aborted' WHERE id = $1 AND state = 'undoing'", params![id])
            .await?;
        if undone > 0 {
            for table in ["databases", "tables", "partitions", "files", "geodata_layers"] {
                tx.execute(&format!("DELETE FROM {table} WHERE added_by = $1"), params![id]).await?;
            }
            tx.execute("UPDATE files SET ended_by = NULL, given_up = 0 WHERE ended_by = $1", params![id]).await?;
            for table in ["databases", "tables", "partitions", "geodata_layers"] {
                tx.execute(&format!("UPDATE {table} SET ended_by = NULL WHERE ended_by = $1"), params![id]).await?;
            }
            for table in ["changes", "scopes", "foreign_removals", "given_up", "table_commits"] {
                tx.execute(&format!("DELETE FROM {table} WHERE transaction_id = $1"), params![id]).await?;
            }
        }
        tx.commit().await?;
        Ok(Outcome::Aborted)
    }

    async fn staging_areas(&self, id: TransactionId) -> Result<Vec<String>> {
        let mut tx = self.begin_database(Mode::Read).await?;
        let rows = tx.query("SELECT area FROM stagings WHERE transaction_id = $1", params![id]).await?;
        tx.commit().await?;
        rows.into_iter().map(|mut row| row.text(0)).collect()
    }

    /// Removes the staging areas of a transaction that has ended, and then forgets them.
    pub(crate) async fn abandon(
        &self,
        id: TransactionId,
        mut areas: BTreeSet<String>,
        storage: &dyn Storage,
    ) -> Result<()> {
        areas.extend(self.staging_areas(id).await?);
        if areas.is_empty() {
            return Ok(());
        }
        storage.abandon(&areas.into_iter().collect::<Vec<_>>()).await?;
        let mut tx = self.begin_database(Mode::Write).await?;
        tx.execute("DELETE FROM stagings WHERE transaction_id = $1", params![id]).await?;
        tx.commit().await
    }

    /// ABORTED, unless it was decided already; then what it staged goes.
    pub(crate) async fn abort_transaction(
        &self,
        id: TransactionId,
        areas: BTreeSet<String>,
        storage: &dyn Storage,
    ) -> Result<()> {
        let mut tx = self.begin_database(Mode::Write).await?;
        tx.execute("UPDATE transactions SET state = 'aborted' WHERE id = $1 AND state = 'open'", params![id]).await?;
        tx.commit().await?;
        match self.state(id).await?.as_deref() {
            None | Some("aborted") => self.abandon(id, areas, storage).await,
            _ => Ok(()),
        }
    }

    /// Marks transactions aborted that were dropped while open, and gives away those dropped after their decision.
    pub(crate) async fn abort_dropped(&self) -> Result<()> {
        let _giving_away = self.inner.giving_away.lock().await;
        let ids = std::mem::take(&mut *self.inner.dropped.lock());
        for (at, id) in ids.iter().enumerate() {
            if let Err(error) = self.give_away(*id).await {
                self.inner.dropped.lock().extend_from_slice(&ids[at..]);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn give_away(&self, id: TransactionId) -> Result<()> {
        let mut tx = self.begin_database(Mode::Write).await?;
        tx.execute("UPDATE transactions SET state = 'aborted' WHERE id = $1 AND state = 'open'", params![id]).await?;
        // No process has the number 0, so that everyone takes its owner for dead.
        tx.execute(
            "UPDATE transactions SET process_id = 0 WHERE id = $1 AND state IN ('sealed', 'undoing')",
            params![id],
        )
        .await?;
        tx.commit().await
    }

    async fn committed(&self, commit: &Commit) -> Result<Committed> {
        let mut tx = self.begin_database(Mode::Read).await?;
        let partitions = read_changed_partitions(&mut *tx, commit.transaction).await?;
        tx.commit().await?;
        Ok(Committed {
            commit: commit.number,
            files_added: commit.files_added as u64,
            files_removed: commit.files_removed as u64,
            partitions,
        })
    }
}
