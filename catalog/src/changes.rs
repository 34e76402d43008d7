//! What a write transaction has changed so far, in memory, and how it looks on top of a snapshot. Nothing of it is in
//! the catalog before SEALED, so that savepoints are copies of this and cost nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::*;
use crate::value::{Predicate, Value};

/// All changes of a transaction. Cloned for each savepoint and view; the bulky parts are shared.
#[derive(Clone, Default)]
pub(crate) struct ChangeSet {
    /// `None`: dropped.
    pub(crate) databases: BTreeMap<String, Option<Arc<Database>>>,
    pub(crate) tables: BTreeMap<TableId, TableChange>,
    /// By set and name; `None`: dropped.
    pub(crate) geodata_layers: BTreeMap<(String, String), Option<Arc<GeodataLayer>>>,
    /// What other transactions must not have changed meanwhile: names, and whether this one needs them for itself.
    pub(crate) claims: BTreeMap<String, Claim>,
    /// Raised with every change.
    pub(crate) count: usize,
}

/// How a name is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// It must stay as it is (the database of a new table).
    Shared,
    /// It is created, changed or dropped.
    Exclusive,
}

/// What changed of one table.
#[derive(Clone, Default)]
pub(crate) struct TableChange {
    pub(crate) definition: DefinitionChange,
    /// Made by this transaction.
    pub(crate) created: bool,
    pub(crate) data: Vec<Arc<DataChange>>,
}

#[derive(Clone, Default)]
pub(crate) enum DefinitionChange {
    #[default]
    None,
    Set(Arc<TableDefinition>),
    /// Dropped: the definition it had, which says what becomes of its files.
    Dropped(Arc<TableDefinition>),
}

/// A new file and where it will be (canonical).
#[derive(Debug, Clone)]
pub(crate) struct PendingFile {
    pub(crate) file: NewFile,
    pub(crate) target: String,
}

/// A foreign file to be removed and where it is (canonical).
#[derive(Debug, Clone)]
pub(crate) struct ForeignRemoval {
    pub(crate) file: ForeignFile,
    pub(crate) target: String,
}

/// One change of a table's data, as it was asked for. What it ends among the files of others is found at SEALED.
#[derive(Debug)]
pub(crate) enum DataChange {
    Register(Vec<NewPartition>),
    Drop {
        folders: BTreeSet<String>,
        foreign: Vec<ForeignRemoval>,
    },
    Truncate {
        scope: Predicate,
        foreign: Vec<ForeignRemoval>,
    },
    Append(Vec<PendingFile>),
    Overwrite {
        scope: Predicate,
        drop_empty: bool,
        register: Option<NewPartition>,
        files: Vec<PendingFile>,
        foreign: Vec<ForeignRemoval>,
    },
}

impl DataChange {
    pub(crate) fn foreign(&self) -> &[ForeignRemoval] {
        match self {
            DataChange::Register(_) | DataChange::Append(_) => &[],
            DataChange::Drop { foreign, .. }
            | DataChange::Truncate { foreign, .. }
            | DataChange::Overwrite { foreign, .. } => foreign,
        }
    }

