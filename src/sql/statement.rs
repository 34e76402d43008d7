//! What a text is parsed into: one [`Statement`], with the place of each part that an error may have to name.
//!
//! DDL and the heads of INSERT are our own grammar; bodies of queries are sqlparser's tree.

use sqlparser::ast::{self, Expr, OrderByExpr};

pub use super::dialect::Dialect;

/// A statement with its place in the text it came from.
#[derive(Debug, Clone)]
pub struct Statement {
    pub kind: StatementKind,
    /// The statement's own text, without the `;`, after `${var}` was replaced.
    pub text: String,
    /// Byte offset of `text` in the script or query string.
    pub offset: usize,
    /// How many `$n` parameters it names (the greatest n).
    pub parameters: usize,
}

/// `[catalog.]database.table`, as written; parts are unquoted and keep their case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    pub parts: Vec<Identifier>,
}

/// An unquoted name and the byte offset in the statement's text where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier {
    pub value: String,
    pub position: usize,
}

#[derive(Debug, Clone)]
pub enum StatementKind {
    /// Nothing but white space and comments.
    Empty,
    Query(Query),
    Explain(Explain),
    CreateDatabase(CreateDatabase),
    DropDatabase {
        name: Identifier,
        if_exists: bool,
        cascade: bool,
    },
    CreateTable(Box<CreateTable>),
    CreateView(Box<CreateView>),
    DropTable {
        name: ObjectName,
        if_exists: bool,
        purge: bool,
    },
    DropView {
        name: ObjectName,
        if_exists: bool,
    },
    AlterTable {
        name: ObjectName,
        action: AlterTable,
    },
    RepairTable {
        name: ObjectName,
        mode: RepairMode,
    },
    Insert(Box<Insert>),
    Truncate {
        name: ObjectName,
        partition: Option<PartitionSpec>,
    },
    Vacuum {
        name: Option<ObjectName>,
        dry_run: bool,
    },
    Use {
        database: Identifier,
    },
    Set(Set),
    Show(Show),
    Describe {
        name: ObjectName,
        extended: bool,
        partition: Option<PartitionSpec>,
    },
    CreateGeodataLayer(Box<CreateGeodataLayer>),
    DropGeodataLayer {
        name: Identifier,
        set: Option<Identifier>,
        if_exists: bool,
    },
    Begin {
        read_only: bool,
    },
    Commit,
    Rollback,
    Savepoint {
        name: Identifier,
    },
    ReleaseSavepoint {
        name: Identifier,
    },
    RollbackTo {
        name: Identifier,
    },
    /// SQL-level PREPARE name [(types)] AS statement.
    Prepare {
        name: Identifier,
        statement: Box<Statement>,
    },
    Execute {
        name: Identifier,
        arguments: Vec<Expr>,
    },
    /// `None`: ALL.
    Deallocate {
        name: Option<Identifier>,
    },
    Discard,
    /// Accepted and without effect here (`LISTEN x`, `CACHE TABLE t` …): the command tag to answer and a notice.
    NoEffect {
        tag: String,
        notice: Option<String>,
    },
}

/// A SELECT, VALUES, TABLE or WITH, with Hive's clauses taken off its end.
#[derive(Debug, Clone)]
pub struct Query {
    pub body: Box<ast::Query>,
    /// DISTRIBUTE BY, SORT BY, CLUSTER BY at the end of the whole query.
    pub distribution: Distribution,
}

#[derive(Debug, Clone, Default)]
pub struct Distribution {
    pub distribute_by: Vec<Expr>,
    pub sort_by: Vec<OrderByExpr>,
}

#[derive(Debug, Clone)]
pub struct Explain {
    pub statement: Box<Statement>,
    pub analyze: bool,
    pub verbose: bool,
    /// EXPLAIN (FORMAT JSON) and the like: the format in lower case.
    pub format: Option<String>,
}

