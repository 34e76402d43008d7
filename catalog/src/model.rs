//! What the catalog holds: databases, table definitions, partitions, data files, geodata layers, commits.

use std::collections::BTreeMap;

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

use crate::value::Value;

/// Number of a commit; 0 is the empty catalog. A snapshot is named by it, and so is the *version* of a table or of a
/// partition: the number of the last commit that changed it.
pub type CommitNumber = i64;
/// Id of a write transaction, unique in its catalog, never reused. Part of the name of every file it writes.
pub type TransactionId = i64;
/// Id of a table, unique in its catalog, never reused.
pub type TableId = i64;
/// Id of a column, unique in its table, never reused; also the Parquet field id of the column in files of ours.
pub type ColumnId = i32;

/// A namespace of tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// Lower case.
    pub name: String,
    pub comment: Option<String>,
    /// Where its managed tables go; `None`: the warehouse's place for it.
    pub location: Option<String>,
    pub properties: BTreeMap<String, String>,
}

/// What the catalog holds of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableDefinition {
    /// Given by the catalog when the table is created; 0 before.
    pub id: TableId,
    /// Lower case.
    pub database: String,
    /// Lower case.
    pub name: String,
    pub kind: TableKind,
    /// The word after USING in lower case: `parquet`, `csv`, … ; empty for views.
    pub provider: String,
    /// Root folder of a file table: an absolute URL with a trailing slash (`file:///…/`, `s3://…/`), or for tables
    /// below the warehouse `warehouse:` and the relative path (`warehouse:lake.db/flights/`), so that a warehouse
    /// folder can be moved.
    pub location: Option<String>,
    /// Data columns in declared order, then the partition columns in partition order.
    pub columns: Vec<Column>,
    /// How many of `columns`, at the end, are partition columns.
    pub partition_columns: usize,
    /// The next column id that was never used.
    pub next_column_id: ColumnId,
    /// OPTIONS, keys as written.
    pub options: BTreeMap<String, String>,
    /// TBLPROPERTIES, keys as written.
    pub properties: BTreeMap<String, String>,
    pub comment: Option<String>,
    /// Created with Hive's STORED AS.
    pub hive_format: bool,
    /// Only for `TableKind::View`.
    pub view: Option<ViewDefinition>,
    /// Who else writes the table's folders.
    pub writers: Writers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableKind {
    /// A file table whose files Tycho owns: DROP TABLE removes them.
    Managed,
    /// A file table whose files stay when it is dropped.
    External,
    /// A table whose rows are in another system.
    Remote,
    View,
}

/// `tycho.writers`: who else writes a table's folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Writers {
    /// Only this catalog: its files are the table, nothing is listed.
    Tycho,
    /// Others too: a read also lists the folders for foreign files.
    Shared,
}

/// A view: its text is opaque to the catalog; the rest is what it was made under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewDefinition {
    pub sql: String,
    /// Names of settings and their values when the view was made (`sql_dialect`, `timezone`, `search_path` …).
    pub settings: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub id: ColumnId,
    /// In its declared case.
    pub name: String,
    pub data_type: DataType,
    /// The declared SQL type where it says more than `data_type` (`VARCHAR(10)`), in Spark's spelling.
    pub sql_type: Option<String>,
    pub nullable: bool,
    pub comment: Option<String>,
    /// SQL text of DEFAULT.
    pub default: Option<String>,
}

impl TableDefinition {
    pub fn data_columns(&self) -> &[Column] {
        &self.columns[..self.columns.len() - self.partition_columns]
    }

    pub fn partition_columns(&self) -> &[Column] {
        &self.columns[self.columns.len() - self.partition_columns..]
    }

    /// The column of that name, compared without case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// `database.name`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }
}

/// One partition of a file table. A table without partition columns has one, with the empty folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Partition {
    /// The key: folder text relative to the table (`dt=2018-03-05/hour=7`), escaped as Hive does; `""` for a table
    /// without partition columns.
    pub folder: String,
    /// One value a partition column.
    pub values: Vec<Value>,
    /// Absolute URL with a trailing slash where ADD PARTITION … LOCATION said so.
    pub location: Option<String>,
    /// The last commit that changed it.
    pub version: CommitNumber,
    /// Whether SHOW PARTITIONS lists it.
    pub registered: bool,
}

/// A partition to be registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewPartition {
    pub folder: String,
    pub values: Vec<Value>,
    pub location: Option<String>,
}

/// One immutable data file of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Folder of its partition (`Partition::folder`).
    pub partition: String,
    /// Path relative to the table's root (URL-encoded nothing: plain text as on disk), or an absolute URL.
    pub path: String,
    pub size_bytes: u64,
    pub rows: u64,
    /// By column id; columns without statistics are left out.
    pub statistics: Vec<ColumnStatistics>,
    /// Columns and directions the rows are sorted by, in order.
    pub sorted_by: Vec<SortColumn>,
    pub etag: Option<String>,
    /// The transaction that added it.
    pub added_by: TransactionId,
    /// Where the bytes are now, while the adding transaction (this one's own) has not published: a staged path.
    pub staged: Option<String>,
}

/// Statistics of one column of one file. Missing bounds mean unknown, not NULL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    pub column: ColumnId,
    pub min: Option<Value>,
    pub max: Option<Value>,
    pub nulls: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SortColumn {
    pub column: ColumnId,
    pub descending: bool,
    pub nulls_first: bool,
}

/// A file that a write transaction has staged and wants to add.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewFile {
    /// The partition it belongs to; registered by the commit if it is not yet.
    pub partition: NewPartition,
    /// Final path, relative to the table's root or an absolute URL.
    pub path: String,
    /// Where it is staged: absolute, as the `Storage` understands it.
    pub staged: String,
    pub size_bytes: u64,
    pub rows: u64,
    pub statistics: Vec<ColumnStatistics>,
    pub sorted_by: Vec<SortColumn>,
}

/// A file that no commit of this catalog wrote, seen by a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForeignFile {
    /// Folder of its partition.
    pub partition: String,
    /// Path as in `DataFile::path`.
    pub path: String,
    pub size_bytes: u64,
    /// Entity tag, or size and modification time where the store has none: a removal whose tag differs is skipped.
    pub tag: String,
}

/// One atomic change of the catalog, as `tycho.commits` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    pub number: CommitNumber,
    pub transaction: TransactionId,
    /// Microseconds since 1970 UTC by the committer's clock; for people, never for decisions.
    pub committed_at: i64,
    pub statement: Option<String>,
    pub user: Option<String>,
    pub files_added: i64,
    pub files_removed: i64,
    pub rows_added: i64,
    pub bytes_added: i64,
}

/// A geodata layer: polygons from a query, with the fields that a look-up gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeodataLayer {
    /// The set it belongs to; `default` if none was named.
    pub set: String,
    pub name: String,
    /// Columns of the query that a look-up returns, with their types, in order.
    pub fields: Vec<(String, DataType)>,
    /// The column of the query that holds the geometry.
    pub geometry: String,
    /// The SELECT it was made from.
    pub sql: String,
    /// Settings it was made under, as in `ViewDefinition`.
    pub settings: BTreeMap<String, String>,
    /// Stored polygons, absolute or `warehouse:` path of a Parquet file with the fields and a column `geometry` (WKT text).
    pub data: String,
}
