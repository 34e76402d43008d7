//! Reading whole tables: real files in a temporary folder, a real catalog, SQL on top.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use datafusion::prelude::{SessionConfig, SessionContext};
use tycho_catalog::*;

use super::*;
use crate::error::Kind;

/// Publishes by renaming, as a local disk does.
struct Renaming;

fn disk(url: &str) -> &str {
    url.strip_prefix("file://").unwrap()
}

#[async_trait]
impl Storage for Renaming {
    async fn sync(&self, _: &[StagedFile]) -> tycho_catalog::Result<()> {
        Ok(())
    }
    async fn publish(&self, files: &[StagedFile]) -> tycho_catalog::Result<Vec<Published>> {
        for file in files {
            std::fs::create_dir_all(Path::new(disk(&file.target)).parent().unwrap()).unwrap();
            std::fs::rename(disk(&file.staged), disk(&file.target)).unwrap();
        }
        Ok(vec![Published::Done; files.len()])
    }
    async fn abandon(&self, _: &[String]) -> tycho_catalog::Result<()> {
        Ok(())
    }
    async fn delete(&self, _: &[RemovedFile]) -> tycho_catalog::Result<()> {
        Ok(())
    }
}

/// A warehouse of its own.
struct Lake {
    folder: tempfile::TempDir,
    catalog: Catalog,
    context: TableContext,
}

impl Lake {
    async fn new() -> Lake {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = format!("file://{}/", folder.path().display());
        let options =
            OpenOptions { lease_ms: 30_000, retire_after_ms: 300_000, warehouse: warehouse.clone(), create: true };
        let url = format!("sqlite:{}/.tycho/catalog.sqlite", folder.path().display());
        let catalog = Catalog::open(&url, options).await.unwrap();
        let mut transaction = catalog.begin(Begin::default()).await.unwrap();
        let database =
            tycho_catalog::Database { name: "lake".into(), comment: None, location: None, properties: BTreeMap::new() };
        transaction.create_database(database).await.unwrap();
        transaction.commit(&Renaming).await.unwrap();
        Lake { folder, catalog, context: TableContext { runtime: Default::default(), warehouse } }
    }

