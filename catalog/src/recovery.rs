//! What the dead left: decided transactions are rolled forward, undecided ones aborted, their staging areas removed.

use std::collections::BTreeSet;

use crate::catalog::Catalog;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{TableId, TransactionId};
use crate::publish::Outcome;
use crate::storage::{RemovedFile, Storage};
use crate::store::{Mode, params};

/// What `recover` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    pub rolled_forward: u64,
    pub aborted: u64,
    /// SEALED ones of owners that still live.
    pub in_progress: u64,
}

/// A transaction that has not ended, or that has and left a staging area.
struct Unfinished {
    id: TransactionId,
    state: String,
    owner_is_dead: bool,
}

impl Catalog {
    /// Rolls forward what dead owners left SEALED or UNDOING, aborts what they left OPEN or WRITING, abandons its staging.
    /// One that cannot be finished does not keep the others from it; the first error is returned at the end.
    pub async fn recover(&self, storage: &dyn Storage) -> Result<Recovered> {
        self.abort_dropped().await?;
        self.fence_dead().await?;
        let mut recovered = Recovered::default();
        let mut failed = None;
        for transaction in self.unfinished().await? {
            if let Err(error) = self.recover_one(&transaction, storage, &mut recovered).await {
                tracing::warn!(%error, transaction = transaction.id, "a transaction could not be recovered");
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(recovered), Err)
    }

    async fn recover_one(
        &self,
        transaction: &Unfinished,
        storage: &dyn Storage,
        recovered: &mut Recovered,
    ) -> Result<()> {
        let id = transaction.id;
        match (transaction.state.as_str(), transaction.owner_is_dead) {
            ("open", true) => {
                self.abort_transaction(id, BTreeSet::new(), storage).await?;
                recovered.aborted += 1;
            }
            ("open", false) => {}
            ("sealed" | "undoing", true) => match self.finish(id, storage).await? {
                Outcome::Committed => recovered.rolled_forward += 1,
                Outcome::Aborted => recovered.aborted += 1,
            },
            ("sealed" | "undoing", false) => recovered.in_progress += 1,
            _ => {
                self.abandon(id, BTreeSet::new(), storage).await?;
                recovered.aborted += u64::from(transaction.state == "aborted");
            }
        }
        Ok(())
    }

    async fn unfinished(&self) -> Result<Vec<Unfinished>> {
        let mut tx = self.begin_database(Mode::Read).await?;
        let rows = tx
            .query(
                "SELECT t.id, t.state, CASE WHEN p.fenced = 0 THEN 0 ELSE 1 END FROM transactions t \
                 LEFT JOIN processes p ON p.id = t.process_id WHERE t.state IN ('open', 'sealed', 'undoing') \
                 OR t.id IN (SELECT s.transaction_id FROM stagings s) ORDER BY t.id",
                &[],
            )
            .await?;
        tx.commit().await?;
        rows.into_iter()
            .map(|mut row| Ok(Unfinished { id: row.int(0)?, state: row.text(1)?, owner_is_dead: row.int(2)? != 0 }))
            .collect()
    }

    /// Of these transactions, those that are SEALED or UNDOING and whose owner is dead.
    pub(crate) async fn orphans(&self, transactions: &BTreeSet<TransactionId>) -> Result<Vec<TransactionId>> {
        let unfinished = self.unfinished().await?.into_iter();
        Ok(unfinished
            .filter(|t| t.owner_is_dead && matches!(t.state.as_str(), "sealed" | "undoing"))
            .map(|t| t.id)
            .filter(|id| transactions.contains(id))
            .collect())
    }

    /// `recover`, then deletes superseded files that no lease holds, of one table or of all. `dry_run` only says which.
    pub async fn vacuum(
        &self,
        storage: &dyn Storage,
        table: Option<TableId>,
        dry_run: bool,
    ) -> Result<Vec<RemovedFile>> {
        if dry_run {
            return self.retirable(table).await;
        }
        self.recover(storage).await?;
        let removed = self.retire(storage, table).await?;
        self.tidy().await?;
        Ok(removed)
    }

    /// Fails where a transaction is not known; for tests and `tycho.transactions`.
    pub async fn transaction_state(&self, transaction: TransactionId) -> Result<String> {
        let mut tx = self.begin_database(Mode::Read).await?;
        let mut rows = tx.query("SELECT state FROM transactions WHERE id = $1", params![transaction]).await?;
        tx.commit().await?;
        match rows.first_mut() {
            Some(row) => row.text(0),
            None => Err(Error::new(ErrorKind::NotFound, format!("transaction {transaction} is not known"))),
        }
    }
}
