//! Whole writes from plans in memory: which files come out, how they are sorted, and what is known of them.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use tycho_catalog::{Column, NewFile, TableDefinition, TableKind, Value, Writers};

use super::*;
use crate::error::{Kind, Result};
use crate::session::Progress;

struct Case {
    folder: tempfile::TempDir,
    definition: TableDefinition,
    sort_by: Vec<(usize, bool, bool)>,
    target_file_bytes: u64,
    memory_limit_bytes: Option<usize>,
    partition_locations: HashMap<String, String>,
    progress: Arc<Progress>,
}

impl Case {
    /// A table of these columns, the last `partitions` of which are partition columns.
    fn new(columns: &[(&str, DataType)], partitions: usize) -> Case {
        let column = |(index, (name, data_type)): (usize, &(&str, DataType))| Column {
            id: index as i32 + 11,
            name: (*name).into(),
            data_type: data_type.clone(),
            sql_type: None,
            nullable: true,
            comment: None,
            default: None,
        };
        let definition = TableDefinition {
            id: 1,
            database: "lake".into(),
            name: "t".into(),
            kind: TableKind::Managed,
            provider: "parquet".into(),
            location: None,
            columns: columns.iter().enumerate().map(column).collect(),
            partition_columns: partitions,
            next_column_id: 99,
            options: BTreeMap::new(),
            properties: BTreeMap::new(),
            comment: None,
            hive_format: false,
            view: None,
            writers: Writers::Tycho,
        };
        Case {
            folder: tempfile::tempdir().expect("a temporary folder"),
            definition,
            sort_by: Vec::new(),
            target_file_bytes: 256 << 20,
            memory_limit_bytes: None,
            partition_locations: HashMap::new(),
            progress: Arc::default(),
        }
    }

    async fn write(&self, sql: &str) -> Result<Vec<NewFile>> {
        let root = format!("{}/", local_url(&self.folder.path().join("t")).expect("a URL"));
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(bytes) = self.memory_limit_bytes {
            runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
        }
        let config = SessionConfig::new().with_target_partitions(3).with_batch_size(1000);
        let context = SessionContext::new_with_config_rt(config, runtime.build_arc()?);
        let plan = context.sql(sql).await?.into_unoptimized_plan();
        let plan = store_assignment(plan, &self.definition.columns, "lake.t")?;
        let plan = context.execute_logical_plan(plan).await?.create_physical_plan().await?;
        let request = WriteRequest {
            definition: Arc::new(self.definition.clone()),
            staging: staging_area(&root, 7),
            root,
            transaction: 7,
            catalog_id: "aaaa0001".into(),
            incarnation: 1,
            sort_by: self.sort_by.clone(),
            target_file_bytes: self.target_file_bytes,
            partition_locations: self.partition_locations.clone(),
            progress: Arc::clone(&self.progress),
        };
        write(plan, request, context.task_ctx()).await
    }
}

fn reader(file: &NewFile) -> ParquetRecordBatchReaderBuilder<File> {
    let path = local_path(&file.staged).expect("a path");
    ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("opened")).expect("a Parquet file")
}

fn rows(file: &NewFile) -> RecordBatch {
    let reader = reader(file);
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().expect("readable").map(|batch| batch.expect("rows")).collect();
    concat_batches(&schema, &batches).expect("one batch")
}

fn integers(column: &ArrayRef) -> Vec<i64> {
    column.as_primitive::<Int64Type>().values().to_vec()
}

fn folders(files: &[NewFile]) -> Vec<&str> {
    files.iter().map(|file| file.partition.folder.as_str()).collect()
}

const LONG: DataType = DataType::Int64;
const TEXT: DataType = DataType::Utf8;

