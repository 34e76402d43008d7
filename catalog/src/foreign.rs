//! Which files of a listing are foreign to a table: written by somebody else, or given up with a table that was dropped.

use std::collections::{BTreeSet, HashSet};

use crate::error::Result;
use crate::model::{ForeignFile, TableId};
use crate::store::{SqlValue, Tx, params, placeholders};
use crate::view::{CHUNK, LOOKUP_LIMIT, View, no_table};

impl View {
    /// Of paths found by a listing: those that are foreign to the table and still belong to this view. Looked up now, so
    /// after the listing: not a file of this table in any state, not removed by a commit up to this view's, and if it
    /// bears this catalog's id, live in another table or given up with a dropped one.
    pub async fn foreign(&self, table: TableId, listed: Vec<ForeignFile>) -> Result<Vec<ForeignFile>> {
        if listed.is_empty() {
            return Ok(listed);
        }
        let definition = self.table_by_id(table).await?.ok_or_else(|| no_table(table))?;
        let root = definition.location.clone().unwrap_or_default();
        let catalog = self.catalog();
        let targets: Vec<String> = listed.iter().map(|f| catalog.target(&root, &f.path)).collect();
        let mut tx = self.read().await?;
        let known = known_targets(&mut *tx, table, &targets).await?;
        let mut removed = self.removed_foreign(&mut *tx, table).await?;
        let suspicious: Vec<&String> = targets.iter().filter(|t| self.is_ours_by_name(t)).collect();
        let lost = surrendered(&mut *tx, table, &suspicious).await?;
        tx.commit().await?;
        for change in self.overlay().map_or(&[][..], |c| c.data(table)) {
            removed.extend(change.foreign().iter().map(|r| (r.target.clone(), r.file.tag.clone())));
        }
        let keep = |target: &String, file: &ForeignFile| {
            !known.contains(target)
                && !removed.contains(&(target.clone(), file.tag.clone()))
                && (!self.is_ours_by_name(target) || lost.contains(target))
        };
        Ok(listed.into_iter().zip(&targets).filter(|(file, target)| keep(target, file)).map(|(file, _)| file).collect())
    }

    fn is_ours_by_name(&self, target: &str) -> bool {
        target.rsplit('/').next().is_some_and(|name| name.contains(self.catalog().id()))
    }

    /// (target, tag) of the foreign files that commits up to this view's have removed.
    async fn removed_foreign(&self, tx: &mut dyn Tx, table: TableId) -> Result<HashSet<(String, String)>> {
        let rows = tx
            .query(
                "SELECT r.target, r.tag FROM foreign_removals r JOIN commits c ON c.transaction_id = r.transaction_id \
                 WHERE r.table_id = $1 AND c.number <= $2",
                params![table, self.commit()],
            )
            .await?;
        rows.into_iter().map(|mut row| Ok((row.text(0)?, row.text(1)?))).collect()
    }
}

/// Those targets that are files of the table in any state: live, ended or about to be.
async fn known_targets(tx: &mut dyn Tx, table: TableId, targets: &[String]) -> Result<HashSet<String>> {
    let mut known = HashSet::new();
    if targets.len() > LOOKUP_LIMIT {
        for mut row in tx.query("SELECT target FROM files WHERE table_id = $1", params![table]).await? {
            known.insert(row.text(0)?);
        }
        return Ok(known);
    }
    for chunk in targets.chunks(CHUNK) {
        let sql =
            format!("SELECT target FROM files WHERE table_id = $1 AND target IN ({})", placeholders(2, chunk.len()));
        let mut parameters = vec![SqlValue::Int(table)];
        parameters.extend(chunk.iter().map(|t| SqlValue::from(t.as_str())));
        for mut row in tx.query(&sql, &parameters).await? {
            known.insert(row.text(0)?);
        }
    }
    Ok(known)
}

/// Of files that bear this catalog's id: those that are live in another table, or were given up with their table.
async fn surrendered(tx: &mut dyn Tx, table: TableId, targets: &[&String]) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for chunk in targets.chunks(CHUNK) {
        let marks = placeholders(2, chunk.len());
        let mut parameters = vec![SqlValue::Int(table)];
        parameters.extend(chunk.iter().map(|t| SqlValue::from(t.as_str())));
        let sql = format!(
            "SELECT v.target FROM files v JOIN commits a ON a.transaction_id = v.added_by \
             LEFT JOIN commits e ON e.transaction_id = v.ended_by \
             WHERE v.table_id <> $1 AND e.number IS NULL AND v.target IN ({marks}) \
             UNION SELECT g.target FROM given_up g JOIN commits c ON c.transaction_id = g.transaction_id \
             WHERE g.target IN ({marks})"
        );
        for mut row in tx.query(&sql, &parameters).await? {
            found.insert(row.text(0)?);
        }
    }
    Ok(found)
}
