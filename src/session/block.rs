//! BEGIN … COMMIT: one write transaction over any number of statements, opened at the first one that writes.

use tycho_catalog::{Begin, Committed, Snapshot, Transaction, View};

use super::planner::Read;
use super::{Outcome, Session, TransactionStatus, is_read_only};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::sql::Statement;

/// A transaction block, explicit (BEGIN) or implicit (a query string of several statements).
pub(crate) struct Block {
    explicit: bool,
    read_only: bool,
    failed: bool,
    snapshot: Option<Snapshot>,
    transaction: Option<Transaction>,
    /// What was read before the transaction was opened.
    reads: Vec<Read>,
    /// Savepoints set before the transaction was opened, in order.
    early_savepoints: Vec<String>,
}

impl Block {
    fn new(explicit: bool, read_only: bool) -> Block {
        Block {
            explicit,
            read_only,
            failed: false,
            snapshot: None,
            transaction: None,
            reads: Vec::new(),
            early_savepoints: Vec::new(),
        }
    }

    pub(crate) async fn view(&mut self, engine: &Engine) -> Result<View> {
        if let Some(transaction) = &self.transaction {
            return Ok(transaction.view());
        }
        if self.snapshot.is_none() {
            self.snapshot = Some(engine.catalog.snapshot().await?);
        }
        match &self.snapshot {
            Some(snapshot) => Ok(snapshot.clone().into()),
            None => Err(Error::new(Kind::Internal, "a block lost its snapshot")),
        }
    }
}

/// A statement's hold of a write transaction: its own, or its block's.
pub(crate) struct Write {
    pub(crate) transaction: Transaction,
    own: bool,
}

impl Session {
    pub fn transaction_status(&self) -> TransactionStatus {
        match &self.block {
            None => TransactionStatus::Idle,
            Some(block) if block.failed => TransactionStatus::Failed,
            Some(block) if block.explicit => TransactionStatus::InTransaction,
            Some(_) => TransactionStatus::Idle,
        }
    }

    /// Whether the session is inside BEGIN … COMMIT or an implicit block.
    pub(crate) fn in_block(&self) -> bool {
        self.block.is_some()
    }

    /// Opens the implicit block of a multi-statement simple query (no effect inside BEGIN).
    pub fn begin_implicit(&mut self) {
        if self.block.is_none() {
            self.block = Some(Block::new(false, false));
        }
    }

    /// Commits (`true`) or rolls back what `begin_implicit` opened.
    pub async fn end_implicit(&mut self, success: bool) -> Result<()> {
        if self.block.as_ref().is_some_and(|b| !b.explicit) {
            if success {
                self.commit_block().await?;
            } else {
                self.rollback_block().await?;
            }
        }
        Ok(())
    }

    /// Tells the session that a statement failed outside `run` (while sending rows): a block becomes failed.
    pub fn fail(&mut self) {
        if let Some(block) = &mut self.block {
            block.failed = true;
        }
    }

    /// Takes hold of a write transaction, before any source is read.
    pub(crate) async fn open_write(&mut self, statement: &Statement) -> Result<Write> {
        let read_only = match &self.block {
            Some(block) => block.read_only,
            None => self.settings().bool("default_transaction_read_only"),
        };
        if read_only && !is_read_only(&statement.kind) {
            let message = "cannot write in a read-only transaction";
            return Err(Error::new(Kind::ReadOnlyTransaction, message)
                .with_hint("BEGIN READ WRITE, or SET default_transaction_read_only = off"));
        }
        let mut begin = Begin {
            statement: Some(crate::commands::redact::statement(&statement.text)),
            user: Some(self.facts.user.clone()),
            explicit: self.in_block(),
            ..Begin::default()
        };
        let Some(block) = &mut self.block else {
            return Ok(Write { transaction: self.engine.catalog.begin(begin).await?, own: true });
        };
        if let Some(transaction) = block.transaction.take() {
            return Ok(Write { transaction, own: false });
        }
        begin.base = block.snapshot.clone();
        let mut transaction = self.engine.catalog.begin(begin).await?;
        for name in block.early_savepoints.drain(..) {
            transaction.savepoint(&name);
        }
        for read in block.reads.drain(..) {
            transaction.note_read(read.table, read.predicate, read.foreign);
        }
        Ok(Write { transaction, own: false })
    }

    /// Gives the transaction back to its block, or ends it: commits after success, aborts after failure.
    pub(crate) async fn close_write<T>(&mut self, write: Write, result: Result<T>) -> Result<(T, Option<Committed>)> {
        if !write.own {
            if let Some(block) = &mut self.block {
                block.transaction = Some(write.transaction);
            }
            return result.map(|value| (value, None));
        }
        match result {
            Ok(value) => {
                let committed = self.commit(write.transaction).await?;
                Ok((value, Some(committed)))
            }
            Err(error) => {
                if let Err(abort) = write.transaction.abort(self.engine.storage.as_ref()).await {
                    tracing::warn!("a failed statement's files are left to recovery: {abort}");
                }
                Err(error)
            }
        }
    }