    /// Folders whose files this change ends whether or not they were there before.
    pub(crate) fn replaced_folders(&self) -> BTreeSet<&str> {
        match self {
            DataChange::Drop { folders, .. } => folders.iter().map(String::as_str).collect(),
            DataChange::Overwrite { files, register, .. } => {
                let files = files.iter().map(|f| f.file.partition.folder.as_str());
                files.chain(register.iter().map(|p| p.folder.as_str())).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    pub(crate) fn scope(&self) -> Option<&Predicate> {
        match self {
            DataChange::Truncate { scope, .. } | DataChange::Overwrite { scope, .. } => {
                Some(scope).filter(|s| **s != Predicate::Nothing)
            }
            _ => None,
        }
    }
}

impl ChangeSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.databases.is_empty()
            && self.geodata_layers.is_empty()
            && self.tables.values().all(|t| t.data.is_empty() && matches!(t.definition, DefinitionChange::None))
    }

    pub(crate) fn claim(&mut self, name: String, claim: Claim) {
        let held = self.claims.entry(name).or_insert(claim);
        *held = (*held).max(claim);
    }

    /// The definition this transaction gave a table: `Some(None)` where it dropped it.
    pub(crate) fn definition(&self, table: TableId) -> Option<Option<Arc<TableDefinition>>> {
        match &self.tables.get(&table)?.definition {
            DefinitionChange::None => None,
            DefinitionChange::Set(definition) => Some(Some(definition.clone())),
            DefinitionChange::Dropped(_) => Some(None),
        }
    }

    pub(crate) fn data(&self, table: TableId) -> &[Arc<DataChange>] {
        self.tables.get(&table).map_or(&[], |t| &t.data)
    }

    pub(crate) fn add_data(&mut self, table: TableId, change: DataChange) {
        self.tables.entry(table).or_default().data.push(Arc::new(change));
        self.count += 1;
    }
}

/// Partitions and files of one table, of those partitions that are looked at.
#[derive(Default)]
pub(crate) struct TableState {
    pub(crate) partitions: BTreeMap<String, Partition>,
    pub(crate) files: Vec<DataFile>,
}

impl TableState {
    /// Applies changes in their order. Each acts on partitions one by one, so a state that holds only some partitions
    /// stays right for those.
    pub(crate) fn apply(&mut self, changes: &[Arc<DataChange>], base: CommitNumber, transaction: TransactionId) {
        for change in changes {
            match &**change {
                DataChange::Register(partitions) => partitions.iter().for_each(|p| self.register(p, base)),
                DataChange::Drop { folders, .. } => {
                    self.partitions.retain(|folder, _| !folders.contains(folder));
                    self.files.retain(|f| !folders.contains(&f.partition));
                }
                DataChange::Truncate { scope, .. } => {
                    let emptied = self.matching(scope);
                    self.files.retain(|f| !emptied.contains(&f.partition));
                }
                DataChange::Append(files) => self.add(files, base, transaction),
                DataChange::Overwrite { scope, drop_empty, register, files, .. } => {
                    let mut replaced = self.matching(scope);
                    let filled = change.replaced_folders();
                    if *drop_empty {
                        // One that is filled stays the partition it was, in its own location.
                        self.partitions.retain(|folder, _| filled.contains(&**folder) || !replaced.contains(folder));
                    }
                    replaced.extend(filled.into_iter().map(str::to_owned));
                    self.files.retain(|f| !replaced.contains(&f.partition));
                    register.iter().for_each(|p| self.register(p, base));
                    self.add(files, base, transaction);
                }
            }
        }
    }

    /// Keeps what may match.
    pub(crate) fn filter(&mut self, predicate: &Predicate) {
        self.partitions.retain(|_, p| predicate.may_match(&p.values));
        self.files.retain(|f| self.partitions.contains_key(&f.partition));
    }

    fn matching(&self, scope: &Predicate) -> BTreeSet<String> {
        self.partitions.values().filter(|p| scope.may_match(&p.values)).map(|p| p.folder.clone()).collect()
    }

    fn register(&mut self, partition: &NewPartition, base: CommitNumber) {
        self.partitions.entry(partition.folder.clone()).or_insert_with(|| Partition {
            folder: partition.folder.clone(),
            values: partition.values.clone(),
            location: partition.location.clone(),
            version: base,
            registered: true,
        });
    }

