//! A fresh catalog for each test, and short ways to write into it.

use std::collections::BTreeMap;

use arrow_schema::DataType;
use tycho_catalog::*;

use crate::memory::Memory;

/// Where one test's catalog is.
pub struct Place {
    url: String,
    pub lease_ms: u64,
    pub retire_after_ms: u64,
    _folder: Option<tempfile::TempDir>,
}

/// Makes a module for each store with one test for each function named.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::place::Place::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(place) = $crate::place::Place::postgres(stringify!($name)).await {
                    super::$name(place).await;
                }
            })*
        }
    };
}

impl Place {
    pub fn sqlite() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("hidden/catalog.sqlite").display());
        Place { url, lease_ms: 30_000, retire_after_ms: 300_000, _folder: Some(folder) }
    }

    pub async fn postgres(test: &str) -> Option<Place> {
        let Ok(server) = std::env::var("TEST_TYCHO_POSTGRES") else {
            println!("skipped: {test} on PostgreSQL (TEST_TYCHO_POSTGRES is not set)");
            return None;
        };
        let name = format!("tycho_test_{}", uuid::Uuid::new_v4().simple());
        run_postgres(&server, &format!("CREATE DATABASE {name}")).await;
        let mut config = server.split('?');
        let base = config.next().unwrap();
        let url = format!("{}/{name}", &base[..base.rfind('/').unwrap()]);
        Some(Place { url, lease_ms: 30_000, retire_after_ms: 300_000, _folder: None })
    }

    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    pub async fn try_open(&self) -> Result<Catalog> {
        let options = OpenOptions {
            lease_ms: self.lease_ms,
            retire_after_ms: self.retire_after_ms,
            warehouse: "file:///lake/".into(),
            create: true,
        };
        Catalog::open(&self.url, options).await
    }

    pub async fn open(&self) -> Catalog {
        self.try_open().await.unwrap()
    }

    /// SQL past the catalog, to fake what other processes do.
    pub async fn sql(&self, sql: &str) {
        match self.url.strip_prefix("sqlite:") {
            Some(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
                connection.execute_batch(sql).unwrap();
            }
            None => run_postgres(&self.url, &format!("SET search_path = tycho; {sql}")).await,
        }
    }

    pub async fn number(&self, sql: &str) -> i64 {
        match self.url.strip_prefix("sqlite:") {
            Some(path) => rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap(),
            None => {
                let (client, connection) = tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                client.batch_execute("SET search_path = tycho").await.unwrap();
                client.query_one(sql, &[]).await.unwrap().get(0)
            }
        }
    }

    /// Makes the newest process look as if it were gone from this host.
    pub async fn kill_newest(&self) {
        self.sql("UPDATE processes SET pid = 99999999 WHERE id = (SELECT max(id) FROM processes)").await;
    }

    /// Takes every process for gone.
    pub async fn kill_all(&self) {
        self.sql("UPDATE processes SET pid = 99999999").await;
    }
}

async fn run_postgres(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
}

pub fn begin() -> Begin {
    Begin { statement: Some("INSERT OVERWRITE".into()), user: Some("ada".into()), ..Begin::default() }
}

pub fn explicit() -> Begin {
    Begin { explicit: true, ..begin() }
}

pub fn database(name: &str) -> Database {
    Database { name: name.into(), comment: None, location: None, properties: BTreeMap::new() }
}

pub fn column(id: ColumnId, name: &str, data_type: DataType) -> Column {
    Column { id, name: name.into(), data_type, sql_type: None, nullable: true, comment: None, default: None }
}

