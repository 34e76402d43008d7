//! SEALED, the decision of a write transaction: one catalog transaction checks lease, fence, definitions and conflicts,
//! and writes what will be added and ended. No reader sees any of it before COMMITTED, since rows count by commit number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::read_commit;
use crate::changes::{Claim, DefinitionChange, TableChange, TableEffect};
use crate::conflicts::{Intents, TableIntent};
use crate::error::{Error, ErrorKind, Result};
use crate::lease::is_fenced;
use crate::model::*;
use crate::publish::commit_sealed;
use crate::schema::{CHANGES, FILES, FOREIGN_REMOVALS, PARTITIONS, SCOPES, take_numbers};
use crate::store::{Lock, Mode, SqlValue, Tx, params};
use crate::transaction::{Transaction, fenced, key_mismatch};
use crate::value::Value;
use crate::view::{from_json, to_json};

/// What came of one attempt to seal.
pub(crate) enum Attempt {
    Sealed,
    /// Nothing is to be published, so it is committed already.
    Committed,
    /// These SEALED transactions have intents where this one writes.
    Blocked(BTreeSet<TransactionId>),
    /// The idempotency key was used by this commit.
    Repeated(Commit),
}

impl Transaction {
    pub(crate) async fn try_seal(&self) -> Result<Attempt> {
        let mut tx = self.catalog.begin_database(Mode::Write).await?;
        tx.lock(Lock::Commit, true).await?;
        let mut rows = tx.query("SELECT state FROM transactions WHERE id = $1", params![self.id]).await?;
        match rows.first_mut().map(|row| row.text(0)).transpose()?.as_deref() {
            Some("open") if !is_fenced(&mut *tx, self.lease.process.id).await? => {}
            // An earlier attempt whose answer was lost.
            Some("sealed" | "committed") => return Ok(Attempt::Sealed),
            _ => return Err(fenced(self.id)),
        }
        if let Some(attempt) = self.check_key(&mut *tx).await? {
            return Ok(attempt);
        }
        let mut effects = BTreeMap::new();
        for (table, change) in &self.changes.tables {
            let existing = existing_partitions(&mut *tx, *table, change).await?;
            effects.insert(*table, TableEffect::of(&change.data, &existing));
        }
        let intents = self.intents(&effects);
        let blockers = intents.blockers(&mut *tx, self.id).await?;
        if !blockers.is_empty() {
            return Ok(Attempt::Blocked(blockers));
        }
        intents.check_commits(&mut *tx, self).await?;
        let totals = self.write(&mut *tx, &effects, &intents).await?;
        let sealed = tx
            .execute(
                "UPDATE transactions SET state = 'sealed', files_added = $2, files_removed = $3, rows_added = $4, \
                 bytes_added = $5 WHERE id = $1 AND state = 'open'",
                params![self.id, totals.files, totals.removed, totals.rows, totals.bytes],
            )
            .await?;
        if sealed == 0 {
            return Err(fenced(self.id));
        }
        if totals.files == 0 {
            commit_sealed(&mut *tx, self.id).await?;
        }
        tx.commit().await?;
        Ok(if totals.files == 0 { Attempt::Committed } else { Attempt::Sealed })
    }

    async fn check_key(&self, tx: &mut dyn Tx) -> Result<Option<Attempt>> {
        let Some((key, hash)) = &self.begin.idempotency else { return Ok(None) };
        let mut rows = tx
            .query(
                "SELECT id, state, idempotency_hash FROM transactions \
                 WHERE idempotency_key = $1 AND state IN ('sealed', 'committed') AND id <> $2",
                params![key.as_str(), self.id],
            )
            .await?;
        let Some(row) = rows.first_mut() else { return Ok(None) };
        if row.text(2)? != *hash {
            return Err(key_mismatch(key));
        }
        let holder = row.int(0)?;
        Ok(Some(match read_commit(tx, holder).await? {
            Some(commit) => Attempt::Repeated(commit),
            None => Attempt::Blocked(BTreeSet::from([holder])),
        }))
    }