    fn path(&self, relative: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// A table in the folder of its name.
    async fn table(
        &self,
        name: &str,
        provider: &str,
        writers: Writers,
        columns: &[(&str, DataType)],
        partition_columns: usize,
        options: &[(&str, &str)],
    ) -> Arc<TableDefinition> {
        let columns: Vec<Column> =
            columns.iter().enumerate().map(|(i, (name, t))| column(i as i32 + 1, name, t.clone())).collect();
        let definition = TableDefinition {
            id: 0,
            database: "lake".into(),
            name: name.into(),
            kind: TableKind::External,
            provider: provider.into(),
            location: Some(format!("warehouse:{name}/")),
            next_column_id: columns.len() as i32 + 1,
            columns,
            partition_columns,
            options: options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            properties: BTreeMap::new(),
            comment: None,
            hive_format: false,
            view: None,
            writers,
        };
        let mut transaction = self.catalog.begin(Begin::default()).await.unwrap();
        let definition = transaction.create_table(definition).await.unwrap();
        transaction.commit(&Renaming).await.unwrap();
        definition
    }

    async fn view(&self) -> View {
        self.catalog.snapshot().await.unwrap().into()
    }

    /// A session in which the tables are known by name.
    async fn session(&self, view: &View) -> SessionContext {
        let config = SessionConfig::new().with_target_partitions(2);
        let session = SessionContext::new_with_config_rt(config, self.context.runtime.clone());
        for definition in view.tables("lake").await.unwrap() {
            let provider = file_table(definition.clone(), view.clone(), self.context.clone()).unwrap();
            session.register_table(&definition.name, provider).unwrap();
        }
        session
    }

    async fn query(&self, sql: &str) -> crate::error::Result<String> {
        query(&self.session(&self.view().await).await, sql).await
    }
}

async fn query(session: &SessionContext, sql: &str) -> crate::error::Result<String> {
    let batches = session.sql(sql).await?.collect().await?;
    Ok(pretty_format_batches(&batches)?.to_string())
}

/// Cells of a result, rows parted by `;`.
async fn rows(lake: &Lake, sql: &str) -> String {
    cells(&lake.query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")))
}

fn cells(table: &str) -> String {
    let lines = table.lines().filter(|l| l.starts_with('|')).skip(1);
    let cells = lines.map(|l| l.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(","));
    cells.collect::<Vec<_>>().join(";")
}

fn column(id: i32, name: &str, data_type: DataType) -> Column {
    Column { id, name: name.into(), data_type, sql_type: None, nullable: true, comment: None, default: None }
}

fn batch(columns: Vec<(&str, ArrayRef)>, ids: Option<&[i32]>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(i, (name, array))| {
            let field = Field::new(*name, array.data_type().clone(), true);
            match ids {
                Some(ids) => field.with_metadata([(PARQUET_FIELD_ID_META_KEY.to_owned(), ids[i].to_string())].into()),
                None => field,
            }
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect()).unwrap()
}

fn write_parquet(path: &Path, batch: &RecordBatch) -> u64 {
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    std::fs::metadata(path).unwrap().len()
}

/// A staged file of numbers `from..to` in column 1 (`id`) and their texts in column 2 (`name`).
fn staged(lake: &Lake, partition: (&str, Value), from: i64, to: i64) -> NewFile {
    let name = format!("part-{from}.parquet");
    let path = lake.path(&format!(".staging/{name}"));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((from..to).map(|i| format!("n{i}"))));
    let size_bytes = write_parquet(&path, &batch(vec![("id", ids), ("name", names)], Some(&[1, 2])));
    let folder = partition.0.to_owned();
    NewFile {
        path: if folder.is_empty() { name } else { format!("{folder}/{name}") },
        partition: NewPartition { folder, values: vec![partition.1], location: None },
        staged: format!("file://{}", path.display()),
        size_bytes,
        rows: (to - from) as u64,
        statistics: vec![ColumnStatistics {
            column: 1,
            min: Some(Value::Int(from)),
            max: Some(Value::Int(to - 1)),
            nulls: Some(0),
        }],
        sorted_by: vec![SortColumn { column: 1, descending: false, nulls_first: true }],
    }
}

async fn flights(lake: &Lake) -> Arc<TableDefinition> {
    let columns = [("id", DataType::Int64), ("name", DataType::Utf8), ("dt", DataType::Date32)];
    let table = lake.table("flights", "parquet", Writers::Tycho, &columns, 1, &[]).await;
    let day = |d: i32| (if d == 0 { "dt=1970-01-01" } else { "dt=1970-01-02" }, Value::Date(d));
    let files = vec![
        staged(lake, day(0), 0, 10),
        staged(lake, day(0), 10, 20),
        staged(lake, day(1), 20, 30),
        staged(lake, ("dt=__HIVE_DEFAULT_PARTITION__", Value::Null), 30, 35),
    ];
    let mut transaction = lake.catalog.begin(Begin::default()).await.unwrap();
    transaction.append(table.id, files).await.unwrap();
    // A transaction reads its own writes where they are staged.
    let session = lake.session(&transaction.view()).await;
    assert_eq!(cells(&query(&session, "SELECT sum(id), count(dt) FROM flights").await.unwrap()), "595,30");
    transaction.commit(&Renaming).await.unwrap();
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_and_files_are_pruned_and_explain_says_so() {
    let lake = Lake::new().await;
    flights(&lake).await;
    for (filter, facts, expect) in [
        ("true", "partitions=3/3, files=4/4", "35,595"),
        ("dt = DATE '1970-01-02'", "partitions=1/3, files=1/4", "10,245"),
        ("dt IS NULL", "partitions=1/3, files=1/4", "5,160"),
        ("dt > DATE '1960-01-01' AND extract(day FROM dt) = 1", "partitions=1/3, files=2/4", "20,190"),
        ("id >= 15 AND id < 22", "partitions=3/3, files=2/4", "7,126"),
        ("dt = DATE '1970-01-01' AND id = 3", "partitions=1/3, files=1/4", "1,3"),
        ("dt = DATE '1999-01-01'", "partitions=0/3, files=0/4", "0,"),
    ] {
        let sql = format!("SELECT count(*), sum(id) FROM flights WHERE {filter}");
        assert_eq!(rows(&lake, &sql).await, expect, "{filter}");
        let plan = lake.query(&format!("EXPLAIN {sql}")).await.unwrap();
        assert!(plan.contains(&format!("table=lake.flights, {facts}")), "{filter}: {plan}");
    }
    let partition_filter = lake.query("EXPLAIN SELECT id FROM flights WHERE dt = DATE '1970-01-02'").await.unwrap();
    assert!(!partition_filter.contains("FilterExec"), "{partition_filter}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_bounds_come_from_the_catalog() {
    let lake = Lake::new().await;
    flights(&lake).await;
    for (sql, expect) in [
        ("SELECT count(*) FROM flights", "35"),
        ("SELECT min(id), max(id) FROM flights", "0,34"),
        ("SELECT count(*) FROM flights WHERE dt = DATE '1970-01-01'", "20"),
    ] {
        assert_eq!(rows(&lake, sql).await, expect);
        let plan = lake.query(&format!("EXPLAIN {sql}")).await.unwrap();
        assert!(!plan.contains("DataSourceExec"), "{plan}");
    }
    assert_eq!(rows(&lake, "SELECT id FROM flights WHERE dt IS NULL ORDER BY id LIMIT 2").await, "30;31");
}

#[tokio::test(flavor = "multi_thread")]
async fn sorted_files_need_no_sort() {
    let lake = Lake::new().await;
    flights(&lake).await;
    let ids: Vec<String> = (0..35).map(|i| i.to_string()).collect();
    // There are no NULLs, so either end serves.
    for nulls in ["FIRST", "LAST"] {
        let sql = format!("SELECT id FROM flights ORDER BY id NULLS {nulls}");
        let plan = lake.query(&format!("EXPLAIN {sql}")).await.unwrap();
        assert!(!plan.contains("SortExec"), "{plan}");
        assert_eq!(rows(&lake, &sql).await, ids.join(";"));
    }
    let other = lake.query("EXPLAIN SELECT id FROM flights ORDER BY name").await.unwrap();
    assert!(other.contains("SortExec"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_named() {
    let lake = Lake::new().await;
    flights(&lake).await;
    std::fs::remove_file(lake.path("flights/dt=1970-01-02/part-20.parquet")).unwrap();
    let error = lake.query("SELECT sum(id) FROM flights").await.unwrap_err();
    assert_eq!((error.kind, error.sqlstate()), (Kind::FileMissing, "58P01"), "{error}");
    assert!(error.message.contains("flights/dt=1970-01-02/part-20.parquet"), "{error}");
    assert!(error.hint.unwrap().contains("MSCK REPAIR TABLE lake.flights"));
    assert_eq!(rows(&lake, "SELECT count(name) FROM flights WHERE dt = DATE '1970-01-01'").await, "20");
}

#[tokio::test(flavor = "multi_thread")]
async fn renamed_widened_and_added_columns() {
    let lake = Lake::new().await;
    let table = flights(&lake).await;
    let mut changed = TableDefinition::clone(&table);
    changed.columns[0].name = "number".into();
    changed.columns[0].data_type = DataType::Float64;
    changed.columns.insert(2, column(9, "id", DataType::Int64));
    changed.next_column_id = 10;
    let mut transaction = lake.catalog.begin(Begin::default()).await.unwrap();
    transaction.alter_table(changed).await.unwrap();
    transaction.commit(&Renaming).await.unwrap();
    assert_eq!(rows(&lake, "SELECT sum(number), count(id), count(dt) FROM flights").await, "595.0,0,30");
    assert_eq!(rows(&lake, "SELECT name FROM flights WHERE number = 3").await, "n3");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_files_are_listed_and_hidden_ones_are_not() {
    let lake = Lake::new().await;
    let columns = [("Id", DataType::Int64), ("name", DataType::Utf8)];
    lake.table("events", "parquet", Writers::Shared, &columns, 0, &[]).await;
    let numbers = |low: i32, high: i32| -> ArrayRef { Arc::new(Int32Array::from_iter_values(low..high)) };
    let write = |name: &str, array: ArrayRef| {
        write_parquet(&lake.path(&format!("events/{name}")), &batch(vec![("ID", array)], None))
    };
    write("a.parquet", numbers(0, 3));
    write("b.parquet", numbers(3, 5));
    write("_temporary/x.parquet", numbers(100, 200));
    write("nested/x.parquet", numbers(100, 200));
    std::fs::write(lake.path("events/_SUCCESS"), "x").unwrap();
    std::fs::write(lake.path("events/.hidden"), "x").unwrap();
    std::fs::write(lake.path("events/empty.parquet"), "").unwrap();
    assert_eq!(rows(&lake, "SELECT \"Id\", name FROM events ORDER BY 1").await, "0,;1,;2,;3,;4,");
    write("c.parquet", numbers(5, 6));
    assert_eq!(rows(&lake, "SELECT count(*), max(\"Id\") FROM events").await, "6,5");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_files_and_foreign_ones_in_one_table() {
    let lake = Lake::new().await;
    let columns = [("id", DataType::Int64), ("name", DataType::Utf8), ("dt", DataType::Date32)];
    let table = lake.table("events", "parquet", Writers::Shared, &columns, 1, &[]).await;
    let day = |d: i32| (if d == 0 { "dt=1970-01-01" } else { "dt=1970-01-02" }, Value::Date(d));
    let mut transaction = lake.catalog.begin(Begin::default()).await.unwrap();
    let files = vec![staged(&lake, day(0), 0, 10), staged(&lake, day(1), 10, 20)];
    transaction.append(table.id, files).await.unwrap();
    transaction.commit(&Renaming).await.unwrap();
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![100, 101]));
    let foreign = batch(vec![("ID", numbers)], None);
    write_parquet(&lake.path("events/dt=1970-01-02/other.parquet"), &foreign);
    // In a folder that nobody registered.
    write_parquet(&lake.path("events/dt=1970-01-03/other.parquet"), &foreign);
    assert_eq!(rows(&lake, "SELECT count(*), sum(id), count(name) FROM events").await, "22,391,20");
    let by_day = "SELECT dt, count(*) FROM events GROUP BY dt ORDER BY dt";
    assert_eq!(rows(&lake, by_day).await, "1970-01-01,10;1970-01-02,12");
    let folders = partition_folders(&table, &lake.context).await.unwrap();
    let folders: Vec<_> = folders.iter().map(|p| p.folder.as_str()).collect();
    assert_eq!(folders, ["dt=1970-01-01", "dt=1970-01-02", "dt=1970-01-03"]);
    let view = lake.view().await;
    let listed = list_files(&table, &view, &Predicate::All, &lake.context).await.unwrap();
    assert_eq!((listed.len(), view.foreign(table.id, listed).await.unwrap().len()), (4, 2));
    // Another program took one of ours away: the table is what is left.
    std::fs::remove_file(lake.path("events/dt=1970-01-01/part-0.parquet")).unwrap();
    assert_eq!(rows(&lake, by_day).await, "1970-01-02,12");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_formats() {
    let lake = Lake::new().await;
    let columns = [("a", DataType::Int64), ("b", DataType::Utf8), ("c", DataType::Float64)];
    let csv = [("header", "true"), ("sep", ";")];
    lake.table("plain", "csv", Writers::Shared, &columns, 0, &csv).await;
    std::fs::write(lake.path("plain/x.csv"), "a;b;c\n1;one;1.5\n2;;\n3;\"x;\"\"y\"\"\";-2\n").unwrap();
    assert_eq!(rows(&lake, "SELECT * FROM plain ORDER BY a").await, "1,one,1.5;2,,;3,x;\"y\",-2.0");
    assert_eq!(rows(&lake, "SELECT count(*), count(b) FROM plain").await, "3,2");

    lake.table("nulls", "csv", Writers::Shared, &columns, 0, &[("nullValue", "NA")]).await;
    std::fs::write(lake.path("nulls/x.csv"), "1,NA,NA\nNA,b\n").unwrap();
    assert_eq!(rows(&lake, "SELECT c, b, a FROM nulls ORDER BY a NULLS LAST").await, ",,1;,b,");
    assert_eq!(rows(&lake, "SELECT b FROM nulls WHERE a = 1").await, "");

    lake.table("lines", "json", Writers::Shared, &columns, 0, &[]).await;
    std::fs::write(lake.path("lines/x.json"), "{\"a\":1,\"b\":\"one\",\"z\":0}\n{\"c\":2.5}\n").unwrap();
    assert_eq!(rows(&lake, "SELECT * FROM lines ORDER BY a NULLS LAST").await, "1,one,;,,2.5");

    lake.table("arrays", "json", Writers::Shared, &columns, 0, &[("multiLine", "true")]).await;
    std::fs::write(lake.path("arrays/x.json"), "[{\"a\":1,\n\"b\":\"one\"},{\"a\":2}]").unwrap();
    assert_eq!(rows(&lake, "SELECT * FROM arrays ORDER BY a").await, "1,one,;2,,");
}

#[tokio::test(flavor = "multi_thread")]
async fn avro_files() {
    let lake = Lake::new().await;
    let columns = [("b", DataType::Utf8), ("a", DataType::Int64)];
    lake.table("events", "avro", Writers::Shared, &columns, 0, &[]).await;
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
    let batch = batch(vec![("a", numbers), ("b", texts)], None);
    let file = std::fs::File::create(lake.path("events/x.avro")).unwrap();
    let schema = Schema::clone(&batch.schema());
    let mut writer = datafusion::arrow_avro::writer::AvroWriter::new(file, schema).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    assert_eq!(rows(&lake, "SELECT * FROM events ORDER BY a").await, "x,1;,2");
    assert_eq!(rows(&lake, "SELECT count(*) FROM events").await, "2");
    let found = discover("avro", "warehouse:events/", &BTreeMap::new(), &lake.context).await.unwrap();
    assert_eq!(found.schema.field(1).data_type(), &DataType::Utf8);
}

/// `three_rows.orc` was written by pyarrow: id INT, NAME STRING, other DOUBLE.
#[tokio::test(flavor = "multi_thread")]
async fn orc_files() {
    let lake = Lake::new().await;
    let columns = [("name", DataType::Utf8), ("missing", DataType::Utf8), ("id", DataType::Int64)];
    lake.table("events", "orc", Writers::Shared, &columns, 0, &[]).await;
    std::fs::write(lake.path("events/x.orc"), include_bytes!("fixtures/three_rows.orc")).unwrap();
    assert_eq!(rows(&lake, "SELECT * FROM events ORDER BY id").await, "x,,1;,,2;z,,");
    assert_eq!(rows(&lake, "SELECT id + 1, name FROM events WHERE name = 'x'").await, "2,x");
    assert_eq!(rows(&lake, "SELECT count(*) FROM events").await, "3");
    assert_eq!(discovered(&lake, "orc", "warehouse:events/", &[]).await, "id Int32, NAME Utf8, other Float64 |  | 1");
}

async fn discovered(lake: &Lake, provider: &str, location: &str, options: &[(&str, &str)]) -> String {
    let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    match discover(provider, location, &options, &lake.context).await {
        Err(e) => format!("{:?}", e.kind),
        Ok(found) => {
            let columns = found.schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type()));
            let partition = found.partition_columns.iter().map(|(n, t)| format!("{n} {t}"));
            let list = |names: Vec<String>| names.join(", ");
            format!("{} | {} | {}", list(columns.collect()), list(partition.collect()), found.files)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_inferred_as_spark_does() {
    let lake = Lake::new().await;
    std::fs::write(lake.path("csv/x.csv"), "id,name\n1,a\n2,b\n").unwrap();
    let infer = ("inferSchema", "true");
    assert_eq!(discovered(&lake, "csv", "warehouse:csv/", &[]).await, "_c0 Utf8, _c1 Utf8 |  | 1");
    assert_eq!(
        discovered(&lake, "csv", "warehouse:csv/x.csv", &[("header", "true")]).await,
        "id Utf8, name Utf8 |  | 1"
    );
    assert_eq!(
        discovered(&lake, "csv", "warehouse:csv/", &[("header", "true"), infer]).await,
        "id Int64, name Utf8 |  | 1"
    );
    for (folder, day) in [("h=07", "2018-01-01"), ("h=12", "2018-01-02"), ("h=x", "__HIVE_DEFAULT_PARTITION__")] {
        if folder != "h=x" {
            std::fs::write(lake.path(&format!("json/dt={day}/{folder}/x.json")), "{\"a\":1,\"h\":2}\n").unwrap();
        }
    }
    assert_eq!(discovered(&lake, "json", "warehouse:json/", &[]).await, "a Int64 | dt Date32, h Int32 | 2");
    std::fs::write(lake.path("json/dt=2018-01-03/x.json"), "{\"a\":1}\n").unwrap();
    assert_eq!(discovered(&lake, "json", "warehouse:json/", &[]).await, "InvalidTableDefinition");
    assert_eq!(discovered(&lake, "parquet", "warehouse:nothing/", &[]).await, "InvalidTableDefinition");
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    write_parquet(&lake.path("parquet/a.parquet"), &batch(vec![("x", numbers.clone())], None));
    write_parquet(&lake.path("parquet/b.parquet"), &batch(vec![("y", numbers)], None));
    assert_eq!(discovered(&lake, "parquet", "warehouse:parquet/", &[]).await, "x Int32 |  | 2");
    assert_eq!(
        discovered(&lake, "parquet", "warehouse:parquet/", &[("mergeSchema", "true")]).await,
        "x Int32, y Int32 |  | 2"
    );
}