#[derive(Debug, Clone)]
pub struct CreateDatabase {
    pub name: Identifier,
    pub if_not_exists: bool,
    pub comment: Option<String>,
    pub location: Option<String>,
    pub properties: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct CreateTable {
    pub name: ObjectName,
    pub external: bool,
    pub if_not_exists: bool,
    /// In lower case; `None`: neither USING nor STORED AS was said.
    pub provider: Option<String>,
    /// STORED AS was said, not USING.
    pub hive_format: bool,
    pub columns: Vec<ColumnDefinition>,
    /// Names alone (of `columns`) or typed columns of their own.
    pub partitioned_by: Vec<PartitionColumn>,
    pub location: Option<String>,
    pub options: Vec<(String, String)>,
    pub properties: Vec<(String, String)>,
    pub comment: Option<String>,
    pub as_query: Option<Query>,
    /// CLUSTERED BY … INTO n BUCKETS was said: refused by the command until it is built.
    pub clustered: bool,
}

#[derive(Debug, Clone)]
pub struct ColumnDefinition {
    pub name: Identifier,
    pub data_type: SqlType,
    pub nullable: bool,
    pub comment: Option<String>,
    /// SQL text.
    pub default: Option<String>,
}

#[derive(Debug, Clone)]
pub struct PartitionColumn {
    pub name: Identifier,
    /// `None`: one of the table's declared columns.
    pub data_type: Option<SqlType>,
    pub comment: Option<String>,
}

/// A type as written (`sql::types` turns it into Arrow's under a dialect).
#[derive(Debug, Clone, PartialEq)]
pub struct SqlType {
    pub text: String,
    pub data_type: datafusion::arrow::datatypes::DataType,
    pub position: usize,
}

#[derive(Debug, Clone)]
pub struct CreateView {
    pub name: ObjectName,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub temporary: bool,
    pub columns: Vec<Identifier>,
    pub comment: Option<String>,
    pub query: Query,
    /// Text of the query alone.
    pub sql: String,
}

#[derive(Debug, Clone)]
pub enum AlterTable {
    AddPartitions { if_not_exists: bool, partitions: Vec<(PartitionSpec, Option<String>)> },
    DropPartitions { if_exists: bool, partitions: Vec<PartitionSpec>, purge: bool },
    RecoverPartitions,
    RenameTo { name: ObjectName },
    SetProperties { properties: Vec<(String, String)> },
    UnsetProperties { keys: Vec<String>, if_exists: bool },
    SetLocation { partition: Option<PartitionSpec>, location: String },
    AddColumns { columns: Vec<ColumnDefinition> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairMode {
    Add,
    Drop,
    Sync,
}

/// `PARTITION (dt = 'x', hour)`: in the order written.
#[derive(Debug, Clone, Default)]
pub struct PartitionSpec {
    pub columns: Vec<PartitionTerm>,
    pub position: usize,
}

#[derive(Debug, Clone)]
pub struct PartitionTerm {
    pub name: Identifier,
    /// `None`: a dynamic column.
    pub value: Option<PartitionLiteral>,
}

/// A value written in a PARTITION clause. It is text that is cast to the column's type; a number written `08` becomes `8`
/// for a STRING column, hence the kinds.
#[derive(Debug, Clone, PartialEq)]
pub enum PartitionLiteral {
    Null,
    Text(String),
    /// As written.
    Number(String),
    Boolean(bool),
    /// DATE '2018-03-05', TIMESTAMP '…': the type's name in upper case and the text.
    Typed(String, String),
}

#[derive(Debug, Clone)]
pub struct Insert {
    pub table: InsertTarget,
    pub overwrite: bool,
    pub partition: Option<PartitionSpec>,
    pub if_not_exists: bool,
    pub by_name: bool,
    pub columns: Vec<Identifier>,
    /// `REPLACE PARTITIONS (dt = '…', hour IN (…))`: one condition each, all must hold.
    pub replace_partitions: Option<Vec<Expr>>,
    pub source: Query,
}

#[derive(Debug, Clone)]
pub enum InsertTarget {
    Table(ObjectName),
    /// `INSERT OVERWRITE [LOCAL] DIRECTORY`.
    Directory {
        path: String,
        provider: Option<String>,
        options: Vec<(String, String)>,
    },
}

#[derive(Debug, Clone)]
pub enum Set {
    /// SET [SESSION | LOCAL] name = value; a list is joined by `, `.
    Value {
        name: String,
        value: String,
        local: bool,
        position: usize,
    },
    /// SET name TO DEFAULT, RESET name.
    Default {
        name: String,
        position: usize,
    },
    ResetAll,
    /// SET SESSION CHARACTERISTICS, SET TRANSACTION …: `read_only` if it says READ ONLY.
    Transaction {
        read_only: bool,
    },
}

#[derive(Debug, Clone)]
pub enum Show {
    /// SHOW name; Spark's `SET name`.
    Setting {
        name: String,
        position: usize,
    },
    /// SHOW ALL, SET, SET -v.
    AllSettings {
        verbose: bool,
    },
    Databases {
        pattern: Option<String>,
    },
    Tables {
        database: Option<Identifier>,
        pattern: Option<String>,
    },
    Views {
        database: Option<Identifier>,
        pattern: Option<String>,
    },
    Partitions {
        table: ObjectName,
        partition: Option<PartitionSpec>,
    },
    Columns {
        table: ObjectName,
    },
    CreateTable {
        table: ObjectName,
    },
    Properties {
        table: ObjectName,
        key: Option<String>,
    },
    Functions {
        pattern: Option<String>,
    },
    GeodataLayers,
}

#[derive(Debug, Clone)]
pub struct CreateGeodataLayer {
    pub name: Identifier,
    /// IN set.
    pub set: Option<Identifier>,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub fields: Vec<Identifier>,
    pub geometry: Identifier,
    pub query: Query,
    /// Text of the query alone.
    pub sql: String,
}