/// A managed table `lake.NAME` of one data column, partitioned by `dt`.
pub fn table(name: &str) -> TableDefinition {
    TableDefinition {
        id: 0,
        database: "lake".into(),
        name: name.into(),
        kind: TableKind::Managed,
        provider: "parquet".into(),
        location: Some(format!("warehouse:lake.db/{name}/")),
        columns: vec![column(1, "delay", DataType::Int32), column(2, "dt", DataType::Utf8)],
        partition_columns: 1,
        next_column_id: 3,
        options: BTreeMap::new(),
        properties: BTreeMap::new(),
        comment: None,
        hive_format: false,
        view: None,
        writers: Writers::Tycho,
    }
}

pub fn partition(dt: &str) -> NewPartition {
    NewPartition { folder: format!("dt={dt}"), values: vec![Value::Text(dt.into())], location: None }
}

pub fn dt(value: &str) -> Predicate {
    Predicate::Compare { column: 0, op: Comparison::Eq, value: Value::Text(value.into()) }
}

pub fn foreign(path: &str, tag: &str) -> ForeignFile {
    let partition = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    ForeignFile { partition, path: path.into(), size_bytes: 7, tag: tag.into() }
}

/// Stages one file of a transaction in a partition.
pub async fn stage(transaction: &Transaction, storage: &Memory, dt: &str, name: &str) -> NewFile {
    let area = format!("staging:{}/", transaction.id());
    transaction.record_staging(std::slice::from_ref(&area)).await.unwrap();
    let staged = format!("{area}{dt}-{name}");
    storage.stage(&staged);
    new_file(staged, dt, name)
}

pub fn new_file(staged: String, dt: &str, name: &str) -> NewFile {
    NewFile {
        partition: partition(dt),
        path: format!("dt={dt}/{name}.parquet"),
        staged,
        size_bytes: 100,
        rows: 10,
        statistics: vec![ColumnStatistics {
            column: 1,
            min: Some(Value::Int(-3)),
            max: Some(Value::Int(90)),
            nulls: Some(0),
        }],
        sorted_by: vec![SortColumn { column: 1, descending: false, nulls_first: true }],
    }
}

/// A dynamic overwrite by these files.
pub fn dynamic(table: TableId, files: Vec<NewFile>) -> Overwrite {
    Overwrite { table, scope: Predicate::Nothing, drop_empty: false, register: None, files, foreign: vec![] }
}

/// A catalog with the database `lake` and the table `lake.flights`.
pub async fn with_flights(place: &Place) -> (Catalog, TableId) {
    let catalog = place.open().await;
    let id = make_table(&catalog, table("flights")).await;
    (catalog, id)
}

pub async fn make_table(catalog: &Catalog, definition: TableDefinition) -> TableId {
    let mut transaction = catalog.begin(begin()).await.unwrap();
    if transaction.view().database(&definition.database).await.unwrap().is_none() {
        transaction.create_database(database(&definition.database)).await.unwrap();
    }
    let id = transaction.create_table(definition).await.unwrap().id;
    transaction.commit(&Memory::default()).await.unwrap();
    id
}

/// Overwrites partitions with one file each, named `NAME`, in one statement.
pub async fn write(catalog: &Catalog, storage: &Memory, table: TableId, days: &[&str], name: &str) -> Committed {
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let mut files = vec![];
    for day in days {
        files.push(stage(&transaction, storage, day, name).await);
    }
    transaction.overwrite(dynamic(table, files)).await.unwrap();
    transaction.commit(storage).await.unwrap()
}

pub async fn current(catalog: &Catalog) -> View {
    catalog.snapshot().await.unwrap().into()
}

/// Paths of the files of a view.
pub async fn paths(view: &View, table: TableId) -> Vec<String> {
    view.files(table, &Predicate::All).await.unwrap().into_iter().map(|f| f.path).collect()
}

pub async fn folders(view: &View, table: TableId) -> Vec<String> {
    view.partitions(table, &Predicate::All).await.unwrap().into_iter().map(|p| p.folder).collect()
}

pub fn url(path: &str) -> String {
    format!("file:///lake/lake.db/flights/{path}")
}

#[track_caller]
pub fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("this was to fail").kind
}
