//! Who may write beside whom: intents of SEALED transactions exclude each other where they overlap, and a commit since the
//! base of a transaction may have changed what it writes or read.

use std::collections::{BTreeMap, BTreeSet};

use crate::changes::Claim;
use crate::error::Result;
use crate::model::{TableId, TransactionId};
use crate::seal::conflict;
use crate::store::{Row, SqlValue, Tx, params, placeholders};
use crate::transaction::Transaction;
use crate::value::{Predicate, Value};
use crate::view::from_json;

/// Everything a transaction claims.
pub(crate) struct Intents<'a> {
    pub(crate) tables: BTreeMap<TableId, TableIntent<'a>>,
    pub(crate) names: &'a BTreeMap<String, Claim>,
}

/// What it claims of one table.
pub(crate) struct TableIntent<'a> {
    pub(crate) definition: bool,
    pub(crate) dropped: bool,
    /// By folder: kind (`append`, `replace`, `register`), values, and whether the registration ends.
    pub(crate) partitions: BTreeMap<&'a str, (&'static str, &'a [Value], bool)>,
    pub(crate) scopes: &'a [Predicate],
}

/// One row of `changes` of another transaction.
struct Change {
    transaction: TransactionId,
    table: TableId,
    scope: String,
    object: String,
    kind: String,
    values: Vec<Value>,
}

impl Change {
    fn from_row(mut row: Row) -> Result<Change> {
        let values = row.optional_text(5)?.map(|text| from_json(&text)).transpose()?.unwrap_or_default();
        Ok(Change {
            transaction: row.int(0)?,
            table: row.int(1)?,
            scope: row.text(2)?,
            object: row.text(3)?,
            kind: row.text(4)?,
            values,
        })
    }

    fn is_partition(&self) -> bool {
        self.scope == "partition"
    }

    /// Whether it changed the definition, or partitions that the predicate may match.
    fn touches(&self, table: TableId, predicate: &Predicate) -> bool {
        self.table == table
            && (self.scope == "table"
                || self.is_partition() && self.kind != "register" && predicate.may_match(&self.values))
    }
}

const COLUMNS: &str = "d.transaction_id, d.table_id, d.scope, d.object, d.kind, d.partition_values";

impl TableIntent<'_> {
    /// Whether two transactions may not be SEALED at once because of `other`.
    fn excludes(&self, other: &Change) -> bool {
        if !other.is_partition() || self.definition {
            return true;
        }
        let same = self.partitions.get(other.object.as_str());
        same.is_some_and(|(kind, _, _)| *kind == "replace" || other.kind == "replace")
            || self.scopes.iter().any(|scope| scope.may_match(&other.values))
    }

    /// Two scopes are taken to overlap: the later one only waits.
    fn excludes_scope(&self, scope: &Predicate) -> bool {
        self.definition
            || !self.scopes.is_empty()
            || self.partitions.values().any(|(_, values, _)| scope.may_match(values))
    }

    /// Whether a commit since the base added or ended files where this one replaces them.
    fn collides(&self, other: &Change) -> bool {
        let replaced = self.partitions.get(other.object.as_str()).is_some_and(|(kind, _, _)| *kind == "replace");
        other.kind != "register"
            && (self.dropped || replaced || self.scopes.iter().any(|scope| scope.may_match(&other.values)))
    }
}

impl Intents<'_> {
    /// Other transactions that are SEALED (or being undone) and exclude this one.
    pub(crate) async fn blockers(&self, tx: &mut dyn Tx, own: TransactionId) -> Result<BTreeSet<TransactionId>> {
        let sealed = tx
            .query("SELECT id FROM transactions WHERE state IN ('sealed', 'undoing') AND id <> $1", params![own])
            .await?;
        let mut found = BTreeSet::new();
        let tables: Vec<SqlValue> = [0].iter().chain(self.tables.keys()).map(|id| SqlValue::Int(*id)).collect();
        for row in sealed {
            let id = row.int(0)?;
            let changes = format!(
                "SELECT {COLUMNS} FROM changes d WHERE d.transaction_id = $1 AND d.table_id IN ({})",
                placeholders(2, tables.len())
            );
            let mut parameters = vec![SqlValue::Int(id)];
            parameters.extend_from_slice(&tables);
            let changes = tx.query(&changes, &parameters).await?;
            for row in changes {
                let change = Change::from_row(row)?;
                if self.name_collides(&change)
                    || self.tables.get(&change.table).is_some_and(|intent| intent.excludes(&change))
                {
                    found.insert(id);
                    break;
                }
            }
            let scopes =
                tx.query("SELECT table_id, predicate FROM scopes WHERE transaction_id = $1", params![id]).await?;
            for mut row in scopes {
                let (table, scope): (TableId, Predicate) = (row.int(0)?, from_json(&row.text(1)?)?);
                if self.tables.get(&table).is_some_and(|intent| intent.excludes_scope(&scope)) {
                    found.insert(id);
                }
            }
        }
        Ok(found)
    }

    fn name_collides(&self, change: &Change) -> bool {
        change.scope == "name"
            && self
                .names
                .get(&change.object)
                .is_some_and(|claim| *claim == Claim::Exclusive || change.kind == "replace")
    }

    /// Fails with `Conflict` if a commit since the base collides and the transaction cannot be sealed on the new base.
    pub(crate) async fn check_commits(&self, tx: &mut dyn Tx, transaction: &Transaction) -> Result<()> {
        let mut tables: BTreeSet<TableId> = self.tables.keys().copied().collect();
        tables.extend(transaction.reads.iter().map(|read| read.table));
        tables.insert(0);
        let sql = format!(
            "SELECT {COLUMNS} FROM changes d JOIN commits c ON c.transaction_id = d.transaction_id \
             WHERE c.number > $1 AND d.table_id IN ({})",
            placeholders(2, tables.len())
        );
        let mut parameters = vec![SqlValue::Int(transaction.base())];
        parameters.extend(tables.into_iter().map(SqlValue::Int));
        let since: Vec<Change> =
            tx.query(&sql, &parameters).await?.into_iter().map(Change::from_row).collect::<Result<_>>()?;
        let mut collided = None;
        for change in &since {
            if self.name_collides(change) {
                return Err(conflict(format!("{} was changed by transaction {}", change.object, change.transaction)));
            }
            let Some(intent) = self.tables.get(&change.table) else { continue };
            if change.scope == "table" {
                return Err(conflict(format!(
                    "the definition of table {} was changed by transaction {}",
                    change.table, change.transaction
                )));
            }
            // An append that read the table depends on what it read there.
            let read = |r: &crate::transaction::Read| change.touches(r.table, &r.predicate) && change.kind == "replace";
            if change.is_partition() && (intent.collides(change) || transaction.reads.iter().any(read)) {
                collided = Some(change);
            }
        }
        let Some(change) = collided else { return Ok(()) };
        let reread = transaction.begin.explicit
            || transaction
                .reads
                .iter()
                .any(|read| read.foreign || since.iter().any(|c| c.touches(read.table, &read.predicate)));
        if reread {
            return Err(conflict(format!(
                "partition `{}` of table {} was changed by transaction {}",
                change.object, change.table, change.transaction
            )));
        }
        tracing::debug!(transaction = transaction.id, "sealed on a newer base: nothing it read has changed");
        Ok(())
    }
}