/// 30,000 rows of 7 days, in no order.
const EVENTS: &str = "SELECT (value * 7919) % 30011 AS id, 'name ' || CAST(value % 50 AS VARCHAR) AS name,
    '2018-03-0' || CAST(value % 7 + 1 AS VARCHAR) AS dt FROM generate_series(1, 30000) AS s(value)";

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_one_file_sorted_as_asked() {
    for limit in [None, Some(1_500_000)] {
        let mut case = Case::new(&[("id", LONG), ("name", TEXT), ("dt", TEXT)], 1);
        case.sort_by = vec![(1, true, true), (0, false, false)];
        case.memory_limit_bytes = limit;
        let files = case.write(EVENTS).await.expect("written");
        assert_eq!(folders(&files), (1..=7).map(|d| format!("dt=2018-03-0{d}")).collect::<Vec<_>>());
        let mut seen = Vec::new();
        for file in &files {
            assert!(file.path.starts_with(&format!("{}/part-", file.partition.folder)), "{}", file.path);
            assert!(file.path.ends_with("-aaaa00011-7.parquet"), "{}", file.path);
            let rows = rows(file);
            assert_eq!(rows.schema().fields().len(), 2, "the partition column is in the path only");
            let names: Vec<_> =
                rows.column(1).as_string::<i32>().iter().map(|n| n.expect("a name").to_owned()).collect();
            let ids = integers(rows.column(0));
            let order: Vec<_> = names.iter().map(|n| std::cmp::Reverse(n.clone())).zip(ids.iter().copied()).collect();
            assert!(order.is_sorted(), "limit {limit:?}: {}", file.partition.folder);
            assert_eq!(file.rows, ids.len() as u64);
            assert_eq!(
                file.sorted_by.iter().map(|s| (s.column, s.descending)).collect::<Vec<_>>(),
                [(12, true), (11, false)]
            );
            seen.extend(ids);
        }
        seen.sort_unstable();
        let mut expected: Vec<i64> = (1..=30_000).map(|value| (value * 7919) % 30_011).collect();
        expected.sort_unstable();
        assert_eq!(seen, expected, "limit {limit:?}");
        assert_eq!(case.progress.rows.load(Ordering::Relaxed), 30_000);
        assert_eq!(case.progress.files_written.load(Ordering::Relaxed), 7);
        let bytes: u64 = files.iter().map(|file| file.size_bytes).sum();
        assert_eq!(case.progress.bytes_written.load(Ordering::Relaxed), bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_say_what_they_are() {
    let mut case = Case::new(&[("id", LONG), ("name", TEXT), ("dt", TEXT)], 1);
    case.sort_by = vec![(0, false, true)];
    let files = case.write(EVENTS).await.expect("written");
    let reader = reader(&files[0]);
    let metadata = reader.metadata();
    let fields = metadata.file_metadata().schema_descr().root_schema().get_fields().to_vec();
    let ids: Vec<_> = fields.iter().map(|field| field.get_basic_info().id()).collect();
    assert_eq!(ids, [11, 12]);
    let pairs: HashMap<_, _> = metadata
        .file_metadata()
        .key_value_metadata()
        .expect("metadata")
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(pairs["tycho.table"], "lake.t");
    assert_eq!(pairs["tycho.partition"], "dt=2018-03-01");
    assert_eq!(pairs["tycho.transaction"], "7");
    assert_eq!(pairs["tycho.catalog"], "aaaa00011");
    let sorting = metadata.row_group(0).sorting_columns().expect("an order");
    assert_eq!((sorting[0].column_idx, sorting[0].descending, sorting[0].nulls_first), (0, false, true));
    let path = local_path(&files[0].staged).expect("a path");
    assert_eq!(std::fs::metadata(path).expect("there").len(), files[0].size_bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_bounds_of_every_row() {
    let long = "z".repeat(200);
    let case = Case::new(
        &[
            ("i", DataType::Int32),
            ("s", TEXT),
            ("d", DataType::Date32),
            ("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ("m", DataType::Decimal128(30, 2)),
            ("f", DataType::Float64),
            ("g", DataType::Float64),
            ("n", LONG),
            ("b", DataType::Boolean),
        ],
        0,
    );
    let sql = format!(
        "VALUES (3, 'b', DATE '2018-03-05', TIMESTAMP '2018-03-05 00:00:00', 1.5, 1e0, 'NaN'::double, NULL::bigint, true),
        (-1, '{long}', NULL, TIMESTAMP '1969-12-31 23:59:59', -2.25, -1e0, 1e0, NULL, NULL)"
    );
    let files = case.write(&sql).await.expect("written");
    assert_eq!(files.len(), 1);
    let of = |id: i32| files[0].statistics.iter().find(|s| s.column == id).expect("statistics").clone();
    let bounds = |id| (of(id).min, of(id).max, of(id).nulls);
    let decimal = |unscaled| Some(Value::Decimal { unscaled, scale: 2 });
    assert_eq!(bounds(11), (Some(Value::Int(-1)), Some(Value::Int(3)), Some(0)));
    let (Some(Value::Text(min)), Some(Value::Text(max)), Some(0)) = bounds(12) else { panic!("{:?}", of(12)) };
    assert_eq!(min, "b");
    assert!(max >= long && max.len() < 100, "a cut bound is above every value: {max}");
    assert_eq!(bounds(13), (Some(Value::Date(17_595)), Some(Value::Date(17_595)), Some(1)));
    assert_eq!(bounds(14).0, Some(Value::Timestamp(-1_000_000)));
    assert_eq!((bounds(15).0, bounds(15).1), (decimal(-225), decimal(150)));
    assert_eq!(bounds(16), (Some(Value::Float(-1.0)), Some(Value::Float(1.0)), Some(0)));
    assert_eq!(bounds(17), (None, None, Some(0)), "a NaN is outside any bound");
    assert_eq!(bounds(18), (None, None, Some(2)));
    assert_eq!(bounds(19), (Some(Value::Boolean(true)), Some(Value::Boolean(true)), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_partition_values_have_their_folders() {
    let case = Case::new(&[("id", LONG), ("p", TEXT), ("f", DataType::Float64)], 2);
    let sql = "VALUES (1, 'a/b:c', 1e0), (2, NULL, 'NaN'::double), (3, '', 'NaN'::double), (4, ' Zürich', -0e0), \
               (5, ' Zürich', 0e0), (6, 'x', NULL)";
    let files = case.write(sql).await.expect("written");
    let mut found: Vec<_> = files.iter().map(|file| (file.partition.folder.as_str(), file.rows)).collect();
    found.dedup_by(|b, a| {
        a.0 == b.0 && {
            a.1 += b.1;
            true
        }
    });
    assert_eq!(
        found,
        [
            ("p= Zürich/f=0.0", 2),
            ("p=__HIVE_DEFAULT_PARTITION__/f=NaN", 2),
            ("p=a%2Fb%3Ac/f=1.0", 1),
            ("p=x/f=__HIVE_DEFAULT_PARTITION__", 1),
        ]
    );
    let default = files.iter().find(|file| file.partition.folder.contains("NaN")).expect("written");
    assert!(default.partition.values[0].is_null());
    let odd = files.iter().find(|file| file.partition.folder.contains("%2F")).expect("written");
    assert_eq!(odd.partition.values, [Value::Text("a/b:c".into()), Value::Float(1.0)]);
    assert!(odd.staged.contains("/p=a%2Fb%3Ac/f=1.0/part-"), "{}", odd.staged);
    assert_eq!(rows(odd).num_rows(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_name_a_folder_is_refused() {
    let case = Case::new(&[("id", LONG), ("p", DataType::Binary)], 1);
    let error = case.write("SELECT 1 AS id, decode('ff', 'hex') AS p").await.expect_err("no UTF-8");
    assert_eq!(error.kind, Kind::InvalidText, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_partitions_a_small_result_is_one_sorted_file() {
    let mut case = Case::new(&[("id", LONG), ("name", TEXT)], 0);
    case.sort_by = vec![(0, true, true)];
    let sql = format!("SELECT id, name FROM ({EVENTS}) WHERE id % 3 = 0");
    let files = case.write(&sql).await.expect("written");
    assert_eq!(files.len(), 1);
    assert_eq!((files[0].partition.folder.as_str(), files[0].path.contains('/')), ("", false));
    let ids = integers(rows(&files[0]).column(0));
    assert!(ids.is_sorted_by(|a, b| a >= b) && ids.len() > 9000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_partition_rolls_over_in_order() {
    let mut case = Case::new(&[("id", LONG), ("name", TEXT), ("dt", TEXT)], 1);
    case.sort_by = vec![(0, false, true)];
    case.target_file_bytes = 60_000;
    let sql = EVENTS.replace("value % 7 + 1", "1");
    let files = case.write(&sql).await.expect("written");
    assert!(files.len() > 1, "{} files", files.len());
    let mut by_name: Vec<_> = files.iter().map(|file| integers(rows(file).column(0))).collect();
    by_name.sort_by_key(|ids| ids[0]);
    assert!(by_name.concat().is_sorted(), "files of a partition do not overlap");
    assert_eq!(by_name.concat().len(), 30_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rows_are_no_files() {
    for partitions in [0, 1] {
        let case = Case::new(&[("id", LONG), ("dt", TEXT)], partitions);
        let files = case.write("SELECT 1 AS id, 'x' AS dt WHERE false").await.expect("written");
        assert!(files.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_location_is_where_its_files_go() {
    let mut case = Case::new(&[("id", LONG), ("dt", TEXT)], 1);
    case.partition_locations = HashMap::from([("dt=x".to_owned(), "file:///elsewhere/x/".to_owned())]);
    let files = case.write("VALUES (1, 'x'), (2, 'y')").await.expect("written");
    assert!(files[0].path.starts_with("file:///elsewhere/x/part-"), "{}", files[0].path);
    assert_eq!(files[0].partition.location.as_deref(), Some("file:///elsewhere/x/"));
    assert!(files[1].path.starts_with("dt=y/part-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_formats_are_written_too_and_others_refused() {
    let mut case = Case::new(&[("id", LONG), ("name", TEXT)], 0);
    let sql = "VALUES (1, 'a,b'), (2, NULL)";
    case.definition.provider = "csv".into();
    case.definition.options.insert("header".into(), "true".into());
    let text =
        |files: &[NewFile]| std::fs::read_to_string(local_path(&files[0].staged).expect("a path")).expect("text");
    let files = case.write(sql).await.expect("written");
    assert_eq!(text(&files), "id,name\n1,\"a,b\"\n2,\n");
    assert_eq!((files[0].rows, files[0].size_bytes), (2, 19));
    case.definition.provider = "json".into();
    let files = case.write(sql).await.expect("written");
    assert_eq!(text(&files), "{\"id\":1,\"name\":\"a,b\"}\n{\"id\":2}\n");
    for provider in ["orc", "avro"] {
        case.definition.provider = provider.into();
        assert_eq!(case.write(sql).await.expect_err("refused").kind, Kind::FeatureNotSupported);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_query_ends_the_write() {
    let case = Case::new(&[("id", LONG), ("dt", TEXT)], 1);
    let sql = "SELECT 1 / (value - 20000) AS id, 'd' || CAST(value % 9 AS VARCHAR) AS dt FROM generate_series(1, 30000) AS s(value)";
    let error = case.write(sql).await.expect_err("a division by zero");
    assert_eq!(error.kind, Kind::DivisionByZero, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_write_stops_and_does_not_come_back() {
    let case = Case::new(&[("id", LONG), ("dt", TEXT)], 1);
    let sql =
        "SELECT value AS id, 'd' || CAST(value % 9 AS VARCHAR) AS dt FROM generate_series(1, 100000000000) AS s(value)";
    let running = tokio::time::timeout(std::time::Duration::from_millis(300), case.write(sql));
    assert!(running.await.is_err(), "such a write takes longer");
    let before = case.progress.rows.load(Ordering::Relaxed);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let first = case.progress.rows.load(Ordering::Relaxed);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(before > 0, "it was running");
    assert_eq!(case.progress.rows.load(Ordering::Relaxed), first, "it stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_and_dictionaries_are_written_plain() {
    let case = Case::new(&[("id", LONG), ("name", TEXT), ("dt", TEXT)], 1);
    let sql = "SELECT 1 AS id, arrow_cast('n', 'Dictionary(Int32, Utf8)') AS name, arrow_cast('x', 'Utf8View') AS dt";
    let files = case.write(sql).await.expect("written");
    assert_eq!(folders(&files), ["dt=x"]);
    let names = rows(&files[0]);
    let names: &StringArray = names.column(1).as_string();
    assert_eq!((names.value(0), names.len()), ("n", 1));
}