    /// Drives a commit to its end, whatever becomes of the caller: past the decision it only goes forward.
    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        let storage = std::sync::Arc::clone(&self.engine.storage);
        let committing = tokio::spawn(async move { transaction.commit(storage.as_ref()).await });
        match committing.await {
            Ok(committed) => Ok(committed?),
            Err(panic) => {
                let message = "the commit's task ended without an answer; the transaction may have been committed";
                Err(Error::new(Kind::TransactionUnknown, message).with_source(panic))
            }
        }
    }

    /// Notes what a statement of a block read, for conflicts when the block writes.
    pub(crate) fn note_block_reads(&mut self, reads: &[Read]) {
        let Some(block) = &mut self.block else { return };
        for read in reads {
            match &mut block.transaction {
                Some(transaction) => transaction.note_read(read.table, read.predicate.clone(), read.foreign),
                None if !block.reads.contains(read) => block.reads.push(read.clone()),
                None => {}
            }
        }
    }

    pub(super) fn begin_block(&mut self, read_only: bool) -> Result<Outcome> {
        match &mut self.block {
            Some(block) if block.explicit => self.warning("there is already a transaction in progress"),
            // BEGIN within a query string turns its implicit block into an explicit one, as in PostgreSQL.
            Some(block) => {
                block.explicit = true;
                block.read_only |= read_only;
            }
            None => {
                self.block = Some(Block::new(true, read_only || self.settings().bool("default_transaction_read_only")))
            }
        }
        Ok(Outcome::done("BEGIN"))
    }

    pub(super) async fn commit_block(&mut self) -> Result<Outcome> {
        let Some(block) = self.block.take() else {
            self.warning("there is no transaction in progress");
            return Ok(Outcome::done("COMMIT"));
        };
        if block.failed {
            if let Some(transaction) = block.transaction {
                transaction.abort(self.engine.storage.as_ref()).await?;
            }
            return Ok(Outcome::done("ROLLBACK"));
        }
        if let Some(transaction) = block.transaction {
            self.commit(transaction).await?;
        }
        Ok(Outcome::done("COMMIT"))
    }

    pub(super) async fn rollback_block(&mut self) -> Result<Outcome> {
        match self.block.take() {
            None => self.warning("there is no transaction in progress"),
            Some(block) => {
                if let Some(transaction) = block.transaction {
                    transaction.abort(self.engine.storage.as_ref()).await?;
                }
            }
        }
        Ok(Outcome::done("ROLLBACK"))
    }

    pub(super) async fn savepoint(&mut self, _statement: &Statement, name: &str) -> Result<Outcome> {
        let block = self.explicit_block("SAVEPOINT")?;
        match &mut block.transaction {
            Some(transaction) => transaction.savepoint(name),
            None => block.early_savepoints.push(name.to_owned()),
        }
        Ok(Outcome::done("SAVEPOINT"))
    }

    pub(super) fn release_savepoint(&mut self, name: &str) -> Result<Outcome> {
        let block = self.explicit_block("RELEASE SAVEPOINT")?;
        match &mut block.transaction {
            Some(transaction) => transaction.release(name).map_err(|_| no_savepoint(name))?,
            None => {
                let at = block.early_savepoints.iter().rposition(|s| s == name).ok_or_else(|| no_savepoint(name))?;
                block.early_savepoints.truncate(at);
            }
        }
        Ok(Outcome::done("RELEASE"))
    }

    pub(super) fn rollback_to_savepoint(&mut self, name: &str) -> Result<Outcome> {
        let block = self.explicit_block("ROLLBACK TO SAVEPOINT")?;
        match &mut block.transaction {
            Some(transaction) => transaction.rollback_to(name).map_err(|_| no_savepoint(name))?,
            None => {
                let at = block.early_savepoints.iter().rposition(|s| s == name).ok_or_else(|| no_savepoint(name))?;
                block.early_savepoints.truncate(at + 1);
            }
        }
        block.failed = false;
        Ok(Outcome::done("ROLLBACK"))
    }

    fn explicit_block(&mut self, what: &str) -> Result<&mut Block> {
        match &mut self.block {
            Some(block) if block.explicit => Ok(block),
            _ => Err(Error::new(Kind::NoActiveTransaction, format!("{what} can only be used in transaction blocks"))),
        }
    }

    /// Refuses what cannot be undone inside a block.
    pub(crate) fn outside_block(&self, what: &str) -> Result<()> {
        if self.in_block() {
            let message = format!("{what} cannot run inside a transaction block");
            return Err(Error::new(Kind::ActiveTransaction, message));
        }
        Ok(())
    }
}

fn no_savepoint(name: &str) -> Error {
    Error::new(Kind::InvalidSavepoint, format!("savepoint \"{name}\" does not exist"))
}