    fn add(&mut self, files: &[PendingFile], base: CommitNumber, transaction: TransactionId) {
        for PendingFile { file, .. } in files {
            self.register(&file.partition, base);
            self.files.push(DataFile {
                partition: file.partition.folder.clone(),
                path: file.path.clone(),
                size_bytes: file.size_bytes,
                rows: file.rows,
                statistics: file.statistics.clone(),
                sorted_by: file.sorted_by.clone(),
                etag: None,
                added_by: transaction,
                staged: Some(file.staged.clone()),
            });
        }
    }
}

/// What a transaction does to one table, seen from outside: the order of its statements no longer matters.
#[derive(Default)]
pub(crate) struct TableEffect {
    /// New files that survived the transaction's own later statements.
    pub(crate) files: Vec<PendingFile>,
    /// Partitions that are there afterwards because of this transaction.
    pub(crate) registered: BTreeMap<String, NewPartition>,
    /// Partitions whose earlier files end, and whether their earlier registration ends too.
    pub(crate) replaced: BTreeMap<String, (Vec<Value>, bool)>,
    /// Claimed scopes, for partitions that are not there yet.
    pub(crate) scopes: Vec<Predicate>,
    pub(crate) foreign: Vec<ForeignRemoval>,
}

impl TableEffect {
    /// `existing`: the partitions of the state that is changed, by folder, with their values; those that a scope of
    /// `changes` may match are enough, and so are none where no change has a scope.
    pub(crate) fn of(changes: &[Arc<DataChange>], existing: &BTreeMap<String, Vec<Value>>) -> TableEffect {
        let mut effect = TableEffect::default();
        for change in changes {
            if let Some(scope) = change.scope() {
                effect.replace_matching(scope, change, existing);
                // Folders that only hold files of others have no registration yet; they change all the same.
                for removal in change.foreign().iter().filter(|r| !existing.contains_key(&r.file.partition)) {
                    effect.replaced.entry(removal.file.partition.clone()).or_default();
                }
            }
            effect.foreign.extend_from_slice(change.foreign());
            match &**change {
                DataChange::Register(partitions) => partitions.iter().for_each(|p| effect.register(p)),
                DataChange::Drop { folders, .. } => {
                    for folder in folders {
                        let values = existing.get(folder).cloned();
                        let registered = effect.registered.remove(folder).map(|p| p.values);
                        effect.replace(folder, values.or(registered).unwrap_or_default(), true);
                    }
                }
                DataChange::Truncate { .. } => {}
                DataChange::Append(files) => files.iter().for_each(|f| effect.add(f)),
                DataChange::Overwrite { register, files, .. } => {
                    for partition in files.iter().map(|f| &f.file.partition).chain(register) {
                        effect.replace(&partition.folder, partition.values.clone(), false);
                    }
                    register.iter().for_each(|p| effect.register(p));
                    files.iter().for_each(|f| effect.add(f));
                }
            }
        }
        effect
    }

    fn replace_matching(&mut self, scope: &Predicate, change: &DataChange, existing: &BTreeMap<String, Vec<Value>>) {
        self.scopes.push(scope.clone());
        let drop_empty = matches!(change, DataChange::Overwrite { drop_empty: true, .. });
        let filled = change.replaced_folders();
        let drops = |folder: &str| drop_empty && !filled.contains(folder);
        for (folder, values) in existing.iter().filter(|(_, values)| scope.may_match(values)) {
            self.replace(folder, values.clone(), drops(folder));
        }
        let own: Vec<NewPartition> = self.registered.values().filter(|p| scope.may_match(&p.values)).cloned().collect();
        for NewPartition { folder, values, .. } in own {
            self.replace(&folder, values, drops(&folder));
            if drops(&folder) {
                self.registered.remove(&folder);
            }
        }
    }

    fn replace(&mut self, folder: &str, values: Vec<Value>, drops: bool) {
        self.files.retain(|f| f.file.partition.folder != folder);
        let entry = self.replaced.entry(folder.to_owned()).or_insert((values, false));
        entry.1 |= drops;
    }

    fn register(&mut self, partition: &NewPartition) {
        self.registered.entry(partition.folder.clone()).or_insert_with(|| partition.clone());
    }

    fn add(&mut self, file: &PendingFile) {
        self.register(&file.file.partition);
        self.files.push(file.clone());
    }
}