    fn intents<'a>(&'a self, effects: &'a BTreeMap<TableId, TableEffect>) -> Intents<'a> {
        let mut tables = BTreeMap::new();
        for (id, change) in &self.changes.tables {
            let effect = &effects[id];
            let mut partitions: BTreeMap<&str, (&'static str, &[Value], bool)> = BTreeMap::new();
            for (folder, partition) in &effect.registered {
                partitions.insert(folder, ("register", &partition.values, false));
            }
            for file in &effect.files {
                let partition = &file.file.partition;
                partitions.insert(&partition.folder, ("append", &partition.values, false));
            }
            for (folder, (values, drops)) in &effect.replaced {
                partitions.insert(folder, ("replace", values, *drops));
            }
            tables.insert(
                *id,
                TableIntent {
                    definition: !matches!(change.definition, DefinitionChange::None),
                    dropped: matches!(change.definition, DefinitionChange::Dropped(_)),
                    partitions,
                    scopes: &effect.scopes,
                },
            );
        }
        Intents { tables, names: &self.changes.claims }
    }

    /// Writes all rows of this transaction and ends those that it replaces.
    async fn write(
        &self,
        tx: &mut dyn Tx,
        effects: &BTreeMap<TableId, TableEffect>,
        intents: &Intents<'_>,
    ) -> Result<Totals> {
        let mut totals = Totals::default();
        self.write_intents(tx, effects, intents).await?;
        self.write_files(tx, effects, &mut totals).await?;
        for (table, change) in &self.changes.tables {
            if let DefinitionChange::Dropped(definition) = &change.definition {
                totals.removed += self.end_table(tx, definition).await?;
            } else if !change.data.is_empty() && !change.created {
                totals.removed += self.end_partitions(tx, *table).await?;
            }
            if let DefinitionChange::Set(definition) = &change.definition {
                self.end_rows(tx, "tables", "id = $2", &[SqlValue::Int(*table)]).await?;
                tx.execute(
                    "INSERT INTO tables (id, database_name, name, definition, added_by) VALUES ($1, $2, $3, $4, $5)",
                    params![
                        *table,
                        definition.database.as_str(),
                        definition.name.as_str(),
                        to_json(&**definition)?,
                        self.id
                    ],
                )
                .await?;
            }
            tx.execute(
                "INSERT INTO table_commits (transaction_id, table_id) VALUES ($1, $2)",
                params![self.id, *table],
            )
            .await?;
        }
        // Partitions that were there before keep their row, and with it their location.
        tx.execute(
            "DELETE FROM partitions WHERE added_by = $1 AND EXISTS (SELECT 1 FROM partitions o \
             JOIN commits c ON c.transaction_id = o.added_by WHERE o.table_id = partitions.table_id \
             AND o.folder = partitions.folder AND o.added_by <> $1 AND o.ended_by IS NULL)",
            params![self.id],
        )
        .await?;
        self.write_definitions(tx).await?;
        Ok(totals)
    }

    async fn write_intents(
        &self,
        tx: &mut dyn Tx,
        effects: &BTreeMap<TableId, TableEffect>,
        intents: &Intents<'_>,
    ) -> Result<()> {
        let (mut changes, mut scopes, mut partitions) = (vec![], vec![], vec![]);
        let mut change = |table: TableId, scope: &str, object: &str, kind: &str, values: SqlValue, drops: bool| {
            changes.push(vec![
                self.id.into(),
                table.into(),
                scope.into(),
                object.into(),
                kind.into(),
                values,
                i64::from(drops).into(),
            ]);
        };
        for (name, claim) in intents.names {
            let kind = if *claim == Claim::Exclusive { "replace" } else { "append" };
            change(0, "name", name, kind, SqlValue::Null, false);
        }
        for (table, intent) in &intents.tables {
            if intent.definition {
                change(*table, "table", "", "replace", SqlValue::Null, intent.dropped);
            }
            for (folder, (kind, values, drops)) in &intent.partitions {
                change(*table, "partition", folder, kind, to_json(values)?.into(), *drops);
            }
            for scope in intent.scopes {
                scopes.push(vec![self.id.into(), (*table).into(), to_json(scope)?.into()]);
            }
        }
        for (table, effect) in effects {
            for partition in effect.registered.values() {
                partitions.push(vec![
                    (*table).into(),
                    partition.folder.as_str().into(),
                    to_json(&partition.values)?.into(),
                    partition.location.clone().into(),
                    self.id.into(),
                ]);
            }
        }
        tx.insert_many(&CHANGES, changes).await?;
        tx.insert_many(&SCOPES, scopes).await?;
        tx.insert_many(&PARTITIONS, partitions).await
    }

    async fn write_files(
        &self,
        tx: &mut dyn Tx,
        effects: &BTreeMap<TableId, TableEffect>,
        totals: &mut Totals,
    ) -> Result<()> {
        let count = effects.values().map(|e| e.files.len()).sum::<usize>();
        let mut id = if count > 0 { take_numbers(tx, "file", count).await? } else { 0 };
        let mut files = Vec::with_capacity(count);
        let mut removals = vec![];
        let mut seen = BTreeSet::new();
        for (table, effect) in effects {
            for pending in &effect.files {
                let file = &pending.file;
                totals.files += 1;
                totals.rows += file.rows as i64;
                totals.bytes += file.size_bytes as i64;
                files.push(vec![
                    id.into(),
                    (*table).into(),
                    file.partition.folder.as_str().into(),
                    file.path.as_str().into(),
                    pending.target.as_str().into(),
                    file.staged.as_str().into(),
                    (file.size_bytes as i64).into(),
                    (file.rows as i64).into(),
                    to_json(&file.statistics)?.into(),
                    to_json(&file.sorted_by)?.into(),
                    self.id.into(),
                    0.into(),
                    0.into(),
                ]);
                id += 1;
            }
            for removal in effect.foreign.iter().filter(|r| seen.insert((*table, r.file.path.as_str()))) {
                totals.removed += 1;
                removals.push(vec![
                    self.id.into(),
                    (*table).into(),
                    removal.file.partition.as_str().into(),
                    removal.file.path.as_str().into(),
                    removal.target.as_str().into(),
                    (removal.file.size_bytes as i64).into(),
                    removal.file.tag.as_str().into(),
                    0.into(),
                ]);
            }
        }
        tx.insert_many(&FILES, files).await?;
        tx.insert_many(&FOREIGN_REMOVALS, removals).await
    }

    /// Ends the files of replaced partitions, and the registration of those that are dropped.
    async fn end_partitions(&self, tx: &mut dyn Tx, table: TableId) -> Result<i64> {
        let files = tx
            .execute(
                "UPDATE files SET ended_by = $1 WHERE table_id = $2 AND ended_by IS NULL AND added_by <> $1 \
                 AND folder IN (SELECT object FROM changes WHERE transaction_id = $1 AND table_id = $2 \
                 AND scope = 'partition' AND kind = 'replace')",
                params![self.id, table],
            )
            .await?;
        tx.execute(
            "UPDATE partitions SET ended_by = $1 WHERE table_id = $2 AND ended_by IS NULL AND added_by <> $1 \
             AND folder IN (SELECT object FROM changes WHERE transaction_id = $1 AND table_id = $2 \
             AND scope = 'partition' AND drops = 1)",
            params![self.id, table],
        )
        .await?;
        Ok(files as i64)
    }

    /// Ends a table with all it has. The files of an external one are given up instead of deleted.
    async fn end_table(&self, tx: &mut dyn Tx, definition: &TableDefinition) -> Result<i64> {
        let given_up = i64::from(definition.kind != TableKind::Managed);
        self.end_rows(tx, "tables", "id = $2", &[SqlValue::Int(definition.id)]).await?;
        self.end_rows(tx, "partitions", "table_id = $2", &[SqlValue::Int(definition.id)]).await?;
        let files = tx
            .execute(
                "UPDATE files SET ended_by = $1, given_up = $3 \
                 WHERE table_id = $2 AND ended_by IS NULL AND added_by <> $1",
                params![self.id, definition.id, given_up],
            )
            .await?;
        tx.execute(
            "INSERT INTO given_up (target, transaction_id) SELECT DISTINCT target, CAST($1 AS BIGINT) FROM files \
             WHERE ended_by = $1 AND table_id = $2 AND given_up = 1",
            params![self.id, definition.id],
        )
        .await?;
        Ok(if given_up == 0 { files as i64 } else { 0 })
    }

    async fn end_rows(&self, tx: &mut dyn Tx, table: &str, condition: &str, values: &[SqlValue]) -> Result<()> {
        let mut parameters = vec![SqlValue::Int(self.id)];
        parameters.extend_from_slice(values);
        let sql = format!("UPDATE {table} SET ended_by = $1 WHERE {condition} AND ended_by IS NULL AND added_by <> $1");
        tx.execute(&sql, &parameters).await?;
        Ok(())
    }

    async fn write_definitions(&self, tx: &mut dyn Tx) -> Result<()> {
        for (name, database) in &self.changes.databases {
            self.end_rows(tx, "databases", "name = $2", &[name.as_str().into()]).await?;
            if let Some(database) = database {
                tx.execute(
                    "INSERT INTO databases (name, definition, added_by) VALUES ($1, $2, $3)",
                    params![name.as_str(), to_json(&**database)?, self.id],
                )
                .await?;
            }
        }
        for ((set, name), layer) in &self.changes.geodata_layers {
            let key = [SqlValue::from(set.as_str()), name.as_str().into()];
            self.end_rows(tx, "geodata_layers", "set_name = $2 AND name = $3", &key).await?;
            if let Some(layer) = layer {
                tx.execute(
                    "INSERT INTO geodata_layers (set_name, name, definition, added_by) VALUES ($1, $2, $3, $4)",
                    params![set.as_str(), name.as_str(), to_json(&**layer)?, self.id],
                )
                .await?;
            }
        }
        Ok(())
    }

    /// Staged files that will be published if the transaction commits, canonical targets resolved.
    pub(crate) fn staged_files(&self) -> Vec<crate::StagedFile> {
        let effects = self.changes.tables.values().map(|change| TableEffect::of(&change.data, &BTreeMap::new()));
        effects
            .flat_map(|effect| effect.files)
            .map(|pending| crate::StagedFile {
                staged: pending.file.staged,
                target: self.catalog.resolve(&pending.target),
                size_bytes: pending.file.size_bytes,
            })
            .collect()
    }
}

/// What a transaction adds and removes, for `tycho.commits`.
#[derive(Default)]
struct Totals {
    files: i64,
    removed: i64,
    rows: i64,
    bytes: i64,
}

/// Partitions of the newest state, where a scope or a drop of this transaction needs them.
async fn existing_partitions(
    tx: &mut dyn Tx,
    table: TableId,
    change: &TableChange,
) -> Result<BTreeMap<String, Vec<Value>>> {
    let needed = |change: &Arc<crate::changes::DataChange>| {
        change.scope().is_some() || matches!(**change, crate::changes::DataChange::Drop { .. })
    };
    if change.created || !change.data.iter().any(needed) {
        return Ok(BTreeMap::new());
    }
    let rows = tx
        .query(
            "SELECT p.folder, p.partition_values FROM partitions p JOIN commits a ON a.transaction_id = p.added_by \
             LEFT JOIN commits e ON e.transaction_id = p.ended_by WHERE p.table_id = $1 AND e.number IS NULL",
            params![table],
        )
        .await?;
    rows.into_iter().map(|mut row| Ok((row.text(0)?, from_json(&row.text(1)?)?))).collect()
}

/// A conflict that says what collided and what to do.
pub(crate) fn conflict(what: String) -> Error {
    Error::new(ErrorKind::Conflict, format!("could not serialize access: {what}; run the transaction again"))
}
